/* Where copies go: each worker fills the holes of a block that is its own meanwhile, then another block with room, then
 * a fresh one; one buffer for each generation and sort of block. Stopped world only; the bits of an open block are
 * written by its worker. */
#include "lib/collection/trace.h"

enum { HOLE_MIN_GRANULES = 8 };

/* The next hole of the buffer's block after the one that is full. */
static bool next_hole(tenure__worker *worker, tenure__buffer *buffer, unsigned granules)
{
    tenure_heap *heap = worker->heap;
    const uint32_t block = buffer->block - 1;
    uint64_t occupied[TENURE__BITMAP_WORDS];
    tenure__occupied(tenure__bits_of(heap->live, block), tenure__bits_of(heap->ends, block), occupied);
    occupied[0] |= 1;
    unsigned start = (unsigned)(buffer->end + 8 - tenure__block_start(heap, block)) >> 4, end;
    if (!tenure__next_hole(occupied, &start, &end, granules > HOLE_MIN_GRANULES ? granules : HOLE_MIN_GRANULES))
        return false;
    const uintptr_t base = tenure__block_start(heap, block);
    buffer->top = base + (uintptr_t)start * 16 - 8;
    buffer->end = base + (uintptr_t)end * 16 - 8;
    if (heap->target == 2) worker->filled_granules += end - start;
    return true;
}

static void close_buffer(tenure_heap *heap, tenure__buffer *buffer)
{
    if (buffer->block != 0) tenure__flags_clear(&heap->blocks[buffer->block - 1], TENURE__BLOCK_OPEN);
    *buffer = (tenure__buffer) { 0 };
}

void tenure__buffers_close(tenure_heap *heap, unsigned generation)
{
    for (unsigned i = 0; i < heap->worker_count; i++)
        for (unsigned sort = 0; sort < TENURE__BLOCK_SORTS; sort++)
            close_buffer(heap, &heap->workers[i].buffers[generation][sort]);
}

bool tenure__buffer_open(tenure__worker *worker, tenure__buffer *buffer, unsigned sort, unsigned granules)
{
    tenure_heap *heap = worker->heap;
    const unsigned generation = heap->target;
    /* While Gen 2 is marked, other workers set mark bits in old blocks: copies go to fresh ones. */
    for (unsigned tries = 0; !heap->marking && tries < 4; tries++) {
        if (buffer->block != 0 && next_hole(worker, buffer, granules)) return true;
        const uint32_t block = tenure__blocks_pop(heap, &heap->holes[generation][sort]);
        if (block == TENURE__NO_BLOCK) break;
        close_buffer(heap, buffer);
        tenure__flags_set(&heap->blocks[block], TENURE__BLOCK_OPEN);
        buffer->block = block + 1;
        /* Nothing to fill yet: when no hole of it is long enough and there is no block either, it must not look like
         * room. */
        buffer->top = buffer->end = tenure__block_start(heap, block) - 8;
    }
    const uint32_t block = tenure__block_take(heap);
    if (block == TENURE__NO_BLOCK) return false;
    close_buffer(heap, buffer);
    tenure__flags_set(&heap->blocks[block], TENURE__BLOCK_OPEN);
    if (generation == 1)
        heap->gen1_blocks[atomic_fetch_add_explicit(&heap->gen1_count, 1, memory_order_relaxed)] = block;
    atomic_fetch_add_explicit(&heap->generation_blocks[generation], 1, memory_order_relaxed);
    heap->blocks[block].live_granules = 0;
    tenure__set_kind(heap, block, (uint8_t)(tenure__kind(generation) | tenure__sort_kind(sort)));
    buffer->block = block + 1;
    buffer->top = tenure__block_start(heap, block) + 8;
    buffer->end = buffer->top + (uintptr_t)(TENURE__GRANULES - 1) * 16;
    tenure__poison(buffer->top, buffer->end - buffer->top);
    return true;
}
