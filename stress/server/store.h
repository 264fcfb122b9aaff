/* The store: all keys, in shards of one lock and one table each.
 *
 * The tables and everything below them are heap objects; the array of shards is a root. A key's shard and its bucket
 * come from different bits of one hash. Who holds a shard's lock may collect: the collector knows the lock. */
#ifndef SERVER_STORE_H
#define SERVER_STORE_H

#include "context.h"
#include "dictionary.h"
#include <tenure/lock.h>

enum { STORE_SHARDS = 256 };

typedef struct shard {
    _Alignas(128) tenure_mutex lock; /* its own pair of cache lines: neighbours are locked by other threads */
    dictionary *keys;                /* lock; never NULL after store_create */
    uint64_t volatile_keys;          /* lock: keys that expire */
    uint64_t expire_position;        /* main thread: where its search for expired keys goes on */
    counter count, bytes;            /* written under the lock, read without: keys, and approximate bytes of all */
} shard;
extern shard store_shards[STORE_SHARDS];

/* Makes the tables and registers the root. False when the heap is too small. The caller is attached. */
bool store_create(tenure_thread *self);

/* Lets go of all keys; the workers have ended. */
void store_destroy(tenure_thread *self);

/* A key as it came from a client, with its place. */
typedef struct store_key {
    const char *bytes;
    size_t length;
    uint64_t hash;
    shard *home;
} store_key;
store_key store_key_of(const char *bytes, size_t length);

static inline void store_lock(context *c, shard *home) { tenure_mutex_lock(c->self, &home->lock); }
static inline void store_unlock(context *c, shard *home) { tenure_mutex_unlock(c->self, &home->lock); }

/* --- all of these under the lock of the key's shard --- */

/* The entry, or NULL; what has expired is removed first. Notes the access. */
entry *store_find(context *c, const store_key *key);

/* Gives a key that is not there a value. NULL when the heap is full; may collect. */
entry *store_add(context *c, const store_key *key, value_kind kind, void *value);

/* Puts a value in place of the entry's present one, of whatever kind. */
void store_replace(context *c, shard *home, entry *e, value_kind kind, void *value);

bool store_remove(context *c, const store_key *key);

/* 0: never. */
void store_set_expiry(shard *home, entry *e, int64_t expires_ms);

/* Approximate heap bytes of a value; what changed inside a container is reported by store_resized. */
uint64_t store_value_bytes(const entry *e);
void store_resized(context *c, shard *home, uint64_t bytes_before, uint64_t bytes_after);

/* --- these take the locks themselves --- */

/* Empties all shards. False when the heap is full: then some are left as they were. */
bool store_clear(context *c);
uint64_t store_count(void);
uint64_t store_volatile_count(context *c);
uint64_t store_bytes(void);

/* Looks for expired keys for about a millisecond at most, some shards at a time. */
void store_expire_some(context *c);

#endif
