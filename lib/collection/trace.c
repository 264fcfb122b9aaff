/* See trace.h. Copying follows Cheney's idea with per-worker queues instead of a scan pointer; the claim is a
 * compare-and-swap of the header against the forwarding address, made after the copy: the loser takes its copy back. */
#include "lib/collection/trace.h"
#include "lib/collection/cycle.h"
#include "lib/collection/ephemeron.h"
#include "lib/collection/remembered.h"
#include "threads/futex.h"
#include <sched.h>
#include <string.h>

enum {
    PIECE_BYTES = 8 * 1024, /* half of a local stack, if all of it are references */
    INVITE_AFTER = 1000,    /* objects, before small work becomes worth a second worker */
    SHARE_ABOVE = 4,        /* entries on the local stack */
    BESIDE_LEAST = 8,       /* granules of a leaf that lies among what refers to it */
    BESIDE_MOST = 63
};

void tenure__trace_prepare(tenure_heap *heap)
{
    memset(heap->action, TENURE__ACTION_NONE, sizeof heap->action);
    for (unsigned kind = 0; kind < 256; kind++) {
        if ((kind & TENURE__KIND_GENERATION) == 0 || (kind & TENURE__KIND_FROZEN) != 0) continue;
        const unsigned generation = tenure__kind_generation((uint8_t)kind);
        if ((int)generation > heap->condemned) continue;
        uint8_t action = TENURE__ACTION_MOVE;
        if (kind & (TENURE__KIND_HEAD | TENURE__KIND_TAIL))
            action = TENURE__ACTION_LARGE;
        else if (generation == 2 && (kind & TENURE__KIND_EVACUATE) == 0)
            action = kind & TENURE__KIND_LEAF ? TENURE__ACTION_MARK_LEAF : TENURE__ACTION_MARK;
        heap->action[kind] = action;
    }
}

unsigned tenure__final_generation(const tenure_heap *heap, uint32_t block)
{
    const uint8_t kind = tenure__kind_of(heap, block);
    const unsigned generation = tenure__kind_generation(kind);
    if ((int)generation > heap->condemned || (kind & TENURE__KIND_FROZEN) != 0) return generation;
    if (kind & (TENURE__KIND_HEAD | TENURE__KIND_TAIL)) return heap->target;
    return heap->blocks[block].sparse ? 1 : heap->target;
}

/* --- the local stack and the packets --- */

/* So many entries, as far as there are packets. The oldest: nearest to the roots, so most likely to have much below
 * them. */
static void share(tenure__worker *worker, uint32_t count)
{
    tenure_heap *heap = worker->heap;
    uint32_t shared = 0;
    while (shared < count) {
        const uint32_t index = tenure__packet_take(&heap->packets);
        if (index == 0) break;
        tenure__packet *packet = tenure__packet_at(&heap->packets, index);
        packet->count = count - shared < TENURE__PACKET_ENTRIES ? count - shared : TENURE__PACKET_ENTRIES;
        memcpy(packet->entries, worker->stack + shared, packet->count * sizeof worker->stack[0]);
        shared += packet->count;
        tenure__packet_push(&heap->packets, &heap->shared, index);
    }
    worker->top -= shared;
    memmove(worker->stack, worker->stack + shared, worker->top * sizeof worker->stack[0]);
}

static bool take_packet(tenure__worker *worker, tenure__index_stack *stack)
{
    tenure_heap *heap = worker->heap;
    const uint32_t index = tenure__packet_pop(&heap->packets, stack);
    if (index == 0) return false;
    tenure__packet *packet = tenure__packet_at(&heap->packets, index);
    /* The local stack is empty or nearly so whenever packets are taken. Objects that were logged lie anywhere. */
    for (uint32_t i = 0; i < packet->count; i++) {
        const uintptr_t entry = packet->entries[i];
        if ((entry & TENURE__ENTRY_TAG) != TENURE__ENTRY_SLOT)
            __builtin_prefetch((void *)((entry & ~(uintptr_t)TENURE__ENTRY_REACH_TAG) - 8), 1);
        worker->stack[worker->top++] = entry;
    }
    tenure__packet_give(&heap->packets, index);
    return true;
}

static void process_root_slot(tenure__worker *worker, uintptr_t *slot);
static bool mark(tenure__worker *worker, uintptr_t object);

static inline bool is_reach(uintptr_t entry)
{
    return (entry & TENURE__ENTRY_TAG) != 0 && (entry & TENURE__ENTRY_REACH_BIT) != 0;
}

/* The entry's block is scanned again later; a slot outside the heap (of a root callback) is processed now. Only what is
 * marked is scanned again: so what was only to be reached is reached now. */
static void overflow(tenure__worker *worker, uintptr_t entry)
{
    tenure_heap *heap = worker->heap;
    if (is_reach(entry)) {
        const uintptr_t object = entry & ~(uintptr_t)TENURE__ENTRY_REACH_TAG;
        if (!mark(worker, object) || (entry & TENURE__ENTRY_REACH_TAG) == TENURE__ENTRY_REACH_LEAF) return;
    } else if (!tenure__in_arena(heap, entry)) {
        process_root_slot(worker, (uintptr_t *)entry);
        return;
    }
    tenure__flags_set(&heap->blocks[tenure__block_index(heap, entry)], TENURE__BLOCK_RESCAN);
    atomic_store_explicit(&heap->overflowed, true, memory_order_relaxed);
}

static inline void push(tenure__worker *worker, uintptr_t entry)
{
    if (__builtin_expect(worker->top == TENURE__STACK_WORDS, 0)) {
        share(worker, TENURE__STACK_WORDS / 2);
        if (worker->top == TENURE__STACK_WORDS) {
            overflow(worker, entry);
            return;
        }
    }
    worker->stack[worker->top++] = entry;
}

void tenure__trace_push(tenure__worker *worker, uintptr_t entry) { push(worker, entry); }

void tenure__trace_invite(tenure__worker *worker, unsigned helpers, bool need_pool)
{
    tenure_heap *heap = worker->heap;
    /* Who populates memory keeps a processor for milliseconds: a helper that has to wait for it would be waited for. */
    if (!need_pool && atomic_load_explicit(&heap->populators, memory_order_relaxed) != 0 && --helpers == 0) return;
    worker->alone = false;
    tenure__gang_invite(&heap->world.gang, helpers, need_pool);
}

/* Leaves have blocks of their own, which full collections mark without a look at the objects. But those of some cache
 * lines lie near what refers to them, as copying finds them: who reads the one reads the other next. Smaller ones would
 * leave holes that are not filled, and of larger ones the first line is no matter. */
static inline unsigned sort_of(const tenure__plan *plan, unsigned granules)
{
    if (plan->shape == TENURE__SHAPE_LEAF)
        return granules - BESIDE_LEAST <= BESIDE_MOST - BESIDE_LEAST ? TENURE__PLAIN : TENURE__LEAF;
    return plan->shape == TENURE__SHAPE_AMBIGUOUS ? TENURE__APART_AMBIGUOUS : TENURE__PLAIN;
}

/* The object was claimed: ephemerons may wait for it. */
static inline void note_key(tenure__worker *worker, uintptr_t object, uint64_t header)
{
    if (__builtin_expect((header & TENURE__KEY) != 0, 0)) tenure__ephemeron_key_reached(worker, object);
}

/* The object's bit in that bitmap; true: this call set it. */
static inline bool claim(tenure__worker *worker, tenure__bits *bitmap, uintptr_t object)
{
    tenure__bits *word = tenure__word_of(worker->heap, bitmap, object);
    const unsigned bit = tenure__granule_of(object) & 63;
    if (!worker->alone) return tenure__bit_claim(word, bit);
    if (tenure__bit_get(word, bit)) return false;
    tenure__bit_set_owned(word, bit);
    return true;
}

/* An object of a block that is marked in place is reached. True: for the first time. always_inline: the loop's. */
static inline __attribute__((always_inline)) bool mark(tenure__worker *worker, uintptr_t object)
{
    tenure_heap *heap = worker->heap;
    if (!claim(worker, heap->mark, object)) return false;
    /* A header is not touched for this alone, but in heaps where the object may be a key. */
    if (__builtin_expect(heap->waiting.chains != 0, 0)) note_key(worker, object, tenure__header_load(object));
    return true;
}

/* --- staying --- */

static void set_bits_shared(tenure_heap *heap, uint32_t block, uintptr_t object, unsigned granules)
{
    const unsigned start = tenure__granule_of(object);
    tenure__bit_claim(tenure__bits_of(heap->live, block), start);
    tenure__bit_claim(tenure__bits_of(heap->ends, block), start + granules - 1);
}

/* The object (in a block that is emptied) stays where it is and is alive, unless another worker was faster to copy it;
 * scanned by whoever says so first. Returns where it is. */
static uintptr_t stay(tenure__worker *worker, uintptr_t object, uint32_t block)
{
    tenure_heap *heap = worker->heap;
    uint64_t header = atomic_load_explicit(tenure__header_of(object), memory_order_acquire);
    do {
        if ((header & TENURE__HEADER) == 0) return (uintptr_t)header;
        if (header & TENURE__STAYS) return object;
    } while (!atomic_compare_exchange_weak_explicit(
        tenure__header_of(object), &header, header | TENURE__STAYS, memory_order_acq_rel, memory_order_acquire));
    if ((header & TENURE__PINNED) == 0) {
        set_bits_shared(heap, block, object, tenure__header_granules(header));
        tenure__flags_set(&heap->blocks[block], TENURE__BLOCK_KEEPS);
    }
    push(worker, object | TENURE__ENTRY_OBJECT);
    note_key(worker, object, header);
    return object;
}

void tenure__pin_object(tenure__worker *worker, uintptr_t object, bool live)
{
    tenure_heap *heap = worker->heap;
    const uint32_t block = tenure__block_index(heap, object);
    switch (heap->action[tenure__kind_of(heap, block)]) {
    case TENURE__ACTION_MOVE: {
        uint64_t header = tenure__header_load(object);
        if ((int)tenure__header_generation(header) > heap->condemned) return;
        header = atomic_fetch_or_explicit(tenure__header_of(object), TENURE__PINNED, memory_order_relaxed);
        if ((header & TENURE__PINNED) == 0) {
            const unsigned granules = tenure__header_granules(header);
            set_bits_shared(heap, block, object, granules);
            tenure__flags_set(&heap->blocks[block], TENURE__BLOCK_KEEPS);
            atomic_fetch_add_explicit(&heap->blocks[block].pinned_granules, granules, memory_order_relaxed);
            worker->pinned_objects++;
        }
        if (worker->pins_for_idle) tenure__flags_set(&heap->blocks[block], TENURE__BLOCK_OLD_PINS);
        if (live) stay(worker, object, block);
        break;
    }
    case TENURE__ACTION_MARK:
        if (live && tenure__bit_claim(tenure__bits_of(heap->mark, block), tenure__granule_of(object)))
            push(worker, object | TENURE__ENTRY_OBJECT);
        break;
    case TENURE__ACTION_MARK_LEAF:
        if (live) tenure__bit_claim(tenure__bits_of(heap->mark, block), tenure__granule_of(object));
        break;
    case TENURE__ACTION_LARGE:
        if (live && (atomic_fetch_or_explicit(tenure__header_of(object), TENURE__STAYS, memory_order_relaxed) &
                        TENURE__STAYS) == 0)
            push(worker, object | TENURE__ENTRY_OBJECT);
        break;
    }
}

void tenure__pin_word(tenure__worker *worker, uintptr_t word, bool live)
{
    tenure_heap *heap = worker->heap;
    word &= ~heap->options.ambiguous_mask;
    if (!tenure__in_arena(heap, word)) return;
    const uintptr_t object = tenure__find_object(heap, word);
    if (object != 0) tenure__pin_object(worker, object, live);
    const uintptr_t neighbour = tenure__find_header_neighbour(heap, word);
    if (neighbour != 0) tenure__pin_object(worker, neighbour, live);
}

/* --- copying and marking --- */

/* Copies the object, or lets it stay; returns where it is from now on. */
static uintptr_t move(tenure__worker *worker, uintptr_t object, uint32_t block);
static void scan(tenure__worker *worker, uintptr_t object, uint64_t header);

/* Room for granules in the buffer; the header's address; 0: no memory. */
static inline uintptr_t allocate_copy(tenure__worker *worker, tenure__buffer *buffer, unsigned sort, unsigned granules)
{
    const uintptr_t bytes = (uintptr_t)granules * 16;
    if (__builtin_expect(buffer->end - buffer->top < bytes, 0)) {
        if ((worker->heap->options.torture & TENURE_TORTURE_NOSPACE) != 0 && (worker->nospace++ & 1) != 0) return 0;
        if (!tenure__buffer_open(worker, buffer, sort, granules)) return 0;
    }
    const uintptr_t top = buffer->top;
    buffer->top = top + bytes;
    tenure__unpoison(top, bytes);
    return top;
}

/* Before the copy can be reached: its mark, so that no other worker claims it. Taken back with the copy. */
static inline void set_copy_mark(tenure_heap *heap, uintptr_t copy, bool marked)
{
    if (!heap->marking) return;
    tenure__bits *word = tenure__word_of(heap, heap->mark, copy);
    const uint64_t bit = (uint64_t)1 << (tenure__granule_of(copy) & 63);
    const uint64_t bits = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, marked ? bits | bit : bits & ~bit, memory_order_relaxed);
}

/* After the copy is claimed: from now on an ambiguous word may find it. */
static inline void set_copy_bits(tenure_heap *heap, uintptr_t copy, unsigned granules)
{
    const uintptr_t end = copy + (uintptr_t)granules * 16 - 16;
    tenure__bit_set_owned(tenure__word_of(heap, heap->ends, end), tenure__granule_of(end) & 63);
    tenure__bit_set_owned(tenure__word_of(heap, heap->live, copy), tenure__granule_of(copy) & 63);
}

static uint64_t identity_of(uintptr_t object)
{
    uint64_t hash = object * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
    hash *= 0xd6e8feb86659fd93u;
    hash ^= hash >> 29;
    return hash | 1;
}

uint64_t tenure_identity_hash(tenure_thread *self, void *object)
{
    (void)self;
    const uint64_t header =
        atomic_fetch_or_explicit(tenure__header_of((uintptr_t)object), TENURE__HASHED, memory_order_relaxed);
    if ((header & TENURE__HASH_STORED) == 0) return identity_of((uintptr_t)object);
    const size_t last = (size_t)tenure__header_granules(header) * 16 - 16;
    return *(const uint64_t *)((uintptr_t)object + last);
}

/* A cell's payload, so many granules with the header. */
static inline void copy_payload(uintptr_t to, uintptr_t from, unsigned granules)
{
    switch (granules) { /* so that the most frequent sizes are constants */
    case 1:
        __builtin_memcpy((void *)to, (const void *)from, 8);
        break;
    case 2:
        __builtin_memcpy((void *)to, (const void *)from, 24);
        break;
    case 3:
        __builtin_memcpy((void *)to, (const void *)from, 40);
        break;
    case 4:
        __builtin_memcpy((void *)to, (const void *)from, 56);
        break;
    default:
        memcpy((void *)to, (const void *)from, (size_t)granules * 16 - 8);
    }
}

/* From now on the object is its copy. False: another worker was faster; *header is what it left. */
static inline bool forward(tenure__worker *worker, uintptr_t object, uint64_t *header, uintptr_t copy)
{
    if (worker->alone) {
        tenure__header_store(object, copy);
        return true;
    }
    /* release: the copy is complete before its address can be seen. */
    return atomic_compare_exchange_strong_explicit(
        tenure__header_of(object), header, copy, memory_order_acq_rel, memory_order_acquire);
}

static uintptr_t move(tenure__worker *worker, uintptr_t object, uint32_t block)
{
    tenure_heap *heap = worker->heap;
    /* acquire: pairs with the release below; whoever follows a forwarding address may read the copy's header. */
    uint64_t header = atomic_load_explicit(tenure__header_of(object), memory_order_acquire);
    if ((header & TENURE__HEADER) == 0) return (uintptr_t)header;
    if (header & TENURE__STAYS) return object;
    if ((int)tenure__header_generation(header) > heap->condemned) return object;
    if (header & TENURE__PINNED) return stay(worker, object, block);
    const tenure__plan *plan = tenure__plan_of(header);
    const unsigned granules = tenure__header_granules(header);
    const unsigned sort = sort_of(plan, granules);
    const bool append_hash = (header & (TENURE__HASHED | TENURE__HASH_STORED)) == TENURE__HASHED;
    const unsigned copy_granules = granules + append_hash;
    tenure__buffer *buffer = &worker->buffers[heap->target][sort];
    const uintptr_t top = allocate_copy(worker, buffer, sort, copy_granules);
    if (top == 0) {
        worker->stayed_objects++;
        return stay(worker, object, block);
    }
    const uintptr_t copy = top + 8;
    copy_payload(copy, object, granules);
    uint64_t copy_header = tenure__header_with_generation(header, heap->target) | TENURE__UNLOGGED;
    copy_header &= ~(uint64_t)TENURE__REMEMBERED;
    if (append_hash) {
        *(uint64_t *)(copy + (size_t)granules * 16) = identity_of(object);
        *(uint64_t *)(copy + (size_t)granules * 16 - 8) = 0;
        copy_header = (copy_header | TENURE__HASH_STORED) + ((uint64_t)1 << TENURE__SIZE_SHIFT);
    }
    tenure__header_store(copy, copy_header);
    set_copy_mark(heap, copy, true);
    if (!forward(worker, object, &header, copy)) {
        set_copy_mark(heap, copy, false);
        buffer->top = top;
        return header & TENURE__HEADER ? object : (uintptr_t)header;
    }
    set_copy_bits(heap, copy, copy_granules);
    worker->copied_objects++;
    worker->copied_granules[heap->blocks[block].age] += copy_granules;
    note_key(worker, object, header);
    if (plan->has_references) scan(worker, copy, copy_header);
    return copy;
}

/* Follows a reference to that object; returns where the object is from now on. */
static inline uintptr_t follow(tenure__worker *worker, uintptr_t object)
{
    tenure_heap *heap = worker->heap;
    const uint32_t block = tenure__block_index(heap, object);
    switch (heap->action[tenure__kind_of(heap, block)]) {
    case TENURE__ACTION_MOVE:
        return move(worker, object, block);
    case TENURE__ACTION_MARK:
        if (mark(worker, object)) scan(worker, object, tenure__header_load(object));
        break;
    case TENURE__ACTION_MARK_LEAF:
        mark(worker, object);
        break;
    case TENURE__ACTION_LARGE: {
        const uint64_t header =
            atomic_fetch_or_explicit(tenure__header_of(object), TENURE__STAYS, memory_order_relaxed);
        if (header & TENURE__STAYS) break;
        push(worker, object | TENURE__ENTRY_OBJECT);
        note_key(worker, object, header);
        break;
    }
    }
    return object;
}

/* A slot of an object that ends in Gen 2 leads to one that ends in Gen 1: the slot's owner is remembered. */
static void note_edge(tenure__worker *worker, uintptr_t slot, uintptr_t target)
{
    tenure_heap *heap = worker->heap;
    if (tenure__final_generation(heap, tenure__block_index(heap, target)) != 1) return;
    if (worker->immediate || worker->older)
        worker->edge = true;
    else if (tenure__in_arena(heap, slot) && tenure__final_generation(heap, tenure__block_index(heap, slot)) == 2)
        tenure__remember_slot(worker, slot);
}

/* The object that a precise slot with that value refers to; 0: none. */
static inline uintptr_t referent(const tenure_heap *heap, uintptr_t value)
{
    if (!tenure__in_arena(heap, value)) return 0;
    const uintptr_t tag = value & 15;
    return (heap->options.ref_tags >> tag) & 1 ? value - tag : 0;
}

static inline void process_slot(tenure__worker *worker, uintptr_t *slot)
{
    tenure_heap *heap = worker->heap;
    const uintptr_t value = __atomic_load_n(slot, __ATOMIC_RELAXED);
    const uintptr_t object = referent(heap, value);
    if (object == 0) return;
    const uintptr_t now = follow(worker, object);
    if (now != object) __atomic_store_n(slot, value - object + now, __ATOMIC_RELAXED);
    /* Copies end in the target generation; an edge to Gen 1 that matters leads to what did not move. */
    if (worker->immediate || (now == object && heap->some_sparse)) note_edge(worker, (uintptr_t)slot, now);
}

void tenure__trace_slot(tenure__worker *worker, uintptr_t *slot) { process_slot(worker, slot); }

static void process_root_slot(tenure__worker *worker, uintptr_t *slot)
{
    const bool later = worker->later;
    worker->later = true;
    process_slot(worker, slot);
    worker->later = later;
}

/* --- scanning --- */

/* The memory that an entry's turn will miss; of slots, their targets' headers were asked for when they were pushed.
 * always_inline: to gcc a function that only prefetches does nothing, and it drops the calls. */
static inline __attribute__((always_inline)) void fetch(const tenure_heap *heap, uintptr_t entry)
{
    if (!is_reach(entry)) return;
    __builtin_prefetch((const void *)tenure__word_of(heap, heap->mark, entry), 1);
    if ((entry & TENURE__ENTRY_REACH_TAG) == TENURE__ENTRY_REACH)
        __builtin_prefetch((const void *)((entry & ~(uintptr_t)TENURE__ENTRY_REACH_TAG) - 8), 1);
}

/* What the slot leads to is followed later. Before anything of it has moved it is known whether it may end in Gen 1. */
static inline __attribute__((always_inline)) void push_slot(tenure__worker *worker, uintptr_t *slot, bool older)
{
    const tenure_heap *heap = worker->heap;
    const uintptr_t object = referent(heap, __atomic_load_n(slot, __ATOMIC_RELAXED));
    if (object == 0) return;
    const uint32_t block = tenure__block_index(heap, object);
    if (__builtin_expect(older, 0) && tenure__final_generation(heap, block) == 1) worker->edge = true;
    switch (heap->action[tenure__kind_of(heap, block)]) {
    case TENURE__ACTION_NONE:
        break;
    case TENURE__ACTION_MARK:
        push(worker, object | TENURE__ENTRY_REACH);
        break;
    case TENURE__ACTION_MARK_LEAF:
        push(worker, object | TENURE__ENTRY_REACH_LEAF);
        break;
    default:
        __builtin_prefetch((void *)(object - 8), 1);
        __builtin_prefetch((void *)(object + 16), 1); /* where the next cache line begins, if the cell has two */
        push(worker, (uintptr_t)slot);
        break;
    }
}

static inline void visit(tenure__worker *worker, uintptr_t *slot)
{
    if (__builtin_expect(worker->immediate, 0))
        process_slot(worker, slot);
    else
        push_slot(worker, slot, worker->older);
}

static inline bool are_null(const uintptr_t *slots)
{
    uintptr_t any = 0;
    for (unsigned i = 0; i < 8; i++) any |= __atomic_load_n(slots + i, __ATOMIC_RELAXED);
    return any == 0;
}

/* One after the other. Large arrays are made empty, and scanned before they are full. */
static inline void visit_slots(tenure__worker *worker, uintptr_t low, uintptr_t high)
{
    for (uintptr_t slot = low; slot < high;) {
        const uintptr_t next = high - slot > 64 ? slot + 64 : high;
        if (next - slot == 64 && are_null((const uintptr_t *)slot)) slot = next;
        for (; slot < next; slot += 8) visit(worker, (uintptr_t *)slot);
    }
}

/* What a trace function or a root callback visits. */
static inline void visit_for_program(tenure__worker *worker, uintptr_t *slot)
{
    if (__builtin_expect(worker->immediate, 0) && worker->inspect != 0)
        worker->inspect(worker->inspect_arg, (uintptr_t)slot, TENURE__REFERENCE_PRECISE);
    else
        visit(worker, slot);
}

void tenure_visit(tenure_visitor *visitor, void *slot) { visit_for_program(&visitor->worker, slot); }
void tenure_visit_range(tenure_visitor *visitor, void *slots, size_t count)
{
    for (size_t i = 0; i < count; i++) visit_for_program(&visitor->worker, (uintptr_t *)slots + i);
}

tenure_visitor *tenure__inspecting_visitor(tenure_heap *heap, tenure__reference_fn *fn, void *arg)
{
    tenure__worker *worker = &heap->workers[0];
    worker->immediate = fn != 0;
    worker->inspect = fn;
    worker->inspect_arg = arg;
    return (tenure_visitor *)worker;
}

static void visit_interior(tenure__worker *worker, uintptr_t *slot)
{
    tenure_heap *heap = worker->heap;
    const uintptr_t value = __atomic_load_n(slot, __ATOMIC_RELAXED);
    const uintptr_t object = tenure__find_object(heap, value);
    if (object == 0) return;
    worker->later = true;
    const uintptr_t now = follow(worker, object);
    worker->later = worker->immediate;
    if (now != object) __atomic_store_n(slot, now + (value - object), __ATOMIC_RELAXED);
    note_edge(worker, (uintptr_t)slot, now);
}

/* A word of an ambiguous object: what it may point to was pinned before anything moved, and is alive now. */
static void visit_word(tenure__worker *worker, uintptr_t *slot)
{
    tenure_heap *heap = worker->heap;
    const uintptr_t word = __atomic_load_n(slot, __ATOMIC_RELAXED) & ~heap->options.ambiguous_mask;
    if (!tenure__in_arena(heap, word)) return;
    const uintptr_t object = tenure__find_object(heap, word), neighbour = tenure__find_header_neighbour(heap, word);
    worker->later = true;
    if (object != 0) {
        follow(worker, object);
        note_edge(worker, (uintptr_t)slot, object);
    }
    if (neighbour != 0) {
        follow(worker, neighbour);
        note_edge(worker, (uintptr_t)slot, neighbour);
    }
    worker->later = worker->immediate;
}

static inline void visit_map(tenure__worker *worker, uintptr_t start, uint64_t map, uintptr_t low, uintptr_t high)
{
    while (map != 0) {
        const uintptr_t slot = start + (uintptr_t)__builtin_ctzll(map) * 8;
        map &= map - 1;
        if (slot >= low && slot < high) visit(worker, (uintptr_t *)slot);
    }
}

static void visit_elements(
    tenure__worker *worker, const tenure__plan *plan, uintptr_t object, uintptr_t low, uintptr_t high, uintptr_t end)
{
    const uintptr_t first = object + plan->flex_offset;
    uintptr_t element = first;
    if (low > first) element = first + (low - first) / plan->flex_stride * plan->flex_stride;
    for (; element < high && element + plan->flex_stride <= end; element += plan->flex_stride)
        visit_map(worker, element, plan->element_map, low, high);
}

static void visit_item(tenure__worker *worker, const tenure__item *item, uintptr_t start, uintptr_t low, uintptr_t high)
{
    for (uint32_t i = 0; i < item->count; i++) {
        const uintptr_t slot = start + item->offset + (uintptr_t)i * item->stride;
        if (slot < low || slot >= high) continue;
        if (item->kind == TENURE__INTERIOR)
            visit_interior(worker, (uintptr_t *)slot);
        else
            visit(worker, (uintptr_t *)slot);
    }
}

static void visit_items(
    tenure__worker *worker, const tenure__plan *plan, uintptr_t object, uintptr_t low, uintptr_t high, uintptr_t end)
{
    const tenure_type *type = plan->type;
    for (uint32_t i = 0; i < type->item_count; i++) {
        const tenure__item *item = &type->items[i];
        if (item->kind != TENURE__ELEMENT) {
            visit_item(worker, item, object, low, high);
            continue;
        }
        for (uintptr_t element = object + plan->flex_offset; element + plan->flex_stride <= end;
             element += plan->flex_stride)
            if (element < high && element + plan->flex_stride > low) visit_item(worker, item, element, low, high);
    }
    if (type->flags & TENURE__FLEX_REFS) {
        const uintptr_t first = object + plan->flex_offset;
        visit_slots(worker, first > low ? first : low, high);
    }
}

/* The references of the object (payload up to end) that lie in [low, high). */
static inline void scan_range(
    tenure__worker *worker, const tenure__plan *plan, uintptr_t object, uintptr_t end, uintptr_t low, uintptr_t high)
{
    switch ((tenure__shape)plan->shape) {
    case TENURE__SHAPE_FILLER:
    case TENURE__SHAPE_LEAF:
        break;
    case TENURE__SHAPE_MAP:
        visit_map(worker, object, plan->fixed_map, low, high);
        break;
    case TENURE__SHAPE_REFS: {
        visit_map(worker, object, plan->fixed_map, low, high);
        const uintptr_t first = object + plan->flex_offset;
        visit_slots(worker, first > low ? first : low, high);
        break;
    }
    case TENURE__SHAPE_ELEMENTS:
        visit_map(worker, object, plan->fixed_map, low, high);
        visit_elements(worker, plan, object, low, high, end);
        break;
    case TENURE__SHAPE_ITEMS:
        visit_items(worker, plan, object, low, high, end);
        break;
    case TENURE__SHAPE_CUSTOM:
        plan->type->trace((void *)object, (void *)low, (void *)high, (tenure_visitor *)worker);
        break;
    case TENURE__SHAPE_AMBIGUOUS:
        for (uintptr_t slot = low; slot < high; slot += 8) visit_word(worker, (uintptr_t *)slot);
        break;
    case TENURE__SHAPE_EPHEMERON:
        if (tenure__ephemeron_holds(worker, object)) visit_map(worker, object, plan->fixed_map, low, high);
        break;
    }
}

/* Entries with trace functions wait for a worker that may call them. */
static bool defer_custom(tenure__worker *worker, const tenure__plan *plan, uintptr_t entry)
{
    if (plan->shape != TENURE__SHAPE_CUSTOM || worker->may_trace) return false;
    tenure__trace_defer(worker, entry);
    return true;
}

void tenure__trace_defer(tenure__worker *worker, uintptr_t entry)
{
    tenure_heap *heap = worker->heap;
    const uint32_t index = tenure__packet_take(&heap->packets);
    if (index == 0) {
        overflow(worker, entry & ~(uintptr_t)TENURE__ENTRY_TAG);
        return;
    }
    tenure__packet *packet = tenure__packet_at(&heap->packets, index);
    packet->entries[packet->count++] = entry;
    tenure__packet_push(&heap->packets, &heap->custom, index);
    tenure__trace_invite(worker, 1, true);
}

static void scan_piece(tenure__worker *worker, uintptr_t piece)
{
    tenure_heap *heap = worker->heap;
    const uint32_t head = tenure__run_head(heap, tenure__block_index(heap, piece));
    const uintptr_t object = tenure__run_object(heap, head);
    const uintptr_t end = object + heap->blocks[head].large_bytes;
    const tenure__plan *plan = tenure__plan_of(tenure__header_load(object));
    if (!plan->has_references || defer_custom(worker, plan, piece | TENURE__ENTRY_PIECE)) return;
    /* Pieces begin at multiples of their size, but for the first, which begins with the object. */
    const uintptr_t next = (piece & ~(uintptr_t)(PIECE_BYTES - 1)) + PIECE_BYTES;
    if (next < end) push(worker, next | TENURE__ENTRY_PIECE);
    scan_range(worker, plan, object, end, piece, next < end ? next : end);
}

static void scan(tenure__worker *worker, uintptr_t object, uint64_t header)
{
    if (__builtin_expect(worker->later, 0)) {
        push(worker, object | TENURE__ENTRY_OBJECT);
        return;
    }
    if (header & TENURE__LARGE) {
        scan_piece(worker, object);
        return;
    }
    worker->scanned++;
    const tenure__plan *plan = tenure__plan_of(header);
    if (plan->shape == TENURE__SHAPE_MAP) { /* by far the most */
        uint64_t map = plan->fixed_map;
        while (map != 0) {
            visit(worker, (uintptr_t *)object + __builtin_ctzll(map));
            map &= map - 1;
        }
        return;
    }
    if (!plan->has_references || defer_custom(worker, plan, object | TENURE__ENTRY_OBJECT)) return;
    const uintptr_t end = object + (size_t)tenure__header_payload_granules(header) * 16 - 8;
    scan_range(worker, plan, object, end, object, end);
}

static bool scan_part(tenure__worker *worker, uintptr_t object, uintptr_t low, uintptr_t high)
{
    const uint64_t header = tenure__header_load(object);
    const tenure__plan *plan = tenure__plan_of(header);
    const uintptr_t end = object + tenure__payload_bytes(worker->heap, object, header);
    worker->edge = false;
    scan_range(worker, plan, object, end, low > object ? low : object, high < end ? high : end);
    return worker->edge;
}

bool tenure__scan_old(tenure__worker *worker, uintptr_t object, uintptr_t low, uintptr_t high)
{
    worker->older = true;
    const bool edge = scan_part(worker, object, low, high);
    worker->older = false;
    return edge;
}

bool tenure__scan_old_now(tenure__worker *worker, uintptr_t object, uintptr_t low, uintptr_t high)
{
    worker->immediate = worker->later = true;
    const bool edge = scan_part(worker, object, low, high);
    worker->immediate = worker->later = false;
    return edge;
}

/* --- the loop --- */

static inline void push_map(tenure__worker *worker, uintptr_t object, uint64_t map)
{
    worker->scanned++;
    for (; map != 0; map &= map - 1) push_slot(worker, (uintptr_t *)object + __builtin_ctzll(map), false);
}

/* What nearly every slot leads to while nothing is marked, in as few instructions as it takes: an object that may move,
 * without anything special, for which there is room. False: it is not that, and nothing was done. The loop's: the
 * worker's flags for older objects, immediate and later are not set. */
static inline bool copy_usual(tenure__worker *worker, uintptr_t *slot)
{
    const uint64_t special = TENURE__STAYS | TENURE__PINNED | TENURE__HASHED | TENURE__HASH_STORED | TENURE__LARGE;
    tenure_heap *heap = worker->heap;
    const uintptr_t object = __atomic_load_n(slot, __ATOMIC_RELAXED);
    if ((object & 15) != 0 || !tenure__in_arena(heap, object)) return false;
    /* Asked again: another worker may have followed the slot too, and its copy's header is not to be seen yet. */
    if (heap->action[tenure__kind_of(heap, tenure__block_index(heap, object))] != TENURE__ACTION_MOVE) return false;
    /* acquire: as in move. */
    uint64_t header = atomic_load_explicit(tenure__header_of(object), memory_order_acquire);
    if ((header & TENURE__HEADER) == 0) {
        __atomic_store_n(slot, header, __ATOMIC_RELAXED);
        return true;
    }
    if ((header & (special | TENURE__KEY)) != 0 || (int)tenure__header_generation(header) > heap->condemned)
        return false;
    const tenure__plan *plan = tenure__plan_of(header);
    if (plan->shape != TENURE__SHAPE_MAP && plan->shape != TENURE__SHAPE_LEAF) return false;
    const unsigned granules = tenure__header_granules(header);
    tenure__buffer *buffer = &worker->buffers[heap->target][sort_of(plan, granules)];
    const uintptr_t top = buffer->top, copy = top + 8;
    if (buffer->end - top < (uintptr_t)granules * 16) return false;
    tenure__unpoison(top, (size_t)granules * 16);
    copy_payload(copy, object, granules);
    tenure__header_store(copy,
        (tenure__header_with_generation(header, heap->target) | TENURE__UNLOGGED) & ~(uint64_t)TENURE__REMEMBERED);
    if (!forward(worker, object, &header, copy)) return false;
    buffer->top = top + (uintptr_t)granules * 16;
    set_copy_bits(heap, copy, granules);
    worker->copied_objects++;
    worker->copied_granules[heap->blocks[tenure__block_index(heap, object)].age] += granules;
    __atomic_store_n(slot, copy, __ATOMIC_RELAXED);
    push_map(worker, copy, plan->fixed_map);
    return true;
}

/* The same for an object of a block that is marked in place. */
static inline void mark_usual(tenure__worker *worker, uintptr_t object)
{
    if (!mark(worker, object)) return;
    const uint64_t header = tenure__header_load(object);
    const tenure__plan *plan = tenure__plan_of(header);
    if (plan->shape == TENURE__SHAPE_MAP)
        push_map(worker, object, plan->fixed_map);
    else
        scan(worker, object, header);
}

static void process_entry(tenure__worker *worker, uintptr_t entry)
{
    if (is_reach(entry)) {
        mark(worker, entry & ~(uintptr_t)TENURE__ENTRY_REACH_TAG); /* a leaf */
        return;
    }
    const uintptr_t address = entry & ~(uintptr_t)TENURE__ENTRY_TAG;
    switch (entry & TENURE__ENTRY_TAG) {
    case TENURE__ENTRY_SLOT:
        process_slot(worker, (uintptr_t *)address);
        break;
    case TENURE__ENTRY_PIECE:
        scan_piece(worker, address);
        break;
    case TENURE__ENTRY_OBJECT:
        scan(worker, address, tenure__header_load(address));
        break;
    case TENURE__ENTRY_AGAIN:
        tenure__scan_again(worker, address, tenure__header_load(address));
        break;
    default:
        tenure__process_old_entry(worker, entry);
        break;
    }
}

/* The next entry; it waited in the ring while others were processed and what it needs came into the cache. Few wait
 * while objects are copied, so that what is near stays near; more while they are marked, farther apart. */
static inline uintptr_t pop(tenure__worker *worker)
{
    const tenure_heap *heap = worker->heap;
    const uint32_t room = heap->marking ? TENURE__RING : TENURE__RING_COPYING;
    while (worker->top != 0 && worker->ring_in - worker->ring_out < room) {
        const uintptr_t entry = worker->stack[--worker->top];
        fetch(heap, entry);
        worker->ring[worker->ring_in++ % TENURE__RING] = entry;
    }
    if (worker->ring_in == worker->ring_out) return 0;
    return worker->ring[worker->ring_out++ % TENURE__RING];
}

static inline bool empty(const tenure__index_stack *stack)
{
    return (uint32_t)atomic_load_explicit(stack, memory_order_relaxed) == 0;
}

/* Something that only a worker which may call trace functions can do. */
static inline bool apart_due(const tenure_heap *heap)
{
    return !empty(&heap->custom) || atomic_load_explicit(&heap->callbacks_due, memory_order_relaxed);
}

static bool find_work(tenure__worker *worker)
{
    tenure_heap *heap = worker->heap;
    if (take_packet(worker, &heap->shared)) return true;
    if (!worker->may_trace) return false;
    if (atomic_load_explicit(&heap->callbacks_due, memory_order_relaxed) &&
        atomic_exchange_explicit(&heap->callbacks_due, false, memory_order_relaxed)) {
        tenure__roots_call_back(worker);
        return true;
    }
    return take_packet(worker, &heap->custom);
}

void tenure__trace_drain(tenure__worker *worker)
{
    tenure_heap *heap = worker->heap;
    tenure__gang *gang = &heap->world.gang;
    for (;;) {
        uintptr_t entry;
        unsigned since = 0;
        while ((entry = pop(worker)) != 0) {
            if ((entry & TENURE__ENTRY_REACH_TAG) == TENURE__ENTRY_REACH)
                mark_usual(worker, entry - TENURE__ENTRY_REACH);
            else if ((entry & TENURE__ENTRY_TAG) != 0 || heap->marking || !copy_usual(worker, (uintptr_t *)entry))
                process_entry(worker, entry);
            if (++since % 32 != 0) continue;
            if (worker->scanned > INVITE_AFTER && worker->index == 0) {
                worker->scanned = 0;
                const uint64_t members = atomic_load_explicit(&gang->members, memory_order_relaxed);
                const unsigned inside = (unsigned)__builtin_popcountll(members << 1); /* perhaps a pool thread more */
                const unsigned missing = inside < heap->options.workers ? heap->options.workers - inside : 0;
                if (missing != 0) tenure__trace_invite(worker, missing, false);
            }
            /* Somebody is there to take it, and nothing lies ready. */
            if (worker->top > SHARE_ABOVE && empty(&heap->shared) &&
                (atomic_load_explicit(&gang->members, memory_order_relaxed) << 1 & ~((uint64_t)2 << worker->index)) !=
                    0)
                share(worker, worker->top / 2);
        }
        if (find_work(worker)) continue;
        /* Idle. When nobody works and nothing lies ready, nothing ever will: only workers make work, and each of them
         * leaves no packet behind before it stops working. acq_rel: what each worker wrote is everybody's at the end.
         */
        if (atomic_fetch_sub_explicit(&heap->working, 1, memory_order_acq_rel) == 1 && !apart_due(heap)) return;
        for (unsigned spins = 0;; spins++) {
            if (!empty(&heap->shared) || (worker->may_trace && apart_due(heap))) {
                atomic_fetch_add_explicit(&heap->working, 1, memory_order_acq_rel);
                if (find_work(worker)) break;
                atomic_fetch_sub_explicit(&heap->working, 1, memory_order_acq_rel);
            }
            if (atomic_load_explicit(&heap->working, memory_order_acquire) == 0 && !apart_due(heap) &&
                empty(&heap->shared))
                return;
            if (spins < 100)
                tenure__cpu_relax();
            else
                sched_yield();
        }
    }
}
