/* Eviction by sampling: of a few entries that chance picks, the one that was not asked for longest goes. */
#include "memory.h"
#include "store.h"
#include <tenure/safepoint.h>

/* Sums over the shards cost a few microseconds: done after every so many bytes that a thread added. */
enum { GROWTH_STEP_BYTES = 64 * 1024, SAMPLES = 8, EMPTY_SHARDS_IN_A_ROW = 4 * STORE_SHARDS, SHORTAGE_MS = 100 };

/* Relaxed throughout: numbers that stand alone. */
static _Atomic uint64_t limit_bytes, receiving_bytes;
/* The heap had no room: then, and at that size of the store. */
static _Atomic int64_t shortage_ms;
static _Atomic uint64_t shortage_bytes;

void memory_limit_set(uint64_t bytes) { atomic_store_explicit(&limit_bytes, bytes, memory_order_relaxed); }
uint64_t memory_limit(void) { return atomic_load_explicit(&limit_bytes, memory_order_relaxed); }
uint64_t memory_receiving(void) { return atomic_load_explicit(&receiving_bytes, memory_order_relaxed); }

/* One key of a random shard. False: the shard was empty. */
static bool evict_one(context *c)
{
    shard *home = &store_shards[context_random(c) >> 56];
    if (counter_read(&home->count) == 0) return false;
    store_lock(c, home);
    entry *oldest = NULL;
    for (int i = 0; i < SAMPLES; i++) {
        entry *sample = dictionary_random(home->keys, context_random(c));
        if (sample == NULL) break;
        /* Signed: other threads' clocks may be a tick ahead. */
        if (oldest == NULL || (int32_t)(oldest->accessed - sample->accessed) > 0) oldest = sample;
    }
    bool evicted = false;
    if (oldest != NULL) {
        const store_key key = store_key_of(oldest->key, oldest->key_length);
        evicted = store_remove(c, &key);
        if (evicted) counter_add(&c->evicted, 1);
    }
    store_unlock(c, home);
    tenure_poll(c->self);
    return evicted;
}

static bool evict_down_to(context *c, uint64_t target)
{
    unsigned empty = 0;
    /* The sum is taken anew every few evictions only. */
    while (store_bytes() > target) {
        for (int i = 0; i < 16; i++) {
            if (evict_one(c))
                empty = 0;
            else if (++empty > EMPTY_SHARDS_IN_A_ROW)
                return store_bytes() <= target;
        }
    }
    return true;
}

/* Without a limit: an allocation that fails costs a full collection, and would again. For a while what grows is refused
 * without one, unless something was deleted. */
static bool is_short(const context *c)
{
    const int64_t since = atomic_load_explicit(&shortage_ms, memory_order_relaxed);
    if (since == 0 || c->now_ms - since >= SHORTAGE_MS) return false;
    const uint64_t full = atomic_load_explicit(&shortage_bytes, memory_order_relaxed);
    return store_bytes() > full - full / 64;
}

bool memory_relieve(context *c)
{
    const uint64_t limit = memory_limit();
    if (limit == 0) return !is_short(c);
    if (c->growth < GROWTH_STEP_BYTES) return true;
    const uint64_t receiving = memory_receiving();
    const bool relieved = evict_down_to(c, receiving < limit ? limit - receiving : 0);
    if (relieved) c->growth = 0; /* else look again before the next command */
    return relieved;
}

void memory_shortage(context *c)
{
    if (memory_limit() == 0) {
        context_refresh_clock(c); /* it took long */
        atomic_store_explicit(&shortage_bytes, store_bytes(), memory_order_relaxed);
        atomic_store_explicit(&shortage_ms, c->now_ms, memory_order_relaxed);
        return;
    }
    for (uint64_t goal = store_count() / 16 + 1, tries = goal * 4; goal > 0 && tries > 0; tries--)
        if (evict_one(c)) goal--;
}

bool memory_reserve(context *c, size_t bytes)
{
    const uint64_t limit = memory_limit();
    const uint64_t receiving = atomic_fetch_add_explicit(&receiving_bytes, bytes, memory_order_relaxed) + bytes;
    if (limit == 0 ? !is_short(c) : receiving <= limit && evict_down_to(c, limit - receiving)) return true;
    memory_received(bytes);
    return false;
}

void memory_received(size_t bytes) { atomic_fetch_sub_explicit(&receiving_bytes, bytes, memory_order_relaxed); }
