/* A mutator: an attached thread's record; and the world: the set of a heap's mutators and how they are stopped.
 *
 * threads/ knows how threads stop and start and nothing of objects. What it asks of the collector is in threads/host.h.
 * The protocol and its memory-order argument: threads/README.md. */
#ifndef TENURE_THREADS_MUTATOR_H
#define TENURE_THREADS_MUTATOR_H

#include "threads/fair_lock.h"
#include "threads/gang.h"
#include "threads/rcu.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <tenure/lock.h>

/* The state word: a mode and flags. Only RUNNING mutators are waited for by a stop. */
enum {
    TENURE__RUNNING = 0,
    TENURE__BLOCKED = 1, /* in a blocking region, or waiting to come back from one */
    TENURE__IDLE = 2,    /* the same, and nobody writes references into its stack */
    TENURE__PARKED = 3,  /* waits at a safepoint */
    TENURE__MODE = 3,
    TENURE__STOP = 4,     /* claimed by a stop: leaving BLOCKED, IDLE or PARKED has to wait */
    TENURE__RETURNING = 8, /* the owner was refused by the stop, and waits for its end in tenure__reacquire */
    TENURE__DORMANT = 16,  /* on the dormant list: the owner has to move itself back before it runs */
    TENURE__PASSED = 32    /* RETURNING when a stop ended: if it is still when the next one ends, it is let in */
};

enum {
    TENURE__SAVED_REGISTERS = 20,
    TENURE__SCRATCH = 5,
    TENURE__SCRATCH_IO = 2,  /* and the next; from here on: pinned, where they may lead into an object */
    TENURE__SCRATCH_DUP = 4, /* while the program's handler for lack of memory may use the others */
    TENURE__NAME_BYTES = 32,
    TENURE__TLS_RANGES = 16,
    TENURE__ENTRIES_MAX = 8,
    TENURE__ENTERED_MAX = 32 /* from regions, those of all of a thread's heaps together */
};

/* What tenure_leave goes back to. */
struct tenure__entry {
    uint32_t depth, mode;
    uintptr_t registers[TENURE__SAVED_REGISTERS]; /* at the region's entry */
    uintptr_t stack_pointer;
};

typedef struct tenure__world tenure__world;
typedef struct tenure__os_thread tenure__os_thread;
typedef struct tenure__watch tenure__watch; /* threads/report_watch.c */

typedef struct tenure__mutator {
    tenure_thread record; /* what inlined code reads; first */

    /* Written by the owner's assembly stubs before the state word is released, read in stops. The offsets are known to
     * threads/context_*.S. */
    uintptr_t registers[TENURE__SAVED_REGISTERS];
    uintptr_t stack_pointer;
    uint32_t depth; /* owner only: nesting of regions */
    bool went_back; /* owner, before releasing the state: tenure_leave has gone back into the region */
    uintptr_t entry_registers[TENURE__SAVED_REGISTERS]; /* then: at the region's entry. The code of the region may have
                                                         * restored them from frames that are gone */

    _Atomic uint32_t state;
    uint32_t idle_entries;            /* owner, before releasing the state: how often an idle region was entered */
    _Atomic uint32_t scanned_entries; /* in stops: idle_entries when the stack was last scanned */
    _Atomic uint32_t
        aged_entries;      /* in stops: the same, in a collection after which all that it refers to is in Gen 2 */
    uint64_t stack_hash;   /* in stops, checked heaps: when the stack of an idle thread was last scanned */
    uint32_t idle_stops;   /* in stops: how many stops found it idle without a change */
    uint32_t attach_count; /* owner only */
    uint32_t entries;      /* owner only: tenure_enter without tenure_leave */
    struct tenure__entry entry[TENURE__ENTRIES_MAX]; /* owner only */

    tenure__world *world;
    tenure__os_thread *os;
    struct tenure__mutator *sibling; /* next record of this thread, of another heap; owner only */
    struct cds_list_head link;       /* active or dormant list; stop lock */
    struct cds_list_head every_link; /* all records; stop lock to write, read under RCU */
    _Atomic uint64_t scan_claim;     /* in stops: the collection whose worker has claimed this stack */
    struct rcu_head retired;

    uintptr_t stack_base;                        /* constant: high end of the thread's own stack */
    struct tenure_stack *fiber;                  /* owner: the fiber that runs; NULL: the thread's own stack */
    /* Owner: of each tenure_enter from a region, what was the innermost frame then. Whoever called from the region uses
     * what these and the outer frames name: it stays where it is. */
    struct tenure__frame *entered_from[TENURE__ENTERED_MAX];
    uintptr_t own_stack_pointer;                 /* owner: of the thread's own stack while a fiber runs */
    uintptr_t own_save[TENURE__SAVED_REGISTERS]; /* registers at that switch */
    struct tenure__frame *own_frames;            /* of its own stack while a fiber runs */
    uintptr_t scratch[TENURE__SCRATCH]; /* owner: references that the library holds across a safepoint; precise roots */
    const struct iovec *io_vector; /* owner: what it reads into or writes from in a call of the system; pinned */
    int io_count;
    struct tenure__tls {
        uintptr_t start, end;
    } tls[TENURE__TLS_RANGES]; /* constant: thread-local data of the libraries loaded at attach; tenure_root_program */
    unsigned tls_count;

    bool in_grace; /* owner: runs on in a stop that is requested, holding a lock that others wait for */
    _Atomic uint64_t polled_ns; /* owner: when it last took a safepoint's slow path, by the coarse clock; reports */
    pid_t tid;
    char name[TENURE__NAME_BYTES]; /* owner writes, reports read; at worst a torn name */
} tenure__mutator;

static_assert(offsetof(tenure__mutator, registers) == 64, "known to threads/context_*.S");
static_assert(offsetof(tenure__mutator, stack_pointer) == 224, "known to threads/context_*.S");
static_assert(offsetof(tenure__mutator, depth) == 232, "known to threads/context_*.S");

/* A lock that a thread holds. Written by the owner alone; others see it racing unless the thread is PARKED. */
typedef struct tenure__held {
    _Atomic(tenure__lock *) lock;
    _Atomic(const void *) site; /* return address of the call that took it */
} tenure__held;

enum { TENURE__HELD_INLINE = 8 };

/* An OS thread: its records in all heaps. They run, park and block together: else the stops of two heaps could wait for
 * each other. Owner only, but for what is atomic. It lies in the thread's TLS: others may look at it while the thread
 * is attached, which the stop lock or a stop ensures. */
struct tenure__os_thread {
    tenure__mutator *records; /* siblings lock, to write and for others to read */
    _Atomic unsigned record_count;
    unsigned own_locks; /* locks of the library that it holds or waits for: tenure__own_lock */
    unsigned rcu_users; /* heaps for which this thread was registered as a reader by us */
    bool rcu_registered;
    bool rcu_comes_back; /* it was online when it was released */
    bool in_phase;       /* works for a stop: what it calls may not fork */
    unsigned fork_holds; /* tenure__fork_hold */
    int cancel_state;    /* while it forks: what it was */
    unsigned entered;    /* calls of tenure_enter from a region that have not ended */
    bool inside;         /* for the thread's signal handlers: a call is changing what another would need */

    /* Locks; threads/lock.c. Who looks at the held ones while the thread may run reads held_count (acquire), then held
     * (acquire), and goes down from the end: what is taken out is filled from above. The arrays of a thread that
     * outgrew them stay until it ends. Any heap's locks, whichever record they were taken with. */
    _Atomic uint32_t held_count; /* lock depth */
    uint32_t held_capacity;
    bool check_locks; /* since it was first attached to a heap with check=locks */
    bool check_roots; /* likewise with check=roots */
    uint32_t held_fast; /* the fast path takes so many: held_capacity, or 0 when every lock is to be looked at */
    _Atomic(tenure__held *) held; /* NULL before the first */
    tenure__held held_inline[TENURE__HELD_INLINE];
    struct tenure__held_array *held_arrays; /* owner only: all that were made, the newest first */
    /* While it waits for a lock, a condition or a semaphore; atomic, relaxed: advice to reports, but what a stop pins
     * is ordered by the release of the state. */
    _Atomic(tenure__lock *) awaited;       /* NULL: it waits for none */
    _Atomic(tenure__lock *) awaited_mutex; /* of a condition wait: what it takes back afterwards */
    _Atomic(const void *) awaited_site;    /* return address of the call that waits */
    _Atomic uint64_t awaited_since_ns;     /* tenure__now_ns */
};

struct tenure__world {
    tenure__fair_lock stop_lock;  /* held for the whole of a stop; guards the lists below and the roots */
    struct cds_list_head every;   /* all records, for readers under RCU */
    struct cds_list_head active;  /* mutators that every stop looks at */
    struct cds_list_head dormant; /* idle for several stops: only stops for full collections look at them */
    _Atomic uint64_t attached, dormant_count;
    _Atomic uint64_t retired; /* records that wait for their grace period */

    _Atomic uint64_t request;     /* odd: a stop is requested or going on; stop lock, to write */
    _Atomic uint64_t requested_ns; /* when; relaxed: written before request, for graces and figures */
    uint64_t lock_grace_ns;       /* constant; how long holders of awaited locks may run on */
    _Atomic uint32_t outstanding; /* running mutators that a stop still waits for; while it counts them, less that
                                   * number (modulo 2^32); 0 between stops */
    _Atomic uint32_t resumes;     /* changes with every resume; futex of the mutators that wait for it */
    _Atomic uint32_t asleep;      /* so many may sleep on it */
    _Atomic bool leader_sleeping;
    _Atomic(tenure__mutator *) last_stopped; /* the latest one to be counted out */
    _Atomic(tenure__mutator *) owner; /* of tenure_stop_world; stop lock to write. Relaxed: only a thread that looks for
                                       * itself reads it without the lock */
    struct cds_list_head world_link;  /* all worlds; worlds lock */
    unsigned owner_depth;             /* stop lock */
    bool stop_dormant;                /* this stop claimed the dormant list too; stop lock */
    bool fork_stopped;                /* this stop is a fork's; stop lock */
    _Atomic bool spinning_pays;       /* fewer runners than processors, judged at each stop; relaxed: advice */
    unsigned processors;
    bool check_locks;    /* constant */
    bool check_roots;    /* constant: every call that lets stops in moves everything */
    bool rcu;            /* attached threads are registered readers */
    bool checked;        /* constant: more is looked for that a program must not do */
    size_t record_bytes; /* of the collector's record, which starts with a tenure__mutator */
    tenure__gang gang;
    struct tenure_heap *heap;
    tenure__watch *watch; /* constant; NULL: no deadline for stops */
    _Atomic uint64_t lock_stops, lock_holders, lock_waiters, lock_held_ns; /* threads/lock_stats.c */
};

static inline tenure__mutator *tenure__mutator_of(tenure_thread *self) { return (tenure__mutator *)self; }

/* Between tenure_stop_world and tenure_resume_world the owner's record stays PARKED and claimed; the thread runs by
 * owning the stop. Whatever releases, takes back or waits passes over such a record. */
static inline bool tenure__owns_stop(const tenure__mutator *mutator)
{
    return atomic_load_explicit(&mutator->world->owner, memory_order_relaxed) == mutator;
}

/* --- registry.c --- */

/* Guards the lists of siblings. Nobody parks, blocks or takes another lock while holding it. */
extern pthread_mutex_t tenure__siblings_lock;

/* dl_iterate_phdr. The lock is fork's, which holds it: whoever is inside holds the loader's, and a child would inherit
 * that. fn does not park, and takes no lock but malloc's. */
extern pthread_mutex_t tenure__loader_lock;
struct dl_phdr_info;
typedef int tenure__library_fn(struct dl_phdr_info *info, size_t size, void *arg);
void tenure__each_library(tenure__library_fn *fn, void *arg);

/* TENURE_ENOMEM or TENURE_ESYSTEM; the gang is started by the caller. */
tenure_status tenure__world_init(tenure__world *world, struct tenure_heap *heap, size_t record_bytes);
void tenure__world_destroy(tenure__world *world);
tenure__os_thread *tenure__os_thread_self(void);
/* Whether the thread holds a lock that others wait for. Owner, or while it is PARKED. */
bool tenure__holds_awaited(const tenure__os_thread *os);
/* In a forked child, of a thread that it does not have: it waits for nothing. */
void tenure__await_forked(tenure__os_thread *os);
/* More room for held locks. False: no memory. */
bool tenure__held_grow(tenure__os_thread *os);
/* Takes the thread's reader offline, and puts it back if it was online. */
void tenure__rcu_park(tenure__os_thread *os);
void tenure__rcu_unpark(tenure__os_thread *os);
/* All worlds of the process, the latest first. */
extern pthread_mutex_t tenure__worlds_lock;
extern struct cds_list_head tenure__worlds;
/* The same, under RCU for their records. */
void tenure__each_world(void (*fn)(tenure__world *));
/* Moves a dormant mutator of the caller back to the active list. The caller is blocked. */
void tenure__wake_dormant(tenure__mutator *mutator);
/* In a forked child: what the records of the threads that it does not have hold is handed to the heap, and they are
 * gone. Stopped. */
void tenure__drop_others(tenure__world *world);

/* --- safepoint.c: for the collector --- */

typedef struct tenure__reach {
    unsigned waited_for;   /* running mutators at the request */
    tenure__mutator *last; /* of them, the last to stop; NULL: none */
    bool late;             /* it was not reached within stop_deadline */
} tenure__reach;

/* Stops the world: on return no mutator runs and none can until tenure__world_resume. The caller holds the stop lock
 * and is not running itself (a mutator has released its state). dormant: the dormant list is claimed too. */
tenure__reach tenure__world_stop(tenure__world *world, bool dormant);
void tenure__world_resume(tenure__world *world);

/* Saves the callee-saved registers and the caller's stack pointer in the record, then calls fn(mutator, arg): whatever
 * parks is called through here. Assembly. */
void tenure__with_context(tenure__mutator *mutator, void (*fn)(tenure__mutator *, void *), void *arg);

/* Releases the state words of all records of the thread (context saved): from here stops do not wait for it. */
void tenure__release(tenure__mutator *mutator, uint32_t mode);
/* A context saved while the records are released: the others get it too. The stop locks are held. */
void tenure__share_context(tenure__mutator *mutator);
/* Takes them back: waits while a stop is going on (helping the gang), then runs. */
void tenure__reacquire(tenure__mutator *mutator);
/* Takes them back if no stop holds them; false: the thread is still out. */
bool tenure__try_reacquire(tenure__mutator *mutator);
/* Parks if a stop is requested; true: it did. False also for who holds locks that others wait for and may run on for
 * lock_grace. May collect (others may). */
bool tenure__safepoint(tenure__mutator *mutator);
/* In calls that let stops in: in heaps with check=roots everything moves, also where the call would not wait; not in
 * but's. Owner; nothing of the library's is half done. May collect. */
void tenure__pass_slow(tenure__os_thread *os, const tenure__mutator *but);
static inline void tenure__pass(tenure__os_thread *os, const tenure__mutator *but)
{
    if (os->check_roots) tenure__pass_slow(os, but);
}

/* Takes the stop lock as mutator (blocked meanwhile, RUNNING again on return unless stay_released). The lock is held
 * for short by whoever runs; nobody parks owning it but the leader of a stop. */
void tenure__lock_stop(tenure__world *world);
bool tenure__trylock_stop(tenure__world *world);
void tenure__unlock_stop(tenure__world *world);

/* --- lock_check.c: check=locks --- */

/* Whether the thread's limit is poisoned: it holds a lock declared no-GC. Owner. */
bool tenure__check_poisons(const tenure__os_thread *os);
/* call may collect: aborts if it holds such a lock. Owner. */
void tenure__check_gc(const tenure__os_thread *os, const char *call);
/* The calling thread, attached and in no region, has waited in a call of the system's, made from site: aborts. */
_Noreturn void tenure__check_failed_call(const char *call, const void *site);

/* Stopped: what this pause does to locks, for the statistics. */
void tenure__count_parked_holders(tenure__world *world);

/* Stopped: the mutator has been idle for long; young stops do not look at it until its owner comes back. */
void tenure__make_dormant(tenure__mutator *mutator);

/* Publishes an allocation limit: the store, then a look at the request; poisoned again if a stop came in between. */
void tenure__set_limit(tenure__mutator *mutator, uintptr_t limit);

/* Between the two every running mutator of every heap takes its slow path at every poll, and is quiescent there: a
 * grace period is being waited for. The caller holds no stop lock. */
void tenure__rcu_hurry_begin(void);
void tenure__rcu_hurry_end(void);
/* In a forked child nobody waits. */
void tenure__rcu_hurry_none(void);

/* Runs fn(arg) with the calling thread out of all stop sets, if it was in any. */
void tenure__outside(void (*fn)(void *), void *arg);

/* --- signals.c --- */

_Noreturn void tenure__refuse_reentry(const char *call);
void tenure__require_in_slow(const tenure__mutator *mutator, const char *call);

/* For calls that a thread may make only while it runs: not in a region, and not from a signal handler. A handler is
 * recognised by what it interrupted: a wait of the library's (the record is not RUNNING) or a change (inside). */
static inline void tenure__require_in(const tenure__mutator *mutator, const char *call)
{
    if (__builtin_expect((atomic_load_explicit(&mutator->state, memory_order_relaxed) & TENURE__MODE) !=
                                 TENURE__RUNNING || mutator->os->inside || mutator->world->checked, 0))
        tenure__require_in_slow(mutator, call);
}

/* Around what a handler must not find half done. The fences are for the compiler: a handler runs on the same thread. */
static inline void tenure__inside_begin(tenure__mutator *mutator, const char *call)
{
    if (__builtin_expect(mutator->os->inside, 0)) tenure__refuse_reentry(call);
    mutator->os->inside = true;
    atomic_signal_fence(memory_order_seq_cst);
}
static inline void tenure__inside_end(tenure__mutator *mutator)
{
    atomic_signal_fence(memory_order_seq_cst);
    mutator->os->inside = false;
}

/* --- fork.c --- */

/* Between the two no other thread forks: for who owns a stop or waits for a grace period, in which a child would be
 * stuck. Nests. hold waits for a fork that is going on: the caller holds no lock and runs nowhere (or owns a stop, and
 * so holds already). */
void tenure__fork_hold(void);
void tenure__fork_unhold(void);
/* False instead of waiting; the caller lets its locks go and holds for a moment. */
bool tenure__fork_try_hold(void);

/* --- blocking.c --- */

/* tenure_leave_blocking if no stop holds the thread; false: it is still inside. */
bool tenure__try_leave_blocking(tenure_thread *self);

/* --- io.c --- */

/* What a call of the system was given is pinned no more, unless the thread is still in a region. Owner. */
void tenure__io_over(tenure__mutator *mutator);

/* --- interposed.c --- */

/* Tells the interposer, if the process has one, of this copy of the library. */
void tenure__interpose_announce(void);
/* Locks of the library that a thread takes while it is RUNNING. No call that the thread makes until it has unlocked
 * becomes a region: it is in the middle of something that no stop may see. */
void tenure__own_lock(pthread_mutex_t *mutex);
void tenure__own_unlock(pthread_mutex_t *mutex);
/* The same to the thread's end, which is near: for what it prints before it aborts. */
void tenure__own_last_words(void);

/* --- safepoint.c: what everybody needs --- */

/* Misuse by the program: prints the call and the rule, aborts. */
_Noreturn void tenure__misuse(const char *call, const char *rule);
/* A system call that cannot fail failed. */
_Noreturn void tenure__fatal(const char *function, int line, int error);
#define TENURE__MUST(call)                                                          \
    do {                                                                            \
        const int tenure__result = (call);                                          \
        if (tenure__result != 0) tenure__fatal(__func__, __LINE__, tenure__result); \
    } while (0)

uint64_t tenure__now_ns(void);    /* CLOCK_MONOTONIC */
uint64_t tenure__coarse_ns(void); /* the same as of the last tick, some milliseconds behind, at a quarter of the cost */
uint64_t tenure__cpu_ns(void);    /* of this thread */

/* The owner is at a safepoint, and not on the fast path. Relaxed: only reports look. */
static inline void tenure__note_poll(tenure__mutator *mutator)
{
    atomic_store_explicit(&mutator->polled_ns, tenure__coarse_ns(), memory_order_relaxed);
}

#endif
