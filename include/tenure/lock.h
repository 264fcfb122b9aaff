/* Locks that the collector knows of: pthread's, made aware. None of them ever holds up a stop.
 *
 * Uncontended, a lock is pthread's try-lock and a note of who holds it. Contended, the thread waits outside the stop
 * set; if a stop is going on when it gets the lock, it gives it back, waits for the stop's end and tries again: nobody
 * parks inside a lock call owning the lock.
 *
 * All of them may live in heap objects: while a thread holds one or waits for one, the object stays where it is and
 * lives. Zeroed memory is a free lock of every kind (a semaphore of value 0), without a name. A name has to live as long
 * as the lock; locks of the same name are one in the statistics.
 *
 * self is the calling thread's record in any heap, or NULL when the thread is attached to none; a lock may be taken
 * with one record and given back with another of the same thread. Inside a blocking region they work as pthread's do.
 * All deadlines are absolute times of CLOCK_MONOTONIC.
 *
 * Between tenure_stop_world and tenure_resume_world a lock that a thread of the stopped heap holds cannot be waited for:
 * TENURE_EDEADLK, as for a lock that the caller holds itself. Semaphores and conditions give it whenever they would have
 * to wait. Giving back what the caller does not hold aborts.
 *
 * None of them is robust: if a thread ends while it holds one, the lock stays taken. (The interposer hands EOWNERDEAD of
 * a robust pthread mutex to its caller, owning, as POSIX says.) */
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

/* What the debug option check=locks watches; set before the lock is used. Rank: a thread takes locks in rising order of
 * rank, 0 takes no part. TENURE_LOCK_NO_GC: whoever holds it does not allocate and does not poll. */
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

#ifdef __cplusplus
}
#endif
#endif
