/* The daemon: coordinates. It leads the collections that no mutator leads, keeps memory committed and populated ahead,
 * gives memory back. It is never part of a stop. */
#include "lib/collection/cycle.h"
#include "lib/collection/finalizer.h"
#include "lib/collection/weakmap.h"
#include "threads/futex.h"
#include "threads/system.h"
#include <errno.h>

enum {
    TICK_NS = 100000000, /* while there may be memory to give back */
    RUNNER_BLOCKS = (16 << 20) >> TENURE__BLOCK_SHIFT
};

static void *daemon_thread(void *arg);

static int start_thread(tenure_heap *heap)
{
    return tenure__own_thread(&heap->daemon, "tenure-daemon", daemon_thread, heap);
}

/* A forked child has no daemon until somebody wants something of it. relaxed: one does it, the others only poke. */
static void revive(tenure_heap *heap)
{
    if (!atomic_load_explicit(&heap->daemon_gone, memory_order_relaxed) ||
        !atomic_exchange_explicit(&heap->daemon_gone, false, memory_order_relaxed))
        return;
    const int error = start_thread(heap);
    if (error != 0) tenure__fatal(__func__, __LINE__, error);
}

void tenure__daemon_poke(tenure_heap *heap)
{
    revive(heap);
    /* release: what the request is about is seen by the daemon that sees the new number. */
    atomic_fetch_add_explicit(&heap->daemon_wake, 1, memory_order_release);
    tenure__futex_wake(&heap->daemon_wake, 1);
}

void tenure__daemon_report(tenure_heap *heap)
{
    if (atomic_load_explicit(&heap->full_wanted, memory_order_relaxed) != 0 ||
        atomic_load_explicit(&heap->finalizers.ready, memory_order_relaxed) || tenure__maps_wait_for_upkeep(heap) ||
        tenure__blocks_short(heap))
        tenure__daemon_poke(heap);
}

static void lead(tenure_heap *heap, int generation, const char *reason)
{
    if (atomic_load_explicit(&heap->roots.program_wanted, memory_order_relaxed)) tenure__roots_refresh(heap);
    tenure__lock_stop(&heap->world);
    tenure__lead(heap, generation, reason, true);
    tenure__unlock_stop(&heap->world);
}

/* One collection, of the oldest generation that was asked for. It serves all tickets that were drawn before the world
 * was stopped for it: what their threads had let go of by then it has seen. */
static bool serve(tenure_heap *heap)
{
    int generation = -1;
    for (int i = 0; i < 3; i++) /* acquire: pairs with the release of whoever drew the ticket. */
        if (atomic_load_explicit(&heap->wanted[i], memory_order_acquire) !=
            atomic_load_explicit(&heap->done[i], memory_order_relaxed))
            generation = i;
    const char *reason = "requested";
    const char *wanted = atomic_exchange_explicit(&heap->full_wanted, 0, memory_order_acq_rel);
    if (wanted != 0) {
        if (generation < 2) reason = wanted;
        generation = 2;
    }
    if (generation < 0) return false;
    lead(heap, generation, reason);
    for (int i = 0; i <= generation; i++) {
        /* release: the collection is complete for whoever sees its ticket served. */
        atomic_store_explicit(&heap->done[i], heap->served[i], memory_order_release);
        tenure__futex_wake(&heap->done[i], UINT32_MAX >> 1);
    }
    return true;
}

/* What cannot wait for the daemon's other work. True: a collection was among it. */
static bool attend(tenure_heap *heap)
{
    bool served = false;
    while (serve(heap)) served = true;
    tenure__finalizers_announce(heap);
    tenure__maps_upkeep(heap);
    return served;
}

/* Free memory beyond what the next collections will want goes back when nothing needed it for return_delay. */
static void return_memory(tenure_heap *heap, uint64_t *quiet_since)
{
    const uint64_t now = tenure__now_ns();
    const uint64_t used = atomic_load_explicit(&heap->used_blocks, memory_order_relaxed);
    if (used > heap->used_peak_blocks) heap->used_peak_blocks = used;
    if (now - *quiet_since < heap->options.return_delay) return;
    *quiet_since = now;
    /* Kept: enough to reach the peak of the last period again; while collections go on, at least for the largest Gen 0
     * that those who run may get next: what is given back would come again in small pages. */
    const uint64_t collected = atomic_load_explicit(&heap->collected, memory_order_relaxed);
    uint64_t keep = heap->used_peak_blocks - used;
    if (collected == heap->returned_at) { /* nobody allocates: nothing needs to lie ready */
        atomic_store_explicit(&heap->survivors, 0, memory_order_relaxed);
    } else {
        const uint64_t nursery =
            (uint64_t)atomic_load_explicit(&heap->budget.runners, memory_order_relaxed) * RUNNER_BLOCKS;
        keep = (keep > nursery ? keep : nursery) + atomic_load_explicit(&heap->survivors, memory_order_relaxed);
    }
    heap->returned_at = collected;
    heap->used_peak_blocks = used;
    while (tenure__arena_return(heap, (uint32_t)keep)) {
        if (atomic_load_explicit(&heap->daemon_stops, memory_order_relaxed)) return;
        if (attend(heap)) return;
    }
}

/* Until enough lies ready or something else is wanted, if there is a processor for it: else it would be taken from the
 * mutators or, worse, from a stop, and they populate what they miss themselves. Once for each collection: what is given
 * back while nobody allocates is not populated again. */
static void populate(tenure_heap *heap, uint32_t seen)
{
    const uint64_t collected = atomic_load_explicit(&heap->collected, memory_order_relaxed) + 1;
    const bool processor_free =
        atomic_load_explicit(&heap->budget.runners, memory_order_relaxed) < heap->world.processors;
    while (processor_free && heap->populated_at != collected) {
        if (atomic_load_explicit(&heap->populators, memory_order_relaxed) != 0) return; /* collections would wait */
        if (!tenure__populate_ahead(heap)) heap->populated_at = collected;
        if (atomic_load_explicit(&heap->daemon_wake, memory_order_relaxed) != seen) return;
    }
}

static void *daemon_thread(void *arg)
{
    tenure_heap *heap = arg;
    uint64_t quiet_since = tenure__now_ns();
    for (;;) {
        const uint32_t seen = atomic_load_explicit(&heap->daemon_wake, memory_order_acquire);
        attend(heap);
        if (atomic_load_explicit(&heap->daemon_stops, memory_order_acquire)) return 0;
        /* Records of threads that are gone wait for a grace period: mutators that never stop announce quiescence. */
        if (atomic_load_explicit(&heap->world.retired, memory_order_relaxed) != 0) {
            tenure__rcu_hurry_begin();
            tenure__rcu_hurry_end();
        }
        populate(heap, seen);
        return_memory(heap, &quiet_since);
        if (atomic_load_explicit(&heap->daemon_wake, memory_order_acquire) == seen)
            tenure__futex_wait(&heap->daemon_wake, seen, TICK_NS);
    }
}

tenure_status tenure__daemon_start(tenure_heap *heap)
{
    const int error = start_thread(heap);
    if (error == 0) return TENURE_OK;
    errno = error;
    return TENURE_ESYSTEM;
}

/* Nobody waits for it. */
void tenure__daemon_forked(tenure_heap *heap)
{
    for (unsigned i = 0; i < 3; i++)
        atomic_store_explicit(
            &heap->done[i], atomic_load_explicit(&heap->wanted[i], memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(&heap->daemon_gone, true, memory_order_relaxed);
}

void tenure__daemon_stop(tenure_heap *heap)
{
    if (!atomic_load_explicit(&heap->daemon_gone, memory_order_relaxed)) {
        atomic_store_explicit(&heap->daemon_stops, true, memory_order_release);
        tenure__daemon_poke(heap);
        TENURE__MUST(pthread_join(heap->daemon, 0));
    }
}
