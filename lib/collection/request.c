/* How collections are asked for: by a spent budget, by want of memory, by the program, by torture. */
#include "lib/collection/cycle.h"
#include "threads/futex.h"
#include "threads/host.h"
#include <errno.h>

enum { LOCK_SPINS = 400 };

static uint64_t collected(const tenure_heap *heap)
{
    return atomic_load_explicit(&heap->collected, memory_order_acquire);
}

/* relaxed: a constant; whoever misses a change of thresholds came before it. */
static const tenure__order *due(tenure_heap *heap) { return atomic_load_explicit(&heap->order, memory_order_relaxed); }

struct lead {
    tenure_heap *heap;
    uint64_t seen; /* collections when it was decided that one is due */
    int generation;
    const char *reason;
};

/* The stop lock, for a mutator that wants to lead: while another leads, it helps; then it looks whether there is still
 * something to do. False: there is not, and the lock is not held. */
static bool lock_to_lead(const struct lead *lead)
{
    tenure__world *world = &lead->heap->world;
    for (unsigned spins = 0; !tenure__trylock_stop(world); spins++) {
        if (collected(lead->heap) != lead->seen) return false;
        if (spins >= LOCK_SPINS || !atomic_load_explicit(&world->spinning_pays, memory_order_relaxed)) {
            tenure__lock_stop(world);
            break;
        }
        if (!tenure__gang_help(&world->gang, true)) tenure__cpu_relax();
    }
    if (collected(lead->heap) == lead->seen) return true;
    tenure__unlock_stop(world);
    return false;
}

static void lead_as_mutator(tenure__mutator *mutator, void *arg)
{
    const struct lead *lead = arg;
    tenure__release(mutator, TENURE__PARKED);
    if (atomic_load_explicit(&lead->heap->roots.program_wanted, memory_order_relaxed))
        tenure__roots_refresh(lead->heap);
    if (lock_to_lead(lead)) {
        tenure__lead(lead->heap, lead->generation, lead->reason, false);
        tenure__unlock_stop(&lead->heap->world);
    }
    tenure__reacquire(mutator);
}

static void lead_in_own_stop(tenure__mutator *mutator, void *arg)
{
    const struct lead *lead = arg;
    tenure__lead(lead->heap, lead->generation, lead->reason, false);
    /* It took the chunk, and nobody who owns the stop comes back from it: the old limit would allow to bump from
     * nowhere. */
    tenure__set_limit(mutator, tenure__host_limit(mutator));
}

void tenure__collect_by_daemon(tenure_heap *heap, int generation)
{
    const uint32_t mine = atomic_fetch_add_explicit(&heap->wanted[generation], 1, memory_order_acq_rel) + 1;
    tenure__daemon_poke(heap);
    for (;;) {
        const uint32_t done = atomic_load_explicit(&heap->done[generation], memory_order_acquire);
        if ((int32_t)(done - mine) >= 0) return;
        tenure__futex_wait(&heap->done[generation], done, 0);
    }
}

struct ticket {
    tenure_heap *heap;
    int generation;
};

static void wait_for_daemon(tenure__mutator *mutator, void *arg)
{
    const struct ticket *ticket = arg;
    tenure_heap *heap = ticket->heap;
    tenure__release(mutator, TENURE__PARKED);
    tenure__collect_by_daemon(heap, ticket->generation);
    tenure__reacquire(mutator);
}

void tenure__collect_now(tenure__allocator *allocator, int generation, const char *reason)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    if (tenure__owns_stop(&allocator->mutator)) {
        struct lead lead = { heap, 0, generation, reason };
        tenure__with_context(&allocator->mutator, lead_in_own_stop, &lead);
    } else {
        struct ticket ticket = { heap, generation };
        tenure__with_context(&allocator->mutator, wait_for_daemon, &ticket);
    }
}

void tenure__collect_budget(tenure__allocator *allocator)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    const uint64_t seen = collected(heap);
    const tenure__order *order = due(heap);
    const bool may_lead = heap->options.lead == TENURE_LEAD_MUTATOR && order->generation < 2;
    if (!tenure__owns_stop(&allocator->mutator) && may_lead) {
        struct lead lead = { heap, seen, order->generation, order->reason };
        tenure__with_context(&allocator->mutator, lead_as_mutator, &lead);
    } else {
        tenure__collect_now(allocator, order->generation, order->reason);
    }
}

/* The program's code, inside an allocation. */
static bool ask_handler(tenure__allocator *allocator, size_t bytes)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    tenure__inside_end(&allocator->mutator);
    const bool again = heap->oom(&allocator->mutator.record, bytes, heap->oom_arg);
    tenure__inside_begin(&allocator->mutator, "an allocation");
    return again;
}

bool tenure__collect_for_memory(tenure__allocator *allocator, size_t bytes, tenure__collect_stage *stage)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    switch (*stage) {
    case TENURE__STAGE_YOUNG:
        *stage = TENURE__STAGE_FULL;
        /* relaxed, both: if another thread allocates meanwhile, the full collection frees it as well. */
        if (atomic_load_explicit(&heap->generation_blocks[0], memory_order_relaxed) +
                atomic_load_explicit(&heap->generation_blocks[1], memory_order_relaxed) !=
            0) {
            tenure__collect_now(allocator, 1, "out of memory");
            return true;
        }
        __attribute__((fallthrough));
    case TENURE__STAGE_FULL:
        tenure__collect_now(allocator, 2, "out of memory");
        *stage = TENURE__STAGE_HANDLER;
        return true;
    case TENURE__STAGE_HANDLER:
        *stage = TENURE__STAGE_FAILED;
        if (heap->oom == 0 || !ask_handler(allocator, bytes)) return false;
        tenure__collect_now(allocator, 2, "out of memory");
        return true;
    case TENURE__STAGE_FAILED:
        break;
    }
    return false;
}

void tenure__allocation_pressure(tenure__allocator *allocator)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    if (heap->options.torture_alloc == 0) return;
    const uint64_t count = ++allocator->torture_count;
    if (count % heap->options.torture_alloc != 0) return;
    if (atomic_load_explicit(&heap->disabled, memory_order_relaxed) != 0) return;
    const uint64_t round = count / heap->options.torture_alloc;
    const int generation = heap->checks.vacates || round % 16 == 0 ? 2 : round % 4 == 0 ? 1 : 0;
    struct lead lead = { heap, collected(heap), generation, "torture" };
    if (tenure__owns_stop(&allocator->mutator) || heap->options.lead == TENURE_LEAD_DAEMON)
        tenure__collect_now(allocator, generation, "torture");
    else
        tenure__with_context(&allocator->mutator, lead_as_mutator, &lead);
}

void tenure__host_polled(tenure__mutator *mutator)
{
    tenure_heap *heap = mutator->record.heap;
    if ((heap->options.torture & TENURE_TORTURE_POLL) != 0 && !heap->checks.vacates &&
        atomic_load_explicit(&heap->disabled, memory_order_relaxed) == 0)
        tenure__collect_now((tenure__allocator *)mutator, due(heap)->generation, "torture");
}

/* Counted like allocations. */
void tenure__host_passed(tenure__mutator *mutator) { tenure__allocation_pressure((tenure__allocator *)mutator); }

tenure_status tenure_collect(tenure_thread *self, tenure_generation generation)
{
    tenure__allocator *allocator = tenure__allocator_of(self);
    tenure__require_in(&allocator->mutator, "tenure_collect");
    tenure__check_gc(allocator->mutator.os, "tenure_collect");
    if ((int)generation < 0 || (int)generation > 2) return TENURE_EINVAL;
    if (atomic_load_explicit(&self->heap->disabled, memory_order_relaxed) != 0) return TENURE_EBUSY;
    tenure__pass(allocator->mutator.os, &allocator->mutator);
    tenure__inside_begin(&allocator->mutator, "tenure_collect");
    /* Who collects Gen 0 before its budget is spent, always, would otherwise never collect Gen 1. For Gen 2 there is
     * the daemon, but not in the caller's own stop. */
    const int turn = due(self->heap)->generation, most = tenure__owns_stop(&allocator->mutator) ? 2 : 1;
    const int least = turn < most ? turn : most;
    const int collects = self->heap->checks.vacates ? 2 : (int)generation > least ? (int)generation : least;
    tenure__collect_now(allocator, collects, "explicit");
    tenure__inside_end(&allocator->mutator);
    return TENURE_OK;
}

bool tenure_enabled(tenure_heap *heap) { return atomic_load_explicit(&heap->disabled, memory_order_relaxed) == 0; }

void tenure_disable(tenure_heap *heap) { atomic_fetch_add_explicit(&heap->disabled, 1, memory_order_relaxed); }

void tenure_enable(tenure_heap *heap)
{
    if (atomic_fetch_sub_explicit(&heap->disabled, 1, memory_order_relaxed) <= 0)
        tenure__misuse("tenure_enable", "only after tenure_disable");
}
