#include "lib/inspect/roots.h"
#include "lib/collection/cycle.h"
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>

/* As the stubs of threads/context_*.S save them. */
#if defined(__x86_64__)
static const char *const register_names[] = { "rbx", "rbp", "r12", "r13", "r14", "r15" };
#else
static const char *const register_names[] = { "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28",
    "x29", "x30", "d8", "d9", "d10", "d11", "d12", "d13", "d14", "d15" };
#endif
enum { REGISTERS = sizeof register_names / sizeof register_names[0] };

typedef struct walk {
    tenure_heap *heap;
    tenure__root_word_fn *fn;
    void *arg;
    tenure__root_word word; /* but for value and address */
} walk;

/* Other threads' stacks: their instrumentation knows nothing of this read. */
__attribute__((no_sanitize("address", "thread"))) static void each_of_range(walk *to, uintptr_t start, uintptr_t end)
{
    for (uintptr_t at = (start + 7) & ~(uintptr_t)7; at + 8 <= end; at += 8) {
        to->word.value = *(volatile uintptr_t *)at;
        to->word.address = at;
        if (to->word.value != 0) to->fn(to->arg, &to->word);
    }
}

static void each_register(walk *to, const uintptr_t *registers)
{
    for (unsigned i = 0; i < REGISTERS; i++) {
        to->word.value = registers[i];
        to->word.register_index = i;
        to->fn(to->arg, &to->word);
    }
}

static void set_kind(walk *to, tenure_root_kind kind, tenure__reference how, const tenure__mutator *mutator)
{
    to->word = (tenure__root_word) { .kind = kind, .how = how, .mutator = mutator };
}

/* mutator NULL: a stack that does not run. */
static void each_frame(walk *to, const tenure__mutator *mutator, const struct tenure__frame *frame)
{
    set_kind(to, TENURE_ROOT_FRAME, TENURE__REFERENCE_PRECISE, mutator);
    for (; frame != 0; frame = frame->outer)
        for (size_t i = 0; i < frame->count; i++)
            each_of_range(to, (uintptr_t)frame->locals[i].address,
                (uintptr_t)frame->locals[i].address + frame->locals[i].count * sizeof(void *));
}

static void each_stack_word(walk *to, const tenure__mutator *mutator, uintptr_t start, uintptr_t end)
{
    set_kind(to, TENURE_ROOT_STACK, TENURE__REFERENCE_WORD, mutator);
    to->word.base = start;
    each_of_range(to, start, end);
}

/* What lives on its stack and in its registers. */
static void each_of_stack(walk *to, const tenure__mutator *mutator)
{
    each_frame(to, mutator, mutator->record.frames);
    each_frame(to, mutator, mutator->own_frames);
    if (to->heap->options.roots == TENURE_ROOTS_PRECISE) return;
    set_kind(to, TENURE_ROOT_REGISTER, TENURE__REFERENCE_WORD, mutator);
    each_register(to, mutator->registers);
    if (mutator->went_back) each_register(to, mutator->entry_registers);
    const struct tenure_stack *fiber = mutator->fiber;
    if (fiber != 0) {
        each_register(to, mutator->own_save);
        each_stack_word(to, mutator, mutator->own_stack_pointer, mutator->stack_base);
    }
    each_stack_word(to, mutator, mutator->stack_pointer, fiber != 0 ? fiber->high : mutator->stack_base);
}

/* What the library holds for it, and its thread-local data. */
static void each_beside_stack(walk *to, const tenure__mutator *mutator)
{
    for (unsigned i = 0; i < TENURE__SCRATCH; i++) {
        set_kind(to, TENURE_ROOT_LIBRARY, i < TENURE__SCRATCH_IO ? TENURE__REFERENCE_PRECISE : TENURE__REFERENCE_WORD,
            mutator);
        to->word.value = mutator->scratch[i];
        to->fn(to->arg, &to->word);
    }
    for (int i = 0; i < mutator->io_count; i++) {
        set_kind(to, TENURE_ROOT_LIBRARY, TENURE__REFERENCE_WORD, mutator);
        to->word.value = (uintptr_t)mutator->io_vector[i].iov_base;
        to->fn(to->arg, &to->word);
    }
    if (to->heap->options.roots == TENURE_ROOTS_PRECISE ||
        !atomic_load_explicit(&to->heap->roots.program_wanted, memory_order_relaxed))
        return;
    set_kind(to, TENURE_ROOT_THREAD_LOCAL, TENURE__REFERENCE_WORD, mutator);
    for (unsigned i = 0; i < mutator->tls_count; i++) each_of_range(to, mutator->tls[i].start, mutator->tls[i].end);
}

static void each_of_threads(walk *to, struct cds_list_head *list, const tenure__mutator *but)
{
    const tenure__mutator *mutator;
    cds_list_for_each_entry(mutator, list, link)
    {
        each_beside_stack(to, mutator);
        if (mutator != but) each_of_stack(to, mutator);
    }
}

static void each_fiber(walk *to)
{
    for (const struct tenure_stack *stack = to->heap->roots.stacks; stack != 0; stack = stack->next) {
        each_frame(to, 0, stack->frames);
        if (to->heap->options.roots == TENURE_ROOTS_PRECISE) continue;
        set_kind(to, TENURE_ROOT_FIBER, TENURE__REFERENCE_WORD, 0);
        each_of_range(to, stack->save_start, stack->save_end);
        if (stack->stack_pointer == 0 || atomic_load_explicit(&stack->runner, memory_order_relaxed) != 0) continue;
        each_of_range(to, (uintptr_t)stack->registers, (uintptr_t)(stack->registers + REGISTERS));
        to->word.base = stack->stack_pointer;
        each_of_range(to, stack->stack_pointer, stack->high);
    }
}

static void each_of_ranges(walk *to, const tenure__ranges *ranges, tenure_root_kind kind, tenure__reference how)
{
    for (size_t i = 0; i < ranges->count; i++) {
        set_kind(to, kind, how, 0);
        to->word.base = ranges->items[i].start;
        each_of_range(to, ranges->items[i].start, ranges->items[i].end);
    }
}

static void each_handle(void *arg, uintptr_t handle, uintptr_t object)
{
    walk *to = arg;
    set_kind(to, TENURE_ROOT_HANDLE, TENURE__REFERENCE_PRECISE, 0);
    to->word.value = object;
    to->word.address = handle;
    to->fn(to->arg, &to->word);
}

static void each_pin(walk *to)
{
    set_kind(to, TENURE_ROOT_PIN, TENURE__REFERENCE_WORD, 0);
    const tenure__ranges *pins = &to->heap->roots.pins;
    for (size_t i = 0; i < pins->count; i++) {
        to->word.value = pins->items[i].start;
        to->fn(to->arg, &to->word);
    }
}

/* As collection/due.c traces them in a full collection. */
static void each_finalizer(walk *to)
{
    tenure_heap *heap = to->heap;
    set_kind(to, TENURE_ROOT_FINALIZER, TENURE__REFERENCE_PRECISE, 0);
    for (unsigned generation = 0; generation < 3; generation++) {
        to->word.value = heap->finalizers.due[generation];
        to->fn(to->arg, &to->word);
        for (unsigned kind = TENURE__FINALIZERS; kind <= TENURE__CLEANERS; kind++)
            for (uintptr_t at = heap->records[kind][generation].head; at != 0; at = tenure__record_at(at)->next) {
                to->word.value = at;
                if (tenure__action_at(at)->fn != 0) to->fn(to->arg, &to->word);
            }
    }
}

static void visited(void *arg, uintptr_t slot, tenure__reference how)
{
    walk *to = arg;
    to->word.value = tenure__slot_load(slot);
    to->word.how = how;
    to->fn(to->arg, &to->word);
}

static void each_callback(walk *to)
{
    const tenure__roots *roots = &to->heap->roots;
    for (size_t i = 0; i < roots->callback_count; i++) {
        set_kind(to, TENURE_ROOT_CALLBACK, TENURE__REFERENCE_PRECISE, 0);
        to->word.address = (uintptr_t)roots->callbacks[i].fn;
        roots->callbacks[i].fn(tenure__inspecting_visitor(to->heap, visited, to), roots->callbacks[i].arg);
        tenure__inspecting_visitor(to->heap, 0, 0);
    }
}

void tenure__each_root_of(tenure_heap *heap, tenure__mutator *mutator, tenure__root_word_fn *fn, void *arg)
{
    walk to = { .heap = heap, .fn = fn, .arg = arg };
    each_of_stack(&to, mutator);
}

/* What a program gave a name comes first: of two ways of the same length that one is told. */
void tenure__each_root_but(tenure_heap *heap, tenure__mutator *mutator, tenure__root_word_fn *fn, void *arg)
{
    walk to = { .heap = heap, .fn = fn, .arg = arg };
    const tenure__roots *roots = &heap->roots;
    each_of_ranges(&to, &roots->slots, TENURE_ROOT_SLOT, TENURE__REFERENCE_PRECISE);
    each_of_ranges(&to, &roots->precise, TENURE_ROOT_RANGE, TENURE__REFERENCE_PRECISE);
    tenure__each_handle(heap, each_handle, &to);
    each_callback(&to);
    each_pin(&to);
    each_finalizer(&to);
    each_of_ranges(&to, &roots->ambiguous, TENURE_ROOT_RANGE, TENURE__REFERENCE_WORD);
    each_of_ranges(&to, &roots->program, TENURE_ROOT_PROGRAM, TENURE__REFERENCE_WORD);
    each_of_threads(&to, &heap->world.active, mutator);
    each_of_threads(&to, &heap->world.dormant, mutator);
    each_fiber(&to);
}

/* --- in words --- */

tenure_root tenure__root_describe(const tenure__root_word *word)
{
    tenure_root root = { .kind = word->kind, .address = (const void *)word->address };
    root.offset = word->base != 0 ? word->address - word->base : 0;
    if (word->kind == TENURE_ROOT_REGISTER) root.name = register_names[word->register_index];
    if (word->mutator == 0) return root;
    root.tid = word->mutator->tid;
    memcpy(root.thread, word->mutator->name, sizeof root.thread);
    root.thread[sizeof root.thread - 1] = '\0';
    return root;
}

/* The loader's own answer is the nearest symbol before the address: it counts if its bytes include the address. */
void tenure__root_ask_loader(tenure_root *root)
{
    if (root->kind != TENURE_ROOT_PROGRAM && root->kind != TENURE_ROOT_SLOT && root->kind != TENURE_ROOT_RANGE &&
        root->kind != TENURE_ROOT_CALLBACK)
        return;
    const uintptr_t address = (uintptr_t)root->address;
    Dl_info info;
    void *entry = 0;
    if (dladdr1(root->address, &info, &entry, RTLD_DL_SYMENT) == 0) return;
    root->file = info.dli_fname;
    root->offset = address - (uintptr_t)info.dli_fbase;
    const ElfW(Sym) *symbol = entry;
    if (info.dli_sname == 0 || symbol == 0 || address - (uintptr_t)info.dli_saddr >= symbol->st_size) return;
    root->name = info.dli_sname;
    root->offset = address - (uintptr_t)info.dli_saddr;
}
