#ifndef TENURE_LIB_COLLECTION_SETTLE_H
#define TENURE_LIB_COLLECTION_SETTLE_H

#include "lib/heap/heap.h"

/* After tracing: frees what is empty, settles what stays, sweeps Gen 2 if it was marked. Leader, stopped. */
void tenure__settle(tenure_heap *heap, bool may_trace);

#endif
