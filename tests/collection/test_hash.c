/* Identity hashes: the same as long as the object lives, wherever it moves. */
#include "tests/support.h"

typedef struct node {
    uint64_t value, check;
} node;
TENURE_TYPE_LEAF(node_type, node);

static tenure_heap *heap;
static tenure_thread *self;
enum { COUNT = 3000 };
static node **nodes;

static void begin(void)
{
    heap = precise_heap_with("max_heap=64m,gen1_after=1000,verify=before,after,torture=evacuate");
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &nodes), TENURE_OK));
    nodes = TENURE_NEW_REFS(self, node, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        node *object = tenure_new(self, node_type);
        *object = (node) { i, ~(uint64_t)i };
        TENURE_SET_AT(self, nodes, i, object);
    }
}
static void end(void) { heap_end(heap, self); }

TestSuite(hash, .init = begin, .fini = end);

/* Asked for in the generation that first says, then compared through all. */
static void check_from(unsigned first)
{
    static uint64_t hashes[COUNT];
    static const tenure_generation generations[] = { TENURE_GEN0, TENURE_GEN0, TENURE_GEN1, TENURE_GEN2, TENURE_GEN2 };
    for (unsigned round = 0; round < 5; round++) {
        if (round == first)
            for (unsigned i = 0; i < COUNT; i += 2) hashes[i] = tenure_identity_hash(self, nodes[i]);
        const size_t size = tenure_size_of(nodes[0]);
        node *const place = nodes[0];
        collect(self, generations[round]);
        if (round != 1) cr_expect(ne(ptr, nodes[0], place), "round %u", round);
        cr_expect(eq(sz, tenure_size_of(nodes[0]), size));
        for (unsigned i = 0; i < COUNT; i++) {
            cr_assert(eq(u64, nodes[i]->value, i));
            cr_assert(eq(u64, nodes[i]->check, ~(uint64_t)i));
            if (round < first || i % 2 != 0) continue;
            cr_assert(ne(u64, hashes[i], 0));
            cr_assert(eq(u64, tenure_identity_hash(self, nodes[i]), hashes[i]));
        }
    }
}

Test(hash, from_gen0) { check_from(0); }
Test(hash, from_gen1) { check_from(2); }
Test(hash, from_gen2) { check_from(3); }

Test(hash, few_collisions)
{
    static uint64_t hashes[COUNT];
    for (unsigned i = 0; i < COUNT; i++) hashes[i] = tenure_identity_hash(self, nodes[i]);
    unsigned same = 0, buckets[64] = { 0 };
    for (unsigned i = 0; i < COUNT; i++) {
        buckets[hashes[i] >> 58]++;
        for (unsigned j = 0; j < i; j++) same += hashes[i] == hashes[j];
    }
    cr_expect(eq(u32, same, 0));
    for (unsigned i = 0; i < 64; i++) cr_expect(buckets[i] < COUNT / 64 * 3);
}

Test(hash, largest_small_object_and_large_one)
{
    static char *bytes[2];
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(eq(int, tenure_root_add(heap, &bytes[i]), TENURE_OK));
        const size_t size = TENURE__SMALL_MAX + i;
        bytes[i] = tenure_new_bytes(self, size);
        memset(bytes[i], 0x5a, size);
        const uint64_t hash = tenure_identity_hash(self, bytes[i]);
        for (int generation = 0; generation < 3; generation++) {
            collect(self, (tenure_generation)generation);
            cr_assert(eq(u64, tenure_identity_hash(self, bytes[i]), hash));
            cr_assert(ge(sz, tenure_size_of(bytes[i]), size));
            for (size_t j = 0; j < size; j++) cr_assert(bytes[i][j] == 0x5a);
        }
    }
}

Test(hash, clones_have_their_own)
{
    const uint64_t hash = tenure_identity_hash(self, nodes[0]);
    collect(self, TENURE_GEN0);
    node *copy = tenure_clone(self, nodes[0]);
    cr_expect(eq(u64, copy->value, nodes[0]->value));
    cr_expect(eq(sz, tenure_size_of(copy), tenure_size_of(nodes[0])));
    cr_expect(ne(u64, tenure_identity_hash(self, copy), hash));
}
