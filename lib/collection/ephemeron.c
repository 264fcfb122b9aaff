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
#include <errno.h>
#include <stdlib.h>
#include <tenure/root.h>

enum { FIRST_LOG2 = 10, COUNT_STEP = 64, END = 1 };

static tenure__pending *pending_at(uintptr_t ephemeron) { return (tenure__pending *)ephemeron; }

static uintptr_t key_of(uintptr_t ephemeron) { return __atomic_load_n(&pending_at(ephemeron)->key, __ATOMIC_RELAXED); }

static size_t chain_of(const tenure__waiting *waiting, uintptr_t key)
{
    return (size_t)((key >> 4) * 0x9e3779b97f4a7c15u >> (64 - waiting->log2));
}

/* --- in a stop --- */

static void put(tenure__waiting *waiting, size_t chain, uintptr_t ephemeron)
{
    _Atomic uintptr_t *head = &waiting->chains[chain];
    uintptr_t first = atomic_load_explicit(head, memory_order_relaxed);
    do {
        /* relaxed: published by the exchange. */
        atomic_store_explicit(&pending_at(ephemeron)->link, first | END, memory_order_relaxed);
        /* acq_rel: pairs with the exchange in take; see above. */
    } while (
        !atomic_compare_exchange_weak_explicit(head, &first, ephemeron, memory_order_acq_rel, memory_order_relaxed));
    if (first == 0) /* relaxed: read when all work is done */
        atomic_fetch_or_explicit(
            &waiting->touched[chain / 4096], (uint64_t)1 << (chain / 64 % 64), memory_order_relaxed);
}

static bool key_reached(const tenure_heap *heap, uintptr_t ephemeron)
{
    const uintptr_t key = key_of(ephemeron);
    return !tenure__in_arena(heap, key) || tenure__survivor(heap, key) != 0;
}

/* Takes the chain: what waits for a key that was reached is scanned again, the rest goes back. */
static void take(tenure__worker *worker, size_t chain)
{
    tenure_heap *heap = worker->heap;
    tenure__waiting *waiting = &heap->waiting;
    bool again;
    do {
        again = false;
        uintptr_t at = atomic_exchange_explicit(&waiting->chains[chain], 0, memory_order_acq_rel);
        while (at != 0) {
            const uintptr_t ephemeron = at;
            at = atomic_load_explicit(&pending_at(ephemeron)->link, memory_order_relaxed) & ~(uintptr_t)END;
            worker->ephemeron_looks++;
            if (key_reached(heap, ephemeron)) {
                /* relaxed: a worker that scans it meanwhile either waits no more or finds the key reached. */
                atomic_store_explicit(&pending_at(ephemeron)->link, 0, memory_order_relaxed);
                tenure__trace_push(worker, ephemeron | TENURE__ENTRY_AGAIN);
            } else {
                put(waiting, chain, ephemeron);
                again |= key_reached(heap, ephemeron);
            }
        }
    } while (again);
}

bool tenure__ephemeron_holds(tenure__worker *worker, uintptr_t ephemeron)
{
    tenure_heap *heap = worker->heap;
    worker->ephemeron_looks++;
    if (key_of(ephemeron) == 0) return false;
    if (key_reached(heap, ephemeron)) return true;
    /* Scanned twice (remembered and flagged, say): it waits already, and is in one chain only. */
    uintptr_t expected = 0;
    if (!atomic_compare_exchange_strong_explicit(
            &pending_at(ephemeron)->link, &expected, END, memory_order_relaxed, memory_order_relaxed))
        return false;
    const size_t chain = chain_of(&heap->waiting, key_of(ephemeron));
    put(&heap->waiting, chain, ephemeron);
    if (key_reached(heap, ephemeron)) take(worker, chain);
    return false;
}

void tenure__ephemeron_key_reached(tenure__worker *worker, uintptr_t key)
{
    take(worker, chain_of(&worker->heap->waiting, key));
}

static uint64_t clear_chain(_Atomic uintptr_t *head)
{
    uint64_t cleared = 0;
    uintptr_t at = atomic_exchange_explicit(head, 0, memory_order_relaxed);
    while (at != 0) {
        tenure__pending *pending = pending_at(at);
        at = atomic_load_explicit(&pending->link, memory_order_relaxed) & ~(uintptr_t)END;
        atomic_store_explicit(&pending->link, 0, memory_order_relaxed);
        __atomic_store_n(&pending->key, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&pending->value, 0, __ATOMIC_RELAXED);
        cleared++;
    }
    return cleared;
}

void tenure__ephemerons_clear(tenure_heap *heap)
{
    tenure__waiting *waiting = &heap->waiting;
    if (waiting->chains == 0) return;
    const size_t words = ((size_t)1 << waiting->log2) / 4096 + 1;
    for (size_t word = 0; word < words; word++) {
        uint64_t bits = atomic_exchange_explicit(&waiting->touched[word], 0, memory_order_relaxed);
        for (; bits != 0; bits &= bits - 1) {
            const size_t first = word * 4096 + (size_t)__builtin_ctzll(bits) * 64;
            for (size_t chain = first; chain < first + 64; chain++)
                heap->event.weak_cleared += clear_chain(&waiting->chains[chain]);
        }
    }
}

void tenure__ephemerons_count(tenure_heap *heap)
{
    uint64_t looks = 0;
    for (unsigned i = 0; i < heap->worker_count; i++) {
        looks += heap->workers[i].ephemeron_looks;
        heap->workers[i].ephemeron_looks = 0;
    }
    heap->ephemeron_looks = looks;
    /* A full collection has looked at every one that lives. */
    if (heap->marking) atomic_store_explicit(&heap->waiting.count, looks, memory_order_relaxed);
}

/* --- mutators --- */

/* As many chains as ephemerons there may be. Outside stops the chains are empty, so growing moves nothing; without
 * memory they stay as they are, only longer. A running mutator, with the lock. */
static void grow_locked(tenure__waiting *waiting, uint64_t count)
{
    unsigned log2 = waiting->log2 > FIRST_LOG2 ? waiting->log2 : FIRST_LOG2;
    while (((uint64_t)1 << log2) < count) log2++;
    if (waiting->chains != 0 && log2 == waiting->log2) return;
    _Atomic uintptr_t *chains = calloc((size_t)1 << log2, sizeof *chains);
    _Atomic uint64_t *touched = calloc(((size_t)1 << log2) / 4096 + 1, sizeof *touched);
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
static bool count_ephemeron(tenure__allocator *allocator)
{
    if (allocator->ephemerons++ % COUNT_STEP != 0) return true;
    tenure__waiting *waiting = &allocator->mutator.record.heap->waiting;
    const uint64_t count = atomic_fetch_add_explicit(&waiting->count, COUNT_STEP, memory_order_relaxed) + COUNT_STEP;
    TENURE__MUST(pthread_mutex_lock(&waiting->lock));
    grow_locked(waiting, count);
    const bool done = waiting->chains != 0;
    TENURE__MUST(pthread_mutex_unlock(&waiting->lock));
    if (!done) allocator->ephemerons--;
    return done;
}

tenure_ephemeron *tenure_ephemeron_new(tenure_thread *self, void *key, void *value)
{
    tenure__require_object(self, key, "tenure_ephemeron_new");
    TENURE_FRAME(self, key, value);
    if (!count_ephemeron(tenure__allocator_of(self))) {
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
