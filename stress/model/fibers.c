/* A fiber for each thread: part of the program's steps run on it, and what its stack holds is held while it is
 * suspended. Not in precise heaps, which do not look at stacks, nor under ThreadSanitizer, which wants to be told of
 * every switch. */
#include "stress/model/model.h"
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_THREAD__)
enum { CAN_SWITCH = false };
#else
enum { CAN_SWITCH = true };
#endif
/* APART: valgrind takes a stack pointer that moves by less than 2 MB for a frame, and what it moved over for dead. */
enum { STACK_BYTES = 256 * 1024, APART = 4 << 20, FIRST = FRAMES + (FIBER - ROOT) * SLOTS };

typedef struct fiber {
    ucontext_t context, back;
    tenure_stack *stack;
    char *mapped;
    bool ends;
} fiber;

static void leave(thread *t)
{
    t->on_fiber = false;
    tenure_stack_switch(t->self, NULL);
}

/* What it holds is on this stack. */
__attribute__((noinline)) static void run(thread *t, fiber *mine)
{
    uintptr_t words[SLOTS] = { 0 };
    for (unsigned i = 0; i < SLOTS; i++) t->holders[FIRST + i].slot = &words[i];
    while (!mine->ends) {
        const char *operation = t->operation;
        for (unsigned steps = 1 + model_draw(t->source, 4); steps > 0; steps--) model_step(t);
        t->operation = operation;
        leave(t);
        swapcontext(&mine->context, &mine->back);
    }
    for (unsigned i = 0; i < SLOTS; i++) holder_clear(t, &t->holders[FIRST + i]);
}

static void begin(void)
{
    thread *t = model_thread;
    run(t, t->running);
    leave(t);
}

static void create(thread *t)
{
    fiber *made = calloc(1, sizeof *made);
    if (made == NULL || getcontext(&made->context) != 0) abort();
    made->mapped = mmap(NULL, STACK_BYTES + 2 * APART, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made->mapped == MAP_FAILED) abort();
    char *memory = made->mapped + APART;
    if (mprotect(memory, STACK_BYTES, PROT_READ | PROT_WRITE) != 0) abort();
    made->context.uc_stack = (stack_t) { .ss_sp = memory, .ss_size = STACK_BYTES };
    made->context.uc_link = &made->back;
    makecontext(&made->context, begin, 0);
    made->stack = tenure_stack_add(the_model.heap, memory, memory + STACK_BYTES, &made->context, sizeof made->context);
    if (made->stack == NULL) model_fail(t, "tenure_stack_add failed");
    t->running = made;
}

static void resume(thread *t)
{
    fiber *to = t->running;
    tenure_stack_switch(t->self, to->stack);
    t->on_fiber = true;
    swapcontext(&to->back, &to->context);
}

void op_fiber(thread *t)
{
    if (!CAN_SWITCH || the_model.options.precise || t->on_fiber || t->child) return;
    if (t->running == NULL) create(t);
    resume(t);
}

void fiber_end(thread *t)
{
    fiber *gone = t->running;
    if (gone == NULL) return;
    gone->ends = true;
    resume(t);
    tenure_stack_remove(the_model.heap, gone->stack);
    munmap(gone->mapped, STACK_BYTES + 2 * APART);
    free(gone);
    t->running = NULL;
}
