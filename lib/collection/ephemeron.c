/* Ephemerons, in one pass: no rounds to a fixpoint.
 *
 * Who scans an ephemeron whose key was not reached yet adds it to the chain of the key's address. The key has KEY in
 * its header: who claims it (moves it, lets it stay, marks it) takes the whole chain and has what waits for this key
 * scanned again; the others go back. So each ephemeron is looked at when it is scanned, when its key is reached, and
 * when a key is that shares the chain: as there are as many chains as ephemerons, the sum is linear whatever refers to
 * what.
 *
 * The two must not miss each other: the one claims the key, then takes the chain; the other adds to the chain, then
 * looks at the key again (Dekker). Taking and adding are both read-modify-writes of the chain's head (acq_rel), so one
 * comes first in its modification order. If adding does, whoever takes finds the ephemeron. If taking does, adding
 * acquires what it released, and the look at the key comes after the claim. The same holds for what is put back.
 *
 * What waits when nothing is left to trace has an unreached key: it is cleared. An older ephemeron is scanned if it is
 * logged or remembered, as any older object with younger fields: there is no list of ephemerons. */
#include "lib/collection/ephemeron.h"
#include "lib/allocation/nursery.h"
#include "lib/collection/weakmap.h"
#include "threads/system.h"
#include <errno.h>
#include <stdlib.h>
#include <tenure/root.h>

/* What waits is named by its address, plus ENTRY if it is an entry of a weak map. A link is that of the next, plus END.
 */
enum { FIRST_LOG2 = 10, COUNT_STEP = 64, END = 1, ENTRY = 2 };

static tenure__pending *pending_at(uintptr_t ephemeron) { return (tenure__pending *)ephemeron; }

static uintptr_t key_of(uintptr_t ephemeron) { return __atomic_load_n(&pending_at(ephemeron)->key, __ATOMIC_RELAXED); }

static _Atomic uintptr_t *link_of(uintptr_t waiter)
{
    return waiter & ENTRY ? &((tenure__map_entry *)(waiter & ~(uintptr_t)ENTRY))->link : &pending_at(waiter)->link;
}

/* What was not reached of that which it waits for; 0: nothing. */
static uintptr_t awaits(const tenure_heap *heap, uintptr_t waiter)
{
    if (waiter & ENTRY) return tenure__entry_awaits(heap, waiter & ~(uintptr_t)ENTRY);
    const uintptr_t key = key_of(waiter);
    return tenure__in_arena(heap, key) && tenure__survivor(heap, key) == 0 ? key : 0;
}

/* Keys of one block have chains that lie together: what is made at a time is looked at at a time, and a chain's head is
 * in the cache with its neighbours'. Where a block's chains begin is as good as random. */
static size_t chain_of(const tenure__waiting *waiting, uintptr_t key)
{
    const uintptr_t first = (key >> TENURE__BLOCK_SHIFT) * 0x9e3779b97f4a7c15u >> (64 - waiting->log2);
    return (size_t)((first + tenure__granule_of(key)) & (((uintptr_t)1 << waiting->log2) - 1));
}

/* --- in a stop --- */

static void put(tenure__waiting *waiting, size_t chain, uintptr_t waiter)
{
    _Atomic uintptr_t *head = &waiting->chains[chain];
    uintptr_t first = atomic_load_explicit(head, memory_order_relaxed);
    do {
        /* relaxed: published by the exchange. */
        atomic_store_explicit(link_of(waiter), first | END, memory_order_relaxed);
        /* acq_rel: pairs with the exchange in take; see above. */
    } while (!atomic_compare_exchange_weak_explicit(head, &first, waiter, memory_order_acq_rel, memory_order_relaxed));
    if (first == 0) /* relaxed: read when all work is done */
        atomic_fetch_or_explicit(
            &waiting->touched[chain / 4096], (uint64_t)1 << (chain / 64 % 64), memory_order_relaxed);
}

/* What is older than the condemned was counted when it became so; a full collection counts all, frozen ones too. */
static void count(tenure__worker *worker, uintptr_t ephemeron, int change)
{
    if (worker->heap->condemned == 2 || (!worker->older && !worker->immediate))
        worker->ephemerons[tenure__final_generation(worker->heap, tenure__block_index(worker->heap, ephemeron))] +=
            (uint64_t)change;
}

/* All that it waited for was reached. */
static void release(tenure__worker *worker, uintptr_t waiter)
{
    /* relaxed: a worker that scans it meanwhile either waits no more or finds the key reached. */
    atomic_store_explicit(link_of(waiter), 0, memory_order_relaxed);
    if (waiter & ENTRY) {
        tenure__entry_reached(worker, waiter & ~(uintptr_t)ENTRY);
    } else {
        if (worker->heap->condemned == 2) count(worker, waiter, -1); /* then it is counted again */
        tenure__trace_push(worker, waiter | TENURE__ENTRY_AGAIN);
    }
}

static void take(tenure__worker *worker, size_t chain);

/* Adds it to the chain of what it waits for, and looks again. */
static void wait(tenure__worker *worker, uintptr_t waiter, uintptr_t awaited)
{
    const size_t chain = chain_of(&worker->heap->waiting, awaited);
    put(&worker->heap->waiting, chain, waiter);
    if (awaits(worker->heap, waiter) != awaited) take(worker, chain);
}

/* Takes the chain: what waits for nothing any more is scanned again, the rest goes back, or to the chain of the next
 * thing that it waits for. */
static void take(tenure__worker *worker, size_t chain)
{
    tenure_heap *heap = worker->heap;
    uintptr_t at = atomic_exchange_explicit(&heap->waiting.chains[chain], 0, memory_order_acq_rel);
    while (at != 0) {
        const uintptr_t waiter = at;
        at = atomic_load_explicit(link_of(waiter), memory_order_relaxed) & ~(uintptr_t)END;
        worker->ephemeron_looks++;
        const uintptr_t awaited = awaits(heap, waiter);
        if (awaited == 0)
            release(worker, waiter);
        else
            wait(worker, waiter, awaited);
    }
}

/* False: it waits already (scanned twice: remembered and flagged, say), and is in one chain only. */
static bool may_wait(uintptr_t waiter)
{
    uintptr_t expected = 0;
    return atomic_compare_exchange_strong_explicit(
        link_of(waiter), &expected, END, memory_order_relaxed, memory_order_relaxed);
}

bool tenure__ephemeron_holds(tenure__worker *worker, uintptr_t ephemeron)
{
    worker->ephemeron_looks++;
    if (key_of(ephemeron) == 0) return false;
    count(worker, ephemeron, 1);
    const uintptr_t awaited = awaits(worker->heap, ephemeron);
    if (awaited == 0) return true;
    if (may_wait(ephemeron)) wait(worker, ephemeron, awaited);
    return false;
}

void tenure__entry_waits(tenure__worker *worker, uintptr_t entry)
{
    worker->ephemeron_looks++;
    const uintptr_t awaited = tenure__entry_awaits(worker->heap, entry);
    if (awaited == 0)
        tenure__entry_reached(worker, entry);
    else if (may_wait(entry | ENTRY))
        wait(worker, entry | ENTRY, awaited);
}

void tenure__ephemeron_key_reached(tenure__worker *worker, uintptr_t key)
{
    take(worker, chain_of(&worker->heap->waiting, key));
}

/* How many were cleared. Entries too are told now: a finalizer may bring back what they wait for, but not them. */
static uint64_t clear_chain(tenure_heap *heap, size_t chain, bool last)
{
    uint64_t cleared = 0;
    uintptr_t at = atomic_exchange_explicit(&heap->waiting.chains[chain], 0, memory_order_relaxed);
    while (at != 0) {
        const uintptr_t waiter = at;
        at = atomic_load_explicit(link_of(waiter), memory_order_relaxed) & ~(uintptr_t)END;
        if ((waiter & ENTRY) && !last && tenure__entry_awaits_map(heap, waiter & ~(uintptr_t)ENTRY)) {
            put(&heap->waiting, chain, waiter);
            continue;
        }
        atomic_store_explicit(link_of(waiter), 0, memory_order_relaxed);
        cleared++;
        if (waiter & ENTRY) {
            tenure__entry_clear(heap, waiter & ~(uintptr_t)ENTRY);
            continue;
        }
        __atomic_store_n(&pending_at(waiter)->key, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&pending_at(waiter)->value, 0, __ATOMIC_RELAXED);
    }
    return cleared;
}

void tenure__ephemerons_clear(tenure_heap *heap, bool last)
{
    tenure__waiting *waiting = &heap->waiting;
    if (waiting->chains == 0) return;
    const size_t words = ((size_t)1 << waiting->log2) / 4096 + 1;
    for (size_t word = 0; word < words; word++) {
        uint64_t bits = atomic_exchange_explicit(&waiting->touched[word], 0, memory_order_relaxed);
        for (; bits != 0; bits &= bits - 1) {
            const size_t first = word * 4096 + (size_t)__builtin_ctzll(bits) * 64;
            for (size_t chain = first; chain < first + 64; chain++)
                heap->event.weak_cleared += clear_chain(heap, chain, last);
        }
    }
}

void tenure__ephemerons_count(tenure_heap *heap)
{
    tenure__waiting *waiting = &heap->waiting;
    for (int generation = 0; generation <= heap->condemned; generation++) waiting->alive[generation] = 0;
    heap->ephemeron_looks = 0;
    for (unsigned i = 0; i < heap->worker_count; i++) {
        tenure__worker *worker = &heap->workers[i];
        heap->ephemeron_looks += worker->ephemeron_looks;
        worker->ephemeron_looks = 0;
        for (unsigned generation = 0; generation < 3; generation++) {
            waiting->alive[generation] += worker->ephemerons[generation];
            worker->ephemerons[generation] = 0;
        }
    }
    waiting->peak = atomic_load_explicit(&waiting->count, memory_order_relaxed);
    atomic_store_explicit(
        &waiting->count, waiting->alive[0] + waiting->alive[1] + waiting->alive[2], memory_order_relaxed);
}

/* --- mutators --- */

/* As many chains as there may be ephemerons, or were before the last collection: as many may come again. Outside stops
 * the chains are empty, so nothing moves; without memory they stay as they are. A running mutator, with the lock. */
static void fit_locked(tenure__waiting *waiting, uint64_t count)
{
    enum { ROOM_LOG2 = 2 }; /* so much too large is left so: it need not change with every collection */
    unsigned log2 = FIRST_LOG2;
    while (((uint64_t)1 << log2) < count || ((uint64_t)1 << log2) < waiting->peak) log2++;
    if (waiting->chains != 0 && log2 <= waiting->log2 && waiting->log2 <= log2 + ROOM_LOG2) return;
    _Atomic uintptr_t *chains = tenure__calloc((size_t)1 << log2, sizeof *chains);
    _Atomic uint64_t *touched = tenure__calloc(((size_t)1 << log2) / 4096 + 1, sizeof *touched);
    if (chains == 0 || touched == 0) {
        free(chains);
        free(touched);
        return;
    }
    free(waiting->chains);
    free(waiting->touched);
    waiting->log2 = log2;
    waiting->touched = touched;
    waiting->chains = chains;
}

/* Counted in steps, so that threads do not fight for the counter. False: there are no chains at all. */
bool tenure__ephemerons_reserve(tenure__allocator *allocator)
{
    if (allocator->ephemerons++ % COUNT_STEP != 0) return true;
    tenure__waiting *waiting = &allocator->mutator.record.heap->waiting;
    const uint64_t count = atomic_fetch_add_explicit(&waiting->count, COUNT_STEP, memory_order_relaxed) + COUNT_STEP;
    tenure__own_lock(&waiting->lock);
    fit_locked(waiting, count);
    const bool done = waiting->chains != 0;
    tenure__own_unlock(&waiting->lock);
    if (!done) allocator->ephemerons--;
    return done;
}

tenure_ephemeron *tenure_ephemeron_new(tenure_thread *self, void *key, void *value)
{
    tenure__require_object(self, key, "tenure_ephemeron_new");
    TENURE_FRAME(self, key, value);
    if (!tenure__ephemerons_reserve(tenure__allocator_of(self))) {
        errno = ENOMEM;
        return 0;
    }
    tenure_ephemeron *ephemeron =
        tenure__allocate(self, *tenure__ephemeron_type.header, sizeof(tenure__pending), false);
    if (ephemeron == 0) return 0;
    ephemeron->key = key;
    ephemeron->value = value;
    /* relaxed: no stop comes in between, and only stops read it. */
    if ((tenure__header_load((uintptr_t)key) & TENURE__KEY) == 0)
        atomic_fetch_or_explicit(tenure__header_of((uintptr_t)key), TENURE__KEY, memory_order_relaxed);
    return ephemeron;
}

void tenure__ephemerons_init(tenure_heap *heap) { TENURE__MUST(pthread_mutex_init(&heap->waiting.lock, 0)); }

void tenure__ephemerons_destroy(tenure_heap *heap)
{
    free(heap->waiting.chains);
    free(heap->waiting.touched);
    TENURE__MUST(pthread_mutex_destroy(&heap->waiting.lock));
}
