/* A collection from request to resume. */
#ifndef TENURE_LIB_COLLECTION_CYCLE_H
#define TENURE_LIB_COLLECTION_CYCLE_H

#include "lib/heap/heap.h"

/* Leads one collection. The stop lock is held and the caller is out of the stop set: the daemon, or a mutator that has
 * saved its context and released its state. */
void tenure__lead(tenure_heap *heap, int generation, const char *reason, bool by_daemon);

/* --- request.c: how collections are asked for. Running mutators; may block, may collect --- */

/* Gen 0's budget is spent: the standing order is carried out, by the caller or by the daemon. */
void tenure__collect_budget(tenure__allocator *allocator);

/* No block is left: what to try next. False: everything was tried. */
typedef enum tenure__collect_stage {
    TENURE__STAGE_YOUNG,
    TENURE__STAGE_FULL,
    TENURE__STAGE_HANDLER,
    TENURE__STAGE_FAILED
} tenure__collect_stage;
bool tenure__collect_for_memory(tenure__allocator *allocator, size_t bytes, tenure__collect_stage *stage);

/* Torture: collects at every Nth allocation. */
void tenure__allocation_pressure(tenure__allocator *allocator);

/* The same for a caller that is out of all stop sets: asks the daemon and waits for it. */
void tenure__collect_by_daemon(tenure_heap *heap, int generation);

/* The generation and the younger, finished on return. */
void tenure__collect_now(tenure__allocator *allocator, int generation, const char *reason);

/* --- daemon.c --- */

tenure_status tenure__daemon_start(tenure_heap *heap);
void tenure__daemon_stop(tenure_heap *heap);
/* Asks it to look what there is to do; starts it again in a forked child. */
void tenure__daemon_poke(tenure_heap *heap);
/* In a forked child: there is none. */
void tenure__daemon_forked(tenure_heap *heap);
/* Tells the daemon if there is something for it to do. Leader, after the resume. */
void tenure__daemon_report(tenure_heap *heap);

/* --- roots.c --- */

/* Runs fn(heap, arg) under the stop lock, whoever calls: a thread that is in must never wait for that lock, for the
 * stop that holds it waits for the thread. */
void tenure__with_stop_lock(tenure_heap *heap, void (*fn)(tenure_heap *, void *), void *arg);

/* Calls fn for every handle and what it holds (0: it is free). Stopped. */
void tenure__each_handle(tenure_heap *heap, void (*fn)(void *arg, uintptr_t handle, uintptr_t object), void *arg);

/* Data segments may have come or gone. Not in a stop, no lock held, the caller blocked. */
void tenure__roots_refresh(tenure_heap *heap);
/* All precise roots outside the heap, now; callbacks become due. Leader, stopped. */
void tenure__roots_trace(tenure__worker *worker);
/* Calls the root callbacks. A worker that may trace. */
void tenure__roots_call_back(tenure__worker *worker);
/* After a collection nothing is in Gen 0 any more. Leader, stopped. */
void tenure__roots_settle(tenure_heap *heap);
void tenure__roots_destroy(tenure_heap *heap);

/* --- sizing.c --- */

/* Budgets and triggers at the start; how old the blocks are that a collection empties; what it taught, and the next
 * standing order. Leader, stopped. */
void tenure__sizing_init(tenure_heap *heap);
void tenure__sizing_prepare(tenure_heap *heap);
void tenure__sizing_update(tenure_heap *heap, const tenure_collection *event);
/* Gen 2, and what memory outside the heap has grown by since the last full collection. Any time. */
uint64_t tenure__old_blocks(const tenure_heap *heap);

#endif
