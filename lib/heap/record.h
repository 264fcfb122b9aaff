/* What the collector knows beside the graph of references: records, which are heap objects with words of its own in
 * them, and the tables that lead to them. */
#ifndef TENURE_LIB_HEAP_RECORD_H
#define TENURE_LIB_HEAP_RECORD_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <tenure/weak.h>

/* --- records: each is in one list, but for those whose target is gone --- */

typedef struct tenure__record {
    uintptr_t target; /* no reference to the tracer; written in stops */
    uintptr_t next;   /* in the list; likewise, and before by the thread that made it */
    uint64_t hash;    /* the target's identity hash, if the record is in a table; 0: it is not. Of watches and cleaners,
                       * which never are: the target's type. Of entries: 1 if they keep nothing */
} tenure__record;
static_assert(offsetof(tenure__record, target) == offsetof(tenure_weak, target), "tenure_weak_get reads it");

/* A record with something to run. While it is due its words (target, next, arg) are references. */
typedef struct tenure__action {
    tenure__record record;
    uintptr_t fn; /* 0: cancelled, or it ran; atomic */
    uintptr_t arg;
} tenure__action;

/* Weak references; those with a callback; finalizers; cleaners: actions from watches on. Entries of weak maps; the
 * maps, whose target is the map itself. */
enum {
    TENURE__CELLS,
    TENURE__WATCHES,
    TENURE__FINALIZERS,
    TENURE__CLEANERS,
    TENURE__ENTRIES,
    TENURE__MAPS,
    TENURE__RECORD_KINDS
};

typedef struct tenure__records {
    uintptr_t head, tail;
} tenure__records;

static inline tenure__record *tenure__record_at(uintptr_t address) { return (tenure__record *)address; }
static inline tenure__action *tenure__action_at(uintptr_t address) { return (tenure__action *)address; }

/* --- tables from an object to its record (record_table.c) --- */

/* Open addressing, keyed by identity hash, which does not change when the target moves: so a stop need not move
 * entries, and cannot run out of room. Each shard grows by itself, under its lock. */
enum { TENURE__RECORD_SHARDS = 64 };
typedef struct tenure__record_shard {
    pthread_mutex_t lock; /* running mutators, for short, never across a safepoint: so nobody holds it in a stop */
    struct tenure__record_entry {
        uint64_t hash;
        uintptr_t record; /* 0: free */
    } * entries;
    uint32_t capacity, count; /* capacity: a power of two, or 0 */
} tenure__record_shard;
typedef struct tenure__record_table {
    tenure__record_shard shards[TENURE__RECORD_SHARDS];
} tenure__record_table;

void tenure__record_table_init(tenure__record_table *table);
void tenure__record_table_destroy(tenure__record_table *table);
tenure__record_shard *tenure__record_shard_of(tenure__record_table *table, uint64_t hash);
tenure__record_shard *tenure__record_shard_lock(tenure__record_table *table, uint64_t hash);
void tenure__record_shard_unlock(tenure__record_shard *shard);
/* The record of that target; 0: none. Locked, or stopped. */
uintptr_t tenure__record_find(tenure__record_shard *shard, uint64_t hash, uintptr_t target);
/* False: no memory. Locked. */
bool tenure__record_add(tenure__record_shard *shard, uint64_t hash, uintptr_t record);
/* Stopped: the record has moved; its target or it is gone (now: 0). */
void tenure__record_moved(tenure__record_table *table, uint64_t hash, uintptr_t record, uintptr_t now);

/* --- weak maps (lib/collection/weakmap.h) --- */

typedef struct tenure__map_body tenure__map_body;
typedef struct tenure__map_record {
    tenure__record record;
    tenure__map_body *body;
} tenure__map_record;

typedef struct tenure__map_entry {
    tenure__record
        record;      /* target: the map; hash: 1 if other is no reference but an object that it hangs on as well */
    uintptr_t weak;  /* what it hangs on; written in stops */
    uintptr_t other; /* what it keeps; 0: nothing */
    _Atomic uintptr_t link;        /* as tenure__pending's */
    struct tenure__map_node *node; /* which leads to it; 0: no more. Atomic */
} tenure__map_entry;
/* A walk over a map's entries that a thread is in. */
typedef struct tenure__map_walk {
    tenure__map_body *body;
    uint32_t turn; /* in which it began */
    struct tenure__map_walk *outer;
} tenure__map_walk;
static inline bool tenure__entry_keeps(const tenure__map_entry *entry) { return entry->record.hash == 0; }

/* --- what is due (lib/collection/due.c, finalizer_run.c) --- */

typedef struct tenure__finalizers_state {
    uintptr_t due[3];         /* heads of lists by generation; lock, or stopped */
    pthread_mutex_t lock;     /* for a few loads and stores, by threads outside the stop set too */
    _Atomic uint32_t left;    /* due, or running; futex of those who wait for none */
    uint64_t run, slowest_ns; /* lock */
    const char *slowest_type; /* lock */
    void (*ready_fn)(void *); /* lock */
    void *ready_arg;
    _Atomic bool ready; /* something became due since the daemon looked */
    /* the thread */
    pthread_t thread;       /* daemon */
    _Atomic uint32_t state; /* none, runs, ended; futex */
    _Atomic uint32_t wake;  /* futex of the thread */
    _Atomic bool stops;
    _Atomic pid_t tid;          /* while it is attached, or about to be */
    tenure__record_table table; /* finalizers that were registered again, by their targets' hash */
} tenure__finalizers_state;

/* --- ephemerons (lib/collection/ephemeron.c) --- */

typedef struct tenure__pending {
    uintptr_t key, value;
    _Atomic uintptr_t
        link; /* 0 outside stops. In stops: while the key is not reached, the next one that waits, plus 1 */
} tenure__pending;
static_assert(offsetof(tenure__pending, key) == offsetof(tenure_ephemeron, key) &&
                  offsetof(tenure__pending, value) == offsetof(tenure_ephemeron, value),
    "tenure_ephemeron_key and _value read them");

/* The ephemerons, and entries of weak maps, that wait for their keys, in chains by the keys' addresses; empty outside
 * stops. */
typedef struct tenure__waiting {
    _Atomic uintptr_t *chains; /* 0: there never was an ephemeron */
    _Atomic uint64_t *touched; /* a bit for every 64 chains: some of them were used in this collection */
    unsigned log2;             /* of the number of chains */
    _Atomic uint64_t count;    /* who may wait: alive after the last collection, or made since */
    uint64_t alive[3];         /* by generation, after the last collection of it; stopped */
    uint64_t peak;             /* the count just before the last collection; written while stopped */
    pthread_mutex_t lock;      /* for changing their number: running mutators, as above */
} tenure__waiting;

#endif
