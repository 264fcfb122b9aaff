/* The verifier finds damage: each test breaks one thing in a sound heap. */
#include "lib/allocation/nursery.h"
#include "lib/collection/remembered.h"
#include "lib/collection/weakmap.h"
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
static node **array;

/* old is in Gen 2 and leads, remembered, to young in Gen 1; array is a large one in Gen 2. */
static void begin(void)
{
    heap = precise_heap_with("max_heap=64m");
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &old), TENURE_OK));
    cr_assert(eq(int, tenure_root_add(heap, &young), TENURE_OK));
    cr_assert(eq(int, tenure_root_add(heap, &array), TENURE_OK));
    old = tenure_new(self, node_type);
    array = TENURE_NEW_REFS(self, node, 5000);
    collect(self, TENURE_GEN2);
    young = tenure_new(self, node_type);
    TENURE_SET(self, old, next, young);
    TENURE_SET_AT(self, array, 100, young);
    collect(self, TENURE_GEN0);
    cr_assert(eq(int, generation_of(heap, old), 2));
    cr_assert(eq(int, generation_of(heap, young), 1));
    cr_assert(is_remembered(old));
    verify(self);
    be_quiet();
}

TestSuite(verify, .init = begin);

static void expect_damage(void) { cr_assert(eq(int, tenure_verify(self), TENURE_EINVAL)); }
/* While it moves blocks between the lists of free ones the verifier cannot tell whether they are sound. */
static void hold_daemon(void) { tenure__own_lock(&heap->upkeep_lock); }
static void set_header(const void *object, uint64_t header) { tenure__header_store((uintptr_t)object, header); }
static uint32_t block_of(const void *object) { return tenure__block_index(heap, (uintptr_t)object); }

Test(verify, sound_heap_is_sound)
{
    for (unsigned i = 0; i < 1000; i++) tenure_new(self, node_type);
    verify(self);
    for (int generation = 0; generation < 3; generation++) {
        collect(self, (tenure_generation)generation);
        verify(self);
    }
}

Test(verify, edge_that_is_not_remembered)
{
    set_header(old, header_of(old) & ~(uint64_t)TENURE__REMEMBERED);
    expect_damage();
}
Test(verify, card_that_is_not_remembered)
{
    heap->cards[((uintptr_t)&array[100] - heap->base) >> TENURE__CARD_SHIFT] = 0;
    expect_damage();
}
Test(verify, dirty_card_of_a_block_that_is_not_logged)
{
    heap->cards[((uintptr_t)&array[2000] - heap->base) >> TENURE__CARD_SHIFT] |= TENURE__CARD_DIRTY;
    expect_damage();
}
Test(verify, dirty_card_of_a_line_that_is_not_logged)
{
    TENURE_SET_AT(self, array, 100, young);
    verify(self);
    heap->cards[((uintptr_t)&array[2000] - heap->base) >> TENURE__CARD_SHIFT] |= TENURE__CARD_DIRTY;
    expect_damage();
}
Test(verify, store_without_barrier_into_gen2)
{
    old->next = tenure_new(self, node_type);
    expect_damage();
}
Test(verify, store_without_barrier_into_gen1)
{
    young->next = tenure_new(self, node_type);
    expect_damage();
}
Test(verify, store_without_barrier_into_an_array)
{
    array[2000] = tenure_new(self, node_type);
    expect_damage();
}
Test(verify, reference_to_nothing)
{
    old->next = (node *)((uintptr_t)old + 16 * 100);
    expect_damage();
}
Test(verify, reference_into_an_object)
{
    young->next = (node *)((uintptr_t)array + 16);
    expect_damage();
}
Test(verify, live_bit_is_missing)
{
    tenure__bits *live = tenure__bits_of(heap->live, block_of(young));
    live[tenure__granule_of((uintptr_t)young) >> 6] = 0;
    expect_damage();
}
Test(verify, end_bit_is_missing)
{
    tenure__bits *ends = tenure__bits_of(heap->ends, block_of(young));
    memset((void *)ends, 0, TENURE__BITMAP_WORDS * sizeof *ends);
    expect_damage();
}
Test(verify, end_bit_in_a_hole)
{
    tenure__bit_set_owned(tenure__bits_of(heap->ends, block_of(old)), 1000);
    expect_damage();
}
Test(verify, end_bit_in_gen0)
{
    node *fresh = tenure_new(self, node_type);
    tenure__bit_set_owned(tenure__bits_of(heap->ends, block_of(fresh)), tenure__granule_of((uintptr_t)fresh));
    expect_damage();
}
Test(verify, bits_of_a_large_object)
{
    tenure__bit_set_owned(tenure__bits_of(heap->live, block_of(array)), 1);
    expect_damage();
}
Test(verify, marks_of_a_large_object)
{
    tenure__bit_set_owned(tenure__bits_of(heap->mark, block_of(array)), 1);
    expect_damage();
}
Test(verify, mark_is_left)
{
    tenure__bit_set_owned(tenure__bits_of(heap->mark, block_of(old)), 5);
    expect_damage();
}
Test(verify, forwarding_address_is_left)
{
    set_header(old, (uint64_t)(uintptr_t)young);
    expect_damage();
}
Test(verify, no_such_type)
{
    set_header(old, header_of(old) | (uint64_t)TENURE__TYPE_MASK << TENURE__TYPE_SHIFT);
    expect_damage();
}
Test(verify, size_beyond_the_block)
{
    set_header(old, header_of(old) | (uint64_t)TENURE__SIZE_MASK << TENURE__SIZE_SHIFT);
    expect_damage();
}
Test(verify, flag_of_a_stop_is_left)
{
    set_header(young, header_of(young) | TENURE__STAYS);
    expect_damage();
}
Test(verify, younger_than_its_block)
{
    set_header(old, tenure__header_with_generation(header_of(old), 1));
    expect_damage();
}
Test(verify, gen0_object_that_is_armed)
{
    node *fresh = tenure_new(self, node_type);
    set_header(fresh, header_of(fresh) | TENURE__UNLOGGED);
    expect_damage();
}
Test(verify, gen0_block_cannot_be_walked)
{
    node *fresh = tenure_new(self, node_type);
    set_header(fresh, header_of(fresh) & ~((uint64_t)TENURE__SIZE_MASK << TENURE__SIZE_SHIFT));
    expect_damage();
}
static tenure__bits *live_of(const void *object) { return tenure__bits_of(heap->live, block_of(object)); }

/* What is behind it is found by nobody. */
Test(verify, gen0_block_that_ends_early)
{
    node *fresh = tenure_new(self, node_type);
    tenure_new(self, node_type);
    tenure__chunk_close(tenure__allocator_of(self));
    verify(self);
    set_header(fresh, 0);
    expect_damage();
}
Test(verify, window_that_begins_inside_an_object)
{
    for (unsigned i = 0; i < 1000; i++) tenure_new(self, node_type);
    node *fresh = tenure_new(self, node_type);
    verify(self);
    uint16_t *first = heap->blocks[block_of(fresh)].first;
    for (unsigned i = 1; i < TENURE__WINDOWS; i++) {
        if (first[i] == 0) continue;
        first[i]++;
        expect_damage();
        first[i]--;
        verify(self);
    }
}
Test(verify, gen0_object_with_a_bit)
{
    const node *fresh = tenure_new(self, node_type);
    tenure__bit_set_owned(live_of(fresh), tenure__granule_of((uintptr_t)fresh) + 1);
    expect_damage();
}
Test(verify, resident_without_an_end)
{
    node *pinned = tenure_new(self, node_type);
    cr_assert(eq(int, tenure_pin(self, pinned), TENURE_OK));
    collect(self, TENURE_GEN0);
    cr_assert(eq(int, generation_of(heap, pinned), 1));
    cr_assert(ne(int, tenure__flags_of(&heap->blocks[block_of(pinned)]) & TENURE__BLOCK_RESIDENTS, 0));
    verify(self);
    tenure__bits *ends = tenure__bits_of(heap->ends, block_of(pinned));
    memset((void *)ends, 0, TENURE__BITMAP_WORDS * sizeof *ends);
    expect_damage();
}
Test(verify, references_in_a_block_of_leaves)
{
    tenure__set_kind(heap, block_of(old), tenure__kind_of(heap, block_of(old)) | TENURE__KIND_LEAF);
    expect_damage();
}
Test(verify, precise_object_among_ambiguous_ones)
{
    tenure__set_kind(heap, block_of(old), tenure__kind_of(heap, block_of(old)) | TENURE__KIND_AMBIGUOUS);
    expect_damage();
}
Test(verify, object_smaller_than_its_type)
{
    char *bytes = tenure_new_bytes(self, 8); /* a cell of one granule */
    const uint64_t rest = ((uint64_t)1 << TENURE__TYPE_SHIFT) - 1;
    set_header(bytes, (header_of(bytes) & rest) | (header_of(old) & ~rest));
    expect_damage();
}
Test(verify, large_object_that_is_not_armed)
{
    set_header(array, header_of(array) & ~(uint64_t)TENURE__UNLOGGED);
    expect_damage();
}
Test(verify, large_blocks_are_not_accounted)
{
    atomic_fetch_add(&heap->large_blocks, 1);
    expect_damage();
}
Test(verify, more_holes_than_there_is_room_for)
{
    atomic_fetch_sub(&heap->gen2_holes, 1);
    expect_damage();
}
Test(verify, kind_that_is_none)
{
    tenure__set_kind(heap, block_of(old), TENURE__KIND_LEAF);
    expect_damage();
}
Test(verify, listed_in_the_wrong_generation)
{
    heap->gen1_blocks[0] = block_of(old);
    expect_damage();
}
Test(verify, free_block_with_bits)
{
    for (uint32_t block = 0; block < heap->frontier; block++) {
        if (tenure__kind_of(heap, block) != TENURE__KIND_FREE) continue;
        tenure__bit_set_owned(tenure__bits_of(heap->live, block), 77);
        expect_damage();
        return;
    }
    cr_assert(false, "no free block");
}
Test(verify, tail_of_no_run)
{
    tenure__set_kind(heap, block_of(array), tenure__kind(2) | TENURE__KIND_TAIL);
    expect_damage();
}

/* --- lists --- */

Test(verify, remembered_but_on_no_list)
{
    const uint32_t list = heap->remembered;
    heap->remembered = 0;
    expect_damage();
    heap->remembered = list;
    verify(self);
}
Test(verify, logged_but_on_no_log)
{
    set_header(young, header_of(young) & ~(uint64_t)TENURE__UNLOGGED);
    expect_damage();
}
Test(verify, dirty_card_on_no_log)
{
    tenure__flags_set(&heap->blocks[block_of(&array[100])], TENURE__BLOCK_CARDS);
    expect_damage();
}
Test(verify, rescan_that_nobody_does)
{
    tenure__flags_set(&heap->blocks[block_of(young)], TENURE__BLOCK_RESCAN);
    expect_damage();
}
Test(verify, block_in_no_list)
{
    atomic_fetch_sub(&heap->gen1_count, 1);
    expect_damage();
}
Test(verify, block_listed_twice)
{
    heap->gen1_blocks[atomic_fetch_add(&heap->gen1_count, 1)] = block_of(young);
    expect_damage();
}
Test(verify, run_in_no_list)
{
    cr_assert(tenure_new_bytes(self, 100000) != NULL);
    verify(self);
    heap->young_run_count--;
    expect_damage();
}
Test(verify, block_in_use_among_the_free)
{
    hold_daemon();
    tenure__blocks_push(heap, &heap->returned_blocks, block_of(young));
    expect_damage();
}
Test(verify, free_block_is_lost)
{
    for (unsigned i = 0; i < 3000; i++) tenure_new_bytes(self, 1000);
    collect(self, TENURE_GEN0);
    verify(self);
    hold_daemon();
    atomic_store(&heap->free_blocks, 0);
    expect_damage();
}
Test(verify, free_blocks_are_not_accounted)
{
    hold_daemon();
    atomic_fetch_add(&heap->free_count, 1);
    expect_damage();
}
Test(verify, memory_that_the_system_has_is_not_accounted)
{
    hold_daemon();
    atomic_fetch_sub(&heap->resident_blocks, 1);
    expect_damage();
}
Test(verify, holes_of_the_wrong_generation)
{
    atomic_store(&heap->holes[1][TENURE__PLAIN], 0);
    tenure__blocks_push(heap, &heap->holes[1][TENURE__PLAIN], block_of(old));
    expect_damage();
}
Test(verify, block_is_not_accounted)
{
    atomic_fetch_sub(&heap->used_blocks, 1);
    expect_damage();
}
Test(verify, generation_is_not_accounted)
{
    atomic_fetch_add(&heap->generation_blocks[2], 1);
    expect_damage();
}
Test(verify, large_object_of_another_generation)
{
    set_header(array, tenure__header_with_generation(header_of(array), 1));
    expect_damage();
}
Test(verify, pins_are_left)
{
    tenure__flags_set(&heap->blocks[block_of(young)], TENURE__BLOCK_KEEPS);
    expect_damage();
}

Test(verify, block_of_a_run_that_is_none_of_it)
{
    tenure__set_kind(heap, block_of(array) + 1, tenure__kind(1) | TENURE__KIND_TAIL);
    expect_damage();
}
Test(verify, log_of_something_else)
{
    TENURE_SET(self, young, next, tenure_new(self, node_type));
    verify(self);
    uint32_t log = tenure__allocator_of(self)->logs;
    tenure__packet *packet = &heap->packets.pool[log];
    packet->entries[0] = (packet->entries[0] & ~(uintptr_t)TENURE__ENTRY_TAG) | TENURE__ENTRY_REMEMBERED;
    expect_damage();
}
Test(verify, log_without_an_end)
{
    TENURE_SET(self, young, next, tenure_new(self, node_type));
    const uint32_t log = tenure__allocator_of(self)->logs;
    heap->packets.pool[log].next = log;
    expect_damage();
}
Test(verify, old_run_among_the_young)
{
    heap->young_runs[heap->young_run_count++] = block_of(array);
    expect_damage();
}
Test(verify, block_with_room_that_is_in_use)
{
    atomic_store(&heap->holes[2][TENURE__PLAIN], 0);
    tenure__blocks_push(heap, &heap->holes[2][TENURE__PLAIN], block_of(old));
    tenure__flags_clear(&heap->blocks[block_of(old)], TENURE__BLOCK_OPEN);
    verify(self);
    tenure__flags_set(&heap->blocks[block_of(old)], TENURE__BLOCK_OPEN);
    expect_damage();
}
Test(verify, block_in_two_lists)
{
    atomic_store(&heap->holes[2][TENURE__PLAIN], 0);
    tenure__blocks_push(heap, &heap->holes[2][TENURE__PLAIN], block_of(old));
    tenure__flags_clear(&heap->blocks[block_of(old)], TENURE__BLOCK_OPEN);
    verify(self);
    heap->blocks[block_of(old)].next = block_of(old) + 1; /* also a list without an end */
    expect_damage();
}
Test(verify, free_block_in_two_lists)
{
    for (unsigned i = 0; i < 3000; i++) tenure_new_bytes(self, 1000);
    collect(self, TENURE_GEN0);
    verify(self);
    hold_daemon();
    const uint32_t block = (uint32_t)atomic_load(&heap->free_blocks) - 1;
    const uint32_t returned = (uint32_t)atomic_load(&heap->returned_blocks);
    const uint32_t next = heap->blocks[block].next;
    atomic_store(&heap->returned_blocks, block + 1); /* with all that is behind it */
    expect_damage();
    atomic_store(&heap->returned_blocks, returned);
    heap->blocks[block].next = next;
    verify(self);
}

/* --- records, ephemerons, weak maps --- */

typedef struct inner {
    char *inside;
} inner;
TENURE_TYPE(inner_type, inner, TENURE_INTERIOR(inside));

Test(verify, interior_reference_to_nothing)
{
    inner *made = tenure_new(self, inner_type);
    TENURE_SET(self, made, inside, (char *)old + 3);
    verify(self);
    made->inside = (char *)(heap->base + heap->arena_bytes - 32);
    expect_damage();
}

/* A weak reference to old, in Gen 2 and alive. */
static tenure__record *old_record(void)
{
    old->next = NULL;
    tenure_weak *made = tenure_weak_new(self, old);
    TENURE_SET(self, old, next, (node *)made);
    collect(self, TENURE_GEN2);
    cr_assert(eq(int, generation_of(heap, old->next), 2));
    verify(self);
    return tenure__record_at((uintptr_t)old->next);
}

Test(verify, record_of_no_object)
{
    old_record()->target += 16;
    expect_damage();
}
Test(verify, target_that_does_not_know)
{
    old_record();
    set_header(old, header_of(old) & ~TENURE__WEAK);
    expect_damage();
}
Test(verify, list_of_records_that_leads_to_no_object)
{
    heap->records[TENURE__CELLS][2].head = (uintptr_t)old_record() + 16;
    expect_damage();
}
Test(verify, list_of_records_that_leads_to_something_else)
{
    old_record();
    heap->records[TENURE__CELLS][2].head = (uintptr_t)old;
    expect_damage();
}
Test(verify, list_of_records_without_an_end)
{
    tenure__record *record = old_record();
    record->next = (uintptr_t)record;
    expect_damage();
}
Test(verify, record_in_no_list)
{
    old_record();
    heap->records[TENURE__CELLS][2] = (tenure__records) { 0 };
    expect_damage();
}

/* The second weak reference to an object is in a table, by which others find it. */
Test(verify, record_in_no_table)
{
    old_record();
    tenure_weak *shared = tenure_weak_new(self, old);
    verify(self);
    const tenure__record *record = tenure__record_at((uintptr_t)shared);
    cr_assert(ne(u64, record->hash, 0));
    tenure__record_moved(&heap->cells, record->hash, (uintptr_t)record, 0);
    expect_damage();
    tenure_keep_alive(shared);
}
Test(verify, record_in_the_list_of_another_generation)
{
    old_record();
    heap->records[TENURE__CELLS][1] = heap->records[TENURE__CELLS][2];
    heap->records[TENURE__CELLS][2] = (tenure__records) { 0 };
    expect_damage();
}

Test(verify, ephemeron_that_waits)
{
    tenure_ephemeron *made = tenure_ephemeron_new(self, old, young);
    verify(self);
    atomic_store(&((tenure__pending *)made)->link, 1);
    expect_damage();
    tenure_keep_alive(made);
}

/* The entry of a weak map from old to young, in Gen 1. */
static tenure_weakmap *map;
static tenure__map_entry *entry_of_old(void)
{
    cr_assert(eq(int, tenure_root_add(heap, &map), TENURE_OK));
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    cr_assert(eq(int, tenure_weakmap_put(self, map, old, young), TENURE_OK));
    collect(self, TENURE_GEN0);
    verify(self);
    return (tenure__map_entry *)heap->records[TENURE__ENTRIES][1].head;
}

Test(verify, entry_whose_node_leads_elsewhere)
{
    atomic_store(&entry_of_old()->node->entry, (uintptr_t)old);
    expect_damage();
}
Test(verify, entry_that_waits)
{
    atomic_store(&entry_of_old()->link, 1);
    expect_damage();
}
Test(verify, entry_that_hangs_on_no_object)
{
    entry_of_old()->weak += 16;
    expect_damage();
}
Test(verify, key_that_does_not_know)
{
    entry_of_old();
    set_header(old, header_of(old) & ~TENURE__KEY);
    expect_damage();
}

/* The option makes damage fatal at the next collection. */
Test(verify, option_aborts, .signal = SIGABRT)
{
    heap->options.verify = TENURE_VERIFY_BEFORE;
    young->next = tenure_new(self, node_type);
    collect(self, TENURE_GEN0);
}

#ifndef NDEBUG
/* A word that looks like an armed header, before something that is no object's start. */
Test(verify, store_into_what_is_no_object, .signal = SIGABRT)
{
    char *bytes = tenure_new_bytes(self, 100);
    memset(bytes, 0xff, 100);
    tenure_store(self, bytes + 32, bytes + 32, NULL);
}

/* The stack keeps the unfinished object, so that it is promoted. */
Test(verify, initialiser_that_collects, .signal = SIGABRT)
{
    tenure_thread *other = tenure_attach(heap_with("max_heap=64m"));
    node *unfinished = TENURE_NEW(other, node_type, .value = (uint64_t)tenure_collect(other, TENURE_GEN0));
    tenure_keep_alive(unfinished);
}
#endif
