/* Reading the statistics: counters and histograms, relaxed; nothing is stopped. */
#include "lib/collection/cycle.h"
#include "lib/heap/heap.h"
#include "threads/report.h"
#include <string.h>

static uint64_t load(const _Atomic uint64_t *counter) { return atomic_load_explicit(counter, memory_order_relaxed); }

/* Of the threads that are attached now, by a walk of the registry under RCU, and of those that are gone. */
static uint64_t allocated_bytes(tenure_heap *heap)
{
    uint64_t bytes = load(&heap->allocated_bytes);
    const enum tenure__rcu_section section = tenure__rcu_section_begin();
    tenure__mutator *mutator;
    cds_list_for_each_entry_rcu(mutator, &heap->world.every, every_link)
    {
        tenure__tsan_acquire(mutator);
        bytes += load(&((tenure__allocator *)mutator)->allocated_bytes);
        tenure__tsan_release(mutator);
    }
    tenure__rcu_section_end(section);
    return bytes;
}

static uint64_t bytes_above(uint64_t blocks, uint64_t bytes)
{
    blocks <<= TENURE__BLOCK_SHIFT;
    return blocks > bytes ? blocks - bytes : 0;
}

static void read_triggers(const tenure_heap *heap, tenure_stats *out)
{
    out->gen0_collections = atomic_load_explicit(&heap->young_since, memory_order_relaxed);
    out->gen1_after = atomic_load_explicit(&heap->gen1_after, memory_order_relaxed);
    out->gen2_grown_bytes = bytes_above(tenure__old_blocks(heap), out->live_bytes);
    out->gen2_growth_bytes = bytes_above(load(&heap->gen2_trigger_blocks), out->live_bytes);
}

static void read_finalizers(tenure__finalizers_state *finalizers, tenure_stats *out)
{
    out->finalizers_pending = atomic_load_explicit(&finalizers->left, memory_order_relaxed);
    tenure__own_lock(&finalizers->lock);
    out->finalizers_run = finalizers->run;
    out->finalizer_slowest_ns = finalizers->slowest_ns;
    out->finalizer_slowest_type = finalizers->slowest_type;
    tenure__own_unlock(&finalizers->lock);
}

void tenure_stats_read(tenure_heap *heap, tenure_stats *out)
{
    memset(out, 0, sizeof *out);
    for (unsigned i = 0; i < 3; i++) {
        out->collections[i] = load(&heap->collections[i]);
        tenure__pauses_read(&heap->pauses[i], &out->pauses[i]);
    }
    tenure__pauses_read(&heap->all_pauses, &out->all);
    out->gen0_bytes = load(&heap->generation_blocks[0]) << TENURE__BLOCK_SHIFT;
    out->gen1_bytes = load(&heap->generation_blocks[1]) << TENURE__BLOCK_SHIFT;
    out->gen2_bytes = load(&heap->generation_blocks[2]) << TENURE__BLOCK_SHIFT;
    out->gen0_budget_bytes = (uint64_t)atomic_load_explicit(&heap->gen0_budget, memory_order_relaxed)
                             << TENURE__BLOCK_SHIFT;
    out->large_bytes = load(&heap->large_blocks) << TENURE__BLOCK_SHIFT;
    out->frozen_bytes = load(&heap->frozen_blocks) << TENURE__BLOCK_SHIFT;
    out->live_bytes = load(&heap->live_bytes);
    out->hole_bytes = load(&heap->gen2_holes) * 16;
    read_triggers(heap, out);
    out->heap_bytes = load(&heap->used_blocks) << TENURE__BLOCK_SHIFT;
    out->committed_bytes = load(&heap->resident_blocks) << TENURE__BLOCK_SHIFT;
    out->returned_bytes = load(&heap->returned_bytes);
    out->max_heap_bytes = heap->options.max_heap;
    out->external_bytes = (uint64_t)atomic_load_explicit(&heap->external_bytes, memory_order_relaxed);
    out->allocated_bytes = allocated_bytes(heap);
    out->copied_bytes = load(&heap->copied_bytes);
    out->copied_objects = load(&heap->copied_objects);
    out->pinned_objects = load(&heap->pinned_objects);
    out->stayed_objects = load(&heap->stayed_objects);
    read_finalizers(&heap->finalizers, out);
    out->weak_cleared = load(&heap->weak_cleared);
    out->logged_objects = load(&heap->logged_objects);
    out->lost_events = load(&heap->events.lost);
    out->threads_attached = load(&heap->world.attached);
    out->threads_dormant = load(&heap->world.dormant_count);
    out->lock_stops = load(&heap->world.lock_stops);
    out->lock_holders = load(&heap->world.lock_holders);
    out->lock_waiters = load(&heap->world.lock_waiters);
    out->lock_held_ns = load(&heap->world.lock_held_ns);
    tenure__histogram_read(&heap->graces, &out->lock_grace);
    tenure__watch_stats(&heap->world, out);
    out->workers = heap->options.workers;
    out->since_ns = tenure__now_ns() - heap->created_ns;
}
