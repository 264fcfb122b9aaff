/* The type table. Writers hold tenure__types_lock; readers need nothing. */
#include "lib/heap/type.h"
#include "lib/heap/record.h"
#include "threads/mutator.h"
#include "threads/system.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 512, MAP_WORDS = 64, COUNT_MAX = TENURE__TYPE_MASK };

pthread_mutex_t tenure__types_lock = PTHREAD_MUTEX_INITIALIZER;
static tenure__plan first_plans[FIRST_CAPACITY] = { { .shape = TENURE__SHAPE_FILLER } };
tenure__plan *tenure__plans = first_plans;
static uint32_t capacity = FIRST_CAPACITY;
static _Atomic uint32_t count = 1;

static uint64_t bytes_header, refs_header, weak_header, ephemeron_header, action_headers[3], due_headers[3], map_header,
    entry_header, entry_both_header;
const tenure_type tenure__bytes_type = { "bytes", &bytes_header, 0, 0, 0, TENURE__FLEX, 0, 1, 0, 1, 0 };
const tenure_type tenure__refs_type = { "references", &refs_header, 0, 0, 0, TENURE__FLEX | TENURE__FLEX_REFS, 0, 8, 0,
    8, "" };

const tenure_type tenure__weak_type = { "weak reference", &weak_header, 0, 0, 0, TENURE__HIDDEN_WORDS,
    sizeof(tenure__record), 8, 0, 0, 0 };
static const tenure__item ephemeron_items[] = { { offsetof(tenure__pending, key), 1, 8, TENURE__REFERENCE },
    { offsetof(tenure__pending, value), 1, 8, TENURE__REFERENCE } };
const tenure_type tenure__ephemeron_type = { "ephemeron", &ephemeron_header, ephemeron_items, 0, 2,
    TENURE__EPHEMERON | TENURE__HIDDEN_WORDS, sizeof(tenure__pending), 8, 0, 0, "key, value" };

#define TENURE__ACTION_TYPE(name, header, items, names)                                                               \
    {                                                                                                                 \
        name, header, items, 0, sizeof(items) / sizeof(items)[0], TENURE__HIDDEN_WORDS, sizeof(tenure__action), 8, 0, \
            0, names                                                                                                  \
    }
static const tenure__item action_items[] = { { offsetof(tenure__action, arg), 1, 8, TENURE__REFERENCE } };
static const tenure__item due_items[] = { { offsetof(tenure__action, record.target), 1, 8, TENURE__REFERENCE },
    { offsetof(tenure__action, record.next), 1, 8, TENURE__REFERENCE },
    { offsetof(tenure__action, arg), 1, 8, TENURE__REFERENCE } };
const tenure_type tenure__action_types[] = {
    TENURE__ACTION_TYPE("weak reference with callback", &action_headers[0], action_items, "arg"),
    TENURE__ACTION_TYPE("finalizer", &action_headers[1], action_items, "arg"),
    TENURE__ACTION_TYPE("cleaner", &action_headers[2], action_items, "arg"),
};
const tenure_type tenure__due_types[] = {
    TENURE__ACTION_TYPE("due callback", &due_headers[0], due_items, "target, next, arg"),
    TENURE__ACTION_TYPE("due finalizer", &due_headers[1], due_items, "target, next, arg"),
    TENURE__ACTION_TYPE("due cleaner", &due_headers[2], due_items, "target, next, arg"),
};

const tenure_type tenure__map_type = { "weak map", &map_header, 0, 0, 0, TENURE__HIDDEN_WORDS,
    sizeof(tenure__map_record), 8, 0, 0, 0 };
static const tenure__item entry_items[] = { { offsetof(tenure__map_entry, other), 1, 8, TENURE__REFERENCE } };
const tenure_type tenure__entry_type = { "weak map entry", &entry_header, entry_items, 0, 1, TENURE__HIDDEN_WORDS,
    sizeof(tenure__map_entry), 8, 0, 0, "kept" };
const tenure_type tenure__entry_both_type = { "weak map entry that keeps nothing", &entry_both_header, 0, 0, 0,
    TENURE__HIDDEN_WORDS, sizeof(tenure__map_entry), 8, 0, 0, 0 };

uint32_t tenure__type_count(void) { return atomic_load_explicit(&count, memory_order_acquire); }

/* Adds an item's words to a map; false: it reaches beyond the map, or is no plain reference. */
static bool map_item(const tenure__item *item, uint64_t *map)
{
    for (uint32_t i = 0; i < item->count; i++) {
        const uint32_t word = (item->offset + i * item->stride) / 8;
        if (word >= MAP_WORDS) return false;
        *map |= (uint64_t)1 << word;
    }
    return item->kind != TENURE__INTERIOR;
}

static void compile(tenure__plan *plan, const tenure_type *type)
{
    *plan = (tenure__plan) { .type = type, .flex_offset = type->flex_offset, .flex_stride = type->flex_stride };
    plan->has_references =
        type->item_count != 0 || (type->flags & (TENURE__FLEX_REFS | TENURE__CUSTOM | TENURE__AMBIGUOUS)) != 0;
    bool mapped = true, elements = false;
    for (uint32_t i = 0; i < type->item_count; i++) {
        const bool element = type->items[i].kind == TENURE__ELEMENT;
        mapped &= map_item(&type->items[i], element ? &plan->element_map : &plan->fixed_map);
        elements |= element;
    }
    if (type->flags & TENURE__CUSTOM)
        plan->shape = TENURE__SHAPE_CUSTOM;
    else if (type->flags & TENURE__AMBIGUOUS)
        plan->shape = TENURE__SHAPE_AMBIGUOUS;
    else if (type->flags & TENURE__EPHEMERON)
        plan->shape = TENURE__SHAPE_EPHEMERON;
    else if (!plan->has_references)
        plan->shape = TENURE__SHAPE_LEAF;
    else if (!mapped || (elements && (type->flags & TENURE__FLEX_REFS)))
        plan->shape = TENURE__SHAPE_ITEMS;
    else if (elements)
        plan->shape = TENURE__SHAPE_ELEMENTS;
    else if (type->flags & TENURE__FLEX_REFS)
        plan->shape = TENURE__SHAPE_REFS;
    else
        plan->shape = TENURE__SHAPE_MAP;
}

static bool register_locked(const tenure_type *type)
{
    const uint32_t index = atomic_load_explicit(&count, memory_order_relaxed);
    if (index == COUNT_MAX) return false;
    if (index == capacity) {
        tenure__plan *longer = tenure__malloc(2 * sizeof *longer * capacity);
        if (longer == 0) return false;
        memcpy(longer, tenure__plans, sizeof *longer * capacity);
        capacity *= 2;
        /* Publishes the copies; the old array stays readable for ever. */
        rcu_assign_pointer(tenure__plans, longer);
    }
    compile(&tenure__plans[index], type);
    /* An object of the type is only seen by others after a stop or through the program's own synchronisation. */
    atomic_store_explicit(&count, index + 1, memory_order_release);
    *type->header = TENURE__HEADER | (uint64_t)index << TENURE__TYPE_SHIFT |
                    ((type->flags & TENURE__AMBIGUOUS) ? TENURE__APART : 0);
    return true;
}

static bool register_type(const tenure_type *type)
{
    tenure__own_lock(&tenure__types_lock);
    const bool done = register_locked(type);
    tenure__own_unlock(&tenure__types_lock);
    return done;
}

/* Packed structs in arrays: the macros see the offsets of references, not what an array's stride makes of them. */
static void require_aligned(const tenure_type *type)
{
    for (uint32_t i = 0; i < type->item_count; i++) {
        const tenure__item *item = &type->items[i];
        if (item->count > 1 && item->stride % 8 != 0)
            tenure__misuse(type->name, "the references of an array of structs must be aligned");
        if (item->kind == TENURE__ELEMENT && (type->flex_stride % 8 != 0 || type->flex_offset % 8 != 0))
            tenure__misuse(type->name, "the references of flexible elements must be aligned");
    }
    if ((type->flags & TENURE__FLEX_REFS) != 0 && type->flex_offset % 8 != 0)
        tenure__misuse(type->name, "a flexible array of references must be aligned");
}

void tenure__type_register(const tenure_type *type)
{
    require_aligned(type);
    if (!register_type(type)) tenure__fatal(__func__, __LINE__, ENOMEM);
}

__attribute__((constructor(101))) static void register_own_types(void)
{
    tenure__type_register(&tenure__bytes_type);
    tenure__type_register(&tenure__refs_type);
    tenure__type_register(&tenure__weak_type);
    tenure__type_register(&tenure__map_type);
    tenure__type_register(&tenure__entry_type);
    tenure__type_register(&tenure__entry_both_type);
    tenure__type_register(&tenure__ephemeron_type);
    for (unsigned i = 0; i < 3; i++) {
        tenure__type_register(&tenure__action_types[i]);
        tenure__type_register(&tenure__due_types[i]);
    }
}

/* --- types learnt at run time --- */

struct made_type {
    tenure_type type;
    uint64_t header;
    struct made_type *next;     /* of the array types; types_lock */
    const tenure_type *element; /* of an array type */
    tenure__item items[];
};

static bool offsets_fit(const size_t *offsets, size_t many, size_t size)
{
    for (size_t i = 0; i < many; i++)
        if (offsets[i] % 8 != 0 || offsets[i] > UINT32_MAX - 8 || offsets[i] + 8 > size) return false;
    return true;
}

static bool spec_is_sound(const tenure_type_spec *spec)
{
    const bool flexible = spec->flex_stride != 0;
    if (spec->name == 0 || spec->align > 16 || (spec->align & (spec->align - 1)) != 0) return false;
    if (spec->size > UINT32_MAX || spec->flex_offset > UINT32_MAX || spec->flex_stride > UINT32_MAX) return false;
    if (!flexible && (spec->flex_reference_count != 0 || spec->size == 0)) return false;
    if (spec->flex_reference_count != 0 && (spec->flex_offset % 8 != 0 || spec->flex_stride % 8 != 0)) return false;
    if (spec->trace != 0 && spec->ambiguous) return false;
    return offsets_fit(spec->references, spec->reference_count, flexible ? spec->flex_offset : spec->size) &&
           offsets_fit(spec->flex_references, spec->flex_reference_count, spec->flex_stride);
}

const tenure_type *tenure_type_create(const tenure_type_spec *spec)
{
    if (!spec_is_sound(spec)) {
        errno = EINVAL;
        return 0;
    }
    const bool listed = spec->trace == 0 && !spec->ambiguous;
    const size_t items = listed ? spec->reference_count + spec->flex_reference_count : 0;
    const size_t name_bytes = strlen(spec->name) + 1;
    struct made_type *made = tenure__malloc(sizeof *made + items * sizeof made->items[0] + name_bytes);
    if (made == 0) return 0;
    char *name = (char *)&made->items[items];
    memcpy(name, spec->name, name_bytes);
    const bool flexible = spec->flex_stride != 0;
    made->type = (tenure_type) {
        .name = name,
        .header = &made->header,
        .items = made->items,
        .trace = spec->trace,
        .item_count = (uint32_t)items,
        .flags = (flexible ? TENURE__FLEX : 0u) | (spec->trace != 0 ? TENURE__CUSTOM : 0u) |
                 (spec->ambiguous ? TENURE__AMBIGUOUS : 0u),
        .size = (uint32_t)(flexible ? spec->flex_offset : spec->size),
        .align = (uint32_t)(spec->align != 0 ? spec->align : 8),
        .flex_offset = (uint32_t)spec->flex_offset,
        .flex_stride = (uint32_t)spec->flex_stride,
    };
    for (size_t i = 0; i < items; i++) {
        const bool element = i >= spec->reference_count;
        const size_t offset = element ? spec->flex_references[i - spec->reference_count] : spec->references[i];
        made->items[i] = (tenure__item) { (uint32_t)offset, 1, 8, element ? TENURE__ELEMENT : TENURE__REFERENCE };
    }
    if (register_type(&made->type)) return &made->type;
    free(made);
    errno = ENOMEM;
    return 0;
}

/* --- arrays of a type --- */

static struct made_type *array_types; /* types_lock */

static struct made_type *make_array_type(const tenure_type *element)
{
    struct made_type *array = tenure__malloc(sizeof *array + element->item_count * sizeof array->items[0]);
    if (array == 0) return 0;
    array->element = element;
    if (element->item_count != 0 && element->size % 8 != 0)
        tenure__misuse("tenure_new_array", "the references of its elements must be aligned");
    array->type = (tenure_type) { .name = element->name,
        .header = &array->header,
        .items = array->items,
        .item_count = element->item_count,
        .align = element->align,
        .flex_stride = element->size,
        .flags = TENURE__FLEX | (element->flags & TENURE__AMBIGUOUS) };
    for (uint32_t i = 0; i < element->item_count; i++) {
        array->items[i] = element->items[i];
        array->items[i].kind = TENURE__ELEMENT;
    }
    if (!register_locked(&array->type)) {
        free(array);
        return 0;
    }
    array->next = array_types;
    array_types = array;
    return array;
}

const tenure_type *tenure__array_type(const tenure_type *element)
{
    if ((element->flags & (TENURE__FLEX | TENURE__CUSTOM)) != 0)
        tenure__misuse("tenure_new_array", "not for flexible or custom types");
    for (uint32_t i = 0; i < element->item_count; i++)
        if (element->items[i].kind == TENURE__INTERIOR)
            tenure__misuse("tenure_new_array", "not for types with interior references");
    tenure__own_lock(&tenure__types_lock);
    struct made_type *array = array_types;
    while (array != 0 && array->element != element) array = array->next;
    if (array == 0) array = make_array_type(element);
    tenure__own_unlock(&tenure__types_lock);
    return array != 0 ? &array->type : 0;
}
