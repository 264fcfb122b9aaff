/* check=barriers: after each collection the references of all older objects are copied to a shadow of the arena. Before
 * the next one, while nothing has moved, each reference that is another now must have been announced: its object is
 * logged, or its card dirty, or its block's log overflowed. What was stored without the barrier is found whether it
 * would have done harm or not: the generations of both ends do not matter, but for objects of Gen 0, which need none.
 * Objects with words of the library's own are not looked at, nor are ambiguous ones: their words may be numbers. */
#include "lib/check/check.h"
#include "lib/collection/remembered.h"
#include "lib/inspect/fields.h"
#include <unistd.h>

static uintptr_t *shadow_of(const tenure_heap *heap, uintptr_t slot)
{
    return &heap->checks.shadow[(slot - heap->base) / 8];
}

static const char *type_name(uintptr_t object)
{
    const tenure_type *type = tenure__plan_of(tenure__header_load(object))->type;
    return type != 0 ? type->name : "?";
}

_Noreturn static void report(tenure__verification *check, uintptr_t slot, uintptr_t target)
{
    static char bytes[4096];
    tenure__text text = { bytes, sizeof bytes, 0 };
    char field[256];
    if (!tenure__field_name(check->plan->type, slot - check->object, field, sizeof field))
        snprintf(field, sizeof field, "+%lu", slot - check->object);
    tenure__text_add(&text, "tenure: check=barriers: %s of %s (object %#lx, generation %u", field,
        check->plan->type->name, check->object, check->generation);
    tenure__site_print(check->heap, check->object, &text);
    tenure__text_add(&text, ") was stored without the barrier: %s (object %#lx, generation %u", type_name(target),
        target, tenure__header_generation(tenure__header_load(target)));
    tenure__site_print(check->heap, target, &text);
    tenure__text_add(&text, ")\n");
    const ssize_t wrote = write(STDERR_FILENO, bytes, text.length);
    (void)wrote;
    tenure__misuse("a store", "references go into objects through the barrier (tenure/barrier.h)");
}

static void check_slot(void *arg, uintptr_t slot, tenure__reference kind)
{
    tenure__verification *check = arg;
    tenure_heap *heap = check->heap;
    uintptr_t target[2];
    if (kind == TENURE__REFERENCE_WORD || !tenure__in_arena(heap, slot)) return;
    const uintptr_t value = tenure__slot_load(slot);
    if (value == *shadow_of(heap, slot)) return;
    if ((tenure__header_load(check->object) & TENURE__LARGE) != 0 &&
        ((heap->cards[(slot - heap->base) >> TENURE__CARD_SHIFT] & TENURE__CARD_DIRTY) != 0 ||
            (tenure__flags_of(&heap->blocks[tenure__block_index(heap, slot)]) & TENURE__BLOCK_RESCAN) != 0))
        return;
    if (tenure__targets_of(heap, value, kind, target) != 0) report(check, slot, target[0]);
}

static void remember_slot(void *arg, uintptr_t slot, tenure__reference kind)
{
    const tenure__verification *check = arg;
    (void)kind;
    if (tenure__in_arena(check->heap, slot)) *shadow_of(check->heap, slot) = tenure__slot_load(slot);
}

static bool is_watched(tenure__verification *check, uintptr_t object)
{
    const uint64_t header = tenure__header_load(object);
    check->object = object;
    check->plan = tenure__plan_of(header);
    check->generation = tenure__header_generation(header);
    return check->generation != 0 && (check->plan->type->flags & TENURE__HIDDEN_WORDS) == 0;
}

static void check_object(tenure__verification *check, uintptr_t object, uint32_t block)
{
    tenure_heap *heap = check->heap;
    if (!is_watched(check, object) || (tenure__header_load(object) & TENURE__UNLOGGED) == 0) return;
    if ((tenure__flags_of(&heap->blocks[block]) & TENURE__BLOCK_RESCAN) != 0) return;
    tenure__each_reference(heap, object, true, check_slot, check);
}

static void remember_object(tenure__verification *check, uintptr_t object, uint32_t block)
{
    (void)block;
    if (is_watched(check, object)) tenure__each_reference(check->heap, object, true, remember_slot, check);
}

/* On a pool thread: only there may the trace functions of custom types be called. */
static void check_all(void *heap)
{
    tenure__verification check = { .heap = heap };
    tenure__walk_bits(heap, &check, check_object);
}
static void remember_all(void *heap)
{
    tenure__verification check = { .heap = heap };
    tenure__walk_bits(heap, &check, remember_object);
}

void tenure__barriers_check(tenure_heap *heap) { tenure__gang_call(&heap->world.gang, check_all, heap); }
void tenure__barriers_remember(tenure_heap *heap) { tenure__gang_call(&heap->world.gang, remember_all, heap); }
