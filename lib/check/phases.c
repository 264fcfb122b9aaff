/* verify=: what must hold at the boundaries of a collection's phases. Around a collection the whole verifier runs
 * (lib/heap/verify.c); within, objects lie in two places, and other things hold:
 *   pinned   nothing is forwarded. PINNED and STAYS are on condemned objects alone, which have bits, and lie in blocks
 *            that say KEEPS; pinned granules add up. Marks are on live objects of Gen 2.
 *   traced   no list holds work. A forwarded object's copy is whole: a header of the target generation, armed, with its
 *            bits. What survives (copies, what stays, what was marked, everything older) refers to survivors only,
 * where they are now: a slot that still leads to where something was, or to something that was not reached, is the edge
 * that a remembered set or the tracer lost. weak     the same of ephemerons. Records in the lists and their targets
 * survive. */
#include "lib/check/check.h"
#include "lib/collection/trace.h"

static bool is_moving(const tenure_heap *heap, uint32_t block)
{
    return heap->action[tenure__kind_of(heap, block)] == TENURE__ACTION_MOVE;
}

/* --- everything is pinned --- */

static void check_pin(tenure__verification *check, uintptr_t object, uint32_t block)
{
    tenure_heap *heap = check->heap;
    const uint64_t header = tenure__header_load(object);
    check->object = object;
    if ((header & TENURE__HEADER) == 0) {
        tenure__fault(check, "forwarded before all was pinned: header %#lx", (unsigned long)header);
        return;
    }
    check->plan = tenure__plan_of(header);
    check->generation = tenure__header_generation(header);
    const uint64_t stays = header & (TENURE__PINNED | TENURE__STAYS);
    if (stays == 0) return;
    if ((int)check->generation > heap->condemned) tenure__fault(check, "pinned, and not condemned");
    if (heap->action[tenure__kind_of(heap, block)] == TENURE__ACTION_LARGE) return;
    if (!is_moving(heap, block))
        tenure__fault(check, "pinned where nothing moves (block kind %#x)", tenure__kind_of(heap, block));
    if ((stays & TENURE__PINNED) == 0) tenure__fault(check, "stays, and is not pinned");
    const unsigned granule = tenure__granule_of(object), granules = tenure__header_granules(header);
    if (!tenure__bit_get(tenure__bits_of(heap->live, block), granule) ||
        !tenure__bit_get(tenure__bits_of(heap->ends, block), granule + granules - 1))
        tenure__fault(check, "pinned, and has no bits");
    if ((tenure__flags_of(&heap->blocks[block]) & TENURE__BLOCK_KEEPS) == 0)
        tenure__fault(check, "pinned in a block that does not keep it");
    check->pinned += granules;
}

/* Only what lives is marked, and nothing but in full collections. */
static void check_marks(tenure__verification *check, uint32_t block)
{
    tenure_heap *heap = check->heap;
    const uint8_t action = heap->action[tenure__kind_of(heap, block)];
    const bool marks = heap->marking && (action == TENURE__ACTION_MARK || action == TENURE__ACTION_MARK_LEAF);
    const tenure__bits *live = tenure__bits_of(heap->live, block), *mark = tenure__bits_of(heap->mark, block);
    for (unsigned i = 0; i < TENURE__BITMAP_WORDS; i++) {
        const uint64_t bits = atomic_load_explicit(&mark[i], memory_order_relaxed);
        if (bits != 0 && (!marks || (bits & ~atomic_load_explicit(&live[i], memory_order_relaxed)) != 0))
            tenure__fault(check, "block %u has marks where nothing lives", block);
    }
}

static void check_pins(tenure__verification *check)
{
    tenure_heap *heap = check->heap;
    const uint32_t frontier = atomic_load_explicit(&heap->frontier, memory_order_relaxed);
    for (uint32_t block = 0; block < frontier && check->sound; block++) {
        const uint8_t kind = tenure__kind_of(heap, block);
        check->object = 0;
        check_marks(check, block);
        if ((kind & TENURE__KIND_GENERATION) == 0) continue;
        check->pinned = 0;
        if (tenure__kind_generation(kind) == 0)
            tenure__walk_cells(heap, block, check, check_pin);
        else
            tenure__walk_block(heap, block, check, check_pin);
        check->object = 0;
        const uint64_t counted = atomic_load_explicit(&heap->blocks[block].pinned_granules, memory_order_relaxed);
        if (check->pinned != counted)
            tenure__fault(check, "block %u has %lu pinned granules, %lu are counted", block, check->pinned, counted);
    }
}

/* --- everything is traced --- */

static void check_work(tenure__verification *check)
{
    tenure_heap *heap = check->heap;
    bool left = (uint32_t)atomic_load_explicit(&heap->shared, memory_order_relaxed) != 0 ||
                (uint32_t)atomic_load_explicit(&heap->custom, memory_order_relaxed) != 0 ||
                atomic_load_explicit(&heap->callbacks_due, memory_order_relaxed) ||
                atomic_load_explicit(&heap->overflowed, memory_order_relaxed) ||
                atomic_load_explicit(&heap->working, memory_order_relaxed) != 0;
    for (unsigned i = 0; i < heap->worker_count; i++) {
        const tenure__worker *worker = &heap->workers[i];
        left |= worker->top != 0 || worker->ring_in != worker->ring_out;
    }
    if (left) tenure__fault(check, "work is left");
}

static void check_copy(tenure__verification *check, uintptr_t from, uintptr_t copy)
{
    tenure_heap *heap = check->heap;
    check->object = 0;
    if (!tenure__in_arena(heap, copy)) {
        tenure__fault(check, "object %#lx was forwarded to %#lx", from, copy);
        return;
    }
    const uint32_t block = tenure__block_index(heap, copy);
    const uint64_t header = tenure__header_load(copy);
    const unsigned granule = tenure__granule_of(copy), granules = tenure__header_granules(header);
    if ((header & (TENURE__HEADER | TENURE__UNLOGGED)) != (TENURE__HEADER | TENURE__UNLOGGED) ||
        (header & (TENURE__STAYS | TENURE__PINNED | TENURE__LARGE)) != 0 ||
        tenure__header_generation(header) != heap->target || granule + granules > TENURE__GRANULES)
        tenure__fault(check, "the copy %#lx of %#lx has header %#lx", copy, from, (unsigned long)header);
    else if (tenure__kind_generation(tenure__kind_of(heap, block)) != heap->target ||
             !tenure__bit_get(tenure__bits_of(heap->live, block), granule) ||
             !tenure__bit_get(tenure__bits_of(heap->ends, block), granule + granules - 1) ||
             (heap->marking && !tenure__bit_get(tenure__bits_of(heap->mark, block), granule)))
        tenure__fault(check, "the copy %#lx of %#lx lacks its bits", copy, from);
}

static void check_left_behind(tenure__verification *check, uintptr_t object, uint32_t block)
{
    const uint64_t header = tenure__header_load(object);
    if ((header & TENURE__HEADER) != 0) return;
    if (!is_moving(check->heap, block)) tenure__fault(check, "object %#lx was moved and should not", object);
    check_copy(check, object, (uintptr_t)header);
}

static void check_target(void *arg, uintptr_t slot, tenure__reference kind)
{
    tenure__verification *check = arg;
    tenure_heap *heap = check->heap;
    uintptr_t target[2];
    if (kind == TENURE__REFERENCE_WORD) return; /* nothing certain is known of it */
    if (tenure__targets_of(heap, tenure__slot_load(slot), kind, target) == 0) return;
    const uintptr_t now = tenure__survivor(heap, target[0]);
    if (now == target[0]) return;
    if (now != 0)
        tenure__fault(
            check, "field at +%lu still refers to %#lx, which has moved to %#lx", slot - check->object, target[0], now);
    else
        tenure__fault(check, "field at +%lu refers to %#lx, which was not reached", slot - check->object, target[0]);
}

static void check_survivor(tenure__verification *check, uintptr_t object, uint32_t block)
{
    tenure_heap *heap = check->heap;
    check_left_behind(check, object, block);
    if (!check->sound || tenure__survivor(heap, object) != object) return;
    const uint64_t header = tenure__header_load(object);
    check->object = object;
    check->plan = tenure__plan_of(header);
    check->generation = tenure__header_generation(header);
    if (check->weak_settled || check->plan->shape != TENURE__SHAPE_EPHEMERON)
        tenure__each_reference(heap, object, check->may_trace, check_target, check);
    check->object = 0;
}

static void check_records(tenure__verification *check)
{
    tenure_heap *heap = check->heap;
    for (unsigned kind = 0; kind < TENURE__RECORD_KINDS; kind++)
        for (unsigned list = 0; list < 3; list++)
            for (uintptr_t at = heap->records[kind][list].head; at != 0 && check->sound;
                 at = tenure__record_at(at)->next) {
                const uintptr_t target = tenure__record_at(at)->target;
                if (tenure__survivor(heap, at) != at || tenure__survivor(heap, target) != target)
                    tenure__fault(
                        check, "record %#lx with target %#lx did not survive and is in list %u", at, target, list);
            }
    if (heap->unreached[0] != 0 || heap->unreached[1] != 0) tenure__fault(check, "weak references are left over");
}

static void check_traced(tenure__verification *check)
{
    tenure_heap *heap = check->heap;
    check_work(check);
    tenure__walk_bits(heap, check, check_survivor);
    /* What has no bit: in Gen 0 blocks whatever is neither resident nor stays. */
    for (uint32_t i = 0; i < atomic_load_explicit(&heap->gen0_count, memory_order_relaxed) && check->sound; i++)
        tenure__walk_cells(heap, heap->gen0_blocks[i], check, check_left_behind);
    if (check->weak_settled) check_records(check);
}

/* --- which of them --- */

static bool is_sound(tenure_heap *heap, tenure__moment moment, const char *when, bool may_trace)
{
    tenure__verification check = { heap, .when = when, .may_trace = may_trace, .sound = true };
    switch (moment) {
    case TENURE__BEFORE:
    case TENURE__AFTER:
        return tenure__verify_stopped(heap, when, may_trace, false);
    case TENURE__PREPARED:
        return tenure__verify_stopped(heap, when, may_trace, heap->marking);
    case TENURE__ALL_PINNED:
        check_pins(&check);
        break;
    case TENURE__TRACED:
    case TENURE__WEAK_SETTLED:
        check.weak_settled = moment == TENURE__WEAK_SETTLED;
        check_traced(&check);
        break;
    }
    return check.sound;
}

void tenure__check_phase(tenure_heap *heap, tenure__moment moment, bool may_trace)
{
    static const struct {
        uint32_t option;
        const char *when;
    } moments[] = {
        [TENURE__BEFORE] = { TENURE_VERIFY_BEFORE, "before a collection" },
        [TENURE__PREPARED] = { TENURE_VERIFY_PHASES, "after preparing" },
        [TENURE__ALL_PINNED] = { TENURE_VERIFY_PHASES, "after pinning" },
        [TENURE__TRACED] = { TENURE_VERIFY_PHASES, "after tracing" },
        [TENURE__WEAK_SETTLED] = { TENURE_VERIFY_PHASES, "after settling weak references" },
        [TENURE__AFTER] = { TENURE_VERIFY_AFTER, "after a collection" },
    };
    if ((heap->options.verify & moments[moment].option) == 0) return;
    if (!is_sound(heap, moment, moments[moment].when, may_trace)) tenure__misuse("verify=", "the heap is damaged");
}
