/* Precise heaps: what TENURE_FRAME and TENURE_LOCALS name survives while everything moves at every allocation. */
#include "tests/threads/threads.h"
#include <setjmp.h>

typedef struct tree {
    struct tree *left, *right;
    uint64_t value;
} tree;
TENURE_TYPE(tree_type, tree, left, right);

static tenure_heap *heap;

static void begin(void) { heap = precise_heap_with("max_heap=64m,torture=evacuate,torture=alloc:1,verify=after"); }
static void end(void) { cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK)); }

TestSuite(precise, .init = begin, .fini = end);

static tree *build(tenure_thread *self, unsigned depth, uint64_t value)
{
    TENURE_LOCALS(self, L, tree * left, *right, *top;);
    if (depth > 0) {
        L.left = build(self, depth - 1, 2 * value);
        L.right = build(self, depth - 1, 2 * value + 1);
    }
    L.top = tenure_new(self, tree_type);
    REQUIRE(L.top != NULL);
    L.top->value = value;
    TENURE_SET(self, L.top, left, L.left);
    TENURE_SET(self, L.top, right, L.right);
    return L.top;
}

static void check(const tree *top, unsigned depth, uint64_t value)
{
    REQUIRE(top != NULL);
    REQUIRE(top->value == value);
    if (depth == 0) {
        REQUIRE(top->left == NULL && top->right == NULL);
        return;
    }
    check(top->left, depth - 1, 2 * value);
    check(top->right, depth - 1, 2 * value + 1);
}

static void build_and_check(tenure_thread *self, unsigned depth)
{
    tree *several[4] = { NULL }, *one = build(self, depth, 1);
    TENURE_FRAME(self, several, one);
    tree *const before = one;
    for (unsigned i = 0; i < 4; i++) several[i] = build(self, depth, i + 2);
    REQUIRE(one != before);
    tenure_handle *handle = tenure_handle_new(self, several[0]);
    several[0] = build(self, depth, 9);
    check(tenure_handle_get(handle), depth, 2);
    tenure_handle_set(self, handle, several[1]);
    several[1] = build(self, depth, 9);
    check(tenure_handle_get(handle), depth, 3);
    tenure_handle_free(handle);
    check(one, depth, 1);
    check(several[0], depth, 9);
    check(several[1], depth, 9);
    check(several[2], depth, 4);
    check(several[3], depth, 5);
}

Test(precise, frames_locals_arrays_and_handles)
{
    tenure_thread *self = tenure_attach(heap);
    for (unsigned depth = 0; depth < 5; depth++) build_and_check(self, depth);
    cr_assert(eq(ptr, self->frames, NULL));
    tenure_detach(self);
}

static void *build_in_thread(void *depth)
{
    tenure_thread *self = tenure_attach(heap);
    build_and_check(self, (unsigned)(uintptr_t)depth);
    tenure_detach(self);
    return NULL;
}

Test(precise, several_threads)
{
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++) threads[i] = start_thread(build_in_thread, (void *)i);
    for (unsigned i = 0; i < 3; i++) join_thread(threads[i]);
}

/* Inside a region what the frames name neither dies nor moves. */
static flag inside, go;
/* The frame ends before its thread detaches. */
static void block_with_frame(tenure_thread *self, bool idle)
{
    tree *kept = build(self, 2, 1);
    TENURE_FRAME(self, kept);
    tree *const place = kept;
    if (idle)
        tenure_enter_idle(self);
    else
        tenure_enter_blocking(self);
    atomic_store(&inside, 1);
    await(&go, 1);
    REQUIRE(place == kept && place->value == 1);
    if (idle)
        tenure_leave_idle(self);
    else
        tenure_leave_blocking(self);
    REQUIRE(place == kept);
    check(kept, 2, 1);
}
static void *block(void *idle)
{
    tenure_thread *self = tenure_attach(heap);
    block_with_frame(self, idle != NULL);
    tenure_detach(self);
    return NULL;
}
static void region_keeps_frames(void *idle)
{
    pthread_t thread = start_thread(block, idle);
    await(&inside, 1);
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < 9; i++) collect(self, (tenure_generation)(i % 3));
    build_and_check(self, 2);
    atomic_store(&go, 1);
    join_blocked(self, thread);
    tenure_detach(self);
}
Test(precise, blocked_threads_frames) { region_keeps_frames(NULL); }
Test(precise, idle_threads_frames) { region_keeps_frames(&heap); }

Test(precise, detach_inside_a_frame, .signal = SIGABRT)
{
    tenure_thread *self = tenure_attach(heap);
    node *kept = NULL;
    TENURE_FRAME(self, kept);
    be_quiet();
    tenure_detach(self);
}

/* --- jumps out of a region and over frames --- */

static jmp_buf jump;

/* A thread of two heaps has frames of both. */
__attribute__((noinline)) static _Noreturn void jump_over_frames(
    tenure_thread *self, const tenure_jump *to, tenure_thread *other, const tenure_jump *other_to)
{
    tree *kept = build(self, 2, 1), *others = build(other, 2, 1);
    TENURE_FRAME(self, kept);
    TENURE_FRAME(other, others);
    tenure_enter_blocking(self);
    if (to != NULL) tenure_jump_restore(self, *to);
    if (other_to != NULL) tenure_jump_restore(other, *other_to);
    longjmp(jump, 1);
}

Test(precise, restored_before_the_jump)
{
    tenure_heap *second = precise_heap_with("max_heap=64m,torture=evacuate,torture=alloc:1,verify=after");
    tenure_thread *self = tenure_attach(heap), *other = tenure_attach(second);
    {
        tree *kept = build(self, 2, 1), *others = build(other, 2, 1);
        TENURE_FRAME(self, kept);
        TENURE_FRAME(other, others);
        const tenure_jump to = tenure_jump_save(self), other_to = tenure_jump_save(other);
        if (setjmp(jump) == 0) jump_over_frames(self, &to, other, &other_to);
        cr_assert(eq(u32, mode_of(self), TENURE__RUNNING));
        cr_assert(eq(ptr, self->frames, to.frames));
        cr_assert(eq(ptr, other->frames, other_to.frames));
        clobber_stack();
        build_and_check(self, 2);
        build_and_check(other, 2);
        check(kept, 2, 1);
        check(others, 2, 1);
    }
    tenure_detach(self);
    heap_end(second, other);
}

/* Stops may have looked at frames that are gone: of the record's own heap, or of another one. */
static void restore_after_the_jump(tenure_thread *self, tenure_thread *jumps)
{
    const tenure_jump to = tenure_jump_save(self);
    be_quiet();
    if (setjmp(jump) == 0) jump_over_frames(jumps, NULL, jumps, NULL);
    tenure_jump_restore(self, to);
}
Test(precise, restored_after_the_jump, .signal = SIGABRT)
{
    tenure_thread *self = tenure_attach(heap);
    restore_after_the_jump(self, self);
}
Test(precise, restored_after_the_jump_in_another_heap, .signal = SIGABRT)
{
    restore_after_the_jump(tenure_attach(heap_with("max_heap=64m")), tenure_attach(heap));
}
