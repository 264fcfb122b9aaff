/* Roots beyond the stacks. They are guarded by the stop lock: a stop holds it, so it may read them; a mutator that
 * wants it is blocked meanwhile, and the object that it is about to register waits in a scratch root. */
#include "lib/collection/cycle.h"
#include "lib/collection/trace.h"
#include "threads/system.h"
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

/* --- locking --- */

/* Runs fn(heap, arg) under the stop lock, whoever calls: an attached caller is released meanwhile. */
struct locked_call {
    tenure_heap *heap;
    void (*fn)(tenure_heap *, void *);
    void *arg;
};

static void call_released(tenure__mutator *mutator, void *arg)
{
    const struct locked_call *call = arg;
    tenure__release(mutator, TENURE__PARKED);
    tenure__lock_stop(&call->heap->world);
    call->fn(call->heap, call->arg);
    tenure__unlock_stop(&call->heap->world);
    tenure__reacquire(mutator);
}

void tenure__with_stop_lock(tenure_heap *heap, void (*fn)(tenure_heap *, void *), void *arg)
{
    tenure__mutator *mutator = tenure__os_thread_self()->records, *self = (tenure__mutator *)tenure_self(heap);
    tenure__world *world = &heap->world;
    if (self != 0 && tenure__owns_stop(self)) {
        fn(heap, arg); /* it owns the lock */
        return;
    }
    if (mutator != 0 && mutator->depth == 0) {
        tenure__require_in(mutator, "a call that takes the heap's lock");
        tenure__pass(mutator->os, 0);
    }
    struct locked_call call = { heap, fn, arg };
    if (mutator != 0 && mutator->depth == 0 && !tenure__trylock_stop(world)) {
        tenure__with_context(mutator, call_released, &call);
        return;
    }
    if (mutator == 0 || mutator->depth != 0) {
        tenure__lock_stop(world); /* it is no part of any stop */
        fn(heap, arg);
        tenure__unlock_stop(world);
        return;
    }
    tenure__inside_begin(mutator, "a call that takes the heap's lock");
    fn(heap, arg);
    tenure__unlock_stop(world);
    tenure__inside_end(mutator);
}

/* --- growing arrays --- */

static bool grow(void **items, size_t *capacity, size_t count, size_t item_bytes)
{
    if (count < *capacity) return true;
    const size_t wanted = *capacity != 0 ? 2 * *capacity : 16;
    void *longer = tenure__realloc(*items, wanted * item_bytes);
    if (longer == 0) return false;
    *items = longer;
    *capacity = wanted;
    return true;
}

struct change {
    tenure__ranges *ranges;
    uintptr_t start, end;
    bool done;
};

static void add_range(tenure_heap *heap, void *arg)
{
    (void)heap;
    struct change *change = arg;
    change->done = tenure__ranges_add(change->ranges, (tenure__range) { change->start, change->end });
}

static void remove_range(tenure_heap *heap, void *arg)
{
    (void)heap;
    struct change *change = arg;
    tenure__range *range = tenure__ranges_find(change->ranges, change->start);
    if (range == 0) return;
    tenure__ranges_remove(change->ranges, range);
    change->done = true;
}

static tenure_status range_status(tenure_heap *heap, tenure__ranges *ranges, void *start, size_t bytes)
{
    struct change change = { ranges, (uintptr_t)start, (uintptr_t)start + bytes, false };
    tenure__with_stop_lock(heap, add_range, &change);
    return change.done ? TENURE_OK : TENURE_ENOMEM;
}

tenure_status tenure_root_add(tenure_heap *heap, void *slot)
{
    return range_status(heap, &heap->roots.slots, slot, sizeof(void *));
}

void tenure_root_remove(tenure_heap *heap, void *slot)
{
    struct change change = { &heap->roots.slots, (uintptr_t)slot, 0, false };
    tenure__with_stop_lock(heap, remove_range, &change);
    if (!change.done) tenure__misuse("tenure_root_remove", "only what tenure_root_add added");
}

tenure_status tenure_root_range_add(tenure_heap *heap, void *start, size_t bytes, tenure_precision precision)
{
    if ((uintptr_t)start % sizeof(void *) != 0 && precision == TENURE_PRECISE) return TENURE_EINVAL;
    tenure__roots *roots = &heap->roots;
    return range_status(heap, precision == TENURE_PRECISE ? &roots->precise : &roots->ambiguous, start, bytes);
}

void tenure_root_range_remove(tenure_heap *heap, void *start)
{
    struct change change = { &heap->roots.precise, (uintptr_t)start, 0, false };
    tenure__with_stop_lock(heap, remove_range, &change);
    change.ranges = &heap->roots.ambiguous;
    if (!change.done) tenure__with_stop_lock(heap, remove_range, &change);
    if (!change.done) tenure__misuse("tenure_root_range_remove", "only what tenure_root_range_add added");
}

struct callback_change {
    tenure__root_callback callback;
    bool done;
};

static void add_callback(tenure_heap *heap, void *arg)
{
    struct callback_change *change = arg;
    tenure__roots *roots = &heap->roots;
    change->done =
        grow((void **)&roots->callbacks, &roots->callback_capacity, roots->callback_count, sizeof roots->callbacks[0]);
    if (change->done) roots->callbacks[roots->callback_count++] = change->callback;
}

static void remove_callback(tenure_heap *heap, void *arg)
{
    struct callback_change *change = arg;
    tenure__roots *roots = &heap->roots;
    for (size_t i = roots->callback_count; i-- > 0 && !change->done;)
        if (roots->callbacks[i].fn == change->callback.fn && roots->callbacks[i].arg == change->callback.arg) {
            roots->callbacks[i] = roots->callbacks[--roots->callback_count];
            change->done = true;
        }
}

tenure_status tenure_root_callback_add(tenure_heap *heap, tenure_root_fn *fn, void *arg)
{
    struct callback_change change = { { fn, arg }, false };
    tenure__with_stop_lock(heap, add_callback, &change);
    return change.done ? TENURE_OK : TENURE_ENOMEM;
}

void tenure_root_callback_remove(tenure_heap *heap, tenure_root_fn *fn, void *arg)
{
    struct callback_change change = { { fn, arg }, false };
    tenure__with_stop_lock(heap, remove_callback, &change);
    if (!change.done) tenure__misuse("tenure_root_callback_remove", "only what tenure_root_callback_add added");
}

/* --- the program's data --- */

struct enumeration {
    tenure__ranges found;
    bool failed;
};

static int add_segments(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    struct enumeration *enumeration = arg;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || (header->p_flags & PF_W) == 0) continue;
        const uintptr_t start = info->dlpi_addr + header->p_vaddr;
        if (!tenure__ranges_add(&enumeration->found, (tenure__range) { start, start + header->p_memsz })) {
            enumeration->failed = true;
            return 1;
        }
    }
    return 0;
}

static void replace_program(tenure_heap *heap, void *arg)
{
    struct enumeration *enumeration = arg;
    const tenure__ranges old = heap->roots.program;
    heap->roots.program = enumeration->found;
    atomic_store_explicit(&heap->roots.program_wanted, true, memory_order_relaxed);
    enumeration->found = old;
}

static bool enumerate_program(struct enumeration *enumeration)
{
    tenure__each_library(add_segments, enumeration);
    return !enumeration->failed;
}

tenure_status tenure_root_program(tenure_heap *heap)
{
    struct enumeration enumeration = { 0 };
    if (!enumerate_program(&enumeration)) {
        tenure__ranges_destroy(&enumeration.found);
        return TENURE_ENOMEM;
    }
    tenure__with_stop_lock(heap, replace_program, &enumeration);
    tenure__ranges_destroy(&enumeration.found);
    return TENURE_OK;
}

void tenure__roots_refresh(tenure_heap *heap)
{
    struct enumeration enumeration = { 0 };
    if (enumerate_program(&enumeration)) {
        tenure__lock_stop(&heap->world);
        replace_program(heap, &enumeration);
        tenure__unlock_stop(&heap->world);
    }
    tenure__ranges_destroy(&enumeration.found);
}

/* --- handles --- */

enum { HANDLE_CHUNK = 256 };

struct handle_change {
    tenure_handle *handle;
    uintptr_t *object; /* a scratch root, or a plain word of an unattached caller */
};

static bool more_handles(tenure_heap *heap)
{
    tenure__roots *roots = &heap->roots;
    if (!grow((void **)&roots->handles, &roots->handle_capacity, roots->handle_count, sizeof roots->handles[0]))
        return false;
    tenure_handle *chunk = tenure__calloc(HANDLE_CHUNK, sizeof *chunk);
    if (chunk == 0) return false;
    roots->handles[roots->handle_count++] = chunk;
    for (unsigned i = 0; i < HANDLE_CHUNK; i++) {
        chunk[i].heap = heap;
        chunk[i].next = roots->free_handles;
        roots->free_handles = &chunk[i];
    }
    return true;
}

/* The young list holds every handle once at most, so it never needs more room than there are handles. */
static bool reserve_young(tenure__roots *roots)
{
    const size_t most = roots->handle_count * HANDLE_CHUNK;
    if (roots->young_capacity >= most) return true;
    tenure_handle **longer = tenure__realloc(roots->young_handles, most * sizeof *longer);
    if (longer == 0) return false;
    roots->young_handles = longer;
    roots->young_capacity = most;
    return true;
}

static void set_handle(tenure_heap *heap, void *arg)
{
    const struct handle_change *change = arg;
    tenure__roots *roots = &heap->roots;
    __atomic_store_n(&change->handle->object, *change->object, __ATOMIC_RELEASE);
    if (change->handle->young) return;
    change->handle->young = true;
    roots->young_handles[roots->young_count++] = change->handle;
}

static void new_handle(tenure_heap *heap, void *arg)
{
    struct handle_change *change = arg;
    tenure__roots *roots = &heap->roots;
    if (roots->free_handles == 0 && !more_handles(heap)) return;
    if (!reserve_young(roots)) return;
    change->handle = roots->free_handles;
    roots->free_handles = change->handle->next;
    set_handle(heap, change);
}

static void free_handle(tenure_heap *heap, void *arg)
{
    tenure_handle *handle = arg;
    __atomic_store_n(&handle->object, 0, __ATOMIC_RELAXED);
    handle->next = heap->roots.free_handles;
    heap->roots.free_handles = handle;
}

tenure_handle *tenure_handle_new(tenure_thread *self, void *object)
{
    uintptr_t *scratch = &tenure__mutator_of(self)->scratch[0];
    *scratch = (uintptr_t)object;
    struct handle_change change = { 0, scratch };
    tenure__with_stop_lock(self->heap, new_handle, &change);
    *scratch = 0;
    if (change.handle == 0) errno = ENOMEM;
    return change.handle;
}

void *tenure_handle_get(tenure_handle *handle) { return (void *)__atomic_load_n(&handle->object, __ATOMIC_ACQUIRE); }

void tenure_handle_set(tenure_thread *self, tenure_handle *handle, void *object)
{
    uintptr_t *scratch = &tenure__mutator_of(self)->scratch[0];
    *scratch = (uintptr_t)object;
    struct handle_change change = { handle, scratch };
    tenure__with_stop_lock(self->heap, set_handle, &change);
    *scratch = 0;
}

void tenure_handle_free(tenure_handle *handle) { tenure__with_stop_lock(handle->heap, free_handle, handle); }

void tenure__each_handle(tenure_heap *heap, void (*fn)(void *arg, uintptr_t handle, uintptr_t object), void *arg)
{
    const tenure__roots *roots = &heap->roots;
    for (size_t i = 0; i < roots->handle_count; i++)
        for (unsigned j = 0; j < HANDLE_CHUNK; j++)
            fn(arg, (uintptr_t)&roots->handles[i][j], roots->handles[i][j].object);
}

/* --- pins --- */

struct pin_change {
    uintptr_t *object; /* a scratch root */
    bool done;
};

static void add_pin(tenure_heap *heap, void *arg)
{
    struct pin_change *change = arg;
    tenure__range *pin = tenure__ranges_find(&heap->roots.pins, *change->object);
    if (pin != 0) pin->end++;
    change->done = pin != 0 || tenure__ranges_add(&heap->roots.pins, (tenure__range) { *change->object, 1 });
}

static void remove_pin(tenure_heap *heap, void *arg)
{
    struct pin_change *change = arg;
    tenure__range *pin = tenure__ranges_find(&heap->roots.pins, *change->object);
    if (pin == 0) return;
    if (--pin->end == 0) tenure__ranges_remove(&heap->roots.pins, pin);
    change->done = true;
}

tenure_status tenure_pin(tenure_thread *self, void *object)
{
    /* The pinned scratch word: the object must not move between here and the list. */
    uintptr_t *scratch = &tenure__mutator_of(self)->scratch[TENURE__SCRATCH_IO];
    *scratch = (uintptr_t)object;
    struct pin_change change = { scratch, false };
    tenure__with_stop_lock(self->heap, add_pin, &change);
    *scratch = 0;
    return change.done ? TENURE_OK : TENURE_ENOMEM;
}

void tenure_unpin(tenure_thread *self, void *object)
{
    uintptr_t address = (uintptr_t)object;
    struct pin_change change = { &address, false };
    tenure__with_stop_lock(self->heap, remove_pin, &change);
    if (!change.done) tenure__misuse("tenure_unpin", "only what is pinned");
}

/* --- fibers --- */

static void add_stack(tenure_heap *heap, void *arg)
{
    tenure_stack *stack = arg;
    stack->next = heap->roots.stacks;
    heap->roots.stacks = stack;
}

static void remove_stack(tenure_heap *heap, void *arg)
{
    tenure_stack **link = &heap->roots.stacks;
    while (*link != 0 && *link != arg) link = &(*link)->next;
    if (*link == 0) tenure__misuse("tenure_stack_remove", "only what tenure_stack_add added");
    *link = (*link)->next;
}

tenure_stack *tenure_stack_add(tenure_heap *heap, void *low, void *high, void *save_area, size_t save_bytes)
{
    if ((uintptr_t)low >= (uintptr_t)high || (save_area == 0 && save_bytes != 0)) {
        errno = EINVAL;
        return 0;
    }
    tenure_stack *stack = tenure__calloc(1, sizeof *stack);
    if (stack == 0) return 0;
    stack->heap = heap;
    stack->low = (uintptr_t)low;
    stack->high = (uintptr_t)high;
    stack->save_start = (uintptr_t)save_area;
    stack->save_end = stack->save_start + save_bytes;
    stack->switches = 1;
    tenure__with_stop_lock(heap, add_stack, stack);
    return stack;
}

void tenure_stack_remove(tenure_heap *heap, tenure_stack *stack)
{
    if (atomic_load_explicit(&stack->runner, memory_order_relaxed) != 0)
        tenure__misuse("tenure_stack_remove", "not a stack that some thread runs on");
    tenure__with_stop_lock(heap, remove_stack, stack);
    free(stack);
}

/* Between here and the switch itself there is no safepoint, so a stop sees the thread on either stack; what is live on
 * the old one is above the stack pointer that the stub saved, and in the registers that it saved. */
static void switch_stack(tenure__mutator *mutator, tenure_stack *next)
{
    tenure_stack *from = mutator->fiber;
    if (from == 0) {
        mutator->own_stack_pointer = mutator->stack_pointer;
        memcpy(mutator->own_save, mutator->registers, sizeof mutator->own_save);
        mutator->own_frames = mutator->record.frames;
    } else {
        from->stack_pointer = mutator->stack_pointer;
        memcpy(from->registers, mutator->registers, sizeof from->registers);
        from->frames = mutator->record.frames;
        from->switches++;
        atomic_store_explicit(&from->runner, 0, memory_order_relaxed);
    }
    if (next != 0 && next->frames != 0 && next->frames->self != &mutator->record)
        tenure__misuse("tenure_stack_switch", "with open TENURE_FRAMEs only on the thread that opened them");
    struct tenure__frame **frames = next != 0 ? &next->frames : &mutator->own_frames;
    mutator->record.frames = *frames;
    *frames = 0;
    if (next != 0) {
        next->switches++;
        atomic_store_explicit(&next->runner, mutator, memory_order_relaxed);
    }
    mutator->fiber = next;
}

/* The stub tenure_stack_switch (threads/context_*.S) has saved the caller's context. */
void tenure__stack_switch_saved(tenure_thread *self, tenure_stack *to_or_null);
void tenure__stack_switch_saved(tenure_thread *self, tenure_stack *to_or_null)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    tenure__require_in(mutator, "tenure_stack_switch");
    if (mutator->fiber != to_or_null) switch_stack(mutator, to_or_null);
}

/* --- in a stop --- */

static void trace_range(tenure__worker *worker, uintptr_t start, uintptr_t end)
{
    for (uintptr_t slot = start; slot + sizeof(void *) <= end; slot += sizeof(void *))
        tenure__trace_slot(worker, (uintptr_t *)slot);
}

static void trace_frames(tenure__worker *worker, const struct tenure__frame *frame)
{
    for (; frame != 0; frame = frame->outer)
        for (size_t i = 0; i < frame->count; i++)
            trace_range(worker, (uintptr_t)frame->locals[i].address,
                (uintptr_t)frame->locals[i].address + frame->locals[i].count * sizeof(void *));
}

static void trace_mutators(tenure__worker *worker, struct cds_list_head *list)
{
    tenure__mutator *mutator;
    cds_list_for_each_entry(mutator, list, link)
    {
        for (unsigned i = 0; i < TENURE__SCRATCH_IO; i++) tenure__trace_slot(worker, &mutator->scratch[i]);
        trace_frames(worker, mutator->record.frames);
        trace_frames(worker, mutator->own_frames);
    }
}

void tenure__roots_trace(tenure__worker *worker)
{
    tenure_heap *heap = worker->heap;
    tenure__roots *roots = &heap->roots;
    for (size_t i = 0; i < roots->slots.count; i++)
        trace_range(worker, roots->slots.items[i].start, roots->slots.items[i].end);
    for (size_t i = 0; i < roots->precise.count; i++)
        trace_range(worker, roots->precise.items[i].start, roots->precise.items[i].end);
    trace_mutators(worker, &heap->world.active);
    if (heap->condemned == 2) trace_mutators(worker, &heap->world.dormant);
    for (const struct tenure_stack *stack = roots->stacks; stack != 0; stack = stack->next)
        trace_frames(worker, stack->frames);
    if (heap->condemned > 0) {
        for (size_t i = 0; i < roots->handle_count; i++)
            for (unsigned j = 0; j < HANDLE_CHUNK; j++) tenure__trace_slot(worker, &roots->handles[i][j].object);
    } else {
        for (size_t i = 0; i < roots->young_count; i++) tenure__trace_slot(worker, &roots->young_handles[i]->object);
    }
    for (tenure__found *found = roots->found; found != 0; found = found->next)
        if (heap->condemned > 0 || found->young)
            trace_range(worker, (uintptr_t)found->objects, (uintptr_t)(found->objects + found->count));
    if (roots->callback_count == 0) return;
    /* For a worker that stands on no mutator's stack, perhaps this one. */
    atomic_store_explicit(&heap->callbacks_due, true, memory_order_relaxed);
    if (!worker->may_trace) tenure__trace_invite(worker, 1, true);
}

void tenure__roots_call_back(tenure__worker *worker)
{
    const tenure__roots *roots = &worker->heap->roots;
    for (size_t i = 0; i < roots->callback_count; i++)
        roots->callbacks[i].fn((tenure_visitor *)worker, roots->callbacks[i].arg);
}

void tenure__roots_settle(tenure_heap *heap)
{
    tenure__roots *roots = &heap->roots;
    for (size_t i = 0; i < roots->young_count; i++) roots->young_handles[i]->young = false;
    roots->young_count = 0;
    for (tenure__found *found = roots->found; found != 0; found = found->next) found->young = false;
}

void tenure__roots_destroy(tenure_heap *heap)
{
    tenure__roots *roots = &heap->roots;
    tenure__ranges *const lists[] = { &roots->slots, &roots->precise, &roots->ambiguous, &roots->program,
        &roots->pins };
    for (unsigned i = 0; i < sizeof lists / sizeof lists[0]; i++) tenure__ranges_destroy(lists[i]);
    free(roots->callbacks);
    for (size_t i = 0; i < roots->handle_count; i++) free(roots->handles[i]);
    free(roots->handles);
    free(roots->young_handles);
    while (roots->stacks != 0) {
        tenure_stack *stack = roots->stacks;
        roots->stacks = stack->next;
        free(stack);
    }
}
