/* Objects counted by type. */
#ifndef TENURE_LIB_INSPECT_CENSUS_H
#define TENURE_LIB_INSPECT_CENSUS_H

#include "lib/inspect/inspect.h"

typedef struct tenure__census {
    tenure_heap *heap;
    tenure_census_row *rows; /* by type; after tenure__census_sort the first count, sorted */
    size_t room, count;
} tenure__census;

/* Memory for the types that there are. */
tenure_status tenure__census_begin(tenure_heap *heap, tenure__census *census);
/* Counts; stopped (or no mutator is left). */
void tenure__census_take(tenure__census *census);
void tenure__census_sort(tenure__census *census);
void tenure__census_print(const tenure__census *census, FILE *out);
void tenure__census_end(tenure__census *census);

/* debug=leak: writes to stderr what the last full collection leaves of a heap without threads. */
void tenure__leaks_print(tenure_heap *heap);

#endif
