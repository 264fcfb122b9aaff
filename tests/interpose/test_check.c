/* check=locks with the interposer, which sees the calls: who waits in one outside of a region is told, and nobody else.
 * Every call that the interposer stands before is tried so in check.sh; here is what is found and what is not. */
#include "tests/check/told.h"
#include "tests/threads/threads.h"
#include <poll.h>
#include <tenure/io.h>
#include <time.h>

static tenure_heap *heap;
static tenure_thread *self;
static int ends[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static tenure_mutex quiet = TENURE_MUTEX_INIT("quiet");

static void begin_in(tenure_heap *in)
{
    heap = in;
    self = tenure_attach(heap);
    tenure_thread_name(self, "checked");
    tenure_mutex_rules(&quiet, 0, TENURE_LOCK_NO_GC);
    REQUIRE(pipe(ends) == 0);
}
static void begin(void) { begin_in(heap_with("max_heap=64m,check=locks")); }
static void end(void) { heap_end(heap, self); }

__attribute__((noinline)) static void wait_a_moment(void)
{
    const struct timespec moment = { 0, 1000000 };
    REQUIRE(nanosleep(&moment, NULL) == 0);
}

/* --- faults --- */

static void sleeps_attached(void)
{
    begin();
    wait_a_moment();
}
Test(interpose_check, a_call_that_waits)
{
    const char *text = told(sleeps_attached);
    expect_said(text, "tenure: check=locks: thread \"checked\" waited in nanosleep outside of a blocking region");
    expect_said(text, "called from wait_a_moment+");
}

/* The interposer makes no regions there: the check is what there is. */
static void sleeps_in_a_precise_heap(void)
{
    begin_in(precise_heap_with("max_heap=64m,check=locks"));
    wait_a_moment();
}
Test(interpose_check, a_call_in_a_precise_heap)
{
    expect_said(told(sleeps_in_a_precise_heap), "waited in nanosleep outside");
}

static flag held;
static void *hold_mutex(void *arg)
{
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    atomic_store(&held, 1);
    wait_a_moment();
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
    return arg;
}
static void wants_held_mutex(void)
{
    /* It may come free before it is waited for. */
    for (begin();; REQUIRE(pthread_mutex_unlock(&mutex) == 0)) {
        atomic_store(&held, 0);
        const pthread_t thread = start_thread(hold_mutex, NULL);
        await(&held, 1);
        REQUIRE(pthread_mutex_lock(&mutex) == 0);
        tenure_join(self, thread, NULL);
    }
}
Test(interpose_check, a_lock_that_is_waited_for)
{
    expect_said(told(wants_held_mutex), "waited in pthread_mutex_lock outside");
}

static void writes_without_gc(void)
{
    begin();
    tenure_mutex_lock(self, &quiet);
    REQUIRE(write(ends[1], "x", 1) == 1);
}
Test(interpose_check, a_call_with_a_lock_that_is_declared_no_gc)
{
    expect_said(told(writes_without_gc), "a blocking region while a lock is held that is declared no-GC");
}

/* --- what is none. (Criterion's asserts would be, and a test that began attached: they wait for its runner.) --- */

static void *wait_and_send(void *arg)
{
    wait_a_moment();
    REQUIRE(write(ends[1], "b", 1) == 1);
    return arg;
}

Test(interpose_check, waiting_in_regions)
{
    begin();
    char byte;
    for (unsigned i = 0; i < 3; i++) {
        const pthread_t thread = start_thread(wait_and_send, NULL);
        REQUIRE(tenure_read(self, ends[0], &byte, 1) == 1);
        join_blocked(self, thread);
        TENURE_BLOCKING_CALL(self, wait_a_moment());
        TENURE_IDLE_CALL(self, wait_a_moment());
        REQUIRE(tenure_collect(self, TENURE_GEN0) == TENURE_OK);
    }
    end();
}

/* Nothing is waited for: what would wait is not asked. */
Test(interpose_check, calls_that_need_not_wait)
{
    begin();
    struct pollfd in = { .fd = ends[0], .events = POLLIN };
    char byte;
    for (unsigned i = 0; i < 100; i++) {
        REQUIRE(pthread_mutex_lock(&mutex) == 0);
        REQUIRE(pthread_mutex_unlock(&mutex) == 0);
        REQUIRE(poll(&in, 1, 0) == 0);
        REQUIRE(write(ends[1], "b", 1) == 1);
        REQUIRE(read(ends[0], &byte, 1) == 1);
    }
    end();
}

static void *sleep_unattached(void *arg)
{
    wait_a_moment();
    return arg;
}
Test(interpose_check, unattached_threads)
{
    begin();
    const pthread_t thread = start_thread(sleep_unattached, NULL);
    join_blocked(self, thread);
    tenure_detach(self);
    wait_a_moment();
    self = tenure_attach(heap);
    end();
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void wait_once(void) { TENURE_BLOCKING_CALL(tenure_self(heap), wait_a_moment()); }
Test(interpose_check, what_a_once_routine_waits_for_is_its_own)
{
    begin();
    REQUIRE(pthread_once(&once, wait_once) == 0);
    end();
}

Test(interpose_check, off_without_the_option)
{
    begin_in(heap_with("max_heap=64m"));
    wait_a_moment();
    end();
}
