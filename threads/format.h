/* Quantities as people read them: three digits and a unit. Integer arithmetic only, so that no locale puts a comma into
 * a log line. No allocation, no stdio streams. */
#ifndef TENURE_THREADS_FORMAT_H
#define TENURE_THREADS_FORMAT_H

#include <stdint.h>

typedef struct tenure__quantity {
    char text[32];
} tenure__quantity;

/* "0", "812", "8.0K", "256M", "1.2G": powers of 1024, rounded to nearest. */
tenure__quantity tenure__format_bytes(uint64_t bytes);

/* "0", "850ns", "2.1us", "61us", "12ms", "3.4s", rounded to nearest. */
tenure__quantity tenure__format_duration(uint64_t ns);

#endif
