/* The model test: a random program on a Tenure heap, and beside it the truth in plain memory.
 *
 * Every object has a shadow, which knows what the object's words must be and where its references lead. Both are
 * changed together, under the shadow's lock, with no safepoint in between; so whenever the world is stopped they must
 * agree.
 *
 * Where the program keeps objects are holders: a slot of some kind of root, and the edge that it should hold. What an
 * operation works with lies in holders as well (the locals), so nothing is known to the program alone. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stdatomic.h>
#include <stdlib.h>
#include <tenure.h>

/* --- where decisions come from: a seed, or bytes that a fuzzer chose --- */

typedef struct source {
    uint64_t state;
    const uint8_t *bytes; /* not NULL: instead of the state */
    size_t left;
    bool ended; /* no bytes left */
} source;

uint64_t model_mix(uint64_t number);
/* In [0, bound); 0 when the source has ended. */
uint32_t model_draw(source *from, uint32_t bound);

/* --- kinds of objects --- */

/* What a word that refers to an object holds besides its address. */
typedef enum form {
    EXACT,  /* nothing */
    TAGGED, /* a tag */
    INSIDE, /* an offset into the object, or its end */
    VAGUE   /* the same, in an ambiguous word */
} form;

/* The object's words: a fixed part, then count elements. A word is a reference or data; elements of zero words are
 * bytes. */
typedef struct kind {
    const char *name;
    void *(*make)(tenure_thread *self, size_t count);
    const tenure_type *(*type)(void);
    uint32_t fixed_words, element_words;
    uint64_t fixed_references, element_references; /* bit i: word i of the part */
    uint64_t inside;                               /* those of the fixed part whose form is INSIDE */
    form form;                                     /* of the others */
    uint32_t least, most;                          /* elements */
    uint32_t weight;
    /* The others are made by calls of their own; nobody stores into them, and of their slots the first (weak) are not
     * kept. */
    enum { ORDINARY, WEAK, EPHEMERON, WATCH, CLEANER, MAP } sort;
    uint32_t weak;
} kind;

enum { KEYS, VALUES, BOTH, SET }; /* maps: indexes of model_map_kinds */
extern const kind model_kinds[];
extern const uint32_t model_kind_count;
extern const kind model_weak_kind, model_ephemeron_kind, model_watch_kind, model_cleaner_kind, model_map_kinds[4];
extern const kind model_token_kind; /* made for one purpose: its first word tells it from all others */
enum { MODEL_REF_TAGS = 0x0007, MODEL_TAGS = 3 };
void model_kinds_prepare(void);

size_t kind_bytes(const kind *of, size_t count);
size_t kind_slots(const kind *of, size_t count);
size_t kind_slot_word(const kind *of, size_t slot);
form kind_slot_form(const kind *of, size_t slot);
/* Slots from here on that lie side by side in the object. */
size_t kind_adjacent(const kind *of, size_t count, size_t slot);
/* The data words of an object of that pattern; false: one differs. */
void kind_fill(const kind *of, void *object, size_t count, size_t from_byte, uint64_t pattern);
bool kind_check(const kind *of, const void *object, size_t count, uint64_t pattern);
uint64_t kind_first_word(uint64_t pattern);

/* --- shadows --- */

typedef struct edge {
    struct shadow *target;
    uintptr_t delta; /* added to the target's address; without target the word itself */
} edge;

typedef struct shadow {
    struct shadow *next; /* in the list of all */
    const kind *kind;
    size_t count;
    uint64_t id, pattern;
    uint64_t hash;  /* identity hash; 0: not asked for */
    uint64_t epoch; /* of the walk that saw it last */
    void *object;   /* where */
    bool settled;   /* by that walk, if it is weak or an ephemeron */
    struct shadow *weak; /* its shared weak reference: the second, and all later ones while it lives */
    struct death *finalizer; /* what is registered for it; of a cleaner, a watch: what is to run */
    struct entry *entries;   /* of a map */
    uint64_t strong;         /* epoch of the walk that met it strongly: not only by what is due */
    atomic_bool cleaned;     /* a cleaner says that it is gone */
    bool vague;              /* a map that may have entries which the model gave up */
    bool busy;               /* some thread registers something of it, or changes the map */
    atomic_flag locked;
    unsigned copiers; /* locked: threads that copy it just now, during which nobody stores into it */
    size_t slots;
    edge edges[];
} shadow;

shadow *shadow_new(const kind *of, size_t count, uint64_t pattern);
void shadow_lock(shadow *of);
void shadow_unlock(shadow *of);
bool shadow_is_shared_weak(const tenure_weak *weak);
/* False: another thread has it. */
bool shadow_begin(shadow *of);
void shadow_end(shadow *of);
static inline uintptr_t *slot_address(const shadow *of, void *object, size_t slot)
{
    return (uintptr_t *)object + kind_slot_word(of->kind, slot);
}
static inline uintptr_t edge_word(edge of, const void *object)
{
    return (of.target == NULL ? 0 : (uintptr_t)object) + of.delta;
}

/* --- holders --- */

typedef enum place {
    FRAME,      /* the stack: scanned, or named by TENURE_FRAME */
    ROOT,       /* tenure_root_add */
    RANGE,      /* tenure_root_range_add, precise */
    VAGUE_RANGE,/* and ambiguous: holds interior pointers */
    CALLBACK,   /* tenure_root_callback_add */
    HANDLE,
    PIN,        /* its address is hidden: the object may not move */
    SAVE_AREA,  /* of a fiber that never ran */
    FIBER,      /* the stack of one that does; written by itself alone */
    TLS,        /* a thread-local variable: found by tenure_root_program, as the next */
    PROGRAM,    /* a static one */
    PLACES
} place;

typedef struct holder {
    place place;
    bool busy; /* in a call that may wait: its slot holds the old or the new object, which locals hold as well */
    uintptr_t *slot;
    tenure_handle *handle;
    edge edge;
} holder;

/* LOCAL_NONE holds nothing. */
enum { LOCAL_A, LOCAL_B, LOCAL_C, LOCAL_LINK, LOCAL_OLD, LOCAL_DYING, LOCAL_TOKEN, LOCAL_NONE, LOCALS };
enum { FRAMES = 12, SLOTS = 6, HOLDERS = FRAMES + (PLACES - ROOT) * SLOTS, SHARED = 16 };

typedef struct thread {
    struct thread *next; /* threads lock */
    tenure_thread *self;
    unsigned index;
    bool child;
    source *source;
    uint64_t step, session_steps;
    const char *operation;
    bool detach_wanted;
    unsigned made; /* since the last look at how much lives */
    holder holders[HOLDERS];
    uintptr_t *memory; /* of all that is not on the stack */
    tenure_stack *fiber;
    struct fiber *running; /* its fiber that runs from time to time; NULL: it has none */
    bool on_fiber;
} thread;

/* From then on the walks know the thread, and its locals may be used; no safepoint. */
void holders_begin(thread *t, uintptr_t *frame);
/* The other places. May wait. */
void holders_open(thread *t);
void holders_close(thread *t);
/* The walks forget it, and its locals; no safepoint. */
void holders_end(thread *t);
/* fibers.c: steps of the program on another stack of this thread, which keeps what it holds until the next time. */
void op_fiber(thread *t);
void fiber_end(thread *t);
/* The object that the holder holds; no safepoint. */
void *holder_object(const holder *of);
/* May wait. The object is what local[from] holds. */
void holder_put(thread *t, holder *into, unsigned from);
void holder_clear(thread *t, holder *into);
/* Locals: never wait. */
void local_set(thread *t, unsigned local, void *object, shadow *target);
static inline shadow *local_shadow(const thread *t, unsigned local) { return t->holders[local].edge.target; }
static inline void *local_object(const thread *t, unsigned local) { return (void *)*t->holders[local].slot; }

/* --- the run --- */

typedef struct model_options {
    uint64_t seed;
    unsigned threads;
    uint64_t steps;       /* a thread */
    uint64_t check_every; /* steps */
    bool precise;
    bool pump;         /* finalizers run where the program pumps, or else on the heap's own thread */
    bool program;      /* tenure_root_program */
    bool resurrects;   /* finalizers do: then less is certain */
    const char *words; /* TENURE_OPTIONS */
    uint64_t dropped;  /* bit: that operation is left out */
    const uint8_t *bytes; /* instead of the seed, if not NULL */
    size_t byte_count;
} model_options;

typedef struct model {
    model_options options;
    tenure_heap *heap;
    uint64_t live_limit; /* bytes that may live before threads let go */
    _Atomic uint64_t live_bytes; /* as the last check saw it */
    _Atomic(shadow *) all;
    _Atomic uint64_t ids;
    uint64_t epoch; /* stopped */
    _Atomic uint64_t compared; /* so many collections there were at the last comparison */
    atomic_int frozen, disabled;
    atomic_bool vague; /* something may have lived that nothing led to */
    atomic_bool ends; /* the heap is being destroyed */
    _Atomic(struct death *) deaths;
    atomic_uint finalized, cleaned, watched, entries_died;
    atomic_uint checks, exact_checks, refusals;
    struct shared_slot {
        atomic_flag locked;
        holder holder;
    } shared[SHARED];
    uintptr_t shared_words[SHARED];
    thread *threads;
    pthread_mutex_t threads_lock;
} model;
extern model the_model;

_Noreturn __attribute__((format(printf, 2, 3))) void model_fail(const thread *t, const char *format, ...);

/* --- getting about (operations.c) --- */

/* The local becomes some object: what a holder holds, or something not far below. */
bool descend(thread *t, unsigned local);
/* A new object in local B; false: no memory. */
bool make(thread *t);
/* A token there, which leads to any object, and perhaps to A's. */
bool make_token(thread *t, bool to_a);
/* Follows a reference of what the local holds; false: it leads nowhere. */
bool follow(thread *t, unsigned local);
/* What a program does when there is no memory: it lets go. */
void let_go(thread *t);
holder *any_holder(thread *t);
void put_shared(thread *t, unsigned local);
/* A reference of what A holds becomes what B holds. */
void link_objects(thread *t);

/* --- what runs when something has died (deaths.c) --- */

void op_finalize(thread *t);
void op_cancel(thread *t);
void op_cleaner(thread *t);
void op_cleaner_use(thread *t);
void op_watch(thread *t);
void op_pump(thread *t);
/* After the heap is gone: every cleaner ran once. */
void deaths_end(void);

/* --- weak maps and sets (maps.c) --- */

void op_map(thread *t);
void op_map_use(thread *t);

/* --- the check, and the whole --- */

/* Stops the world, collects everything, and compares the heap with the shadows. */
void model_check(thread *t);
/* If there was a collection since the last comparison: what the shadows reach is there. */
void model_check_collected(thread *t);

/* One random operation. */
void model_step(thread *t);
extern const char *const model_operations[];
extern const unsigned model_operation_count;

/* Runs a random program of that many steps on a thread attached just now. */
void *model_work(thread *t);
extern _Thread_local thread *model_thread; /* NULL: a thread of the library's own */
/* The whole: heap, threads, a last check. Does not return if something is wrong. */
void model_run(const model_options *options);
/* How to see it again. */
void model_say_command(const model_options *options);

#endif
