/* Walks over the heap while a collection is under way: headers may be forwarding addresses. */
#include "lib/check/check.h"

void tenure__walk_block(tenure_heap *heap, uint32_t block, tenure__verification *check,
    void (*fn)(tenure__verification *, uintptr_t, uint32_t))
{
    const tenure__bits *live = tenure__bits_of(heap->live, block);
    for (unsigned word = 0; word < TENURE__BITMAP_WORDS; word++)
        for (uint64_t bits = atomic_load_explicit(&live[word], memory_order_relaxed); bits != 0; bits &= bits - 1)
            fn(check, tenure__block_start(heap, block) + (word * 64 + (unsigned)__builtin_ctzll(bits)) * (uintptr_t)16,
                block);
}

void tenure__walk_bits(
    tenure_heap *heap, tenure__verification *check, void (*fn)(tenure__verification *, uintptr_t, uint32_t))
{
    const uint32_t frontier = atomic_load_explicit(&heap->frontier, memory_order_relaxed);
    for (uint32_t block = 0; block < frontier; block++)
        if ((tenure__kind_of(heap, block) & TENURE__KIND_GENERATION) != 0) tenure__walk_block(heap, block, check, fn);
    const uint32_t end = atomic_load_explicit(&heap->large_frontier, memory_order_relaxed);
    for (uint32_t block = heap->large_start; block < end; block++) {
        const uint8_t kind = tenure__kind_of(heap, block);
        if ((kind & TENURE__KIND_GENERATION) != 0 && (kind & TENURE__KIND_HEAD) != 0)
            fn(check, tenure__run_object(heap, block), block);
    }
}

void tenure__walk_cells(tenure_heap *heap, uint32_t block, tenure__verification *check,
    void (*fn)(tenure__verification *, uintptr_t, uint32_t))
{
    for (unsigned at = 1, granules; at < TENURE__GRANULES; at += granules) {
        const uintptr_t object = tenure__block_start(heap, block) + (uintptr_t)at * 16;
        granules = tenure__cell_granules(heap, block, at);
        if (granules == 0) return;
        const uint64_t header = tenure__header_load(object);
        if ((header & TENURE__HEADER) == 0 || tenure__header_type(header) != TENURE__TYPE_FILLER)
            fn(check, object, block);
    }
}

void tenure__walk_condemned(
    tenure_heap *heap, tenure__verification *check, void (*fn)(tenure__verification *, uintptr_t, uint32_t))
{
    tenure__walk_bits(heap, check, fn);
    /* What has no bit: in Gen 0 blocks whatever is neither resident nor stays. */
    const uint32_t count = atomic_load_explicit(&heap->gen0_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) tenure__walk_cells(heap, heap->gen0_blocks[i], check, fn);
}
