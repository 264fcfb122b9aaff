/* What memory is given: zeroed however often it was used; NULL when there is none; back to the system when it is free.
 */
#include "tests/support.h"
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <time.h>

typedef struct node {
    struct node *next;
    uint64_t value, check;
} node;
TENURE_TYPE(node_type, node, next);

static tenure_heap *heap;
static tenure_thread *self;
static node *root;

static void begin_with(const char *words)
{
    heap = precise_heap_with(words);
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
}
static void end(void) { heap_end(heap, self); }

TestSuite(memory, .fini = end);

static void expect_zero(const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) cr_assert(bytes[i] == 0, "byte %zu of %zu is %#x", i, count, bytes[i]);
}

/* --- zeroing --- */

static void reused(size_t bytes, unsigned count)
{
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < count; i++) {
            unsigned char *object = tenure_new_bytes(self, bytes);
            cr_assert(object != NULL);
            expect_zero(object, tenure_size_of(object));
            memset(object, 0xa5, tenure_size_of(object));
        }
        collect(self, round % 2 == 0 ? TENURE_GEN0 : TENURE_GEN2);
    }
}

Test(memory, reused_is_zero)
{
    begin_with("max_heap=128m,verify=after");
    reused(1, 50000);
    reused(100, 50000);
    reused(5000, 1000);
    reused(TENURE__SMALL_MAX, 300);
    reused(TENURE__SMALL_MAX + 1, 100);
    reused(200000, 20);
    reused(8 << 20, 2);
}

/* Mixed sizes, some of them kept and pinned: chunks become holes between residents. */
Test(memory, holes_between_residents_are_zero)
{
    begin_with("max_heap=128m,verify=after");
    static uintptr_t pins[64];
    cr_assert(eq(int, tenure_root_range_add(heap, pins, sizeof pins, TENURE_AMBIGUOUS), TENURE_OK));
    uint64_t random = 3;
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < 8000; i++) {
            const size_t bytes = next_random(&random) % 400;
            unsigned char *object = tenure_new_bytes(self, bytes);
            expect_zero(object, tenure_size_of(object));
            memset(object, 0xa5, tenure_size_of(object));
            if (i % 400 == 0) pins[next_random(&random) % 64] = (uintptr_t)object;
        }
        collect(self, round % 8 == 7 ? TENURE_GEN1 : TENURE_GEN0);
        for (unsigned i = 0; i < 64; i++)
            if (pins[i] != 0) cr_assert(pins[i] % 16 == 0 && *(unsigned char *)pins[i] == 0xa5);
    }
}

/* Cells of one granule fill every hole to its end: the resident after it keeps its header. */
Test(memory, holes_are_filled_to_their_end)
{
    begin_with("max_heap=128m,gen0=8m,verify=after");
    static uintptr_t pins[64];
    cr_assert(eq(int, tenure_root_range_add(heap, pins, sizeof pins, TENURE_AMBIGUOUS), TENURE_OK));
    for (unsigned i = 0; i < 64 * 800; i++) {
        void *object = tenure_new_bytes(self, 100);
        if (i % 800 == 0) pins[i / 800] = (uintptr_t)object;
    }
    collect(self, TENURE_GEN0);
    for (unsigned i = 0; i < 300000; i++) cr_assert(tenure_new_bytes(self, 8) != NULL);
    for (unsigned i = 0; i < 64; i++) cr_assert(eq(sz, tenure_size_of((void *)pins[i]), 104), "resident %u", i);
    collect(self, TENURE_GEN0);
}

Test(memory, poisoned_memory_is_zeroed_too)
{
    begin_with("max_heap=128m,verify=after,torture=alloc:7");
    reused(64, 2000);
    reused(20000, 20);
}

/* --- out of memory --- */

static unsigned handler_calls;
static size_t handler_bytes;
static bool handler_lets_go;
static bool on_oom(tenure_thread *thread, size_t bytes, void *arg)
{
    cr_assert(eq(ptr, thread, self));
    cr_assert(eq(ptr, arg, &handler_calls));
    handler_calls++;
    handler_bytes = bytes;
    if (handler_lets_go) root = NULL;
    return handler_lets_go;
}

/* A list until there is no more; how many nodes it has. */
static uint64_t fill(void)
{
    for (uint64_t i = 0;; i++) {
        errno = 0;
        node *first = tenure_new(self, node_type);
        if (first == NULL) {
            cr_assert(eq(int, errno, ENOMEM));
            return i;
        }
        first->value = i;
        first->check = ~i;
        first->next = root;
        root = first;
    }
}

static void expect_list(uint64_t count)
{
    for (const node *at = root; at != NULL; at = at->next) {
        cr_assert(eq(u64, at->value, --count));
        cr_assert(eq(u64, at->check, ~count));
    }
    cr_assert(eq(u64, count, 0));
}

static void exhaust(const char *words, uint64_t least_bytes)
{
    begin_with(words);
    tenure_oom_handler(heap, on_oom, &handler_calls);
    const uint64_t count = fill();
    cr_expect(lt(u64, least_bytes, count * sizeof(node)), "%zu of 16 MiB were given", (size_t)count * sizeof(node));
    cr_expect(eq(u32, handler_calls, 1));
    cr_expect(eq(sz, handler_bytes, sizeof(node)));
    verify(self);
    expect_list(count);
    cr_expect(tenure_new_bytes(self, 1 << 20) == NULL);
    cr_expect(eq(u32, handler_calls, 2), "once for each failure");
    cr_expect(le(u64, stats_of(heap).heap_bytes, 16u << 20));
    /* After what fills it is dropped, as much is there as before. */
    for (unsigned round = 0; round < 2; round++) {
        root = NULL;
        const uint64_t again = fill();
        cr_expect(ge(u64, again, count - count / 10));
        expect_list(again);
    }
    verify(self);
    root = NULL;
    cr_expect(ne(ptr, tenure_new_bytes(self, 4 << 20), NULL));
}

Test(memory, exhausted) { exhaust("max_heap=16m,gen0=2m,verify=before,after", 10u << 20); }
Test(memory, exhausted_with_the_usual_budget) { exhaust("max_heap=16m,verify=before,after", 10u << 20); }
Test(memory, exhausted_daemon_leads) { exhaust("max_heap=16m,lead=daemon,verify=before,after", 10u << 20); }
Test(memory, exhausted_under_torture)
{
    /* Every other copy stays where it is: blocks are never full. With less of Gen 0 more collections leave such blocks,
     * and how many varies by more than a tenth. */
    exhaust("max_heap=16m,gen0=4m,torture=overflow,evacuate,nospace,verify=after", 5u << 20);
}

Test(memory, the_handler_lets_go)
{
    begin_with("max_heap=16m");
    tenure_oom_handler(heap, on_oom, &handler_calls);
    handler_lets_go = true;
    for (uint64_t i = 0; i < 2000000 && handler_calls < 3; i++) {
        node *first = tenure_new(self, node_type);
        cr_assert(first != NULL);
        first->next = root;
        root = first;
    }
    cr_expect(eq(u32, handler_calls, 3));
    verify(self);
}

Test(memory, larger_than_the_heap)
{
    begin_with("max_heap=16m");
    for (unsigned i = 0; i < 3; i++) {
        errno = 0;
        cr_expect(tenure_new_bytes(self, (size_t)16 << (20 + i)) == NULL);
        cr_expect(eq(int, errno, ENOMEM));
    }
    cr_expect(ne(ptr, tenure_new_bytes(self, 8 << 20), NULL));
}

/* Large objects: freed runs are found again, and neighbours become one. */
Test(memory, runs_are_reused)
{
    begin_with("max_heap=64m,verify=after");
    uint64_t random = 11;
    for (unsigned i = 0; i < 600; i++) {
        const size_t bytes = 20000 + next_random(&random) % (i % 50 == 0 ? 30u << 20 : 1u << 20);
        cr_assert(tenure_new_bytes(self, bytes) != NULL, "%zu bytes at round %u", bytes, i);
    }
    cr_expect(le(u64, stats_of(heap).heap_bytes, 64u << 20));
}

/* --- back to the system --- */

static size_t resident_pages(void)
{
    size_t total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    cr_assert(file != NULL);
    cr_assert(eq(int, fscanf(file, "%zu %zu", &total, &resident), 2));
    fclose(file);
    return resident;
}

/* TENURE_TEST_MIB: how much, by hand. */
static void returned(bool large)
{
    const char *by_hand = getenv("TENURE_TEST_MIB");
    const uint64_t mib = by_hand != NULL ? strtoull(by_hand, NULL, 10) : 256;
    char words[64];
    snprintf(words, sizeof words, "max_heap=%" PRIu64 "m,return_delay=10ms", 2 * mib);
    begin_with(words);
    for (uint64_t i = 0, made = 0; made < mib << 20; i++) {
        const size_t bytes = large ? 1u << 20 : 1000;
        node *first = tenure_alloc(self, &tenure__refs_type, bytes / 8);
        cr_assert(first != NULL);
        memset(first, 0, bytes);
        first->next = root;
        root = first;
        made += bytes;
    }
    collect(self, TENURE_GEN2);
    const tenure_stats full = stats_of(heap);
    const size_t full_pages = resident_pages();
    cr_assert(lt(u64, mib * 9 / 10 << 20, full.committed_bytes));
    root = NULL;
    collect(self, TENURE_GEN2);
    while (stats_of(heap).committed_bytes > full.committed_bytes / 10)
        sched_yield(); /* the test's time limit ends it */
    cr_expect(ge(u64, stats_of(heap).returned_bytes, full.committed_bytes / 10 * 9 - full.returned_bytes));
    /* AddressSanitizer's shadow is a sixth of them. */
    if (!SHADOWED) cr_expect(lt(sz, resident_pages(), full_pages / 3), "the system agrees");
    /* And it can be had again, zeroed. */
    for (unsigned i = 0; i < 100; i++) {
        unsigned char *bytes = tenure_new_bytes(self, large ? 1u << 20 : 10000);
        expect_zero(bytes, 10000);
    }
    verify(self);
}

Test(memory, small_blocks_are_returned) { returned(false); }
Test(memory, runs_are_returned) { returned(true); }
