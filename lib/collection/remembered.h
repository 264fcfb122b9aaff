/* Remembered sets: the logs of the write barrier, cards of large objects, the Gen 2->1 list. */
#ifndef TENURE_LIB_COLLECTION_REMEMBERED_H
#define TENURE_LIB_COLLECTION_REMEMBERED_H

#include "lib/collection/trace.h"

/* The states of a card. */
enum { TENURE__CARD_OLD = 2 /* beside TENURE__CARD_DIRTY. Remembered: leads from Gen 2 to Gen 1 */ };

/* Hands the thread's log to the heap. The owner under the stop lock, or stopped. */
void tenure__logs_take(tenure__allocator *allocator);

/* Leader, stopped: makes work of the logs and (Gen 0+1) of the Gen 2->1 list; in full collections they are no roots and
 * are kept for tenure__logs_finish. */
void tenure__logs_prepare(tenure_heap *heap);
/* Leader, after tracing: arms what a full collection left in place, frees the packets, joins the workers' lists. */
void tenure__logs_finish(tenure_heap *heap);
/* Leader, before anything is copied: what remembered ambiguous objects point to is pinned. */
void tenure__logs_pin(tenure__worker *worker);

/* What the words of that ambiguous object may point to does not move. */
void tenure__pin_referents(tenure__worker *worker, uintptr_t object, uint64_t header);

/* A logged or remembered entry (trace.h). */
void tenure__process_old_entry(tenure__worker *worker, uintptr_t entry);
/* Scans an object of a block that overflowed, older or alive in this collection, without using the queue for its slots.
 */
void tenure__scan_again(tenure__worker *worker, uintptr_t object, uint64_t header);
/* The owner of that slot, in Gen 2 after this collection, refers to Gen 1. */
void tenure__remember_slot(tenure__worker *worker, uintptr_t slot);

/* trace.c: queues an older object's references in [low, high); true: one leads to what may end in Gen 1. */
bool tenure__scan_old(tenure__worker *worker, uintptr_t object, uintptr_t low, uintptr_t high);
/* trace.c: the same, and follows them at once instead: for objects whose entries found no room in the queue. */
bool tenure__scan_old_now(tenure__worker *worker, uintptr_t object, uintptr_t low, uintptr_t high);
/* trace.c: leaves an entry to a worker that may call trace functions. */
void tenure__trace_defer(tenure__worker *worker, uintptr_t entry);

#endif
