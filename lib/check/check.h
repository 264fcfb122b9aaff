/* What finds faults of the collector and of the program that uses it, in heaps that ask for it by options. */
#ifndef TENURE_LIB_CHECK_CHECK_H
#define TENURE_LIB_CHECK_CHECK_H

#include "lib/heap/verify.h"
#include "threads/report.h"

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

/* --- checks.c: the memory beside the heap; sites.c: who allocated what --- */

/* What the options' check= asks for; check=roots changes the options accordingly. TENURE_ENOMEM. */
tenure_status tenure__checks_create(tenure_heap *heap);
void tenure__checks_destroy(tenure_heap *heap);
/* The object was allocated just now. Its owner; every allocation comes here. */
void tenure__site_note(tenure_heap *heap, uintptr_t object);
static inline tenure__site *tenure__site_of(const tenure_heap *heap, uintptr_t object)
{
    return &heap->checks.sites[(object - heap->base) / 16];
}
/* The last object that was allocated where the address lies, or before it in the same block; 0: unknown. */
uintptr_t tenure__site_find(const tenure_heap *heap, uintptr_t address);
/* "allocated in f+0x12 (prog+0x3456)"; nothing if it is not known. */
void tenure__site_print(const tenure_heap *heap, uintptr_t object, tenure__text *text);
/* After all tracing: what is known of an object goes with it. Leader, stopped. */
void tenure__sites_moved(tenure_heap *heap);

/* --- barriers.c: check=barriers. Leader, stopped --- */

/* Aborts if some older object's references changed and no log tells. Before a collection. */
void tenure__barriers_check(tenure_heap *heap);
/* After a collection: the references of all older objects. */
void tenure__barriers_remember(tenure_heap *heap);

/* --- uses.c: reports of uses of what is no more --- */

/* Of this heap they say what was there, from now on, until it is destroyed. */
void tenure__uses_watch(tenure_heap *heap);
void tenure__uses_unwatch(tenure_heap *heap);
/* The watched heap whose arena has the address; NULL: none. */
const tenure_heap *tenure__uses_heap(uintptr_t address);
/* "a node was at 0x10, has moved to 0x20, and is dead; allocated in f+0x12 (prog+0x3456)" */
void tenure__uses_describe(const tenure_heap *heap, uintptr_t address, tenure__text *text);

/* --- roots.c: check=roots --- */

/* Faults in vacated blocks of watched heaps are told from now on. */
void tenure__stale_catch(void);
/* Free blocks that nobody may access any more, linked through next; a free run. Stopped. */
void tenure__vacate(tenure_heap *heap, uint32_t first, uint32_t count);
void tenure__vacate_run(tenure_heap *heap, uint32_t head, uint32_t blocks);
/* Access again, for who takes them; false: the system refuses. */
bool tenure__vacated_open(tenure_heap *heap, uint32_t block, uint32_t count);
/* All vacated blocks may be taken, the one that was vacated first before the others. */
void tenure__vacated_release(tenure_heap *heap);

/* --- walk.c: the heap between the phases --- */

/* Calls fn for every object that has a bit, and every large one; in Gen 0 blocks these are residents and what is pinned
 * or stays. Its header may be a forwarding address. */
void tenure__walk_bits(tenure_heap *heap, tenure__verification *check,
    void (*fn)(tenure__verification *check, uintptr_t object, uint32_t block));
/* The same for one block of small objects. */
void tenure__walk_block(tenure_heap *heap, uint32_t block, tenure__verification *check,
    void (*fn)(tenure__verification *check, uintptr_t object, uint32_t block));
/* Calls fn for everything that is condemned, survives or not, and may call it for others and twice. */
void tenure__walk_condemned(tenure_heap *heap, tenure__verification *check,
    void (*fn)(tenure__verification *check, uintptr_t object, uint32_t block));
/* Calls fn for every cell of the Gen 0 block, but for fillers; as above. */
void tenure__walk_cells(tenure_heap *heap, uint32_t block, tenure__verification *check,
    void (*fn)(tenure__verification *check, uintptr_t object, uint32_t block));

#endif
