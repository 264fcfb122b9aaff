/* Tables from objects to their records; see record.h. Linear probing; what is removed is filled from behind, so there
 * are no tombstones, and a stop may remove without ever having to rebuild. */
#include "lib/heap/record.h"
#include "threads/mutator.h"
#include "threads/system.h"
#include <stdlib.h>

enum { FIRST_CAPACITY = 64 };

typedef struct tenure__record_entry entry;

tenure__record_shard *tenure__record_shard_of(tenure__record_table *table, uint64_t hash)
{
    return &table->shards[hash >> 58];
}
/* Identity hashes are odd. */
static uint32_t home(const tenure__record_shard *shard, uint64_t hash)
{
    return (uint32_t)(hash >> 1) & (shard->capacity - 1);
}

void tenure__record_table_init(tenure__record_table *table)
{
    for (unsigned i = 0; i < TENURE__RECORD_SHARDS; i++) TENURE__MUST(pthread_mutex_init(&table->shards[i].lock, 0));
}

void tenure__record_table_destroy(tenure__record_table *table)
{
    for (unsigned i = 0; i < TENURE__RECORD_SHARDS; i++) {
        free(table->shards[i].entries);
        TENURE__MUST(pthread_mutex_destroy(&table->shards[i].lock));
    }
}

tenure__record_shard *tenure__record_shard_lock(tenure__record_table *table, uint64_t hash)
{
    tenure__record_shard *shard = tenure__record_shard_of(table, hash);
    tenure__own_lock(&shard->lock);
    return shard;
}

void tenure__record_shard_unlock(tenure__record_shard *shard) { tenure__own_unlock(&shard->lock); }

uintptr_t tenure__record_find(tenure__record_shard *shard, uint64_t hash, uintptr_t target)
{
    if (shard->count == 0) return 0;
    for (uint32_t i = home(shard, hash);; i = (i + 1) & (shard->capacity - 1)) {
        const entry *at = &shard->entries[i];
        if (at->record == 0) return 0;
        /* An object that moved away and one that was made in its place have the same hash. */
        if (at->hash == hash && tenure__record_at(at->record)->target == target) return at->record;
    }
}

static void put(tenure__record_shard *shard, entry new_entry)
{
    uint32_t i = home(shard, new_entry.hash);
    while (shard->entries[i].record != 0) i = (i + 1) & (shard->capacity - 1);
    shard->entries[i] = new_entry;
}

static bool grow(tenure__record_shard *shard)
{
    const uint32_t old_capacity = shard->capacity;
    const uint32_t capacity = old_capacity != 0 ? 2 * old_capacity : FIRST_CAPACITY;
    entry *old = shard->entries, *longer = tenure__calloc(capacity, sizeof *longer);
    if (longer == 0) return false;
    shard->entries = longer;
    shard->capacity = capacity;
    for (uint32_t i = 0; i < old_capacity; i++)
        if (old[i].record != 0) put(shard, old[i]);
    free(old);
    return true;
}

bool tenure__record_add(tenure__record_shard *shard, uint64_t hash, uintptr_t record)
{
    if (shard->count >= shard->capacity / 2 && !grow(shard)) return false;
    put(shard, (entry) { hash, record });
    shard->count++;
    return true;
}

static void take_out(tenure__record_shard *shard, uint32_t hole)
{
    const uint32_t mask = shard->capacity - 1;
    for (uint32_t i = (hole + 1) & mask; shard->entries[i].record != 0; i = (i + 1) & mask) {
        /* What was pushed past the hole by its collisions moves into it. */
        if (((i - home(shard, shard->entries[i].hash)) & mask) < ((i - hole) & mask)) continue;
        shard->entries[hole] = shard->entries[i];
        hole = i;
    }
    shard->entries[hole].record = 0;
    shard->count--;
}

void tenure__record_moved(tenure__record_table *table, uint64_t hash, uintptr_t record, uintptr_t now)
{
    tenure__record_shard *shard = tenure__record_shard_of(table, hash);
    uint32_t i = home(shard, hash);
    while (shard->entries[i].record != record) i = (i + 1) & (shard->capacity - 1);
    if (now != 0)
        shard->entries[i].record = now;
    else
        take_out(shard, i);
}
