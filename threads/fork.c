/* fork in a multithreaded process: the world of every heap is stopped across it, and every lock that the child will
 * need is held by the thread that forks. The child has that thread alone.
 *
 * The handlers are registered when the library is loaded: what the program registers later is prepared before the world
 * stops, and taken care of in the child after the heaps are whole. Order of locks: threads/README.md. */
#include "threads/futex.h"
#include "threads/host.h"
#include "threads/report.h"

/* --- who may not be forked past --- */

/* Owners of stops, and threads inside a grace period's wait, against threads that fork. A thread that owns a stop and
 * forks lends it: while it waits here its heap is as stopped as it has to be. */
static struct {
    pthread_mutex_t lock;
    unsigned holders;          /* that are not waiting to fork themselves */
    unsigned waiting;          /* to fork; new holders wait for them, or they might wait for ever */
    bool forking;              /* one thread is between prepare and parent or child */
    _Atomic uint32_t released; /* futex of all who wait: changes when there may be something to do */
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void gate_lock(void) { TENURE__MUST(pthread_mutex_lock(&gate.lock)); }
static void gate_unlock(void) { TENURE__MUST(pthread_mutex_unlock(&gate.lock)); }

static void gate_changed(void)
{
    /* relaxed: the lock orders what it is about; the futex compares it. */
    atomic_fetch_add_explicit(&gate.released, 1, memory_order_relaxed);
    tenure__futex_wake(&gate.released, INT32_MAX);
}

static void gate_wait(void)
{
    const uint32_t seen = atomic_load_explicit(&gate.released, memory_order_relaxed);
    gate_unlock();
    tenure__futex_wait(&gate.released, seen, 0);
    gate_lock();
}

static bool try_hold_locked(tenure__os_thread *os)
{
    if (os->fork_holds == 0) {
        if (gate.forking || gate.waiting != 0) return false;
        gate.holders++;
    }
    os->fork_holds++;
    return true;
}

bool tenure__fork_try_hold(void)
{
    gate_lock();
    const bool held = try_hold_locked(tenure__os_thread_self());
    gate_unlock();
    return held;
}

void tenure__fork_hold(void)
{
    gate_lock();
    while (!try_hold_locked(tenure__os_thread_self())) gate_wait();
    gate_unlock();
}

void tenure__fork_unhold(void)
{
    gate_lock();
    if (--tenure__os_thread_self()->fork_holds == 0) {
        gate.holders--;
        gate_changed();
    }
    gate_unlock();
}

static void gate_enter(tenure__os_thread *os)
{
    gate_lock();
    gate.waiting++;
    if (os->fork_holds != 0) {
        gate.holders--;
        gate_changed();
    }
    while (gate.forking || gate.holders != 0) gate_wait();
    gate.waiting--;
    gate.forking = true;
    gate_unlock();
}

static void gate_leave(tenure__os_thread *os)
{
    gate_lock();
    gate.forking = false;
    if (os->fork_holds != 0) gate.holders++;
    gate_changed();
    gate_unlock();
}

static void gate_reset(tenure__os_thread *os)
{
    TENURE__MUST(pthread_mutex_init(&gate.lock, 0));
    gate.holders = os->fork_holds != 0;
    gate.waiting = 0;
    gate.forking = false;
}

/* --- prepare --- */

#define EACH_WORLD(world) cds_list_for_each_entry(world, &tenure__worlds, world_link)

/* A world whose owner lent it (or is the caller) is stopped, and its stop lock taken. Nobody else owns one now. */
static bool is_lent(const tenure__world *world)
{
    return atomic_load_explicit(&world->owner, memory_order_relaxed) != 0;
}

static void stop_everything(void)
{
    gate_enter(tenure__os_thread_self());
    tenure__rcu_fork_begin();
    TENURE__MUST(pthread_mutex_lock(&tenure__worlds_lock));
    tenure__world *world;
    EACH_WORLD(world)
    {
        if (is_lent(world)) continue;
        tenure__lock_stop(world);
        tenure__world_stop(world, true);
        world->fork_stopped = true;
    }
    TENURE__MUST(pthread_mutex_lock(&tenure__siblings_lock));
    TENURE__MUST(pthread_mutex_lock(&tenure__loader_lock));
    EACH_WORLD(world) tenure__host_fork_lock(world->heap);
    tenure__host_fork_lock(0);
    tenure__rcu_fork_stopped();
}

static void stop_everything_released(tenure__mutator *mutator, void *unused)
{
    (void)unused;
    tenure__release(mutator, TENURE__PARKED);
    stop_everything();
}

static void prepare(void)
{
    tenure__os_thread *os = tenure__os_thread_self();
    if (os->in_phase) tenure__misuse("fork", "not from what runs in a stop (trace functions, root callbacks, walks)");
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &os->cancel_state); /* liburcu sleeps in calls of the system */
    tenure__pass(os, 0);
    if (os->records == 0) tenure__rcu_park(os);
    if (os->records == 0 || os->records->depth != 0)
        stop_everything();
    else
        tenure__with_context(os->records, stop_everything_released, 0);
}

/* --- parent --- */

static void unlock_everything(void)
{
    tenure__world *world;
    tenure__host_fork_unlock(0);
    EACH_WORLD(world) tenure__host_fork_unlock(world->heap);
    TENURE__MUST(pthread_mutex_unlock(&tenure__loader_lock));
    TENURE__MUST(pthread_mutex_unlock(&tenure__siblings_lock));
}

static void resume_everything(void)
{
    tenure__world *world;
    EACH_WORLD(world)
    {
        if (!world->fork_stopped) continue;
        world->fork_stopped = false;
        tenure__world_resume(world);
        tenure__unlock_stop(world);
    }
    TENURE__MUST(pthread_mutex_unlock(&tenure__worlds_lock));
}

/* The context that prepare saved is of frames that are gone: it is saved anew before any stop may look at it. */
static void come_back(tenure__mutator *mutator, void *unused)
{
    (void)unused;
    tenure__share_context(mutator);
    resume_everything();
    tenure__reacquire(mutator);
}

static void come_back_as_prepared(void)
{
    tenure__os_thread *os = tenure__os_thread_self();
    if (os->records != 0 && os->records->depth == 0)
        tenure__with_context(os->records, come_back, 0);
    else
        resume_everything();
    if (os->records == 0) tenure__rcu_unpark(os);
    pthread_setcancelstate(os->cancel_state, 0);
}

static void parent(void)
{
    tenure__rcu_fork_parent();
    unlock_everything();
    gate_leave(tenure__os_thread_self());
    come_back_as_prepared();
}

/* --- child --- */

/* No other thread is there: none that owns a stop, none that waits, none in the gang. */
static void reset_world(tenure__world *world)
{
    tenure__drop_others(world);
    tenure__gang_forked(&world->gang);
    tenure__watch_forked(world);
    tenure__host_forked(world->heap);
    tenure__fair_forked(&world->stop_lock);
    atomic_store_explicit(&world->asleep, 0, memory_order_relaxed);
    atomic_store_explicit(&world->outstanding, 0, memory_order_relaxed);
    atomic_store_explicit(&world->leader_sleeping, false, memory_order_relaxed);
    tenure__mutator *owner = atomic_load_explicit(&world->owner, memory_order_relaxed);
    if (owner == 0 || owner == (tenure__mutator *)tenure_self(world->heap)) return;
    atomic_store_explicit(&world->owner, 0, memory_order_relaxed);
    world->fork_stopped = true; /* the stop that its owner lent is the caller's now */
}

static void child(void)
{
    tenure__world *world;
    gate_reset(tenure__os_thread_self());
    tenure__rcu_hurry_none();
    tenure__rcu_fork_child();
    unlock_everything();
    EACH_WORLD(world) reset_world(world);
    come_back_as_prepared();
}

__attribute__((constructor(101))) static void register_handlers(void)
{
    TENURE__MUST(pthread_atfork(prepare, parent, child));
}
