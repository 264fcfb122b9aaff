/* stress-limits NAME [AMOUNT]: one extreme at a time. Each checks its data and prints what it took. */
#include "parts.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenure.h>
#include <unistd.h>

typedef struct cell {
    struct cell *next;
} cell;
TENURE_TYPE(cell_type, cell, next);

static tenure_heap *heap_create(void)
{
    tenure_heap *heap;
    REQUIRE(tenure_heap_create(&heap, NULL) == TENURE_OK);
    return heap;
}

static void heap_end(tenure_heap *heap, tenure_thread *self)
{
    tenure_detach(self);
    REQUIRE(tenure_heap_destroy(heap) == TENURE_OK);
}

/* Collects and says how long that took. */
static void collect(tenure_thread *self, tenure_generation generation)
{
    const double start = now();
    REQUIRE(tenure_collect(self, generation) == TENURE_OK);
    printf("  collection of generation %d: %.2f ms\n", (int)generation, (now() - start) * 1e3);
}

static void collect_all(tenure_thread *self)
{
    collect(self, TENURE_GEN0);
    collect(self, TENURE_GEN1);
    collect(self, TENURE_GEN2);
}

/* --- many threads --- */

static tenure_heap *shared_heap;
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t came, ended;
    uint64_t waiting; /* mutex */
    bool over;        /* mutex */
} crowd = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false };

static void *wait_blocked(void *arg)
{
    (void)arg;
    tenure_thread *self = tenure_attach(shared_heap);
    REQUIRE(self != NULL);
    cell *volatile kept = tenure_new(self, cell_type);
    REQUIRE(kept != NULL);
    TENURE_SET(self, kept, next, kept);
    tenure_enter_blocking(self);
    pthread_mutex_lock(&crowd.mutex);
    crowd.waiting++;
    pthread_cond_signal(&crowd.came); /* one waits for it */
    while (!crowd.over) pthread_cond_wait(&crowd.ended, &crowd.mutex);
    pthread_mutex_unlock(&crowd.mutex);
    tenure_leave_blocking(self);
    REQUIRE(kept->next == kept);
    tenure_detach(self);
    return NULL;
}

static void limit_threads(uint64_t amount)
{
    pthread_t *ids = calloc(amount, sizeof *ids);
    pthread_attr_t small;
    const size_t least = (size_t)sysconf(_SC_THREAD_STACK_MIN), wanted = 64 * 1024;
    REQUIRE(ids != NULL && pthread_attr_init(&small) == 0);
    REQUIRE(pthread_attr_setstacksize(&small, wanted > least ? wanted : least) == 0);
    shared_heap = heap_create();
    tenure_thread *self = tenure_attach(shared_heap);
    const double start = now();
    for (uint64_t i = 0; i < amount; i++) REQUIRE(pthread_create(&ids[i], &small, wait_blocked, NULL) == 0);
    tenure_enter_blocking(self);
    pthread_mutex_lock(&crowd.mutex);
    while (crowd.waiting < amount) pthread_cond_wait(&crowd.came, &crowd.mutex);
    pthread_mutex_unlock(&crowd.mutex);
    tenure_leave_blocking(self);
    printf("  %lu threads attached and blocked after %.2f s\n", (unsigned long)amount, now() - start);
    tenure_stats stats;
    tenure_stats_read(shared_heap, &stats);
    REQUIRE(stats.threads_attached == amount + 1);
    collect_all(self);
    for (unsigned i = 0; i < 100; i++) REQUIRE(tenure_collect(self, TENURE_GEN0) == TENURE_OK);
    tenure_stats_read(shared_heap, &stats);
    printf("  100 more of generation 0: %.2f ms, CPU %.2f ms (medians)\n", (double)stats.pauses[0].total.p50_ns / 1e6,
        (double)stats.pauses[0].cpu.p50_ns / 1e6);
    pthread_mutex_lock(&crowd.mutex);
    crowd.over = true;
    pthread_cond_broadcast(&crowd.ended);
    pthread_mutex_unlock(&crowd.mutex);
    for (uint64_t i = 0; i < amount; i++) REQUIRE(tenure_join(self, ids[i], NULL) == 0);
    heap_end(shared_heap, self);
    free(ids);
}

/* --- threads that come and go --- */

static void *allocate_on(void *arg)
{
    const bool *over = arg;
    tenure_thread *self = tenure_attach(shared_heap);
    while (!__atomic_load_n(over, __ATOMIC_RELAXED)) {
        cell *list = NULL;
        for (unsigned i = 0; i < 1000; i++) list = TENURE_NEW(self, cell_type, .next = list);
        unsigned length = 0;
        for (; list != NULL; list = list->next) length++;
        REQUIRE(length == 1000);
    }
    tenure_detach(self);
    return NULL;
}

static void *come_and_go(void *arg)
{
    (void)arg;
    tenure_thread *self = tenure_attach(shared_heap);
    REQUIRE(self != NULL && tenure_new(self, cell_type) != NULL);
    tenure_detach(self);
    return NULL;
}

static void limit_attach(uint64_t amount)
{
    bool over = false;
    pthread_t load[2];
    shared_heap = heap_create();
    for (unsigned i = 0; i < 2; i++) REQUIRE(pthread_create(&load[i], NULL, allocate_on, &over) == 0);
    const double start = now();
    for (uint64_t i = 0; i < amount; i++) {
        pthread_t id;
        REQUIRE(pthread_create(&id, NULL, come_and_go, NULL) == 0 && pthread_join(id, NULL) == 0);
    }
    printf("  %.0f threads a second came and went beside two that allocate\n", (double)amount / (now() - start));
    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 2; i++) REQUIRE(pthread_join(load[i], NULL) == 0);
    REQUIRE(tenure_heap_destroy(shared_heap) == TENURE_OK);
}

/* --- large things --- */

static void limit_object(uint64_t mib)
{
    const size_t bytes = mib << 20;
    tenure_heap *heap = heap_create();
    tenure_thread *self = tenure_attach(heap);
    const double start = now();
    uint64_t *object = tenure_new_bytes(self, bytes);
    REQUIRE(object != NULL && tenure_size_of(object) >= bytes);
    printf("  an object of %lu MiB: %.2f s\n", (unsigned long)mib, now() - start);
    for (size_t i = 0; i < bytes / 8; i += 509) object[i] = i;
    collect_all(self);
    for (size_t i = 0; i < bytes / 8; i += 509) REQUIRE(object[i] == i);
    REQUIRE(tenure_object_at(heap, (char *)object + bytes - 1) == object);
    tenure_keep_alive(object);
    heap_end(heap, self);
}

static void limit_array(uint64_t amount)
{
    tenure_heap *heap = heap_create();
    tenure_thread *self = tenure_attach(heap);
    cell **array = TENURE_NEW_REFS(self, cell, amount);
    REQUIRE(array != NULL);
    const uint64_t step = 997;
    for (uint64_t i = 0; i < amount; i += step) {
        cell *made = tenure_new(self, cell_type);
        REQUIRE(made != NULL);
        TENURE_SET_AT(self, array, i, made);
        if (i >= step) TENURE_SET(self, made, next, array[i - step]);
    }
    collect_all(self);
    TENURE_SET_AT(self, array, amount - 1, tenure_new(self, cell_type));
    collect(self, TENURE_GEN0);
    REQUIRE(array[amount - 1] != NULL && array[amount - 1]->next == NULL);
    for (uint64_t i = step; i + 1 < amount; i += step) REQUIRE(array[i]->next == array[i - step]);
    heap_end(heap, self);
}

/* Newest first: a marker that recursed would need as many frames. */
static void limit_list(uint64_t amount)
{
    tenure_heap *heap = heap_create();
    tenure_thread *self = tenure_attach(heap);
    const double start = now();
    cell *list = NULL;
    for (uint64_t i = 0; i < amount; i++) {
        cell *made = tenure_new(self, cell_type);
        REQUIRE(made != NULL);
        made->next = list;
        list = made;
    }
    printf("  a list of %lu: %.2f s\n", (unsigned long)amount, now() - start);
    collect_all(self);
    uint64_t length = 0;
    for (const cell *at = list; at != NULL; at = at->next) length++;
    REQUIRE(length == amount);
    tenure_stats stats;
    tenure_stats_read(heap, &stats);
    printf("  longest pause %.1f ms, heap %lu MiB\n", (double)stats.all.total.max_ns / 1e6,
        (unsigned long)(stats.heap_bytes >> 20));
    heap_end(heap, self);
}

/* --- deep stacks --- */

/* Down to that address; returns how many frames. */
__attribute__((noinline)) static uint64_t descend(tenure_thread *self, uintptr_t lowest)
{
    cell *volatile mine[6];
    for (unsigned i = 0; i < 6; i++) {
        mine[i] = tenure_new(self, cell_type);
        TENURE_SET(self, (cell *)mine[i], next, (cell *)mine[0]);
    }
    uint64_t frames = 0;
    if ((uintptr_t)mine > lowest)
        frames = descend(self, lowest);
    else
        collect_all(self);
    for (unsigned i = 0; i < 6; i++) REQUIRE(mine[i]->next == mine[0]);
    return frames + 1;
}

static void *deep_thread(void *arg)
{
    const uint64_t *mib = arg;
    tenure_heap *heap = heap_create();
    tenure_thread *self = tenure_attach(heap);
    const uint64_t frames = descend(self, (uintptr_t)__builtin_frame_address(0) - (*mib << 20));
    printf("  %lu frames\n", (unsigned long)frames);
    heap_end(heap, self);
    return NULL;
}

static void limit_stack(uint64_t mib)
{
    pthread_t id;
    pthread_attr_t deep;
    REQUIRE(pthread_attr_init(&deep) == 0 && pthread_attr_setstacksize(&deep, (mib + mib / 8 + 1) << 20) == 0);
    REQUIRE(pthread_create(&id, &deep, deep_thread, &mib) == 0 && pthread_join(id, NULL) == 0);
}

/* --- many types, many heaps --- */

static void limit_types(uint64_t amount)
{
    tenure_heap *heap = heap_create();
    tenure_thread *self = tenure_attach(heap);
    void **last = NULL;
    for (uint64_t i = 0; i < amount; i++) {
        char name[32];
        const size_t reference = 8 * (i % 7), size = 8 + 8 * (i % 11 + 6);
        snprintf(name, sizeof name, "type %lu", (unsigned long)i);
        const tenure_type *type = tenure_type_create(
            &(tenure_type_spec) { .name = name, .size = size, .references = &reference, .reference_count = 1 });
        REQUIRE(type != NULL);
        void **made = tenure_alloc(self, type, 0);
        REQUIRE(made != NULL);
        made[reference / 8] = last;
        last = made;
    }
    collect_all(self);
    for (uint64_t i = amount; i-- > 0; last = last[i % 7]) {
        char name[32];
        snprintf(name, sizeof name, "type %lu", (unsigned long)i);
        REQUIRE(strcmp(tenure_type_of(last)->name, name) == 0);
    }
    REQUIRE(last == NULL);
    heap_end(heap, self);
}

static void limit_heaps(uint64_t amount)
{
    tenure_heap **heaps = calloc(amount, sizeof *heaps);
    tenure_thread **selves = calloc(amount, sizeof *selves);
    cell **lists = calloc(amount, sizeof *lists);
    REQUIRE(heaps != NULL && selves != NULL && lists != NULL);
    tenure_options options;
    REQUIRE(tenure_options_init(&options, NULL, 0) == TENURE_OK);
    options.max_heap = 64 << 20;
    const double start = now();
    for (uint64_t i = 0; i < amount; i++) {
        REQUIRE(tenure_heap_create(&heaps[i], &options) == TENURE_OK);
        selves[i] = tenure_attach(heaps[i]);
        REQUIRE(selves[i] != NULL && tenure_root_add(heaps[i], &lists[i]) == TENURE_OK);
    }
    for (unsigned round = 0; round < 1000; round++)
        for (uint64_t i = 0; i < amount; i++) {
            cell *made = tenure_new(selves[i], cell_type);
            REQUIRE(made != NULL);
            made->next = lists[i];
            lists[i] = made;
        }
    for (uint64_t i = 0; i < amount; i++) {
        REQUIRE(tenure_collect(selves[i], TENURE_GEN2) == TENURE_OK);
        unsigned length = 0;
        for (const cell *at = lists[i]; at != NULL; at = at->next) length++;
        REQUIRE(length == 1000);
    }
    for (uint64_t i = 0; i < amount; i++) heap_end(heaps[i], selves[i]);
    printf("  %lu heaps made, filled, collected, destroyed: %.2f s\n", (unsigned long)amount, now() - start);
    free(heaps);
    free(selves);
    free(lists);
}

int main(int argc, char **argv)
{
    static const part parts[] = {
        { "threads", limit_threads, 10000, "threads attached and blocked" },
        { "attach", limit_attach, 5000, "threads that come and go" },
        { "object", limit_object, 1024, "MiB in one object" },
        { "array", limit_array, 100000000, "references in one array" },
        { "list", limit_list, 100000000, "nodes in a list" },
        { "stack", limit_stack, 64, "MiB of stack" },
        { "types", limit_types, 100000, "types" },
        { "heaps", limit_heaps, 100, "heaps" },
    };
    return parts_main(argc, argv, "stress-limits", parts, sizeof parts / sizeof parts[0]);
}
