/* Shards, look-up, expiry and the accounting of bytes. */
#include "store.h"
#include "list.h"
#include <tenure/barrier.h>
#include <tenure/root.h>
#include <time.h>

shard store_shards[STORE_SHARDS];

bool store_create(tenure_thread *self)
{
    for (size_t i = 0; i < STORE_SHARDS; i++)
        if (tenure_mutex_init(&store_shards[i].lock, "shard") != TENURE_OK) return false;
    /* All of each shard is offered as precise slots: words that are no references into the heap are ignored. */
    if (tenure_root_range_add(self->heap, store_shards, sizeof store_shards, TENURE_PRECISE) != TENURE_OK) return false;
    for (size_t i = 0; i < STORE_SHARDS; i++)
        if ((store_shards[i].keys = dictionary_new(self)) == NULL) return false;
    return true;
}

void store_destroy(tenure_thread *self)
{
    tenure_root_range_remove(self->heap, store_shards);
    for (size_t i = 0; i < STORE_SHARDS; i++) {
        store_shards[i].keys = NULL;
        tenure_mutex_destroy(&store_shards[i].lock);
    }
}

store_key store_key_of(const char *bytes, size_t length)
{
    const uint64_t hash = dictionary_hash(bytes, length);
    return (store_key) { bytes, length, hash, &store_shards[hash >> 56] };
}

uint64_t store_value_bytes(const entry *e)
{
    switch ((value_kind)e->kind) {
    case KIND_STRING:
        return text_cell_bytes(((const text *)e->value)->length);
    case KIND_LIST:
        return ((const list *)e->value)->bytes;
    case KIND_SET:
    case KIND_HASH:
        return ((const dictionary *)e->value)->bytes;
    }
    return 0;
}

/* An entry costs its cell and about one bucket. */
static uint64_t entry_bytes(const entry *e) { return entry_cell_bytes(e->key_length) + sizeof(entry *); }

void store_resized(context *c, shard *home, uint64_t bytes_before, uint64_t bytes_after)
{
    counter_add(&home->bytes, bytes_after - bytes_before);
    if (bytes_after > bytes_before) c->growth += bytes_after - bytes_before;
}

bool store_remove(context *c, const store_key *key)
{
    shard *home = key->home;
    entry *removed = dictionary_remove(c->self, home->keys, key->bytes, key->length, key->hash);
    if (removed == NULL) return false;
    if (removed->expires_ms != 0) home->volatile_keys--;
    store_resized(c, home, entry_bytes(removed) + store_value_bytes(removed), 0);
    counter_add(&home->count, (uint64_t)-1);
    return true;
}

entry *store_find(context *c, const store_key *key)
{
    entry *e = dictionary_find(key->home->keys, key->bytes, key->length, key->hash);
    if (e == NULL) return NULL;
    if (e->expires_ms != 0 && e->expires_ms <= c->now_ms) {
        store_remove(c, key);
        counter_add(&c->expired, 1);
        return NULL;
    }
    if (e->accessed != c->now_lru) e->accessed = c->now_lru; /* not dirtying the line again and again */
    return e;
}

entry *store_add(context *c, const store_key *key, value_kind kind, void *value)
{
    entry *added = entry_new(c->self, key->bytes, key->length);
    if (added == NULL) return NULL;
    added->accessed = c->now_lru;
    added->kind = kind & 3u;
    TENURE_SET(c->self, added, value, value);
    dictionary_insert(c->self, key->home->keys, added, key->hash);
    store_resized(c, key->home, 0, entry_bytes(added) + store_value_bytes(added));
    counter_add(&key->home->count, 1);
    return added;
}

void store_replace(context *c, shard *home, entry *e, value_kind kind, void *value)
{
    const uint64_t before = store_value_bytes(e);
    TENURE_SET(c->self, e, value, value);
    e->kind = kind & 3u;
    store_resized(c, home, before, store_value_bytes(e));
}

void store_set_expiry(shard *home, entry *e, int64_t expires_ms)
{
    if (e->expires_ms != 0) home->volatile_keys--;
    e->expires_ms = expires_ms;
    if (expires_ms != 0) home->volatile_keys++;
}

bool store_clear(context *c)
{
    for (size_t i = 0; i < STORE_SHARDS; i++) {
        shard *home = &store_shards[i];
        dictionary *empty = dictionary_new(c->self);
        if (empty == NULL) return false;
        store_lock(c, home);
        /* A root, not a heap object: no barrier. Release: pairs with dictionary_peek, which takes no lock. */
        __atomic_store_n(&home->keys, empty, __ATOMIC_RELEASE);
        home->volatile_keys = 0;
        counter_add(&home->bytes, 0 - counter_read(&home->bytes));
        counter_add(&home->count, 0 - counter_read(&home->count));
        store_unlock(c, home);
    }
    return true;
}

uint64_t store_count(void)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < STORE_SHARDS; i++) sum += counter_read(&store_shards[i].count);
    return sum;
}

uint64_t store_bytes(void)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < STORE_SHARDS; i++) sum += counter_read(&store_shards[i].bytes);
    return sum;
}

uint64_t store_volatile_count(context *c)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < STORE_SHARDS; i++) {
        store_lock(c, &store_shards[i]);
        sum += store_shards[i].volatile_keys;
        store_unlock(c, &store_shards[i]);
    }
    return sum;
}

/* --- active expiry: keys that nobody asks for must not stay --- */

enum { EXPIRE_AT_ONCE = 64, EXPIRE_BUCKETS = 16, EXPIRE_BUDGET_NS = 1000000 };

struct expired_keys {
    int64_t now_ms;
    size_t count;
    entry *found[EXPIRE_AT_ONCE]; /* on the caller's stack: pinned and kept */
};

static void note_expired(entry *e, void *arg)
{
    struct expired_keys *keys = arg;
    if (e->expires_ms != 0 && e->expires_ms <= keys->now_ms && keys->count < EXPIRE_AT_ONCE)
        keys->found[keys->count++] = e;
}

static void expire_in_shard(context *c, shard *home)
{
    struct expired_keys keys = { .now_ms = c->now_ms };
    store_lock(c, home);
    for (int i = 0; i < EXPIRE_BUCKETS && home->volatile_keys > 0 && keys.count < EXPIRE_AT_ONCE; i++)
        home->expire_position = dictionary_scan(home->keys, home->expire_position, note_expired, &keys);
    for (size_t i = 0; i < keys.count; i++) {
        const entry *e = keys.found[i];
        const store_key key = store_key_of(e->key, e->key_length);
        if (store_remove(c, &key)) counter_add(&c->expired, 1);
    }
    store_unlock(c, home);
}

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void store_expire_some(context *c)
{
    static size_t next; /* main thread only */
    const int64_t end = monotonic_ns() + EXPIRE_BUDGET_NS;
    for (size_t seen = 0; seen < STORE_SHARDS; seen++) {
        expire_in_shard(c, &store_shards[next]);
        next = (next + 1) % STORE_SHARDS;
        if (monotonic_ns() > end) return;
    }
}
