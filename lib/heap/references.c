/* What an object refers to, slot by slot, for everybody but the tracer (which has a loop of its own, tuned for speed):
 * the verifier, and whoever looks into the heap. */
#include "lib/heap/heap.h"

typedef struct enumeration {
    tenure__reference_fn *fn;
    void *arg;
} enumeration;

static void each_of_map(const enumeration *to, uintptr_t start, uint64_t map)
{
    for (; map != 0; map &= map - 1)
        to->fn(to->arg, start + (uintptr_t)__builtin_ctzll(map) * 8, TENURE__REFERENCE_PRECISE);
}

static void each_word(const enumeration *to, uintptr_t start, uintptr_t end, tenure__reference kind)
{
    for (uintptr_t slot = start; slot < end; slot += 8) to->fn(to->arg, slot, kind);
}

static void each_of_item(const enumeration *to, const tenure__item *item, uintptr_t start)
{
    const tenure__reference kind =
        item->kind == TENURE__INTERIOR ? TENURE__REFERENCE_INTERIOR : TENURE__REFERENCE_PRECISE;
    for (uint32_t i = 0; i < item->count; i++)
        to->fn(to->arg, start + item->offset + (uintptr_t)i * item->stride, kind);
}

static void each_item(const enumeration *to, const tenure__plan *plan, uintptr_t object, uintptr_t end)
{
    const tenure_type *type = plan->type;
    for (uint32_t i = 0; i < type->item_count; i++) {
        const tenure__item *item = &type->items[i];
        if (item->kind != TENURE__ELEMENT)
            each_of_item(to, item, object);
        else
            for (uintptr_t at = object + plan->flex_offset; at + plan->flex_stride <= end; at += plan->flex_stride)
                each_of_item(to, item, at);
    }
    if (type->flags & TENURE__FLEX_REFS) each_word(to, object + plan->flex_offset, end, TENURE__REFERENCE_PRECISE);
}

/* The program's function is given a worker that asks nothing of the tracer; outside of phases nobody else uses it. */
static void each_of_custom(
    tenure_heap *heap, const enumeration *to, const tenure__plan *plan, uintptr_t object, uintptr_t end)
{
    tenure_visitor *visitor = tenure__inspecting_visitor(heap, to->fn, to->arg);
    plan->type->trace((void *)object, (void *)object, (void *)end, visitor);
    tenure__inspecting_visitor(heap, 0, 0);
}

void tenure__each_reference(tenure_heap *heap, uintptr_t object, bool may_trace, tenure__reference_fn *fn, void *arg)
{
    const enumeration to = { fn, arg };
    const uint64_t header = tenure__header_load(object);
    const tenure__plan *plan = tenure__plan_of(header);
    const uintptr_t end = object + tenure__payload_bytes(heap, object, header);
    switch ((tenure__shape)plan->shape) {
    case TENURE__SHAPE_FILLER:
    case TENURE__SHAPE_LEAF:
        break;
    case TENURE__SHAPE_MAP:
    case TENURE__SHAPE_EPHEMERON: /* both, while the key lives */
        each_of_map(&to, object, plan->fixed_map);
        break;
    case TENURE__SHAPE_REFS:
        each_of_map(&to, object, plan->fixed_map);
        each_word(&to, object + plan->flex_offset, end, TENURE__REFERENCE_PRECISE);
        break;
    case TENURE__SHAPE_ELEMENTS:
        each_of_map(&to, object, plan->fixed_map);
        for (uintptr_t at = object + plan->flex_offset; at + plan->flex_stride <= end; at += plan->flex_stride)
            each_of_map(&to, at, plan->element_map);
        break;
    case TENURE__SHAPE_ITEMS:
        each_item(&to, plan, object, end);
        break;
    case TENURE__SHAPE_CUSTOM:
        if (may_trace) each_of_custom(heap, &to, plan, object, end);
        break;
    case TENURE__SHAPE_AMBIGUOUS:
        each_word(&to, object, end, TENURE__REFERENCE_WORD);
        break;
    }
}

unsigned tenure__targets_of(tenure_heap *heap, uintptr_t value, tenure__reference kind, uintptr_t targets[2])
{
    unsigned count = 0;
    if (kind == TENURE__REFERENCE_WORD) value &= ~heap->options.ambiguous_mask;
    if (!tenure__in_arena(heap, value)) return 0;
    if (kind == TENURE__REFERENCE_PRECISE) {
        if ((heap->options.ref_tags >> (value & 15)) & 1) targets[count++] = value & ~(uintptr_t)15;
        return count;
    }
    const uintptr_t object = tenure__find_object(heap, value);
    if (object != 0) targets[count++] = object;
    if (kind == TENURE__REFERENCE_INTERIOR) return count;
    const uintptr_t neighbour = tenure__find_header_neighbour(heap, value);
    if (neighbour != 0 && neighbour != object) targets[count++] = neighbour;
    return count;
}
