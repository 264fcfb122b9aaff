/* Binary trees, after the benchmarks game: short-lived trees of growing depth beside one that lives on. Every tree is
 * counted, so that a node lost or shared shows. Each thread runs the whole program on trees of its own; a tree of depth
 * d has d levels (2^d - 1 nodes). */
#include "allocator.h"
#include "measure.h"
#include "workers.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH_MIN = 4, NODE_BYTES = 32 /* in a collector's heap, its header included */ };

struct node {
    struct node *left, *right;
};
BENCH_TYPE(node, struct node, left, right);

static uint64_t depth_max = 18;
static uint64_t threads = 1;

static struct node *tree_build(bench_thread *self, uint64_t depth)
{
    if (depth == 1) return BENCH_NEW(self, node, .left = NULL, .right = NULL);
    struct node *left = tree_build(self, depth - 1);
    struct node *right = tree_build(self, depth - 1);
    return BENCH_NEW(self, node, .left = left, .right = right);
}

static uint64_t tree_count(const struct node *tree)
{
    if (tree->left == NULL) return 1;
    return 1 + tree_count(tree->left) + tree_count(tree->right);
}

static void tree_free(struct node *tree)
{
    if (tree->left != NULL) {
        tree_free(tree->left);
        tree_free(tree->right);
    }
    BENCH_FREE(tree);
}

/* place: where it began. */
static void tree_done(bench_thread *self, struct node *tree, void *place)
{
    if (BENCH_EXPLICIT) tree_free(tree);
    BENCH_DROP(self, place);
}

static uint64_t tree_nodes(uint64_t depth) { return (UINT64_C(1) << depth) - 1; }

static uint64_t iterations_at(uint64_t depth) { return UINT64_C(1) << (depth_max - depth + DEPTH_MIN); }

static void must_count(uint64_t counted, uint64_t expected)
{
    if (counted == expected) return;
    fprintf(stderr, "counted %" PRIu64 " nodes of %" PRIu64 "\n", counted, expected);
    abort();
}

static uint64_t trees_of_depth(bench_thread *self, uint64_t depth)
{
    uint64_t counted = 0;
    for (uint64_t i = 0; i < iterations_at(depth); i++) {
        void *place = BENCH_PLACE(self);
        struct node *tree = tree_build(self, depth);
        counted += tree_count(tree);
        tree_done(self, tree, place);
    }
    return counted;
}

static void stretch(bench_thread *self)
{
    void *place = BENCH_PLACE(self);
    struct node *tree = tree_build(self, depth_max + 1);
    must_count(tree_count(tree), tree_nodes(depth_max + 1));
    tree_done(self, tree, place);
}

static void trees_run(unsigned index, void *arg)
{
    (void)index, (void)arg;
    bench_thread *self = bench_thread_begin();
    stretch(self);
    void *place = BENCH_PLACE(self);
    struct node *long_lived = tree_build(self, depth_max);
    for (uint64_t depth = DEPTH_MIN; depth <= depth_max; depth += 2)
        must_count(trees_of_depth(self, depth), iterations_at(depth) * tree_nodes(depth));
    must_count(tree_count(long_lived), tree_nodes(depth_max));
    tree_done(self, long_lived, place);
    bench_thread_end(self);
}

static uint64_t nodes_per_thread(void)
{
    uint64_t nodes = tree_nodes(depth_max + 1) + tree_nodes(depth_max);
    for (uint64_t depth = DEPTH_MIN; depth <= depth_max; depth += 2) nodes += iterations_at(depth) * tree_nodes(depth);
    return nodes;
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = {
        { "depth", &depth_max, "levels of the largest iterated tree, 4 to 30" },
        { "threads", &threads, "threads, each with the whole work" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    if (depth_max < DEPTH_MIN || depth_max > 30) {
        fprintf(stderr, "depth: 4 to 30\n");
        return EXIT_FAILURE;
    }
    bench_begin(0);
    measure_begin();
    workers_run(threads, trees_run, NULL);
    measure_end("binary_trees");
    result_count("threads", threads);
    result_count("depth", depth_max);
    result_count("nodes", nodes_per_thread() * threads);
    result_count("live_bytes", tree_nodes(depth_max + 1) * NODE_BYTES * threads);
    result_end();
    bench_end();
}
