/* GCBench after Ellis, Kovac and Boehm, multithreaded and with holes as in Whippet's mt-gcbench: trees built top-down
 * (stores into nodes that may be old by then) and bottom-up, beside a long-lived tree and a long-lived array of
 * doubles. Between the nodes dead objects of random size are left, so that what survives is not contiguous. The heap is
 * held to a multiple of what lives at the peak. */
#include "allocator.h"
#include "measure.h"
#include "random.h"
#include "workers.h"
#include <stdio.h>
#include <stdlib.h>

enum {
    DEPTH_MIN = 4,
    DEPTH_MAX = 16,
    LONG_LIVED_DEPTH = 16,
    DOUBLES = 500 * 1000,
    HOLE_PATTERN = 256,      /* sizes of holes repeat after so many */
    HOLE_STOPS_PERCENT = 15, /* chance that a hole ends at any word */
    NODE_BYTES = 32          /* what a node takes in a collector's heap, its header included */
};

struct node {
    struct node *left, *right;
    int32_t zero, depth;
};
BENCH_TYPE(node, struct node, left, right);

struct hole {
    uint64_t length;
    uint64_t words[];
};
BENCH_TYPE_FLEX_LEAF(hole, struct hole, words);

struct doubles {
    uint64_t length;
    double values[];
};
BENCH_TYPE_FLEX_LEAF(doubles, struct doubles, values);

static uint64_t threads = 1;
static uint64_t heap_percent = 250;
static uint8_t hole_words[HOLE_PATTERN];

struct work {
    bench_thread *self;
    unsigned holes; /* left so far */
};

/* Geometric: most holes are small, a few are thirty words. */
static void hole_words_prepare(void)
{
    uint64_t state = random_seed(0);
    for (unsigned i = 0; i < HOLE_PATTERN; i++)
        while (random_below(&state, 100) >= HOLE_STOPS_PERCENT && hole_words[i] < UINT8_MAX) hole_words[i]++;
}

static inline void leave_hole(struct work *work)
{
    const unsigned words = hole_words[work->holes++ % HOLE_PATTERN];
    if (words == 0) return;
    struct hole *made = BENCH_NEW_FLEX(work->self, hole, words);
    made->length = words;
    measure_opaque(made);
    BENCH_FREE(made);
}

static inline struct node *node_make(struct work *work, int depth, struct node *left, struct node *right)
{
    return BENCH_NEW(work->self, node, .left = left, .right = right, .depth = depth);
}

static void populate(struct work *work, int depth, struct node *node)
{
    node->depth = depth;
    if (depth == 0) return;
    leave_hole(work);
    struct node *left = node_make(work, 0, NULL, NULL);
    leave_hole(work);
    struct node *right = node_make(work, 0, NULL, NULL);
    BENCH_SET(work->self, node, left, left);
    BENCH_SET(work->self, node, right, right);
    populate(work, depth - 1, left);
    populate(work, depth - 1, right);
}

static struct node *tree_top_down(struct work *work, int depth)
{
    struct node *root = node_make(work, 0, NULL, NULL);
    populate(work, depth, root);
    return root;
}

static struct node *tree_bottom_up(struct work *work, int depth)
{
    if (depth == 0) return node_make(work, 0, NULL, NULL);
    struct node *left = tree_bottom_up(work, depth - 1);
    struct node *right = tree_bottom_up(work, depth - 1);
    leave_hole(work);
    return node_make(work, depth, left, right);
}

/* Walks the tree only at its left edge: enough to notice a tree that was lost, and it costs nothing. */
static void edge_check(const struct node *tree, int depth)
{
    for (; depth >= 0; depth--, tree = tree->left)
        if (tree == NULL || tree->zero != 0 || tree->depth != depth) {
            fprintf(stderr, "a tree is broken at depth %d\n", depth);
            abort();
        }
}

static bool tree_is_whole(const struct node *tree, int depth)
{
    if (tree->zero != 0 || tree->depth != depth) return false;
    if (depth == 0) return tree->left == NULL && tree->right == NULL;
    return tree_is_whole(tree->left, depth - 1) && tree_is_whole(tree->right, depth - 1);
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
static void tree_done(struct work *work, struct node *tree, int depth, void *place)
{
    edge_check(tree, depth);
    if (BENCH_EXPLICIT) tree_free(tree);
    BENCH_DROP(work->self, place);
}

static size_t tree_nodes(int depth) { return ((size_t)1 << (depth + 1)) - 1; }

/* Each depth allocates about as much as the others. */
static size_t iterations_at(int depth) { return 2 * tree_nodes(DEPTH_MAX + 2) / tree_nodes(depth); }

static void trees_of_depth(struct work *work, int depth)
{
    void *place = BENCH_PLACE(work->self);
    for (size_t i = iterations_at(depth); i != 0; i--) tree_done(work, tree_top_down(work, depth), depth, place);
    for (size_t i = iterations_at(depth); i != 0; i--) tree_done(work, tree_bottom_up(work, depth), depth, place);
}

static struct doubles *doubles_half_filled(struct work *work)
{
    struct doubles *array = BENCH_NEW_FLEX(work->self, doubles, DOUBLES);
    array->length = DOUBLES;
    for (size_t i = 0; i < DOUBLES / 2; i++) array->values[i] = 1.0 / (double)(i + 1);
    return array;
}

static void gcbench_run(unsigned index, void *arg)
{
    (void)index, (void)arg;
    struct work work = { bench_thread_begin(), 0 };
    void *place = BENCH_PLACE(work.self);
    struct node *long_lived = tree_top_down(&work, LONG_LIVED_DEPTH);
    struct doubles *array = doubles_half_filled(&work);
    for (int depth = DEPTH_MIN; depth <= DEPTH_MAX; depth += 2) trees_of_depth(&work, depth);
    if (!tree_is_whole(long_lived, LONG_LIVED_DEPTH) || array->values[999] != 1.0 / 1000 || array->length != DOUBLES) {
        fprintf(stderr, "long-lived objects are broken\n");
        abort();
    }
    tree_done(&work, long_lived, LONG_LIVED_DEPTH, place);
    BENCH_FREE(array);
    bench_thread_end(work.self);
}

/* What lives at the peak: the long-lived tree and array, and a temporary tree. */
static uint64_t live_bytes_per_thread(void)
{
    return (tree_nodes(LONG_LIVED_DEPTH) + tree_nodes(DEPTH_MAX)) * NODE_BYTES + DOUBLES * sizeof(double);
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = {
        { "threads", &threads, "threads, each with the whole work" },
        { "heap-percent", &heap_percent, "largest heap in per cent of what lives at the peak; 0: no limit" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    const uint64_t live_bytes = live_bytes_per_thread() * threads;
    hole_words_prepare();
    bench_begin(live_bytes * heap_percent / 100);
    measure_begin();
    workers_run(threads, gcbench_run, NULL);
    measure_end("gcbench");
    result_count("threads", threads);
    result_count("live_bytes", live_bytes);
    result_count("heap_limit_bytes", live_bytes * heap_percent / 100);
    result_end();
    bench_end();
}
