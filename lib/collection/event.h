/* A collection as an event: filled by its leader in the stop, recorded in the histograms, printed later by the daemon.
 */
#ifndef TENURE_LIB_COLLECTION_EVENT_H
#define TENURE_LIB_COLLECTION_EVENT_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <tenure/stats.h>

/* A log-linear histogram of nanoseconds: 32 buckets for every power of two, so that a percentile is at most 3.2 % too
 * high (compare HdrHistogram). Any thread may record and read; counters are relaxed, no two of them are ordered. */
enum { TENURE__HISTOGRAM_SUB = 32, TENURE__HISTOGRAM_BUCKETS = TENURE__HISTOGRAM_SUB * 36 };
typedef struct tenure__histogram {
    _Atomic uint64_t count, sum_ns, max_ns;
    _Atomic uint32_t buckets[TENURE__HISTOGRAM_BUCKETS];
} tenure__histogram;

void tenure__histogram_record(tenure__histogram *histogram, uint64_t ns);
void tenure__histogram_read(const tenure__histogram *histogram, tenure_distribution *out);

typedef struct tenure__event {
    uint64_t sequence;  /* 1, 2, ... in this heap */
    int generation;     /* oldest one collected, -1: a stop without collection */
    const char *reason; /* "budget", "explicit", "gen2 growth", "out of memory", "torture", ... */
    bool led_by_daemon;
    unsigned workers; /* that took part */
    uint64_t at_ns;   /* since the heap was created */
    uint64_t reach_ns, pin_ns, roots_ns, trace_ns, finish_ns, resume_ns, total_ns,
        cpu_ns;                               /* work = pin+roots+trace+finish */
    uint64_t before_bytes[3], after_bytes[3]; /* per generation */
    uint64_t heap_before_bytes, heap_after_bytes;
    uint64_t copied_bytes, copied_objects, pinned_objects, stayed_objects, logged_objects;
    unsigned threads_stopped; /* running mutators that the stop had to wait for */
    int last_tid;             /* the last one of them to stop, 0: there was none */
    char last_name[32];
} tenure__event;

typedef struct tenure__pause_histograms {
    tenure__histogram reach, work, resume, total, cpu;
} tenure__pause_histograms;

void tenure__pauses_record(tenure__pause_histograms *pauses, const tenure__event *event);
void tenure__pauses_read(const tenure__pause_histograms *pauses, tenure_pauses *out);

/* One line, ending in \n. */
void tenure__event_print(const tenure__event *event, FILE *out);

#endif
