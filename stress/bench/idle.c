/* What idle threads cost a young pause: the same load on a heap without any and on one to which N threads are attached
 * that all wait for a condition inside an idle region, as a server's connections do. Measured none, N, none, so that a
 * drift of the machine does not look like a difference. */
#include "allocator.h"
#include "measure.h"
#include "random.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RING = 4096, STACK_BYTES = 64 * 1024, IDLE_MAX = 100000 };

struct item {
    struct item *previous;
    uint64_t number;
    uint64_t words[2];
};
BENCH_TYPE(item, struct item, previous);

static uint64_t idle_threads = 5000;
static uint64_t milliseconds = 700;

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t all_waiting, ended;
    uint64_t waiting;  /* mutex */
    bool over;         /* mutex */
    tenure_heap *heap; /* before the threads are made */
} idlers = {
    .mutex = PTHREAD_MUTEX_INITIALIZER, .all_waiting = PTHREAD_COND_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER
};

static void must(int error, const char *what)
{
    if (error == 0) return;
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    exit(EXIT_FAILURE);
}

static tenure_heap *heap_make(void)
{
    tenure_heap *heap;
    const tenure_status status = tenure_heap_create(&heap, NULL);
    if (status == TENURE_OK) return heap;
    fprintf(stderr, "tenure_heap_create: %s\n", tenure_strerror(status));
    exit(EXIT_FAILURE);
}

static tenure_thread *attach(tenure_heap *heap)
{
    tenure_thread *self = tenure_attach(heap);
    if (self == NULL) must(errno, "tenure_attach");
    return self;
}

static void *idler_main(void *arg)
{
    (void)arg;
    tenure_thread *self = attach(idlers.heap);
    tenure_enter_idle(self);
    pthread_mutex_lock(&idlers.mutex);
    if (++idlers.waiting == idle_threads) pthread_cond_signal(&idlers.all_waiting);
    while (!idlers.over) pthread_cond_wait(&idlers.ended, &idlers.mutex);
    pthread_mutex_unlock(&idlers.mutex);
    tenure_leave_idle(self);
    tenure_detach(self);
    return NULL;
}

/* Returns when all of them wait. */
static pthread_t *idlers_start(tenure_heap *heap)
{
    idlers.heap = heap;
    pthread_t *threads = calloc(idle_threads + 1, sizeof *threads);
    if (threads == NULL) must(ENOMEM, "calloc");
    pthread_attr_t attributes;
    must(pthread_attr_init(&attributes), "pthread_attr_init");
    must(pthread_attr_setstacksize(&attributes, STACK_BYTES), "pthread_attr_setstacksize");
    for (uint64_t i = 0; i < idle_threads; i++)
        must(pthread_create(&threads[i], &attributes, idler_main, NULL), "pthread_create");
    must(pthread_attr_destroy(&attributes), "pthread_attr_destroy");
    pthread_mutex_lock(&idlers.mutex);
    while (idlers.waiting != idle_threads) pthread_cond_wait(&idlers.all_waiting, &idlers.mutex);
    pthread_mutex_unlock(&idlers.mutex);
    return threads;
}

static void idlers_end(pthread_t *threads)
{
    pthread_mutex_lock(&idlers.mutex);
    idlers.over = true;
    pthread_cond_broadcast(&idlers.ended);
    pthread_mutex_unlock(&idlers.mutex);
    for (uint64_t i = 0; i < idle_threads; i++) must(pthread_join(threads[i], NULL), "pthread_join");
    free(threads);
}

/* Objects die young but for one in sixteen, which lives in a ring until it is overwritten. */
static void load_run(tenure_thread *self, uint64_t nanoseconds)
{
    struct item **ring = BENCH_NEW_REFS(self, struct item, RING);
    uint64_t random = random_seed(0);
    const uint64_t end_ns = measure_now_ns() + nanoseconds;
    while (measure_now_ns() < end_ns)
        for (uint64_t i = 0; i < 1024; i++) {
            struct item *made = BENCH_NEW(self, item, .previous = NULL, .number = i);
            if (i % 16 == 0) BENCH_SET_AT(self, ring, random_below(&random, RING), made);
        }
    tenure_keep_alive(ring);
}

static void load(tenure_heap *heap, uint64_t load_milliseconds)
{
    tenure_thread *self = attach(heap);
    load_run(self, load_milliseconds * 1000 * 1000);
    tenure_detach(self);
}

static void report(const char *prefix, tenure_heap *heap)
{
    tenure_stats stats;
    tenure_stats_read(heap, &stats);
    const tenure_pauses *young = &stats.pauses[TENURE_GEN0];
    result_count_of(prefix, "count", young->total.count);
    result_count_of(prefix, "p50_ns", young->total.p50_ns);
    result_count_of(prefix, "p99_ns", young->total.p99_ns);
    result_count_of(prefix, "max_ns", young->total.max_ns);
    result_count_of(prefix, "cpu_p50_ns", young->cpu.p50_ns);
    result_count_of(prefix, "reach_p50_ns", young->reach.p50_ns);
    result_count_of(prefix, "gen1_count", stats.pauses[TENURE_GEN1].total.count);
    result_count_of(prefix, "gen1_p50_ns", stats.pauses[TENURE_GEN1].total.p50_ns);
    result_count_of(prefix, "gen0_budget_bytes", stats.gen0_budget_bytes);
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = {
        { "idle", &idle_threads, "idle attached threads" },
        { "milliseconds", &milliseconds, "length of the load without and with them" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    if (idle_threads > IDLE_MAX) {
        fprintf(stderr, "idle: at most %d\n", IDLE_MAX);
        return EXIT_FAILURE;
    }
    tenure_heap *alone = heap_make();
    tenure_heap *shared = heap_make();
    load(alone, milliseconds / 2);
    const uint64_t start_ns = measure_now_ns();
    pthread_t *threads = idlers_start(shared);
    const double start_seconds = (double)(measure_now_ns() - start_ns) * 1e-9;
    load(shared, milliseconds);
    const uint64_t end_ns = measure_now_ns();
    idlers_end(threads);
    const double end_seconds = (double)(measure_now_ns() - end_ns) * 1e-9;
    load(alone, milliseconds - milliseconds / 2);
    result_begin("idle");
    result_count("idle_threads", idle_threads);
    result_real("start_seconds", start_seconds);
    result_real("end_seconds", end_seconds);
    report("alone", alone);
    report("idle", shared);
    result_end();
    tenure_heap_destroy(shared);
    tenure_heap_destroy(alone);
}
