/* The statistics as text. */
#ifndef TENURE_LIB_COLLECTION_STATS_PRINT_H
#define TENURE_LIB_COLLECTION_STATS_PRINT_H

#include <stdio.h>
#include <tenure/stats.h>

/* tenure_stats_print of figures that were read before. Does not depend on the locale. Outside stops only. */
void tenure__stats_write(const tenure_stats *stats, FILE *out, tenure_format format);

#endif
