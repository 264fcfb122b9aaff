/* tenure_sem. */
#include "threads/lock.h"

static int result_of(int returned) { return returned == 0 ? 0 : errno; }

static int try_native(void *native) { return result_of(sem_trywait(native)); }
static int undo_native(void *native) { return result_of(sem_post(native)); }

/* In a wait, which of all locks' is the one that can be cancelled: the program's handlers run as before it. */
static void cancelled(void *unused)
{
    (void)unused;
    tenure__os_thread *os = tenure__os_thread_self();
    if (os->records != 0 && os->records->depth == 0) tenure__reacquire(os->records);
    tenure__await_end(os);
}

static int wait_until(void *native, const struct timespec *deadline)
{
    int result;
    pthread_cleanup_push(cancelled, 0);
    do result = result_of(deadline == 0 ? sem_wait(native) : sem_clockwait(native, CLOCK_MONOTONIC, deadline));
    while (result == EINTR);
    pthread_cleanup_pop(0);
    if (result == 0 && deadline != 0) tenure__tsan_acquire(native);
    return result;
}

static int wait_native(void *native) { return wait_until(native, 0); }

static const tenure__lock_way way = { "tenure_sem_wait", try_native, wait_native, wait_until, undo_native, false };

/* errno stays as it was, but where a call reports through it. */
static tenure_status acquire(tenure_thread *self, tenure_sem *sem, const struct timespec *deadline, const void *site)
{
    const int saved = errno;
    const tenure_status status = tenure__acquire(self, &sem->lock, &sem->native, &way, deadline, site);
    errno = saved;
    return status;
}

tenure_status tenure_sem_init(tenure_sem *sem, const char *name, unsigned value)
{
    sem->lock = (tenure__lock)TENURE__LOCK_INIT(name);
    return sem_init(&sem->native, 0, value) == 0 ? TENURE_OK : TENURE_EINVAL;
}

void tenure_sem_destroy(tenure_sem *sem) { TENURE__MUST(result_of(sem_destroy(&sem->native))); }

tenure_status tenure_sem_post(tenure_sem *sem) { return sem_post(&sem->native) == 0 ? TENURE_OK : TENURE_ESYSTEM; }

tenure_status tenure_sem_wait(tenure_thread *self, tenure_sem *sem)
{
    return acquire(self, sem, 0, __builtin_return_address(0));
}

tenure_status tenure_sem_timedwait(tenure_thread *self, tenure_sem *sem, const struct timespec *deadline)
{
    return acquire(self, sem, deadline, __builtin_return_address(0));
}

bool tenure_sem_trywait(tenure_thread *self, tenure_sem *sem)
{
    const int saved = errno;
    const bool taken = tenure__try_acquire(self, &sem->lock, &sem->native, &way, __builtin_return_address(0));
    errno = saved;
    return taken;
}
