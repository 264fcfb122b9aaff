/* Frozen blocks left the collected set: nothing in them moves or dies. Younger collections treat them as Gen 2 (barrier
 * and remembered set work as ever); a full collection scans them as roots and writes to none of their pages unless a
 * reference moved. */
#include "lib/collection/frozen.h"
#include "lib/collection/cycle.h"
#include "lib/collection/remembered.h"

static void scan_frozen(tenure__worker *worker, uintptr_t object)
{
    tenure__scan_again(worker, object, tenure__header_load(object));
}

static void trace_block(tenure__worker *worker, uint32_t block)
{
    tenure_heap *heap = worker->heap;
    const tenure__bits *live = tenure__bits_of(heap->live, block);
    tenure__bits *mark = tenure__bits_of(heap->mark, block);
    const uintptr_t start = tenure__block_start(heap, block);
    for (unsigned word = 0; word < TENURE__BITMAP_WORDS; word++) {
        uint64_t bits = atomic_load_explicit(&live[word], memory_order_relaxed);
        atomic_store_explicit(&mark[word], bits, memory_order_relaxed);
        for (; bits != 0; bits &= bits - 1)
            scan_frozen(worker, start + (word * 64 + (unsigned)__builtin_ctzll(bits)) * (uintptr_t)16);
    }
}

void tenure__frozen_trace(tenure__worker *worker)
{
    tenure_heap *heap = worker->heap;
    if (!heap->marking || atomic_load_explicit(&heap->frozen_blocks, memory_order_relaxed) == 0) return;
    const uint32_t frontier = atomic_load_explicit(&heap->frontier, memory_order_relaxed);
    const uint32_t end = atomic_load_explicit(&heap->large_frontier, memory_order_relaxed);
    for (uint32_t block = 0; block < frontier; block++)
        if (tenure__kind_of(heap, block) > TENURE__KIND_FROZEN) trace_block(worker, block);
    for (uint32_t block = heap->large_start; block < end; block++) {
        const uint8_t kind = tenure__kind_of(heap, block);
        if (kind > TENURE__KIND_FROZEN && (kind & TENURE__KIND_HEAD) != 0)
            scan_frozen(worker, tenure__run_object(heap, block));
    }
}

/* Every Gen 2 block's FROZEN bit. The world is stopped by the caller. */
static void set_frozen(tenure_heap *heap, bool frozen)
{
    const uint32_t ends[2] = { atomic_load_explicit(&heap->frontier, memory_order_relaxed),
        atomic_load_explicit(&heap->large_frontier, memory_order_relaxed) };
    const uint32_t starts[2] = { 0, heap->large_start };
    uint64_t blocks = 0;
    for (unsigned part = 0; part < 2; part++)
        for (uint32_t block = starts[part]; block < ends[part]; block++) {
            const uint8_t kind = tenure__kind_of(heap, block);
            if ((kind & TENURE__KIND_GENERATION) == 0 || tenure__kind_generation(kind) != 2) continue;
            blocks++;
            tenure__set_kind(heap, block, (uint8_t)(frozen ? kind | TENURE__KIND_FROZEN : kind & ~TENURE__KIND_FROZEN));
        }
    atomic_store_explicit(&heap->frozen_blocks, frozen ? blocks : 0, memory_order_relaxed);
}

static void close_gen2(tenure_heap *heap)
{
    tenure__buffers_close(heap, 2);
    for (unsigned sort = 0; sort < TENURE__BLOCK_SORTS; sort++)
        atomic_store_explicit(&heap->holes[2][sort], 0, memory_order_relaxed);
}

tenure_status tenure_freeze(tenure_thread *self)
{
    tenure_heap *heap = self->heap;
    const tenure_status status = tenure_collect(self, TENURE_GEN2);
    if (status != TENURE_OK) return status;
    tenure_stop_world(self);
    close_gen2(heap); /* nothing is copied into frozen blocks */
    set_frozen(heap, true);
    tenure_resume_world(self);
    return TENURE_OK;
}

tenure_status tenure_unfreeze(tenure_thread *self)
{
    tenure_stop_world(self);
    set_frozen(self->heap, false);
    tenure_resume_world(self);
    return TENURE_OK;
}
