/* Tenure: one heap for the program; its statistics become keys of the result line. */
#include "allocator.h"

#include "measure.h"
#include <stdio.h>
#include <stdlib.h>

static tenure_heap *heap;
static tenure_stats stats_at_begin;

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

void bench_begin(uint64_t max_heap_bytes)
{
    tenure_options options;
    char wrong[128];
    if (tenure_options_init(&options, wrong, sizeof wrong) != TENURE_OK) {
        fprintf(stderr, "TENURE_OPTIONS: %s\n", wrong);
        exit(EXIT_FAILURE);
    }
    if (max_heap_bytes != 0) options.max_heap = max_heap_bytes;
    must(tenure_heap_create(&heap, &options), "tenure_heap_create");
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

void bench_collections_begin(void) { tenure_stats_read(heap, &stats_at_begin); }

/* Counts and sums are those of the measured part. The percentiles and the maximum are the heap's since its creation:
 * distributions cannot be subtracted. */
static void report_pauses(const char *name, const tenure_pauses *before, const tenure_pauses *after)
{
    const uint64_t count = after->total.count - before->total.count;
    result_count_of(name, "count", count);
    result_seconds_of(name, "seconds", (double)(after->total.sum_ns - before->total.sum_ns) * 1e-9);
    result_seconds_of(name, "cpu_seconds", (double)(after->cpu.sum_ns - before->cpu.sum_ns) * 1e-9);
    if (after->total.count == 0) return;
    result_count_of(name, "p50_ns", after->total.p50_ns);
    result_count_of(name, "p99_ns", after->total.p99_ns);
    result_count_of(name, "max_ns", after->total.max_ns);
    result_count_of(name, "cpu_p50_ns", after->cpu.p50_ns);
    result_count_of(name, "cpu_p99_ns", after->cpu.p99_ns);
    result_count_of(name, "cpu_max_ns", after->cpu.max_ns);
    result_count_of(name, "reach_p50_ns", after->reach.p50_ns);
    result_count_of(name, "reach_p99_ns", after->reach.p99_ns);
    result_count_of(name, "reach_max_ns", after->reach.max_ns);
}

void bench_collections_report(void)
{
    tenure_stats stats;
    tenure_stats_read(heap, &stats);
    const tenure_stats *begin = &stats_at_begin;
    result_text("version", tenure_version());
    report_pauses("young", &begin->pauses[TENURE_GEN0], &stats.pauses[TENURE_GEN0]);
    report_pauses("gen1", &begin->pauses[TENURE_GEN1], &stats.pauses[TENURE_GEN1]);
    report_pauses("full", &begin->pauses[TENURE_GEN2], &stats.pauses[TENURE_GEN2]);
    report_pauses("pause", &begin->all, &stats.all);
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
