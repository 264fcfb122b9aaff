/* Every shape of type: items, elements, flexible references, interior pointers, tagged words, trace functions. Each
 * graph is checked after collections that move all they can. */
#include "tests/support.h"

typedef struct leaf {
    uint64_t value, check;
} leaf;
TENURE_TYPE_LEAF(leaf_type, leaf);

typedef struct pair {
    leaf *first;
    uint64_t plain;
    leaf *second;
} pair;
TENURE_TYPE(pair_type, pair, first, second);

typedef struct mixed {
    uintptr_t word;
    leaf *array[3];
    pair inner;
    pair each[4];
    char *inside;
} mixed;
TENURE_TYPE(
    mixed_type, mixed, TENURE_WORD(word), array, inner.first, TENURE_EACH(each, second), TENURE_INTERIOR(inside));

typedef struct table {
    leaf *fixed;
    uint64_t count;
    pair entries[];
} table;
TENURE_TYPE_FLEX(table_type, table, entries, fixed, TENURE_ELEMENT(first), TENURE_ELEMENT(second));

typedef struct refs {
    leaf *fixed;
    uint64_t plain;
    leaf *flexible[];
} refs;
TENURE_TYPE_FLEX_REFS(refs_type, refs, flexible, fixed);

static tenure_heap *heap;
static tenure_thread *self;
static void *root;

static void begin_with(const tenure_options *options)
{
    heap = heap_of(options);
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
}
static void begin(void)
{
    const tenure_options options =
        options_with("max_heap=128m,verify=before,after,torture=evacuate", TENURE_ROOTS_PRECISE);
    begin_with(&options);
}
static void end(void) { heap_end(heap, self); }

TestSuite(trace, .init = begin, .fini = end);

static leaf *fresh(uint64_t value)
{
    leaf *object = tenure_new(self, leaf_type);
    cr_assert(object != NULL);
    *object = (leaf) { value, ~value };
    return object;
}

static void expect_leaf(const leaf *object, uint64_t value)
{
    cr_assert(object != NULL);
    cr_assert(eq(u64, object->value, value));
    cr_assert(eq(u64, object->check, ~value));
}

static void step(unsigned round)
{
    static const tenure_generation generations[] = { TENURE_GEN0, TENURE_GEN0, TENURE_GEN1, TENURE_GEN2, TENURE_GEN2 };
    collect(self, generations[round]);
    for (unsigned i = 0; i < 20000; i++) memset(tenure_new_bytes(self, 40), 0xee, 40);
}
enum { ROUNDS = 5 };

Test(trace, items_of_every_kind)
{
    mixed *made = tenure_new(self, mixed_type);
    root = made;
    leaf *object = fresh(0);
    made = root;
    TENURE_SET(self, made, word, (uintptr_t)object);
    for (unsigned i = 0; i < 3; i++) {
        object = fresh(1 + i);
        tenure_store(self, root, &((mixed *)root)->array[i], object);
    }
    object = fresh(10);
    tenure_store(self, root, &((mixed *)root)->inner.first, object);
    for (unsigned i = 0; i < 4; i++) {
        object = fresh(20 + i);
        tenure_store(self, root, &((mixed *)root)->each[i].second, object);
        ((mixed *)root)->each[i].plain = heap->base + 64 * i; /* no item: never followed */
    }
    object = fresh(30);
    tenure_store(self, root, &((mixed *)root)->inside, (char *)object + 9);
    const leaf *before = object;
    bool moved = false;
    for (unsigned round = 0; round < ROUNDS; round++) {
        step(round);
        made = root;
        expect_leaf((leaf *)made->word, 0);
        for (unsigned i = 0; i < 3; i++) expect_leaf(made->array[i], 1 + i);
        expect_leaf(made->inner.first, 10);
        for (unsigned i = 0; i < 4; i++) {
            expect_leaf(made->each[i].second, 20 + i);
            cr_assert(eq(u64, made->each[i].plain, heap->base + 64 * i));
        }
        expect_leaf((leaf *)(void *)(made->inside - 9), 30);
        moved |= made->inside - 9 != (const char *)before;
    }
    cr_expect(moved);
}

static void check_table(size_t count)
{
    root = tenure_new_flex(self, table_type, count);
    ((table *)root)->count = count;
    for (unsigned round = 0; round < ROUNDS; round++) {
        leaf *object = fresh(round);
        tenure_store(self, root, &((table *)root)->fixed, object);
        for (size_t i = 0; i < count; i++) {
            object = fresh(i + round);
            tenure_store(self, root, &((table *)root)->entries[i].first, object);
            object = fresh(i * 2 + round);
            tenure_store(self, root, &((table *)root)->entries[i].second, object);
            ((table *)root)->entries[i].plain = i;
        }
        step(round);
        const table *made = root;
        cr_assert(eq(u64, made->count, count));
        expect_leaf(made->fixed, round);
        for (size_t i = 0; i < count; i++) {
            expect_leaf(made->entries[i].first, i + round);
            expect_leaf(made->entries[i].second, i * 2 + round);
            cr_assert(eq(u64, made->entries[i].plain, i));
        }
    }
}

/* Too long for a map of their words. */
typedef struct wide {
    leaf *first;
    uint64_t plain[70];
    leaf *last;
} wide;
typedef struct wides {
    leaf *fixed;
    wide entries[];
} wides;
TENURE_TYPE_FLEX(wides_type, wides, entries, fixed, TENURE_ELEMENT(first), TENURE_ELEMENT(last));

static void check_wides(size_t count)
{
    root = tenure_new_flex(self, wides_type, count);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < count; i++) {
            leaf *object = fresh(i + round);
            tenure_store(self, root, &((wides *)root)->entries[i].first, object);
            object = fresh(i * 2 + round);
            tenure_store(self, root, &((wides *)root)->entries[i].last, object);
            ((wides *)root)->entries[i].plain[69] = heap->base + 64 * i;
        }
        step(round);
        for (size_t i = 0; i < count; i++) {
            const wide *entry = &((wides *)root)->entries[i];
            expect_leaf(entry->first, i + round);
            expect_leaf(entry->last, i * 2 + round);
            cr_assert(eq(u64, entry->plain[69], heap->base + 64 * i));
        }
    }
}

Test(trace, wide_elements) { check_wides(5); }
Test(trace, wide_elements_in_pieces) { check_wides(3000); }

Test(trace, table_of_0) { check_table(0); }
Test(trace, table_of_1) { check_table(1); }
Test(trace, table_of_100) { check_table(100); }
Test(trace, table_of_20000) { check_table(20000); }

static void check_refs(size_t count)
{
    root = tenure_new_flex(self, refs_type, count);
    for (unsigned round = 0; round < ROUNDS; round++) {
        leaf *object = fresh(round);
        tenure_store(self, root, &((refs *)root)->fixed, object);
        for (size_t i = round % 2; i < count; i += 2) {
            object = fresh(i);
            tenure_store(self, root, &((refs *)root)->flexible[i], object);
        }
        step(round);
        const refs *made = root;
        expect_leaf(made->fixed, round);
        for (size_t i = 0; i < count; i++)
            if (made->flexible[i] != NULL) expect_leaf(made->flexible[i], i);
    }
    for (size_t i = 0; i < count; i++) cr_assert(ne(ptr, ((refs *)root)->flexible[i], NULL));
}

Test(trace, refs_of_1) { check_refs(1); }
Test(trace, refs_of_2000) { check_refs(2000); }
Test(trace, refs_of_2045) { check_refs(2045); } /* the most that is small */
Test(trace, refs_of_50000) { check_refs(50000); }

/* Wherever it is among what is null. */
static void check_one_ref(size_t count, size_t step_by)
{
    for (size_t at = 0; at < count; at += step_by) {
        root = tenure_new_flex(self, refs_type, count);
        leaf *object = fresh(at);
        tenure_store(self, root, &((refs *)root)->flexible[at], object);
        step((unsigned)at % ROUNDS);
        for (size_t i = 0; i < count; i++)
            if (i != at) cr_assert(eq(ptr, ((refs *)root)->flexible[i], NULL));
        expect_leaf(((refs *)root)->flexible[at], at);
    }
}

Test(trace, one_ref_of_26) { check_one_ref(26, 1); }
Test(trace, one_ref_of_5000) { check_one_ref(5000, 61); }

/* The last of the fixed ones lies beyond a map of 64 words. */
typedef struct wide_refs {
    leaf *fixed;
    uint64_t plain[70];
    leaf *last;
    leaf *flexible[];
} wide_refs;
TENURE_TYPE_FLEX_REFS(wide_refs_type, wide_refs, flexible, fixed, last);

static void check_wide_refs(size_t count)
{
    root = tenure_new_flex(self, wide_refs_type, count);
    ((wide_refs *)root)->plain[69] = heap->base + 64;
    for (unsigned round = 0; round < ROUNDS; round++) {
        leaf *object = fresh(round);
        tenure_store(self, root, &((wide_refs *)root)->last, object);
        for (size_t i = 0; i < count; i++) {
            object = fresh(i + round);
            tenure_store(self, root, &((wide_refs *)root)->flexible[i], object);
        }
        step(round);
        const wide_refs *made = root;
        expect_leaf(made->last, round);
        for (size_t i = 0; i < count; i++) expect_leaf(made->flexible[i], i + round);
        cr_assert(eq(u64, made->plain[69], heap->base + 64));
    }
}

Test(trace, wide_refs) { check_wide_refs(5); }
Test(trace, wide_refs_in_pieces) { check_wide_refs(3000); }

Test(trace, array_of_structs)
{
    enum { COUNT = 3000 };
    root = tenure_new_array(self, pair_type, COUNT);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = round; i < COUNT; i += ROUNDS) {
            leaf *object = fresh(i);
            tenure_store_any(self, &((pair *)root)[i].second, object);
        }
        step(round);
        for (unsigned i = 0; i < COUNT; i++)
            if (i % ROUNDS <= round)
                expect_leaf(((pair *)root)[i].second, i);
            else
                cr_assert(eq(ptr, ((pair *)root)[i].second, NULL));
    }
}

/* --- precise slots take any word --- */

Test(trace, what_is_no_reference_is_ignored)
{
    mixed *made = tenure_new(self, mixed_type);
    root = made;
    const uintptr_t words[] = { 1, 2, 3, 0xfffffffffffffff1u, 16, heap->base - 16, heap->base + heap->arena_bytes,
        (uintptr_t)&heap, UINTPTR_MAX };
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        ((mixed *)root)->word = words[i];
        ((mixed *)root)->array[0] = (leaf *)words[i];
        step(i % ROUNDS);
        const mixed *now = root;
        cr_assert(eq(u64, now->word, words[i]));
        cr_assert(eq(ptr, now->array[0], (leaf *)words[i]));
    }
}

/* A fixnum that looks like an address with a tag: no reference unless its tag says so. */
Test(trace, tagged_references)
{
    heap_end(heap, self);
    tenure_options options = options_with("max_heap=128m,verify=before,after,torture=evacuate", TENURE_ROOTS_PRECISE);
    options.ref_tags = 1u << 0 | 1u << 1 | 1u << 5;
    begin_with(&options);
    root = tenure_new(self, mixed_type);
    const uintptr_t tags[] = { 0, 1, 5 };
    for (unsigned i = 0; i < 3; i++) {
        leaf *object = fresh(i);
        tenure_store(self, root, &((mixed *)root)->array[i], (void *)((uintptr_t)object | tags[i]));
    }
    leaf *untraced = fresh(9);
    const uintptr_t fixnum = (uintptr_t)untraced | 3;
    tenure_store(self, root, &((mixed *)root)->word, (void *)fixnum);
    for (unsigned round = 0; round < ROUNDS; round++) {
        step(round);
        for (unsigned i = 0; i < 3; i++) {
            const uintptr_t word = (uintptr_t)((mixed *)root)->array[i];
            cr_assert(eq(u64, word & 15, tags[i]));
            expect_leaf((leaf *)(word - tags[i]), i);
        }
        const mixed *made = root;
        cr_assert(eq(u64, made->word, fixnum));
    }
}

/* --- trace functions --- */

static _Atomic unsigned pieces;
typedef struct sack {
    uint64_t count;
    uintptr_t words[]; /* references, complemented when odd: only the trace function knows */
} sack;
static void trace_sack(void *object, void *low, void *high, tenure_visitor *visitor)
{
    sack *traced = object;
    atomic_fetch_add(&pieces, 1);
    for (uint64_t i = 0; i < traced->count; i += 2) {
        void *slot = &traced->words[i];
        if (slot >= low && slot < high) tenure_visit(visitor, slot);
    }
}
TENURE_TYPE_CUSTOM_FLEX(sack_type, sack, words, trace_sack);

static void check_sack(uint64_t count, const char *words)
{
    heap_end(heap, self);
    const tenure_options options = options_with(words, TENURE_ROOTS_PRECISE);
    begin_with(&options);
    root = tenure_new_flex(self, sack_type, count);
    ((sack *)root)->count = count;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (uint64_t i = 0; i < count; i++) {
            leaf *object = fresh(i);
            sack *made = root;
            tenure_will_write(self, made, &made->words[i], sizeof made->words[i]);
            made->words[i] = i % 2 == 0 ? (uintptr_t)object : hidden(object);
        }
        if (round % 2 == 1) spend_budget(self);
        step(round);
        for (uint64_t i = 0; i < count; i += 2) expect_leaf((leaf *)((sack *)root)->words[i], i);
    }
}

Test(trace, custom_small) { check_sack(50, "max_heap=128m,verify=before,after,torture=evacuate"); }
Test(trace, custom_large_in_pieces)
{
    check_sack(50000, "max_heap=128m,verify=before,after,torture=evacuate");
    cr_expect(lt(u32, 5, pieces));
}
Test(trace, custom_with_one_worker) { check_sack(20000, "max_heap=128m,verify=before,after,workers=1"); }
Test(trace, custom_led_by_the_daemon) { check_sack(20000, "max_heap=128m,verify=before,after,lead=daemon"); }

typedef struct entry {
    struct entry *next;
    unsigned char *value;
    uint64_t number;
} entry;
TENURE_TYPE(entry_type, entry, next, value);

static void expect_entries(unsigned count, size_t bytes)
{
    unsigned number = count;
    for (const entry *at = root; at != NULL; at = at->next) {
        cr_assert(eq(u64, at->number, --number));
        for (size_t i = 0; i < bytes; i++) cr_assert(eq(u8, at->value[i], (unsigned char)number));
    }
    cr_assert(eq(uint, number, 0));
}

static unsigned values_near(void)
{
    unsigned near = 0;
    for (const entry *at = root; at != NULL; at = at->next)
        near += (uintptr_t)at->value - (uintptr_t)at + 4096 < 2 * 4096;
    return near;
}

/* Leaves of some cache lines are promoted to where the objects that refer to them go; others are not. */
static void check_values(size_t bytes, bool near)
{
    const unsigned count = 2000;
    for (unsigned i = 0; i < count; i++) {
        TENURE_LOCALS(self, l, unsigned char *value;);
        l.value = tenure_new_bytes(self, bytes);
        memset(l.value, (int)i, bytes);
        entry *made = tenure_new(self, entry_type);
        TENURE_SET(self, made, value, l.value);
        TENURE_SET(self, made, next, root);
        made->number = i;
        root = made;
    }
    const tenure_generation generations[] = { TENURE_GEN0, TENURE_GEN1, TENURE_GEN2 };
    for (unsigned i = 0; i < 3; i++) {
        collect(self, generations[i]);
        expect_entries(count, bytes);
        cr_assert(near ? values_near() > count * 3 / 4 : values_near() < count / 4, "%u after %u", values_near(), i);
    }
}
Test(trace, values_of_72_bytes) { check_values(72, false); }
Test(trace, values_of_160_bytes) { check_values(160, true); }
Test(trace, values_of_992_bytes) { check_values(992, true); }
Test(trace, values_of_1008_bytes) { check_values(1008, false); }

/* --- types learnt at run time --- */

Test(trace, type_made_at_run_time)
{
    const size_t fixed[] = { 8 }, element[] = { 0, 16 };
    const tenure_type_spec spec = { .name = "made",
        .size = 16,
        .references = fixed,
        .reference_count = 1,
        .flex_offset = 16,
        .flex_stride = 24,
        .flex_references = element,
        .flex_reference_count = 2 };
    const tenure_type *type = tenure_type_create(&spec);
    cr_assert(type != NULL);
    const size_t counts[] = { 0, 7, 5000 };
    for (unsigned c = 0; c < 3; c++) {
        root = tenure_alloc(self, type, counts[c]);
        cr_assert(eq(ptr, (void *)tenure_type_of(root), (void *)type));
        for (unsigned round = 0; round < ROUNDS; round++) {
            leaf *object = fresh(round);
            tenure_store(self, root, (leaf **)root + 1, object);
            for (size_t i = 0; i < counts[c]; i++) {
                object = fresh(i);
                tenure_store(self, root, (leaf **)root + 2 + 3 * i, object);
                object = fresh(i + 1);
                tenure_store(self, root, (leaf **)root + 4 + 3 * i, object);
            }
            step(round);
            expect_leaf(((leaf **)root)[1], round);
            for (size_t i = 0; i < counts[c]; i++) {
                expect_leaf(((leaf **)root)[2 + 3 * i], i);
                expect_leaf(((leaf **)root)[4 + 3 * i], i + 1);
            }
        }
    }
}
