/* Blocking regions: stops neither wait for the thread nor lose what its stack holds; regions nest and may be left in
 * every way that C knows. */
#include "tests/threads/threads.h"
#include <setjmp.h>

static tenure_heap *heap;
static flag inside, go;

static void begin(void) { heap = heap_with("max_heap=128m,verify=before,after,torture=alloc:1000000000"); }
static void end(void) { cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK)); }

TestSuite(blocking, .init = begin, .fini = end);

static tenure_thread *_Atomic sleeper;

static void *block_with_objects(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept[8];
    uintptr_t places[8];
    for (unsigned i = 0; i < 8; i++) {
        kept[i] = make_chain(self, 20, 100 * i);
        places[i] = hidden(kept[i]);
    }
    clobber_stack();
    atomic_store(&sleeper, self);
    {
        TENURE_BLOCKING_SCOPE(self);
        atomic_store(&inside, 1);
        if (arg == NULL) await(&go, 1);
        /* Reading pinned memory is allowed here: what the stack points to lies still. */
        while (!atomic_load(&go))
            for (unsigned i = 0; i < 8; i++) {
                REQUIRE(kept[i] == shown(places[i]));
                REQUIRE(kept[i]->value == 100 * i + 19);
            }
    }
    for (unsigned i = 0; i < 8; i++) {
        REQUIRE(kept[i] == shown(places[i]));
        check_chain(kept[i], 20, 100 * i);
    }
    tenure_detach(self);
    return NULL;
}

static void keeps_objects(void *reads)
{
    pthread_t thread = start_thread(block_with_objects, reads);
    await(&inside, 1);
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < 5; i++) collect_and_litter(self);
    atomic_store(&go, 1);
    join_blocked(self, thread);
    tenure_detach(self);
}
Test(blocking, what_the_stack_holds_is_neither_moved_nor_lost) { keeps_objects(NULL); }
Test(blocking, what_the_stack_holds_may_be_read) { keeps_objects(&heap); }

/* A request record on the stack, which a worker answers while the thread waits: the stack has changed since the last
 * scan although its owner has not run. */
typedef struct request {
    node *volatile answer;
    flag answered;
} request;
static request *_Atomic asked;

static void *ask(void *arg)
{
    (void)arg;
    tenure_thread *self = tenure_attach(heap);
    request mine = { NULL, 0 };
    atomic_store(&sleeper, self);
    atomic_store(&asked, &mine);
    {
        TENURE_BLOCKING_SCOPE(self);
        await(&go, 1);
    }
    check_chain(mine.answer, 20, 77);
    tenure_detach(self);
    return NULL;
}

__attribute__((noinline)) static void answer(tenure_thread *self, request *to)
{
    to->answer = make_chain(self, 20, 77);
}

Test(blocking, others_may_store_into_the_stack)
{
    pthread_t thread = start_thread(ask, NULL);
    while (atomic_load(&asked) == NULL || mode_of(sleeper) != TENURE__BLOCKED) sched_yield();
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < 8; i++) collect(self, (tenure_generation)(i % 2));
    cr_assert(eq(u64, stats_of(heap).threads_dormant, 0));
    answer(self, asked);
    clobber_stack();
    for (unsigned i = 0; i < 3; i++) {
        collect(self, TENURE_GEN0);
        litter(self);
    }
    atomic_store(&go, 1);
    join_blocked(self, thread);
    tenure_detach(self);
}

/* Nobody waits for a blocked thread, and it waits for one stop at most. */
Test(blocking, stops_do_not_wait)
{
    pthread_t thread = start_thread(block_with_objects, NULL);
    await(&inside, 1);
    tenure_thread *self = tenure_attach(heap);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    cr_assert(is_claimed(sleeper));
    atomic_store(&go, 1);
    /* It comes to the end of its region and finds itself claimed: it stays out until the resume. */
    while ((state_of(sleeper) & TENURE__RETURNING) == 0) sched_yield();
    cr_assert(eq(u32, mode_of(sleeper), TENURE__BLOCKED));
    collect_and_litter(self);
    tenure_resume_world(self);
    join_blocked(self, thread);
    tenure_detach(self);
}

/* --- ways out --- */

static int leave_by_return(tenure_thread *self)
{
    TENURE_BLOCKING_SCOPE(self);
    return mode_of(self) == TENURE__BLOCKED;
}

static int double_of(int value) { return 2 * value; }

Test(blocking, scopes_end_however_they_are_left)
{
    tenure_thread *self = tenure_attach(heap);
    cr_assert(eq(int, leave_by_return(self), 1));
    cr_assert(eq(u32, mode_of(self), TENURE__RUNNING));
    for (unsigned i = 0; i < 3; i++) {
        TENURE_BLOCKING_SCOPE(self);
        TENURE_IDLE_SCOPE(self);
        cr_assert(eq(u32, mode_of(self), TENURE__BLOCKED), "the outer region's");
        if (i == 0) continue;
        if (i == 1) break;
    }
    cr_assert(eq(u32, mode_of(self), TENURE__RUNNING));
    {
        TENURE_IDLE_SCOPE(self);
        cr_assert(eq(u32, mode_of(self), TENURE__IDLE));
        goto out;
    }
out:
    cr_assert(eq(u32, mode_of(self), TENURE__RUNNING));
    const int twice = TENURE_BLOCKING_CALL(self, double_of(21));
    cr_assert(eq(int, twice, 42));
    const int again = TENURE_IDLE_CALL(self, double_of(4));
    cr_assert(eq(int, again, 8));
    cr_assert(eq(u32, mode_of(self), TENURE__RUNNING));
    tenure_detach(self);
}

static jmp_buf jump;

__attribute__((noinline)) static void jump_out(tenure_thread *self)
{
    tenure_enter_blocking(self);
    tenure_enter_idle(self);
    longjmp(jump, 1);
}

Test(blocking, jumps_out_of_regions)
{
    tenure_thread *volatile self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 20, 1);
    const tenure_jump saved = tenure_jump_save(self);
    if (setjmp(jump) == 0) jump_out(self);
    tenure_jump_restore(self, saved);
    cr_assert(eq(u32, mode_of(self), TENURE__RUNNING));
    collect_and_litter(self);
    check_chain(kept, 20, 1);
    tenure_enter_blocking(self);
    const tenure_jump within = tenure_jump_save(self);
    if (setjmp(jump) == 0) jump_out(self);
    tenure_jump_restore(self, within);
    cr_assert(eq(u32, mode_of(self), TENURE__BLOCKED));
    tenure_leave_blocking(self);
    tenure_detach(self);
}

/* A thread of two heaps leaves both, whichever record it names. */
Test(blocking, all_records_of_a_thread_leave_together)
{
    tenure_heap *other = heap_with("max_heap=128m");
    tenure_thread *first = tenure_attach(heap), *second = tenure_attach(other);
    tenure_enter_blocking(first);
    cr_assert(eq(u32, mode_of(second), TENURE__BLOCKED));
    tenure_leave_blocking(second);
    cr_assert(eq(u32, mode_of(first), TENURE__RUNNING));
    cr_assert(eq(u32, mode_of(second), TENURE__RUNNING));
    tenure_enter_idle(second);
    cr_assert(eq(u32, mode_of(first), TENURE__IDLE));
    tenure_leave_idle(second);
    tenure_detach(first);
    heap_end(other, second);
}

Test(blocking, leave_without_enter, .signal = SIGABRT)
{
    be_quiet();
    tenure_leave_blocking(tenure_attach(heap));
}

Test(blocking, region_of_a_stops_owner, .signal = SIGABRT)
{
    be_quiet();
    tenure_thread *self = tenure_attach(heap);
    tenure_stop_world(self);
    tenure_enter_blocking(self);
}
