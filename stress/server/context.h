/* What a thread that works on the store carries with it: a worker, or the main thread for its periodic work. */
#ifndef SERVER_CONTEXT_H
#define SERVER_CONTEXT_H

#include <stdatomic.h>
#include <stdint.h>
#include <tenure/thread.h>

/* Written by their thread only, read by INFO: relaxed, since each number stands alone. */
typedef _Atomic uint64_t counter;
static inline void counter_add(counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline uint64_t counter_read(const counter *c) { return atomic_load_explicit(c, memory_order_relaxed); }

typedef struct context {
    tenure_thread *self;
    int64_t now_ms;   /* wall clock, refreshed once per batch of events */
    uint32_t now_lru; /* LRU clock: hundredths of a second, modulo 2^32 */
    uint64_t random;  /* state of context_random */
    uint64_t growth;  /* bytes added to the store since memory_relieve looked at the total */
    counter commands, hits, misses, expired, evicted;
    counter input_bytes, output_bytes;
} context;

void context_begin(context *c, tenure_thread *self);
void context_refresh_clock(context *c);

/* xorshift64*: for samples, not for secrets. */
static inline uint64_t context_random(context *c)
{
    c->random ^= c->random >> 12;
    c->random ^= c->random << 25;
    c->random ^= c->random >> 27;
    return c->random * 2685821657736338717u;
}

#endif
