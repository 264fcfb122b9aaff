/* Finalizers, cleaners, death callbacks: registering (finalizer.c), in stops (due.c), running them (finalizer_run.c).
 */
#ifndef TENURE_LIB_COLLECTION_FINALIZER_H
#define TENURE_LIB_COLLECTION_FINALIZER_H

#include "lib/collection/trace.h"

/* --- in stops; leader --- */

/* The registry keeps finalizers and cleaners of the condemned lists; what is due is kept until it ran. */
void tenure__finalizers_trace(tenure__worker *worker);
/* After tracing and clearing: finalizers of objects that were not reached are due, and their objects are work for the
 * tracer. False: there are none. */
bool tenure__finalizers_settle(tenure_heap *heap);
/* After that: cleaners of objects that are gone are due. */
void tenure__cleaners_settle(tenure_heap *heap);
/* The record (where it is now, of that generation after the stop) is to be run; its target was forgotten, or is strong
 * from now on. Stopped. */
void tenure__make_due(tenure_heap *heap, uintptr_t record, unsigned generation);

/* --- outside stops --- */

/* After a collection that found something: starts or wakes the thread, tells the program. Daemon. */
void tenure__finalizers_announce(tenure_heap *heap);
/* Before the heap is destroyed: no thread but the finalizers' own is attached. Runs what is due and all cleaners, for
 * at most options.destroy_wait, and ends the finalizer thread. TENURE_EBUSY: one still runs there, or a thread is
 * attached. */
tenure_status tenure__finalizers_end(tenure_heap *heap);

/* After the daemon was stopped. */
void tenure__finalizers_join(tenure_heap *heap);

/* In a forked child: other threads' finalizers are not run again, what is due still is. */
void tenure__finalizers_forked(tenure_heap *heap);

void tenure__finalizers_init(tenure_heap *heap);
void tenure__finalizers_destroy(tenure_heap *heap);

#endif
