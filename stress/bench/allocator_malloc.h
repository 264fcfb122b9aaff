/* malloc and free behind the names of allocator.h: whichever the program is linked with. */
#ifndef BENCH_ALLOCATOR_MALLOC_H
#define BENCH_ALLOCATOR_MALLOC_H

#include <stdbool.h>
#include <stdlib.h>

enum { BENCH_EXPLICIT = 1 };

static inline __attribute__((always_inline)) void *bench_allocate(size_t bytes, bool leaf)
{
    (void)leaf;
    void *object = malloc(bytes);
    if (__builtin_expect(object == NULL, 0)) bench_exhausted();
    return object;
}

static inline void *bench_allocate_zeroed(size_t bytes)
{
    void *object = calloc(1, bytes);
    if (__builtin_expect(object == NULL, 0)) bench_exhausted();
    return object;
}

#define BENCH_FREE(object) free(object)

#include "allocator_plain.h"

#endif
