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

    /* check=locks: the thread is awake when the region is entered, and has not slept when the call is done. */
    const tenure__interpose_hooks *watch; /* NULL: not watched */
    const char *call;
    const void *site;
    long sleeps; /* of the thread, at the entry */
} region;

/* The number of copies that have registered; changes from 0 once. */
extern unsigned tenure__interpose_copies;

/* Which copies the thread runs in: none in a signal handler, which may have interrupted anything, and none for calls of
 * liburcu, which takes its readers offline itself. site: the return address of the interposed function. */
void tenure__region_find(region *out, const char *call, const void *site);
void tenure__region_leave(region *left);
/* Watched: from here on the thread shall not sleep; it has not. */
void tenure__watch_begin(region *watched);
void tenure__watch_end(const region *watched);
/* A signal handler of the program runs on this thread. */
bool tenure__in_handler(void);

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE void region_enter(region *entered)
{
    if (entered->watch != NULL) tenure__watch_begin(entered);
    for (unsigned i = 0; i < entered->count; i++) entered->of[i].hooks->enter(entered->of[i].self);
}

ALWAYS_INLINE region region_begin(const char *call)
{
    region begun;
    begun.count = 0;
    begun.watch = NULL;
    /* acquire: pairs with the release in tenure__interpose_register; publishes the tables. */
    if (__atomic_load_n(&tenure__interpose_copies, __ATOMIC_ACQUIRE) != 0)
        tenure__region_find(&begun, call, __builtin_return_address(0));
    region_enter(&begun);
    return begun;
}

/* Leaves if no stop holds the thread. False: it is still inside. */
ALWAYS_INLINE bool region_try_leave(region *left)
{
    if (left->watch != NULL) tenure__watch_end(left);
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
    if (ended->watch != NULL) tenure__watch_end(ended);
    ended->watch = NULL;
    if (ended->count != 0) tenure__region_leave(ended);
}

/* A region to the end of the function, however it is left. */
#define REGION_OF(call) __attribute__((cleanup(region_end), unused)) region tenure__region = region_begin(call)
#define REGION REGION_OF(__func__)

/* Neither a region nor watched: the call passes through. */
ALWAYS_INLINE bool region_is_nothing(const region *begun) { return begun->count == 0 && begun->watch == NULL; }

/* An interposed function all of whose calls may block. */
#define BLOCKING(type, name, parameters, arguments) \
    INTERPOSED type name parameters                 \
    {                                               \
        REGION;                                     \
        return REAL(name) arguments;                \
    }

#endif
