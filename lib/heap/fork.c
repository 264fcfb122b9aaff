/* The collector's part in a fork: its locks, and what a child no longer has. A new lock or thread belongs here. The
 * locks are taken while all worlds are stopped: whoever holds one lets it go without waiting for a stop. */
#include "lib/collection/cycle.h"
#include "threads/host.h"

/* In this order; each heap's, then the process's. */
static void each_lock(tenure_heap *heap, int (*fn)(pthread_mutex_t *))
{
    if (heap == 0) {
        TENURE__MUST(fn(&tenure__types_lock));
        return;
    }
    TENURE__MUST(fn(&heap->large_lock));
    TENURE__MUST(fn(&heap->upkeep_lock));
    TENURE__MUST(fn(&heap->events.lock));
}

void tenure__host_fork_lock(tenure_heap *heap) { each_lock(heap, pthread_mutex_lock); }
void tenure__host_fork_unlock(tenure_heap *heap) { each_lock(heap, pthread_mutex_unlock); }

void tenure__host_forked(tenure_heap *heap)
{
    tenure__arena_forked(heap);
    tenure__daemon_forked(heap);
    tenure__events_forked(&heap->events);
}
