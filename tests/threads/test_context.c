/* What lives in nothing but callee-saved registers survives a stop, whatever the thread stops in. The assembly below
 * puts six references there and calls the library itself, with no C function between that might spill them where a
 * stack scanner finds them. */
#include "tests/threads/threads.h"

enum { HELD = 6 };

/* Loads the complements of places[0..5] into the callee-saved registers, calls before(self), during(self), after(self),
 * stores the complements back. */
typedef void step(tenure_thread *self);
void hold_in_registers(uintptr_t places[HELD], tenure_thread *self, step *before, step *during, step *after);

#if defined(__x86_64__)
__asm__(".text\n.globl hold_in_registers\n.type hold_in_registers, @function\n"
        "hold_in_registers:\n"
        "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "sub $40, %rsp\n"
        "mov %rdi, 0(%rsp)\nmov %rsi, 8(%rsp)\nmov %rcx, 16(%rsp)\nmov %r8, 24(%rsp)\n"
        "mov 0(%rdi), %rbx\nmov 8(%rdi), %rbp\nmov 16(%rdi), %r12\n"
        "mov 24(%rdi), %r13\nmov 32(%rdi), %r14\nmov 40(%rdi), %r15\n"
        "not %rbx\nnot %rbp\nnot %r12\nnot %r13\nnot %r14\nnot %r15\n"
        "mov %rsi, %rdi\ncall *%rdx\n"
        "mov 8(%rsp), %rdi\ncall *16(%rsp)\n"
        "mov 8(%rsp), %rdi\ncall *24(%rsp)\n"
        "mov 0(%rsp), %rdi\n"
        "not %rbx\nnot %rbp\nnot %r12\nnot %r13\nnot %r14\nnot %r15\n"
        "mov %rbx, 0(%rdi)\nmov %rbp, 8(%rdi)\nmov %r12, 16(%rdi)\n"
        "mov %r13, 24(%rdi)\nmov %r14, 32(%rdi)\nmov %r15, 40(%rdi)\n"
        "add $40, %rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\n"
        "ret\n.size hold_in_registers, .-hold_in_registers\n");
#else
/* Elsewhere the compiler chooses where they are. */
void hold_in_registers(uintptr_t places[HELD], tenure_thread *self, step *before, step *during, step *after)
{
    void *held[HELD];
    for (unsigned i = 0; i < HELD; i++) held[i] = shown(places[i]);
    before(self);
    during(self);
    after(self);
    for (unsigned i = 0; i < HELD; i++) places[i] = hidden(held[i]);
}
#endif

static tenure_heap *heap, *other;
static flag holding, collected, victims_done;
static tenure_mutex mutex = TENURE_MUTEX_INIT("held by the collecting thread");
static int pipe_ends[2];

static void begin(void)
{
    /* torture=alloc: freed memory is poisoned. */
    heap = heap_with("max_heap=128m,torture=alloc:1000000000");
    other = heap_with("max_heap=128m");
    cr_assert(eq(int, pipe(pipe_ends), 0));
}
static void end(void)
{
    cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK));
    cr_expect(eq(int, tenure_heap_destroy(other), TENURE_OK));
}

TestSuite(context, .init = begin, .fini = end);

/* --- the victim: a thread that stops in some way --- */

typedef struct way {
    step *before, *during, *after;
} way;

static void nothing(tenure_thread *self) { (void)self; }
static void say_holding(tenure_thread *self)
{
    (void)self;
    atomic_store(&holding, 1);
}
/* In a region: the stack below is not scanned. */
static void wait_outside(tenure_thread *self)
{
    (void)self;
    clobber_stack();
    atomic_store(&holding, 1);
    await(&collected, 1);
}

__attribute__((noinline)) static void make_held(tenure_thread *self, uintptr_t places[HELD])
{
    for (unsigned i = 0; i < HELD; i++) places[i] = hidden(make_chain(self, 10, 100 * i));
}

static void *victim(void *arg)
{
    const way *how = arg;
    uintptr_t places[HELD];
    tenure_thread *self = tenure_attach(heap);
    REQUIRE(self != NULL);
    make_held(self, places);
    clobber_stack();
    hold_in_registers(places, self, how->before, how->during, how->after);
    for (unsigned i = 0; i < HELD; i++) check_chain(shown(places[i]), 10, 100 * i);
    tenure_detach(self);
    atomic_store(&victims_done, 1);
    return NULL;
}

static void stops(step *before, step *during, step *after)
{
    const way how = { before, during, after };
    tenure_thread *self = tenure_attach(heap);
    tenure_mutex_lock(self, &mutex);
    pthread_t thread = start_thread(victim, (void *)&how);
    await_polling(self, &holding, 1);
    for (unsigned i = 0; i < 3; i++) collect_and_litter(self);
    tenure_mutex_unlock(self, &mutex);
    atomic_store(&collected, 1);
    cr_assert(eq(int, (int)write(pipe_ends[1], "x", 1), 1));
    await_polling(self, &victims_done, 1);
    join_blocked(self, thread);
    tenure_detach(self);
}

/* --- regions --- */

Test(context, blocking_region) { stops(tenure_enter_blocking, wait_outside, tenure_leave_blocking); }
Test(context, idle_region) { stops(tenure_enter_idle, wait_outside, tenure_leave_idle); }

static void enter_and_leave_inside(tenure_thread *self)
{
    tenure_thread *entered = tenure_enter(self->heap);
    REQUIRE(entered == self);
    check_chain(make_chain(self, 10, 5), 10, 5);
    /* The code of a callback uses the registers; the frames that saved them are gone when the collector looks. */
#if defined(__x86_64__)
    __asm__ volatile("xor %%ebx, %%ebx\nxor %%r12d, %%r12d\nxor %%r13d, %%r13d\nxor %%r14d, %%r14d\nxor %%r15d, %%r15d"
                     :
                     :
                     : "rbx", "r12", "r13", "r14", "r15");
#endif
    tenure_leave(self);
}
static void enter_inside_then_wait(tenure_thread *self)
{
    for (unsigned i = 0; i < 3; i++) enter_and_leave_inside(self);
    wait_outside(self);
}
Test(context, blocking_region_with_callbacks)
{
    stops(tenure_enter_blocking, enter_inside_then_wait, tenure_leave_blocking);
}
Test(context, idle_region_with_callbacks) { stops(tenure_enter_idle, enter_inside_then_wait, tenure_leave_idle); }

static void attach_other_inside(tenure_thread *self)
{
    (void)self;
    tenure_thread *entered = tenure_enter(other);
    REQUIRE(entered != NULL);
    make_chain(entered, 10, 5);
    tenure_leave(entered);
    wait_outside(self);
}
Test(context, blocking_region_with_a_callback_into_another_heap)
{
    stops(tenure_enter_blocking, attach_other_inside, tenure_leave_blocking);
}

/* --- safepoints of running code --- */

static void poll_until_collected(tenure_thread *self) { await_polling(self, &collected, 1); }
Test(context, poll) { stops(say_holding, poll_until_collected, nothing); }

static void allocate_until_collected(tenure_thread *self)
{
    while (!atomic_load(&collected)) REQUIRE(tenure_new(self, node_type) != NULL);
}
Test(context, allocation) { stops(say_holding, allocate_until_collected, nothing); }

static void allocate_large_until_collected(tenure_thread *self)
{
    while (!atomic_load(&collected)) REQUIRE(tenure_new_bytes(self, 40000) != NULL);
}
Test(context, large_allocation) { stops(say_holding, allocate_large_until_collected, nothing); }

static void lead_young(tenure_thread *self)
{
    for (unsigned i = 0; i < 3; i++) spend_budget(self);
}
Test(context, leading_a_collection) { stops(say_holding, lead_young, allocate_until_collected); }

static void collect_once(tenure_thread *self) { REQUIRE(tenure_collect(self, TENURE_GEN2) == TENURE_OK); }
Test(context, explicit_collection) { stops(collect_once, say_holding, poll_until_collected); }

static void stop_and_resume(tenure_thread *self)
{
    while (!atomic_load(&collected)) {
        REQUIRE(tenure_stop_world(self) == TENURE_OK);
        make_chain(self, 10, 4);
        REQUIRE(tenure_collect(self, TENURE_GEN0) == TENURE_OK);
        tenure_resume_world(self);
    }
}
Test(context, stop_world) { stops(say_holding, stop_and_resume, nothing); }

/* --- waiting --- */

static void lock_and_unlock(tenure_thread *self)
{
    tenure_mutex_lock(self, &mutex); /* the collecting thread has it until it has collected */
    tenure_mutex_unlock(self, &mutex);
}
Test(context, contended_mutex) { stops(say_holding, lock_and_unlock, nothing); }

static void read_pipe(tenure_thread *self)
{
    char byte;
    REQUIRE(tenure_read(self, pipe_ends[0], &byte, 1) == 1);
}
Test(context, read) { stops(say_holding, read_pipe, nothing); }

static void synchronize_until_collected(tenure_thread *self)
{
    while (!atomic_load(&collected)) tenure_synchronize_rcu(self);
}
Test(context, synchronize_rcu) { stops(say_holding, synchronize_until_collected, nothing); }

static void handles_until_collected(tenure_thread *self)
{
    while (!atomic_load(&collected)) tenure_handle_free(tenure_handle_new(self, make_chain(self, 1, 1)));
}
Test(context, handles) { stops(say_holding, handles_until_collected, nothing); }

static void attach_until_collected(tenure_thread *self)
{
    (void)self;
    while (!atomic_load(&collected)) tenure_detach(tenure_attach(other));
}
Test(context, second_attach) { stops(say_holding, attach_until_collected, nothing); }
