/* Weak references when objects die: see weak.c. */
#ifndef TENURE_LIB_COLLECTION_WEAK_H
#define TENURE_LIB_COLLECTION_WEAK_H

#include "lib/collection/trace.h"

/* After tracing: clears the weak references to what was not reached. Leader, stopped. */
void tenure__weak_settle(tenure_heap *heap);
/* After finalizers brought back what they did: lets go of the weak references that were not reached themselves. */
void tenure__weak_finish(tenure_heap *heap);

#endif
