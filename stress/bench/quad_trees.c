/* Quad trees: short-lived complete ones, built bottom-up and top-down (stores into nodes that may be old by then),
 * beside one that lives on. Every tree is counted. Each thread does the whole work. */
#include "allocator.h"
#include "measure.h"
#include "workers.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { KIDS = 4, DEPTH_MIN = 2 };

struct quad {
    struct quad *kids[KIDS];
};
BENCH_TYPE(quad, struct quad, kids);

static uint64_t depth_max = 9;
static uint64_t threads = 1;

static struct quad *bottom_up(bench_thread *self, uint64_t depth)
{
    if (depth == 1) return BENCH_NEW(self, quad, .kids = { NULL });
    struct quad *a = bottom_up(self, depth - 1);
    struct quad *b = bottom_up(self, depth - 1);
    struct quad *c = bottom_up(self, depth - 1);
    struct quad *d = bottom_up(self, depth - 1);
    return BENCH_NEW(self, quad, .kids = { a, b, c, d });
}

static struct quad *top_down(bench_thread *self, uint64_t depth)
{
    struct quad *tree = BENCH_NEW(self, quad, .kids = { NULL });
    if (depth == 1) return tree;
    for (unsigned i = 0; i < KIDS; i++) {
        struct quad *kid = top_down(self, depth - 1);
        BENCH_SET(self, tree, kids[i], kid);
    }
    return tree;
}

static uint64_t count_of(const struct quad *tree)
{
    uint64_t count = 1;
    for (unsigned i = 0; i < KIDS && tree->kids[i] != NULL; i++) count += count_of(tree->kids[i]);
    return count;
}

static void tree_free(struct quad *tree)
{
    for (unsigned i = 0; i < KIDS && tree->kids[i] != NULL; i++) tree_free(tree->kids[i]);
    BENCH_FREE(tree);
}

static uint64_t nodes(uint64_t depth) { return ((UINT64_C(1) << 2 * depth) - 1) / 3; }

/* place: where it began. */
static void tree_done(bench_thread *self, struct quad *tree, uint64_t depth, void *place)
{
    const uint64_t counted = count_of(tree);
    if (counted != nodes(depth)) {
        fprintf(stderr, "counted %" PRIu64 " nodes of %" PRIu64 "\n", counted, nodes(depth));
        abort();
    }
    if (BENCH_EXPLICIT) tree_free(tree);
    BENCH_DROP(self, place);
}

/* Each depth allocates about as much as the others. */
static uint64_t iterations_at(uint64_t depth) { return 32 * nodes(depth_max) / nodes(depth); }

static void quads_run(unsigned index, void *arg)
{
    (void)index, (void)arg;
    bench_thread *self = bench_thread_begin();
    void *begin = BENCH_PLACE(self);
    struct quad *long_lived = top_down(self, depth_max);
    void *place = BENCH_PLACE(self);
    for (uint64_t depth = DEPTH_MIN; depth < depth_max; depth++) {
        for (uint64_t i = iterations_at(depth); i != 0; i--) tree_done(self, bottom_up(self, depth), depth, place);
        for (uint64_t i = iterations_at(depth); i != 0; i--) tree_done(self, top_down(self, depth), depth, place);
    }
    tree_done(self, long_lived, depth_max, begin);
    bench_thread_end(self);
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = {
        { "depth", &depth_max, "levels of the tree that lives on, 3 to 12" },
        { "threads", &threads, "threads, each with the whole work" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    if (depth_max <= DEPTH_MIN || depth_max > 12) {
        fprintf(stderr, "depth: 3 to 12\n");
        return EXIT_FAILURE;
    }
    bench_begin(0);
    measure_begin();
    workers_run(threads, quads_run, NULL);
    measure_end("quad_trees");
    result_end();
    bench_end();
}
