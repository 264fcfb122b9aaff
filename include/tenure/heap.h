/* The heap: options, creation, collection on demand, thresholds.
 *
 * A process may have several heaps; a thread may be attached to several. Nothing here blocks or collects unless it
 * says so. Functions that take a heap may be called from any thread, attached or not. */
#ifndef TENURE_HEAP_H
#define TENURE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TENURE_VERSION_MAJOR 0
#define TENURE_VERSION_MINOR 1
#define TENURE_VERSION_PATCH 0
#define TENURE_VERSION_NUMBER (TENURE_VERSION_MAJOR * 10000 + TENURE_VERSION_MINOR * 100 + TENURE_VERSION_PATCH)

#if defined(__GNUC__)
#define TENURE_API __attribute__((visibility("default")))
#define TENURE__HIDDEN __attribute__((visibility("hidden")))
#else
#error "Tenure needs gcc or clang"
#endif

typedef struct tenure_heap tenure_heap;
typedef struct tenure_thread tenure_thread;

typedef enum tenure_status {
    TENURE_OK = 0,
    TENURE_ENOMEM,
    TENURE_EINVAL,
    TENURE_EBUSY,
    TENURE_EDEADLK,
    TENURE_ETIMEDOUT,
    TENURE_EPERM,  /* not attached, not the owner */
    TENURE_ESYSTEM /* errno says which */
} tenure_status;

/* The generations; as an argument of tenure_collect: that one and the younger. */
typedef enum tenure_generation { TENURE_GEN0 = 0, TENURE_GEN1 = 1, TENURE_GEN2 = 2 } tenure_generation;

typedef enum tenure_roots {
    TENURE_ROOTS_CONSERVATIVE, /* stacks and registers are scanned; nothing to do for locals */
    TENURE_ROOTS_PRECISE       /* locals that live across a call that may collect are named by TENURE_FRAME */
} tenure_roots;

typedef enum tenure_rcu {
    TENURE_RCU_ON, /* attached threads are urcu-qsbr readers, quiescent at safepoints */
    TENURE_RCU_OFF /* the host registers its readers; parking still takes a registered one offline and puts it back */
} tenure_rcu;

/* Where finalizers, cleaners and death callbacks run (tenure/finalizer.h). */
typedef enum tenure_finalizers {
    TENURE_THREAD, /* on a thread of the heap's own, started at first need */
    TENURE_PUMP    /* where the program calls tenure_finalizers_pump */
} tenure_finalizers;

typedef enum tenure_lead { TENURE_LEAD_MUTATOR, TENURE_LEAD_DAEMON } tenure_lead;

/* Bits of tenure_options.debug, tenure_options.verify and tenure_options.torture. */
enum {
    /* A full collection in which finalizers became due reports what they alone keep alive, by type, and what of that
     * lies on cycles: to listeners (TENURE_EVENT_LEAK in tenure/event.h) and, once a second at most, on stderr, outside
     * the stop. The stop is longer by a walk over those objects; without address space for it (a quarter of the
     * arena's, and the heap's size once more) there is no report. tenure_heap_destroy writes to stderr what is still
     * alive, by type. */
    TENURE_DEBUG_LEAK = 1
};
enum {
    TENURE_VERIFY_BEFORE = 1,
    TENURE_VERIFY_AFTER = 2,
    TENURE_VERIFY_PHASES = 4, /* and between the phases of a collection, what must hold there */
    TENURE_VERIFY_ALL = 7
};
enum {
    TENURE_CHECK_LOCKS = 1,
    /* Finds in the next collection a reference that was stored into an older object without the barrier: says which
     * field of which type, and where the object was allocated. Not in ambiguous objects. Every allocation takes the
     * slow path and notes its caller; every collection walks all older objects. */
    TENURE_CHECK_BARRIERS = 2,
    /* Finds in heaps with precise roots (others ignore it) a local or variable that is no root: every allocation, and
     * every other call of an attached thread that lets stops in (polls, ends of regions, lock and condition calls
     * whether they wait or not, registering roots, stopping the world, fork; calls on other heaps of the thread; or
     * every Nth of them, with torture=alloc:N) is a full collection that moves all that can move and takes the access
     * to where it was. The first use of a stale pointer is told, with the object's type, place, and where it was
     * allocated, by a handler for SIGSEGV; other faults go to the handler that the program had before the first such
     * heap was created. */
    TENURE_CHECK_ROOTS = 4,
    /* Notes where every object is allocated. When AddressSanitizer (the library built with it, too) reports a use of
     * what is free, a line says what was there, and where it was allocated; valgrind's own reports do (a library with
     * asserts, built where valgrind's headers are). In any heap; without these tools it does nothing. The other two
     * note it as well. */
    TENURE_CHECK_USES = 8,
    TENURE_CHECK_ALL = 15
};
enum {
    TENURE_TORTURE_POLL = 1,     /* collect at every poll, and at the end of every region */
    TENURE_TORTURE_OVERFLOW = 2, /* hardly any packets: work lists and log buffers overflow all the time */
    TENURE_TORTURE_EVACUATE = 4, /* full collections evacuate every block that they can */
    TENURE_TORTURE_NOSPACE = 8   /* every other copy finds no memory and stays where it is */
};

/* Calls of the library to the system that fail as they might under load, for tests of a program's error branches and of
 * the library's: fractions in millionths. From the creation of a heap with this option to its destruction they hold for
 * the whole process. Which calls fail follows from the seed and the number of the call. */
typedef struct tenure_faults {
    bool on;
    uint64_t map;     /* [mmap:0.01] of mmap */
    uint64_t advise;  /* [madvise:0.01] of madvise */
    uint64_t protect; /* [mprotect:0.01] of mprotect */
    uint64_t thread;  /* [thread:0.01] of pthread_create */
    uint64_t memory;  /* [malloc:0.01] of malloc and its like */
    uint64_t nth;     /* [nth:N] the Nth of all these calls fails; 0: none does for its number */
    uint64_t seed;    /* [seed:N] */
} tenure_faults;

/* Fields with a word in brackets can be set by that word in tenure_options_parse and in the environment; the others
 * change a program's meaning and are set in code only. Zero means "the library decides" unless the field says
 * otherwise. */
typedef struct tenure_options {
    uint32_t size;    /* sizeof(tenure_options), set by tenure_options_init: the library checks it */
    uint32_t version; /* TENURE_VERSION_NUMBER of the code that was compiled in */
    tenure_roots roots;
    tenure_rcu rcu;
    tenure_finalizers finalizers;
    int finalizers_eventfd;  /* a descriptor that 1 is written to, as eventfd wants it, when some are due; 0: none */
    uint16_t ref_tags;       /* bit t set: low four bits t mean "reference" (default 0x0001: untagged only) */
    uint64_t ambiguous_mask; /* bits that are cleared from ambiguous words before they are looked up (NaN-boxing) */
    const char *environment; /* variable that tenure_options_init reads; NULL: none */

    uint64_t max_heap;      /* [max_heap] bytes; default three quarters of the memory that the container may use */
    uint64_t gen0;          /* [gen0] bytes of Gen 0 budget; default 0.5 to 16 MiB per running mutator, adapted */
    uint32_t gen1_after;    /* [gen1_after] Gen 0 collections before a Gen 0+1; default 4, adapted */
    uint32_t gen2_growth;   /* [gen2_growth] per cent that Gen 2 may grow since it was last marked; default adapted */
    uint64_t pause_target;  /* [pause_target] nanoseconds a young pause should not exceed; default 2 ms */
    uint32_t workers;       /* [workers] threads that may collect in parallel; default the usable processors */
    tenure_lead lead;       /* [lead=mutator|daemon] who leads young collections */
    uint64_t return_delay;  /* [return_delay] nanoseconds before free memory goes back to the system; default 1 s */
    uint64_t destroy_wait;  /* [destroy_wait] nanoseconds that tenure_heap_destroy gives to finalizers; default 1 s */
    bool huge_pages;        /* [huge_pages=on|off] transparent huge pages for small objects; default on */
    uint64_t lock_grace;    /* [lock_grace] nanoseconds that a thread which holds locks that others wait for may run on
                             * when a stop is requested; 0: not at all; at most 1 ms; default 10 us */
    uint64_t stop_deadline; /* [stop_deadline] nanoseconds within which a stop is reached, or a report says who is late
                             * (tenure/straggler.h); 0: no reports; default 1 s */
    bool stop_deadline_stack; /* [stop_deadline_stack=on|off] the report asks late threads for their stacks, by a
                               * real-time signal that nobody uses: calls that are not restarted return EINTR;
                               * default off */
    bool log_gc;            /* [log=gc] a line per collection on stderr, outside of stops */
    uint32_t debug;         /* [debug=leak] */
    uint32_t verify;        /* [verify=before,after,all] walk and check the whole heap around every collection; all: and at
                             * every phase boundary within */
    uint32_t check;         /* [check=locks,barriers,roots,uses] the program's use of locks (tenure/lock.h), barriers, roots and * dead objects. Faults are printed and abort */
    uint32_t torture;       /* [torture=poll,overflow,evacuate,nospace] */
    uint64_t torture_alloc; /* [torture=alloc:N] collect at every Nth allocation; freed memory is poisoned */
    tenure_faults fault;    /* [fault=mmap:0.01,thread:0.1,seed:7] */
} tenure_options;

/* Defaults, then the environment variable TENURE_OPTIONS. On TENURE_EINVAL err (err_size bytes, may be NULL) names the
 * bad word, and the options are the defaults. */
TENURE_API tenure_status tenure_options_init(tenure_options *options, char *err, size_t err_size);

/* Reads "max_heap=1g,gen0=8m,log=gc": sizes with k m g, times with ns us ms s. On TENURE_EINVAL the options are as
 * they were and err names the bad word. Lists within a value are separated by '+' or ',' ("verify=before,after"). */
TENURE_API tenure_status tenure_options_parse(tenure_options *options, const char *text, char *err, size_t err_size);

/* Creates a heap and its daemon thread. options NULL: as tenure_options_init leaves them (TENURE_EINVAL if the
 * environment is malformed). TENURE_ENOMEM: no address space or memory; TENURE_ESYSTEM: no thread; TENURE_EINVAL:
 * options that contradict, or a header of another version. On failure nothing is left behind and *out is NULL. */
TENURE_API tenure_status tenure_heap_create(tenure_heap **out, const tenure_options *options_or_null);

/* Destroys the heap and all objects. Before that finalizers of what is unreachable and all cleaners run, in rounds
 * while they register more, for destroy_wait at most. TENURE_EBUSY while a thread is attached, and from a listener of
 * the heap's; or a finalizer has not returned after destroy_wait on the finalizer thread: then the heap goes on, and
 * may be destroyed later; but cleaners of living objects have run, or will. Blocks. */
TENURE_API tenure_status tenure_heap_destroy(tenure_heap *heap);

/* Collects that generation and the younger, and Gen 1 too when its turn has come (gen1_after), in the caller's own stop
 * also Gen 2 (gen2_growth); finished on return. Attached callers only; may block, may collect. TENURE_EBUSY while
 * collections are disabled. */
TENURE_API tenure_status tenure_collect(tenure_thread *self, tenure_generation generation);

typedef struct tenure_thresholds {
    uint64_t gen0_bytes;          /* Gen 0 budget; 0: adapted */
    uint32_t gen1_after;          /* Gen 0 collections before a Gen 0+1; 0: adapted */
    uint32_t gen2_growth_percent; /* growth of Gen 2 before it is collected; 0: adapted */
} tenure_thresholds;
/* Both may block, and objects may move. */
TENURE_API void tenure_thresholds_get(tenure_heap *heap, tenure_thresholds *out);
TENURE_API void tenure_thresholds_set(tenure_heap *heap, const tenure_thresholds *thresholds);

/* As Python's gc: while disabled (counted), the heap grows until max_heap instead of collecting; at max_heap it
 * collects all the same rather than fail. */
TENURE_API void tenure_disable(tenure_heap *heap);
TENURE_API void tenure_enable(tenure_heap *heap);
TENURE_API bool tenure_enabled(tenure_heap *heap);

/* As Python's gc.freeze: all that lives now leaves the collected set (after a full collection) until tenure_unfreeze.
 * Attached callers only; may block, may collect. */
TENURE_API tenure_status tenure_freeze(tenure_thread *self);
TENURE_API tenure_status tenure_unfreeze(tenure_thread *self);

/* Last word before an allocation returns NULL: called on the allocating thread after every collection failed, with the
 * bytes wanted; true: memory was let go, collect and try once more. It must not allocate from the heap. Setting it may
 * block, and objects may move. */
typedef bool tenure_oom_fn(tenure_thread *self, size_t bytes, void *arg);
TENURE_API void tenure_oom_handler(tenure_heap *heap, tenure_oom_fn *fn, void *arg);

TENURE_API const char *tenure_strerror(tenure_status status);
TENURE_API const char *tenure_version(void);

#ifdef __cplusplus
}
#endif
#endif
