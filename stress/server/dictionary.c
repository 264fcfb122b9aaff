/* A chained hash table in the heap with incremental resizing. */
#include "dictionary.h"
#include <stdlib.h>
#include <sys/random.h>
#include <tenure/barrier.h>

TENURE_TYPE_FLEX(entry, entry, key, next, value);
TENURE_TYPE_FLEX_REFS(bucket_array, bucket_array, slots);
TENURE_TYPE(dictionary, dictionary, buckets, old_buckets);

enum {
    FIRST_SIZE = 4,
    MIGRATE_BUCKETS = 4, /* per change: a resize is over long before the next one is due */
    SHRINK_BELOW = 8     /* one entry for so many buckets */
};

/* --- hashing: 64x64->128 bit multiplications folded to 64 bits, 16 bytes a step, in the manner of wyhash --- */

static uint64_t hash_seed[2] = { 0x9e3779b97f4a7c15u, 0xd1b54a32d192ed03u };

void dictionary_seed(void)
{
    uint64_t drawn[2];
    if (getrandom(drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn) abort();
    hash_seed[0] ^= drawn[0];
    hash_seed[1] ^= drawn[1];
}

__extension__ typedef unsigned __int128 wide;

static inline uint64_t fold(uint64_t a, uint64_t b)
{
    const wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t load64(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint64_t load32(const char *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

uint64_t dictionary_hash(const char *key, size_t length)
{
    uint64_t state = hash_seed[0] ^ length, low, high;
    size_t rest = length;
    while (rest > 16) {
        state = fold(load64(key) ^ hash_seed[1], load64(key + 8) ^ state);
        key += 16;
        rest -= 16;
    }
    if (rest >= 8) { /* two words that overlap */
        low = load64(key);
        high = load64(key + rest - 8);
    } else if (rest >= 4) {
        low = load32(key);
        high = load32(key + rest - 4);
    } else if (rest > 0) {
        low = (uint64_t)(unsigned char)key[0] << 16 | (uint64_t)(unsigned char)key[rest / 2] << 8 |
              (unsigned char)key[rest - 1];
        high = 0;
    } else {
        low = high = 0;
    }
    state = fold(low ^ hash_seed[1], high ^ state);
    return fold(state ^ 0x8ebc6af09c88c6e3u, hash_seed[0] ^ 0x589965cc75374cc3u);
}

/* --- entries --- */

entry *entry_new(tenure_thread *self, const char *key, size_t length)
{
    entry *made = tenure_new_flex(self, entry, length);
    if (made == NULL) return NULL;
    made->key_length = (uint32_t)length & 0x3fffffffu;
    memcpy(made->key, key, length);
    return made;
}

static inline bool entry_is(const entry *e, const char *key, size_t length)
{
    return e->key_length == length && memcmp(e->key, key, length) == 0;
}

/* --- the table --- */

static bucket_array *buckets_new(tenure_thread *self, uint64_t size)
{
    bucket_array *made = tenure_new_flex(self, bucket_array, size);
    if (made != NULL) made->mask = size - 1;
    return made;
}

dictionary *dictionary_new(tenure_thread *self)
{
    bucket_array *buckets = buckets_new(self, FIRST_SIZE);
    if (buckets == NULL) return NULL;
    return TENURE_NEW(self, dictionary, .buckets = buckets);
}

static inline entry *find_in(const bucket_array *buckets, const char *key, size_t length, uint64_t hash)
{
    for (entry *e = buckets->slots[hash & buckets->mask]; e != NULL; e = e->next)
        if (entry_is(e, key, length)) return e;
    return NULL;
}

entry *dictionary_find(const dictionary *d, const char *key, size_t length, uint64_t hash)
{
    entry *found = find_in(d->buckets, key, length, hash);
    if (found == NULL && d->old_buckets != NULL) found = find_in(d->old_buckets, key, length, hash);
    return found;
}

/* No lock: the objects may be out of use by now, but they are objects still, which is what a collector is for. Acquire:
 * pairs with the release in resize_begin, so that the mask is that of the array. */
static bucket_array *buckets_now(dictionary *const *home)
{
    dictionary *d = tenure_load_acquire(home);
    return tenure_load_acquire(&d->buckets);
}

void dictionary_prefetch_slot(dictionary *const *home, uint64_t hash)
{
    bucket_array *buckets = buckets_now(home);
    __builtin_prefetch(&buckets->slots[hash & buckets->mask]);
}

entry *dictionary_peek(dictionary *const *home, uint64_t hash)
{
    bucket_array *buckets = buckets_now(home);
    return tenure_load_acquire(&buckets->slots[hash & buckets->mask]);
}

static inline void slot_set(tenure_thread *self, bucket_array *buckets, uint64_t slot, entry *e)
{
    TENURE_SET(self, buckets, slots[slot], e);
}

static void migrate_bucket(tenure_thread *self, dictionary *d, uint64_t bucket)
{
    entry *e = d->old_buckets->slots[bucket];
    slot_set(self, d->old_buckets, bucket, NULL);
    while (e != NULL) {
        entry *next = e->next;
        const uint64_t to = dictionary_hash(e->key, e->key_length) & d->buckets->mask;
        if (next != d->buckets->slots[to]) TENURE_SET(self, e, next, d->buckets->slots[to]);
        slot_set(self, d->buckets, to, e);
        e = next;
    }
}

static void migrate_some(tenure_thread *self, dictionary *d)
{
    /* Empty buckets cost little: look at ten times as many. */
    for (int moved = 0, seen = 0; moved < MIGRATE_BUCKETS && seen < MIGRATE_BUCKETS * 10; seen++) {
        if (d->migrated > d->old_buckets->mask) {
            TENURE_SET(self, d, old_buckets, NULL);
            return;
        }
        if (d->old_buckets->slots[d->migrated] != NULL) {
            migrate_bucket(self, d, d->migrated);
            moved++;
        }
        d->migrated++;
    }
}

static void resize_begin(tenure_thread *self, dictionary *d, uint64_t size)
{
    bucket_array *buckets = buckets_new(self, size);
    if (buckets == NULL) return;
    TENURE_SET(self, d, old_buckets, d->buckets);
    /* Release: publishes the new array's mask to readers without the lock; pairs with buckets_now. */
    tenure_store_release(self, d, &d->buckets, buckets);
    d->migrated = 0;
}

void dictionary_insert(tenure_thread *self, dictionary *d, entry *added, uint64_t hash)
{
    if (d->old_buckets != NULL)
        migrate_some(self, d);
    else if (d->count > d->buckets->mask)
        resize_begin(self, d, (d->buckets->mask + 1) * 2);
    const uint64_t bucket = hash & d->buckets->mask;
    TENURE_SET(self, added, next, d->buckets->slots[bucket]);
    slot_set(self, d->buckets, bucket, added);
    d->count++;
}

/* Unlinks from one of the two arrays. */
static entry *unlink_from(tenure_thread *self, bucket_array *buckets, const char *key, size_t length, uint64_t hash)
{
    const uint64_t bucket = hash & buckets->mask;
    entry *before = NULL;
    for (entry *e = buckets->slots[bucket]; e != NULL; before = e, e = e->next) {
        if (!entry_is(e, key, length)) continue;
        if (before == NULL)
            slot_set(self, buckets, bucket, e->next);
        else
            TENURE_SET(self, before, next, e->next);
        return e;
    }
    return NULL;
}

entry *dictionary_remove(tenure_thread *self, dictionary *d, const char *key, size_t length, uint64_t hash)
{
    entry *removed = unlink_from(self, d->buckets, key, length, hash);
    if (removed == NULL && d->old_buckets != NULL) removed = unlink_from(self, d->old_buckets, key, length, hash);
    if (removed == NULL) return NULL;
    d->count--;
    const uint64_t mask = d->buckets->mask;
    if (d->old_buckets != NULL)
        migrate_some(self, d);
    else if (mask >= FIRST_SIZE * 4 && d->count * SHRINK_BELOW < mask)
        resize_begin(self, d, (mask + 1) / 4);
    return removed;
}

/* Slot number n of both arrays together. */
static entry *slot_at(const dictionary *d, uint64_t n)
{
    const uint64_t first = d->buckets->mask + 1;
    return n < first ? d->buckets->slots[n] : d->old_buckets->slots[n - first];
}

entry *dictionary_random(const dictionary *d, uint64_t random)
{
    if (d->count == 0) return NULL;
    const uint64_t size = d->buckets->mask + 1 + (d->old_buckets == NULL ? 0 : d->old_buckets->mask + 1);
    entry *e = NULL;
    /* A walk from a random bucket would favour entries behind gaps: draw again instead. There is an entry for every
     * SHRINK_BELOW buckets or so, but a table that found no memory to shrink may be sparser: then walk. */
    for (int tries = 0; e == NULL && tries < 64; tries++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        e = slot_at(d, (random >> 24) % size);
    }
    for (uint64_t drawn = (random >> 20) % size; e == NULL; drawn = drawn + 1 == size ? 0 : drawn + 1)
        e = slot_at(d, drawn);
    /* Chains are short: each of their entries with about the same chance. */
    uint64_t length = 0;
    for (const entry *link = e; link != NULL; link = link->next) length++;
    for (uint64_t steps = (random >> 33) % length; steps > 0; steps--) e = e->next;
    return e;
}

entry *dictionary_next(const dictionary *d, dictionary_cursor *cursor)
{
    if (cursor->at != NULL && (cursor->at = cursor->at->next) != NULL) return cursor->at;
    for (;;) {
        const bucket_array *buckets = cursor->in_old ? d->old_buckets : d->buckets;
        while (cursor->bucket <= buckets->mask)
            if ((cursor->at = buckets->slots[cursor->bucket++]) != NULL) return cursor->at;
        if (cursor->in_old || d->old_buckets == NULL) return NULL;
        cursor->in_old = true;
        cursor->bucket = 0;
    }
}

/* --- scanning ---
 * The position counts with its bits reversed: it is incremented at the highest bit of the mask. So the buckets that one
 * bucket of a smaller table splits into follow each other, and a scan that goes on in a table of another size has
 * visited whole families of buckets only. */

static uint64_t reverse(uint64_t v)
{
    v = (v >> 1 & 0x5555555555555555u) | (v & 0x5555555555555555u) << 1;
    v = (v >> 2 & 0x3333333333333333u) | (v & 0x3333333333333333u) << 2;
    v = (v >> 4 & 0x0f0f0f0f0f0f0f0fu) | (v & 0x0f0f0f0f0f0f0f0fu) << 4;
    return __builtin_bswap64(v);
}

static uint64_t reverse_increment(uint64_t position, uint64_t mask) { return reverse(reverse(position | ~mask) + 1); }

static void scan_bucket(entry *e, dictionary_scan_fn *fn, void *arg)
{
    for (; e != NULL; e = e->next) fn(e, arg);
}

uint64_t dictionary_scan(const dictionary *d, uint64_t position, dictionary_scan_fn *fn, void *arg)
{
    const bucket_array *small = d->buckets, *large = d->old_buckets;
    if (large == NULL) {
        scan_bucket(small->slots[position & small->mask], fn, arg);
        return reverse_increment(position, small->mask);
    }
    /* While resizing: the bucket of the smaller table, and all buckets of the larger one that it splits into. */
    if (small->mask > large->mask) {
        large = d->buckets;
        small = d->old_buckets;
    }
    scan_bucket(small->slots[position & small->mask], fn, arg);
    do {
        scan_bucket(large->slots[position & large->mask], fn, arg);
        position = reverse_increment(position, large->mask);
    } while ((position & (small->mask ^ large->mask)) != 0);
    return position;
}
