/* Finalizers and cleaners in a stop. What is to be run is changed into an object of a type whose words are all
 * references, in lists of objects whose heads are roots: so it is kept, with its target and argument, by ordinary
 * means. There is a list for each generation, and new entries come in front: then an entry refers to what is as old as
 * itself, or older, and no remembered set need know. */
#include "lib/collection/finalizer.h"
#include "lib/collection/records.h"

/* Cancelled, or another one took its place: the record in the table, if there is one, else the one that is not. */
static bool is_void(const tenure__action *action, uint64_t target_header)
{
    if (action->fn == 0) return true;
    return action->record.hash == 0 &&
           (target_header & (TENURE__FINALIZER | TENURE__FINALIZER_TABLED)) != TENURE__FINALIZER;
}

/* The target's header, which says so: of the copy, if it has moved already. */
static uint64_t target_header(const tenure__action *action)
{
    const uint64_t header = tenure__header_load(action->record.target);
    return (header & TENURE__HEADER) != 0 ? header : tenure__header_load((uintptr_t)header);
}

void tenure__finalizers_trace(tenure__worker *worker)
{
    tenure_heap *heap = worker->heap;
    for (unsigned generation = 0; generation < 3; generation++)
        tenure__trace_slot(worker, &heap->finalizers.due[generation]);
    for (unsigned kind = TENURE__FINALIZERS; kind <= TENURE__CLEANERS; kind++)
        for (int generation = 0; generation <= heap->condemned; generation++)
            for (uintptr_t at = heap->records[kind][generation].head; at != 0; at = tenure__record_at(at)->next) {
                /* What has moved already still says here what is next. */
                uintptr_t record = at;
                const tenure__action *action = tenure__action_at(at);
                const bool is_kept =
                    kind == TENURE__FINALIZERS ? !is_void(action, target_header(action)) : action->fn != 0;
                if (is_kept) tenure__trace_slot(worker, &record);
            }
}

void tenure__make_due(tenure_heap *heap, uintptr_t record, unsigned generation)
{
    const uint64_t header = tenure__header_load(record), type_bits = (uint64_t)TENURE__TYPE_MASK << TENURE__TYPE_SHIFT;
    const unsigned kind = (unsigned)(tenure__plan_of(header)->type - tenure__action_types);
    /* Nobody else changes it: a stop, and not while tracing. */
    tenure__header_store(record, (header & ~type_bits) | (*tenure__due_types[kind].header & type_bits));
    tenure__record_at(record)->next = heap->finalizers.due[generation];
    heap->finalizers.due[generation] = record;
    /* relaxed, all: the stop publishes them. */
    atomic_fetch_add_explicit(&heap->finalizers.left, 1, memory_order_relaxed);
    atomic_store_explicit(&heap->finalizers.ready, true, memory_order_relaxed);
}

static unsigned final_generation(const tenure_heap *heap, uintptr_t object)
{
    return tenure__final_generation(heap, tenure__block_index(heap, object));
}

static void settle_finalizer(tenure_heap *heap, unsigned kind, uintptr_t was)
{
    const uintptr_t target_was = tenure__record_at(was)->target, target = tenure__survivor(heap, target_was);
    const uintptr_t now = tenure__survivor(heap, was); /* 0: cancelled, and nobody's */
    const uint64_t header = tenure__header_load(target != 0 ? target : target_was);
    if (now == 0) return;
    tenure__action *action = tenure__action_at(now);
    const uint64_t hash = action->record.hash;
    if (is_void(action, header)) {
        action->record.target = 0;
        return;
    }
    if (target != 0) {
        if (hash != 0 && now != was) tenure__record_moved(&heap->finalizers.table, hash, was, now);
        tenure__record_keep(heap, kind, now, target);
        return;
    }
    if (hash != 0) tenure__record_moved(&heap->finalizers.table, hash, was, 0);
    action->record.hash = 0;
    atomic_fetch_and_explicit(tenure__header_of(target_was), ~(TENURE__FINALIZER | TENURE__FINALIZER_TABLED),
        memory_order_relaxed); /* it may be registered again */
    tenure__make_due(heap, now, final_generation(heap, now));
    heap->event.finalizers_due++;
    tenure__trace_push(&heap->workers[0], now | TENURE__ENTRY_AGAIN);
}

bool tenure__finalizers_settle(tenure_heap *heap)
{
    tenure__records_settle(heap, TENURE__FINALIZERS, settle_finalizer);
    return heap->event.finalizers_due != 0;
}

static void settle_cleaner(tenure_heap *heap, unsigned kind, uintptr_t was)
{
    const uintptr_t now = tenure__survivor(heap, was);
    if (now == 0) return;
    tenure__action *action = tenure__action_at(now);
    const uintptr_t target = tenure__survivor(heap, action->record.target);
    if (action->fn != 0 && target != 0) {
        tenure__record_keep(heap, kind, now, target);
        return;
    }
    action->record.target = 0;
    if (action->fn != 0) tenure__make_due(heap, now, final_generation(heap, now));
}

void tenure__cleaners_settle(tenure_heap *heap) { tenure__records_settle(heap, TENURE__CLEANERS, settle_cleaner); }
