/* From addresses to objects, in every kind of block, and in the middle of a collection. */
#include "tests/support.h"

typedef struct leaf {
    uint64_t value, check;
} leaf;
TENURE_TYPE_LEAF(leaf_type, leaf);

typedef struct inner {
    char *inside;
    uint64_t value;
} inner;
TENURE_TYPE(inner_type, inner, TENURE_INTERIOR(inside));

static tenure_heap *heap;
static tenure_thread *self;
static leaf *resident, *first;
static inner *owner;

/* Roots are traced in the order in which they were added. */
static void begin(void)
{
    heap = precise_heap_with("max_heap=64m,workers=1,verify=before,after");
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &resident), TENURE_OK));
    cr_assert(eq(int, tenure_root_add(heap, &first), TENURE_OK));
    cr_assert(eq(int, tenure_root_add(heap, &owner), TENURE_OK));
}
static void end(void) { heap_end(heap, self); }

TestSuite(find, .init = begin, .fini = end);

static leaf *fresh(uint64_t value)
{
    leaf *object = tenure_new(self, leaf_type);
    cr_assert(object != NULL);
    *object = (leaf) { value, ~value };
    return object;
}

static uint32_t block_of(const void *object) { return tenure__block_index(heap, (uintptr_t)object); }

static void expect_found(const void *object, size_t bytes)
{
    const uintptr_t start = (uintptr_t)object;
    for (uintptr_t at = start; at <= start + bytes; at += at == start || bytes < 64 ? 1 : bytes / 7)
        cr_assert(eq(u64, tenure__find_object(heap, at), start));
    cr_assert(tenure__find_header_neighbour(heap, start - 8) == start || is_large(object));
    cr_assert(tenure__find_object(heap, start - 8) != start || is_large(object), "the one before ends there");
}

Test(find, in_every_generation)
{
    for (int generation = 0; generation < 3; generation++) {
        first = fresh(1);
        leaf *last = tenure_new_bytes(self, 100000);
        cr_assert(last != NULL);
        expect_found(first, sizeof *first);
        resident = last;
        collect(self, (tenure_generation)generation);
        expect_found(first, sizeof *first);
        expect_found(resident, 100000);
    }
}

Test(find, nothing)
{
    cr_expect(eq(u64, tenure__find_object(heap, heap->base), 0));
    cr_expect(eq(u64, tenure__find_object(heap, heap->base - 1), 0));
    cr_expect(eq(u64, tenure__find_object(heap, heap->base + heap->arena_bytes - 1), 0));
    cr_expect(eq(u64, tenure__find_object(heap, heap->base + heap->arena_bytes), 0));
    cr_expect(eq(u64, tenure__find_object(heap, 0), 0));
    cr_expect(eq(u64, tenure__find_object(heap, UINTPTR_MAX), 0));
    cr_expect(eq(u64, tenure__find_header_neighbour(heap, UINTPTR_MAX), 0));
    cr_expect(eq(u64, tenure__find_old_owner(heap, UINTPTR_MAX), 0));
}

Test(find, old_owners_only)
{
    first = fresh(1);
    cr_expect(eq(u64, tenure__find_old_owner(heap, (uintptr_t)first), 0));
    collect(self, TENURE_GEN0);
    cr_expect(eq(u64, tenure__find_old_owner(heap, (uintptr_t)&first->check), (uintptr_t)first));
    resident = tenure_new_bytes(self, 100000);
    cr_expect(eq(u64, tenure__find_old_owner(heap, (uintptr_t)resident + 50000), 0));
    collect(self, TENURE_GEN2);
    cr_expect(eq(u64, tenure__find_old_owner(heap, (uintptr_t)resident + 50000), (uintptr_t)resident));
}

/* A block of the nursery with a resident that carries its hash. When the resident has moved away, objects behind it in
 * the block must still be found: interior references are looked up in the middle of the collection. */
static void interior_behind_a_resident(bool hashed, tenure_generation generation)
{
    resident = fresh(1);
    if (hashed) tenure_identity_hash(self, resident);
    collect(self, TENURE_GEN0);
    leaf *const place = resident;
    cr_assert(eq(int, tenure_pin(self, place), TENURE_OK));
    collect(self, TENURE_GEN1);
    tenure_unpin(self, place);
    cr_assert(eq(ptr, resident, place));
    const uint32_t flags = tenure__flags_of(&heap->blocks[block_of(place)]);
    cr_assert(ne(u32, flags & TENURE__BLOCK_RESIDENTS, 0));
    owner = tenure_new(self, inner_type);
    leaf *target = fresh(2);
    cr_assert(eq(u32, block_of(target), block_of(place)), "the hole is used first");
    cr_assert(lt(ptr, place, target));
    TENURE_SET(self, owner, inside, (char *)&target->check);
    collect(self, generation);
    cr_assert(ne(ptr, resident, place));
    cr_assert(ne(ptr, owner->inside, (char *)&target->check));
    for (unsigned i = 0; i < 20000; i++) memset(tenure_new_bytes(self, 40), 0xee, 40);
    uint64_t check;
    memcpy(&check, owner->inside, sizeof check);
    cr_expect(eq(u64, check, ~(uint64_t)2));
}

Test(find, behind_a_resident) { interior_behind_a_resident(false, TENURE_GEN1); }
Test(find, behind_a_hashed_resident) { interior_behind_a_resident(true, TENURE_GEN1); }
Test(find, behind_a_hashed_resident_full) { interior_behind_a_resident(true, TENURE_GEN2); }
