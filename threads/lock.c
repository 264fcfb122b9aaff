/* Taking and giving back locks: a note of who holds them, and waits that are outside the stop set. */
#include "threads/lock.h"

/* --- the held ones --- */

bool tenure__holds(const tenure__os_thread *os, const tenure__lock *lock)
{
    const uint32_t count = atomic_load_explicit(&os->held_count, memory_order_acquire);
    const tenure__held *held = atomic_load_explicit(&os->held, memory_order_acquire);
    for (uint32_t i = count; i-- > 0;)
        if (atomic_load_explicit(&held[i].lock, memory_order_acquire) == lock) return true;
    return false;
}

bool tenure__holds_awaited(const tenure__os_thread *os)
{
    const tenure__held *held = atomic_load_explicit(&os->held, memory_order_relaxed);
    /* relaxed, all: its own notes, and advice. */
    for (uint32_t i = atomic_load_explicit(&os->held_count, memory_order_relaxed); i-- > 0;) {
        tenure__lock *lock = atomic_load_explicit(&held[i].lock, memory_order_relaxed);
        if (__atomic_load_n(&lock->waiters, __ATOMIC_RELAXED) != 0) return true;
    }
    return false;
}

/* Room for one more. False: no memory. */
static bool make_room(tenure__os_thread *os)
{
    if (os->held_capacity == 0) {
        os->held_capacity = TENURE__HELD_INLINE;
        atomic_store_explicit(&os->held, os->held_inline, memory_order_relaxed);
    } else if (atomic_load_explicit(&os->held_count, memory_order_relaxed) == os->held_capacity) {
        if (!tenure__held_grow(os)) return false;
    }
    os->held_fast = os->check_locks || os->check_roots ? 0 : os->held_capacity;
    return true;
}

/* --- waiting --- */

/* The locks of waiters stay where they are: a stop pins what is awaited. */
void tenure__await_begin(tenure__os_thread *os, tenure__lock *lock, tenure__lock *mutex, const void *site)
{
    atomic_store_explicit(&os->awaited_site, site, memory_order_relaxed);
    atomic_store_explicit(&os->awaited_since_ns, tenure__now_ns(), memory_order_relaxed);
    atomic_store_explicit(&os->awaited_mutex, mutex, memory_order_relaxed);
    atomic_store_explicit(&os->awaited, lock, memory_order_relaxed);
    /* relaxed: advice, to the holder's grace and to statistics. */
    __atomic_fetch_add(&lock->waiters, 1, __ATOMIC_RELAXED);
}

void tenure__await_end(tenure__os_thread *os)
{
    tenure__lock *lock = atomic_load_explicit(&os->awaited, memory_order_relaxed);
    __atomic_fetch_sub(&lock->waiters, 1, __ATOMIC_RELAXED);
    atomic_store_explicit(&os->awaited, 0, memory_order_relaxed);
    atomic_store_explicit(&os->awaited_mutex, 0, memory_order_relaxed);
}

void tenure__await_forked(tenure__os_thread *os)
{
    tenure__lock *lock = atomic_load_explicit(&os->awaited, memory_order_relaxed);
    if (lock == 0) return;
    /* Not below 0: the thread may have been between its two notes. */
    if (__atomic_load_n(&lock->waiters, __ATOMIC_RELAXED) != 0) __atomic_fetch_sub(&lock->waiters, 1, __ATOMIC_RELAXED);
    atomic_store_explicit(&os->awaited, 0, memory_order_relaxed); /* it may have records in other heaps */
}

static int wait_native(const tenure__lock_wait *wait)
{
    return wait->deadline == 0 ? wait->way->wait_native(wait->native)
                               : wait->way->wait_until(wait->native, wait->deadline);
}

/* Released: owns the lock and runs on return, or the deadline has passed. If a stop holds the thread when it has won
 * the lock, it lets go, waits and tries again: whoever is not stopped (unattached, blocked) can have it meanwhile. */
void tenure__win_released(tenure__mutator *mutator, tenure__lock_wait *wait)
{
    for (;;) {
        wait->result = wait_native(wait);
        const bool won = wait->result == 0;
        if (won && tenure__try_reacquire(mutator)) return;
        if (won) TENURE__MUST(wait->way->undo_native(wait->native));
        tenure__reacquire(mutator);
        if (wait->way->try_native(wait->native) == 0) {
            wait->result = 0;
            return;
        }
        if (!won) return;
        tenure__release(mutator, TENURE__BLOCKED);
    }
}

static void wait_released(tenure__mutator *mutator, void *wait)
{
    tenure__release(mutator, TENURE__BLOCKED);
    tenure__win_released(mutator, wait);
}

/* Outside the stop set of every heap, but of one whose stop the thread owns. mutator: a record of it, NULL: it has
 * none. */
static void wait_outside(tenure__mutator *mutator, tenure__lock_wait *wait)
{
    if (mutator == 0 || mutator->depth != 0)
        wait->result = wait_native(wait); /* it is outside */
    else
        tenure__with_context(mutator, wait_released, wait);
}

/* --- as owner of a stop --- */

tenure__mutator *tenure__owned_stop(tenure__os_thread *os)
{
    for (tenure__mutator *each = os->records; each != 0; each = each->sibling)
        if (tenure__owns_stop(each)) return each;
    return 0;
}

static bool held_by_stopped(tenure__world *world, const tenure__lock *lock)
{
    tenure__mutator *mutator;
    cds_list_for_each_entry(mutator, &world->every, every_link) if (tenure__holds(mutator->os, lock)) return true;
    return false;
}

/* Threads of the stopped heap give nothing back before the stop ends, or cannot be relied on to: those in regions may
 * be about to leave them. Others do; one of them may hand the lock to a thread in a region, so it is looked again. */
static int wait_as_stop_owner(tenure__mutator *stopped, const tenure__lock *lock, const tenure__lock_wait *wait)
{
    enum { LOOK_AGAIN_NS = 1000000 };
    for (;;) {
        if (!wait->way->held || held_by_stopped(stopped->world, lock)) return EDEADLK;
        const uint64_t until_ns = tenure__now_ns() + LOOK_AGAIN_NS;
        struct timespec until = { (time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u) };
        const bool last = wait->deadline != 0 &&
                          (wait->deadline->tv_sec < until.tv_sec ||
                              (wait->deadline->tv_sec == until.tv_sec && wait->deadline->tv_nsec < until.tv_nsec));
        tenure__lock_wait slice = { wait->native, wait->way, last ? wait->deadline : &until, 0 };
        wait_outside(stopped, &slice);
        if (slice.result != ETIMEDOUT || last) return slice.result;
    }
}

/* --- taking --- */

static int wait_for_lock(tenure_thread *self, tenure__os_thread *os, const tenure__lock *lock, tenure__lock_wait *wait)
{
    tenure__mutator *stopped = tenure__owned_stop(os);
    if (stopped != 0) return wait_as_stop_owner(stopped, lock, wait);
    wait_outside(self != 0 ? tenure__mutator_of(self) : os->records, wait);
    return wait->result;
}

tenure_status tenure__wait_status(int result, const char *call)
{
    if (result == 0) return TENURE_OK;
    if (result == ETIMEDOUT) return TENURE_ETIMEDOUT;
    if (result == EDEADLK) return TENURE_EDEADLK;
    tenure__fatal(call, 0, result);
}

/* As if it had to be waited for: the lock stays where it is. */
static void pass(tenure__os_thread *os, tenure__lock *lock, const void *site)
{
    tenure__await_begin(os, lock, 0, site);
    tenure__pass(os, 0);
    tenure__await_end(os);
}

tenure_status tenure__acquire(tenure_thread *self, tenure__lock *lock, void *native, const tenure__lock_way *way,
    const struct timespec *deadline, const void *site)
{
    tenure__os_thread *os = tenure__os_thread_of(self);
    if (way->held && !make_room(os)) return TENURE_ENOMEM;
    if (way->held) tenure__check_order(os, lock, site);
    struct timespec until = { 0, 0 };
    if (deadline != 0) until = *deadline; /* it may lie in an object, which moves */
    if (os->check_roots) pass(os, lock, site);
    int result = way->try_native(native);
    if (result == EBUSY || result == EAGAIN) {
        if (way->held && tenure__holds(os, lock)) return TENURE_EDEADLK;
        tenure__lock_wait wait = { native, way, deadline != 0 ? &until : 0, 0 };
        tenure__await_begin(os, lock, 0, site);
        result = wait_for_lock(self, os, lock, &wait);
        tenure__await_end(os);
    }
    if (result == 0 && way->held) {
        tenure__held_push(os, lock, site);
        tenure__check_held_changed(os);
    }
    return tenure__wait_status(result, way->call);
}

bool tenure__try_acquire(
    tenure_thread *self, tenure__lock *lock, void *native, const tenure__lock_way *way, const void *site)
{
    tenure__os_thread *os = tenure__os_thread_of(self);
    if (way->held && !make_room(os)) return false;
    const int result = way->try_native(native);
    if (result == EBUSY || result == EAGAIN) return false;
    if (result != 0) tenure__fatal(way->call, 0, result);
    if (way->held) {
        tenure__held_push(os, lock, site);
        tenure__check_held_changed(os);
    }
    return true;
}

void tenure__give_back(
    tenure_thread *self, tenure__lock *lock, void *native, const tenure__lock_way *way, const char *call)
{
    tenure__os_thread *os = tenure__os_thread_of(self);
    const uint32_t at = tenure__held_find(os, lock, call);
    TENURE__MUST(way->undo_native(native)); /* first: until then a held lock's object stays where it is */
    tenure__held_remove(os, at);
    tenure__check_held_changed(os);
}
