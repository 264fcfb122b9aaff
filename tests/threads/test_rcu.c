/* Attached threads are readers of urcu-qsbr: quiescent at safepoints, offline while they are out; and a host's own
 * registration is left as it was. */
#include "tests/threads/threads.h"

static tenure_heap *heap, *other;

static void begin(void)
{
    heap = heap_with("max_heap=128m");
    other = heap_with("max_heap=128m");
}
static void end(void)
{
    cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK));
    cr_expect(eq(int, tenure_heap_destroy(other), TENURE_OK));
}

TestSuite(rcu, .init = begin, .fini = end);

static bool registered(void) { return tenure__rcu_registered(); }
static bool online(void) { return tenure__rcu_registered() && tenure__rcu_online(); }

/* --- grace periods end --- */

static flag up, stop;

static void *poll_only(void *of)
{
    tenure_thread *self = tenure_attach(of);
    atomic_store(&up, 1);
    while (!atomic_load(&stop)) tenure_poll(self);
    tenure_detach(self);
    return NULL;
}

static void grace_periods_end(tenure_heap *of)
{
    pthread_t thread = start_thread(poll_only, of);
    await(&up, 1);
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 20, 1);
    for (unsigned i = 0; i < 30; i++) {
        tenure_synchronize_rcu(self);
        cr_assert(online());
    }
    check_chain(kept, 20, 1);
    atomic_store(&stop, 1);
    join_blocked(self, thread);
    tenure_detach(self);
}
Test(rcu, threads_that_only_poll_are_quiescent) { grace_periods_end(heap); }
Test(rcu, threads_of_another_heap_too) { grace_periods_end(other); }

/* Records of threads that are gone are freed although nobody but a polling thread runs. */
Test(rcu, records_are_freed_while_others_only_poll)
{
    pthread_t thread = start_thread(poll_only, heap);
    await(&up, 1);
    for (unsigned i = 0; i < 50; i++) tenure_detach(tenure_attach(heap));
    while (atomic_load(&heap->world.retired) != 0) sched_yield();
    atomic_store(&stop, 1);
    join_thread(thread);
}

/* What a reader holds stays until it passes a safepoint. */
typedef struct entry {
    _Atomic int valid;
} entry;
static entry *_Atomic published;

static void invalidate(entry *old)
{
    atomic_store(&old->valid, 0);
    free(old);
}

static void *read_published(void *arg)
{
    (void)arg;
    tenure_thread *self = tenure_attach(heap);
    atomic_fetch_add(&up, 1);
    while (!atomic_load(&stop)) {
        entry *seen = atomic_load(&published);
        for (unsigned i = 0; i < 50; i++) REQUIRE(atomic_load(&seen->valid) == 1);
        tenure__tsan_release(&published);
        tenure_poll(self);
    }
    tenure_detach(self);
    return NULL;
}

static entry *fresh_entry(void)
{
    entry *fresh = malloc(sizeof *fresh);
    REQUIRE(fresh != NULL);
    atomic_init(&fresh->valid, 1);
    return fresh;
}

Test(rcu, readers_need_no_read_side_calls)
{
    atomic_store(&published, fresh_entry());
    pthread_t threads[2] = { start_thread(read_published, NULL), start_thread(read_published, NULL) };
    await(&up, 2);
    tenure_thread *self = tenure_attach(heap);
    for (int i = ROUNDS(300); i > 0; i--) {
        entry *old = atomic_exchange(&published, fresh_entry());
        tenure_synchronize_rcu(self);
        tenure__tsan_acquire(&published); /* ThreadSanitizer does not see grace periods */
        invalidate(old);
        if (i % 16 == 0) collect(self, TENURE_GEN0);
    }
    atomic_store(&stop, 1);
    for (unsigned i = 0; i < 2; i++) join_blocked(self, threads[i]);
    tenure_detach(self);
}

/* --- registration --- */

Test(rcu, attached_threads_are_online_readers)
{
    cr_assert(not(registered()));
    tenure_thread *self = tenure_attach(heap);
    cr_assert(online());
    {
        TENURE_BLOCKING_SCOPE(self);
        cr_assert(registered());
        cr_assert(not(online()));
    }
    cr_assert(online());
    collect(self, TENURE_GEN0);
    cr_assert(online());
    tenure_thread *second = tenure_attach(other);
    tenure_detach(self);
    cr_assert(online(), "for the other heap");
    tenure_detach(second);
    cr_assert(not(registered()));
}

static void passes_through(tenure_thread *self, bool was_online)
{
    collect(self, TENURE_GEN0);
    cr_assert(eq(int, online(), was_online));
    tenure_enter_blocking(self);
    cr_assert(not(online()));
    tenure_leave_blocking(self);
    cr_assert(eq(int, online(), was_online));
    tenure_stop_world(self);
    tenure_resume_world(self);
    cr_assert(eq(int, online(), was_online));
    tenure_synchronize_rcu(self);
    cr_assert(eq(int, online(), was_online));
}

Test(rcu, the_hosts_own_registration_is_left_alone)
{
    urcu_qsbr_register_thread();
    cr_assert(online());
    tenure_thread *self = tenure_attach(heap);
    cr_assert(online());
    passes_through(self, true);
    urcu_qsbr_thread_offline();
    passes_through(self, false);
    tenure_detach(self);
    cr_assert(registered());
    cr_assert(not(online()));
    urcu_qsbr_thread_online();
    tenure_detach(tenure_attach(heap));
    cr_assert(online());
    urcu_qsbr_unregister_thread();
}

/* With rcu=off the library registers nobody, and parks a reader of the host's. */
Test(rcu, off)
{
    tenure_options options = options_with("max_heap=64m", TENURE_ROOTS_CONSERVATIVE);
    options.rcu = TENURE_RCU_OFF;
    tenure_heap *without = heap_of(&options);
    tenure_thread *self = tenure_attach(without);
    cr_assert(not(registered()));
    collect(self, TENURE_GEN0);
    urcu_qsbr_register_thread();
    passes_through(self, true);
    urcu_qsbr_unregister_thread();
    heap_end(without, self);
}

Test(rcu, synchronize_inside_a_region, .signal = SIGABRT)
{
    be_quiet();
    tenure_thread *self = tenure_attach(heap);
    tenure_enter_blocking(self);
    tenure_synchronize_rcu(self);
}
