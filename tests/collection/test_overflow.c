/* Work lists without packets: a collection always completes, and finds everything. */
#include "tests/support.h"

typedef struct node {
    struct node *next;
    uint64_t value, check;
} node;
TENURE_TYPE(node_type, node, next);

typedef struct holder {
    uint64_t count;
    node *slots[];
} holder;

static void trace_holder(void *object, void *low, void *high, tenure_visitor *visitor)
{
    holder *traced = object;
    for (uint64_t i = 0; i < traced->count; i++) {
        node **slot = &traced->slots[i];
        if ((void *)slot >= low && (void *)slot < high) tenure_visit(visitor, slot);
    }
}
TENURE_TYPE_CUSTOM_FLEX(holder_type, holder, slots, trace_holder);

static tenure_heap *heap;
static tenure_thread *self;
static void *root;

static void begin(void)
{
    heap = precise_heap_with("max_heap=256m,torture=overflow,verify=before,after");
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
}
static void end(void) { heap_end(heap, self); }

TestSuite(overflow, .init = begin, .fini = end);

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

static void collect_each(void)
{
    collect(self, TENURE_GEN0);
    collect(self, TENURE_GEN1);
    collect(self, TENURE_GEN2);
    collect(self, TENURE_GEN2);
}

/* More slots in one piece than all work lists hold. */
static void wide_array(size_t count)
{
    root = TENURE_NEW_REFS(self, node, count);
    for (size_t i = 0; i < count; i++) TENURE_SET_AT(self, (node **)root, i, fresh(i));
    for (unsigned round = 0; round < 2; round++) {
        collect_each();
        for (size_t i = 0; i < count; i++) expect_node(((node **)root)[i], i);
        for (size_t i = 0; i < count; i += 2) TENURE_SET_AT(self, (node **)root, i, fresh(i));
    }
}

Test(overflow, array_of_2000) { wide_array(2000); }
Test(overflow, array_of_8000) { wide_array(8000); }
Test(overflow, array_of_100000) { wide_array(100000); }

Test(overflow, list)
{
    for (uint64_t i = 0; i < 50000; i++) {
        node *first = fresh(i);
        TENURE_SET(self, first, next, (node *)root);
        root = first;
    }
    for (unsigned round = 0; round < 2; round++) {
        collect_each();
        uint64_t i = 50000;
        for (const node *at = root; at != NULL; at = at->next) expect_node(at, --i);
        cr_assert(eq(u64, i, 0));
    }
}

static void fill_holder(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        node *young = fresh(i);
        holder *owner = root;
        tenure_store(self, owner, &owner->slots[i], young);
    }
}

Test(overflow, custom_objects)
{
    const uint64_t counts[] = { 10, 1500, 20000 };
    for (unsigned c = 0; c < 3; c++) {
        root = tenure_new_flex(self, holder_type, counts[c]);
        ((holder *)root)->count = counts[c];
        for (unsigned round = 0; round < 3; round++) {
            fill_holder(counts[c]);
            if (round % 2 == 0) spend_budget(self); /* led by a thread that calls no trace function */
            collect_each();
            for (uint64_t i = 0; i < counts[c]; i++) expect_node(((holder *)root)->slots[i], i);
        }
    }
}

/* The log of a custom object is lost, and the collection is led by a thread that calls no trace function. */
Test(overflow, lost_log_of_a_custom_object)
{
    root = tenure_new_flex(self, holder_type, 4);
    ((holder *)root)->count = 4;
    collect(self, TENURE_GEN2);
    collect(self, TENURE_GEN2);
    holder *old = root;
    cr_assert(eq(int, generation_of(heap, old), 2));
    node *young = fresh(1);
    const uint32_t packets = packets_take_all(heap);
    tenure_store(self, old, &old->slots[2], young);
    packets_give_all(heap, packets);
    spend_budget(self);
    old = root;
    expect_node(old->slots[2], 1);
    cr_expect(is_armed(old));
    for (unsigned i = 0; i < 3; i++) {
        spend_budget(self);
        expect_node(((holder *)root)->slots[2], 1);
    }
}

/* --- root callbacks --- */

enum { TABLE = 20000 };
static node *table[TABLE];
static void visit_table(tenure_visitor *visitor, void *arg)
{
    (void)arg;
    tenure_visit_range(visitor, table, TABLE);
}

/* The slots lie outside of the heap: there is no block that could be scanned again. */
Test(overflow, callback_with_many_roots)
{
    cr_assert(eq(int, tenure_root_callback_add(heap, visit_table, NULL), TENURE_OK));
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < TABLE; i++) table[i] = fresh(i);
        collect_each();
        for (unsigned i = 0; i < TABLE; i++) expect_node(table[i], i);
        for (unsigned i = 0; i < TABLE; i += 2) table[i] = fresh(i);
        spend_budget(self);
        for (unsigned i = 0; i < TABLE; i++) expect_node(table[i], i);
    }
    tenure_root_callback_remove(heap, visit_table, NULL);
}

enum { HUGE_TABLE = 500000 };
static node *huge[HUGE_TABLE];
static void visit_huge(tenure_visitor *visitor, void *arg)
{
    (void)arg;
    tenure_visit_range(visitor, huge, HUGE_TABLE);
}

/* The same with the usual number of packets: enough roots need no torture. */
Test(overflow, callback_with_half_a_million_roots)
{
    heap_end(heap, self);
    heap = precise_heap_with("max_heap=256m");
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_callback_add(heap, visit_huge, NULL), TENURE_OK));
    for (unsigned i = 0; i < HUGE_TABLE; i++) huge[i] = fresh(i);
    collect(self, TENURE_GEN2);
    for (unsigned i = 0; i < HUGE_TABLE; i++) expect_node(huge[i], i);
}

/* Every packet is a log's when the collection begins that has callbacks and custom objects to leave to others. */
Test(overflow, nothing_left_for_callbacks)
{
    enum { OLD = 3000 };
    cr_assert(eq(int, tenure_root_callback_add(heap, visit_table, NULL), TENURE_OK));
    root = TENURE_NEW_REFS(self, node, OLD);
    for (unsigned i = 0; i < OLD; i++) TENURE_SET_AT(self, (node **)root, i, fresh(i));
    collect(self, TENURE_GEN2);
    collect(self, TENURE_GEN2);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < OLD; i++) {
            node *young = fresh(i + round);
            node *owner = ((node **)root)[i];
            TENURE_SET(self, owner, next, young);
        }
        table[5] = fresh(5);
        spend_budget(self);
        expect_node(table[5], 5);
        for (unsigned i = 0; i < OLD; i++) expect_node(((node **)root)[i]->next, i + round);
    }
    tenure_root_callback_remove(heap, visit_table, NULL);
}

/* Custom objects on the Gen 2->1 list, of which most cannot be left to another thread for want of packets: they stay on
 * the list all the same. */
static void remembered_custom(size_t count)
{
    enum { OWNERS = 60 };
    heap_end(heap, self);
    heap = precise_heap_with("max_heap=256m,gen0=1m,gen1_after=1,verify=before,after");
    self = tenure_attach(heap);
    static holder *owners[OWNERS];
    cr_assert(eq(int, tenure_root_range_add(heap, owners, sizeof owners, TENURE_PRECISE), TENURE_OK));
    for (unsigned i = 0; i < OWNERS; i++) {
        owners[i] = tenure_new_flex(self, holder_type, count);
        owners[i]->count = count;
    }
    collect(self, TENURE_GEN2);
    for (unsigned round = 0; round < 20; round++) {
        node *pinned = fresh(round);
        cr_assert(eq(int, tenure_pin(self, pinned), TENURE_OK));
        for (unsigned i = 0; i < OWNERS; i++) tenure_store(self, owners[i], &owners[i]->slots[count - 1], pinned);
        collect(self, TENURE_GEN0);
        const uint32_t packets = packets_take_all(heap);
        spend_budget(self); /* Gen 0+1, led by a thread that calls no trace function */
        packets_give_all(heap, packets);
        cr_assert(eq(int, generation_of(heap, pinned), 1));
        tenure_unpin(self, pinned);
        collect(self, TENURE_GEN1);
        for (unsigned i = 0; i < 20000; i++) memset(tenure_new_bytes(self, 40), 0xee, 40);
        for (unsigned i = 0; i < OWNERS; i++) expect_node(owners[i]->slots[count - 1], round);
    }
}

Test(overflow, remembered_custom_objects) { remembered_custom(2); }
Test(overflow, remembered_cards_of_custom_objects) { remembered_custom(5000); }
