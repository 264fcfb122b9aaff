/* Strings, lists and dictionaries in a heap that collects often. */
#include "dictionary.h"
#include "list.h"
#include "memory.h"
#include "store.h"
#include "text.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <tenure/barrier.h>
#include <tenure/root.h>

static tenure_heap *heap;
static tenure_thread *self;

static void start(void)
{
    tenure_options options;
    cr_assert_eq(tenure_options_init(&options, NULL, 0), TENURE_OK);
    options.max_heap = (uint64_t)256 << 20;
    options.gen0 = 256 * 1024; /* several hundred young collections */
    cr_assert_eq(tenure_heap_create(&heap, &options), TENURE_OK);
    self = tenure_attach(heap);
    cr_assert_not_null(self);
}

static void stop(void)
{
    tenure_detach(self);
    cr_assert_eq(tenure_heap_destroy(heap), TENURE_OK);
}

TestSuite(values, .init = start, .fini = stop);

static text *text_of(uint64_t number)
{
    char buffer[64];
    return text_new(self, buffer, (size_t)snprintf(buffer, sizeof buffer, "value %llu", (unsigned long long)number));
}

static void expect_text(const text *value, uint64_t number)
{
    char buffer[64];
    const int length = snprintf(buffer, sizeof buffer, "value %llu", (unsigned long long)number);
    cr_assert_not_null(value);
    cr_assert_eq(value->length, (unsigned)length);
    cr_assert_eq(memcmp(value->bytes, buffer, (size_t)length), 0);
}

Test(values, append_keeps_what_readers_took)
{
    text *value = text_new(self, "ab", 2);
    size_t length = 2;
    for (int i = 0; i < 2000; i++) {
        text *const before = value;
        const size_t length_before = before->length;
        value = text_append(self, value, "0123456789", 10);
        cr_assert_not_null(value);
        length += 10;
        cr_assert_eq(value->length, length);
        cr_assert_eq(memcmp(before->bytes, value->bytes, length_before), 0);
    }
    cr_assert_eq(memcmp(value->bytes + length - 10, "0123456789", 10), 0);
}

Test(values, integers)
{
    const text *value = text_from_integer(self, INT64_MIN);
    cr_assert_eq(value->length, 20);
    cr_assert_eq(memcmp(value->bytes, "-9223372036854775808", 20), 0);
}

/* --- lists --- */

static list *rooted_list; /* registered: the list is old before the test is over */

Test(values, list_as_a_deque)
{
    cr_assert_eq(tenure_root_add(heap, &rooted_list), TENURE_OK);
    rooted_list = list_new(self);
    /* Numbers low .. high - 1 are in the list, in order. */
    int64_t low = 1 << 20, high = 1 << 20;
    srand(2);
    for (int i = 0; i < 200000; i++) {
        const int what = rand() % (i < 100000 ? 3 : 5);
        if (what == 0)
            cr_assert(list_push(self, rooted_list, LIST_LEFT, text_of((uint64_t)--low)));
        else if (what == 1 || (what == 2 && i % 2 == 0))
            cr_assert(list_push(self, rooted_list, LIST_RIGHT, text_of((uint64_t)high++)));
        else if (low == high)
            cr_assert_null(list_pop(self, rooted_list, LIST_LEFT));
        else if (what == 3)
            expect_text(list_pop(self, rooted_list, LIST_LEFT), (uint64_t)low++);
        else
            expect_text(list_pop(self, rooted_list, LIST_RIGHT), (uint64_t)--high);
        cr_assert_eq(rooted_list->count, (uint64_t)(high - low));
        if (i % 1000 == 0 && low < high) {
            const uint64_t from = (uint64_t)rand() % rooted_list->count;
            list_cursor cursor = list_seek(rooted_list, from);
            for (uint64_t at = from; at < from + 300 && at < rooted_list->count; at++)
                expect_text(list_next(&cursor), (uint64_t)low + at);
        }
    }
    while (low < high) expect_text(list_pop(self, rooted_list, LIST_LEFT), (uint64_t)low++);
    cr_assert_null(rooted_list->head);
    cr_assert_null(rooted_list->tail);
    cr_assert_eq(rooted_list->bytes, list_new(self)->bytes);
    tenure_root_remove(heap, &rooted_list);
}

/* --- dictionaries --- */

static dictionary *rooted;

static size_t key_of(char *buffer, uint64_t number)
{
    return (size_t)sprintf(buffer, "key:%llu", (unsigned long long)number);
}

static void put(uint64_t number)
{
    char key[32];
    const size_t length = key_of(key, number);
    entry *e = entry_new(self, key, length);
    cr_assert_not_null(e);
    TENURE_SET(self, e, value, text_of(number));
    dictionary_insert(self, rooted, e, dictionary_hash(key, length));
}

static entry *get(uint64_t number)
{
    char key[32];
    const size_t length = key_of(key, number);
    return dictionary_find(rooted, key, length, dictionary_hash(key, length));
}

static bool take(uint64_t number)
{
    char key[32];
    const size_t length = key_of(key, number);
    const entry *e = dictionary_remove(self, rooted, key, length, dictionary_hash(key, length));
    if (e != NULL) expect_text(e->value, number);
    return e != NULL;
}

static void dictionary_begin(void)
{
    cr_assert_eq(tenure_root_add(heap, &rooted), TENURE_OK);
    rooted = dictionary_new(self);
}

Test(values, dictionary_grows_and_shrinks)
{
    enum { KEYS = 50000 };
    dictionary_begin();
    for (uint64_t i = 0; i < KEYS; i++) {
        put(i);
        expect_text(get(i / 2)->value, i / 2);
    }
    cr_assert_eq(rooted->count, KEYS);
    cr_assert_geq(rooted->buckets->mask + 1, KEYS / 2);
    cr_assert_null(get(KEYS));
    uint64_t seen = 0;
    dictionary_cursor cursor = { 0 };
    for (entry *e; (e = dictionary_next(rooted, &cursor)) != NULL;) seen += e->key_length > 0;
    cr_assert_eq(seen, KEYS);
    for (uint64_t i = 0; i < KEYS; i++) {
        cr_assert(take(i));
        cr_assert_not(take(i));
        if (i + 1 < KEYS) {
            expect_text(get(KEYS - 1)->value, KEYS - 1);
            cr_assert_not_null(dictionary_random(rooted, i * 0x9e3779b97f4a7c15u));
        }
    }
    cr_assert_eq(rooted->count, 0);
    cr_assert_null(dictionary_random(rooted, 1));
    cr_assert_leq(rooted->buckets->mask, 64);
    tenure_root_remove(heap, &rooted);
}

Test(values, dictionary_random_reaches_all)
{
    enum { KEYS = 100 };
    bool drawn[KEYS] = { false };
    dictionary_begin();
    for (uint64_t i = 0; i < KEYS; i++) put(i);
    size_t different = 0;
    for (uint64_t i = 1; i < 20000; i++) {
        const entry *e = dictionary_random(rooted, i * 0x9e3779b97f4a7c15u);
        char key[32] = { 0 };
        memcpy(key, e->key, e->key_length);
        const size_t number = strtoul(key + 4, NULL, 10);
        different += !drawn[number];
        drawn[number] = true;
    }
    cr_assert_eq(different, KEYS);
    tenure_root_remove(heap, &rooted);
}

static void mark_seen(entry *e, void *arg)
{
    uint8_t *seen = arg;
    char key[32] = { 0 };
    memcpy(key, e->key, e->key_length);
    seen[strtoul(key + 4, NULL, 10)]++;
}

/* A scan finds what is there all the time, while the table grows and shrinks under it. */
Test(values, scan_survives_resizing)
{
    enum { STAYING = 1000, PASSING = 20000 };
    dictionary_begin();
    for (int growing = 0; growing < 2; growing++) {
        uint8_t *seen = calloc(STAYING + PASSING, 1);
        uint64_t position = 0, next = growing ? STAYING : STAYING + PASSING;
        for (uint64_t i = rooted->count; i < (growing ? STAYING : STAYING + PASSING); i++) put(i);
        for (uint64_t i = STAYING; growing && i < STAYING + PASSING; i++) take(i);
        do {
            position = dictionary_scan(rooted, position, mark_seen, seen);
            for (int i = 0; i < 20; i++) {
                if (growing && next < STAYING + PASSING) put(next++);
                if (!growing && next > STAYING) take(--next);
            }
        } while (position != 0);
        for (size_t i = 0; i < STAYING; i++) cr_assert_gt(seen[i], 0, "key %zu, growing %d", i, growing);
        free(seen);
    }
    tenure_root_remove(heap, &rooted);
}

/* --- the store --- */

Test(values, store_accounts_and_evicts)
{
    static context c;
    context_begin(&c, self);
    cr_assert(store_create(self));
    memory_limit_set(4 << 20);
    for (uint64_t i = 0; i < 50000; i++) {
        char name[32];
        const size_t length = key_of(name, i);
        const store_key key = store_key_of(name, length);
        cr_assert(memory_relieve(&c));
        c.now_lru = (uint32_t)i;
        text *value = text_new_blank(self, 200);
        store_lock(&c, key.home);
        cr_assert_not_null(store_add(&c, &key, KIND_STRING, value));
        store_unlock(&c, key.home);
        /* One key is asked for all the time, and stays. */
        const store_key hot = store_key_of("key:0", 5);
        store_lock(&c, hot.home);
        cr_assert_not_null(store_find(&c, &hot), "at %llu", (unsigned long long)i);
        store_unlock(&c, hot.home);
    }
    cr_assert_leq(store_bytes(), (4 << 20) + 128 * 1024);
    cr_assert_geq(store_bytes(), 3 << 20);
    cr_assert_gt(counter_read(&c.evicted), 10000);
    cr_assert(store_clear(&c));
    cr_assert_eq(store_bytes(), 0);
    cr_assert_eq(store_count(), 0);
    memory_limit_set(0);
    store_destroy(self);
}

Test(values, expired_keys_go_by_themselves)
{
    static context c;
    context_begin(&c, self);
    cr_assert(store_create(self));
    for (uint64_t i = 0; i < 5000; i++) {
        char name[32];
        const size_t length = key_of(name, i);
        const store_key key = store_key_of(name, length);
        text *value = text_of(i);
        store_lock(&c, key.home);
        entry *e = store_add(&c, &key, KIND_STRING, value);
        if (i % 2 == 0) store_set_expiry(key.home, e, c.now_ms + 10);
        store_unlock(&c, key.home);
    }
    cr_assert_eq(store_volatile_count(&c), 2500);
    c.now_ms += 10;
    for (int i = 0; i < 10000 && store_count() > 2500; i++) store_expire_some(&c);
    cr_assert_eq(store_count(), 2500);
    cr_assert_eq(store_volatile_count(&c), 0);
    store_destroy(self);
}
