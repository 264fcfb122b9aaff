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

/* The fast paths of an attached thread outside of regions. No stop comes between the note and the native call, so the
 * note is changed first: what is done after the native atomic operation waits for it, and every register that is kept
 * across the call costs a store before it, which has to drain. Aligned, for one such path takes 30 cycles: across a
 * line of code it takes three more. */
#define FAST_PATH __attribute__((aligned(64)))

static inline bool is_fast(const tenure__mutator *mutator) { return mutator != 0 && mutator->depth == 0; }

/* The lock is noted, and was not to be had. */
__attribute__((noinline)) static tenure_status lock_noted(const struct timespec *deadline)
{
    tenure__os_thread *os = tenure__os_thread_self();
    const uint32_t at = atomic_load_explicit(&os->held_count, memory_order_relaxed) - 1;
    const tenure__held *slot = atomic_load_explicit(&os->held, memory_order_relaxed) + at;
    tenure__lock *lock = atomic_load_explicit(&slot->lock, memory_order_relaxed);
    const void *site = atomic_load_explicit(&slot->site, memory_order_relaxed);
    tenure__held_remove(os, at);
    tenure_mutex *mutex = caa_container_of(lock, tenure_mutex, lock);
    return tenure__acquire(&os->records->record, lock, &mutex->native, &tenure__mutex_way, deadline, site);
}

static inline __attribute__((always_inline)) tenure_status lock(
    tenure_thread *self, tenure_mutex *mutex, const struct timespec *deadline, const void *site)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    if (!is_fast(mutator) ||
        atomic_load_explicit(&mutator->os->held_count, memory_order_relaxed) >= mutator->os->held_fast)
        return tenure__acquire(self, &mutex->lock, &mutex->native, &tenure__mutex_way, deadline, site);
    tenure__held_push(mutator->os, &mutex->lock, site);
    return __builtin_expect(pthread_mutex_trylock(&mutex->native) == 0, 1) ? TENURE_OK : lock_noted(deadline);
}

FAST_PATH tenure_status tenure_mutex_lock(tenure_thread *self, tenure_mutex *mutex)
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

FAST_PATH void tenure_mutex_unlock(tenure_thread *self, tenure_mutex *mutex)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    if (!is_fast(mutator) || mutator->os->held_fast == 0 || !tenure__held_last(mutator->os, &mutex->lock)) {
        tenure__give_back(self, &mutex->lock, &mutex->native, &tenure__mutex_way, "tenure_mutex_unlock");
        return;
    }
    tenure__os_thread *os = mutator->os;
    atomic_store_explicit(
        &os->held_count, atomic_load_explicit(&os->held_count, memory_order_relaxed) - 1, memory_order_release);
    TENURE__MUST(pthread_mutex_unlock(&mutex->native));
}

tenure__lock_scope tenure__scope_lock(tenure_thread *self, tenure_mutex *mutex)
{
    if (lock(self, mutex, 0, __builtin_return_address(0)) != TENURE_OK)
        tenure__misuse("TENURE_LOCK_SCOPE", "not for a lock that the caller or a stopped thread holds");
    return (tenure__lock_scope) { self, mutex };
}
