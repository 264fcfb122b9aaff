/* tenure_cond. */
#include "threads/lock.h"

tenure_status tenure_cond_init(tenure_cond *cond, const char *name)
{
    cond->lock = (tenure__lock)TENURE__LOCK_INIT(name);
    return tenure__native_status(pthread_cond_init(&cond->native, 0));
}

void tenure_cond_destroy(tenure_cond *cond) { TENURE__MUST(pthread_cond_destroy(&cond->native)); }
void tenure_cond_signal(tenure_cond *cond) { TENURE__MUST(pthread_cond_signal(&cond->native)); }
void tenure_cond_broadcast(tenure_cond *cond) { TENURE__MUST(pthread_cond_broadcast(&cond->native)); }

struct wait {
    tenure__os_thread *os;
    tenure_cond *cond;
    tenure_mutex *mutex;
    const struct timespec *deadline;
    const void *site;
    bool released; /* for the wait; else it is attached to no heap, or in a region */
    int result;
};

static void wait_native(struct wait *wait)
{
    pthread_cond_t *cond = &wait->cond->native;
    pthread_mutex_t *mutex = &wait->mutex->native;
    wait->result = wait->deadline == 0 ? pthread_cond_wait(cond, mutex)
                                       : pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, wait->deadline);
}

/* The mutex is owned natively. Whoever was released runs on return, owning it: it is given back if a stop holds the
 * thread, and then waited for as any other. */
static void come_back(struct wait *wait)
{
    tenure__os_thread *os = wait->os;
    if (wait->released && !tenure__try_reacquire(os->records)) {
        TENURE__MUST(pthread_mutex_unlock(&wait->mutex->native));
        tenure__lock_wait again = { &wait->mutex->native, &tenure__mutex_way, 0, 0 };
        tenure__win_released(os->records, &again);
    }
    tenure__held_push(os, &wait->mutex->lock, wait->site);
    tenure__check_held_changed(os);
    tenure__await_end(os);
}

/* Cancelled: the program's handlers run as after a wait. */
static void cancelled(void *wait) { come_back(wait); }

/* The condition is waited for once. */
static void wait_outside(struct wait *wait)
{
    pthread_cleanup_push(cancelled, wait);
    wait_native(wait);
    pthread_cleanup_pop(0);
    come_back(wait);
}

static void wait_released(tenure__mutator *mutator, void *wait)
{
    tenure__release(mutator, TENURE__BLOCKED);
    wait_outside(wait);
}

static tenure_status wait_for_condition(
    tenure_thread *self, tenure_cond *cond, tenure_mutex *mutex, const struct timespec *deadline, const void *site)
{
    tenure__os_thread *os = tenure__os_thread_of(self);
    const uint32_t at = tenure__held_find(os, &mutex->lock, "tenure_cond_wait");
    if (tenure__owned_stop(os) != 0) return TENURE_EDEADLK;
    struct timespec until = { 0, 0 };
    if (deadline != 0) until = *deadline; /* it may lie in an object, which moves */
    const bool released = os->records != 0 && os->records->depth == 0;
    struct wait wait = { os, cond, mutex, deadline != 0 ? &until : 0, site, released, 0 };
    tenure__await_begin(os, &cond->lock, &mutex->lock, site);
    tenure__held_remove(os, at);
    tenure__check_gc(os, "a wait for a condition");
    tenure__check_order(os, &mutex->lock, site);
    if (wait.released)
        tenure__with_context(os->records, wait_released, &wait);
    else
        wait_outside(&wait);
    if (wait.released && os->check_roots) { /* where everything moves it does so before the mutex is the caller's */
        tenure__give_back(self, &mutex->lock, &mutex->native, &tenure__mutex_way, "tenure_cond_wait");
        (void)tenure__acquire(self, &mutex->lock, &mutex->native, &tenure__mutex_way, 0, site);
    }
    return tenure__wait_status(wait.result, "tenure_cond_wait");
}

tenure_status tenure_cond_wait(tenure_thread *self, tenure_cond *cond, tenure_mutex *mutex)
{
    return wait_for_condition(self, cond, mutex, 0, __builtin_return_address(0));
}

tenure_status tenure_cond_timedwait(
    tenure_thread *self, tenure_cond *cond, tenure_mutex *mutex, const struct timespec *deadline)
{
    return wait_for_condition(self, cond, mutex, deadline, __builtin_return_address(0));
}
