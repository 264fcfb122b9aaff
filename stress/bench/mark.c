/* How fast full collections mark: the wall time of explicit ones while all objects live and nobody changes them, the
 * shortest of several. Three shapes, one after the other, of as many objects each:
 *   trees   of 63 nodes, as their builder left them: what belongs together lies together
 *   random  one binary tree whose nodes lie anywhere: every reference is a cache miss
 *   lists   64 of them, interleaved in memory: no more than 64 objects are known at any time
 * The objects are added up at the end. */
#include "allocator.h"
#include "measure.h"
#include "random.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { TREE_LEVELS = 6, TREE_NODES = (1 << TREE_LEVELS) - 1, LISTS = 64 };

struct node {
    struct node *left, *right;
    uint64_t number; /* 1, 2, ... as they were made */
};
BENCH_TYPE(node, struct node, left, right);

static uint64_t objects = 4 * 1000 * 1000;
static uint64_t rounds = 5;
static uint64_t made;

/* An array of references, and how many. */
struct roots {
    struct node **nodes;
    uint64_t count;
};

static struct roots roots_make(bench_thread *self, uint64_t count)
{
    return (struct roots) { BENCH_NEW_REFS(self, struct node, count), count };
}

static struct node *node_make(bench_thread *self, struct node *left, struct node *right)
{
    return BENCH_NEW(self, node, .left = left, .right = right, .number = ++made);
}

static struct node *tree_make(bench_thread *self, int levels)
{
    if (levels == 0) return NULL;
    struct node *left = tree_make(self, levels - 1);
    struct node *right = tree_make(self, levels - 1);
    return node_make(self, left, right);
}

static struct roots trees_make(bench_thread *self)
{
    const struct roots roots = roots_make(self, objects / TREE_NODES);
    for (uint64_t i = 0; i < roots.count; i++) {
        struct node *tree = tree_make(self, TREE_LEVELS);
        BENCH_SET_AT(self, roots.nodes, i, tree);
    }
    return roots;
}

static void shuffle(bench_thread *self, struct roots roots)
{
    uint64_t random = random_seed(0);
    for (uint64_t i = roots.count; i > 1; i--) {
        const uint64_t j = random_below(&random, i);
        struct node *last = roots.nodes[i - 1];
        BENCH_SET_AT(self, roots.nodes, i - 1, roots.nodes[j]);
        BENCH_SET_AT(self, roots.nodes, j, last);
    }
}

/* A heap in the sorter's sense: the node at place i has those at 2i + 1 and 2i + 2. */
static struct roots random_make(bench_thread *self)
{
    const struct roots all = roots_make(self, objects);
    for (uint64_t i = 0; i < objects; i++) {
        struct node *node = node_make(self, NULL, NULL);
        BENCH_SET_AT(self, all.nodes, i, node);
    }
    shuffle(self, all);
    for (uint64_t i = 0; i < objects; i++) {
        if (2 * i + 1 < objects) BENCH_SET(self, all.nodes[i], left, all.nodes[2 * i + 1]);
        if (2 * i + 2 < objects) BENCH_SET(self, all.nodes[i], right, all.nodes[2 * i + 2]);
    }
    const struct roots root = roots_make(self, 1);
    BENCH_SET_AT(self, root.nodes, 0, all.nodes[0]);
    return root;
}

static struct roots lists_make(bench_thread *self)
{
    const struct roots roots = roots_make(self, LISTS);
    for (uint64_t i = 0; i < objects; i++) {
        struct node *node = node_make(self, roots.nodes[i % LISTS], NULL);
        BENCH_SET_AT(self, roots.nodes, i % LISTS, node);
    }
    return roots;
}

static uint64_t sum_of(const struct node *node)
{
    uint64_t sum = 0;
    for (; node != NULL; node = node->left) sum += node->number + (node->right != NULL ? sum_of(node->right) : 0);
    return sum;
}

static void check(struct roots roots)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < roots.count; i++) sum += sum_of(roots.nodes[i]);
    if (sum == made * (made + 1) / 2) return;
    fprintf(stderr, "the %" PRIu64 " objects add up to %" PRIu64 "\n", made, sum);
    abort();
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

struct cost {
    uint64_t wall_ns, cpu_ns; /* of a collection, all its threads */
};

static struct cost collection_cost(bench_thread *self)
{
    struct cost best = { UINT64_MAX, UINT64_MAX };
    bench_collect(self); /* what lives is old, and what does not is gone */
    for (uint64_t i = 0; i < rounds; i++) {
        const uint64_t begin_ns = measure_now_ns(), begin_cpu_ns = measure_cpu_ns();
        bench_collect(self);
        best.cpu_ns = least(best.cpu_ns, measure_cpu_ns() - begin_cpu_ns);
        best.wall_ns = least(best.wall_ns, measure_now_ns() - begin_ns);
    }
    return best;
}

/* noinline: no register and no stack slot of main's leads to one shape while another is measured. */
__attribute__((noinline)) static struct cost measure_shape(bench_thread *self, struct roots make(bench_thread *))
{
    made = 0;
    const struct roots roots = make(self);
    const struct cost cost = collection_cost(self);
    check(roots);
    return cost;
}

static void report(const char *shape, struct cost cost)
{
    result_real_of(shape, "objects_per_s", (double)made * 1e9 / (double)cost.wall_ns);
    result_real_of(shape, "cpu_ns", (double)cost.cpu_ns / (double)made);
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = {
        { "objects", &objects, "in each shape" },
        { "rounds", &rounds, "full collections of each" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    bench_begin(0);
    bench_thread *self = bench_thread_begin();
    measure_begin();
    const struct cost trees = measure_shape(self, trees_make);
    const struct cost random = measure_shape(self, random_make);
    const struct cost lists = measure_shape(self, lists_make);
    bench_thread_end(self);
    measure_end("mark");
    report("trees", trees);
    report("random", random);
    report("lists", lists);
    result_end();
    bench_end();
}
