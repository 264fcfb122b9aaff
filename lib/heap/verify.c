/* The heap verifier: walks every block and checks what the collector relies on.
 *   - the table, the lists and the counters agree, no block is in two lists; free blocks have no bits and no flags
 *   - runs have no bits, small blocks as many ends as starts: none in a hole
 *   - every Gen 0 block can be walked from cell to cell, to its end or to where an open chunk is not yet used, and
 *     begins in each window with the cell that is noted; only residents have bits
 *   - every object has a registered type, a size that fits, the generation and sort of its place, no flag of a stop, no
 * forwarding
 *   - every precise reference leads to an object's start that is alive
 *   - remembered sets are complete: an older object that refers to a younger one is logged or remembered
 *   - what is older than Gen 0 and not logged is armed; what is not armed is logged, what is remembered is on the list
 *   - a dirty card's block is logged: stores into a dirty card tell nobody
 *   - every record (weak reference, finalizer, cleaner) that has a target and is not due is in the one list that it
 * belongs to; the target is alive and its header says so, and the table finds those that are in it Stopped world. It
 * allocates nothing and takes no lock. */
#include "lib/heap/verify.h"
#include "lib/collection/remembered.h"
#include "lib/collection/weakmap.h"
#include <stdarg.h>
#include <string.h>

void tenure__fault(tenure__verification *check, const char *format, ...)
{
    if (!check->sound) return; /* the first one tells most */
    check->sound = false;
    if (check->silent) return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "tenure: verify %s: ", check->when);
    vfprintf(stderr, format, args);
    if (check->object != 0)
        fprintf(stderr, " (object %#lx, type %s, generation %u)", check->object,
            check->plan != 0 && check->plan->type != 0 ? check->plan->type->name : "?", check->generation);
    fputc('\n', stderr);
    va_end(args);
}

/* --- references --- */

bool tenure__starts_object(tenure_heap *heap, uintptr_t address)
{
    const uint32_t block = tenure__block_index(heap, address);
    const uint8_t kind = tenure__kind_of(heap, block);
    if ((kind & TENURE__KIND_GENERATION) == 0) return false;
    if (kind & TENURE__KIND_TAIL) return false;
    return tenure__find_object(heap, address) == address;
}

static unsigned generation_of(tenure_heap *heap, uintptr_t object)
{
    const uint8_t kind = tenure__kind_of(heap, tenure__block_index(heap, object));
    if (kind & TENURE__KIND_HEAD) return tenure__kind_generation(kind);
    return tenure__header_generation(tenure__header_load(object));
}

/* A card counts if its block is listed; all of a block count whose entry was lost. */
static bool card_covers(tenure__verification *check, uintptr_t slot, unsigned target)
{
    tenure_heap *heap = check->heap;
    const uint8_t card =
        atomic_load_explicit(&heap->cards[(slot - heap->base) >> TENURE__CARD_SHIFT], memory_order_relaxed);
    const uint32_t flags = tenure__flags_of(&heap->blocks[tenure__block_index(heap, slot)]);
    const uint32_t dirty = TENURE__BLOCK_CARDS | tenure__card_line(slot, TENURE__BLOCK_LINES);
    const uint32_t remembered = TENURE__BLOCK_CARDS_OLD | tenure__card_line(slot, TENURE__BLOCK_LINES_OLD);
    return (flags & TENURE__BLOCK_RESCAN) != 0 || ((card & TENURE__CARD_DIRTY) != 0 && (flags & dirty) == dirty) ||
           (target == 1 && (card & TENURE__CARD_OLD) != 0 && (flags & remembered) == remembered);
}

static void check_edge(tenure__verification *check, uintptr_t slot, uintptr_t target)
{
    const unsigned generation = generation_of(check->heap, target);
    if (generation >= check->generation || check->covered) return;
    if (tenure__header_load(check->object) & TENURE__LARGE) {
        if (card_covers(check, slot, generation)) return;
    } else if (generation == 1 && check->generation == 2 && check->remembered) {
        return;
    }
    tenure__fault(check, "field at +%lu refers to generation %u at %#lx and is neither logged nor remembered",
        slot - check->object, generation, target);
}

/* What is before an address where no object is: AddressSanitizer has been told that it is free. */
__attribute__((no_sanitize("address"))) static unsigned long header_there(uintptr_t address)
{
    return *(const volatile uint64_t *)(address - 8);
}

static void check_precise(tenure__verification *check, uintptr_t slot)
{
    tenure_heap *heap = check->heap;
    uintptr_t target[2];
    if (tenure__targets_of(heap, tenure__slot_load(slot), TENURE__REFERENCE_PRECISE, target) == 0) return;
    if (!tenure__starts_object(heap, target[0])) {
        tenure__fault(check, "field at +%lu holds %#lx, where no object starts (block kind %#x, header %#lx)",
            slot - check->object, target[0], tenure__kind_of(heap, tenure__block_index(heap, target[0])),
            header_there(target[0]));
        return;
    }
    check_edge(check, slot, target[0]);
}

static void check_interior(tenure__verification *check, uintptr_t slot)
{
    uintptr_t target[2];
    if (tenure__targets_of(check->heap, tenure__slot_load(slot), TENURE__REFERENCE_INTERIOR, target) != 0)
        check_edge(check, slot, target[0]);
    else if (tenure__in_arena(check->heap, *(uintptr_t *)slot))
        tenure__fault(
            check, "interior field at +%lu holds %#lx, where no object is", slot - check->object, *(uintptr_t *)slot);
}

static void check_reference(void *arg, uintptr_t slot, tenure__reference kind)
{
    if (kind == TENURE__REFERENCE_PRECISE)
        check_precise(arg, slot);
    else if (kind == TENURE__REFERENCE_INTERIOR)
        check_interior(arg, slot); /* nothing certain is known of ambiguous words */
}

/* --- objects --- */

/* The kind of its records; TENURE__RECORD_KINDS: it is no type of records, or of those that are due. */
static unsigned record_kind(const tenure__plan *plan)
{
    if (plan->type == &tenure__weak_type) return TENURE__CELLS;
    if (plan->type == &tenure__map_type) return TENURE__MAPS;
    if (plan->type == &tenure__entry_type || plan->type == &tenure__entry_both_type) return TENURE__ENTRIES;
    for (unsigned kind = TENURE__WATCHES; kind <= TENURE__CLEANERS; kind++)
        if (plan->type == &tenure__action_types[kind - TENURE__WATCHES]) return kind;
    return TENURE__RECORD_KINDS;
}

/* Objects of a block of leaves are never scanned; ambiguous ones are looked for in blocks of their own. */
static void check_place(tenure__verification *check, uint8_t kind)
{
    if ((kind & TENURE__KIND_LEAF) != 0 && check->plan->has_references)
        tenure__fault(check, "has references among objects that have none");
    if (((kind & TENURE__KIND_AMBIGUOUS) != 0) != (check->plan->shape == TENURE__SHAPE_AMBIGUOUS))
        tenure__fault(check, "of another sort than its block (kind %#x)", kind);
}

static void check_object(tenure__verification *check, uintptr_t object, uint32_t block, unsigned least_generation)
{
    tenure_heap *heap = check->heap;
    const uint64_t header = tenure__header_load(object);
    check->object = object;
    check->plan = 0;
    check->generation = tenure__header_generation(header);
    if ((header & TENURE__HEADER) == 0) {
        tenure__fault(check, "a forwarding address was left: %#lx", (unsigned long)header);
        return;
    }
    if (tenure__header_type(header) >= tenure__type_count()) {
        tenure__fault(check, "no such type: header %#lx", (unsigned long)header);
        return;
    }
    check->plan = tenure__plan_of(header);
    if (header & (TENURE__STAYS | TENURE__PINNED))
        tenure__fault(check, "a flag of the stop was left: %#lx", (unsigned long)header);
    if (check->generation < least_generation) tenure__fault(check, "younger than its block (%u)", least_generation);
    check_place(check, tenure__kind_of(heap, block));
    const bool logged = (header & TENURE__UNLOGGED) == 0;
    if (check->generation == 0 && !logged) tenure__fault(check, "in Gen 0 and armed");
    if (check->generation != 0 && logged && (header & TENURE__LARGE) != 0)
        tenure__fault(check, "large, and not armed"); /* it has cards */
    const uintptr_t end = object + tenure__payload_bytes(heap, object, header);
    const tenure_type *type = check->plan->type;
    if (end - object < (type->flags & TENURE__FLEX ? type->flex_offset : type->size))
        tenure__fault(check, "smaller than its type");
    const uintptr_t room =
        tenure__block_start(heap, block) +
        ((size_t)(header & TENURE__LARGE ? heap->blocks[block].run_blocks : 1) << TENURE__BLOCK_SHIFT);
    if (end > room) tenure__fault(check, "reaches beyond its block");
    check->covered = check->generation == 0 || (logged && (header & TENURE__LARGE) == 0) ||
                     (tenure__flags_of(&heap->blocks[block]) & TENURE__BLOCK_RESCAN) != 0;
    check->remembered = (header & TENURE__REMEMBERED) != 0;
    if (check->sound) tenure__each_reference(heap, object, check->may_trace, check_reference, check);
    check->records += record_kind(check->plan) != TENURE__RECORD_KINDS && tenure__record_at(object)->target != 0;
    if (check->plan->shape == TENURE__SHAPE_EPHEMERON &&
        atomic_load_explicit(&((tenure__pending *)object)->link, memory_order_relaxed) != 0)
        tenure__fault(check, "an ephemeron waits outside of a stop");
    check->object = 0;
}

/* No window of the block begins within a cell. */
static void check_windows(tenure__verification *check, uint32_t block, unsigned at, unsigned end)
{
    enum { WINDOW = TENURE__GRANULES / TENURE__WINDOWS };
    for (unsigned window = at / WINDOW; window * WINDOW < end; window++) {
        const unsigned first = check->heap->blocks[block].first[window];
        if (first > at && first < end)
            tenure__fault(check, "block %u: a window is to begin at granule %u, in the cell at %u", block, first, at);
    }
}

static void check_gen0_block(tenure__verification *check, uint32_t block)
{
    tenure_heap *heap = check->heap;
    const tenure__bits *live = tenure__bits_of(heap->live, block), *ends = tenure__bits_of(heap->ends, block);
    const uintptr_t start = tenure__block_start(heap, block);
    const uint32_t flags = tenure__flags_of(&heap->blocks[block]);
    for (unsigned at = 1; at < TENURE__GRANULES && check->sound;) {
        const uintptr_t object = start + (uintptr_t)at * 16;
        const uint64_t header = tenure__header_load(object);
        if (header == 0) { /* not yet used from here on */
            check->cut |= (flags & TENURE__BLOCK_RESIDENTS) != 0;
            if ((flags & TENURE__BLOCK_OPEN) == 0) tenure__fault(check, "Gen 0 block %u ends at %u", block, at);
            check_windows(check, block, at, TENURE__GRANULES);
            break;
        }
        const unsigned granules = tenure__header_granules(header);
        if ((header & TENURE__HEADER) == 0 || granules == 0 || at + granules > TENURE__GRANULES) {
            check->object = object;
            tenure__fault(check, "a Gen 0 block cannot be walked: header %#lx", (unsigned long)header);
            return;
        }
        if (tenure__header_type(header) != TENURE__TYPE_FILLER) {
            const bool resident = tenure__header_generation(header) != 0;
            if (resident != tenure__bit_get(live, at) || (resident && !tenure__bit_get(ends, at + granules - 1))) {
                check->object = object;
                tenure__fault(check, "residents and bits of a Gen 0 block differ");
            }
            check_object(check, object, block, 0);
        }
        check_windows(check, block, at, at + granules);
        at += granules;
    }
}

static void check_old_block(tenure__verification *check, uint32_t block, unsigned generation)
{
    tenure_heap *heap = check->heap;
    const tenure__bits *live = tenure__bits_of(heap->live, block), *ends = tenure__bits_of(heap->ends, block);
    const uintptr_t start = tenure__block_start(heap, block);
    unsigned free_from = 1;
    for (unsigned granule = 1; granule < TENURE__GRANULES && check->sound; granule++) {
        if (!tenure__bit_get(live, granule)) continue;
        const uintptr_t object = start + (uintptr_t)granule * 16;
        const uint64_t header = tenure__header_load(object);
        check->object = object;
        if (granule < free_from) tenure__fault(check, "objects overlap");
        free_from = granule + tenure__header_granules(header);
        for (unsigned i = granule; i < free_from - 1 && i < TENURE__GRANULES; i++)
            if (tenure__bit_get(ends, i)) tenure__fault(check, "an end inside an object");
        if (free_from > TENURE__GRANULES || !tenure__bit_get(ends, free_from - 1))
            tenure__fault(check, "its end has no bit");
        if (tenure__header_type(header) == TENURE__TYPE_FILLER) tenure__fault(check, "a filler that is alive");
        check_object(check, object, block, generation);
    }
}

static bool no_bits(const tenure__bits *bits)
{
    for (unsigned i = 0; i < TENURE__BITMAP_WORDS; i++)
        if (atomic_load_explicit(&bits[i], memory_order_relaxed) != 0) return false;
    return true;
}

static unsigned count_bits(const tenure__bits *bits)
{
    unsigned count = 0;
    for (unsigned i = 0; i < TENURE__BITMAP_WORDS; i++)
        count += (unsigned)__builtin_popcountll(atomic_load_explicit(&bits[i], memory_order_relaxed));
    return count;
}

/* Every start has its end, that was seen: there is none in a hole. */
static void check_holes(tenure__verification *check, uint32_t block)
{
    tenure_heap *heap = check->heap;
    if (count_bits(tenure__bits_of(heap->live, block)) != count_bits(tenure__bits_of(heap->ends, block)))
        tenure__fault(check, "block %u has an end where no object is", block);
}

static void check_stop_flags(tenure__verification *check, uint32_t block)
{
    enum { OF_STOPS = TENURE__BLOCK_KEEPS | TENURE__BLOCK_RESCAN_NEXT | TENURE__BLOCK_OLD_PINS };
    const tenure__block *info = &check->heap->blocks[block];
    if ((tenure__flags_of(info) & OF_STOPS) != 0 || info->sparse != 0 ||
        atomic_load_explicit(&info->pinned_granules, memory_order_relaxed) != 0)
        tenure__fault(check, "block %u has flags of the stop left: %#x", block, tenure__flags_of(info));
}

static void check_free_block(tenure__verification *check, uint32_t block)
{
    tenure_heap *heap = check->heap;
    if (tenure__flags_of(&heap->blocks[block]) != 0) tenure__fault(check, "free block %u has flags", block);
    if (!no_bits(tenure__bits_of(heap->live, block)) || !no_bits(tenure__bits_of(heap->ends, block)))
        tenure__fault(check, "free block %u has bits", block);
}

static void check_small(tenure__verification *check)
{
    tenure_heap *heap = check->heap;
    const uint32_t frontier = atomic_load_explicit(&heap->frontier, memory_order_relaxed);
    for (uint32_t block = 0; block < frontier && check->sound; block++) {
        const uint8_t kind = tenure__kind_of(heap, block);
        check->object = 0;
        if (!no_bits(tenure__bits_of(heap->mark, block))) tenure__fault(check, "block %u has marks left", block);
        if (kind == TENURE__KIND_FREE) {
            check_free_block(check, block);
            continue;
        }
        const unsigned generation = tenure__kind_generation(kind);
        if ((kind & TENURE__KIND_GENERATION) == 0 || (kind & (TENURE__KIND_HEAD | TENURE__KIND_TAIL)) != 0 ||
            ((kind & TENURE__KIND_EVACUATE) != 0 && !check->evacuating)) {
            tenure__fault(check, "block %u has kind %#x", block, kind);
            return;
        }
        check->blocks[generation]++;
        check_stop_flags(check, block);
        if (generation == 0)
            check_gen0_block(check, block);
        else
            check_old_block(check, block, generation);
        check_holes(check, block);
    }
}

static void check_run(tenure__verification *check, uint32_t head)
{
    tenure_heap *heap = check->heap;
    const uintptr_t object = tenure__run_object(heap, head);
    const uint8_t kind = tenure__kind_of(heap, head);
    const uint32_t blocks = heap->blocks[head].run_blocks;
    const uint32_t end = atomic_load_explicit(&heap->large_frontier, memory_order_relaxed);
    for (uint32_t i = 1; i < blocks; i++)
        if (head + i >= end || tenure__run_head(heap, head + i) != head ||
            tenure__kind_of(heap, head + i) != ((kind & ~TENURE__KIND_HEAD) | TENURE__KIND_TAIL))
            tenure__fault(check, "block %u of the run at %u is none of it", head + i, head);
    if ((tenure__header_load(object) & TENURE__LARGE) == 0) tenure__fault(check, "a run holds no large object");
    if (tenure__header_generation(tenure__header_load(object)) != tenure__kind_generation(kind))
        tenure__fault(check, "the run at %u has kind %#x, its object another generation", head, kind);
    check_object(check, object, head, 0);
}

static void check_cards(tenure__verification *check, uint32_t block)
{
    tenure_heap *heap = check->heap;
    const uint32_t flags = tenure__flags_of(&heap->blocks[block]);
    if (flags & TENURE__BLOCK_RESCAN) return;
    const _Atomic uint8_t *cards = &heap->cards[(size_t)block * TENURE__CARDS];
    for (unsigned i = 0; i < TENURE__CARDS; i++) {
        const uint32_t dirty =
            TENURE__BLOCK_CARDS | tenure__card_line((uintptr_t)i << TENURE__CARD_SHIFT, TENURE__BLOCK_LINES);
        if ((flags & dirty) != dirty && (atomic_load_explicit(&cards[i], memory_order_relaxed) & TENURE__CARD_DIRTY))
            tenure__fault(check, "card %u of block %u is dirty, the block is not logged", i, block);
    }
}

/* Returns the blocks that are nobody's yet: their owner zeroes them. */
static uint64_t check_large(tenure__verification *check)
{
    tenure_heap *heap = check->heap;
    const uint32_t end = atomic_load_explicit(&heap->large_frontier, memory_order_relaxed);
    uint64_t reserved = 0, used = 0;
    for (uint32_t block = heap->large_start; block < end && check->sound; block++) {
        const uint8_t kind = tenure__kind_of(heap, block);
        check->object = 0;
        if (kind == TENURE__KIND_FREE) continue;
        if ((kind & TENURE__KIND_GENERATION) == 0) { /* or the daemon gives it back */
            reserved += heap->blocks[block].returned == 0;
            continue;
        }
        check->blocks[tenure__kind_generation(kind)]++;
        used++;
        check_cards(check, block);
        if (!no_bits(tenure__bits_of(heap->live, block)) || !no_bits(tenure__bits_of(heap->ends, block)) ||
            !no_bits(tenure__bits_of(heap->mark, block)))
            tenure__fault(check, "block %u of a run has bits", block);
        const uint32_t head = tenure__run_head(heap, block);
        if ((kind & TENURE__KIND_HEAD) != 0)
            check_run(check, block);
        else if ((tenure__kind_of(heap, head) & TENURE__KIND_HEAD) == 0 ||
                 block - head >= heap->blocks[head].run_blocks)
            tenure__fault(check, "block %u is the tail of no run", block);
    }
    check->object = 0;
    const uint64_t counted = atomic_load_explicit(&heap->large_blocks, memory_order_relaxed);
    if (used != counted) tenure__fault(check, "%lu blocks are in runs, %lu are accounted", used, counted);
    return reserved;
}

/* --- records --- */

/* The target's header knows of a record that counts. */
static void check_table(tenure__verification *check, const tenure__record *record, unsigned kind)
{
    tenure_heap *heap = check->heap;
    const bool finalizer = kind == TENURE__FINALIZERS;
    if (finalizer && ((const tenure__action *)record)->fn == 0) return;
    const uint64_t header = tenure__header_load(record->target);
    const uint64_t tabled = finalizer ? TENURE__FINALIZER_TABLED : TENURE__WEAK_SHARED;
    const uint64_t single = finalizer ? TENURE__FINALIZER | TENURE__FINALIZER_TABLED : TENURE__WEAK;
    if ((header & (record->hash != 0 ? tabled : single)) == 0)
        tenure__fault(check, "a record's target does not know: header %#lx", (unsigned long)header);
    if (record->hash == 0) return;
    tenure__record_table *table = finalizer ? &heap->finalizers.table : &heap->cells;
    tenure__record_shard *shard = tenure__record_shard_of(table, record->hash);
    if (tenure__record_find(shard, record->hash, record->target) != (uintptr_t)record)
        tenure__fault(check, "a record is not in its table");
}

/* An entry of a weak map: what it hangs on beside the map knows of it, and its node leads to it. The youngest of these,
 * or generation. */
static unsigned check_entry(tenure__verification *check, const tenure__map_entry *entry, unsigned generation)
{
    tenure_heap *heap = check->heap;
    if (atomic_load_explicit(&entry->node->entry, memory_order_relaxed) != (uintptr_t)entry)
        tenure__fault(check, "the node of a weak map's entry leads elsewhere");
    if (atomic_load_explicit(&entry->link, memory_order_relaxed) != 0)
        tenure__fault(check, "an entry waits outside of a stop");
    const uintptr_t keys[] = { entry->record.target, entry->weak, tenure__entry_keeps(entry) ? 0 : entry->other };
    for (unsigned i = 0; i < 3; i++) {
        if (!tenure__in_arena(heap, keys[i])) continue;
        if (!tenure__starts_object(heap, keys[i]))
            tenure__fault(check, "an entry hangs on %#lx, which is no object", keys[i]);
        else if ((tenure__header_load(keys[i]) & TENURE__KEY) == 0)
            tenure__fault(check, "an entry hangs on %#lx, whose header does not tell", keys[i]);
        else if (generation_of(heap, keys[i]) < generation)
            generation = generation_of(heap, keys[i]);
    }
    return generation;
}

static void check_record(tenure__verification *check, const tenure__record *record, unsigned kind, unsigned list)
{
    tenure_heap *heap = check->heap;
    check->object = (uintptr_t)record;
    check->plan = 0;
    if (!tenure__starts_object(heap, check->object)) {
        tenure__fault(check, "a list of records leads to no object");
        return;
    }
    check->plan = tenure__plan_of(tenure__header_load(check->object));
    check->generation = generation_of(heap, check->object);
    if (record_kind(check->plan) != kind) tenure__fault(check, "a list of records leads to something else");
    if (!tenure__starts_object(heap, record->target)) {
        tenure__fault(check, "a record's target %#lx is no object", record->target);
        return;
    }
    unsigned target = generation_of(heap, record->target);
    if (kind == TENURE__ENTRIES) {
        if (((const tenure__map_entry *)record)->node == 0)
            return; /* removed since the last stop: nobody looks at the rest */
        target = check_entry(check, (const tenure__map_entry *)record, target);
    }
    if (list != (target < check->generation ? target : check->generation))
        tenure__fault(check, "a record with a target of generation %u is in list %u", target, list);
    if (kind == TENURE__CELLS || kind == TENURE__FINALIZERS) check_table(check, record, kind);
}

static uint64_t check_records(tenure__verification *check, const tenure__records *records, unsigned kind, unsigned list)
{
    const uint64_t most = atomic_load_explicit(&check->heap->used_blocks, memory_order_relaxed) * TENURE__GRANULES / 2;
    uint64_t count = 0;
    for (uintptr_t at = records->head; at != 0 && check->sound; at = tenure__record_at(at)->next) {
        check_record(check, tenure__record_at(at), kind, list);
        if (!check->sound) break;
        if (++count > most) tenure__fault(check, "a list of records has no end");
        if (tenure__record_at(at)->next == 0 && at != records->tail)
            tenure__fault(check, "a list does not end with its tail");
    }
    check->object = 0;
    return count;
}

static void check_all_records(tenure__verification *check)
{
    tenure_heap *heap = check->heap;
    uint64_t listed = 0;
    for (unsigned kind = 0; kind < TENURE__RECORD_KINDS; kind++) {
        for (unsigned list = 0; list < 3; list++)
            listed += check_records(check, &heap->records[kind][list], kind, list);
        tenure__mutator *mutator;
        cds_list_for_each_entry(mutator, &heap->world.every, every_link) listed +=
            check_records(check, &((tenure__allocator *)mutator)->records[kind], kind, 0);
    }
    if (listed < check->records || (listed > check->records && !check->cut))
        tenure__fault(check, "%lu records have a target, %lu are listed", check->records, listed);
}

static void check_accounts(tenure__verification *check, uint64_t reserved)
{
    tenure_heap *heap = check->heap;
    uint64_t counted[3];
    for (unsigned i = 0; i < 3; i++)
        counted[i] = atomic_load_explicit(&heap->generation_blocks[i], memory_order_relaxed);
    const uint64_t young = check->blocks[0] + check->blocks[1];
    /* Blocks with residents count as Gen 1. */
    if (young != counted[0] + counted[1] || check->blocks[2] != counted[2])
        tenure__fault(check, "%lu young and %lu blocks of Gen 2 were met, %lu and %lu are accounted", young,
            check->blocks[2], counted[0] + counted[1], counted[2]);
    if (atomic_load_explicit(&heap->gen2_holes, memory_order_relaxed) > counted[2] * TENURE__GRANULES)
        tenure__fault(check, "the holes of Gen 2 are more than its blocks");
    const uint64_t used = atomic_load_explicit(&heap->used_blocks, memory_order_relaxed);
    if (used != young + check->blocks[2] + reserved)
        tenure__fault(check, "%lu blocks are in use, %lu are accounted", young + check->blocks[2] + reserved, used);
}

bool tenure__verify_stopped(tenure_heap *heap, const char *when, bool may_trace, bool evacuating)
{
    tenure__verification check = { heap, .when = when, .may_trace = may_trace, .sound = true,
        .evacuating = evacuating };
    check_small(&check);
    const uint64_t reserved = check_large(&check);
    check.object = 0;
    if (check.sound) check_all_records(&check);
    if (check.sound) check_accounts(&check, reserved);
    if (check.sound) tenure__verify_lists(&check);
    return check.sound;
}
