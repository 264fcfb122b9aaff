/* Large arrays of references: cards, bulk stores, and the Gen 2->1 state that cards have of their own. */
#include "tests/support.h"

typedef struct leaf {
    uint64_t value, check;
} leaf;
TENURE_TYPE_LEAF(leaf_type, leaf);

static leaf **array;
static leaf *kept;
static tenure_heap *heap;
static tenure_thread *self;

static void begin_with(const char *words)
{
    heap = precise_heap_with(words);
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &array), TENURE_OK));
    cr_assert(eq(int, tenure_root_add(heap, &kept), TENURE_OK));
}
static void begin(void) { begin_with("max_heap=256m,gen0=1m,gen1_after=1000,verify=before,after"); }
static void end(void) { heap_end(heap, self); }

TestSuite(cards, .init = begin, .fini = end);

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

static void churn(void)
{
    for (unsigned i = 0; i < 20000; i++) memset(tenure_new_bytes(self, 40), 0xee, 40);
}

static void make_array(size_t count, int generation)
{
    array = TENURE_NEW_REFS(self, leaf, count);
    cr_assert(array != NULL);
    cr_assert(is_large(array));
    if (generation == 1) collect(self, TENURE_GEN0);
    if (generation == 2) collect(self, TENURE_GEN2);
    cr_assert(eq(int, generation_of(heap, array), generation));
    cr_assert(eq(int, is_armed(array), generation != 0));
}

/* A million elements, random stores; a shadow tells what each must hold. */
static void random_stores(int generation)
{
    enum { COUNT = 1000000, STORES = 20000, ROUNDS = 5 };
    uint64_t *shadow = calloc(COUNT, sizeof *shadow), random = 7;
    make_array(COUNT, generation);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < STORES; i++) {
            const size_t at = next_random(&random) % COUNT;
            shadow[at] = next_random(&random) | 1;
            leaf *young = fresh(shadow[at]);
            TENURE_SET_AT(self, array, at, young);
        }
        collect(self, round == 3 ? TENURE_GEN1 : TENURE_GEN0);
        churn();
        for (size_t i = 0; i < COUNT; i++)
            if (shadow[i] != 0)
                expect_leaf(array[i], shadow[i]);
            else
                cr_assert(array[i] == NULL);
        cr_assert(is_armed(array), "large objects stay armed: their cards tell");
    }
    free(shadow);
}

Test(cards, random_stores_gen0) { random_stores(0); }
Test(cards, random_stores_gen1) { random_stores(1); }
Test(cards, random_stores_gen2) { random_stores(2); }

Test(cards, first_and_last_element)
{
    enum { COUNT = 100000 };
    make_array(COUNT, 2);
    for (unsigned round = 0; round < 4; round++) {
        TENURE_SET_AT(self, array, 0, fresh(round));
        TENURE_SET_AT(self, array, COUNT - 1, fresh(round + 1));
        collect(self, TENURE_GEN0);
        churn();
        expect_leaf(array[0], round);
        expect_leaf(array[COUNT - 1], round + 1);
    }
}

/* Nothing is stored after the first young collection: only the cards' second state knows of the edges to Gen 1. */
Test(cards, edges_to_gen1_stay_known)
{
    enum { COUNT = 50000 };
    make_array(COUNT, 2);
    for (unsigned i = 0; i < COUNT; i += 97) TENURE_SET_AT(self, array, i, fresh(i));
    for (unsigned round = 0; round < 3; round++) {
        collect(self, TENURE_GEN0);
        churn();
        for (unsigned i = 0; i < COUNT; i += 97) cr_assert(eq(int, generation_of(heap, array[i]), 1));
    }
    collect(self, TENURE_GEN1);
    churn();
    for (unsigned i = 0; i < COUNT; i += 97) {
        expect_leaf(array[i], i);
        cr_assert(eq(int, generation_of(heap, array[i]), 2));
    }
}

Test(cards, copy_refs_in_bulk)
{
    enum { COUNT = 20000, PART = 5000 };
    make_array(COUNT, 2);
    static leaf *source[PART];
    cr_assert(eq(int, tenure_root_range_add(heap, source, sizeof source, TENURE_PRECISE), TENURE_OK));
    for (unsigned i = 0; i < PART; i++) source[i] = fresh(i);
    tenure_copy_refs(self, array, array + 3, source, PART);
    tenure_copy_refs(self, array, array + COUNT - PART, source, PART);
    memset(source, 0, sizeof source);
    collect(self, TENURE_GEN0);
    churn();
    for (unsigned i = 0; i < PART; i++) {
        expect_leaf(array[3 + i], i);
        cr_assert(eq(ptr, array[COUNT - PART + i], array[3 + i]));
    }
    /* As memmove: within the array, overlapping. */
    for (unsigned i = 0; i < PART; i++) TENURE_SET_AT(self, array, i, fresh(i + 100));
    tenure_copy_refs(self, array, array + 10, array, PART);
    collect(self, TENURE_GEN0);
    churn();
    for (unsigned i = 0; i < PART; i++) expect_leaf(array[10 + i], i + 100);
}

static int by_value_down(const void *a, const void *b)
{
    const leaf *x = *(leaf *const *)a, *y = *(leaf *const *)b;
    return x->value < y->value ? 1 : x->value > y->value ? -1 : 0;
}

Test(cards, will_write_then_sort)
{
    enum { COUNT = 10000 };
    make_array(COUNT, 2);
    for (unsigned i = 0; i < COUNT; i++) TENURE_SET_AT(self, array, i, fresh(i));
    /* Every other one grows old, so that the sort mixes generations. */
    collect(self, TENURE_GEN1);
    for (unsigned i = 0; i < COUNT; i += 2) TENURE_SET_AT(self, array, i, fresh(i));
    collect(self, TENURE_GEN0);
    for (unsigned i = 0; i < COUNT; i += 3) TENURE_SET_AT(self, array, i, fresh(i));
    tenure_will_write(self, array, array, COUNT * sizeof array[0]);
    qsort(array, COUNT, sizeof array[0], by_value_down);
    collect(self, TENURE_GEN0);
    churn();
    collect(self, TENURE_GEN1);
    churn();
    for (unsigned i = 0; i < COUNT; i++) expect_leaf(array[i], COUNT - 1 - i);
}

/* A store whose card could not be logged; then an ordinary one to the same block of the array. */
Test(cards, store_after_a_lost_log)
{
    make_array(10000, 2);
    leaf *young = fresh(1);
    const uint32_t packets = packets_take_all(heap);
    TENURE_SET_AT(self, array, 5, young);
    packets_give_all(heap, packets);
    collect(self, TENURE_GEN0);
    churn();
    expect_leaf(array[5], 1);
    TENURE_SET_AT(self, array, 6, fresh(2));
    collect(self, TENURE_GEN0);
    churn();
    expect_leaf(array[6], 2);
    collect(self, TENURE_GEN2);
    TENURE_SET_AT(self, array, 7, fresh(3));
    collect(self, TENURE_GEN0);
    churn();
    expect_leaf(array[7], 3);
}

/* Arrays that are promoted by the collection that finds their cards dirty and the targets pinned in a sparse block.
 * Many, so that workers meet some by their roots before they come to the logs. */
static void promote_with_a_pinned_target(tenure_generation generation)
{
    enum { ARRAYS = 60, COUNT = 5000 };
    static leaf **arrays[ARRAYS];
    cr_assert(eq(int, tenure_root_range_add(heap, arrays, sizeof arrays, TENURE_PRECISE), TENURE_OK));
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < ARRAYS; i++) arrays[i] = TENURE_NEW_REFS(self, leaf, COUNT);
        collect(self, TENURE_GEN0);
        leaf *pinned = fresh(round);
        cr_assert(eq(int, tenure_pin(self, pinned), TENURE_OK));
        for (unsigned i = 0; i < ARRAYS; i++) TENURE_SET_AT(self, arrays[i], COUNT / 2, pinned);
        collect(self, generation);
        cr_assert(eq(int, generation_of(heap, arrays[0]), 2));
        cr_assert(eq(int, generation_of(heap, pinned), 1));
        tenure_unpin(self, pinned);
        collect(self, TENURE_GEN1);
        for (unsigned i = 0; i < ARRAYS; i++) {
            expect_leaf(arrays[i][COUNT / 2], round);
            cr_assert(ne(ptr, arrays[i][COUNT / 2], pinned));
        }
        memset(arrays, 0, sizeof arrays);
        collect(self, TENURE_GEN2);
    }
}

Test(cards, promoted_by_gen1_collection_with_a_pinned_target) { promote_with_a_pinned_target(TENURE_GEN1); }
Test(cards, promoted_by_full_collection_with_a_pinned_target) { promote_with_a_pinned_target(TENURE_GEN2); }

/* The run is given back and taken again: no card of the old array may be left, nor may its content. */
Test(cards, reused_run_is_clean)
{
    enum { COUNT = 40000 };
    for (unsigned round = 0; round < 6; round++) {
        make_array(COUNT, 0);
        for (unsigned i = 0; i < COUNT; i++) cr_assert(array[i] == NULL);
        collect(self, TENURE_GEN2);
        for (unsigned i = 0; i < COUNT; i += 5) TENURE_SET_AT(self, array, i, fresh(i));
        if (round % 2 == 0) collect(self, TENURE_GEN0);
        array = NULL;
        collect(self, TENURE_GEN2);
    }
}

Test(cards, element_that_dies)
{
    make_array(10000, 2);
    for (unsigned i = 0; i < 10000; i++) TENURE_SET_AT(self, array, i, fresh(i));
    collect(self, TENURE_GEN0);
    for (unsigned i = 0; i < 10000; i++) TENURE_SET_AT(self, array, i, NULL);
    const uint64_t before = stats_of(heap).copied_objects;
    collect(self, TENURE_GEN1);
    cr_expect(lt(u64, stats_of(heap).copied_objects - before, 10));
}
