#ifndef TENURE_LIB_COLLECTION_EVACUATE_H
#define TENURE_LIB_COLLECTION_EVACUATE_H

#include "lib/heap/heap.h"

/* Before a full collection: marks the blocks of Gen 2 that it empties. Leader, stopped. */
void tenure__choose_evacuation(tenure_heap *heap);

#endif
