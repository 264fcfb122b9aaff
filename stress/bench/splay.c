/* A splay tree whose nodes carry small trees of data, after the benchmark of that name for JavaScript: each operation
 * inserts a node with a new key and removes the greatest key below it, so that the size stays. Splaying (Sleator and
 * Tarjan, top-down) rewrites references in nodes of every age. At the end the keys are in order and every node has its
 * own data. */
#include "allocator.h"
#include "measure.h"
#include "random.h"
#include "workers.h"
#include <stdio.h>
#include <stdlib.h>

enum { DATA_LEVELS = 3, WORDS = 8 };

struct data {
    struct data *left, *right;
    uint64_t key;
    uint64_t words[WORDS];
};
BENCH_TYPE(data, struct data, left, right);

struct node {
    struct node *left, *right;
    struct data *data;
    uint64_t key;
};
BENCH_TYPE(node, struct node, left, right, data);

/* header: while it is splayed, its right is the tree of what is less, its left the tree of what is greater. */
struct tree {
    struct node *root, *header;
};
BENCH_TYPE(tree, struct tree, root, header);

static uint64_t nodes = 32 * 1024;
static uint64_t operations = 200 * 1000;
static uint64_t threads = 1;

static struct data *data_make(bench_thread *self, uint64_t key, int levels)
{
    if (levels == 0) return NULL;
    struct data *left = data_make(self, key, levels - 1);
    struct data *right = data_make(self, key, levels - 1);
    return BENCH_NEW(self, data, .left = left, .right = right, .key = key, .words = { key });
}

static uint64_t data_count(const struct data *data, uint64_t key)
{
    if (data == NULL) return 0;
    return (data->key == key && data->words[0] == key) + data_count(data->left, key) + data_count(data->right, key);
}

static void data_free(struct data *data)
{
    if (data == NULL) return;
    data_free(data->left);
    data_free(data->right);
    BENCH_FREE(data);
}

/* Brings the node with that key, or one next to where it would be, to the root. */
static void splay(bench_thread *self, struct tree *tree, uint64_t key)
{
    struct node *header = tree->header, *less = header, *greater = header, *at = tree->root;
    BENCH_SET(self, header, left, NULL);
    BENCH_SET(self, header, right, NULL);
    while (key != at->key) {
        if (key < at->key) {
            struct node *left = at->left;
            if (left == NULL) break;
            if (key < left->key) {
                BENCH_SET(self, at, left, left->right);
                BENCH_SET(self, left, right, at);
                at = left;
                if (at->left == NULL) break;
            }
            BENCH_SET(self, greater, left, at);
            greater = at;
            at = at->left;
        } else {
            struct node *right = at->right;
            if (right == NULL) break;
            if (key > right->key) {
                BENCH_SET(self, at, right, right->left);
                BENCH_SET(self, right, left, at);
                at = right;
                if (at->right == NULL) break;
            }
            BENCH_SET(self, less, right, at);
            less = at;
            at = at->right;
        }
    }
    BENCH_SET(self, less, right, at->left);
    BENCH_SET(self, greater, left, at->right);
    BENCH_SET(self, at, left, header->right);
    BENCH_SET(self, at, right, header->left);
    BENCH_SET(self, tree, root, at);
}

/* The tree has another root than the key's after splaying: keys are new. */
static void insert(bench_thread *self, struct tree *tree, uint64_t key)
{
    struct data *data = data_make(self, key, DATA_LEVELS);
    struct node *made = BENCH_NEW(self, node, .data = data, .key = key);
    if (tree->root != NULL) {
        splay(self, tree, key);
        struct node *root = tree->root;
        if (root->key < key) {
            BENCH_SET(self, made, left, root);
            BENCH_SET(self, made, right, root->right);
            BENCH_SET(self, root, right, NULL);
        } else {
            BENCH_SET(self, made, right, root);
            BENCH_SET(self, made, left, root->left);
            BENCH_SET(self, root, left, NULL);
        }
    }
    BENCH_SET(self, tree, root, made);
}

static void root_remove(bench_thread *self, struct tree *tree)
{
    struct node *gone = tree->root;
    if (gone->left == NULL) {
        BENCH_SET(self, tree, root, gone->right);
    } else {
        BENCH_SET(self, tree, root, gone->left);
        splay(self, tree, gone->key); /* the greatest of those has nothing to its right */
        BENCH_SET(self, tree->root, right, gone->right);
    }
    if (BENCH_EXPLICIT) data_free(gone->data);
    BENCH_FREE(gone);
}

/* Of the root, which was inserted last; itself if there is none. */
static void predecessor_remove(bench_thread *self, struct tree *tree)
{
    const struct node *before = tree->root->left;
    if (before != NULL) {
        while (before->right != NULL) before = before->right;
        splay(self, tree, before->key);
    }
    root_remove(self, tree);
}

/* Takes them out from the least to the greatest and counts them: recursion would need a stack as deep as the tree. */
static uint64_t nodes_check(bench_thread *self, struct tree *tree)
{
    uint64_t count = 0, least = 0;
    for (; tree->root != NULL; count++) {
        splay(self, tree, 0); /* the least key */
        const struct node *root = tree->root;
        if (root->key < least || data_count(root->data, root->key) != (1 << DATA_LEVELS) - 1) {
            fprintf(stderr, "the tree is broken\n");
            abort();
        }
        least = root->key;
        root_remove(self, tree);
    }
    return count;
}

static void splay_run(unsigned index, void *arg)
{
    (void)arg;
    uint64_t random = random_seed(index);
    bench_thread *self = bench_thread_begin();
    struct node *header = BENCH_NEW(self, node, .data = NULL);
    struct tree *tree = BENCH_NEW(self, tree, .header = header);
    for (uint64_t i = 0; i < nodes; i++) insert(self, tree, random_next(&random));
    for (uint64_t i = 0; i < operations; i++) {
        insert(self, tree, random_next(&random));
        predecessor_remove(self, tree);
    }
    if (nodes_check(self, tree) != nodes) {
        fprintf(stderr, "nodes are lost\n");
        abort();
    }
    bench_thread_end(self);
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = {
        { "nodes", &nodes, "of a thread's tree" },
        { "operations", &operations, "insertions and removals of a thread" },
        { "threads", &threads, "threads, each with the whole work" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    bench_begin(0);
    measure_begin();
    workers_run(threads, splay_run, NULL);
    measure_end("splay");
    result_end();
    bench_end();
}
