/* A collection as an event: filled by its leader in the stop, recorded in the histograms, told to listeners later.
 */
#ifndef TENURE_LIB_COLLECTION_EVENT_H
#define TENURE_LIB_COLLECTION_EVENT_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <tenure/event.h>
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

typedef struct tenure__pause_histograms {
    tenure__histogram reach, work, resume, total, cpu;
} tenure__pause_histograms;

void tenure__pauses_record(tenure__pause_histograms *pauses, const tenure_collection *event);
void tenure__pauses_read(const tenure__pause_histograms *pauses, tenure_pauses *out);

/* One line, ending in \n. */
void tenure__collection_print(const tenure_collection *event, FILE *out);

#endif
