/* The straggler report: who is late when a stop takes longer than options.stop_deadline to be reached, and why.
 *
 * A stop waits until every running mutator has come to a safepoint. One that spins without polling, blocks in a raw
 * system call or waits for a lock outside a blocking region holds up all the others; one that waits for a lock whose
 * owner is parked for the very same stop holds them up for ever. The report names the thread, what it waits for, who
 * owns that, and the call to change. It is written once the deadline has passed, again after 10, 100, ... times the
 * deadline, and a last time when the stop is reached after all.
 *
 * A thread of its own ("tenure-watch") writes it, in memory that it owns: it takes no lock that a late or a parked
 * thread may own, malloc's and the loader's included. The stop does not wait for it. */
#ifndef TENURE_STRAGGLER_H
#define TENURE_STRAGGLER_H

#include <tenure/heap.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a late thread was found doing. */
typedef enum tenure_straggler_kind {
    TENURE_STRAGGLER_RUNS,    /* runs without coming to a safepoint, or waits for a processor */
    TENURE_STRAGGLER_MUTEX,   /* waits for a pthread mutex or rwlock whose owner is known */
    TENURE_STRAGGLER_JOIN,    /* waits for the end of the thread owner_tid */
    TENURE_STRAGGLER_FUTEX,   /* waits for a condition, a semaphore or a lock that names no owner */
    TENURE_STRAGGLER_SYSCALL, /* in another system call */
    TENURE_STRAGGLER_KERNEL   /* asleep in the kernel outside a system call: a page fault, a debugger */
} tenure_straggler_kind;

typedef struct tenure_straggler {
    const char *name;
    int tid;
    tenure_straggler_kind kind;
    char state;    /* of /proc/TID/stat: R S D T ... */
    long syscall;  /* its number, -1: none */
    int owner_tid; /* MUTEX, JOIN: of the thread that is waited for; else 0 */
    bool deadlock; /* what it waits for cannot come before this stop is over */
    /* Since it last took the slow path of a safepoint (a refill, a poll that found something, the end of a region). It
     * may have passed safepoints that found nothing since then, but none since the stop was requested. */
    uint64_t safepoint_ns;
} tenure_straggler;

typedef struct tenure_straggler_report {
    uint64_t deadline_ns;
    uint64_t waited_ns; /* since the stop was requested; with reached, until it was reached */
    bool reached;       /* the last report of this stop: no stragglers, the text names the last one */
    unsigned late;      /* threads that the stop waits for */
    unsigned count;     /* of them, described below */
    const tenure_straggler *stragglers;
    const char *text; /* the report as it is printed; ends in a newline */
} tenure_straggler_report;

/* Called on the watch's thread while the stop is being waited for: everything that waits for this stop waits on. No
 * heap access. A lock that a late or parked thread may own (malloc's and stdio's are such locks) holds up the watch,
 * and nobody else. The report is valid during the call. */
typedef void tenure_straggler_fn(tenure_heap *heap, const tenure_straggler_report *report, void *arg);

/* Replaces what is done with reports; NULL: text is written to the standard error, as it is in the beginning. Any
 * thread. The handler before may still be running on return. No effect with stop_deadline=0. */
TENURE_API void tenure_straggler_handler(tenure_heap *heap, tenure_straggler_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif
#endif
