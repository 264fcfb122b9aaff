/* What threads/ asks of the collector. */
#ifndef TENURE_THREADS_HOST_H
#define TENURE_THREADS_HOST_H

#include "threads/mutator.h"

/* A record was made (zeroed but for the mutator part); not yet registered. */
void tenure__host_attached(tenure__mutator *mutator);
/* The mutator leaves: hand chunk and logs to the heap. Stop lock held, no stop going on, the caller is the owner. */
void tenure__host_detached(tenure__mutator *mutator);
/* Whether TENURE_FRAMEs of the mutator are open on stacks that do not run. Stop lock held, no stop going on, the caller
 * is the owner, released. */
bool tenure__host_frames_suspended(const tenure__mutator *mutator);
/* The limit that the mutator's chunk allows (never 0). Owner only. */
uintptr_t tenure__host_limit(tenure__mutator *mutator);
/* A poll found the limit poisoned and no stop pending, or a region has ended: where torture collects. Owner, running;
 * may collect. */
void tenure__host_polled(tenure__mutator *mutator);
/* A call that lets stops in, in a world with check_roots: everything moves. Owner, running; may collect. */
void tenure__host_passed(tenure__mutator *mutator);
/* Whether locals are roots without being named: the heap scans stacks. */
bool tenure__host_scans_stacks(const struct tenure_heap *heap);
/* The mutator parks so long after the request because it held locks that others wait for. Owner. */
void tenure__host_graced(tenure__mutator *mutator, uint64_t ns);
/* The world inside a heap, which threads/ does not look into. */
tenure__world *tenure__host_world(struct tenure_heap *heap);

/* fork, see threads/fork.c; lib/heap/fork.c. Stopped: takes the locks of the heap, or with heap NULL those of the
 * process.
 */
void tenure__host_fork_lock(struct tenure_heap *heap);
/* Lets them go; parent and child. */
void tenure__host_fork_unlock(struct tenure_heap *heap);
/* In the child, still stopped, the other mutators dropped: the heap's own threads are gone. */
void tenure__host_forked(struct tenure_heap *heap);

#endif
