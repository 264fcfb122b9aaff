/* What ambiguous words on stacks point to stays where it is, everything else moves; blocks in which little is pinned go
 * back to the nursery with their residents. */
#include "tests/support.h"
#include <signal.h>

typedef struct node {
    struct node *next;
    uint64_t value, check;
} node;
TENURE_TYPE(node_type, node, next);

typedef struct empty {
    char nothing[8];
} empty;
TENURE_TYPE_LEAF(empty_type, empty);

static tenure_heap *heap;
static tenure_thread *self;

static void begin_with(const char *words)
{
    heap = heap_with(words);
    self = tenure_attach(heap);
    cr_assert(self != NULL);
}
static void begin(void) { begin_with("max_heap=128m,verify=before,after"); }
static void end(void) { heap_end(heap, self); }

TestSuite(pin, .init = begin, .fini = end);

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
    cr_assert(eq(u64, object->value, value));
    cr_assert(eq(u64, object->check, ~value));
}

static void churn(void)
{
    for (unsigned i = 0; i < 30000; i++) memset(tenure_new_bytes(self, 40), 0xee, 40);
}

/* A list whose head alone is known to the stack; returns where the others were. */
__attribute__((noinline)) static node *make_list(uintptr_t *places, unsigned count)
{
    node *list = NULL;
    for (unsigned i = 0; i < count; i++) {
        node *first = fresh(i);
        TENURE_SET(self, first, next, list);
        places[i] = hidden(first);
        list = first;
    }
    return list;
}

__attribute__((noinline)) static unsigned count_moved(const node *list, const uintptr_t *places, unsigned count)
{
    unsigned moved = 0;
    for (const node *at = list; at != NULL; at = at->next) {
        expect_node(at, --count);
        moved += at != shown(places[count]);
    }
    cr_assert(eq(u32, count, 0));
    return moved;
}

Test(pin, the_stack_pins_and_the_rest_moves)
{
    enum { COUNT = 10000 };
    static uintptr_t places[COUNT];
    node *volatile list = make_list(places, COUNT);
    clobber_stack();
    collect(self, TENURE_GEN0);
    cr_assert(eq(ptr, list, shown(places[COUNT - 1])));
    cr_expect(count_moved(list, places, COUNT) > COUNT * 9 / 10);
    churn();
    count_moved(list, places, COUNT);
    collect(self, TENURE_GEN2);
    cr_expect(eq(ptr, list, shown(places[COUNT - 1])), "still on the stack");
    churn();
    count_moved(list, places, COUNT);
}

/* --- addresses that are not the object's --- */

static void keeps(ptrdiff_t offset)
{
    enum { COUNT = 300 };
    static uintptr_t words[COUNT]; /* an ambiguous range instead of a stack: nothing else knows the objects */
    cr_assert(eq(int, tenure_root_range_add(heap, words, sizeof words, TENURE_AMBIGUOUS), TENURE_OK));
    for (unsigned i = 0; i < COUNT; i++) {
        node *object = fresh(i);
        words[i] = (uintptr_t)object + (uintptr_t)offset;
        if (i % 3 == 0) fresh(99);
    }
    clobber_stack();
    const tenure_generation generations[] = { TENURE_GEN0, TENURE_GEN1, TENURE_GEN0, TENURE_GEN2 };
    for (unsigned round = 0; round < 4; round++) {
        collect(self, generations[round]);
        churn();
        for (unsigned i = 0; i < COUNT; i++) expect_node((node *)(words[i] - (uintptr_t)offset), i);
    }
    tenure_root_range_remove(heap, words);
}

Test(pin, interior_pointer) { keeps(11); }
Test(pin, one_past_the_end) { keeps(sizeof(node)); }
Test(pin, header_address) { keeps(-8); }
Test(pin, last_byte) { keeps(sizeof(node) - 1); }

Test(pin, addresses_of_a_large_object)
{
    enum { BYTES = 100000 };
    const ptrdiff_t offsets[] = { 0, -8, 1, BYTES / 2, BYTES - 1, BYTES };
    static uintptr_t word;
    cr_assert(eq(int, tenure_root_range_add(heap, &word, sizeof word, TENURE_AMBIGUOUS), TENURE_OK));
    for (unsigned i = 0; i < 6; i++) {
        unsigned char *bytes = tenure_new_bytes(self, BYTES);
        cr_assert(bytes != NULL);
        memset(bytes, (int)i + 1, BYTES);
        word = (uintptr_t)bytes + (uintptr_t)offsets[i];
        bytes = NULL;
        clobber_stack();
        collect(self, TENURE_GEN0);
        collect(self, TENURE_GEN2);
        for (unsigned j = 0; j < 8; j++) memset(tenure_new_bytes(self, BYTES), 0xee, BYTES);
        bytes = (unsigned char *)(word - (uintptr_t)offsets[i]);
        for (unsigned j = 0; j < BYTES; j++) cr_assert(bytes[j] == i + 1);
    }
}

Test(pin, objects_of_one_granule)
{
    enum { COUNT = 2000 };
    static uintptr_t words[COUNT];
    cr_assert(eq(int, tenure_root_range_add(heap, words, sizeof words, TENURE_AMBIGUOUS), TENURE_OK));
    for (unsigned i = 0; i < COUNT; i++) {
        empty *object = tenure_new(self, empty_type);
        memset(object, (int)(i & 0x7f), sizeof *object);
        words[i] = i % 2 == 0 ? (uintptr_t)object : 0;
    }
    collect(self, TENURE_GEN0);
    churn();
    collect(self, TENURE_GEN1);
    churn();
    for (unsigned i = 0; i < COUNT; i += 2)
        for (unsigned j = 0; j < sizeof(empty); j++) {
            const empty *object = (const empty *)words[i];
            cr_assert(object->nothing[j] == (char)(i & 0x7f));
        }
}

/* --- residents --- */

/* Few are pinned in each block: the blocks go back to the nursery, and mutators allocate around the residents. */
Test(pin, residents_survive_in_the_nursery)
{
    enum { COUNT = 40, EVERY = 1500 };
    static uintptr_t words[COUNT];
    cr_assert(eq(int, tenure_root_range_add(heap, words, sizeof words, TENURE_AMBIGUOUS), TENURE_OK));
    for (unsigned i = 0; i < COUNT * EVERY; i++) {
        node *object = fresh(i / EVERY);
        if (i % EVERY == 0) words[i / EVERY] = (uintptr_t)object;
    }
    clobber_stack();
    collect(self, TENURE_GEN0);
    unsigned residents = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        const uint32_t block = tenure__block_index(heap, words[i]);
        residents += (tenure__flags_of(&heap->blocks[block]) & TENURE__BLOCK_RESIDENTS) != 0;
        const void *resident = (void *)words[i];
        cr_assert(eq(int, generation_of(heap, resident), 1));
        cr_assert(eq(u32, tenure__kind_generation(tenure__kind_of(heap, block)), 0));
    }
    cr_expect(residents > COUNT / 2);
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < 5000; i++) memset(tenure_new_bytes(self, 16 + i % 200), 0xee, 16);
        /* They are old: the barrier holds for them as well. */
        node *owner = (node *)words[round % COUNT];
        node *young = fresh(round);
        TENURE_SET(self, owner, next, young);
        collect(self, TENURE_GEN0);
        for (unsigned i = 0; i < COUNT; i++) expect_node((node *)words[i], i);
        expect_node(((node *)words[round % COUNT])->next, round);
    }
    collect(self, TENURE_GEN1);
    for (unsigned i = 0; i < COUNT; i++) expect_node((node *)words[i], i);
    tenure_root_range_remove(heap, words);
}

/* Gen 1 is measured in blocks: a pin in each chunk must not turn whole chunks into Gen 1. */
Test(pin, pinned_chunks_do_not_eat_the_nursery)
{
    heap_end(heap, self);
    begin_with("max_heap=128m,gen0=4m,verify=after");
    static uintptr_t words[100];
    cr_assert(eq(int, tenure_root_range_add(heap, words, sizeof words, TENURE_AMBIGUOUS), TENURE_OK));
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 100; i++) {
            words[i] = (uintptr_t)fresh(i);
            for (unsigned j = 0; j < 700; j++) fresh(j);
        }
        collect(self, TENURE_GEN0);
    }
    cr_expect(lt(u64, stats_of(heap).heap_bytes, 16u << 20));
    for (unsigned i = 0; i < 100; i++) expect_node((node *)words[i], i);
}

/* --- tenure_pin --- */

Test(pin, explicit_pins_are_counted)
{
    static node *root;
    heap_end(heap, self);
    heap = precise_heap_with("max_heap=128m,verify=before,after,torture=evacuate");
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
    root = fresh(1);
    node *const place = root;
    for (unsigned i = 0; i < 2; i++) cr_assert(eq(int, tenure_pin(self, place), TENURE_OK));
    for (int generation = 0; generation < 3; generation++) {
        collect(self, (tenure_generation)generation);
        cr_assert(eq(ptr, root, place));
    }
    tenure_unpin(self, place);
    collect(self, TENURE_GEN2);
    cr_assert(eq(ptr, root, place));
    tenure_unpin(self, place);
    collect(self, TENURE_GEN2);
    cr_expect(ne(ptr, root, place));
    expect_node(root, 1);
}

Test(pin, a_pin_keeps_alive)
{
    node *object = fresh(6);
    const uintptr_t place = hidden(object);
    cr_assert(eq(int, tenure_pin(self, object), TENURE_OK));
    object = NULL;
    clobber_stack();
    for (int generation = 0; generation < 3; generation++) {
        collect(self, (tenure_generation)generation);
        churn();
        expect_node(shown(place), 6);
    }
    tenure_unpin(self, shown(place));
}

/* A block that becomes Gen 2 in place for what is pinned in it: what is copied into its holes is not more than there
 * was. */
Test(pin, holes_around_what_is_pinned_are_counted)
{
    enum { COUNT = 3000, BYTES = 1000 };
    void *first = NULL;
    for (unsigned i = 0; i < COUNT; i++) {
        void *bytes = tenure_new_bytes(self, BYTES);
        if (i % 3 == 0) cr_assert(eq(int, tenure_pin(self, bytes), TENURE_OK));
        if (i == 0) first = bytes;
    }
    for (unsigned i = 0; i < 2; i++) collect(self, TENURE_GEN1);
    cr_assert(eq(int, generation_of(heap, first), 2));
    const uint64_t holes = stats_of(heap).hole_bytes;
    cr_expect(lt(u64, COUNT * BYTES / 2, holes));
    void **volatile kept = TENURE_NEW_REFS(self, void, COUNT);
    for (unsigned i = 0; i < COUNT; i++) TENURE_SET_AT(self, (void **)kept, i, fresh(i));
    for (unsigned i = 0; i < 2; i++) collect(self, TENURE_GEN1);
    cr_expect(lt(u64, stats_of(heap).hole_bytes, holes));
    cr_expect(eq(u64, stats_of(heap).collections[2], 0));
    tenure_keep_alive(kept);
}

Test(pin, unpin_of_what_is_not_pinned, .signal = SIGABRT)
{
    be_quiet();
    tenure_unpin(self, fresh(1));
}

/* --- what is not pinned dies --- */

Test(pin, garbage_goes_although_stacks_are_ambiguous)
{
    enum { COUNT = 200000 };
    static uintptr_t places[COUNT];
    node *volatile list = make_list(places, COUNT);
    collect(self, TENURE_GEN2);
    const uint64_t held = stats_of(heap).heap_bytes;
    count_moved(list, places, 0 + COUNT);
    list = NULL;
    clobber_stack();
    collect(self, TENURE_GEN2);
    cr_expect(lt(u64, stats_of(heap).heap_bytes, held / 5));
}
