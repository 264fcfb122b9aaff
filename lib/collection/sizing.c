/* How large Gen 0 is, which collection comes next, when Gen 2 is due. Everything is in blocks.
 *
 * Gen 0 is as small as it can be without costing much more processor time than the best size would: see choose_level.
 * Which collection runs follows CPython's counts. The trigger of Gen 2 follows its live size (a step toward
 * MemBalancer, Kirisame, Shenoy, Panchekha, OOPSLA 2022, whose square root small heaps approach by the constant). */
#include "lib/collection/cycle.h"
#include "lib/collection/evacuate.h"
#include "lib/heap/limits.h"

enum {
    LEVEL0 = 1 << TENURE__AGE_SHIFT, /* level n is a budget of 2^n times 512 KiB */
    LEVEL_MAX = TENURE__AGE_OLD - 1,
    LEVEL_MAX_ALONE = 5, /* for one mutator */
    RUNNERS_HOLD = 32,
    STOP_FIRST_NS = 10000,
    REACH_FIRST_NS = 1000,
    WAKE_NS = 1500, /* CPU time of putting a thread to sleep and waking it */
    TRIAL = 64,     /* collections after which a larger size is the usual one */
    PATIENCE_MOST = 64,
    RARE = 16, /* a stop in so many that is reached late does not count */
    PRESSURE_MAX = 2,
    SHORT_PAUSE_NS = 50000, /* little is gained by shorter ones */
    SURVIVORS_MIN = 16,
    GEN1_AFTER = 4,
    GEN1_PROBE_LEAST = 32, /* direct promotions before Gen 1's survival is measured again; twice as many each time */
    GEN1_PROBE_MOST = 256,
    GEN2_GROWTH_PERCENT = 60,
    GEN2_GROWTH_MIN = (32 << 20) >> TENURE__BLOCK_SHIFT,
    GEN2_AGE = 64 /* times its size allocated since it was collected */
};

static uint32_t limited(const tenure_heap *heap, uint64_t budget)
{
    const uint64_t old = atomic_load_explicit(&heap->generation_blocks[1], memory_order_relaxed) +
                         atomic_load_explicit(&heap->generation_blocks[2], memory_order_relaxed);
    /* Survivors need as much room again in the worst case. */
    const uint64_t room = heap->max_blocks > old ? (heap->max_blocks - old) / 2 : 0;
    if (budget > room) budget = room;
    return (uint32_t)(budget > LEVEL0 ? budget : LEVEL0);
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

static const tenure__order budget_spent = { 0, "budget" }, gen1_count = { 1, "gen1 count" },
                           gen1_survival = { 1, "gen1 survival" }, gen1_size = { 1, "gen1 size" },
                           gen2_late = { 2, "gen2 late" };

static const tenure__order *next_order(const tenure_heap *heap, bool keeps)
{
    /* The daemon did not come to it within a whole budget: whoever spends the next one waits for it. */
    if (atomic_load_explicit(&heap->full_wanted, memory_order_relaxed) != 0) return &gen2_late;
    if (count_of(&heap->young_since) + 1 >= count_of(&heap->gen1_after)) return &gen1_count;
    if (keeps && heap->thresholds.gen1_after == 0) return &gen1_survival;
    const uint64_t gen1 = atomic_load_explicit(&heap->generation_blocks[1], memory_order_relaxed);
    const uint64_t budget = atomic_load_explicit(&heap->gen0_budget, memory_order_relaxed);
    return gen1 > heap->gen1_left_blocks + 2 * budget ? &gen1_size : &budget_spent;
}

/* relaxed: a constant. */
static void set_order(tenure_heap *heap, const tenure__order *order)
{
    atomic_store_explicit(&heap->order, order, memory_order_relaxed);
}

void tenure__sizing_init(tenure_heap *heap)
{
    heap->thresholds = (tenure_thresholds) { heap->options.gen0, heap->options.gen1_after, heap->options.gen2_growth };
    set_count(&heap->gen1_after, heap->options.gen1_after != 0 ? heap->options.gen1_after : GEN1_AFTER);
    tenure__budget *budget = &heap->budget;
    /* For all together not more than half the last-level cache. */
    const uint64_t most = tenure__cache_bytes("") / 2 >> TENURE__BLOCK_SHIFT;
    budget->level_max = budget->level_most = LEVEL_MAX_ALONE;
    while (budget->level_most < LEVEL_MAX && level_blocks(budget->level_most + 1) <= most) budget->level_most++;
    budget->stop_ns = STOP_FIRST_NS;
    budget->reach_ns = REACH_FIRST_NS;
    budget->patience = 1;
    const uint64_t fixed = fixed_budget(heap);
    atomic_store(&heap->gen0_budget, limited(heap, fixed != 0 ? fixed : level_blocks(0)));
    heap->gen1_probe = GEN1_PROBE_LEAST;
    atomic_store(&heap->survivors, atomic_load(&heap->gen0_budget)); /* as far as is known, all of it */
    set_gen2_trigger(heap);
    set_order(heap, next_order(heap, false));
}

/* --- Gen 0's budget --- */

void tenure__sizing_prepare(tenure_heap *heap)
{
    const uint32_t gen0 = atomic_load_explicit(&heap->gen0_count, memory_order_relaxed);
    for (uint32_t i = 0; i < gen0; i++) heap->blocks[heap->gen0_blocks[i]].age = (uint8_t)tenure__age(gen0 - 1 - i);
    heap->gen0_handed = gen0;
    heap->budget.spent_blocks = atomic_load_explicit(&heap->gen0_used, memory_order_relaxed);
    if (heap->condemned == 0) return;
    const uint32_t gen1 = atomic_load_explicit(&heap->gen1_count, memory_order_relaxed);
    for (uint32_t i = 0; i < gen1; i++) heap->blocks[heap->gen1_blocks[i]].age = TENURE__AGE_OLD;
}

/* Levels and ages go together: a budget of level n lets objects reach age n. */
static uint64_t age_blocks(unsigned age) { return age == 0 ? LEVEL0 : level_blocks(age - 1); }

/* How many run at a time: those that wait for the leader's lock themselves are not among those that it stopped. */
static void learn_runners(tenure__budget *budget, unsigned now)
{
    /* relaxed: the daemon wants a figure. */
    unsigned runners = atomic_load_explicit(&budget->runners, memory_order_relaxed);
    if (now >= runners || ++budget->runners_since == RUNNERS_HOLD) {
        runners = now >= runners ? now : runners - 1;
        budget->runners_since = 0;
    }
    atomic_store_explicit(&budget->runners, runners, memory_order_relaxed);
    /* Memory and caches are shared: so much for each. */
    budget->level_max = LEVEL_MAX_ALONE;
    while (budget->level_max < budget->level_most && runners >> (budget->level_max + 1 - LEVEL_MAX_ALONE) != 0)
        budget->level_max++;
}

static void learn_costs(tenure_heap *heap, const tenure_collection *event)
{
    tenure__budget *budget = &heap->budget;
    const uint64_t apart = event->pin_ns + event->roots_ns + event->weak_ns;
    /* Wall time, and the machine may have done something else meanwhile. */
    const double stop = (double)apart < 4 * budget->stop_ns ? (double)apart : 4 * budget->stop_ns;
    budget->stop_ns += (stop - budget->stop_ns) / 8;
    /* What comes more seldom than that would have hit the program elsewhere. */
    const double most = RARE * budget->reach_ns,
                 reach = (double)event->reach_ns < most ? (double)event->reach_ns : most;
    budget->reach_ns += (reach - budget->reach_ns) / 32;
    budget->trace_ns += (double)(event->cpu_ns > apart ? event->cpu_ns - apart : 0) - budget->trace_ns / 16;
    budget->copied_bytes += (double)event->copied_bytes - budget->copied_bytes / 16;
    /* relaxed, in count_of: they come and go while this is read; a figure. */
    budget->wake_ns += ((double)WAKE_NS * count_of(&heap->world.asleep) - budget->wake_ns) / 8;
    const double between = (double)(event->at_ns > budget->ended_ns ? event->at_ns - budget->ended_ns : 0);
    const unsigned stopped = event->threads_stopped + 1, processors = heap->world.processors;
    budget->mutator_ns += between * (stopped < processors ? stopped : processors) - budget->mutator_ns / 16;
    budget->allocated_bytes +=
        (double)((uint64_t)budget->spent_blocks << TENURE__BLOCK_SHIFT) - budget->allocated_bytes / 16;
    budget->ended_ns = tenure__now_ns() - heap->created_ns;
}

/* What a collection has to copy with a budget of that level. */
static double survivors_bytes(const tenure__budget *budget, unsigned level)
{
    double bytes = 0;
    for (unsigned age = 0; age <= level; age++)
        bytes += budget->alive[age] * (double)(age_blocks(age) << TENURE__BLOCK_SHIFT);
    return bytes;
}

static double copy_ns(const tenure__budget *budget)
{
    return budget->copied_bytes > 0 ? budget->trace_ns / budget->copied_bytes : 0;
}

static double pause_ns(const tenure__budget *budget, unsigned level)
{
    return budget->stop_ns + copy_ns(budget) * survivors_bytes(budget, level);
}

/* CPU time for each byte allocated, that of threads which fall asleep in the stop included; and time in which threads
 * wait for the last of them: where others compete for the processors that is most of it. What survives is copied once
 * more or marked later, so it counts twice. */
static double cost(const tenure__budget *budget, unsigned level)
{
    return (budget->stop_ns + budget->reach_ns + budget->wake_ns +
               2 * copy_ns(budget) * survivors_bytes(budget, level)) /
           (double)(level_blocks(level) << TENURE__BLOCK_SHIFT);
}

/* CPU time of the mutators for each byte. */
static double mutator_ns(const tenure__budget *budget) { return budget->mutator_ns / (budget->allocated_bytes + 1); }

/* What collections cost, in parts of the program's own time; at most 1. */
static double share(const tenure__budget *budget)
{
    const double all = cost(budget, budget->level);
    return all < mutator_ns(budget) ? all / mutator_ns(budget) : 1;
}

/* A collection tells for each age which part of what was allocated then is alive. Of ages beyond the budget it tells
 * that no more lives then than before; that it was as much once becomes less certain, the sooner the more collections
 * cost, so that a larger budget is tried now and then. Of what was never seen: as it went on from the last age to the
 * one before, and a little less. */
static void learn_survival(tenure_heap *heap)
{
    tenure__budget *budget = &heap->budget;
    const double forgotten = share(budget) / (budget->trial != 0 ? 64 : 64 * budget->patience);
    uint64_t left = heap->gen0_handed;
    double before = 1, youngest = 1, trend = 0.5;
    for (unsigned age = 0; age <= LEVEL_MAX; age++) {
        const uint64_t whole = age_blocks(age), blocks = left < whole ? left : whole;
        left -= blocks;
        double *alive = &budget->alive[age];
        if (blocks * 2 >= whole) {
            const double now = (double)heap->copied_by_age[age] / (double)(blocks << TENURE__BLOCK_SHIFT);
            if (age == budget->known) {
                *alive = now;
                budget->known++;
            }
            /* What was forgotten is believed again the sooner, as far as it is seen again: so trials are short. Not the
             * last age that is known: too little follows from it for larger sizes. */
            const double again = now < budget->seen[age] ? now : budget->seen[age];
            const bool is_last = age + 1 == budget->known && age < budget->level_max;
            if (!is_last && again > *alive) *alive += (again - *alive) / 2;
            *alive += (now - *alive) / 8;
            budget->seen[age] = youngest = *alive;
            if (age > 0) trend = *alive < before ? *alive / before : 1;
        } else {
            *alive = age < budget->known ? *alive * (1 - forgotten) : 0.9 * trend * before;
            if (*alive > before) *alive = before;
            if (budget->seen[age] > youngest) budget->seen[age] = youngest;
        }
        before = *alive;
    }
}

/* Each time that larger sizes brought nothing they are tried more seldom, until something else survives: trials are the
 * longest pauses of a program of which little does. A program for which sometimes one of two neighbouring sizes is the
 * better one, sometimes the other, tells little of the rest by going from one to the other. */
static void learn_trials(tenure__budget *budget)
{
    if (budget->level > budget->usual) {
        if (++budget->trial < TRIAL) return;
        if (budget->patience > 1) budget->patience /= 4;
    } else if (budget->level == budget->usual && budget->trial != 0 && budget->patience < PATIENCE_MOST) {
        budget->patience *= 4;
    }
    budget->usual = budget->level;
    budget->trial = 0;
    const double survival = survivors_bytes(budget, budget->usual) / (double)level_blocks(budget->usual);
    if (survival <= 2 * budget->survival && survival >= budget->survival / 2) return;
    budget->survival = survival;
    budget->patience = 1;
}

/* Whether it is worth while to see what a larger budget brings: within the target even if all that is added survived as
 * what is seen last does; or not that far beyond, if collecting costs more than the program itself. */
static bool may_grow(const tenure__budget *budget, double target_ns)
{
    const double added = budget->alive[budget->level] * (double)(level_blocks(budget->level) << TENURE__BLOCK_SHIFT);
    double pressure = cost(budget, budget->level) / (mutator_ns(budget) + 1e-9);
    if (pressure < 1) pressure = 1;
    if (pressure > PRESSURE_MAX) pressure = PRESSURE_MAX;
    return budget->level < budget->level_max &&
           pause_ns(budget, budget->level) + copy_ns(budget) * added < pressure * target_ns;
}

/* A larger nursery stops less often and gives objects more time to die, a smaller one stops for shorter and fits the
 * caches. So: the smallest one that costs at most a few percent more of the program's and the collections' time than
 * the best one would, more if pauses are longer than the target. Where most survives whatever the size (a program's
 * start), or little does (a server's requests), that is a small one; where much dies with age, a large one. It grows a
 * level at a time. */
static unsigned choose_level(const tenure__budget *budget, double target_ns)
{
    unsigned most = budget->level < budget->level_max ? budget->level : budget->level_max;
    if (may_grow(budget, target_ns)) most++;
    unsigned level = most;
    for (unsigned other = 0; other < most; other++)
        if (cost(budget, other) < cost(budget, level)) level = other;
    const double least = cost(budget, level);
    for (; level > 0; level--) {
        const double pause = pause_ns(budget, level);
        const double more = pause > target_ns ? 0.06 : pause > SHORT_PAUSE_NS ? 0.04 : 0.01;
        if (cost(budget, level - 1) > least + more * (mutator_ns(budget) + least)) break;
    }
    return level;
}

/* Blocks that were first touched by whoever took them cost a page fault for every 4 KiB, in a stop or in a mutator: so
 * many are kept populated ahead as the last collections copied at most. */
static void expect_survivors(tenure_heap *heap, const tenure_collection *event)
{
    uint64_t blocks = atomic_load_explicit(&heap->survivors, memory_order_relaxed);
    blocks -= blocks / 32;
    const uint64_t copied = event->copied_bytes >> TENURE__BLOCK_SHIFT;
    const uint64_t budget = atomic_load_explicit(&heap->gen0_budget, memory_order_relaxed);
    /* In proportion, if the next one is larger. */
    const uint64_t next =
        heap->gen0_handed != 0 && budget > heap->gen0_handed ? copied * budget / heap->gen0_handed : copied;
    if (blocks < next) blocks = next < copied + budget ? next : copied + budget;
    if (blocks < SURVIVORS_MIN) blocks = SURVIVORS_MIN;
    atomic_store_explicit(&heap->survivors, (uint32_t)blocks, memory_order_relaxed);
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
        if (++heap->direct_promotions >= heap->gen1_probe) set_count(&heap->gen1_after, GEN1_AFTER);
        return;
    }
    heap->direct_promotions = 0;
    /* Bytes, not blocks: of a small Gen 1 much is room in open buffers. */
    const uint64_t before = heap->gen1_copied_bytes;
    heap->gen1_copied_bytes = 0;
    /* What is copied beyond a Gen 0 collection's usual share came from Gen 1. */
    const uint64_t from_gen0 = heap->gen0_copied_average;
    const uint64_t from_gen1 = event->copied_bytes > from_gen0 ? event->copied_bytes - from_gen0 : 0;
    const bool is_direct = from_gen1 * 2 > before;
    set_count(&heap->gen1_after, is_direct ? 1 : GEN1_AFTER);
    /* Four times as much is copied when it is measured: less often than once in a hundred, if it is always the same. */
    if (!is_direct)
        heap->gen1_probe = GEN1_PROBE_LEAST;
    else if (heap->gen1_probe < GEN1_PROBE_MOST)
        heap->gen1_probe *= 2;
}

/* Of Gen 0, more than half survived: so may what Gen 1 has of it, and then it is better copied now than with more. */
static bool most_survived(const tenure_collection *event)
{
    return event->generation == 0 && event->copied_bytes * 2 > event->before_bytes[0];
}

/* relaxed, all: figures. */
uint64_t tenure__old_blocks(const tenure_heap *heap)
{
    const int64_t external = atomic_load_explicit(&heap->external_bytes, memory_order_relaxed) -
                             atomic_load_explicit(&heap->external_least, memory_order_relaxed);
    return gen2_occupied(heap) + (external > 0 ? (uint64_t)external >> TENURE__BLOCK_SHIFT : 0);
}

static const char *grown(const tenure_heap *heap)
{
    const uint64_t trigger = atomic_load_explicit(&heap->gen2_trigger_blocks, memory_order_relaxed);
    if (tenure__old_blocks(heap) > trigger) return "gen2 growth";
    const uint64_t gen2 = atomic_load_explicit(&heap->generation_blocks[2], memory_order_relaxed);
    if (gen2 > heap->gen2_most_blocks) return "gen2 holes";
    /* A program that let go of most of what it had, and since then keeps nothing: costs a hundredth or less. */
    return gen2 > GEN2_GROWTH_MIN && heap->spent_since_full > GEN2_AGE * gen2 ? "gen2 age" : 0;
}

/* A full collection finds out what died, and where blocks became sparse; the next one can empty them. That is worth a
 * collection of its own if it costs less than the one that is over, since less lives than died, and if too many holes
 * are left when a small heap's growth has filled what it can. */
static const char sparse_reason[] = "gen2 sparse";
static const char *sparse(const tenure_heap *heap, const tenure_collection *event)
{
    const uint64_t holes = atomic_load_explicit(&heap->gen2_holes, memory_order_relaxed);
    const uint64_t occupied = gen2_occupied(heap) * TENURE__GRANULES;
    const uint64_t filled = (uint64_t)GEN2_GROWTH_MIN * TENURE__GRANULES;
    return holes > filled + tenure__holes_allowed(occupied) && holes > occupied && event->reason != sparse_reason
               ? sparse_reason
               : 0;
}

void tenure__sizing_update(tenure_heap *heap, const tenure_collection *event)
{
    heap->spent_since_full = event->generation < 2 ? heap->spent_since_full + heap->budget.spent_blocks : 0;
    if (event->generation == 0) {
        set_count(&heap->young_since, count_of(&heap->young_since) + 1);
        const uint64_t average = heap->gen0_copied_average;
        heap->gen0_copied_average = average != 0 ? (average * 7 + event->copied_bytes) / 8 : event->copied_bytes;
        heap->gen1_copied_bytes += event->copied_bytes;
    } else {
        set_count(&heap->young_since, 0);
        /* In place, for what is pinned beside it: the next one would move it no more than this one. */
        heap->gen1_left_blocks = atomic_load_explicit(&heap->generation_blocks[1], memory_order_relaxed);
    }
    if (event->generation == 2) {
        atomic_store_explicit(&heap->live_bytes, gen2_occupied(heap) << TENURE__BLOCK_SHIFT, memory_order_relaxed);
        atomic_store_explicit(&heap->external_least, atomic_load_explicit(&heap->external_bytes, memory_order_relaxed),
            memory_order_relaxed);
        set_gen2_trigger(heap);
        /* What a young collection asked for after the daemon took its order is done. */
        atomic_store_explicit(&heap->full_wanted, 0, memory_order_relaxed);
    }
    if (event->generation < 2) {
        learn_survival(heap);
        learn_costs(heap, event);
        learn_runners(&heap->budget, event->threads_stopped + 1 + count_of(&heap->populators));
        heap->budget.level = choose_level(&heap->budget, (double)heap->options.pause_target);
        learn_trials(&heap->budget);
    }
    adapt_gen1(heap, event);
    const uint64_t fixed = fixed_budget(heap);
    atomic_store_explicit(
        &heap->gen0_budget, limited(heap, fixed != 0 ? fixed : level_blocks(heap->budget.level)), memory_order_relaxed);
    expect_survivors(heap, event);
    set_order(heap, next_order(heap, most_survived(event)));
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
    set_order(heap, next_order(heap, false));
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
