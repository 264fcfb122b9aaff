/* Weak maps as the program uses them. The table is liburcu's rculfhash, without its own resizing, which allocates when
 * it likes: the daemon enlarges it. Between the start of a look-up and the use of what it found there is no safepoint,
 * so no stop moves or frees anything; nodes are freed a grace period after they were unlinked. Whoever removes an entry
 * unlinks its node: dead nodes of a key that comes and goes would lie in every search's way until the daemon's turn. */
#include "lib/collection/weakmap.h"
#include "lib/allocation/nursery.h"
#include "lib/collection/cycle.h"
#include "lib/collection/ephemeron.h"
#include "lib/collection/records.h"
#include "threads/system.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tenure/root.h>

enum { FIRST_BUCKETS = 64, BATCH = 32 };

static tenure__map_record *map_of(const void *map) { return (tenure__map_record *)map; }
static tenure__map_entry *entry_at(uintptr_t address) { return (tenure__map_entry *)address; }

/* --- keys and values --- */

static void *key_of(const tenure__map_body *body, const tenure__map_entry *entry)
{
    return (void *)(body->weakness == TENURE_WEAK_VALUES ? entry->other : entry->weak);
}
static void *value_of(const tenure__map_body *body, const tenure__map_entry *entry)
{
    return (void *)(body->weakness == TENURE_WEAK_VALUES ? entry->weak : entry->other);
}

/* The table takes its buckets from the low bits (the last step of MurmurHash3, Appleby). */
static unsigned long mix(uint64_t hash)
{
    hash ^= hash >> 33;
    hash *= 0xff51afd7ed558ccdu;
    hash ^= hash >> 33;
    hash *= 0xc4ceb9fe1a85ec53u;
    return (unsigned long)(hash ^ hash >> 33);
}

struct probe {
    const tenure__map_body *body;
    const void *key;
};

/* The node's entry; 0: none any more. Within a read-side section. */
static uintptr_t entry_of(tenure__map_node *node)
{
    tenure__tsan_acquire(node); /* published by the table */
    /* acquire: pairs with the release of the exchange that put the entry there. */
    const uintptr_t entry = atomic_load_explicit(&node->entry, memory_order_acquire);
    tenure__tsan_release(node); /* freed a grace period later */
    return entry;
}

static int match(struct cds_lfht_node *link, const void *arg)
{
    const struct probe *probe = arg;
    const uintptr_t entry = entry_of(caa_container_of(link, tenure__map_node, link));
    if (entry == 0) return 0;
    const void *key = key_of(probe->body, entry_at(entry));
    return probe->body->hash == 0 ? key == probe->key : probe->body->equal(key, probe->key, probe->body->arg);
}

/* What never was in any map by identity has no hash, and gets none. False: it cannot be there. */
static bool hash_of(tenure_thread *self, const struct probe *probe, unsigned long *hash)
{
    if (probe->body->hash != 0) {
        *hash = mix(probe->body->hash(probe->key, probe->body->arg));
        return true;
    }
    if (!tenure__in_arena(self->heap, (uintptr_t)probe->key) ||
        (tenure__header_load((uintptr_t)probe->key) & TENURE__HASHED) == 0)
        return false;
    *hash = mix(tenure_identity_hash(self, (void *)probe->key));
    return true;
}

/* Within a read-side section: the node of that key and its entry; NULL: none. */
static tenure__map_node *find(tenure_thread *self, const struct probe *probe, uintptr_t *entry)
{
    unsigned long hash;
    if (!hash_of(self, probe, &hash)) return 0;
    struct cds_lfht_iter iter;
    cds_lfht_lookup(probe->body->table, hash, match, probe, &iter);
    struct cds_lfht_node *link = cds_lfht_iter_get_node(&iter);
    if (link == 0) return 0;
    tenure__map_node *node = caa_container_of(link, tenure__map_node, link);
    *entry = entry_of(node);
    return *entry != 0 ? node : 0;
}

/* --- look up and remove --- */

static tenure__map_entry *get(tenure_thread *self, const tenure__map_body *body, const void *probe_key)
{
    const struct probe probe = { body, probe_key };
    uintptr_t entry;
    const enum tenure__rcu_section section = tenure__rcu_section_begin();
    const bool found = find(self, &probe, &entry) != 0;
    tenure__rcu_section_end(section);
    return found ? entry_at(entry) : 0;
}

void *tenure_weakmap_get(tenure_thread *self, tenure_weakmap *map, const void *probe)
{
    const tenure__map_body *body = map_of(map)->body;
    const tenure__map_entry *entry = get(self, body, probe);
    return entry != 0 ? value_of(body, entry) : 0;
}

bool tenure_weakmap_remove(tenure_thread *self, tenure_weakmap *map, const void *probe_key)
{
    tenure_heap *heap = self->heap;
    const struct probe probe = { map_of(map)->body, probe_key };
    uintptr_t entry;
    const enum tenure__rcu_section section = tenure__rcu_section_begin();
    tenure__map_node *node;
    /* relaxed: 0 publishes nothing. */
    while ((node = find(self, &probe, &entry)) != 0 && !atomic_compare_exchange_strong_explicit(&node->entry, &entry, 0,
                                                           memory_order_relaxed, memory_order_relaxed)) {}
    if (node != 0) {
        __atomic_store_n(&entry_at(entry)->node, 0, __ATOMIC_RELAXED);
        tenure__map_node_unlink(node);
        const bool first = atomic_load_explicit(&heap->dead_nodes, memory_order_relaxed) == 0;
        tenure__map_node_retire(heap, node);
        if (first) tenure__daemon_poke(heap);
    }
    tenure__rcu_section_end(section);
    return node != 0;
}

size_t tenure_weakmap_count(tenure_thread *self, const tenure_weakmap *map)
{
    (void)self;
    return atomic_load_explicit(&map_of(map)->body->count, memory_order_relaxed);
}

/* --- put --- */

static void flag_as_key(uintptr_t object)
{
    /* relaxed: no stop comes in between, and only stops read it. */
    if ((tenure__header_load(object) & TENURE__KEY) == 0)
        atomic_fetch_or_explicit(tenure__header_of(object), TENURE__KEY, memory_order_relaxed);
}

static void fill(tenure__map_entry *entry, tenure__map_record *map, void *key, void *value)
{
    const tenure_weakness weakness = map->body->weakness;
    entry->record.target = (uintptr_t)map;
    entry->weak = (uintptr_t)(weakness == TENURE_WEAK_VALUES ? value : key);
    entry->other = (uintptr_t)(weakness == TENURE_WEAK_VALUES ? key : value);
    entry->record.hash = weakness == TENURE_WEAK_BOTH;
    flag_as_key((uintptr_t)map);
    flag_as_key(entry->weak);
    if (!tenure__entry_keeps(entry)) flag_as_key(entry->other);
}

/* Puts the entry into the table, or finds the one that is there; returns who is there in the end. *fresh: a node, taken
 * (0) if it was needed. */
static tenure__map_entry *place(
    const struct probe *probe, unsigned long hash, tenure__map_entry *entry, tenure__map_node **fresh, bool replace)
{
    for (;;) {
        __atomic_store_n(&entry->node, *fresh, __ATOMIC_RELAXED);
        atomic_store_explicit(&(*fresh)->entry, (uintptr_t)entry, memory_order_relaxed);
        tenure__tsan_release(*fresh);
        struct cds_lfht_node *link = cds_lfht_add_unique(probe->body->table, hash, match, probe, &(*fresh)->link);
        tenure__map_node *node = caa_container_of(link, tenure__map_node, link);
        if (node == *fresh) {
            *fresh = 0;
            return entry;
        }
        uintptr_t there = entry_of(node);
        if (there == 0) continue; /* removed meanwhile */
        if (!replace) return entry_at(there);
        __atomic_store_n(&entry->node, node, __ATOMIC_RELAXED);
        /* release: pairs with the acquire in match and find. */
        const bool replaced = atomic_compare_exchange_strong_explicit(
            &node->entry, &there, (uintptr_t)entry, memory_order_release, memory_order_relaxed);
        tenure__tsan_release(node);
        if (replaced) {
            __atomic_store_n(&entry_at(there)->node, 0, __ATOMIC_RELAXED);
            return entry;
        }
    }
}

static void count_node(tenure_heap *heap, tenure__map_body *body, int change)
{
    const int64_t bytes = sizeof(tenure__map_node);
    tenure__external_add(heap, change * bytes); /* not towards the budget: the entry in the heap is as large */
    atomic_fetch_add_explicit(&body->count, (uint64_t)change, memory_order_relaxed);
    atomic_fetch_add_explicit(&body->nodes, (uint64_t)change, memory_order_seq_cst); /* see enlarge */
}

/* The entry that is there in the end; NULL and ENOMEM. */
static tenure__map_entry *put(tenure_thread *self, void *map, void *key, void *value, bool replace, const char *call)
{
    tenure__allocator *allocator = tenure__allocator_of(self);
    const tenure_weakness weakness = map_of(map)->body->weakness;
    const bool by_identity = map_of(map)->body->hash == 0;
    if (weakness != TENURE_WEAK_VALUES || by_identity) tenure__require_object(self, key, call);
    if (weakness != TENURE_WEAK_KEYS) tenure__require_object(self, value, call);
    /* Nothing is made for what is there; but if a stop is asked for this is its safepoint, as every call that makes. */
    const bool looks_first = !replace && __atomic_load_n(&self->limit, __ATOMIC_RELAXED) != 0;
    tenure__map_entry *there = looks_first ? get(self, map_of(map)->body, key) : 0;
    if (there != 0) return there;
    TENURE_FRAME(self, map, key, value);
    tenure__maps_give_way(self->heap);
    tenure__map_node *fresh = tenure__malloc(sizeof *fresh);
    tenure__map_entry *entry = 0;
    if (fresh != 0 && tenure__ephemerons_reserve(allocator)) {
        const tenure_type *type = weakness == TENURE_WEAK_BOTH ? &tenure__entry_both_type : &tenure__entry_type;
        entry = tenure__allocate(self, *type->header, sizeof *entry, false);
    }
    if (entry == 0) {
        free(fresh);
        errno = ENOMEM;
        return 0;
    }
    /* From here on no safepoint: everything stays where it is. */
    tenure__map_body *body = map_of(map)->body;
    const struct probe probe = { body, key };
    memset(fresh, 0, sizeof *fresh);
    fresh->body = body;
    fill(entry, map_of(map), key, value);
    if (by_identity) tenure_identity_hash(self, key);
    unsigned long hash = 0;
    hash_of(self, &probe, &hash);
    count_node(self->heap, body, 1); /* before it can be found: whoever removes it then counts it out */
    const enum tenure__rcu_section section = tenure__rcu_section_begin();
    there = place(&probe, hash, entry, &fresh, replace);
    tenure__rcu_section_end(section);
    if (there == entry)
        tenure__record_link(allocator, TENURE__ENTRIES, &entry->record);
    else
        entry->record.target = 0; /* garbage: it is in no list */
    if (fresh == 0)
        tenure__map_grown(self->heap, body);
    else
        count_node(self->heap, body, -1);
    free(fresh);
    return there;
}

static void require_value(const void *value, const char *call)
{
    if (value == 0) tenure__misuse(call, "a value is not NULL, which says that there is none");
}

tenure_status tenure_weakmap_put(tenure_thread *self, tenure_weakmap *map, void *key, void *value)
{
    require_value(value, "tenure_weakmap_put");
    return put(self, map, key, value, true, "tenure_weakmap_put") != 0 ? TENURE_OK : TENURE_ENOMEM;
}

void *tenure_weakmap_put_if_absent(tenure_thread *self, tenure_weakmap *map, void *key, void *value)
{
    require_value(value, "tenure_weakmap_put_if_absent");
    TENURE_FRAME(self, map);
    const tenure__map_entry *there = put(self, map, key, value, false, "tenure_weakmap_put_if_absent");
    return there != 0 ? value_of(map_of(map)->body, there) : 0;
}

/* --- new --- */

static tenure__map_body *new_body(tenure_weakness weakness, tenure_hash_fn *hash, tenure_equal_fn *equal, void *arg)
{
    tenure__map_body *body = tenure__calloc(1, sizeof *body);
    if (body == 0) return 0;
    if (!tenure__malloc_fails())
        body->table = cds_lfht_new_flavor(FIRST_BUCKETS, FIRST_BUCKETS, 0, 0, &urcu_qsbr_flavor, 0);
    if (body->table == 0) {
        free(body);
        return 0;
    }
    body->weakness = weakness;
    body->hash = hash;
    body->equal = equal;
    body->arg = arg;
    atomic_store_explicit(&body->buckets, FIRST_BUCKETS, memory_order_relaxed);
    return body;
}

static void *new_map(
    tenure_thread *self, tenure_weakness weakness, tenure_hash_fn *hash, tenure_equal_fn *equal, void *arg)
{
    if (hash != 0 && equal == 0) tenure__misuse("tenure_weakmap_new", "a hash needs an equal");
    tenure__maps_give_way(self->heap);
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* liburcu opens files */
    tenure__map_body *body = new_body(weakness, hash, equal, arg);
    pthread_setcancelstate(cancel, 0);
    tenure__map_record *map = body != 0 ? tenure__allocate(self, *tenure__map_type.header, sizeof *map, false) : 0;
    if (map == 0) {
        if (body != 0) cds_lfht_destroy(body->table, 0);
        free(body);
        errno = ENOMEM;
        return 0;
    }
    map->body = body;
    map->record.target = (uintptr_t)map;
    tenure__record_link(tenure__allocator_of(self), TENURE__MAPS, &map->record);
    tenure_external_bytes(self, (int64_t)tenure__map_bytes(body));
    return map;
}

tenure_weakmap *tenure_weakmap_new(
    tenure_thread *self, tenure_weakness weakness, tenure_hash_fn *hash, tenure_equal_fn *equal, void *arg)
{
    return new_map(self, weakness, hash, equal, arg);
}

/* --- each --- */

/* A walk may stand on a node across safepoints: what the daemon unlinks meanwhile it does not free. */
static void walk_begin(tenure_thread *self, tenure__map_walk *walk)
{
    tenure__map_body *body = walk->body;
    for (;;) {
        walk->turn = atomic_load_explicit(&body->turn, memory_order_relaxed);
        /* seq_cst, both: pair with the daemon's change of the turn and its look at the walks of the last one. Either it
         * sees this walk, or this sees that the turn is over. */
        atomic_fetch_add_explicit(&body->walks[walk->turn], 1, memory_order_seq_cst);
        if (atomic_load_explicit(&body->turn, memory_order_seq_cst) == walk->turn) break;
        atomic_fetch_sub_explicit(&body->walks[walk->turn], 1, memory_order_relaxed);
    }
    walk->outer = tenure__allocator_of(self)->walks;
    tenure__allocator_of(self)->walks = walk;
}

static void walk_end(tenure_thread *self, const tenure__map_walk *walk)
{
    tenure__allocator_of(self)->walks = walk->outer;
    /* release: pairs with the daemon's look; it frees what this walk has read. */
    atomic_fetch_sub_explicit(&walk->body->walks[walk->turn], 1, memory_order_release);
}

/* Up to BATCH entries from where iter is; how many. */
static unsigned next_batch(
    const tenure__map_body *body, struct cds_lfht_iter *iter, bool first, void **keys, void **values)
{
    unsigned count = 0;
    const enum tenure__rcu_section section = tenure__rcu_section_begin();
    if (first) cds_lfht_first(body->table, iter);
    struct cds_lfht_node *link;
    while (count < BATCH && (link = cds_lfht_iter_get_node(iter)) != 0) {
        const uintptr_t entry = entry_of(caa_container_of(link, tenure__map_node, link));
        if (entry != 0) {
            keys[count] = key_of(body, entry_at(entry));
            values[count++] = value_of(body, entry_at(entry));
        }
        cds_lfht_next(body->table, iter);
    }
    tenure__rcu_section_end(section);
    return count;
}

void tenure_weakmap_each(tenure_thread *self, tenure_weakmap *map, tenure_weakmap_fn *fn, void *arg)
{
    void *keys[BATCH] = { 0 }, *values[BATCH] = { 0 };
    TENURE_FRAME(self, map, keys, values);
    tenure__map_body *body = map_of(map)->body;
    struct cds_lfht_iter iter;
    tenure__map_walk walk = { .body = body };
    walk_begin(self, &walk);
    bool more = true;
    for (unsigned count, batch = 0; more && (count = next_batch(body, &iter, batch == 0, keys, values)) != 0; batch++)
        for (unsigned i = 0; i < count && more; i++) {
            more = fn(self, keys[i], values[i], arg);
            tenure_poll(self);
        }
    walk_end(self, &walk);
    tenure_keep_alive(map);
}

void tenure__map_each_entry(uintptr_t map, tenure__reference_fn *fn, void *arg)
{
    const tenure__map_body *body = map_of((void *)map)->body;
    const enum tenure__rcu_section section = tenure__rcu_section_begin(); /* the daemon unlinks, stop or not */
    struct cds_lfht_iter iter;
    struct cds_lfht_node *link;
    for (cds_lfht_first(body->table, &iter); (link = cds_lfht_iter_get_node(&iter)) != 0;
         cds_lfht_next(body->table, &iter)) {
        tenure__map_node *node = caa_container_of(link, tenure__map_node, link);
        if (entry_of(node) != 0) fn(arg, (uintptr_t)&node->entry, TENURE__REFERENCE_PRECISE);
    }
    tenure__rcu_section_end(section);
}

/* --- sets: maps of keys to nothing --- */

tenure_weakset *tenure_weakset_new(tenure_thread *self, tenure_hash_fn *hash, tenure_equal_fn *equal, void *arg)
{
    return new_map(self, TENURE_WEAK_KEYS, hash, equal, arg);
}

void *tenure_weakset_get(tenure_thread *self, tenure_weakset *set, const void *probe)
{
    const tenure__map_entry *entry = get(self, map_of(set)->body, probe);
    return entry != 0 ? (void *)entry->weak : 0;
}

tenure_status tenure_weakset_put(tenure_thread *self, tenure_weakset *set, void *member)
{
    return put(self, set, member, 0, true, "tenure_weakset_put") != 0 ? TENURE_OK : TENURE_ENOMEM;
}

void *tenure_weakset_put_if_absent(tenure_thread *self, tenure_weakset *set, void *member)
{
    const tenure__map_entry *there = put(self, set, member, 0, false, "tenure_weakset_put_if_absent");
    return there != 0 ? (void *)there->weak : 0;
}

bool tenure_weakset_remove(tenure_thread *self, tenure_weakset *set, const void *probe)
{
    return tenure_weakmap_remove(self, (tenure_weakmap *)set, probe);
}

size_t tenure_weakset_count(tenure_thread *self, const tenure_weakset *set)
{
    return tenure_weakmap_count(self, (const tenure_weakmap *)set);
}

struct each_member {
    tenure_weakset_fn *fn;
    void *arg;
};

static bool each_member(tenure_thread *self, void *key, void *value, void *arg)
{
    (void)value;
    const struct each_member *each = arg;
    return each->fn(self, key, each->arg);
}

void tenure_weakset_each(tenure_thread *self, tenure_weakset *set, tenure_weakset_fn *fn, void *arg)
{
    tenure_weakmap_each(self, (tenure_weakmap *)set, each_member, &(struct each_member) { fn, arg });
}
