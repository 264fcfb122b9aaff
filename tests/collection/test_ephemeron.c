/* Ephemerons: the value lives as long as the key is reachable otherwise; whatever refers to what settles in one
 * collection, in linear time. */
#include "tests/threads/threads.h"

static tenure_heap *heap;
static tenure_thread *self;

static void begin_with(const char *words)
{
    heap = precise_heap_with(words);
    self = tenure_attach(heap);
}
static void restart(const char *words)
{
    heap_end(heap, self);
    begin_with(words);
}
/* Gen 0 has room for the longest chain: what a test made is young until it collects. */
static void begin(void) { begin_with("max_heap=256m,gen0=64m,verify=before,after"); }
static void end(void) { heap_end(heap, self); }

TestSuite(ephemeron, .init = begin, .fini = end);

typedef struct big {
    node *first;
    uint64_t value, filler[8000];
} big;
TENURE_TYPE(big_type, big, first);
typedef struct leaf {
    uint64_t value;
} leaf;
TENURE_TYPE_LEAF(leaf_type, leaf);

static node *fresh(uint64_t value)
{
    node *object = tenure_new(self, node_type);
    cr_assert(object != NULL);
    object->value = value;
    return object;
}

static tenure_ephemeron *ephemeron(void *key, void *value)
{
    tenure_ephemeron *made = tenure_ephemeron_new(self, key, value);
    cr_assert(made != NULL);
    return made;
}

/* --- one --- */

/* The key is a small object, a leaf or a large one, and all are as old as told. */
static void one(unsigned key_age, unsigned ephemeron_age, unsigned kind)
{
    TENURE_LOCALS(self, l, void *key; node * value; tenure_ephemeron * pair; tenure_weak * witness;);
    for (unsigned age = 2; age + 1 > 0; age--) {
        if (age == key_age)
            l.key = kind == 0   ? (void *)fresh(1)
                    : kind == 1 ? (void *)tenure_new(self, leaf_type)
                                : (void *)tenure_new(self, big_type);
        if (l.key != NULL && l.pair == NULL && age <= ephemeron_age) {
            l.value = fresh(5);
            l.value->next = l.key; /* the value refers to the key, which must not keep it */
            l.pair = ephemeron(l.key, l.value);
            l.witness = tenure_weak_new(self, l.value);
            l.value = NULL;
        }
        if (age > 0) collect(self, TENURE_GEN1);
    }
    for (unsigned i = 0; i < 5; i++) {
        cr_assert(eq(ptr, tenure_ephemeron_key(self, l.pair), l.key));
        const node *value = tenure_ephemeron_value(self, l.pair);
        cr_assert(value != NULL && value->value == 5 && value->next == l.key);
        collect(self, (tenure_generation)(i % 3));
    }
    l.key = NULL;
    collect(self, TENURE_GEN2);
    cr_assert(tenure_ephemeron_key(self, l.pair) == NULL);
    cr_assert(tenure_ephemeron_value(self, l.pair) == NULL);
    cr_assert(tenure_weak_get(self, l.witness) == NULL, "one collection must do");
}

Test(ephemeron, ages_and_kinds)
{
    for (unsigned key = 0; key <= 2; key++)
        for (unsigned pair = 0; pair <= 2; pair++)
            for (unsigned kind = 0; kind < 3; kind++) one(key, pair, kind);
}

Test(ephemeron, dies_young)
{
    TENURE_LOCALS(self, l, node * key; tenure_ephemeron * pair; tenure_weak * witness; node * value;);
    l.key = fresh(1);
    l.value = fresh(2);
    l.witness = tenure_weak_new(self, l.value);
    l.pair = ephemeron(l.key, l.value);
    l.value = NULL;
    l.key = NULL;
    collect(self, TENURE_GEN0);
    cr_expect(tenure_ephemeron_key(self, l.pair) == NULL);
    cr_expect(tenure_weak_get(self, l.witness) == NULL);
}

/* Nobody reaches the ephemeron: it keeps nothing. */
Test(ephemeron, unreachable)
{
    TENURE_LOCALS(self, l, node * key; tenure_weak * witness; node * value;);
    l.key = fresh(1);
    l.value = fresh(2);
    l.witness = tenure_weak_new(self, l.value);
    ephemeron(l.key, l.value);
    l.value = NULL;
    collect(self, TENURE_GEN0);
    cr_expect(tenure_weak_get(self, l.witness) == NULL);
    cr_expect(eq(u64, l.key->value, 1));
}

/* --- chains: the value of each is the key of the next --- */

typedef enum order { FORWARD, BACKWARD, SHUFFLED } order;

/* pairs[i]: (key i, key i+1), found by the tracer in the given order; key 0 is held, or not. */
static void chain(uint32_t length, order in, bool held, bool old, bool cyclic)
{
    TENURE_LOCALS(self, l, node * *keys; tenure_ephemeron * *pairs; node * first; tenure_weak * last;);
    collect(self, TENURE_GEN2); /* what an earlier chain left is not counted */
    l.keys = TENURE_NEW_REFS(self, node, length);
    l.pairs = TENURE_NEW_REFS(self, tenure_ephemeron, length);
    for (uint32_t i = 0; i < length; i++) {
        node *key = fresh(i);
        TENURE_SET_AT(self, l.keys, i, key);
    }
    uint64_t seed = length;
    for (uint32_t i = 0; i < length; i++) {
        uint32_t value = i + 1 < length ? i + 1 : cyclic ? 0 : i;
        tenure_ephemeron *pair = ephemeron(l.keys[i], l.keys[value]);
        uint32_t place = in == FORWARD ? i : length - 1 - i;
        if (in == SHUFFLED)
            for (place = (uint32_t)(next_random(&seed) % length); l.pairs[place] != NULL;) place = (place + 1) % length;
        TENURE_SET_AT(self, l.pairs, place, pair);
    }
    l.last = tenure_weak_new(self, l.keys[length - 1]);
    if (held) l.first = l.keys[0];
    if (old) {
        collect(self, TENURE_GEN1);
        collect(self, TENURE_GEN1);
    }
    l.keys = NULL;
    const uint64_t cleared = stats_of(heap).weak_cleared;
    collect(self, old ? TENURE_GEN2 : TENURE_GEN0);
    /* Each is looked at when it is found, when its key is, and with others of its chain in the table. */
    cr_expect(le(u64, heap->ephemeron_looks, 8 * (uint64_t)length + 100), "%lu looks at %u ephemerons",
        (unsigned long)heap->ephemeron_looks, length);
    cr_expect(eq(u64, stats_of(heap).weak_cleared - cleared, held ? 0 : length + 1));
    cr_expect(eq(int, tenure_weak_get(self, l.last) != NULL, held));
    for (uint32_t i = 0; i < length; i++) {
        const node *key = tenure_ephemeron_key(self, l.pairs[i]), *value = tenure_ephemeron_value(self, l.pairs[i]);
        cr_assert(eq(int, key != NULL, held));
        cr_assert(eq(int, value != NULL, held));
        if (held) cr_assert(value->value == key->value + 1 || key->value == length - 1);
    }
}

Test(ephemeron, chain_forward) { chain(100000, FORWARD, true, false, false); }
Test(ephemeron, chain_backward) { chain(100000, BACKWARD, true, false, false); }
Test(ephemeron, chain_shuffled) { chain(100000, SHUFFLED, true, false, false); }
Test(ephemeron, chain_backward_old) { chain(100000, BACKWARD, true, true, false); }
Test(ephemeron, chain_shuffled_old) { chain(100000, SHUFFLED, true, true, false); }
Test(ephemeron, chain_dead) { chain(100000, BACKWARD, false, false, false); }
Test(ephemeron, chain_dead_old) { chain(100000, SHUFFLED, false, true, false); }
Test(ephemeron, cycle) { chain(100000, BACKWARD, true, false, true); }
Test(ephemeron, cycle_dead) { chain(100000, SHUFFLED, false, true, true); }

static void chains_with(const char *words)
{
    restart(words);
    for (unsigned in = FORWARD; in <= SHUFFLED; in++)
        for (unsigned i = 0; i < 8; i++) {
            TENURE_LOCALS(self, l, node * *keys; tenure_ephemeron * *pairs;);
            chain(3000, (order)in, (i & 1) != 0, (i & 2) != 0, (i & 4) != 0);
        }
}
Test(ephemeron, chains_evacuated) { chains_with("max_heap=256m,torture=evacuate,verify=before,after"); }
Test(ephemeron, chains_that_stay) { chains_with("max_heap=256m,torture=nospace,verify=before,after"); }

/* Blocks are scanned again instead of objects: more looks, the same result. */
static void overflowing(bool held, unsigned length)
{
    TENURE_LOCALS(self, l, node * *keys; tenure_ephemeron * *pairs; node * first;);
    l.keys = TENURE_NEW_REFS(self, node, length);
    l.pairs = TENURE_NEW_REFS(self, tenure_ephemeron, length);
    for (uint32_t i = 0; i < length; i++) {
        node *key = fresh(i);
        TENURE_SET_AT(self, l.keys, i, key);
    }
    for (uint32_t i = 0; i < length; i++) {
        tenure_ephemeron *pair = ephemeron(l.keys[i], l.keys[i + 1 < length ? i + 1 : i]);
        TENURE_SET_AT(self, l.pairs, length - 1 - i, pair);
    }
    if (held) l.first = l.keys[0];
    l.keys = NULL;
    for (unsigned round = 0; round < 4; round++) {
        collect(self, (tenure_generation)(round % 3));
        for (uint32_t i = 0; i < length; i++) {
            const node *value = tenure_ephemeron_value(self, l.pairs[i]);
            cr_assert(eq(int, value != NULL, held));
            if (held) cr_assert(eq(u64, value->value, i == 0 ? length - 1 : length - i));
        }
    }
}
Test(ephemeron, overflow)
{
    restart("max_heap=256m,torture=overflow,verify=before,after");
    for (unsigned length = 10; length < 20000; length *= 7) {
        overflowing(true, length);
        overflowing(false, length);
    }
}

/* One key of very many; and the table has grown, so that chains do not get long. */
Test(ephemeron, many_of_one_key)
{
    enum { MANY = 50000 };
    TENURE_LOCALS(self, l, tenure_ephemeron * *pairs; node * key; node * value;);
    l.pairs = TENURE_NEW_REFS(self, tenure_ephemeron, MANY);
    l.key = fresh(1);
    for (uint32_t i = 0; i < MANY; i++) {
        l.value = fresh(i);
        tenure_ephemeron *pair = ephemeron(l.key, l.value);
        TENURE_SET_AT(self, l.pairs, i, pair);
    }
    for (unsigned round = 0; round < 3; round++) {
        collect(self, (tenure_generation)round);
        cr_expect(le(u64, heap->ephemeron_looks, 4 * (uint64_t)MANY));
        for (uint32_t i = 0; i < MANY; i++)
            cr_assert(eq(u64, ((node *)tenure_ephemeron_value(self, l.pairs[i]))->value, i));
    }
    l.key = l.value = NULL;
    collect(self, TENURE_GEN2);
    for (uint32_t i = 0; i < MANY; i++) cr_assert(tenure_ephemeron_value(self, l.pairs[i]) == NULL);
}

/* --- the table: as large as there are ephemerons, or were between two collections --- */

static uint64_t chains(void) { return (uint64_t)1 << heap->waiting.log2; }

enum { RECENT = 100, SHORT_LIVED = 200000 };

Test(ephemeron, the_dead_take_no_room)
{
    restart("max_heap=64m,gen0=512k");
    TENURE_LOCALS(self, l, tenure_ephemeron * *recent;);
    l.recent = TENURE_NEW_REFS(self, tenure_ephemeron, RECENT);
    for (uint32_t i = 0; i < SHORT_LIVED; i++) {
        node *key = fresh(i);
        tenure_ephemeron *pair = ephemeron(key, key);
        TENURE_SET_AT(self, l.recent, i % RECENT, pair);
    }
    cr_expect(eq(u64, stats_of(heap).collections[2], 0));
    cr_expect(lt(u64, chains(), SHORT_LIVED / 4));
}

static void entries_take_no_room(tenure_weakness weakness, bool old_keys)
{
    restart("max_heap=64m,gen0=512k");
    TENURE_LOCALS(self, l, tenure_weakmap * map; node * key; node * value;);
    l.map = tenure_weakmap_new(self, weakness, NULL, NULL, NULL);
    l.key = fresh(1);
    if (old_keys)
        for (unsigned i = 0; i < 2; i++) collect(self, TENURE_GEN1);
    for (uint32_t i = 0; i < SHORT_LIVED; i++) {
        if (!old_keys) l.key = fresh(i);
        l.value = fresh(i);
        cr_assert(eq(int, tenure_weakmap_put(self, l.map, l.key, l.value), TENURE_OK));
        if (i % 64 == 0) tenure_poll(self);
    }
    cr_expect(eq(u64, stats_of(heap).collections[2], 0));
    cr_expect(lt(u64, chains(), SHORT_LIVED / 4));
}
Test(ephemeron, dead_entries_take_no_room)
{
    for (unsigned i = 0; i < 4; i++) entries_take_no_room(i / 2 == 0 ? TENURE_WEAK_KEYS : TENURE_WEAK_BOTH, i % 2 != 0);
}

Test(ephemeron, the_table_grows_and_shrinks)
{
    enum { MANY = 50000 };
    restart("max_heap=256m");
    TENURE_LOCALS(self, l, tenure_ephemeron * *pairs; node * key;);
    l.pairs = TENURE_NEW_REFS(self, tenure_ephemeron, MANY);
    l.key = fresh(1);
    for (uint32_t i = 0; i < MANY; i++) {
        tenure_ephemeron *pair = ephemeron(l.key, l.key);
        TENURE_SET_AT(self, l.pairs, i, pair);
    }
    const tenure_generation generations[] = { TENURE_GEN0, TENURE_GEN1, TENURE_GEN1, TENURE_GEN0, TENURE_GEN0,
        TENURE_GEN2, TENURE_GEN1, TENURE_GEN0 };
    for (unsigned round = 0; round < sizeof generations / sizeof generations[0]; round++) {
        collect(self, generations[round]);
        for (unsigned i = 0; i < 100; i++) ephemeron(l.key, l.key);
        cr_expect(le(u64, MANY, chains()), "round %u", round);
        cr_expect(le(u64, chains(), 4 * MANY), "round %u", round);
    }
    cr_assert(eq(int, tenure_freeze(self), TENURE_OK));
    for (unsigned i = 0; i < 2; i++) collect(self, TENURE_GEN2);
    for (unsigned i = 0; i < 100; i++) ephemeron(l.key, l.key);
    cr_expect(le(u64, MANY, chains()));
    cr_assert(eq(int, tenure_unfreeze(self), TENURE_OK));
    l.pairs = NULL;
    for (unsigned i = 0; i < 2; i++) collect(self, TENURE_GEN2);
    for (unsigned i = 0; i < 100; i++) ephemeron(l.key, l.key);
    cr_expect(lt(u64, chains(), MANY / 8));
}

/* A sparse block keeps what is pinned in Gen 1 while the ephemeron becomes Gen 2. */
Test(ephemeron, pinned_key_and_value)
{
    TENURE_LOCALS(self, l, node * key; node * value; tenure_ephemeron * pair; tenure_weak * witness;);
    for (unsigned which = 0; which < 2; which++) {
        l.key = fresh(1);
        l.value = fresh(2);
        void *pinned = which == 0 ? l.key : l.value;
        l.pair = ephemeron(l.key, l.value);
        l.witness = tenure_weak_new(self, l.value);
        cr_assert(eq(int, tenure_pin(self, pinned), TENURE_OK));
        l.value = NULL;
        for (unsigned i = 0; i < 6; i++) {
            collect(self, (tenure_generation)(i % 3));
            cr_assert(eq(u64, ((node *)tenure_ephemeron_value(self, l.pair))->value, 2));
        }
        tenure_unpin(self, pinned);
        for (unsigned i = 0; i < 3; i++) {
            collect(self, (tenure_generation)i);
            cr_assert(eq(u64, ((node *)tenure_ephemeron_value(self, l.pair))->value, 2));
        }
        l.key = NULL;
        collect(self, TENURE_GEN2);
        cr_assert(tenure_weak_get(self, l.witness) == NULL);
    }
}

Test(ephemeron, frozen)
{
    TENURE_LOCALS(self, l, node * key; node * other; tenure_ephemeron * old; tenure_ephemeron * late;);
    l.key = fresh(1);
    l.old = ephemeron(l.key, fresh(2));
    cr_assert(eq(int, tenure_freeze(self), TENURE_OK));
    l.other = fresh(3);
    l.late = ephemeron(l.other, l.key);
    l.key = NULL;
    collect(self, TENURE_GEN2);
    cr_expect(eq(u64, ((node *)tenure_ephemeron_value(self, l.old))->value, 2));
    cr_expect(eq(u64, ((node *)tenure_ephemeron_value(self, l.late))->value, 1));
    l.other = NULL;
    collect(self, TENURE_GEN2);
    cr_expect(tenure_ephemeron_value(self, l.late) == NULL);
    cr_assert(eq(int, tenure_unfreeze(self), TENURE_OK));
    collect(self, TENURE_GEN2);
    cr_expect(tenure_ephemeron_key(self, l.old) == NULL);
}

/* Also those that waited for a key which was found later. */
Test(ephemeron, each_is_counted_once)
{
    enum { PAIRS = 20000 };
    static node *keys;
    static tenure_ephemeron **pairs;
    static node *late;
    cr_assert(eq(int, tenure_root_add(heap, &pairs), TENURE_OK));
    cr_assert(eq(int, tenure_root_add(heap, &late), TENURE_OK));
    pairs = TENURE_NEW_REFS(self, tenure_ephemeron, PAIRS);
    TENURE_FRAME(self, keys);
    for (unsigned i = 0; i < PAIRS; i++) {
        node *key = fresh(i);
        TENURE_SET(self, key, next, keys);
        keys = key;
        tenure_ephemeron *pair = ephemeron(keys, NULL);
        TENURE_SET_AT(self, pairs, i, pair);
    }
    late = keys;
    for (unsigned i = 0; i < 4; i++) {
        collect(self, i < 2 ? TENURE_GEN2 : TENURE_GEN1);
        const uint64_t *alive = heap->waiting.alive;
        cr_expect(eq(u64, alive[0] + alive[1] + alive[2], PAIRS));
    }
}

/* --- threads: tables of pairs, whose keys come and go --- */

enum { THREADS = 3, SLOTS = 48 };
typedef struct shelf {
    node *keys[SLOTS];
    tenure_ephemeron *pairs[SLOTS];
} shelf;
TENURE_TYPE(shelf_type, shelf, keys, pairs);
static unsigned steps;

/* Value n of a slot has a chain of three that hang on each other, or a value that refers to its own key. */
static void put_pair(tenure_thread *thread, shelf *mine, unsigned slot)
{
    TENURE_LOCALS(thread, l, shelf * mine; node * value; tenure_ephemeron * pair;);
    l.mine = mine;
    l.value = tenure_new(thread, node_type);
    l.value->value = slot + 1;
    TENURE_SET(thread, l.value, next, l.mine->keys[slot]);
    l.pair = tenure_ephemeron_new(thread, l.mine->keys[slot], l.value);
    TENURE_SET(thread, l.mine, pairs[slot], l.pair);
}

static void *churn(tenure_thread *thread, void *object)
{
    shelf *mine = object;
    TENURE_FRAME(thread, mine);
    uint64_t seed = (uint64_t)(uintptr_t)thread;
    for (unsigned i = 0; i < steps; i++) {
        const unsigned slot = (unsigned)(next_random(&seed) % SLOTS);
        if (next_random(&seed) % 3 == 0) {
            node *key = tenure_new(thread, node_type);
            key->value = slot + 1;
            TENURE_SET(thread, mine, keys[slot], key);
            put_pair(thread, mine, slot);
        } else if (next_random(&seed) % 3 == 0) {
            TENURE_SET(thread, mine, keys[slot], NULL);
        }
        const tenure_ephemeron *pair = mine->pairs[slot];
        if (pair != NULL) {
            const node *key = tenure_ephemeron_key(thread, pair), *value = tenure_ephemeron_value(thread, pair);
            REQUIRE((key == NULL) == (value == NULL));
            REQUIRE(mine->keys[slot] == NULL || mine->keys[slot] == key);
            REQUIRE(value == NULL || (value->value == slot + 1 && value->next == key));
        }
        if (i % 256 == 0) REQUIRE(tenure_collect(thread, (tenure_generation)(i / 256 % 3)) == TENURE_OK);
    }
    return NULL;
}

static void churn_with(const char *words, tenure_roots roots, unsigned steps_of_each)
{
    heap_end(heap, self);
    const tenure_options options = options_with(words, roots);
    heap = heap_of(&options);
    self = tenure_attach(heap);
    steps = ROUNDS(steps_of_each);
    TENURE_LOCALS(self, l, shelf * own;);
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        l.own = tenure_new(self, shelf_type);
        cr_assert(eq(int, tenure_thread_create(self, &threads[i], NULL, churn, l.own), TENURE_OK));
    }
    for (unsigned i = 0; i < THREADS; i++) join_blocked(self, threads[i]);
    verify(self);
}

Test(ephemeron, threads) { churn_with("max_heap=128m,gen0=512k", TENURE_ROOTS_PRECISE, 30000); }
Test(ephemeron, threads_conservative) { churn_with("max_heap=128m,gen0=512k", TENURE_ROOTS_CONSERVATIVE, 30000); }
Test(ephemeron, threads_verified)
{
    churn_with("max_heap=64m,torture=alloc:40,verify=before,after", TENURE_ROOTS_PRECISE, 2000);
}
Test(ephemeron, threads_tortured)
{
    churn_with(
        "max_heap=64m,torture=alloc:50+evacuate+nospace+overflow,verify=before,after", TENURE_ROOTS_CONSERVATIVE, 1500);
}
Test(ephemeron, every_allocation)
{
    churn_with("max_heap=64m,workers=1,torture=alloc:1+evacuate,verify=after", TENURE_ROOTS_PRECISE, 200);
}
