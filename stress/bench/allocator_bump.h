/* The limit: a pointer that is moved on, and moved back where a workload says that all since then is dead. No
 * collector, no free, objects as large as in Tenure's heap. What nobody drops is never used again. */
#ifndef BENCH_ALLOCATOR_BUMP_H
#define BENCH_ALLOCATOR_BUMP_H

#include <stdbool.h>
#include <string.h>

enum { BENCH_EXPLICIT = 0 };

/* The calling thread's; nothing before bench_thread_begin. */
extern _Thread_local struct bench_arena {
    char *top, *end;
} bench_arena;

static inline __attribute__((always_inline)) void *bench_allocate(size_t bytes, bool leaf)
{
    (void)leaf;
    const size_t size = (bytes + sizeof(uint64_t) + 15) & ~(size_t)15; /* a header, and aligned */
    char *object = bench_arena.top;
    if (__builtin_expect((size_t)(bench_arena.end - object) < size, 0)) bench_exhausted();
    bench_arena.top = object + size;
    return object;
}

static inline void *bench_allocate_zeroed(size_t bytes) { return memset(bench_allocate(bytes, false), 0, bytes); }

#define BENCH_FREE(object) ((void)(object))
#define BENCH_PLACE(self) ((void)(self), (void *)bench_arena.top)
#define BENCH_DROP(self, place) ((void)(self), (void)(bench_arena.top = (place)))

#include "allocator_plain.h"

#endif
