/* Which collection comes when: thresholds, counts, growth, off-heap memory, and none while disabled. */
#include "lib/collection/cycle.h"
#include "tests/support.h"
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

typedef struct node {
    struct node *next;
    uint64_t value;
} node;
TENURE_TYPE(node_type, node, next);

static tenure_heap *heap;
static tenure_thread *self;
static node *root;

static void begin_with(const char *words)
{
    heap = precise_heap_with(words);
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
}
static void begin(void) { begin_with("max_heap=256m,gen0=1m"); }
static void end(void) { heap_end(heap, self); }

TestSuite(sizing, .init = begin, .fini = end);

static void garbage(size_t bytes)
{
    for (size_t done = 0; done < bytes; done += 1008) cr_assert(tenure_new_bytes(self, 1000) != NULL);
}

Test(sizing, each_generation_on_demand)
{
    for (int generation = 0; generation < 3; generation++) {
        tenure_stats before = stats_of(heap), after;
        collect(self, (tenure_generation)generation);
        after = stats_of(heap);
        for (int i = 0; i < 3; i++) cr_expect(eq(u64, after.collections[i] - before.collections[i], i == generation));
    }
    cr_expect(eq(int, tenure_collect(self, (tenure_generation)3), TENURE_EINVAL));
    cr_expect(eq(int, tenure_collect(self, (tenure_generation)-1), TENURE_EINVAL));
    cr_expect(eq(u64, stats_of(heap).all.total.count, 3));
}

/* As Python's gc.get_count: what has happened since each generation was last collected, of what makes it due. */
Test(sizing, counts_since_the_last_collection)
{
    tenure_thresholds_set(heap, &(tenure_thresholds) { .gen1_after = 5, .gen2_growth_percent = 10000 });
    root = tenure_new(self, node_type);
    collect(self, TENURE_GEN2);
    cr_expect(eq(u64, stats_of(heap).gen2_growth_bytes, 100 * TENURE__BLOCK_BYTES));
    for (unsigned i = 0; i < 3; i++) {
        cr_expect(eq(u64, stats_of(heap).gen0_collections, i));
        collect(self, TENURE_GEN0);
    }
    cr_expect(eq(u64, stats_of(heap).gen1_after, 5));
    void *large = tenure_new_bytes(self, 2 * TENURE__BLOCK_BYTES); /* a run of three blocks */
    tenure_store(self, root, &root->next, large);
    collect(self, TENURE_GEN1);
    cr_expect(eq(u64, stats_of(heap).gen0_collections, 0));
    cr_expect(eq(u64, stats_of(heap).gen2_grown_bytes, 3 * TENURE__BLOCK_BYTES));
    tenure_external_bytes(self, 1 << 20);
    cr_expect(eq(u64, stats_of(heap).gen2_grown_bytes, 3 * TENURE__BLOCK_BYTES + (1 << 20)));
    collect(self, TENURE_GEN2);
    cr_expect(eq(u64, stats_of(heap).gen2_grown_bytes, 0));
    tenure_external_bytes(self, -(1 << 20));
    cr_expect(eq(u64, stats_of(heap).gen2_grown_bytes, 0));
}

Test(sizing, survivors_climb)
{
    root = tenure_new(self, node_type);
    cr_expect(eq(int, generation_of(heap, root), 0));
    collect(self, TENURE_GEN0);
    cr_expect(eq(int, generation_of(heap, root), 1));
    collect(self, TENURE_GEN0);
    cr_expect(eq(int, generation_of(heap, root), 1));
    collect(self, TENURE_GEN1);
    cr_expect(eq(int, generation_of(heap, root), 2));
    tenure_stats stats = stats_of(heap);
    cr_expect(eq(u64, stats.gen1_bytes, 0));
    cr_expect(eq(u64, stats.gen2_bytes, TENURE__BLOCK_BYTES));
    cr_expect(eq(u64, stats.copied_objects, 2));
}

Test(sizing, thresholds_are_what_was_set)
{
    tenure_thresholds thresholds;
    tenure_thresholds_get(heap, &thresholds);
    cr_expect(eq(u64, thresholds.gen0_bytes, 1u << 20));
    cr_expect(eq(u32, thresholds.gen1_after, 0));
    cr_expect(eq(u32, thresholds.gen2_growth_percent, 0));
    const tenure_thresholds wanted = { 2u << 20, 7, 33 };
    tenure_thresholds_set(heap, &wanted);
    tenure_thresholds_get(heap, &thresholds);
    cr_expect(eq(u64, thresholds.gen0_bytes, 2u << 20));
    cr_expect(eq(u32, thresholds.gen1_after, 7));
    cr_expect(eq(u32, thresholds.gen2_growth_percent, 33));
    cr_expect(eq(u64, stats_of(heap).gen0_budget_bytes, 2u << 20));
    spend_budget(self);
    cr_expect(eq(u64, stats_of(heap).gen0_budget_bytes, 2u << 20), "fixed, not adapted");
}

Test(sizing, gen1_after)
{
    const tenure_thresholds thresholds = { 1u << 20, 3, 0 };
    tenure_thresholds_set(heap, &thresholds);
    for (unsigned i = 0; i < 12; i++) spend_budget(self);
    const tenure_stats stats = stats_of(heap);
    cr_expect(eq(u64, stats.collections[0], 8));
    cr_expect(eq(u64, stats.collections[1], 4));
}

/* A program that collects Gen 0 itself, before its budget is ever spent: Gen 1 has its turn all the same. */
Test(sizing, gen1_has_its_turn_on_demand)
{
    const tenure_thresholds thresholds = { 1u << 20, 3, 0 };
    tenure_thresholds_set(heap, &thresholds);
    uint64_t most = 0;
    for (unsigned i = 0; i < 1200; i++) {
        root = tenure_new(self, node_type); /* survives once */
        for (unsigned j = 0; j < 20; j++) root = TENURE_NEW(self, node_type, .next = root);
        collect(self, TENURE_GEN0);
        if (stats_of(heap).gen1_bytes > most) most = stats_of(heap).gen1_bytes;
    }
    const tenure_stats stats = stats_of(heap);
    cr_expect(eq(u64, stats.collections[0], 800));
    cr_expect(eq(u64, stats.collections[1], 400));
    cr_expect(most <= 4 * TENURE__BLOCK_BYTES, "%zu bytes", (size_t)most);
}

/* Gen 2 is collected when it grew by the percentage; without growth it is left alone. */
Test(sizing, gen2_growth)
{
    const tenure_thresholds thresholds = { 1u << 20, 1, 100 };
    tenure_thresholds_set(heap, &thresholds);
    garbage(30u << 20);
    cr_expect(eq(u64, stats_of(heap).collections[2], 0));
    for (unsigned i = 0; i < 600000; i++) {
        node *first = tenure_new(self, node_type);
        first->next = root;
        root = first;
    }
    garbage(8u << 20);
    for (unsigned i = 0; i < 100000000 && stats_of(heap).collections[2] == 0; i++) tenure_poll(self);
    const uint64_t full = stats_of(heap).collections[2];
    cr_expect(full >= 1 && full <= 12, "%zu full collections", (size_t)full);
}

/* The daemon took the order; before it could stop the world, a young collection found Gen 2 still due. One full
 * collection is an answer to both. */
Test(sizing, full_once)
{
    tenure__lock_stop(&heap->world);
    atomic_store(&heap->full_wanted, "first");
    tenure__daemon_poke(heap);
    while (atomic_load(&heap->full_wanted) != NULL) sched_yield();
    atomic_store(&heap->full_wanted, "second");
    tenure__unlock_stop(&heap->world);
    for (unsigned i = 0; i < 2; i++) collect(self, TENURE_GEN0); /* by the daemon, when it is done with it */
    cr_expect(eq(u64, stats_of(heap).collections[2], 1));
}

Test(sizing, external_bytes_count)
{
    const uint64_t before = collections_of(heap);
    for (unsigned i = 0; i < 200; i++) {
        tenure_external_bytes(self, 1 << 20);
        tenure_new(self, node_type);
        garbage(TENURE__BLOCK_BYTES);
    }
    cr_expect(ge(u64, collections_of(heap) - before, 20), "6 MiB alone are 7 collections");
    cr_expect(eq(u64, stats_of(heap).external_bytes, 200u << 20));
    for (unsigned i = 0; i < 100000000 && stats_of(heap).collections[2] == 0; i++) tenure_poll(self);
    cr_expect(ge(u64, stats_of(heap).collections[2], 1), "200 MiB that objects hold are growth of Gen 2");
    tenure_external_bytes(self, -(200 << 20));
    cr_expect(eq(u64, stats_of(heap).external_bytes, 0));
}

/* What dies in a full collection is let go of after it, by its cleaners: growth is counted from there. */
Test(sizing, external_bytes_that_were_let_go_of)
{
    tenure_external_bytes(self, 300 << 20);
    collect(self, TENURE_GEN2);
    tenure_external_bytes(self, -(300 << 20));
    cr_expect(eq(u64, tenure__old_blocks(heap), 0));
    tenure_external_bytes(self, 20 << 20);
    cr_expect(eq(u64, tenure__old_blocks(heap), (20 << 20) / TENURE__BLOCK_BYTES));
    tenure_external_bytes(self, -(20 << 20));
}

/* A program that dropped much of what it had, and since then keeps nothing, gets it back. */
Test(sizing, gen2_age)
{
    enum { LARGE = 48 };
    for (unsigned i = 0; i < LARGE; i++) {
        node **first = TENURE_NEW_REFS(self, node, (1 << 20) / sizeof(node *));
        TENURE_SET_AT(self, first, 0, root);
        root = (node *)first;
    }
    collect(self, TENURE_GEN2);
    const uint64_t full = stats_of(heap).collections[2], size = stats_of(heap).gen2_bytes;
    cr_assert(ge(u64, size, LARGE << 20));
    root = NULL;
    heap->spent_since_full = 0;
    for (unsigned i = 0; i < 40; i++) spend_budget(self);
    cr_expect(ge(u64, heap->spent_since_full, (uint64_t)40 * (1 << 20) / TENURE__BLOCK_BYTES));
    cr_expect(eq(u64, stats_of(heap).collections[2], full), "not soon");
    heap->spent_since_full = 64 * size / TENURE__BLOCK_BYTES;
    spend_budget(self);
    for (unsigned i = 0; i < 100000000 && stats_of(heap).collections[2] == full; i++) tenure_poll(self);
    cr_expect(stats_of(heap).gen2_bytes < (4u << 20));
    cr_expect(heap->spent_since_full < 1000);
}

/* In a stop of the program's own the daemon cannot lead: a full collection that is due comes with the next one. */
Test(sizing, gen2_has_its_turn_in_an_own_stop)
{
    const tenure_thresholds thresholds = { 1u << 20, 1, 100 };
    tenure_thresholds_set(heap, &thresholds);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    for (unsigned i = 0; i < 100; i++) {
        root = NULL;
        for (unsigned made = 0; made < 5000; made++) root = TENURE_NEW(self, node_type, .next = root);
        collect(self, TENURE_GEN0);
    }
    tenure_resume_world(self);
    const tenure_stats stats = stats_of(heap);
    cr_expect(ge(u64, stats.collections[2], 10));
    cr_expect(stats.heap_bytes < (4u << 20), "%zu bytes", (size_t)stats.heap_bytes);
}

/* Blocks that stay Gen 1 for what is pinned in them do not make each collection one of Gen 1. */
Test(sizing, gen1_is_pinned)
{
    enum { PINNED = 200 };
    const tenure_thresholds all = { 32u << 20, 8, 0 }, thresholds = { 1u << 20, 8, 0 };
    void *pinned[PINNED];
    tenure_thresholds_set(heap, &all);
    for (unsigned i = 0; i < PINNED; i++) {
        garbage(TENURE__BLOCK_BYTES / 2);
        pinned[i] = tenure_new_bytes(self, 100);
        cr_assert(eq(int, tenure_pin(self, pinned[i]), TENURE_OK));
        garbage(TENURE__BLOCK_BYTES / 2);
    }
    tenure_thresholds_set(heap, &thresholds);
    collect(self, TENURE_GEN1);
    cr_assert(ge(u64, stats_of(heap).gen1_bytes, 5u << 20));
    const tenure_stats before = stats_of(heap);
    for (unsigned i = 0; i < 80; i++) spend_budget(self);
    cr_expect(eq(u64, stats_of(heap).collections[1] - before.collections[1], 10));
    for (unsigned i = 0; i < PINNED; i++) tenure_unpin(self, pinned[i]);
}

/* --- disabled --- */

Test(sizing, nothing_is_collected_while_disabled)
{
    tenure_disable(heap);
    tenure_disable(heap);
    garbage(50u << 20);
    cr_expect(eq(u64, collections_of(heap), 0));
    cr_expect(eq(int, tenure_collect(self, TENURE_GEN2), TENURE_EBUSY));
    tenure_enable(heap);
    garbage(10u << 20);
    cr_expect(eq(u64, collections_of(heap), 0), "counted");
    tenure_enable(heap);
    garbage(4u << 20);
    cr_expect(ge(u64, collections_of(heap), 1));
    cr_expect(eq(int, tenure_collect(self, TENURE_GEN2), TENURE_OK));
}

/* What lies outside the heap spends the budget, and then nothing collects: no reason for a new block each time. */
Test(sizing, external_bytes_while_disabled)
{
    tenure_disable(heap);
    for (unsigned i = 0; i < 14000; i++) {
        tenure_external_bytes(self, 100);
        root = tenure_new(self, node_type);
    }
    cr_expect(stats_of(heap).heap_bytes < (3u << 20), "%zu bytes", (size_t)stats_of(heap).heap_bytes);
    tenure_enable(heap);
    tenure_external_bytes(self, -100 * 14000);
}

Test(sizing, disabled_collects_rather_than_fail)
{
    tenure_disable(heap);
    garbage(1024u << 20);
    cr_expect(ge(u64, collections_of(heap), 1));
    cr_expect(le(u64, stats_of(heap).heap_bytes, 256u << 20));
    tenure_enable(heap);
}

Test(sizing, enable_without_disable, .signal = SIGABRT)
{
    be_quiet();
    tenure_enable(heap);
}

/* A start that keeps everything is collected in small parts, straight into Gen 2 as soon as it is seen. */
Test(sizing, starts_small)
{
    heap_end(heap, self);
    begin_with("max_heap=256m");
    cr_expect(eq(u64, stats_of(heap).gen0_budget_bytes, 512u << 10));
    for (unsigned collection = 0; collection < 2; collection++)
        for (const uint64_t before = atomic_load(&heap->collected); atomic_load(&heap->collected) == before;) {
            node *first = tenure_new(self, node_type);
            first->next = root;
            root = first;
        }
    cr_expect(eq(u64, stats_of(heap).collections[0], 1));
    cr_expect(eq(u64, stats_of(heap).collections[1], 1));
}

/* What a program teaches the heap about itself: how much is alive of what was allocated so many MiB ago, CPU time for
 * each byte copied and for each byte allocated, in hundredths of a nanosecond. Budget in MiB after some collections. */
static uint64_t reach_ns;
static unsigned reach_in = 1;      /* one stop in so many is reached that late */
static unsigned threads, sleepers; /* that a stop waits for; that sleep through it */
static uint64_t largest_budget;    /* in MiB, of the last two thirds */
static unsigned collections = 300;
static unsigned larger; /* of them after the first hundred: with more than 2 MiB */
static uint64_t learnt(double (*alive)(unsigned mib), unsigned copy, unsigned mutator)
{
    largest_budget = larger = 0;
    for (unsigned i = 0; i < collections; i++) {
        const uint64_t budget = stats_of(heap).gen0_budget_bytes;
        if (i >= 100 && budget >> 20 > largest_budget) largest_budget = budget >> 20;
        larger += i >= 100 && budget > 2u << 20;
        tenure_collection event = { .generation = 1, .workers = 1, .pin_ns = 5000, .threads_stopped = threads };
        event.reach_ns = i % reach_in == 0 ? reach_ns : 1000;
        memset(heap->copied_by_age, 0, sizeof heap->copied_by_age);
        for (unsigned half = 0; half < budget >> 19; half++) {
            const uint64_t copied = (uint64_t)(alive(half / 2) * (1 << 19));
            heap->copied_by_age[tenure__age(half << TENURE__AGE_SHIFT)] += copied;
            event.copied_bytes += copied;
        }
        heap->gen0_handed = (uint32_t)(budget >> TENURE__BLOCK_SHIFT);
        heap->budget.spent_blocks = heap->gen0_handed;
        event.cpu_ns = event.pin_ns + event.copied_bytes * copy / 100;
        event.at_ns = heap->budget.ended_ns + budget * mutator / 100;
        atomic_store(&heap->world.asleep, sleepers);
        tenure__sizing_update(heap, &event);
    }
    atomic_store(&heap->world.asleep, 0);
    return stats_of(heap).gen0_budget_bytes >> 20;
}

static double nearly_all(unsigned mib) { return mib < 1000 ? 0.97 : 0; }
static double few_for_ever(unsigned mib) { return mib < 1000 ? 0.016 : 0; }
static double most_for_a_while(unsigned mib) { return mib < 3 ? 0.8 : mib < 8 ? 0.1 : 0; }
static double none(unsigned mib) { return 0 * mib; }

/* The smallest budget that costs little more than any other: pauses are short where it does not matter to the program,
 * and longer where it does. */
Test(sizing, budget_knows_survival)
{
    heap_end(heap, self);
    begin_with("max_heap=1g");
    const uint64_t start = learnt(nearly_all, 45, 200);
    cr_expect(start <= 4, "all survives whatever the size: %zu MiB", (size_t)start);
    const uint64_t trees = learnt(most_for_a_while, 60, 20);
    cr_expect(trees >= 16, "what dies with age: %zu MiB", (size_t)trees);
    const uint64_t requests = learnt(few_for_ever, 200, 70);
    cr_expect(requests <= 2, "few survive whatever the size: %zu MiB", (size_t)requests);
    cr_expect(largest_budget <= 2, "and no larger one is tried for long: %zu MiB", (size_t)largest_budget);
    reach_ns = 2000000;
    reach_in = 50;
    const uint64_t seldom = learnt(few_for_ever, 200, 70);
    cr_expect(seldom <= 2, "a stop that is late now and then: %zu MiB", (size_t)seldom);
    reach_in = 1;
    const uint64_t others = learnt(few_for_ever, 200, 70);
    cr_expect(others >= 8, "few survive, but each stop waits for a processor: %zu MiB", (size_t)others);
    reach_ns = 0;
    sleepers = 60;
    const uint64_t woken = learnt(few_for_ever, 200, 70);
    cr_expect(woken >= 4, "few survive, but many threads are woken after each stop: %zu MiB", (size_t)woken);
    sleepers = 30 * heap->world.processors;
    threads = 10 * heap->world.processors;
    const uint64_t crowded = learnt(few_for_ever, 200, 70);
    cr_expect(crowded >= 2, "likewise, and more of them ran than there are processors: %zu MiB", (size_t)crowded);
    threads = sleepers = 0;
    const uint64_t again = learnt(most_for_a_while, 60, 20);
    cr_expect(again >= 16, "a program that changes: %zu MiB", (size_t)again);
    const uint64_t garbage_only = learnt(none, 60, 20);
    cr_expect(garbage_only <= 4, "all dies at once: %zu MiB", (size_t)garbage_only);
}

/* What larger budgets bring is forgotten and tried again, but for no longer than it takes to see that it is as it was:
 * the trials are the longest pauses of a program of which little survives. */
Test(sizing, larger_budgets_are_tried_briefly)
{
    heap_end(heap, self);
    begin_with("max_heap=1g");
    learnt(most_for_a_while, 60, 20); /* all of them were seen once */
    collections = 4100;
    learnt(few_for_ever, 400, 20); /* it becomes another program, */
    learnt(few_for_ever, 400, 20); /* and stays what it is */
    cr_expect(larger <= 200, "%u of 4,000 collections", larger);
}

/* A larger size that becomes the usual one, as more threads have to be woken, says little of those beyond it. */
Test(sizing, what_larger_budgets_bring_is_known_beyond_the_usual_one)
{
    heap_end(heap, self);
    begin_with("max_heap=1g");
    learnt(most_for_a_while, 60, 20);
    collections = 20000;
    const uint64_t usual = learnt(few_for_ever, 280, 100);
    cr_assert(eq(dbl, heap->budget.patience, 64));
    collections = 500;
    sleepers = 20;
    cr_assert(gt(u64, learnt(few_for_ever, 280, 100), usual));
    cr_expect(ge(dbl, heap->budget.patience, 16));
}

/* Where as much lives up to some age, and nothing beyond: the first of the larger budgets is as it was each time that
 * it is tried, those after it are found all the same. */
static double tenth_for_a_while(unsigned mib) { return mib < 2 ? 0.1 : 0; }
Test(sizing, larger_budgets_are_found_beyond_those_that_bring_nothing)
{
    heap_end(heap, self);
    begin_with("max_heap=1g");
    cr_expect(learnt(tenth_for_a_while, 200, 70) >= 8, "from the start");
    learnt(nearly_all, 200, 70); /* all of them were seen, */
    learnt(most_for_a_while, 200, 70);
    learnt(nearly_all, 200, 70); /* and then nothing of them is worth trying */
    collections = 2000;
    const uint64_t budget = learnt(tenth_for_a_while, 200, 70);
    cr_expect(budget >= 8, "a program that changes: %zu MiB", (size_t)budget);
}

/* Whether objects die in Gen 1, where none ever do, is tried as seldom. */
Test(sizing, gen1_is_tried_seldom)
{
    heap_end(heap, self);
    begin_with("max_heap=1g");
    const uint64_t each = 32 << 10;
    uint64_t gen1 = 0, young = 0;
    for (unsigned i = 0; i < 4000; i++) {
        const bool whole = stats_of(heap).gen0_collections + 1 >= stats_of(heap).gen1_after;
        tenure_collection event = { .generation = whole, .workers = 1, .pin_ns = 5000, .cpu_ns = 50000 };
        event.before_bytes[0] = 16 * each;
        event.copied_bytes = whole ? gen1 + each : each;
        gen1 = whole ? 0 : gen1 + each;
        young += !whole;
        tenure__sizing_update(heap, &event);
    }
    cr_expect(all(ge(u64, young, 9), le(u64, young, 60)), "%zu of 4,000 collections", (size_t)young);
}

/* Where many objects are pinned, Gen 0's budget is spent on the holes beside them: block by block, not hole by hole,
 * and what goes there was allocated like anything else. */
Test(sizing, what_went_into_holes_was_allocated)
{
    enum { PINNED = 32, BUDGET = (1 << 20) / TENURE__BLOCK_BYTES };
    void *pinned[PINNED];
    for (unsigned i = 0; i < PINNED; i++) {
        garbage(TENURE__BLOCK_BYTES / 2);
        pinned[i] = tenure_new_bytes(self, 100);
        cr_assert(eq(int, tenure_pin(self, pinned[i]), TENURE_OK));
        garbage(TENURE__BLOCK_BYTES / 2);
    }
    collect(self, TENURE_GEN1);
    for (unsigned i = 0; i < 100; i++) {
        unsigned made = 0;
        for (const uint64_t before = atomic_load(&heap->collected); atomic_load(&heap->collected) == before; made++)
            root = tenure_new(self, node_type);
        cr_expect(made > BUDGET * 900 && made <= BUDGET * 1024, "%u objects of 32 bytes", made);
        cr_assert(eq(u32, heap->budget.spent_blocks, BUDGET));
    }
    cr_expect(heap->budget.allocated_bytes > 15.0 * (BUDGET * TENURE__BLOCK_BYTES));
    for (unsigned i = 0; i < PINNED; i++) tenure_unpin(self, pinned[i]);
}

/* Of Gen 0's blocks each is as old as there are later ones; what they hold that lives is counted by age. */
Test(sizing, survivors_by_age)
{
    heap_end(heap, self);
    begin_with("max_heap=256m,gen0=4m");
    collect(self, TENURE_GEN0);
    root = tenure_new(self, node_type);
    garbage((3u << 20) + (1u << 19));
    node *young = tenure_new(self, node_type);
    tenure_store(self, root, &root->next, young);
    collect(self, TENURE_GEN0);
    cr_expect(eq(u64, heap->copied_by_age[0], 32), "the last 512 KiB");
    cr_expect(eq(u64, heap->copied_by_age[1] + heap->copied_by_age[2], 0));
    cr_expect(eq(u64, heap->copied_by_age[3], 32), "the third and the fourth MiB");
    collect(self, TENURE_GEN1);
    cr_expect(eq(u64, heap->copied_by_age[TENURE__AGE_OLD], 64));
}

/* So many blocks lie ready as the last collection copied to, when Gen 0 is spent: none is fetched from the system in a
 * stop. */
Test(sizing, memory_lies_ready)
{
    heap_end(heap, self);
    begin_with("max_heap=256m,gen0=2m,gen1_after=1");
    for (unsigned i = 0; i < 20; i++) {
        for (const uint64_t before = collections_of(heap); collections_of(heap) == before;) {
            for (unsigned made = 0; made < 500; made++) { /* half a block */
                node *first = tenure_new(self, node_type);
                first->next = root;
                root = first;
            }
            if (i > 0 && atomic_load(&heap->gen0_used) >= 60)
                cr_assert(ge(u32, atomic_load(&heap->free_count), atomic_load(&heap->survivors)));
        }
        if (i > 0) cr_assert(ge(u32, atomic_load(&heap->survivors), 48));
    }
}

/* More than Gen 0 takes itself. */
Test(sizing, memory_lies_ready_for_more_than_gen0)
{
    heap_end(heap, self);
    begin_with("max_heap=256m,gen0=2m,gen1_after=1,return_delay=3600s");
    spend_budget(self);
    atomic_store(&heap->survivors, 3 * 64);
    const uint64_t before = collections_of(heap);
    for (unsigned used = 0; collections_of(heap) == before; used = atomic_load(&heap->gen0_used)) {
        if (used >= 60) cr_assert(ge(u32, atomic_load(&heap->free_count), 3 * 64));
        garbage(1008);
    }
}

/* A thread that the system keeps while it populates memory. */
static _Thread_local bool is_kept;
static atomic_bool kept, kept_goes_on;
int __real_tenure__advise(void *memory, size_t bytes, int advice);
int __wrap_tenure__advise(void *memory, size_t bytes, int advice);
int __wrap_tenure__advise(void *memory, size_t bytes, int advice)
{
    if (is_kept && advice == MADV_POPULATE_WRITE) {
        atomic_store(&kept, true);
        while (!atomic_load(&kept_goes_on)) sched_yield();
    }
    return __real_tenure__advise(memory, bytes, advice);
}
static void *allocate_kept(void *arg)
{
    tenure_thread *own = tenure_attach(arg);
    is_kept = true;
    while (!atomic_load(&kept)) tenure_new_bytes(own, 1000);
    tenure_detach(own);
    return NULL;
}

Test(sizing, who_populates_memory_is_not_waited_for)
{
    pthread_t thread;
    cr_assert(zero(pthread_create(&thread, NULL, allocate_kept, heap)));
    while (!atomic_load(&kept)) {
        atomic_store(
            &heap->survivors, atomic_load(&heap->free_count) + 128); /* however much the daemon has populated */
        tenure_poll(self);
    }
    for (int i = 0; i < 3; i++) collect(self, (tenure_generation)i);
    atomic_store(&kept_goes_on, true);
    cr_assert(eq(int, tenure_join(self, thread, NULL), 0));
}

/* Adapted: the budget stays within what max_heap allows. */
Test(sizing, adapted_budget_has_bounds)
{
    heap_end(heap, self);
    begin_with("max_heap=64m");
    for (unsigned i = 0; i < 50; i++) {
        spend_budget(self);
        const uint64_t budget = stats_of(heap).gen0_budget_bytes;
        cr_assert(budget >= 512u << 10 && budget <= 32u << 20);
    }
}
