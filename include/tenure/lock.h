/* Locks that the collector knows of: pthread's, made aware. May live in heap objects (waiters and holders pin them). */
#ifndef TENURE_LOCK_H
#define TENURE_LOCK_H

#include <tenure/safepoint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed memory is an unlocked, unnamed mutex. */
typedef struct tenure_mutex {
    pthread_mutex_t native;
    const char *name;
} tenure_mutex;
#define TENURE_MUTEX_INIT(name)           \
    {                                     \
        PTHREAD_MUTEX_INITIALIZER, (name) \
    }

/* TENURE_ENOMEM, TENURE_ESYSTEM. */
TENURE_API tenure_status tenure_mutex_init(tenure_mutex *mutex, const char *name);
TENURE_API void tenure_mutex_destroy(tenure_mutex *mutex);

/* Uncontended: a try-lock. Contended: waits outside the stop set; if a stop is pending when it gets the mutex, it
 * unlocks, parks and tries again, so that nobody parks inside lock() owning it. May block, may collect. Returns owning.
 */
TENURE_API void tenure_mutex_lock(tenure_thread *self, tenure_mutex *mutex);
/* True: taken. Never blocks. */
TENURE_API bool tenure_mutex_trylock(tenure_thread *self, tenure_mutex *mutex);
TENURE_API void tenure_mutex_unlock(tenure_thread *self, tenure_mutex *mutex);

typedef struct tenure__lock_scope {
    tenure_thread *self;
    tenure_mutex *mutex;
} tenure__lock_scope;
static inline tenure__lock_scope tenure__scope_lock(tenure_thread *self, tenure_mutex *mutex)
{
    tenure__lock_scope scope = { self, mutex };
    tenure_mutex_lock(self, mutex);
    return scope;
}
static inline void tenure__scope_lock_end(tenure__lock_scope *scope) { tenure_mutex_unlock(scope->self, scope->mutex); }

/* Holds the mutex to the end of the enclosing block, however it is left. */
#define TENURE_LOCK_SCOPE(self, mutex)                                                          \
    __attribute__((cleanup(tenure__scope_lock_end), unused)) tenure__lock_scope TENURE__CONCAT( \
        tenure__lock_, __COUNTER__) = tenure__scope_lock(self, mutex)

#ifdef __cplusplus
}
#endif
#endif
