/* Roots, ranges, callbacks and handles come and go while stops go on, also at the hands of unattached threads. */
#include "tests/threads/threads.h"

static tenure_heap *heap;
static collector always;

static void begin(void)
{
    heap = precise_heap_with("max_heap=128m,verify=after,torture=evacuate");
    collector_start(&always, heap);
}
static void end(void)
{
    collector_stop(&always);
    cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK));
}

TestSuite(roots, .init = begin, .fini = end);

/* An unattached thread registers and unregisters; in between an attached one relies on it. */
enum { SLOTS = 40 };
static node *slots[SLOTS];
static flag turn; /* odd: registered */

static void visit_slots(tenure_visitor *visitor, void *arg) { tenure_visit_range(visitor, arg, SLOTS); }

static void add_single(void)
{
    for (unsigned i = 0; i < SLOTS; i++) REQUIRE(tenure_root_add(heap, &slots[i]) == TENURE_OK);
}
static void remove_single(void)
{
    for (unsigned i = 0; i < SLOTS; i++) tenure_root_remove(heap, &slots[i]);
}
static void add_precise(void)
{
    REQUIRE(tenure_root_range_add(heap, slots, sizeof slots, TENURE_PRECISE) == TENURE_OK);
}
static void add_ambiguous(void)
{
    REQUIRE(tenure_root_range_add(heap, slots, sizeof slots, TENURE_AMBIGUOUS) == TENURE_OK);
}
static void remove_range(void) { tenure_root_range_remove(heap, slots); }
static void add_callback(void) { REQUIRE(tenure_root_callback_add(heap, visit_slots, slots) == TENURE_OK); }
static void remove_callback(void) { tenure_root_callback_remove(heap, visit_slots, slots); }

typedef struct registration {
    void (*add)(void), (*remove)(void);
    int rounds;
} registration;

static void *register_in_turn(void *arg)
{
    const registration *how = arg;
    for (int round = 0; round < how->rounds; round++) {
        how->add();
        atomic_store(&turn, 2 * round + 1);
        await(&turn, 2 * round + 2);
        how->remove();
    }
    return NULL;
}

static void come_and_go(void (*add)(void), void (*remove)(void))
{
    const registration how = { add, remove, ROUNDS(100) };
    pthread_t thread = start_thread(register_in_turn, (void *)&how);
    tenure_thread *self = tenure_attach(heap);
    for (int round = 0; round < how.rounds; round++) {
        await_polling(self, &turn, 2 * round + 1);
        for (unsigned i = 0; i < SLOTS; i++) {
            slots[i] = tenure_new(self, node_type);
            slots[i]->value = (uint64_t)round + i;
        }
        collect(self, (tenure_generation)(round % 3));
        for (unsigned i = 0; i < 1000; i++) REQUIRE(tenure_new(self, node_type) != NULL);
        for (unsigned i = 0; i < SLOTS; i++) cr_assert(eq(u64, slots[i]->value, (uint64_t)round + i));
        memset(slots, 0, sizeof slots);
        atomic_store(&turn, 2 * round + 2);
    }
    join_blocked(self, thread);
    tenure_detach(self);
}
Test(roots, slots) { come_and_go(add_single, remove_single); }
Test(roots, precise_ranges) { come_and_go(add_precise, remove_range); }
Test(roots, ambiguous_ranges) { come_and_go(add_ambiguous, remove_range); }
Test(roots, callbacks) { come_and_go(add_callback, remove_callback); }

/* Handles made by an attached thread, freed by one that is not. */
static tenure_handle *_Atomic handles[SLOTS];
static flag stop;

static void *free_handles(void *arg)
{
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        tenure_handle *handle = atomic_exchange(&handles[i % SLOTS], NULL);
        if (handle == NULL) continue;
        REQUIRE(tenure_handle_get(handle) != NULL);
        tenure_handle_free(handle);
    }
    return arg;
}

Test(roots, handles_freed_elsewhere)
{
    pthread_t thread = start_thread(free_handles, NULL);
    tenure_thread *self = tenure_attach(heap);
    tenure_handle *kept[SLOTS];
    for (unsigned i = 0; i < SLOTS; i++) {
        node *fresh = tenure_new(self, node_type);
        fresh->value = i;
        kept[i] = tenure_handle_new(self, fresh);
    }
    for (int i = 0; i < ROUNDS(20000); i++) {
        node *fresh = tenure_new(self, node_type);
        tenure_handle *handle = tenure_handle_new(self, fresh), *expected = NULL;
        if (!atomic_compare_exchange_strong(&handles[i % SLOTS], &expected, handle)) tenure_handle_free(handle);
        const node *seen = tenure_handle_get(kept[i % SLOTS]);
        cr_assert(eq(u64, seen->value, (uint64_t)i % SLOTS));
    }
    atomic_store(&stop, 1);
    join_blocked(self, thread);
    for (unsigned i = 0; i < SLOTS; i++) tenure_handle_free(kept[i]);
    tenure_detach(self);
}

/* --- the program's data --- */

static node *in_static;
static _Thread_local node *in_thread_local;
static flag holds, checks;

__attribute__((noinline)) static void hold_in_thread_local(tenure_thread *self)
{
    in_thread_local = make_chain(self, 30, 5);
}

static void *hold(void *arg)
{
    tenure_thread *self = tenure_attach(arg);
    hold_in_thread_local(self);
    clobber_stack();
    tenure_enter_blocking(self);
    atomic_store(&holds, 1);
    await(&checks, 1);
    tenure_leave_blocking(self);
    check_chain(in_thread_local, 30, 5);
    tenure_detach(self);
    return NULL;
}

__attribute__((noinline)) static void hold_in_static(tenure_thread *self) { in_static = make_chain(self, 30, 9); }

Test(roots, of_the_program)
{
    tenure_heap *own = heap_with("max_heap=128m,torture=alloc:1000000000");
    cr_assert(eq(int, tenure_root_program(own), TENURE_OK));
    pthread_t thread = start_thread(hold, own);
    await(&holds, 1);
    tenure_thread *self = tenure_attach(own);
    hold_in_static(self);
    clobber_stack();
    for (unsigned i = 0; i < 3; i++) collect_and_litter(self);
    check_chain(in_static, 30, 9);
    atomic_store(&checks, 1);
    join_blocked(self, thread);
    heap_end(own, self);
}
