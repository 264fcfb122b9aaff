/* The arena: one reservation without access rights, small blocks in its first half, runs for large objects in its
 * second; committed in steps of 4 MiB, given back block by block. Beside it the side tables, one mapping, populated as
 * used.
 *
 * Blocks are taken and given without locks; runs under the large lock while mutators run. */
#include "lib/check/check.h"
#include "lib/heap/heap.h"
#include "threads/system.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, RESERVE_FACTOR = 4, MIN_ARENA_BLOCKS = 4 * TENURE__COMMIT_BLOCKS, HUGE_BYTES = 2 << 20 };

static size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

static bool map_side_tables(tenure_heap *heap)
{
    const size_t n = heap->block_count;
    const size_t bitmap = n * TENURE__BITMAP_WORDS * sizeof(uint64_t);
    const size_t sizes[] = { n * sizeof(tenure__block), bitmap, bitmap, bitmap, n * TENURE__CARDS, n, n * 4, n * 4,
        n * 4 };
    enum { TABLES = sizeof sizes / sizeof sizes[0] };
    size_t offsets[TABLES], total = 0;
    for (unsigned i = 0; i < TABLES; i++) {
        offsets[i] = total;
        total += round_up(sizes[i], PAGE);
    }
    char *memory = tenure__map(total);
    if (memory == 0) return false;
    heap->side_tables = memory;
    heap->side_bytes = total;
    heap->blocks = (tenure__block *)(memory + offsets[0]);
    heap->bitmaps = heap->live = (tenure__bits *)(memory + offsets[1]);
    heap->mark = (tenure__bits *)(memory + offsets[2]);
    heap->ends = (tenure__bits *)(memory + offsets[3]);
    heap->cards = (_Atomic uint8_t *)(memory + offsets[4]);
    heap->table = (_Atomic uint8_t *)(memory + offsets[5]);
    heap->gen0_blocks = (uint32_t *)(memory + offsets[6]);
    heap->gen1_blocks = (uint32_t *)(memory + offsets[7]);
    heap->young_runs = (uint32_t *)(memory + offsets[8]);
    return true;
}

static bool try_arena(tenure_heap *heap, size_t bytes)
{
    void *memory = tenure__reserve(bytes + HUGE_BYTES);
    if (memory == 0) return false;
    heap->reservation = memory;
    heap->reservation_bytes = bytes + HUGE_BYTES;
    heap->base = round_up((uintptr_t)memory, HUGE_BYTES);
    heap->arena_bytes = bytes;
    heap->block_count = (uint32_t)(bytes >> TENURE__BLOCK_SHIFT);
    heap->large_start = heap->block_count / 2 / TENURE__COMMIT_BLOCKS * TENURE__COMMIT_BLOCKS;
    if (map_side_tables(heap)) return true;
    tenure__unmap(memory, heap->reservation_bytes);
    heap->reservation = 0;
    return false;
}

tenure_status tenure__arena_create(tenure_heap *heap)
{
    const size_t step = (size_t)TENURE__COMMIT_BLOCKS << TENURE__BLOCK_SHIFT;
    const size_t smallest = (size_t)MIN_ARENA_BLOCKS << TENURE__BLOCK_SHIFT;
    if (heap->options.max_heap > SIZE_MAX / RESERVE_FACTOR - step) return TENURE_ENOMEM; /* the product would wrap */
    size_t bytes = round_up(heap->options.max_heap, step) * RESERVE_FACTOR;
    if (bytes < smallest) bytes = smallest;
    /* Address space may be limited (RLIMIT_AS, strict overcommit): half as much, down to what max_heap itself needs. */
    while (!try_arena(heap, bytes)) {
        bytes = round_up(bytes / 2, step);
        if (bytes < smallest || bytes < heap->options.max_heap) return TENURE_ENOMEM;
    }
    heap->max_blocks = heap->options.max_heap >> TENURE__BLOCK_SHIFT;
    int error = pthread_mutex_init(&heap->large_lock, 0);
    if (error == 0) error = pthread_mutex_init(&heap->upkeep_lock, 0);
    if (error != 0) {
        tenure__arena_destroy(heap);
        errno = error;
        return TENURE_ENOMEM;
    }
    atomic_store(&heap->large_frontier, heap->large_start);
    atomic_store(&heap->large_committed, heap->large_start);
    heap->large_rover = heap->large_held = heap->large_start;
    heap->large_missing = UINT32_MAX;
    return TENURE_OK;
}

void tenure__arena_destroy(tenure_heap *heap)
{
    if (heap->reservation == 0) return;
    /* Others may get these addresses. */
    const uint32_t large_end = atomic_load(&heap->large_frontier);
    tenure__unpoison(heap->base, (size_t)atomic_load(&heap->frontier) << TENURE__BLOCK_SHIFT);
    if (large_end > heap->large_start)
        tenure__unpoison(tenure__block_start(heap, heap->large_start), (size_t)(large_end - heap->large_start)
                                                                           << TENURE__BLOCK_SHIFT);
    tenure__unmap(heap->reservation, heap->reservation_bytes);
    tenure__unmap(heap->side_tables, heap->side_bytes);
    pthread_mutex_destroy(&heap->large_lock);
    pthread_mutex_destroy(&heap->upkeep_lock);
    heap->reservation = 0;
}

/* --- committing --- */

/* Makes [committed, committed + step) accessible. Several threads may try at once: mprotect is idempotent. */
static bool commit(tenure_heap *heap, _Atomic uint32_t *committed, uint32_t wanted, uint32_t end)
{
    uint32_t from = atomic_load_explicit(committed, memory_order_acquire);
    while (from < wanted) {
        uint32_t to = from + TENURE__COMMIT_BLOCKS;
        if (to < wanted) to = wanted;
        if (to > end) to = end;
        if (to < wanted) return false;
        void *start = (void *)tenure__block_start(heap, from);
        const size_t bytes = (size_t)(to - from) << TENURE__BLOCK_SHIFT;
        if (!tenure__commit(start, bytes)) return false;
        /* release: pairs with the acquires; blocks below are accessible. */
        if (atomic_compare_exchange_strong_explicit(committed, &from, to, memory_order_acq_rel, memory_order_acquire))
            return true;
    }
    return true;
}

static bool charge(tenure_heap *heap, uint32_t blocks)
{
    /* Not added first and taken back: meanwhile others would find no room where there is some. */
    uint64_t used = atomic_load_explicit(&heap->used_blocks, memory_order_relaxed);
    do {
        if (used + blocks > heap->max_blocks) return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &heap->used_blocks, &used, used + blocks, memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* --- small blocks --- */

void tenure__blocks_push(tenure_heap *heap, tenure__index_stack *stack, uint32_t block)
{
    tenure__index_push(stack, &heap->blocks[block].next, block + 1);
}

/* Up to *count blocks, still linked; *count says how many. */
static uint32_t pop_several(tenure_heap *heap, tenure__index_stack *stack, uint32_t *count)
{
    uint64_t head = atomic_load_explicit(stack, memory_order_acquire);
    while ((uint32_t)head != 0) {
        uint32_t next = (uint32_t)head, popped = 0;
        while (next != 0 && popped < *count) {
            next = __atomic_load_n(&heap->blocks[next - 1].next, __ATOMIC_RELAXED);
            popped++;
        }
        /* The tag makes the exchange fail if any of them was popped and pushed again meanwhile (ABA). */
        if (atomic_compare_exchange_weak_explicit(
                stack, &head, ((head >> 32) + 1) << 32 | next, memory_order_acquire, memory_order_acquire)) {
            *count = popped;
            return (uint32_t)head - 1;
        }
    }
    *count = 0;
    return TENURE__NO_BLOCK;
}

uint32_t tenure__blocks_pop(tenure_heap *heap, tenure__index_stack *stack)
{
    uint32_t count = 1;
    return pop_several(heap, stack, &count);
}

/* Writes to each page. Under a hypervisor that keeps page tables of its own the first access to a page costs a fault
 * even if the system has populated it, whoever makes it. Not where it may be poisoned, and is to stay so. */
static void touch(void *start, size_t bytes)
{
    if (TENURE__POISONS) return;
    for (size_t at = 0; at < bytes; at += PAGE) __atomic_fetch_or((char *)start + at, 0, __ATOMIC_RELAXED);
}

/* A block that nobody has yet, with the bitmaps that whoever fills it writes. */
static void touch_block(tenure_heap *heap, uint32_t block)
{
    for (size_t i = 0; i < 3; i++)
        touch((void *)&heap->bitmaps[(i * heap->block_count + block) * TENURE__BITMAP_WORDS], 1);
    touch((void *)tenure__block_start(heap, block), TENURE__BLOCK_BYTES);
}

static void populate(void *start, size_t bytes)
{
#ifdef MADV_POPULATE_WRITE
    if (tenure__advise(start, bytes, MADV_POPULATE_WRITE) == 0) return;
#endif
    touch(start, bytes);
}

void tenure__populate(void *start, size_t bytes)
{
    populate(start, bytes);
    touch(start, bytes);
}

/* Before a block is handed out for the first time; the first of a huge page populates all of it, before the others can
 * be touched, for then there would be no huge page. Several may do it at once. Afterwards the system shall not make
 * huge pages again of those that are given back in part. The advice is for all that is in use: what is populated under
 * an advice of its own stays a mapping of its own, and a process may have only so many. With check=roots somebody else
 * may have taken the block by now, and its memory be closed again. */
static void populate_fresh(tenure_heap *heap, uint32_t block)
{
    const uintptr_t start = tenure__block_start(heap, block);
    if (heap->checks.vacates) return;
    if (!heap->options.huge_pages) {
        populate((void *)start, TENURE__BLOCK_BYTES); /* one call instead of eight page faults */
    } else if (start % HUGE_BYTES == 0) {
        tenure__advise((void *)heap->base, start + HUGE_BYTES - heap->base, MADV_HUGEPAGE);
        populate((void *)start, HUGE_BYTES);
        tenure__advise((void *)heap->base, start + HUGE_BYTES - heap->base, MADV_NOHUGEPAGE);
    }
}

/* A block that was never used; counted as resident. */
static uint32_t take_fresh(tenure_heap *heap)
{
    uint32_t block = atomic_load_explicit(&heap->frontier, memory_order_relaxed);
    do {
        if (block == heap->large_start) return TENURE__NO_BLOCK;
        if (!commit(heap, &heap->committed, block + 1, heap->large_start)) return TENURE__NO_BLOCK;
        populate_fresh(heap, block);
    } while (!atomic_compare_exchange_weak_explicit(
        &heap->frontier, &block, block + 1, memory_order_relaxed, memory_order_relaxed));
    touch_block(heap, block);
    atomic_fetch_add_explicit(&heap->resident_blocks, 1, memory_order_relaxed);
    return block;
}

static uint32_t take_free(tenure_heap *heap, uint32_t *count)
{
    const uint32_t first = pop_several(heap, &heap->free_blocks, count);
    if (*count != 0) atomic_fetch_sub_explicit(&heap->free_count, *count, memory_order_relaxed);
    return first;
}

static uint32_t take_returned(tenure_heap *heap)
{
    const uint32_t block = tenure__blocks_pop(heap, &heap->returned_blocks);
    if (block == TENURE__NO_BLOCK) return block;
    if (heap->checks.vacates && !tenure__vacated_open(heap, block, 1)) {
        tenure__blocks_push(heap, &heap->returned_blocks, block);
        return TENURE__NO_BLOCK;
    }
    populate((void *)tenure__block_start(heap, block), TENURE__BLOCK_BYTES);
    touch_block(heap, block);
    atomic_fetch_add_explicit(&heap->resident_blocks, 1, memory_order_relaxed);
    return block;
}

/* Up to *count blocks that are charged already, still poisoned. */
static uint32_t take_charged(tenure_heap *heap, uint32_t *count)
{
    uint32_t block = take_free(heap, count);
    if (block != TENURE__NO_BLOCK) return block;
    block = take_returned(heap);
    if (block == TENURE__NO_BLOCK) block = take_fresh(heap);
    if (block == TENURE__NO_BLOCK && heap->checks.vacates) {
        tenure__vacated_release(heap);
        block = take_returned(heap);
    }
    *count = block != TENURE__NO_BLOCK;
    return block;
}

uint32_t tenure__blocks_take(tenure_heap *heap, uint32_t *count)
{
    uint32_t charged = *count;
    if (!charge(heap, charged)) {
        charged = 1;
        if (!charge(heap, charged)) {
            *count = 0;
            return TENURE__NO_BLOCK;
        }
    }
    *count = charged;
    const uint32_t first = take_charged(heap, count);
    if (charged > *count) atomic_fetch_sub_explicit(&heap->used_blocks, charged - *count, memory_order_relaxed);
    uint32_t block = first;
    for (uint32_t i = 0; i < *count; i++, block = heap->blocks[block].next - 1)
        tenure__unpoison(tenure__block_start(heap, block), TENURE__BLOCK_BYTES);
    return first;
}

uint32_t tenure__block_take(tenure_heap *heap)
{
    uint32_t count = 1;
    return tenure__blocks_take(heap, &count);
}

void tenure__blocks_give(tenure_heap *heap, uint32_t first, uint32_t last, uint32_t count)
{
    if (heap->checks.vacates) {
        tenure__vacate(heap, first, count);
        return;
    }
    uint64_t head = atomic_load_explicit(&heap->free_blocks, memory_order_relaxed);
    do {
        __atomic_store_n(&heap->blocks[last].next, (uint32_t)head, __ATOMIC_RELAXED);
    } while (!atomic_compare_exchange_weak_explicit(
        &heap->free_blocks, &head, ((head >> 32) + 1) << 32 | (first + 1), memory_order_release, memory_order_relaxed));
    atomic_fetch_add_explicit(&heap->free_count, count, memory_order_relaxed);
    atomic_fetch_sub_explicit(&heap->used_blocks, count, memory_order_relaxed);
}

void tenure__block_give(tenure_heap *heap, uint32_t block) { tenure__blocks_give(heap, block, block, 1); }

/* --- runs of the large part --- */

/* The first free run of that length at or after from, before end; end: none. */
static uint32_t find_run(tenure_heap *heap, uint32_t from, uint32_t end, uint32_t blocks)
{
    uint32_t length = 0;
    for (uint32_t at = from; at < end; at++) {
        length = tenure__kind_of(heap, at) == TENURE__KIND_FREE ? length + 1 : 0;
        if (length == blocks) return at + 1 - blocks;
    }
    return end;
}

static uint32_t place_run_locked(tenure_heap *heap, uint32_t blocks)
{
    const uint32_t frontier = atomic_load_explicit(&heap->large_frontier, memory_order_relaxed);
    uint32_t head = frontier;
    if (blocks < heap->large_missing) { /* else a heap that grows would look through all of it for each object */
        head = find_run(heap, heap->large_rover, frontier, blocks);
        if (head == frontier) head = find_run(heap, heap->large_start, frontier, blocks);
        if (head != frontier) return head;
        heap->large_missing = blocks;
    }
    /* At the end, together with the free blocks just before it. */
    while (head > heap->large_start && tenure__kind_of(heap, head - 1) == TENURE__KIND_FREE) head--;
    if (blocks > heap->block_count - head) return TENURE__NO_BLOCK;
    if (!commit(heap, &heap->large_committed, head + blocks, heap->block_count)) return TENURE__NO_BLOCK;
    for (uint32_t i = frontier; i < head + blocks; i++) heap->blocks[i].returned = 1;
    atomic_store_explicit(&heap->large_frontier, head + blocks, memory_order_relaxed);
    return head;
}

uint32_t tenure__run_take(tenure_heap *heap, uint32_t blocks, bool *zeroed)
{
    if (!charge(heap, blocks)) return TENURE__NO_BLOCK;
    tenure__own_lock(&heap->large_lock);
    uint32_t head = place_run_locked(heap, blocks);
    if (head != TENURE__NO_BLOCK && heap->checks.vacates && !tenure__vacated_open(heap, head, blocks))
        head = TENURE__NO_BLOCK;
    *zeroed = true;
    if (head != TENURE__NO_BLOCK) {
        heap->large_rover = head + blocks;
        uint32_t fresh = 0;
        for (uint32_t i = head; i < head + blocks; i++) {
            *zeroed &= heap->blocks[i].returned != 0;
            fresh += heap->blocks[i].returned;
            heap->blocks[i].returned = 0;
            heap->blocks[i].head_distance = i - head;
            tenure__set_kind(heap, i, TENURE__KIND_RESERVED);
        }
        heap->blocks[head].run_blocks = blocks;
        tenure__unpoison(tenure__block_start(heap, head), (size_t)blocks << TENURE__BLOCK_SHIFT);
        atomic_fetch_add_explicit(&heap->resident_blocks, fresh, memory_order_relaxed);
    }
    tenure__own_unlock(&heap->large_lock);
    if (head == TENURE__NO_BLOCK) atomic_fetch_sub_explicit(&heap->used_blocks, blocks, memory_order_relaxed);
    return head;
}

void tenure__run_give(tenure_heap *heap, uint32_t head)
{
    const uint32_t blocks = heap->blocks[head].run_blocks;
    tenure__poison(tenure__block_start(heap, head), (size_t)blocks << TENURE__BLOCK_SHIFT);
    heap->large_missing = UINT32_MAX;
    if (head < heap->large_held) heap->large_held = head;
    for (uint32_t i = head; i < head + blocks; i++) {
        atomic_store_explicit(&heap->blocks[i].flags, 0, memory_order_relaxed);
        tenure__set_kind(heap, i, TENURE__KIND_FREE);
    }
    if (heap->checks.vacates)
        tenure__vacate_run(heap, head, blocks);
    else if (head < heap->large_rover)
        heap->large_rover = head;
    atomic_fetch_sub_explicit(&heap->used_blocks, blocks, memory_order_relaxed);
}

/* --- the daemon's work: memory ahead of need, and back to the system --- */

static bool populate_one(tenure_heap *heap)
{
    uint32_t block = take_returned(heap);
    if (block == TENURE__NO_BLOCK) block = take_fresh(heap);
    if (block == TENURE__NO_BLOCK) return false;
    tenure__poison(tenure__block_start(heap, block), TENURE__BLOCK_BYTES);
    tenure__blocks_push(heap, &heap->free_blocks, block);
    atomic_fetch_add_explicit(&heap->free_count, 1, memory_order_relaxed);
    return true;
}

/* One step under the upkeep lock: a fork finds every block in some list. */
static bool locked_step(tenure_heap *heap, bool (*step)(tenure_heap *))
{
    tenure__own_lock(&heap->upkeep_lock);
    /* seq_cst, both: the verifier, which takes no lock, sees an even count and the same one if no list changed. */
    atomic_fetch_add(&heap->upkeep_steps, 1);
    const bool done = step(heap);
    atomic_fetch_add(&heap->upkeep_steps, 1);
    tenure__own_unlock(&heap->upkeep_lock);
    return done;
}

/* relaxed, all: what was right a moment ago is right enough. */
bool tenure__blocks_short(const tenure_heap *heap)
{
    const uint32_t used = atomic_load_explicit(&heap->gen0_used, memory_order_relaxed);
    const uint32_t budget = atomic_load_explicit(&heap->gen0_budget, memory_order_relaxed);
    const uint32_t ready = atomic_load_explicit(&heap->free_count, memory_order_relaxed);
    return ready < atomic_load_explicit(&heap->survivors, memory_order_relaxed) + (used < budget ? budget - used : 0) &&
           atomic_load_explicit(&heap->used_blocks, memory_order_relaxed) + ready < heap->max_blocks;
}

bool tenure__populate_ahead(tenure_heap *heap) { return tenure__blocks_short(heap) && locked_step(heap, populate_one); }

/* Until a stop comes, which it may help. relaxed, all: hints; a stop that reads an old number of populators invites a
 * helper too many or too few. Nobody waits for it but a fork, by the lock. */
static void populate_some(void *arg)
{
    enum { AT_ONCE = 16 };
    tenure_heap *heap = arg;
    atomic_fetch_add_explicit(&heap->populators, 1, memory_order_relaxed);
    for (unsigned i = 0; i < AT_ONCE; i++) {
        if ((atomic_load_explicit(&heap->world.request, memory_order_relaxed) & 1) != 0) break;
        if (!tenure__populate_ahead(heap)) break;
    }
    atomic_fetch_sub_explicit(&heap->populators, 1, memory_order_relaxed);
}

void tenure__populate_outside(tenure_heap *heap)
{
    if (!tenure__blocks_short(heap)) return;
    /* Somebody is at it, and there is enough for the next collection: others need not wait. */
    const bool enough = atomic_load_explicit(&heap->free_count, memory_order_relaxed) >
                        atomic_load_explicit(&heap->survivors, memory_order_relaxed);
    if (enough && (atomic_load_explicit(&heap->upkeep_steps, memory_order_relaxed) & 1) != 0) return;
    tenure__outside(populate_some, heap);
}

/* False: the system keeps it, contents and all (locked memory, say). */
static bool give_back(tenure_heap *heap, uint32_t block, uint32_t blocks)
{
    const size_t bytes = (size_t)blocks << TENURE__BLOCK_SHIFT;
    return tenure__advise((void *)tenure__block_start(heap, block), bytes, MADV_DONTNEED) == 0;
}

/* Under the lock that makes them returned: a forked child counts what its parent's daemon had in hand. */
static void count_returned(tenure_heap *heap, uint32_t blocks)
{
    atomic_fetch_sub_explicit(&heap->resident_blocks, blocks, memory_order_relaxed);
    atomic_fetch_add_explicit(&heap->returned_bytes, (uint64_t)blocks << TENURE__BLOCK_SHIFT, memory_order_relaxed);
}

/* One free run that still holds memory: claimed under both locks, given back outside them. False: there is none. */
static bool return_run(tenure_heap *heap)
{
    enum { AT_ONCE = 512 };
    tenure__lock_stop(&heap->world);
    tenure__own_lock(&heap->large_lock);
    const uint32_t end = atomic_load_explicit(&heap->large_frontier, memory_order_relaxed);
    uint32_t from = heap->large_held;
    while (from < end && (tenure__kind_of(heap, from) != TENURE__KIND_FREE || heap->blocks[from].returned)) from++;
    uint32_t to = from;
    for (; to < end && to - from < AT_ONCE && tenure__kind_of(heap, to) == TENURE__KIND_FREE &&
           !heap->blocks[to].returned;
         to++) {
        heap->blocks[to].returned = 1; /* reserved and returned: a forked child knows whose it was */
        tenure__set_kind(heap, to, TENURE__KIND_RESERVED);
    }
    heap->large_held = to;
    tenure__own_unlock(&heap->large_lock);
    tenure__unlock_stop(&heap->world);
    if (from == to) return false;
    const bool given = give_back(heap, from, to - from);
    tenure__lock_stop(&heap->world);
    tenure__own_lock(&heap->large_lock);
    heap->large_missing = UINT32_MAX;
    for (uint32_t i = from; i < to; i++) {
        heap->blocks[i].returned = given;
        tenure__set_kind(heap, i, TENURE__KIND_FREE);
    }
    if (given)
        count_returned(heap, to - from);
    else if (from < heap->large_held)
        heap->large_held = from;
    tenure__own_unlock(&heap->large_lock);
    tenure__unlock_stop(&heap->world);
    return given;
}

static bool return_block(tenure_heap *heap)
{
    uint32_t count = 1;
    const uint32_t block = take_free(heap, &count);
    if (block == TENURE__NO_BLOCK) return false;
    const bool given = give_back(heap, block, 1);
    tenure__poison(tenure__block_start(heap, block), TENURE__BLOCK_BYTES);
    tenure__blocks_push(heap, given ? &heap->returned_blocks : &heap->free_blocks, block);
    if (given)
        count_returned(heap, 1);
    else
        atomic_fetch_add_explicit(&heap->free_count, 1, memory_order_relaxed);
    return given;
}

bool tenure__arena_return(tenure_heap *heap, uint32_t keep_blocks)
{
    bool more = return_run(heap);
    for (unsigned i = 0; i < 1024; i++) {
        if (atomic_load_explicit(&heap->free_count, memory_order_relaxed) <= keep_blocks) return more;
        if (!locked_step(heap, return_block)) return more;
        more = true;
    }
    return more;
}

void tenure__arena_forked(tenure_heap *heap)
{
    const uint32_t end = atomic_load_explicit(&heap->large_frontier, memory_order_relaxed);
    heap->large_missing = UINT32_MAX;
    heap->large_held = heap->large_start;
    atomic_store_explicit(&heap->populators, 0, memory_order_relaxed);
    for (uint32_t block = heap->large_start; block < end; block++) {
        if (tenure__kind_of(heap, block) != TENURE__KIND_RESERVED) continue;
        if (!heap->blocks[block].returned)
            atomic_fetch_sub_explicit(&heap->used_blocks, 1, memory_order_relaxed);
        else if (!give_back(heap, block, 1)) /* the daemon had not come to it, perhaps */
            heap->blocks[block].returned = 0;
        else
            count_returned(heap, 1);
        tenure__set_kind(heap, block, TENURE__KIND_FREE);
    }
}
