/* The first phase of a collection: everything ambiguous pins what it may point to, before anything is copied. Stacks
 * and registers of the mutators, fibers, ambiguous ranges and program data, ambiguous objects (dead or alive), pinned
 * objects.
 *
 * Which stacks a Gen 0 collection may skip: those of idle threads and fibers that have not run since their last scan.
 * Nobody writes references into them, so nothing in Gen 0 can be there. And what an idle thread pins in a Gen 0+1
 * collection ends in Gen 2, so that later ones may skip it too: from then on only full collections look at it. */
#include "lib/collection/pin.h"
#include "lib/collection/remembered.h"
#include "threads/host.h"

enum { DORMANT_AFTER = 4, INVITE_ABOVE_STACKS = 8 };

#define EACH(list, mutator) cds_list_for_each_entry(mutator, list, link)

/* The stacks of other threads: their instrumentation knows nothing of this read. */
__attribute__((no_sanitize("address", "thread"))) static void pin_range(
    tenure__worker *worker, uintptr_t start, uintptr_t end)
{
    const tenure_heap *heap = worker->heap;
    const uint64_t mask = ~heap->options.ambiguous_mask;
    for (uintptr_t at = (start + 7) & ~(uintptr_t)7; at + 8 <= end; at += 8) {
        uintptr_t word = *(volatile uintptr_t *)at & mask;
        tenure__take_word(&word);
        if (tenure__in_arena(heap, word)) tenure__pin_word(worker, word, true);
    }
}

static void pin_words(tenure__worker *worker, const uintptr_t *words, size_t count)
{
    pin_range(worker, (uintptr_t)words, (uintptr_t)(words + count));
}

static void pin_frames(tenure__worker *worker, const struct tenure__frame *frame)
{
    for (; frame != 0; frame = frame->outer)
        for (size_t i = 0; i < frame->count; i++)
            pin_range(worker, (uintptr_t)frame->locals[i].address,
                (uintptr_t)frame->locals[i].address + frame->locals[i].count * 8);
}

static bool is_on(const struct tenure__frame *frame, const struct tenure__frame *chain)
{
    while (chain != 0 && chain != frame) chain = chain->outer;
    return chain != 0;
}

/* What the code of regions counts on from which the thread came back in by tenure_enter: the innermost frames of then,
 * on whichever stack. Those of callbacks that were left by longjmp or pthread_exit are gone, and on no chain. */
static void pin_entered_from(tenure__worker *worker, const tenure__mutator *mutator)
{
    for (unsigned i = mutator->os->entered; i-- > 0;) {
        const struct tenure__frame *frame = mutator->entered_from[i];
        bool found = is_on(frame, mutator->record.frames) || is_on(frame, mutator->own_frames);
        for (const struct tenure_stack *stack = worker->heap->roots.stacks; stack != 0 && !found; stack = stack->next)
            found = is_on(frame, stack->frames);
        if (found) pin_frames(worker, frame);
    }
}

/* A stop: what a stack has open is written by whoever runs on it. */
bool tenure__host_frames_suspended(const tenure__mutator *mutator)
{
    tenure_heap *heap = mutator->record.heap;
    bool found = false;
    if (mutator->own_stack_pointer == 0) return false; /* it never ran on another stack */
    tenure__world_stop(&heap->world, true);
    for (const struct tenure_stack *stack = heap->roots.stacks; stack != 0; stack = stack->next)
        found |= stack->frames != 0 && stack->frames->self == &mutator->record;
    tenure__world_resume(&heap->world);
    return found;
}

static void pin_lock(tenure__worker *worker, const _Atomic(tenure__lock *) *lock)
{
    /* acquire: pairs with held_push and held_remove. */
    const uintptr_t word = (uintptr_t)atomic_load_explicit(lock, memory_order_acquire);
    if (tenure__in_arena(worker->heap, word)) tenure__pin_word(worker, word, true);
}

/* Inside a region the thread may take and give back locks meanwhile, hence the order (threads/mutator.h). */
static void pin_locks(tenure__worker *worker, const tenure__os_thread *os)
{
    pin_lock(worker, &os->awaited);
    pin_lock(worker, &os->awaited_mutex);
    const uint32_t count = atomic_load_explicit(&os->held_count, memory_order_acquire);
    const tenure__held *held = atomic_load_explicit(&os->held, memory_order_acquire);
    for (uint32_t i = count; i-- > 0;) pin_lock(worker, &held[i].lock);
}

static void pin_stack(tenure__worker *worker, tenure__mutator *mutator)
{
    tenure_heap *heap = worker->heap;
    const uint32_t mode = atomic_load_explicit(&mutator->state, memory_order_relaxed) & TENURE__MODE;
    pin_words(worker, &mutator->scratch[TENURE__SCRATCH_IO], TENURE__SCRATCH - TENURE__SCRATCH_IO);
    for (int i = 0; i < mutator->io_count; i++) pin_words(worker, (uintptr_t *)&mutator->io_vector[i].iov_base, 1);
    pin_locks(worker, mutator->os);
    if (heap->options.roots == TENURE_ROOTS_PRECISE) {
        /* Inside a region the thread may use what its frames name: it stays where it is. */
        if (mode != TENURE__PARKED) {
            pin_frames(worker, mutator->record.frames);
            pin_frames(worker, mutator->own_frames); /* a dormant thread's are not traced: they end in Gen 2 */
        }
        pin_entered_from(worker, mutator);
        return;
    }
    pin_words(worker, mutator->registers, TENURE__SAVED_REGISTERS);
    if (mutator->went_back) pin_words(worker, mutator->entry_registers, TENURE__SAVED_REGISTERS);
    const struct tenure_stack *fiber = mutator->fiber;
    pin_range(worker, mutator->stack_pointer, fiber != 0 ? fiber->high : mutator->stack_base);
    if (fiber != 0) {
        pin_words(worker, mutator->own_save, TENURE__SAVED_REGISTERS);
        pin_range(worker, mutator->own_stack_pointer, mutator->stack_base);
        pin_range(worker, fiber->save_start, fiber->save_end);
    }
    const bool program = atomic_load_explicit(&heap->roots.program_wanted, memory_order_relaxed);
    for (unsigned i = 0; program && i < mutator->tls_count; i++)
        pin_range(worker, mutator->tls[i].start, mutator->tls[i].end);
}

static bool is_idle(const tenure__mutator *mutator)
{
    return (atomic_load_explicit(&mutator->state, memory_order_relaxed) & TENURE__MODE) == TENURE__IDLE;
}

/* Idle, and not come back since its stack was last scanned for a collection like this. */
static bool may_skip(const tenure__mutator *mutator, int condemned)
{
    if (!is_idle(mutator) || condemned == 2) return false;
    /* acquire: a worker that sees what another has just scanned may skip it as well, and sees its hash. */
    return mutator->idle_entries ==
           atomic_load_explicit(
               condemned == 0 ? &mutator->scanned_entries : &mutator->aged_entries, memory_order_acquire);
}

/* --- checked heaps: nobody writes references into the stack of an idle thread --- */

/* Of the words that look like heap addresses; stale ones stay the same. */
__attribute__((no_sanitize("address", "thread"))) static uint64_t hash_stack(
    const tenure_heap *heap, const tenure__mutator *mutator)
{
    uint64_t hash = 0;
    for (uintptr_t at = mutator->stack_pointer; at + 8 <= mutator->stack_base; at += 8) {
        uintptr_t word = *(volatile uintptr_t *)at;
        tenure__take_word(&word);
        if (tenure__in_arena(heap, word)) hash = (hash ^ word ^ at) * 0x9e3779b97f4a7c15u;
    }
    return hash;
}

/* A stack that is skipped: if it changed since it was scanned and leads into Gen 0 now, that object would be lost. */
__attribute__((no_sanitize("address", "thread"))) static void check_skipped(
    tenure_heap *heap, const tenure__mutator *mutator)
{
    if (mutator->fiber != 0 || hash_stack(heap, mutator) == mutator->stack_hash) return;
    for (uintptr_t at = mutator->stack_pointer; at + 8 <= mutator->stack_base; at += 8) {
        uintptr_t word = *(volatile uintptr_t *)at;
        tenure__take_word(&word);
        const uintptr_t object = tenure__find_object(heap, word);
        if (object != 0 && tenure_generation_of(heap, (void *)object) == TENURE_GEN0)
            tenure__misuse("an idle region", "nobody else stores references into the thread's stack meanwhile");
    }
}

static void pin_list(tenure__worker *worker, struct cds_list_head *list)
{
    tenure_heap *heap = worker->heap;
    tenure__mutator *mutator;
    EACH(list, mutator)
    {
        const bool checked = heap->options.verify != 0 && heap->options.roots == TENURE_ROOTS_CONSERVATIVE;
        if (may_skip(mutator, heap->condemned)) {
            if (checked && heap->condemned == 0) check_skipped(heap, mutator);
            continue;
        }
        /* relaxed: the claim alone matters; the phase's end orders the rest. */
        if (atomic_exchange_explicit(&mutator->scan_claim, heap->sequence, memory_order_relaxed) == heap->sequence)
            continue;
        worker->pins_for_idle = heap->condemned > 0 && is_idle(mutator);
        pin_stack(worker, mutator);
        worker->pins_for_idle = false;
        if (checked && is_idle(mutator) && mutator->fiber == 0) mutator->stack_hash = hash_stack(heap, mutator);
        atomic_store_explicit(&mutator->scanned_entries, mutator->idle_entries, memory_order_release);
        if (heap->condemned > 0)
            atomic_store_explicit(&mutator->aged_entries, mutator->idle_entries, memory_order_release);
    }
}

static void pin_fibers(tenure__worker *worker)
{
    tenure_heap *heap = worker->heap;
    if (heap->options.roots == TENURE_ROOTS_PRECISE) return;
    for (struct tenure_stack *stack = heap->roots.stacks; stack != 0; stack = stack->next) {
        if (atomic_load_explicit(&stack->runner, memory_order_relaxed) != 0) continue;
        if (heap->condemned == 0 && stack->switches == stack->scanned_switches) continue;
        stack->scanned_switches = stack->switches;
        pin_range(worker, stack->save_start, stack->save_end);
        if (stack->stack_pointer == 0) continue;
        pin_words(worker, stack->registers, TENURE__SAVED_REGISTERS);
        pin_range(worker, stack->stack_pointer, stack->high);
    }
}

static void pin_ranges(tenure__worker *worker, const tenure__ranges *ranges)
{
    for (size_t i = 0; i < ranges->count; i++) pin_range(worker, ranges->items[i].start, ranges->items[i].end);
}

/* --- ambiguous objects of the condemned generations, dead or alive --- */

static void pin_from(tenure__worker *worker, uintptr_t object)
{
    const uint64_t header = tenure__header_load(object);
    if (tenure__plan_of(header)->shape == TENURE__SHAPE_AMBIGUOUS) tenure__pin_referents(worker, object, header);
}

static void pin_from_gen0_block(tenure__worker *worker, uint32_t block)
{
    const uintptr_t start = tenure__block_start(worker->heap, block);
    for (unsigned at = 1; at < TENURE__GRANULES;) {
        const uintptr_t object = start + (uintptr_t)at * 16;
        const uint64_t header = tenure__header_load(object);
        if (header == 0) return;
        pin_from(worker, object);
        at += tenure__header_granules(header);
    }
}

void tenure__pin_from_block(tenure__worker *worker, uint32_t block)
{
    const tenure__bits *live = tenure__bits_of(worker->heap->live, block);
    const uintptr_t start = tenure__block_start(worker->heap, block);
    for (unsigned word = 0; word < TENURE__BITMAP_WORDS; word++) {
        uint64_t bits = atomic_load_explicit(&live[word], memory_order_relaxed);
        for (; bits != 0; bits &= bits - 1)
            pin_from(worker, start + (word * 64 + (unsigned)__builtin_ctzll(bits)) * (uintptr_t)16);
    }
}

static void pin_ambiguous_objects(tenure__worker *worker)
{
    tenure_heap *heap = worker->heap;
    const uint32_t gen0 = atomic_load_explicit(&heap->gen0_count, memory_order_relaxed);
    for (uint32_t i = 0; i < gen0; i++)
        if (tenure__kind_of(heap, heap->gen0_blocks[i]) & TENURE__KIND_AMBIGUOUS)
            pin_from_gen0_block(worker, heap->gen0_blocks[i]);
    const uint32_t gen1 = heap->condemned >= 1 ? atomic_load_explicit(&heap->gen1_count, memory_order_relaxed) : 0;
    for (uint32_t i = 0; i < gen1; i++)
        if (tenure__kind_of(heap, heap->gen1_blocks[i]) & TENURE__KIND_AMBIGUOUS)
            tenure__pin_from_block(worker, heap->gen1_blocks[i]);
    for (uint32_t i = 0; i < heap->young_run_count; i++) {
        const uint32_t head = heap->young_runs[i];
        if (tenure__kind_of(heap, head) & TENURE__KIND_AMBIGUOUS) pin_from(worker, tenure__run_object(heap, head));
    }
    if (heap->condemned < 2) return;
    const uint32_t frontier = atomic_load_explicit(&heap->frontier, memory_order_relaxed);
    for (uint32_t block = 0; block < frontier; block++) {
        const uint8_t kind = tenure__kind_of(heap, block);
        if ((kind & TENURE__KIND_AMBIGUOUS) && tenure__kind_generation(kind) == 2)
            tenure__pin_from_block(worker, block);
    }
    const uint32_t end = atomic_load_explicit(&heap->large_frontier, memory_order_relaxed);
    for (uint32_t block = heap->large_start; block < end; block++) {
        const uint8_t kind = tenure__kind_of(heap, block);
        if ((kind & (TENURE__KIND_AMBIGUOUS | TENURE__KIND_HEAD)) == (TENURE__KIND_AMBIGUOUS | TENURE__KIND_HEAD) &&
            tenure__kind_generation(kind) == 2)
            pin_from(worker, tenure__run_object(heap, block));
    }
}

/* --- the phase --- */

static void pin_phase(void *arg, unsigned index, bool may_trace)
{
    tenure_heap *heap = arg;
    tenure__worker *worker = &heap->workers[index];
    (void)may_trace;
    if (index == 0) {
        if (atomic_load_explicit(&heap->world.attached, memory_order_relaxed) -
                    atomic_load_explicit(&heap->world.dormant_count, memory_order_relaxed) >
                INVITE_ABOVE_STACKS &&
            heap->options.workers > 1)
            tenure__gang_invite(&heap->world.gang, heap->options.workers - 1, false);
        const tenure__ranges *pins = &heap->roots.pins;
        for (size_t i = 0; i < pins->count; i++) tenure__pin_object(worker, pins->items[i].start, true);
        pin_ranges(worker, &heap->roots.ambiguous);
        pin_ranges(worker, &heap->roots.program);
        pin_fibers(worker);
        if (heap->ambiguous_used) {
            tenure__logs_pin(worker);
            pin_ambiguous_objects(worker);
        }
    }
    pin_list(worker, &heap->world.active);
    if (heap->condemned == 2) pin_list(worker, &heap->world.dormant);
}

/* A block in which little is pinned goes back to the nursery with what stays in it: else threads that each pin their
 * current chunk eat the nursery. Decided before anything is copied, for it says which generation stays. */
static void decide_sparse(tenure_heap *heap, const uint32_t *blocks, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        tenure__block *block = &heap->blocks[blocks[i]];
        if ((tenure__flags_of(block) & TENURE__BLOCK_KEEPS) == 0) continue;
        const uint8_t kind = tenure__kind_of(heap, blocks[i]);
        block->sparse = (kind & TENURE__KIND_AMBIGUOUS) == 0 &&
                        (tenure__flags_of(block) & TENURE__BLOCK_OLD_PINS) == 0 &&
                        atomic_load_explicit(&block->pinned_granules, memory_order_relaxed) < TENURE__GRANULES / 4;
        heap->some_sparse |= block->sparse && heap->target == 2;
    }
}

void tenure__pin_all(tenure_heap *heap, bool may_trace)
{
    tenure__gang_run(&heap->world.gang, pin_phase, heap, may_trace);
    heap->some_sparse = false;
    decide_sparse(heap, heap->gen0_blocks, atomic_load_explicit(&heap->gen0_count, memory_order_relaxed));
    if (heap->condemned >= 1)
        decide_sparse(heap, heap->gen1_blocks, atomic_load_explicit(&heap->gen1_count, memory_order_relaxed));
}

void tenure__retire_idle(tenure_heap *heap)
{
    tenure__mutator *mutator, *next;
    cds_list_for_each_entry_safe(mutator, next, &heap->world.active, link)
    {
        if (!may_skip(mutator, 1) || !may_skip(mutator, 0))
            mutator->idle_stops = 0;
        else if (++mutator->idle_stops >= DORMANT_AFTER)
            tenure__make_dormant(mutator);
    }
}
