/* What a forked child has of weak references, ephemerons, weak maps, finalizers and cleaners: all that there was, but
 * for what other threads were in the middle of. */
#include "lib/collection/cycle.h"
#include "lib/collection/weakmap.h"
#include "tests/threads/fork.h"
#include <tenure/finalizer.h>
#include <tenure/root.h>
#include <tenure/safepoint.h>
#include <tenure/weakmap.h>

enum { ENTRIES = 500 };

static tenure_heap *heap;
static tenure_thread *self;

/* Everything is rooted here; the heap is precise, so nothing else keeps anything. */
static struct {
    node *kept[ENTRIES];
    tenure_weak *to_kept, *to_dead;
    tenure_ephemeron *of_kept, *of_dead;
    tenure_weakmap *map, *walked;
    tenure_weakset *set;
} roots;

static flag ran, ran_before, may_return, inside, stop;

static void begin_with(const char *words, tenure_finalizers finalizers)
{
    tenure_options options = options_with(words, TENURE_ROOTS_PRECISE);
    options.finalizers = finalizers;
    heap = heap_of(&options);
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_range_add(heap, (void *)&roots, sizeof roots, TENURE_PRECISE), TENURE_OK));
}
static void begin(void) { begin_with("max_heap=128m,gen0=1m,verify=before,after", TENURE_THREAD); }
static void end(void)
{
    memset(&roots, 0, sizeof roots);
    atomic_store(&may_return, 1);
    heap_end(heap, self);
}

TestSuite(fork, .init = begin, .fini = end);

static node *fresh(tenure_thread *thread, uint64_t value)
{
    node *object = tenure_new(thread, node_type);
    REQUIRE(object != NULL);
    object->value = value;
    return object;
}

static void count(tenure_thread *thread, void *object, void *arg)
{
    (void)thread, (void)object;
    atomic_fetch_add((flag *)arg, 1);
}
static void clean(tenure_thread *thread, void *arg)
{
    (void)thread;
    atomic_fetch_add((flag *)arg, 1);
}

static void make_garbage_with_finalizers(tenure_thread *thread, unsigned finalizers, flag *counter)
{
    for (unsigned i = 0; i < finalizers; i++)
        REQUIRE(tenure_finalize(thread, fresh(thread, i), count, counter) == TENURE_OK);
}

/* --- weak references, ephemerons, maps, sets --- */

/* Entries of kept and of dead keys, half and half. */
static void make_map(tenure_thread *thread, tenure_weakmap **map)
{
    *map = tenure_weakmap_new(thread, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    REQUIRE(*map != NULL);
}
static void fill_map(tenure_thread *thread, tenure_weakmap **map)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        node *key = NULL, *value = NULL;
        TENURE_FRAME(thread, key, value);
        value = fresh(thread, i);
        REQUIRE(tenure_weakmap_put(thread, *map, roots.kept[i], value) == TENURE_OK);
        key = fresh(thread, i);
        REQUIRE(tenure_weakmap_put(thread, *map, key, value) == TENURE_OK);
    }
}

static void fill(tenure_thread *thread)
{
    for (unsigned i = 0; i < ENTRIES; i++) roots.kept[i] = fresh(thread, i);
    roots.set = tenure_weakset_new(thread, NULL, NULL, NULL);
    REQUIRE(roots.set != NULL);
    for (unsigned i = 0; i < ENTRIES; i++) REQUIRE(tenure_weakset_put(thread, roots.set, roots.kept[i]) == TENURE_OK);
    make_map(thread, &roots.map);
    fill_map(thread, &roots.map);
    roots.to_kept = tenure_weak_new(thread, roots.kept[0]);
    roots.to_dead = tenure_weak_new(thread, fresh(thread, 1));
    node *key = NULL, *value = NULL;
    TENURE_FRAME(thread, key, value);
    value = fresh(thread, 77);
    roots.of_kept = tenure_ephemeron_new(thread, roots.kept[1], value);
    key = fresh(thread, 2);
    roots.of_dead = tenure_ephemeron_new(thread, key, value);
}

static void check_map(tenure_thread *thread, tenure_weakmap *map)
{
    REQUIRE(tenure_weakmap_count(thread, map) == ENTRIES);
    for (unsigned i = 0; i < ENTRIES; i++)
        REQUIRE(((node *)tenure_weakmap_get(thread, map, roots.kept[i]))->value == i);
}

/* After a collection. */
static void check(tenure_thread *thread)
{
    check_map(thread, roots.map);
    for (unsigned i = 0; i < ENTRIES; i++)
        REQUIRE(tenure_weakset_get(thread, roots.set, roots.kept[i]) == roots.kept[i]);
    REQUIRE(tenure_weak_get(thread, roots.to_kept) == roots.kept[0]);
    tenure_weak *shared = NULL;
    TENURE_FRAME(thread, shared);
    shared = tenure_weak_new(thread, roots.kept[0]);
    REQUIRE(tenure_weak_get(thread, shared) == roots.kept[0]);
    REQUIRE(tenure_weak_new(thread, roots.kept[0]) == shared);
    REQUIRE(tenure_weak_get(thread, roots.to_dead) == NULL);
    REQUIRE(((node *)tenure_ephemeron_value(thread, roots.of_kept))->value == 77);
    REQUIRE(tenure_ephemeron_key(thread, roots.of_dead) == NULL);
}

/* Until the daemon has unlinked what is dead; a child that waits in vain is killed. */
static void await_upkeep(tenure_thread *thread, tenure_weakmap *map)
{
    const tenure__map_body *body = ((tenure__map_record *)map)->body;
    while (atomic_load(&body->nodes) != ENTRIES) {
        tenure__daemon_poke(thread->heap);
        tenure_poll(thread);
        sched_yield();
    }
}

static void renew(tenure_thread *thread)
{
    fill(thread);
    REQUIRE(tenure_collect(thread, TENURE_GEN2) == TENURE_OK);
    check(thread);
    await_upkeep(thread, roots.map);
    check(thread);
    REQUIRE(tenure_verify(thread) == TENURE_OK);
}

static void weak_things_work(void *collected)
{
    if (collected == NULL) REQUIRE(tenure_collect(self, TENURE_GEN0) == TENURE_OK);
    check(self);
    await_upkeep(self, roots.map);
    check(self);
    renew(self);
    tenure_detach(self);
    REQUIRE(tenure_heap_destroy(heap) == TENURE_OK);
}

static void weak_things(bool collected)
{
    for (int i = ROUNDS(10); i > 0; i--) {
        fill(self);
        if (collected) collect(self, TENURE_GEN2);
        in_child(weak_things_work, collected ? &ran : NULL);
        if (!collected) collect(self, TENURE_GEN0);
        check(self);
        await_upkeep(self, roots.map);
    }
}
Test(fork, dead_nodes_wait) { weak_things(true); }
Test(fork, the_child_finds_what_is_dead) { weak_things(false); }

static bool wait_inside(tenure_thread *thread, void *key, void *value, void *arg)
{
    (void)key, (void)value, (void)arg;
    atomic_store(&inside, 1);
    await_polling(thread, &may_return, 1);
    return false;
}

static void *walk(void *arg)
{
    tenure_thread *thread = tenure_attach(arg);
    tenure_weakmap_each(thread, roots.walked, wait_inside, NULL);
    tenure_detach(thread);
    return NULL;
}

static void nobody_walks(void *unused)
{
    (void)unused;
    REQUIRE(tenure_collect(self, TENURE_GEN2) == TENURE_OK);
    check_map(self, roots.walked);
    await_upkeep(self, roots.walked);
    tenure_detach(self);
    REQUIRE(tenure_heap_destroy(heap) == TENURE_OK);
}

/* While a map is walked nothing of it is unlinked: in the child nobody will ever end the walk. */
static void walks_of_others(tenure_generation generation)
{
    fill(self);
    make_map(self, &roots.walked);
    if (generation != TENURE_GEN0) collect(self, generation);
    fill_map(self, &roots.walked);
    const pthread_t thread = start_thread(walk, heap);
    await_polling(self, &inside, 1);
    in_child(nobody_walks, NULL);
    atomic_store(&may_return, 1);
    join_blocked(self, thread);
}
Test(fork, a_walk_of_another_thread) { walks_of_others(TENURE_GEN0); }
Test(fork, a_walk_over_an_old_map) { walks_of_others(TENURE_GEN2); }

static unsigned visited;
static bool fork_inside(tenure_thread *thread, void *key, void *value, void *arg)
{
    (void)key, (void)value, (void)thread;
    if (visited++ != 20) return true;
    const pid_t child = fork();
    REQUIRE(child >= 0);
    *(pid_t *)arg = child;
    if (child != 0) return true;
    alarm(CHILD_SECONDS);
    if (SANITIZED) _exit(0);
    REQUIRE(tenure_collect(self, TENURE_GEN2) == TENURE_OK);
    /* Not yet: this walk goes on. */
    tenure__map_body *body = ((tenure__map_record *)roots.walked)->body;
    REQUIRE(atomic_load(&body->walks[0]) + atomic_load(&body->walks[1]) == 1);
    return true;
}

Test(fork, within_a_walk)
{
    fill(self);
    make_map(self, &roots.walked);
    fill_map(self, &roots.walked);
    pid_t child = -1;
    tenure_weakmap_each(self, roots.walked, fork_inside, &child);
    if (child == 0) {
        nobody_walks(NULL);
        _exit(0);
    }
    require_success(child);
    collect(self, TENURE_GEN0);
    await_upkeep(self, roots.walked);
}

/* --- finalizers --- */

static void hold_up(tenure_thread *thread, void *object, void *arg)
{
    (void)object, (void)arg;
    atomic_store(&inside, 1);
    await_polling(thread, &may_return, 1);
    atomic_fetch_add(&ran_before, 1);
}

static void drain(void) { REQUIRE(tenure_finalizers_drain(self, 100000000000) == TENURE_OK); }

static void runs_what_was_due(void *unused)
{
    (void)unused;
    drain();
    REQUIRE(atomic_load(&ran) == 20);
    REQUIRE(atomic_load(&ran_before) == 0); /* the parent is in the middle of it */
    REQUIRE(stats_of(heap).finalizers_pending == 0);
    make_garbage_with_finalizers(self, 30, &ran);
    REQUIRE(tenure_collect(self, TENURE_GEN0) == TENURE_OK);
    drain();
    REQUIRE(atomic_load(&ran) == 50);
    REQUIRE(tenure_cleaner_new(self, roots.kept[0], clean, &ran) != NULL);
    make_garbage_with_finalizers(self, 5, &ran);
    memset(&roots, 0, sizeof roots);
    tenure_detach(self);
    REQUIRE(tenure_heap_destroy(heap) == TENURE_OK);
    REQUIRE(atomic_load(&ran) == 50 + 1 + 5 + 1);
}

static void due_at_the_fork(void)
{
    fill(self);
    REQUIRE(tenure_finalize(self, fresh(self, 0), hold_up, NULL) == TENURE_OK);
    collect(self, TENURE_GEN1);
    await_polling(self, &inside, 1); /* on the finalizer thread; what is due after it waits */
    make_garbage_with_finalizers(self, 10, &ran);
    for (unsigned i = 0; i < 10; i++) REQUIRE(tenure_cleaner_new(self, fresh(self, i), clean, &ran) != NULL);
    collect(self, TENURE_GEN1);
    REQUIRE(tenure_cleaner_new(self, roots.kept[0], clean, &ran) != NULL);
    cr_expect(eq(u64, stats_of(heap).finalizers_pending, 21));
    for (unsigned i = 0; i < 3; i++) in_child(runs_what_was_due, NULL);
    cr_expect(eq(int, atomic_load(&ran), 0));
    atomic_store(&may_return, 1);
    drain();
    cr_expect(eq(int, atomic_load(&ran), 20));
    cr_expect(eq(int, atomic_load(&ran_before), 1));
}
Test(fork, finalizers_due) { due_at_the_fork(); }

static void pumps(void *unused)
{
    (void)unused;
    REQUIRE(tenure_finalizers_pump(self, SIZE_MAX) == 10);
    make_garbage_with_finalizers(self, 30, &ran);
    REQUIRE(tenure_collect(self, TENURE_GEN0) == TENURE_OK);
    drain();
    REQUIRE(atomic_load(&ran) == 40);
}

Test(fork, finalizers_pumped)
{
    end();
    begin_with("max_heap=128m,gen0=1m,verify=after", TENURE_PUMP);
    make_garbage_with_finalizers(self, 10, &ran);
    collect(self, TENURE_GEN0);
    in_child(pumps, NULL);
    pumps(NULL);
}

/* In the child of a finalizer this thread goes on as the finalizer thread, and ends with the tenth. */
static atomic_int children;
static void count_and_leave(tenure_thread *thread, void *object, void *arg)
{
    (void)thread, (void)object, (void)arg;
    if (atomic_fetch_add(&ran, 1) == 9) _exit(0);
}
static void fork_and_return(tenure_thread *thread, void *object, void *arg)
{
    (void)object, (void)arg;
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child != 0) {
        require_success(child);
        atomic_fetch_add(&children, 1);
        return;
    }
    alarm(CHILD_SECONDS);
    if (SANITIZED) _exit(0);
    REQUIRE(tenure_finalizers_drain(thread, 1) == TENURE_EDEADLK);
    renew(thread);
    for (unsigned i = 0; i < 10; i++)
        REQUIRE(tenure_finalize(thread, fresh(thread, i), count_and_leave, NULL) == TENURE_OK);
    REQUIRE(tenure_collect(thread, TENURE_GEN0) == TENURE_OK);
    REQUIRE(stats_of(heap).finalizers_pending == 11); /* it is one of them */
}
Test(fork, from_a_finalizer)
{
    fill(self);
    REQUIRE(tenure_finalize(self, fresh(self, 0), fork_and_return, NULL) == TENURE_OK);
    collect(self, TENURE_GEN1);
    drain();
    cr_expect(eq(int, atomic_load(&children), 1));
}

/* --- under load --- */

static void churn_attached(tenure_thread *thread)
{
    tenure_weakmap *map = NULL;
    node *key = NULL, *value = NULL;
    TENURE_FRAME(thread, map, key, value);
    map = tenure_weakmap_new(thread, TENURE_WEAK_VALUES, NULL, NULL, NULL);
    while (!atomic_load(&stop)) {
        make_garbage_with_finalizers(thread, 20, &ran_before);
        for (unsigned i = 0; i < 200; i++) {
            key = fresh(thread, i);
            REQUIRE(tenure_weak_new(thread, key) != NULL && tenure_weak_new(thread, key) != NULL);
            REQUIRE(tenure_finalize(thread, key, count, &ran_before) == TENURE_OK);
            REQUIRE(tenure_finalize(thread, key, count, &ran_before) == TENURE_OK); /* the table's */
            REQUIRE(tenure_finalize_cancel(thread, key));
            REQUIRE(tenure_cleaner_new(thread, key, clean, &ran_before) != NULL);
            REQUIRE(tenure_ephemeron_new(thread, key, key) != NULL);
            value = fresh(thread, i);
            REQUIRE(tenure_weakmap_put(thread, map, key, value) == TENURE_OK);
        }
        REQUIRE(tenure_collect(thread, TENURE_GEN0) == TENURE_OK);
    }
}
static void *churn(void *arg)
{
    tenure_thread *thread = tenure_attach(arg);
    churn_attached(thread);
    tenure_detach(thread);
    return NULL;
}

static void works_beside_load(void *unused)
{
    (void)unused;
    check(self);
    renew(self);
    const int before = atomic_load(&ran);
    make_garbage_with_finalizers(self, 30, &ran);
    REQUIRE(tenure_collect(self, TENURE_GEN2) == TENURE_OK);
    drain();
    REQUIRE(atomic_load(&ran) == before + 30);
    tenure_detach(self);
    REQUIRE(tenure_heap_destroy(heap) == TENURE_OK);
}

/* Not under the emulator: see threads/test_fork.c. */
Test(fork, under_load, .disabled = EMULATED)
{
    fill(self);
    collect(self, TENURE_GEN2);
    const pthread_t threads[2] = { start_thread(churn, heap), start_thread(churn, heap) };
    for (int i = ROUNDS(30); i > 0; i--) {
        in_child(works_beside_load, NULL);
        tenure_poll(self);
        check(self);
    }
    atomic_store(&stop, 1);
    for (unsigned i = 0; i < 2; i++) join_blocked(self, threads[i]);
    drain();
    collect(self, TENURE_GEN2);
    drain();
    check(self);
}

/* --- memory --- */

/* A thread that gives memory back, as the daemon does, is held up when the system has it and no list knows. */
static _Thread_local unsigned locks_left;
static flag given, goes_on;
void __real_tenure__lock_stop(tenure__world *world);
void __wrap_tenure__lock_stop(tenure__world *world);
void __wrap_tenure__lock_stop(tenure__world *world)
{
    if (locks_left != 0 && --locks_left == 0) {
        atomic_store(&given, 1);
        while (!atomic_load(&goes_on)) sched_yield();
    }
    __real_tenure__lock_stop(world);
}
static void *give_back_late(void *arg)
{
    locks_left = 2;
    tenure__arena_return(arg, UINT32_MAX);
    return NULL;
}

static void finds_all_accounted(void *unused)
{
    (void)unused;
    REQUIRE(tenure_verify(self) == TENURE_OK);
    REQUIRE(tenure_new_bytes(self, 3 << 20) != NULL);
    REQUIRE(tenure_verify(self) == TENURE_OK);
}

Test(fork, while_memory_is_given_back)
{
    end();
    begin_with("max_heap=128m,return_delay=3600s", TENURE_THREAD);
    cr_assert(tenure_new_bytes(self, 3 << 20) != NULL);
    collect(self, TENURE_GEN2);
    const pthread_t thread = start_thread(give_back_late, heap);
    while (!atomic_load(&given)) sched_yield();
    in_child(finds_all_accounted, NULL);
    atomic_store(&goes_on, 1);
    join_blocked(self, thread);
    finds_all_accounted(NULL);
}
