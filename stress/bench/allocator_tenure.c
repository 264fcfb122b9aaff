/* Tenure: one heap for the program. Its statistics, and the pauses of the measured part as a listener is told of them,
 * become keys of the result line. */
#include "allocator.h"

#include "measure.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CATCH_UP_NS = 20 * 1000 * 1000 };
#define TOLD_WITHIN_NS ((uint64_t)30 * 1000 * 1000 * 1000)

static tenure_heap *heap;
static uint64_t created_ns;
static tenure_stats stats_at_begin;

static struct {
    pthread_mutex_t mutex;
    uint64_t count, lost;     /* collections, those that were lost included; lost since the measured part began */
    struct pauses pauses[3];  /* by generation, since the measured part began */
    struct pauses minor, all; /* likewise: of Gen 0 and Gen 0+1, of all three */
} told = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void must(tenure_status status, const char *what)
{
    if (status == TENURE_OK) return;
    fprintf(stderr, "%s: %s\n", what, tenure_strerror(status));
    exit(EXIT_FAILURE);
}

void bench_exhausted(void)
{
    fprintf(stderr, "tenure: out of memory\n");
    if (heap != NULL) tenure_stats_print(heap, stderr, TENURE_TEXT);
    exit(EXIT_EXHAUSTED);
}

static void pauses_add(struct pauses *pauses, const tenure_collection *collection)
{
    histogram_add(&pauses->total_ns, collection->total_ns);
    histogram_add(&pauses->cpu_ns, collection->cpu_ns);
    histogram_add(&pauses->reach_ns, collection->reach_ns);
}

/* Sleeps whenever it has caught up: being told then costs fifty wake-ups a second at most, not one for each
 * collection. */
static void on_event(const tenure_event *event, void *arg)
{
    (void)arg;
    const tenure_collection *collection = event->collection;
    if (event->kind != TENURE_EVENT_END || collection->generation < 0) return;
    pthread_mutex_lock(&told.mutex);
    told.count += 1 + collection->lost_before;
    told.lost += collection->lost_before;
    pauses_add(&told.pauses[collection->generation], collection);
    if (collection->generation < TENURE_GEN2) pauses_add(&told.minor, collection);
    pauses_add(&told.all, collection);
    pthread_mutex_unlock(&told.mutex);
    const uint64_t ended_ns = created_ns + collection->at_ns + collection->total_ns;
    if (measure_now_ns() < ended_ns + CATCH_UP_NS) nanosleep(&(struct timespec) { 0, CATCH_UP_NS }, NULL);
}

void bench_begin(uint64_t max_heap_bytes)
{
    tenure_options options;
    char wrong[128];
    if (tenure_options_init(&options, wrong, sizeof wrong) != TENURE_OK) {
        fprintf(stderr, "TENURE_OPTIONS: %s\n", wrong);
        exit(EXIT_FAILURE);
    }
    if (max_heap_bytes != 0) options.max_heap = max_heap_bytes;
    created_ns = measure_now_ns();
    must(tenure_heap_create(&heap, &options), "tenure_heap_create");
    must(tenure_listen(heap, on_event, NULL), "tenure_listen");
}

void bench_end(void) { must(tenure_heap_destroy(heap), "tenure_heap_destroy"); }

bench_thread *bench_thread_begin(void)
{
    tenure_thread *self = tenure_attach(heap);
    if (self == NULL) {
        perror("tenure_attach");
        exit(EXIT_FAILURE);
    }
    return self;
}

void bench_thread_end(bench_thread *self) { tenure_detach(self); }

void bench_idle_begin(bench_thread *self) { tenure_enter_idle(self); }

void bench_idle_end(bench_thread *self) { tenure_leave_idle(self); }

void bench_collect(bench_thread *self) { must(tenure_collect(self, TENURE_GEN2), "tenure_collect"); }

static uint64_t collections_of(const tenure_stats *stats)
{
    return stats->collections[TENURE_GEN0] + stats->collections[TENURE_GEN1] + stats->collections[TENURE_GEN2];
}

/* Until the listener was told of all collections so far; those that explicit calls and stops add meanwhile are few. */
static void wait_until_told(void)
{
    tenure_stats stats;
    tenure_stats_read(heap, &stats);
    const uint64_t end_ns = measure_now_ns() + TOLD_WITHIN_NS;
    for (bool all_told = false; !all_told;) {
        pthread_mutex_lock(&told.mutex);
        all_told = told.count >= collections_of(&stats);
        pthread_mutex_unlock(&told.mutex);
        if (!all_told) nanosleep(&(struct timespec) { 0, 1000 * 1000 }, NULL);
        if (measure_now_ns() > end_ns) {
            fprintf(stderr, "not told of all collections\n");
            exit(EXIT_FAILURE);
        }
    }
}

void bench_collections_begin(void)
{
    wait_until_told();
    pthread_mutex_lock(&told.mutex);
    memset(told.pauses, 0, sizeof told.pauses);
    memset(&told.minor, 0, sizeof told.minor);
    memset(&told.all, 0, sizeof told.all);
    told.lost = 0;
    pthread_mutex_unlock(&told.mutex);
    tenure_stats_read(heap, &stats_at_begin);
}

void bench_collections_report(void)
{
    static const char *const names[] = { "young", "gen1", "full" };
    wait_until_told();
    tenure_stats stats;
    tenure_stats_read(heap, &stats);
    const tenure_stats *begin = &stats_at_begin;
    result_text("version", tenure_version());
    pthread_mutex_lock(&told.mutex);
    for (unsigned i = 0; i < 3; i++) result_pauses(names[i], &told.pauses[i]);
    result_pauses("minor", &told.minor);
    result_pauses("pause", &told.all);
    result_count("pauses_lost", told.lost);
    pthread_mutex_unlock(&told.mutex);
    result_count("max_heap_bytes", stats.max_heap_bytes);
    result_count("heap_bytes", stats.heap_bytes);
    result_count("committed_bytes", stats.committed_bytes);
    result_count("gen0_budget_bytes", stats.gen0_budget_bytes);
    result_count("allocated_bytes", stats.allocated_bytes - begin->allocated_bytes);
    result_count("copied_bytes", stats.copied_bytes - begin->copied_bytes);
    result_count("pinned_objects", stats.pinned_objects - begin->pinned_objects);
    result_count("stayed_objects", stats.stayed_objects - begin->stayed_objects);
    result_count("logged_objects", stats.logged_objects - begin->logged_objects);
}
