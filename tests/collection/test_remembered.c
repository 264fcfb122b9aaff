/* Edges from older to younger objects: the barrier, the logs, the Gen 2->1 list, and what happens when a log is lost.
 */
#include "tests/support.h"

typedef struct node {
    struct node *next, *other;
    uint64_t value, check;
} node;
TENURE_TYPE(node_type, node, next, other);

static node *root, *second;
static tenure_heap *heap;
static tenure_thread *self;

static void begin(void)
{
    heap = precise_heap_with("max_heap=64m,gen0=1m,gen1_after=1000,verify=before,after,torture=evacuate");
    self = tenure_attach(heap);
    cr_assert(self != NULL);
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
    cr_assert(eq(int, tenure_root_add(heap, &second), TENURE_OK));
}
static void end(void) { heap_end(heap, self); }

TestSuite(remembered, .init = begin, .fini = end);

static node *fresh(uint64_t value)
{
    node *object = tenure_new(self, node_type);
    cr_assert(object != NULL);
    object->value = value;
    object->check = ~value;
    return object;
}

static void expect_node(const node *object, uint64_t value)
{
    cr_assert(object != NULL);
    cr_assert(eq(u64, object->value, value));
    cr_assert(eq(u64, object->check, ~value));
}

/* Overwrites what died, if it was given back. */
static void churn(void)
{
    for (unsigned i = 0; i < 20000; i++) memset(tenure_new_bytes(self, 40), 0xee, 40);
}

static void make_old_root(void)
{
    root = fresh(1);
    collect(self, TENURE_GEN2);
    collect(self, TENURE_GEN2);
    cr_assert(eq(int, generation_of(heap, root), 2));
    cr_assert(is_armed(root));
}

Test(remembered, gen2_to_gen0)
{
    make_old_root();
    node *young = fresh(2);
    TENURE_SET(self, root, next, young);
    cr_expect(not(is_armed(root)), "the store has logged the object");
    collect(self, TENURE_GEN0);
    expect_node(root->next, 2);
    cr_expect(eq(int, generation_of(heap, root->next), 1));
    cr_expect(is_armed(root), "the collection has armed it again");
    cr_expect(is_armed(root->next));
    cr_expect(is_remembered(root), "Gen 2 leads to Gen 1");
    churn();
    expect_node(root->next, 2);
}

/* What the barrier is for: the same without it. If this node lived, the tests above would prove nothing. */
Test(remembered, without_barrier_the_object_is_not_found)
{
    tenure_heap *unchecked = precise_heap_with("max_heap=64m");
    tenure_thread *me = tenure_attach(unchecked);
    cr_assert(eq(int, tenure_root_add(unchecked, &second), TENURE_OK));
    second = tenure_new(me, node_type);
    collect(me, TENURE_GEN2);
    collect(me, TENURE_GEN2);
    node *young = tenure_new(me, node_type);
    second->next = young;
    collect(me, TENURE_GEN0);
    cr_expect(second->next == young, "nobody updated the field");
    cr_expect(not(tenure_object_at(unchecked, young) == young));
    second = NULL;
    heap_end(unchecked, me);
}

Test(remembered, gen1_to_gen0)
{
    root = fresh(1);
    collect(self, TENURE_GEN0);
    cr_assert(eq(int, generation_of(heap, root), 1));
    cr_assert(is_armed(root));
    node *young = fresh(2);
    TENURE_SET(self, root, next, young);
    cr_expect(not(is_armed(root)));
    collect(self, TENURE_GEN0);
    expect_node(root->next, 2);
    cr_expect(is_armed(root));
    cr_expect(not(is_remembered(root)));
}

/* Of what is not younger nothing is noted; the first young value is, whichever store brought it. */
Test(remembered, only_younger_values_are_logged)
{
    make_old_root();
    second = fresh(2);
    collect(self, TENURE_GEN2);
    collect(self, TENURE_GEN2);
    cr_assert(eq(int, generation_of(heap, second), 2));
    TENURE_SET(self, root, next, second);
    TENURE_SET(self, root, other, NULL);
    TENURE_SET(self, root, other, root);
    cr_expect(is_armed(root), "Gen 2 leads to Gen 2");
    collect(self, TENURE_GEN0);
    node *young = fresh(3);
    TENURE_SET(self, root, other, young);
    cr_expect(not(is_armed(root)));
    TENURE_SET(self, root, next, root);
    collect(self, TENURE_GEN0);
    churn();
    expect_node(root->other, 3);
    cr_expect(root->next == root);
    expect_node(second, 2);
}

/* Older than Gen 0 is not enough: an edge from Gen 2 to Gen 1 counts, from Gen 1 to Gen 1 none does. */
Test(remembered, values_in_gen1)
{
    make_old_root();
    second = fresh(2);
    collect(self, TENURE_GEN0);
    cr_assert(eq(int, generation_of(heap, second), 1));
    TENURE_SET(self, second, next, second);
    cr_expect(is_armed(second), "Gen 1 leads to Gen 1");
    TENURE_SET(self, root, next, second);
    cr_expect(not(is_armed(root)), "Gen 2 leads to Gen 1");
    second = NULL;
    collect(self, TENURE_GEN1);
    churn();
    expect_node(root->next, 2);
    cr_expect(root->next->next == root->next);
}

/* An exchange is a store of what it brings. */
Test(remembered, exchanges_of_younger_values)
{
    make_old_root();
    node *expected = NULL;
    cr_assert(tenure_compare_exchange(self, root, &root->next, &expected, root));
    cr_assert(tenure_exchange(self, root, &root->other, root) == NULL);
    cr_expect(is_armed(root));
    node *young = fresh(2);
    expected = root;
    cr_assert(tenure_compare_exchange(self, root, &root->next, &expected, young));
    cr_expect(not(is_armed(root)));
    collect(self, TENURE_GEN0);
    cr_assert(is_armed(root));
    young = fresh(3);
    cr_assert(tenure_exchange(self, root, &root->other, young) == root);
    collect(self, TENURE_GEN0);
    churn();
    expect_node(root->next, 2);
    expect_node(root->other, 3);
}

/* The edge is made by the young collection, not by a store into the field afterwards. */
Test(remembered, gen2_to_gen1_survives_young_collections)
{
    make_old_root();
    TENURE_SET(self, root, next, fresh(2));
    for (unsigned i = 0; i < 5; i++) {
        collect(self, TENURE_GEN0);
        churn();
        expect_node(root->next, 2);
        cr_expect(eq(int, generation_of(heap, root->next), 1));
    }
    const uintptr_t before = hidden(root->next);
    collect(self, TENURE_GEN1);
    expect_node(root->next, 2);
    cr_expect(eq(int, generation_of(heap, root->next), 2));
    cr_expect(ne(ptr, root->next, shown(before)));
    cr_expect(not(is_remembered(root)), "the list is built anew, and nothing leads to Gen 1 any more");
    churn();
    for (unsigned i = 0; i < 3; i++) collect(self, TENURE_GEN1);
    expect_node(root->next, 2);
}

Test(remembered, gen1_list_behind_a_gen2_object)
{
    make_old_root();
    for (unsigned round = 0; round < 20; round++) {
        node *list = NULL;
        TENURE_SET(self, root, next, NULL);
        for (uint64_t i = 0; i < 500; i++) {
            /* A precise heap: the list hangs on a root while the next node is allocated. */
            second = list;
            node *first = fresh(i);
            TENURE_SET(self, first, next, second);
            list = first;
        }
        second = NULL;
        TENURE_SET(self, root, next, list);
        collect(self, TENURE_GEN0);
        churn();
        collect(self, round % 3 == 2 ? TENURE_GEN1 : TENURE_GEN0);
        uint64_t i = 500;
        for (const node *at = root->next; at != NULL; at = at->next) expect_node(at, --i);
        cr_assert(eq(u64, i, 0));
    }
}

/* A Gen 0+1 collection promotes the owner while its target, pinned in a sparse block, stays in Gen 1: no store made
 * the edge. */
Test(remembered, edge_to_a_pinned_object_that_stays_in_gen1)
{
    root = fresh(1);
    collect(self, TENURE_GEN0);
    node *pinned = fresh(2);
    cr_assert(eq(int, tenure_pin(self, pinned), TENURE_OK));
    TENURE_SET(self, root, next, pinned);
    collect(self, TENURE_GEN0);
    cr_assert(eq(ptr, root->next, pinned));
    collect(self, TENURE_GEN1);
    cr_assert(eq(int, generation_of(heap, root), 2));
    cr_assert(eq(int, generation_of(heap, pinned), 1), "the few that are pinned stay with the nursery");
    cr_expect(is_remembered(root));
    tenure_unpin(self, pinned);
    collect(self, TENURE_GEN1);
    churn();
    expect_node(root->next, 2);
    cr_expect(ne(ptr, root->next, pinned), "free to move");
}

/* --- every way to store --- */

Test(remembered, every_store_has_the_barrier)
{
    for (unsigned way = 0; way < 7; way++) {
        make_old_root();
        node *young = fresh(way);
        node *expected = NULL;
        switch (way) {
        case 0:
            TENURE_SET(self, root, next, young);
            break;
        case 1:
            tenure_store(self, root, &root->next, young);
            break;
        case 2:
            tenure_store_release(self, root, &root->next, young);
            break;
        case 3:
            cr_expect(eq(ptr, tenure_exchange(self, root, &root->next, young), NULL));
            break;
        case 4:
            cr_expect(tenure_compare_exchange(self, root, &root->next, &expected, young));
            break;
        case 5:
            TENURE_SET_ANY(self, root, next, young);
            break;
        case 6:
            tenure_copy_refs(self, root, &root->next, &young, 1);
            break;
        }
        cr_expect(not(is_armed(root)), "way %u", way);
        collect(self, TENURE_GEN0);
        expect_node(root->next, way);
    }
}

Test(remembered, failed_exchange_changes_nothing)
{
    make_old_root();
    node *one = fresh(1), *two = fresh(2);
    TENURE_SET(self, root, next, one);
    node *expected = two;
    cr_expect(not(tenure_compare_exchange(self, root, &root->next, &expected, two)));
    cr_expect(eq(ptr, expected, one));
    cr_expect(eq(ptr, root->next, one));
}

Test(remembered, will_write_covers_plain_stores)
{
    make_old_root();
    node *one = fresh(11), *two = fresh(12);
    tenure_will_write(self, root, root, sizeof *root);
    *root = (node) { one, two, 5, ~(uint64_t)5 };
    collect(self, TENURE_GEN0);
    expect_node(root, 5);
    expect_node(root->next, 11);
    expect_node(root->other, 12);
    cr_expect(is_armed(root));
}

Test(remembered, store_any_outside_the_heap)
{
    node plain = { 0 };
    root = fresh(3);
    TENURE_SET_ANY(self, &plain, next, root);
    cr_expect(eq(ptr, plain.next, root));
}

/* --- more than a packet --- */

Test(remembered, many_logged_objects)
{
    enum { MANY = 3000 };
    second = (node *)TENURE_NEW_REFS(self, node, MANY);
    for (unsigned i = 0; i < MANY; i++) TENURE_SET_AT(self, (node **)second, i, fresh(i));
    collect(self, TENURE_GEN2);
    const uint64_t logged = stats_of(heap).logged_objects;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            node *young = fresh(i + 7);
            TENURE_SET(self, ((node **)second)[i], next, young);
        }
        collect(self, TENURE_GEN0);
        churn();
        for (unsigned i = 0; i < MANY; i++) expect_node(((node **)second)[i]->next, i + 7);
    }
    cr_expect(ge(u64, stats_of(heap).logged_objects - logged, 3 * MANY));
}

/* --- logs that are lost: the block is scanned instead --- */

static void store_without_packets(node *owner, node *value)
{
    const uint32_t packets = packets_take_all(heap);
    TENURE_SET(self, owner, next, value);
    packets_give_all(heap, packets);
}

Test(remembered, lost_log_of_a_young_collection)
{
    make_old_root();
    store_without_packets(root, fresh(2));
    collect(self, TENURE_GEN0);
    churn();
    expect_node(root->next, 2);
    cr_expect(is_armed(root));
    TENURE_SET(self, root, next, fresh(3));
    collect(self, TENURE_GEN0);
    expect_node(root->next, 3);
}

Test(remembered, lost_log_of_a_gen1_collection)
{
    make_old_root();
    store_without_packets(root, fresh(2));
    collect(self, TENURE_GEN1);
    churn();
    expect_node(root->next, 2);
    cr_expect(is_armed(root));
}

/* Without evacuation: the object stays where it is, so that nothing but the sweep can arm it. */
Test(remembered, lost_log_of_a_full_collection)
{
    heap_end(heap, self);
    heap = precise_heap_with("max_heap=64m,verify=before,after");
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
    cr_assert(eq(int, tenure_root_add(heap, &second), TENURE_OK));
    /* Enough beside it that its block is not sparse. */
    for (unsigned i = 0; i < 2000; i++) {
        node *object = fresh(i);
        object->next = root;
        root = object;
    }
    collect(self, TENURE_GEN2);
    collect(self, TENURE_GEN2);
    second = root->next->next;
    const node *place = second;
    node *young = fresh(75);
    TENURE_SET(self, second, other, young);
    cr_assert(not(is_armed(second)));
    collect(self, TENURE_GEN2);
    cr_assert(eq(ptr, second, (node *)place));
    cr_assert(is_armed(second));
    young = fresh(76);
    const uint32_t packets = packets_take_all(heap);
    TENURE_SET(self, second, other, young);
    packets_give_all(heap, packets);
    cr_assert(not(is_armed(second)));
    collect(self, TENURE_GEN2);
    cr_assert(eq(ptr, second, (node *)place));
    cr_expect(is_armed(second), "every object older than Gen 0 is armed after a collection");
    TENURE_SET(self, second, other, fresh(77));
    collect(self, TENURE_GEN0);
    churn();
    expect_node(second->other, 77);
}
