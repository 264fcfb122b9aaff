#ifndef TENURE_LIB_COLLECTION_EVACUATE_H
#define TENURE_LIB_COLLECTION_EVACUATE_H

#include "lib/heap/heap.h"

/* Granules in holes that may stay beside so many in use. With more, a full collection empties denser blocks too. */
static inline uint64_t tenure__holes_allowed(uint64_t occupied)
{
    enum { ALLOWED_BLOCKS = 128 };
    return occupied / 4 + (uint64_t)ALLOWED_BLOCKS * TENURE__GRANULES;
}

/* Before a full collection: marks the blocks of Gen 2 that it empties. Leader, stopped. */
void tenure__choose_evacuation(tenure_heap *heap);

#endif
