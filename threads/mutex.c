/* tenure_mutex. */
#include "threads/lock.h"

static int try_native(void *native) { return pthread_mutex_trylock(native); }
static int wait_native(void *native) { return pthread_mutex_lock(native); }
static int undo_native(void *native) { return pthread_mutex_unlock(native); }
static int wait_until(void *native, const struct timespec *deadline)
{
    const int result = pthread_mutex_clocklock(native, CLOCK_MONOTONIC, deadline);
    if (result == 0) tenure__tsan_locked(native);
    return result;
}

const tenure__lock_way tenure__mutex_way = { "tenure_mutex_lock", try_native, wait_native, wait_until, undo_native,
    true };

tenure_status tenure_mutex_init(tenure_mutex *mutex, const char *name)
{
    mutex->lock = (tenure__lock)TENURE__LOCK_INIT(name);
    return tenure__native_status(pthread_mutex_init(&mutex->native, 0));
}

void tenure_mutex_destroy(tenure_mutex *mutex) { TENURE__MUST(pthread_mutex_destroy(&mutex->native)); }

void tenure_mutex_rules(tenure_mutex *mutex, uint16_t rank, unsigned rules)
{
    mutex->lock.rank = rank;
    mutex->lock.rules = (uint16_t)rules;
}

/* The fast paths of an attached thread. What they need after the native call they load again: every register that is
 * kept across it costs a store, and the stores have to drain before its atomic operation. */
static inline __attribute__((always_inline)) tenure_status lock(
    tenure_thread *self, tenure_mutex *mutex, const struct timespec *deadline, const void *site)
{
    const tenure__os_thread *os = self != 0 ? tenure__mutator_of(self)->os : 0;
    if (os != 0 && atomic_load_explicit(&os->held_count, memory_order_relaxed) < os->held_fast &&
        __builtin_expect(pthread_mutex_trylock(&mutex->native) == 0, 1)) {
        tenure__held_push(tenure__mutator_of(self)->os, &mutex->lock, site);
        return TENURE_OK;
    }
    return tenure__acquire(self, &mutex->lock, &mutex->native, &tenure__mutex_way, deadline, site);
}

tenure_status tenure_mutex_lock(tenure_thread *self, tenure_mutex *mutex)
{
    return lock(self, mutex, 0, __builtin_return_address(0));
}

tenure_status tenure_mutex_timedlock(tenure_thread *self, tenure_mutex *mutex, const struct timespec *deadline)
{
    return lock(self, mutex, deadline, __builtin_return_address(0));
}

bool tenure_mutex_trylock(tenure_thread *self, tenure_mutex *mutex)
{
    return tenure__try_acquire(self, &mutex->lock, &mutex->native, &tenure__mutex_way, __builtin_return_address(0));
}

void tenure_mutex_unlock(tenure_thread *self, tenure_mutex *mutex)
{
    tenure__os_thread *os = self != 0 ? tenure__mutator_of(self)->os : 0;
    if (os == 0 || os->held_fast == 0 || !tenure__held_last(os, &mutex->lock)) {
        tenure__give_back(self, &mutex->lock, &mutex->native, &tenure__mutex_way, "tenure_mutex_unlock");
        return;
    }
    TENURE__MUST(pthread_mutex_unlock(&mutex->native)); /* first, as in give_back */
    os = tenure__mutator_of(self)->os;
    atomic_store_explicit(
        &os->held_count, atomic_load_explicit(&os->held_count, memory_order_relaxed) - 1, memory_order_release);
}

tenure__lock_scope tenure__scope_lock(tenure_thread *self, tenure_mutex *mutex)
{
    if (lock(self, mutex, 0, __builtin_return_address(0)) != TENURE_OK)
        tenure__misuse("TENURE_LOCK_SCOPE", "not for a lock that the caller or a stopped thread holds");
    return (tenure__lock_scope) { self, mutex };
}
