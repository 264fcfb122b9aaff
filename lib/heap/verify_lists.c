/* The verifier's second part: lists against what they should hold. Membership is noted in the mark bitmap, which is all
 * zero outside of full collections and is left so; bit 0, which no object has, stands for the block. */
#include "lib/collection/remembered.h"
#include "lib/heap/verify.h"
#include <string.h>

/* --- notes: one bit an object, or one a block --- */

static bool note(tenure_heap *heap, uint32_t block, unsigned granule)
{
    return tenure__bit_claim(tenure__bits_of(heap->mark, block), granule);
}
static bool noted(tenure_heap *heap, uint32_t block, unsigned granule)
{
    return tenure__bit_get(tenure__bits_of(heap->mark, block), granule);
}

/* Calls fn for every block that was ever handed out, of both parts. */
static void each_block(tenure__verification *check, void (*fn)(tenure__verification *, uint32_t))
{
    tenure_heap *heap = check->heap;
    const uint32_t frontier = atomic_load_explicit(&heap->frontier, memory_order_relaxed);
    const uint32_t end = atomic_load_explicit(&heap->large_frontier, memory_order_relaxed);
    for (uint32_t block = 0; block < frontier; block++) fn(check, block);
    for (uint32_t block = heap->large_start; block < end; block++) fn(check, block);
}

static void forget_notes(tenure__verification *check, uint32_t block)
{
    tenure__bits *bits = tenure__bits_of(check->heap->mark, block);
    for (unsigned i = 0; i < TENURE__BITMAP_WORDS; i++) atomic_store_explicit(&bits[i], 0, memory_order_relaxed);
}

/* --- logs and the Gen 2->1 list --- */

static void note_entry(tenure__verification *check, uintptr_t entry, uintptr_t objects, uintptr_t cards)
{
    tenure_heap *heap = check->heap;
    const uintptr_t tag = entry & TENURE__ENTRY_TAG, address = entry & ~(uintptr_t)TENURE__ENTRY_TAG;
    if ((tag != objects && tag != cards) || !tenure__in_arena(heap, address)) {
        tenure__fault(check, "a log holds %#lx", entry);
        return;
    }
    note(heap, tenure__block_index(heap, address), tag == cards ? 0 : tenure__granule_of(address));
}

static void note_entries(tenure__verification *check, uint32_t list, uintptr_t objects, uintptr_t cards)
{
    const tenure__packets *packets = &check->heap->packets;
    uint32_t count = 0;
    for (; list != 0 && check->sound; list = packets->pool[list].next) {
        if (list > packets->capacity || ++count > packets->capacity) {
            tenure__fault(check, "a list of packets has no end");
            return;
        }
        for (uint32_t i = 0; i < packets->pool[list].count; i++)
            note_entry(check, packets->pool[list].entries[i], objects, cards);
    }
}

/* The objects of the block that have (or lack) a flag of their header must be noted. */
static void expect_objects_noted(
    tenure__verification *check, uint32_t block, uint64_t flag, uint64_t wanted, const char *what)
{
    tenure_heap *heap = check->heap;
    const uint8_t kind = tenure__kind_of(heap, block);
    if ((kind & TENURE__KIND_GENERATION) == 0 || (kind & (TENURE__KIND_HEAD | TENURE__KIND_TAIL)) != 0) return;
    const tenure__bits *live = tenure__bits_of(heap->live, block);
    for (unsigned granule = 1; granule < TENURE__GRANULES; granule++) {
        const uintptr_t object = tenure__block_start(heap, block) + (uintptr_t)granule * 16;
        if (!tenure__bit_get(live, granule) || (tenure__header_load(object) & flag) != wanted) continue;
        if (!noted(heap, block, granule)) tenure__fault(check, "object %#lx is %s and on no list", object, what);
    }
}

static void check_logged(tenure__verification *check, uint32_t block)
{
    const uint32_t flags = tenure__flags_of(&check->heap->blocks[block]);
    if ((flags & TENURE__BLOCK_RESCAN) != 0) {
        if (!atomic_load_explicit(&check->heap->rescan, memory_order_relaxed))
            tenure__fault(check, "block %u is to be scanned again, and nobody will", block);
        return;
    }
    expect_objects_noted(check, block, TENURE__UNLOGGED, 0, "not armed");
    if ((flags & TENURE__BLOCK_CARDS) != 0 && !noted(check->heap, block, 0))
        tenure__fault(check, "block %u has dirty cards and is on no log", block);
}

static void check_remembered(tenure__verification *check, uint32_t block)
{
    expect_objects_noted(check, block, TENURE__REMEMBERED, TENURE__REMEMBERED, "remembered");
    if ((tenure__flags_of(&check->heap->blocks[block]) & TENURE__BLOCK_CARDS_OLD) != 0 && !noted(check->heap, block, 0))
        tenure__fault(check, "block %u has remembered cards and is on no list", block);
}

static void check_remembered_sets(tenure__verification *check)
{
    tenure_heap *heap = check->heap;
    note_entries(check, heap->logs, TENURE__ENTRY_LOGGED, TENURE__ENTRY_CARDS);
    tenure__mutator *mutator;
    cds_list_for_each_entry(mutator, &heap->world.every, every_link)
        note_entries(check, ((tenure__allocator *)mutator)->logs, TENURE__ENTRY_LOGGED, TENURE__ENTRY_CARDS);
    each_block(check, check_logged);
    each_block(check, forget_notes);
    note_entries(check, heap->remembered, TENURE__ENTRY_REMEMBERED, TENURE__ENTRY_CARDS_OLD);
    each_block(check, check_remembered);
    each_block(check, forget_notes);
}

/* --- lists of blocks --- */

static bool has_generation(uint8_t kind, unsigned generation)
{
    return (kind & TENURE__KIND_GENERATION) != 0 && tenure__kind_generation(kind) == generation;
}

static void check_list(tenure__verification *check, const uint32_t *blocks, uint32_t count, unsigned generation)
{
    tenure_heap *heap = check->heap;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t kind = tenure__kind_of(heap, blocks[i]);
        if (!has_generation(kind, generation))
            tenure__fault(check, "block %u is listed in generation %u and has kind %#x", blocks[i], generation, kind);
        if (!note(heap, blocks[i], 0)) tenure__fault(check, "block %u is listed twice", blocks[i]);
    }
}

/* Gen 0 and Gen 1: every block is in its list. Runs: their heads. */
static void check_listed(tenure__verification *check, uint32_t block)
{
    const uint8_t kind = tenure__kind_of(check->heap, block);
    if ((kind & TENURE__KIND_TAIL) != 0 || (!has_generation(kind, 0) && !has_generation(kind, 1))) return;
    if (!noted(check->heap, block, 0)) tenure__fault(check, "block %u of kind %#x is in no list", block, kind);
}

static void check_runs(tenure__verification *check)
{
    tenure_heap *heap = check->heap;
    for (uint32_t i = 0; i < heap->young_run_count; i++) {
        const uint8_t kind = tenure__kind_of(heap, heap->young_runs[i]);
        if ((kind & TENURE__KIND_HEAD) == 0 || !(has_generation(kind, 0) || has_generation(kind, 1)))
            tenure__fault(check, "run %u is listed as young and has kind %#x", heap->young_runs[i], kind);
        if (!note(heap, heap->young_runs[i], 0)) tenure__fault(check, "run %u is listed twice", heap->young_runs[i]);
    }
}

/* Of a stack of blocks: their kind, and that no other stack has them. Returns how many. */
static uint64_t check_stack(
    tenure__verification *check, const tenure__index_stack *stack, uint8_t kind_mask, uint8_t kind, const char *what)
{
    tenure_heap *heap = check->heap;
    uint64_t count = 0;
    for (uint32_t at = (uint32_t)atomic_load_explicit(stack, memory_order_acquire); at != 0 && check->sound; count++) {
        const uint32_t block = at - 1;
        if (block >= heap->block_count || (tenure__kind_of(heap, block) & kind_mask) != kind)
            tenure__fault(check, "block %u is among the %s", block, what);
        else if ((tenure__flags_of(&heap->blocks[block]) & TENURE__BLOCK_OPEN) != 0)
            tenure__fault(check, "block %u is among the %s and in use", block, what);
        else if (!note(heap, block, 0))
            tenure__fault(check, "block %u is in two lists", block);
        else
            at = __atomic_load_n(&heap->blocks[block].next, __ATOMIC_RELAXED); /* the daemon may push it just now */
    }
    return count;
}

/* Blocks of the large part that hold memory; UINT64_MAX: the daemon is giving some back. */
static uint64_t count_resident_runs(const tenure_heap *heap)
{
    const uint32_t end = atomic_load_explicit(&heap->large_frontier, memory_order_relaxed);
    uint64_t resident = 0;
    for (uint32_t block = heap->large_start; block < end; block++) {
        if (!heap->blocks[block].returned)
            resident++;
        else if (tenure__kind_of(heap, block) == TENURE__KIND_RESERVED)
            return UINT64_MAX;
    }
    return resident;
}

static void count_free(tenure__verification *check)
{
    tenure_heap *heap = check->heap;
    const uint32_t frontier = atomic_load_explicit(&heap->frontier, memory_order_relaxed);
    uint64_t free = 0;
    for (uint32_t block = 0; block < frontier; block++) free += tenure__kind_of(heap, block) == TENURE__KIND_FREE;
    const uint64_t ready = check_stack(check, &heap->free_blocks, 0xff, TENURE__KIND_FREE, "free blocks");
    const uint64_t gone = check_stack(check, &heap->returned_blocks, 0xff, TENURE__KIND_FREE, "returned blocks") +
                          check_stack(check, &heap->vacated_blocks, 0xff, TENURE__KIND_FREE, "vacated blocks");
    if (ready + gone != free) tenure__fault(check, "%lu blocks are free, %lu are listed", free, ready + gone);
    if (ready != atomic_load_explicit(&heap->free_count, memory_order_relaxed))
        tenure__fault(check, "%lu free blocks are listed, and others accounted", ready);
    const uint64_t runs = count_resident_runs(heap);
    if (runs != UINT64_MAX &&
        frontier - gone + runs != atomic_load_explicit(&heap->resident_blocks, memory_order_relaxed))
        tenure__fault(check, "%lu blocks hold memory, and others are accounted", frontier - gone + runs);
}

/* The daemon moves blocks between these lists, also in a stop: what was seen counts if it did nothing meanwhile. */
static void check_free(tenure__verification *check)
{
    _Atomic uint32_t *steps = &check->heap->upkeep_steps;
    const uint32_t before = atomic_load(steps);
    tenure__verification look = *check;
    look.silent = true;
    count_free(&look);
    if (!look.sound && before % 2 == 0 && atomic_load(steps) == before)
        tenure__fault(check,
            "the lists of free blocks are not what is free: a block is missing, twice there, in use, or the counts of "
            "free blocks and of those that hold memory are wrong");
}

/* With room, or nobody's. */
static void check_stacks(tenure__verification *check)
{
    tenure_heap *heap = check->heap;
    enum { SORT = TENURE__KIND_LEAF | TENURE__KIND_AMBIGUOUS };
    check_stack(check, &heap->nursery_holes, TENURE__KIND_GENERATION, tenure__kind(0), "holes of the nursery");
    for (unsigned generation = 1; generation <= 2; generation++)
        for (unsigned sort = 0; sort < TENURE__BLOCK_SORTS; sort++)
            check_stack(check, &heap->holes[generation][sort], TENURE__KIND_GENERATION | SORT,
                tenure__kind(generation) | tenure__sort_kind(sort), "holes of an old generation");
    check_free(check);
}

void tenure__verify_lists(tenure__verification *check)
{
    tenure_heap *heap = check->heap;
    check_remembered_sets(check);
    check_list(check, heap->gen0_blocks, atomic_load_explicit(&heap->gen0_count, memory_order_relaxed), 0);
    check_list(check, heap->gen1_blocks, atomic_load_explicit(&heap->gen1_count, memory_order_relaxed), 1);
    check_runs(check);
    each_block(check, check_listed);
    each_block(check, forget_notes);
    check_stacks(check);
    each_block(check, forget_notes);
}
