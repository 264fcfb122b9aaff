/* How large Gen 0 is, which collection comes next, when Gen 2 is due. Everything is in blocks.
 *
 * Gen 0's budget follows the number of running mutators, and then the pause target, the share of time that stopping
 * costs, and what max_heap leaves. Which collection runs follows CPython's counts. The trigger of Gen 2 follows its live
 * size (a step toward MemBalancer, Kirisame, Shenoy, Panchekha, OOPSLA 2022, whose square root small heaps approach by the
 * constant). */
#include "lib/collection/cycle.h"
#include "lib/heap/limits.h"

enum {
    BUDGET_PER_MUTATOR = (16 << 20) >> TENURE__BLOCK_SHIFT,
    BUDGET_MIN = (512 << 10) >> TENURE__BLOCK_SHIFT,
    BUDGET_CAP_DEFAULT = (64 << 20) >> TENURE__BLOCK_SHIFT,
    POPULATE_MAX = (32 << 20) >> TENURE__BLOCK_SHIFT,
    GEN1_AFTER = 4,
    GEN1_PROBE = 64,         /* direct promotions before Gen 1's survival is measured again */
    GEN2_GROWTH_PERCENT = 60,
    GEN2_GROWTH_MIN = (32 << 20) >> TENURE__BLOCK_SHIFT
};

static uint32_t limited(const tenure_heap *heap, uint64_t budget)
{
    const uint64_t old = atomic_load_explicit(&heap->generation_blocks[1], memory_order_relaxed) +
                         atomic_load_explicit(&heap->generation_blocks[2], memory_order_relaxed);
    /* Survivors need as much room again in the worst case. */
    const uint64_t room = heap->max_blocks > old ? (heap->max_blocks - old) / 2 : 0;
    if (budget > room) budget = room;
    return (uint32_t)(budget > BUDGET_MIN ? budget : BUDGET_MIN);
}

static uint64_t fixed_budget(const tenure_heap *heap)
{
    const uint64_t bytes = heap->thresholds.gen0_bytes;
    return bytes >> TENURE__BLOCK_SHIFT;
}

static void set_gen2_trigger(tenure_heap *heap)
{
    const uint64_t live = atomic_load_explicit(&heap->generation_blocks[2], memory_order_relaxed);
    const uint64_t percent =
        heap->thresholds.gen2_growth_percent != 0 ? heap->thresholds.gen2_growth_percent : GEN2_GROWTH_PERCENT;
    uint64_t growth = live * percent / 100;
    if (heap->thresholds.gen2_growth_percent == 0 && growth < GEN2_GROWTH_MIN) growth = GEN2_GROWTH_MIN;
    /* Near max_heap: half of what is left, so that there is room for the young generations. */
    const uint64_t left = heap->max_blocks > live ? (heap->max_blocks - live) / 2 : 0;
    if (growth > left) growth = left;
    heap->gen2_trigger_blocks = live + growth;
}

void tenure__sizing_init(tenure_heap *heap)
{
    heap->thresholds = (tenure_thresholds){ heap->options.gen0, heap->options.gen1_after, heap->options.gen2_growth };
    heap->gen1_after = heap->options.gen1_after != 0 ? heap->options.gen1_after : GEN1_AFTER;
    const uint64_t cache = tenure__cache_bytes("") / 2 >> TENURE__BLOCK_SHIFT;
    heap->budget_cap = cache < BUDGET_CAP_DEFAULT ? cache : BUDGET_CAP_DEFAULT;
    if (heap->budget_cap < BUDGET_PER_MUTATOR) heap->budget_cap = BUDGET_PER_MUTATOR;
    heap->budget_wanted = BUDGET_PER_MUTATOR;
    const uint64_t fixed = fixed_budget(heap);
    atomic_store(&heap->gen0_budget, limited(heap, fixed != 0 ? fixed : BUDGET_PER_MUTATOR));
    set_gen2_trigger(heap);
    heap->order = (tenure__order){ 0, "budget" };
}

/* Toward the pause target, and away from stopping too often. */
static void adapt_budget(tenure_heap *heap, const tenure__event *event)
{
    if (event->generation == 2) return;
    /* CPU time: what other processes cost is no reason to collect more often. */
    const uint64_t work = event->cpu_ns / event->workers;
    /* An average: one pause with many survivors (start-up, a burst) is no reason to copy more often. */
    heap->young_work_average_ns = (heap->young_work_average_ns * 7 + work) / 8;
    const uint64_t runners = event->threads_stopped + 1u;
    uint64_t wanted = heap->budget_wanted;
    const uint64_t base = runners * BUDGET_PER_MUTATOR;
    if (heap->young_work_average_ns > heap->options.pause_target) wanted -= wanted / 4;
    else if (wanted < base) wanted += (base - wanted) / 2 + 1;
    else if (event->reach_ns * 20 > event->at_ns - heap->last_end_ns) wanted += wanted / 4;
    else if (wanted > base) wanted -= (wanted - base) / 16;
    if (wanted > heap->budget_cap) wanted = heap->budget_cap;
    if (wanted < BUDGET_MIN) wanted = BUDGET_MIN;
    heap->budget_wanted = (uint32_t)wanted;
}

/* Blocks that were first touched by whoever took them cost a page fault for every 4 KiB, in a stop or in a mutator: so
 * many more are kept populated ahead, and less when they were not needed. */
static void adapt_populate(tenure_heap *heap)
{
    const uint32_t missed = atomic_exchange_explicit(&heap->fresh_taken, 0, memory_order_relaxed);
    uint32_t ready = atomic_load_explicit(&heap->populate_blocks, memory_order_relaxed);
    ready = missed != 0 ? ready + missed : ready - ready / 64;
    if (ready < TENURE__COMMIT_BLOCKS) ready = TENURE__COMMIT_BLOCKS;
    if (ready > POPULATE_MAX) ready = POPULATE_MAX;
    atomic_store_explicit(&heap->populate_blocks, ready, memory_order_relaxed);
}

/* 1 while more than half of Gen 1 survives: what lives long is copied once instead of twice. */
static void adapt_gen1(tenure_heap *heap, const tenure__event *event)
{
    if (heap->thresholds.gen1_after != 0) {
        heap->gen1_after = heap->thresholds.gen1_after;
        return;
    }
    if (event->generation != 1) return;
    if (heap->gen1_after == 1) {
        if (++heap->direct_promotions >= GEN1_PROBE) heap->gen1_after = GEN1_AFTER;
        return;
    }
    heap->direct_promotions = 0;
    const uint64_t before = event->before_bytes[1];
    /* What is copied beyond a Gen 0 collection's usual share came from Gen 1. */
    const uint64_t from_gen0 = heap->gen0_copied_average;
    const uint64_t from_gen1 = event->copied_bytes > from_gen0 ? event->copied_bytes - from_gen0 : 0;
    heap->gen1_after = before > (1 << 20) && from_gen1 * 2 > before ? 1 : GEN1_AFTER;
}

static void next_order(tenure_heap *heap)
{
    const uint64_t gen1 = atomic_load_explicit(&heap->generation_blocks[1], memory_order_relaxed);
    const uint64_t budget = atomic_load_explicit(&heap->gen0_budget, memory_order_relaxed);
    if (heap->young_since + 1 >= heap->gen1_after) heap->order = (tenure__order){ 1, "gen1 count" };
    else if (gen1 > 2 * budget) heap->order = (tenure__order){ 1, "gen1 size" };
    else heap->order = (tenure__order){ 0, "budget" };
}

void tenure__sizing_update(tenure_heap *heap, const tenure__event *event)
{
    if (event->generation == 0) {
        heap->young_since++;
        heap->gen0_copied_average = (heap->gen0_copied_average * 7 + event->copied_bytes) / 8;
    } else {
        heap->young_since = 0;
    }
    if (event->generation == 2) {
        heap->live_bytes = atomic_load_explicit(&heap->generation_blocks[2], memory_order_relaxed)
                           << TENURE__BLOCK_SHIFT;
        heap->external_at_full = atomic_load_explicit(&heap->external_bytes, memory_order_relaxed);
        set_gen2_trigger(heap);
    }
    adapt_budget(heap, event);
    adapt_gen1(heap, event);
    adapt_populate(heap);
    heap->last_end_ns = tenure__now_ns() - heap->created_ns;
    const uint64_t fixed = fixed_budget(heap);
    atomic_store_explicit(&heap->gen0_budget, limited(heap, fixed != 0 ? fixed : heap->budget_wanted),
        memory_order_relaxed);
    next_order(heap);
    const int64_t external =
        atomic_load_explicit(&heap->external_bytes, memory_order_relaxed) - heap->external_at_full;
    const uint64_t old = atomic_load_explicit(&heap->generation_blocks[2], memory_order_relaxed) +
                         (external > 0 ? (uint64_t)external >> TENURE__BLOCK_SHIFT : 0);
    const bool due = event->generation != 2 && old > heap->gen2_trigger_blocks &&
                     atomic_load_explicit(&heap->disabled, memory_order_relaxed) == 0;
    if (due) atomic_store_explicit(&heap->full_wanted, true, memory_order_release);
}

/* --- thresholds --- */

void tenure_thresholds_get(tenure_heap *heap, tenure_thresholds *out)
{
    tenure__lock_stop(&heap->world);
    *out = heap->thresholds;
    tenure__unlock_stop(&heap->world);
}

void tenure_thresholds_set(tenure_heap *heap, const tenure_thresholds *thresholds)
{
    tenure__lock_stop(&heap->world);
    heap->thresholds = *thresholds;
    heap->gen1_after = thresholds->gen1_after != 0 ? thresholds->gen1_after : GEN1_AFTER;
    const uint64_t fixed = fixed_budget(heap);
    if (fixed != 0) atomic_store_explicit(&heap->gen0_budget, limited(heap, fixed), memory_order_relaxed);
    set_gen2_trigger(heap);
    next_order(heap);
    tenure__unlock_stop(&heap->world);
}
