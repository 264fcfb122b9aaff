/* What cachegrind counts for counted.py: run twice, with two numbers of rounds; the difference is what the rounds cost.
 *
 *   stress-scale-count trees|entries mark|copy|drop OBJECTS ROUNDS
 *
 *   trees    of 63 nodes, 32 bytes each
 *   entries  a table's, 32 bytes, each with a leaf of 144
 *   mark     a round is a full collection
 *   copy     a round makes the objects, and a collection of Gen 0 copies them
 *   drop     the same, but they are let go of before it: what copy costs more than this is copying */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenure.h>

enum { LEVELS = 6, NODES = (1 << LEVELS) - 1 };

struct node {
    struct node *left, *right;
};
TENURE_TYPE(node, struct node, left, right);

struct leaf {
    uint64_t words[17];
};
TENURE_TYPE_LEAF(leaf, struct leaf);

struct entry {
    uint64_t key;
    struct leaf *leaf;
    uint64_t version;
};
TENURE_TYPE(entry, struct entry, leaf);

static struct node *tree_make(tenure_thread *self, int levels)
{
    if (levels == 0) return NULL;
    struct node *left = tree_make(self, levels - 1);
    struct node *right = tree_make(self, levels - 1);
    return TENURE_NEW(self, node, .left = left, .right = right);
}

static void trees_make(tenure_thread *self, void **table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *tree = tree_make(self, LEVELS);
        TENURE_SET_AT(self, table, i, tree);
    }
}

static void entries_make(tenure_thread *self, void **table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct leaf *leaf = TENURE_NEW(self, leaf, .words = { i });
        void *entry = TENURE_NEW(self, entry, .key = i, .leaf = leaf);
        TENURE_SET_AT(self, table, i, entry);
    }
}

static void let_go(tenure_thread *self, void **table, size_t count)
{
    for (size_t i = 0; i < count; i++) TENURE_SET_AT(self, table, i, NULL);
}

static void must(tenure_status status)
{
    if (status == TENURE_OK) return;
    fprintf(stderr, "%s\n", tenure_strerror(status));
    exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    if (argc != 5) return EXIT_FAILURE;
    const bool trees = strcmp(argv[1], "trees") == 0, mark = strcmp(argv[2], "mark") == 0;
    const size_t count = strtoull(argv[3], NULL, 0) / (trees ? NODES : 2);
    tenure_options options;
    tenure_heap *heap;
    must(tenure_options_init(&options, NULL, 0));
    must(tenure_heap_create(&heap, &options));
    tenure_thread *self = tenure_attach(heap);
    void **table = TENURE_NEW_REFS(self, void, count);
    must(tenure_collect(self, TENURE_GEN2)); /* the table is old */
    void (*const make)(tenure_thread *, void **, size_t) = trees ? trees_make : entries_make;
    if (mark) make(self, table, count);
    if (mark) must(tenure_collect(self, TENURE_GEN2));
    for (unsigned long rounds = strtoul(argv[4], NULL, 0); rounds != 0; rounds--) {
        if (!mark) make(self, table, count);
        if (strcmp(argv[2], "drop") == 0) let_go(self, table, count);
        must(tenure_collect(self, mark ? TENURE_GEN2 : TENURE_GEN0));
        if (strcmp(argv[2], "copy") == 0) let_go(self, table, count);
    }
    tenure_stats stats;
    tenure_stats_read(heap, &stats);
    printf("copied %llu objects, %llu bytes\n", (unsigned long long)stats.copied_objects,
        (unsigned long long)stats.copied_bytes);
    tenure_detach(self);
    must(tenure_heap_destroy(heap));
    return EXIT_SUCCESS;
}
