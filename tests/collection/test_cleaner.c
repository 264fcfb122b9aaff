/* Cleaners: after the object is gone, without it, once; no descriptor is lost. */
#include "tests/threads/threads.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

typedef struct file {
    int fd;
    struct file *other;
} file;
TENURE_TYPE(file_type, file, other);

static tenure_heap *heap;
static tenure_thread *self;

static void begin_options(tenure_options options)
{
    heap = heap_of(&options);
    self = tenure_attach(heap);
}
static void begin_with(const char *words) { begin_options(options_with(words, TENURE_ROOTS_PRECISE)); }
static void restart(const char *words)
{
    heap_end(heap, self);
    begin_with(words);
}
static void begin(void) { begin_with("max_heap=256m,verify=before,after"); }
static void end(void) { heap_end(heap, self); }

TestSuite(cleaner, .init = begin, .fini = end);

static void drain(void) { cr_assert(eq(int, tenure_finalizers_drain(self, UINT64_MAX), TENURE_OK)); }

static unsigned open_descriptors(void)
{
    DIR *all = opendir("/proc/self/fd");
    cr_assert(all != NULL);
    unsigned many = 0;
    while (readdir(all) != NULL) many++;
    closedir(all);
    return many - 3; /* ".", "..", its own */
}

static atomic_uint closed;
static void close_file(tenure_thread *thread, void *arg)
{
    (void)thread;
    REQUIRE(close((int)(intptr_t)arg) == 0);
    atomic_fetch_add(&closed, 1);
}

static file *open_file(tenure_thread *thread)
{
    const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0) return NULL;
    file *made = tenure_new(thread, file_type);
    TENURE_FRAME(thread, made);
    REQUIRE(made != NULL);
    made->fd = fd;
    REQUIRE(tenure_cleaner_new(thread, made, close_file, (void *)(intptr_t)fd) != NULL);
    return made;
}

/* --- one --- */

Test(cleaner, runs_when_the_object_is_gone)
{
    TENURE_LOCALS(self, l, file * object;);
    for (int age = 0; age < 3; age++) {
        const unsigned before = open_descriptors();
        l.object = open_file(self);
        for (int i = 0; i < age; i++) collect(self, (tenure_generation)i);
        drain();
        cr_assert(eq(u32, open_descriptors(), before + 1));
        const int generation = generation_of(heap, l.object);
        l.object = NULL;
        collect(self, (tenure_generation)generation);
        drain();
        cr_assert(eq(u32, open_descriptors(), before));
    }
}

static void note(tenure_thread *thread, void *arg)
{
    (void)thread;
    atomic_fetch_add((atomic_uint *)arg, 1);
}

Test(cleaner, by_hand)
{
    TENURE_LOCALS(self, l, file * object; tenure_cleaner * cleaner;);
    atomic_uint ran = 0;
    l.object = tenure_new(self, file_type);
    l.cleaner = tenure_cleaner_new(self, l.object, note, &ran);
    collect(self, TENURE_GEN1);
    cr_expect(eq(int, tenure_cleaner_run(self, l.cleaner), true));
    cr_expect(eq(int, tenure_cleaner_run(self, l.cleaner), false));
    cr_expect(eq(int, tenure_cleaner_cancel(self, l.cleaner), false));
    l.object = NULL;
    for (int i = 0; i < 3; i++) collect(self, (tenure_generation)i);
    drain();
    cr_expect(eq(u32, ran, 1u));

    l.object = tenure_new(self, file_type);
    l.cleaner = tenure_cleaner_new(self, l.object, note, &ran);
    cr_expect(eq(int, tenure_cleaner_cancel(self, l.cleaner), true));
    cr_expect(eq(int, tenure_cleaner_run(self, l.cleaner), false));
    l.object = NULL;
    for (int i = 0; i < 3; i++) collect(self, (tenure_generation)i);
    drain();
    cr_expect(eq(u32, ran, 1u));
}

/* Held by the program as well while it is due and after it ran. */
Test(cleaner, held)
{
    TENURE_LOCALS(self, l, file * object; tenure_cleaner * cleaner;);
    atomic_uint ran = 0;
    for (int i = 0; i < 6; i++) {
        l.object = tenure_new(self, file_type);
        l.cleaner = tenure_cleaner_new(self, l.object, note, &ran);
        l.object = NULL;
        collect(self, (tenure_generation)(i % 3));
        drain();
        cr_expect(eq(u32, ran, (unsigned)i + 1));
        cr_expect(eq(int, tenure_cleaner_run(self, l.cleaner), false));
        collect(self, (tenure_generation)(i % 3));
    }
}

/* --- with a finalizer: after it, and only if it did not bring the object back --- */

static file *back;
static bool bring_back;
static void maybe_resurrect(tenure_thread *thread, void *object, void *arg)
{
    (void)thread;
    (void)arg;
    if (bring_back) back = object;
}

Test(cleaner, after_the_finalizer)
{
    TENURE_LOCALS(self, l, file * object;);
    atomic_uint ran = 0;
    cr_assert(eq(int, tenure_root_add(heap, &back), TENURE_OK));
    bring_back = true;
    l.object = tenure_new(self, file_type);
    cr_assert(eq(int, tenure_finalize(self, l.object, maybe_resurrect, NULL), TENURE_OK));
    cr_assert(tenure_cleaner_new(self, l.object, note, &ran) != NULL);
    l.object = NULL;
    collect(self, TENURE_GEN2);
    drain();
    cr_assert(back != NULL);
    for (int i = 0; i < 3; i++) collect(self, (tenure_generation)i);
    drain();
    cr_assert(eq(u32, ran, 0u));
    back = NULL;
    collect(self, TENURE_GEN2);
    drain();
    cr_assert(eq(u32, ran, 1u));
    tenure_root_remove(heap, &back);
}

/* --- descriptors --- */

/* Dropped by the dozen, in all generations. */
static void drop_many(unsigned many, unsigned hold)
{
    TENURE_LOCALS(self, l, file * *held; file * object;);
    l.held = TENURE_NEW_REFS(self, file, hold);
    uint64_t seed = 1;
    for (unsigned i = 0; i < many; i++) {
        while ((l.object = open_file(self)) == NULL) { /* what a program does on EMFILE */
            cr_assert(eq(int, errno, EMFILE));
            collect(self, TENURE_GEN2);
            drain();
        }
        TENURE_SET_AT(self, l.held, next_random(&seed) % hold, l.object);
        if (i % 1024 == 0) collect(self, (tenure_generation)(i / 1024 % 3));
    }
}

static void limit_descriptors(rlim_t limit)
{
    const struct rlimit limits = { limit, limit };
    cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &limits), 0));
}

Test(cleaner, no_descriptor_is_lost)
{
    enum { MANY = 100000 };
    restart("max_heap=256m,gen0=1m");
    const unsigned before = open_descriptors();
    limit_descriptors(512);
    drop_many(MANY, 64);
    collect(self, TENURE_GEN2);
    drain();
    cr_expect(eq(u32, atomic_load(&closed), MANY));
    cr_expect(eq(u32, open_descriptors(), before));
}

Test(cleaner, no_descriptor_is_lost_verified)
{
    restart("max_heap=64m,torture=alloc:100+evacuate+nospace+overflow,verify=before,after");
    const unsigned before = open_descriptors();
    limit_descriptors(256);
    drop_many(ROUNDS(3000), 40);
    collect(self, TENURE_GEN2);
    drain();
    cr_expect(eq(u32, open_descriptors(), before));
}

/* The heap's end closes what is left, of the living as well. */
Test(cleaner, at_the_end)
{
    const unsigned before = open_descriptors();
    for (unsigned mode = 0; mode < 2; mode++) {
        heap_end(heap, self);
        tenure_options options = options_with("max_heap=64m", TENURE_ROOTS_PRECISE);
        options.finalizers = mode == 0 ? TENURE_THREAD : TENURE_PUMP;
        begin_options(options);
        static file *alive;
        alive = NULL; /* not the last heap's */
        cr_assert(eq(int, tenure_root_add(heap, &alive), TENURE_OK));
        for (unsigned i = 0; i < 100; i++) {
            file *next = open_file(self);
            next->other = alive;
            alive = next;
            if (i % 40 == 39) collect(self, TENURE_GEN1);
        }
        heap_end(heap, self);
        cr_expect(eq(u32, open_descriptors(), before));
        begin_with("max_heap=64m");
    }
}

/* Those that a finalizer registers, on a thread that no stop may have asked since: one that ran before the destruction
 * began, and one that runs while it begins. */
static flag finalizer_runs, finalizer_may_end;
static void open_another(tenure_thread *thread, void *object, void *arg)
{
    (void)object;
    atomic_store(&finalizer_runs, 1);
    if (arg != NULL) TENURE_BLOCKING_CALL(thread, await(&finalizer_may_end, 1));
    REQUIRE(open_file(thread) != NULL);
}
static void *end_it_after_a_collection(void *collections)
{
    while (atomic_load(&finalizer_may_end) == 0 && collections_of(heap) == *(const uint64_t *)collections)
        sched_yield();
    atomic_store(&finalizer_may_end, 1);
    return NULL;
}
Test(cleaner, registered_by_the_last_finalizer)
{
    const unsigned before = open_descriptors();
    for (intptr_t wait = 0; wait < 2; wait++) {
        atomic_store(&finalizer_runs, 0);
        atomic_store(&finalizer_may_end, wait == 0);
        cr_assert(eq(int, tenure_finalize(self, tenure_new(self, file_type), open_another, (void *)wait), TENURE_OK));
        collect(self, TENURE_GEN0);
        await_polling(self, &finalizer_runs, 1);
        if (wait == 0) drain();
        uint64_t collections = collections_of(heap);
        pthread_t helper = start_thread(end_it_after_a_collection, &collections);
        heap_end(heap, self);
        join_thread(helper);
        cr_expect(eq(u32, open_descriptors(), before));
        begin();
    }
}

/* --- memory outside the heap --- */

static _Atomic int64_t outside;
static void release_outside(tenure_thread *thread, void *arg)
{
    const int64_t bytes = (int64_t)(intptr_t)arg;
    atomic_fetch_sub(&outside, bytes);
    tenure_external_bytes(thread, -bytes);
}

/* Hardly anything is allocated in the heap: what it holds outside brings collections about. */
Test(cleaner, external_memory_triggers_collections)
{
    enum { MANY = 2000, BYTES = 4 << 20 };
    restart("max_heap=256m,gen0=8m");
    int64_t most = 0;
    for (unsigned i = 0; i < MANY; i++) {
        TENURE_LOCALS(self, l, file * buffer;);
        l.buffer = tenure_new(self, file_type);
        cr_assert(tenure_cleaner_new(self, l.buffer, release_outside, (void *)(intptr_t)BYTES) != NULL);
        const int64_t now = atomic_fetch_add(&outside, BYTES) + BYTES;
        tenure_external_bytes(self, BYTES);
        if (now > most) most = now;
        if (i % 16 == 0) drain(); /* so that the cleaner thread is no measure */
    }
    cr_expect(
        le(i64, most, 512ll << 20), "at most %lld MiB were held, of %d", (long long)most >> 20, MANY * (BYTES >> 20));
    cr_expect(lt(u64, 20u, collections_of(heap)));
}

/* --- keeping an object alive while its descriptor is in use --- */

/* The reader's last use of the object is to take the descriptor out of it. The cleaner may close it under the reader,
 * who then reads from something else or fails. (A compiler that does not optimise would keep the object in the frame.)
 */
__attribute__((noinline)) static int descriptor_of(uintptr_t hidden_file)
{
    const file *object = shown(hidden_file);
    return object->fd;
}
__attribute__((noinline)) static const void *shown_if(bool keep, uintptr_t hidden_file)
{
    return keep ? shown(hidden_file) : NULL;
}

__attribute__((noinline)) static ssize_t read_from(tenure_thread *thread, uintptr_t hidden_file, bool keep)
{
    const int fd = descriptor_of(hidden_file);
    const file *object = shown_if(keep, hidden_file);
    __asm__ volatile("" : "+r"(object)); /* now, and not where it is kept alive */
    char byte;
    clobber_stack();
    REQUIRE(tenure_collect(thread, TENURE_GEN2) == TENURE_OK);
    REQUIRE(tenure_finalizers_drain(thread, UINT64_MAX) == TENURE_OK);
    const ssize_t result = tenure_read(thread, fd, &byte, 1);
    tenure_keep_alive(object);
    return result;
}
__attribute__((noinline)) static uintptr_t hidden_open(tenure_thread *thread) { return hidden(open_file(thread)); }
static ssize_t read_new(tenure_thread *thread, bool keep)
{
    const uintptr_t hidden_file = hidden_open(thread);
    clobber_stack(); /* read_from's frame need not write all of itself */
    return read_from(thread, hidden_file, keep);
}

Test(cleaner, keep_alive)
{
    heap_end(heap, self);
    heap = heap_with("max_heap=64m");
    self = tenure_attach(heap);
    unsigned failed = 0;
    for (unsigned i = 0; i < 20; i++) {
        failed += read_new(self, false) < 0;
        cr_assert(ge(i64, (int64_t)read_new(self, true), 0));
    }
    cr_expect(ge(u32, failed, 10u), "without it the descriptor is closed while it is read");
}

/* --- threads --- */

enum { THREADS = 3 };
static unsigned steps;
static void *churn(tenure_thread *thread, void *object)
{
    file *own = object;
    TENURE_FRAME(thread, own);
    for (unsigned i = 0; i < steps; i++) {
        file *next = open_file(thread);
        if (next == NULL) {
            REQUIRE(tenure_collect(thread, TENURE_GEN2) == TENURE_OK);
            REQUIRE(tenure_finalizers_drain(thread, UINT64_MAX) == TENURE_OK);
            continue;
        }
        if (i % 3 == 0) TENURE_SET(thread, own, other, next);
        if (i % 128 == 0) REQUIRE(tenure_collect(thread, (tenure_generation)(i / 128 % 3)) == TENURE_OK);
    }
    return NULL;
}

static void churn_with(const char *words, tenure_roots roots, unsigned steps_of_each)
{
    const unsigned before = open_descriptors();
    heap_end(heap, self);
    begin_options(options_with(words, roots));
    steps = ROUNDS(steps_of_each);
    {
        TENURE_LOCALS(self, l, file * own;);
        pthread_t threads[THREADS];
        for (unsigned i = 0; i < THREADS; i++) {
            l.own = tenure_new(self, file_type);
            cr_assert(eq(int, tenure_thread_create(self, &threads[i], NULL, churn, l.own), TENURE_OK));
        }
        for (unsigned i = 0; i < THREADS; i++) join_blocked(self, threads[i]);
    }
    heap_end(heap, self);
    cr_expect(eq(u32, open_descriptors(), before));
    begin_with("max_heap=64m");
}
Test(cleaner, threads) { churn_with("max_heap=128m,gen0=512k,destroy_wait=60s", TENURE_ROOTS_PRECISE, 10000); }
Test(cleaner, threads_conservative)
{
    churn_with("max_heap=128m,gen0=512k,destroy_wait=60s", TENURE_ROOTS_CONSERVATIVE, 10000);
}
Test(cleaner, threads_tortured)
{
    churn_with("max_heap=64m,torture=alloc:50+evacuate+nospace+overflow,verify=before,after,destroy_wait=60s",
        TENURE_ROOTS_CONSERVATIVE, 800);
}
