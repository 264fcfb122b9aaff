/* Registering what is to run when an object has died. The first finalizer of an object is in no table: FINALIZER in the
 * object's header says that it exists, and to register it costs what an allocation does. When it is replaced or
 * cancelled, FINALIZER_TABLED says that it is void; the one that counts, if any, is in a table from then on. */
#include "lib/collection/finalizer.h"
#include "lib/collection/records.h"
#include <errno.h>
#include <tenure/finalizer.h>
#include <tenure/root.h>

/* A new record for that target, not yet linked; 0: no memory. The arguments are rooted by the callers, and may have
 * moved on return. */
static tenure__action *new_action(tenure_thread *self, unsigned kind)
{
    return tenure__allocate(self, *tenure__action_types[kind - TENURE__WATCHES].header, sizeof(tenure__action), false);
}

static void fill(tenure__action *action, void *target, uintptr_t fn, void *arg)
{
    action->record.target = (uintptr_t)target;
    action->fn = fn;
    action->arg = (uintptr_t)arg;
}

/* --- cleaners and death callbacks --- */

static tenure__action *register_action(
    tenure_thread *self, unsigned kind, void *target, uintptr_t fn, void *arg, const char *call)
{
    tenure__require_object(self, target, call);
    if (fn == 0) tenure__misuse(call, "there must be a function to call");
    TENURE_FRAME(self, target, arg);
    tenure__action *action = new_action(self, kind);
    if (action == 0) return 0;
    fill(action, target, fn, arg);
    action->record.hash = (uintptr_t)tenure_type_of(target); /* for the statistics: it will not be there to be asked */
    tenure__record_link(tenure__allocator_of(self), kind, &action->record);
    return action;
}

tenure_weak *tenure_weak_watch(tenure_thread *self, void *target, tenure_watch_fn *fn, void *arg)
{
    return (tenure_weak *)register_action(self, TENURE__WATCHES, target, (uintptr_t)fn, arg, "tenure_weak_watch");
}

tenure_cleaner *tenure_cleaner_new(tenure_thread *self, void *object, tenure_cleaner_fn *fn, void *arg)
{
    return (tenure_cleaner *)register_action(self, TENURE__CLEANERS, object, (uintptr_t)fn, arg, "tenure_cleaner_new");
}

/* --- finalizers --- */

/* The one that counts is in the table, or will be. Between the look at the header and here there is no safepoint. */
static tenure_status replace(tenure_thread *self, void *target, tenure__action *action)
{
    const uint64_t hash = tenure_identity_hash(self, target);
    tenure__record_shard *shard = tenure__record_shard_lock(&self->heap->finalizers.table, hash);
    tenure__action *old = tenure__action_at(tenure__record_find(shard, hash, (uintptr_t)target));
    const bool done = old != 0 || tenure__record_add(shard, hash, (uintptr_t)action);
    if (old != 0) { /* the new record is garbage */
        tenure_store(self, old, &old->arg, (void *)action->arg);
        __atomic_store_n(&old->fn, action->fn, __ATOMIC_RELAXED);
        action->record.target = 0;
    } else if (done) {
        action->record.hash = hash;
        tenure__record_link(tenure__allocator_of(self), TENURE__FINALIZERS, &action->record);
    } else {
        action->record.target = 0;
    }
    if (done)
        atomic_fetch_or_explicit(
            tenure__header_of((uintptr_t)target), TENURE__FINALIZER | TENURE__FINALIZER_TABLED, memory_order_relaxed);
    tenure__record_shard_unlock(shard);
    return done ? TENURE_OK : TENURE_ENOMEM;
}

/* Changes the header's two bits if they are as told: in one step, for others may register or cancel too. relaxed: the
 * bits order nothing; records are read in stops, or under a lock. */
static bool change_bits(void *object, uint64_t from, uint64_t to)
{
    const uint64_t both = TENURE__FINALIZER | TENURE__FINALIZER_TABLED;
    _Atomic uint64_t *word = tenure__header_of((uintptr_t)object);
    uint64_t header = atomic_load_explicit(word, memory_order_relaxed);
    do {
        if ((header & both) != from) return false;
    } while (!atomic_compare_exchange_weak_explicit(
        word, &header, (header & ~both) | to, memory_order_relaxed, memory_order_relaxed));
    return true;
}

tenure_status tenure_finalize(tenure_thread *self, void *object, tenure_finalizer_fn *fn, void *arg)
{
    tenure__require_object(self, object, "tenure_finalize");
    if (fn == 0) tenure__misuse("tenure_finalize", "there must be a function to call");
    TENURE_FRAME(self, object, arg);
    tenure__action *action = new_action(self, TENURE__FINALIZERS);
    if (action == 0) return TENURE_ENOMEM;
    fill(action, object, (uintptr_t)fn, arg);
    if (!change_bits(object, 0, TENURE__FINALIZER)) return replace(self, object, action);
    tenure__record_link(tenure__allocator_of(self), TENURE__FINALIZERS, &action->record);
    return TENURE_OK;
}

bool tenure_finalize_cancel(tenure_thread *self, void *object)
{
    tenure__require_object(self, object, "tenure_finalize_cancel");
    if (change_bits(object, TENURE__FINALIZER, TENURE__FINALIZER_TABLED)) return true;
    if ((tenure__header_load((uintptr_t)object) & TENURE__FINALIZER_TABLED) == 0) return false;
    const uint64_t hash = tenure_identity_hash(self, object);
    tenure__record_table *table = &self->heap->finalizers.table;
    tenure__record_shard *shard = tenure__record_shard_lock(table, hash);
    const uintptr_t found = tenure__record_find(shard, hash, (uintptr_t)object);
    if (found != 0) {
        tenure__record_moved(table, hash, found, 0);
        __atomic_store_n(&tenure__action_at(found)->fn, 0, __ATOMIC_RELAXED);
        atomic_fetch_and_explicit(tenure__header_of((uintptr_t)object), ~TENURE__FINALIZER, memory_order_relaxed);
    }
    tenure__record_shard_unlock(shard);
    return found != 0;
}
