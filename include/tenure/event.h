/* Collections as events: what each was for, what its stop was spent on, who was last.
 *
 * A listener is told of a collection when it is over and the world runs again: its events come one after the other,
 * begin, a phase each, end, with the times at which they happened. What "begin" says was true before the collection;
 * nothing can be called in a stop, and nobody is held up so that it could be called before one. */
#ifndef TENURE_EVENT_H
#define TENURE_EVENT_H

#include <tenure/heap.h>
#include <tenure/type.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One collection, from request to resume. */
typedef struct tenure_collection {
    uint64_t sequence;  /* 1, 2, ... in this heap */
    int generation;     /* oldest one collected, -1: a stop without collection */
    const char *reason; /* "budget", "explicit", "gen2 growth", "out of memory", "torture", ... */
    bool led_by_daemon;
    unsigned workers; /* that took part */
    uint64_t at_ns;   /* of the request, since the heap was created */
    /* The phases, in their order; all but reach and resume are work. roots_ns is the leader's part of the tracing. */
    uint64_t reach_ns, pin_ns, roots_ns, trace_ns, weak_ns, finish_ns, resume_ns;
    uint64_t total_ns, cpu_ns;                /* wall time; CPU time of all collecting threads */
    uint64_t before_bytes[3], after_bytes[3]; /* per generation */
    uint64_t heap_before_bytes, heap_after_bytes;
    uint64_t copied_bytes, copied_objects, pinned_objects, stayed_objects, logged_objects;
    uint64_t weak_cleared; /* weak references and ephemerons whose target or key had died */
    uint64_t finalizers_due; /* objects whose finalizer is to run now */
    unsigned threads_stopped; /* running mutators that the stop had to wait for */
    int last_tid;             /* the last one of them to stop, 0: there was none */
    char last_name[32];
    bool late;            /* reached after options.stop_deadline */
    uint64_t lost_before; /* collections just before this one that no listener was told of */
} tenure_collection;

/* options.debug=leak: what an unreachable part of the heap was kept for, by type: objects whose finalizers became due
 * in this full collection, and whatever only they lead to. Finalizers that lie on cycles are what Python once could not
 * collect; here they run, once, and what they do not resurrect is gone in the next full collection. */
typedef struct tenure_leak_row {
    const tenure_type *type;
    uint64_t objects, bytes; /* that are kept */
    uint64_t finalizers;     /* of those: whose finalizer is due */
    uint64_t on_cycles;      /* likewise: on a cycle of references together with one whose finalizer is due (or alone) */
} tenure_leak_row;
typedef struct tenure_leak {
    uint64_t objects, bytes, finalizers, on_cycles; /* of all types */
    size_t count;
    const tenure_leak_row *rows; /* most bytes first */
} tenure_leak;

typedef enum tenure_event_kind {
    TENURE_EVENT_BEGIN, /* the stop is requested; duration 0 */
    TENURE_EVENT_PHASE,
    TENURE_EVENT_LEAK, /* duration 0; only if there is something to say */
    TENURE_EVENT_END /* resumed; duration of the whole */
} tenure_event_kind;

typedef struct tenure_event {
    tenure_event_kind kind;
    const char *name;                    /* "begin", "reach", "pin", "roots", "copy" or "mark", "weak", "finish", "resume", "leak", "end" */
    uint64_t at_ns, duration_ns;         /* since the heap was created */
    const tenure_collection *collection; /* whole in every one of its events; valid during the call */
    const tenure_leak *leak;             /* of TENURE_EVENT_LEAK; likewise */
} tenure_event;

/* Called on a thread of the heap's own that does nothing else, one event at a time, outside of stops. It may block,
 * lock, print, and tenure_enter the heap (then tenure_unlisten before it is destroyed); it delays no collection. */
typedef void tenure_event_fn(const tenure_event *event, void *arg);

/* From the next collection that ends on, fn is told of each, in their order. Up to 1,024 collections wait for a
 * listener that is slow; what comes on top is lost and counted, in lost_before and in the statistics. Those that wait
 * when the heap is destroyed are delivered first. Any thread; TENURE_ENOMEM; TENURE_ESYSTEM: no thread. */
TENURE_API tenure_status tenure_listen(tenure_heap *heap, tenure_event_fn *fn, void *arg);
/* On return fn does not run and is not called any more. May block until a call that is going on has returned (outside
 * the stop set); within fn itself it does not wait. Any thread, but not the owner of tenure_stop_world. */
TENURE_API void tenure_unlisten(tenure_heap *heap, tenure_event_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif
#endif
