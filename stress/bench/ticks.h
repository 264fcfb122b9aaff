/* Time stamps cheap enough to take at every request: the time-stamp counter where there is one that runs evenly, else
 * the monotonic clock. */
#ifndef BENCH_TICKS_H
#define BENCH_TICKS_H

#include "measure.h"

#if defined(__x86_64__)
static inline uint64_t ticks_now(void) { return __builtin_ia32_rdtsc(); }
#else
static inline uint64_t ticks_now(void) { return measure_now_ns(); }
#endif

/* Compares the two clocks for a fiftieth of a second. */
static inline double ticks_per_nanosecond(void)
{
    const uint64_t begin_ns = measure_now_ns();
    const uint64_t begin_ticks = ticks_now();
    uint64_t now_ns;
    do now_ns = measure_now_ns();
    while (now_ns - begin_ns < 20 * 1000 * 1000);
    return (double)(ticks_now() - begin_ticks) / (double)(now_ns - begin_ns);
}

#endif
