/* The debug checker (check=locks). What it finds is a fault of the program: it prints both sides and aborts.
 *
 * While it is on, every lock takes the slow path (held_fast is 0), and the limit of a thread that holds a lock declared
 * no-GC is poisoned, so that its allocations and polls come by here. */
#include "threads/host.h"
#include "threads/lock.h"
#include "threads/report.h"
#include "threads/system.h"
#include <stdio.h>
#include <stdlib.h>

static const char *name_of(const tenure__lock *lock) { return lock->name != 0 ? lock->name : "unnamed"; }

enum { PLACE_BYTES = 256 };

/* Not in a stop, and the process is about to end: memory and streams may be used. */
static const char *place(char bytes[PLACE_BYTES], const void *site)
{
    tenure__text text = { bytes, PLACE_BYTES, 0 };
    tenure__code *code = tenure__calloc(1, sizeof *code);
    if (code == 0) return "?";
    tenure__symbol symbol;
    tenure__code_read(code);
    tenure__symbol_find(code, (uintptr_t)site, true, &symbol);
    tenure__symbol_print(&symbol, &text);
    free(code);
    return bytes;
}

static void print_site(const char *what, const tenure__lock *lock, const void *site)
{
    char bytes[PLACE_BYTES];
    fprintf(stderr, "tenure: check=locks:   %s \"%s\" (rank %u) in %s\n", what, name_of(lock), lock->rank,
        place(bytes, site));
}

static bool is_on(const tenure__os_thread *os) { return os->check_locks; }

void tenure__check_order(const tenure__os_thread *os, const tenure__lock *lock, const void *site)
{
    if (!is_on(os) || lock->rank == 0 || tenure__holds(os, lock)) return; /* what is held is not waited for */
    const tenure__held *held = atomic_load_explicit(&os->held, memory_order_relaxed);
    for (uint32_t i = atomic_load_explicit(&os->held_count, memory_order_relaxed); i-- > 0;) {
        const tenure__lock *other = atomic_load_explicit(&held[i].lock, memory_order_relaxed);
        if (other->rank < lock->rank) continue;
        tenure__own_last_words();
        fprintf(stderr, "tenure: check=locks: locks are taken in rising order of rank\n");
        print_site("holds", other, atomic_load_explicit(&held[i].site, memory_order_relaxed));
        print_site("takes", lock, site);
        abort();
    }
}

/* The latest; NULL: none. */
static const tenure__held *held_no_gc(const tenure__os_thread *os)
{
    const tenure__held *held = atomic_load_explicit(&os->held, memory_order_relaxed);
    for (uint32_t i = atomic_load_explicit(&os->held_count, memory_order_relaxed); i-- > 0;)
        if (atomic_load_explicit(&held[i].lock, memory_order_relaxed)->rules & TENURE_LOCK_NO_GC) return &held[i];
    return 0;
}

bool tenure__check_poisons(const tenure__os_thread *os) { return is_on(os) && held_no_gc(os) != 0; }

void tenure__check_held_changed(tenure__os_thread *os)
{
    if (!is_on(os)) return;
    for (tenure__mutator *each = os->records; each != 0; each = each->sibling)
        if (each->depth == 0) tenure__set_limit(each, tenure__host_limit(each));
}

void tenure__check_gc(const tenure__os_thread *os, const char *call)
{
    const tenure__held *held = is_on(os) ? held_no_gc(os) : 0;
    if (held == 0) return;
    tenure__own_last_words();
    fprintf(stderr, "tenure: check=locks: %s while a lock is held that is declared no-GC\n", call);
    print_site("holds", atomic_load_explicit(&held->lock, memory_order_relaxed),
        atomic_load_explicit(&held->site, memory_order_relaxed));
    abort();
}

void tenure__check_failed_call(const char *call, const void *site)
{
    char bytes[PLACE_BYTES];
    tenure__own_last_words();
    fprintf(stderr, "tenure: check=locks: thread \"%s\" waited in %s outside of a blocking region\n",
        tenure__os_thread_self()->records->name, call);
    fprintf(stderr, "tenure: check=locks:   called from %s\n", place(bytes, site));
    abort();
}
