/* libgc: its collections are timed through its events, from the request to stop to the last restart. */
#include "allocator.h"

#include "histogram.h"
#include "measure.h"
#include <stdio.h>
#include <stdlib.h>

/* Written by the thread that collects, which holds libgc's allocation lock. */
static struct {
    uint64_t stop_requested_ns;
    struct histogram total, reach;
} pauses;

void bench_exhausted(void)
{
    fprintf(stderr, "libgc: out of memory\n");
    exit(EXIT_EXHAUSTED);
}

static void GC_CALLBACK on_collection_event(GC_EventType event)
{
    if (event == GC_EVENT_PRE_STOP_WORLD)
        pauses.stop_requested_ns = measure_now_ns();
    else if (event == GC_EVENT_POST_STOP_WORLD)
        histogram_add(&pauses.reach, measure_now_ns() - pauses.stop_requested_ns);
    else if (event == GC_EVENT_POST_START_WORLD)
        histogram_add(&pauses.total, measure_now_ns() - pauses.stop_requested_ns);
}

/* A limit is also where the heap starts: left to itself libgc stays smaller and collects more often, and the comparison
 * would not be at the same heap size. */
void bench_begin(uint64_t max_heap_bytes)
{
    if (max_heap_bytes != 0) GC_set_max_heap_size((GC_word)max_heap_bytes);
    GC_INIT();
    if (max_heap_bytes > GC_get_heap_size()) GC_expand_hp(max_heap_bytes - GC_get_heap_size());
    /* It warns of large blocks on stderr, to no consequence here. */
    GC_set_warn_proc(GC_ignore_warn_proc);
    GC_set_on_collection_event(on_collection_event);
}

void bench_end(void) {}

bench_thread *bench_thread_begin(void) { return NULL; }

void bench_thread_end(bench_thread *self) { (void)self; }

void bench_idle_begin(bench_thread *self) { (void)self; }

void bench_idle_end(bench_thread *self) { (void)self; }

void bench_collect(bench_thread *self)
{
    (void)self;
    GC_gcollect();
}

void bench_collections_begin(void)
{
    histogram_clear(&pauses.total);
    histogram_clear(&pauses.reach);
}

void bench_collections_report(void)
{
    char version[32];
    const unsigned long number = GC_get_version();
    snprintf(version, sizeof version, "%lu.%lu.%lu", number >> 16, (number >> 8) & 255, number & 255);
    result_text("version", version);
    result_count("markers", (uint64_t)GC_get_parallel() + 1);
    result_count_of("pause", "count", pauses.total.count);
    result_real_of("pause", "seconds", (double)pauses.total.sum * 1e-9);
    if (pauses.total.count != 0) {
        result_count_of("pause", "p50_ns", histogram_percentile(&pauses.total, 50));
        result_count_of("pause", "p99_ns", histogram_percentile(&pauses.total, 99));
        result_count_of("pause", "max_ns", pauses.total.max);
        result_count_of("pause", "reach_p50_ns", histogram_percentile(&pauses.reach, 50));
        result_count_of("pause", "reach_max_ns", pauses.reach.max);
    }
    result_count("heap_bytes", GC_get_heap_size());
}
