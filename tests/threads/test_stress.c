/* Everything at once: threads of two heaps that allocate, block, stop the world, call back, lock, wait for grace
 * periods, come and go and just exit, chosen by seeds. */
#include "tests/threads/threads.h"

enum { THREADS = 4, CHAIN = 50 };
static tenure_heap *heaps[2];
static flag stop;
static tenure_mutex mutex = TENURE_MUTEX_INIT("shared by all");

typedef struct worker {
    uint64_t random, key;
    tenure_thread *self[2]; /* NULL: not attached there */
    node *volatile *kept;   /* of each heap, on the stack */
} worker;

static void use_chain(tenure_thread *self, unsigned count, uint64_t key)
{
    check_chain(make_chain(self, count, key), count, key);
}

static void own_a_stop(worker *w, tenure_thread *self, tenure_thread *second)
{
    if (next_random(&w->random) % 4 != 0) return;
    REQUIRE(tenure_stop_world(self) == TENURE_OK);
    use_chain(self, 200, w->key);
    if (second != NULL) {
        use_chain(second, 200, w->key);
        tenure_poll(second);
        const tenure_status status = tenure_stop_world(second);
        REQUIRE(status == TENURE_OK || status == TENURE_EDEADLK);
        if (status == TENURE_OK) {
            use_chain(second, 10, w->key);
            tenure_resume_world(second);
        }
    }
    tenure_resume_world(self);
}

static void call_back(worker *w, tenure_thread *self, tenure_heap *into)
{
    TENURE_BLOCKING_SCOPE(self);
    tenure_thread *entered = tenure_enter(into);
    REQUIRE(entered != NULL);
    node *volatile fresh = make_chain(entered, 20, w->key);
    if (next_random(&w->random) % 2 == 0) {
        TENURE_BLOCKING_SCOPE(entered);
        sched_yield();
    }
    check_chain(fresh, 20, w->key);
    tenure_leave(entered);
}

static void use_handle_and_root(worker *w, tenure_thread *self, node *object)
{
    node *slot = object;
    tenure_handle *handle = tenure_handle_new(self, object);
    REQUIRE(handle != NULL);
    REQUIRE(tenure_root_add(self->heap, &slot) == TENURE_OK);
    tenure_poll(self);
    check_chain(tenure_handle_get(handle), CHAIN, w->key);
    check_chain(slot, CHAIN, w->key);
    tenure_root_remove(self->heap, &slot);
    tenure_handle_free(handle);
}

static void step(worker *w, unsigned k)
{
    tenure_thread *self = w->self[k];
    switch (next_random(&w->random) % 10) {
    case 0: {
        TENURE_BLOCKING_SCOPE(self);
        sched_yield();
        break;
    }
    case 1: {
        TENURE_IDLE_SCOPE(self);
        sched_yield();
        break;
    }
    case 2:
        if (next_random(&w->random) % 4 == 0)
            REQUIRE(tenure_collect(self, (tenure_generation)(next_random(&w->random) % 3)) == TENURE_OK);
        break;
    case 3:
        own_a_stop(w, self, w->self[!k]);
        break;
    case 4:
        call_back(w, self, heaps[!k]);
        break;
    case 5:
        use_handle_and_root(w, self, w->kept[k]);
        break;
    case 6:
        if (next_random(&w->random) % 16 == 0) tenure_synchronize_rcu(self);
        break;
    case 7: {
        TENURE_LOCK_SCOPE(self, &mutex);
        make_chain(self, 5, 1);
        tenure_poll(self);
        break;
    }
    case 8: {
        tenure_thresholds thresholds;
        tenure_thresholds_get(heaps[next_random(&w->random) % 2], &thresholds);
        REQUIRE(stats_of(self->heap).threads_attached >= 1);
        break;
    }
    default:
        use_chain(self, 500, w->key);
    }
}

/* One life: attached to one heap or both, for a while. */
static void *live(void *seed)
{
    node *volatile kept[2] = { NULL, NULL };
    worker w = { .random = (uintptr_t)seed, .kept = kept };
    const unsigned where = (unsigned)(next_random(&w.random) % 3);
    const uint64_t steps = next_random(&w.random) % 200;
    w.key = w.random;
    for (unsigned k = 0; k < 2; k++)
        if (where != 1 - k) w.self[k] = tenure_attach(heaps[k]);
    for (unsigned k = 0; k < 2; k++)
        if (w.self[k] != NULL) kept[k] = make_chain(w.self[k], CHAIN, w.key);
    for (uint64_t i = 0; i < steps && !atomic_load(&stop); i++) {
        step(&w, w.self[0] != NULL && w.self[1] != NULL ? (unsigned)(next_random(&w.random) % 2) : w.self[0] == NULL);
        for (unsigned k = 0; k < 2; k++)
            if (w.self[k] != NULL) check_chain(kept[k], CHAIN, w.key);
    }
    if (next_random(&w.random) % 4 == 0) return NULL; /* without detaching */
    for (unsigned k = 0; k < 2; k++)
        if (w.self[k] != NULL) tenure_detach(w.self[k]);
    return NULL;
}

static void *live_again_and_again(void *seed)
{
    uint64_t random = (uintptr_t)seed;
    while (!atomic_load(&stop)) join_thread(start_thread(live, (void *)(uintptr_t)next_random(&random)));
    return NULL;
}

static void everything(const char *words, uintptr_t seed)
{
    pthread_t threads[THREADS];
    for (unsigned k = 0; k < 2; k++) heaps[k] = heap_with(words);
    for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start_thread(live_again_and_again, (void *)(seed * 1000 + i));
    const uint64_t until = tenure__now_ns() + 1500000000u;
    while (tenure__now_ns() < until) {
        for (unsigned k = 0; k < 2; k++) {
            tenure_thread *self = tenure_attach(heaps[k]);
            use_chain(self, 100, seed);
            tenure_detach(self);
        }
    }
    atomic_store(&stop, 1);
    for (unsigned i = 0; i < THREADS; i++) join_thread(threads[i]);
    for (unsigned k = 0; k < 2; k++) {
        cr_expect(lt(u64, 0, collections_of(heaps[k])));
        cr_expect(eq(int, tenure_heap_destroy(heaps[k]), TENURE_OK));
    }
}

Test(stress, seed_1) { everything("max_heap=64m,gen0=1m,verify=before,after", 1); }
Test(stress, seed_2_led_by_the_daemon) { everything("max_heap=64m,gen0=1m,lead=daemon,verify=after", 2); }
Test(stress, seed_3_one_worker) { everything("max_heap=64m,gen0=1m,workers=1,verify=after", 3); }
Test(stress, seed_4_torture) { everything("max_heap=64m,gen0=1m,torture=poll+evacuate+alloc:50", 4); }
