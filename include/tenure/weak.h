/* Weak references and ephemerons. Both are heap objects: list them as fields, or root them, like any other.
 *
 * A weak reference does not keep its target. In the stop that finds the target unreachable all weak references to it
 * are cleared at once, for all threads, before any finalizer runs; whether they are reachable themselves does not
 * matter. An ephemeron keeps its value as long as its key is reachable otherwise (Hayes, OOPSLA 1997): the value may
 * refer to the key, or to the keys of other ephemerons, and all die together. */
#ifndef TENURE_WEAK_H
#define TENURE_WEAK_H

#include <tenure/thread.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is inlined reads these fields; the rest is private. */
typedef struct tenure_weak {
    void *target; /* written in stops only */
} tenure_weak;

/* A weak reference to target, an object of self's heap. An object's weak references share: the second and all later
 * ones that are made while they live are one object. May collect. NULL and errno ENOMEM. */
TENURE_API tenure_weak *tenure_weak_new(tenure_thread *self, void *target);

/* The target, from here on an ordinary reference, or NULL when it was cleared. A load, no safepoint: what it returned
 * stays valid as any local does. Orders nothing. */
static inline void *tenure_weak_get(tenure_thread *self, const tenure_weak *weak)
{
    (void)self;
    /* relaxed: only stops write it, and who comes back from one has acquired what it wrote. */
    return __atomic_load_n(&weak->target, __ATOMIC_RELAXED);
}

typedef struct tenure_ephemeron {
    void *key, *value; /* cleared in stops, both at once */
} tenure_ephemeron;

/* key: an object of self's heap; value: anything. Registers nothing: an ephemeron that nobody reaches costs nothing.
 * May collect. NULL and errno ENOMEM. */
TENURE_API tenure_ephemeron *tenure_ephemeron_new(tenure_thread *self, void *key, void *value);

/* NULL when the key has died. As tenure_weak_get. */
static inline void *tenure_ephemeron_key(tenure_thread *self, const tenure_ephemeron *ephemeron)
{
    (void)self;
    return __atomic_load_n(&ephemeron->key, __ATOMIC_RELAXED);
}
static inline void *tenure_ephemeron_value(tenure_thread *self, const tenure_ephemeron *ephemeron)
{
    (void)self;
    return __atomic_load_n(&ephemeron->value, __ATOMIC_RELAXED);
}

#ifdef __cplusplus
}
#endif
#endif
