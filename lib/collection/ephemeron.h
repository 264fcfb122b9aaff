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

/* Clears what still waits. Leader, after tracing. */
void tenure__ephemerons_clear(tenure_heap *heap);
/* Adds up what the workers counted. Leader. */
void tenure__ephemerons_count(tenure_heap *heap);

void tenure__ephemerons_init(tenure_heap *heap);
void tenure__ephemerons_destroy(tenure_heap *heap);

#endif
