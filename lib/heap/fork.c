/* The collector's part in a fork: its locks, and what a child no longer has. A new lock or thread belongs here. The
 * locks are taken while all worlds are stopped: whoever holds one lets it go without waiting for a stop. */
#include "lib/collection/cycle.h"
#include "lib/collection/finalizer.h"
#include "lib/collection/weakmap.h"
#include "lib/inspect/inspect.h"
#include "threads/host.h"

/* In this order; each heap's, then the process's. Not those that only running mutators take, and let go of before the
 * next safepoint (of record tables, and for growing the chains of ephemerons): nobody holds these in a stop. */
static void each_lock(tenure_heap *heap, int (*fn)(pthread_mutex_t *))
{
    if (heap == 0) {
        TENURE__MUST(fn(&tenure__types_lock));
        return;
    }
    TENURE__MUST(fn(&heap->large_lock));
    TENURE__MUST(fn(&heap->upkeep_lock));
    TENURE__MUST(fn(&heap->events.lock));
    TENURE__MUST(fn(&heap->finalizers.lock));
}

void tenure__host_fork_lock(tenure_heap *heap) { each_lock(heap, pthread_mutex_lock); }
void tenure__host_fork_unlock(tenure_heap *heap) { each_lock(heap, pthread_mutex_unlock); }

void tenure__host_forked(tenure_heap *heap)
{
    tenure__arena_forked(heap);
    tenure__daemon_forked(heap);
    tenure__events_forked(&heap->events);
    tenure__finalizers_forked(heap);
    tenure__maps_forked(heap);
    tenure__found_forked(heap);
}
