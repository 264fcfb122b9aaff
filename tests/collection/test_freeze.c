/* tenure_freeze: what lives then is neither moved nor collected nor written to, and still refers to what is young. */
#include "tests/support.h"
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct node {
    struct node *next, *other;
    uint64_t value;
} node;
TENURE_TYPE(node_type, node, next, other);

static tenure_heap *heap;
static tenure_thread *self;
static node *root;
static node **array;

static void begin(void)
{
    heap = precise_heap_with("max_heap=64m,verify=before,after,torture=evacuate");
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
    cr_assert(eq(int, tenure_root_add(heap, &array), TENURE_OK));
}
static void end(void) { heap_end(heap, self); }

TestSuite(freeze, .init = begin, .fini = end);

static void make_list(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        node *first = tenure_new(self, node_type);
        cr_assert(first != NULL);
        first->next = root;
        first->value = i;
        root = first;
    }
}

static void expect_list(unsigned count)
{
    for (const node *at = root; at != NULL; at = at->next) cr_assert(eq(u64, at->value, --count));
    cr_assert(eq(u32, count, 0));
}

Test(freeze, nothing_moves)
{
    make_list(5000);
    cr_assert(eq(int, tenure_freeze(self), TENURE_OK));
    node *const place = root, *const second = root->next;
    for (unsigned i = 0; i < 3; i++) {
        collect(self, TENURE_GEN2);
        cr_assert(eq(ptr, root, place));
        cr_assert(eq(ptr, root->next, second));
        expect_list(5000);
    }
    cr_assert(eq(int, tenure_unfreeze(self), TENURE_OK));
    collect(self, TENURE_GEN2);
    cr_expect(ne(ptr, root, place), "torture=evacuate moves all that may move");
    expect_list(5000);
}

Test(freeze, nothing_dies_until_unfreeze)
{
    make_list(20000);
    cr_expect(eq(u64, stats_of(heap).frozen_bytes, 0));
    cr_assert(eq(int, tenure_freeze(self), TENURE_OK));
    const uint64_t held = stats_of(heap).gen2_bytes;
    cr_expect(eq(u64, stats_of(heap).frozen_bytes, held));
    root = NULL;
    collect(self, TENURE_GEN2);
    cr_expect(ge(u64, stats_of(heap).gen2_bytes, held));
    cr_assert(eq(int, tenure_unfreeze(self), TENURE_OK));
    cr_expect(eq(u64, stats_of(heap).frozen_bytes, 0));
    collect(self, TENURE_GEN2);
    cr_expect(lt(u64, stats_of(heap).gen2_bytes, held / 10));
}

Test(freeze, frozen_objects_keep_what_is_stored_into_them)
{
    make_list(100);
    cr_assert(eq(int, tenure_freeze(self), TENURE_OK));
    const tenure_generation generations[] = { TENURE_GEN0, TENURE_GEN1, TENURE_GEN2, TENURE_GEN2 };
    for (unsigned round = 0; round < 12; round++) {
        node *young = tenure_new(self, node_type);
        young->value = 1000 + round;
        TENURE_SET(self, root, other, young);
        for (unsigned i = 0; i < 3; i++) {
            collect(self, generations[(round + i) % 4]);
            cr_assert(eq(u64, root->other->value, 1000 + round));
            cr_assert(is_armed(root));
        }
    }
    cr_assert(eq(int, tenure_unfreeze(self), TENURE_OK));
    collect(self, TENURE_GEN2);
    cr_assert(eq(u64, root->other->value, 1011));
}

/* A target that is pinned in a sparse block ends in Gen 1, also in a full collection. */
Test(freeze, frozen_array_leads_to_gen1)
{
    array = TENURE_NEW_REFS(self, node, 10000);
    make_list(10);
    cr_assert(eq(int, tenure_freeze(self), TENURE_OK));
    node *young = tenure_new(self, node_type);
    young->value = 77;
    cr_assert(eq(int, tenure_pin(self, young), TENURE_OK));
    TENURE_SET_AT(self, array, 9000, young);
    TENURE_SET(self, root, other, young);
    collect(self, TENURE_GEN2);
    cr_assert(eq(int, generation_of(heap, young), 1));
    tenure_unpin(self, young);
    collect(self, TENURE_GEN1);
    cr_assert(eq(u64, array[9000]->value, 77));
    cr_assert(eq(ptr, root->other, array[9000]));
    collect(self, TENURE_GEN2);
    cr_assert(eq(u64, array[9000]->value, 77));
}

/* So that pages which a forked child shares stay shared: any write would be a segmentation fault here. */
Test(freeze, full_collections_do_not_write_to_frozen_blocks)
{
    make_list(20000);
    array = TENURE_NEW_REFS(self, node, 10000);
    array[77] = root;
    cr_assert(eq(int, tenure_freeze(self), TENURE_OK));
    unsigned protected = 0;
    for (uint32_t block = 0; block < heap->block_count; block++) {
        const uint8_t kind = tenure__kind_of(heap, block);
        if (kind <= TENURE__KIND_FROZEN) continue;
        cr_assert(eq(int, mprotect((void *)tenure__block_start(heap, block), TENURE__BLOCK_BYTES, PROT_READ), 0));
        protected++;
    }
    cr_assert(protected > 20);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = 0; j < 1000; j++) tenure_new_bytes(self, 100);
        collect(self, (tenure_generation)i);
    }
    expect_list(20000);
    for (uint32_t block = 0; block < heap->block_count; block++)
        if (tenure__kind_of(heap, block) > TENURE__KIND_FROZEN)
            mprotect((void *)tenure__block_start(heap, block), TENURE__BLOCK_BYTES, PROT_READ | PROT_WRITE);
}

/* --- shared pages --- */

/* Pages of small blocks that the process shares with another and that it has for itself: pagemap's bit 63 says that the
 * page is there, bit 56 that nobody else maps it (Documentation/admin-guide/mm/pagemap.rst). */
struct sharing {
    unsigned long shared, own;
};

static struct sharing sharing_of(pid_t process)
{
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/pagemap", (int)process);
    FILE *file = fopen(name, "re");
    cr_assert(file != NULL);
    const long page = sysconf(_SC_PAGESIZE);
    const unsigned long pages = atomic_load(&heap->frontier) * (unsigned long)(TENURE__BLOCK_BYTES / page);
    cr_assert(eq(int, fseek(file, (long)(heap->base / (unsigned long)page * 8), SEEK_SET), 0));
    struct sharing sharing = { 0, 0 };
    for (unsigned long i = 0; i < pages; i++) {
        uint64_t entry;
        cr_assert(eq(sz, fread(&entry, sizeof entry, 1, file), 1));
        if ((entry >> 63) == 0) continue;
        if ((entry >> 56) & 1)
            sharing.own++;
        else
            sharing.shared++;
    }
    fclose(file);
    return sharing;
}

/* Forks a child that only waits, collects in the parent, and looks at what the child still shares. */
static struct sharing sharing_after_collections(void)
{
    int pipes[2];
    cr_assert(eq(int, pipe(pipes), 0));
    const pid_t child = fork();
    if (child == 0) {
        char byte;
        close(pipes[1]);
        _exit(read(pipes[0], &byte, 1) != 0);
    }
    cr_assert(child > 0);
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned j = 0; j < 1000; j++) tenure_new_bytes(self, 100);
        collect(self, (tenure_generation)(i % 3));
    }
    const struct sharing sharing = sharing_of(child);
    close(pipes[0]);
    close(pipes[1]); /* the child reads the end of file */
    cr_assert(eq(int, waitpid(child, NULL, 0), child));
    return sharing;
}

Test(freeze, pages_stay_shared_after_fork)
{
    make_list(200000);
    const unsigned long held = 200000ul * 32 / (unsigned long)sysconf(_SC_PAGESIZE);
    /* torture=evacuate moves everything. */
    collect(self, TENURE_GEN2);
    const struct sharing before = sharing_after_collections();
    cr_expect(before.own > held / 2, "%lu pages shared, %lu not", before.shared, before.own);
    cr_assert(eq(int, tenure_freeze(self), TENURE_OK));
    const struct sharing after = sharing_after_collections();
    cr_expect(after.shared >= held, "%lu pages shared, %lu not, of %lu frozen", after.shared, after.own, held);
    expect_list(200000);
}

Test(freeze, new_objects_are_collected_beside_frozen_ones)
{
    make_list(1000);
    cr_assert(eq(int, tenure_freeze(self), TENURE_OK));
    cr_assert(eq(int, tenure_freeze(self), TENURE_OK), "once more, with what was made since");
    const uint64_t held = stats_of(heap).gen2_bytes;
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 20000; i++) {
            node *object = tenure_new(self, node_type);
            object->next = (node *)array;
            array = (node **)object;
        }
        collect(self, TENURE_GEN2);
        array = NULL;
        collect(self, TENURE_GEN2);
        cr_assert(le(u64, stats_of(heap).gen2_bytes, held + 4 * TENURE__BLOCK_BYTES));
    }
    expect_list(1000);
}

Test(freeze, not_while_disabled)
{
    cr_expect(tenure_enabled(heap));
    tenure_disable(heap);
    cr_expect(not(tenure_enabled(heap)));
    cr_expect(eq(int, tenure_freeze(self), TENURE_EBUSY));
    tenure_enable(heap);
    cr_expect(eq(int, tenure_freeze(self), TENURE_OK));
}
