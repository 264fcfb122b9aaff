/* The kinds of objects: one for every way to tell the collector where references are. */
#include "stress/model/model.h"
#include <string.h>

typedef struct tiny {
    uint64_t data;
} tiny;
TENURE_TYPE_LEAF(tiny_type, tiny);

typedef struct leaf {
    uint64_t data[6];
} leaf;
TENURE_TYPE_LEAF(leaf_type, leaf);

typedef struct cell {
    void *next;
} cell;
TENURE_TYPE(cell_type, cell, next);

typedef struct node {
    uint64_t data;
    void *a, *b;
    uint64_t more;
} node;
TENURE_TYPE(node_type, node, a, b);
TENURE_TYPE_AMBIGUOUS(vague_type, node);

typedef struct part {
    uint64_t data;
    void *reference;
} part;
typedef struct wide {
    uint64_t data;
    void *many[5];
    part parts[4];
    part inner;
} wide;
TENURE_TYPE(wide_type, wide, many, TENURE_EACH(parts, reference), inner.reference);

typedef struct refs {
    uint64_t data;
    void *refs[];
} refs;
TENURE_TYPE_FLEX_REFS(refs_type, refs, refs);
TENURE_TYPE_AMBIGUOUS_FLEX(vague_flex_type, refs, refs);

typedef struct pairs {
    uint64_t data;
    void *first;
    part parts[];
} pairs;
TENURE_TYPE_FLEX(pairs_type, pairs, parts, first, TENURE_ELEMENT(reference));
TENURE_TYPE_FLEX(mixed_type, pairs, parts, TENURE_INTERIOR(first), TENURE_ELEMENT(reference));

typedef struct inside {
    uint64_t data;
    void *plain, *inside;
} inside;
TENURE_TYPE(inside_type, inside, plain, TENURE_INTERIOR(inside));

typedef struct words {
    uintptr_t a;
    uint64_t data;
    uintptr_t b[2];
} words;
TENURE_TYPE(words_type, words, TENURE_WORD(a), TENURE_WORD(b));

static void trace_words(
    void *object, void *low, void *high, size_t first, size_t stride, size_t count, tenure_visitor *visitor)
{
    for (size_t i = 0; i < count; i++) {
        void **slot = (void **)object + first + i * stride;
        if ((void *)slot >= low && (void *)slot < high) tenure_visit(visitor, slot);
    }
}
static void trace_node(void *object, void *low, void *high, tenure_visitor *visitor)
{
    trace_words(object, low, high, 1, 1, 2, visitor);
}
TENURE_TYPE_CUSTOM(custom_type, node, trace_node);

/* Every second word up to high, which is the object's end at most. */
static void trace_pairs(void *object, void *low, void *high, tenure_visitor *visitor)
{
    const size_t from = (size_t)((void **)low - (void **)object), to = (size_t)((void **)high - (void **)object);
    for (size_t i = from | 1; i < to; i += 2) tenure_visit(visitor, (void **)object + i);
}
TENURE_TYPE_CUSTOM_FLEX(custom_flex_type, pairs, parts, trace_pairs);

static const tenure_type *made_type, *made_flex_type;

void model_kinds_prepare(void)
{
    if (made_type != NULL) return;
    static const size_t fixed[] = { 0, 16 }, flexible[] = { 8 };
    made_type = tenure_type_create(
        &(tenure_type_spec) { .name = "made", .size = 32, .references = fixed, .reference_count = 2 });
    made_flex_type = tenure_type_create(&(tenure_type_spec) { .name = "made flexible",
        .size = 24,
        .references = fixed,
        .reference_count = 2,
        .flex_offset = 24,
        .flex_stride = 24,
        .flex_references = flexible,
        .flex_reference_count = 1 });
    if (made_type == NULL || made_flex_type == NULL) abort();
}

#define MAKER(name, call)                                       \
    static void *make_##name(tenure_thread *self, size_t count) \
    {                                                           \
        (void)count;                                            \
        return call;                                            \
    }
#define TYPE_OF(name, pointer) \
    static const tenure_type *type_##name(void) { return pointer; }
#define KIND(name, call, pointer) MAKER(name, call) TYPE_OF(name, pointer)

KIND(tiny, tenure_new(self, tiny_type), &tiny_type__type)
KIND(leaf, tenure_new(self, leaf_type), &leaf_type__type)
KIND(cell, tenure_new(self, cell_type), &cell_type__type)
KIND(node, tenure_new(self, node_type), &node_type__type)
KIND(wide, tenure_new(self, wide_type), &wide_type__type)
KIND(refs, tenure_new_flex(self, refs_type, count), &refs_type__type)
KIND(pairs, tenure_new_flex(self, pairs_type, count), &pairs_type__type)
KIND(mixed, tenure_new_flex(self, mixed_type, count), &mixed_type__type)
KIND(bytes, tenure_new_bytes(self, count), NULL)
KIND(aligned, tenure_new_aligned(self, count, (size_t)32 << count % 8), NULL)
KIND(array, TENURE_NEW_REFS(self, void, count), NULL)
KIND(structs, tenure_new_array(self, node_type, count), NULL)
KIND(inside, tenure_new(self, inside_type), &inside_type__type)
KIND(words, tenure_new(self, words_type), &words_type__type)
KIND(custom, tenure_new(self, custom_type), &custom_type__type)
KIND(custom_flex, tenure_new_flex(self, custom_flex_type, count), &custom_flex_type__type)
KIND(vague, tenure_new(self, vague_type), &vague_type__type)
KIND(vague_flex, tenure_new_flex(self, vague_flex_type, count), &vague_flex_type__type)
KIND(made, tenure_alloc(self, made_type, 0), made_type)
KIND(made_flex, tenure_alloc(self, made_flex_type, count), made_flex_type)

/* name, fixed words and which of them are references, the same of elements, INSIDE, form, elements, weight */
#define OF(kind_name, words, references, elements, of_element, inside_, form_, least_, most_, weight_)        \
    {                                                                                                         \
        .name = #kind_name, .make = make_##kind_name, .type = type_##kind_name, .fixed_words = words,         \
        .fixed_references = references, .element_words = elements, .element_references = of_element,          \
        .inside = inside_, .form = form_, .least = least_, .most = most_, .weight = weight_, .sort = ORDINARY \
    }
const kind model_kinds[] = { OF(tiny, 1, 0, 1, 0, 0, EXACT, 0, 0, 20), OF(leaf, 6, 0, 1, 0, 0, EXACT, 0, 0, 20),
    OF(cell, 1, 1, 1, 0, 0, EXACT, 0, 0, 40), OF(node, 4, 6, 1, 0, 0, EXACT, 0, 0, 120),
    OF(wide, 16, 0xaabe, 1, 0, 0, EXACT, 0, 0, 20), OF(refs, 1, 0, 1, 1, 0, EXACT, 0, 40, 20),
    OF(refs, 1, 0, 1, 1, 0, EXACT, 2040, 9000, 3), OF(pairs, 2, 2, 2, 2, 0, EXACT, 0, 30, 20),
    OF(pairs, 2, 2, 2, 2, 0, EXACT, 1000, 4000, 3), OF(mixed, 2, 2, 2, 2, 2, EXACT, 0, 30, 10),
    OF(mixed, 2, 2, 2, 2, 2, EXACT, 1000, 2000, 1), OF(bytes, 0, 0, 0, 0, 0, EXACT, 0, 300, 40),
    OF(bytes, 0, 0, 0, 0, 0, EXACT, 300, 16500, 6), OF(bytes, 0, 0, 0, 0, 0, EXACT, 16300, 300000, 2),
    OF(aligned, 0, 0, 0, 0, 0, EXACT, 0, 6000, 4), OF(array, 0, 0, 1, 1, 0, EXACT, 0, 60, 20),
    OF(array, 0, 0, 1, 1, 0, EXACT, 2000, 20000, 2), OF(structs, 0, 0, 4, 6, 0, EXACT, 0, 20, 10),
    OF(inside, 3, 6, 1, 0, 4, EXACT, 0, 0, 20), OF(words, 4, 0xd, 1, 0, 0, TAGGED, 0, 0, 20),
    OF(custom, 4, 6, 1, 0, 0, EXACT, 0, 0, 10), OF(custom_flex, 2, 2, 2, 2, 0, EXACT, 0, 30, 8),
    OF(custom_flex, 2, 2, 2, 2, 0, EXACT, 1000, 4000, 2), OF(vague, 4, 6, 1, 0, 0, VAGUE, 0, 0, 8),
    OF(vague_flex, 1, 0, 1, 1, 0, VAGUE, 0, 40, 6), OF(vague_flex, 1, 0, 1, 1, 0, VAGUE, 2040, 4000, 1),
    OF(made, 4, 5, 1, 0, 0, EXACT, 0, 0, 8), OF(made_flex, 3, 5, 3, 2, 0, EXACT, 0, 30, 8) };
const uint32_t model_kind_count = sizeof model_kinds / sizeof model_kinds[0];

static const tenure_type *type_not_public(void) { return NULL; }
#define SPECIAL(name_, words, references, weak_, sort_)                                   \
    {                                                                                     \
        .name = name_, .type = type_not_public, .fixed_words = words, .element_words = 1, \
        .fixed_references = references, .weak = weak_, .sort = sort_                      \
    }
const kind model_weak_kind = SPECIAL("weak", 1, 1, 1, WEAK);
const kind model_ephemeron_kind = SPECIAL("ephemeron", 2, 3, 2, EPHEMERON);
const kind model_watch_kind = SPECIAL("watch", 1, 1, 1, WATCH);
const kind model_cleaner_kind = SPECIAL("cleaner", 0, 0, 0, CLEANER);
const kind model_map_kinds[] = { [KEYS] = SPECIAL("map of weak keys", 0, 0, 0, MAP),
    [VALUES] = SPECIAL("map of weak values", 0, 0, 0, MAP),
    [BOTH] = SPECIAL("map of both weak", 0, 0, 0, MAP),
    [SET] = SPECIAL("weak set", 0, 0, 0, MAP) };
const kind model_token_kind = OF(node, 4, 6, 1, 0, 0, EXACT, 0, 0, 0);

/* --- words --- */

static unsigned bits(uint64_t map) { return (unsigned)__builtin_popcountll(map); }

static unsigned nth_bit(uint64_t map, size_t n)
{
    while (n-- > 0) map &= map - 1;
    return (unsigned)__builtin_ctzll(map);
}

size_t kind_bytes(const kind *of, size_t count)
{
    return (size_t)of->fixed_words * 8 + count * (of->element_words == 0 ? 1 : of->element_words * 8);
}

size_t kind_slots(const kind *of, size_t count)
{
    return bits(of->fixed_references) + count * bits(of->element_references);
}

size_t kind_slot_word(const kind *of, size_t slot)
{
    const unsigned fixed = bits(of->fixed_references);
    if (slot < fixed) return nth_bit(of->fixed_references, slot);
    const unsigned each = bits(of->element_references);
    return of->fixed_words + (slot - fixed) / each * of->element_words +
           nth_bit(of->element_references, (slot - fixed) % each);
}

form kind_slot_form(const kind *of, size_t slot)
{
    const size_t word = kind_slot_word(of, slot);
    return word < of->fixed_words && (of->inside >> word & 1) != 0 ? INSIDE : of->form;
}

size_t kind_adjacent(const kind *of, size_t count, size_t slot)
{
    const size_t slots = kind_slots(of, count);
    size_t n = 1;
    while (slot + n < slots && kind_slot_word(of, slot + n) == kind_slot_word(of, slot) + n) n++;
    return n;
}

static bool is_reference(const kind *of, size_t word)
{
    if (word < of->fixed_words) return (of->fixed_references >> word & 1) != 0;
    return (of->element_references >> (word - of->fixed_words) % of->element_words & 1) != 0;
}

/* No address: the highest bit is set. */
static uint64_t data_word(uint64_t pattern, size_t word) { return model_mix(pattern + word) | (uint64_t)1 << 63; }
uint64_t kind_first_word(uint64_t pattern) { return data_word(pattern, 0); }

/* Of bytes: whole words, and what is left. */
static size_t tail_bytes(const kind *of, size_t count) { return of->element_words == 0 ? count % 8 : 0; }

void kind_fill(const kind *of, void *object, size_t count, size_t from_byte, uint64_t pattern)
{
    const size_t whole = kind_bytes(of, count) / 8, tail = tail_bytes(of, count);
    uint64_t *at = object;
    for (size_t i = from_byte / 8; i < whole; i++)
        if (of->element_words == 0 || !is_reference(of, i)) at[i] = data_word(pattern, i);
    const uint64_t last = data_word(pattern, whole);
    memcpy(&at[whole], &last, tail);
}

bool kind_check(const kind *of, const void *object, size_t count, uint64_t pattern)
{
    const size_t whole = kind_bytes(of, count) / 8, tail = tail_bytes(of, count);
    const uint64_t *at = object;
    for (size_t i = 0; i < whole; i++)
        if ((of->element_words == 0 || !is_reference(of, i)) && at[i] != data_word(pattern, i)) return false;
    const uint64_t last = data_word(pattern, whole);
    return memcmp(&at[whole], &last, tail) == 0;
}
