/* Deterministic random numbers: xorshift64* (Marsaglia; Vigna). One state per thread, never zero. */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

#include <stdint.h>

static inline uint64_t random_seed(unsigned thread) { return UINT64_C(0x9e3779b97f4a7c15) * (thread + 1); }

static inline uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* In [0, bound), from the upper half of the number, without a division. */
static inline uint64_t random_below(uint64_t *state, uint64_t bound)
{
    return ((random_next(state) >> 32) * bound) >> 32;
}

#endif
