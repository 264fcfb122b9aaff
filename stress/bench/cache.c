/* Requests over a live cache. Each request makes 20 short-lived objects, looks up one live entry and reads it, and one
 * request in eight replaces the entry by fresh objects. Each thread owns its part of the cache, so that no allocator
 * pays for locks that are not its own. Entries carry what they must contain: a lost or torn one ends the program. With
 * --milliseconds 0 the filling is what is measured: a start-up, in which everything survives. */
#include "allocator.h"
#include "histogram.h"
#include "measure.h"
#include "random.h"
#include "ticks.h"
#include "workers.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEMPORARIES = 20,
    REPLACE_ONE_IN = 8,
    VALUE_WORDS_MIN = 14, /* 112 to 160 bytes, 136 on average */
    VALUE_WORDS_SPREAD = 7,
    THREADS_MAX = 256
};

struct value {
    uint64_t count;
    uint64_t words[];
};
BENCH_TYPE_FLEX_LEAF(value, struct value, words);

struct entry {
    uint64_t key;
    struct value *value;
    uint64_t version;
};
BENCH_TYPE(entry, struct entry, value);

/* 24 to 96 bytes. */
struct temporary {
    struct temporary *next;
    uint64_t count;
    uint64_t words[];
};
BENCH_TYPE_FLEX(temporary, struct temporary, words, next);

static uint64_t threads = 2;
static uint64_t live_mib = 256;
static uint64_t milliseconds = 3000;
static uint64_t entries_per_thread;
static double ticks_per_ns;
static uint64_t measured_ticks;
static uint64_t begin_ticks; /* of the measured part; written before the barrier's second round */
static pthread_barrier_t together;

/* Padded: each is written by its thread alone. */
static struct worker_result {
    _Alignas(128) uint64_t requests;
    uint64_t end_ticks;
    uint64_t sum; /* of what the requests read, so that reading is not optimised away */
    struct histogram latency_ticks;
} results[THREADS_MAX];

struct cache {
    bench_thread *self;
    struct entry **table; /* by key */
    uint64_t count;
    uint64_t random;
};

__attribute__((noreturn, cold)) static void entry_is_broken(uint64_t key)
{
    fprintf(stderr, "the entry of key %" PRIu64 " is broken\n", key);
    abort();
}

static struct entry *entry_make(struct cache *cache, uint64_t key, uint64_t version)
{
    const uint64_t count = VALUE_WORDS_MIN + random_below(&cache->random, VALUE_WORDS_SPREAD);
    struct value *made = BENCH_NEW_FLEX(cache->self, value, count);
    made->count = count;
    for (uint64_t i = 0; i < count; i++) made->words[i] = key + version + i;
    return BENCH_NEW(cache->self, entry, .key = key, .value = made, .version = version);
}

static void entry_free(struct entry *entry)
{
    BENCH_FREE(entry->value);
    BENCH_FREE(entry);
}

/* Reads the whole value and checks it. */
static inline uint64_t entry_read(const struct entry *entry, uint64_t key)
{
    const struct value *found = entry->value;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < found->count; i++) sum += found->words[i];
    const uint64_t expected = found->count * (key + entry->version) + found->count * (found->count - 1) / 2;
    if (__builtin_expect(entry->key != key || sum != expected, 0)) entry_is_broken(key);
    return sum;
}

static void entry_replace(struct cache *cache, uint64_t key)
{
    struct entry *fresh = entry_make(cache, key, cache->table[key]->version + 1);
    struct entry *stale = cache->table[key];
    BENCH_SET_AT(cache->self, cache->table, key, fresh);
    if (BENCH_EXPLICIT) entry_free(stale);
}

/* What parsing a request and composing an answer leave behind: a list of small objects of mixed sizes. */
static struct temporary *temporaries_make(struct cache *cache)
{
    struct temporary *list = NULL;
    uint64_t bits = 0;
    for (unsigned i = 0; i < TEMPORARIES; i++) {
        if (i % 16 == 0) bits = random_next(&cache->random);
        const uint64_t count = 1 + (bits & 7) + (bits >> 2 & 2);
        bits >>= 4;
        struct temporary *made = BENCH_NEW_FLEX(cache->self, temporary, count);
        made->next = list;
        made->count = count;
        made->words[0] = i;
        made->words[count - 1] = bits;
        list = made;
    }
    return list;
}

static inline uint64_t temporaries_sum(const struct temporary *list)
{
    uint64_t sum = 0;
    for (; list != NULL; list = list->next) sum += list->words[0] + list->words[list->count - 1];
    return sum;
}

static inline void temporaries_free(struct temporary *list)
{
    while (list != NULL) {
        struct temporary *next = list->next;
        BENCH_FREE(list);
        list = next;
    }
}

static inline uint64_t request_serve(struct cache *cache)
{
    void *place = BENCH_PLACE(cache->self);
    struct temporary *list = temporaries_make(cache);
    const uint64_t key = random_below(&cache->random, cache->count);
    const uint64_t sum = entry_read(cache->table[key], key) + temporaries_sum(list);
    if (BENCH_EXPLICIT) temporaries_free(list);
    BENCH_DROP(cache->self, place);
    if (random_below(&cache->random, REPLACE_ONE_IN) == 0) entry_replace(cache, key);
    return sum;
}

static void cache_fill(struct cache *cache)
{
    for (uint64_t key = 0; key < cache->count; key++) {
        struct entry *entry = entry_make(cache, key, 0);
        BENCH_SET_AT(cache->self, cache->table, key, entry);
    }
}

static void cache_check(const struct cache *cache)
{
    for (uint64_t key = 0; key < cache->count; key++) entry_read(cache->table[key], key);
}

/* One time stamp per request: the end of one is the start of the next. */
static void requests_run(struct cache *cache, struct worker_result *result, uint64_t until_ticks)
{
    for (uint64_t last = ticks_now(); last < until_ticks;) {
        result->sum += request_serve(cache);
        const uint64_t now = ticks_now();
        histogram_add(&result->latency_ticks, now - last);
        result->end_ticks = last = now;
        result->requests++;
    }
}

/* Half as long as what is measured: the collector and, elsewhere, the compiler find out what they deal with. */
static void warm_up(struct cache *cache, struct worker_result *result)
{
    requests_run(cache, result, ticks_now() + measured_ticks / 2);
    memset(result, 0, sizeof *result);
}

static bool wait_for_others(bench_thread *self)
{
    bench_idle_begin(self);
    const bool last = pthread_barrier_wait(&together) == PTHREAD_BARRIER_SERIAL_THREAD;
    bench_idle_end(self);
    return last;
}

/* One of the threads begins the measured part. */
static void begin_together(bench_thread *self)
{
    if (wait_for_others(self)) {
        measure_begin();
        begin_ticks = ticks_now();
    }
    wait_for_others(self);
}

static void cache_run(unsigned index, void *arg)
{
    (void)arg;
    struct cache cache = { bench_thread_begin(), NULL, entries_per_thread, random_seed(index) };
    cache.table = BENCH_NEW_REFS(cache.self, struct entry, cache.count);
    if (milliseconds == 0) begin_together(cache.self);
    cache_fill(&cache);
    if (milliseconds == 0) {
        wait_for_others(cache.self); /* no collection has to wait for a check, which has no safepoint */
        cache_check(&cache);
    } else {
        warm_up(&cache, &results[index]);
        begin_together(cache.self);
        /* All have one deadline: with more threads than processors some begin late. */
        requests_run(&cache, &results[index], begin_ticks + measured_ticks);
    }
    /* The table is not freed: the process ends, and freeing is not what is measured. */
    bench_thread_end(cache.self);
}

static uint64_t entry_bytes(void)
{
    const uint64_t words = VALUE_WORDS_MIN + VALUE_WORDS_SPREAD / 2;
    return sizeof(struct entry *) + sizeof(struct entry) + sizeof(struct value) + words * sizeof(uint64_t);
}

static void requests_report(void)
{
    uint64_t requests = 0, end_ticks = begin_ticks;
    for (uint64_t i = 0; i < threads; i++) {
        requests += results[i].requests;
        if (results[i].end_ticks > end_ticks) end_ticks = results[i].end_ticks;
    }
    result_count("requests", requests);
    result_real("requests_per_s", (double)requests * ticks_per_ns * 1e9 / (double)(end_ticks - begin_ticks));
}

static void latency_report(void)
{
    static struct histogram all;
    for (uint64_t i = 0; i < threads; i++) histogram_merge(&all, &results[i].latency_ticks);
    result_latency(&all, 1 / ticks_per_ns);
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = {
        { "threads", &threads, "threads, each with its part of the cache" },
        { "live-mib", &live_mib, "live set of all threads, MiB" },
        { "milliseconds", &milliseconds,
            "how long requests are served, after half as long; 0: none are, filling the cache is what is measured" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    if (threads < 1 || threads > THREADS_MAX || live_mib < 1) {
        fprintf(stderr, "threads: 1 to %d, live-mib: at least 1\n", THREADS_MAX);
        return EXIT_FAILURE;
    }
    entries_per_thread = live_mib * 1024 * 1024 / threads / entry_bytes();
    ticks_per_ns = ticks_per_nanosecond();
    measured_ticks = (uint64_t)((double)milliseconds * 1e6 * ticks_per_ns);
    pthread_barrier_init(&together, NULL, (unsigned)threads);
    bench_begin(0);
    workers_run(threads, cache_run, NULL);
    measure_end("cache");
    result_count("threads", threads);
    result_count("live_bytes", entries_per_thread * threads * entry_bytes());
    if (milliseconds != 0) {
        requests_report();
        latency_report();
    }
    result_end();
    bench_end();
}
