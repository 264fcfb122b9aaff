/* Locks: uncontended a try-lock, which needs to know nothing of the thread. Contended, a running attached thread waits
 * in a blocking region. If a stop holds it when it has got the lock, it gives the lock back, waits for the stop to end,
 * and tries again: no thread waits for a stop inside lock() owning it. */
#include "threads/interpose/region.h"
#include <pthread.h>
#include <semaphore.h>

/* The common part; get is the real call and give undoes it, attempt is the one that does not wait. All give 0 or an
 * error number. A mutex whose owner died (EOWNERDEAD) is owned and stays so: giving it back would make it unusable. A
 * time that passed during the stop is forgiven by the last attempt. */
#define WAIT_FOR_LOCK(call, get, give, attempt)                    \
    do {                                                           \
        int error = (attempt);                                     \
        if (error != EBUSY) return error;                          \
        REGION_OF(call);                                           \
        if (tenure__region.count == 0) return (get);               \
        for (;;) {                                                 \
            const int waited = (get);                              \
            if (region_try_leave(&tenure__region)) return waited;  \
            if (waited != 0 && waited != ETIMEDOUT) return waited; \
            if (waited == 0) (void)(give);                         \
            region left = tenure__region;                          \
            region_end(&tenure__region);                           \
            error = (attempt);                                     \
            if (error != EBUSY) return error;                      \
            if (waited == ETIMEDOUT) return waited;                \
            region_enter(&left);                                   \
            tenure__region = left;                                 \
        }                                                          \
    } while (0)

#define LOCK(name, parameters, arguments, lock, attempt, give)                             \
    INTERPOSED int name parameters                                                         \
    {                                                                                      \
        WAIT_FOR_LOCK(#name, REAL(name) arguments, REAL(give)(lock), REAL(attempt)(lock)); \
    }

#define TIMED (lock, end)
#define CLOCKED (lock, clock, end)

#define MUTEX(name, parameters, arguments) \
    LOCK(name, parameters, arguments, lock, pthread_mutex_trylock, pthread_mutex_unlock)
MUTEX(pthread_mutex_lock, (pthread_mutex_t * lock), (lock))
MUTEX(pthread_mutex_timedlock, (pthread_mutex_t * lock, const struct timespec *end), TIMED)
MUTEX(pthread_mutex_clocklock, (pthread_mutex_t * lock, clockid_t clock, const struct timespec *end), CLOCKED)

#define READ_LOCK(name, parameters, arguments) \
    LOCK(name, parameters, arguments, lock, pthread_rwlock_tryrdlock, pthread_rwlock_unlock)
READ_LOCK(pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
READ_LOCK(pthread_rwlock_timedrdlock, (pthread_rwlock_t * lock, const struct timespec *end), TIMED)
READ_LOCK(pthread_rwlock_clockrdlock, (pthread_rwlock_t * lock, clockid_t clock, const struct timespec *end), CLOCKED)

#define WRITE_LOCK(name, parameters, arguments) \
    LOCK(name, parameters, arguments, lock, pthread_rwlock_trywrlock, pthread_rwlock_unlock)
WRITE_LOCK(pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))
WRITE_LOCK(pthread_rwlock_timedwrlock, (pthread_rwlock_t * lock, const struct timespec *end), TIMED)
WRITE_LOCK(pthread_rwlock_clockwrlock, (pthread_rwlock_t * lock, clockid_t clock, const struct timespec *end), CLOCKED)

/* --- semaphores: the same, with errors in errno --- */

/* Signals end the wait with EINTR, as ever. */
static int semaphore_try(sem_t *semaphore)
{
    return REAL(sem_trywait)(semaphore) == 0 ? 0 : errno == EAGAIN ? EBUSY : errno;
}

#define SEMAPHORE(name, parameters, arguments)                                                                  \
    ALWAYS_INLINE int wait_##name parameters                                                                    \
    {                                                                                                           \
        WAIT_FOR_LOCK(                                                                                          \
            #name, REAL(name) arguments == 0 ? 0 : errno, REAL(sem_post)(semaphore), semaphore_try(semaphore)); \
    }                                                                                                           \
    INTERPOSED int name parameters                                                                              \
    {                                                                                                           \
        const int before = errno;                                                                               \
        pthread_testcancel(); /* the attempt is none, but these are cancellation points even if they succeed */ \
        const int error = wait_##name arguments;                                                                \
        errno = error == 0 ? before : error;                                                                    \
        return error == 0 ? 0 : -1;                                                                             \
    }
SEMAPHORE(sem_wait, (sem_t * semaphore), (semaphore))
SEMAPHORE(sem_timedwait, (sem_t * semaphore, const struct timespec *end), (semaphore, end))
SEMAPHORE(sem_clockwait, (sem_t * semaphore, clockid_t clock, const struct timespec *end), (semaphore, clock, end))

/* --- conditions --- */

/* The wait comes back owning the mutex: if a stop holds the thread it is unlocked, and locked again after the stop. To
 * the program that looks like a wake-up that came too early. A thread that is cancelled keeps the mutex. */
#define CONDITION(name, parameters, arguments)                                                        \
    INTERPOSED int name parameters                                                                    \
    {                                                                                                 \
        REGION;                                                                                       \
        const int waited = REAL(name) arguments;                                                      \
        if (region_try_leave(&tenure__region) || (waited != 0 && waited != ETIMEDOUT)) return waited; \
        REAL(pthread_mutex_unlock)(mutex);                                                            \
        region_end(&tenure__region);                                                                  \
        const int error = pthread_mutex_lock(mutex);                                                  \
        return error != 0 ? error : waited;                                                           \
    }
CONDITION(pthread_cond_wait, (pthread_cond_t * condition, pthread_mutex_t *mutex), (condition, mutex))
CONDITION(pthread_cond_timedwait, (pthread_cond_t * condition, pthread_mutex_t *mutex, const struct timespec *end),
    (condition, mutex, end))
CONDITION(pthread_cond_clockwait,
    (pthread_cond_t * condition, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *end),
    (condition, mutex, clock, end))

/* --- other threads --- */

BLOCKING(int, pthread_barrier_wait, (pthread_barrier_t * barrier), (barrier))
BLOCKING(int, pthread_join, (pthread_t thread, void **result), (thread, result))
BLOCKING(
    int, pthread_timedjoin_np, (pthread_t thread, void **result, const struct timespec *end), (thread, result, end))
BLOCKING(int, pthread_clockjoin_np, (pthread_t thread, void **result, clockid_t clock, const struct timespec *end),
    (thread, result, clock, end))
