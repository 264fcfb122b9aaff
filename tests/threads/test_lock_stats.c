/* What pauses do to locks: the grace of holders whom others wait for, and the figures. */
#include "tests/threads/threads.h"
#include "threads/lock.h"

static tenure_heap *heap;
static tenure_mutex mutex = TENURE_MUTEX_INIT("counted");
static tenure_mutex second = TENURE_MUTEX_INIT("counted");
static flag holding, go;

static void end(void) { cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK)); }
static void begin_with_grace(void) { heap = heap_with("max_heap=128m,gen0=1m,lock_grace=1ms"); }
static void begin_without(void) { heap = heap_with("max_heap=128m,gen0=1m,lock_grace=0"); }
TestSuite(grace, .init = begin_with_grace, .fini = end);
TestSuite(lock_stats, .init = begin_without, .fini = end);

/* An unattached thread that waits for the mutex. */
static void *want(void *arg)
{
    REQUIRE(tenure_mutex_lock(NULL, &mutex) == TENURE_OK);
    tenure_mutex_unlock(NULL, &mutex);
    return arg;
}

static pthread_t start_wanting(void)
{
    pthread_t thread = start_thread(want, NULL);
    while (__atomic_load_n(&mutex.lock.waiters, __ATOMIC_RELAXED) == 0) sched_yield();
    return thread;
}

/* Holds both to the end, polling. */
static void *hold(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    REQUIRE(tenure_mutex_lock(self, &mutex) == TENURE_OK);
    REQUIRE(tenure_mutex_lock(self, &second) == TENURE_OK);
    atomic_store(&holding, 1);
    while (!atomic_load(&go)) { tenure_poll(self); }
    tenure_mutex_unlock(self, &mutex);
    tenure_mutex_unlock(self, &second);
    tenure_detach(self);
    return arg;
}

static void stop_and_resume(void)
{
    tenure__lock_stop(&heap->world);
    tenure__world_stop(&heap->world, true);
    tenure__world_resume(&heap->world);
    tenure__unlock_stop(&heap->world);
}

static tenure_lock_stats found;
static void find_counted(const tenure_lock_stats *stats, void *arg)
{
    (void)arg;
    if (strcmp(stats->name, "counted") == 0) found = *stats;
}

Test(lock_stats, holders_and_waiters_by_name)
{
    pthread_t holder = start_thread(hold, NULL);
    await(&holding, 1);
    pthread_t waiter = start_wanting();
    for (unsigned i = 0; i < 3; i++) stop_and_resume();
    const tenure_stats stats = stats_of(heap);
    cr_expect(eq(u64, stats.lock_stops, 3));
    cr_expect(eq(u64, stats.lock_holders, 3));
    cr_expect(eq(u64, stats.lock_waiters, 3));
    cr_expect(lt(u64, 0, stats.lock_held_ns));
    cr_expect(eq(u64, stats.lock_grace.count, 0));
    tenure_lock_stats_each(find_counted, NULL);
    cr_expect(eq(u64, found.pauses, 3), "two locks of the name are one in a pause");
    cr_expect(eq(u64, found.holders, 6));
    cr_expect(eq(u64, found.waiters, 3));
    cr_expect(eq(u64, found.held_ns, stats.lock_held_ns));
    atomic_store(&go, 1);
    join_thread(holder);
    join_thread(waiter);
    stop_and_resume();
    cr_expect(eq(u64, stats_of(heap).lock_stops, 3));
}

static void expect_printed(tenure_format format, const char *what)
{
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    cr_assert(out != NULL);
    tenure_stats_print(heap, out, format);
    cr_assert(fclose(out) == 0);
    cr_expect(strstr(text, what) != NULL, "'%s' does not say '%s'", text, what);
    free(text);
}

Test(lock_stats, printed)
{
    pthread_t holder = start_thread(hold, NULL);
    await(&holding, 1);
    pthread_t waiter = start_wanting();
    stop_and_resume();
    expect_printed(TENURE_TEXT, "  lock counted: 1 pauses, 2 holders, 1 waiters, held ");
    expect_printed(TENURE_JSON, "{\"name\":\"counted\",\"pauses\":1,\"holders\":2,\"waiters\":1,\"held_ns\":");
    expect_printed(TENURE_PROMETHEUS, "tenure_lock_named_held_seconds_total{name=\"counted\"} ");
    atomic_store(&go, 1);
    join_thread(holder);
    join_thread(waiter);
}

/* It runs on for a while, and then parks all the same. */
Test(grace, ends)
{
    pthread_t holder = start_thread(hold, NULL);
    await(&holding, 1);
    pthread_t waiter = start_wanting();
    /* More than once if it was not scheduled for so long. */
    while (stats_of(heap).lock_grace.count == 0) stop_and_resume();
    cr_expect(ge(u64, stats_of(heap).lock_grace.max_ns, 1000000));
    atomic_store(&go, 1);
    join_thread(holder);
    join_thread(waiter);
}

/* Unlocked in its grace: the stop is reached without the lock held. */
static void *hold_until_requested(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    tenure__mutator *mutator = tenure__mutator_of(self);
    REQUIRE(tenure_mutex_lock(self, &mutex) == TENURE_OK);
    atomic_store(&holding, 1);
    while (!mutator->in_grace && !atomic_load(&go)) tenure_poll(self);
    tenure_mutex_unlock(self, &mutex);
    for (; !atomic_load(&go); sched_yield()) tenure_poll(self);
    tenure_detach(self);
    return arg;
}

Test(grace, lets_the_waiter_have_it)
{
    pthread_t holder = start_thread(hold_until_requested, NULL);
    await(&holding, 1);
    pthread_t waiter = start_wanting();
    tenure__lock_stop(&heap->world);
    tenure__world_stop(&heap->world, true);
    if (stats_of(heap).lock_grace.count != 0) join_thread(waiter); /* else it was late by a millisecond */
    tenure__world_resume(&heap->world);
    tenure__unlock_stop(&heap->world);
    atomic_store(&go, 1);
    join_thread(holder);
    if (stats_of(heap).lock_grace.count == 0) join_thread(waiter);
}

/* A grace that ends in a region is over: the next stop is not counted as part of it. */
static void *block_when_requested(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    tenure__mutator *mutator = tenure__mutator_of(self);
    REQUIRE(tenure_mutex_lock(self, &mutex) == TENURE_OK);
    atomic_store(&holding, 1);
    while (!mutator->in_grace && !atomic_load(&go)) tenure_poll(self);
    TENURE_BLOCKING_CALL(self, await(&go, 1));
    tenure_mutex_unlock(self, &mutex);
    tenure_detach(self);
    return arg;
}

Test(grace, ends_in_a_region)
{
    pthread_t holder = start_thread(block_when_requested, NULL);
    await(&holding, 1);
    pthread_t waiter = start_wanting();
    /* More than once if it was not scheduled in time. */
    while (stats_of(heap).lock_grace.count == 0) stop_and_resume();
    cr_expect(eq(u64, stats_of(heap).lock_grace.count, 1));
    atomic_store(&go, 1);
    join_thread(holder);
    join_thread(waiter);
}

/* Nor does it populate memory, in a grace or not: that takes long, and the way back may lead into a stop. */
static void *allocate_awaited(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    REQUIRE(tenure_mutex_lock(self, &mutex) == TENURE_OK);
    atomic_store(&holding, 1);
    while (__atomic_load_n(&mutex.lock.waiters, __ATOMIC_RELAXED) == 0) sched_yield();
    for (unsigned i = 0; i < 100; i++) REQUIRE(tenure_new_bytes(self, 1000) != NULL);
    tenure_mutex_unlock(self, &mutex);
    tenure_detach(self);
    return arg;
}

Test(grace, does_not_populate)
{
    tenure__own_lock(&heap->upkeep_lock); /* who populates waits for it */
    atomic_store(&heap->survivors, 1000); /* more than lies ready */
    pthread_t holder = start_thread(allocate_awaited, NULL);
    await(&holding, 1);
    join_thread(start_thread(want, NULL));
    join_thread(holder);
    tenure__own_unlock(&heap->upkeep_lock);
}

/* The budget is spent, and the holder has a chunk left to reach its unlock. */
Test(grace, has_a_reserve)
{
    tenure_thread *self = tenure_attach(heap);
    REQUIRE(tenure_mutex_lock(self, &mutex) == TENURE_OK);
    pthread_t waiter = start_wanting();
    const uint64_t before = collections_of(heap);
    uint32_t used = 0;
    while (collections_of(heap) == before) {
        const uint32_t now = atomic_load(&heap->gen0_used);
        used = now > used ? now : used;
        REQUIRE(tenure_new_bytes(self, 1000) != NULL);
    }
    cr_expect(eq(u32, used, (1 << 20) / TENURE__BLOCK_BYTES + 1));
    tenure_mutex_unlock(self, &mutex);
    join_blocked(self, waiter);
    tenure_detach(self);
}
