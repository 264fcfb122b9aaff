#ifndef TENURE_LIB_COLLECTION_FROZEN_H
#define TENURE_LIB_COLLECTION_FROZEN_H

#include "lib/collection/trace.h"

/* Full collections: everything frozen is alive, and its references are roots. Leader, stopped. */
void tenure__frozen_trace(tenure__worker *worker);

#endif
