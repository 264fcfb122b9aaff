#ifndef TENURE_LIB_COLLECTION_EVACUATE_H
#define TENURE_LIB_COLLECTION_EVACUATE_H

#include "lib/heap/heap.h"

/* Before a full collection: marks the blocks of Gen 2 that it empties. Leader, stopped. */
void tenure__choose_evacuation(tenure_heap *heap);
/* What a full collection would copy to now, at most, but for the sparsest blocks. Any time. */
uint32_t tenure__evacuation_blocks(const tenure_heap *heap);

#endif
