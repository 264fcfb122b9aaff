/* What it costs to look into a heap: the wall time of each look at N objects that live, and for how long another thread
 * that only polls was held up by it at most. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <tenure.h>

#include "measure.h"
#include "random.h"

struct node {
    struct node *next, *other;
    uint64_t words[3];
};
TENURE_TYPE(node_type, struct node, next, other);

static tenure_thread *self;
static struct node **table;
static size_t chains;

static _Atomic uint64_t longest_ns;
static _Atomic bool ended;

static void *poll_main(void *arg)
{
    tenure_thread *poller = tenure_attach(arg);
    if (poller == NULL) abort();
    for (uint64_t before = measure_now_ns(); !atomic_load(&ended);) {
        tenure_poll(poller);
        const uint64_t now = measure_now_ns();
        if (now - before > atomic_load(&longest_ns)) atomic_store(&longest_ns, now - before);
        before = now;
    }
    tenure_detach(poller);
    return NULL;
}

static bool count(tenure_thread *thread, void *object, void *arg)
{
    (void)thread;
    (void)object;
    ++*(size_t *)arg;
    return true;
}

static bool count_step(tenure_thread *thread, const tenure_path_step *step, void *arg)
{
    (void)thread;
    (void)step;
    ++*(size_t *)arg;
    return true;
}

static struct node *last_of_a_chain(void)
{
    struct node *node = table[chains / 2];
    while (node->next != NULL) node = node->next;
    return node;
}

static tenure_status look_census(size_t *found)
{
    tenure_census_row row;
    return tenure_census_read(self, &row, 1, found);
}
static tenure_status look_objects(size_t *found) { return tenure_each_object(self, -1, count, found); }
static tenure_status look_referents(size_t *found) { return tenure_referents(self, last_of_a_chain(), count, found); }
static tenure_status look_referrers(size_t *found) { return tenure_referrers(self, last_of_a_chain(), count, found); }
static tenure_status look_path(size_t *found) { return tenure_path(self, last_of_a_chain(), count_step, found); }
static tenure_status look_verify(size_t *found)
{
    (void)found;
    return tenure_verify(self);
}
static tenure_status look_snapshot(size_t *found)
{
    (void)found;
    return tenure_snapshot(self, "/dev/null");
}

static void build(size_t objects)
{
    uint64_t random = 1;
    chains = objects / 1000 + 1;
    table = TENURE_NEW_REFS(self, struct node, chains);
    for (size_t i = 0; i < objects; i++) {
        struct node *node = tenure_new(self, node_type);
        if (node == NULL) abort();
        const size_t chain = random_below(&random, chains);
        node->next = table[chain];
        node->other = table[random_below(&random, chains)];
        TENURE_SET_AT(self, table, chain, node);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        tenure_status (*look)(size_t *);
    } looks[] = { { "census", look_census }, { "each_object", look_objects }, { "referents", look_referents },
        { "referrers", look_referrers }, { "path", look_path }, { "snapshot", look_snapshot },
        { "verify", look_verify } };
    const size_t objects = argc > 1 ? strtoul(argv[1], NULL, 10) : 4000000;
    tenure_heap *heap;
    if (tenure_heap_create(&heap, NULL) != TENURE_OK || (self = tenure_attach(heap)) == NULL) return 1;
    if (tenure_root_add(heap, &table) != TENURE_OK) return 1;
    build(objects);
    tenure_collect(self, TENURE_GEN2);
    pthread_t poller;
    errno = pthread_create(&poller, NULL, poll_main, heap);
    if (errno != 0) return 1;
    printf("%zu objects\n", objects);
    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
        size_t found = 0;
        tenure_nanosleep(self, &(struct timespec) { 0, 20000000 }, NULL);
        atomic_store(&longest_ns, 0);
        const uint64_t before = measure_now_ns();
        if (looks[i].look(&found) != TENURE_OK) return 1;
        const uint64_t after = measure_now_ns();
        tenure_nanosleep(self, &(struct timespec) { 0, 20000000 }, NULL);
        printf("%-12s %8.2f ms, others held up %8.2f ms, found %zu\n", looks[i].name, (double)(after - before) / 1e6,
            (double)atomic_load(&longest_ns) / 1e6, found);
    }
    atomic_store(&ended, true);
    tenure_join(self, poller, NULL);
    return 0;
}
