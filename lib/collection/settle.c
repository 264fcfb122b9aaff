/* The last phase: what was condemned and is empty is free, what stays is settled, Gen 2 is swept after it was marked.
 */
#include "lib/collection/settle.h"
#include "lib/collection/trace.h"
#include <string.h>

enum { SWEEP_STEP = 256, /* blocks a job */ REUSE_GRANULES = TENURE__GRANULES / 8, POISON = 0xdb };

static void clear_bits(tenure__bits *bits)
{
    for (unsigned i = 0; i < TENURE__BITMAP_WORDS; i++) atomic_store_explicit(&bits[i], 0, memory_order_relaxed);
}

/* Nothing in the block is alive: it is nobody's. Not yet given to the free list. */
static void empty_block(tenure_heap *heap, uint32_t block, bool has_bits)
{
    if (has_bits) {
        clear_bits(tenure__bits_of(heap->live, block));
        clear_bits(tenure__bits_of(heap->ends, block));
    }
    const uintptr_t start = tenure__block_start(heap, block);
    if (heap->options.torture_alloc != 0) {
        tenure__unpoison(start, TENURE__BLOCK_BYTES);
        memset((void *)start, POISON, TENURE__BLOCK_BYTES);
    }
    tenure__poison(start, TENURE__BLOCK_BYTES);
    tenure__block *info = &heap->blocks[block];
    atomic_store_explicit(&info->flags, 0, memory_order_relaxed);
    atomic_store_explicit(&info->pinned_granules, 0, memory_order_relaxed);
    info->sparse = 0;
    info->live_granules = 0;
    tenure__set_kind(heap, block, TENURE__KIND_FREE);
}

static void free_block(tenure_heap *heap, uint32_t block, bool has_bits)
{
    empty_block(heap, block, has_bits);
    tenure__block_give(heap, block);
}

/* --- settling a block in which objects stay --- */

static bool survives(const tenure_heap *heap, uint64_t header)
{
    if ((header & TENURE__HEADER) == 0) return false;
    return (header & TENURE__STAYS) != 0 || (int)tenure__header_generation(header) > heap->condemned;
}

/* Keeps the survivors' bits (in the bitmap that is live after this collection), arms and ages them. Granules alive. */
static unsigned settle_objects(tenure_heap *heap, uint32_t block, unsigned generation)
{
    tenure__bits *live = tenure__bits_of(heap->live, block);
    tenure__bits *ends = tenure__bits_of(heap->ends, block);
    tenure__bits *next = heap->marking ? tenure__bits_of(heap->mark, block) : live;
    uint64_t old[TENURE__BITMAP_WORDS];
    for (unsigned i = 0; i < TENURE__BITMAP_WORDS; i++) old[i] = atomic_load_explicit(&live[i], memory_order_relaxed);
    clear_bits(live);
    clear_bits(next);
    clear_bits(ends);
    unsigned alive = 0;
    const uintptr_t start = tenure__block_start(heap, block);
    for (unsigned word = 0; word < TENURE__BITMAP_WORDS; word++) {
        for (uint64_t bits = old[word]; bits != 0; bits &= bits - 1) {
            const unsigned granule = word * 64 + (unsigned)__builtin_ctzll(bits);
            const uintptr_t object = start + (uintptr_t)granule * 16;
            uint64_t header = tenure__header_load(object);
            if (!survives(heap, header)) continue;
            const unsigned granules = tenure__header_granules(header);
            if (header & TENURE__STAYS) header = tenure__header_with_generation(header, generation);
            header = (header | TENURE__UNLOGGED) & ~(uint64_t)(TENURE__STAYS | TENURE__PINNED);
            tenure__header_store(object, header);
            tenure__bit_set_owned(next, granule);
            tenure__bit_set_owned(ends, granule + granules - 1);
            alive += granules;
        }
    }
    return alive;
}

/* What is free becomes fillers, so that the block can be walked from cell to cell. */
static void fill_holes(tenure_heap *heap, uint32_t block)
{
    uint64_t occupied[TENURE__BITMAP_WORDS];
    tenure__bits *starts = tenure__bits_of(heap->marking ? heap->mark : heap->live, block);
    tenure__occupied(starts, tenure__bits_of(heap->ends, block), occupied);
    occupied[0] |= 1;
    const uintptr_t base = tenure__block_start(heap, block);
    unsigned start = 1, end;
    while (tenure__next_hole(occupied, &start, &end, 1)) {
        const uintptr_t filler = base + (uintptr_t)start * 16;
        const size_t bytes = (size_t)(end - start) * 16;
        tenure__unpoison(filler - 8, bytes);
        if (heap->options.torture_alloc != 0) memset((void *)(filler - 8), POISON, bytes);
        tenure__header_store(filler, tenure__filler_header(end - start));
        tenure__poison(filler, bytes - 8);
        start = end;
    }
}

static void settle_block(tenure_heap *heap, uint32_t block)
{
    tenure__block *info = &heap->blocks[block];
    const bool was_sparse = info->sparse;
    const uint8_t sort = tenure__kind_of(heap, block) & (TENURE__KIND_LEAF | TENURE__KIND_AMBIGUOUS);
    const unsigned generation = was_sparse ? 1 : heap->target;
    const unsigned alive = settle_objects(heap, block, generation);
    tenure__flags_clear(info, TENURE__BLOCK_KEEPS | TENURE__BLOCK_RESIDENTS | TENURE__BLOCK_OLD_PINS);
    atomic_store_explicit(&info->pinned_granules, 0, memory_order_relaxed);
    info->sparse = 0;
    info->live_granules = alive;
    if (alive == 0) {
        free_block(heap, block, true);
        return;
    }
    fill_holes(heap, block);
    if (was_sparse && alive < TENURE__GRANULES / 4) {
        memset(info->first, 0, sizeof info->first);
        tenure__flags_set(info, TENURE__BLOCK_RESIDENTS);
        tenure__set_kind(heap, block, tenure__kind(0));
        heap->gen0_blocks[atomic_fetch_add_explicit(&heap->gen0_count, 1, memory_order_relaxed)] = block;
        tenure__blocks_push(heap, &heap->nursery_holes, block);
        return;
    }
    if (generation == 1)
        heap->gen1_blocks[atomic_fetch_add_explicit(&heap->gen1_count, 1, memory_order_relaxed)] = block;
    else
        atomic_fetch_add_explicit(&heap->generation_blocks[2], 1, memory_order_relaxed);
    tenure__set_kind(heap, block, (uint8_t)(tenure__kind(generation) | sort));
    /* A full collection counts the holes of Gen 2, and pushes blocks with room, when it sweeps them. */
    if (generation == 2 && !heap->marking)
        atomic_fetch_add_explicit(&heap->gen2_holes, TENURE__GRANULES - alive, memory_order_relaxed);
    if ((generation == 1 || !heap->marking) && TENURE__GRANULES - alive >= REUSE_GRANULES)
        tenure__blocks_push(heap, &heap->holes[generation][tenure__kind_sort(sort)], block);
}

/* Frees the blocks of a condemned list in which nothing stays; the others are added to the chain *kept (plus one). */
static void empty_list(
    tenure_heap *heap, const uint32_t *blocks, _Atomic uint32_t *count, bool has_bits, uint32_t *kept)
{
    uint32_t first = 0, last = 0, freed = 0;
    const uint32_t old = atomic_exchange_explicit(count, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < old; i++) {
        const uint32_t block = blocks[i];
        const bool keeps =
            (tenure__flags_of(&heap->blocks[block]) & (TENURE__BLOCK_KEEPS | TENURE__BLOCK_RESIDENTS)) != 0;
        uint32_t *chain = keeps ? kept : &first;
        heap->blocks[block].next = *chain;
        *chain = block + 1;
        if (keeps) continue;
        if (freed++ == 0) last = block;
        empty_block(heap, block, has_bits);
    }
    /* Last in, first out: the block that was used last is handed out first, it is still in the cache. */
    if (freed != 0) tenure__blocks_give(heap, first - 1, last, freed);
}

/* Both lists are emptied before any block is settled: settling appends to either. */
static void settle_young_blocks(tenure_heap *heap)
{
    uint32_t kept = 0;
    if (heap->condemned >= 1) empty_list(heap, heap->gen1_blocks, &heap->gen1_count, true, &kept);
    empty_list(heap, heap->gen0_blocks, &heap->gen0_count, false, &kept);
    while (kept != 0) {
        const uint32_t block = kept - 1;
        tenure__block *info = &heap->blocks[block];
        kept = info->next;
        /* Residents of a Gen 0 block count as Gen 1 whatever else stays with them. */
        if (tenure__flags_of(info) & TENURE__BLOCK_RESIDENTS) info->sparse |= heap->condemned == 0;
        settle_block(heap, block);
    }
}

/* --- large objects --- */

static void settle_run(tenure_heap *heap, uint32_t head, unsigned generation)
{
    const uintptr_t object = tenure__run_object(heap, head);
    uint64_t header = tenure__header_with_generation(tenure__header_load(object), generation);
    tenure__header_store(object, (header | TENURE__UNLOGGED) & ~(uint64_t)(TENURE__STAYS | TENURE__PINNED));
    const uint32_t blocks = heap->blocks[head].run_blocks;
    for (uint32_t i = 0; i < blocks; i++) {
        /* Dirty cards whose log was lost, and which no rescan came across: the next store must log the block again. */
        tenure__flags_clear(&heap->blocks[head + i], TENURE__BLOCK_CARDS);
        const uint8_t kind = tenure__kind_of(heap, head + i);
        tenure__set_kind(heap, head + i, (uint8_t)((kind & ~TENURE__KIND_GENERATION) | tenure__kind(generation)));
    }
}

static void free_run(tenure_heap *heap, uint32_t head)
{
    atomic_fetch_sub_explicit(&heap->large_blocks, heap->blocks[head].run_blocks, memory_order_relaxed);
    tenure__run_give(heap, head);
}

static bool run_stays(const tenure_heap *heap, uint32_t head)
{
    return (tenure__header_load(tenure__run_object(heap, head)) & TENURE__STAYS) != 0;
}

static uint64_t settle_young_runs(tenure_heap *heap)
{
    uint32_t kept = 0;
    uint64_t gen1_blocks = 0;
    for (uint32_t i = 0; i < heap->young_run_count; i++) {
        const uint32_t head = heap->young_runs[i];
        const uint32_t blocks = heap->blocks[head].run_blocks;
        const bool condemned = (int)tenure__kind_generation(tenure__kind_of(heap, head)) <= heap->condemned;
        if (condemned && !run_stays(heap, head)) {
            free_run(heap, head);
            continue;
        }
        if (condemned) settle_run(heap, head, heap->target);
        if (tenure__kind_generation(tenure__kind_of(heap, head)) == 1) {
            heap->young_runs[kept++] = head;
            gen1_blocks += blocks;
        } else {
            atomic_fetch_add_explicit(&heap->generation_blocks[2], blocks, memory_order_relaxed);
        }
    }
    heap->young_run_count = kept;
    return gen1_blocks;
}

/* The runs of Gen 2 that were not reached; those that were promoted just now have no STAYS any more and are not asked.
 */
static void sweep_old_runs(tenure_heap *heap)
{
    const uint32_t end = atomic_load_explicit(&heap->large_frontier, memory_order_relaxed);
    for (uint32_t block = heap->large_start; block < end;) {
        const uint8_t kind = tenure__kind_of(heap, block);
        if ((kind & TENURE__KIND_HEAD) == 0) {
            block++;
            continue;
        }
        const uint32_t blocks = heap->blocks[block].run_blocks;
        if (tenure__kind_generation(kind) == 2 && (kind & TENURE__KIND_FROZEN) == 0) {
            if (run_stays(heap, block)) {
                settle_run(heap, block, 2);
            } else {
                atomic_fetch_sub_explicit(&heap->generation_blocks[2], blocks, memory_order_relaxed);
                free_run(heap, block);
            }
        }
        block += blocks;
    }
}

/* --- sweeping Gen 2 --- */

/* After bits went unrecorded every survivor is armed. */
static void arm_all(tenure_heap *heap, uint32_t block)
{
    const tenure__bits *live = tenure__bits_of(heap->live, block);
    const uintptr_t start = tenure__block_start(heap, block);
    for (unsigned word = 0; word < TENURE__BITMAP_WORDS; word++)
        for (uint64_t bits = atomic_load_explicit(&live[word], memory_order_relaxed); bits != 0; bits &= bits - 1)
            atomic_fetch_or_explicit(
                tenure__header_of(start + (word * 64 + (unsigned)__builtin_ctzll(bits)) * (uintptr_t)16),
                TENURE__UNLOGGED, memory_order_relaxed);
}

/* Poison instead of what died. */
static void poison_holes(tenure_heap *heap, uint32_t block, uint64_t occupied[TENURE__BITMAP_WORDS])
{
    const uintptr_t base = tenure__block_start(heap, block);
    for (unsigned start = 1, end; tenure__next_hole(occupied, &start, &end, 1); start = end) {
        const uintptr_t hole = base + (uintptr_t)start * 16 - 8;
        const size_t bytes = (size_t)(end - start) * 16;
        if (heap->options.torture_alloc != 0) {
            tenure__unpoison(hole, bytes);
            memset((void *)hole, POISON, bytes);
        }
        tenure__poison(hole, bytes);
    }
}

/* By bitmap arithmetic; objects are not touched. live is the new mark, mark the old live. Granules in holes. */
static unsigned sweep_block(tenure_heap *heap, uint32_t block)
{
    const uint8_t kind = tenure__kind_of(heap, block);
    clear_bits(tenure__bits_of(heap->mark, block));
    if ((kind & TENURE__KIND_GENERATION) == 0 || tenure__kind_generation(kind) != 2 ||
        (kind & TENURE__KIND_FROZEN) != 0)
        return 0;
    uint64_t occupied[TENURE__BITMAP_WORDS];
    tenure__bits *live = tenure__bits_of(heap->live, block), *ends = tenure__bits_of(heap->ends, block);
    tenure__occupied(live, ends, occupied);
    unsigned alive = 0;
    for (unsigned i = 0; i < TENURE__BITMAP_WORDS; i++) {
        alive += (unsigned)__builtin_popcountll(occupied[i]);
        atomic_store_explicit(
            &ends[i], atomic_load_explicit(&ends[i], memory_order_relaxed) & occupied[i], memory_order_relaxed);
    }
    const bool open = (tenure__flags_of(&heap->blocks[block]) & TENURE__BLOCK_OPEN) != 0;
    if (alive == 0 && !open) {
        atomic_fetch_sub_explicit(&heap->generation_blocks[2], 1, memory_order_relaxed);
        free_block(heap, block, true);
        return 0;
    }
    heap->blocks[block].live_granules = alive;
    if (heap->arm_all) arm_all(heap, block);
    if (TENURE__POISONS || heap->options.torture_alloc != 0) poison_holes(heap, block, occupied);
    if (open) return 0;
    if (TENURE__GRANULES - alive >= REUSE_GRANULES)
        tenure__blocks_push(heap, &heap->holes[2][tenure__kind_sort(kind)], block);
    return TENURE__GRANULES - alive;
}

static void sweep_phase(void *arg, unsigned index, bool may_trace)
{
    tenure_heap *heap = arg;
    (void)may_trace;
    const uint32_t frontier = atomic_load_explicit(&heap->frontier, memory_order_relaxed);
    if (index == 0 && frontier > 4 * SWEEP_STEP && heap->options.workers > 1)
        tenure__gang_invite(&heap->world.gang, heap->options.workers - 1, false);
    uint64_t holes = 0;
    for (;;) {
        const uint32_t from = atomic_fetch_add_explicit(&heap->next_job, SWEEP_STEP, memory_order_relaxed);
        if (from >= frontier) break;
        const uint32_t to = frontier - from < SWEEP_STEP ? frontier : from + SWEEP_STEP;
        for (uint32_t block = from; block < to; block++) holes += sweep_block(heap, block);
    }
    atomic_fetch_add_explicit(&heap->gen2_holes, holes, memory_order_relaxed);
}

/* Blocks that were to be emptied: free, or settled because something in them is pinned. Their old bits must be gone
 * before live and mark change sides. */
static void settle_evacuated(tenure_heap *heap)
{
    const uint32_t frontier = atomic_load_explicit(&heap->frontier, memory_order_relaxed);
    for (uint32_t block = 0; block < frontier; block++) {
        if ((tenure__kind_of(heap, block) & TENURE__KIND_EVACUATE) == 0) continue;
        atomic_fetch_sub_explicit(&heap->generation_blocks[2], 1, memory_order_relaxed);
        if (tenure__flags_of(&heap->blocks[block]) & TENURE__BLOCK_KEEPS)
            settle_block(heap, block);
        else
            free_block(heap, block, true);
    }
}

void tenure__settle(tenure_heap *heap, bool may_trace)
{
    /* Full collections: runs of Gen 2 first, while STAYS still tells which were reached. */
    if (heap->marking) sweep_old_runs(heap);
    const uint64_t gen1_runs = settle_young_runs(heap);
    atomic_store_explicit(&heap->nursery_holes, 0, memory_order_relaxed);
    settle_young_blocks(heap);
    if (heap->marking) {
        settle_evacuated(heap);
        tenure__bits *live = heap->live;
        heap->live = heap->mark;
        heap->mark = live;
        atomic_store_explicit(&heap->next_job, 0, memory_order_relaxed);
        atomic_store_explicit(&heap->gen2_holes, 0, memory_order_relaxed);
        tenure__gang_run(&heap->world.gang, sweep_phase, heap, may_trace);
    }
    const uint32_t residents = atomic_load_explicit(&heap->gen0_count, memory_order_relaxed);
    atomic_store_explicit(&heap->generation_blocks[0], 0, memory_order_relaxed);
    atomic_store_explicit(&heap->generation_blocks[1],
        atomic_load_explicit(&heap->gen1_count, memory_order_relaxed) + residents + gen1_runs, memory_order_relaxed);
    atomic_store_explicit(&heap->gen0_used, 0, memory_order_relaxed);
}
