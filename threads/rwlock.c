/* tenure_rwlock. */
#include "threads/lock.h"

static_assert(sizeof(pthread_rwlock_t) <= sizeof((tenure_rwlock *)0)->native, "room for pthread's");

static int undo_native(void *native) { return pthread_rwlock_unlock(native); }

static int try_read(void *native) { return pthread_rwlock_tryrdlock(native); }
static int wait_read(void *native) { return pthread_rwlock_rdlock(native); }
static int read_until(void *native, const struct timespec *deadline)
{
    const int result = pthread_rwlock_clockrdlock(native, CLOCK_MONOTONIC, deadline);
    if (result == 0) tenure__tsan_read_locked(native);
    return result;
}

static int try_write(void *native) { return pthread_rwlock_trywrlock(native); }
static int wait_write(void *native) { return pthread_rwlock_wrlock(native); }
static int write_until(void *native, const struct timespec *deadline)
{
    const int result = pthread_rwlock_clockwrlock(native, CLOCK_MONOTONIC, deadline);
    if (result == 0) tenure__tsan_locked(native);
    return result;
}

static const tenure__lock_way read_way = { "tenure_rwlock_rdlock", try_read, wait_read, read_until, undo_native, true };
static const tenure__lock_way write_way = { "tenure_rwlock_wrlock", try_write, wait_write, write_until, undo_native,
    true };

tenure_status tenure_rwlock_init(tenure_rwlock *rwlock, const char *name)
{
    rwlock->lock = (tenure__lock)TENURE__LOCK_INIT(name);
    return tenure__native_status(pthread_rwlock_init((pthread_rwlock_t *)rwlock->native, 0));
}

void tenure_rwlock_destroy(tenure_rwlock *rwlock)
{
    TENURE__MUST(pthread_rwlock_destroy((pthread_rwlock_t *)rwlock->native));
}

void tenure_rwlock_rules(tenure_rwlock *rwlock, uint16_t rank, unsigned rules)
{
    rwlock->lock.rank = rank;
    rwlock->lock.rules = (uint16_t)rules;
}

#define SITE __builtin_return_address(0)

tenure_status tenure_rwlock_rdlock(tenure_thread *self, tenure_rwlock *rwlock)
{
    return tenure__acquire(self, &rwlock->lock, rwlock->native, &read_way, 0, SITE);
}
tenure_status tenure_rwlock_wrlock(tenure_thread *self, tenure_rwlock *rwlock)
{
    return tenure__acquire(self, &rwlock->lock, rwlock->native, &write_way, 0, SITE);
}
tenure_status tenure_rwlock_timedrdlock(tenure_thread *self, tenure_rwlock *rwlock, const struct timespec *deadline)
{
    return tenure__acquire(self, &rwlock->lock, rwlock->native, &read_way, deadline, SITE);
}
tenure_status tenure_rwlock_timedwrlock(tenure_thread *self, tenure_rwlock *rwlock, const struct timespec *deadline)
{
    return tenure__acquire(self, &rwlock->lock, rwlock->native, &write_way, deadline, SITE);
}
bool tenure_rwlock_tryrdlock(tenure_thread *self, tenure_rwlock *rwlock)
{
    return tenure__try_acquire(self, &rwlock->lock, rwlock->native, &read_way, SITE);
}
bool tenure_rwlock_trywrlock(tenure_thread *self, tenure_rwlock *rwlock)
{
    return tenure__try_acquire(self, &rwlock->lock, rwlock->native, &write_way, SITE);
}

void tenure_rwlock_unlock(tenure_thread *self, tenure_rwlock *rwlock)
{
    tenure__give_back(self, &rwlock->lock, rwlock->native, &read_way, "tenure_rwlock_unlock");
}
