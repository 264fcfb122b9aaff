/* Looking into the heap, as Python's gc does.
 *
 * All of these stop the world for as long as they look, every attached thread for the time of a walk over the whole
 * heap (tenure_referents: over one object). Callers are attached and in no region; they may block, and objects may
 * move, as in any call that may collect. Memory for what is found is mapped outside the heap: TENURE_ENOMEM.
 * TENURE_EDEADLK as tenure_stop_world.
 *
 * Callbacks run after the stop, on the caller, with a snapshot of what was found; what it holds stays alive until the
 * call returns. So they may allocate, lock, print, collect and look again without any danger of a deadlock; objects may
 * have changed meanwhile. Between tenure_stop_world and tenure_resume_world of the caller's own everything happens
 * within that stop. They return: neither longjmp nor pthread_exit.
 *
 * Objects that are dead and not collected yet are seen too: a dead one in Gen 1 until a Gen 0+1 collection, in Gen 2
 * until a full one. Who wants the living only calls tenure_collect(self, TENURE_GEN2) before.
 *
 *  Python's gc                         here
 *  collect(generation)                 tenure_collect
 *  enable, disable, isenabled          tenure_enable and tenure_disable (counted), tenure_enabled
 *  set_threshold, get_threshold        tenure_thresholds_set, tenure_thresholds_get
 *  get_count                           tenure_stats: gen0_bytes of gen0_budget_bytes, gen0_collections of gen1_after,
 *                                      gen2_grown_bytes of gen2_growth_bytes
 *  get_stats                           tenure_stats
 *  get_objects(generation)             tenure_each_object
 *  get_referents, get_referrers        tenure_referents, tenure_referrers; tenure_path says why an object is alive
 *  is_tracked                          every object is; of a type without references (tenure_type_of) nothing is read
 *  freeze, unfreeze, get_freeze_count  tenure_freeze, tenure_unfreeze; tenure_stats: frozen_bytes
 *  callbacks                           tenure_listen
 *  DEBUG_STATS                         option log=gc
 *  DEBUG_LEAK, garbage                 option debug=leak: what finalizers keep, and their cycles; at the end all that is
 *                                      alive (tenure/heap.h) */
#ifndef TENURE_INSPECT_H
#define TENURE_INSPECT_H

#include <stdio.h>
#include <tenure/thread.h>
#include <tenure/type.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- objects and references --- */

/* false: no more of them. tenure_type_of, tenure_size_of and tenure_generation_of say what it is. */
typedef bool tenure_object_fn(tenure_thread *self, void *object, void *arg);

/* Every object that was in that generation, -1: in any; once. TENURE_EINVAL: no such generation. */
TENURE_API tenure_status tenure_each_object(tenure_thread *self, int generation, tenure_object_fn *fn, void *arg);

/* What the object refers to, in the order of its fields; an object to which two fields refer comes twice. Weak
 * references are none; an ephemeron refers to its key and its value; a weak map to its entries, objects too. */
TENURE_API tenure_status tenure_referents(tenure_thread *self, void *object, tenure_object_fn *fn, void *arg);

/* The objects that refer to this one, once each. */
TENURE_API tenure_status tenure_referrers(tenure_thread *self, void *object, tenure_object_fn *fn, void *arg);

/* --- why is this alive? --- */

typedef enum tenure_root_kind {
    TENURE_ROOT_STACK,        /* a word on a thread's stack */
    TENURE_ROOT_REGISTER,     /* of a thread */
    TENURE_ROOT_FRAME,        /* a local that TENURE_FRAME names */
    TENURE_ROOT_FIBER,        /* a word on a stack of tenure_stack_add that does not run, or its saved registers */
    TENURE_ROOT_THREAD_LOCAL, /* tenure_root_program: thread-local data */
    TENURE_ROOT_PROGRAM,      /* tenure_root_program: data of the program or a library */
    TENURE_ROOT_SLOT,         /* tenure_root_add */
    TENURE_ROOT_RANGE,        /* tenure_root_range_add */
    TENURE_ROOT_CALLBACK,     /* tenure_root_callback_add: what the callback visits */
    TENURE_ROOT_HANDLE,
    TENURE_ROOT_PIN,       /* tenure_pin */
    TENURE_ROOT_FINALIZER, /* what a registered finalizer or cleaner needs, or one that is due and has not run */
    TENURE_ROOT_LIBRARY /* held by a call that a thread is inside of: tenure_read, tenure_mutex_lock and the like */
} tenure_root_kind;

typedef struct tenure_root {
    tenure_root_kind kind;
    const void *address; /* of the word that holds the reference; CALLBACK: of the function; HANDLE: the handle; REGISTER,
                          * PIN, FINALIZER and LIBRARY: NULL */
    size_t offset;       /* STACK, FIBER: of address above the stack pointer; RANGE, PROGRAM: from symbol, or from the
                          * range's or the file's beginning */
    const char *name;    /* REGISTER: its name; else the symbol that address lies in, if the loader knows it, or NULL */
    const char *file;    /* the program or library that address lies in; NULL: none */
    char thread[32];     /* STACK, REGISTER, FRAME, THREAD_LOCAL, LIBRARY: the thread's name, perhaps empty */
    int tid;             /* and its number; 0: no thread's */
} tenure_root;

typedef struct tenure_path_step {
    size_t index, count; /* 0, 1, ... of that many */
    void *object;        /* that this step leads to */
    const tenure_type *type;
    const tenure_root *root; /* of the first step; NULL in the others, where an object leads to the next: */
    size_t offset;           /* of the field in the object of the step before */
    const char *field;       /* its name as the type's declaration has it, with indexes; NULL: not known */
} tenure_path_step;

/* false: no more steps. What a step points to is valid during the call. */
typedef bool tenure_path_fn(tenure_thread *self, const tenure_path_step *step, void *arg);

/* The shortest way from a root to the object, by breadth-first search from all roots; the last step is the object. The
 * caller's own stack, registers and frames count only if nothing else leads to it: the argument is there in any case.
 * An ephemeron leads to its value if something else leads to its key, and a weak map to its entry likewise; that step's
 * field names the key, or whatever the entry hangs on: "[type address]". TENURE_OK without a call of fn: no root leads
 * to it. */
TENURE_API tenure_status tenure_path(tenure_thread *self, void *object, tenure_path_fn *fn, void *arg);
/* Such an fn: writes a line per step; arg: a FILE. */
TENURE_API bool tenure_path_print(tenure_thread *self, const tenure_path_step *step, void *file);

/* --- the census --- */

typedef struct tenure_census_row {
    const tenure_type *type;
    uint64_t objects, bytes; /* that they occupy, with headers */
    struct {
        uint64_t objects, bytes;
    } generations[3];
    uint64_t large_objects, large_bytes; /* part of the above */
} tenure_census_row;

/* Counts by type; the first max rows of those types that have objects, sorted by bytes, the most first. *count: how
 * many such types there are, perhaps more than max. */
TENURE_API tenure_status tenure_census_read(
    tenure_thread *self, tenure_census_row *rows, size_t max, size_t *count);
/* Writes them as a table, a line per type (as stdio does, outside the stop set). */
TENURE_API tenure_status tenure_census(tenure_thread *self, FILE *out);

/* --- the snapshot --- */

/* Writes all objects, their references and the roots into a file that Chrome's developer tools load (Memory, Load; the
 * name should end in .heapsnapshot), with types and fields by name; what an ephemeron or an entry of a weak map hangs
 * on by a weak reference. Dead objects that were not collected yet hang on no root. The stop lasts as long as two walks
 * over the heap; the file is formatted and written after it, outside the stop set. Memory meanwhile: 16 bytes an object
 * and 8 a reference. TENURE_ESYSTEM: errno says what failed with the file. On failure no file is left. */
TENURE_API tenure_status tenure_snapshot(tenure_thread *self, const char *path);

/* --- soundness --- */

/* Checks every invariant. TENURE_EINVAL, and the first fault on stderr. */
TENURE_API tenure_status tenure_verify(tenure_thread *self);

#ifdef __cplusplus
}
#endif
#endif
