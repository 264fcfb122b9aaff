/* Entries of weak maps in a collection. An entry is alive if its map is and what it hangs on: an ephemeron with several
 * keys, which waits for one after the other (ephemeron.c). Nothing refers to it but its node, outside the heap, so the
 * lists of records tell of every entry; who finds it alive follows the node's word like a root. */
#include "lib/allocation/nursery.h"
#include "lib/collection/cycle.h"
#include "lib/collection/ephemeron.h"
#include "lib/collection/records.h"
#include "lib/collection/weakmap.h"
#include "threads/futex.h"
#include "threads/lock.h"
#include "threads/system.h"
#include <errno.h>
#include <stdlib.h>

static tenure__map_entry *entry_at(uintptr_t address) { return (tenure__map_entry *)address; }

static bool lives(const tenure_heap *heap, uintptr_t object)
{
    return !tenure__in_arena(heap, object) || tenure__survivor(heap, object) != 0;
}

/* What it hangs on beside its map: up to two objects. */
static uintptr_t lacks(const tenure_heap *heap, const tenure__map_entry *entry)
{
    if (!lives(heap, entry->weak)) return entry->weak;
    return !tenure__entry_keeps(entry) && !lives(heap, entry->other) ? entry->other : 0;
}

uintptr_t tenure__entry_awaits(const tenure_heap *heap, uintptr_t entry)
{
    const uintptr_t map = entry_at(entry)->record.target;
    return lives(heap, map) ? lacks(heap, entry_at(entry)) : map;
}

bool tenure__entry_awaits_map(const tenure_heap *heap, uintptr_t entry) { return lacks(heap, entry_at(entry)) == 0; }

static tenure__map_node *node_of(uintptr_t entry) { return __atomic_load_n(&entry_at(entry)->node, __ATOMIC_RELAXED); }

void tenure__entry_reached(tenure__worker *worker, uintptr_t entry)
{
    tenure__trace_push(worker, (uintptr_t)&node_of(entry)->entry | TENURE__ENTRY_SLOT);
}

void tenure__entries_trace(tenure__worker *worker)
{
    const tenure_heap *heap = worker->heap;
    for (int generation = 0; generation <= heap->condemned; generation++)
        for (uintptr_t at = heap->records[TENURE__ENTRIES][generation].head; at != 0; at = entry_at(at)->record.next) {
            __builtin_prefetch((void *)entry_at(at)->record.next);
            if (node_of(at) != 0) tenure__entry_waits(worker, at);
        }
}

/* --- memory outside the heap --- */

enum {
    MAP_BYTES = sizeof(tenure__map_body) + 704, /* without buckets; the rest is what liburcu allocates for a table */
    GIVE_WAY_NS = 10 * 1000000 /* no more: the daemon itself may wait for somebody who waits for this thread */
};

uint64_t tenure__map_bytes(const tenure__map_body *body)
{
    return MAP_BYTES + atomic_load_explicit(&body->buckets, memory_order_relaxed) * sizeof(struct cds_lfht_node);
}

static void count_dead(tenure_heap *heap, int64_t delta)
{
    atomic_fetch_add_explicit(&heap->dead_map_bytes, (uint64_t)delta, memory_order_relaxed);
}

/* More than two young collections find. relaxed: figures. */
static bool is_late(const tenure_heap *heap)
{
    const uint64_t budget = atomic_load_explicit(&heap->gen0_budget, memory_order_relaxed);
    return atomic_load_explicit(&heap->dead_map_bytes, memory_order_relaxed) > 2 * budget << TENURE__BLOCK_SHIFT;
}

static void await_round(void *arg)
{
    tenure_heap *heap = arg;
    const uint32_t seen = atomic_load_explicit(&heap->map_rounds, memory_order_relaxed);
    tenure__daemon_poke(heap);
    if (is_late(heap)) tenure__futex_wait(&heap->map_rounds, seen, GIVE_WAY_NS);
    /* In vain: the daemon, not at it, waits for somebody itself. Nobody waits again until it has moved. */
    if (seen % 2 == 0 && atomic_load_explicit(&heap->map_rounds, memory_order_relaxed) == seen)
        atomic_store_explicit(&heap->map_round_missed, seen + 1, memory_order_relaxed);
}

void tenure__maps_give_way(tenure_heap *heap)
{
    if (!is_late(heap) || atomic_load_explicit(&heap->map_rounds, memory_order_relaxed) + 1 ==
                              atomic_load_explicit(&heap->map_round_missed, memory_order_relaxed))
        return;
    tenure__os_thread *os = tenure__os_thread_self();
    if (tenure__owned_stop(os) == 0 && !tenure__holds_awaited(os)) tenure__outside(await_round, heap);
}

/* --- afterwards --- */

void tenure__map_node_retire(tenure_heap *heap, tenure__map_node *node)
{
    atomic_fetch_sub_explicit(&node->body->count, 1, memory_order_relaxed);
    count_dead(heap, sizeof *node);
    tenure__map_node *first = atomic_load_explicit(&heap->dead_nodes, memory_order_relaxed);
    do node->next = first;
    /* release: pairs with the acquire of the daemon, which reads next. */
    while (!atomic_compare_exchange_weak_explicit(
        &heap->dead_nodes, &first, node, memory_order_release, memory_order_relaxed));
}

static unsigned generation_of(const tenure_heap *heap, uintptr_t object)
{
    return tenure__in_arena(heap, object) ? tenure__final_generation(heap, tenure__block_index(heap, object)) : 2;
}

static uintptr_t survivor(const tenure_heap *heap, uintptr_t object)
{
    return tenure__in_arena(heap, object) ? tenure__survivor(heap, object) : object;
}

void tenure__entry_clear(tenure_heap *heap, uintptr_t entry)
{
    tenure__map_node *node = node_of(entry);
    __atomic_store_n(&entry_at(entry)->node, 0, __ATOMIC_RELAXED);
    atomic_store_explicit(&node->entry, 0, memory_order_relaxed);
    tenure__map_node_retire(heap, node);
}

/* Something else than the map may keep it: a stale word on some stack, or a program that looked into the heap. */
static void let_go(tenure__map_entry *entry)
{
    __atomic_store_n(&entry->record.target, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->node, 0, __ATOMIC_RELAXED);
}

static void settle_entry(tenure_heap *heap, unsigned kind, uintptr_t was)
{
    const uintptr_t now = tenure__survivor(heap, was);
    if (node_of(was) == 0) { /* cleared, replaced or removed */
        if (now != 0) let_go(entry_at(now));
        return;
    }
    tenure__map_entry *entry = entry_at(now);
    const uintptr_t map = tenure__survivor(heap, entry->record.target), weak = survivor(heap, entry->weak);
    if (entry->record.target != map) __atomic_store_n(&entry->record.target, map, __ATOMIC_RELAXED);
    if (entry->weak != weak) __atomic_store_n(&entry->weak, weak, __ATOMIC_RELAXED);
    /* It was copied while it waited, found by another way than its node's. */
    if (atomic_load_explicit(&entry->link, memory_order_relaxed) != 0)
        atomic_store_explicit(&entry->link, 0, memory_order_relaxed);
    unsigned youngest = generation_of(heap, map);
    if (generation_of(heap, weak) < youngest) youngest = generation_of(heap, weak);
    if (!tenure__entry_keeps(entry)) {
        const uintptr_t other = survivor(heap, entry->other);
        if (entry->other != other) __atomic_store_n(&entry->other, other, __ATOMIC_RELAXED);
        if (generation_of(heap, other) < youngest) youngest = generation_of(heap, other);
    }
    heap->workers[0].ephemerons[tenure__record_keep_in(heap, kind, now, youngest)]++;
}

/* The body is the daemon's from here on: it may be gone. */
static void give_dead(tenure_heap *heap, tenure__map_body *body)
{
    count_dead(heap, MAP_BYTES);
    tenure__map_body *first = atomic_load_explicit(&heap->dead_maps, memory_order_relaxed);
    do body->next_dead = first;
    /* release: as in tenure__map_node_retire. */
    while (!atomic_compare_exchange_weak_explicit(
        &heap->dead_maps, &first, body, memory_order_release, memory_order_relaxed));
}

static void settle_map(tenure_heap *heap, unsigned kind, uintptr_t was)
{
    const uintptr_t now = tenure__survivor(heap, was);
    if (now != 0)
        tenure__record_keep(heap, kind, now, now);
    else
        give_dead(heap, ((tenure__map_record *)was)->body); /* NOLINT(clang-analyzer-core.NullDereference): never 0 */
}

void tenure__maps_settle(tenure_heap *heap)
{
    tenure__records_settle(heap, TENURE__ENTRIES, settle_entry);
    tenure__records_settle(heap, TENURE__MAPS, settle_map);
}

/* --- upkeep --- */

enum { UNLINK_STEP = 64 };

static void free_node(struct rcu_head *head)
{
    tenure__map_node *node = caa_container_of(head, tenure__map_node, retired);
    tenure__tsan_acquire(head);
    tenure__tsan_acquire(node);
    free(node);
}

void tenure__map_node_unlink(tenure__map_node *node)
{
    if (cds_lfht_del(node->body->table, &node->link) == 0)
        atomic_fetch_sub_explicit(&node->body->nodes, 1, memory_order_relaxed);
}

/* To be freed when no walk can stand on it any more. */
static void free_later(tenure_heap *heap, tenure__map_node *node)
{
    tenure__map_body *body = node->body;
    node->next = body->since;
    body->since = node;
    if (body->waits) return;
    body->waits = true;
    body->next_waiting = heap->waiting_maps;
    heap->waiting_maps = body;
}

static void take_dead_nodes(tenure_heap *heap)
{
    tenure__map_node *node = atomic_exchange_explicit(&heap->dead_nodes, 0, memory_order_acquire);
    for (unsigned done = 1; node != 0; done++) {
        tenure__map_node *next = node->next;
        tenure__map_node_unlink(node);
        free_later(heap, node);
        count_dead(heap, -(int64_t)sizeof *node);
        node = next;
        if (done % UNLINK_STEP == 0) urcu_qsbr_quiescent_state();
    }
}

static void free_nodes(tenure_heap *heap, tenure__map_node *node)
{
    for (tenure__map_node *next; node != 0; node = next) {
        next = node->next;
        tenure__external_add(heap, -(int64_t)sizeof *node);
        tenure__tsan_release(node);
        tenure__rcu_call(&node->retired, free_node);
    }
}

/* Walks by turns, as sleepable RCU counts its readers (McKenney): who began in the turn after a node was unlinked does
 * not find it; when nobody of the turn before is left, it is free but for the grace period of look-ups. Walks that
 * follow each other without end hold up nothing. False: somebody is left. */
static bool free_unlinked(tenure_heap *heap, tenure__map_body *body)
{
    for (;;) {
        const uint32_t turn = atomic_load_explicit(&body->turn, memory_order_relaxed);
        if (body->before != 0) {
            /* seq_cst: see walk_begin; and walk_end. */
            if (atomic_load_explicit(&body->walks[1 - turn], memory_order_seq_cst) != 0) return false;
            free_nodes(heap, body->before);
            body->before = 0;
        }
        if (body->since == 0) return true;
        body->before = body->since;
        body->since = 0;
        atomic_store_explicit(&body->turn, 1 - turn, memory_order_seq_cst);
    }
}

static void look_after_walked(tenure_heap *heap)
{
    tenure__map_body *body = heap->waiting_maps;
    heap->waiting_maps = 0;
    for (tenure__map_body *next; body != 0; body = next) {
        next = body->next_waiting;
        body->waits = !free_unlinked(heap, body);
        if (!body->waits) continue;
        body->next_waiting = heap->waiting_maps;
        heap->waiting_maps = body;
    }
}

static void enlarge(tenure_heap *heap, tenure__map_body *body)
{
    /* seq_cst: who adds a node and finds it queued has counted the node before (tenure__map_grown). */
    atomic_store_explicit(&body->queued, false, memory_order_seq_cst);
    const uint64_t nodes = atomic_load_explicit(&body->nodes, memory_order_seq_cst);
    uint64_t buckets = atomic_load_explicit(&body->buckets, memory_order_relaxed);
    if (nodes <= buckets) return;
    const uint64_t before = buckets;
    while (buckets < 2 * nodes) buckets *= 2;
    /* liburcu ends a process in which it finds no memory for them: it is asked for before. Without, searches take
     * longer until the map grows again. */
    const uint64_t more = (buckets - before) * sizeof(struct cds_lfht_node);
    void *room = tenure__malloc(more);
    if (room == 0) return;
    free(room);
    cds_lfht_resize(body->table, buckets);
    atomic_store_explicit(&body->buckets, buckets, memory_order_relaxed);
    tenure__external_add(heap, (int64_t)more);
}

static void free_if_empty(tenure_heap *heap, tenure__map_body *body)
{
    count_dead(heap, -MAP_BYTES);
    if (body->waits) {
        give_dead(heap, body);
        return;
    }
    if (cds_lfht_destroy(body->table, 0) != 0) tenure__fatal(__func__, __LINE__, EBUSY);
    tenure__external_add(heap, -(int64_t)tenure__map_bytes(body));
    free(body);
}

static void look_after_grown(tenure_heap *heap)
{
    tenure__map_body *grown = atomic_exchange_explicit(&heap->grown_maps, 0, memory_order_acquire);
    for (tenure__map_body *next; grown != 0; grown = next) {
        next = grown->next;
        enlarge(heap, grown);
    }
}

static void free_dead(tenure_heap *heap, tenure__map_body *dead)
{
    for (tenure__map_body *next; dead != 0; dead = next) {
        next = dead->next_dead;
        free_if_empty(heap, dead);
    }
}

void tenure__map_grown(tenure_heap *heap, tenure__map_body *body)
{
    const uint64_t nodes = atomic_load_explicit(&body->nodes, memory_order_seq_cst);
    if (nodes <= atomic_load_explicit(&body->buckets, memory_order_relaxed)) return;
    if (atomic_load_explicit(&body->queued, memory_order_seq_cst) ||
        atomic_exchange_explicit(&body->queued, true, memory_order_seq_cst))
        return;
    tenure__map_body *first = atomic_load_explicit(&heap->grown_maps, memory_order_relaxed);
    do body->next = first;
    /* release: as in tenure__map_node_retire. */
    while (!atomic_compare_exchange_weak_explicit(
        &heap->grown_maps, &first, body, memory_order_release, memory_order_relaxed));
    tenure__daemon_poke(heap);
}

bool tenure__maps_wait_for_upkeep(const tenure_heap *heap)
{
    return atomic_load_explicit(&heap->dead_nodes, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&heap->grown_maps, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&heap->dead_maps, memory_order_relaxed) != 0;
}

void tenure__maps_upkeep(tenure_heap *heap)
{
    if (!tenure__maps_wait_for_upkeep(heap) && heap->waiting_maps == 0) return;
    tenure__fork_hold();
    const bool registered = tenure__rcu_registered();
    if (!registered) tenure__rcu_register();
    /* relaxed, here and at the end: who waits looks at figures. */
    atomic_fetch_add_explicit(&heap->map_rounds, 1, memory_order_relaxed);
    /* Nobody puts anything into a dead map or removes it there: taken first, it is in neither list after these. */
    tenure__map_body *dead = atomic_exchange_explicit(&heap->dead_maps, 0, memory_order_acquire);
    take_dead_nodes(heap);
    look_after_walked(heap);
    look_after_grown(heap);
    free_dead(heap, dead);
    atomic_fetch_add_explicit(&heap->map_rounds, 1, memory_order_relaxed);
    tenure__futex_wake(&heap->map_rounds, INT32_MAX);
    if (!registered) tenure__rcu_unregister();
    tenure__fork_unhold();
}

static void forget_walks(uintptr_t map)
{
    for (; map != 0; map = ((tenure__map_record *)map)->record.next)
        for (unsigned turn = 0; turn < 2; turn++)
            atomic_store_explicit(&((tenure__map_record *)map)->body->walks[turn], 0, memory_order_relaxed);
}

void tenure__maps_forked(tenure_heap *heap)
{
    tenure__allocator *own = (tenure__allocator *)tenure_self(heap);
    for (unsigned generation = 0; generation < 3; generation++)
        forget_walks(heap->records[TENURE__MAPS][generation].head);
    if (own == 0) return;
    forget_walks(own->records[TENURE__MAPS].head);
    for (const tenure__map_walk *walk = own->walks; walk != 0; walk = walk->outer)
        atomic_fetch_add_explicit(&walk->body->walks[walk->turn], 1, memory_order_relaxed);
}

/* No thread is left: all maps and entries are as if they had died. */
void tenure__maps_destroy(tenure_heap *heap)
{
    for (unsigned generation = 0; generation < 3; generation++) {
        for (uintptr_t at = heap->records[TENURE__ENTRIES][generation].head; at != 0; at = entry_at(at)->record.next)
            if (node_of(at) != 0) tenure__map_node_retire(heap, node_of(at));
        for (uintptr_t at = heap->records[TENURE__MAPS][generation].head; at != 0;
             at = ((tenure__map_record *)at)->record.next)
            give_dead(heap, ((tenure__map_record *)at)->body);
    }
    tenure__maps_upkeep(heap);
}
