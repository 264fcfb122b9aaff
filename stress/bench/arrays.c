/* Large arrays: of numbers and of references, in turns, of 32 KiB to 4 MiB (each power of two as likely as the others).
 * Some live at any time, the oldest goes for the newest. They are filled as they are made and checked as they go; one
 * element in 64 of an array of references is set, to an object that the array alone refers to. */
#include "allocator.h"
#include "measure.h"
#include "random.h"
#include "workers.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORDS_LOG_MIN = 12, WORDS_LOGS = 7, SPACING = 64, LIVE = 32 };

struct numbers {
    uint64_t count;
    uint64_t values[];
};
BENCH_TYPE_FLEX_LEAF(numbers, struct numbers, values);

struct item {
    uint64_t number;
};
BENCH_TYPE_LEAF(item, struct item);

/* One array, whichever of the two kinds. */
struct holder {
    struct numbers *numbers;
    struct item **items;
    uint64_t count, first;
};
BENCH_TYPE(holder, struct holder, numbers, items);

static uint64_t arrays = 3000;
static uint64_t threads = 1;

static void numbers_fill(bench_thread *self, struct holder *holder)
{
    struct numbers *made = BENCH_NEW_FLEX(self, numbers, holder->count);
    BENCH_SET(self, holder, numbers, made);
    made->count = holder->count;
    for (uint64_t i = 0; i < holder->count; i++) made->values[i] = holder->first + i;
}

static void items_fill(bench_thread *self, struct holder *holder)
{
    struct item **made = BENCH_NEW_REFS(self, struct item, holder->count);
    BENCH_SET(self, holder, items, made);
    for (uint64_t i = 0; i < holder->count; i += SPACING) {
        struct item *item = BENCH_NEW(self, item, .number = holder->first + i);
        BENCH_SET_AT(self, made, i, item);
    }
}

static bool numbers_are_whole(const struct holder *holder)
{
    uint64_t wrong = holder->numbers->count ^ holder->count;
    for (uint64_t i = 0; i < holder->count; i++) wrong |= holder->numbers->values[i] ^ (holder->first + i);
    return wrong == 0;
}

static bool items_are_whole(const struct holder *holder)
{
    for (uint64_t i = 0; i < holder->count; i += SPACING)
        if (holder->items[i]->number != holder->first + i || holder->items[i + 1] != NULL) return false;
    return true;
}

static void holder_done(struct holder *holder)
{
    if (holder->numbers != NULL ? !numbers_are_whole(holder) : !items_are_whole(holder)) {
        fprintf(stderr, "an array is broken\n");
        abort();
    }
    if (!BENCH_EXPLICIT) return;
    if (holder->items != NULL)
        for (uint64_t i = 0; i < holder->count; i += SPACING) BENCH_FREE(holder->items[i]);
    BENCH_FREE(holder->items);
    BENCH_FREE(holder->numbers);
    BENCH_FREE(holder);
}

static void arrays_run(unsigned index, void *arg)
{
    (void)arg;
    uint64_t random = random_seed(index);
    bench_thread *self = bench_thread_begin();
    struct holder **live = BENCH_NEW_REFS(self, struct holder, LIVE);
    for (uint64_t i = 0; i < arrays + LIVE; i++) {
        if (live[i % LIVE] != NULL) holder_done(live[i % LIVE]);
        const uint64_t count = UINT64_C(1) << (WORDS_LOG_MIN + random_below(&random, WORDS_LOGS));
        struct holder *made = BENCH_NEW(self, holder, .count = count, .first = i);
        BENCH_SET_AT(self, live, i % LIVE, made);
        if (i % 2 == 0)
            numbers_fill(self, made);
        else
            items_fill(self, made);
    }
    for (unsigned i = 0; i < LIVE; i++) holder_done(live[i]);
    bench_thread_end(self);
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = {
        { "arrays", &arrays, "that a thread makes" },
        { "threads", &threads, "threads, each with the whole work" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    bench_begin(0);
    measure_begin();
    workers_run(threads, arrays_run, NULL);
    measure_end("arrays");
    result_end();
    bench_end();
}
