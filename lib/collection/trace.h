/* The tracer of every collection: copies what is condemned and may move, marks what is marked in place, and follows
 * references from there. One promotion queue a worker; packets of it for whoever is hungry. Stopped world only. */
#ifndef TENURE_LIB_COLLECTION_TRACE_H
#define TENURE_LIB_COLLECTION_TRACE_H

#include "lib/heap/heap.h"

/* What to do with a reference, by the kind of its target's block. */
enum {
    TENURE__ACTION_NONE,
    TENURE__ACTION_MOVE, /* copy, unless it is pinned */
    TENURE__ACTION_MARK, /* set the mark bit; scan if it was not set */
    TENURE__ACTION_MARK_LEAF,
    TENURE__ACTION_LARGE /* claim by STAYS */
};

/* Entries of work lists and logs: an address with a tag in the low three bits. */
enum {
    TENURE__ENTRY_SLOT = 0,
    TENURE__ENTRY_PIECE = 1,      /* of a large object: scan 8 KiB from here, then the next piece */
    TENURE__ENTRY_OBJECT = 2,     /* scan it */
    TENURE__ENTRY_LOGGED = 3,     /* an older object that was stored into */
    TENURE__ENTRY_CARDS = 4,      /* a block of a large object with dirty cards */
    TENURE__ENTRY_REMEMBERED = 5, /* a Gen 2 object on the Gen 2->1 list */
    TENURE__ENTRY_CARDS_OLD = 6,  /* a block with remembered cards */
    TENURE__ENTRY_AGAIN = 7,      /* an object, older or not, that has something to follow since it was scanned */
    TENURE__ENTRY_TAG = 7,
    /* One bit more: objects are 16-aligned, and an entry without a tag is a slot, which need not be. */
    TENURE__ENTRY_REACH_BIT = 8,
    TENURE__ENTRY_REACH = 9, /* an object of a block that is marked in place: mark it, and scan it if it was not */
    TENURE__ENTRY_REACH_LEAF = 10, /* the same, and there is nothing to scan */
    TENURE__ENTRY_REACH_TAG = 15
};

struct tenure_visitor {
    tenure__worker worker;
};

/* Fills heap->action for this collection (condemned, marking). */
void tenure__trace_prepare(tenure_heap *heap);

/* Where the object is if it survives as far as is known: it was reached, or is not collected; 0: neither. */
static inline uintptr_t tenure__survivor(const tenure_heap *heap, uintptr_t object)
{
    const uint32_t block = tenure__block_index(heap, object);
    switch (heap->action[tenure__kind_of(heap, block)]) {
    case TENURE__ACTION_MOVE: {
        /* acquire: pairs with the release of whoever forwarded it. */
        const uint64_t header = atomic_load_explicit(tenure__header_of(object), memory_order_acquire);
        if ((header & TENURE__HEADER) == 0) return (uintptr_t)header;
        return (header & TENURE__STAYS) != 0 || (int)tenure__header_generation(header) > heap->condemned ? object : 0;
    }
    case TENURE__ACTION_MARK:
    case TENURE__ACTION_MARK_LEAF:
        return tenure__bit_get(tenure__bits_of(heap->mark, block), tenure__granule_of(object)) ? object : 0;
    case TENURE__ACTION_LARGE:
        return (tenure__header_load(object) & TENURE__STAYS) != 0 ? object : 0;
    default:
        return object;
    }
}

/* One precise reference outside the heap, now. */
void tenure__trace_slot(tenure__worker *worker, uintptr_t *slot);
/* Queues an entry. */
void tenure__trace_push(tenure__worker *worker, uintptr_t entry);
/* Invites helpers into the phase. Before the first the leader is alone, and needs no atomic operations. */
void tenure__trace_invite(tenure__worker *worker, unsigned helpers, bool need_pool);
/* Works until no worker has any work left. */
void tenure__trace_drain(tenure__worker *worker);

/* Pins the object: it does not move in this collection; live: it is alive and will be scanned. Before anything is
 * copied. */
void tenure__pin_object(tenure__worker *worker, uintptr_t object, bool live);
/* The same for whatever an ambiguous word may point to. */
void tenure__pin_word(tenure__worker *worker, uintptr_t word, bool live);

/* After a work list or a log overflowed: scans what is alive in the blocks that say RESCAN. One worker, may_trace. */
void tenure__trace_rescan(tenure__worker *worker);

/* The generation that objects which stay in (or are copied to) that block have after this collection. */
unsigned tenure__final_generation(const tenure_heap *heap, uint32_t block);

/* buffers.c: makes room for so many granules in the buffer; false: there is no memory. The buffer's worker. */
bool tenure__buffer_open(tenure__worker *worker, tenure__buffer *buffer, unsigned sort, unsigned granules);
/* Closes the buffers of a generation: their blocks are nobody's. Leader, no phase going on. */
void tenure__buffers_close(tenure_heap *heap, unsigned generation);

#endif
