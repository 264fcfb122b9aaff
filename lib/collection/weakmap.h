/* Weak maps, between those who use them, the collections that find entries dead, and the daemon that looks after the
 * tables. An entry is a heap object; what is in the table is a node outside the heap, which leads to its entry. */
#ifndef TENURE_LIB_COLLECTION_WEAKMAP_H
#define TENURE_LIB_COLLECTION_WEAKMAP_H

#include "lib/collection/trace.h"
#include <tenure/weakmap.h>

struct tenure__map_body {
    struct cds_lfht *table;
    tenure_hash_fn *hash; /* NULL: by identity */
    tenure_equal_fn *equal;
    void *arg;
    tenure_weakness weakness;
    _Atomic uint64_t count;    /* entries */
    _Atomic uint64_t nodes;    /* in the table */
    _Atomic uint64_t buckets;  /* daemon */
    _Atomic uint32_t walks[2]; /* that are going on, by the turn in which they began */
    _Atomic uint32_t turn;     /* 0 or 1; daemon, to write */
    _Atomic bool queued;       /* to be enlarged; daemon */
    tenure__map_body *next;    /* there */
    tenure__map_body *next_dead;
    /* daemon: nodes out of the table that a walk may stand on; those before the turn changed last, those since */
    struct tenure__map_node *before, *since;
    bool waits; /* some are left */
    tenure__map_body *next_waiting;
};

typedef struct tenure__map_node {
    struct cds_lfht_node link;
    /* The entry; 0: it died or was removed, and stays so. Written by exchange against what is there, or in stops. */
    _Atomic uintptr_t entry;
    tenure__map_body *body;
    union {
        struct tenure__map_node *next; /* of those that wait for the daemon, or for walks */
        struct rcu_head retired;
    };
} tenure__map_node;

/* Memory outside the heap counts as the program's external bytes: a map's from new to free, with all its buckets; a
 * node's until no walk can stand on it. */
uint64_t tenure__map_bytes(const tenure__map_body *body);
/* Before more of it is taken: waits for a daemon that is late with what died. May collect. */
void tenure__maps_give_way(tenure_heap *heap);

/* What the entry still waits for before it is alive: a map or an object that was not reached; 0: nothing. */
uintptr_t tenure__entry_awaits(const tenure_heap *heap, uintptr_t entry);
/* Whether it lacks nothing but its map. */
bool tenure__entry_awaits_map(const tenure_heap *heap, uintptr_t entry);
/* All that it hangs on was reached: it is alive. The worker that found out. */
void tenure__entry_reached(tenure__worker *worker, uintptr_t entry);
/* Something that it hangs on was not reached: its node leads nowhere from now on. Leader, after tracing. */
void tenure__entry_clear(tenure_heap *heap, uintptr_t entry);

/* Entries that a collection looks at: what lives already is followed, the others wait. Leader, with the roots. */
void tenure__entries_trace(tenure__worker *worker);
/* After all tracing and clearing: lets go of entries that were cleared, and of maps that were not reached. Leader,
 * stopped. */
void tenure__maps_settle(tenure_heap *heap);

/* Calls fn for the word of every node that leads to an entry: what the map keeps, with what the entry hangs on. In a
 * stop, for lib/inspect/; fn does not begin a read-side section. */
void tenure__map_each_entry(uintptr_t map, tenure__reference_fn *fn, void *arg);

/* A node was added to the map, and counted before. Running mutators. */
void tenure__map_grown(tenure_heap *heap, tenure__map_body *body);
/* Out of the table with it, if it is still there. Whoever made its entry go, or the daemon; a read-side section. */
void tenure__map_node_unlink(tenure__map_node *node);
/* Lets go of the node: its entry is gone. Whoever made it so. */
void tenure__map_node_retire(tenure_heap *heap, tenure__map_node *node);

/* Unlinks nodes that died in stops, frees dead nodes and maps, enlarges tables. Daemon; and at the heap's end, for all
 * maps. */
void tenure__maps_upkeep(tenure_heap *heap);
bool tenure__maps_wait_for_upkeep(const tenure_heap *heap);
void tenure__maps_destroy(tenure_heap *heap);
/* In a forked child: only the caller's walks go on. */
void tenure__maps_forked(tenure_heap *heap);

#endif
