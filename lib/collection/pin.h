#ifndef TENURE_LIB_COLLECTION_PIN_H
#define TENURE_LIB_COLLECTION_PIN_H

#include "lib/collection/trace.h"

/* Pins whatever an ambiguous word may point to, then decides which blocks with pinned objects go back to the nursery.
 * Leader, stopped, before anything is copied. */
void tenure__pin_all(tenure_heap *heap, bool may_trace);

/* What the ambiguous objects of an old block may point to does not move. */
void tenure__pin_from_block(tenure__worker *worker, uint32_t block);

/* Idle threads whose stacks were skipped for several stops leave the list that any but full collections walk. Leader,
 * stopped. */
void tenure__retire_idle(tenure_heap *heap);

#endif
