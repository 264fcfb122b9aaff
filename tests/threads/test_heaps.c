/* Threads of several heaps: stops of different heaps never wait for each other through one thread. And the calls that
 * want a heap's stop lock from a thread that runs. */
#include "tests/threads/threads.h"

enum { HEAPS = 3, THREADS = 4 };
static tenure_heap *heaps[HEAPS];

static void begin(void)
{
    for (unsigned i = 0; i < HEAPS; i++) heaps[i] = heap_with("max_heap=64m,gen0=1m,verify=after");
}
static void end(void)
{
    for (unsigned i = 0; i < HEAPS; i++) cr_expect(eq(int, tenure_heap_destroy(heaps[i]), TENURE_OK));
}

TestSuite(heaps, .init = begin, .fini = end);

static atomic_uint done;

static unsigned permuted(unsigned order, unsigned i)
{
    static const unsigned char orders[][HEAPS] = { { 0, 1, 2 }, { 2, 1, 0 }, { 1, 2, 0 }, { 0, 2, 1 } };
    return orders[order % 4][i];
}

/* Attached to all heaps, in an order of its own; collects each of them, in that order, all the time. */
static void *use_all(void *arg)
{
    const unsigned order = (unsigned)(uintptr_t)arg;
    tenure_thread *self[HEAPS];
    node *volatile kept[HEAPS];
    for (unsigned i = 0; i < HEAPS; i++) {
        self[i] = tenure_attach(heaps[permuted(order, i)]);
        kept[i] = make_chain(self[i], 30, 100 * i);
    }
    for (int round = ROUNDS(300); round > 0; round--) {
        for (unsigned i = 0; i < HEAPS; i++) {
            REQUIRE(tenure_collect(self[i], TENURE_GEN0) == TENURE_OK);
            check_chain(make_chain(self[i], 10, 5), 10, 5);
        }
        for (unsigned i = 0; i < HEAPS; i++) check_chain(kept[i], 30, 100 * i);
    }
    for (unsigned i = HEAPS; i-- > 0;) tenure_detach(self[i]);
    atomic_fetch_add(&done, 1);
    return NULL;
}

/* Polls in one heap only, whichever is being stopped. */
static void *poll_one(void *arg)
{
    tenure_thread *self[HEAPS];
    for (unsigned i = 0; i < HEAPS; i++) self[i] = tenure_attach(heaps[i]);
    while (atomic_load(&done) < THREADS) tenure_poll(self[(uintptr_t)arg]);
    for (unsigned i = 0; i < HEAPS; i++) tenure_detach(self[i]);
    return NULL;
}

Test(heaps, several_in_one_thread_stops_back_to_back)
{
    pthread_t users[THREADS], pollers[HEAPS];
    for (uintptr_t i = 0; i < THREADS; i++) users[i] = start_thread(use_all, (void *)i);
    for (uintptr_t i = 0; i < HEAPS; i++) pollers[i] = start_thread(poll_one, (void *)i);
    for (unsigned i = 0; i < THREADS; i++) join_thread(users[i]);
    for (unsigned i = 0; i < HEAPS; i++) join_thread(pollers[i]);
}

/* What a thread holds of one heap survives the stops of that heap while it sits in a stop of another. */
static flag ready;
static tenure_thread *_Atomic record;

static void *hold_two(void *arg)
{
    tenure_thread *first = tenure_attach(heaps[0]), *second = tenure_attach(heaps[1]);
    node *volatile kept[] = { make_chain(first, 30, 1), make_chain(second, 30, 2) };
    clobber_stack();
    atomic_store(&record, first);
    atomic_store(&ready, 1);
    while (!atomic_load((flag *)arg)) tenure_poll(first);
    check_chain(kept[0], 30, 1);
    check_chain(kept[1], 30, 2);
    tenure_detach(first);
    tenure_detach(second);
    return NULL;
}

Test(heaps, a_heap_collects_while_its_mutator_is_stopped_in_another)
{
    flag finished = 0;
    pthread_t thread = start_thread(hold_two, &finished);
    await(&ready, 1);
    tenure_thread *first = tenure_attach(heaps[0]), *second = tenure_attach(heaps[1]);
    cr_assert(eq(int, tenure_stop_world(first), TENURE_OK));
    cr_assert(is_claimed(record));
    for (unsigned i = 0; i < 3; i++) collect_and_litter(second);
    check_chain(make_chain(first, 30, 3), 30, 3);
    tenure_resume_world(first);
    atomic_store(&finished, 1);
    join_blocked(first, thread);
    tenure_detach(first);
    tenure_detach(second);
}

/* --- calls that want the stop lock, of a mutator that runs, while stops go on --- */

static void thresholds_set(tenure_heap *heap)
{
    tenure_thresholds thresholds;
    tenure_thresholds_get(heap, &thresholds);
    tenure_thresholds_set(heap, &thresholds);
}
static void set_oom_handler(tenure_heap *heap) { tenure_oom_handler(heap, NULL, NULL); }
static void destroy_busy(tenure_heap *heap) { REQUIRE(tenure_heap_destroy(heap) == TENURE_EBUSY); }
static void root_and_back(tenure_heap *heap)
{
    static node *slots[4];
    REQUIRE(tenure_root_add(heap, &slots[0]) == TENURE_OK);
    REQUIRE(tenure_root_range_add(heap, slots, sizeof slots, TENURE_AMBIGUOUS) == TENURE_OK);
    tenure_root_range_remove(heap, slots);
    tenure_root_remove(heap, &slots[0]);
}
static void stack_and_back(tenure_heap *heap)
{
    static uintptr_t words[64];
    tenure_stack *stack = tenure_stack_add(heap, words, words + 64, NULL, 0);
    REQUIRE(stack != NULL);
    tenure_stack_remove(heap, stack);
}
static void stats(tenure_heap *heap) { REQUIRE(stats_of(heap).threads_attached >= 1); }

static void calls_while_stops_go_on(void (*call)(tenure_heap *), bool attached_to_another)
{
    collector always;
    collector_start(&always, heaps[0]);
    tenure_thread *self = tenure_attach(heaps[attached_to_another ? 1 : 0]);
    node *volatile kept = make_chain(self, 30, 1);
    for (int i = ROUNDS(3000); i > 0; i--) {
        call(heaps[0]);
        tenure_poll(self);
        if (i % 8 == 0) {
            TENURE_BLOCKING_SCOPE(self);
            call(heaps[0]);
        }
    }
    check_chain(kept, 30, 1);
    tenure_enter_blocking(self);
    collector_stop(&always);
    tenure_leave_blocking(self);
    tenure_detach(self);
}
#define CALLS(name)                                                                 \
    Test(heaps, name##_while_stops_go_on) { calls_while_stops_go_on(name, false); } \
    Test(heaps, name##_while_stops_of_another_heap_go_on) { calls_while_stops_go_on(name, true); }
CALLS(thresholds_set)
CALLS(set_oom_handler)
CALLS(destroy_busy)
CALLS(root_and_back)
CALLS(stack_and_back)
CALLS(stats)
