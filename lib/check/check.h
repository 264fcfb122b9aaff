/* What finds faults of the collector and of the program that uses it, in heaps that ask for it by options. */
#ifndef TENURE_LIB_CHECK_CHECK_H
#define TENURE_LIB_CHECK_CHECK_H

#include "lib/heap/verify.h"

/* --- phases.c: verify= --- */

typedef enum tenure__moment {
    TENURE__BEFORE,       /* a quiet heap, but that mutators have chunks and logs */
    TENURE__PREPARED,     /* the same without; a full collection has chosen blocks to empty */
    TENURE__ALL_PINNED,   /* nothing is forwarded; what may not move has bits, and its block keeps it */
    TENURE__TRACED,       /* no work is left; what survives refers to nothing that was left behind */
    TENURE__WEAK_SETTLED, /* nor do ephemerons and records */
    TENURE__AFTER         /* a quiet heap */
} tenure__moment;

/* Aborts, after it printed the fault, if the options want that moment verified and something is wrong. Leader, stopped,
 * between the phases. */
void tenure__check_phase(tenure_heap *heap, tenure__moment moment, bool may_trace);

/* --- walk.c: the heap between the phases --- */

/* Calls fn for every object that has a bit, and every large one; in Gen 0 blocks these are residents and what is pinned
 * or stays. Its header may be a forwarding address. */
void tenure__walk_bits(tenure_heap *heap, tenure__verification *check,
    void (*fn)(tenure__verification *check, uintptr_t object, uint32_t block));
/* The same for one block of small objects. */
void tenure__walk_block(tenure_heap *heap, uint32_t block, tenure__verification *check,
    void (*fn)(tenure__verification *check, uintptr_t object, uint32_t block));
/* Calls fn for every cell of the Gen 0 block, but for fillers; as above. */
void tenure__walk_cells(tenure_heap *heap, uint32_t block, tenure__verification *check,
    void (*fn)(tenure__verification *check, uintptr_t object, uint32_t block));

#endif
