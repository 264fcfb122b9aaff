/* References to the young in the old: every operation makes an object and stores it into one of many old ones, chosen
 * at random, where it lives until it is replaced. An object and its holder carry the same number. */
#include "allocator.h"
#include "measure.h"
#include "random.h"
#include "workers.h"
#include <stdio.h>
#include <stdlib.h>

struct item {
    uint64_t number;
    uint64_t check; /* its complement */
};
BENCH_TYPE_LEAF(item, struct item);

struct holder {
    struct item *latest;
    uint64_t number;
};
BENCH_TYPE(holder, struct holder, latest);

static uint64_t holders = 256 * 1024;
static uint64_t operations = 4 * 1000 * 1000;
static uint64_t threads = 1;

static void item_check(const struct holder *holder)
{
    if (holder->latest->number == holder->number && holder->latest->check == ~holder->number) return;
    fprintf(stderr, "an item is broken\n");
    abort();
}

static void store(bench_thread *self, struct holder *holder, uint64_t number)
{
    struct item *made = BENCH_NEW(self, item, .number = number, .check = ~number);
    struct item *stale = holder->latest;
    if (stale != NULL) {
        item_check(holder);
        BENCH_FREE(stale);
    }
    holder->number = number;
    BENCH_SET(self, holder, latest, made);
}

static void stores_run(unsigned index, void *arg)
{
    (void)arg;
    uint64_t random = random_seed(index);
    bench_thread *self = bench_thread_begin();
    struct holder **all = BENCH_NEW_REFS(self, struct holder, holders);
    for (uint64_t i = 0; i < holders; i++) {
        struct holder *made = BENCH_NEW(self, holder, .latest = NULL);
        BENCH_SET_AT(self, all, i, made);
        store(self, made, i);
    }
    for (uint64_t i = 0; i < operations; i++) store(self, all[random_below(&random, holders)], holders + i);
    for (uint64_t i = 0; i < holders; i++) item_check(all[i]);
    bench_thread_end(self);
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = {
        { "holders", &holders, "old objects of a thread" },
        { "operations", &operations, "objects that a thread stores into them" },
        { "threads", &threads, "threads, each with the whole work" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    bench_begin(0);
    measure_begin();
    workers_run(threads, stores_run, NULL);
    measure_end("old_stores");
    result_end();
    bench_end();
}
