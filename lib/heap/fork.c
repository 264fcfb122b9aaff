/* The collector's part in a fork: its locks, and what a child no longer has. A new lock or thread belongs here. */
#include "lib/collection/cycle.h"
#include "threads/host.h"

/* Held while the daemon handles blocks outside stops: before the stops, for the daemon may wait for one. */
void tenure__host_fork_quiesce(tenure_heap *heap) { TENURE__MUST(pthread_mutex_lock(&heap->upkeep_lock)); }

void tenure__host_fork_lock(tenure_heap *heap)
{
    TENURE__MUST(pthread_mutex_lock(heap != 0 ? &heap->large_lock : &tenure__types_lock));
}

void tenure__host_fork_unlock(tenure_heap *heap)
{
    TENURE__MUST(pthread_mutex_unlock(heap != 0 ? &heap->large_lock : &tenure__types_lock));
    if (heap != 0) TENURE__MUST(pthread_mutex_unlock(&heap->upkeep_lock));
}

void tenure__host_forked(tenure_heap *heap) { tenure__daemon_forked(heap); }
