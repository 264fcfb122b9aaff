/* The torture program of locks and stops: threads do what a seed says with locks, regions, stops and collections, and
 * compare what they find with what has to be.
 *
 * What must hold: nothing hangs (watchdog.c), nothing is lost (finish() in main.c counts), every wait that is entered
 * is left, and who owns a stop runs alone in its heap. */
#ifndef TENURE_STRESS_LOCKS_H
#define TENURE_STRESS_LOCKS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <tenure.h>

enum { HEAPS_MAX = 4, THREADS_MAX = 64, BOXES = 3, GATES = 2, SEMAPHORES = 2, UNITS = 3, CHANNELS = 2, CHAIN = 40 };

typedef struct node {
    struct node *next;
    uint64_t value;
} node;

/* A mutex in a heap object, which moves while nobody holds it or waits for it. It guards count and latest. */
typedef struct box {
    tenure_mutex mutex;
    node *latest; /* its value is count */
    uint64_t count;
} box;

/* A reader-writer lock in plain memory. It guards both counts, which are the same. */
typedef struct gate {
    tenure_rwlock lock;
    uint64_t first, second;
} gate;

/* Who puts takes afterwards: so there is always something for everybody who waits, and a wait that does not end has
 * lost its signal. */
typedef struct channel {
    tenure_mutex mutex;
    tenure_cond filled;
    uint64_t items, put, taken;
} channel;

typedef struct settings {
    uint64_t seed;
    unsigned seconds, threads, heaps, hang_seconds;
    bool fork, stops;
    const char *words;
} settings;

typedef struct worker {
    unsigned index;
    uint64_t random;
    pthread_t thread;
    tenure_thread *self[HEAPS_MAX];
    uint64_t boxed[HEAPS_MAX][BOXES], wrote[GATES];
    _Atomic(const char *) doing;
    _Atomic uint64_t steps;
    _Atomic int tid;
    _Atomic uint64_t ran; /* changes whenever it runs attached, and so not while a heap is stopped */
    _Atomic bool finished;
} worker;

extern settings the_settings;
extern tenure_heap *heaps[HEAPS_MAX];
extern box *boxes[HEAPS_MAX][BOXES]; /* roots */
extern gate gates[GATES];
extern tenure_sem semaphores[SEMAPHORES];
extern channel channels[CHANNELS];
extern worker workers[THREADS_MAX];
extern _Atomic bool time_is_up;
extern _Atomic uint64_t waits_entered, waits_left, latest_ns;

/* node and box are declared types of actions.c. */
node *node_new(tenure_thread *self, uint64_t value);
box *box_new(tenure_thread *self);

uint64_t now_ns(clockid_t clock);
uint32_t draw(worker *w, uint32_t bound);
/* What the thread does next, for the watchdog. */
void doing(worker *w, const char *what);
/* One of the things that a thread can do; attached to all heaps before and after. chain: one for each heap, on the
 * thread's stack, for workers are no root. */
void act(worker *w, node **chain);
void attach_all(worker *w);
void detach_all(worker *w);

/* Ends the program, with the seed, when a thread makes no step for hang_seconds. */
void watchdog_start(void);
void say_command(void);

#define REQUIRE(expression) ((expression) ? (void)0 : require_failed(#expression, __FILE__, __LINE__))
_Noreturn void require_failed(const char *expression, const char *file, int line);

#endif
