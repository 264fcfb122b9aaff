/* Looking into the heap: the stop in which it is looked at, and the walk over its objects.
 *
 * Whoever looks runs on a pool thread: custom types' trace functions may be called there, and the stack is deep. It
 * writes into memory that was mapped for it and calls nothing of the program's but trace functions and root callbacks;
 * what was found is delivered when the world runs again. */
#ifndef TENURE_LIB_INSPECT_INSPECT_H
#define TENURE_LIB_INSPECT_INSPECT_H

#include "lib/heap/heap.h"
#include "threads/system.h"
#include <tenure/inspect.h>

/* Stops the world, makes every block walkable and runs look(heap, arg) on a pool thread; before that, prepare(heap,
 * arg) (may be NULL) on the caller, when the size of the heap does not change any more: its status ends it.
 * TENURE_EDEADLK as tenure_stop_world. Attached callers outside of regions; may block; also within a stop that the
 * caller owns. */
typedef tenure_status tenure__prepare_fn(tenure_heap *heap, void *arg);
typedef void tenure__look_fn(tenure_heap *heap, void *arg);
tenure_status tenure__inspect(tenure_thread *self, tenure__prepare_fn *prepare, tenure__look_fn *look, void *arg);

/* Calls fn for every object, dead ones that were not collected yet included. As look. */
typedef void tenure__walk_fn(void *arg, uintptr_t object);
void tenure__walk(tenure_heap *heap, tenure__walk_fn *fn, void *arg);

/* As tenure__each_reference, and for a weak map its entries, whose slots lie outside the heap. As look. */
void tenure__each_edge(tenure_heap *heap, uintptr_t object, tenure__reference_fn *fn, void *arg);

/* More than the number of objects that the heap holds now. */
static inline size_t tenure__objects_bound(const tenure_heap *heap)
{
    return (size_t)atomic_load_explicit(&heap->used_blocks, memory_order_relaxed) * TENURE__GRANULES + 1;
}
/* The generation of the object's place. */
static inline unsigned tenure__generation(const tenure_heap *heap, uintptr_t object)
{
    const uint64_t header = tenure__header_load(object);
    return header & TENURE__LARGE ? tenure__kind_generation(tenure__kind_of(heap, tenure__block_index(heap, object)))
                                  : tenure__header_generation(header);
}

/* Bytes of the cell, or of the blocks of a large object. */
static inline uint64_t tenure__occupied_bytes(const tenure_heap *heap, uintptr_t object, uint64_t header)
{
    if ((header & TENURE__LARGE) == 0) return (uint64_t)tenure__header_granules(header) * 16;
    return (uint64_t)heap->blocks[tenure__run_head(heap, tenure__block_index(heap, object))].run_blocks
           << TENURE__BLOCK_SHIFT;
}

/* What was found is a root until it is forgotten: it moves with its objects. In prepare; after the stop. */
void tenure__found_add(tenure_heap *heap, tenure__found *found);
void tenure__found_forget(tenure_heap *heap, tenure__found *found);
/* In a forked child: what other threads were told of is no root any more. */
void tenure__found_forked(tenure_heap *heap);

#endif
