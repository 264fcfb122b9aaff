/* The watch: a thread of its own that writes the straggler report. Not the daemon, which may be the leader of the late
 * stop; not a thread of the gang, which the stop needs once it is reached; not the leader, whose stack may be small and
 * whose time is the pause. The leader only wakes it, when its own wait for the last mutator has run into the deadline:
 * a stop that is reached in time costs nothing, the watch does not tick. */
#include "threads/futex.h"
#include "threads/host.h"
#include "threads/report.h"
#include "threads/system.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A stop that was late. Written by leaders; a reader may see one half of one and one half of the next. */
typedef struct late_stop {
    _Atomic uint64_t reach_ns;
    _Atomic int tid;                                              /* of the last thread to stop */
    _Atomic uint64_t name[TENURE__NAME_BYTES / sizeof(uint64_t)]; /* its name; words, for readers while it changes */
} late_stop;

struct tenure__watch {
    /* Odd: a stop is past its deadline. The leader adds one when it finds that and one when the stop is reached; futex
     * of the watch. */
    _Atomic uint32_t turn;
    _Atomic bool ends;
    _Atomic uint64_t since_ns; /* of that stop; ordered by turn */
    late_stop last, worst;
    _Atomic uint64_t late_stops;
    pthread_mutex_t handler_lock; /* the next two; held for a few instructions, by nobody who parks */
    tenure_straggler_fn *handler;
    void *handler_arg;
    pthread_t thread;
    bool gone;                 /* this process is a child that has no such thread yet; stop lock */
    tenure__reporter reporter; /* the watch's thread only, but for what is constant */
};

/* release, and acquire where they are read: whoever sees a value of the next late stop also sees that stop's turn,
 * which came before, and knows that what it read is a mixture. */
static void late_stop_write(late_stop *stop, uint64_t reach_ns, const tenure__mutator *mutator)
{
    uint64_t words[TENURE__NAME_BYTES / sizeof(uint64_t)];
    memcpy(words, mutator->name, sizeof words);
    atomic_store_explicit(&stop->reach_ns, reach_ns, memory_order_release);
    atomic_store_explicit(&stop->tid, mutator->tid, memory_order_release);
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        atomic_store_explicit(&stop->name[i], words[i], memory_order_release);
}

static void late_stop_name(const late_stop *stop, char name[TENURE__NAME_BYTES])
{
    uint64_t words[TENURE__NAME_BYTES / sizeof(uint64_t)];
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        words[i] = atomic_load_explicit(&stop->name[i], memory_order_acquire);
    memcpy(name, words, sizeof words);
    name[TENURE__NAME_BYTES - 1] = '\0';
}

/* --- the leader --- */

static void next_turn(tenure__watch *watch)
{
    /* release: since_ns, last. */
    atomic_fetch_add_explicit(&watch->turn, 1, memory_order_release);
    tenure__futex_wake(&watch->turn, 1);
}

uint64_t tenure__watch_wait_ns(tenure__world *world, uint64_t since_ns, uint64_t now_ns, bool *late)
{
    tenure__watch *watch = world->watch;
    if (watch == 0 || *late) return 0;
    const uint64_t deadline_ns = watch->reporter.deadline_ns;
    if (now_ns - since_ns < deadline_ns) return deadline_ns - (now_ns - since_ns);
    *late = true;
    atomic_store_explicit(&watch->since_ns, since_ns, memory_order_relaxed);
    next_turn(watch);
    return 0;
}

void tenure__watch_reached(tenure__world *world, uint64_t since_ns)
{
    tenure__watch *watch = world->watch;
    const uint64_t reach_ns = tenure__now_ns() - since_ns;
    const tenure__mutator *last = atomic_load_explicit(&world->last_stopped, memory_order_relaxed);
    late_stop_write(&watch->last, reach_ns, last);
    if (reach_ns > atomic_load_explicit(&watch->worst.reach_ns, memory_order_relaxed))
        late_stop_write(&watch->worst, reach_ns, last);
    atomic_fetch_add_explicit(&watch->late_stops, 1, memory_order_relaxed);
    next_turn(watch);
}

/* --- the watch --- */

static void print(const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        const ssize_t written = write(STDERR_FILENO, text, left);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;
        text += written;
        left -= (size_t)written;
    }
}

static void deliver(tenure__watch *watch, const tenure_straggler_report *report)
{
    TENURE__MUST(pthread_mutex_lock(&watch->handler_lock));
    tenure_straggler_fn *handler = watch->handler;
    void *arg = watch->handler_arg;
    TENURE__MUST(pthread_mutex_unlock(&watch->handler_lock));
    if (handler != 0)
        handler(watch->reporter.world->heap, report, arg);
    else
        print(report->text);
}

static void report_reached(tenure__watch *watch, uint32_t turn)
{
    char name[TENURE__NAME_BYTES];
    const uint64_t reach_ns = atomic_load_explicit(&watch->last.reach_ns, memory_order_acquire);
    const int tid = atomic_load_explicit(&watch->last.tid, memory_order_acquire);
    late_stop_name(&watch->last, name);
    /* The next late stop has ended already: its report says so. */
    if (atomic_load_explicit(&watch->turn, memory_order_relaxed) - turn > 2) return;
    const tenure_straggler_report report = tenure__report_reached(&watch->reporter, reach_ns, name, tid);
    deliver(watch, &report);
}

/* Sleeps until the turn changes or the time has come. True: it has changed. */
static bool turn_ends(tenure__watch *watch, uint32_t turn, uint64_t due_ns)
{
    for (;;) {
        if (atomic_load_explicit(&watch->turn, memory_order_acquire) != turn) return true;
        const uint64_t now_ns = tenure__now_ns();
        if (now_ns >= due_ns) return false;
        tenure__futex_wait(&watch->turn, turn, due_ns - now_ns);
    }
}

/* A stop is late: a report now, and after ten times the time again, until it is reached. */
static void follow(tenure__watch *watch, uint32_t turn)
{
    const uint64_t since_ns = atomic_load_explicit(&watch->since_ns, memory_order_relaxed);
    uint64_t distance_ns = watch->reporter.deadline_ns;
    do {
        const tenure_straggler_report report = tenure__report_late(&watch->reporter, since_ns);
        /* Reached while it was written: what it says may be of another time. */
        if (atomic_load_explicit(&watch->turn, memory_order_acquire) == turn) deliver(watch, &report);
        distance_ns *= 10;
    } while (!turn_ends(watch, turn, since_ns + distance_ns));
    report_reached(watch, turn);
}

static void *watch_thread(void *arg)
{
    tenure__watch *watch = arg;
    while (!atomic_load_explicit(&watch->ends, memory_order_acquire)) {
        /* acquire: pairs with next_turn. */
        const uint32_t turn = atomic_load_explicit(&watch->turn, memory_order_acquire);
        if (turn & 1)
            follow(watch, turn);
        else if (!atomic_load_explicit(&watch->ends, memory_order_acquire))
            tenure__futex_wait(&watch->turn, turn, 0);
    }
    return 0;
}

/* --- beginning and end --- */

static int start_thread(tenure__watch *watch)
{
    return tenure__own_thread(&watch->thread, "tenure-watch", watch_thread, watch);
}

tenure_status tenure__watch_start(tenure__world *world, uint64_t deadline_ns, bool ask_stacks)
{
    tenure__watch *watch = tenure__calloc(1, sizeof *watch);
    if (watch == 0) return TENURE_ENOMEM;
    if (ask_stacks) tenure__stack_ask_prepare();
    watch->reporter.world = world;
    watch->reporter.deadline_ns = deadline_ns;
    watch->reporter.ask_stacks = ask_stacks;
    TENURE__MUST(pthread_mutex_init(&watch->handler_lock, 0));
    const int error = start_thread(watch);
    if (error != 0) {
        free(watch);
        errno = error;
        return TENURE_ESYSTEM;
    }
    world->watch = watch;
    return TENURE_OK;
}

void tenure__watch_stop(tenure__world *world)
{
    tenure__watch *watch = world->watch;
    if (watch == 0) return;
    atomic_store_explicit(&watch->ends, true, memory_order_release);
    atomic_fetch_add_explicit(&watch->turn, 2, memory_order_release);
    tenure__futex_wake(&watch->turn, 1);
    if (!watch->gone) TENURE__MUST(pthread_join(watch->thread, 0));
    TENURE__MUST(pthread_mutex_destroy(&watch->handler_lock));
    free(watch);
    world->watch = 0;
}

/* A stop that was late is the parent's, unless it is a handler that has forked: its thread goes on here. */
void tenure__watch_forked(tenure__world *world)
{
    tenure__watch *watch = world->watch;
    if (watch == 0) return;
    TENURE__MUST(pthread_mutex_init(&watch->handler_lock, 0));
    tenure__stack_forked();
    watch->gone = !pthread_equal(pthread_self(), watch->thread);
}

void tenure__watch_revive(tenure__world *world)
{
    tenure__watch *watch = world->watch;
    if (watch != 0 && watch->gone) watch->gone = start_thread(watch) != 0;
}

void tenure_straggler_handler(tenure_heap *heap, tenure_straggler_fn *fn, void *arg)
{
    tenure__watch *watch = tenure__host_world(heap)->watch;
    if (watch == 0) return;
    TENURE__MUST(pthread_mutex_lock(&watch->handler_lock));
    watch->handler = fn;
    watch->handler_arg = arg;
    TENURE__MUST(pthread_mutex_unlock(&watch->handler_lock));
}

void tenure__watch_stats(const tenure__world *world, tenure_stats *out)
{
    const tenure__watch *watch = world->watch;
    if (watch == 0) return;
    out->late_stops = atomic_load_explicit(&watch->late_stops, memory_order_relaxed);
    out->latest_ns = atomic_load_explicit(&watch->worst.reach_ns, memory_order_relaxed);
    late_stop_name(&watch->worst, out->latest_name);
}
