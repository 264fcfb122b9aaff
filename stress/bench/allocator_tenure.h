/* Tenure behind the names of allocator.h. */
#ifndef BENCH_ALLOCATOR_TENURE_H
#define BENCH_ALLOCATOR_TENURE_H

#include <tenure.h>

typedef tenure_thread bench_thread;

enum { BENCH_EXPLICIT = 0 };

#define BENCH_TYPE TENURE_TYPE
#define BENCH_TYPE_LEAF TENURE_TYPE_LEAF
#define BENCH_TYPE_FLEX TENURE_TYPE_FLEX
#define BENCH_TYPE_FLEX_LEAF(name, T, member) TENURE_TYPE_FLEX(name, T, member)

#define BENCH_CHECKED(allocation)                                       \
    __extension__({                                                     \
        __typeof__(allocation) bench_made = (allocation);               \
        if (__builtin_expect(bench_made == NULL, 0)) bench_exhausted(); \
        bench_made;                                                     \
    })
#define BENCH_NEW(self, name, ...) BENCH_CHECKED(TENURE_NEW(self, name, __VA_ARGS__))
#define BENCH_NEW_FLEX(self, name, count) BENCH_CHECKED(tenure_new_flex(self, name, count))
#define BENCH_NEW_REFS(self, T, count) BENCH_CHECKED(TENURE_NEW_REFS(self, T, count))

#define BENCH_SET TENURE_SET
#define BENCH_SET_AT TENURE_SET_AT
#define BENCH_FREE(object) ((void)(object))
#define BENCH_POLL(self) tenure_poll(self)

#endif
