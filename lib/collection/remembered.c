/* The slow paths of the write barrier, and what a collection does with what they recorded.
 *
 * Log before clear: whoever sees the unlogged bit clear may store at once. Between the two there is no safepoint, so a
 * stop sees both or neither, and the log of a thread that is out belongs to the stop. */
#include "lib/collection/remembered.h"
#include "lib/collection/pin.h"
#include <string.h>

#define CARD_BYTES ((uintptr_t)1 << TENURE__CARD_SHIFT)

/* --- the barrier --- */

static void log_entry(tenure__allocator *allocator, uintptr_t address, uintptr_t tag)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    if (tenure__packet_append(&heap->packets, &allocator->logs, address | tag)) return;
    /* No packet left: the whole block is scanned instead. */
    tenure__flags_set(&heap->blocks[tenure__block_index(heap, address)], TENURE__BLOCK_RESCAN);
    atomic_store_explicit(&heap->rescan, true, memory_order_relaxed);
}

static uint32_t all_lines(unsigned first) { return (((uint32_t)1 << TENURE__CARD_LINES) - 1) << first; }

static void dirty_card(tenure__allocator *allocator, uintptr_t slot)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    _Atomic uint8_t *card = &heap->cards[(slot - heap->base) >> TENURE__CARD_SHIFT];
    const uint8_t state = atomic_load_explicit(card, memory_order_relaxed);
    /* relaxed: other mutators set the same bit; the remembered bit changes in stops only. */
    if ((state & TENURE__CARD_DIRTY) == 0)
        atomic_store_explicit(card, (uint8_t)(state | TENURE__CARD_DIRTY), memory_order_relaxed);
    const uint32_t index = tenure__block_index(heap, slot);
    tenure__block *block = &heap->blocks[index];
    const uint32_t flags = TENURE__BLOCK_CARDS | tenure__card_line(slot, TENURE__BLOCK_LINES);
    if ((tenure__flags_of(block) & flags) != flags &&
        (atomic_fetch_or_explicit(&block->flags, flags, memory_order_relaxed) & TENURE__BLOCK_CARDS) == 0)
        log_entry(allocator, tenure__block_start(heap, index), TENURE__ENTRY_CARDS);
}

static void dirty_cards(tenure__allocator *allocator, uintptr_t start, uintptr_t end)
{
    for (uintptr_t at = start & ~(CARD_BYTES - 1); at < end; at += CARD_BYTES)
        dirty_card(allocator, at > start ? at : start);
}

static void log_object(tenure__allocator *allocator, uintptr_t object)
{
    log_entry(allocator, object, TENURE__ENTRY_LOGGED);
    /* release: logged before the bit is seen clear. Two threads may both log it; that is harmless. */
    atomic_fetch_and_explicit(tenure__header_of(object), ~(uint64_t)TENURE__UNLOGGED, memory_order_release);
}

/* Whether storing value there makes an edge from an older object to a younger one. A block tells the least generation
 * of what lies in it, one more than that in its kind; one that is still seen as free (0) was just taken by another
 * thread, which published the value without release. */
static bool leads_to_younger(const tenure_heap *heap, uint64_t header, uintptr_t value)
{
    if (!tenure__in_arena(heap, value)) value &= ~heap->options.ambiguous_mask;
    if (!tenure__in_arena(heap, value)) return false;
    return (tenure__kind_of(heap, tenure__block_index(heap, value)) & TENURE__KIND_GENERATION) <=
           tenure__header_generation(header);
}

void tenure__barrier_slow(tenure_thread *self, void *object, const void *slot, const void *value)
{
    tenure__allocator *allocator = tenure__allocator_of(self);
    const tenure_heap *heap = self->heap;
    const uint64_t header = tenure__header_load((uintptr_t)object);
#ifndef NDEBUG
    if (tenure__find_object(self->heap, (uintptr_t)object) != (uintptr_t)object)
        tenure__misuse("a store with barrier", "the object must be an object's start in this heap");
#endif
    /* Cards are marked for old values too: a card costs less than asking at every store into it. check=barriers wants
     * to know of every store. */
    if ((header & TENURE__LARGE) == 0 && !leads_to_younger(heap, header, (uintptr_t)value) && heap->checks.shadow == 0)
        return;
    tenure__inside_begin(&allocator->mutator, "a store with barrier");
    if (header & TENURE__LARGE)
        dirty_card(allocator, (uintptr_t)slot);
    else
        log_object(allocator, (uintptr_t)object);
    tenure__inside_end(&allocator->mutator);
}

void tenure_will_write(tenure_thread *self, void *object, const void *start, size_t bytes)
{
    tenure__allocator *allocator = tenure__allocator_of(self);
    const uint64_t header = tenure__header_load((uintptr_t)object);
    if ((header & TENURE__UNLOGGED) == 0 || bytes == 0) return;
    tenure__inside_begin(&allocator->mutator, "tenure_will_write");
    if (header & TENURE__LARGE)
        dirty_cards(allocator, (uintptr_t)start, (uintptr_t)start + bytes);
    else
        log_object(allocator, (uintptr_t)object);
    tenure__inside_end(&allocator->mutator);
}

void tenure_copy_refs(tenure_thread *self, void *object, void *destination, const void *source, size_t count)
{
    tenure_will_write(self, object, destination, count * sizeof(void *));
    memmove(destination, source, count * sizeof(void *));
}

void tenure_store_any(tenure_thread *self, void *slot, const void *value)
{
    const uintptr_t owner = tenure__find_old_owner(self->heap, (uintptr_t)slot);
    if (owner != 0) tenure__barrier(self, (void *)owner, slot, value);
    __atomic_store_n((uintptr_t *)slot, (uintptr_t)value, __ATOMIC_RELAXED);
}

void tenure__verify_initialised(const void *object)
{
    if (tenure__header_load((uintptr_t)object) & TENURE__UNLOGGED)
        tenure__misuse("TENURE_NEW", "an initialiser collected; compute it before");
}

/* --- at a stop --- */

static uint32_t append_list(tenure_heap *heap, uint32_t list, uint32_t more)
{
    if (more == 0) return list;
    uint32_t last = more;
    while (tenure__packet_at(&heap->packets, last)->next != 0) last = tenure__packet_at(&heap->packets, last)->next;
    tenure__packet_at(&heap->packets, last)->next = list;
    return more;
}

void tenure__logs_take(tenure__allocator *allocator)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    heap->logs = append_list(heap, heap->logs, allocator->logs);
    allocator->logs = 0;
}

/* Calls fn for every entry of the list. */
static void each_entry(tenure_heap *heap, uint32_t list, void (*fn)(tenure_heap *, uintptr_t))
{
    for (; list != 0; list = tenure__packet_at(&heap->packets, list)->next) {
        const tenure__packet *packet = tenure__packet_at(&heap->packets, list);
        for (uint32_t i = 0; i < packet->count; i++) fn(heap, packet->entries[i]);
    }
}

static void free_list(tenure_heap *heap, uint32_t *list)
{
    while (*list != 0) {
        const uint32_t packet = *list;
        *list = tenure__packet_at(&heap->packets, packet)->next;
        tenure__packet_give(&heap->packets, packet);
    }
}

/* The packets become work for everybody. */
static uint64_t share_list(tenure_heap *heap, uint32_t *list)
{
    uint64_t entries = 0;
    while (*list != 0) {
        const uint32_t packet = *list;
        *list = tenure__packet_at(&heap->packets, packet)->next;
        entries += tenure__packet_at(&heap->packets, packet)->count;
        tenure__packet_push(&heap->packets, &heap->shared, packet);
    }
    return entries;
}

static void clear_cards(tenure_heap *heap, uint32_t block)
{
    memset((void *)&heap->cards[(size_t)block * TENURE__CARDS], 0, TENURE__CARDS);
    tenure__flags_clear(&heap->blocks[block], TENURE__BLOCK_CARDS | TENURE__BLOCK_CARDS_OLD |
                                                  all_lines(TENURE__BLOCK_LINES) | all_lines(TENURE__BLOCK_LINES_OLD));
}

static bool is_frozen(const tenure_heap *heap, uintptr_t address)
{
    return (tenure__kind_of(heap, tenure__block_index(heap, address)) & TENURE__KIND_FROZEN) != 0;
}

/* Whether the entry's object is older than what is collected, and so a root. */
static bool is_root(const tenure_heap *heap, uintptr_t object, uint64_t header)
{
    if ((header & TENURE__HEADER) == 0) return false; /* moved: it was condemned */
    const unsigned generation = header & TENURE__LARGE
                                    ? tenure__kind_generation(tenure__kind_of(heap, tenure__block_index(heap, object)))
                                    : tenure__header_generation(header);
    return (int)generation > heap->condemned || is_frozen(heap, object);
}

/* Of a large object that is itself collected: cleared before anything is traced, for tracing remembers cards anew. */
static void forget_condemned_cards(tenure_heap *heap, uintptr_t entry)
{
    if ((entry & TENURE__ENTRY_TAG) != TENURE__ENTRY_CARDS) return;
    const uint32_t block = tenure__block_index(heap, entry);
    const uintptr_t object = tenure__run_object(heap, tenure__run_head(heap, block));
    if (!is_root(heap, object, tenure__header_load(object))) clear_cards(heap, block);
}

/* Before a full collection: it finds every edge anew. */
static void forget_entry(tenure_heap *heap, uintptr_t entry)
{
    const uintptr_t address = entry & ~(uintptr_t)TENURE__ENTRY_TAG;
    switch (entry & TENURE__ENTRY_TAG) {
    case TENURE__ENTRY_CARDS:
    case TENURE__ENTRY_CARDS_OLD:
        clear_cards(heap, tenure__block_index(heap, address));
        break;
    case TENURE__ENTRY_REMEMBERED:
        atomic_fetch_and_explicit(tenure__header_of(address), ~(uint64_t)TENURE__REMEMBERED, memory_order_relaxed);
        break;
    }
}

void tenure__logs_prepare(tenure_heap *heap)
{
    if (heap->marking) {
        each_entry(heap, heap->logs, forget_entry);
        each_entry(heap, heap->remembered, forget_entry);
        free_list(heap, &heap->remembered);
        return;
    }
    if (heap->condemned > 0) each_entry(heap, heap->logs, forget_condemned_cards);
    heap->event.logged_objects += share_list(heap, &heap->logs);
    if (heap->condemned > 0) share_list(heap, &heap->remembered);
}

/* After a full collection: what was logged and stayed is armed again. */
static void arm_entry(tenure_heap *heap, uintptr_t entry)
{
    if ((entry & TENURE__ENTRY_TAG) != TENURE__ENTRY_LOGGED) return;
    const uintptr_t object = entry & ~(uintptr_t)TENURE__ENTRY_TAG;
    const uint32_t block = tenure__block_index(heap, object);
    const uint8_t action = heap->action[tenure__kind_of(heap, block)];
    if (is_frozen(heap, object) || ((action == TENURE__ACTION_MARK || action == TENURE__ACTION_MARK_LEAF) &&
                                       tenure__bit_get(tenure__bits_of(heap->mark, block), tenure__granule_of(object))))
        atomic_fetch_or_explicit(tenure__header_of(object), TENURE__UNLOGGED, memory_order_relaxed);
}

void tenure__logs_finish(tenure_heap *heap)
{
    each_entry(heap, heap->logs, arm_entry);
    free_list(heap, &heap->logs);
    for (unsigned i = 0; i < heap->worker_count; i++) {
        heap->remembered = append_list(heap, heap->remembered, heap->workers[i].remembered);
        heap->workers[i].remembered = 0;
    }
    heap->arm_all = atomic_exchange_explicit(&heap->rescan, false, memory_order_relaxed);
    if (!atomic_exchange_explicit(&heap->rescan_next, false, memory_order_relaxed)) return;
    for (uint32_t block = 0; block < heap->block_count; block++) {
        if ((tenure__flags_of(&heap->blocks[block]) & TENURE__BLOCK_RESCAN_NEXT) == 0) continue;
        tenure__flags_clear(&heap->blocks[block], TENURE__BLOCK_RESCAN_NEXT);
        tenure__flags_set(&heap->blocks[block], TENURE__BLOCK_RESCAN);
    }
    atomic_store_explicit(&heap->rescan, true, memory_order_relaxed);
}

/* --- remembering --- */

/* No packet for an entry: the whole block counts as logged at the next collection. */
static void rescan_next(tenure_heap *heap, uint32_t block)
{
    tenure__flags_set(&heap->blocks[block], TENURE__BLOCK_RESCAN_NEXT);
    atomic_store_explicit(&heap->rescan_next, true, memory_order_relaxed);
}

static void remember_object(tenure__worker *worker, uintptr_t object)
{
    tenure_heap *heap = worker->heap;
    if (atomic_fetch_or_explicit(tenure__header_of(object), TENURE__REMEMBERED, memory_order_relaxed) &
        TENURE__REMEMBERED)
        return;
    if (tenure__packet_append(&heap->packets, &worker->remembered, object | TENURE__ENTRY_REMEMBERED)) return;
    atomic_fetch_and_explicit(tenure__header_of(object), ~(uint64_t)TENURE__REMEMBERED, memory_order_relaxed);
    rescan_next(heap, tenure__block_index(heap, object));
}

static void remember_card(tenure__worker *worker, uintptr_t slot)
{
    tenure_heap *heap = worker->heap;
    const uint32_t block = tenure__block_index(heap, slot);
    atomic_fetch_or_explicit(
        &heap->cards[(slot - heap->base) >> TENURE__CARD_SHIFT], TENURE__CARD_OLD, memory_order_relaxed);
    /* acq_rel: pairs with the clear in process_cards. Either that comes later and sees the card, or this sees the flag
     * gone and puts the block on the list again. */
    const uint32_t flags = TENURE__BLOCK_CARDS_OLD | tenure__card_line(slot, TENURE__BLOCK_LINES_OLD);
    if (atomic_fetch_or_explicit(&heap->blocks[block].flags, flags, memory_order_acq_rel) & TENURE__BLOCK_CARDS_OLD)
        return;
    if (!tenure__packet_append(
            &heap->packets, &worker->remembered, tenure__block_start(heap, block) | TENURE__ENTRY_CARDS_OLD)) {
        tenure__flags_clear(&heap->blocks[block], TENURE__BLOCK_CARDS_OLD); /* it is not on the list */
        rescan_next(heap, block);
    }
}

void tenure__remember_slot(tenure__worker *worker, uintptr_t slot)
{
    tenure_heap *heap = worker->heap;
    if (tenure__kind_of(heap, tenure__block_index(heap, slot)) & (TENURE__KIND_HEAD | TENURE__KIND_TAIL)) {
        remember_card(worker, slot);
        return;
    }
    const uintptr_t owner = tenure__find_old_owner(heap, slot);
    if (owner != 0) remember_object(worker, owner);
}

/* --- older objects as roots --- */

static bool deferred(tenure__worker *worker, uint64_t header, uintptr_t entry)
{
    if (worker->may_trace || tenure__plan_of(header)->shape != TENURE__SHAPE_CUSTOM) return false;
    tenure__trace_defer(worker, entry);
    return true;
}

/* Written only where it changes: pages of frozen blocks stay shared. */
static void arm(uintptr_t object, uint64_t header)
{
    if ((header & TENURE__UNLOGGED) == 0)
        atomic_fetch_or_explicit(tenure__header_of(object), TENURE__UNLOGGED, memory_order_relaxed);
}

static void clean_card(tenure_heap *heap, uintptr_t address, uint8_t state)
{
    _Atomic uint8_t *card = &heap->cards[(address - heap->base) >> TENURE__CARD_SHIFT];
    if (atomic_load_explicit(card, memory_order_relaxed) & state)
        atomic_fetch_and_explicit(card, (uint8_t)~state, memory_order_relaxed);
}

static void process_object(tenure__worker *worker, uintptr_t entry)
{
    tenure_heap *heap = worker->heap;
    const uintptr_t object = entry & ~(uintptr_t)TENURE__ENTRY_TAG;
    const uint64_t header = atomic_load_explicit(tenure__header_of(object), memory_order_relaxed);
    if (!is_root(heap, object, header)) return;
    /* The entry is off the list: whoever scans the object, now, later or because its block overflowed, remembers it
     * anew. */
    if ((entry & TENURE__ENTRY_TAG) == TENURE__ENTRY_REMEMBERED)
        atomic_fetch_and_explicit(tenure__header_of(object), ~(uint64_t)TENURE__REMEMBERED, memory_order_relaxed);
    if (deferred(worker, header, object | TENURE__ENTRY_LOGGED)) return;
    arm(object, header);
    const bool edge = tenure__scan_old(worker, object, 0, UINTPTR_MAX);
    if (edge && tenure__final_generation(heap, tenure__block_index(heap, object)) == 2) remember_object(worker, object);
}

void tenure__scan_again(tenure__worker *worker, uintptr_t object, uint64_t header)
{
    tenure_heap *heap = worker->heap;
    if (deferred(worker, header, object | TENURE__ENTRY_OBJECT)) return;
    const bool remembers = tenure__final_generation(heap, tenure__block_index(heap, object)) == 2;
    if ((header & TENURE__LARGE) == 0) {
        if (is_root(heap, object, header)) arm(object, header);
        if (tenure__scan_old_now(worker, object, 0, UINTPTR_MAX) && remembers) remember_object(worker, object);
        return;
    }
    const uintptr_t end = object + tenure__payload_bytes(heap, object, header);
    for (uintptr_t at = object & ~(CARD_BYTES - 1); at < end; at += CARD_BYTES) {
        /* Its dirty cards may be the ones that could not be logged. */
        tenure__flags_clear(&heap->blocks[tenure__block_index(heap, at)], TENURE__BLOCK_CARDS);
        clean_card(heap, at, TENURE__CARD_DIRTY);
        if (tenure__scan_old_now(worker, object, at, at + CARD_BYTES) && remembers) remember_card(worker, at);
    }
}

typedef uint64_t __attribute__((may_alias)) eight_cards;

/* The cards of the block in that state, of the lines whose bits are set in lines; what they cover is on its way into
 * the cache. Most lines have few, so eight are looked at at a time. relaxed: other workers remember cards meanwhile;
 * see process_cards for those. */
static void find_cards(
    tenure_heap *heap, uint32_t block, uint8_t wanted, uint32_t lines, uint64_t found[TENURE__CARD_LINES])
{
    const eight_cards *cards = (const eight_cards *)&heap->cards[(size_t)block * TENURE__CARDS];
    const uintptr_t start = tenure__block_start(heap, block);
    for (; lines != 0; lines &= lines - 1) {
        const unsigned line = (unsigned)__builtin_ctz(lines);
        for (unsigned i = line * 8; i < line * 8 + 8; i++) {
            uint64_t bits = __atomic_load_n(&cards[i], __ATOMIC_RELAXED) & (0x0101010101010101u * wanted);
            for (; bits != 0; bits &= bits - 1) {
                const unsigned card = i * 8 + (unsigned)__builtin_ctzll(bits) / 8;
                found[line] |= (uint64_t)1 << card % 64;
                __builtin_prefetch((const void *)(start + card * CARD_BYTES));
            }
        }
    }
}

static void process_card(tenure__worker *worker, uintptr_t object, uintptr_t at, uint8_t wanted)
{
    tenure_heap *heap = worker->heap;
    clean_card(heap, at, wanted);
    if (tenure__scan_old(worker, object, at, at + CARD_BYTES) &&
        tenure__kind_generation(tenure__kind_of(heap, tenure__block_index(heap, at))) == 2)
        remember_card(worker, at);
}

static void process_cards(tenure__worker *worker, uintptr_t entry)
{
    tenure_heap *heap = worker->heap;
    const uintptr_t start = entry & ~(uintptr_t)TENURE__ENTRY_TAG;
    const uint32_t block = tenure__block_index(heap, start);
    const bool old = (entry & TENURE__ENTRY_TAG) == TENURE__ENTRY_CARDS_OLD;
    const uint8_t wanted = old ? TENURE__CARD_OLD : TENURE__CARD_DIRTY;
    if ((tenure__kind_of(heap, block) & TENURE__KIND_GENERATION) == 0) return;
    const uintptr_t object = tenure__run_object(heap, tenure__run_head(heap, block));
    const uint64_t header = tenure__header_load(object);
    if (!is_root(heap, object, header)) return;
    tenure__block *info = &heap->blocks[block];
    const unsigned first = old ? TENURE__BLOCK_LINES_OLD : TENURE__BLOCK_LINES;
    /* The entry is off the list, also if deferring it overflows. acq_rel, both: pair with remember_card. The lines stay
     * for the entry's turn; a line that is remembered between the two is seen and remembered anew. */
    atomic_fetch_and_explicit(
        &info->flags, ~(uint32_t)(old ? TENURE__BLOCK_CARDS_OLD : TENURE__BLOCK_CARDS), memory_order_acq_rel);
    if (deferred(worker, header, entry)) return;
    const uint32_t flags = atomic_fetch_and_explicit(&info->flags, ~all_lines(first), memory_order_acq_rel);
    uint64_t found[TENURE__CARD_LINES] = { 0 };
    find_cards(heap, block, wanted, flags >> first & all_lines(0), found);
    for (unsigned line = 0; line < TENURE__CARD_LINES; line++)
        for (uint64_t bits = found[line]; bits != 0; bits &= bits - 1)
            process_card(
                worker, object, start + ((uintptr_t)line * 64 + (uintptr_t)__builtin_ctzll(bits)) * CARD_BYTES, wanted);
}

void tenure__process_old_entry(tenure__worker *worker, uintptr_t entry)
{
    switch (entry & TENURE__ENTRY_TAG) {
    case TENURE__ENTRY_CARDS:
    case TENURE__ENTRY_CARDS_OLD:
        process_cards(worker, entry);
        break;
    default:
        process_object(worker, entry);
        break;
    }
}

/* --- ambiguous objects among them --- */

static void pin_referents(tenure__worker *worker, uintptr_t entry)
{
    tenure_heap *heap = worker->heap;
    const uintptr_t tag = entry & TENURE__ENTRY_TAG;
    uintptr_t object = entry & ~(uintptr_t)TENURE__ENTRY_TAG;
    if (tag == TENURE__ENTRY_CARDS || tag == TENURE__ENTRY_CARDS_OLD) {
        const uint32_t block = tenure__block_index(heap, object);
        if ((tenure__kind_of(heap, block) & TENURE__KIND_GENERATION) == 0) return;
        object = tenure__run_object(heap, tenure__run_head(heap, block));
    }
    const uint64_t header = tenure__header_load(object);
    if (tenure__plan_of(header)->shape == TENURE__SHAPE_AMBIGUOUS) tenure__pin_referents(worker, object, header);
}

void tenure__pin_referents(tenure__worker *worker, uintptr_t object, uint64_t header)
{
    const uintptr_t end = object + tenure__payload_bytes(worker->heap, object, header);
    for (uintptr_t slot = object; slot < end; slot += 8)
        tenure__pin_word(worker, __atomic_load_n((uintptr_t *)slot, __ATOMIC_RELAXED), false);
}

/* Blocks whose logs were lost: any ambiguous object of theirs may have been stored into. */
static void pin_from_lost_logs(tenure__worker *worker)
{
    tenure_heap *heap = worker->heap;
    const uint32_t frontier = atomic_load_explicit(&heap->frontier, memory_order_relaxed);
    const uint32_t end = atomic_load_explicit(&heap->large_frontier, memory_order_relaxed);
    for (uint32_t block = 0; block < end; block = block + 1 == frontier ? heap->large_start : block + 1) {
        if ((tenure__flags_of(&heap->blocks[block]) & TENURE__BLOCK_RESCAN) == 0) continue;
        const uint8_t kind = tenure__kind_of(heap, block);
        if ((kind & TENURE__KIND_AMBIGUOUS) == 0) continue;
        if (kind & (TENURE__KIND_HEAD | TENURE__KIND_TAIL))
            pin_referents(worker, tenure__run_object(heap, tenure__run_head(heap, block)));
        else
            tenure__pin_from_block(worker, block);
    }
}

void tenure__logs_pin(tenure__worker *worker)
{
    tenure_heap *heap = worker->heap;
    if (atomic_load_explicit(&heap->rescan, memory_order_relaxed)) pin_from_lost_logs(worker);
    const uint32_t lists[2] = { heap->logs, heap->condemned > 0 ? heap->remembered : 0 };
    for (unsigned i = 0; i < 2; i++)
        for (uint32_t list = lists[i]; list != 0; list = tenure__packet_at(&heap->packets, list)->next) {
            const tenure__packet *packet = tenure__packet_at(&heap->packets, list);
            for (uint32_t at = 0; at < packet->count; at++) pin_referents(worker, packet->entries[at]);
        }
}
