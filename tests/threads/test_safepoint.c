/* Stops reach every thread: those that only poll, those that refill all the time, those that come and go. */
#include "tests/threads/threads.h"

static tenure_heap *heap;

static void begin(void) { heap = heap_with("max_heap=256m,gen0=64m"); }
static void end(void) { cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK)); }

TestSuite(safepoint, .init = begin, .fini = end);

enum { THREADS = 4 };
static flag up, stop;
static atomic_ulong steps[THREADS];

typedef void loop(tenure_thread *self, atomic_ulong *step);

static loop *loop_of_threads;
static void *run_loop(void *arg)
{
    const uintptr_t index = (uintptr_t)arg;
    tenure_thread *self = tenure_attach(heap);
    REQUIRE(self != NULL);
    node *volatile kept = make_chain(self, 50, index);
    atomic_fetch_add(&up, 1);
    while (!atomic_load(&stop)) loop_of_threads(self, &steps[index]);
    check_chain(kept, 50, index);
    tenure_detach(self);
    return NULL;
}

/* All stops complete while the threads do that; and the threads go on between stops. */
static void stops_complete(loop *each, unsigned stops)
{
    pthread_t threads[THREADS];
    loop_of_threads = each;
    for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start_thread(run_loop, (void *)i);
    await(&up, THREADS);
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < stops; i++) collect(self, TENURE_GEN0);
    cr_assert(ge(u64, collections_of(heap), stops));
    for (unsigned i = 0; i < THREADS; i++) {
        const unsigned long before = atomic_load(&steps[i]);
        while (atomic_load(&steps[i]) == before) collect(self, TENURE_GEN0);
    }
    atomic_store(&stop, 1);
    tenure_detach(self);
    for (unsigned i = 0; i < THREADS; i++) join_thread(threads[i]);
}

static void poll_only(tenure_thread *self, atomic_ulong *step)
{
    for (unsigned i = 0; i < 100; i++) tenure_poll(self);
    atomic_fetch_add(step, 1);
}
Test(safepoint, threads_that_only_poll) { stops_complete(poll_only, ROUNDS(1000)); }

static void allocate_only(tenure_thread *self, atomic_ulong *step)
{
    for (unsigned i = 0; i < 100; i++) REQUIRE(tenure_new(self, node_type) != NULL);
    atomic_fetch_add(step, 1);
}
Test(safepoint, threads_that_only_allocate) { stops_complete(allocate_only, ROUNDS(1000)); }

/* A refill publishes a new limit just when a stop poisons it; afterwards the thread only polls until that stop was
 * there. If the poison is lost, it never comes. */
static void refill_then_poll(tenure_thread *self, atomic_ulong *step)
{
    const uint64_t seen = atomic_load(&heap->collected);
    const unsigned long count = atomic_fetch_add(step, 1);
    for (unsigned i = 0; i < 100 + count % 400; i++) REQUIRE(tenure_new_bytes(self, 200) != NULL);
    while (atomic_load(&heap->collected) == seen && !atomic_load(&stop)) tenure_poll(self);
}
Test(safepoint, no_poison_is_lost_by_refills) { stops_complete(refill_then_poll, ROUNDS(2000)); }

/* The same with whoever comes back from a region, which publishes a limit too. */
static void region_then_poll(tenure_thread *self, atomic_ulong *step)
{
    const uint64_t seen = atomic_load(&heap->collected);
    for (unsigned long i = 0; i < 5 + atomic_load(step) % 20; i++) {
        tenure_enter_blocking(self);
        tenure_leave_blocking(self);
    }
    atomic_fetch_add(step, 1);
    while (atomic_load(&heap->collected) == seen && !atomic_load(&stop)) tenure_poll(self);
}
Test(safepoint, no_poison_is_lost_by_regions) { stops_complete(region_then_poll, ROUNDS(2000)); }

static void large_then_poll(tenure_thread *self, atomic_ulong *step)
{
    const uint64_t seen = atomic_load(&heap->collected);
    REQUIRE(tenure_new_bytes(self, 100000) != NULL);
    atomic_fetch_add(step, 1);
    while (atomic_load(&heap->collected) == seen && !atomic_load(&stop)) tenure_poll(self);
}
Test(safepoint, large_objects_are_safepoints) { stops_complete(large_then_poll, ROUNDS(300)); }

static void come_and_go(tenure_thread *self, atomic_ulong *step)
{
    atomic_fetch_add(step, 1);
    tenure_enter_idle(self);
    tenure_leave_idle(self);
    tenure_poll(self);
    check_chain(make_chain(self, 20, 3), 20, 3);
}
Test(safepoint, threads_that_come_and_go) { stops_complete(come_and_go, ROUNDS(1000)); }

/* Whoever leads waits for the others whatever they do; everybody leads in turn. */
static void lead_in_turn(tenure_thread *self, atomic_ulong *step)
{
    if (atomic_fetch_add(step, 1) % 64 == 0) REQUIRE(tenure_collect(self, TENURE_GEN0) == TENURE_OK);
    check_chain(make_chain(self, 500, 3), 500, 3);
}
static void leaders_take_turns(const char *words)
{
    cr_assert(eq(int, tenure_heap_destroy(heap), TENURE_OK));
    heap = heap_with(words);
    stops_complete(lead_in_turn, ROUNDS(200));
}
Test(safepoint, mutators_lead_in_turn) { leaders_take_turns("max_heap=128m,gen0=1m,lead=mutator,verify=after"); }
Test(safepoint, the_daemon_leads) { leaders_take_turns("max_heap=128m,gen0=1m,lead=daemon,verify=after"); }
Test(safepoint, mutators_lead_with_one_worker) { leaders_take_turns("max_heap=128m,gen0=1m,workers=1,verify=after"); }
Test(safepoint, more_workers_than_processors) { leaders_take_turns("max_heap=128m,gen0=1m,workers=8,verify=after"); }

/* torture=poll collects at polls that find the limit poisoned. */
Test(safepoint, polls_that_collect)
{
    cr_assert(eq(int, tenure_heap_destroy(heap), TENURE_OK));
    heap = heap_with("max_heap=128m,torture=poll,verify=after");
    stops_complete(come_and_go, ROUNDS(100));
}

/* --- misuse --- */

Test(safepoint, allocation_inside_a_region, .signal = SIGABRT)
{
    be_quiet();
    tenure_thread *self = tenure_attach(heap);
    make_chain(self, 10, 1);
    TENURE_BLOCKING_SCOPE(self);
    tenure_new(self, node_type);
}
Test(safepoint, large_allocation_inside_a_region, .signal = SIGABRT)
{
    be_quiet();
    tenure_thread *self = tenure_attach(heap);
    TENURE_IDLE_SCOPE(self);
    tenure_new_bytes(self, 100000);
}
Test(safepoint, poll_inside_a_region, .signal = SIGABRT)
{
    be_quiet();
    tenure_thread *self = tenure_attach(heap);
    TENURE_BLOCKING_SCOPE(self);
    tenure_poll(self);
}
Test(safepoint, collect_inside_a_region, .signal = SIGABRT)
{
    be_quiet();
    tenure_thread *self = tenure_attach(heap);
    TENURE_BLOCKING_SCOPE(self);
    tenure_collect(self, TENURE_GEN0);
}
