/* Weak references. A record is in the list of the younger of its own generation and its target's: a collection that
 * condemns neither leaves both where they are, and need not look at it. New records are in a list of the thread that
 * made them, until the next stop takes it.
 *
 * The first weak reference to an object is in no table: most objects have one, and to make it costs what an allocation
 * does. WEAK in the target's header says that it exists. Who asks for another makes one that is in the table and has
 * WEAK_SHARED in the target's header; everybody later gets that one. */
#include "lib/collection/weak.h"
#include "lib/allocation/nursery.h"
#include <errno.h>
#include <tenure/root.h>

/* --- lists --- */

static void append(tenure__records *list, uintptr_t record)
{
    if (list->head == 0)
        list->head = record;
    else if (tenure__record_at(list->tail)->next != record) /* pages of frozen blocks stay shared */
        tenure__record_at(list->tail)->next = record;
    list->tail = record;
}

static void end(tenure__records *list)
{
    if (list->head != 0 && tenure__record_at(list->tail)->next != 0) tenure__record_at(list->tail)->next = 0;
}

void tenure__record_link(tenure__allocator *allocator, unsigned kind, tenure__record *record)
{
    tenure__records *list = &allocator->records[kind];
    record->next = list->head;
    if (list->head == 0) list->tail = (uintptr_t)record;
    list->head = (uintptr_t)record;
}

void tenure__records_take(tenure__allocator *allocator)
{
    tenure_heap *heap = allocator->mutator.record.heap;
    for (unsigned kind = 0; kind < TENURE__RECORD_KINDS; kind++) {
        tenure__records *from = &allocator->records[kind], *to = &heap->records[kind][0];
        if (from->head == 0) continue;
        tenure__record_at(from->tail)->next = to->head;
        if (to->head == 0) to->tail = from->tail;
        to->head = from->head;
        *from = (tenure__records) { 0 };
    }
}

/* --- in a stop --- */

/* The list that the record belongs to from now on; both where they are now. */
static tenure__records *list_for(tenure_heap *heap, unsigned kind, uintptr_t record, uintptr_t target)
{
    const unsigned of_record = tenure__final_generation(heap, tenure__block_index(heap, record));
    const unsigned of_target = tenure__final_generation(heap, tenure__block_index(heap, target));
    return &heap->records[kind][of_record < of_target ? of_record : of_target];
}

static void forget(uintptr_t target, uint64_t flag)
{
    atomic_fetch_and_explicit(tenure__header_of(target), ~flag, memory_order_relaxed);
}

/* A weak reference and its target, the latter reached: where it was, and is. */
static void keep_cell(tenure_heap *heap, uintptr_t was, uintptr_t target)
{
    const uintptr_t now = tenure__survivor(heap, was);
    const uint64_t hash = tenure__record_at(was)->hash;
    if (now == 0) {
        if (hash != 0) tenure__record_moved(&heap->cells, hash, was, 0);
        forget(target, hash != 0 ? TENURE__WEAK_SHARED : TENURE__WEAK);
        return;
    }
    if (hash != 0 && now != was) tenure__record_moved(&heap->cells, hash, was, now);
    tenure__record *cell = tenure__record_at(now);
    if (cell->target != target) __atomic_store_n(&cell->target, target, __ATOMIC_RELAXED);
    append(list_for(heap, TENURE__CELLS, now, target), now);
}

static void clear_cell(tenure_heap *heap, uintptr_t was)
{
    const uintptr_t now = tenure__survivor(heap, was);
    tenure__record *cell = tenure__record_at(now != 0 ? now : was);
    if (cell->hash != 0) tenure__record_moved(&heap->cells, cell->hash, was, 0);
    __atomic_store_n(&cell->target, 0, __ATOMIC_RELAXED);
    heap->event.weak_cleared++;
}

static void settle_cell(tenure_heap *heap, uintptr_t was)
{
    const uintptr_t target = tenure__survivor(heap, tenure__record_at(was)->target);
    if (target == 0)
        clear_cell(heap, was);
    else
        keep_cell(heap, was, target);
}

void tenure__cells_settle(tenure_heap *heap)
{
    tenure__records taken[3];
    for (int generation = 0; generation <= heap->condemned; generation++) {
        taken[generation] = heap->records[TENURE__CELLS][generation];
        heap->records[TENURE__CELLS][generation] = (tenure__records) { 0 };
    }
    for (int generation = 0; generation <= heap->condemned; generation++)
        for (uintptr_t was = taken[generation].head, next; was != 0; was = next) {
            next = tenure__record_at(was)->next;
            __builtin_prefetch((void *)next);
            settle_cell(heap, was);
        }
    for (unsigned generation = 0; generation < 3; generation++) end(&heap->records[TENURE__CELLS][generation]);
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
