/* libgc (the Boehm-Demers-Weiser collector) behind the names of allocator.h. Objects without references are allocated
 * as such, as its users do: it neither scans nor clears them. */
#ifndef BENCH_ALLOCATOR_LIBGC_H
#define BENCH_ALLOCATOR_LIBGC_H

#define GC_THREADS
#include <gc.h>
#include <stdbool.h>

enum { BENCH_EXPLICIT = 0 };

static inline __attribute__((always_inline)) void *bench_allocate(size_t bytes, bool leaf)
{
    void *object = leaf ? GC_MALLOC_ATOMIC(bytes) : GC_MALLOC(bytes);
    if (__builtin_expect(object == NULL, 0)) bench_exhausted();
    return object;
}

static inline void *bench_allocate_zeroed(size_t bytes) { return bench_allocate(bytes, false); }

#define BENCH_FREE(object) ((void)(object))

#include "allocator_plain.h"

#endif
