/* What pauses did to locks: who was parked holding them, who waited behind, by name.
 *
 * Counted by whoever resumes, before the resume: nothing that a parked thread holds changes until then. The names are
 * in a table of fixed size, so that a stop allocates nothing; it is the process's, as locks are of no heap. */
#include "threads/futex.h"
#include "threads/lock.h"
#include <string.h>
#include <tenure/stats.h>

enum { NAMES = 256, NAME_BYTES = 48 };
enum { EMPTY, NAMING, NAMED };

static struct named {
    _Atomic uint32_t state;
    char name[NAME_BYTES];
    _Atomic uint64_t last_stop; /* not to count a pause twice that several locks of the name spanned */
    _Atomic uint64_t pauses, holders, waiters, held_ns;
} names[NAMES];

static uint32_t hash_name(const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *name != '\0'; name++) hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}

/* The name's entry; NULL: the table is full. In stops of several heaps at once. */
static struct named *entry_of(const char *name)
{
    const uint32_t hash = hash_name(name);
    for (uint32_t i = 0; i < NAMES; i++) {
        struct named *entry = &names[(hash + i) % NAMES];
        uint32_t state = EMPTY;
        if (atomic_compare_exchange_strong_explicit(
                &entry->state, &state, NAMING, memory_order_acquire, memory_order_acquire)) {
            strncpy(entry->name, name, NAME_BYTES - 1);
            /* release: pairs with the acquire of whoever finds it named. */
            atomic_store_explicit(&entry->state, NAMED, memory_order_release);
            return entry;
        }
        /* Another leader copies 48 bytes. */
        while (atomic_load_explicit(&entry->state, memory_order_acquire) == NAMING) tenure__cpu_relax();
        if (strncmp(entry->name, name, NAME_BYTES - 1) == 0) return entry;
    }
    return 0;
}

/* All counters are relaxed: figures. */
static void add(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

static uint32_t count_lock(const tenure__lock *lock, uint64_t stop, uint64_t pause_ns)
{
    const uint32_t waiters = __atomic_load_n(&lock->waiters, __ATOMIC_RELAXED);
    struct named *entry = lock->name != 0 ? entry_of(lock->name) : 0;
    if (entry == 0) return waiters;
    if (atomic_exchange_explicit(&entry->last_stop, stop, memory_order_relaxed) != stop) add(&entry->pauses, 1);
    add(&entry->holders, 1);
    add(&entry->waiters, waiters);
    add(&entry->held_ns, pause_ns);
    return waiters;
}

void tenure__count_parked_holders(tenure__world *world)
{
    const uint64_t pause_ns = tenure__now_ns() - atomic_load_explicit(&world->requested_ns, memory_order_relaxed);
    /* Of this world and this stop. */
    const uint64_t stop =
        ((uint64_t)(uintptr_t)world << 16) + atomic_load_explicit(&world->request, memory_order_relaxed);
    uint64_t holders = 0, waiters = 0, locks = 0;
    tenure__mutator *mutator;
    cds_list_for_each_entry(mutator, &world->active, link)
    {
        const tenure__os_thread *os = mutator->os;
        const uint32_t count = atomic_load_explicit(&os->held_count, memory_order_relaxed);
        /* Others may take and give back locks just now; nor do they wait for the end of the stop. */
        if (count == 0 ||
            (atomic_load_explicit(&mutator->state, memory_order_relaxed) & TENURE__MODE) != TENURE__PARKED)
            continue;
        const tenure__held *held = atomic_load_explicit(&os->held, memory_order_relaxed);
        holders++;
        locks += count;
        for (uint32_t i = 0; i < count; i++)
            waiters += count_lock(atomic_load_explicit(&held[i].lock, memory_order_relaxed), stop, pause_ns);
    }
    if (holders == 0) return;
    add(&world->lock_stops, 1);
    add(&world->lock_holders, holders);
    add(&world->lock_waiters, waiters);
    add(&world->lock_held_ns, locks * pause_ns);
}

void tenure_lock_stats_each(void (*fn)(const tenure_lock_stats *stats, void *arg), void *arg)
{
    for (unsigned i = 0; i < NAMES; i++) {
        struct named *entry = &names[i];
        if (atomic_load_explicit(&entry->state, memory_order_acquire) != NAMED) continue;
        const tenure_lock_stats stats = {
            .name = entry->name,
            .pauses = atomic_load_explicit(&entry->pauses, memory_order_relaxed),
            .holders = atomic_load_explicit(&entry->holders, memory_order_relaxed),
            .waiters = atomic_load_explicit(&entry->waiters, memory_order_relaxed),
            .held_ns = atomic_load_explicit(&entry->held_ns, memory_order_relaxed),
        };
        fn(&stats, arg);
    }
}
