/* Attach and detach: counted, in any number of heaps, at any time; threads that just exit. */
#include "tests/threads/threads.h"

static tenure_heap *heap, *other;

static void begin(void)
{
    heap = heap_with("max_heap=128m,gen0=1m,verify=before,after");
    other = heap_with("max_heap=128m,gen0=1m,verify=before,after");
}
static void end(void)
{
    cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK));
    cr_expect(eq(int, tenure_heap_destroy(other), TENURE_OK));
}

TestSuite(attach, .init = begin, .fini = end);

Test(attach, is_counted)
{
    cr_assert(eq(ptr, tenure_self(heap), NULL));
    tenure_thread *self = tenure_attach(heap);
    cr_assert(ne(ptr, self, NULL));
    cr_assert(eq(ptr, tenure_attach(heap), self));
    cr_assert(eq(ptr, tenure_self(heap), self));
    cr_assert(eq(u64, stats_of(heap).threads_attached, 1));
    tenure_detach(self);
    cr_assert(eq(ptr, tenure_self(heap), self));
    cr_assert(eq(int, tenure_heap_destroy(heap), TENURE_EBUSY));
    tenure_detach(self);
    cr_assert(eq(ptr, tenure_self(heap), NULL));
    cr_assert(eq(u64, stats_of(heap).threads_attached, 0));
}

Test(attach, to_several_heaps_and_off_in_any_order)
{
    for (unsigned round = 0; round < 20; round++) {
        tenure_thread *first = tenure_attach(heap), *second = tenure_attach(other);
        node *volatile kept[] = { make_chain(first, 20, 1), make_chain(second, 20, 2) };
        collect_and_litter(round % 2 == 0 ? first : second);
        check_chain(kept[0], 20, 1);
        check_chain(kept[1], 20, 2);
        tenure_detach(round % 4 < 2 ? first : second);
        tenure_thread *stays = round % 4 < 2 ? second : first;
        collect_and_litter(stays);
        check_chain(kept[round % 4 < 2], 20, round % 4 < 2 ? 2 : 1);
        tenure_detach(stays);
    }
}

/* --- a second attach while a stop holds the thread in its first heap --- */

static flag ready, go;
static tenure_thread *_Atomic victim_record;

static void *attach_second(void *arg)
{
    (void)arg;
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 50, 7);
    atomic_store(&victim_record, self);
    atomic_store(&ready, 1);
    await(&go, 1);
    tenure_thread *second = tenure_attach(other);
    REQUIRE(second != NULL);
    node *volatile also = make_chain(second, 50, 9);
    collect_and_litter(second);
    check_chain(kept, 50, 7);
    check_chain(also, 50, 9);
    tenure_detach(second);
    tenure_detach(self);
    return NULL;
}

/* The new record is linked, but its thread cannot come back yet: a stop of the second heap meets it with the context
 * that it has then. */
Test(attach, second_heap_collects_while_the_first_is_stopped)
{
    pthread_t victim = start_thread(attach_second, NULL);
    await(&ready, 1);
    tenure_thread *second = tenure_attach(other);
    cr_assert(eq(int, tenure_stop_world(second), TENURE_OK));
    atomic_store(&go, 1);
    await_mode(victim_record, TENURE__PARKED);
    tenure_thread *first = tenure_attach(heap);
    cr_assert(eq(int, tenure_stop_world(first), TENURE_OK));
    tenure_resume_world(second);
    for (; stats_of(other).threads_attached < 2; sched_yield()) tenure_poll(second);
    cr_assert(is_claimed(victim_record));
    for (unsigned i = 0; i < 10; i++) collect(second, (tenure_generation)(i % 3));
    tenure_resume_world(first);
    join_blocked(first, victim);
    tenure_detach(first);
    tenure_detach(second);
}

/* --- against destroy --- */

static void *attach_and_go(void *arg)
{
    tenure_thread *self = tenure_attach(arg);
    REQUIRE(self != NULL);
    atomic_store(&ready, 1);
    tenure_detach(self);
    return NULL;
}

Test(attach, detach_while_the_heap_waits_to_be_destroyed)
{
    const int rounds = ROUNDS(300);
    for (int i = 0; i < rounds; i++) {
        tenure_heap *brief = heap_with("max_heap=8m,workers=1");
        atomic_store(&ready, 0);
        pthread_t thread = start_thread(attach_and_go, brief);
        await(&ready, 1);
        tenure_status status;
        while ((status = tenure_heap_destroy(brief)) == TENURE_EBUSY) {}
        cr_assert(eq(int, status, TENURE_OK));
        join_thread(thread);
    }
}

/* --- threads that just exit --- */

enum exit_from { FROM_RUNNING, FROM_BLOCKED, FROM_IDLE, FROM_NESTED, FROM_TWO_HEAPS, FROM_ENTERED, EXITS };

static void *exit_without_detach(void *arg)
{
    const enum exit_from from = (enum exit_from)(uintptr_t)arg;
    tenure_thread *self = tenure_attach(heap);
    tenure_attach(heap);
    make_chain(self, 100, 1);
    if (from == FROM_TWO_HEAPS) make_chain(tenure_attach(other), 100, 2);
    if (from == FROM_BLOCKED || from == FROM_NESTED || from == FROM_ENTERED) tenure_enter_blocking(self);
    if (from == FROM_IDLE || from == FROM_NESTED || from == FROM_TWO_HEAPS) tenure_enter_idle(self);
    if (from == FROM_ENTERED) make_chain(tenure_enter(other), 100, 3);
    return NULL;
}

Test(attach, threads_exit_without_detach)
{
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 50, 7);
    for (uintptr_t i = 0; i < 10 * EXITS; i++) {
        join_blocked(self, start_thread(exit_without_detach, (void *)(i % EXITS)));
        cr_assert(eq(u64, stats_of(heap).threads_attached, 1));
        cr_assert(eq(u64, stats_of(other).threads_attached, 0));
        collect(self, (tenure_generation)(i % 3));
        check_chain(kept, 50, 7);
    }
    tenure_detach(self);
}

static pthread_key_t late_key;

/* Tenure's destructor has run before: its key is older. */
static void attach_late(void *rounds)
{
    tenure_thread *self = tenure_attach(heap);
    REQUIRE(self != NULL);
    node *volatile kept = make_chain(self, 100, 5);
    collect_and_litter(self);
    check_chain(kept, 100, 5);
    if ((uintptr_t)rounds > 1) REQUIRE(pthread_setspecific(late_key, (void *)((uintptr_t)rounds - 1)) == 0);
    atomic_fetch_add(&ready, 1);
}

static void *exit_with_destructor(void *arg)
{
    REQUIRE(pthread_setspecific(late_key, (void *)2) == 0);
    tenure_thread *self = tenure_attach(heap);
    make_chain(self, 10, 1);
    if (arg != NULL) tenure_enter_blocking(self);
    return NULL;
}

Test(attach, a_destructor_attaches_again)
{
    cr_assert(eq(int, pthread_key_create(&late_key, attach_late), 0));
    for (int i = 0; i < 6; i++) {
        join_thread(start_thread(exit_with_destructor, i % 2 == 0 ? NULL : &heap));
        cr_assert(eq(int, atomic_load(&ready), 2 * (i + 1)));
        cr_assert(eq(u64, stats_of(heap).threads_attached, 0));
    }
}

/* --- coming and going while others allocate --- */

static flag stop;

static void *allocate_until_stopped(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    for (uint64_t key = (uintptr_t)arg; !atomic_load(&stop); key += 1000)
        check_chain(make_chain(self, 300, key), 300, key);
    tenure_detach(self);
    return NULL;
}

static void *come_and_go(void *arg)
{
    const int rounds = ROUNDS(400);
    for (int i = 0; i < rounds; i++) {
        tenure_thread *self = tenure_attach(heap), *second = i % 3 == 0 ? tenure_attach(other) : NULL;
        node *volatile kept = make_chain(self, 100, (uintptr_t)arg);
        if (second != NULL) make_chain(second, 100, 3);
        check_chain(kept, 100, (uintptr_t)arg);
        if (second != NULL) tenure_detach(second);
        tenure_detach(self);
        if (i % 16 == 0) join_thread(start_thread(exit_without_detach, (void *)(uintptr_t)(i / 16 % EXITS)));
    }
    return NULL;
}

Test(attach, while_others_allocate)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        threads[i] = start_thread(i < 2 ? allocate_until_stopped : come_and_go, (void *)(i + 1));
    join_thread(threads[2]);
    join_thread(threads[3]);
    atomic_store(&stop, 1);
    join_thread(threads[0]);
    join_thread(threads[1]);
    cr_assert(lt(u64, 0, collections_of(heap)));
}

static void *run_with_object(tenure_thread *self, void *object)
{
    node *volatile kept = object;
    collect_and_litter(self);
    check_chain(kept, 30, 11);
    return NULL;
}

Test(attach, an_object_travels_to_a_new_thread)
{
    tenure_thread *self = tenure_attach(heap);
    collector always;
    collector_start(&always, heap);
    for (unsigned i = 0; i < 20; i++) {
        pthread_t thread;
        cr_assert(
            eq(int, tenure_thread_create(self, &thread, NULL, run_with_object, make_chain(self, 30, 11)), TENURE_OK));
        clobber_stack();
        join_blocked(self, thread);
    }
    tenure_enter_blocking(self);
    collector_stop(&always);
    tenure_leave_blocking(self);
    tenure_detach(self);
}

/* --- misuse --- */

Test(attach, detach_as_owner_of_a_stop, .signal = SIGABRT)
{
    be_quiet();
    tenure_thread *self = tenure_attach(heap);
    tenure_stop_world(self);
    tenure_detach(self);
}

/* Its end would write into freed memory. */
Test(attach, detach_within_a_frame, .signal = SIGABRT)
{
    be_quiet();
    tenure_thread *self = tenure_attach(heap);
    node *kept = NULL;
    TENURE_FRAME(self, kept);
    tenure_detach(self);
}

Test(attach, detach_inside_a_region, .signal = SIGABRT)
{
    be_quiet();
    tenure_thread *self = tenure_attach(heap);
    tenure_enter_blocking(self);
    tenure_detach(self);
}

Test(attach, attach_inside_a_region, .signal = SIGABRT)
{
    be_quiet();
    tenure_enter_blocking(tenure_attach(heap));
    tenure_attach(other);
}
