#ifndef TENURE_LIB_COLLECTION_PIN_H
#define TENURE_LIB_COLLECTION_PIN_H

#include "lib/collection/trace.h"

/* Pins whatever an ambiguous word may point to, then decides which blocks with pinned objects go back to the nursery.
 * Leader, stopped, before anything is copied. */
void tenure__pin_all(tenure_heap *heap, bool may_trace);

/* Idle threads whose stacks were skipped for several stops leave the list that any but full collections walk. Leader,
 * stopped. */
void tenure__retire_idle(tenure_heap *heap);

#endif
