/* Creating and destroying heaps: what fails leaves nothing behind. */
#include "tests/support.h"
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>

static unsigned count_lines(const char *path)
{
    unsigned lines = 0;
    FILE *file = fopen(path, "r");
    cr_assert(file != NULL);
    for (int c; (c = fgetc(file)) != EOF;) lines += c == '\n';
    fclose(file);
    return lines;
}

static size_t mapped_bytes(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    cr_assert(file != NULL);
    cr_assert(eq(int, fscanf(file, "%zu", &pages), 1));
    fclose(file);
    return pages * 4096;
}

static unsigned count_threads(void)
{
    char line[256];
    unsigned threads = 0;
    FILE *file = fopen("/proc/self/status", "r");
    cr_assert(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) sscanf(line, "Threads: %u", &threads);
    fclose(file);
    return threads;
}

/* Whatever the process allocates once, at its first heap, is there already. */
static void warm_up(void)
{
    tenure_heap *heap = heap_with("max_heap=16m");
    tenure_thread *self = tenure_attach(heap);
    cr_assert(tenure_new_bytes(self, 10) != NULL);
    heap_end(heap, self);
}

Test(heap, nothing_is_left_behind)
{
    warm_up();
    const size_t mapped = mapped_bytes();
    const unsigned maps = count_lines("/proc/self/maps"), threads = count_threads();
    for (unsigned i = 0; i < 30; i++) {
        tenure_heap *heap = heap_with("max_heap=1g,workers=2");
        tenure_thread *self = tenure_attach(heap);
        cr_assert(self != NULL);
        for (unsigned j = 0; j < 1000; j++) cr_assert(tenure_new_bytes(self, 10000) != NULL);
        heap_end(heap, self);
    }
    cr_expect(eq(u32, count_threads(), threads));
    if (!SHADOWED) cr_expect(le(u32, count_lines("/proc/self/maps"), maps + 4));
    if (!SHADOWED) cr_expect(lt(sz, mapped_bytes(), mapped + (16u << 20)));
}

Test(heap, too_little_address_space)
{
    warm_up();
    const tenure_options options = options_with("max_heap=1g", TENURE_ROOTS_CONSERVATIVE);
    const size_t mapped = mapped_bytes();
    const unsigned maps = count_lines("/proc/self/maps"), threads = count_threads();
    struct rlimit old, limit;
    cr_assert(eq(int, getrlimit(RLIMIT_AS, &old), 0));
    /* From what fits nothing of it to what lacks only a little: each step of the creation fails once. */
    unsigned failures = 0, successes = 0;
    for (size_t room = 1 << 20; room <= (size_t)8 << 30; room += room / 2) {
        limit = (struct rlimit) { .rlim_cur = mapped + room, .rlim_max = old.rlim_max };
        cr_assert(eq(int, setrlimit(RLIMIT_AS, &limit), 0));
        tenure_heap *heap = (tenure_heap *)&limit;
        const tenure_status status = tenure_heap_create(&heap, &options);
        cr_assert(eq(int, setrlimit(RLIMIT_AS, &old), 0));
        if (status == TENURE_OK) {
            successes++;
            cr_assert(eq(int, tenure_heap_destroy(heap), TENURE_OK));
            continue;
        }
        failures++;
        cr_expect(status == TENURE_ENOMEM || status == TENURE_ESYSTEM, "status %d", (int)status);
        cr_expect(heap == NULL);
        cr_expect(eq(u32, count_threads(), threads));
        cr_expect(le(u32, count_lines("/proc/self/maps"), maps + 2), "with %zu bytes of room", room);
    }
    cr_expect(lt(u32, 5, failures));
    cr_expect(lt(u32, 1, successes));
    if (!SHADOWED) cr_expect(lt(sz, mapped_bytes(), mapped + (16u << 20)));
}

/* A thread's stack larger than the address space: the heap's threads cannot be created. */
Test(heap, no_threads)
{
    warm_up();
    const unsigned maps = count_lines("/proc/self/maps"), threads = count_threads();
    const size_t mapped = mapped_bytes();
    pthread_attr_t usual, huge;
    cr_assert(eq(int, pthread_getattr_default_np(&usual), 0));
    cr_assert(eq(int, pthread_attr_init(&huge), 0));
    cr_assert(eq(int, pthread_attr_setstacksize(&huge, (size_t)1 << 50), 0));
    cr_assert(eq(int, pthread_setattr_default_np(&huge), 0));
    for (unsigned i = 0; i < 5; i++) {
        tenure_heap *heap = (tenure_heap *)&maps;
        const tenure_options options = options_with("max_heap=64m", TENURE_ROOTS_CONSERVATIVE);
        errno = 0;
        cr_expect(eq(int, tenure_heap_create(&heap, &options), TENURE_ESYSTEM));
        cr_expect(ne(int, errno, 0));
        cr_expect(heap == NULL);
    }
    cr_expect(eq(u32, count_threads(), threads));
    if (!SHADOWED) cr_expect(le(u32, count_lines("/proc/self/maps"), maps + 2));
    if (!SHADOWED) cr_expect(lt(sz, mapped_bytes(), mapped + (4u << 20)));
    cr_assert(eq(int, pthread_setattr_default_np(&usual), 0));
    warm_up();
}

Test(heap, busy_while_a_thread_is_attached)
{
    tenure_heap *heap = heap_with("max_heap=16m");
    tenure_thread *self = tenure_attach(heap);
    cr_assert(eq(ptr, tenure_attach(heap), self), "counted");
    cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_EBUSY));
    tenure_detach(self);
    cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_EBUSY));
    tenure_detach(self);
    cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK));
}

Test(heap, options_that_contradict)
{
    tenure_options options = options_with("max_heap=16m", TENURE_ROOTS_CONSERVATIVE);
    options.gen0 = 32u << 20;
    tenure_heap *heap = (tenure_heap *)&options;
    cr_expect(eq(int, tenure_heap_create(&heap, &options), TENURE_EINVAL));
    cr_expect(heap == NULL);
    options = options_with("max_heap=16m", TENURE_ROOTS_CONSERVATIVE);
    options.version += 100;
    cr_expect(eq(int, tenure_heap_create(&heap, &options), TENURE_EINVAL));
    options = options_with("max_heap=16m", TENURE_ROOTS_CONSERVATIVE);
    options.size--;
    cr_expect(eq(int, tenure_heap_create(&heap, &options), TENURE_EINVAL));
}

Test(heap, defaults)
{
    tenure_heap *heap = NULL;
    unsetenv("TENURE_OPTIONS");
    cr_assert(eq(int, tenure_heap_create(&heap, NULL), TENURE_OK));
    tenure_thread *self = tenure_attach(heap);
    cr_assert(tenure_new_bytes(self, 100) != NULL);
    cr_expect(lt(u64, 16u << 20, stats_of(heap).max_heap_bytes));
    cr_expect(ge(u64, stats_of(heap).workers, 1));
    heap_end(heap, self);
    setenv("TENURE_OPTIONS", "no_such_word=1", 1);
    cr_expect(eq(int, tenure_heap_create(&heap, NULL), TENURE_EINVAL));
    cr_expect(heap == NULL);
}

Test(heap, several_heaps_keep_apart)
{
    tenure_heap *heaps[3];
    tenure_thread *selves[3];
    void *objects[3];
    for (unsigned i = 0; i < 3; i++) {
        heaps[i] = heap_with("max_heap=16m,verify=after");
        selves[i] = tenure_attach(heaps[i]);
        objects[i] = tenure_new_bytes(selves[i], 100);
        memset(objects[i], (int)i + 1, 100);
    }
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = 0; j < 3; j++) cr_expect(eq(int, tenure_heap_contains(heaps[i], objects[j]), i == j));
        collect(selves[i], TENURE_GEN2);
        for (unsigned j = 0; j < 3; j++) cr_expect(eq(int, ((char *)objects[j])[99], (int)j + 1));
    }
    for (unsigned i = 0; i < 3; i++) heap_end(heaps[i], selves[i]);
}
