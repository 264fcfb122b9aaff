/* A hash table in the heap: the keys of a shard, the members of a set, the fields of a hash.
 *
 * Chained, with incremental resizing: while old_buckets is set, entries live in both arrays, and every insertion and
 * removal moves a few buckets on. Nothing here locks: the shard's lock covers its tables and all that hangs on them. */
#ifndef SERVER_DICTIONARY_H
#define SERVER_DICTIONARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tenure/alloc.h>

typedef enum value_kind { KIND_STRING, KIND_LIST, KIND_SET, KIND_HASH } value_kind;

/* One key with what it leads to. Sets leave value NULL; only the keys of a shard use the fields from expires_ms to
 * kind. */
typedef struct entry {
    struct entry *next;
    void *value;
    int64_t expires_ms; /* wall clock; 0: never */
    uint32_t accessed;  /* LRU clock, see context.h */
    uint32_t key_length : 30;
    uint32_t kind : 2; /* value_kind */
    char key[];
} entry;

/* The mask is in the same object as the slots: who reads without the lock gets a pair that fits. */
typedef struct bucket_array {
    uint64_t mask;
    entry *slots[];
} bucket_array;

typedef struct dictionary {
    bucket_array *buckets;
    bucket_array *old_buckets; /* NULL: no resize is going on */
    uint64_t migrated;         /* old buckets below are empty */
    uint64_t count;
    uint64_t bytes; /* approximate heap bytes of the entries and their values; kept by the owner of the values */
} dictionary;

/* Draws the seed of dictionary_hash; once, before the first use. */
void dictionary_seed(void);
uint64_t dictionary_hash(const char *key, size_t length);

/* An empty table. NULL when the heap is full; may collect. */
dictionary *dictionary_new(tenure_thread *self);

/* An entry in no table yet. NULL when the heap is full; may collect. */
entry *entry_new(tenure_thread *self, const char *key, size_t length);
static inline size_t entry_cell_bytes(size_t key_length)
{
    return (8 + offsetof(entry, key) + key_length + 15) & ~(size_t)15;
}

entry *dictionary_find(const dictionary *d, const char *key, size_t length, uint64_t hash);

/* Adds an entry whose key is not there. May collect (when it grows); a table that finds no memory to grow works on with
 * longer chains. */
void dictionary_insert(tenure_thread *self, dictionary *d, entry *added, uint64_t hash);

/* Takes the entry out and returns it, or NULL. May collect (when the table shrinks). */
entry *dictionary_remove(tenure_thread *self, dictionary *d, const char *key, size_t length, uint64_t hash);

/* Any entry, by the random number given; NULL when empty. */
entry *dictionary_random(const dictionary *d, uint64_t random);

/* For a reader without the lock who wants to have an entry in the cache soon: the first entry of its chain, perhaps.
 * The slot itself is brought in by dictionary_prefetch_slot, some time before. */
void dictionary_prefetch_slot(dictionary *const *home, uint64_t hash);
entry *dictionary_peek(dictionary *const *home, uint64_t hash);

/* Walks a table that does not change meanwhile: start with a zeroed cursor; NULL at the end. */
typedef struct dictionary_cursor {
    bool in_old;
    uint64_t bucket;
    entry *at;
} dictionary_cursor;
entry *dictionary_next(const dictionary *d, dictionary_cursor *cursor);

/* Calls fn for the entries of some buckets and returns the position to go on with, 0 at the end. Entries that are there
 * all the time are seen at least once, however often the table is resized between calls. fn must not change the table.
 */
typedef void dictionary_scan_fn(entry *found, void *arg);
uint64_t dictionary_scan(const dictionary *d, uint64_t position, dictionary_scan_fn *fn, void *arg);

#endif
