/* debug=leak: what finalizers keep alive. Custom types' references are followed in collections that the daemon leads,
 * as it does the full ones (but for the last before memory runs out). */
#ifndef TENURE_LIB_INSPECT_LEAK_H
#define TENURE_LIB_INSPECT_LEAK_H

#include "lib/heap/heap.h"

/* In a mapping of its own, which goes from the stop to the listeners. */
struct tenure__leak {
    tenure_leak report;
    size_t bytes;           /* of the mapping */
    tenure_leak_row rows[]; /* by type, until they are sorted */
};

/* Between the moment when finalizers became due and the one when their objects are traced: what is unreached then and
 * hangs on those objects, counted. NULL: nothing, or no memory to look. Leader, stopped. */
tenure__leak *tenure__leak_look(tenure_heap *heap, bool may_trace);
void tenure__leak_free(tenure__leak *leak);
/* The rows that say something, those with most bytes first. Outside stops. */
void tenure__leak_sort(tenure__leak *leak);

/* Listens for reports and writes them to stderr, at most one a second; arg: the heap. */
void tenure__leak_print(const tenure_event *event, void *heap);

#endif
