/* verify=all: what must hold between the phases. Each test damages a heap that was prepared as for a collection, and
 * asks for one boundary; the sound ones run whole collections. */
#include "lib/check/check.h"
#include "lib/collection/cycle.h"
#include "lib/collection/trace.h"
#include "tests/support.h"
#include <signal.h>

typedef struct node {
    struct node *next;
    uint64_t value;
} node;
TENURE_TYPE(node_type, node, next);

static tenure_heap *heap;
static tenure_thread *self;
static node *old, *young;

/* As between two phases of a Gen 0 collection: old in Gen 2 refers, logged, to young in Gen 0. */
static void begin(void)
{
    heap = precise_heap_with("max_heap=64m,verify=all");
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &old), TENURE_OK));
    cr_assert(eq(int, tenure_root_add(heap, &young), TENURE_OK));
    old = tenure_new(self, node_type);
    collect(self, TENURE_GEN2);
    young = tenure_new(self, node_type);
    TENURE_SET(self, old, next, young);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    heap->condemned = 0;
    heap->target = 1;
    heap->marking = false;
    tenure__trace_prepare(heap);
    be_quiet();
}

TestSuite(phases, .init = begin);

static void set_header(const void *object, uint64_t header) { tenure__header_store((uintptr_t)object, header); }
static tenure__block *info_of(const void *object)
{
    return &heap->blocks[tenure__block_index(heap, (uintptr_t)object)];
}
static void pin_young(void) { tenure__pin_object(&heap->workers[0], (uintptr_t)young, true); }

/* Found as it is and pinned: no fault. */
Test(phases, sound_pins)
{
    tenure__check_phase(heap, TENURE__ALL_PINNED, false);
    pin_young();
    tenure__check_phase(heap, TENURE__ALL_PINNED, false);
}
Test(phases, pinned_in_a_block_that_does_not_keep, .signal = SIGABRT)
{
    pin_young();
    tenure__flags_clear(info_of(young), TENURE__BLOCK_KEEPS);
    tenure__check_phase(heap, TENURE__ALL_PINNED, false);
}
Test(phases, pinned_without_a_bit, .signal = SIGABRT)
{
    set_header(young, header_of(young) | TENURE__PINNED | TENURE__STAYS);
    tenure__flags_set(info_of(young), TENURE__BLOCK_KEEPS);
    tenure__check_phase(heap, TENURE__ALL_PINNED, false);
}
Test(phases, pinned_granules_do_not_add_up, .signal = SIGABRT)
{
    pin_young();
    atomic_fetch_add(&info_of(young)->pinned_granules, 1);
    tenure__check_phase(heap, TENURE__ALL_PINNED, false);
}
Test(phases, older_object_is_pinned, .signal = SIGABRT)
{
    set_header(old, header_of(old) | TENURE__PINNED);
    tenure__check_phase(heap, TENURE__ALL_PINNED, false);
}
Test(phases, forwarded_before_all_was_pinned, .signal = SIGABRT)
{
    set_header(young, (uint64_t)(uintptr_t)old);
    tenure__check_phase(heap, TENURE__ALL_PINNED, false);
}
Test(phases, mark_of_nothing, .signal = SIGABRT)
{
    tenure__bit_set_owned(tenure__bits_of(heap->mark, tenure__block_index(heap, (uintptr_t)old)), 7);
    tenure__check_phase(heap, TENURE__ALL_PINNED, false);
}

/* young stays where it is: what refers to it is right. */
static void reach_young(void)
{
    pin_young();
    heap->workers[0].top = 0;
}
Test(phases, sound_trace)
{
    reach_young();
    tenure__check_phase(heap, TENURE__TRACED, false);
    tenure__check_phase(heap, TENURE__WEAK_SETTLED, false);
}
Test(phases, edge_to_what_was_not_reached, .signal = SIGABRT) { tenure__check_phase(heap, TENURE__TRACED, false); }
Test(phases, work_is_left, .signal = SIGABRT)
{
    pin_young();
    tenure__check_phase(heap, TENURE__TRACED, false);
}
Test(phases, copy_without_bits, .signal = SIGABRT)
{
    node *copy = tenure_new(self, node_type);
    set_header(young, (uint64_t)(uintptr_t)copy);
    old->next = copy;
    tenure__check_phase(heap, TENURE__TRACED, false);
}
Test(phases, slot_that_was_not_updated, .signal = SIGABRT)
{
    set_header(young, (uint64_t)(uintptr_t)old);
    tenure__check_phase(heap, TENURE__TRACED, false);
}
Test(phases, record_of_a_dead_target, .signal = SIGABRT)
{
    tenure_weak *weak = tenure_weak_new(self, young);
    old->next = (node *)weak;
    tenure__pin_object(&heap->workers[0], (uintptr_t)weak, true);
    heap->workers[0].top = 0;
    tenure__check_phase(heap, TENURE__TRACED, false);
    heap->records[TENURE__CELLS][0] = tenure__allocator_of(self)->records[TENURE__CELLS];
    tenure__check_phase(heap, TENURE__WEAK_SETTLED, false);
}

Test(phases, whole_collections, .init = NULL)
{
    static const char *const words[] = { "max_heap=64m,verify=all,torture=alloc:50",
        "max_heap=64m,verify=all,torture=alloc:50,nospace,overflow,evacuate",
        "max_heap=64m,verify=all,workers=1,lead=daemon" };
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        heap = heap_with(words[i]);
        self = tenure_attach(heap);
        node *list = NULL;
        for (unsigned at = 0; at < 2000; at++) {
            node *next = TENURE_NEW(self, node_type, .next = at % 7 == 0 ? NULL : list, .value = at);
            if (list != NULL) TENURE_SET(self, list, next, next); /* cycles, and older to younger */
            list = next;
        }
        for (int generation = 0; generation < 3; generation++) collect(self, (tenure_generation)generation);
        cr_expect(eq(u64, list->value, 1999));
        heap_end(heap, self);
    }
}
