/* The kinds of locks that are taken and given back, under one interface. */
#ifndef TENURE_TESTS_THREADS_KINDS_H
#define TENURE_TESTS_THREADS_KINDS_H

#include "tests/threads/threads.h"
#include <time.h>

/* Room for any of them; zeroed memory is a free one. */
typedef struct any_lock {
    union {
        tenure_mutex mutex;
        tenure_rwlock rwlock;
        tenure_sem sem;
    } as;
} any_lock;

typedef struct kind {
    const char *name;
    tenure_status (*take)(tenure_thread *, any_lock *);
    tenure_status (*take_until)(tenure_thread *, any_lock *, const struct timespec *);
    bool (*try_take)(tenure_thread *, any_lock *);
    void (*give)(tenure_thread *, any_lock *);
    void (*prepare)(any_lock *); /* zeroed before */
    bool shared;                 /* others may take it likewise; the holder in the tests takes it for writing then */
    bool held;
} kind;

static tenure_status mutex_take(tenure_thread *self, any_lock *of) { return tenure_mutex_lock(self, &of->as.mutex); }
static tenure_status mutex_until(tenure_thread *self, any_lock *of, const struct timespec *deadline)
{
    return tenure_mutex_timedlock(self, &of->as.mutex, deadline);
}
static bool mutex_try(tenure_thread *self, any_lock *of) { return tenure_mutex_trylock(self, &of->as.mutex); }
static void mutex_give(tenure_thread *self, any_lock *of) { tenure_mutex_unlock(self, &of->as.mutex); }

static tenure_status read_take(tenure_thread *self, any_lock *of) { return tenure_rwlock_rdlock(self, &of->as.rwlock); }
static tenure_status read_until(tenure_thread *self, any_lock *of, const struct timespec *deadline)
{
    return tenure_rwlock_timedrdlock(self, &of->as.rwlock, deadline);
}
static bool read_try(tenure_thread *self, any_lock *of) { return tenure_rwlock_tryrdlock(self, &of->as.rwlock); }
static tenure_status write_take(tenure_thread *self, any_lock *of)
{
    return tenure_rwlock_wrlock(self, &of->as.rwlock);
}
static tenure_status write_until(tenure_thread *self, any_lock *of, const struct timespec *deadline)
{
    return tenure_rwlock_timedwrlock(self, &of->as.rwlock, deadline);
}
static bool write_try(tenure_thread *self, any_lock *of) { return tenure_rwlock_trywrlock(self, &of->as.rwlock); }
static void rwlock_give(tenure_thread *self, any_lock *of) { tenure_rwlock_unlock(self, &of->as.rwlock); }

static tenure_status sem_take(tenure_thread *self, any_lock *of) { return tenure_sem_wait(self, &of->as.sem); }
static tenure_status sem_until(tenure_thread *self, any_lock *of, const struct timespec *deadline)
{
    return tenure_sem_timedwait(self, &of->as.sem, deadline);
}
static bool sem_try(tenure_thread *self, any_lock *of) { return tenure_sem_trywait(self, &of->as.sem); }
static void sem_give(tenure_thread *self, any_lock *of)
{
    (void)self;
    REQUIRE(tenure_sem_post(&of->as.sem) == TENURE_OK);
}
static void nothing(any_lock *of) { (void)of; }
static void one_unit(any_lock *of) { REQUIRE(tenure_sem_init(&of->as.sem, "units", 1) == TENURE_OK); }

static const kind kinds[] = {
    { "mutex", mutex_take, mutex_until, mutex_try, mutex_give, nothing, false, true },
    { "reader", read_take, read_until, read_try, rwlock_give, nothing, true, true },
    { "writer", write_take, write_until, write_try, rwlock_give, nothing, false, true },
    { "semaphore", sem_take, sem_until, sem_try, sem_give, one_unit, false, false },
};
enum { KINDS = sizeof kinds / sizeof kinds[0], READER = 1, WRITER = 2 };

/* Who keeps this kind's takers waiting. */
static inline const kind *keeper_of(const kind *of) { return of->shared ? &kinds[WRITER] : of; }

static inline struct timespec after_ms(long ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    now.tv_nsec += ms * 1000000;
    now.tv_sec += now.tv_nsec / 1000000000;
    now.tv_nsec %= 1000000000;
    return now;
}

#endif
