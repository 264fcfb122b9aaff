/* Idle regions: young stops skip the thread, after a while even its record; what its stack holds survives nevertheless.
 * scan_claim of a record says which collection looked at its stack last. */
#include "tests/threads/threads.h"

static tenure_heap *heap;

static void begin_with(const char *words) { heap = heap_with(words); }
static void begin(void) { begin_with("max_heap=128m,gen0=1m,verify=before,after,torture=alloc:1000000000"); }
static void end(void) { cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK)); }

TestSuite(idle, .init = begin, .fini = end);

/* A thread that is idle until its round is called. */
static flag idle_since, called, answered;
static tenure_thread *_Atomic idler_record;

static void *idler(void *rounds)
{
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 20, 0);
    atomic_store(&idler_record, self);
    for (int round = 1; round <= (int)(uintptr_t)rounds; round++) {
        clobber_stack();
        {
            TENURE_IDLE_SCOPE(self);
            atomic_store(&idle_since, round);
            await(&called, round);
        }
        check_chain(kept, 20, (uint64_t)round - 1);
        kept = make_chain(self, 20, (uint64_t)round);
        atomic_store(&answered, round);
    }
    tenure_detach(self);
    return NULL;
}

static bool scanned_by(tenure_thread *self, tenure_generation generation)
{
    collect(self, generation);
    return atomic_load(&tenure__mutator_of(idler_record)->scan_claim) == heap->sequence;
}

Test(idle, young_stops_skip_it_until_it_comes_back)
{
    enum { COUNT = 3 };
    pthread_t thread = start_thread(idler, (void *)COUNT);
    tenure_thread *self = tenure_attach(heap);
    for (int round = 1; round <= COUNT; round++) {
        await_polling(self, &idle_since, round);
        cr_assert(scanned_by(self, TENURE_GEN0), "its stack has changed");
        litter(self);
        cr_assert(not(scanned_by(self, TENURE_GEN0)));
        cr_assert(scanned_by(self, TENURE_GEN1), "what it pins is not in Gen 2 yet");
        litter(self);
        cr_assert(not(scanned_by(self, TENURE_GEN1)));
        cr_assert(not(scanned_by(self, TENURE_GEN0)));
        cr_assert(scanned_by(self, TENURE_GEN2));
        litter(self);
        atomic_store(&called, round);
        await_polling(self, &answered, round);
    }
    join_blocked(self, thread);
    tenure_detach(self);
}

static void make_dormant(tenure_thread *self)
{
    collect(self, TENURE_GEN1);
    for (unsigned i = 0; i < 6; i++) collect(self, TENURE_GEN0);
}

Test(idle, dormant_and_back)
{
    enum { COUNT = 4 };
    pthread_t thread = start_thread(idler, (void *)COUNT);
    tenure_thread *self = tenure_attach(heap);
    for (int round = 1; round <= COUNT; round++) {
        await_polling(self, &idle_since, round);
        make_dormant(self);
        cr_assert(eq(u64, stats_of(heap).threads_dormant, 1));
        cr_assert(eq(u64, stats_of(heap).threads_attached, 2));
        collect_and_litter(self);
        cr_assert(not(scanned_by(self, TENURE_GEN1)));
        cr_assert(scanned_by(self, TENURE_GEN2));
        litter(self);
        atomic_store(&called, round);
        await_polling(self, &answered, round);
        cr_assert(eq(u64, stats_of(heap).threads_dormant, 0));
    }
    join_blocked(self, thread);
    cr_assert(eq(u64, stats_of(heap).threads_attached, 1));
    tenure_detach(self);
}

/* Back from dormancy in the middle of a stop, of every kind. */
Test(idle, a_dormant_thread_comes_back_while_the_world_is_stopped)
{
    pthread_t thread = start_thread(idler, (void *)2);
    tenure_thread *self = tenure_attach(heap);
    await_polling(self, &idle_since, 1);
    make_dormant(self);
    cr_assert(eq(u64, stats_of(heap).threads_dormant, 1));
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    atomic_store(&called, 1);
    collect_and_litter(self);
    cr_assert(eq(int, atomic_load(&answered), 0), "stopped");
    tenure_resume_world(self);
    await_polling(self, &answered, 1);
    await_polling(self, &idle_since, 2);
    collect_and_litter(self);
    atomic_store(&called, 2);
    join_blocked(self, thread);
    tenure_detach(self);
}

Test(idle, dormant_threads_come_back_while_stops_go_on)
{
    const int rounds = ROUNDS(150);
    pthread_t thread = start_thread(idler, (void *)(uintptr_t)rounds);
    tenure_thread *self = tenure_attach(heap);
    collector always;
    for (int round = 1; round <= rounds; round++) {
        await_polling(self, &idle_since, round);
        if (round % 2 == 0) make_dormant(self);
        tenure_enter_blocking(self);
        collector_start(&always, heap);
        atomic_store(&called, round);
        await(&answered, round);
        collector_stop(&always);
        tenure_leave_blocking(self);
    }
    join_blocked(self, thread);
    cr_assert(eq(u64, stats_of(heap).threads_dormant, 0));
    tenure_detach(self);
}

/* Its thread exits from inside the region, or is called back, without having been active before. */
static void *exit_when_called(void *enters)
{
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 20, 8);
    tenure_enter_idle(self);
    atomic_store(&idle_since, 1);
    await(&called, 1);
    if (enters != NULL) {
        tenure_thread *entered = tenure_enter(heap);
        collect_and_litter(entered);
        check_chain(kept, 20, 8);
        tenure_leave(entered);
    }
    return NULL;
}

static void dormant_until_exit(void *enters)
{
    pthread_t thread = start_thread(exit_when_called, enters);
    tenure_thread *self = tenure_attach(heap);
    await_polling(self, &idle_since, 1);
    make_dormant(self);
    cr_assert(eq(u64, stats_of(heap).threads_dormant, 1));
    atomic_store(&called, 1);
    join_blocked(self, thread);
    cr_assert(eq(u64, stats_of(heap).threads_dormant, 0));
    cr_assert(eq(u64, stats_of(heap).threads_attached, 1));
    collect_and_litter(self);
    tenure_detach(self);
}
Test(idle, a_dormant_thread_exits) { dormant_until_exit(NULL); }
Test(idle, a_dormant_thread_is_called_back) { dormant_until_exit(&heap); }

/* --- thousands --- */

enum { MANY = SANITIZED ? 200 : 2000 };
static int gate[2];
static atomic_uint many_idle, many_back;

static void *wait_at_the_gate(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    REQUIRE(self != NULL);
    node *volatile kept = make_chain(self, 10, (uintptr_t)arg);
    char byte;
    atomic_fetch_add(&many_idle, 1);
    REQUIRE(tenure_read(self, gate[0], &byte, 1) == 0);
    check_chain(kept, 10, (uintptr_t)arg);
    check_chain(make_chain(self, 10, 5), 10, 5);
    atomic_fetch_add(&many_back, 1);
    tenure_detach(self);
    return NULL;
}

Test(idle, thousands_of_idle_threads)
{
    static pthread_t threads[MANY];
    tenure_heap *old = heap;
    begin_with("max_heap=512m");
    cr_assert(eq(int, tenure_heap_destroy(old), TENURE_OK));
    cr_assert(eq(int, pipe(gate), 0));
    pthread_attr_t attributes;
    cr_assert(eq(int, pthread_attr_init(&attributes), 0));
    /* The least that some machines give is more than is wanted here. */
    const size_t least = (size_t)sysconf(_SC_THREAD_STACK_MIN), wanted = SANITIZED ? 1 << 20 : 64 << 10;
    cr_assert(eq(int, pthread_attr_setstacksize(&attributes, wanted > least ? wanted : least), 0));
    for (uintptr_t i = 0; i < MANY; i++)
        cr_assert(eq(int, pthread_create(&threads[i], &attributes, wait_at_the_gate, (void *)i), 0));
    pthread_attr_destroy(&attributes);
    tenure_thread *self = tenure_attach(heap);
    for (; atomic_load(&many_idle) < MANY; sched_yield()) tenure_poll(self);
    /* Whoever has not reached its region yet is not dormant for that. */
    while (stats_of(heap).threads_dormant < MANY) {
        make_dormant(self);
        sched_yield();
    }
    for (unsigned i = 0; i < 500; i++) {
        collect(self, TENURE_GEN0);
        cr_assert(eq(u64, stats_of(heap).threads_dormant, MANY));
    }
    litter(self);
    collect(self, TENURE_GEN2);
    litter(self);
    cr_assert(eq(int, close(gate[1]), 0));
    while (atomic_load(&many_back) < MANY) collect(self, TENURE_GEN0);
    for (unsigned i = 0; i < MANY; i++) join_blocked(self, threads[i]);
    cr_assert(eq(u64, stats_of(heap).threads_attached, 1));
    cr_assert(eq(u64, stats_of(heap).threads_dormant, 0));
    tenure_detach(self);
}

/* The rule that makes skipping right, and what a checked heap does with who breaks it. */
static node *volatile *_Atomic open_slot;

static void *lends_its_stack(void *unused)
{
    (void)unused;
    tenure_thread *self = tenure_attach(heap);
    node *volatile slot = NULL;
    atomic_store(&open_slot, &slot);
    {
        TENURE_IDLE_SCOPE(self);
        atomic_store(&idle_since, 1);
        await(&called, 1);
    }
    tenure_detach(self);
    return NULL;
}

static void store_into_idle_stack(bool young)
{
    pthread_t thread = start_thread(lends_its_stack, NULL);
    tenure_thread *self = tenure_attach(heap);
    await_polling(self, &idle_since, 1);
    collect(self, TENURE_GEN0);
    node *made = make_chain(self, 1, 7);
    if (!young) collect(self, TENURE_GEN0);
    *atomic_load(&open_slot) = made;
    collect(self, TENURE_GEN0);
    atomic_store(&called, 1);
    join_blocked(self, thread);
    tenure_detach(self);
}

Test(idle, a_young_reference_stored_into_its_stack_is_reported, .signal = SIGABRT) { store_into_idle_stack(true); }
Test(idle, an_older_one_is_no_fault) { store_into_idle_stack(false); }
