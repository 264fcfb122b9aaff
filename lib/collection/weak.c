/* Weak references, those with a death callback (watches) among them.
 *
 * The first weak reference to an object is in no table: most objects have one, and to make it costs what an allocation
 * does. WEAK in the target's header says that it exists. Who asks for another makes one that is in the table and has
 * WEAK_SHARED in the target's header; everybody later gets that one. */
#include "lib/collection/weak.h"
#include "lib/collection/finalizer.h"
#include "lib/collection/records.h"
#include <errno.h>
#include <tenure/root.h>

/* --- in a stop --- */

/* The cell is gone, or its target (which a finalizer may bring back: its header is to say what is true then). */
static void forget_cell(tenure_heap *heap, uintptr_t was, uintptr_t target)
{
    const uint64_t hash = tenure__record_at(was)->hash;
    if (hash != 0) tenure__record_moved(&heap->cells, hash, was, 0);
    atomic_fetch_and_explicit(
        tenure__header_of(target), ~(hash != 0 ? TENURE__WEAK_SHARED : TENURE__WEAK), memory_order_relaxed);
}

/* Both were reached, or are not collected. */
static void keep(tenure_heap *heap, unsigned kind, uintptr_t was, uintptr_t now, uintptr_t target)
{
    const uint64_t hash = tenure__record_at(was)->hash;
    if (kind == TENURE__CELLS && hash != 0 && now != was) tenure__record_moved(&heap->cells, hash, was, now);
    tenure__record_keep(heap, kind, now, target);
}

/* The target was not reached. now: 0 if the weak reference was not either; it is cleared all the same, for a finalizer
 * may bring it back. */
static void clear(tenure_heap *heap, unsigned kind, uintptr_t was, uintptr_t now)
{
    tenure__record *record = tenure__record_at(now != 0 ? now : was);
    if (kind == TENURE__CELLS) forget_cell(heap, was, record->target);
    __atomic_store_n(&record->target, 0, __ATOMIC_RELAXED);
    heap->event.weak_cleared++;
    if (kind == TENURE__WATCHES && now != 0)
        tenure__make_due(heap, now, tenure__final_generation(heap, tenure__block_index(heap, now)));
}

static void settle(tenure_heap *heap, unsigned kind, uintptr_t was)
{
    tenure__record *record = tenure__record_at(was);
    const uintptr_t target = tenure__survivor(heap, record->target), now = tenure__survivor(heap, was);
    if (target == 0) {
        clear(heap, kind, was, now);
    } else if (now != 0) {
        keep(heap, kind, was, now, target);
    } else { /* dead, unless a finalizer brings it back */
        record->target = target;
        record->next = heap->unreached[kind];
        heap->unreached[kind] = was;
    }
}

void tenure__weak_settle(tenure_heap *heap)
{
    tenure__records_settle(heap, TENURE__CELLS, settle);
    tenure__records_settle(heap, TENURE__WATCHES, settle);
}

static void settle_unreached(tenure_heap *heap, unsigned kind, uintptr_t was)
{
    const tenure__record *record = tenure__record_at(was);
    const uintptr_t now = tenure__survivor(heap, was);
    if (now != 0)
        keep(heap, kind, was, now, record->target);
    else if (kind == TENURE__CELLS)
        forget_cell(heap, was, record->target);
}

void tenure__weak_finish(tenure_heap *heap)
{
    for (unsigned kind = TENURE__CELLS; kind <= TENURE__WATCHES; kind++) {
        for (uintptr_t was = heap->unreached[kind], next; was != 0; was = next) {
            next = tenure__record_at(was)->next;
            settle_unreached(heap, kind, was);
        }
        heap->unreached[kind] = 0;
        tenure__records_end(heap, kind);
    }
}

/* --- mutators --- */

/* The one that others share. None: the new cell becomes it, unless there is no memory. Between the look at the header
 * and the lock there is no safepoint: the target is where it was. */
static tenure__record *shared_cell(tenure__allocator *allocator, uintptr_t target, tenure__record *new_cell)
{
    tenure_thread *self = &allocator->mutator.record;
    const uint64_t hash = tenure_identity_hash(self, (void *)target);
    tenure__record_shard *shard = tenure__record_shard_lock(&self->heap->cells, hash);
    tenure__record *found = tenure__record_at(tenure__record_find(shard, hash, target));
    if (found == 0 && new_cell != 0 && tenure__record_add(shard, hash, (uintptr_t)new_cell)) {
        new_cell->target = target;
        new_cell->hash = hash;
        tenure__record_link(allocator, TENURE__CELLS, new_cell);
        atomic_fetch_or_explicit(tenure__header_of(target), TENURE__WEAK_SHARED, memory_order_relaxed);
        found = new_cell;
    }
    tenure__record_shard_unlock(shard);
    return found;
}

tenure_weak *tenure_weak_new(tenure_thread *self, void *target)
{
    tenure__allocator *allocator = tenure__allocator_of(self);
    tenure__require_object(self, target, "tenure_weak_new");
    if (tenure__header_load((uintptr_t)target) & TENURE__WEAK_SHARED)
        return (tenure_weak *)shared_cell(allocator, (uintptr_t)target, 0);
    TENURE_FRAME(self, target);
    tenure__record *cell = tenure__allocate(self, *tenure__weak_type.header, sizeof *cell, false);
    if (cell == 0) return 0;
    /* relaxed: only one thread finds it clear; stops alone read what it says. */
    const uint64_t header =
        atomic_fetch_or_explicit(tenure__header_of((uintptr_t)target), TENURE__WEAK, memory_order_relaxed);
    if ((header & TENURE__WEAK) != 0) {
        cell = shared_cell(allocator, (uintptr_t)target, cell);
        if (cell == 0) errno = ENOMEM;
        return (tenure_weak *)cell;
    }
    cell->target = (uintptr_t)target;
    tenure__record_link(allocator, TENURE__CELLS, cell);
    return (tenure_weak *)cell;
}
