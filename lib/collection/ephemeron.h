/* Ephemerons: see ephemeron.c. */
#ifndef TENURE_LIB_COLLECTION_EPHEMERON_H
#define TENURE_LIB_COLLECTION_EPHEMERON_H

#include "lib/collection/trace.h"

/* Whether the ephemeron's key was reached, so that key and value are to be visited now. Otherwise it waits, and is
 * scanned again when the key is reached. The worker that scans it. */
bool tenure__ephemeron_holds(tenure__worker *worker, uintptr_t ephemeron);

/* The object, whose header has KEY, was reached just now (claimed; this is where it was). The worker that claimed it.
 */
void tenure__ephemeron_key_reached(tenure__worker *worker, uintptr_t key);

/* An entry of a weak map: alive now, or it waits as an ephemeron does. The worker that comes across it. */
void tenure__entry_waits(tenure__worker *worker, uintptr_t entry);

/* Clears what still waits. Leader, after tracing. Entries that lack nothing but their map are left until it is the last
 * time: a finalizer may bring the map back, and then with all that lives in it. */
void tenure__ephemerons_clear(tenure_heap *heap, bool last);
/* A mutator is about to make an ephemeron or an entry; false: no memory. */
bool tenure__ephemerons_reserve(tenure__allocator *allocator);
/* Adds up what the workers counted. Leader. */
void tenure__ephemerons_count(tenure_heap *heap);

void tenure__ephemerons_init(tenure_heap *heap);
void tenure__ephemerons_destroy(tenure_heap *heap);

#endif
