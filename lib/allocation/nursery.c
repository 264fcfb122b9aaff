/* The slow path of allocation: windows, chunks, large objects, and what happens when there is no room.
 *
 * A mutator bumps through a chunk (a free block, or a hole between residents) in windows of 4 KiB, of which the first
 * cell is noted: record.limit is the end of the window. Nothing is zeroed ahead: whoever allocates zeroes the object
 * and the header after it, where walks end. Runs on the owner; may collect. */
#include "lib/allocation/nursery.h"
#include "lib/check/check.h"
#include "lib/collection/cycle.h"
#include "lib/collection/records.h"
#include "lib/collection/remembered.h"
#include "threads/host.h"
#include <errno.h>
#include <string.h>

/* No chunk: any allocation takes the slow path, and the limit is still not the poison, which is 0. The end of a chunk
 * is spared, since the header after the last object must not be a resident's. */
enum {
    NO_CHUNK = 8,
    HOLE_MIN_GRANULES = 256,
    ZERO_STEP = 64 * 1024,
    CHUNK_SPARE = 16,
    BATCH_MOST = 8,
    BATCH_PART = 16
};

uintptr_t tenure__host_limit(tenure__mutator *mutator)
{
    const tenure__allocator *allocator = (tenure__allocator *)mutator;
    const tenure_options *options = &mutator->world->heap->options;
    if ((options->torture & TENURE_TORTURE_POLL) || mutator->os->check_roots || tenure__check_poisons(mutator->os))
        return 0;
    if (options->torture_alloc != 0 || mutator->world->heap->checks.sites != 0) return NO_CHUNK;
    return allocator->window_end != 0 ? allocator->window_end : NO_CHUNK;
}

void tenure__chunk_drop(tenure__allocator *allocator)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    const uintptr_t top = allocator->mutator.record.top;
    if (allocator->chunk_block != 0) {
        /* Walkable to its end: what was not used becomes a filler. */
        if (top < allocator->chunk_end)
            tenure__header_store(top + 8, tenure__filler_header((unsigned)((allocator->chunk_end - top) >> 4)));
        tenure__flags_clear(&heap->blocks[allocator->chunk_block - 1], TENURE__BLOCK_OPEN);
    }
    if (allocator->apart_block != 0) {
        if (allocator->apart_top < allocator->apart_end)
            tenure__header_store(allocator->apart_top + 8,
                tenure__filler_header((unsigned)((allocator->apart_end - allocator->apart_top) >> 4)));
        tenure__flags_clear(&heap->blocks[allocator->apart_block - 1], TENURE__BLOCK_OPEN);
    }
    allocator->chunk_block = allocator->apart_block = 0;
    allocator->ahead = allocator->batch = 0;
    allocator->apart_top = allocator->apart_end = 0;
    allocator->chunk_end = allocator->window_end = 0;
    allocator->mutator.record.top = NO_CHUNK;
}

void tenure__chunk_close(tenure__allocator *allocator)
{
    tenure__chunk_drop(allocator);
    tenure__set_limit(&allocator->mutator, tenure__host_limit(&allocator->mutator));
}

static void note_first(tenure_heap *heap, uintptr_t top)
{
    tenure__block *block = &heap->blocks[tenure__block_index(heap, top)];
    const unsigned granule = tenure__granule_of(top + 8);
    uint16_t *first = &block->first[granule / (TENURE__GRANULES / TENURE__WINDOWS)];
    if (granule != 0 && *first == 0) __atomic_store_n(first, (uint16_t)granule, __ATOMIC_RELAXED);
}

/* Makes the window that the next object needs usable: its end is the limit. */
static void open_window(tenure__allocator *allocator, size_t cell_bytes)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    const uintptr_t from = allocator->window_end, last = allocator->chunk_end - CHUNK_SPARE;
    uintptr_t to = (allocator->mutator.record.top + cell_bytes + TENURE__WINDOW_BYTES - 1) &
                   ~(uintptr_t)(TENURE__WINDOW_BYTES - 1);
    to = to + 8 > last ? last : to + 8;
    note_first(heap, allocator->mutator.record.top);
    allocator->window_end = to;
    tenure__set_limit(&allocator->mutator, tenure__host_limit(&allocator->mutator));
    tenure__unpoison(from, to + 8 - from);
}

/* Only the owner writes it; relaxed: statistics read it. */
static void count_allocated(tenure__allocator *allocator, uint64_t bytes)
{
    const uint64_t before = atomic_load_explicit(&allocator->allocated_bytes, memory_order_relaxed);
    atomic_store_explicit(&allocator->allocated_bytes, before + bytes, memory_order_relaxed);
}

/* The next hole of the block that the chunk lies in. */
static bool next_hole(tenure__allocator *allocator, uint32_t block, unsigned from)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    uint64_t occupied[TENURE__BITMAP_WORDS];
    tenure__occupied(tenure__bits_of(heap->live, block), tenure__bits_of(heap->ends, block), occupied);
    occupied[0] |= 1;
    unsigned start = from, end;
    if (!tenure__next_hole(occupied, &start, &end, HOLE_MIN_GRANULES)) return false;
    const uintptr_t base = tenure__block_start(heap, block);
    allocator->chunk_block = block + 1;
    allocator->mutator.record.top = base + (uintptr_t)start * 16 - 8;
    allocator->chunk_end = base + (uintptr_t)end * 16 - 8;
    allocator->window_end = allocator->mutator.record.top;
    tenure__header_store(allocator->mutator.record.top + 8, tenure__filler_header(end - start));
    count_allocated(allocator, (uint64_t)(end - start) * 16);
    return true;
}

/* Another hole of the block that the chunk lies in: the budget has counted that block. */
static bool further_hole(tenure__allocator *allocator)
{
    if (allocator->chunk_block == 0) return false;
    tenure_heap *heap = allocator->mutator.record.heap;
    const uint32_t block = allocator->chunk_block - 1;
    return (tenure__flags_of(&heap->blocks[block]) & TENURE__BLOCK_RESIDENTS) != 0 &&
           next_hole(allocator, block, (unsigned)(allocator->chunk_end + 8 - tenure__block_start(heap, block)) >> 4);
}

static bool block_with_holes(tenure__allocator *allocator)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    for (;;) {
        const uint32_t block = tenure__blocks_pop(heap, &heap->nursery_holes);
        if (block == TENURE__NO_BLOCK) return false;
        tenure__flags_set(&heap->blocks[block], TENURE__BLOCK_OPEN);
        if (next_hole(allocator, block, 1)) return true;
        tenure__flags_clear(&heap->blocks[block], TENURE__BLOCK_OPEN);
    }
}

/* Whether that many more blocks are within Gen 0's budget; they are counted if so. */
static bool within_budget(tenure_heap *heap, uint32_t blocks)
{
    const uint32_t used = atomic_fetch_add_explicit(&heap->gen0_used, blocks, memory_order_relaxed);
    if (used + blocks <= atomic_load_explicit(&heap->gen0_budget, memory_order_relaxed)) return true;
    if (atomic_load_explicit(&heap->disabled, memory_order_relaxed) != 0) return true;
    atomic_fetch_sub_explicit(&heap->gen0_used, blocks, memory_order_relaxed);
    return false;
}

/* So many blocks become Gen 0's, empty: up to *count, linked through next; *count says how many. */
static uint32_t take_gen0_blocks(tenure_heap *heap, uint8_t sort_kind, uint32_t *count)
{
    const uint32_t first = tenure__blocks_take(heap, count);
    if (first == TENURE__NO_BLOCK) return first;
    atomic_fetch_add_explicit(&heap->generation_blocks[0], *count, memory_order_relaxed);
    uint32_t *const list =
        heap->gen0_blocks + atomic_fetch_add_explicit(&heap->gen0_count, *count, memory_order_relaxed);
    uint32_t block = first;
    for (uint32_t i = 0; i < *count; i++, block = heap->blocks[block].next - 1) {
        memset(heap->blocks[block].first, 0, sizeof heap->blocks[block].first);
        /* The first header tells walkers that nothing is here yet. */
        tenure__header_store(tenure__block_start(heap, block) + 16, tenure__filler_header(TENURE__GRANULES - 1));
        if (sort_kind == 0) tenure__poison(tenure__block_start(heap, block) + 16, TENURE__BLOCK_BYTES - 16);
        list[i] = block;
        if (i + 1 == *count) __atomic_store_n(&heap->blocks[block].next, 0, __ATOMIC_RELAXED);
        tenure__set_kind(heap, block, (uint8_t)(tenure__kind(0) | sort_kind));
    }
    return first;
}

static void open_gen0_block(tenure__allocator *allocator, uint32_t block)
{
    tenure__note_poll(&allocator->mutator);
    tenure__flags_set(&allocator->mutator.record.heap->blocks[block], TENURE__BLOCK_OPEN);
    count_allocated(allocator, TENURE__BLOCK_BYTES);
}

/* One chunk beyond the budget between two collections, for who holds a lock that others wait for: to reach its unlock.
 */
static bool take_reserve(tenure__allocator *allocator)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    const uint64_t use = atomic_load_explicit(&heap->collected, memory_order_relaxed) + 1;
    if (heap->options.lock_grace == 0 || allocator->reserve_used == use ||
        !tenure__holds_awaited(allocator->mutator.os))
        return false;
    allocator->reserve_used = use;
    atomic_fetch_add_explicit(&heap->gen0_used, 1, memory_order_relaxed);
    return true;
}

typedef enum supply { SUPPLIED, BUDGET_SPENT, NO_MEMORY } supply;

/* How many blocks are taken at once: what all threads write is written less often so. Few by who has just begun, and
 * few of a budget that is nearly spent, for what is not used before the next collection is wasted. */
static uint32_t batch(tenure__allocator *allocator)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    const uint32_t used = atomic_load_explicit(&heap->gen0_used, memory_order_relaxed);
    const uint32_t budget = atomic_load_explicit(&heap->gen0_budget, memory_order_relaxed);
    const uint32_t fair = used < budget ? (budget - used) / BATCH_PART : 0;
    uint32_t count = allocator->batch * 2;
    if (count > BATCH_MOST) count = BATCH_MOST;
    if (count > fair) count = fair;
    return allocator->batch = count > 1 ? count : 1;
}

/* Not who holds a lock that others wait for: it takes long, and the way back may lead into a stop. */
static void populate(tenure__allocator *allocator)
{
    if (!tenure__holds_awaited(allocator->mutator.os)) tenure__populate_outside(allocator->mutator.record.heap);
}

static supply refill(tenure__allocator *allocator, size_t cell_bytes)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    /* A call that may collect is a quiescent state also when it does not. */
    if (tenure__rcu_registered()) urcu_qsbr_quiescent_state();
    if (allocator->ahead == 0) populate(allocator);
    const uint32_t open = allocator->chunk_block;
    if (open != 0 && allocator->mutator.record.top < allocator->chunk_end)
        tenure__header_store(allocator->mutator.record.top + 8,
            tenure__filler_header((unsigned)((allocator->chunk_end - allocator->mutator.record.top) >> 4)));
    /* An object that need not fit into every hole goes to a fresh block: looking for a hole that is long enough could
     * spend the whole budget, and after the collection the holes are the same again. */
    const bool fits = cell_bytes + CHUNK_SPARE <= (size_t)HOLE_MIN_GRANULES * 16;
    if (fits && further_hole(allocator)) return SUPPLIED;
    if (allocator->ahead == 0) {
        uint32_t wanted = batch(allocator), count = 1;
        if (!within_budget(heap, wanted)) {
            wanted = 1;
            if (!take_reserve(allocator)) return BUDGET_SPENT;
        }
        const bool hole = fits && block_with_holes(allocator);
        if (!hole) {
            count = wanted;
            allocator->ahead = take_gen0_blocks(heap, 0, &count) + 1;
        }
        if (count < wanted) atomic_fetch_sub_explicit(&heap->gen0_used, wanted - count, memory_order_relaxed);
        if (hole) {
            if (open != 0) tenure__flags_clear(&heap->blocks[open - 1], TENURE__BLOCK_OPEN);
            return SUPPLIED;
        }
        /* The chunk that was full stays the chunk: whoever drops it must find it walkable, and it is. */
        if (allocator->ahead == 0) return NO_MEMORY;
    }
    const uint32_t block = allocator->ahead - 1;
    allocator->ahead = heap->blocks[block].next;
    open_gen0_block(allocator, block);
    if (open != 0) tenure__flags_clear(&heap->blocks[open - 1], TENURE__BLOCK_OPEN);
    const uintptr_t base = tenure__block_start(heap, block);
    allocator->chunk_block = block + 1;
    allocator->mutator.record.top = base + 8;
    allocator->window_end = base + 8;
    allocator->chunk_end = base + TENURE__BLOCK_BYTES - 8;
    return SUPPLIED;
}

/* --- objects apart: ambiguous ones, in blocks of their own --- */

static supply refill_apart(tenure__allocator *allocator)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    populate(allocator);
    if (!within_budget(heap, 1)) return BUDGET_SPENT;
    atomic_store_explicit(&heap->ambiguous_used, true, memory_order_relaxed);
    uint32_t count = 1;
    const uint32_t block = take_gen0_blocks(heap, TENURE__KIND_AMBIGUOUS, &count);
    if (block == TENURE__NO_BLOCK) {
        atomic_fetch_sub_explicit(&heap->gen0_used, 1, memory_order_relaxed);
        return NO_MEMORY;
    }
    if (allocator->apart_block != 0) {
        if (allocator->apart_top < allocator->apart_end)
            tenure__header_store(allocator->apart_top + 8,
                tenure__filler_header((unsigned)((allocator->apart_end - allocator->apart_top) >> 4)));
        tenure__flags_clear(&heap->blocks[allocator->apart_block - 1], TENURE__BLOCK_OPEN);
    }
    open_gen0_block(allocator, block);
    const uintptr_t base = tenure__block_start(heap, block);
    memset((void *)base, 0, TENURE__BLOCK_BYTES);
    allocator->apart_block = block + 1;
    allocator->apart_top = base + 8;
    allocator->apart_end = base + TENURE__BLOCK_BYTES - 8;
    return SUPPLIED;
}

/* --- large objects --- */

/* Zeroes memory that may have been used, or populates what was not, with polls: the run is nobody's yet, so a
 * collection in between is harmless. */
static void ready_run(tenure__allocator *allocator, uintptr_t start, size_t bytes, bool zeroed)
{
    for (size_t done = 0; done < bytes; done += ZERO_STEP) {
        void *const from = (void *)(start + done);
        const size_t step = bytes - done < ZERO_STEP ? bytes - done : ZERO_STEP;
        if (zeroed)
            tenure__populate(from, step);
        else
            memset(from, 0, step);
        tenure__safepoint(&allocator->mutator);
    }
}

static supply allocate_large(tenure__allocator *allocator, uint64_t header, size_t bytes, size_t align, void **out)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    const uint8_t sort = header & TENURE__APART ? TENURE__KIND_AMBIGUOUS : 0;
    if (sort != 0) atomic_store_explicit(&heap->ambiguous_used, true, memory_order_relaxed);
    const size_t offset = align > 16 ? align : 16;
    /* 8 spare bytes at the end, so that one past the end is still inside the run. */
    const size_t total = (bytes + offset + 8 + TENURE__BLOCK_BYTES - 1) >> TENURE__BLOCK_SHIFT;
    if (total > heap->max_blocks) return NO_MEMORY;
    const uint32_t blocks = (uint32_t)total;
    /* One object may be larger than the whole budget: then it only has to be the first since the last collection. */
    const uint32_t budget = atomic_load_explicit(&heap->gen0_budget, memory_order_relaxed);
    const uint32_t counted = blocks < budget / 2 ? blocks : budget / 2;
    if (!within_budget(heap, counted)) return BUDGET_SPENT;
    bool zeroed;
    const uint32_t head = tenure__run_take(heap, blocks, &zeroed);
    if (head == TENURE__NO_BLOCK) {
        atomic_fetch_sub_explicit(&heap->gen0_used, counted, memory_order_relaxed);
        return NO_MEMORY;
    }
    const uintptr_t start = tenure__block_start(heap, head);
    /* What has references is read in the next collection: better a page fault here than in the stop. */
    if (!zeroed || tenure__plan_of(header)->has_references) ready_run(allocator, start, bytes + offset + 8, zeroed);
    memset((void *)&heap->cards[(size_t)head * TENURE__CARDS], 0, (size_t)blocks * TENURE__CARDS);
    heap->blocks[head].large_bytes = (bytes + 7) & ~(size_t)7;
    heap->blocks[head].large_offset = (uint32_t)offset;
    tenure__header_store(start + offset, (header & ~TENURE__APART) | TENURE__LARGE);
    tenure__own_lock(&heap->large_lock);
    heap->young_runs[heap->young_run_count++] = head;
    for (uint32_t i = 0; i < blocks; i++)
        tenure__set_kind(
            heap, head + i, (uint8_t)(tenure__kind(0) | (i == 0 ? TENURE__KIND_HEAD : TENURE__KIND_TAIL) | sort));
    tenure__own_unlock(&heap->large_lock);
    atomic_fetch_add_explicit(&heap->generation_blocks[0], blocks, memory_order_relaxed);
    atomic_fetch_add_explicit(&heap->large_blocks, blocks, memory_order_relaxed);
    count_allocated(allocator, (uint64_t)blocks << TENURE__BLOCK_SHIFT);
    *out = (void *)(start + offset);
    return SUPPLIED;
}

/* --- the slow path --- */

static supply try_small(tenure__allocator *allocator, uint64_t header, size_t cell_bytes, void **out)
{
    tenure_thread *self = &allocator->mutator.record;
    const uint64_t full_header = header + ((uint64_t)(cell_bytes >> 4) << TENURE__SIZE_SHIFT);
    if (header & TENURE__APART) {
        if (allocator->apart_top + cell_bytes > allocator->apart_end) {
            const supply got = refill_apart(allocator);
            if (got != SUPPLIED) return got;
        }
        const uintptr_t top = allocator->apart_top;
        allocator->apart_top = top + cell_bytes;
        tenure__header_store(top + 8, full_header & ~TENURE__APART);
        *out = (void *)(top + 8);
        return SUPPLIED;
    }
    if (self->top + cell_bytes + CHUNK_SPARE > allocator->chunk_end) {
        const supply got = refill(allocator, cell_bytes);
        if (got != SUPPLIED) return got;
    }
    if (self->top + cell_bytes > allocator->window_end) open_window(allocator, cell_bytes);
    const uintptr_t top = self->top;
    self->top = top + cell_bytes;
    tenure__zero(top + 8, cell_bytes);
    *(uint64_t *)top = full_header;
    note_first(self->heap, self->top);
    *out = (void *)(top + 8);
    return SUPPLIED;
}

static void *allocate(tenure_thread *self, uint64_t header, size_t bytes, size_t align)
{
    tenure__allocator *allocator = tenure__allocator_of(self);
    const bool large = bytes > TENURE__SMALL_MAX || align > 16;
    const size_t cell_bytes = (bytes + 8 + 15) & ~(size_t)15;
    tenure__allocation_pressure(allocator);
    tenure__collect_stage stage = TENURE__STAGE_YOUNG;
    void *object = 0;
    for (;;) {
        if (__atomic_load_n(&self->limit, __ATOMIC_RELAXED) == 0 && tenure__safepoint(&allocator->mutator)) continue;
        const supply got = large ? allocate_large(allocator, header, bytes, align, &object)
                                 : try_small(allocator, header, cell_bytes, &object);
        if (got == SUPPLIED) break;
        if (got == BUDGET_SPENT)
            tenure__collect_budget(allocator);
        else if (!tenure__collect_for_memory(allocator, bytes, &stage)) {
            errno = ENOMEM;
            break;
        }
    }
    /* Poisoned, for RCU or by torture, and no window was opened since. */
    if (__atomic_load_n(&self->limit, __ATOMIC_RELAXED) == 0)
        tenure__set_limit(&allocator->mutator, tenure__host_limit(&allocator->mutator));
    return object;
}

void *tenure__allocate_any(tenure_thread *self, uint64_t header, size_t bytes, size_t align)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    tenure__require_in(mutator, "an allocation");
    tenure__check_gc(mutator->os, "an allocation");
    if (bytes > self->heap->options.max_heap) { /* nothing that is let go could help: the handler is not asked */
        errno = ENOMEM;
        return 0;
    }
    tenure__pass(mutator->os, mutator);
    tenure__inside_begin(mutator, "an allocation");
    void *object = allocate(self, header, bytes, align);
    tenure__inside_end(mutator);
    if (self->heap->checks.sites != 0 && object != 0) tenure__site_note(self->heap, (uintptr_t)object);
    return object;
}

void *tenure__allocate_slow(tenure_thread *self, uint64_t type_header, size_t payload_bytes)
{
    return tenure__allocate_any(self, type_header, payload_bytes, 16);
}

/* --- threads/host.h --- */

void tenure__host_attached(tenure__mutator *mutator)
{
    const tenure_heap *heap = mutator->record.heap;
    mutator->record.top = NO_CHUNK;
    mutator->record.cards = (uintptr_t)heap->cards - (heap->base >> TENURE__CARD_SHIFT);
    mutator->record.arena = heap->base;
    mutator->record.blocks = heap->checks.shadow == 0 ? heap->block_count : 0;
    mutator->record.kinds = (const uint8_t *)heap->table;
}

void tenure__host_detached(tenure__mutator *mutator)
{
    tenure__allocator *allocator = (tenure__allocator *)mutator;
    tenure_heap *heap = mutator->record.heap;
    tenure__chunk_drop(allocator);
    tenure__logs_take(allocator);
    tenure__records_take(allocator);
    atomic_fetch_add_explicit(&heap->allocated_bytes,
        atomic_load_explicit(&allocator->allocated_bytes, memory_order_relaxed), memory_order_relaxed);
    for (struct tenure_stack *stack = heap->roots.stacks; stack != 0; stack = stack->next)
        if (atomic_load_explicit(&stack->runner, memory_order_relaxed) == mutator)
            atomic_store_explicit(&stack->runner, 0, memory_order_relaxed);
}

bool tenure__host_scans_stacks(const struct tenure_heap *heap)
{
    return heap->options.roots == TENURE_ROOTS_CONSERVATIVE;
}

void tenure__host_graced(tenure__mutator *mutator, uint64_t ns)
{
    tenure__histogram_record(&mutator->record.heap->graces, ns);
}

tenure__world *tenure__host_world(struct tenure_heap *heap) { return &heap->world; }
