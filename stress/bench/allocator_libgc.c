/* libgc: its collections are timed through its events, from the request to stop to the last restart. */
#include "allocator.h"

#include "measure.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Written by the thread that collects, which holds libgc's allocation lock. */
static struct {
    uint64_t requested_ns, requested_cpu_ns;
    struct pauses pauses;
} seen;

void bench_exhausted(void)
{
    fprintf(stderr, "libgc: out of memory\n");
    exit(EXIT_EXHAUSTED);
}

static void GC_CALLBACK on_collection_event(GC_EventType event)
{
    if (event == GC_EVENT_PRE_STOP_WORLD) {
        seen.requested_ns = measure_now_ns();
        seen.requested_cpu_ns = measure_cpu_ns();
    } else if (event == GC_EVENT_POST_STOP_WORLD) {
        histogram_add(&seen.pauses.reach_ns, measure_now_ns() - seen.requested_ns);
    } else if (event == GC_EVENT_POST_START_WORLD) {
        histogram_add(&seen.pauses.total_ns, measure_now_ns() - seen.requested_ns);
        histogram_add(&seen.pauses.cpu_ns, measure_cpu_ns() - seen.requested_cpu_ns);
    }
}

/* A limit is also where the heap starts: left to itself libgc stays smaller and collects more often, and the comparison
 * would not be at the same heap size. */
void bench_begin(uint64_t max_heap_bytes)
{
    if (max_heap_bytes != 0) GC_set_max_heap_size((GC_word)max_heap_bytes);
    GC_INIT();
    GC_start_mark_threads(); /* as many as GC_MARKERS or the processors say; else from the second thread on */
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

void bench_collections_begin(void) { memset(&seen.pauses, 0, sizeof seen.pauses); }

void bench_collections_report(void)
{
    char version[32];
    const unsigned long number = GC_get_version();
    snprintf(version, sizeof version, "%lu.%lu.%lu", number >> 16, (number >> 8) & 255, number & 255);
    result_text("version", version);
    result_count("markers", (uint64_t)GC_get_parallel() + 1);
    result_pauses("pause", &seen.pauses);
    result_count("heap_bytes", GC_get_heap_size());
}
