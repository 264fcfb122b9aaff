#include "lib/inspect/inspect.h"
#include "lib/allocation/nursery.h"
#include "lib/collection/cycle.h"
#include "lib/collection/records.h"
#include "lib/collection/weakmap.h"
#include "threads/host.h"
#include <tenure/safepoint.h>

/* --- the stop --- */

struct inspection {
    tenure_heap *heap;
    tenure__prepare_fn *prepare;
    tenure__look_fn *look;
    void *arg;
    tenure_status status;
};

static void look(void *arg)
{
    const struct inspection *inspection = arg;
    inspection->look(inspection->heap, inspection->arg);
}

/* The context is saved anew: of a stop that the program owns for long the saved one is old. */
static void inspect_stopped(tenure__mutator *mutator, void *arg)
{
    struct inspection *inspection = arg;
    tenure_heap *heap = inspection->heap;
    tenure__mutator *each;
    cds_list_for_each_entry(each, &heap->world.active, link)
    {
        tenure__chunk_drop((tenure__allocator *)each);
        tenure__records_take((tenure__allocator *)each);
    }
    if (inspection->prepare != 0) inspection->status = inspection->prepare(heap, inspection->arg);
    if (inspection->status == TENURE_OK) tenure__gang_call(&heap->world.gang, look, inspection);
    tenure__set_limit(mutator, tenure__host_limit(mutator)); /* its chunk is gone */
}

tenure_status tenure__inspect(tenure_thread *self, tenure__prepare_fn *prepare, tenure__look_fn *look_fn, void *arg)
{
    struct inspection inspection = { self->heap, prepare, look_fn, arg, TENURE_OK };
    const tenure_status status = tenure_stop_world(self);
    if (status != TENURE_OK) return status;
    tenure__with_context(tenure__mutator_of(self), inspect_stopped, &inspection);
    tenure_resume_world(self);
    return inspection.status;
}

/* --- results as roots --- */

void tenure__found_add(tenure_heap *heap, tenure__found *found)
{
    found->owner = tenure__os_thread_self();
    found->young = true;
    found->next = heap->roots.found;
    heap->roots.found = found;
}

static void forget(tenure_heap *heap, void *found)
{
    tenure__found **link = &heap->roots.found;
    while (*link != found) link = &(*link)->next;
    *link = (*link)->next;
}

void tenure__found_forget(tenure_heap *heap, tenure__found *found) { tenure__with_stop_lock(heap, forget, found); }

void tenure__found_forked(tenure_heap *heap)
{
    const tenure__os_thread *os = tenure__os_thread_self();
    for (tenure__found **link = &heap->roots.found; *link != 0;)
        if ((*link)->owner == os)
            link = &(*link)->next;
        else
            *link = (*link)->next;
}

/* --- the walk --- */

static void walk_gen0_block(uintptr_t start, tenure__walk_fn *fn, void *arg)
{
    for (unsigned at = 1; at < TENURE__GRANULES;) {
        const uintptr_t object = start + (uintptr_t)at * 16;
        const uint64_t header = tenure__header_load(object);
        if (header == 0) return;
        if (tenure__header_type(header) != TENURE__TYPE_FILLER) fn(arg, object);
        at += tenure__header_granules(header);
    }
}

static void walk_old_block(const tenure__bits *live, uintptr_t start, tenure__walk_fn *fn, void *arg)
{
    for (unsigned word = 0; word < TENURE__BITMAP_WORDS; word++)
        for (uint64_t bits = atomic_load_explicit(&live[word], memory_order_relaxed); bits != 0; bits &= bits - 1)
            fn(arg, start + (word * 64 + (unsigned)__builtin_ctzll(bits)) * (uintptr_t)16);
}

void tenure__walk(tenure_heap *heap, tenure__walk_fn *fn, void *arg)
{
    const uint32_t frontier = atomic_load_explicit(&heap->frontier, memory_order_relaxed);
    for (uint32_t block = 0; block < frontier; block++) {
        const uint8_t kind = tenure__kind_of(heap, block);
        if ((kind & TENURE__KIND_GENERATION) == 0) continue;
        const uintptr_t start = tenure__block_start(heap, block);
        if (tenure__kind_generation(kind) == 0)
            walk_gen0_block(start, fn, arg);
        else
            walk_old_block(tenure__bits_of(heap->live, block), start, fn, arg);
    }
    const uint32_t end = atomic_load_explicit(&heap->large_frontier, memory_order_relaxed);
    for (uint32_t block = heap->large_start; block < end; block++) {
        const uint8_t kind = tenure__kind_of(heap, block);
        if ((kind & TENURE__KIND_GENERATION) != 0 && (kind & TENURE__KIND_HEAD) != 0)
            fn(arg, tenure__run_object(heap, block));
    }
}

void tenure__each_edge(tenure_heap *heap, uintptr_t object, tenure__reference_fn *fn, void *arg)
{
    if (tenure__plan_of(tenure__header_load(object))->type == &tenure__map_type)
        tenure__map_each_entry(object, fn, arg);
    else
        tenure__each_reference(heap, object, true, fn, arg);
}

/* --- the verifier, as asked --- */

static void verify(tenure_heap *heap, void *sound)
{
    *(bool *)sound = tenure__verify_stopped(heap, "as asked", true, false);
}

tenure_status tenure_verify(tenure_thread *self)
{
    bool sound = false;
    const tenure_status status = tenure__inspect(self, 0, verify, &sound);
    return status == TENURE_OK && !sound ? TENURE_EINVAL : status;
}
