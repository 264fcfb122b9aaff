/* Weak maps and weak sets: tables whose entries go with what they hang on. Heap objects, like all others: list them as
 * fields, or root them.
 *
 * Reads take no lock and may run on any number of threads beside writers (liburcu's split-ordered table; Shalev and
 * Shavit, J. ACM 2006). An entry whose object has died is gone for every thread from the end of the stop that found
 * it dead; the daemon takes it out of the table later. A map that is unreachable lets go of all its entries.
 *
 * What a map holds outside the heap counts as external bytes (tenure/alloc.h). Who makes maps or entries faster than
 * the daemon frees what died waits for it, 10 ms a call at most. */
#ifndef TENURE_WEAKMAP_H
#define TENURE_WEAKMAP_H

#include <tenure/thread.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tenure_weakmap tenure_weakmap;
typedef struct tenure_weakset tenure_weakset;

typedef enum tenure_weakness {
    TENURE_WEAK_KEYS,   /* an entry keeps its value while the key is reachable otherwise (an ephemeron) */
    TENURE_WEAK_VALUES, /* an entry keeps its key while the value is reachable otherwise */
    TENURE_WEAK_BOTH    /* an entry keeps nothing, and goes with either */
} tenure_weakness;

/* key: one of the map, or a probe, which need not be a heap object. No safepoint, no call of the map's own. */
typedef uint64_t tenure_hash_fn(const void *key, void *arg);
typedef bool tenure_equal_fn(const void *key, const void *probe, void *arg);

/* hash NULL: keys are the same if they are one object (equal is not used). May collect. NULL and errno ENOMEM. */
TENURE_API tenure_weakmap *tenure_weakmap_new(
    tenure_thread *self, tenure_weakness weakness, tenure_hash_fn *hash, tenure_equal_fn *equal, void *arg);

/* The value of that key, from here on an ordinary reference; NULL: none. No safepoint, no lock. */
TENURE_API void *tenure_weakmap_get(tenure_thread *self, tenure_weakmap *map, const void *probe);
/* Sets the value (not NULL) of the key; an equal key that was there is replaced by this one, on which the entry hangs
 * from now on. What the entry hangs on, and keys by identity, are objects of self's heap; what else it keeps may be
 * anything. May collect. TENURE_ENOMEM: the map is as it was. */
TENURE_API tenure_status tenure_weakmap_put(tenure_thread *self, tenure_weakmap *map, void *key, void *value);
/* The value that is there, or else this one, put: of threads that race one wins, and all get its value. May collect.
 * NULL and errno ENOMEM. */
TENURE_API void *tenure_weakmap_put_if_absent(tenure_thread *self, tenure_weakmap *map, void *key, void *value);
/* Whether there was one. No safepoint. */
TENURE_API bool tenure_weakmap_remove(tenure_thread *self, tenure_weakmap *map, const void *probe);
/* Entries; what died since the last collection counts until the next. */
TENURE_API size_t tenure_weakmap_count(tenure_thread *self, const tenure_weakmap *map);
/* Calls fn for every entry until it returns false. fn may collect, and change the map: what is put or removed
 * meanwhile may be seen or not, everything else is seen once; it returns (no longjmp, no pthread_exit). Polls between
 * entries; may block, may collect. */
typedef bool tenure_weakmap_fn(tenure_thread *self, void *key, void *value, void *arg);
TENURE_API void tenure_weakmap_each(tenure_thread *self, tenure_weakmap *map, tenure_weakmap_fn *fn, void *arg);

/* Sets: the members are weak. _get returns the member that is equal to the probe, _put_if_absent the winner
 * (interning), _put replaces an equal member; otherwise as maps. */
TENURE_API tenure_weakset *tenure_weakset_new(
    tenure_thread *self, tenure_hash_fn *hash, tenure_equal_fn *equal, void *arg);
TENURE_API void *tenure_weakset_get(tenure_thread *self, tenure_weakset *set, const void *probe);
TENURE_API tenure_status tenure_weakset_put(tenure_thread *self, tenure_weakset *set, void *member);
TENURE_API void *tenure_weakset_put_if_absent(tenure_thread *self, tenure_weakset *set, void *member);
TENURE_API bool tenure_weakset_remove(tenure_thread *self, tenure_weakset *set, const void *probe);
TENURE_API size_t tenure_weakset_count(tenure_thread *self, const tenure_weakset *set);
typedef bool tenure_weakset_fn(tenure_thread *self, void *member, void *arg);
TENURE_API void tenure_weakset_each(tenure_thread *self, tenure_weakset *set, tenure_weakset_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif
#endif
