/* Chunks and windows: Gen 0 can be walked at any moment, the budget is kept, and torture collects where it says. */
#include "tests/support.h"
#include <signal.h>
#include <sys/mman.h>

typedef struct node {
    struct node *next;
    uint64_t value;
} node;
TENURE_TYPE(node_type, node, next);

static tenure_heap *heap;
static tenure_thread *self;

static void begin_with(const char *words)
{
    heap = heap_with(words);
    self = tenure_attach(heap);
    cr_assert(self != NULL);
}
static void begin(void) { begin_with("max_heap=128m,gen0=4m"); }
static void end(void) { heap_end(heap, self); }

TestSuite(nursery, .init = begin, .fini = end);

/* Objects follow each other; each is found from any of its bytes, and nothing is where nothing was allocated. */
Test(nursery, objects_are_found_while_the_chunk_grows)
{
    uint64_t random = 1;
    for (unsigned i = 0; i < 30000; i++) {
        const size_t bytes = next_random(&random) % (i % 100 == 0 ? 9000 : 300);
        char *object = tenure_new_bytes(self, bytes);
        const size_t usable = tenure_size_of(object);
        cr_assert(eq(ptr, tenure_object_at(heap, object), object));
        cr_assert(eq(ptr, tenure_object_at(heap, object + usable - 1), object));
        cr_assert(eq(ptr, tenure_object_at(heap, object + usable / 2), object));
        if (self->top != 8) cr_assert(tenure_object_at(heap, (char *)self->top + 8) == NULL);
        if (i % 3000 == 0) verify(self);
    }
}

Test(nursery, budget_decides_when)
{
    const tenure_stats before = stats_of(heap);
    cr_assert(eq(u64, before.gen0_budget_bytes, 4u << 20));
    for (unsigned i = 0; i < 40000; i++) cr_assert(tenure_new_bytes(self, 1000) != NULL); /* 40 MB */
    const uint64_t collections = collections_of(heap);
    cr_expect(collections >= 7 && collections <= 14, "%zu collections", (size_t)collections);
    cr_expect(ge(u64, stats_of(heap).allocated_bytes - before.allocated_bytes, 40u * 1000 * 1000));
}

/* Who has just begun takes one; of what was taken ahead nothing is left after a collection. */
Test(nursery, blocks_are_taken_ahead)
{
    cr_assert(tenure_new_bytes(self, 1000) != NULL);
    cr_expect(eq(u64, stats_of(heap).gen0_bytes, stats_of(heap).allocated_bytes));
    for (unsigned i = 0; i < 1000; i++) cr_assert(tenure_new_bytes(self, 1000) != NULL);
    cr_expect(lt(u64, stats_of(heap).allocated_bytes, stats_of(heap).gen0_bytes));
    verify(self);
    collect(self, TENURE_GEN0);
    cr_expect(eq(u64, stats_of(heap).gen0_bytes, 0));
    cr_assert(tenure_new_bytes(self, 1000) != NULL);
    verify(self);
}

Test(nursery, large_objects_count)
{
    for (unsigned i = 0; i < 40; i++) cr_assert(tenure_new_bytes(self, 1 << 20) != NULL);
    cr_expect(collections_of(heap) >= 7);
    cr_expect(lt(u64, stats_of(heap).heap_bytes, 20u << 20));
}

static unsigned pages_missing(void *object, size_t bytes)
{
    enum { PAGE = 4096 };
    unsigned char there[2048];
    const uintptr_t start = (uintptr_t)object & ~(uintptr_t)(PAGE - 1);
    const size_t pages = bytes / PAGE;
    cr_assert(le(sz, pages, sizeof there));
    cr_assert(eq(int, mincore((void *)start, pages * PAGE, there), 0));
    unsigned missing = 0;
    for (size_t i = 0; i < pages; i++) missing += (there[i] & 1) == 0;
    return missing;
}

/* The next collection reads an array of references: its pages are there before, and nobody's time is taken for those of
 * what it does not read. */
Test(nursery, large_arrays_of_references_are_populated)
{
    const size_t bytes = 8 << 20;
    cr_expect(eq(u32, pages_missing(TENURE_NEW_REFS(self, void, bytes / 8), bytes), 0));
    cr_expect(ge(u32, pages_missing(tenure_new_bytes(self, bytes), bytes), 1024));
}

/* One object may be larger than the whole budget. */
Test(nursery, larger_than_the_budget)
{
    char *object = tenure_new_bytes(self, 32 << 20);
    cr_assert(object != NULL);
    memset(object, 1, 32 << 20);
    spend_budget(self);
    cr_expect(eq(int, object[(32 << 20) - 1], 1));
}

Test(nursery, torture_collects_at_every_nth_allocation)
{
    heap_end(heap, self);
    begin_with("max_heap=64m,torture=alloc:10,verify=before,after");
    const uint64_t before = collections_of(heap);
    node *list = NULL;
    for (uint64_t i = 0; i < 1000; i++) list = TENURE_NEW(self, node_type, .next = list, .value = i);
    cr_expect(eq(u64, collections_of(heap) - before, 100));
    uint64_t i = 1000;
    for (const node *at = list; at != NULL; at = at->next) cr_assert(eq(u64, at->value, --i));
}

Test(nursery, torture_collects_at_every_poll)
{
    heap_end(heap, self);
    begin_with("max_heap=64m,torture=poll,verify=before,after");
    node *object = tenure_new(self, node_type);
    const uint64_t before = collections_of(heap);
    for (unsigned i = 0; i < 20; i++) tenure_poll(self);
    cr_expect(ge(u64, collections_of(heap) - before, 20));
    cr_expect(IS_OF(object, node_type));
}

Test(nursery, blocking_region_does_not_allocate, .signal = SIGABRT)
{
    tenure_new(self, node_type); /* there is room: the inlined path alone would succeed */
    be_quiet();
    TENURE_BLOCKING_SCOPE(self);
    tenure_new(self, node_type);
}

Test(nursery, idle_region_does_not_allocate, .signal = SIGABRT)
{
    be_quiet();
    TENURE_IDLE_SCOPE(self);
    tenure_new_bytes(self, 100000);
}

Test(nursery, blocking_region_does_not_collect, .signal = SIGABRT)
{
    be_quiet();
    TENURE_BLOCKING_SCOPE(self);
    tenure_collect(self, TENURE_GEN0);
}

/* The owner of a stopped world may allocate: when Gen 0 is full it collects itself. */
Test(nursery, the_owner_of_a_stopped_world_allocates)
{
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    node *list = NULL;
    for (uint64_t i = 0; i < 300000; i++) {
        list = TENURE_NEW(self, node_type, .next = i % 1000 == 0 ? NULL : list, .value = i);
    }
    cr_expect(collections_of(heap) >= 1);
    tenure_resume_world(self);
    cr_expect(eq(u64, list->value, 299999));
    verify(self);
}
