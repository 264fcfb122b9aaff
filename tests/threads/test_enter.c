/* Callbacks of a library: tenure_enter attaches or comes back in, tenure_leave restores what was. (That registers
 * survive it: test_context.c.) */
#include "tests/threads/threads.h"
#include <setjmp.h>

static tenure_heap *heap, *other;

static void begin(void)
{
    heap = heap_with("max_heap=128m,verify=before,after,torture=alloc:1000000000");
    other = heap_with("max_heap=128m,verify=before,after");
}
static void end(void)
{
    cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK));
    cr_expect(eq(int, tenure_heap_destroy(other), TENURE_OK));
}

TestSuite(enter, .init = begin, .fini = end);

Test(enter, attaches_and_detaches)
{
    tenure_thread *self = tenure_enter(heap);
    cr_assert(eq(ptr, tenure_self(heap), self));
    tenure_thread *again = tenure_enter(heap);
    cr_assert(eq(ptr, again, self));
    check_chain(make_chain(self, 20, 1), 20, 1);
    tenure_leave(self);
    cr_assert(eq(ptr, tenure_self(heap), self));
    tenure_leave(self);
    cr_assert(eq(ptr, tenure_self(heap), NULL));
}

Test(enter, of_an_attached_thread_changes_nothing)
{
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 20, 1);
    cr_assert(eq(ptr, tenure_enter(heap), self));
    collect_and_litter(self);
    tenure_leave(self);
    collect_and_litter(self);
    check_chain(kept, 20, 1);
    tenure_detach(self);
}

Test(enter, from_inside_a_region_and_back)
{
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 20, 1);
    tenure_enter_blocking(self);
    tenure_enter_idle(self);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert(eq(ptr, tenure_enter(heap), self));
        cr_assert(eq(u32, mode_of(self), TENURE__RUNNING));
        collect_and_litter(self);
        tenure_leave(self);
        cr_assert(eq(u32, mode_of(self), TENURE__BLOCKED));
        cr_assert(eq(u32, tenure__mutator_of(self)->depth, 2));
    }
    tenure_leave_idle(self);
    tenure_leave_blocking(self);
    cr_assert(eq(u32, mode_of(self), TENURE__RUNNING));
    check_chain(kept, 20, 1);
    tenure_detach(self);
}

/* A callback of one heap's region calls into another heap, whose regions call back, and so on. */
static void descend(unsigned depth, uint64_t key)
{
    tenure_thread *self = tenure_enter(depth % 2 == 0 ? heap : other);
    REQUIRE(self != NULL);
    node *volatile kept = make_chain(self, 20, key);
    collect_and_litter(self);
    if (depth > 0) {
        if (depth % 3 == 0)
            tenure_enter_idle(self);
        else
            tenure_enter_blocking(self);
        descend(depth - 1, key + 1000);
        if (depth % 3 == 0)
            tenure_leave_idle(self);
        else
            tenure_leave_blocking(self);
    }
    collect_and_litter(self);
    check_chain(kept, 20, key);
    tenure_leave(self);
}

Test(enter, callbacks_in_callbacks)
{
    descend(9, 0);
    cr_assert(eq(ptr, tenure_self(heap), NULL));
    cr_assert(eq(ptr, tenure_self(other), NULL));
    tenure_thread *self = tenure_attach(heap);
    descend(9, 0);
    cr_assert(eq(ptr, tenure_self(heap), self));
    tenure_detach(self);
}

/* A thread goes in and out of regions and callbacks while stops go on back to back. */
Test(enter, while_stops_go_on)
{
    collector first, second;
    collector_start(&first, heap);
    collector_start(&second, other);
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 50, 3);
    const int rounds = ROUNDS(3000);
    for (int i = 0; i < rounds; i++) {
        tenure_enter_blocking(self);
        tenure_thread *entered = tenure_enter(i % 2 == 0 ? other : heap);
        node *volatile fresh = make_chain(entered, 20, (uint64_t)i);
        tenure_poll(entered);
        check_chain(fresh, 20, (uint64_t)i);
        tenure_leave(entered);
        tenure_leave_blocking(self);
        check_chain(kept, 50, 3);
    }
    tenure_detach(self);
    collector_stop(&first);
    collector_stop(&second);
}

/* Foreign code in a region of a precise heap uses what a frame names, before and after it calls back. */
static void call_back(tenure_heap *into)
{
    tenure_thread *self = tenure_enter(into);
    for (unsigned i = 0; i < 10; i++) tenure_new(self, node_type);
    tenure_leave(self);
}
static void fill_around_callbacks(char *bytes, tenure_heap *first, tenure_heap *second)
{
    memset(bytes, 1, 50);
    call_back(first);
    memset(bytes + 50, 2, 50);
    call_back(second);
    memset(bytes + 100, 3, 50);
}
static void fill_in_a_region(tenure_heap *first, tenure_heap *second)
{
    tenure_heap *precise = precise_heap_with("max_heap=16m,check=roots");
    tenure_thread *self = tenure_attach(precise);
    char *bytes = NULL;
    {
        TENURE_FRAME(self, bytes);
        bytes = tenure_new_bytes(self, 150);
        TENURE_BLOCKING_CALL(self, fill_around_callbacks(bytes, first ? first : precise, second ? second : precise));
        for (unsigned i = 0; i < 150; i++) cr_assert(eq(int, bytes[i], (int)(1 + i / 50)));
        const char *volatile before = bytes;
        tenure_collect(self, TENURE_GEN2);
        cr_expect(ne(ptr, (void *)before, bytes), "it stays although the region is over");
    }
    heap_end(precise, self);
}
Test(enter, what_the_region_uses_stays)
{
    fill_in_a_region(NULL, NULL);
    fill_in_a_region(NULL, other);
    fill_in_a_region(other, NULL);
}

/* A callback that is left by longjmp: its frames are gone, and not looked at any more. */
static jmp_buf out;
__attribute__((noinline)) static void jump_out(tenure_heap *into)
{
    tenure_thread *self = tenure_enter(into);
    node *kept = tenure_new(self, node_type);
    TENURE_FRAME(self, kept);
    tenure_poll(self);
    longjmp(out, 1);
}
__attribute__((noinline)) static void call_what_jumps(tenure_thread *self)
{
    node *kept = tenure_new(self, node_type);
    TENURE_FRAME(self, kept);
    tenure_enter_blocking(self);
    jump_out(self->heap);
}
__attribute__((noinline)) static void write_over_stack(void)
{
    volatile unsigned char bytes[4096];
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = 0x5a;
}
static void jump_and_collect(tenure_thread *self)
{
    node *kept = make_chain(self, 20, 1);
    TENURE_FRAME(self, kept);
    const tenure_jump before = tenure_jump_save(self);
    if (setjmp(out) == 0) call_what_jumps(self);
    tenure_jump_restore(self, before);
    write_over_stack();
    for (unsigned i = 0; i < 3; i++) collect_and_litter(self);
    check_chain(kept, 20, 1);
}
Test(enter, callbacks_that_jump_out)
{
    tenure_heap *precise = precise_heap_with("max_heap=16m");
    tenure_thread *self = tenure_attach(precise);
    jump_and_collect(self);
}

Test(enter, allocating_after_leave_into_a_region, .signal = SIGABRT)
{
    be_quiet();
    tenure_thread *self = tenure_attach(heap);
    tenure_enter_blocking(self);
    tenure_enter(heap);
    make_chain(self, 10, 1);
    tenure_leave(self);
    tenure_new(self, node_type);
}

Test(enter, leave_without_enter, .signal = SIGABRT)
{
    be_quiet();
    tenure_leave(tenure_attach(heap));
}

Test(enter, leave_inside_a_region, .signal = SIGABRT)
{
    be_quiet();
    tenure_thread *self = tenure_enter(heap);
    tenure_enter_blocking(self);
    tenure_leave(self);
}
