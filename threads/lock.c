/* Mutexes that never stall a stop: uncontended a try-lock, contended a wait outside the stop set. */
#include "threads/mutator.h"
#include <errno.h>
#include <tenure/lock.h>

tenure_status tenure_mutex_init(tenure_mutex *mutex, const char *name)
{
    mutex->name = name;
    const int error = pthread_mutex_init(&mutex->native, 0);
    if (error == 0) return TENURE_OK;
    errno = error;
    return error == ENOMEM ? TENURE_ENOMEM : TENURE_ESYSTEM;
}

void tenure_mutex_destroy(tenure_mutex *mutex) { TENURE__MUST(pthread_mutex_destroy(&mutex->native)); }

bool tenure_mutex_trylock(tenure_thread *self, tenure_mutex *mutex)
{
    (void)self;
    const int result = pthread_mutex_trylock(&mutex->native);
    if (result != 0 && result != EBUSY) tenure__fatal(__func__, __LINE__, result);
    return result == 0;
}

/* Released: owns the mutex and runs on return. If a stop holds the thread when it has won the mutex, it lets go, waits
 * and tries again: whoever is not stopped (unattached, blocked) can have it meanwhile. */
static void lock_released(tenure__mutator *mutator, void *native_mutex)
{
    pthread_mutex_t *native = native_mutex;
    tenure__release(mutator, TENURE__BLOCKED);
    for (;;) {
        TENURE__MUST(pthread_mutex_lock(native));
        if (tenure__try_reacquire(mutator)) return;
        TENURE__MUST(pthread_mutex_unlock(native));
        tenure__reacquire(mutator);
        if (pthread_mutex_trylock(native) == 0) return;
        tenure__release(mutator, TENURE__BLOCKED);
    }
}

/* A mutex in a heap object stays where it is meanwhile: conservative stacks pin what they point to, and so does this
 * scratch word in precise heaps. */
static void wait_for_mutex(tenure_thread *self, tenure_mutex *mutex)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    if (mutator->depth != 0) {
        TENURE__MUST(pthread_mutex_lock(&mutex->native)); /* already outside the stop set */
        return;
    }
    if (tenure__owns_stop(mutator))
        tenure__misuse(
            "tenure_mutex_lock", "between stop_world and resume_world only what is free: the owner may be parked");
    mutator->scratch[TENURE__SCRATCH_LOCK] = (uintptr_t)mutex;
    tenure__with_context(mutator, lock_released, &mutex->native);
    mutator->scratch[TENURE__SCRATCH_LOCK] = 0;
}

void tenure_mutex_lock(tenure_thread *self, tenure_mutex *mutex)
{
    if (!tenure_mutex_trylock(self, mutex)) wait_for_mutex(self, mutex);
}

void tenure_mutex_unlock(tenure_thread *self, tenure_mutex *mutex)
{
    (void)self;
    TENURE__MUST(pthread_mutex_unlock(&mutex->native));
}
