/* The heap, the threads, what is said when something is wrong. */
#include "stress/model/walk.h"
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

model the_model;
_Thread_local thread *model_thread;

/* --- random numbers: splitmix64 --- */

uint64_t model_mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t model_draw(source *from, uint32_t bound)
{
    if (from->bytes == NULL) {
        from->state += 0x9e3779b97f4a7c15u;
        return (uint32_t)(((model_mix(from->state) >> 32) * bound) >> 32);
    }
    uint32_t drawn = 0;
    for (uint32_t left = bound - 1; left != 0; left >>= 8) {
        if (from->left == 0) {
            from->ended = true;
            return 0;
        }
        drawn = drawn << 8 | *from->bytes++;
        from->left--;
    }
    return drawn % bound;
}

/* --- what is said --- */

static char command[2048];

static void write_command(const model_options *options)
{
    int length = snprintf(command, sizeof command,
        "model: to see it again: stress-model --seed %lu --threads %u --steps %lu --check %lu --roots %s --options "
        "'%s'",
        (unsigned long)options->seed, options->threads, (unsigned long)options->steps,
        (unsigned long)options->check_every, options->precise ? "precise" : "conservative", options->words);
    for (unsigned i = 0; i < model_operation_count && length < (int)sizeof command; i++)
        if (options->dropped >> i & 1)
            length += snprintf(command + length, sizeof command - (size_t)length, " --drop %s", model_operations[i]);
    if (length < (int)sizeof command) snprintf(command + length, sizeof command - (size_t)length, "\n");
}

_Noreturn void model_fail(const thread *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (t != NULL)
        fprintf(stderr, "model: thread %u, step %lu, %s: ", t->index, (unsigned long)t->step,
            t->operation == NULL ? "begin" : t->operation);
    else
        fprintf(stderr, "model: a thread of the library's: ");
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

static void say_command(void)
{
    const ssize_t written = write(2, command, strlen(command));
    (void)written;
}

void model_say_command(const model_options *options)
{
    write_command(options);
    say_command();
}

static void on_signal(int number)
{
    say_command();
    signal(number, SIG_DFL);
    raise(number);
}

/* A sanitizer reports faults itself; only what it leaves to us says the command here. */
static void catch_signals(void)
{
    const int numbers[] = { SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGALRM };
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction before;
        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler == SIG_DFL) signal(numbers[i], on_signal);
    }
}

/* --- threads --- */

__attribute__((noinline)) static void run_session(thread *t, uintptr_t *frame)
{
    const model_options *options = &the_model.options;
    holders_begin(t, frame);
    holders_open(t);
    model_thread = t;
    const uint64_t end = t->child ? t->step + t->session_steps : options->steps;
    t->detach_wanted = false;
    while (t->step < end && !t->source->ended && !t->detach_wanted) {
        t->step++;
        model_step(t);
        if (options->check_every != 0 && t->step % options->check_every == 0)
            model_check(t);
        else
            model_check_collected(t);
    }
    if (t->child) t->session_steps = 0;
    holders_close(t);
    holders_end(t);
    model_thread = NULL;
}

static void run_precise(thread *t)
{
    uintptr_t frame[FRAMES] = { 0 };
    TENURE_FRAME(t->self, frame);
    run_session(t, frame);
}

static void run_conservative(thread *t)
{
    uintptr_t frame[FRAMES] = { 0 };
    run_session(t, frame);
}

void *model_work(thread *t)
{
    do {
        t->self = tenure_attach(the_model.heap);
        if (t->self == NULL) model_fail(t, "tenure_attach");
        (the_model.options.precise ? run_precise : run_conservative)(t);
        tenure_detach(t->self);
    } while (!t->child && !t->source->ended && t->step < the_model.options.steps);
    return NULL;
}

static void *run_thread(void *arg)
{
    thread *t = arg;
    source numbers = { .state = model_mix(the_model.options.seed * 64 + t->index),
        .bytes = the_model.options.bytes,
        .left = the_model.options.byte_count };
    t->source = &numbers;
    return model_work(t);
}

/* --- the whole --- */

static tenure_heap *create_heap(const model_options *options)
{
    char err[256];
    tenure_options heap_options;
    if (tenure_options_init(&heap_options, err, sizeof err) != TENURE_OK ||
        tenure_options_parse(&heap_options, options->words, err, sizeof err) != TENURE_OK) {
        fprintf(stderr, "model: %s\n", err);
        exit(2);
    }
    heap_options.roots = options->precise ? TENURE_ROOTS_PRECISE : TENURE_ROOTS_CONSERVATIVE;
    heap_options.ref_tags = MODEL_REF_TAGS;
    heap_options.finalizers = options->pump ? TENURE_PUMP : TENURE_THREAD;
    heap_options.destroy_wait = 60000000000;
    tenure_heap *heap;
    if (tenure_heap_create(&heap, &heap_options) != TENURE_OK) {
        fprintf(stderr, "model: no heap\n");
        exit(2);
    }
    return heap;
}

static void free_shadows(void)
{
    shadow *all = atomic_exchange(&the_model.all, NULL);
    while (all != NULL) {
        shadow *next = all->next;
        maps_free(all);
        free(all);
        all = next;
    }
}

void model_run(const model_options *options)
{
    model_kinds_prepare();
    the_model = (model) { .options = *options };
    the_model.options.pump = options->threads == 1 || (options->seed & 1) != 0;
    the_model.options.resurrects = (options->seed & 2) != 0;
    the_model.options.program = !options->precise && (options->seed & 4) != 0;
    the_model.vague = !options->precise;
    the_model.heap = create_heap(&the_model.options);
    if (the_model.options.program && tenure_root_program(the_model.heap) != TENURE_OK) abort();
    pthread_mutex_init(&the_model.threads_lock, NULL);
    write_command(options);
    if (options->bytes == NULL) catch_signals();
    tenure_stats stats;
    tenure_stats_read(the_model.heap, &stats);
    /* In a small heap some allocations shall be refused. */
    const uint64_t most = stats.max_heap_bytes;
    the_model.live_limit = most < (16u << 20) ? most : 16u << 20;
    for (unsigned i = 0; i < SHARED; i++) {
        the_model.shared[i].holder = (holder) { .place = ROOT, .slot = &the_model.shared_words[i] };
        if (tenure_root_add(the_model.heap, &the_model.shared_words[i]) != TENURE_OK) abort();
    }
    thread *threads = calloc(options->threads, sizeof *threads);
    pthread_t *ids = calloc(options->threads, sizeof *ids);
    if (threads == NULL || ids == NULL) abort();
    for (unsigned i = 0; i < options->threads; i++) {
        threads[i].index = i;
        if (pthread_create(&ids[i], NULL, run_thread, &threads[i]) != 0) abort();
    }
    for (unsigned i = 0; i < options->threads; i++) pthread_join(ids[i], NULL);
    free(threads);
    free(ids);

    /* Nobody holds anything but the shared slots. */
    thread last = { .index = options->threads, .operation = "the last check" };
    last.self = tenure_attach(the_model.heap);
    if (atomic_load(&the_model.disabled) != 0) tenure_enable(the_model.heap);
    if (atomic_load(&the_model.frozen) != 0) tenure_unfreeze(last.self);
    the_model.disabled = the_model.frozen = 0;
    model_check(&last);
    if (tenure_finalizers_drain(last.self, 60000000000) != TENURE_OK) model_fail(&last, "tenure_finalizers_drain");
    model_check(&last);
    tenure_detach(last.self);
    atomic_store(&the_model.ends, true);
    if (tenure_heap_destroy(the_model.heap) != TENURE_OK) model_fail(&last, "tenure_heap_destroy");
    deaths_end();
    free_shadows();
}
