/* pthread_once: a thread waits for another one that runs the routine, which may allocate and collect. The routine
 * itself runs the program's code: it comes back in from the region. */
#include "threads/interpose/region.h"
#include <pthread.h>

struct once {
    void (*routine)(void);
    region *outer;
};
static _Thread_local struct once current __attribute__((tls_model("initial-exec")));

static void go_out(unsigned *inside)
{
    region *outer = current.outer;
    for (unsigned i = *inside; i-- > 0;) outer->of[i].hooks->go_out(outer->of[i].self);
    if (outer->watch != NULL) tenure__watch_begin(outer); /* what the routine does is not this call's */
}

static void run_routine(void)
{
    const struct once once = current;
    __attribute__((cleanup(go_out))) unsigned inside = 0;
    for (; inside < once.outer->count; inside++)
        once.outer->of[inside].hooks->come_in(once.outer->of[inside].self->heap);
    once.routine();
    current = once; /* the routine may have come here too */
}

INTERPOSED int pthread_once(pthread_once_t *control, void (*routine)(void))
{
    REGION;
    if (region_is_nothing(&tenure__region)) return REAL(pthread_once)(control, routine);
    current = (struct once) { routine, &tenure__region };
    return REAL(pthread_once)(control, run_routine);
}
