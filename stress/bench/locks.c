/* What the collector's locks cost and do.
 *   uncontended  lock and unlock, against pthread's, in turns; the best of several repetitions of each
 *   grace        threads of the heap and native ones take the same lock; option lock_grace as TENURE_OPTIONS has it:
 * how long the native ones wait for it, and the time to safepoint resume       64 threads in a stop, some hold a lock
 * that a native thread waits for: from the resume until they run */
#include "measure.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <tenure.h>

static uint64_t calls = 20 * 1000, seconds = 3, rounds = 40;
static tenure_heap *heap;

static void sort(uint64_t *values, size_t count)
{
    for (size_t gap = count / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < count; i++)
            for (size_t j = i; j >= gap && values[j] < values[j - gap]; j -= gap) {
                const uint64_t swapped = values[j];
                values[j] = values[j - gap];
                values[j - gap] = swapped;
            }
}

/* --- uncontended --- */

static uint64_t pthread_ns(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    const uint64_t begin = measure_now_ns();
    for (uint64_t i = 0; i < calls; i++) {
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
    }
    return measure_now_ns() - begin;
}

static uint64_t tenure_ns(tenure_thread *self)
{
    static tenure_mutex mutex = TENURE_MUTEX_INIT("uncontended");
    const uint64_t begin = measure_now_ns();
    for (uint64_t i = 0; i < calls; i++) {
        tenure_mutex_lock(self, &mutex);
        tenure_mutex_unlock(self, &mutex);
    }
    return measure_now_ns() - begin;
}

static void uncontended(void)
{
    tenure_thread *self = tenure_attach(heap);
    uint64_t best[2] = { UINT64_MAX, UINT64_MAX };
    for (unsigned i = 0; i < 500; i++) { /* short turns: most are not interrupted */
        const uint64_t elapsed[2] = { pthread_ns(), tenure_ns(self) };
        for (unsigned j = 0; j < 2; j++)
            if (elapsed[j] < best[j]) best[j] = elapsed[j];
    }
    result_begin("locks-uncontended");
    result_real("pthread_ns", (double)best[0] / (double)calls);
    result_real("tenure_ns", (double)best[1] / (double)calls);
    result_real("ratio", (double)best[1] / (double)best[0]);
    result_end();
    tenure_detach(self);
}

/* --- grace --- */

enum { MUTATORS = 2, NATIVES = 2, WAITS_MAX = 1 << 20 };
static tenure_mutex shared = TENURE_MUTEX_INIT("shared");
static atomic_bool ends;
static uint64_t waits[NATIVES][WAITS_MAX];
static size_t wait_count[NATIVES];

static void allocate(tenure_thread *self)
{
    void *made = tenure_new_bytes(self, 48);
    measure_opaque(made);
}

/* The one that spends the budget. */
static void *allocate_always(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    while (!atomic_load_explicit(&ends, memory_order_relaxed)) allocate(self);
    tenure_detach(self);
    return arg;
}

/* Some microseconds with the lock, and as many without. */
static void *allocate_under_lock(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    while (!atomic_load_explicit(&ends, memory_order_relaxed)) {
        tenure_mutex_lock(self, &shared);
        for (unsigned i = 0; i < 50; i++) allocate(self);
        tenure_mutex_unlock(self, &shared);
        for (unsigned i = 0; i < 50; i++) allocate(self);
    }
    tenure_detach(self);
    return arg;
}

static void *take_natively(void *arg)
{
    const unsigned me = (unsigned)(uintptr_t)arg;
    while (!atomic_load_explicit(&ends, memory_order_relaxed) && wait_count[me] < WAITS_MAX) {
        const uint64_t begin = measure_now_ns();
        tenure_mutex_lock(NULL, &shared);
        waits[me][wait_count[me]++] = measure_now_ns() - begin;
        tenure_mutex_unlock(NULL, &shared);
        nanosleep(&(struct timespec) { 0, 20000 }, NULL);
    }
    return NULL;
}

static void grace(void)
{
    pthread_t mutators[MUTATORS], natives[NATIVES];
    for (uintptr_t i = 0; i < MUTATORS; i++)
        pthread_create(&mutators[i], NULL, i == 0 ? allocate_always : allocate_under_lock, NULL);
    for (uintptr_t i = 0; i < NATIVES; i++) pthread_create(&natives[i], NULL, take_natively, (void *)i);
    nanosleep(&(struct timespec) { (time_t)seconds, 0 }, NULL);
    atomic_store(&ends, true);
    for (unsigned i = 0; i < MUTATORS; i++) pthread_join(mutators[i], NULL);
    for (unsigned i = 0; i < NATIVES; i++) pthread_join(natives[i], NULL);
    sort(waits[0], wait_count[0]);
    const size_t count = wait_count[0];
    tenure_stats stats;
    tenure_stats_read(heap, &stats);
    result_begin("locks-grace");
    result_count("waits", count);
    result_real("wait_p50_us", (double)waits[0][count / 2] / 1e3);
    result_real("wait_p99_us", (double)waits[0][count * 99 / 100] / 1e3);
    result_real("wait_p999_us", (double)waits[0][count * 999 / 1000] / 1e3);
    result_count("stops", stats.all.total.count);
    result_count("graces", stats.lock_grace.count);
    result_real("reach_p50_us", (double)stats.all.reach.p50_ns / 1e3);
    result_real("reach_p99_us", (double)stats.all.reach.p99_ns / 1e3);
    result_count("holders", stats.lock_holders);
    result_count("waiters", stats.lock_waiters);
    result_real("held_ms", (double)stats.lock_held_ns / 1e6);
    result_end();
}

/* --- resume --- */

enum { SLEEPERS = 64, HOLDERS = 4 };
static tenure_mutex wanted[HOLDERS];
static _Atomic uint64_t resumed_ns;
static _Atomic uint64_t ran_ns[SLEEPERS];
static atomic_uint up;

static void *poll_always(void *arg)
{
    const unsigned me = (unsigned)(uintptr_t)arg;
    tenure_thread *self = tenure_attach(heap);
    if (me % (SLEEPERS / HOLDERS) == SLEEPERS / HOLDERS - 1)
        tenure_mutex_lock(self, &wanted[me / (SLEEPERS / HOLDERS)]);
    atomic_fetch_add(&up, 1);
    for (uint64_t seen = 0; !atomic_load_explicit(&ends, memory_order_relaxed);) {
        tenure_poll(self);
        const uint64_t resumed = atomic_load(&resumed_ns);
        if (resumed != seen) atomic_store(&ran_ns[me], measure_now_ns());
        seen = resumed;
        TENURE_BLOCKING_CALL(self, nanosleep(&(struct timespec) { 0, 200000 }, NULL));
    }
    if (me % (SLEEPERS / HOLDERS) == SLEEPERS / HOLDERS - 1)
        tenure_mutex_unlock(self, &wanted[me / (SLEEPERS / HOLDERS)]);
    tenure_detach(self);
    return NULL;
}

static void *want(void *arg)
{
    tenure_mutex_lock(NULL, arg);
    tenure_mutex_unlock(NULL, arg);
    return NULL;
}

static void resume(void)
{
    static uint64_t holder_ns[1024], last_ns[1024], call_ns[1024];
    pthread_t threads[SLEEPERS], wanting[HOLDERS];
    if (rounds > 1024) rounds = 1024;
    for (uintptr_t i = 0; i < SLEEPERS; i++) pthread_create(&threads[i], NULL, poll_always, (void *)i);
    while (atomic_load(&up) != SLEEPERS) nanosleep(&(struct timespec) { 0, 1000000 }, NULL);
    for (unsigned i = 0; i < HOLDERS; i++) pthread_create(&wanting[i], NULL, want, &wanted[i]);
    tenure_thread *self = tenure_attach(heap);
    for (uint64_t round = 0; round < rounds; round++) {
        TENURE_BLOCKING_CALL(self, nanosleep(&(struct timespec) { 0, 5000000 }, NULL));
        tenure_stop_world(self);
        for (unsigned i = 0; i < SLEEPERS; i++) atomic_store(&ran_ns[i], 0);
        nanosleep(&(struct timespec) { 0, 5000000 }, NULL); /* all have come back from their sleep */
        const uint64_t begin = measure_now_ns();
        atomic_store(&resumed_ns, begin);
        tenure_resume_world(self);
        call_ns[round] = measure_now_ns() - begin;
        for (unsigned i = 0; i < SLEEPERS; i++) {
            uint64_t ran;
            while ((ran = atomic_load(&ran_ns[i])) == 0)
                TENURE_BLOCKING_CALL(self, nanosleep(&(struct timespec) { 0, 100000 }, NULL));
            if (ran - begin > last_ns[round]) last_ns[round] = ran - begin;
            if (i % (SLEEPERS / HOLDERS) == SLEEPERS / HOLDERS - 1 && ran - begin > holder_ns[round])
                holder_ns[round] = ran - begin;
        }
    }
    tenure_detach(self);
    atomic_store(&ends, true);
    for (unsigned i = 0; i < SLEEPERS; i++) pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < HOLDERS; i++) pthread_join(wanting[i], NULL);
    sort(holder_ns, rounds);
    sort(last_ns, rounds);
    sort(call_ns, rounds);
    result_begin("locks-resume");
    result_real("call_p50_us", (double)call_ns[rounds / 2] / 1e3);
    result_real("last_holder_p50_us", (double)holder_ns[rounds / 2] / 1e3);
    result_real("last_holder_p90_us", (double)holder_ns[rounds * 9 / 10] / 1e3);
    result_real("last_p50_us", (double)last_ns[rounds / 2] / 1e3);
    result_real("last_p90_us", (double)last_ns[rounds * 9 / 10] / 1e3);
    result_end();
}

int main(int argc, char **argv)
{
    uint64_t part = 0;
    const struct argument arguments[] = {
        { "part", &part, "0: uncontended, 1: grace, 2: resume" },
        { "calls", &calls, "calls per repetition (uncontended)" },
        { "seconds", &seconds, "how long (grace)" },
        { "rounds", &rounds, "stops (resume)" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    if (tenure_heap_create(&heap, NULL) != TENURE_OK) return 1;
    static void (*const parts[])(void) = { uncontended, grace, resume };
    if (part < sizeof parts / sizeof parts[0]) parts[part]();
    return tenure_heap_destroy(heap) != TENURE_OK;
}
