/* What weak references, ephemerons, finalizers and cleaners cost: to register one, and the pause that each adds. Every
 * round makes N objects of 32 bytes with one kind of them, and with none; the difference, divided by N, is what one
 * costs: in a collection of Gen 0 that finds all of them young, in full ones that find them old, with all objects alive
 * and with all of them dead. Gen 0 is so large that no other collection comes in between. */
#include "allocator.h"
#include "measure.h"
#include <stdio.h>
#include <stdlib.h>

struct target {
    struct target *next;
    uint64_t words[3];
};
BENCH_TYPE(target_type, struct target, next);

static uint64_t objects = 1000000, rounds = 5;
static uint64_t ran;

typedef void *register_fn(bench_thread *self, struct target *target);

/* --- the collectors' own --- */

typedef struct cost {
    double wall_ns, cpu_ns;
} cost;

static cost now(void) { return (cost) { (double)measure_now_ns(), (double)measure_cpu_ns() }; }
static cost since(cost begin)
{
    const cost end = now();
    return (cost) { end.wall_ns - begin.wall_ns, end.cpu_ns - begin.cpu_ns };
}

enum { YOUNG, FULL };

#if defined(BENCH_TENURE)
static tenure_heap *heap;

static bench_thread *begin(void)
{
    tenure_options options;
    if (tenure_options_init(&options, NULL, 0) != TENURE_OK) exit(EXIT_FAILURE);
    options.gen0 = 1 << 30;
    options.finalizers = TENURE_PUMP;
    if (tenure_heap_create(&heap, &options) != TENURE_OK) exit(EXIT_FAILURE);
    return tenure_attach(heap);
}

/* Of the stop alone. */
static cost collect(bench_thread *self, int which)
{
    tenure_stats before, after;
    tenure_stats_read(heap, &before);
    tenure_collect(self, which == YOUNG ? TENURE_GEN0 : TENURE_GEN2);
    tenure_stats_read(heap, &after);
    return (cost) { (double)(after.all.total.sum_ns - before.all.total.sum_ns),
        (double)(after.all.cpu.sum_ns - before.all.cpu.sum_ns) };
}

static void finalizer(tenure_thread *self, void *object, void *arg)
{
    (void)self;
    (void)object;
    ++*(uint64_t *)arg;
}
static void cleaner(tenure_thread *self, void *arg)
{
    (void)self;
    ++*(uint64_t *)arg;
}
static void *add_weak(bench_thread *self, struct target *target) { return tenure_weak_new(self, target); }
static void *add_ephemeron(bench_thread *self, struct target *target)
{
    return tenure_ephemeron_new(self, target, target);
}
static void *add_finalizer(bench_thread *self, struct target *target)
{
    if (tenure_finalize(self, target, finalizer, &ran) != TENURE_OK) bench_exhausted();
    return NULL;
}
static void *add_cleaner(bench_thread *self, struct target *target)
{
    if (tenure_cleaner_new(self, target, cleaner, &ran) == NULL) bench_exhausted();
    return NULL;
}
static void run_due(bench_thread *self) { tenure_finalizers_pump(self, SIZE_MAX); }

#else
static bench_thread *begin(void)
{
    bench_begin(0);
    GC_set_finalize_on_demand(1);
    return bench_thread_begin();
}

static cost collect(bench_thread *self, int which)
{
    (void)which;
    const cost before = now();
    bench_collect(self);
    return since(before);
}

static void GC_CALLBACK finalizer(void *object, void *arg)
{
    (void)object;
    ++*(uint64_t *)arg;
}
static void *add_weak(bench_thread *self, struct target *target)
{
    (void)self;
    GC_word *link = GC_MALLOC_ATOMIC(sizeof *link);
    if (link == NULL) bench_exhausted();
    *link = GC_HIDE_POINTER(target);
    if (GC_general_register_disappearing_link((void **)link, target) != GC_SUCCESS) bench_exhausted();
    return link;
}
static void *add_finalizer(bench_thread *self, struct target *target)
{
    (void)self;
    GC_register_finalizer_no_order(target, finalizer, &ran, NULL, NULL);
    return NULL;
}
static void run_due(bench_thread *self)
{
    (void)self;
    GC_invoke_finalizers();
}
#endif

static const struct kind {
    const char *name;
    register_fn *add;
    int runs; /* something for each that died */
} kinds[] = { { "none", NULL, 0 }, { "weak", add_weak, 0 }, { "finalizer", add_finalizer, 1 },
#if defined(BENCH_TENURE)
    { "ephemeron", add_ephemeron, 0 }, { "cleaner", add_cleaner, 1 }
#endif
};
enum { KINDS = sizeof kinds / sizeof kinds[0], ROUNDS_MAX = 101 };

/* --- what is measured --- */

enum { REGISTER, YOUNG_ALIVE, YOUNG_DEAD, FULL_ALIVE, FULL_DEAD, RUN, MEASURES };
static const char *const measure_names[] = { "register", "young_alive", "young_dead", "full_alive", "full_dead",
    "run" };
static cost samples[KINDS][MEASURES][ROUNDS_MAX];

struct made {
    struct target **targets;
    void **holders;
};

/* Registering last: what is registered lies together, as what is made at the same time does. */
static cost make(bench_thread *self, const struct kind *kind, struct made *made)
{
    made->targets = BENCH_NEW_REFS(self, struct target, objects);
    made->holders = BENCH_NEW_REFS(self, void, objects);
    for (uint64_t i = 0; i < objects; i++) {
        struct target *target = BENCH_NEW(self, target_type, .words = { i, i, i });
        BENCH_SET_AT(self, made->targets, i, target);
    }
    const cost before = now();
    for (uint64_t i = 0; kind->add != NULL && i < objects; i++) {
        void *holder = kind->add(self, made->targets[i]);
        BENCH_SET_AT(self, made->holders, i, holder);
    }
    return since(before);
}

static void kill_targets(bench_thread *self, struct made *made)
{
    for (uint64_t i = 0; i < objects; i++) BENCH_SET_AT(self, made->targets, i, NULL);
}

static cost run(bench_thread *self, const struct kind *kind)
{
    const uint64_t ran_before = ran;
    const cost before = now();
    run_due(self);
    const cost result = since(before);
    /* Ambiguous words may keep some. */
    if (kind->runs && ran - ran_before < objects - objects / 100) {
        fprintf(stderr, "%s: only %llu ran\n", kind->name, (unsigned long long)(ran - ran_before));
        exit(EXIT_FAILURE);
    }
    return result;
}

__attribute__((noinline)) static void measure(bench_thread *self, unsigned k, uint64_t round)
{
    const struct kind *kind = &kinds[k];
    struct made made;
    make(self, kind, &made);
    kill_targets(self, &made);
    samples[k][YOUNG_DEAD][round] = collect(self, YOUNG);
    samples[k][RUN][round] = run(self, kind);
    collect(self, FULL);
    samples[k][REGISTER][round] = make(self, kind, &made);
    samples[k][YOUNG_ALIVE][round] = collect(self, YOUNG);
    collect(self, FULL);
    samples[k][FULL_ALIVE][round] = collect(self, FULL);
    kill_targets(self, &made);
    samples[k][FULL_DEAD][round] = collect(self, FULL);
    run(self, kind);
    measure_opaque(made.holders);
}

static int compare(const void *a, const void *b)
{
    const double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

static void report(const char *kind, const char *measure, const char *clock, double *values)
{
    char key[64];
    qsort(values, rounds, sizeof *values, compare);
    snprintf(key, sizeof key, "%s_%s_%s_ns", kind, measure, clock);
    result_real(key, values[rounds / 2]);
}

static void report_all(void)
{
    double wall_ns[ROUNDS_MAX], cpu_ns[ROUNDS_MAX];
    result_begin("weak");
    result_count("objects", objects);
    for (unsigned k = 0; k < KINDS; k++)
        for (unsigned m = 0; m < MEASURES; m++) {
            for (uint64_t i = 0; i < rounds; i++) {
                const cost of = samples[k][m][i];
                const cost none = k != 0 ? samples[0][m][i] : (cost) { 0, 0 };
                wall_ns[i] = (of.wall_ns - none.wall_ns) / (double)objects;
                cpu_ns[i] = (of.cpu_ns - none.cpu_ns) / (double)objects;
            }
            report(kinds[k].name, measure_names[m], "wall", wall_ns);
            report(kinds[k].name, measure_names[m], "cpu", cpu_ns);
        }
    result_end();
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = { { "objects", &objects, "of each kind" },
        { "rounds", &rounds, "medians of so many, interleaved" } };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    if (rounds < 1 || rounds > ROUNDS_MAX) return EXIT_FAILURE;
    bench_thread *self = begin();
    if (objects < 1) return EXIT_FAILURE;
    for (uint64_t round = 0; round < rounds; round++)
        for (unsigned k = 0; k < KINDS; k++) measure(self, k, round);
    report_all();
}
