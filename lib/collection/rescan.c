/* After a work list or a log overflowed: the blocks that say RESCAN are scanned again until no block says so any more.
 */
#include "lib/collection/remembered.h"
#include "lib/collection/trace.h"

/* Its slots are processed at once instead of pushed: what could not be queued is found here without a queue, and what
 * it leads to is either scanned now or flagged in turn, so every round makes progress. */
static void rescan_object(tenure__worker *worker, uintptr_t object, uint32_t block)
{
    tenure_heap *heap = worker->heap;
    const uint64_t header = tenure__header_load(object);
    if ((header & TENURE__HEADER) == 0) return;
    const uint8_t kind = tenure__kind_of(heap, block);
    const bool large = (header & TENURE__LARGE) != 0;
    const unsigned generation = large ? tenure__kind_generation(kind) : tenure__header_generation(header);
    const bool older = (int)generation > heap->condemned || (kind & TENURE__KIND_FROZEN) != 0;
    const bool marked = heap->marking && !large && tenure__kind_generation(kind) == 2 &&
                        tenure__bit_get(tenure__bits_of(heap->mark, block), tenure__granule_of(object));
    if (!older && !marked && (header & TENURE__STAYS) == 0) return;
    tenure__scan_again(worker, object, header);
    tenure__trace_drain(worker);
    atomic_fetch_add_explicit(&heap->working, 1, memory_order_relaxed);
}

static void rescan_block(tenure__worker *worker, uint32_t block)
{
    tenure_heap *heap = worker->heap;
    if (tenure__kind_of(heap, block) & (TENURE__KIND_HEAD | TENURE__KIND_TAIL)) {
        rescan_object(worker, tenure__run_object(heap, tenure__run_head(heap, block)), block);
        return;
    }
    tenure__bits *live = tenure__bits_of(heap->live, block);
    const uintptr_t start = tenure__block_start(heap, block);
    for (unsigned word = 0; word < TENURE__BITMAP_WORDS; word++) {
        uint64_t bits = atomic_load_explicit(&live[word], memory_order_relaxed);
        while (bits != 0) {
            rescan_object(worker, start + (word * 64 + (unsigned)__builtin_ctzll(bits)) * (uintptr_t)16, block);
            bits &= bits - 1;
        }
    }
}

static void rescan_part(tenure__worker *worker, uint32_t start, const _Atomic uint32_t *frontier)
{
    tenure_heap *heap = worker->heap;
    /* The frontier moves: copies that are made on the way may lie in fresh blocks and be flagged in turn. */
    for (uint32_t block = start; block < atomic_load_explicit(frontier, memory_order_relaxed); block++) {
        if ((tenure__flags_of(&heap->blocks[block]) & TENURE__BLOCK_RESCAN) == 0) continue;
        tenure__flags_clear(&heap->blocks[block], TENURE__BLOCK_RESCAN);
        rescan_block(worker, block);
    }
}

void tenure__trace_rescan(tenure__worker *worker)
{
    tenure_heap *heap = worker->heap;
    do {
        atomic_store_explicit(&heap->overflowed, false, memory_order_relaxed);
        rescan_part(worker, 0, &heap->frontier);
        rescan_part(worker, heap->large_start, &heap->large_frontier);
    } while (atomic_load_explicit(&heap->overflowed, memory_order_relaxed));
    tenure__trace_drain(worker);
}
