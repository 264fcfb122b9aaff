#ifndef TENURE_LIB_ALLOCATION_NURSERY_H
#define TENURE_LIB_ALLOCATION_NURSERY_H

#include "lib/heap/heap.h"

/* Makes the chunks walkable to their ends and forgets them. The owner under the stop lock, or stopped. */
void tenure__chunk_drop(tenure__allocator *allocator);

/* The same, and the next allocation takes the slow path. The owner, running. */
void tenure__chunk_close(tenure__allocator *allocator);

/* One object of that type word; align up to 4096. NULL and errno ENOMEM. The owner, running; may collect. */
void *tenure__allocate_any(tenure_thread *self, uint64_t header, size_t bytes, size_t align);

/* Memory outside the heap, without the part of it that spends Gen 0's budget. Any thread. */
void tenure__external_add(tenure_heap *heap, int64_t delta);

#endif
