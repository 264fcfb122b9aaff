/* Finalizers as PEP 442 has them: once each, cycles included, resurrection allowed, everything whole while they run. */
#include "tests/threads/threads.h"
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

typedef struct item {
    struct item *next, *other;
    uint64_t value, check;
    tenure_weak *seen;
} item;
TENURE_TYPE(item_type, item, next, other, seen);
typedef struct big {
    item *first;
    uint64_t filler[8000];
} big;
TENURE_TYPE(big_type, big, first);

static tenure_heap *heap;
static tenure_thread *self;
static item *root; /* where finalizers resurrect to */

static void begin_options(tenure_options options)
{
    heap = heap_of(&options);
    self = tenure_attach(heap);
    root = NULL;
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
}
static void begin_pump(const char *words)
{
    tenure_options options = options_with(words, TENURE_ROOTS_PRECISE);
    options.finalizers = TENURE_PUMP;
    begin_options(options);
}
static void restart(const char *words)
{
    heap_end(heap, self);
    begin_pump(words);
}
static void begin(void) { begin_pump("max_heap=256m,verify=before,after"); }
static void end(void) { heap_end(heap, self); }

TestSuite(finalizer, .init = begin, .fini = end);

static item *fresh_of(tenure_thread *thread, uint64_t value)
{
    item *object = tenure_new(thread, item_type);
    REQUIRE(object != NULL);
    object->value = value;
    object->check = ~value;
    return object;
}
static item *fresh(uint64_t value) { return fresh_of(self, value); }

static size_t pump(void) { return tenure_finalizers_pump(self, SIZE_MAX); }

static atomic_uint ran;
static void count(tenure_thread *thread, void *object, void *arg)
{
    (void)thread;
    (void)arg;
    REQUIRE(((item *)object)->check == ~((item *)object)->value);
    atomic_fetch_add(&ran, 1);
}

/* --- one --- */

Test(finalizer, runs_once)
{
    TENURE_LOCALS(self, l, item * object;);
    for (int generation = 0; generation < 3; generation++) {
        atomic_store(&ran, 0);
        l.object = fresh(1);
        cr_assert(eq(int, tenure_finalize(self, l.object, count, NULL), TENURE_OK));
        for (int i = 0; i < generation; i++) collect(self, TENURE_GEN1);
        cr_assert(eq(sz, pump(), 0u));
        l.object = NULL;
        collect(self, TENURE_GEN2);
        cr_assert(eq(u32, atomic_load(&ran), 0u), "not in the stop");
        cr_assert(eq(u64, stats_of(heap).finalizers_pending, 1u));
        for (int i = 0; i < 3; i++) collect(self, (tenure_generation)i); /* kept until it ran */
        cr_assert(eq(sz, pump(), 1u));
        collect(self, TENURE_GEN2);
        cr_assert(eq(sz, pump(), 0u));
        cr_assert(eq(u32, atomic_load(&ran), 1u));
        cr_assert(eq(u64, stats_of(heap).finalizers_pending, 0u));
    }
    const tenure_stats stats = stats_of(heap);
    cr_expect(eq(u64, stats.finalizers_run, 3u));
    cr_expect(eq(str, (char *)stats.finalizer_slowest_type, "item_type"));
}

static void take_arg(tenure_thread *thread, void *object, void *arg)
{
    (void)thread;
    (void)object;
    const item *given = arg;
    REQUIRE(given->check == ~given->value);
    atomic_store(&ran, (unsigned)given->value);
}

Test(finalizer, keeps_its_argument)
{
    TENURE_LOCALS(self, l, item * object; item * arg;);
    l.object = fresh(1);
    l.arg = fresh(77);
    cr_assert(eq(int, tenure_finalize(self, l.object, take_arg, l.arg), TENURE_OK));
    l.arg = NULL;
    for (int i = 0; i < 5; i++) collect(self, (tenure_generation)(i % 3));
    l.object = NULL;
    for (int i = 2; i >= 0; i--) collect(self, (tenure_generation)i);
    cr_assert(eq(sz, pump(), 1u));
    cr_expect(eq(u32, atomic_load(&ran), 77u));
}

/* --- replacing and cancelling --- */

static void set_to_arg(tenure_thread *thread, void *object, void *arg)
{
    (void)thread;
    (void)object;
    atomic_store(&ran, (unsigned)(uintptr_t)arg);
}

static void finalize_with(item *object, unsigned number)
{
    cr_assert(eq(int, tenure_finalize(self, object, set_to_arg, (void *)(uintptr_t)number), TENURE_OK));
}

/* The last one counts, whatever came before and however old it all is. */
Test(finalizer, replaced_and_cancelled)
{
    TENURE_LOCALS(self, l, item * object;);
    for (unsigned script = 0; script < 3 * 3 * 3 * 3; script++) {
        for (unsigned aging = 0; aging < 3; aging++) {
            atomic_store(&ran, 0);
            l.object = fresh(1);
            unsigned expected = 0, rest = script;
            for (unsigned step = 1; step <= 4; step++, rest /= 3) {
                if (rest % 3 == 0) {
                    finalize_with(l.object, step);
                    expected = step;
                } else if (rest % 3 == 1) {
                    cr_assert(eq(int, tenure_finalize_cancel(self, l.object), expected != 0));
                    expected = 0;
                }
                if (aging > 0) collect(self, (tenure_generation)(aging - 1));
            }
            l.object = NULL;
            collect(self, TENURE_GEN2);
            cr_assert(eq(sz, pump(), expected != 0));
            cr_assert(eq(u32, atomic_load(&ran), expected));
        }
    }
    for (unsigned i = 0; i < TENURE__RECORD_SHARDS; i++) cr_assert(eq(u32, heap->finalizers.table.shards[i].count, 0));
}

/* What does not count any more lets go of its argument in the next collection, not in the one after it. */
Test(finalizer, replaced_and_cancelled_arguments)
{
    TENURE_LOCALS(self, l, item * object; item * arg; tenure_weak * weak;);
    for (unsigned replaces = 0; replaces < 2; replaces++) {
        for (unsigned generation = 0; generation < 3; generation++) {
            l.object = fresh(1);
            l.arg = fresh(2);
            l.weak = tenure_weak_new(self, l.arg);
            cr_assert(eq(int, tenure_finalize(self, l.object, take_arg, l.arg), TENURE_OK));
            if (generation > 0) collect(self, (tenure_generation)(generation - 1));
            l.arg = NULL;
            if (replaces != 0)
                finalize_with(l.object, 1);
            else
                cr_assert(tenure_finalize_cancel(self, l.object));
            collect(self, TENURE_GEN2);
            cr_expect(tenure_weak_get(self, l.weak) == NULL, "%u %u", replaces, generation);
        }
    }
}

Test(finalizer, cancel_when_due_is_too_late)
{
    TENURE_LOCALS(self, l, item * object; tenure_weak * weak;);
    l.object = fresh(1);
    finalize_with(l.object, 5);
    l.object = NULL;
    collect(self, TENURE_GEN2);
    cr_assert(eq(sz, pump(), 1u));
    l.object = fresh(2);
    cr_expect(eq(int, tenure_finalize_cancel(self, l.object), false));
}

/* --- resurrection --- */

static void resurrect(tenure_thread *thread, void *object, void *arg)
{
    (void)arg;
    item *back = object;
    REQUIRE(back->check == ~back->value);
    REQUIRE(back->seen == NULL || tenure_weak_get(thread, back->seen) == NULL);
    atomic_fetch_add(&ran, 1);
    root = back;
}

Test(finalizer, resurrected)
{
    TENURE_LOCALS(self, l, item * object; tenure_weak * weak;);
    l.object = fresh(3);
    l.weak = tenure_weak_new(self, l.object);
    TENURE_SET(self, l.object, seen, l.weak);
    cr_assert(eq(int, tenure_finalize(self, l.object, resurrect, NULL), TENURE_OK));
    for (unsigned again = 1; again < 5; again++) {
        l.object = root = NULL;
        collect(self, TENURE_GEN2);
        cr_assert(tenure_weak_get(self, l.weak) == NULL);
        cr_assert(eq(sz, pump(), 1u));
        for (int i = 0; i < 3; i++) collect(self, (tenure_generation)i);
        cr_assert(root != NULL && root->value == 3 && root->check == ~(uint64_t)3);
        cr_assert(tenure_weak_get(self, l.weak) == NULL, "cleared stays cleared");
        l.weak = tenure_weak_new(self, root);
        cr_assert(eq(ptr, tenure_weak_get(self, l.weak), root));
        cr_assert(eq(int, tenure_finalize(self, root, resurrect, NULL), TENURE_OK));
    }
    cr_assert(eq(int, tenure_finalize_cancel(self, root), true));
    root = NULL;
    collect(self, TENURE_GEN2);
    cr_assert(eq(sz, pump(), 0u));
    cr_assert(tenure_weak_get(self, l.weak) == NULL);
}

/* A weak reference that is part of the garbage is cleared too, and so is an ephemeron whose key was reachable only from
 * there and that itself lives. */
Test(finalizer, cleared_before)
{
    TENURE_LOCALS(self, l, item * object; item * key; item * value; tenure_ephemeron * pair; tenure_weak * weak;);
    l.object = fresh(1);
    l.key = fresh(2);
    TENURE_SET(self, l.object, next, l.key);
    l.weak = tenure_weak_new(self, l.key);
    TENURE_SET(self, l.object, seen, l.weak);
    l.value = fresh(3);
    l.pair = tenure_ephemeron_new(self, l.key, l.value);
    cr_assert(eq(int, tenure_finalize(self, l.object, resurrect, NULL), TENURE_OK));
    l.object = l.key = l.value = NULL;
    l.weak = NULL;
    collect(self, TENURE_GEN0);
    cr_expect(tenure_ephemeron_key(self, l.pair) == NULL);
    cr_assert(eq(sz, pump(), 1u));
    cr_assert(root != NULL && root->next->value == 2 && root->next->check == ~(uint64_t)2);
    cr_expect(tenure_weak_get(self, root->seen) == NULL);
    l.weak = tenure_weak_new(self, root->next);
    for (int i = 0; i < 3; i++) collect(self, (tenure_generation)i);
    cr_expect(eq(ptr, tenure_weak_get(self, l.weak), root->next));
}

/* A weak reference from the garbage to what lives follows its target through the resurrection. */
Test(finalizer, resurrected_weak_references)
{
    TENURE_LOCALS(self, l, item * object; item * alive; tenure_weak * weak;);
    l.alive = fresh(9);
    l.object = fresh(1);
    l.weak = tenure_weak_new(self, l.alive);
    l.weak = tenure_weak_new(self, l.alive); /* the shared one */
    item *holder = fresh(2);
    TENURE_SET(self, l.object, next, holder);
    TENURE_SET(self, l.object->next, seen, l.weak);
    l.weak = NULL;
    cr_assert(eq(int, tenure_finalize(self, l.object, resurrect, NULL), TENURE_OK));
    l.object = NULL;
    for (int i = 0; i < 3; i++) collect(self, (tenure_generation)i);
    cr_assert(eq(sz, pump(), 1u));
    for (int i = 2; i >= 0; i--) collect(self, (tenure_generation)i);
    cr_expect(eq(ptr, tenure_weak_get(self, root->next->seen), l.alive));
    cr_expect(eq(ptr, tenure_weak_new(self, l.alive), tenure_weak_new(self, l.alive)));
    root = NULL;
    collect(self, TENURE_GEN2);
}

/* --- dead groups: cycles through generations and a large object, some members with finalizers --- */

enum { RING = 20 };

static void whole_ring(tenure_thread *thread, void *object, void *arg)
{
    (void)thread;
    (void)arg;
    const item *at = object;
    for (unsigned i = 0; i < RING; i++, at = at->next) {
        REQUIRE(at->check == ~at->value);
        REQUIRE(at->next->value == (at->value + 1) % RING);
        REQUIRE(at->other == NULL || tenure_size_of(at->other) >= sizeof(big));
    }
    REQUIRE(at == object);
    atomic_fetch_add(&ran, 1);
}

static void rings(const char *words, unsigned count_of)
{
    restart(words);
    TENURE_LOCALS(self, l, item * first; item * last; tenure_weak * weak;);
    atomic_store(&ran, 0);
    unsigned finalizers = 0;
    for (unsigned ring = 0; ring < count_of; ring++) {
        l.first = l.last = fresh(0);
        for (unsigned i = 1; i < RING; i++) {
            item *next = fresh(i);
            TENURE_SET(self, l.last, next, next);
            l.last = next;
            if (i % 7 == ring % 7 && i % 2 == 0) collect(self, (tenure_generation)(ring % 3));
            if (i == ring % RING) {
                big *large = tenure_new(self, big_type);
                TENURE_SET(self, l.last, other, (item *)(void *)large);
                TENURE_SET(self, (big *)(void *)l.last->other, first, l.first);
            }
            if (i % 3 == 0) {
                cr_assert(eq(int, tenure_finalize(self, l.last, whole_ring, NULL), TENURE_OK));
                finalizers++;
            }
        }
        TENURE_SET(self, l.last, next, l.first);
        if (ring % 4 == 3) (void)pump();
    }
    l.first = l.last = NULL;
    collect(self, TENURE_GEN2);
    for (unsigned i = 0; i < 5; i++) (void)tenure_finalizers_pump(self, 7), collect(self, (tenure_generation)(i % 3));
    (void)pump();
    collect(self, TENURE_GEN2);
    cr_expect(eq(u32, atomic_load(&ran), finalizers));
    cr_expect(eq(sz, pump(), 0u));
}

Test(finalizer, rings) { rings("max_heap=256m,verify=before,after", 40); }
Test(finalizer, rings_evacuated) { rings("max_heap=256m,torture=evacuate,verify=before,after", 40); }
Test(finalizer, rings_that_stay) { rings("max_heap=256m,torture=nospace,verify=before,after", 40); }
Test(finalizer, rings_that_overflow) { rings("max_heap=256m,torture=overflow,verify=before,after", 40); }
Test(finalizer, rings_at_every_allocation) { rings("max_heap=256m,torture=alloc:1+evacuate,verify=after", 4); }

Test(finalizer, a_hundred_thousand)
{
    enum { MANY = 100000 };
    TENURE_LOCALS(self, l, item * list;);
    atomic_store(&ran, 0);
    for (unsigned i = 0; i < MANY; i++) {
        item *next = fresh(i);
        TENURE_SET(self, next, next, l.list);
        l.list = next;
        cr_assert(eq(int, tenure_finalize(self, l.list, count, NULL), TENURE_OK));
    }
    l.list = NULL;
    collect(self, TENURE_GEN2);
    cr_expect(eq(u64, stats_of(heap).finalizers_pending, MANY));
    cr_expect(eq(sz, pump(), MANY));
    cr_expect(eq(u32, atomic_load(&ran), MANY));
}

/* --- death callbacks --- */

static void died(tenure_thread *thread, tenure_weak *weak, void *arg)
{
    REQUIRE(tenure_weak_get(thread, weak) == NULL);
    REQUIRE(((item *)arg)->value == 8);
    atomic_fetch_add(&ran, 1);
}

Test(finalizer, death_callbacks)
{
    TENURE_LOCALS(self, l, item * target; item * arg; tenure_weak * kept; tenure_weak * dropped;);
    for (int age = 0; age < 3; age++) {
        atomic_store(&ran, 0);
        l.target = fresh(1);
        l.arg = fresh(8);
        l.kept = tenure_weak_watch(self, l.target, died, l.arg);
        l.dropped = tenure_weak_watch(self, l.target, died, l.arg);
        cr_assert(ne(ptr, l.kept, l.dropped));
        l.arg = NULL;
        for (int i = 0; i < age; i++) collect(self, TENURE_GEN1);
        cr_assert(eq(ptr, tenure_weak_get(self, l.kept), l.target));
        l.target = NULL;
        l.dropped = NULL;
        collect(self, TENURE_GEN2);
        collect(self, TENURE_GEN2);
        cr_assert(eq(sz, pump(), 1u));
        cr_assert(eq(u32, atomic_load(&ran), 1u));
        cr_assert(tenure_weak_get(self, l.kept) == NULL);
    }
}

/* --- the thread --- */

static void begin_thread(const char *words, tenure_roots roots)
{
    heap_end(heap, self);
    begin_options(options_with(words, roots));
}

Test(finalizer, thread_runs_them)
{
    begin_thread("max_heap=256m,verify=after", TENURE_ROOTS_PRECISE);
    atomic_store(&ran, 0);
    for (unsigned round = 1; round < 20; round++) {
        for (unsigned i = 0; i < 100; i++) cr_assert(eq(int, tenure_finalize(self, fresh(i), count, NULL), TENURE_OK));
        collect(self, TENURE_GEN0);
        cr_assert(eq(int, tenure_finalizers_drain(self, UINT64_MAX), TENURE_OK));
        cr_assert(eq(u32, atomic_load(&ran), 100 * round));
    }
}

static pthread_mutex_t application = PTHREAD_MUTEX_INITIALIZER;
static tenure_mutex library = TENURE_MUTEX_INIT("library");
static flag entered;

static void lock_both(tenure_thread *thread, void *object, void *arg)
{
    (void)object;
    (void)arg;
    atomic_store(&entered, 1);
    TENURE_BLOCKING_CALL(thread, pthread_mutex_lock(&application));
    pthread_mutex_unlock(&application);
    tenure_mutex_lock(thread, &library);
    tenure_mutex_unlock(thread, &library);
    atomic_fetch_add(&ran, 1);
}

/* The program holds what a finalizer wants, and goes on allocating and collecting. */
Test(finalizer, blocks_nobody)
{
    begin_thread("max_heap=256m,gen0=1m", TENURE_ROOTS_PRECISE);
    atomic_store(&ran, 0);
    pthread_mutex_lock(&application);
    tenure_mutex_lock(self, &library);
    cr_assert(eq(int, tenure_finalize(self, fresh(1), lock_both, NULL), TENURE_OK));
    collect(self, TENURE_GEN0);
    await_polling(self, &entered, 1);
    for (unsigned i = 0; i < 20; i++) {
        spend_budget(self);
        collect(self, (tenure_generation)(i % 3));
    }
    cr_assert(eq(int, tenure_finalizers_drain(self, 1000), TENURE_ETIMEDOUT));
    cr_assert(eq(u64, stats_of(heap).finalizers_pending, 1u));
    pthread_mutex_unlock(&application);
    for (unsigned i = 0; i < 10; i++) spend_budget(self);
    cr_assert(eq(u32, atomic_load(&ran), 0u));
    tenure_mutex_unlock(self, &library);
    cr_assert(eq(int, tenure_finalizers_drain(self, UINT64_MAX), TENURE_OK));
    cr_assert(eq(u32, atomic_load(&ran), 1u));
}

static tenure_status drained;
static void drain_inside(tenure_thread *thread, void *object, void *arg)
{
    (void)object;
    (void)arg;
    drained = tenure_finalizers_drain(thread, UINT64_MAX);
}
Test(finalizer, cannot_wait_for_itself)
{
    cr_assert(eq(int, tenure_finalize(self, fresh(1), drain_inside, NULL), TENURE_OK));
    collect(self, TENURE_GEN2);
    cr_assert(eq(sz, pump(), 1u));
    cr_expect(eq(int, drained, TENURE_EDEADLK));
}

/* The world is stopped: nobody runs what is due, unless the caller pumps. */
Test(finalizer, cannot_be_waited_for_in_a_stop)
{
    begin_thread("max_heap=256m", TENURE_ROOTS_PRECISE);
    atomic_store(&ran, 0);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    cr_assert(eq(int, tenure_finalize(self, fresh(1), count, NULL), TENURE_OK));
    collect(self, TENURE_GEN2);
    cr_expect(eq(int, tenure_finalizers_drain(self, UINT64_MAX), TENURE_EDEADLK));
    cr_expect(eq(sz, tenure_finalizers_pump(self, SIZE_MAX), 1u));
    tenure_resume_world(self);
    cr_expect(eq(int, tenure_finalizers_drain(self, UINT64_MAX), TENURE_OK));
    cr_expect(eq(u32, atomic_load(&ran), 1u));
}

/* --- telling the program --- */

static flag ready_calls;
static void note_ready(void *arg) { atomic_fetch_add((flag *)arg, 1); }

Test(finalizer, ready)
{
    heap_end(heap, self);
    tenure_options options = options_with("max_heap=256m", TENURE_ROOTS_PRECISE);
    options.finalizers = TENURE_PUMP;
    options.finalizers_eventfd = eventfd(0, EFD_CLOEXEC);
    begin_options(options);
    tenure_finalizers_ready(heap, note_ready, &ready_calls);
    collect(self, TENURE_GEN2);
    cr_assert(eq(int, atomic_load(&ready_calls), 0));
    cr_assert(eq(int, tenure_finalize(self, fresh(1), count, NULL), TENURE_OK));
    collect(self, TENURE_GEN2);
    await_polling(self, &ready_calls, 1);
    struct pollfd fd = { options.finalizers_eventfd, POLLIN, 0 };
    cr_assert(eq(int, TENURE_BLOCKING_CALL(self, poll(&fd, 1, -1)), 1));
    cr_assert(eq(sz, pump(), 1u));
    tenure_finalizers_ready(heap, NULL, NULL);
}

/* --- the end --- */

static void register_another(tenure_thread *thread, void *object, void *arg)
{
    (void)object;
    const uintptr_t left = (uintptr_t)arg;
    atomic_fetch_add(&ran, 1);
    if (left > 0)
        REQUIRE(tenure_finalize(thread, fresh_of(thread, 1), register_another, (void *)(left - 1)) == TENURE_OK);
}

/* What died is finalized before the heap goes, in rounds; what lives is not. */
static void end_of(tenure_finalizers mode)
{
    heap_end(heap, self);
    tenure_options options = options_with("max_heap=256m,verify=after", TENURE_ROOTS_PRECISE);
    options.finalizers = mode;
    begin_options(options);
    atomic_store(&ran, 0);
    root = fresh(1);
    cr_assert(eq(int, tenure_finalize(self, root, count, NULL), TENURE_OK));
    cr_assert(eq(int, tenure_finalize(self, fresh(2), register_another, (void *)5), TENURE_OK));
    heap_end(heap, self);
    cr_expect(eq(u32, atomic_load(&ran), 6u));
    begin_pump("max_heap=256m");
}
Test(finalizer, end_with_thread) { end_of(TENURE_THREAD); }
Test(finalizer, end_with_pump) { end_of(TENURE_PUMP); }

static void for_ever(tenure_thread *thread, void *object, void *arg)
{
    (void)object;
    (void)arg;
    atomic_store(&entered, 1);
    TENURE_BLOCKING_CALL(thread, pthread_mutex_lock(&application));
    pthread_mutex_unlock(&application);
}

/* One that does not return: the heap is not destroyed under it, and can be later. */
Test(finalizer, end_while_one_blocks)
{
    begin_thread("max_heap=256m,destroy_wait=20ms", TENURE_ROOTS_PRECISE);
    pthread_mutex_lock(&application);
    cr_assert(eq(int, tenure_finalize(self, fresh(1), for_ever, NULL), TENURE_OK));
    cr_assert(eq(int, tenure_finalize(self, fresh(1), for_ever, NULL), TENURE_OK));
    collect(self, TENURE_GEN2);
    await_polling(self, &entered, 1);
    tenure_detach(self);
    cr_assert(eq(int, tenure_heap_destroy(heap), TENURE_EBUSY));
    cr_assert(eq(int, tenure_heap_destroy(heap), TENURE_EBUSY));
    pthread_mutex_unlock(&application);
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_finalizers_drain(self, UINT64_MAX), TENURE_OK));
    cr_assert(eq(int, tenure_heap_destroy(heap), TENURE_EBUSY), "this thread is attached");
}

Test(finalizer, end_with_a_loop_of_registrations)
{
    begin_thread("max_heap=256m,destroy_wait=30ms", TENURE_ROOTS_PRECISE);
    cr_assert(eq(int, tenure_finalize(self, fresh(2), register_another, (void *)UINTPTR_MAX), TENURE_OK));
}

/* --- threads --- */

enum { THREADS = 3 };
static atomic_uint registered, cancelled;
static unsigned steps;

static void *churn(tenure_thread *thread, void *object)
{
    item *ring = object;
    TENURE_FRAME(thread, ring);
    uint64_t seed = (uint64_t)(uintptr_t)thread;
    for (unsigned i = 0; i < steps; i++) {
        item *next = fresh_of(thread, i);
        TENURE_SET(thread, next, other, ring->next);
        TENURE_SET(thread, ring, next, next);
        REQUIRE(tenure_finalize(thread, ring->next, count, ring->next->other) == TENURE_OK);
        atomic_fetch_add(&registered, 1);
        if (next_random(&seed) % 5 == 0) REQUIRE(tenure_finalize(thread, ring->next, count, NULL) == TENURE_OK);
        if (next_random(&seed) % 5 == 0 && tenure_finalize_cancel(thread, ring->next)) atomic_fetch_add(&cancelled, 1);
        if (next_random(&seed) % 16 == 0) TENURE_SET(thread, ring, next, NULL);
        if (next_random(&seed) % 64 == 0) REQUIRE(tenure_collect(thread, (tenure_generation)(i % 3)) == TENURE_OK);
    }
    return NULL;
}

static void churn_with(const char *words, tenure_roots roots, tenure_finalizers mode, unsigned steps_of_each)
{
    heap_end(heap, self);
    tenure_options options = options_with(words, roots);
    options.finalizers = mode;
    begin_options(options);
    steps = ROUNDS(steps_of_each);
    atomic_store(&ran, 0);
    {
        TENURE_LOCALS(self, l, item * own;);
        pthread_t threads[THREADS];
        for (unsigned i = 0; i < THREADS; i++) {
            l.own = fresh(1);
            cr_assert(eq(int, tenure_thread_create(self, &threads[i], NULL, churn, l.own), TENURE_OK));
        }
        for (unsigned i = 0; i < THREADS; i++) join_blocked(self, threads[i]);
    }
    verify(self);
    heap_end(heap, self);
    /* On a conservative stack some may still be seen. */
    const unsigned expected = atomic_load(&registered) - atomic_load(&cancelled), found = atomic_load(&ran);
    cr_expect(le(u32, found, expected));
    if (roots == TENURE_ROOTS_PRECISE) cr_expect(eq(u32, found, expected));
    begin_pump("max_heap=256m");
}

Test(finalizer, threads)
{
    churn_with("max_heap=128m,gen0=512k,destroy_wait=60s", TENURE_ROOTS_PRECISE, TENURE_THREAD, 8000);
}
Test(finalizer, threads_conservative)
{
    churn_with("max_heap=128m,gen0=512k,destroy_wait=60s", TENURE_ROOTS_CONSERVATIVE, TENURE_THREAD, 8000);
}
Test(finalizer, threads_pump)
{
    churn_with("max_heap=128m,gen0=512k,destroy_wait=60s", TENURE_ROOTS_PRECISE, TENURE_PUMP, 8000);
}
Test(finalizer, threads_verified)
{
    churn_with(
        "max_heap=64m,torture=alloc:40,verify=before,after,destroy_wait=60s", TENURE_ROOTS_PRECISE, TENURE_THREAD, 800);
}
Test(finalizer, threads_tortured)
{
    churn_with("max_heap=64m,torture=alloc:50+evacuate+nospace+overflow,verify=before,after,destroy_wait=60s",
        TENURE_ROOTS_CONSERVATIVE, TENURE_THREAD, 600);
}
