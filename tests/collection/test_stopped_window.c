/* The guarantee of the stopped window: from the moment that the world is stopped to its resume, no thread that collects
 * calls malloc or stdio, takes a lock, waits on a condition, walks the loaded libraries or calls back into the program,
 * but for trace functions and root callbacks. What it may do: futexes (the gang's wake-ups), clocks, sched_yield,
 * mprotect and madvise (blocks committed and populated).
 *
 * Every such function is defined here, before the C library's, so that calls of liburcu count too; the linker wraps
 * tenure__world_stop and tenure__world_resume for the leaders, and tenure__gang_run for whoever works in a phase. */
#include "tests/threads/threads.h"
#include <dlfcn.h>
#include <link.h>
#include <semaphore.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <ucontext.h>

/* --- who is in the window --- */

static _Thread_local unsigned depth; /* stopped window or phase */
static atomic_uint windows, helped;
static const char *_Atomic violation; /* the first */
static void *_Atomic violation_site;

static void forbid_from(const char *function, void *site)
{
    const char *none = NULL;
    if (depth == 0) return;
    if (atomic_compare_exchange_strong(&violation, &none, function)) atomic_store(&violation_site, site);
}
#define FORBID() forbid_from(__func__, __builtin_return_address(0))

tenure__reach __real_tenure__world_stop(tenure__world *world, bool dormant);
tenure__reach __wrap_tenure__world_stop(tenure__world *world, bool dormant);
tenure__reach __wrap_tenure__world_stop(tenure__world *world, bool dormant)
{
    const tenure__reach reach = __real_tenure__world_stop(world, dormant);
    atomic_fetch_add(&windows, 1);
    depth++;
    return reach;
}

void __real_tenure__world_resume(tenure__world *world);
void __wrap_tenure__world_resume(tenure__world *world);
void __wrap_tenure__world_resume(tenure__world *world)
{
    depth--;
    __real_tenure__world_resume(world);
}

struct phase {
    tenure__phase_fn *fn;
    void *arg;
};

static void run_phase(void *arg, unsigned worker, bool may_trace)
{
    const struct phase *phase = arg;
    depth++;
    if (worker != 0) atomic_fetch_add(&helped, 1);
    phase->fn(phase->arg, worker, may_trace);
    depth--;
}

void __real_tenure__gang_run(tenure__gang *gang, tenure__phase_fn *fn, void *arg, bool may_trace);
void __wrap_tenure__gang_run(tenure__gang *gang, tenure__phase_fn *fn, void *arg, bool may_trace);
void __wrap_tenure__gang_run(tenure__gang *gang, tenure__phase_fn *fn, void *arg, bool may_trace)
{
    struct phase phase = { fn, arg };
    __real_tenure__gang_run(gang, run_phase, &phase, may_trace);
}

/* The library's own kind of lock. */
void __real_tenure__fair_take(tenure__fair_lock *lock);
void __wrap_tenure__fair_take(tenure__fair_lock *lock);
void __wrap_tenure__fair_take(tenure__fair_lock *lock)
{
    FORBID();
    __real_tenure__fair_take(lock);
}
bool __real_tenure__fair_try(tenure__fair_lock *lock);
bool __wrap_tenure__fair_try(tenure__fair_lock *lock);
bool __wrap_tenure__fair_try(tenure__fair_lock *lock)
{
    FORBID();
    return __real_tenure__fair_try(lock);
}

/* --- memory --- */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);
void __libc_free(void *memory);

#define EXPORT __attribute__((visibility("default")))

EXPORT void *malloc(size_t bytes)
{
    FORBID();
    return __libc_malloc(bytes);
}
EXPORT void *calloc(size_t count, size_t bytes)
{
    FORBID();
    return __libc_calloc(count, bytes);
}
EXPORT void *realloc(void *memory, size_t bytes)
{
    FORBID();
    return __libc_realloc(memory, bytes);
}
EXPORT void free(void *memory)
{
    FORBID();
    __libc_free(memory);
}
EXPORT void *memalign(size_t align, size_t bytes)
{
    FORBID();
    return __libc_memalign(align, bytes);
}
EXPORT void *aligned_alloc(size_t align, size_t bytes)
{
    FORBID();
    return __libc_memalign(align, bytes);
}
EXPORT int posix_memalign(void **out, size_t align, size_t bytes)
{
    FORBID();
    void *memory = __libc_memalign(align, bytes);
    if (memory == NULL) return ENOMEM;
    *out = memory;
    return 0;
}

/* --- the rest: the next definition of the name --- */

/* The names differ from the C library's for the compiler, which knows those and what they return, not for the linker.
 */
#define NEXT(result, name, parameters, arguments)                                          \
    EXPORT result next_##name parameters __asm__(#name);                                   \
    EXPORT result next_##name parameters                                                   \
    {                                                                                      \
        static result(*_Atomic real) parameters;                                           \
        forbid_from(#name, __builtin_return_address(0));                                   \
        if (real == NULL) real = (result(*) parameters)(uintptr_t)dlsym(RTLD_NEXT, #name); \
        return real arguments;                                                             \
    }

NEXT(int, pthread_mutex_lock, (pthread_mutex_t * m), (m))
NEXT(int, pthread_mutex_trylock, (pthread_mutex_t * m), (m))
NEXT(int, pthread_mutex_timedlock, (pthread_mutex_t * m, const struct timespec *t), (m, t))
NEXT(int, pthread_rwlock_rdlock, (pthread_rwlock_t * l), (l))
NEXT(int, pthread_rwlock_wrlock, (pthread_rwlock_t * l), (l))
NEXT(int, pthread_rwlock_tryrdlock, (pthread_rwlock_t * l), (l))
NEXT(int, pthread_rwlock_trywrlock, (pthread_rwlock_t * l), (l))
NEXT(int, pthread_cond_wait, (pthread_cond_t * c, pthread_mutex_t *m), (c, m))
NEXT(int, pthread_cond_timedwait, (pthread_cond_t * c, pthread_mutex_t *m, const struct timespec *t), (c, m, t))
NEXT(int, pthread_cond_signal, (pthread_cond_t * c), (c))
NEXT(int, pthread_cond_broadcast, (pthread_cond_t * c), (c))
NEXT(int, pthread_create, (pthread_t * t, const pthread_attr_t *a, void *(*f)(void *), void *arg), (t, a, f, arg))
NEXT(int, pthread_join, (pthread_t t, void **r), (t, r))
NEXT(int, pthread_once, (pthread_once_t * once, void (*f)(void)), (once, f))
NEXT(int, sem_wait, (sem_t * s), (s))
NEXT(int, sem_post, (sem_t * s), (s))
NEXT(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
NEXT(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
NEXT(int, close, (int fd), (fd))
NEXT(int, vfprintf, (FILE * f, const char *text, va_list arguments), (f, text, arguments))
NEXT(int, vprintf, (const char *text, va_list arguments), (text, arguments))
NEXT(int, vsnprintf, (char *out, size_t n, const char *text, va_list arguments), (out, n, text, arguments))
NEXT(size_t, fwrite, (const void *p, size_t n, size_t count, FILE *f), (p, n, count, f))
NEXT(int, fputs, (const char *text, FILE *f), (text, f))
NEXT(int, fputc, (int c, FILE *f), (c, f))
NEXT(int, putc, (int c, FILE *f), (c, f))
NEXT(int, putchar, (int c), (c))
NEXT(int, puts, (const char *text), (text))
NEXT(int, fflush, (FILE * f), (f))
NEXT(FILE *, fopen, (const char *path, const char *mode), (path, mode))
NEXT(int, fclose, (FILE * f), (f))
NEXT(int, dl_iterate_phdr, (int (*f)(struct dl_phdr_info *, size_t, void *), void *arg), (f, arg))
NEXT(void *, mmap, (void *p, size_t n, int prot, int flags, int fd, off_t at), (p, n, prot, flags, fd, at))
NEXT(int, munmap, (void *p, size_t n), (p, n))
NEXT(char *, getenv, (const char *name), (name))
NEXT(long, sysconf, (int name), (name))
NEXT(int, nanosleep, (const struct timespec *t, struct timespec *left), (t, left))
NEXT(int, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))

EXPORT int next_fprintf(FILE *f, const char *text, ...) __asm__("fprintf");
EXPORT int next_fprintf(FILE *f, const char *text, ...)
{
    FORBID();
    va_list arguments;
    va_start(arguments, text);
    const int result = vfprintf(f, text, arguments);
    va_end(arguments);
    return result;
}
EXPORT int next_printf(const char *text, ...) __asm__("printf");
EXPORT int next_printf(const char *text, ...)
{
    FORBID();
    va_list arguments;
    va_start(arguments, text);
    const int result = vprintf(text, arguments);
    va_end(arguments);
    return result;
}
EXPORT int next_snprintf(char *out, size_t n, const char *text, ...) __asm__("snprintf");
EXPORT int next_snprintf(char *out, size_t n, const char *text, ...)
{
    FORBID();
    va_list arguments;
    va_start(arguments, text);
    const int result = vsnprintf(out, n, text, arguments);
    va_end(arguments);
    return result;
}

/* --- the load --- */

typedef struct box {
    node *content;
    struct box *next;
} box;
static atomic_uint traced, called_back;
static bool root_allocates;

static void trace_box(void *object, void *low, void *high, tenure_visitor *visitor)
{
    (void)low, (void)high;
    box *traced_box = object;
    atomic_fetch_add(&traced, 1);
    tenure_visit(visitor, &traced_box->content);
    tenure_visit(visitor, &traced_box->next);
}
TENURE_TYPE_CUSTOM(box_type, box, trace_box);

typedef struct vague {
    node *maybe;
    uintptr_t words[3];
} vague;
TENURE_TYPE_AMBIGUOUS(vague_type, vague);

static node *from_callback;
static void visit_root(tenure_visitor *visitor, void *arg)
{
    (void)arg;
    atomic_fetch_add(&called_back, 1);
    if (root_allocates) {
        void *volatile memory = malloc(10);
        free(memory);
    }
    tenure_visit(visitor, &from_callback);
}

static void listen_to(const tenure_event *event, void *arg)
{
    (void)event, (void)arg;
    FORBID();
}

static bool refuse(tenure_thread *self, size_t bytes, void *arg)
{
    (void)self, (void)bytes, (void)arg;
    FORBID();
    return false;
}

static tenure_heap *heap;
static flag up, stop;
static node *slot;
static atomic_uint finalized, cleaned, watched;

static void on_finalize(tenure_thread *self, void *object, void *arg)
{
    (void)self, (void)object, (void)arg;
    FORBID();
    atomic_fetch_add(&finalized, 1);
}
static void on_clean(tenure_thread *self, void *arg)
{
    (void)self, (void)arg;
    FORBID();
    atomic_fetch_add(&cleaned, 1);
}
static void on_death(tenure_thread *self, tenure_weak *weak, void *arg)
{
    (void)self, (void)weak, (void)arg;
    FORBID();
    atomic_fetch_add(&watched, 1);
}

/* Everything that hangs on objects: on one that lives, and on many that die. What was kept is in the array. */
__attribute__((noinline)) static void hang_on(tenure_thread *self, node *kept, void **many, tenure_weakmap *map)
{
    for (unsigned i = 0; i < 100; i++) {
        node *target = i % 4 == 0 ? kept : make_chain(self, 2, i);
        if (target != kept) REQUIRE(tenure_finalize(self, target, on_finalize, NULL) == TENURE_OK);
        REQUIRE(tenure_cleaner_new(self, target, on_clean, NULL) != NULL);
        TENURE_SET_AT(self, many, 3 * i, tenure_weak_new(self, target));
        TENURE_SET_AT(self, many, 3 * i + 1, tenure_ephemeron_new(self, target, make_chain(self, 2, 1)));
        TENURE_SET_AT(self, many, 3 * i + 2, tenure_weak_watch(self, target, on_death, NULL));
        REQUIRE(tenure_weakmap_put(self, map, target, make_chain(self, 2, 1)) == TENURE_OK);
    }
}

/* A bit of everything that a collection may meet, kept alive while the budgets are spent. */
static void step(tenure_thread *self, unsigned round)
{
    node *volatile kept = make_chain(self, 300, round);
    box *volatile boxed = NULL;
    for (unsigned i = 0; i < 300; i++) {
        box *fresh = tenure_new(self, box_type);
        TENURE_SET(self, fresh, next, boxed);
        TENURE_SET(self, fresh, content, kept);
        boxed = fresh;
    }
    vague *volatile unclear = tenure_new(self, vague_type);
    TENURE_SET(self, unclear, maybe, make_chain(self, 20, round));
    node **volatile many = TENURE_NEW_REFS(self, node, 5000);
    for (unsigned i = 0; i < 5000; i += 7) TENURE_SET_AT(self, many, i, kept);
    void **volatile hung = TENURE_NEW_REFS(self, void, 300);
    tenure_weakmap *volatile map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    hang_on(self, kept, hung, map);
    tenure_handle *handle = tenure_handle_new(self, make_chain(self, 20, round));
    REQUIRE(tenure_pin(self, many) == TENURE_OK);
    (void)tenure_identity_hash(self, kept);
    for (int generation = 0; generation < 3; generation++) {
        make_chain(self, 2000, 1);
        REQUIRE(tenure_collect(self, (tenure_generation)generation) == TENURE_OK);
    }
    check_chain(kept, 300, round);
    check_chain(boxed->content, 300, round);
    check_chain(unclear->maybe, 20, round);
    check_chain(many[4998], 300, round);
    check_chain(tenure_handle_get(handle), 20, round);
    REQUIRE(tenure_weak_get(self, hung[0]) == kept);
    REQUIRE(tenure_ephemeron_key(self, hung[1]) == kept);
    REQUIRE(tenure_weakmap_get(self, map, kept) != NULL);
    tenure_unpin(self, many);
    tenure_handle_free(handle);
}

static void *work(void *arg)
{
    (void)arg;
    tenure_thread *self = tenure_attach(heap);
    atomic_fetch_add(&up, 1);
    while (!atomic_load(&stop)) step(self, 5);
    tenure_detach(self);
    return NULL;
}

static void *idle(void *arg)
{
    (void)arg;
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 50, 9);
    atomic_fetch_add(&up, 1);
    tenure_enter_idle(self);
    await(&stop, 1);
    tenure_leave_idle(self);
    check_chain(kept, 50, 9);
    tenure_detach(self);
    return NULL;
}

/* A fiber's stack that is suspended for good, with a chain on it. */
static ucontext_t fiber_context, own_context;
static tenure_stack *fiber_stack;
static void run_fiber(void)
{
    tenure_thread *self = tenure_self(heap);
    node *volatile kept = make_chain(self, 30, 2);
    tenure_stack_switch(self, NULL);
    swapcontext(&fiber_context, &own_context);
    check_chain(kept, 30, 2);
}

static void suspend_fiber(tenure_thread *self)
{
    enum { BYTES = 256 * 1024 };
    char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    fiber_stack = tenure_stack_add(heap, memory, memory + BYTES, &fiber_context, sizeof fiber_context);
    REQUIRE(getcontext(&fiber_context) == 0);
    fiber_context.uc_stack.ss_sp = memory;
    fiber_context.uc_stack.ss_size = BYTES;
    fiber_context.uc_link = &own_context;
    makecontext(&fiber_context, run_fiber, 0);
    tenure_stack_switch(self, fiber_stack);
    REQUIRE(swapcontext(&own_context, &fiber_context) == 0);
}

static void load(unsigned rounds)
{
    pthread_t threads[] = { start_thread(work, NULL), start_thread(work, NULL), start_thread(idle, NULL) };
    await(&up, 3);
    tenure_thread *self = tenure_attach(heap);
    suspend_fiber(self);
    for (unsigned i = 0; i < rounds; i++) {
        step(self, i);
        const uint64_t before = collections_of(heap);
        while (collections_of(heap) < before + 10) check_chain(make_chain(self, 1000, 3), 1000, 3);
    }
    REQUIRE(tenure_freeze(self) == TENURE_OK);
    step(self, 1);
    REQUIRE(tenure_new_bytes(self, heap->options.max_heap - 1000) == NULL); /* every collection, and the handler */
    tenure_unfreeze(self);
    atomic_store(&stop, 1);
    for (unsigned i = 0; i < 3; i++) join_blocked(self, threads[i]);
    tenure_detach(self);
}

static void under_options(const char *words, unsigned rounds)
{
    const tenure_options options = options_with(words, TENURE_ROOTS_CONSERVATIVE);
    heap = heap_of(&options);
    tenure_oom_handler(heap, refuse, NULL);
    cr_assert(eq(int, tenure_root_program(heap), TENURE_OK));
    cr_assert(eq(int, tenure_root_add(heap, &slot), TENURE_OK));
    cr_assert(eq(int, tenure_root_range_add(heap, &up, sizeof up, TENURE_AMBIGUOUS), TENURE_OK));
    cr_assert(eq(int, tenure_root_callback_add(heap, visit_root, NULL), TENURE_OK));
    cr_assert(eq(int, tenure_listen(heap, listen_to, NULL), TENURE_OK));
    load(rounds);
    tenure_stats stats = stats_of(heap);
    for (unsigned i = 0; i < 3; i++) cr_assert(lt(ulong, 0, stats.collections[i]));
    cr_assert(eq(int, tenure_heap_destroy(heap), TENURE_OK));
    cr_assert(lt(uint, 20, atomic_load(&windows)));
    cr_assert(lt(uint, 20, atomic_load(&traced)));
    cr_assert(lt(uint, 20, atomic_load(&called_back)));
    cr_assert(lt(uint, 20, atomic_load(&finalized)));
    cr_assert(lt(uint, 20, atomic_load(&cleaned)));
    cr_assert(lt(uint, 20, atomic_load(&watched)));
    cr_assert(lt(uint, 0, atomic_load(&helped)), "trace functions ran on the gang's threads");
}

static void keeps_the_guarantee(const char *words)
{
    under_options(words, 4);
    Dl_info info = { 0 };
    if (atomic_load(&violation) != NULL) dladdr(atomic_load(&violation_site), &info);
    cr_assert(atomic_load(&violation) == NULL, "%s called from %p (%s + 0x%lx)", atomic_load(&violation),
        atomic_load(&violation_site), info.dli_sname != NULL ? info.dli_sname : info.dli_fname,
        (unsigned long)((uintptr_t)atomic_load(&violation_site) - (uintptr_t)info.dli_fbase));
}

Test(stopped_window, led_by_mutators) { keeps_the_guarantee("max_heap=64m,gen0=512k,workers=2"); }
Test(stopped_window, led_by_the_daemon) { keeps_the_guarantee("max_heap=64m,gen0=512k,workers=2,lead=daemon"); }
Test(stopped_window, one_worker) { keeps_the_guarantee("max_heap=64m,gen0=512k,workers=1"); }
Test(stopped_window, logged) { keeps_the_guarantee("max_heap=64m,gen0=512k,log=gc"); }
Test(stopped_window, verified) { keeps_the_guarantee("max_heap=64m,gen0=512k,verify=before,after"); }
Test(stopped_window, evacuating) { keeps_the_guarantee("max_heap=64m,gen0=512k,torture=evacuate"); }
Test(stopped_window, overflowing) { keeps_the_guarantee("max_heap=64m,gen0=512k,torture=overflow"); }
Test(stopped_window, without_space) { keeps_the_guarantee("max_heap=64m,gen0=512k,torture=nospace"); }
Test(stopped_window, small_pages) { keeps_the_guarantee("max_heap=64m,gen0=512k,huge_pages=off"); }

/* What is looked for is found. */
Test(stopped_window, a_root_callback_that_allocates_is_seen)
{
    root_allocates = true;
    under_options("max_heap=64m,gen0=512k", 1);
    cr_assert(atomic_load(&violation) != NULL);
    cr_assert(eq(str, (char *)atomic_load(&violation), "malloc"));
}
