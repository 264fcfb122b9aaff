/* tenure_stop_world: nobody else progresses, the owner may do what a mutator does, in this heap and in others. */
#include "tests/threads/threads.h"

static tenure_heap *heap, *other;

static void begin(void)
{
    heap = heap_with("max_heap=128m,gen0=1m,verify=after");
    other = heap_with("max_heap=128m,gen0=1m,verify=after");
}
static void end(void)
{
    cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK));
    cr_expect(eq(int, tenure_heap_destroy(other), TENURE_OK));
}

TestSuite(stop_world, .init = begin, .fini = end);

/* --- nobody else progresses --- */

enum { KINDS = 5 };
static atomic_ulong progress[KINDS];
static flag stop;

static void step(tenure_thread *self, uintptr_t kind)
{
    switch (kind) {
    case 0:
        tenure_poll(self);
        break;
    case 1:
        make_chain(self, 3, 1);
        break;
    case 2:
        tenure_enter_blocking(self);
        tenure_leave_blocking(self);
        break;
    case 3:
        tenure_handle_free(tenure_handle_new(self, make_chain(self, 1, 1)));
        break;
    default:
        tenure_detach(tenure_attach(other));
        break;
    }
}

static void *go_on(void *arg)
{
    const uintptr_t kind = (uintptr_t)arg;
    tenure_thread *self = tenure_attach(heap);
    while (!atomic_load(&stop)) {
        step(self, kind);
        atomic_fetch_add(&progress[kind], 1); /* running: no stop goes on */
    }
    tenure_detach(self);
    return NULL;
}

static void await_progress(tenure_thread *self)
{
    for (unsigned i = 0; i < KINDS; i++) {
        const unsigned long before = atomic_load(&progress[i]);
        for (; atomic_load(&progress[i]) == before; sched_yield()) tenure_poll(self);
    }
}

static void spend_budgets(tenure_thread *self, unsigned budgets)
{
    const uint64_t before = collections_of(self->heap);
    node *volatile kept = make_chain(self, 500, 4);
    while (collections_of(self->heap) < before + budgets) check_chain(make_chain(self, 500, 9), 500, 9);
    check_chain(kept, 500, 4);
}

Test(stop_world, nobody_else_progresses)
{
    pthread_t threads[KINDS];
    for (uintptr_t i = 0; i < KINDS; i++) threads[i] = start_thread(go_on, (void *)i);
    tenure_thread *self = tenure_attach(heap);
    for (unsigned round = 0; round < 8; round++) {
        unsigned long before[KINDS];
        await_progress(self);
        cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
        for (unsigned i = 0; i < KINDS; i++) before[i] = atomic_load(&progress[i]);
        spend_budgets(self, 4);
        for (unsigned i = 0; i < 100; i++) sched_yield();
        for (unsigned i = 0; i < KINDS; i++) cr_assert(eq(ulong, atomic_load(&progress[i]), before[i]));
        tenure_resume_world(self);
    }
    atomic_store(&stop, 1);
    for (unsigned i = 0; i < KINDS; i++) join_blocked(self, threads[i]);
    tenure_detach(self);
}

Test(stop_world, nests)
{
    tenure_thread *self = tenure_attach(heap);
    pthread_t thread = start_thread(go_on, (void *)1);
    for (; atomic_load(&progress[1]) == 0; sched_yield()) tenure_poll(self);
    for (unsigned i = 0; i < 3; i++) cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    const unsigned long before = atomic_load(&progress[1]);
    for (unsigned i = 0; i < 2; i++) {
        tenure_resume_world(self);
        spend_budgets(self, 2);
        cr_assert(eq(ulong, atomic_load(&progress[1]), before));
    }
    tenure_resume_world(self);
    for (; atomic_load(&progress[1]) == before; sched_yield()) tenure_poll(self);
    atomic_store(&stop, 1);
    join_blocked(self, thread);
    tenure_detach(self);
}

/* Requesters queue: the stops exclude each other, and all of them get theirs. */
static atomic_uint owners;

static void *own_in_turn(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 50, (uintptr_t)arg);
    for (int i = ROUNDS(300); i > 0; i--) {
        REQUIRE(tenure_stop_world(self) == TENURE_OK);
        REQUIRE(atomic_fetch_add(&owners, 1) == 0);
        check_chain(make_chain(self, 20, 4), 20, 4);
        REQUIRE(atomic_fetch_sub(&owners, 1) == 1);
        tenure_resume_world(self);
        check_chain(kept, 50, (uintptr_t)arg);
    }
    tenure_detach(self);
    return NULL;
}

Test(stop_world, requesters_queue)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++) threads[i] = start_thread(own_in_turn, (void *)(100 * i));
    for (unsigned i = 0; i < 4; i++) join_thread(threads[i]);
}

/* --- the owner --- */

Test(stop_world, the_owner_does_what_mutators_do)
{
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 50, 6);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    spend_budgets(self, 4);
    tenure_handle *handle = tenure_handle_new(self, make_chain(self, 10, 3));
    static node *root;
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
    root = make_chain(self, 10, 8);
    cr_assert(eq(int, tenure_pin(self, root), TENURE_OK));
    tenure_poll(self);
    tenure_thresholds thresholds;
    tenure_thresholds_get(heap, &thresholds);
    tenure_thresholds_set(heap, &thresholds);
    cr_assert(eq(int, tenure_verify(self), TENURE_OK));
    cr_assert(eq(int, tenure_heap_destroy(heap), TENURE_EBUSY));
    spend_budgets(self, 4);
    check_chain(tenure_handle_get(handle), 10, 3);
    check_chain(root, 10, 8);
    tenure_resume_world(self);
    tenure_unpin(self, root);
    spend_budgets(self, 4);
    check_chain(kept, 50, 6);
    check_chain(root, 10, 8);
    tenure_root_remove(heap, &root);
    tenure_handle_free(handle);
    tenure_detach(self);
}

/* The owner is a mutator like any other in its other heaps: it allocates, polls and collects there. */
Test(stop_world, the_owner_uses_another_heap)
{
    tenure_thread *self = tenure_attach(heap), *second = tenure_attach(other);
    node *volatile kept[] = { make_chain(self, 20, 1), make_chain(second, 20, 2) };
    collector always;
    collector_start(&always, other);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    for (unsigned i = 0; i < 100; i++) tenure_poll(second);
    spend_budgets(second, 4);
    collect_and_litter(second);
    tenure_handle_free(tenure_handle_new(second, kept[1]));
    spend_budgets(self, 2);
    cr_assert(tenure__owns_stop(tenure__mutator_of(self)));
    tenure_resume_world(self);
    tenure_enter_blocking(second);
    collector_stop(&always);
    tenure_leave_blocking(second);
    check_chain(kept[0], 20, 1);
    check_chain(kept[1], 20, 2);
    tenure_detach(second);
    tenure_detach(self);
}

/* The owner of a heap's stop is stopped in its other heap. */
static flag checked_other;
static atomic_ulong rounds_of_owner;
static tenure_thread *_Atomic owner_record;

static void *stop_other(void *arg)
{
    (void)arg;
    tenure_thread *self = tenure_attach(other);
    for (unsigned i = 0; i < 20; i++) {
        REQUIRE(tenure_stop_world(self) == TENURE_OK);
        const unsigned long before = atomic_load(&rounds_of_owner);
        spend_budgets(self, 2);
        REQUIRE(mode_of(owner_record) != TENURE__RUNNING);
        REQUIRE(atomic_load(&rounds_of_owner) == before);
        tenure_resume_world(self);
        for (; atomic_load(&rounds_of_owner) == before; sched_yield()) tenure_poll(self);
    }
    tenure_detach(self);
    atomic_store(&checked_other, 1);
    return NULL;
}

Test(stop_world, the_owner_stops_for_another_heap)
{
    tenure_thread *self = tenure_attach(heap), *second = tenure_attach(other);
    atomic_store(&owner_record, second);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    pthread_t thread = start_thread(stop_other, NULL);
    while (!atomic_load(&checked_other)) {
        tenure_poll(self); /* of either record */
        atomic_fetch_add(&rounds_of_owner, 1);
    }
    tenure_resume_world(self);
    join_blocked(self, thread);
    tenure_detach(second);
    tenure_detach(self);
}

/* But not while it is in a region of that one. */
static void *stop_other_once(void *arg)
{
    tenure_thread *self = tenure_attach(other);
    REQUIRE(tenure_stop_world(self) == TENURE_OK);
    spend_budgets(self, 2);
    tenure_resume_world(self);
    tenure_detach(self);
    return arg;
}

Test(stop_world, the_owner_waits_outside_of_its_other_heap)
{
    tenure_thread *self = tenure_attach(heap), *second = tenure_attach(other);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    const pthread_t thread = start_thread(stop_other_once, NULL);
    TENURE_BLOCKING_CALL(second, join_thread(thread));
    cr_assert(tenure_new_bytes(self, 24) != NULL && tenure_new_bytes(second, 24) != NULL);
    tenure_resume_world(self);
    tenure_detach(second);
    tenure_detach(self);
}

/* --- two heaps at once --- */

static atomic_ulong both, refused;

/* One stops a and then b, the other b and then a. */
static void *own_both(void *arg)
{
    const bool reverse = arg != NULL;
    tenure_thread *first = tenure_attach(reverse ? other : heap), *second = tenure_attach(reverse ? heap : other);
    node *volatile kept[] = { make_chain(first, 20, 1), make_chain(second, 20, 2) };
    for (int i = ROUNDS(1000); i > 0; i--) {
        REQUIRE(tenure_stop_world(first) == TENURE_OK);
        const tenure_status status = tenure_stop_world(second);
        REQUIRE(status == TENURE_OK || status == TENURE_EDEADLK);
        if (status == TENURE_OK) {
            REQUIRE(atomic_fetch_add(&owners, 1) == 0);
            check_chain(make_chain(first, 20, 3), 20, 3);
            check_chain(make_chain(second, 20, 4), 20, 4);
            REQUIRE(atomic_fetch_sub(&owners, 1) == 1);
            tenure_resume_world(second);
        }
        atomic_fetch_add(status == TENURE_OK ? &both : &refused, 1);
        tenure_resume_world(first);
        check_chain(kept[0], 20, 1);
        check_chain(kept[1], 20, 2);
    }
    tenure_detach(second);
    tenure_detach(first);
    return NULL;
}

Test(stop_world, two_heaps_in_opposite_order)
{
    pthread_t threads[3] = { start_thread(own_both, NULL), start_thread(own_both, &heap),
        start_thread(own_both, NULL) };
    for (unsigned i = 0; i < 3; i++) join_thread(threads[i]);
    cr_assert(lt(ulong, 0, atomic_load(&both)));
}

/* It wants to stop one heap, is held back by a stop of the other, gives its own up and waits for the stop lock again.
 * If a resume let it in to the other heap meanwhile, the next stop there would wait for a thread that waits. */
static tenure_thread *_Atomic wants_to_own;
static flag attached, go;

static void *own_when_possible(void *arg)
{
    tenure_thread *self = tenure_attach(heap), *second = tenure_attach(other);
    atomic_store(&wants_to_own, second);
    atomic_store(&attached, 1);
    await(&go, 1); /* nobody stops it yet */
    REQUIRE(tenure_stop_world(self) == TENURE_OK);
    tenure_resume_world(self);
    tenure_detach(second);
    tenure_detach(self);
    return arg;
}

Test(stop_world, who_waits_to_own_is_not_let_in_elsewhere)
{
    tenure__world *wanted = &heap->world, *stopped = &other->world;
    pthread_t thread;
    thread = start_thread(own_when_possible, NULL);
    await(&attached, 1);
    tenure__lock_stop(wanted);
    atomic_store(&go, 1);
    await_mode(wants_to_own, TENURE__PARKED);
    tenure__lock_stop(stopped);
    tenure__world_stop(stopped, true);
    const uint64_t before = atomic_load(&wanted->request);
    tenure__unlock_stop(wanted);
    while (atomic_load(&wanted->request) != before + 2) sched_yield();
    tenure__lock_stop(wanted);
    for (unsigned i = 0; i < 100; i++) {
        sched_yield();
        tenure__world_resume(stopped);
        tenure__world_stop(stopped, true);
    }
    tenure__world_resume(stopped);
    tenure__unlock_stop(stopped);
    tenure__unlock_stop(wanted);
    join_thread(thread);
}

Test(stop_world, resume_without_stop, .signal = SIGABRT)
{
    be_quiet();
    tenure_resume_world(tenure_attach(heap));
}

Test(stop_world, inside_a_region, .signal = SIGABRT)
{
    be_quiet();
    tenure_thread *self = tenure_attach(heap);
    tenure_enter_blocking(self);
    tenure_stop_world(self);
}

/* An explicit collection takes the owner's chunk like everybody's. */
Test(stop_world, the_owner_collects)
{
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 50, 6);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    for (unsigned i = 0; i < 3; i++) collect_and_litter(self);
    tenure_resume_world(self);
    check_chain(kept, 50, 6);
    tenure_detach(self);
}
