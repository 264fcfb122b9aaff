/* A lock that nobody starves at: who runs may take it as it comes free, as with pthread's mutex, but one that has
 * waited for longer than a millisecond is the next. The stop lock needs both: threads that make handles in turns would
 * have to sleep for each other if it were always handed on, and stops back to back would keep others out for hundreds
 * of milliseconds if it never were.
 *
 * Waiters stand in a line; its head sleeps on the lock, and closes it to others when its time is up. (Go's sync.Mutex
 * does much the same.) Zeroed memory is a free one. */
#ifndef TENURE_THREADS_FAIR_LOCK_H
#define TENURE_THREADS_FAIR_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { TENURE__LINE_SLOTS = 64 };

typedef struct tenure__fair_lock {
    _Atomic uint32_t state; /* 0: free, 1: taken, 2: taken, and the head of the line may sleep on this word */
    _Atomic bool closed;    /* the head of the line is next */
    _Atomic uint32_t tickets;
    /* Ticket t is the head once slot t modulo SLOTS is t. */
    _Atomic uint32_t line[TENURE__LINE_SLOTS];
} tenure__fair_lock;

bool tenure__fair_try(tenure__fair_lock *lock);
void tenure__fair_take(tenure__fair_lock *lock);
void tenure__fair_give(tenure__fair_lock *lock);
/* In a forked child: taken, by the only thread that there is. */
void tenure__fair_forked(tenure__fair_lock *lock);

#endif
