/* Lists of records. A record is in the list of the younger of its own generation and its target's: a collection that
 * condemns neither leaves both where they are, and need not look at it. New records are in a list of the thread that
 * made them, until the next stop takes it. */
#include "lib/collection/records.h"

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

static void append(tenure__records *list, uintptr_t record)
{
    if (list->head == 0)
        list->head = record;
    else if (tenure__record_at(list->tail)->next != record) /* pages of frozen blocks stay shared */
        tenure__record_at(list->tail)->next = record;
    list->tail = record;
}

unsigned tenure__record_keep_in(tenure_heap *heap, unsigned kind, uintptr_t now, unsigned of_targets)
{
    const unsigned of_record = tenure__final_generation(heap, tenure__block_index(heap, now));
    const unsigned generation = of_record < of_targets ? of_record : of_targets;
    append(&heap->records[kind][generation], now);
    return generation;
}

void tenure__record_keep(tenure_heap *heap, unsigned kind, uintptr_t now, uintptr_t target)
{
    tenure__record *record = tenure__record_at(now);
    if (record->target != target) __atomic_store_n(&record->target, target, __ATOMIC_RELAXED);
    tenure__record_keep_in(heap, kind, now, tenure__final_generation(heap, tenure__block_index(heap, target)));
}

void tenure__records_end(tenure_heap *heap, unsigned kind)
{
    for (unsigned generation = 0; generation < 3; generation++) {
        const tenure__records *list = &heap->records[kind][generation];
        if (list->head != 0 && tenure__record_at(list->tail)->next != 0) tenure__record_at(list->tail)->next = 0;
    }
}

void tenure__records_settle(tenure_heap *heap, unsigned kind, tenure__record_fn *fn)
{
    tenure__records taken[3];
    const int condemned = heap->condemned;
    for (int generation = 0; generation <= condemned; generation++) {
        taken[generation] = heap->records[kind][generation];
        heap->records[kind][generation] = (tenure__records) { 0 };
    }
    for (int generation = 0; generation <= condemned; generation++)
        for (uintptr_t was = taken[generation].head, next; was != 0; was = next) {
            next = tenure__record_at(was)->next;
            __builtin_prefetch((void *)next);
            fn(heap, kind, was);
        }
    tenure__records_end(heap, kind);
}
