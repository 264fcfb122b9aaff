/* debug=leak: what finalizers keep alive, and whether they do so in cycles.
 *
 * A full collection has traced everything, and some unreached objects' finalizers are due: whatever unreached object
 * can be reached from these lives for their sake alone. A depth-first search finds it, and the strongly connected
 * components in it (Tarjan, SIAM J. Comput. 1972): an object lies on a cycle if its component has several members, or
 * if it refers to itself. The search runs in the stop, on a stack in memory that is mapped for it. */
#include "lib/inspect/leak.h"
#include "lib/collection/trace.h"
#include "lib/inspect/inspect.h"
#include "threads/format.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LEAVE = 1 }; /* tags an entry: all that hangs on the object was visited */
enum { PRINTED_TYPES = 10 };
#define FINALIZER_DUE ((uint32_t)1 << 31) /* of a number */
#define PRINT_EVERY_NS 1000000000u

struct node {
    uintptr_t object;
    uint32_t low; /* the least number known to be in the same component */
    bool open;    /* its component is not complete */
    bool refers_to_itself;
};

struct search {
    tenure_heap *heap;
    bool may_trace;
    tenure__leak *leak;
    uint32_t *numbers; /* by granule of the arena: of the node, plus one; 0: not visited */
    struct node *nodes;
    uint32_t node_count;
    uint32_t *open; /* numbers: the components that are not complete, as a stack */
    size_t open_count;
    uintptr_t *work;
    size_t work_count;
    uint32_t at; /* the node whose references are looked at */
};

static uint32_t *number_of(const struct search *search, uintptr_t object)
{
    return &search->numbers[(object - search->heap->base) >> 4];
}

/* --- the search --- */

/* The unreached ones among the objects that the slot leads to. */
static unsigned unreached(const struct search *search, uintptr_t slot, tenure__reference how, uintptr_t targets[2])
{
    unsigned kept = 0;
    const unsigned count = tenure__targets_of(search->heap, tenure__slot_load(slot), how, targets);
    for (unsigned i = 0; i < count; i++)
        if (tenure__survivor(search->heap, targets[i]) == 0) targets[kept++] = targets[i];
    return kept;
}

static void push_targets(void *arg, uintptr_t slot, tenure__reference how)
{
    struct search *search = arg;
    struct node *from = &search->nodes[search->at];
    uintptr_t targets[2];
    const unsigned count = unreached(search, slot, how, targets);
    for (unsigned i = 0; i < count; i++) {
        from->refers_to_itself |= targets[i] == from->object;
        if ((*number_of(search, targets[i]) & ~FINALIZER_DUE) == 0) search->work[search->work_count++] = targets[i];
    }
}

static void lower(void *arg, uintptr_t slot, tenure__reference how)
{
    struct search *search = arg;
    struct node *from = &search->nodes[search->at];
    uintptr_t targets[2];
    const unsigned count = unreached(search, slot, how, targets);
    for (unsigned i = 0; i < count; i++) {
        const struct node *to = &search->nodes[(*number_of(search, targets[i]) & ~FINALIZER_DUE) - 1];
        if (to->open && to->low < from->low) from->low = to->low;
    }
}

static void enter(struct search *search, uintptr_t object)
{
    uint32_t *number = number_of(search, object);
    if ((*number & ~FINALIZER_DUE) != 0) return;
    search->at = search->node_count++;
    search->nodes[search->at] = (struct node) { object, search->at, true, false };
    *number |= search->at + 1;
    search->open[search->open_count++] = search->at;
    search->work[search->work_count++] = object | LEAVE;
    tenure__each_reference(search->heap, object, search->may_trace, push_targets, search);
}

static void count_member(struct search *search, const struct node *node, bool on_cycle)
{
    const uint64_t header = tenure__header_load(node->object);
    tenure_leak_row *row = &search->leak->rows[tenure__header_type(header)];
    tenure_leak *report = &search->leak->report;
    const uint64_t bytes = tenure__occupied_bytes(search->heap, node->object, header);
    const bool due = (*number_of(search, node->object) & FINALIZER_DUE) != 0;
    row->type = tenure__plan_of(header)->type;
    row->objects++;
    row->bytes += bytes;
    row->finalizers += due;
    row->on_cycles += on_cycle;
    report->objects++;
    report->bytes += bytes;
    report->finalizers += due;
    report->on_cycles += on_cycle;
}

/* All that was opened after the node, which is the first of its component. */
static void close_component(struct search *search, uint32_t first)
{
    size_t from = search->open_count;
    bool due = false;
    do {
        struct node *node = &search->nodes[search->open[--from]];
        node->open = false;
        due |= (*number_of(search, node->object) & FINALIZER_DUE) != 0;
    } while (search->open[from] != first);
    const bool cyclic = search->open_count - from > 1 || search->nodes[first].refers_to_itself;
    for (size_t i = from; i < search->open_count; i++)
        count_member(search, &search->nodes[search->open[i]], cyclic && due);
    search->open_count = from;
}

static void leave(struct search *search, uintptr_t object)
{
    search->at = (*number_of(search, object) & ~FINALIZER_DUE) - 1;
    tenure__each_reference(search->heap, object, search->may_trace, lower, search);
    if (search->nodes[search->at].low == search->at) close_component(search, search->at);
}

/* The objects of finalizers that became due just now: those of earlier ones were reached. */
static void begin(struct search *search)
{
    tenure_heap *heap = search->heap;
    for (unsigned generation = 0; generation < 3; generation++)
        for (uintptr_t at = heap->finalizers.due[generation]; at != 0; at = tenure__record_at(at)->next) {
            const uintptr_t target = tenure__record_at(at)->target;
            if (!tenure__in_arena(heap, target) || tenure__survivor(heap, target) != 0) continue;
            *number_of(search, target) = FINALIZER_DUE;
            search->work[search->work_count++] = target;
        }
}

static void look(struct search *search)
{
    begin(search);
    while (search->work_count != 0) {
        const uintptr_t entry = search->work[--search->work_count];
        if (entry & LEAVE)
            leave(search, entry - LEAVE);
        else
            enter(search, entry);
    }
}

/* --- memory --- */

tenure__leak *tenure__leak_look(tenure_heap *heap, bool may_trace)
{
    struct search search = { .heap = heap, .may_trace = may_trace };
    const size_t objects = tenure__objects_bound(heap);
    /* Words, each of which may be an ambiguous reference to two; and each object begins and ends once. */
    const size_t entries = (2 * (TENURE__BLOCK_BYTES / 8) / TENURE__GRANULES + 2) * objects;
    const size_t numbers_bytes = heap->arena_bytes / 16 * sizeof *search.numbers;
    const uint32_t types = tenure__type_count();
    const size_t leak_bytes = sizeof *search.leak + types * sizeof search.leak->rows[0];
    search.leak = tenure__map(leak_bytes);
    search.numbers = tenure__map(numbers_bytes);
    search.nodes = tenure__map(objects * sizeof *search.nodes);
    search.open = tenure__map(objects * sizeof *search.open);
    search.work = tenure__map(entries * sizeof *search.work);
    const bool whole =
        search.leak != 0 && search.numbers != 0 && search.nodes != 0 && search.open != 0 && search.work != 0;
    if (whole) {
        search.leak->bytes = leak_bytes;
        search.leak->report.rows = search.leak->rows;
        search.leak->report.count = types;
        look(&search);
    }
    tenure__unmap(search.numbers, numbers_bytes);
    tenure__unmap(search.nodes, objects * sizeof *search.nodes);
    tenure__unmap(search.open, objects * sizeof *search.open);
    tenure__unmap(search.work, entries * sizeof *search.work);
    if (whole) return search.leak;
    tenure__unmap(search.leak, leak_bytes);
    return 0;
}

void tenure__leak_free(tenure__leak *leak)
{
    if (leak != 0) tenure__unmap(leak, leak->bytes);
}

/* --- outside the stop --- */

static int by_bytes(const void *a, const void *b)
{
    const tenure_leak_row *first = a, *second = b;
    if (first->bytes != second->bytes) return first->bytes < second->bytes ? 1 : -1;
    return strcmp(first->type->name, second->type->name);
}

void tenure__leak_sort(tenure__leak *leak)
{
    size_t count = 0;
    for (size_t i = 0; i < leak->report.count; i++)
        if (leak->rows[i].objects != 0) leak->rows[count++] = leak->rows[i];
    leak->report.count = count;
    qsort(leak->rows, count, sizeof leak->rows[0], by_bytes);
}

void tenure__leak_print(const tenure_event *event, void *arg)
{
    tenure_heap *heap = arg;
    if (event->kind != TENURE_EVENT_LEAK) return;
    const uint64_t now = tenure__now_ns();
    if (now < heap->leak_print_ns) return;
    heap->leak_print_ns = now + PRINT_EVERY_NS;
    const tenure_leak *leak = event->leak;
    fprintf(stderr,
        "tenure: gc %" PRIu64 " leak: finalizers alone keep %" PRIu64 " objects, %s; %" PRIu64
        " of them have one, %" PRIu64 " lie on cycles with finalizers\n",
        event->collection->sequence, leak->objects, tenure__format_bytes(leak->bytes).text, leak->finalizers,
        leak->on_cycles);
    fprintf(stderr, "%10s %8s %10s %10s  type\n", "objects", "bytes", "finalizers", "on cycles");
    const size_t rows = leak->count < PRINTED_TYPES ? leak->count : PRINTED_TYPES;
    for (size_t i = 0; i < rows; i++) {
        const tenure_leak_row *row = &leak->rows[i];
        fprintf(stderr, "%10" PRIu64 " %8s %10" PRIu64 " %10" PRIu64 "  %s\n", row->objects,
            tenure__format_bytes(row->bytes).text, row->finalizers, row->on_cycles, row->type->name);
    }
    if (rows < leak->count) fprintf(stderr, "%10zu more types\n", leak->count - rows);
}
