/* Nanoseconds per call of what the collector's interface inlines: allocating 24 bytes, storing a reference into a young
 * object, into an old one that is logged already, into an old one for the first time since a collection, and polling.
 * The best of several repetitions: interruptions only ever add. The peers' stores are plain and show what the loop
 * costs. */
#include "allocator.h"
#include "measure.h"
#include <stdio.h>

enum { REPETITIONS = 7, OBJECTS = 16 * 1024 };

struct cell {
    struct cell *next;
    uint64_t words[2];
};
BENCH_TYPE(cell, struct cell, next);

static uint64_t calls = 4 * 1000 * 1000;

static uint64_t allocate_ns(bench_thread *self)
{
    const uint64_t begin = measure_now_ns();
    for (uint64_t i = 0; i < calls; i++) {
        struct cell *made = BENCH_NEW(self, cell, .next = NULL, .words = { i, i });
        measure_opaque(made);
        BENCH_FREE(made);
    }
    return measure_now_ns() - begin;
}

static uint64_t store_ns(bench_thread *self, struct cell *into, struct cell *value)
{
    const uint64_t begin = measure_now_ns();
    for (uint64_t i = 0; i < calls; i++) {
        measure_opaque(into);
        BENCH_SET(self, into, next, value);
    }
    return measure_now_ns() - begin;
}

static uint64_t store_young_ns(bench_thread *self)
{
    struct cell *into = BENCH_NEW(self, cell, .next = NULL);
    struct cell *value = BENCH_NEW(self, cell, .next = NULL);
    const uint64_t elapsed_ns = store_ns(self, into, value);
    BENCH_FREE(into);
    BENCH_FREE(value);
    return elapsed_ns;
}

static uint64_t store_old_ns(bench_thread *self)
{
    struct cell *into = BENCH_NEW(self, cell, .next = NULL);
    bench_collect(self);
    struct cell *value = BENCH_NEW(self, cell, .next = NULL);
    BENCH_SET(self, into, next, value);
    const uint64_t elapsed_ns = store_ns(self, into, value);
    BENCH_FREE(into);
    BENCH_FREE(value);
    return elapsed_ns;
}

/* Each of many old objects once. */
static uint64_t store_first_ns(bench_thread *self)
{
    struct cell **old = BENCH_NEW_REFS(self, struct cell, OBJECTS);
    for (uint64_t i = 0; i < OBJECTS; i++) {
        struct cell *made = BENCH_NEW(self, cell, .next = NULL);
        BENCH_SET_AT(self, old, i, made);
    }
    bench_collect(self);
    struct cell *value = BENCH_NEW(self, cell, .next = NULL);
    const uint64_t begin = measure_now_ns();
    for (uint64_t i = 0; i < OBJECTS; i++) BENCH_SET(self, old[i], next, value);
    const uint64_t elapsed_ns = measure_now_ns() - begin;
    for (uint64_t i = 0; i < OBJECTS; i++) BENCH_FREE(old[i]);
    BENCH_FREE(value);
    BENCH_FREE(old);
    return elapsed_ns;
}

static uint64_t poll_ns(bench_thread *self)
{
    const uint64_t begin = measure_now_ns();
    for (uint64_t i = 0; i < calls; i++) {
        measure_opaque(self);
        BENCH_POLL(self);
    }
    return measure_now_ns() - begin;
}

static void repeat(bench_thread *self, const char *key, uint64_t (*measured)(bench_thread *), uint64_t call_count)
{
    uint64_t best = UINT64_MAX;
    for (unsigned i = 0; i < REPETITIONS; i++) {
        const uint64_t elapsed_ns = measured(self);
        if (elapsed_ns < best) best = elapsed_ns;
    }
    result_real(key, (double)best / (double)call_count);
}

static void micro_run(void)
{
    bench_thread *self = bench_thread_begin();
    result_begin("micro");
    repeat(self, "allocate_ns", allocate_ns, calls);
    repeat(self, "store_young_ns", store_young_ns, calls);
    repeat(self, "store_old_ns", store_old_ns, calls);
    repeat(self, "store_first_ns", store_first_ns, OBJECTS);
    repeat(self, "poll_ns", poll_ns, calls);
    result_end();
    bench_thread_end(self);
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = {
        { "calls", &calls, "calls per repetition" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    bench_begin(0);
    micro_run();
    bench_end();
}
