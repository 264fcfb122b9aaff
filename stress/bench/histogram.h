/* Log-linear histogram: 32 buckets per power of two, so that a percentile is at most 3.2 % too high. One writer. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_SUB_BITS = 5, HISTOGRAM_SUB = 1 << HISTOGRAM_SUB_BITS, HISTOGRAM_BUCKETS = 60 * HISTOGRAM_SUB };

struct histogram {
    uint64_t count, sum, max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Values below HISTOGRAM_SUB have a bucket each; above, the top six bits of the value select it. */
static inline unsigned histogram_bucket(uint64_t value)
{
    if (value < HISTOGRAM_SUB) return (unsigned)value;
    const unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return (shift + 1) * HISTOGRAM_SUB + ((unsigned)(value >> shift) & (HISTOGRAM_SUB - 1));
}

/* The largest value of a bucket. */
static inline uint64_t histogram_upper(unsigned bucket)
{
    if (bucket < HISTOGRAM_SUB) return bucket;
    const unsigned shift = bucket / HISTOGRAM_SUB - 1;
    return ((HISTOGRAM_SUB + (uint64_t)(bucket % HISTOGRAM_SUB) + 1) << shift) - 1;
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->sum += value;
    if (value > histogram->max) histogram->max = value;
    histogram->buckets[histogram_bucket(value)]++;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max) into->max = from->max;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) into->buckets[i] += from->buckets[i];
}

/* An upper bound of the percentile; 0 when the histogram is empty. */
static inline uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    const uint64_t rank = (uint64_t)((double)histogram->count * percent / 100.0);
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > rank || (seen == histogram->count && seen != 0)) {
            const uint64_t upper = histogram_upper(i);
            return upper < histogram->max ? upper : histogram->max;
        }
    }
    return 0;
}

#endif
