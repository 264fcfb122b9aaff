/* Calls to the system that fail (option fault): an error or NULL, everything alive and verified, nothing left behind,
 * no hang. Every test fails each of the calls in turn, until nothing is left that could. */
#include "tests/threads/threads.h"
#include "threads/system.h"
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif
#include <errno.h>
#include <malloc.h>
#include <pthread.h>

static void fail_nth(uint64_t nth) { tenure__faults_set(&(tenure_faults) { .on = true, .nth = nth }); }

/* --- what a process has --- */

typedef struct possessions {
    unsigned maps, threads;
    size_t mapped, allocated;
} possessions;

static unsigned number_in(const char *path, const char *format)
{
    char line[256];
    unsigned lines = 0, number = 0;
    FILE *file = fopen(path, "r");
    cr_assert(file != NULL);
    for (; fgets(line, sizeof line, file) != NULL; lines++)
        if (format != NULL) sscanf(line, format, &number);
    fclose(file);
    return format != NULL ? number : lines;
}

static possessions possessions_now(void)
{
    return (possessions) { number_in("/proc/self/maps", NULL), number_in("/proc/self/status", "Threads: %u"),
        number_in("/proc/self/statm", "%u") * (size_t)4096, mallinfo2().uordblks };
}

static void expect_nothing_more(possessions before)
{
    if (EMULATED) return; /* what the process has is the emulator's */
    const possessions now = possessions_now();
    cr_expect(eq(u32, now.threads, before.threads));
    if (SANITIZED) return; /* address space and malloc are the sanitizer's too */
    cr_expect(le(u32, now.maps, before.maps + 8));
    cr_expect(lt(sz, now.mapped, before.mapped + (16u << 20)));
    /* What malloc's caches hold, one for each thread, counts as allocated; CTest turns them off. */
    const size_t caches = getenv("GLIBC_TUNABLES") != NULL ? 512 : 16384;
    cr_expect(lt(sz, now.allocated, before.allocated + caches), "%zu bytes more", now.allocated - before.allocated);
}

/* --- creation --- */

/* Fails each of the calls of one heap's creation. */
static unsigned create_each(const tenure_options *wanted)
{
    unsigned refused = 0;
    for (uint64_t nth = 1;; nth++) {
        tenure_options options = *wanted;
        options.fault = (tenure_faults) { .on = true, .nth = nth };
        tenure_heap *heap = (tenure_heap *)&options;
        errno = 0;
        const tenure_status status = tenure_heap_create(&heap, &options);
        if (status != TENURE_OK) {
            cr_assert(status == TENURE_ENOMEM || (status == TENURE_ESYSTEM && errno == EAGAIN), "%d", (int)status);
            cr_assert(heap == NULL);
            refused++;
            continue;
        }
        const bool failed = tenure__faults_failed() != 0;
        cr_assert(eq(int, tenure_heap_destroy(heap), TENURE_OK));
        if (!failed) return refused;
    }
}

Test(faults, heap_creation)
{
    tenure_options options = options_with("max_heap=64m,workers=2,log=gc,debug=leak", TENURE_ROOTS_CONSERVATIVE);
    be_quiet();
    create_each(&options);
    const possessions before = possessions_now();
    /* Often: what is left behind, of however few bytes, adds up. */
    for (unsigned i = 0; i < 30; i++) cr_assert(ge(u32, create_each(&options), 8));
    expect_nothing_more(before);
    options = options_with("max_heap=64m,fault=mmap:1", TENURE_ROOTS_CONSERVATIVE);
    tenure_heap *heap;
    cr_expect(eq(int, tenure_heap_create(&heap, &options), TENURE_ENOMEM));
    options = options_with("max_heap=64m,fault=thread:1", TENURE_ROOTS_CONSERVATIVE);
    cr_expect(eq(int, tenure_heap_create(&heap, &options), TENURE_ESYSTEM));
    options = options_with("max_heap=64m,fault=madvise:1,seed:3", TENURE_ROOTS_CONSERVATIVE);
    cr_expect(eq(int, tenure_heap_create(&heap, &options), TENURE_OK));
    cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK));
}

/* --- calls --- */

static node *volatile kept_chain;
enum { KEPT = 500, EACH = 300 };

static struct {
    void *slots[EACH], *precise[EACH], *ambiguous[EACH];
    void *handles[EACH];
} many;
static unsigned next_slot[3];

typedef bool attempt(tenure_thread *self); /* false: it failed */

static bool try_slot(tenure_thread *self)
{
    return tenure_root_add(self->heap, &many.slots[next_slot[0]++]) == TENURE_OK;
}
static bool try_precise(tenure_thread *self)
{
    return tenure_root_range_add(self->heap, &many.precise[next_slot[1]++], sizeof(void *), TENURE_PRECISE) ==
           TENURE_OK;
}
static bool try_ambiguous(tenure_thread *self)
{
    return tenure_root_range_add(self->heap, &many.ambiguous[next_slot[2]++], sizeof(void *), TENURE_AMBIGUOUS) ==
           TENURE_OK;
}
static void no_roots(tenure_visitor *visitor, void *arg) { (void)visitor, (void)arg; }
static bool try_callback(tenure_thread *self)
{
    return tenure_root_callback_add(self->heap, no_roots, NULL) == TENURE_OK;
}
static bool try_program(tenure_thread *self) { return tenure_root_program(self->heap) == TENURE_OK; }
static bool try_handle(tenure_thread *self) { return tenure_handle_new(self, kept_chain) != NULL; }
static bool try_stack(tenure_thread *self)
{
    tenure_stack *stack = tenure_stack_add(self->heap, &many.slots[0], &many.slots[8], NULL, 0);
    if (stack != NULL) tenure_stack_remove(self->heap, stack);
    return stack != NULL;
}
static bool try_type(tenure_thread *self)
{
    const size_t reference = 8;
    const tenure_type_spec spec = {
        .name = "made", .size = 16, .align = 8, .references = &reference, .reference_count = 1
    };
    const tenure_type *type = tenure_type_create(&spec);
    return type != NULL && tenure_alloc(self, type, 0) != NULL;
}
static bool try_array(tenure_thread *self)
{
    const size_t reference = 8;
    const tenure_type_spec spec = {
        .name = "element", .size = 16, .align = 8, .references = &reference, .reference_count = 1
    };
    const tenure_type *type = tenure_type_create(&spec);
    return type != NULL && tenure__new_array(self, type, 3) != NULL;
}
static bool try_weak(tenure_thread *self)
{
    void *target = tenure_new_bytes(self, 24);
    if (target == NULL) return false;
    tenure_weak *first = tenure_weak_new(self, target), *second = tenure_weak_new(self, target);
    return first != NULL && second != NULL && tenure_weak_get(self, first) == target;
}
static void finalizer(tenure_thread *self, void *object, void *arg) { (void)self, (void)object, (void)arg; }
static bool try_finalizer(tenure_thread *self)
{
    void *target = tenure_new_bytes(self, 24);
    return target != NULL && tenure_finalize(self, target, finalizer, NULL) == TENURE_OK &&
           tenure_finalize(self, target, finalizer, NULL) == TENURE_OK;
}
static void cleaner(tenure_thread *self, void *arg) { (void)self, (void)arg; }
static bool try_cleaner(tenure_thread *self)
{
    void *target = tenure_new_bytes(self, 24);
    return target != NULL && tenure_cleaner_new(self, target, cleaner, NULL) != NULL;
}
static bool try_map(tenure_thread *self)
{
    tenure_weakmap *map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    if (map == NULL || tenure_weakmap_put(self, map, kept_chain, kept_chain) != TENURE_OK) return false;
    return tenure_weakmap_get(self, map, kept_chain) == kept_chain;
}
static bool try_ephemeron(tenure_thread *self) { return tenure_ephemeron_new(self, kept_chain, kept_chain) != NULL; }
static void listener(const tenure_event *event, void *arg) { (void)event, (void)arg; }
static bool try_listener(tenure_thread *self)
{
    if (tenure_listen(self->heap, listener, NULL) != TENURE_OK) return false;
    tenure_unlisten(self->heap, listener, NULL);
    return true;
}
static void *thread(tenure_thread *self, void *object)
{
    cr_assert(eq(ptr, object, kept_chain));
    tenure_new_bytes(self, 100);
    return NULL;
}
static bool try_thread(tenure_thread *self)
{
    pthread_t created;
    if (tenure_thread_create(self, &created, NULL, thread, kept_chain) != TENURE_OK) return false;
    cr_assert(eq(int, tenure_join(self, created, NULL), 0));
    return true;
}
static bool each_object(tenure_thread *self, void *object, void *arg)
{
    (void)self, (void)object, (void)arg;
    return true;
}
static bool each_step(tenure_thread *self, const tenure_path_step *step, void *arg)
{
    (void)self, (void)step, (void)arg;
    return true;
}
static bool try_objects(tenure_thread *self) { return tenure_each_object(self, -1, each_object, NULL) == TENURE_OK; }
static bool try_referrers(tenure_thread *self)
{
    return tenure_referrers(self, kept_chain, each_object, NULL) == TENURE_OK;
}
static bool try_snapshot(tenure_thread *self) { return tenure_snapshot(self, "/dev/null") == TENURE_OK; }
static bool try_path(tenure_thread *self) { return tenure_path(self, kept_chain, each_step, NULL) == TENURE_OK; }
static bool try_census(tenure_thread *self)
{
    FILE *null = fopen("/dev/null", "w");
    const bool done = tenure_census(self, null) == TENURE_OK;
    fclose(null);
    return done;
}
static bool try_large(tenure_thread *self)
{
    unsigned char *bytes = tenure_new_bytes(self, 3 << 20);
    for (size_t i = 0; bytes != NULL && i < 3 << 20; i += 1000) cr_assert(eq(int, bytes[i], 0));
    if (bytes != NULL) memset(bytes, 0xff, 3 << 20);
    return bytes != NULL;
}
static bool try_small(tenure_thread *self)
{
    bool done = true;
    for (unsigned i = 0; i < 2000; i++) done &= tenure_new_bytes(self, 2000) != NULL;
    return done;
}
static bool try_attach(tenure_thread *self)
{
    const tenure_options options = options_with("max_heap=16m", TENURE_ROOTS_CONSERVATIVE);
    tenure_heap *other;
    if (tenure_heap_create(&other, &options) != TENURE_OK) return false;
    tenure_thread *there = tenure_attach(other);
    if (there != NULL) tenure_detach(there);
    cr_assert(eq(int, tenure_heap_destroy(other), TENURE_OK));
    return there != NULL && self != NULL;
}
static bool try_locks(tenure_thread *self)
{
    enum { LOCKS = SHADOWED ? 60 : 100 }; /* ThreadSanitizer gives up at the 64th that a thread holds */
    static tenure_mutex locks[LOCKS];
    unsigned held = 0;
    bool done = true;
    for (unsigned i = 0; i < LOCKS; i++) done &= tenure_mutex_init(&locks[i], "many") == TENURE_OK;
    while (held < LOCKS && tenure_mutex_lock(self, &locks[held]) == TENURE_OK) held++;
    done &= held == LOCKS;
    while (held > 0) tenure_mutex_unlock(self, &locks[--held]);
    for (unsigned i = 0; i < LOCKS; i++) tenure_mutex_destroy(&locks[i]);
    return done;
}

/* Every call that the attempt makes fails once. */
static void each_fails(tenure_thread *self, attempt *try, const char *name)
{
    for (uint64_t nth = 1;; nth++) {
        fail_nth(nth);
        const bool done = try(self);
        const bool failed = tenure__faults_failed() != 0;
        tenure__faults_set(NULL);
        cr_assert(done || failed, "%s fails without a fault", name);
        check_chain(kept_chain, KEPT, 1);
        verify(self);
        if (!failed) return;
    }
}

static const struct {
    attempt *try;
    unsigned times; /* so that the tables grow */
    const char *name;
} attempts[] = { { try_slot, 100, "slot" }, { try_precise, 100, "precise" }, { try_ambiguous, 100, "ambiguous" },
    { try_callback, 40, "callback" }, { try_program, 1, "program" }, { try_handle, 300, "handle" },
    { try_stack, 1, "stack" }, { try_type, 100, "type" }, { try_array, 100, "array" }, { try_weak, 100, "weak" },
    { try_finalizer, 100, "finalizer" }, { try_cleaner, 10, "cleaner" }, { try_map, 10, "map" },
    { try_ephemeron, 200, "ephemeron" }, { try_listener, 3, "listener" }, { try_thread, 3, "thread" },
    { try_objects, 1, "objects" }, { try_referrers, 1, "referrers" }, { try_snapshot, 1, "snapshot" },
    { try_path, 1, "path" }, { try_census, 1, "census" }, { try_large, 20, "large" }, { try_small, 5, "small" },
    { try_locks, 1, "locks" }, { try_attach, 1, "attach" } };

static tenure_heap *heap_that_keeps(const char *words)
{
    tenure_heap *heap = heap_with(words);
    memset(next_slot, 0, sizeof next_slot);
    kept_chain = NULL;
    cr_assert(eq(int, tenure_root_add(heap, (void *)&kept_chain), TENURE_OK));
    return heap;
}

Test(faults, every_call)
{
    for (unsigned i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        tenure_heap *heap = heap_that_keeps("max_heap=32m,workers=2,verify=before,after,destroy_wait=10s");
        tenure_thread *self = tenure_attach(heap);
        kept_chain = make_chain(self, KEPT, 1);
        for (unsigned time = 0; time < attempts[i].times; time++) each_fails(self, attempts[i].try, attempts[i].name);
        collect(self, TENURE_GEN2);
        check_chain(kept_chain, KEPT, 1);
        heap_end(heap, self);
    }
}

/* One life of a heap with everything in it, in which one call fails. False: none was left to fail. */
static bool live(uint64_t nth)
{
    tenure_heap *heap = heap_that_keeps("max_heap=32m,workers=2,return_delay=0,destroy_wait=10s");
    fail_nth(nth);
    tenure_thread *self = tenure_attach(heap);
    if (self != NULL) {
        kept_chain = tenure_new(self, node_type);
        for (unsigned i = 0; kept_chain != NULL && i < sizeof attempts / sizeof attempts[0]; i++) {
            attempt *try = attempts[i].try;
            if (try != try_type && try != try_array && try != try_attach) try(self); /* types stay for ever */
        }
        collect(self, TENURE_GEN2);
        verify(self);
        tenure_detach(self);
    }
    cr_assert(eq(int, tenure_heap_destroy(heap), TENURE_OK));
    const bool failed = tenure__faults_failed() != 0;
    tenure__faults_set(NULL);
    return failed;
}

/* Under ThreadSanitizer a life takes 3 s of processor time, a hundred times as long as without: its data are roots. */
#ifdef __SANITIZE_THREAD__
enum { EVERY = 29, AGAIN = 10 };
#else
enum { EVERY = 1, AGAIN = 100 };
#endif

Test(faults, leave_nothing_behind)
{
    uint64_t nth = 1;
    while (live(nth)) nth += EVERY;
    const possessions before = possessions_now();
    cr_expect(lt(u64, 20, nth));
    for (unsigned i = 0; i < AGAIN; i++) live(i * EVERY % nth);
    expect_nothing_more(before);
#ifdef __SANITIZE_ADDRESS__
    cr_expect(eq(int, __lsan_do_recoverable_leak_check(), 0));
#endif
}

/* --- under load --- */

enum { THREADS = 4, ROUNDS = 60 };

static void *worker(void *arg)
{
    tenure_heap *heap = arg;
    uint64_t random = (uintptr_t)&random;
    for (unsigned round = 0; round < ROUNDS; round++) {
        tenure_thread *self = tenure_attach(heap);
        if (self == NULL) continue;
        node *first = NULL;
        unsigned made = 0;
        for (; made < 200; made++) {
            node *fresh = tenure_new(self, node_type);
            if (fresh == NULL) break;
            fresh->value = 7 + made;
            TENURE_SET(self, fresh, next, first);
            first = fresh;
            if (next_random(&random) % 16 == 0) try_weak(self);
            if (next_random(&random) % 64 == 0) try_large(self);
            if (next_random(&random) % 64 == 0) try_map(self);
            if (next_random(&random) % 64 == 0) try_ephemeron(self);
            if (next_random(&random) % 64 == 0) try_finalizer(self);
            if (next_random(&random) % 128 == 0) try_thread(self);
            if (next_random(&random) % 512 == 0) tenure_collect(self, TENURE_GEN2);
        }
        check_chain(first, made, 7);
        tenure_detach(self);
    }
    return NULL;
}

Test(faults, at_random_under_load)
{
    tenure_heap *heap = heap_that_keeps("max_heap=32m,gen0=512k,workers=2,return_delay=0,verify=before,after,"
                                        "torture=nospace,destroy_wait=10s");
    tenure_thread *self = tenure_attach(heap);
    kept_chain = make_chain(self, KEPT, 1);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        const tenure_options options =
            options_with("fault=mmap:0.05,madvise:0.1,mprotect:0.2,malloc:0.1,thread:0.1", TENURE_ROOTS_CONSERVATIVE);
        tenure_faults faults = options.fault;
        faults.seed = seed;
        tenure__faults_set(&faults);
        pthread_t threads[THREADS];
        for (unsigned i = 0; i < THREADS; i++) cr_assert(eq(int, pthread_create(&threads[i], NULL, worker, heap), 0));
        for (unsigned i = 0; i < THREADS; i++) tenure_join(self, threads[i], NULL);
        cr_expect(lt(u64, 50, tenure__faults_failed()));
        tenure__faults_set(NULL);
        collect(self, TENURE_GEN2);
        check_chain(kept_chain, KEPT, 1);
        verify(self);
    }
    heap_end(heap, self);
}

/* Memory that the system did not take back is not taken for zeroed. */
Test(faults, memory_that_stays)
{
    tenure_heap *heap = precise_heap_with("max_heap=32m,return_delay=0,fault=madvise:1");
    tenure_thread *self = tenure_attach(heap);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 5; i++) cr_assert(try_large(self));
        collect(self, TENURE_GEN2);
        const uint64_t calls = tenure__faults_calls();
        while (tenure__faults_calls() < calls + 2) sched_yield(); /* the daemon tries to give it back */
    }
    cr_expect(eq(u64, stats_of(heap).returned_bytes, 0));
    heap_end(heap, self);
}

/* The same seed, the same faults. */
Test(faults, follow_from_the_seed)
{
    enum { CALLS = 10000 };
    static bool seen[3][CALLS];
    for (unsigned run = 0; run < 3; run++) {
        tenure__faults_set(&(tenure_faults) { .on = true, .memory = 20000, .seed = run == 2 });
        for (unsigned i = 0; i < CALLS; i++) {
            void *memory = tenure__malloc(1);
            seen[run][i] = memory == NULL;
            free(memory);
        }
        cr_expect(lt(u64, 150, tenure__faults_failed()), "a fiftieth of %d", CALLS);
        cr_expect(lt(u64, tenure__faults_failed(), 250));
        cr_expect(eq(u64, tenure__faults_calls(), CALLS));
    }
    cr_expect(eq(int, memcmp(seen[0], seen[1], sizeof seen[0]), 0));
    cr_expect(ne(int, memcmp(seen[0], seen[2], sizeof seen[0]), 0));
}

/* --- what is tried again --- */

enum { ALWAYS = 1000000 };

Test(faults, enter_from_a_region)
{
    tenure_heap *first = heap_with("max_heap=64m"), *second = heap_with("max_heap=64m");
    tenure_thread *self = tenure_attach(first);
    tenure_enter_blocking(self);
    tenure__faults_set(&(tenure_faults) { .on = true, .memory = ALWAYS });
    errno = 0;
    cr_expect(tenure_enter(second) == NULL);
    cr_expect(eq(int, errno, ENOMEM));
    tenure__faults_set(NULL);
    cr_expect(eq(u32, mode_of(self), TENURE__BLOCKED), "it is in its region again");
    tenure_thread *other = tenure_enter(second);
    cr_assert(other != NULL);
    cr_expect(eq(u32, mode_of(self), TENURE__RUNNING));
    cr_expect(tenure_new_bytes(other, 100) != NULL);
    tenure_leave(other);
    cr_expect(eq(u32, mode_of(self), TENURE__BLOCKED));
    tenure_leave_blocking(self);
    cr_expect(tenure_new_bytes(self, 100) != NULL);
    tenure_detach(self);
    cr_expect(eq(int, tenure_heap_destroy(second), TENURE_OK));
    cr_expect(eq(int, tenure_heap_destroy(first), TENURE_OK));
}

/* liburcu's thread for callbacks is started when the first record is to be freed; without one liburcu would end the
 * process. */
Test(faults, first_detach)
{
    tenure_heap *first = heap_with("max_heap=64m"), *second = heap_with("max_heap=64m");
    tenure_thread *one = tenure_attach(first), *two = tenure_attach(second);
    tenure__faults_set(&(tenure_faults) { .on = true, .thread = ALWAYS });
    tenure_detach(one);
    cr_expect(ne(u64, tenure__faults_failed(), 0));
    cr_expect(eq(int, tenure_heap_destroy(first), TENURE_OK), "there is none");
    tenure_detach(two);
    tenure__faults_set(NULL);
    two = tenure_attach(second);
    tenure_detach(two);
    cr_expect(eq(int, tenure_heap_destroy(second), TENURE_OK), "there is one by now");
}

static void count_run(tenure_thread *self, void *object, void *count)
{
    (void)self, (void)object;
    atomic_fetch_add((flag *)count, 1);
}

/* The thread that runs finalizers is started at first need. */
Test(faults, finalizer_thread_is_started_later)
{
    static flag ran;
    tenure_heap *heap = precise_heap_with("max_heap=64m");
    tenure_thread *self = tenure_attach(heap);
    node *object = tenure_new(self, node_type);
    cr_assert(eq(int, tenure_finalize(self, object, count_run, &ran), TENURE_OK));
    tenure__faults_set(&(tenure_faults) { .on = true, .thread = ALWAYS });
    collect(self, TENURE_GEN0);
    for (; tenure__faults_failed() == 0; sched_yield()) tenure_poll(self);
    cr_expect(eq(int, atomic_load(&ran), 0));
    tenure__faults_set(NULL);
    cr_expect(eq(int, tenure_finalizers_drain(self, UINT64_MAX), TENURE_OK));
    cr_expect(eq(int, atomic_load(&ran), 1));
    heap_end(heap, self);
}
