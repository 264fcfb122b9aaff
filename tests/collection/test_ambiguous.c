/* Ambiguous objects: any word may be a pointer, and what it points to stays where it is. */
#include "tests/support.h"

typedef struct vague {
    uintptr_t words[6];
} vague;
TENURE_TYPE_AMBIGUOUS(vague_type, vague);

typedef struct vagues {
    uint64_t count;
    uintptr_t words[];
} vagues;
TENURE_TYPE_AMBIGUOUS_FLEX(vagues_type, vagues, words);

typedef struct leaf {
    uint64_t value, check;
} leaf;
TENURE_TYPE_LEAF(leaf_type, leaf);

static tenure_heap *heap;
static tenure_thread *self;
static vague *root, *second;

static void begin_with(const char *words)
{
    heap = precise_heap_with(words);
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
    cr_assert(eq(int, tenure_root_add(heap, &second), TENURE_OK));
}
static void begin(void) { begin_with("max_heap=64m,verify=before,after,torture=evacuate"); }
static void end(void) { heap_end(heap, self); }

TestSuite(ambiguous, .init = begin, .fini = end);

static leaf *fresh(uint64_t value)
{
    leaf *object = tenure_new(self, leaf_type);
    cr_assert(object != NULL);
    *object = (leaf) { value, ~value };
    return object;
}

static void expect_leaf(uintptr_t word, uint64_t value)
{
    const leaf *object = (const leaf *)word;
    cr_assert(eq(u64, object->value, value));
    cr_assert(eq(u64, object->check, ~value));
}

static void churn(void)
{
    for (unsigned i = 0; i < 20000; i++) memset(tenure_new_bytes(self, 40), 0xee, 40);
}

static void set_word(vague *object, unsigned i, const void *value)
{
    tenure_store(self, object, &object->words[i], value);
}

Test(ambiguous, referents_stay_where_they_are)
{
    root = tenure_new(self, vague_type);
    leaf *const target = fresh(3);
    set_word(root, 2, target);
    const tenure_generation generations[] = { TENURE_GEN0, TENURE_GEN1, TENURE_GEN0, TENURE_GEN2, TENURE_GEN2 };
    for (unsigned i = 0; i < 5; i++) {
        collect(self, generations[i]);
        churn();
        cr_assert(eq(u64, root->words[2], (uintptr_t)target));
        expect_leaf(root->words[2], 3);
    }
}

/* Interior, one past the end, the header's address: each keeps its object. */
Test(ambiguous, any_address_of_the_object)
{
    root = tenure_new(self, vague_type);
    leaf *inside = fresh(1), *at_header = fresh(2), *past_end = fresh(3);
    set_word(root, 0, (char *)inside + 5);
    set_word(root, 1, (char *)at_header - 8);
    set_word(root, 2, (char *)past_end + tenure_size_of(past_end));
    collect(self, TENURE_GEN0);
    churn();
    collect(self, TENURE_GEN2);
    churn();
    expect_leaf(root->words[0] - 5, 1);
    expect_leaf(root->words[1] + 8, 2);
    expect_leaf(root->words[2] - tenure_size_of(past_end), 3);
}

Test(ambiguous, no_pointers_at_all)
{
    root = tenure_new(self, vague_type);
    for (unsigned i = 0; i < 6; i++) root->words[i] = heap->base + heap->arena_bytes - 1 - i * 0x1001;
    root->words[5] = UINTPTR_MAX;
    for (int generation = 0; generation < 3; generation++) collect(self, (tenure_generation)generation);
    cr_expect(eq(u64, root->words[5], UINTPTR_MAX));
}

/* Dead or alive they pin, but being pinned is not being alive. */
Test(ambiguous, dead_cycles_are_reclaimed)
{
    enum { CYCLES = 20000 };
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < CYCLES; i++) {
            root = tenure_new(self, vague_type);
            second = tenure_new(self, vague_type);
            set_word(root, 0, second);
            set_word(second, 0, root);
        }
        root = second = NULL;
        /* The first rounds die young, the others in Gen 2. */
        if (round >= 2) collect(self, TENURE_GEN2);
        collect(self, TENURE_GEN2);
        cr_expect(lt(u64, stats_of(heap).heap_bytes, 64u * TENURE__BLOCK_BYTES), "round %u", round);
    }
}

Test(ambiguous, dead_cycles_in_gen2)
{
    enum { CYCLES = 20000 };
    second = (vague *)tenure_new_flex(self, vagues_type, CYCLES);
    for (unsigned i = 0; i < CYCLES; i++) {
        root = tenure_new(self, vague_type);
        set_word(root, 3, root);
        tenure_store(self, second, &((vagues *)second)->words[i], root);
    }
    root = NULL;
    collect(self, TENURE_GEN2);
    const uint64_t held = stats_of(heap).gen2_bytes;
    second = NULL;
    collect(self, TENURE_GEN2);
    cr_expect(lt(u64, stats_of(heap).heap_bytes, held / 10));
}

Test(ambiguous, stores_into_old_objects)
{
    root = tenure_new(self, vague_type);
    collect(self, TENURE_GEN2);
    collect(self, TENURE_GEN2);
    for (unsigned round = 0; round < 5; round++) {
        leaf *const young = fresh(round);
        set_word(root, round, young);
        collect(self, round % 2 == 0 ? TENURE_GEN0 : TENURE_GEN1);
        churn();
        for (unsigned i = 0; i <= round; i++) expect_leaf(root->words[i], i);
        cr_assert(eq(u64, root->words[round], (uintptr_t)young));
    }
}

/* The log is lost: the block is scanned instead, and what the object points to must not move for that. */
static void lost_log(tenure_generation generation)
{
    root = tenure_new(self, vague_type);
    collect(self, TENURE_GEN2);
    collect(self, TENURE_GEN2);
    leaf *const young = fresh(4);
    const uint32_t packets = packets_take_all(heap);
    set_word(root, 1, young);
    packets_give_all(heap, packets);
    collect(self, generation);
    churn();
    cr_assert(eq(u64, root->words[1], (uintptr_t)young));
    expect_leaf(root->words[1], 4);
}

Test(ambiguous, lost_log_of_a_young_collection) { lost_log(TENURE_GEN0); }
Test(ambiguous, lost_log_of_a_gen1_collection) { lost_log(TENURE_GEN1); }
Test(ambiguous, lost_log_of_a_full_collection) { lost_log(TENURE_GEN2); }

Test(ambiguous, large_object)
{
    enum { COUNT = 20000 };
    root = (vague *)tenure_new_flex(self, vagues_type, COUNT);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = round; i < COUNT; i += 50) {
            leaf *young = fresh(i + round);
            vagues *owner = (vagues *)root;
            tenure_store(self, owner, &owner->words[i], young);
        }
        collect(self, round == 2 ? TENURE_GEN2 : TENURE_GEN0);
        churn();
        for (unsigned i = round; i < COUNT; i += 50) expect_leaf(((vagues *)root)->words[i], i + round);
    }
}

/* An ambiguous word to what died in Gen 2, in a block that others keep alive: it does not come back. */
Test(ambiguous, the_dead_do_not_come_back)
{
    enum { COUNT = 3000, VICTIM = 1000 };
    heap_end(heap, self);
    begin_with("max_heap=64m,verify=before,after");
    root = tenure_new(self, vague_type);
    second = (vague *)TENURE_NEW_REFS(self, leaf, COUNT);
    leaf **leaves = (leaf **)second;
    for (unsigned i = 0; i < COUNT; i++) TENURE_SET_AT(self, leaves, i, fresh(i));
    collect(self, TENURE_GEN2);
    collect(self, TENURE_GEN2);
    leaf *const victim = leaves[VICTIM];
    cr_assert(eq(ptr, tenure_object_at(heap, victim), victim));
    TENURE_SET_AT(self, leaves, VICTIM, NULL);
    collect(self, TENURE_GEN2);
    cr_assert(tenure_object_at(heap, victim) == NULL);
    set_word(root, 0, victim);
    const tenure_generation generations[] = { TENURE_GEN0, TENURE_GEN1, TENURE_GEN2, TENURE_GEN2 };
    for (unsigned i = 0; i < 4; i++) {
        collect(self, generations[i]);
        cr_assert(tenure_object_at(heap, victim) == NULL);
    }
    expect_leaf((uintptr_t)leaves[VICTIM - 1], VICTIM - 1);
    expect_leaf((uintptr_t)leaves[VICTIM + 1], VICTIM + 1);
}

Test(ambiguous, mask)
{
    heap_end(heap, self);
    tenure_options options = options_with("max_heap=64m,verify=after", TENURE_ROOTS_PRECISE);
    options.ambiguous_mask = 0xffff000000000000u;
    heap = heap_of(&options);
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
    root = tenure_new(self, vague_type);
    leaf *const target = fresh(9);
    tenure_store(self, root, &root->words[0], (void *)((uintptr_t)target | 0x7ff8000000000000u));
    for (int generation = 0; generation < 3; generation++) {
        collect(self, (tenure_generation)generation);
        churn();
        cr_assert(eq(u64, root->words[0], (uintptr_t)target | 0x7ff8000000000000u));
        expect_leaf((uintptr_t)target, 9);
    }
    leaf *const young = fresh(10);
    cr_assert(eq(int, generation_of(heap, root), 2));
    tenure_store(self, root, &root->words[1], (void *)((uintptr_t)young | 0x7ff8000000000000u));
    collect(self, TENURE_GEN0);
    churn();
    expect_leaf((uintptr_t)young, 10);
}
