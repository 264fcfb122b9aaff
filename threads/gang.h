/* The gang: who works in a stop. The leader of a collection runs a phase; parked mutators that still spin and pool
 * threads join it when they are invited. */
#ifndef TENURE_THREADS_GANG_H
#define TENURE_THREADS_GANG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { TENURE__WORKERS_MAX = 61 };

/* A phase: called once by every worker that takes part, with a number no other worker has at that time. may_trace: the
 * worker stands on a stack of its own, not on a mutator's, and may call the program's trace functions. */
typedef void tenure__phase_fn(void *arg, unsigned worker, bool may_trace);

typedef struct tenure__gang {
    /* Bit 63: open; bits 0..61: workers inside. Release on leaving pairs with the acquire of the leader that closes. */
    _Atomic uint64_t members;
    _Atomic uint32_t invitations; /* changes with every invitation; pool threads sleep on it */
    _Atomic uint32_t wanted;      /* helpers that may still join this phase */
    _Atomic bool pool_wanted;     /* a pool thread may join beside them, as worker number workers */
    _Atomic uint32_t spinners;    /* parked mutators that watch invitations */
    _Atomic bool stopping;
    tenure__phase_fn *phase; /* written by the leader while closed */
    void *arg;               /* likewise */
    unsigned workers;        /* at most so many take part, the leader included (one more when only a pool thread will
                              * do); constant */
    unsigned pool_count;
    bool pool_gone;          /* this process is a child, and has no pool threads yet; the stop lock's owner */
    _Atomic uint64_t cpu_ns; /* CPU time of helpers since the leader reset it */
    pthread_t pool[TENURE__WORKERS_MAX];
} tenure__gang;

/* Starts the pool threads: workers - 1, at least one. 0, or the error of pthread_create with none left running. */
int tenure__gang_start(tenure__gang *gang, unsigned workers);
void tenure__gang_stop(tenure__gang *gang);
/* In a forked child: there are no pool threads. */
void tenure__gang_forked(tenure__gang *gang);
/* Starts them again if there are none. The stop lock's owner, where it may take memory. Without success the leader
 * works alone. */
void tenure__gang_revive(tenure__gang *gang);

/* Runs the phase as worker 0 and returns when everybody who joined has left it. The leader only. */
void tenure__gang_run(tenure__gang *gang, tenure__phase_fn *phase, void *arg, bool may_trace);
/* Asks for that many helpers; from inside a phase. need_pool: at least one pool thread (trace functions). */
void tenure__gang_invite(tenure__gang *gang, unsigned helpers, bool need_pool);
/* Takes part if there is an open, wanted phase. For parked mutators (on_mutator_stack) and pool threads. */
bool tenure__gang_help(tenure__gang *gang, bool on_mutator_stack);

/* Runs fn(arg) on a pool thread, which may call trace functions and has a stack of its own, and waits for it. The owner
 * of a stop, no phase going on. */
void tenure__gang_call(tenure__gang *gang, void (*fn)(void *), void *arg);

#endif
