/* Lists of records, by kind and generation: see records.c. */
#ifndef TENURE_LIB_COLLECTION_RECORDS_H
#define TENURE_LIB_COLLECTION_RECORDS_H

#include "lib/collection/trace.h"

/* Links a new record of the thread's; its target is set. The owner, running, no safepoint since it was allocated. */
void tenure__record_link(tenure__allocator *allocator, unsigned kind, tenure__record *record);
/* Hands the thread's records to the heap. The owner under the stop lock, or stopped. */
void tenure__records_take(tenure__allocator *allocator);

/* Leader, after tracing: takes the lists of the condemned generations apart and calls fn for each record, where it was.
 * fn keeps it or lets go of it. */
typedef void tenure__record_fn(tenure_heap *heap, unsigned kind, uintptr_t was);
void tenure__records_settle(tenure_heap *heap, unsigned kind, tenure__record_fn *fn);
/* Links the record where it belongs from now on; it and its target where they are now. */
void tenure__record_keep(tenure_heap *heap, unsigned kind, uintptr_t now, uintptr_t target);
/* The same for a record that hangs on several objects, the youngest of which is of that generation; returns where. */
unsigned tenure__record_keep_in(tenure_heap *heap, unsigned kind, uintptr_t now, unsigned of_targets);
/* After records were kept outside of tenure__records_settle. */
void tenure__records_end(tenure_heap *heap, unsigned kind);

#endif
