/* From an address to the object that it points into. Old blocks have a bit for every object; Gen 0 blocks are walked
 * from the first cell of the address's window (the slow path of allocation notes it). */
#include "lib/heap/heap.h"

/* Of a cell that has bits, also when its header is gone. */
static unsigned granules_by_ends(tenure_heap *heap, uint32_t block, unsigned start)
{
    const tenure__bits *ends = tenure__bits_of(heap->ends, block);
    unsigned end = start;
    while (end < TENURE__GRANULES - 1 && !tenure__bit_get(ends, end)) end++;
    return end - start + 1;
}

/* In a stop the cell's header may be a forwarding address already. Then the copy tells, less the granule that the move
 * may have appended: but not of a resident, which may have had a stored hash before; it has bits. */
unsigned tenure__cell_granules(tenure_heap *heap, uint32_t block, unsigned at)
{
    const uintptr_t object = tenure__block_start(heap, block) + (uintptr_t)at * 16;
    /* acquire: pairs with the release of the worker that forwarded it; the copy's header is written. */
    const uint64_t header = atomic_load_explicit(tenure__header_of(object), memory_order_acquire);
    if (header == 0) return 0;
    if (header & TENURE__HEADER) return tenure__header_granules(header);
    if (tenure__bit_get(tenure__bits_of(heap->live, block), at)) return granules_by_ends(heap, block, at);
    return tenure__header_payload_granules(tenure__header_load((uintptr_t)header));
}

static bool is_filler(uintptr_t object)
{
    const uint64_t header = tenure__header_load(object);
    return (header & TENURE__HEADER) != 0 && tenure__header_type(header) == TENURE__TYPE_FILLER;
}

/* The cell of a Gen 0 block that covers the granule (counted as objects' granules are), as its object; 0: none. */
static uintptr_t walk_to(tenure_heap *heap, uint32_t block, unsigned granule)
{
    const uintptr_t start = tenure__block_start(heap, block);
    unsigned at = 1;
    if ((tenure__flags_of(&heap->blocks[block]) & TENURE__BLOCK_RESIDENTS) == 0) {
        unsigned window = granule / (TENURE__GRANULES / TENURE__WINDOWS);
        for (;; window--) {
            const unsigned first = __atomic_load_n(&heap->blocks[block].first[window], __ATOMIC_RELAXED);
            if (first != 0 && first <= granule) {
                at = first;
                break;
            }
            if (window == 0) break;
        }
    }
    while (at <= granule && at < TENURE__GRANULES) {
        const uintptr_t object = start + (uintptr_t)at * 16;
        const unsigned granules = tenure__cell_granules(heap, block, at);
        if (granules == 0) return 0;
        if (granule < at + granules) return is_filler(object) ? 0 : object;
        at += granules;
    }
    return 0;
}

static uintptr_t old_object_at(tenure_heap *heap, uint32_t block, unsigned granule)
{
    const unsigned start = tenure__bit_before(tenure__bits_of(heap->live, block), granule);
    if (start == 0) return 0;
    const uintptr_t object = tenure__block_start(heap, block) + (uintptr_t)start * 16;
    const uint64_t header = atomic_load_explicit(tenure__header_of(object), memory_order_acquire);
    const unsigned granules =
        header & TENURE__HEADER ? tenure__header_granules(header) : granules_by_ends(heap, block, start);
    return granule < start + granules ? object : 0;
}

static uintptr_t object_of_granule(tenure_heap *heap, uint32_t block, unsigned granule)
{
    const uint8_t kind = tenure__kind_of(heap, block);
    if ((kind & TENURE__KIND_GENERATION) == 0 || granule == 0) return 0;
    /* Residents of a Gen 0 block have bits; a walk might not reach them, it ends where a chunk is not yet used. */
    const uintptr_t old = old_object_at(heap, block, granule);
    return old == 0 && tenure__kind_generation(kind) == 0 ? walk_to(heap, block, granule) : old;
}

uintptr_t tenure__find_object(tenure_heap *heap, uintptr_t address)
{
    if (!tenure__in_arena(heap, address)) return 0;
    const uint32_t block = tenure__block_index(heap, address);
    const uint8_t kind = tenure__kind_of(heap, block);
    if ((kind & TENURE__KIND_GENERATION) == 0) return 0;
    if (kind & (TENURE__KIND_HEAD | TENURE__KIND_TAIL)) {
        const uint32_t head = tenure__run_head(heap, block);
        const uintptr_t object = tenure__run_object(heap, head);
        return address >= object - 8 && address <= object + heap->blocks[head].large_bytes ? object : 0;
    }
    /* A header's address is also one past the end of the object before: the object before is found here. */
    return object_of_granule(heap, block, tenure__granule_of(address));
}

uintptr_t tenure__find_header_neighbour(tenure_heap *heap, uintptr_t address)
{
    if ((address & 15) < 8 || !tenure__in_arena(heap, address)) return 0;
    const uint32_t block = tenure__block_index(heap, address);
    const uint8_t kind = tenure__kind_of(heap, block);
    if ((kind & (TENURE__KIND_HEAD | TENURE__KIND_TAIL)) != 0) return 0;
    const unsigned granule = tenure__granule_of(address) + 1;
    if (granule == TENURE__GRANULES) return 0;
    const uintptr_t object = object_of_granule(heap, block, granule);
    return object == tenure__block_start(heap, block) + (uintptr_t)granule * 16 ? object : 0;
}

uintptr_t tenure__find_old_owner(tenure_heap *heap, uintptr_t slot)
{
    if (!tenure__in_arena(heap, slot)) return 0;
    const uint32_t block = tenure__block_index(heap, slot);
    const uint8_t kind = tenure__kind_of(heap, block);
    if ((kind & TENURE__KIND_GENERATION) == 0) return 0;
    if (kind & (TENURE__KIND_HEAD | TENURE__KIND_TAIL)) {
        const uint32_t head = tenure__run_head(heap, block);
        return tenure__kind_generation(kind) != 0 ? tenure__run_object(heap, head) : 0;
    }
    /* In a Gen 0 block only residents have bits. */
    return old_object_at(heap, block, tenure__granule_of(slot));
}

void *tenure_object_at(tenure_heap *heap, const void *p) { return (void *)tenure__find_object(heap, (uintptr_t)p); }

void tenure__require_object(tenure_thread *self, const void *object, const char *call)
{
    if (!tenure__in_arena(self->heap, (uintptr_t)object))
        tenure__misuse(call, "the object must be one of the thread's heap");
#ifndef NDEBUG
    if (tenure__find_object(self->heap, (uintptr_t)object) != (uintptr_t)object)
        tenure__misuse(call, "the object must be an object's start");
#endif
}
