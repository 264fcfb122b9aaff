/* Locks that the collector knows of: pthread's, made aware. None of them ever holds up a stop.
 *
 * Uncontended, a lock is pthread's try-lock and a note of who holds it. Contended, the thread waits outside the stop
 * set; if a stop is going on when it gets the lock, it gives it back, waits for the stop's end and tries again: nobody
 * parks inside a lock call owning the lock.
 *
 * All of them may live in heap objects: while a thread holds one or waits for one, the object stays where it is and
 * lives. Zeroed memory is a free lock of every kind (a semaphore of value 0), without a name. A name has to live as
 * long as the lock; locks of the same name are one in the statistics.
 *
 * self is the calling thread's record in any heap, or NULL when the thread is attached to none; a lock may be taken
 * with one record and given back with another of the same thread. Inside a blocking region they work as pthread's do.
 * All deadlines are absolute times of CLOCK_MONOTONIC.
 *
 * Between tenure_stop_world and tenure_resume_world a lock that a thread of the stopped heap holds cannot be waited
 * for: TENURE_EDEADLK, as for a lock that the caller holds itself. Semaphores and conditions give it whenever they
 * would have to wait. Giving back what the caller does not hold aborts.
 *
 * None of them is robust: if a thread ends while it holds one, the lock stays taken. (The interposer hands EOWNERDEAD
 * of a robust pthread mutex to its caller, owning, as POSIX says.) */
#ifndef TENURE_LOCK_H
#define TENURE_LOCK_H

#include <semaphore.h>
#include <tenure/safepoint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What all kinds have in common; private. */
typedef struct tenure__lock {
    const char *name;
    uint32_t waiters; /* atomic: threads that wait for it */
    uint16_t rank;    /* for check=locks; 0: none */
    uint16_t rules;
} tenure__lock;
#define TENURE__LOCK_INIT(name) \
    {                           \
        (name), 0, 0, 0         \
    }

/* What the debug option check=locks watches in threads that are attached to a heap with it; set before the lock is
 * used. Rank: a thread takes locks in rising order of rank, a condition's mutex again after the wait; 0 takes no part,
 * nor do try-locks and what the thread holds already. TENURE_LOCK_NO_GC: whoever holds it does not allocate, poll,
 * collect, wait for a condition or enter a blocking region; it may take other locks, and objects may move while it
 * waits for one. With the interposer beside it, and only then (the library does not see the calls of others), a thread
 * that has waited in a call of the system outside of a region is a fault too. A fault is printed, with the sites of
 * both locks or of the call, and aborts. */
enum { TENURE_LOCK_NO_GC = 1 };

/* --- mutexes --- */

typedef struct tenure_mutex {
    pthread_mutex_t native;
    tenure__lock lock;
} tenure_mutex;
#define TENURE_MUTEX_INIT(name)                              \
    {                                                        \
        PTHREAD_MUTEX_INITIALIZER, TENURE__LOCK_INIT((name)) \
    }

/* TENURE_ENOMEM, TENURE_ESYSTEM. */
TENURE_API tenure_status tenure_mutex_init(tenure_mutex *mutex, const char *name);
TENURE_API void tenure_mutex_destroy(tenure_mutex *mutex);
TENURE_API void tenure_mutex_rules(tenure_mutex *mutex, uint16_t rank, unsigned rules);

/* May block, may collect. TENURE_OK: owning. TENURE_EDEADLK, see above; TENURE_ENOMEM: it holds hundreds of locks and
 * there is no memory to note one more. Neither happens to a program that stops no world and takes no lock twice. */
TENURE_API tenure_status tenure_mutex_lock(tenure_thread *self, tenure_mutex *mutex);
/* True: taken. Never blocks. */
TENURE_API bool tenure_mutex_trylock(tenure_thread *self, tenure_mutex *mutex);
/* The same as lock, and TENURE_ETIMEDOUT: it was taken at the deadline, and also after the stop that may have gone on
 * then. */
TENURE_API tenure_status tenure_mutex_timedlock(
    tenure_thread *self, tenure_mutex *mutex, const struct timespec *deadline);
/* Does not block; no safepoint. */
TENURE_API void tenure_mutex_unlock(tenure_thread *self, tenure_mutex *mutex);

typedef struct tenure__lock_scope {
    tenure_thread *self;
    tenure_mutex *mutex;
} tenure__lock_scope;
TENURE_API tenure__lock_scope tenure__scope_lock(tenure_thread *self, tenure_mutex *mutex);
static inline void tenure__scope_lock_end(tenure__lock_scope *scope) { tenure_mutex_unlock(scope->self, scope->mutex); }

/* Holds the mutex to the end of the enclosing block, however it is left. A lock that fails (TENURE_EDEADLK) aborts. May
 * block, may collect. */
#define TENURE_LOCK_SCOPE(self, mutex)                                                          \
    __attribute__((cleanup(tenure__scope_lock_end), unused)) tenure__lock_scope TENURE__CONCAT( \
        tenure__lock_, __COUNTER__) = tenure__scope_lock(self, mutex)

/* --- reader-writer locks: many readers or one writer; readers are preferred, as pthread's default does --- */

typedef struct tenure_rwlock {
    uint64_t native[7]; /* a pthread_rwlock_t, which strict C11 does not declare; free when zero */
    tenure__lock lock;
} tenure_rwlock;
#define TENURE_RWLOCK_INIT(name)           \
    {                                      \
        { 0 }, TENURE__LOCK_INIT((name))   \
    }

/* TENURE_ENOMEM, TENURE_ESYSTEM. */
TENURE_API tenure_status tenure_rwlock_init(tenure_rwlock *rwlock, const char *name);
TENURE_API void tenure_rwlock_destroy(tenure_rwlock *rwlock);
TENURE_API void tenure_rwlock_rules(tenure_rwlock *rwlock, uint16_t rank, unsigned rules);

/* As tenure_mutex_lock. A thread may hold it several times for reading. */
TENURE_API tenure_status tenure_rwlock_rdlock(tenure_thread *self, tenure_rwlock *rwlock);
TENURE_API tenure_status tenure_rwlock_wrlock(tenure_thread *self, tenure_rwlock *rwlock);
/* True: taken. Never block. */
TENURE_API bool tenure_rwlock_tryrdlock(tenure_thread *self, tenure_rwlock *rwlock);
TENURE_API bool tenure_rwlock_trywrlock(tenure_thread *self, tenure_rwlock *rwlock);
/* As tenure_mutex_timedlock. */
TENURE_API tenure_status tenure_rwlock_timedrdlock(
    tenure_thread *self, tenure_rwlock *rwlock, const struct timespec *deadline);
TENURE_API tenure_status tenure_rwlock_timedwrlock(
    tenure_thread *self, tenure_rwlock *rwlock, const struct timespec *deadline);
/* Does not block; no safepoint. */
TENURE_API void tenure_rwlock_unlock(tenure_thread *self, tenure_rwlock *rwlock);

/* --- conditions --- */

typedef struct tenure_cond {
    pthread_cond_t native;
    tenure__lock lock;
} tenure_cond;
#define TENURE_COND_INIT(name)                              \
    {                                                       \
        PTHREAD_COND_INITIALIZER, TENURE__LOCK_INIT((name)) \
    }

/* TENURE_ENOMEM, TENURE_ESYSTEM. */
TENURE_API tenure_status tenure_cond_init(tenure_cond *cond, const char *name);
TENURE_API void tenure_cond_destroy(tenure_cond *cond);

/* Gives the mutex back, waits outside the stop set, takes the mutex again as tenure_mutex_lock does. Returns owning,
 * whatever it returns, and now and then without a signal. May block, may collect. TENURE_EDEADLK: the caller has
 * stopped the world, and nothing was waited for. A cancellation point, as waiting for a semaphore is: the thread's
 * handlers run outside of regions, owning the mutex. */
TENURE_API tenure_status tenure_cond_wait(tenure_thread *self, tenure_cond *cond, tenure_mutex *mutex);
/* The same until the deadline: TENURE_ETIMEDOUT; the mutex is waited for beyond it. */
TENURE_API tenure_status tenure_cond_timedwait(
    tenure_thread *self, tenure_cond *cond, tenure_mutex *mutex, const struct timespec *deadline);
/* Never block; any thread, attached or not. */
TENURE_API void tenure_cond_signal(tenure_cond *cond);
TENURE_API void tenure_cond_broadcast(tenure_cond *cond);

/* --- semaphores --- */

/* Nobody holds one: a program that keeps a semaphore in a heap object keeps the object itself between the calls. */
typedef struct tenure_sem {
    sem_t native;
    tenure__lock lock;
} tenure_sem;
#define TENURE_SEM_INIT(name)               \
    {                                       \
        { { 0 } }, TENURE__LOCK_INIT((name)) \
    }

/* TENURE_EINVAL: more than SEM_VALUE_MAX. */
TENURE_API tenure_status tenure_sem_init(tenure_sem *sem, const char *name, unsigned value);
TENURE_API void tenure_sem_destroy(tenure_sem *sem);
/* Never blocks; any thread. TENURE_ESYSTEM: the value would exceed SEM_VALUE_MAX. */
TENURE_API tenure_status tenure_sem_post(tenure_sem *sem);
/* As tenure_mutex_lock: a unit that is won while a stop is going on is given back until its end. Interrupted by signal
 * handlers it goes on waiting. */
TENURE_API tenure_status tenure_sem_wait(tenure_thread *self, tenure_sem *sem);
TENURE_API bool tenure_sem_trywait(tenure_thread *self, tenure_sem *sem);
TENURE_API tenure_status tenure_sem_timedwait(tenure_thread *self, tenure_sem *sem, const struct timespec *deadline);

#ifdef __cplusplus
}
#endif
#endif
