/* How large Gen 0 is, which collection comes next, when Gen 2 is due. Everything is in blocks.
 *
 * Gen 0's budget follows what collecting costs for each byte allocated, the pause target, and what max_heap leaves.
 * Which collection runs follows CPython's counts. The trigger of Gen 2 follows its live size (a step toward
 * MemBalancer, Kirisame, Shenoy, Panchekha, OOPSLA 2022, whose square root small heaps approach by the constant). */
#include "lib/collection/cycle.h"
#include "lib/heap/limits.h"

enum {
    LEVEL0 = (1 << 20) >> TENURE__BLOCK_SHIFT, /* level n is a budget of 2^n MiB */
    LEVEL_FIRST = 4,                           /* for one mutator */
    LEVEL_START = 2,
    RISE_MAX = 256, /* collections */
    LEVEL_MAX = 6,
    TRIAL = 16, /* collections; so many at a hold's end are what a trial is compared with */
    HOLD_MIN = 16,
    HOLD_FIRST = 64,         /* a program's start is not its nature */
    SHORT_PAUSE_NS = 100000, /* nothing is gained by shorter ones */
    HOLD_MAX = 512,
    BUDGET_MIN = (512 << 10) >> TENURE__BLOCK_SHIFT,
    POPULATE_MAX = (32 << 20) >> TENURE__BLOCK_SHIFT,
    GEN1_AFTER = 4,
    GEN1_PROBE = 64, /* direct promotions before Gen 1's survival is measured again */
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

/* relaxed: written by one at a time, in a stop or under its lock; others read figures. */
static uint32_t count_of(const _Atomic uint32_t *count) { return atomic_load_explicit(count, memory_order_relaxed); }
static void set_count(_Atomic uint32_t *count, uint32_t value)
{
    atomic_store_explicit(count, value, memory_order_relaxed);
}

/* Without the holes: what a program's changing sizes leave empty is no reason to wait for more. */
static uint64_t gen2_occupied(const tenure_heap *heap)
{
    return atomic_load_explicit(&heap->generation_blocks[2], memory_order_relaxed) -
           atomic_load_explicit(&heap->gen2_holes, memory_order_relaxed) / TENURE__GRANULES;
}

static void set_gen2_trigger(tenure_heap *heap)
{
    const uint64_t live = gen2_occupied(heap);
    const uint64_t percent =
        heap->thresholds.gen2_growth_percent != 0 ? heap->thresholds.gen2_growth_percent : GEN2_GROWTH_PERCENT;
    uint64_t growth = live * percent / 100;
    if (heap->thresholds.gen2_growth_percent == 0 && growth < GEN2_GROWTH_MIN) growth = GEN2_GROWTH_MIN;
    /* Near max_heap: half of what is left, so that there is room for the young generations. */
    const uint64_t used = atomic_load_explicit(&heap->generation_blocks[2], memory_order_relaxed);
    const uint64_t left = heap->max_blocks > used ? (heap->max_blocks - used) / 2 : 0;
    if (growth > left) growth = left;
    /* Holes that nothing fits into let it take more and more. A collection that cannot help is not repeated at once. */
    const uint64_t most = live * 2 > used + growth / 4 ? live * 2 : used + growth / 4;
    heap->gen2_most_blocks = most > GEN2_GROWTH_MIN ? most : GEN2_GROWTH_MIN;
    atomic_store_explicit(&heap->gen2_trigger_blocks, live + growth, memory_order_relaxed); /* as above */
}

static uint64_t level_blocks(unsigned level) { return (uint64_t)LEVEL0 << level; }

static void begin(tenure__budget *budget, unsigned level, unsigned collections)
{
    budget->level = level;
    budget->left = collections;
    budget->cost_ns = budget->allocated_bytes = 0;
}

void tenure__sizing_init(tenure_heap *heap)
{
    heap->thresholds = (tenure_thresholds) { heap->options.gen0, heap->options.gen1_after, heap->options.gen2_growth };
    set_count(&heap->gen1_after, heap->options.gen1_after != 0 ? heap->options.gen1_after : GEN1_AFTER);
    /* Half the last-level cache, but the first level in any case. */
    const uint64_t cache = tenure__cache_bytes("") / 2 >> TENURE__BLOCK_SHIFT;
    tenure__budget *budget = &heap->budget;
    budget->level_max = LEVEL_FIRST;
    while (budget->level_max < LEVEL_MAX && level_blocks(budget->level_max + 1) <= cache) budget->level_max++;
    budget->hold = HOLD_MIN;
    budget->up = true;
    budget->runners = 1;
    budget->level_first = LEVEL_FIRST;
    budget->rising = true;
    begin(budget, LEVEL_START, RISE_MAX);
    const uint64_t fixed = fixed_budget(heap);
    atomic_store(&heap->gen0_budget, limited(heap, fixed != 0 ? fixed : level_blocks(LEVEL_START)));
    set_gen2_trigger(heap);
    heap->order = (tenure__order) { 0, "budget" };
}

/* --- Gen 0's budget --- */

/* What collecting cost since the trial or the hold began, for each byte allocated. */
static double cost(const tenure__budget *budget)
{
    return (double)budget->cost_ns / (double)(budget->allocated_bytes + 1);
}

/* A hold is over: try the other neighbour of the level next. */
static void try_neighbour(tenure__budget *budget)
{
    budget->held_cost = cost(budget);
    if (budget->up || budget->held_cost < budget->reference_cost) budget->reference_cost = budget->held_cost;
    budget->held_level = budget->level;
    budget->up = !budget->up;
    const unsigned level = budget->up ? budget->level + 1 : budget->level - 1;
    const bool short_enough = !budget->up && budget->work_average_ns < SHORT_PAUSE_NS;
    if (level > budget->level_max || short_enough) { /* none there (also below 0), or no reason to */
        begin(budget, budget->level, budget->hold);
        return;
    }
    budget->trying = true;
    begin(budget, level, TRIAL);
}

/* A trial is over: smaller is better while it costs about what the best larger one did (shorter pauses, better cached),
 * larger only if it pays. Where neither improves the holds grow longer. */
static void judge_trial(tenure__budget *budget)
{
    budget->trying = false;
    const double now = cost(budget);
    const bool better = budget->up ? now < 0.8 * budget->held_cost : now < 1.25 * budget->reference_cost;
    if (better) budget->up = !budget->up; /* the same direction again */
    if (better)
        budget->hold = HOLD_MIN;
    else if (budget->up && budget->hold < HOLD_MAX)
        budget->hold *= 2; /* neither direction was better */
    begin(budget, better ? budget->level : budget->held_level, budget->hold);
}

/* A program's start may keep all that it allocates. So Gen 0 begins small, and gets twice as much after each collection
 * that was well within the pause target, until it has what the mutators that run are given at first. */
static void rise(tenure__budget *budget, uint64_t work_ns, uint64_t target_ns)
{
    if (work_ns < target_ns / 4) budget->level++;
    if (budget->level < budget->level_first && budget->left-- > 1) return;
    budget->rising = false;
    begin(budget, budget->level, HOLD_FIRST);
}

/* Hill climbing over powers of two: a larger nursery gives objects more time to die, a smaller one fits the caches and
 * stops for shorter; which matters more is the program's nature, and shows in the cost for each byte allocated. CPU
 * time: what other processes cost is no reason to collect more often. */
static void adapt_budget(tenure_heap *heap, const tenure_collection *event)
{
    if (event->generation == 2) return;
    tenure__budget *budget = &heap->budget;
    const uint64_t work_ns = event->cpu_ns / event->workers;
    if (budget->left <= TRIAL) {
        budget->cost_ns += event->cpu_ns + event->reach_ns * event->threads_stopped;
        budget->allocated_bytes += event->before_bytes[0];
    }
    budget->work_average_ns = (budget->work_average_ns * 7 + work_ns) / 8;
    const unsigned runners = event->threads_stopped + 1;
    if (runners >= 2 * budget->runners && budget->level_first < budget->level_max) { /* threads were added */
        budget->runners = runners;
        budget->level_first++;
        if (budget->rising) return;
        budget->trying = false;
        begin(budget, budget->level < budget->level_max ? budget->level + 1 : budget->level, HOLD_FIRST);
        return;
    }
    if (budget->rising) {
        rise(budget, work_ns, heap->options.pause_target);
        return;
    }
    if (budget->left-- > 1) return;
    if (budget->trying)
        judge_trial(budget);
    else if (budget->work_average_ns > heap->options.pause_target && budget->level > 0)
        begin(budget, budget->level - 1, budget->hold = HOLD_MIN);
    else
        try_neighbour(budget);
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
static void adapt_gen1(tenure_heap *heap, const tenure_collection *event)
{
    if (heap->thresholds.gen1_after != 0) {
        set_count(&heap->gen1_after, heap->thresholds.gen1_after);
        return;
    }
    if (event->generation != 1) return;
    if (count_of(&heap->gen1_after) == 1) {
        if (++heap->direct_promotions >= GEN1_PROBE) set_count(&heap->gen1_after, GEN1_AFTER);
        return;
    }
    heap->direct_promotions = 0;
    /* Bytes, not blocks: of a small Gen 1 much is room in open buffers. */
    const uint64_t before = heap->gen1_copied_bytes;
    heap->gen1_copied_bytes = 0;
    /* What is copied beyond a Gen 0 collection's usual share came from Gen 1. */
    const uint64_t from_gen0 = heap->gen0_copied_average;
    const uint64_t from_gen1 = event->copied_bytes > from_gen0 ? event->copied_bytes - from_gen0 : 0;
    set_count(&heap->gen1_after, from_gen1 * 2 > before ? 1 : GEN1_AFTER);
}

/* Of Gen 0, more than half survived: so may what Gen 1 has of it, and then it is better copied now than with more. */
static bool most_survived(const tenure_collection *event)
{
    return event->generation == 0 && event->copied_bytes * 2 > event->before_bytes[0];
}

static void next_order(tenure_heap *heap, bool keeps)
{
    /* The daemon did not come to it within a whole budget: whoever spends the next one waits for it. */
    if (atomic_load_explicit(&heap->full_wanted, memory_order_relaxed) != 0) {
        heap->order = (tenure__order) { 2, "gen2 late" };
        return;
    }
    const uint64_t gen1 = atomic_load_explicit(&heap->generation_blocks[1], memory_order_relaxed);
    const uint64_t budget = atomic_load_explicit(&heap->gen0_budget, memory_order_relaxed);
    if (count_of(&heap->young_since) + 1 >= count_of(&heap->gen1_after))
        heap->order = (tenure__order) { 1, "gen1 count" };
    else if (keeps && heap->thresholds.gen1_after == 0)
        heap->order = (tenure__order) { 1, "gen1 survival" };
    else if (gen1 > 2 * budget)
        heap->order = (tenure__order) { 1, "gen1 size" };
    else
        heap->order = (tenure__order) { 0, "budget" };
}

/* relaxed, all: figures. */
uint64_t tenure__old_blocks(const tenure_heap *heap)
{
    const int64_t external = atomic_load_explicit(&heap->external_bytes, memory_order_relaxed) -
                             atomic_load_explicit(&heap->external_at_full, memory_order_relaxed);
    return gen2_occupied(heap) + (external > 0 ? (uint64_t)external >> TENURE__BLOCK_SHIFT : 0);
}

static const char *grown(const tenure_heap *heap)
{
    const uint64_t trigger = atomic_load_explicit(&heap->gen2_trigger_blocks, memory_order_relaxed);
    if (tenure__old_blocks(heap) > trigger) return "gen2 growth";
    return atomic_load_explicit(&heap->generation_blocks[2], memory_order_relaxed) > heap->gen2_most_blocks
               ? "gen2 holes"
               : 0;
}

/* A full collection finds out what died, and where blocks became sparse; the next one can empty them. That is worth a
 * collection of its own if it costs less than the one that is over, since less lives than died. */
static const char sparse_reason[] = "gen2 sparse";
static const char *sparse(const tenure_heap *heap, const tenure_collection *event)
{
    const uint64_t holes = atomic_load_explicit(&heap->gen2_holes, memory_order_relaxed) / TENURE__GRANULES;
    return holes > GEN2_GROWTH_MIN && holes > gen2_occupied(heap) && event->reason != sparse_reason ? sparse_reason : 0;
}

void tenure__sizing_update(tenure_heap *heap, const tenure_collection *event)
{
    if (event->generation == 0) {
        set_count(&heap->young_since, count_of(&heap->young_since) + 1);
        const uint64_t average = heap->gen0_copied_average;
        heap->gen0_copied_average = average != 0 ? (average * 7 + event->copied_bytes) / 8 : event->copied_bytes;
        heap->gen1_copied_bytes += event->copied_bytes;
    } else {
        set_count(&heap->young_since, 0);
    }
    if (event->generation == 2) {
        atomic_store_explicit(&heap->live_bytes, gen2_occupied(heap) << TENURE__BLOCK_SHIFT, memory_order_relaxed);
        atomic_store_explicit(&heap->external_at_full,
            atomic_load_explicit(&heap->external_bytes, memory_order_relaxed), memory_order_relaxed);
        set_gen2_trigger(heap);
    }
    adapt_budget(heap, event);
    adapt_gen1(heap, event);
    adapt_populate(heap);
    const uint64_t fixed = fixed_budget(heap);
    atomic_store_explicit(
        &heap->gen0_budget, limited(heap, fixed != 0 ? fixed : level_blocks(heap->budget.level)), memory_order_relaxed);
    next_order(heap, most_survived(event));
    if (atomic_load_explicit(&heap->disabled, memory_order_relaxed) != 0) return;
    const char *reason = event->generation == 2 ? sparse(heap, event) : grown(heap);
    /* release: pairs with the daemon's exchange, which reads the reason's text. */
    if (reason != 0) atomic_store_explicit(&heap->full_wanted, reason, memory_order_release);
}

/* --- thresholds --- */

static void get_thresholds(tenure_heap *heap, void *out) { *(tenure_thresholds *)out = heap->thresholds; }

static void set_thresholds(tenure_heap *heap, void *arg)
{
    const tenure_thresholds *thresholds = arg;
    heap->thresholds = *thresholds;
    set_count(&heap->gen1_after, thresholds->gen1_after != 0 ? thresholds->gen1_after : GEN1_AFTER);
    const uint64_t fixed = fixed_budget(heap);
    if (fixed != 0) atomic_store_explicit(&heap->gen0_budget, limited(heap, fixed), memory_order_relaxed);
    set_gen2_trigger(heap);
    next_order(heap, false);
}

void tenure_thresholds_get(tenure_heap *heap, tenure_thresholds *out)
{
    tenure__with_stop_lock(heap, get_thresholds, out);
}

void tenure_thresholds_set(tenure_heap *heap, const tenure_thresholds *thresholds)
{
    tenure_thresholds copy = *thresholds;
    tenure__with_stop_lock(heap, set_thresholds, &copy);
}
