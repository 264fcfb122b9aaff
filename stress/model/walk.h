/* The walk over the shadows that compares them with the heap; the world is stopped.
 *
 * It has two parts. What the program holds is strong, and what that leads to: of weak things whose target is strong,
 * all must be there. What is due, and what its finalizer will see, is met after that: whether something weak was
 * cleared when its target fell due, or leads to it still, depends on collections that nobody saw. */
#ifndef MODEL_WALK_H
#define MODEL_WALK_H

#include "stress/model/model.h"

/* From a word that is not 0 to a pointer; open addressing. */
typedef struct table {
    struct {
        uint64_t key;
        void *value;
    } * cells;
    size_t capacity, count;
} table;
void table_put(table *into, uint64_t key, void *value);
void *table_get(const table *from, uint64_t key);

typedef struct walk {
    thread *t;
    shadow **stack, **seen;
    size_t top, count, capacity; /* of both */
    uint64_t bytes;
    bool collected; /* everything, just now */
    bool exact;     /* and nothing lives but what should */
    bool strong;    /* the first part */
    table addresses; /* shadows */
    table deaths;    /* by what tells them from each other */
    size_t internal; /* objects of the library's own that may be there */
    size_t extra;    /* that are, and are no shadow's */
    size_t visited;
} walk;

void walk_meet(walk *w, shadow *target, void *object, const char *from);
void walk_trace(walk *w);
/* The shadow that was met at that address. */
shadow *walk_find(const walk *w, uintptr_t address);
static inline bool is_seen(const shadow *of) { return of != NULL && of->epoch == the_model.epoch; }
static inline bool is_strong(const shadow *of) { return of != NULL && of->strong == the_model.epoch; }
/* "object 7 (node, 0 elements)" */
typedef struct named {
    char text[96];
} named;
named walk_name(const shadow *of);

/* deaths.c: what is registered keeps its argument, and its cleaner; what is due its targets; a watch its argument. */
void deaths_walk_registered(walk *w);
void deaths_walk_due(walk *w);
/* After all that: what is registered and not due lives. */
void deaths_walk_targets(walk *w);
void deaths_walk_watch(walk *w, const shadow *of);
/* All were found where they should be. Then those whose time is over are forgotten. */
void deaths_check(walk *w);

/* maps.c: entries that must be there, because of what was met so far, keep the rest; then whether all are. */
void maps_walk(walk *w);
void maps_check(walk *w);
void maps_free(shadow *of);

#endif
