/* The heap's private structure. What guards what:
 *   stop lock   the world's lists, roots, handles, pins; everything marked "stop lock"
 *   stopped     written by the leader or the workers of a stop, read at any time after
 *   large lock  runs of blocks while mutators run (in a stop nobody holds it and nobody needs it)
 *   atomic      the field itself */
#ifndef TENURE_LIB_HEAP_HEAP_H
#define TENURE_LIB_HEAP_HEAP_H

#include "lib/collection/event.h"
#include "lib/heap/block.h"
#include "lib/heap/poison.h"
#include "lib/heap/record.h"
#include "lib/heap/type.h"
#include "lib/inspect/listen.h"
#include "threads/mutator.h"
#include <tenure.h>

/* --- packets: 63 words, for promotion queues, work lists and log buffers --- */

enum { TENURE__PACKET_ENTRIES = 63 };
typedef struct tenure__packet {
    uint32_t next; /* in a list, 0: none */
    uint32_t count;
    uintptr_t entries[TENURE__PACKET_ENTRIES];
} tenure__packet;

/* A stack of indexes with a tag against ABA: (tag << 32) | index, index 0: empty. */
typedef _Atomic uint64_t tenure__index_stack;

typedef struct tenure__packets {
    tenure__packet *pool; /* index 1 on */
    size_t pool_bytes;
    uint32_t capacity;
    _Atomic uint32_t used; /* never handed out from here on */
    tenure__index_stack free;
} tenure__packets;

/* --- references, one by one (references.c) --- */

typedef enum tenure__reference {
    TENURE__REFERENCE_PRECISE,  /* followed if its tag says so */
    TENURE__REFERENCE_INTERIOR, /* to or into an object */
    TENURE__REFERENCE_WORD      /* ambiguous: perhaps to an object */
} tenure__reference;
typedef void tenure__reference_fn(void *arg, uintptr_t slot, tenure__reference kind);

/* --- where copies go --- */

enum { TENURE__PLAIN, TENURE__LEAF, TENURE__APART_AMBIGUOUS, TENURE__BLOCK_SORTS };
static inline uint8_t tenure__sort_kind(unsigned sort)
{
    return sort == TENURE__LEAF ? TENURE__KIND_LEAF : sort == TENURE__PLAIN ? 0 : TENURE__KIND_AMBIGUOUS;
}
static inline unsigned tenure__kind_sort(uint8_t kind)
{
    return kind & TENURE__KIND_LEAF        ? TENURE__LEAF
           : kind & TENURE__KIND_AMBIGUOUS ? TENURE__APART_AMBIGUOUS
                                           : TENURE__PLAIN;
}

typedef struct tenure__buffer {
    uintptr_t top, end; /* of the hole that is being filled; header addresses */
    uint32_t block;     /* plus one; 0: none */
} tenure__buffer;

enum { TENURE__STACK_WORDS = 2048, TENURE__RING = 16, TENURE__RING_COPYING = 4 };

typedef struct tenure__worker {
    struct tenure_heap *heap;
    unsigned index;
    bool may_trace;                /* may call the program's trace functions */
    bool alone;                    /* nobody else is in this phase: it has invited nobody */
    bool older;                    /* what is scanned is older than what is collected */
    bool immediate;                /* likewise, and slots are processed at once instead of pushed */
    bool later;                    /* what is found is queued instead of scanned: bounds the recursion */
    bool pins_for_idle;            /* what is pinned now shall end in Gen 2 */
    bool edge;                     /* a slot of an older object leads to Gen 1 */
    tenure__reference_fn *inspect; /* not NULL: what the program visits is shown to it and not traced */
    void *inspect_arg;
    uint32_t filled_granules; /* of holes in Gen 2, by this collection */
    uint32_t scanned;         /* objects in this phase, until help was invited */
    uint32_t top;             /* of the local stack */
    uint32_t ring_in, ring_out;
    uintptr_t ring[TENURE__RING];
    tenure__buffer buffers[3][TENURE__BLOCK_SORTS]; /* by generation (1 and 2) and sort */
    uint32_t remembered;                            /* packets of Gen 2->1 entries that this worker found */
    uint64_t copied_granules[TENURE__AGES];         /* by age of the block that they came from */
    uint64_t copied_objects, pinned_objects, stayed_objects, logged_objects;
    uint64_t ephemeron_looks; /* at ephemerons, in this collection */
    uint64_t ephemerons[3];   /* that this collection was to look at and that live, by the generation they end in */
    uint64_t nospace;         /* torture: every other copy finds no memory */
    uintptr_t stack[TENURE__STACK_WORDS];
} tenure__worker;

/* --- the mutator's part that belongs to the collector --- */

typedef struct tenure__allocator {
    tenure__mutator mutator; /* first */
    uintptr_t chunk_end;     /* of the chunk or hole; owner, taken in stops. 0: no chunk */
    uintptr_t window_end;    /* the limit, unless it is poisoned */
    uint32_t chunk_block;    /* plus one, 0: none */
    uint32_t apart_block;    /* likewise, for ambiguous objects */
    uint32_t ahead;          /* plus one: the next chunk; a list of blocks of Gen 0. Owner, forgotten in stops */
    uint32_t batch;          /* so many were taken at once last */
    uintptr_t apart_top, apart_end;
    uint32_t logs; /* packets of this thread's log, the one being filled first; 0: none */
    tenure__records records[TENURE__RECORD_KINDS]; /* made since the last stop; owner, taken in stops */
    uint32_t ephemerons;                           /* made by this thread; owner */
    uint32_t finalizing;                           /* of what was due: that this thread is in; owner */
    tenure__map_walk *walks;                       /* over weak maps, that this thread is in; owner */
    uint64_t torture_count;
    uint64_t reserve_used;            /* owner: collections plus one, when it last took a chunk beyond the budget */
    _Atomic uint64_t allocated_bytes; /* chunks and large objects handed to this thread; read under RCU */
} tenure__allocator;
static inline tenure__allocator *tenure__allocator_of(tenure_thread *self) { return (tenure__allocator *)self; }

/* --- what check=barriers, roots and uses remember beside the heap; lib/check/ --- */

enum { TENURE__SITE_FRAMES = 5 };
/* What was allocated at a granule, and where the call came from. */
typedef struct tenure__site {
    uintptr_t frames[TENURE__SITE_FRAMES];
    uint64_t header; /* the object's; without TENURE__HEADER: it died; an address: it moved there; 0: nothing */
} tenure__site;
/* Mappings that mirror the arena; NULL: not wanted. */
typedef struct tenure__checks {
    uintptr_t *shadow;   /* barriers; a word for each: references of older objects after the last collection. Stopped */
    tenure__site *sites; /* for each granule. Its owner, or stopped */
    bool vacates;        /* roots: emptied blocks are closed */
} tenure__checks;

/* --- roots --- */

typedef struct tenure__range {
    uintptr_t start, end;
} tenure__range;
typedef struct tenure__ranges {
    tenure__range *items;
    size_t count, capacity;
    uint32_t *places; /* for finding them: ranges.c */
} tenure__ranges;

typedef struct tenure__root_callback {
    tenure_root_fn *fn;
    void *arg;
} tenure__root_callback;

struct tenure_handle {
    uintptr_t object; /* the reference; atomic relaxed (read by tenure_handle_get) */
    tenure_heap *heap;
    struct tenure_handle *next; /* free list */
    bool young;                 /* on the young list */
};

struct tenure_stack {
    tenure_heap *heap;
    struct tenure_stack *next;
    uintptr_t low, high;
    uintptr_t save_start, save_end;
    uintptr_t stack_pointer; /* while it does not run; 0: never ran yet, only the save area counts */
    uintptr_t registers[TENURE__SAVED_REGISTERS];
    struct tenure__frame *frames; /* of a precise heap, while it does not run */
    _Atomic(tenure__mutator *) runner;
    uint64_t switches, scanned_switches; /* as idle entries: a Gen 0 stop skips it while they are equal */
};

/* References in memory of the library, from the caller's stack. */
typedef struct tenure__found {
    struct tenure__found *next;
    const tenure__os_thread *owner;
    uintptr_t *objects;
    size_t count, room;
    bool young; /* some may be in Gen 0 */
} tenure__found;

/* Everything here: stop lock. */
typedef struct tenure__roots {
    tenure__ranges slots; /* start: the slot */
    tenure__ranges precise, ambiguous;
    tenure__ranges program; /* data segments */
    tenure__root_callback *callbacks;
    size_t callback_count, callback_capacity;
    tenure_handle **handles; /* all that were ever made, in chunks; index order */
    size_t handle_count, handle_capacity;
    tenure_handle *free_handles;
    tenure_handle **young_handles;
    size_t young_count, young_capacity;
    tenure__ranges pins; /* start: the object; end: how often it was pinned */
    struct tenure_stack *stacks;
    struct tenure__found *found; /* what callers of lib/inspect/ are being told of */
    _Atomic bool program_wanted; /* for ever; relaxed: a leader who misses it began before that call returned */
} tenure__roots;

/* --- the heap --- */

typedef struct tenure__order {
    int generation; /* what the next collection that a mutator leads collects */
    const char *reason;
} tenure__order;

/* What is known of survival and of what collections cost, from which Gen 0's budget follows; lib/collection/sizing.c.
 */
typedef struct tenure__budget {
    unsigned level_most;                /* constant */
    unsigned level, level_max;          /* level n: 2^n times 512 KiB */
    _Atomic unsigned runners;           /* mutators that run at the same time, at most and of late */
    unsigned runners_since;             /* collections since there were so many */
    unsigned known;                     /* ages that were seen */
    double alive[TENURE__AGES];         /* by age: which part of what was allocated then lives, as far as is believed */
    double seen[TENURE__AGES];          /* the same, when it was seen last */
    unsigned usual;                     /* level; larger ones are on trial */
    unsigned trial;                     /* collections with a larger one, without a break */
    double patience;                    /* so many times longer it takes to forget */
    double survival;                    /* with the usual level, when patience was lost last */
    double stop_ns;                     /* CPU time of a collection beside what it traces */
    double reach_ns;                    /* from the request to the stop */
    double wake_ns;                     /* CPU time of the threads that sleep through it */
    double trace_ns, copied_bytes;      /* the later they were, the more they count */
    double mutator_ns, allocated_bytes; /* likewise */
    uint32_t spent_blocks;              /* of the budget, by the last collection; holes beside pinned objects too */
    uint64_t ended_ns;                  /* of the last collection, since the heap was created */
} tenure__budget;

struct tenure_heap {
    tenure_options options; /* resolved: no zeros left; constant */
    tenure__world world;

    /* What changes when mutators take blocks, on a cache line of its own: the slow path reads much that never does. */
    _Alignas(64) tenure__index_stack free_blocks; /* resident, last in first out */
    _Atomic uint64_t used_blocks;                 /* not free, of both parts */
    _Atomic uint64_t generation_blocks[3];        /* small and large */
    _Atomic uint32_t free_count;                  /* in free_blocks, about */
    _Atomic uint32_t gen0_count;
    _Atomic uint32_t gen0_used;   /* blocks handed out since the last collection */
    _Atomic uint32_t gen0_budget; /* blocks */
    _Atomic uint32_t survivors;   /* blocks that the next collection may copy to, and that should lie ready; about */

    /* arena; the pointers are constant */
    _Alignas(64) uintptr_t base;
    size_t arena_bytes;
    uint32_t block_count, large_start; /* small blocks below, large runs from there on */
    void *reservation;
    size_t reservation_bytes;
    _Atomic uint8_t *table;
    tenure__block *blocks;
    tenure__bits *live, *mark, *ends; /* live and mark change sides after a full mark (stopped) */
    tenure__bits *bitmaps;            /* constant: all three, one after the other */
    _Atomic uint8_t *cards;
    void *side_tables;
    size_t side_bytes;

    _Atomic uint32_t frontier;       /* small blocks below were handed out at least once */
    _Atomic uint32_t committed;      /* and below here are committed */
    _Atomic uint32_t large_frontier; /* the same for the large part; large lock */
    _Atomic uint32_t large_committed;
    uint32_t large_rover;   /* large lock */
    uint32_t large_missing; /* no free run of that length is below the frontier since one was freed last; large lock */
    uint32_t large_held;    /* no free run below holds memory; large lock */
    pthread_mutex_t large_lock;
    pthread_mutex_t upkeep_lock;         /* who populates or returns memory: a fork waits for it */
    _Atomic uint32_t upkeep_steps;       /* odd: somebody is in a step under that lock */
    _Atomic uint32_t populators;         /* mutators that are out of the stop set to populate memory */
    tenure__index_stack vacated_blocks;  /* check=roots: without access; used again when there are no others */
    tenure__index_stack returned_blocks; /* given back to the system */
    uint64_t max_blocks;                 /* constant */
    _Atomic uint64_t returned_bytes;
    _Atomic uint64_t resident_blocks; /* handed out or populated, not given back */

    tenure__checks checks; /* constant; what the mappings hold: above */

    tenure__packets packets;
    tenure__worker *workers;
    unsigned worker_count; /* options.workers and one more, see threads/gang.h */

    /* what belongs to which generation */
    uint32_t *gen0_blocks; /* gen0_count: handed to mutators, or with residents */
    uint32_t *gen1_blocks;
    _Atomic uint32_t gen1_count;
    uint32_t *young_runs; /* heads of Gen 0 and Gen 1 runs; large lock, or stopped */
    uint32_t young_run_count;
    tenure__index_stack holes[3][TENURE__BLOCK_SORTS]; /* blocks of Gen 1 and 2 with room */
    tenure__index_stack nursery_holes;                 /* Gen 0 blocks with residents */
    _Atomic uint64_t gen2_holes; /* granules that died in blocks of Gen 2 and were not filled since */
    _Atomic uint64_t large_blocks;
    _Atomic uint64_t live_bytes;

    /* remembered sets (stopped, but for detached logs: stop lock) */
    uint32_t logs;            /* packets taken from mutators */
    uint32_t remembered;      /* the Gen 2->1 list */
    _Atomic bool rescan;      /* some block has RESCAN */
    _Atomic bool rescan_next; /* some block has RESCAN_NEXT */

    /* weak references and ephemerons */
    tenure__records records[TENURE__RECORD_KINDS][3]; /* by the younger of record and target; stopped */
    uintptr_t unreached[2];                           /* weak references that may come back; in stops */
    tenure__record_table cells;                       /* shared weak references, by their targets' hash */
    tenure__finalizers_state finalizers;
    tenure__waiting waiting;                       /* ephemerons whose key was not reached */
    _Atomic(struct tenure__map_node *) dead_nodes; /* of weak maps, for the daemon to unlink */
    _Atomic(tenure__map_body *) grown_maps;        /* for the daemon to enlarge */
    _Atomic(tenure__map_body *) dead_maps;         /* for the daemon to free when they have no node any more */
    tenure__map_body *waiting_maps;                /* daemon: those with nodes that walks may stand on */
    _Atomic uint64_t dead_map_bytes;               /* that wait for the daemon: dead nodes, dead maps */
    /* Begins and ends (even: it is not at it) of the daemon's upkeep of maps; futex of who gives way to it. */
    _Atomic uint32_t map_rounds;
    _Atomic uint32_t map_round_missed; /* one more than the even one in which somebody waited in vain */

    /* trigger and sizing */
    /* Gen 0 collections since the last Gen 0+1, those that make one due, and Gen 2's size that makes a full one due:
     * stopped, or (thresholds) stop lock; read at any time */
    _Atomic uint32_t young_since, gen1_after;
    _Atomic uint64_t gen2_trigger_blocks;
    uint64_t gen2_most_blocks;    /* with holes, and a full one is due; guarded likewise */
    tenure__budget budget;        /* stopped */
    uint32_t direct_promotions;   /* Gen 0+1 collections since Gen 1's survival was measured; stopped */
    uint32_t gen1_probe;          /* so many of them before it is measured again; stopped */
    uint64_t gen0_copied_average; /* bytes a Gen 0 collection; stopped */
    uint64_t gen1_copied_bytes;   /* into Gen 1 since it was last collected; stopped */
    uint64_t gen1_left_blocks;    /* of Gen 1, when it was last collected; stopped */
    uint64_t spent_since_full;    /* blocks of Gen 0's budgets; stopped */
    _Atomic int disabled;
    _Atomic int64_t external_bytes;
    _Atomic int64_t external_least;     /* since the last full collection */
    _Atomic uint64_t external_rest;     /* bytes that do not yet fill a block */
    const tenure__order *_Atomic order; /* the standing one, of constants; written under the stop lock */
    _Atomic uint64_t frozen_blocks;     /* that left the collected set; stopped, read at any time */
    _Atomic bool ambiguous_used;        /* some ambiguous object was allocated */
    tenure_thresholds thresholds;       /* stop lock */

    tenure__roots roots;
    tenure_oom_fn *oom; /* stop lock */
    void *oom_arg;

    /* this collection; stopped */
    int condemned;        /* oldest generation collected */
    uint32_t gen0_handed; /* blocks of Gen 0 */
    uint64_t copied_by_age[TENURE__AGES];
    unsigned target;            /* generation of copies */
    bool arm_all;               /* logs had overflowed: sweeping arms every survivor */
    bool some_sparse;           /* some block was found sparse: objects that stay in it end in Gen 1 */
    bool marking;               /* Gen 2 is marked */
    uint64_t ephemeron_looks;   /* at ephemerons, in the last collection */
    uint8_t action[256];        /* what to do with a reference, by the table's byte (lib/collection/trace.h) */
    tenure__index_stack shared; /* packets of work for whoever is hungry */
    tenure__index_stack custom; /* packets with objects that only may_trace workers scan */
    _Atomic int32_t working;    /* workers with work in this phase */
    _Atomic bool overflowed;
    _Atomic bool callbacks_due; /* root callbacks wait for a worker that may trace */
    _Atomic bool rescan_due;    /* the same for blocks that say RESCAN */
    _Atomic uint32_t next_job;  /* of a phase that is divided into jobs */
    tenure_collection event;    /* being filled */
    tenure__leak *leak;         /* likewise, with debug=leak */
    uint64_t sequence;

    /* counters */
    uint64_t created_ns;
    _Atomic uint64_t collections[3];
    tenure__pause_histograms pauses[3], all_pauses;
    tenure__histogram graces;         /* of holders of awaited locks, from the request to their parking */
    _Atomic uint64_t allocated_bytes; /* by threads that are gone */
    _Atomic uint64_t copied_bytes, copied_objects, pinned_objects, stayed_objects, logged_objects, weak_cleared;

    tenure__events events;
    uint64_t leak_print_ns; /* no report is printed before; the listeners' thread */

    /* the daemon; lib/collection/daemon.c */
    pthread_t daemon;
    _Atomic bool daemon_gone;     /* this process is a child, and has no daemon yet */
    uint64_t populated_at;        /* collections completed when enough lay ready, plus one; daemon only */
    uint64_t used_peak_blocks;    /* since memory was last given back; daemon only */
    uint64_t returned_at;         /* collections completed then; daemon only */
    _Atomic uint32_t daemon_wake; /* futex: changes with every request */
    _Atomic bool daemon_stops;
    _Atomic uint32_t wanted[3];        /* tickets: collections asked for, by generation */
    uint32_t served[3];                /* drawn before the daemon's collection stopped the world; daemon */
    _Atomic uint32_t done[3];          /* tickets served; futex of those who wait */
    _Atomic(const char *) full_wanted; /* why the daemon shall lead a full collection; 0: no reason */
    _Atomic uint64_t collected;        /* completed collections */
};

static inline uint32_t tenure__block_index(const tenure_heap *heap, uintptr_t address)
{
    return (uint32_t)((address - heap->base) >> TENURE__BLOCK_SHIFT);
}
static inline uintptr_t tenure__block_start(const tenure_heap *heap, uint32_t block)
{
    return heap->base + ((uintptr_t)block << TENURE__BLOCK_SHIFT);
}
static inline bool tenure__in_arena(const tenure_heap *heap, uintptr_t address)
{
    return address - heap->base < heap->arena_bytes;
}
static inline unsigned tenure__granule_of(uintptr_t object) { return (unsigned)(object >> 4) & (TENURE__GRANULES - 1); }
static inline tenure__bits *tenure__bits_of(tenure__bits *bitmap, uint32_t block)
{
    return bitmap + (size_t)block * TENURE__BITMAP_WORDS;
}
/* The bitmap's word with the bit of what starts there, which is its granule modulo 64: blocks are aligned. */
static inline tenure__bits *tenure__word_of(const tenure_heap *heap, tenure__bits *bitmap, uintptr_t object)
{
    return bitmap + ((object - heap->base) >> 10);
}
static inline uint8_t tenure__kind_of(const tenure_heap *heap, uint32_t block)
{
    return atomic_load_explicit(&heap->table[block], memory_order_relaxed);
}
static inline void tenure__set_kind(tenure_heap *heap, uint32_t block, uint8_t kind)
{
    atomic_store_explicit(&heap->table[block], kind, memory_order_relaxed);
}
static inline uint32_t tenure__flags_of(const tenure__block *block)
{
    return atomic_load_explicit(&block->flags, memory_order_relaxed);
}
static inline void tenure__flags_set(tenure__block *block, uint32_t flags)
{
    if ((tenure__flags_of(block) & flags) != flags)
        atomic_fetch_or_explicit(&block->flags, flags, memory_order_relaxed);
}
static inline void tenure__flags_clear(tenure__block *block, uint32_t flags)
{
    atomic_fetch_and_explicit(&block->flags, ~flags, memory_order_relaxed);
}
static inline uintptr_t tenure__slot_load(uintptr_t slot)
{
    return __atomic_load_n((const uintptr_t *)slot, __ATOMIC_RELAXED);
}
static inline uint32_t tenure__run_head(const tenure_heap *heap, uint32_t block)
{
    return block - heap->blocks[block].head_distance;
}
static inline uintptr_t tenure__run_object(const tenure_heap *heap, uint32_t head)
{
    return tenure__block_start(heap, head) + heap->blocks[head].large_offset;
}
/* Payload bytes that the collector scans: a small object's granules without a stored hash. */
static inline size_t tenure__payload_bytes(const tenure_heap *heap, uintptr_t object, uint64_t header)
{
    if (header & TENURE__LARGE) return heap->blocks[tenure__block_index(heap, object)].large_bytes;
    return (size_t)tenure__header_payload_granules(header) * 16 - 8;
}

/* --- arena.c --- */

#define TENURE__NO_BLOCK UINT32_MAX
/* Reserves the arena and its side tables; commits nothing. TENURE_ENOMEM. */
tenure_status tenure__arena_create(tenure_heap *heap);
void tenure__arena_destroy(tenure_heap *heap);
/* A block of the small part, charged to max_heap; its kind is still free, its bits are clear, its memory is not zeroed.
 * TENURE__NO_BLOCK: none. Any thread, also in a stop; no lock. */
uint32_t tenure__block_take(tenure_heap *heap);
/* The same, up to *count of them, linked through next; *count says how many. */
uint32_t tenure__blocks_take(tenure_heap *heap, uint32_t *count);
/* The block's kind is free, its bits are clear and its flags are 0. Any thread. */
void tenure__block_give(tenure_heap *heap, uint32_t block);
/* Several blocks at once, linked through next from first to last. */
void tenure__blocks_give(tenure_heap *heap, uint32_t first, uint32_t last, uint32_t count);
/* A run of the large part, charged; every block's kind is RESERVED. zeroed: its memory is known to be zero. */
uint32_t tenure__run_take(tenure_heap *heap, uint32_t blocks, bool *zeroed);
/* Frees a run: its kinds become free. Large lock held, or stopped. */
void tenure__run_give(tenure_heap *heap, uint32_t head);
/* Memory that is committed: its pages are there, and whoever writes it next meets no page fault. */
void tenure__populate(void *start, size_t bytes);
/* Fewer free blocks lie ready than Gen 0 will still take and the next collection copy to. */
bool tenure__blocks_short(const tenure_heap *heap);
/* One block more, until there are enough (or no more are to be had): false. Not in the stop set. */
bool tenure__populate_ahead(tenure_heap *heap);
/* Some blocks, if there are too few. A mutator that has nothing in its hands: a collection may come meanwhile.
 * The system may take milliseconds for a huge page, which no stop shall wait for, and none shall need itself. */
void tenure__populate_outside(tenure_heap *heap);
/* Gives back free memory beyond what should be kept; returns whether there is more. Daemon. */
bool tenure__arena_return(tenure_heap *heap, uint32_t keep_blocks);
/* In a forked child: the runs that the daemon was giving back and that threads were zeroing are free. */
void tenure__arena_forked(tenure_heap *heap);

void tenure__index_push(tenure__index_stack *stack, uint32_t *next, uint32_t index);
void tenure__blocks_push(tenure_heap *heap, tenure__index_stack *stack, uint32_t block);
uint32_t tenure__blocks_pop(tenure_heap *heap, tenure__index_stack *stack);

/* --- ranges.c --- */

/* False: no memory. The same start may be there more than once. */
bool tenure__ranges_add(tenure__ranges *ranges, tenure__range range);
/* The last with that start; NULL: none. Until the next change. */
tenure__range *tenure__ranges_find(const tenure__ranges *ranges, uintptr_t start);
void tenure__ranges_remove(tenure__ranges *ranges, tenure__range *item);
void tenure__ranges_destroy(tenure__ranges *ranges);

/* --- packets.c --- */

tenure_status tenure__packets_create(tenure__packets *packets, uint32_t capacity);
void tenure__packets_destroy(tenure__packets *packets);
/* An empty packet; 0: there is none left. Any thread, no lock. */
uint32_t tenure__packet_take(tenure__packets *packets);
void tenure__packet_give(tenure__packets *packets, uint32_t packet);
void tenure__packet_push(tenure__packets *packets, tenure__index_stack *stack, uint32_t packet);
uint32_t tenure__packet_pop(tenure__packets *packets, tenure__index_stack *stack);
static inline tenure__packet *tenure__packet_at(tenure__packets *packets, uint32_t index)
{
    return &packets->pool[index];
}
/* Adds an entry to the list that starts at *list; false: no packet left. The list's owner. */
bool tenure__packet_append(tenure__packets *packets, uint32_t *list, uintptr_t entry);

/* --- find.c: from addresses to objects --- */

/* The object that address points to or into, or whose end it is, or whose header it is; 0: none. Gen 0 blocks are
 * walked: the owner of the chunk, or stopped. In a stop it works while objects are being forwarded; the result may be
 * forwarded. */
uintptr_t tenure__find_object(tenure_heap *heap, uintptr_t address);
/* The object after whose header address could also point: the neighbour of find_object's; 0: none. */
uintptr_t tenure__find_header_neighbour(tenure_heap *heap, uintptr_t address);
/* An older object (Gen 1, Gen 2, resident) that contains the slot; 0: none. Any time. */
uintptr_t tenure__find_old_owner(tenure_heap *heap, uintptr_t slot);

/* The granules of the cell of a Gen 0 block that begins at that granule; 0: nothing was allocated here yet. */
unsigned tenure__cell_granules(tenure_heap *heap, uint32_t block, unsigned at);

/* Misuse unless it is an object of the thread's heap (checked builds: its start). call: what was called. */
void tenure__require_object(tenure_thread *self, const void *object, const char *call);

/* --- references.c: what an object refers to --- */

/* Calls fn for every slot of the object that may hold a reference. may_trace: the caller may call the program's trace
 * functions; else nothing is known of custom objects. Stopped, no phase going on. */
void tenure__each_reference(tenure_heap *heap, uintptr_t object, bool may_trace, tenure__reference_fn *fn, void *arg);
/* The objects (two at most) that a slot of that kind with that value keeps alive; how many. Of precise ones it is only
 * looked at whether they are followed. Stopped. */
unsigned tenure__targets_of(tenure_heap *heap, uintptr_t value, tenure__reference kind, uintptr_t targets[2]);
/* trace.c: a visitor that calls fn for what it visits; fn NULL: it is the tracer's again. Stopped, no phase going on.
 */
tenure_visitor *tenure__inspecting_visitor(tenure_heap *heap, tenure__reference_fn *fn, void *arg);

/* --- verify.c --- */

/* Walks everything; stopped. False: the first fault was printed. when names the moment. may_trace: custom objects'
 * references are checked as well. evacuating: a full collection has chosen blocks to empty. */
bool tenure__verify_stopped(tenure_heap *heap, const char *when, bool may_trace, bool evacuating);

#endif
