/* tenure_cond: waits are outside the stop set, and the mutex comes back under the rule of all locks. */
#include "tests/threads/threads.h"
#include "threads/lock.h"
#include <time.h>

static tenure_heap *heap;

static void begin(void) { heap = heap_with("max_heap=128m,gen0=1m,verify=after"); }
static void end(void) { cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK)); }
TestSuite(condition, .init = begin, .fini = end);

static tenure_mutex mutex = TENURE_MUTEX_INIT("queue");
static tenure_cond changed = TENURE_COND_INIT("queue changed");
static int stage; /* mutex */
static tenure_thread *_Atomic waiter;

static void *wait_for_stage(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 30, 5);
    clobber_stack();
    {
        TENURE_LOCK_SCOPE(self, &mutex);
        atomic_store(&waiter, self);
        while (stage == 0) REQUIRE(tenure_cond_wait(self, &changed, &mutex) == TENURE_OK);
        stage++;
    }
    check_chain(kept, 30, 5);
    tenure_detach(self);
    return arg;
}

static pthread_t start_waiter(tenure_thread *self)
{
    pthread_t thread = start_thread(wait_for_stage, NULL);
    while (atomic_load(&waiter) == NULL || mode_of(waiter) != TENURE__BLOCKED ||
           atomic_load(&tenure__mutator_of(waiter)->os->awaited) != &changed.lock) {
        tenure_poll(self);
        sched_yield();
    }
    return thread;
}

Test(condition, stops_do_not_wait_for_a_waiter)
{
    tenure_thread *self = tenure_attach(heap);
    pthread_t thread = start_waiter(self);
    for (unsigned i = 0; i < 3; i++) collect_and_litter(self);
    tenure_mutex_lock(self, &mutex);
    stage = 1;
    tenure_cond_signal(&changed);
    collect(self, TENURE_GEN0); /* it waits for the mutex now */
    tenure_mutex_unlock(self, &mutex);
    join_blocked(self, thread);
    cr_assert(eq(int, stage, 2));
    tenure_detach(self);
}

/* Signalled during a stop: it gets the mutex, finds itself stopped, gives it back and sleeps. */
Test(condition, the_mutex_is_given_back_during_a_stop)
{
    tenure_thread *self = tenure_attach(heap);
    pthread_t thread = start_waiter(self);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    tenure_mutex_lock(self, &mutex);
    stage = 1;
    tenure_cond_broadcast(&changed);
    tenure_mutex_unlock(self, &mutex);
    while ((state_of(waiter) & TENURE__RETURNING) == 0) sched_yield();
    cr_assert(tenure_mutex_trylock(self, &mutex));
    cr_assert(eq(int, stage, 1));
    cr_assert(eq(int, tenure_cond_wait(self, &changed, &mutex), TENURE_EDEADLK), "nobody could signal");
    tenure_mutex_unlock(self, &mutex);
    tenure_resume_world(self);
    join_blocked(self, thread);
    cr_assert(eq(int, stage, 2));
    tenure_detach(self);
}

/* --- cancelled --- */

static atomic_uint cleaned_up;

static void unlock_as_programs_do(void *self)
{
    REQUIRE(mode_of(self) == TENURE__RUNNING);
    REQUIRE(tenure__holds(tenure__mutator_of(self)->os, &mutex.lock));
    make_chain(self, 30, 5);
    tenure_mutex_unlock(self, &mutex);
    atomic_fetch_add(&cleaned_up, 1);
}

static void *wait_to_be_cancelled(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    tenure_mutex_lock(self, &mutex);
    pthread_cleanup_push(unlock_as_programs_do, self);
    atomic_store(&waiter, self);
    for (;;) REQUIRE(tenure_cond_wait(self, &changed, &mutex) == TENURE_OK);
    pthread_cleanup_pop(1);
    return arg;
}

/* In a stop: the mutex that pthread takes back for the handlers is given back until it ends. */
Test(condition, a_cancelled_waiter_owns_the_mutex)
{
    if (NO_CANCELLING) return;
    tenure_thread *self = tenure_attach(heap);
    const pthread_t thread = start_thread(wait_to_be_cancelled, NULL);
    while (atomic_load(&waiter) == NULL || mode_of(waiter) != TENURE__BLOCKED) {
        tenure_poll(self);
        sched_yield();
    }
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    pthread_cancel(thread);
    while ((state_of(waiter) & TENURE__RETURNING) == 0) sched_yield();
    cr_assert(tenure_mutex_trylock(self, &mutex));
    cr_assert(eq(uint, atomic_load(&cleaned_up), 0));
    tenure_mutex_unlock(self, &mutex);
    tenure_resume_world(self);
    join_blocked(self, thread);
    cr_assert(eq(uint, atomic_load(&cleaned_up), 1));
    cr_assert(eq(u32, changed.lock.waiters, 0));
    cr_assert(tenure_mutex_trylock(self, &mutex));
    tenure_mutex_unlock(self, &mutex);
    tenure_detach(self);
}

static struct timespec after_ms(long ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    now.tv_nsec += ms * 1000000;
    now.tv_sec += now.tv_nsec / 1000000000;
    now.tv_nsec %= 1000000000;
    return now;
}

Test(condition, deadlines)
{
    tenure_thread *self = tenure_attach(heap);
    tenure_mutex_lock(self, &mutex);
    const struct timespec soon = after_ms(5);
    cr_assert(eq(int, tenure_cond_timedwait(self, &changed, &mutex, &soon), TENURE_ETIMEDOUT));
    cr_assert(tenure__holds(tenure__mutator_of(self)->os, &mutex.lock));
    cr_assert(eq(u32, changed.lock.waiters, 0));
    tenure_mutex_unlock(self, &mutex);
    tenure_detach(self);
}

Test(condition, without_the_mutex, .signal = SIGABRT)
{
    tenure_thread *self = tenure_attach(heap);
    be_quiet();
    tenure_cond_wait(self, &changed, &mutex);
}

/* --- a queue in a heap object that would move, in a precise heap --- */

typedef struct queue {
    node *first;
    tenure_mutex mutex; /* zeroed */
    tenure_cond changed;
    unsigned length, taken;
} queue;
TENURE_TYPE(queue_type, queue, first);
enum { CONSUMERS = 3, ITEMS = 2000 };

static queue *shared; /* a root */
static atomic_ulong sum;

static void *consume(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    for (;;) {
        queue *q = shared;
        TENURE_FRAME(self, q);
        tenure_mutex_lock(self, &q->mutex);
        while (q->length == 0 && q->taken < (unsigned)ROUNDS(ITEMS))
            REQUIRE(tenure_cond_wait(self, &q->changed, &q->mutex) == TENURE_OK);
        const bool any = q->length > 0;
        if (any) {
            atomic_fetch_add(&sum, q->first->value);
            TENURE_SET(self, q, first, q->first->next);
            q->length--;
            if (++q->taken == (unsigned)ROUNDS(ITEMS)) tenure_cond_broadcast(&q->changed);
        }
        tenure_mutex_unlock(self, &q->mutex);
        if (!any) break;
        for (unsigned i = 0; i < 20; i++) REQUIRE(tenure_new_bytes(self, 24) != NULL);
    }
    tenure_detach(self);
    return arg;
}

static void queue_delivers(const char *options)
{
    tenure_heap *conservative = heap;
    heap = precise_heap_with(options);
    tenure_thread *self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &shared), TENURE_OK));
    shared = tenure_new(self, queue_type);
    pthread_t threads[CONSUMERS];
    collector always;
    for (unsigned i = 0; i < CONSUMERS; i++) threads[i] = start_thread(consume, NULL);
    TENURE_BLOCKING_CALL(self, collector_start(&always, heap));
    for (unsigned i = 1; i <= (unsigned)ROUNDS(ITEMS); i++) {
        node *fresh = tenure_new(self, node_type);
        TENURE_FRAME(self, fresh);
        fresh->value = i;
        queue *q = shared;
        TENURE_FRAME(self, q);
        TENURE_LOCK_SCOPE(self, &q->mutex);
        TENURE_SET(self, fresh, next, q->first);
        TENURE_SET(self, q, first, fresh);
        q->length++;
        tenure_cond_signal(&q->changed);
    }
    for (unsigned i = 0; i < CONSUMERS; i++) join_blocked(self, threads[i]);
    TENURE_BLOCKING_CALL(self, collector_stop(&always));
    cr_assert(eq(ulong, atomic_load(&sum), (unsigned long)ROUNDS(ITEMS) * (unsigned long)(ROUNDS(ITEMS) + 1) / 2));
    tenure_root_remove(heap, &shared);
    heap_end(heap, self);
    heap = conservative;
}

Test(condition, a_queue_in_the_heap) { queue_delivers("max_heap=128m,gen0=1m,verify=before+after"); }
Test(condition, a_queue_in_the_heap_under_torture)
{
    queue_delivers("max_heap=128m,gen0=1m,verify=after,torture=alloc:64");
}
