/* Which of the arena's memory lies in huge pages, as the system tells. */
#include "lib/heap/heap.h"
#include "tests/support.h"
#include <inttypes.h>
#include <pthread.h>

/* Of the mappings that begin in the arena. */
typedef struct mapped {
    unsigned count;
    uint64_t huge_bytes;
    bool may_become_huge; /* some of it, by the system's own thread */
} mapped;

static mapped arena_of(const tenure_heap *heap)
{
    char line[512];
    mapped sum = { 0 };
    bool inside = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    cr_assert(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        uint64_t start, end, kib;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2)
            sum.count += inside = start >= heap->base && start < heap->base + heap->arena_bytes;
        else if (inside && sscanf(line, "AnonHugePages: %" SCNu64, &kib) == 1)
            sum.huge_bytes += kib << 10;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            sum.may_become_huge |= strstr(line, " hg") != NULL;
    }
    fclose(file);
    return sum;
}

/* The emulator's /proc/self/smaps is its own and tells of none. */
static bool tells_of_huge_pages(void)
{
    if (EMULATED) return false;
    char line[128] = "[never]";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    if (file == NULL) return false;
    const bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    return read && strstr(line, "[never]") == NULL;
}

static void keep(tenure_thread *self, void ***list, uint64_t bytes)
{
    for (uint64_t made = 0; made < bytes; made += 1024) {
        void **made_last = TENURE_NEW_REFS(self, void, 127);
        cr_assert(made_last != NULL);
        made_last[0] = *list;
        *list = made_last;
    }
}

static mapped after_keeping(const char *words, uint64_t bytes)
{
    tenure_heap *heap = heap_with(words);
    tenure_thread *self = tenure_attach(heap);
    void **list = NULL;
    cr_assert(self != NULL);
    cr_assert(eq(int, tenure_root_add(heap, &list), TENURE_OK));
    keep(self, &list, bytes);
    mapped arena = arena_of(heap);
    /* While the daemon populates some more, that may. */
    for (unsigned tries = 0; arena.may_become_huge && tries < 1000; tries++) arena = arena_of(heap);
    tenure_root_remove(heap, &list);
    heap_end(heap, self);
    return arena;
}

Test(huge_pages, most_of_a_large_heap)
{
    if (!tells_of_huge_pages()) cr_skip_test("the system has none");
    const mapped arena = after_keeping("max_heap=256m", 32 << 20);
    cr_expect(ge(u64, arena.huge_bytes, 24 << 20));
}

typedef struct filler {
    tenure_heap *heap;
    void **list;
} filler;

static void *fill(void *arg)
{
    filler *filling = arg;
    tenure_thread *self = tenure_attach(filling->heap);
    cr_assert(self != NULL);
    keep(self, &filling->list, 16 << 20);
    tenure_detach(self);
    return NULL;
}

/* Who comes to the other blocks of a huge page while it is populated must not touch them first. */
Test(huge_pages, most_of_a_heap_that_several_fill)
{
    enum { THREADS = 4 };
    if (!tells_of_huge_pages()) cr_skip_test("the system has none");
    filler fillers[THREADS];
    pthread_t threads[THREADS];
    tenure_heap *heap = heap_with("max_heap=512m");
    for (unsigned i = 0; i < THREADS; i++) {
        fillers[i] = (filler) { heap, NULL };
        cr_assert(eq(int, tenure_root_add(heap, &fillers[i].list), TENURE_OK));
        cr_assert(eq(int, pthread_create(&threads[i], NULL, fill, &fillers[i]), 0));
    }
    for (unsigned i = 0; i < THREADS; i++) cr_assert(eq(int, pthread_join(threads[i], NULL), 0));
    cr_expect(ge(u64, arena_of(heap).huge_bytes, 58 << 20));
    for (unsigned i = 0; i < THREADS; i++) tenure_root_remove(heap, &fillers[i].list);
    cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK));
}

/* What is given back in part must not be made whole again by the system. */
Test(huge_pages, none_is_made_later) { cr_expect(not(after_keeping("max_heap=256m", 32 << 20).may_become_huge)); }

/* A process may have 65,530 mappings. */
Test(huge_pages, few_mappings) { cr_expect(le(u32, after_keeping("max_heap=256m", 64 << 20).count, 10)); }

Test(huge_pages, off)
{
    const mapped arena = after_keeping("max_heap=256m,huge_pages=off", 32 << 20);
    if (!tells_of_huge_pages()) cr_skip_test("the system has none");
    cr_expect(eq(u64, arena.huge_bytes, 0));
}
