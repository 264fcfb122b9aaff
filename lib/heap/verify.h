/* Shared by the parts of the verifier: what is being verified, and how faults are told. Stopped world; nothing here
 * allocates or takes a lock. */
#ifndef TENURE_LIB_HEAP_VERIFY_H
#define TENURE_LIB_HEAP_VERIFY_H

#include "lib/heap/heap.h"

typedef struct tenure__verification {
    tenure_heap *heap;
    const char *when;
    bool may_trace, sound;
    bool silent;
    bool evacuating;  /* a full collection has chosen blocks that it will empty */
    uintptr_t object; /* whose references are being checked */
    const tenure__plan *plan;
    unsigned generation;
    bool covered; /* it is logged: any younger reference is allowed */
    bool remembered;
    bool cut;           /* a walk ended where a chunk is not yet used; behind it there are residents */
    uint64_t records;   /* that were met, have a target and are not due */
    bool weak_settled;  /* phases.c: ephemerons are settled */
    uint64_t pinned;    /* phases.c: granules of the block */
    uint64_t blocks[3]; /* that were met, by generation, small and large */
} tenure__verification;

/* Prints the first fault only: it tells most. */
__attribute__((format(printf, 2, 3))) void tenure__fault(tenure__verification *check, const char *format, ...);

/* Whether an object starts at that address; in Gen 0 blocks by walking. */
bool tenure__starts_object(tenure_heap *heap, uintptr_t address);

/* verify_lists.c: logs and the Gen 2->1 list against the objects' and blocks' flags; lists of blocks and the free ones;
 * the counters. After every block was found sound, and met; it uses the mark bits, which are all zero, and clears
 * them again. */
void tenure__verify_lists(tenure__verification *check);

#endif
