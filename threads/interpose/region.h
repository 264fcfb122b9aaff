/* A blocking region around a call that may block, if the calling thread is attached and runs.
 *
 * A copy of the library saves the registers of whoever calls its enter stub, whose frame has to outlive the region.
 * So what enters is always inlined into the interposed function. The library is compiled with -fexceptions: a thread
 * that is cancelled or unwound inside the call leaves the region before the program's own handlers run. */
#ifndef TENURE_THREADS_INTERPOSE_REGION_H
#define TENURE_THREADS_INTERPOSE_REGION_H

#include "threads/interpose/hooks.h"
#include "threads/interpose/real.h"
#include <errno.h>

/* Copies of the library in one process. */
enum { COPIES_MAX = 8 };

typedef struct region {
    unsigned count; /* copies that the thread is attached to and was running in; 0: no region */
    struct region_of {
        const tenure__interpose_hooks *hooks;
        tenure_thread *self;
    } of[COPIES_MAX];
} region;

/* The number of copies that have registered; changes from 0 once. */
extern unsigned tenure__interpose_copies;

/* Which copies the thread runs in: none in a signal handler, which may have interrupted anything, and none for calls of
 * liburcu, which takes its readers offline itself. caller: the return address of the interposed function. */
void tenure__region_find(region *out, const void *caller);
void tenure__region_leave(region *left);
/* A signal handler of the program runs on this thread. */
bool tenure__in_handler(void);

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE void region_enter(const region *entered)
{
    for (unsigned i = 0; i < entered->count; i++) entered->of[i].hooks->enter(entered->of[i].self);
}

ALWAYS_INLINE region region_begin(void)
{
    region begun;
    begun.count = 0;
    /* acquire: pairs with the release in tenure__interpose_register; publishes the tables. */
    if (__atomic_load_n(&tenure__interpose_copies, __ATOMIC_ACQUIRE) != 0)
        tenure__region_find(&begun, __builtin_return_address(0));
    region_enter(&begun);
    return begun;
}

/* Leaves if no stop holds the thread. False: it is still inside. */
ALWAYS_INLINE bool region_try_leave(region *left)
{
    for (unsigned i = 0; i < left->count; i++) {
        if (left->of[i].hooks->try_leave(left->of[i].self)) continue;
        while (i-- > 0) left->of[i].hooks->enter(left->of[i].self);
        return false;
    }
    left->count = 0;
    return true;
}

/* May block. Keeps errno. */
static inline void region_end(region *ended)
{
    if (ended->count != 0) tenure__region_leave(ended);
}

/* A region to the end of the function, however it is left. */
#define REGION __attribute__((cleanup(region_end), unused)) region tenure__region = region_begin()

/* An interposed function all of whose calls may block. */
#define BLOCKING(type, name, parameters, arguments) \
    INTERPOSED type name parameters                 \
    {                                               \
        REGION;                                     \
        return REAL(name) arguments;                \
    }

#endif
