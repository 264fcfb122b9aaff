/* The table of contents of a collection; every phase is one call. All of it runs on the leader, helped where it says
 * gang. In the stopped window: no user callback but trace functions and root callbacks, no malloc, no stdio, no lock.
 */
#include "lib/collection/cycle.h"
#include "lib/allocation/nursery.h"
#include "lib/check/check.h"
#include "lib/collection/ephemeron.h"
#include "lib/collection/evacuate.h"
#include "lib/collection/finalizer.h"
#include "lib/collection/frozen.h"
#include "lib/collection/pin.h"
#include "lib/collection/records.h"
#include "lib/collection/remembered.h"
#include "lib/collection/settle.h"
#include "lib/collection/weak.h"
#include "lib/collection/weakmap.h"
#include "lib/inspect/leak.h"
#include "threads/report.h"
#include <string.h>

enum { INVITE_ABOVE_LOGGED = 400 };

#define EACH(list, mutator) cds_list_for_each_entry(mutator, list, link)

/* --- the phases --- */

static void take_from_mutators(tenure_heap *heap)
{
    tenure__mutator *mutator;
    EACH(&heap->world.active, mutator)
    {
        tenure__chunk_drop((tenure__allocator *)mutator);
        tenure__logs_take((tenure__allocator *)mutator);
        tenure__records_take((tenure__allocator *)mutator);
    }
    /* Dormant threads have none: these were taken when they were last active. */
}

static void prepare(tenure_heap *heap, int generation)
{
    heap->condemned = generation;
    heap->marking = generation == 2;
    heap->target = generation == 0 ? 1 : 2;
    heap->sequence++;
    take_from_mutators(heap);
    if (generation >= 1) {
        tenure__buffers_close(heap, 1);
        for (unsigned sort = 0; sort < TENURE__BLOCK_SORTS; sort++)
            atomic_store_explicit(&heap->holes[1][sort], 0, memory_order_relaxed);
    }
    if (heap->marking) {
        tenure__buffers_close(heap, 2);
        for (unsigned sort = 0; sort < TENURE__BLOCK_SORTS; sort++)
            atomic_store_explicit(&heap->holes[2][sort], 0, memory_order_relaxed);
        tenure__choose_evacuation(heap);
    }
    tenure__trace_prepare(heap);
    tenure__sizing_prepare(heap);
    for (unsigned i = 0; i < heap->worker_count; i++) {
        tenure__worker *worker = &heap->workers[i];
        memset(worker->copied_granules, 0, sizeof worker->copied_granules);
        worker->copied_objects = 0;
        worker->pinned_objects = worker->stayed_objects = 0;
        worker->filled_granules = 0;
        worker->scanned = 0;
    }
}

static void enter(tenure__worker *worker, bool may_trace)
{
    worker->may_trace = may_trace;
    worker->alone = worker->index == 0;
}

/* What pinning found is scanned with everything else: each worker has its own on its stack. */
static void trace_phase(void *arg, unsigned index, bool may_trace)
{
    tenure_heap *heap = arg;
    tenure__worker *worker = &heap->workers[index];
    enter(worker, may_trace);
    if (index == 0) {
        const uint64_t start = tenure__now_ns();
        tenure__roots_trace(worker);
        tenure__finalizers_trace(worker);
        tenure__entries_trace(worker);
        tenure__frozen_trace(worker);
        heap->event.roots_ns = tenure__now_ns() - start;
        if (heap->event.logged_objects > INVITE_ABOVE_LOGGED && heap->options.workers > 1)
            tenure__trace_invite(worker, heap->options.workers - 1, false);
    } else {
        atomic_fetch_add_explicit(&heap->working, 1, memory_order_acq_rel);
    }
    tenure__trace_drain(worker);
}

/* What lies in worker 0's hands, and everything reachable from there. */
static void follow_phase(void *arg, unsigned index, bool may_trace)
{
    tenure_heap *heap = arg;
    tenure__worker *worker = &heap->workers[index];
    enter(worker, may_trace);
    if (index != 0) atomic_fetch_add_explicit(&heap->working, 1, memory_order_acq_rel);
    tenure__trace_drain(worker);
}

static void rescan_phase(void *arg, unsigned index, bool may_trace)
{
    tenure_heap *heap = arg;
    tenure__worker *worker = &heap->workers[index];
    enter(worker, may_trace);
    /* The one place in working that trace() has taken is that of whoever rescans: there may be trace functions to call,
     * and no packet left to hand them over in. */
    if (may_trace && atomic_exchange_explicit(&heap->rescan_due, false, memory_order_relaxed)) {
        tenure__trace_rescan(worker);
        return;
    }
    if (index == 0) tenure__trace_invite(worker, 1, true);
    atomic_fetch_add_explicit(&heap->working, 1, memory_order_acq_rel);
    tenure__trace_drain(worker);
}

/* A helper of the pin phase may have left seeds on its stack and not be there in the next: the leader takes them. */
static void gather_seeds(tenure_heap *heap)
{
    tenure__worker *leader = &heap->workers[0];
    for (unsigned i = 1; i < heap->worker_count; i++) {
        tenure__worker *worker = &heap->workers[i];
        while (worker->top != 0) tenure__trace_push(leader, worker->stack[--worker->top]);
    }
}

static void trace(tenure_heap *heap, tenure__phase_fn *phase, bool may_trace)
{
    atomic_store_explicit(&heap->working, 1, memory_order_relaxed);
    tenure__gang_run(&heap->world.gang, phase, heap, may_trace);
    if (atomic_load_explicit(&heap->rescan, memory_order_relaxed) ||
        atomic_load_explicit(&heap->overflowed, memory_order_relaxed)) {
        atomic_store_explicit(&heap->working, 1, memory_order_relaxed);
        atomic_store_explicit(&heap->rescan_due, true, memory_order_relaxed);
        tenure__gang_run(&heap->world.gang, rescan_phase, heap, may_trace);
        atomic_store_explicit(&heap->overflowed, false, memory_order_relaxed);
    }
}

/* What hangs on an object's death. The order is what a program may rely on: no finalizer sees a weak reference to
 * anything that was unreachable, nor an ephemeron whose key was. */
static void settle_weak(tenure_heap *heap, bool may_trace)
{
    tenure__weak_settle(heap);
    tenure__ephemerons_clear(heap, false);
    /* So that all of them see everything whole. */
    if (tenure__finalizers_settle(heap)) {
        if ((heap->options.debug & TENURE_DEBUG_LEAK) != 0 && heap->condemned == 2)
            heap->leak = tenure__leak_look(heap, may_trace);
        trace(heap, follow_phase, may_trace);
    }
    tenure__ephemerons_clear(heap, true);
    tenure__maps_settle(heap);
    tenure__cleaners_settle(heap);
    tenure__weak_finish(heap);
    tenure__ephemerons_count(heap);
}

static void add_up(tenure_heap *heap)
{
    tenure_collection *event = &heap->event;
    uint64_t filled = 0;
    memset(heap->copied_by_age, 0, sizeof heap->copied_by_age);
    for (unsigned i = 0; i < heap->worker_count; i++) {
        const tenure__worker *worker = &heap->workers[i];
        filled += worker->filled_granules;
        for (unsigned age = 0; age < TENURE__AGES; age++) {
            heap->copied_by_age[age] += worker->copied_granules[age] * 16;
            event->copied_bytes += worker->copied_granules[age] * 16;
        }
        event->copied_objects += worker->copied_objects;
        event->pinned_objects += worker->pinned_objects;
        event->stayed_objects += worker->stayed_objects;
        event->workers += worker->copied_objects != 0 || i == 0;
    }
    atomic_fetch_sub_explicit(&heap->gen2_holes, filled, memory_order_relaxed);
    atomic_fetch_add_explicit(&heap->copied_bytes, event->copied_bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&heap->copied_objects, event->copied_objects, memory_order_relaxed);
    atomic_fetch_add_explicit(&heap->pinned_objects, event->pinned_objects, memory_order_relaxed);
    atomic_fetch_add_explicit(&heap->stayed_objects, event->stayed_objects, memory_order_relaxed);
    atomic_fetch_add_explicit(&heap->weak_cleared, event->weak_cleared, memory_order_relaxed);
    atomic_fetch_add_explicit(&heap->logged_objects, event->logged_objects, memory_order_relaxed);
    atomic_fetch_add_explicit(&heap->collections[event->generation], 1, memory_order_relaxed);
}

static void sizes(tenure_heap *heap, uint64_t bytes[3], uint64_t *total)
{
    for (unsigned i = 0; i < 3; i++)
        bytes[i] = atomic_load_explicit(&heap->generation_blocks[i], memory_order_relaxed) << TENURE__BLOCK_SHIFT;
    *total = atomic_load_explicit(&heap->used_blocks, memory_order_relaxed) << TENURE__BLOCK_SHIFT;
}

/* Of the leader since then, and of its helpers. */
static uint64_t cpu_since(const tenure_heap *heap, uint64_t cpu)
{
    return tenure__cpu_ns() - cpu + atomic_load_explicit(&heap->world.gang.cpu_ns, memory_order_relaxed);
}

/* Runs the phases; the world is stopped. Leaves the durations in heap->event. */
static void collect_stopped(tenure_heap *heap, int generation, const char *reason, bool by_daemon, uint64_t cpu)
{
    tenure_collection *event = &heap->event;
    /* In a forked child there may be no pool thread to leave trace functions to. */
    const bool may_trace = by_daemon || heap->world.gang.pool_gone;
    event->generation = generation;
    event->reason = reason;
    event->led_by_daemon = by_daemon;
    /* acquire: as in the daemon's look. */
    for (int i = 0; i < 3 && by_daemon; i++)
        heap->served[i] = atomic_load_explicit(&heap->wanted[i], memory_order_acquire);
    tenure__check_phase(heap, TENURE__BEFORE, may_trace);
    if (heap->checks.shadow != 0) tenure__barriers_check(heap);
    sizes(heap, event->before_bytes, &event->heap_before_bytes);
    const uint64_t start = tenure__now_ns();
    prepare(heap, generation);
    tenure__check_phase(heap, TENURE__PREPARED, may_trace);
    event->sequence = heap->sequence;
    tenure__pin_all(heap, may_trace);
    gather_seeds(heap);
    tenure__check_phase(heap, TENURE__ALL_PINNED, may_trace);
    tenure__logs_prepare(heap);
    const uint64_t pinned = tenure__now_ns();
    event->pin_ns = pinned - start;
    trace(heap, trace_phase, may_trace);
    tenure__check_phase(heap, TENURE__TRACED, may_trace);
    const uint64_t traced = tenure__now_ns();
    event->trace_ns = traced - pinned - event->roots_ns;
    settle_weak(heap, may_trace);
    tenure__check_phase(heap, TENURE__WEAK_SETTLED, may_trace);
    if (heap->checks.sites != 0) tenure__sites_moved(heap);
    const uint64_t weak = tenure__now_ns();
    event->weak_ns = weak - traced;
    tenure__logs_finish(heap);
    tenure__settle(heap, may_trace);
    tenure__roots_settle(heap);
    if (generation < 2) tenure__retire_idle(heap);
    add_up(heap);
    sizes(heap, event->after_bytes, &event->heap_after_bytes);
    event->finish_ns = tenure__now_ns() - weak;
    event->cpu_ns = cpu_since(heap, cpu);
    tenure__sizing_update(heap, event);
    tenure__check_phase(heap, TENURE__AFTER, may_trace);
    if (heap->checks.shadow != 0) tenure__barriers_remember(heap);
    atomic_fetch_add_explicit(&heap->collected, 1, memory_order_release);
}

static void name_last(tenure_collection *event, const tenure__reach *reach)
{
    event->threads_stopped = reach->waited_for;
    event->late = reach->late;
    if (reach->last == 0) return;
    event->last_tid = reach->last->tid;
    memcpy(event->last_name, reach->last->name, sizeof event->last_name);
}

void tenure__lead(tenure_heap *heap, int generation, const char *reason, bool by_daemon)
{
    tenure__world *world = &heap->world;
    /* The owner of a stopped world leads in its own stop. */
    const bool stopped = world->owner != 0;
    tenure_collection *event = &heap->event;
    memset(event, 0, sizeof *event);
    tenure__gang_revive(&world->gang);
    tenure__watch_revive(world);
    tenure__events_revive(&heap->events);
    atomic_store_explicit(&world->gang.cpu_ns, 0, memory_order_relaxed);
    const uint64_t cpu = tenure__cpu_ns();
    const uint64_t requested = tenure__now_ns();
    event->at_ns = requested - heap->created_ns;
    if (!stopped) {
        const tenure__reach reach = tenure__world_stop(world, generation == 2);
        name_last(event, &reach);
    }
    const uint64_t reached = tenure__now_ns();
    event->reach_ns = reached - requested;
    collect_stopped(heap, generation, reason, by_daemon, cpu);
    const uint64_t finished = tenure__now_ns();
    tenure__leak *leak = heap->leak;
    heap->leak = 0;
    if (!stopped) tenure__world_resume(world);
    const uint64_t resumed = tenure__now_ns();
    event->resume_ns = resumed - finished;
    event->total_ns = resumed - requested;
    event->cpu_ns = cpu_since(heap, cpu);
    tenure__pauses_record(&heap->pauses[generation], event);
    tenure__pauses_record(&heap->all_pauses, event);
    tenure__events_publish(&heap->events, event, leak);
    tenure__daemon_report(heap);
}
