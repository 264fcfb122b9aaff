/* Weak references and what else hangs on an object's death: the phase between tracing and settling. */
#ifndef TENURE_LIB_COLLECTION_WEAK_H
#define TENURE_LIB_COLLECTION_WEAK_H

#include "lib/collection/trace.h"

/* Links a new record of the thread's; its target is set. The owner, running, no safepoint since it was allocated. */
void tenure__record_link(tenure__allocator *allocator, unsigned kind, tenure__record *record);
/* Hands the thread's records to the heap. The owner under the stop lock, or stopped. */
void tenure__records_take(tenure__allocator *allocator);

/* After tracing: clears the weak references to what was not reached, and links the others where they belong now.
 * Leader, stopped. */
void tenure__cells_settle(tenure_heap *heap);

#endif
