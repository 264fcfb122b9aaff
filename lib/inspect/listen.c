/* Delivery of events. Leaders hold the stop lock when they publish, so the ring has one writer at a time; its one
 * reader is a thread that is started for the first listener. A listener that blocks holds up the others and nobody
 * else: not the daemon, which leads collections. */
#include "lib/inspect/listen.h"
#include "lib/heap/heap.h"
#include "lib/inspect/leak.h"
#include "threads/futex.h"
#include "threads/system.h"
#include <errno.h>
#include <stdlib.h>

enum { RING = 1024 };

struct tenure__listener {
    struct tenure__listener *next;
    tenure_event_fn *fn;
    void *arg;
    uint64_t first; /* number of the first collection that it is told of */
    bool removed;   /* by itself, while it ran */
};

/* False: nobody is told. */
static bool publish(tenure__events *events, const tenure_collection *collection, tenure__leak *leak)
{
    /* relaxed: whoever starts listening is told of collections that begin later, and those see it. */
    if (atomic_load_explicit(&events->listening, memory_order_relaxed) == 0) return false;
    const uint64_t written = atomic_load_explicit(&events->written, memory_order_relaxed);
    /* acquire: pairs with the release in deliver_all; the place was read before it is written again. */
    if (written - atomic_load_explicit(&events->delivered, memory_order_acquire) == RING) {
        events->lost_before++;
        atomic_fetch_add_explicit(&events->lost, 1, memory_order_relaxed);
        return false;
    }
    tenure__told *place = &events->ring[written % RING];
    *place = (tenure__told) { *collection, leak };
    place->collection.lost_before = events->lost_before;
    events->lost_before = 0;
    /* release: publishes the record; pairs with the acquire in deliver_all. */
    atomic_store_explicit(&events->written, written + 1, memory_order_release);
    atomic_fetch_add_explicit(&events->wake, 1, memory_order_release);
    tenure__futex_wake(&events->wake, 1);
    return true;
}

void tenure__events_publish(tenure__events *events, const tenure_collection *collection, tenure__leak *leak)
{
    if (!publish(events, collection, leak)) tenure__leak_free(leak);
}

/* --- the listeners' thread --- */

static void tell(const struct tenure__listener *listener, const tenure__told *told)
{
    const tenure_collection *collection = &told->collection;
    const struct {
        const char *name;
        uint64_t ns;
    } phases[] = { { "reach", collection->reach_ns }, { "pin", collection->pin_ns }, { "roots", collection->roots_ns },
        { collection->generation == 2 ? "mark" : "copy", collection->trace_ns }, { "weak", collection->weak_ns },
        { "finish", collection->finish_ns }, { "resume", collection->resume_ns } };
    tenure_event event = { TENURE_EVENT_BEGIN, "begin", collection->at_ns, 0, collection, NULL };
    listener->fn(&event, listener->arg);
    event.kind = TENURE_EVENT_PHASE;
    for (unsigned i = 0; i < sizeof phases / sizeof phases[0]; i++) {
        event.name = phases[i].name;
        event.duration_ns = phases[i].ns;
        if (!listener->removed) listener->fn(&event, listener->arg);
        event.at_ns += event.duration_ns;
    }
    if (told->leak != 0) {
        event = (tenure_event) { TENURE_EVENT_LEAK, "leak", collection->at_ns, 0, collection, &told->leak->report };
        if (!listener->removed) listener->fn(&event, listener->arg);
    }
    event = (tenure_event) { TENURE_EVENT_END, "end", collection->at_ns, collection->total_ns, collection, NULL };
    if (!listener->removed) listener->fn(&event, listener->arg);
}

static void unlink_locked(tenure__events *events, struct tenure__listener *listener)
{
    struct tenure__listener **link = &events->list;
    while (*link != listener) link = &(*link)->next;
    *link = listener->next;
    atomic_fetch_sub_explicit(&events->listening, 1, memory_order_relaxed);
}

static void deliver(tenure__events *events, uint64_t number)
{
    tenure__told *told = &events->ring[number % RING];
    if (told->leak != 0) tenure__leak_sort(told->leak);
    TENURE__MUST(pthread_mutex_lock(&events->lock));
    for (struct tenure__listener *listener = events->list, *next; listener != 0; listener = next) {
        if (listener->first <= number) {
            events->now = listener;
            TENURE__MUST(pthread_mutex_unlock(&events->lock));
            tell(listener, told);
            TENURE__MUST(pthread_mutex_lock(&events->lock));
            events->now = 0;
            TENURE__MUST(pthread_cond_broadcast(&events->returned));
        }
        /* It is still linked, whatever came and went meanwhile: only it may remove itself while it runs. */
        next = listener->next;
        if (!listener->removed) continue;
        unlink_locked(events, listener);
        free(listener);
    }
    TENURE__MUST(pthread_mutex_unlock(&events->lock));
    tenure__leak_free(told->leak);
    told->leak = 0;
}

static void deliver_all(tenure__events *events)
{
    uint64_t number = atomic_load_explicit(&events->delivered, memory_order_relaxed);
    /* acquire: pairs with the release in publish. */
    while (number != atomic_load_explicit(&events->written, memory_order_acquire)) {
        deliver(events, number++);
        /* release: the place may be written again. */
        atomic_store_explicit(&events->delivered, number, memory_order_release);
    }
}

static void *listeners_thread(void *arg)
{
    tenure__events *events = arg;
    for (;;) {
        const uint32_t seen = atomic_load_explicit(&events->wake, memory_order_acquire);
        const bool last = atomic_load_explicit(&events->stops, memory_order_acquire);
        deliver_all(events);
        if (last) return 0;
        tenure__futex_wait(&events->wake, seen, 0);
    }
}

static int start_thread(tenure__events *events)
{
    return tenure__own_thread(&events->thread, "tenure-events", listeners_thread, events);
}

/* --- listening --- */

struct listening {
    tenure__events *events;
    tenure_event_fn *fn;
    void *arg;
    struct tenure__listener *listener;
    int error;
    bool done;
};

static void add_listener(void *arg)
{
    struct listening *listening = arg;
    tenure__events *events = listening->events;
    TENURE__MUST(pthread_mutex_lock(&events->lock));
    if (!events->started) listening->error = start_thread(events);
    if (listening->error == 0) {
        events->started = true;
        struct tenure__listener **link = &events->list;
        while (*link != 0) link = &(*link)->next;
        listening->listener->first = atomic_load_explicit(&events->written, memory_order_relaxed);
        *link = listening->listener;
        atomic_fetch_add_explicit(&events->listening, 1, memory_order_relaxed);
    }
    TENURE__MUST(pthread_mutex_unlock(&events->lock));
}

tenure_status tenure_listen(tenure_heap *heap, tenure_event_fn *fn, void *arg)
{
    struct listening listening = { .events = &heap->events, .listener = tenure__malloc(sizeof *listening.listener) };
    if (listening.listener == 0) return TENURE_ENOMEM;
    *listening.listener = (struct tenure__listener) { .fn = fn, .arg = arg };
    tenure__outside(add_listener, &listening);
    if (listening.error == 0) return TENURE_OK;
    free(listening.listener);
    errno = listening.error;
    return TENURE_ESYSTEM;
}

static struct tenure__listener *find_locked(const tenure__events *events, const struct listening *wanted)
{
    struct tenure__listener *listener = events->list;
    while (listener != 0 && (listener->fn != wanted->fn || listener->arg != wanted->arg || listener->removed))
        listener = listener->next;
    return listener;
}

static bool is_within_locked(const tenure__events *events)
{
    return events->started && pthread_equal(pthread_self(), events->thread);
}

bool tenure__events_within(tenure__events *events)
{
    tenure__own_lock(&events->lock);
    const bool within = is_within_locked(events);
    tenure__own_unlock(&events->lock);
    return within;
}

static void remove_listener(void *arg)
{
    struct listening *listening = arg;
    tenure__events *events = listening->events;
    TENURE__MUST(pthread_mutex_lock(&events->lock));
    const bool within = is_within_locked(events);
    struct tenure__listener *listener;
    /* Looked for again after each wait: somebody else may have removed it. */
    while ((listener = find_locked(events, listening)) != 0 && listener == events->now && !within)
        TENURE__MUST(pthread_cond_wait(&events->returned, &events->lock));
    listening->done = listener != 0;
    if (listener != 0 && listener == events->now) {
        listener->removed = true; /* freed when it has returned */
    } else if (listener != 0) {
        unlink_locked(events, listener);
        free(listener);
    }
    TENURE__MUST(pthread_mutex_unlock(&events->lock));
}

void tenure_unlisten(tenure_heap *heap, tenure_event_fn *fn, void *arg)
{
    struct listening listening = { .events = &heap->events, .fn = fn, .arg = arg };
    tenure__outside(remove_listener, &listening);
    if (!listening.done) tenure__misuse("tenure_unlisten", "only what tenure_listen added");
}

/* --- the heap's --- */

tenure_status tenure__events_create(tenure__events *events)
{
    events->ring = tenure__calloc(RING, sizeof *events->ring);
    if (events->ring == 0) return TENURE_ENOMEM;
    TENURE__MUST(pthread_mutex_init(&events->lock, 0));
    TENURE__MUST(pthread_cond_init(&events->returned, 0));
    return TENURE_OK;
}

void tenure__events_destroy(tenure__events *events)
{
    if (events->ring == 0) return;
    if (events->started && !events->gone) {
        atomic_store_explicit(&events->stops, true, memory_order_release);
        atomic_fetch_add_explicit(&events->wake, 1, memory_order_release);
        tenure__futex_wake(&events->wake, 1);
        TENURE__MUST(pthread_join(events->thread, 0));
    }
    while (events->list != 0) {
        struct tenure__listener *listener = events->list;
        events->list = listener->next;
        free(listener);
    }
    pthread_cond_destroy(&events->returned);
    pthread_mutex_destroy(&events->lock);
    free(events->ring);
}

void tenure__events_forked(tenure__events *events)
{
    TENURE__MUST(pthread_cond_init(&events->returned, 0));                         /* it may have had waiters */
    if (!events->started || pthread_equal(pthread_self(), events->thread)) return; /* a listener forked: it goes on */
    events->gone = true;
    const uint64_t written = atomic_load_explicit(&events->written, memory_order_relaxed);
    for (uint64_t i = atomic_load_explicit(&events->delivered, memory_order_relaxed); i != written; i++)
        tenure__leak_free(events->ring[i % RING].leak);
    atomic_store_explicit(&events->delivered, written, memory_order_relaxed);
    struct tenure__listener *interrupted = events->now;
    events->now = 0;
    if (interrupted == 0 || !interrupted->removed) return;
    unlink_locked(events, interrupted);
    free(interrupted);
}

void tenure__events_revive(tenure__events *events)
{
    if (events->gone && atomic_load_explicit(&events->listening, memory_order_relaxed) != 0)
        events->gone = start_thread(events) != 0;
}
