/* Fibers: what only a suspended fiber's stack or registers hold survives; fibers run on any attached thread. */
#include "tests/threads/threads.h"
#include <errno.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_THREAD__)
#define NO_FIBERS true /* ThreadSanitizer wants to be told of every switch */
#else
#define NO_FIBERS false
#endif

enum { STACK_BYTES = 256 * 1024, FIBERS = 8 };

typedef struct fiber {
    ucontext_t context, *back;
    tenure_stack *stack;
    tenure_thread *self; /* of the thread that runs it */
    char *memory;
    uint64_t key;
    unsigned steps;
    bool ended;
} fiber;

static tenure_heap *heap;
static fiber fibers[FIBERS];

static void suspend(fiber *mine)
{
    tenure_stack_switch(mine->self, NULL);
    swapcontext(&mine->context, mine->back);
}

/* Anything kept across suspend lives on this stack or in the context that swapcontext saved. */
static void run_fiber(unsigned index)
{
    fiber *mine = &fibers[index];
    node *first = make_chain(mine->self, 30, mine->key), *second = make_chain(mine->self, 30, mine->key + 100);
    for (unsigned i = 0; i < mine->steps; i++) {
        suspend(mine);
        check_chain(first, 30, mine->key);
        check_chain(second, 30, mine->key + 100);
        first = make_chain(mine->self, 30, mine->key);
        tenure_poll(mine->self);
    }
    mine->ended = true;
    suspend(mine);
}

static void fiber_start(unsigned index, unsigned steps)
{
    fiber *each = &fibers[index];
    each->memory = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(each->memory != MAP_FAILED);
    each->stack =
        tenure_stack_add(heap, each->memory, each->memory + STACK_BYTES, &each->context, sizeof each->context);
    REQUIRE(each->stack != NULL);
    each->key = 1000 * index;
    each->steps = steps;
    REQUIRE(getcontext(&each->context) == 0);
    each->context.uc_stack = (stack_t) { .ss_sp = each->memory, .ss_size = STACK_BYTES };
    makecontext(&each->context, (void (*)(void))run_fiber, 1, index);
}

static void resume(tenure_thread *self, fiber *each)
{
    ucontext_t here;
    each->self = self;
    each->back = &here;
    tenure_stack_switch(self, each->stack);
    swapcontext(&here, &each->context);
}

static void fiber_end(fiber *each)
{
    tenure_stack_remove(heap, each->stack);
    REQUIRE(munmap(each->memory, STACK_BYTES) == 0);
}

static void begin(void) { heap = heap_with("max_heap=128m,verify=after,torture=alloc:1000000000"); }
static void end(void) { cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK)); }

TestSuite(fibers, .init = begin, .fini = end, .disabled = NO_FIBERS);

Test(fibers, suspended_stacks_keep_what_they_hold)
{
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < FIBERS; i++) fiber_start(i, 6);
    for (unsigned step = 0; step < 7; step++) {
        for (unsigned i = 0; i < FIBERS; i++) resume(self, &fibers[i]);
        clobber_stack();
        collect_and_litter(self);
        for (unsigned i = 0; i < 3; i++) collect(self, TENURE_GEN0);
    }
    for (unsigned i = 0; i < FIBERS; i++) {
        cr_assert(fibers[i].ended);
        fiber_end(&fibers[i]);
        collect_and_litter(self);
    }
    tenure_detach(self);
}

/* Precise: what a stack's own frames name, whichever stack runs and whatever ended meanwhile on another. */
static void hold_framed(fiber *mine, tenure_thread *self)
{
    node *first = tenure_new(self, node_type);
    TENURE_FRAME(self, first);
    first->value = mine->key;
    for (unsigned i = 0; i < mine->steps; i++) {
        node *second = tenure_new(self, node_type);
        TENURE_FRAME(self, second);
        second->value = i;
        suspend(mine);
        REQUIRE(first->value == mine->key);
        REQUIRE(second->value == i);
    }
}
static void run_framed(unsigned index)
{
    hold_framed(&fibers[index], fibers[index].self);
    fibers[index].ended = true;
    suspend(&fibers[index]);
}
static void resume_framed(tenure_thread *self, unsigned step)
{
    for (unsigned i = 0; i < FIBERS; i++) {
        node *mine = tenure_new(self, node_type);
        TENURE_FRAME(self, mine);
        mine->value = step + i;
        resume(self, &fibers[i]);
        tenure_collect(self, (tenure_generation)(step % 3));
        REQUIRE(mine->value == step + i);
    }
}
Test(fibers, frames_are_a_stacks_own)
{
    tenure_heap *conservative = heap;
    heap = precise_heap_with("max_heap=128m,check=roots,torture=alloc:5");
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < FIBERS; i++) {
        fiber_start(i, 6 + i % 3);
        makecontext(&fibers[i].context, (void (*)(void))run_framed, 1, i);
    }
    for (unsigned step = 0; step < 6; step++) resume_framed(self, step);
    for (unsigned step = 6; step < 9; step++)
        for (unsigned i = 0; i < FIBERS; i++)
            if (!fibers[i].ended) resume(self, &fibers[i]);
    for (unsigned i = 0; i < FIBERS; i++) {
        cr_assert(fibers[i].ended);
        fiber_end(&fibers[i]);
    }
    heap_end(heap, self);
    heap = conservative;
}

/* They end in the record of who opened them. */
Test(fibers, detach_with_frames_of_a_suspended_stack, .signal = SIGABRT)
{
    heap = precise_heap_with("max_heap=128m");
    tenure_thread *self = tenure_attach(heap);
    fiber_start(0, 1);
    makecontext(&fibers[0].context, (void (*)(void))run_framed, 1, 0);
    resume(self, &fibers[0]);
    be_quiet();
    tenure_detach(self);
}

static void *resume_in_thread(void *index)
{
    tenure_thread *self = tenure_attach(heap);
    while (!fibers[(uintptr_t)index].ended) resume(self, &fibers[(uintptr_t)index]);
    tenure_detach(self);
    return NULL;
}

/* Those of others, and of stacks that were given up, are none of its business. */
Test(fibers, detach_beside_frames_of_other_stacks)
{
    tenure_heap *conservative = heap;
    heap = precise_heap_with("max_heap=128m");
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < 3; i++) {
        fiber_start(i, 3);
        makecontext(&fibers[i].context, (void (*)(void))run_framed, 1, i);
    }
    resume(self, &fibers[0]);
    resume(self, &fibers[1]);
    join_blocked(self, start_thread(resume_in_thread, (void *)2));
    while (!fibers[0].ended) resume(self, &fibers[0]);
    for (unsigned i = 0; i < 3; i++) fiber_end(&fibers[i]);
    heap_end(heap, self);
    heap = conservative;
}

/* What the region of one stack uses stays where it is while a callback runs another stack, which is in a region too. */
static flag collected;
static void *collect_all(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < 3; i++) tenure_collect(self, TENURE_GEN2);
    atomic_store(&collected, 1);
    tenure_detach(self);
    return arg;
}
static void run_blocked(unsigned index)
{
    fiber *mine = &fibers[index];
    tenure_enter_blocking(mine->self);
    REQUIRE(pthread_join(start_thread(collect_all, NULL), NULL) == 0);
    tenure_leave_blocking(mine->self);
    mine->ended = true;
    suspend(mine);
}
static void call_back_to_fiber(void)
{
    tenure_thread *self = tenure_enter(heap);
    resume(self, &fibers[0]);
    tenure_leave(self);
}
static void use_in_a_region(tenure_thread *self)
{
    node *kept = tenure_new(self, node_type);
    TENURE_FRAME(self, kept);
    kept->value = 42;
    tenure_enter_blocking(self);
    const node *volatile raw = kept;
    call_back_to_fiber();
    REQUIRE(atomic_load(&collected) == 1 && raw == kept && raw->value == 42);
    tenure_leave_blocking(self);
}
Test(fibers, regions_of_other_stacks)
{
    tenure_heap *conservative = heap;
    heap = precise_heap_with("max_heap=128m,torture=evacuate");
    tenure_thread *self = tenure_attach(heap);
    fiber_start(0, 0);
    makecontext(&fibers[0].context, (void (*)(void))run_blocked, 1, 0);
    use_in_a_region(self);
    fiber_end(&fibers[0]);
    heap_end(heap, self);
    heap = conservative;
}

/* A thread that runs a fiber is idle for so long that young stops do not look at it: what its own stack's frames name
 * is old by then, although somebody kept it in place. */
static flag idle, goes_on;
static void run_idle(unsigned index)
{
    fiber *mine = &fibers[index];
    tenure_enter_idle(mine->self);
    atomic_store(&idle, 1);
    await(&goes_on, 1);
    tenure_leave_idle(mine->self);
    mine->ended = true;
    suspend(mine);
}
static _Atomic(node *) held;
static void hold_pinned(tenure_thread *self)
{
    node *kept = tenure_new(self, node_type);
    TENURE_FRAME(self, kept);
    kept->value = 42;
    REQUIRE(tenure_pin(self, kept) == TENURE_OK);
    atomic_store(&held, kept);
    resume(self, &fibers[0]);
    REQUIRE(kept->value == 42);
}
static void *be_idle_on_a_fiber(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    hold_pinned(self);
    tenure_detach(self);
    return arg;
}
Test(fibers, idle_for_long)
{
    tenure_heap *conservative = heap;
    heap = precise_heap_with("max_heap=128m,workers=1");
    fiber_start(0, 0);
    makecontext(&fibers[0].context, (void (*)(void))run_idle, 1, 0);
    const pthread_t thread = start_thread(be_idle_on_a_fiber, NULL);
    tenure_thread *self = tenure_attach(heap);
    await_polling(self, &idle, 1);
    for (unsigned i = 0; i < 8; i++) collect(self, i < 3 ? TENURE_GEN1 : TENURE_GEN0);
    tenure_unpin(self, atomic_load(&held));
    for (unsigned i = 0; i < 4; i++) {
        collect(self, TENURE_GEN1);
        for (unsigned j = 0; j < 200000; j++) ((node *)tenure_new(self, node_type))->value = 0xeeee;
    }
    atomic_store(&goes_on, 1);
    join_blocked(self, thread);
    fiber_end(&fibers[0]);
    heap_end(heap, self);
    heap = conservative;
}

/* Each thread takes whichever fiber is free. */
static atomic_bool taken[FIBERS];
static atomic_uint ended;

static void *run_any(void *arg)
{
    uint64_t seed = (uintptr_t)arg;
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 20, 7);
    while (atomic_load(&ended) < FIBERS) {
        const unsigned i = (unsigned)(next_random(&seed) % FIBERS);
        tenure_poll(self);
        if (atomic_exchange(&taken[i], true)) continue;
        if (!fibers[i].ended) {
            resume(self, &fibers[i]);
            if (fibers[i].ended) atomic_fetch_add(&ended, 1);
        }
        atomic_store(&taken[i], false);
        check_chain(kept, 20, 7);
        make_chain(self, 100, 3);
    }
    tenure_detach(self);
    return NULL;
}

Test(fibers, migrate_between_threads_while_stops_go_on)
{
    collector always;
    pthread_t threads[3];
    collector_start(&always, heap);
    for (unsigned i = 0; i < FIBERS; i++) fiber_start(i, (unsigned)ROUNDS(100));
    for (uintptr_t i = 0; i < 3; i++) threads[i] = start_thread(run_any, (void *)i);
    for (unsigned i = 0; i < 3; i++) join_thread(threads[i]);
    collector_stop(&always);
    for (unsigned i = 0; i < FIBERS; i++) fiber_end(&fibers[i]);
}

Test(fibers, what_is_no_stack)
{
    char area[64];
    errno = 0;
    cr_assert(eq(ptr, tenure_stack_add(heap, area, area, NULL, 0), NULL));
    cr_assert(eq(int, errno, EINVAL));
    cr_assert(eq(ptr, tenure_stack_add(heap, area, area + 64, NULL, 8), NULL));
}

Test(fibers, removing_the_one_that_runs, .signal = SIGABRT)
{
    be_quiet();
    tenure_thread *self = tenure_attach(heap);
    fiber_start(0, 1);
    tenure_stack_switch(self, fibers[0].stack);
    tenure_stack_remove(heap, fibers[0].stack);
}
