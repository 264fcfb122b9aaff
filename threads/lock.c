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

/* A mutex in a heap object stays where it is meanwhile: conservative stacks pin what they point to, and in precise heaps
 * the scratch root of a thread that is outside the stop set is pinned. */
static void wait_for_mutex(tenure_thread *self, tenure_mutex *mutex)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    mutator->scratch[TENURE__SCRATCH_LOCK] = (uintptr_t)mutex;
    for (;;) {
        tenure_enter_blocking(self);
        TENURE__MUST(pthread_mutex_lock(&mutex->native));
        /* relaxed: advice; a stop that begins right after is met by leave. */
        const bool stopping = (atomic_load_explicit(&mutator->world->request, memory_order_relaxed) & 1) != 0;
        if (!stopping) {
            tenure_leave_blocking(self);
            break;
        }
        /* Nobody parks inside lock() owning it: whoever is not stopped can have it meanwhile. */
        TENURE__MUST(pthread_mutex_unlock(&mutex->native));
        tenure_leave_blocking(self);
        if (pthread_mutex_trylock(&mutex->native) == 0) break;
    }
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
