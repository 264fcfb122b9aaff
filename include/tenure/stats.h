/* Statistics: what the heap holds, how often it was collected, and how long everything stood still. Any thread may read
 * them at any time; nothing is stopped for it. */
#ifndef TENURE_STATS_H
#define TENURE_STATS_H

#include <stdio.h>
#include <tenure/heap.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One distribution of durations, in nanoseconds. Percentiles are upper bounds, at most 3.2 % too high. */
typedef struct tenure_distribution {
    uint64_t count, sum_ns, max_ns;
    uint64_t p50_ns, p90_ns, p99_ns, p999_ns;
} tenure_distribution;

/* The parts of a stop: reach (request to stop, TTSP), work, resume, total wall time, and the CPU time of all collecting
 * threads within it. */
typedef struct tenure_pauses {
    tenure_distribution reach, work, resume, total, cpu;
} tenure_pauses;

typedef struct tenure_stats {
    uint64_t collections[3]; /* by the oldest generation collected */
    tenure_pauses pauses[3]; /* likewise */
    tenure_pauses all;       /* every stop, also those that collected nothing */
    uint64_t gen0_bytes;     /* handed to mutators since the last collection */
    uint64_t gen0_budget_bytes;
    uint64_t gen0_collections; /* since Gen 1 was last collected */
    uint64_t gen1_after;       /* so many, the next one among them, and Gen 1 is collected too */
    uint64_t gen2_grown_bytes; /* Gen 2 and memory outside the heap, since the last full collection */
    uint64_t gen2_growth_bytes; /* when it has grown by more, a full collection is due */
    uint64_t gen1_bytes, gen2_bytes; /* blocks in use */
    uint64_t large_bytes;            /* part of the above in large objects */
    uint64_t frozen_bytes;           /* part of Gen 2 that tenure_freeze took out of the collected set */
    uint64_t live_bytes;             /* what lived in Gen 2 after the last full collection */
    uint64_t hole_bytes;             /* what died in its blocks by then, and was not filled since */
    uint64_t heap_bytes;             /* blocks in use, all generations */
    uint64_t committed_bytes;        /* memory taken from the system and not given back */
    uint64_t returned_bytes;         /* given back so far */
    uint64_t max_heap_bytes;
    uint64_t external_bytes;
    uint64_t allocated_bytes; /* since the heap was created: chunks and large objects handed out */
    uint64_t copied_bytes, copied_objects;
    uint64_t pinned_objects; /* kept in place for an ambiguous word, sum over collections */
    uint64_t stayed_objects; /* kept in place for want of memory */
    uint64_t logged_objects; /* by the write barrier, sum over collections */
    uint64_t lost_events;    /* collections that no listener was told of: too many waited */
    uint64_t weak_cleared;   /* weak references and ephemerons, sum over collections */
    uint64_t finalizers_pending; /* finalizers, cleaners and callbacks that are due or run */
    uint64_t finalizers_run;
    uint64_t finalizer_slowest_ns;
    uint64_t threads_attached, threads_dormant;
    uint64_t lock_stops;   /* that parked a thread which held a lock (tenure/lock.h) */
    uint64_t lock_holders; /* threads that held one, sum over stops */
    uint64_t lock_waiters; /* threads that waited for those locks, sum over stops */
    uint64_t lock_held_ns; /* that stops added to the time for which locks were held, from the request, sum over locks */
    tenure_distribution lock_grace; /* of holders that ran on: from a stop's request until they parked (lock_grace) */
    uint64_t late_stops; /* reached after stop_deadline */
    uint64_t latest_ns;  /* the longest time that one of them took to be reached */
    uint64_t workers;    /* that may collect in parallel */
    uint64_t since_ns;   /* age of the heap */
    char latest_name[32]; /* the thread that the latest stop waited for last; "": no stop was late */
    const char *finalizer_slowest_type; /* of the object that it was for; NULL: none ran */
} tenure_stats;

TENURE_API void tenure_stats_read(tenure_heap *heap, tenure_stats *out);

/* What stops of any heap did to the locks of one name (tenure/lock.h); unnamed locks are in tenure_stats only. */
typedef struct tenure_lock_stats {
    const char *name;
    uint64_t pauses;  /* during which a parked thread held one */
    uint64_t holders; /* parked holders, sum over pauses */
    uint64_t waiters; /* threads that waited for one of them, sum over pauses */
    uint64_t held_ns; /* that pauses added to the time for which they were held, sum over locks */
} tenure_lock_stats;
/* Calls fn for every name that was held in a pause: the first 255 of the process, cut at 47 bytes. */
TENURE_API void tenure_lock_stats_each(void (*fn)(const tenure_lock_stats *stats, void *arg), void *arg);

typedef enum tenure_format { TENURE_TEXT, TENURE_JSON, TENURE_PROMETHEUS } tenure_format;
/* Writes them to out (as stdio does: may block; from an attached thread call it in a blocking region if out can). */
TENURE_API void tenure_stats_print(tenure_heap *heap, FILE *out, tenure_format format);

#ifdef __cplusplus
}
#endif
#endif
