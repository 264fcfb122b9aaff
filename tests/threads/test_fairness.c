/* Stops back to back: whoever comes back from a region or waits for a lock makes progress. The stops are made here, so
 * that nothing depends on who is scheduled when: a thread that was waiting when a stop began runs before the next but
 * one is reached. */
#include "tests/threads/threads.h"
#include "threads/futex.h"

static tenure_heap *heap;

static void begin(void) { heap = heap_with("max_heap=128m,gen0=1m"); }
static void end(void) { cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK)); }
TestSuite(fairness, .init = begin, .fini = end);

enum { THREADS = 8 };
static flag ready, leave, done, finish;
static tenure_thread *_Atomic selves[THREADS];
static tenure_mutex mutex = TENURE_MUTEX_INIT("wanted");

static void keep_polling(tenure_thread *self)
{
    while (!atomic_load(&finish)) {
        tenure_poll(self);
        sched_yield();
    }
    tenure_detach(self);
}

static void *come_back(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    tenure_enter_blocking(self);
    atomic_store(&selves[(intptr_t)arg], self);
    atomic_fetch_add(&ready, 1);
    await(&leave, 1);
    tenure_leave_blocking(self);
    atomic_fetch_add(&done, 1); /* no safepoint before */
    keep_polling(self);
    return NULL;
}

static void *take(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    atomic_store(&selves[(intptr_t)arg], self);
    atomic_fetch_add(&ready, 1);
    REQUIRE(tenure_mutex_lock(self, &mutex) == TENURE_OK);
    atomic_fetch_add(&done, 1);
    tenure_mutex_unlock(self, &mutex);
    keep_polling(self);
    return NULL;
}

static void await_returning(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        while ((state_of(selves[i]) & TENURE__RETURNING) == 0) sched_yield();
}

static void next_stop(void)
{
    tenure__world_resume(&heap->world);
    tenure__world_stop(&heap->world, true);
}

static void end_stops(pthread_t *threads, unsigned count)
{
    atomic_store(&finish, 1);
    tenure__world_resume(&heap->world);
    tenure__unlock_stop(&heap->world);
    for (unsigned i = 0; i < count; i++) join_thread(threads[i]);
}

Test(fairness, who_comes_back_misses_one_stop_at_most)
{
    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++) threads[i] = start_thread(come_back, (void *)i);
    await(&ready, THREADS);
    tenure__lock_stop(&heap->world);
    tenure__world_stop(&heap->world, true);
    atomic_store(&leave, 1);
    await_returning(THREADS);
    next_stop();
    next_stop();
    cr_assert(eq(int, atomic_load(&done), THREADS));
    end_stops(threads, THREADS);
}

Test(fairness, who_waits_for_a_lock_gets_it)
{
    pthread_t thread;
    cr_assert(eq(int, tenure_mutex_lock(NULL, &mutex), TENURE_OK));
    thread = start_thread(take, 0);
    await(&ready, 1);
    while (mode_of(selves[0]) != TENURE__BLOCKED) sched_yield();
    tenure__lock_stop(&heap->world);
    tenure__world_stop(&heap->world, true);
    tenure_mutex_unlock(NULL, &mutex);
    await_returning(1); /* it had it, and gave it back */
    next_stop();
    next_stop();
    cr_assert(eq(int, atomic_load(&done), 1));
    end_stops(&thread, 1);
}

/* --- who wakes whom --- */

static atomic_int dead_ends[2];

/* Woken as a parked thread is, but it wakes nobody: as if it had no processor. */
static void *sleep_as_dead_end(void *arg)
{
    enum { NOT_HOLDERS = 2 };
    tenure__world *world = &heap->world;
    const uint32_t seen = atomic_load(&world->resumes);
    atomic_store((atomic_int *)arg, gettid());
    while (atomic_load(&world->resumes) == seen)
        tenure__futex_wait_for(&world->resumes, seen, NOT_HOLDERS, UINT64_MAX / 2);
    return NULL;
}

static char task_state(int tid)
{
    char path[64], state = '?';
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    FILE *stat = fopen(path, "r");
    REQUIRE(stat != NULL && fscanf(stat, "%*d (%*[^)]) %c", &state) == 1);
    fclose(stat);
    return state;
}

/* The two who are woken first never run: the others come back all the same. */
Test(fairness, nobody_depends_on_who_is_woken_first)
{
    pthread_t threads[THREADS], first[2];
    for (intptr_t i = 0; i < THREADS; i++) threads[i] = start_thread(come_back, (void *)i);
    await(&ready, THREADS);
    tenure__lock_stop(&heap->world);
    tenure__world_stop(&heap->world, true);
    for (unsigned i = 0; i < 2; i++) {
        first[i] = start_thread(sleep_as_dead_end, &dead_ends[i]);
        while (atomic_load(&dead_ends[i]) == 0 || task_state(atomic_load(&dead_ends[i])) != 'S') sched_yield();
    }
    atomic_store(&leave, 1);
    while (atomic_load(&heap->world.asleep) < THREADS) sched_yield();
    tenure__world_resume(&heap->world);
    tenure__unlock_stop(&heap->world);
    await(&done, THREADS);
    atomic_store(&finish, 1);
    for (unsigned i = 0; i < THREADS; i++) join_thread(threads[i]);
    for (unsigned i = 0; i < 2; i++) join_thread(first[i]);
}

/* --- two heaps: what one lets in does not make the other's stop wait for ever --- */

/* Few: on one processor each costs a time slice of both leaders, who are mostly preempted in the middle of a stop. */
enum { COMINGS = 100 };

static tenure_heap *other;
static atomic_ulong came_back;

static void *come_and_go(void *arg)
{
    tenure_thread *self = tenure_attach(heap), *second = tenure_attach(other);
    for (int i = ROUNDS(COMINGS); i > 0; i--) {
        TENURE_BLOCKING_CALL(self, sched_yield());
        TENURE_LOCK_SCOPE(second, &mutex);
        atomic_fetch_add(&came_back, 1);
    }
    tenure_detach(second);
    tenure_detach(self);
    return arg;
}

static void *stop_back_to_back(void *arg)
{
    tenure__world *world = arg;
    while (!atomic_load(&finish)) {
        tenure__lock_stop(world);
        tenure__world_stop(world, true);
        tenure__world_resume(world);
        tenure__unlock_stop(world);
    }
    return NULL;
}

Test(fairness, two_heaps_stopped_back_to_back)
{
    enum { COMERS = 4 };
    pthread_t threads[COMERS], leaders[2];
    other = heap_with("max_heap=64m,gen0=1m");
    leaders[0] = start_thread(stop_back_to_back, &heap->world);
    leaders[1] = start_thread(stop_back_to_back, &other->world);
    for (unsigned i = 0; i < COMERS; i++) threads[i] = start_thread(come_and_go, NULL);
    for (unsigned i = 0; i < COMERS; i++) join_thread(threads[i]);
    atomic_store(&finish, 1);
    for (unsigned i = 0; i < 2; i++) join_thread(leaders[i]);
    cr_assert(eq(ulong, atomic_load(&came_back), COMERS * (unsigned long)ROUNDS(COMINGS)));
    cr_assert(eq(int, tenure_heap_destroy(other), TENURE_OK));
}
