/* A graph that is rewired all the time: what the barrier costs where stores are most of the work. Each operation
 * exchanges the ends of two edges of old nodes and notes it in a record that soon dies. No edge is lost or made: how
 * often each node is pointed at stays as it was built. */
#include "allocator.h"
#include "measure.h"
#include "random.h"
#include "workers.h"
#include <stdio.h>
#include <stdlib.h>

enum { EDGES = 4, RECORDS = 64 };

struct node {
    struct node *edges[EDGES];
    uint64_t number, seen;
};
BENCH_TYPE(node, struct node, edges);

struct record {
    struct record *previous;
    struct node *from, *to;
};
BENCH_TYPE(record, struct record, previous, from, to);

static uint64_t nodes = 256 * 1024;
static uint64_t operations = 4 * 1000 * 1000;
static uint64_t threads = 1;

/* Node i points at i + 1, i + 2, ...: every node has as many edges in as out. */
static struct node **graph_make(bench_thread *self)
{
    struct node **graph = BENCH_NEW_REFS(self, struct node, nodes);
    for (uint64_t i = 0; i < nodes; i++) {
        struct node *made = BENCH_NEW(self, node, .number = i);
        BENCH_SET_AT(self, graph, i, made);
    }
    for (uint64_t i = 0; i < nodes; i++)
        for (unsigned j = 0; j < EDGES; j++) BENCH_SET(self, graph[i], edges[j], graph[(i + j + 1) % nodes]);
    return graph;
}

static void exchange(bench_thread *self, struct node *a, struct node *b, uint64_t which)
{
    const uint64_t i = which % EDGES, j = which / EDGES % EDGES;
    struct node *of_a = a->edges[i], *of_b = b->edges[j];
    BENCH_SET(self, a, edges[i], of_b);
    BENCH_SET(self, b, edges[j], of_a);
}

static void records_done(bench_thread *self, struct record *records, void *place)
{
    uint64_t count = 0;
    while (records != NULL) {
        struct record *previous = records->previous;
        BENCH_FREE(records);
        records = previous;
        count++;
    }
    BENCH_DROP(self, place);
    if (count == RECORDS) return;
    fprintf(stderr, "records are lost\n");
    abort();
}

static void graph_check(struct node *const *graph)
{
    for (uint64_t i = 0; i < nodes; i++)
        for (unsigned j = 0; j < EDGES; j++) graph[i]->edges[j]->seen++;
    for (uint64_t i = 0; i < nodes; i++) {
        if (graph[i]->number == i && graph[i]->seen == EDGES) continue;
        fprintf(stderr, "the edges of a node are lost\n");
        abort();
    }
}

static void graph_run(unsigned index, void *arg)
{
    (void)arg;
    uint64_t random = random_seed(index);
    bench_thread *self = bench_thread_begin();
    struct node **graph = graph_make(self);
    for (uint64_t i = 0; i < operations; i += RECORDS) {
        void *place = BENCH_PLACE(self);
        struct record *records = NULL;
        for (unsigned j = 0; j < RECORDS; j++) {
            struct node *a = graph[random_below(&random, nodes)], *b = graph[random_below(&random, nodes)];
            exchange(self, a, b, random_next(&random));
            records = BENCH_NEW(self, record, .previous = records, .from = a, .to = b);
        }
        records_done(self, records, place);
    }
    graph_check(graph);
    bench_thread_end(self);
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = {
        { "nodes", &nodes, "of a thread's graph" },
        { "operations", &operations, "exchanges of two edges, in each thread" },
        { "threads", &threads, "threads, each with the whole work" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    bench_begin(0);
    measure_begin();
    workers_run(threads, graph_run, NULL);
    measure_end("graph");
    result_end();
    bench_end();
}
