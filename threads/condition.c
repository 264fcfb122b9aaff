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
    tenure_cond *cond;
    tenure_mutex *mutex;
    const struct timespec *deadline;
    int result;
};

static void wait_native(struct wait *wait)
{
    pthread_cond_t *cond = &wait->cond->native;
    pthread_mutex_t *mutex = &wait->mutex->native;
    wait->result = wait->deadline == 0 ? pthread_cond_wait(cond, mutex)
                                       : pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, wait->deadline);
}

/* Released: owns the mutex and runs on return. The condition is waited for once; the mutex is given back if a stop
 * holds the thread when it has won it, and then waited for as any other. */
static void wait_released(tenure__mutator *mutator, void *arg)
{
    struct wait *wait = arg;
    tenure__release(mutator, TENURE__BLOCKED);
    wait_native(wait);
    if (tenure__try_reacquire(mutator)) return;
    TENURE__MUST(pthread_mutex_unlock(&wait->mutex->native));
    tenure__lock_wait again = { &wait->mutex->native, &tenure__mutex_way, 0, 0 };
    tenure__win_released(mutator, &again);
}

static tenure_status wait_for_condition(
    tenure_thread *self, tenure_cond *cond, tenure_mutex *mutex, const struct timespec *deadline, const void *site)
{
    tenure__os_thread *os = tenure__os_thread_of(self);
    tenure__mutator *mutator = os->records;
    const uint32_t at = tenure__held_find(os, &mutex->lock, "tenure_cond_wait");
    if (tenure__owned_stop(os) != 0) return TENURE_EDEADLK;
    struct wait wait = { cond, mutex, deadline, 0 };
    tenure__await_begin(os, &cond->lock, &mutex->lock, site);
    tenure__held_remove(os, at);
    tenure__check_gc(os, "a wait for a condition");
    if (mutator == 0 || mutator->depth != 0)
        wait_native(&wait); /* already outside the stop set */
    else
        tenure__with_context(mutator, wait_released, &wait);
    tenure__held_push(os, &mutex->lock, site);
    tenure__check_held_changed(os);
    tenure__await_end(os);
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
