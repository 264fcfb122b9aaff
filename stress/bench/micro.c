/* Nanoseconds per call of what the collector's interface inlines: allocating 24 bytes, storing a reference into young
 * objects, into an old one that is logged already, into an old one for the first time since a collection, into a large
 * old array in order and at random, and polling. The best of several repetitions: interruptions only ever add. Beside
 * the stores that may need a barrier C's plain ones in the same loops; the peers' are plain anyway. */
#include "allocator.h"
#include "measure.h"
#include "random.h"
#include <stdbool.h>
#include <stdio.h>

enum { REPETITIONS = 7, OBJECTS = 16 * 1024, YOUNG = 4096, REFS = 1 << 20, PLACES = 1 << 16 };

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

/* plain: C's own store, which young objects may have. The objects lie in the cache. */
static inline __attribute__((always_inline)) uint64_t young_ns(bench_thread *self, bool plain)
{
    struct cell **cells = BENCH_NEW_REFS(self, struct cell, YOUNG);
    for (uint64_t i = 0; i < YOUNG; i++) {
        struct cell *made = BENCH_NEW(self, cell, .next = NULL);
        BENCH_SET_AT(self, cells, i, made);
    }
    struct cell *value = cells[0];
    const uint64_t begin = measure_now_ns();
    for (uint64_t call = 0; call < calls; call += YOUNG) {
        measure_opaque(cells);
        for (uint64_t i = 0; i < YOUNG; i++)
            if (plain)
                cells[i]->next = value;
            else
                BENCH_SET(self, cells[i], next, value);
    }
    const uint64_t elapsed_ns = measure_now_ns() - begin;
    for (uint64_t i = 0; i < YOUNG; i++) BENCH_FREE(cells[i]);
    BENCH_FREE(cells);
    return elapsed_ns;
}

static uint64_t store_young_ns(bench_thread *self) { return young_ns(self, false); }

static uint64_t plain_young_ns(bench_thread *self) { return young_ns(self, true); }

/* An array larger than the second-level cache. What is stored is old and has another reference, so that plain stores
 * lose nothing. The array and that object are kept by micro_run's frame. */
static struct cell **array, *array_value;
static uint32_t places[PLACES];

static void array_make(bench_thread *self)
{
    uint64_t random = random_seed(0);
    array = BENCH_NEW_REFS(self, struct cell, REFS);
    array_value = BENCH_NEW(self, cell, .next = NULL);
    for (unsigned i = 0; i < PLACES; i++) places[i] = (uint32_t)random_below(&random, REFS);
}

static inline __attribute__((always_inline)) uint64_t array_ns(bench_thread *self, bool plain, bool at_random)
{
    struct cell **refs = array, *value = array_value;
    const uint64_t begin = measure_now_ns();
    for (uint64_t call = 0; call < calls; call++) {
        measure_opaque(value);
        const uint64_t i = at_random ? places[call % PLACES] : call % REFS;
        if (plain)
            refs[i] = value;
        else
            BENCH_SET_AT(self, refs, i, value);
    }
    return measure_now_ns() - begin;
}

static uint64_t card_sequential_ns(bench_thread *self) { return array_ns(self, false, false); }

static uint64_t plain_sequential_ns(bench_thread *self) { return array_ns(self, true, false); }

static uint64_t card_random_ns(bench_thread *self) { return array_ns(self, false, true); }

static uint64_t plain_random_ns(bench_thread *self) { return array_ns(self, true, true); }

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
    repeat(self, "plain_young_ns", plain_young_ns, calls);
    repeat(self, "store_old_ns", store_old_ns, calls);
    repeat(self, "store_first_ns", store_first_ns, OBJECTS);
    repeat(self, "poll_ns", poll_ns, calls);
    array_make(self);
    struct cell **kept = array, *kept_value = array_value;
    bench_collect(self);
    array = kept, array_value = kept_value;
    repeat(self, "card_sequential_ns", card_sequential_ns, calls);
    repeat(self, "plain_sequential_ns", plain_sequential_ns, calls);
    repeat(self, "card_random_ns", card_random_ns, calls);
    repeat(self, "plain_random_ns", plain_random_ns, calls);
    measure_opaque(kept);
    measure_opaque(kept_value);
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
