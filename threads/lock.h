/* What the kinds of locks share: who holds what, and how to wait for it. */
#ifndef TENURE_THREADS_LOCK_H
#define TENURE_THREADS_LOCK_H

#include "threads/mutator.h"
#include <errno.h>

/* One way to take a kind of lock, with pthread's results. */
typedef struct tenure__lock_way {
    const char *call; /* in messages */
    int (*try_native)(void *native);
    int (*wait_native)(void *native);
    int (*wait_until)(void *native, const struct timespec *deadline); /* CLOCK_MONOTONIC */
    int (*undo_native)(void *native);
    bool held; /* a thread that took it holds it (all but semaphores) */
} tenure__lock_way;

extern const tenure__lock_way tenure__mutex_way;

typedef struct tenure__lock_wait {
    void *native;
    const tenure__lock_way *way;
    const struct timespec *deadline; /* NULL: none */
    int result;                      /* 0, ETIMEDOUT, EDEADLK */
} tenure__lock_wait;

static inline tenure__os_thread *tenure__os_thread_of(tenure_thread *self)
{
    return self != 0 ? tenure__mutator_of(self)->os : tenure__os_thread_self();
}

/* Takes the lock by way: tries, then waits. deadline NULL: for ever. site: of the call. */
tenure_status tenure__acquire(tenure_thread *self, tenure__lock *lock, void *native, const tenure__lock_way *way,
    const struct timespec *deadline, const void *site);
/* For try-locks. */
bool tenure__try_acquire(
    tenure_thread *self, tenure__lock *lock, void *native, const tenure__lock_way *way, const void *site);

/* Gives back what the thread holds; aborts if it does not. */
void tenure__give_back(
    tenure_thread *self, tenure__lock *lock, void *native, const tenure__lock_way *way, const char *call);
/* Released: waits for the lock; runs on return, owning it if result is 0. */
void tenure__win_released(tenure__mutator *mutator, tenure__lock_wait *wait);
/* The record with which the thread owns a stop, or NULL. */
tenure__mutator *tenure__owned_stop(tenure__os_thread *os);
/* Of a wait's result: TENURE_OK, TENURE_ETIMEDOUT or TENURE_EDEADLK; anything else is a fault of ours. */
tenure_status tenure__wait_status(int result, const char *call);

/* Whether the thread holds it. Owner, or while the thread is stopped or looked at by a report (racing). */
bool tenure__holds(const tenure__os_thread *os, const tenure__lock *lock);

/* The thread holds it from now on. The caller has looked for room: held_count < held_fast. */
static inline void tenure__held_push(tenure__os_thread *os, tenure__lock *lock, const void *site)
{
    const uint32_t count = atomic_load_explicit(&os->held_count, memory_order_relaxed);
    tenure__held *held = atomic_load_explicit(&os->held, memory_order_relaxed) + count;
    atomic_store_explicit(&held->site, site, memory_order_relaxed);
    /* release, both: pairs with pin_locks; who sees a slot written anew also sees where its lock went before. */
    atomic_store_explicit(&held->lock, lock, memory_order_release);
    atomic_store_explicit(&os->held_count, count + 1, memory_order_release);
}

/* It is the one that was taken last. */
static inline bool tenure__held_last(const tenure__os_thread *os, const tenure__lock *lock)
{
    const uint32_t count = atomic_load_explicit(&os->held_count, memory_order_relaxed);
    const tenure__held *held = atomic_load_explicit(&os->held, memory_order_relaxed);
    return count != 0 && atomic_load_explicit(&held[count - 1].lock, memory_order_relaxed) == lock;
}

/* Where it is among the held ones, the latest first; aborts if it is not. */
static inline uint32_t tenure__held_find(tenure__os_thread *os, const tenure__lock *lock, const char *call)
{
    const tenure__held *held = atomic_load_explicit(&os->held, memory_order_relaxed);
    for (uint32_t i = atomic_load_explicit(&os->held_count, memory_order_relaxed); i-- > 0;)
        if (atomic_load_explicit(&held[i].lock, memory_order_relaxed) == lock) return i;
    tenure__misuse(call, "only by the thread that holds the lock");
}

static inline void tenure__held_remove(tenure__os_thread *os, uint32_t at)
{
    const uint32_t last = atomic_load_explicit(&os->held_count, memory_order_relaxed) - 1;
    if (at != last) {
        tenure__held *held = atomic_load_explicit(&os->held, memory_order_relaxed);
        atomic_store_explicit(
            &held[at].site, atomic_load_explicit(&held[last].site, memory_order_relaxed), memory_order_relaxed);
        /* release: pairs with pin_locks, as in held_push. */
        atomic_store_explicit(
            &held[at].lock, atomic_load_explicit(&held[last].lock, memory_order_relaxed), memory_order_release);
    }
    atomic_store_explicit(&os->held_count, last, memory_order_release);
}

/* lock_check.c: the lock is about to be waited for or taken; what is held has changed. Owner. */
void tenure__check_order(const tenure__os_thread *os, const tenure__lock *lock, const void *site);
void tenure__check_held_changed(tenure__os_thread *os);

/* Of pthread_*_init: TENURE_OK, TENURE_ENOMEM, or TENURE_ESYSTEM and errno. */
static inline tenure_status tenure__native_status(int error)
{
    if (error == 0) return TENURE_OK;
    errno = error;
    return error == ENOMEM ? TENURE_ENOMEM : TENURE_ESYSTEM;
}

/* What the thread waits for, around a wait. */
void tenure__await_begin(tenure__os_thread *os, tenure__lock *lock, tenure__lock *mutex, const void *site);
void tenure__await_end(tenure__os_thread *os);

#endif
