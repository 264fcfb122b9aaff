#include "threads/fair_lock.h"
#include "threads/futex.h"
#include "threads/mutator.h"
#include <string.h>

enum { PATIENCE_NS = 1000000 };

bool tenure__fair_try(tenure__fair_lock *lock)
{
    uint32_t free = 0;
    /* relaxed: advice; who looks just before the lock is closed is one more. acquire: pairs with the unlock. */
    return !atomic_load_explicit(&lock->closed, memory_order_relaxed) &&
           atomic_compare_exchange_strong_explicit(&lock->state, &free, 1, memory_order_acquire, memory_order_relaxed);
}

/* Who shares a slot sleeps for different bits: thousands that wait must not all wake up whenever the line moves. */
static uint32_t bit_of(uint32_t ticket) { return (uint32_t)1 << (ticket / TENURE__LINE_SLOTS % 32); }

static uint32_t join_line(tenure__fair_lock *lock)
{
    /* seq_cst, both: pairs with leave_line (Dekker): either it sees the ticket, or the ticket's holder the slot. */
    const uint32_t ticket = atomic_fetch_add_explicit(&lock->tickets, 1, memory_order_seq_cst);
    _Atomic uint32_t *slot = &lock->line[ticket % TENURE__LINE_SLOTS];
    uint32_t head;
    while ((head = atomic_load_explicit(slot, memory_order_seq_cst)) != ticket)
        tenure__futex_wait_for(slot, head, bit_of(ticket), TENURE__FOR_EVER);
    return ticket;
}

static void leave_line(tenure__fair_lock *lock, uint32_t ticket)
{
    const uint32_t next = ticket + 1;
    _Atomic uint32_t *slot = &lock->line[next % TENURE__LINE_SLOTS];
    atomic_store_explicit(slot, next, memory_order_seq_cst);
    /* All of the bit: later tickets may share it. */
    if (atomic_load_explicit(&lock->tickets, memory_order_seq_cst) != next)
        tenure__futex_wake_for(slot, INT32_MAX, bit_of(next));
}

void tenure__fair_take(tenure__fair_lock *lock)
{
    if (tenure__fair_try(lock)) return;
    const uint64_t start = tenure__now_ns();
    const uint32_t ticket = join_line(lock);
    /* acquire: pairs with the unlock. 2: it may have slept, and whoever unlocks has to look for the head behind it. */
    while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0) {
        const uint64_t waited = tenure__now_ns() - start;
        if (waited >= PATIENCE_NS) atomic_store_explicit(&lock->closed, true, memory_order_relaxed);
        tenure__futex_wait(&lock->state, 2, waited >= PATIENCE_NS ? 0 : PATIENCE_NS - waited);
    }
    atomic_store_explicit(&lock->closed, false, memory_order_relaxed);
    leave_line(lock, ticket);
}

void tenure__fair_give(tenure__fair_lock *lock)
{
    /* release: pairs with the next acquire. */
    if (atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2) tenure__futex_wake(&lock->state, 1);
}

void tenure__fair_forked(tenure__fair_lock *lock)
{
    memset(lock, 0, sizeof *lock);
    atomic_init(&lock->state, 1);
}
