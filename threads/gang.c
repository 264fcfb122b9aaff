#include "threads/gang.h"
#include "threads/futex.h"
#include "threads/mutator.h"
#include "threads/system.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>

#define OPEN ((uint64_t)1 << 63)

/* Takes one of the places that were asked for. acquire, both: pairs with gang_invite; what the leader wrote while it
 * was alone, with no order of its own, is seen by whom it invited. */
static bool take_place(tenure__gang *gang, bool on_mutator_stack)
{
    if (!on_mutator_stack && atomic_load_explicit(&gang->pool_wanted, memory_order_relaxed) &&
        atomic_exchange_explicit(&gang->pool_wanted, false, memory_order_acquire))
        return true;
    uint32_t wanted = atomic_load_explicit(&gang->wanted, memory_order_relaxed);
    while (wanted != 0 && !atomic_compare_exchange_weak_explicit(
                              &gang->wanted, &wanted, wanted - 1, memory_order_acquire, memory_order_relaxed)) {}
    return wanted != 0;
}

static void run_phase(tenure__gang *gang, unsigned worker, bool may_trace)
{
    tenure__os_thread *os = tenure__os_thread_self();
    os->in_phase = true;
    gang->phase(gang->arg, worker, may_trace);
    os->in_phase = false;
}

bool tenure__gang_help(tenure__gang *gang, bool on_mutator_stack)
{
    /* acquire: pairs with the release in gang_run that opened the phase; without it phase and arg could be old. */
    uint64_t members = atomic_load_explicit(&gang->members, memory_order_acquire);
    unsigned worker;
    do {
        if ((members & OPEN) == 0) return false;
        if (atomic_load_explicit(&gang->wanted, memory_order_relaxed) == 0 &&
            (on_mutator_stack || !atomic_load_explicit(&gang->pool_wanted, memory_order_relaxed)))
            return false;
        worker = (unsigned)__builtin_ctzll(~members);
        /* The last place is kept for a pool thread: mutators may fill all others, and they call no trace functions. */
        if (worker >= gang->workers + !on_mutator_stack) return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &gang->members, &members, members | (uint64_t)1 << worker, memory_order_acquire, memory_order_acquire));

    const bool wanted = take_place(gang, on_mutator_stack);
    if (wanted) {
        const uint64_t cpu = tenure__cpu_ns();
        run_phase(gang, worker, !on_mutator_stack);
        atomic_fetch_add_explicit(&gang->cpu_ns, tenure__cpu_ns() - cpu, memory_order_relaxed);
    }
    /* release: what this worker wrote is the leader's when it sees the bit gone (acquire in gang_run). */
    atomic_fetch_and_explicit(&gang->members, ~((uint64_t)1 << worker), memory_order_release);
    return wanted;
}

void tenure__gang_run(tenure__gang *gang, tenure__phase_fn *phase, void *arg, bool may_trace)
{
    gang->phase = phase;
    gang->arg = arg;
    atomic_store_explicit(&gang->wanted, 0, memory_order_relaxed);
    atomic_store_explicit(&gang->pool_wanted, false, memory_order_relaxed);
    /* release: publishes phase and arg; pairs with the acquire in gang_help. */
    atomic_store_explicit(&gang->members, OPEN | 1, memory_order_release);
    run_phase(gang, 0, may_trace);
    atomic_store_explicit(&gang->wanted, 0, memory_order_relaxed);
    atomic_store_explicit(&gang->pool_wanted, false, memory_order_relaxed);
    /* acquire: pairs with the release of each leaving helper. */
    uint64_t members = atomic_fetch_and_explicit(&gang->members, ~(OPEN | 1), memory_order_acq_rel) & ~(OPEN | 1);
    for (unsigned spins = 0; members != 0; spins++) {
        /* Spinning for a preempted helper costs a quantum: give the processor away early. */
        if (spins < 200)
            tenure__cpu_relax();
        else
            sched_yield();
        members = atomic_load_explicit(&gang->members, memory_order_acquire);
    }
}

void tenure__gang_invite(tenure__gang *gang, unsigned helpers, bool need_pool)
{
    /* release: pairs with take_place. */
    if (need_pool)
        atomic_store_explicit(&gang->pool_wanted, true, memory_order_release);
    else
        atomic_store_explicit(&gang->wanted, helpers, memory_order_release);
    /* release: whoever sees the new number sees wanted. */
    atomic_fetch_add_explicit(&gang->invitations, 1, memory_order_release);
    const uint32_t spinners = need_pool ? 0 : atomic_load_explicit(&gang->spinners, memory_order_relaxed);
    if (helpers > spinners) tenure__futex_wake(&gang->invitations, helpers - spinners);
}

struct call {
    tenure__gang *gang;
    void (*fn)(void *);
    void *arg;
    _Atomic uint32_t done;
};

static void call_phase(void *arg, unsigned worker, bool may_trace)
{
    struct call *call = arg;
    if (may_trace) {
        call->fn(call->arg);
        /* release: what fn wrote is the caller's when it sees that it is done. */
        atomic_store_explicit(&call->done, 1, memory_order_release);
        tenure__futex_wake(&call->done, 1);
    } else if (worker == 0) {
        tenure__gang_invite(call->gang, 1, true);
        while (atomic_load_explicit(&call->done, memory_order_acquire) == 0) tenure__futex_wait(&call->done, 0, 0);
    }
}

void tenure__gang_call(tenure__gang *gang, void (*fn)(void *), void *arg)
{
    struct call call = { .gang = gang, .fn = fn, .arg = arg };
    tenure__gang_revive(gang);
    tenure__gang_run(gang, call_phase, &call, gang->pool_gone);
}

static void *pool_thread(void *arg)
{
    tenure__gang *gang = arg;
    for (;;) {
        const uint32_t seen = atomic_load_explicit(&gang->invitations, memory_order_acquire);
        if (atomic_load_explicit(&gang->stopping, memory_order_acquire)) return 0;
        if (!tenure__gang_help(gang, false)) tenure__futex_wait(&gang->invitations, seen, 0);
    }
}

int tenure__gang_start(tenure__gang *gang, unsigned workers)
{
    gang->workers = workers < TENURE__WORKERS_MAX ? workers : TENURE__WORKERS_MAX;
    /* One pool thread is needed even with one worker: it runs trace functions for a leader on a mutator's stack. */
    const unsigned wanted = gang->workers > 1 ? gang->workers - 1 : 1;
    atomic_store_explicit(&gang->stopping, false, memory_order_relaxed);
    int error = 0;
    for (unsigned i = 0; i < wanted && error == 0; i++) {
        char name[24];
        snprintf(name, sizeof name, "tenure-gc-%u", i + 1);
        error = tenure__own_thread(&gang->pool[i], name, pool_thread, gang);
        if (error == 0) gang->pool_count++;
    }
    if (error != 0) tenure__gang_stop(gang);
    return error;
}

void tenure__gang_stop(tenure__gang *gang)
{
    atomic_store_explicit(&gang->stopping, true, memory_order_release);
    atomic_fetch_add_explicit(&gang->invitations, 1, memory_order_release);
    tenure__futex_wake(&gang->invitations, TENURE__WORKERS_MAX);
    for (unsigned i = 0; i < gang->pool_count; i++) pthread_join(gang->pool[i], 0);
    gang->pool_count = 0;
}

void tenure__gang_forked(tenure__gang *gang)
{
    atomic_store_explicit(&gang->members, 0, memory_order_relaxed);
    atomic_store_explicit(&gang->spinners, 0, memory_order_relaxed);
    gang->pool_count = 0;
    gang->pool_gone = true;
}

void tenure__gang_revive(tenure__gang *gang)
{
    if (gang->pool_gone) gang->pool_gone = tenure__gang_start(gang, gang->workers) != 0;
}
