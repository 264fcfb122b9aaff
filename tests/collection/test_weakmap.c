/* Weak maps and sets: entries live as long as what they hang on, whoever reads, writes and collects meanwhile. */
#include "lib/collection/weakmap.h"
#include "tests/threads/threads.h"
#include "threads/system.h"

typedef struct word {
    struct word *other; /* whatever it refers to */
    uint64_t number;
} word;
TENURE_TYPE(word_type, word, other);
TENURE_TYPE_LEAF(plain_type, word);

static word *new_word(tenure_thread *self, uint64_t number)
{
    word *fresh = tenure_new(self, word_type);
    REQUIRE(fresh != NULL);
    fresh->number = number;
    return fresh;
}

static uint64_t hash_number(const void *key, void *arg)
{
    (void)arg;
    return ((const word *)key)->number;
}
static bool equal_numbers(const void *key, const void *probe, void *arg)
{
    (void)arg;
    return ((const word *)key)->number == ((const word *)probe)->number;
}
static uint64_t hash_badly(const void *key, void *arg)
{
    (void)key, (void)arg;
    return 7;
}

/* Precise heaps: what dies, dies. */
static tenure_heap *heap;
static tenure_thread *self;
static tenure_weakmap *map;
static word *keys[64], *values[64];

static void begin_with(const char *words)
{
    heap = precise_heap_with(words);
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &map), TENURE_OK));
    cr_assert(eq(int, tenure_root_range_add(heap, keys, sizeof keys, TENURE_PRECISE), TENURE_OK));
    cr_assert(eq(int, tenure_root_range_add(heap, values, sizeof values, TENURE_PRECISE), TENURE_OK));
}
static void begin(void) { begin_with("verify=before+after"); }
static void end(void)
{
    verify(self);
    heap_end(heap, self);
}
TestSuite(weakmap, .init = begin, .fini = end);

static void fill(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        keys[i] = new_word(self, i);
        values[i] = new_word(self, 1000 + i);
        cr_assert(eq(int, tenure_weakmap_put(self, map, keys[i], values[i]), TENURE_OK));
    }
}

static void forget(word **words, unsigned count)
{
    for (unsigned i = 0; i < count; i++) words[i] = NULL;
}

static word *get(word *key) { return tenure_weakmap_get(self, map, key); }

Test(weakmap, identity_through_all_generations)
{
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    fill(64);
    forget(values, 64); /* the map keeps them */
    for (unsigned round = 0; round < 9; round++) {
        for (unsigned i = 0; i < 64; i++) {
            cr_assert(get(keys[i]) != NULL);
            cr_assert(eq(u64, get(keys[i])->number, 1000 + i));
        }
        cr_assert(eq(sz, tenure_weakmap_count(self, map), 64));
        collect(self, (tenure_generation)(round % 3));
    }
    word *stranger = new_word(self, 1);
    cr_expect(get(stranger) == NULL);
    cr_expect(tenure_weakmap_get(self, map, &stranger) == NULL); /* no heap object at all */
}

static void expect_gone(tenure_generation generation)
{
    collect(self, generation);
    cr_expect(eq(sz, tenure_weakmap_count(self, map), 0));
}

Test(weakmap, entries_go_with_their_keys)
{
    static tenure_weak *of_value;
    cr_assert(eq(int, tenure_root_add(heap, &of_value), TENURE_OK));
    for (int generation = 0; generation < 3; generation++) {
        map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
        fill(64);
        /* A value that leads back to its key keeps neither. */
        for (unsigned i = 0; i < 64; i++) TENURE_SET(self, values[i], other, keys[i]);
        of_value = tenure_weak_new(self, values[5]);
        for (int i = 0; i < generation; i++) collect(self, (tenure_generation)i);
        forget(values, 64);
        forget(keys, 32);
        collect(self, TENURE_GEN2);
        cr_expect(eq(sz, tenure_weakmap_count(self, map), 32));
        cr_expect(tenure_weak_get(self, of_value) == NULL);
        for (unsigned i = 32; i < 64; i++) cr_assert(get(keys[i])->other == keys[i]);
        forget(keys, 64);
        expect_gone(TENURE_GEN2);
    }
}

Test(weakmap, young_entries_go_in_young_collections)
{
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    collect(self, TENURE_GEN2);
    fill(64);
    forget(keys, 64);
    forget(values, 64);
    expect_gone(TENURE_GEN0);
    fill(64);
    collect(self, TENURE_GEN0);
    forget(keys, 64);
    forget(values, 64);
    expect_gone(TENURE_GEN1);
}

Test(weakmap, values_keep_keys)
{
    map = tenure_weakmap_new(self, TENURE_WEAK_VALUES, hash_number, equal_numbers, NULL);
    fill(64);
    forget(keys, 64);
    collect(self, TENURE_GEN1);
    word probe = { NULL, 17 };
    cr_assert(get(&probe) == values[17]);
    forget(values, 17);
    collect(self, TENURE_GEN2);
    cr_expect(eq(sz, tenure_weakmap_count(self, map), 64 - 17));
    forget(values, 64);
    expect_gone(TENURE_GEN2);
    cr_expect(get(&probe) == NULL);
}

Test(weakmap, both_keep_nothing)
{
    map = tenure_weakmap_new(self, TENURE_WEAK_BOTH, NULL, NULL, NULL);
    fill(64);
    collect(self, TENURE_GEN1);
    forget(keys, 20);
    forget(values + 20, 20);
    collect(self, TENURE_GEN2);
    cr_expect(eq(sz, tenure_weakmap_count(self, map), 24));
    for (unsigned i = 40; i < 64; i++) cr_assert(get(keys[i]) == values[i]);
}

/* Key of one entry, value of the next, through all maps' kinds of chain, in both orders: one collection settles it. */
Test(weakmap, chains_of_entries)
{
    for (int backwards = 0; backwards < 2; backwards++) {
        map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
        for (unsigned i = 0; i < 64; i++) keys[i] = new_word(self, i);
        for (unsigned i = 0; i < 63; i++) {
            const unsigned at = backwards ? 62 - i : i;
            cr_assert(eq(int, tenure_weakmap_put(self, map, keys[at], keys[at + 1]), TENURE_OK));
        }
        forget(keys + 1, 63);
        collect(self, TENURE_GEN2);
        cr_expect(eq(sz, tenure_weakmap_count(self, map), 63));
        word *at = keys[0];
        for (unsigned i = 1; i < 64; i++) {
            at = get(at);
            cr_assert(at != NULL);
            cr_assert(eq(u64, at->number, i));
        }
        forget(keys, 1);
        expect_gone(TENURE_GEN2);
    }
}

Test(weakmap, a_map_that_dies)
{
    static tenure_weak *of_value;
    cr_assert(eq(int, tenure_root_add(heap, &of_value), TENURE_OK));
    for (int generation = 0; generation < 3; generation++) {
        map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
        fill(64);
        of_value = tenure_weak_new(self, values[3]);
        for (int i = 0; i <= generation; i++) collect(self, (tenure_generation)i);
        forget(values, 64);
        map = NULL; /* while the keys live */
        collect(self, TENURE_GEN2);
        cr_expect(tenure_weak_get(self, of_value) == NULL);
        /* The daemon frees what was outside the heap. */
        while (tenure__maps_wait_for_upkeep(heap)) {
            tenure_poll(self);
            sched_yield();
        }
    }
}

static bool kept_after_finalizing;
static void keep_map(tenure_thread *thread, void *object, void *arg)
{
    (void)thread, (void)arg;
    map = ((void **)object)[0];
    kept_after_finalizing = true;
}

/* The daemon enlarges maps and frees what was removed while collections that mutators lead find the maps dead. */
Test(weakmap, maps_that_grow_and_die)
{
    heap_end(heap, self);
    begin_with("gen0=64k");
    for (unsigned round = 0; round < 400; round++) {
        map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
        fill(64);
        fill(64);
        for (unsigned i = 0; i < 32; i++) cr_assert(tenure_weakmap_remove(self, map, keys[i]));
        if (round % 2 != 0) forget(keys, 64);
        map = NULL;
        spend_budget(self);
    }
}

/* A finalizer brings the map back: with the entries whose keys lived all the time, without those whose keys did not. */
Test(weakmap, brought_back)
{
    void *owner = TENURE_NEW_REFS(self, word, 1);
    TENURE_FRAME(self, owner);
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    fill(64);
    forget(values, 64);
    tenure_store(self, owner, owner, map);
    cr_assert(eq(int, tenure_finalize(self, owner, keep_map, NULL), TENURE_OK));
    map = NULL;
    owner = NULL;
    forget(keys, 32);
    collect(self, TENURE_GEN2);
    cr_assert(eq(int, tenure_finalizers_drain(self, 10u * 1000 * 1000 * 1000), TENURE_OK));
    cr_assert(kept_after_finalizing);
    cr_expect(eq(sz, tenure_weakmap_count(self, map), 32));
    for (unsigned i = 32; i < 64; i++) cr_assert(eq(u64, get(keys[i])->number, 1000 + i));
}

/* --- entries that the program got hold of --- */

static void *entry; /* it lives, and moves, beside what its map has to do with it */
static bool keep_entry(tenure_thread *thread, void *object, void *arg)
{
    (void)thread, (void)arg;
    if (tenure_type_of(object) == &tenure__entry_type && tenure__record_at((uintptr_t)object)->target == (uintptr_t)map)
        entry = object;
    return entry == NULL;
}
static void find_entry(void)
{
    cr_assert(eq(int, tenure_root_add(heap, &entry), TENURE_OK));
    cr_assert(eq(int, tenure_each_object(self, -1, keep_entry, NULL), TENURE_OK));
    cr_assert(entry != NULL);
}

static void keep_key(tenure_thread *thread, void *key, void *arg)
{
    (void)thread, (void)arg;
    keys[0] = key;
}

/* The entry goes with the key though a finalizer brings that back, and something keeps the entry itself. */
Test(weakmap, an_entry_that_is_kept_and_its_key_brought_back)
{
    for (tenure_weakness weakness = TENURE_WEAK_KEYS; weakness <= TENURE_WEAK_VALUES; weakness++) {
        entry = NULL;
        map = tenure_weakmap_new(self, weakness, NULL, NULL, NULL);
        fill(1);
        word **weak = weakness == TENURE_WEAK_KEYS ? keys : values;
        cr_assert(eq(int, tenure_finalize(self, weak[0], keep_key, NULL), TENURE_OK));
        find_entry();
        forget(keys, 1);
        forget(values, 1);
        collect(self, TENURE_GEN1);
        cr_expect(eq(sz, tenure_weakmap_count(self, map), 0));
        cr_assert(eq(int, tenure_finalizers_drain(self, UINT64_MAX), TENURE_OK));
        cr_assert(keys[0] != NULL);
        cr_expect(eq(ptr, tenure_weakmap_get(self, map, keys[0]), NULL));
        verify(self);
        tenure_root_remove(heap, &entry);
    }
}

/* It is moved while it waits for its key. */
Test(weakmap, an_entry_that_is_kept_and_waits)
{
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    fill(1);
    find_entry();
    /* What is reached last: the entry, then the key. */
    word *last = NULL, *keeper = NULL;
    TENURE_FRAME(self, last, keeper);
    last = new_word(self, 0);
    TENURE_SET(self, last, other, keys[0]);
    void **both = TENURE_NEW_REFS(self, void, 2);
    TENURE_SET_AT(self, both, 0, last);
    TENURE_SET_AT(self, both, 1, entry);
    keeper = (word *)both;
    forget(keys, 1);
    forget(values, 1);
    entry = NULL;
    for (unsigned i = 0; i < 4; i++) {
        collect(self, i == 3 ? TENURE_GEN2 : TENURE_GEN1);
        cr_assert(eq(sz, tenure_weakmap_count(self, map), 1));
        cr_assert(tenure_weakmap_get(self, map, last->other) != NULL);
    }
    tenure_root_remove(heap, &entry);
}

/* --- put, remove, intern --- */

/* Anything may be kept as a key, if the program compares it. */
Test(weakmap, keys_that_are_no_objects)
{
    static const word outside = { NULL, 7 };
    map = tenure_weakmap_new(self, TENURE_WEAK_VALUES, hash_number, equal_numbers, NULL);
    values[0] = new_word(self, 1);
    cr_assert(eq(int, tenure_weakmap_put(self, map, (void *)&outside, values[0]), TENURE_OK));
    collect(self, TENURE_GEN2);
    cr_expect(eq(ptr, tenure_weakmap_get(self, map, &outside), values[0]));
    values[0] = NULL;
    collect(self, TENURE_GEN2);
    cr_expect(eq(ptr, tenure_weakmap_get(self, map, &outside), NULL));
}
Test(weakmap, identity_is_of_objects, .signal = SIGABRT)
{
    be_quiet();
    map = tenure_weakmap_new(self, TENURE_WEAK_VALUES, NULL, NULL, NULL);
    values[0] = new_word(self, 1);
    cr_assert(eq(ptr, tenure_weakmap_get(self, map, (void *)8), NULL));
    tenure_weakmap_put(self, map, (void *)8, values[0]);
}

Test(weakmap, replace_and_remove)
{
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, hash_number, equal_numbers, NULL);
    fill(64);
    word *again = new_word(self, 9);
    TENURE_FRAME(self, again);
    cr_assert(eq(int, tenure_weakmap_put(self, map, again, values[1]), TENURE_OK));
    cr_expect(eq(sz, tenure_weakmap_count(self, map), 64));
    cr_expect(get(keys[9]) == values[1]);
    keys[9] = NULL; /* the entry hangs on the other one now */
    collect(self, TENURE_GEN2);
    cr_expect(get(again) == values[1]);
    cr_expect(tenure_weakmap_put_if_absent(self, map, again, values[2]) == values[1]);
    cr_expect(tenure_weakmap_remove(self, map, again));
    cr_expect(not(tenure_weakmap_remove(self, map, again)));
    cr_expect(get(again) == NULL);
    cr_expect(tenure_weakmap_put_if_absent(self, map, again, values[2]) == values[2]);
    for (unsigned i = 0; i < 64; i++)
        if (i != 9) cr_expect(tenure_weakmap_remove(self, map, keys[i]));
    cr_expect(eq(sz, tenure_weakmap_count(self, map), 1));
    collect(self, TENURE_GEN0);
    collect(self, TENURE_GEN2);
    cr_expect(get(again) == values[2]);
}

Test(weakmap, all_in_one_bucket)
{
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, hash_badly, equal_numbers, NULL);
    fill(64);
    forget(keys, 10);
    collect(self, TENURE_GEN2);
    for (unsigned i = 10; i < 64; i++) cr_assert(get(keys[i]) == values[i]);
    word probe = { NULL, 3 };
    cr_expect(get(&probe) == NULL);
}

/* Whether nothing is in the table itself. */
static bool table_is_empty(void)
{
    const tenure__map_body *body = ((tenure__map_record *)map)->body;
    const enum tenure__rcu_section section = tenure__rcu_section_begin();
    struct cds_lfht_iter iter;
    cds_lfht_first(body->table, &iter);
    tenure__rcu_section_end(section);
    return cds_lfht_iter_get_node(&iter) == NULL && atomic_load(&body->nodes) == 0;
}

/* It does not wait for the daemon: the next search for the same key would go through all of them. */
Test(weakmap, what_is_removed_leaves_the_table)
{
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    for (unsigned i = 0; i < 2000; i++) {
        fill(1);
        cr_assert(tenure_weakmap_remove(self, map, keys[0]));
        cr_assert(table_is_empty());
    }
}

/* --- memory outside the heap --- */

static uint64_t external_bytes(void)
{
    tenure_stats stats = { 0 };
    tenure_stats_read(heap, &stats);
    return stats.external_bytes;
}
static void await_external(uint64_t bytes)
{
    while (external_bytes() != bytes) {
        tenure_poll(self);
        sched_yield();
    }
}

/* Until it is free. */
Test(weakmap, external_bytes_come_and_go)
{
    enum { COUNT = 1000 };
    word **all = TENURE_NEW_REFS(self, word, COUNT);
    TENURE_FRAME(self, all);
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    const uint64_t empty = external_bytes();
    cr_expect(ge(u64, empty, 64 * sizeof(struct cds_lfht_node)));
    fill(64);
    fill(64); /* beside the old ones, whose keys no collection has found dead */
    /* Enlarged by now: a put that replaces counts a node more for as long as it runs. */
    await_external(empty + 128 * sizeof(tenure__map_node) + 192 * sizeof(struct cds_lfht_node));
    for (unsigned i = 0; i < 64; i++) cr_assert(eq(int, tenure_weakmap_put(self, map, keys[i], keys[i]), TENURE_OK));
    await_external(empty + 128 * sizeof(tenure__map_node) + 192 * sizeof(struct cds_lfht_node));
    for (unsigned i = 0; i < 32; i++) cr_assert(tenure_weakmap_remove(self, map, keys[i]));
    await_external(empty + 96 * sizeof(tenure__map_node) + 192 * sizeof(struct cds_lfht_node));
    forget(keys, 64);
    collect(self, TENURE_GEN2);
    await_external(empty + 192 * sizeof(struct cds_lfht_node));
    for (unsigned i = 0; i < COUNT; i++) {
        TENURE_SET_AT(self, all, i, new_word(self, i));
        cr_assert(eq(int, tenure_weakmap_put(self, map, all[i], all[i]), TENURE_OK));
    }
    map = NULL;
    collect(self, TENURE_GEN2);
    await_external(0);
}

/* Interning is mostly of what is there. */
Test(weakmap, nothing_is_made_for_what_is_there)
{
    heap_end(heap, self);
    begin_with("gen0=1m");
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    fill(1);
    for (unsigned i = 0; i < 100000; i++)
        cr_assert(eq(ptr, tenure_weakmap_put_if_absent(self, map, keys[0], values[0]), values[0]));
    tenure_stats stats = { 0 };
    tenure_stats_read(heap, &stats);
    cr_expect(eq(u64, stats.collections[0] + stats.collections[1], 0));
}

static flag has_begun, was_collected;
static void *put_what_is_there(void *arg)
{
    tenure_thread *own = tenure_attach(arg);
    while (atomic_load(&was_collected) == 0) {
        tenure_weakmap_put_if_absent(own, map, keys[0], values[0]);
        atomic_store(&has_begun, 1);
    }
    tenure_detach(own);
    return NULL;
}

Test(weakmap, a_loop_over_what_is_there_lets_stops_in, .timeout = 60)
{
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    fill(1);
    pthread_t putter = start_thread(put_what_is_there, heap);
    await_polling(self, &has_begun, 1);
    collect(self, TENURE_GEN2);
    atomic_store(&was_collected, 1);
    join_blocked(self, putter);
    cr_expect(tenure_weakmap_get(self, map, keys[0]) == values[0]);
}

Test(weakmap, maps_alone_make_collections_due)
{
    heap_end(heap, self);
    begin_with("gen0=1m");
    tenure_stats stats = { 0 };
    for (unsigned i = 0; i < 1000; i++) tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    tenure_stats_read(heap, &stats);
    cr_expect(ge(u64, stats.collections[0], 1));
}

static flag gave_way;
static void *watch(void *thread)
{
    while (atomic_load(&gave_way) == 0)
        if (mode_of(thread) != TENURE__RUNNING) atomic_store(&gave_way, 1);
    return NULL;
}

/* As if a daemon that never gets anywhere had them. */
Test(weakmap, who_puts_gives_way_to_a_late_daemon)
{
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    fill(1);
    atomic_fetch_add(&heap->dead_map_bytes, (uint64_t)1 << 40);
    pthread_t watcher = start_thread(watch, self);
    for (unsigned i = 0; i < 1000 && atomic_load(&gave_way) == 0; i++) {
        atomic_store(&heap->map_round_missed, 0);
        cr_assert(eq(int, tenure_weakmap_put(self, map, keys[0], values[0]), TENURE_OK));
    }
    cr_expect(eq(u32, atomic_exchange(&gave_way, 1), 1));
    cr_assert(eq(int, pthread_join(watcher, NULL), 0));
    atomic_fetch_sub(&heap->dead_map_bytes, (uint64_t)1 << 40);
}

/* It would be in vain: in a stop of its own, for which the daemon may wait, and again before the daemon has moved. */
Test(weakmap, nobody_gives_way_in_vain, .timeout = 60)
{
    enum { PUTS = 20000 }; /* 200 s of waiting */
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    fill(1);
    atomic_fetch_add(&heap->dead_map_bytes, (uint64_t)1 << 40);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    for (unsigned i = 0; i < PUTS; i++)
        cr_assert(eq(int, tenure_weakmap_put(self, map, keys[0], values[0]), TENURE_OK));
    cr_expect(eq(u32, atomic_load(&heap->map_round_missed), 0), "not once");
    tenure_resume_world(self);
    for (unsigned i = 0; i < PUTS; i++)
        cr_assert(eq(int, tenure_weakmap_put(self, map, keys[0], values[0]), TENURE_OK));
    atomic_fetch_sub(&heap->dead_map_bytes, (uint64_t)1 << 40);
}

/* The daemon, in the middle of its upkeep. */
static flag is_kept, goes_on;
int __real_cds_lfht_del(struct cds_lfht *table, struct cds_lfht_node *link);
int __wrap_cds_lfht_del(struct cds_lfht *table, struct cds_lfht_node *link);
int __wrap_cds_lfht_del(struct cds_lfht *table, struct cds_lfht_node *link)
{
    if (atomic_load(&is_kept) != 0 && tenure_self(heap) == NULL) {
        atomic_store(&is_kept, 2);
        while (atomic_load(&goes_on) == 0) sched_yield();
    }
    return __real_cds_lfht_del(table, link);
}

/* Long rounds are of many nodes: whoever let others run then would make the next one longer. */
Test(weakmap, no_wait_for_a_daemon_that_works_is_in_vain)
{
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    fill(2);
    atomic_store(&is_kept, 1);
    keys[1] = NULL;
    collect(self, TENURE_GEN2);
    await_polling(self, &is_kept, 2);
    atomic_fetch_add(&heap->dead_map_bytes, (uint64_t)1 << 40);
    cr_assert(eq(int, tenure_weakmap_put(self, map, keys[0], values[0]), TENURE_OK));
    cr_expect(eq(u32, atomic_load(&heap->map_round_missed), 0));
    atomic_fetch_sub(&heap->dead_map_bytes, (uint64_t)1 << 40);
    atomic_store(&goes_on, 1);
}

/* --- sets --- */

static bool intern_new(tenure_weakset *set, unsigned i)
{
    keys[i] = new_word(self, i);
    return tenure_weakset_put_if_absent(self, set, keys[i]) == keys[i];
}

Test(weakmap, a_set_interns)
{
    static tenure_weakset *set;
    cr_assert(eq(int, tenure_root_add(heap, &set), TENURE_OK));
    set = tenure_weakset_new(self, hash_number, equal_numbers, NULL);
    for (unsigned i = 0; i < 64; i++) cr_assert(intern_new(set, i));
    for (unsigned i = 0; i < 64; i++) {
        word *twin = new_word(self, i);
        TENURE_FRAME(self, twin);
        cr_assert(tenure_weakset_put_if_absent(self, set, twin) == keys[i]);
        cr_assert(tenure_weakset_get(self, set, twin) == keys[i]);
    }
    forget(keys, 60);
    collect(self, TENURE_GEN2);
    cr_expect(eq(sz, tenure_weakset_count(self, set), 4));
    cr_expect(tenure_weakset_remove(self, set, keys[62]));
    cr_expect(tenure_weakset_get(self, set, keys[62]) == NULL);
    cr_expect(eq(int, tenure_weakset_put(self, set, keys[62]), TENURE_OK));
    cr_expect(eq(sz, tenure_weakset_count(self, set), 4));
}

/* --- walks --- */

struct walk {
    unsigned seen[200000];
    unsigned calls;
};

static bool visit_and_collect(tenure_thread *thread, void *key, void *value, void *arg)
{
    struct walk *walk = arg;
    word *at = key;
    REQUIRE(((word *)value)->number == at->number);
    walk->seen[at->number]++;
    if (walk->calls++ % 500 == 0) collect(thread, (tenure_generation)(walk->calls / 500 % 3));
    return true;
}

/* While entries die, are removed and added, and the table grows: what is there all the time is seen once. */
Test(weakmap, walk)
{
    enum { COUNT = 20000 };
    static struct walk walk;
    word **all = TENURE_NEW_REFS(self, word, COUNT);
    TENURE_FRAME(self, all);
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, hash_number, equal_numbers, NULL);
    for (unsigned i = 0; i < COUNT; i++) {
        word *key = new_word(self, i);
        TENURE_SET_AT(self, all, i, key);
        cr_assert(eq(int, tenure_weakmap_put(self, map, key, key), TENURE_OK));
    }
    for (unsigned i = 0; i < COUNT; i += 2) TENURE_SET_AT(self, all, i, NULL);
    tenure_weakmap_each(self, map, visit_and_collect, &walk);
    for (unsigned i = 1; i < COUNT; i += 2) cr_assert(eq(uint, walk.seen[i], 1));
    cr_expect(walk.calls < COUNT);
    cr_expect(eq(sz, tenure_weakmap_count(self, map), COUNT / 2));
}

static bool stop_at_ten(tenure_thread *thread, void *member, void *arg)
{
    (void)thread, (void)member;
    return ++*(unsigned *)arg < 10;
}

/* liburcu ends a process in which a table cannot grow. */
Test(weakmap, no_memory_for_a_larger_table)
{
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    fill(64);
    tenure__map_body *body = ((tenure__map_record *)map)->body;
    while (atomic_load(&body->queued)) sched_yield();
    atomic_store(&body->buckets, 1);
    tenure__faults_set(&(tenure_faults) { .on = true, .memory = 1000000 });
    tenure__map_grown(heap, body);
    while (atomic_load(&body->queued) || tenure__faults_failed() == 0) sched_yield();
    cr_expect(eq(u64, atomic_load(&body->buckets), 1));
    tenure__faults_set(NULL);
    tenure__map_grown(heap, body);
    while (atomic_load(&body->buckets) < 64) sched_yield();
    for (unsigned i = 0; i < 64; i++) cr_expect(eq(ptr, get(keys[i]), values[i]));
}

/* What is removed leaves the table and goes to the daemon while somebody walks; the walk goes on from where it stands.
 */
static bool remove_around(tenure_thread *thread, void *key, void *value, void *arg)
{
    (void)value;
    word *own = key;
    TENURE_FRAME(thread, own);
    unsigned *seen = arg;
    if (++*seen % 8 != 0) return true;
    tenure_weakmap_remove(thread, map, own);
    for (unsigned i = 0; i < 500; i++) {
        REQUIRE(tenure_weakmap_put(thread, map, own, own) == TENURE_OK);
        REQUIRE(tenure_weakmap_remove(thread, map, own));
    }
    while (tenure__maps_wait_for_upkeep(heap)) {
        tenure_poll(thread);
        sched_yield();
    }
    return true;
}
Test(weakmap, walk_while_nodes_go, .timeout = 60)
{
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    fill(64);
    unsigned seen = 0;
    tenure_weakmap_each(self, map, remove_around, &seen);
    cr_expect(eq(u32, seen, 64u));
    cr_expect(eq(sz, tenure_weakmap_count(self, map), 56));
}

Test(weakmap, walk_that_is_ended)
{
    static tenure_weakset *set;
    cr_assert(eq(int, tenure_root_add(heap, &set), TENURE_OK));
    set = tenure_weakset_new(self, NULL, NULL, NULL);
    for (unsigned i = 0; i < 64; i++)
        cr_assert(eq(int, tenure_weakset_put(self, set, keys[i] = new_word(self, i)), TENURE_OK));
    unsigned calls = 0;
    tenure_weakset_each(self, set, stop_at_ten, &calls);
    cr_expect(eq(uint, calls, 10));
}

/* --- torture: tiny objects of every kind of trouble --- */

static void churn(const char *words)
{
    begin_with(words);
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    uint64_t random = 42;
    bool there[64] = { false };
    for (unsigned i = 0; i < ROUNDS(3000); i++) {
        const unsigned at = next_random(&random) % 64;
        switch (next_random(&random) % 4) {
        case 0:
            keys[at] = NULL;
            there[at] = false;
            break;
        case 1:
            if (keys[at] == NULL) break;
            cr_assert(eq(int, tenure_weakmap_remove(self, map, keys[at]), there[at]));
            there[at] = false;
            break;
        default:
            if (keys[at] == NULL) {
                keys[at] = at % 3 == 0 ? tenure_new(self, plain_type) : new_word(self, at);
                keys[at]->number = at;
            }
            values[0] = new_word(self, 5000 + at);
            cr_assert(eq(int, tenure_weakmap_put(self, map, keys[at], values[0]), TENURE_OK));
            there[at] = true;
        }
        values[0] = NULL;
        for (unsigned j = 0; j < 64; j++) {
            if (keys[j] == NULL) continue;
            const word *value = get(keys[j]);
            cr_assert(eq(int, value != NULL, there[j]));
            if (value != NULL) cr_assert(eq(u64, value->number, 5000 + j));
        }
    }
    end();
}

Test(weakmap_torture, every_allocation) { churn("torture=alloc:1,verify=after,max_heap=64m"); }
Test(weakmap_torture, overflow) { churn("torture=alloc:3+overflow+evacuate,verify=after,max_heap=64m"); }
Test(weakmap_torture, nospace) { churn("torture=alloc:2+nospace+evacuate,verify=after,max_heap=64m"); }

/* --- threads --- */

enum { WORDS = 512, THREADS = 3 };
static tenure_weakset *interned;
static flag stop_reading;

static void *intern_words(void *arg)
{
    tenure_thread *me = tenure_attach(heap);
    uint64_t random = (uintptr_t)arg;
    word *held[16] = { NULL };
    for (unsigned i = 0; i < ROUNDS(40000); i++) {
        const uint64_t number = next_random(&random) % WORDS;
        word *fresh = new_word(me, number);
        word *winner = tenure_weakset_put_if_absent(me, interned, fresh);
        REQUIRE(winner != NULL && winner->number == number);
        /* Whoever holds a word, everybody gets that one. */
        for (unsigned j = 0; j < 16; j++) REQUIRE(held[j] == NULL || held[j]->number != number || held[j] == winner);
        held[next_random(&random) % 16] = winner;
        word probe = { NULL, next_random(&random) % WORDS };
        const word *found = tenure_weakset_get(me, interned, &probe);
        REQUIRE(found == NULL || found->number == probe.number);
    }
    tenure_detach(me);
    return NULL;
}

static void *put_always(void *arg)
{
    tenure_thread *me = tenure_attach(heap);
    while (atomic_load(&stop_reading) == 0) {
        REQUIRE(tenure_weakmap_put(me, map, keys[0], keys[0]) == TENURE_OK);
        tenure_poll(me);
    }
    tenure_detach(me);
    return arg;
}

/* What somebody has found was counted before. */
Test(weakmap_threads, removed_at_once)
{
    begin_with("");
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    keys[0] = new_word(self, 1);
    pthread_t putter = start_thread(put_always, NULL);
    for (unsigned removed = 0; removed < ROUNDS(100000);) {
        removed += tenure_weakmap_remove(self, map, keys[0]);
        cr_assert(tenure_weakmap_count(self, map) <= 2); /* with the one that is being put */
        tenure_poll(self);
    }
    atomic_store(&stop_reading, 1);
    join_blocked(self, putter);
    end();
}

static void *collect_always(void *arg)
{
    tenure_thread *me = tenure_attach(heap);
    for (unsigned i = 0; atomic_load(&stop_reading) == 0; i++)
        collect(me, (tenure_generation)(i % 8 == 0 ? 2 : i % 3 == 0));
    tenure_detach(me);
    return arg;
}

/* Conservative, as most programs are. */
Test(weakmap_threads, interning)
{
    heap = heap_with("max_heap=256m,gen0=512k,verify=after");
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &interned), TENURE_OK));
    interned = tenure_weakset_new(self, hash_number, equal_numbers, NULL);
    pthread_t threads[THREADS], stopper = start_thread(collect_always, NULL);
    for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start_thread(intern_words, (void *)(i + 1));
    for (unsigned i = 0; i < THREADS; i++) join_blocked(self, threads[i]);
    atomic_store(&stop_reading, 1);
    join_blocked(self, stopper);
    clobber_stack();
    collect(self, TENURE_GEN2);
    cr_expect(tenure_weakset_count(self, interned) < WORDS / 4);
    end();
}

/* Threads without RCU of ours. */
Test(weakmap_threads, rcu_off)
{
    tenure_options options = options_with("verify=after", TENURE_ROOTS_PRECISE);
    options.rcu = TENURE_RCU_OFF;
    heap = heap_of(&options);
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &map), TENURE_OK));
    cr_assert(eq(int, tenure_root_range_add(heap, keys, sizeof keys, TENURE_PRECISE), TENURE_OK));
    cr_assert(eq(int, tenure_root_range_add(heap, values, sizeof values, TENURE_PRECISE), TENURE_OK));
    map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    fill(64);
    forget(keys, 32);
    collect(self, TENURE_GEN2);
    cr_expect(eq(sz, tenure_weakmap_count(self, map), 32));
    end();
}
