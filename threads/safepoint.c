/* The stop protocol. States, who may wait for whom, and the memory-order argument: threads/README.md. */
#include "threads/futex.h"
#include "threads/host.h"
#include "threads/report.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <tenure/safepoint.h>
#include <time.h>
#include <unistd.h>

/* How long a parked mutator watches for the end of the stop and for work before it sleeps. */
enum { PARK_SPIN_NS = 100000, LEADER_SPIN_NS = 30000 };
/* How long a mutator sleeps before it looks for the first time whether the stop is over. */
enum { SLEEP_FIRST_NS = 2000000 };

/* No stdio: it may be a signal handler that called, and what it interrupted may hold stdio's lock. */
void tenure__misuse(const char *call, const char *rule)
{
    tenure__own_last_words();
    const char *parts[] = { "tenure: ", call, ": ", rule, "\n" };
    struct iovec vector[sizeof parts / sizeof parts[0]];
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++)
        vector[i] = (struct iovec) { (void *)(uintptr_t)parts[i], strlen(parts[i]) };
    (void)!writev(STDERR_FILENO, vector, sizeof parts / sizeof parts[0]);
    abort();
}

void tenure__fatal(const char *function, int line, int error)
{
    tenure__own_last_words();
    fprintf(stderr, "tenure: %s:%d: %s\n", function, line, strerrordesc_np(error));
    abort();
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
uint64_t tenure__now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t tenure__coarse_ns(void) { return clock_ns(CLOCK_MONOTONIC_COARSE); }
uint64_t tenure__cpu_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

void tenure__lock_stop(tenure__world *world) { tenure__fair_take(&world->stop_lock); }
bool tenure__trylock_stop(tenure__world *world) { return tenure__fair_try(&world->stop_lock); }
void tenure__unlock_stop(tenure__world *world) { tenure__fair_give(&world->stop_lock); }

/* Grace periods that are being waited for. seq_cst, both ends: the same two-sided protocol as with request. */
static _Atomic uint32_t rcu_waiters;

void tenure__set_limit(tenure__mutator *mutator, uintptr_t limit)
{
    /* seq_cst, both: pairs with the stores of request and limit in world_stop, which come in the other order. Either
     * the load sees the request, or the store of the limit comes before the one that poisons it. Without this a refill
     * overwrites the poison and the stop waits for the chunk's end. */
    __atomic_store_n(&mutator->record.limit, limit, __ATOMIC_SEQ_CST);
    bool poison = atomic_load_explicit(&rcu_waiters, memory_order_seq_cst) != 0;
    for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling)
        poison |=
            (atomic_load_explicit(&each->world->request, memory_order_seq_cst) & 1) != 0 && !tenure__owns_stop(each);
    if (poison) __atomic_store_n(&mutator->record.limit, 0, __ATOMIC_RELAXED);
}

/* A mutator that a stop had claimed while running is out: the last one wakes the leader. */
static void count_out(tenure__mutator *mutator)
{
    tenure__world *world = mutator->world;
    atomic_store_explicit(&world->last_stopped, mutator, memory_order_relaxed);
    /* seq_cst: pairs with leader_sleeping and outstanding in wait_for_all (Dekker); release: what the mutator did
     * before is the leader's. */
    if (atomic_fetch_sub_explicit(&world->outstanding, 1, memory_order_seq_cst) == 1 &&
        atomic_load_explicit(&world->leader_sleeping, memory_order_seq_cst))
        tenure__futex_wake(&world->outstanding, 1);
}

/* From RUNNING to mode; counted out if a stop had claimed it. */
static void release_one(tenure__mutator *mutator, uint32_t mode)
{
    uint32_t state = TENURE__RUNNING;
    /* release: registers, stack pointer, chunk and stack are published to the stop that finds this mode (acquire in its
     * fetch_or). A stop that claims first makes the exchange fail. */
    while (!atomic_compare_exchange_weak_explicit(&mutator->state, &state, (state & ~(uint32_t)TENURE__MODE) | mode,
        memory_order_release, memory_order_relaxed)) {}
    if (state & TENURE__STOP) count_out(mutator);
}

/* From mode to RUNNING; false when a stop has claimed it, or it is dormant. *state: what was found. returning: flags
 * for whom a stop refuses. They are set by the same exchange: a thread that looked first and set them later could find
 * a stop at each look and none at each exchange, and would never be let in. */
static bool try_acquire_one(tenure__mutator *mutator, uint32_t returning, uint32_t *state)
{
    /* acquire, both: pairs with the release of world_resume; the thread sees every object where the stop put it. */
    *state = atomic_load_explicit(&mutator->state, memory_order_acquire);
    while ((*state & TENURE__MODE) != TENURE__RUNNING) { /* else it was let in by the last resume */
        if (*state & TENURE__DORMANT) return false;
        const bool held = (*state & TENURE__STOP) != 0;
        const uint32_t next = held ? *state | returning : TENURE__RUNNING;
        if (next == *state || atomic_compare_exchange_weak_explicit(
                                  &mutator->state, state, next, memory_order_acquire, memory_order_acquire))
            return !held;
    }
    return true;
}

/* The thread waits for another heap's stop: it is not to be let in here, and goes out if it is in. */
static void withdraw_one(tenure__mutator *mutator, uint32_t mode)
{
    const uint32_t flags = TENURE__RETURNING | TENURE__PASSED;
    uint32_t state = atomic_load_explicit(&mutator->state, memory_order_relaxed);
    while ((state & TENURE__MODE) != TENURE__RUNNING) {
        /* relaxed: only world_resume looks at these flags, and whether it does before or after is the same. */
        if ((state & flags) == 0 || atomic_compare_exchange_weak_explicit(&mutator->state, &state, state & ~flags,
                                        memory_order_relaxed, memory_order_relaxed))
            return;
    }
    release_one(mutator, mode);
}

void tenure__share_context(tenure__mutator *mutator)
{
    for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling) {
        if (each == mutator) continue;
        memcpy(each->registers, mutator->registers, sizeof each->registers);
        each->stack_pointer = mutator->stack_pointer;
    }
}

static void end_grace(tenure__mutator *mutator)
{
    const uint64_t requested_ns = atomic_load_explicit(&mutator->world->requested_ns, memory_order_relaxed);
    mutator->in_grace = false;
    tenure__host_graced(mutator, tenure__now_ns() - requested_ns);
}

void tenure__release(tenure__mutator *mutator, uint32_t mode)
{
    tenure__rcu_park(mutator->os);
    tenure__share_context(mutator);
    for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling) {
        /* Zero: allocating in a region takes the slow path, which aborts. */
        __atomic_store_n(&each->record.limit, 0, __ATOMIC_RELAXED);
        if (each->in_grace) end_grace(each);
        if (mode == TENURE__IDLE) each->idle_entries++;
        if (!tenure__owns_stop(each)) release_one(each, mode);
    }
}

/* Claimed, and not let in. A dormant thread is let in by nobody: it waits for the stop lock instead, and not for an end
 * of a stop after which it can find itself in the next one. */
static bool is_held(uint32_t state)
{
    return (state & (TENURE__STOP | TENURE__DORMANT)) == TENURE__STOP && (state & TENURE__MODE) != TENURE__RUNNING;
}

enum { WAKE_HOLDERS = 1, WAKE_OTHERS = 2, CHAIN = 2 };

/* Holders of locks that others wait for are woken by who resumes, all of them. The others wake two each, so that the
 * one who resumes does not have to wake a hundred threads one by one. A thread that is woken may not get a processor
 * (one of low priority, one that a debugger holds): who waits behind it looks by itself, after as long as it has slept.
 */
static void sleep_until_resumed(tenure__mutator *mutator)
{
    tenure__world *world = mutator->world;
    const uint32_t whom = tenure__holds_awaited(mutator->os) ? WAKE_HOLDERS : WAKE_OTHERS;
    const uint64_t start = tenure__now_ns();
    uint64_t patience_ns = SLEEP_FIRST_NS;
    /* seq_cst: pairs with world_resume (Dekker): either it sees a sleeper, or the futex a new number of resumes. */
    atomic_fetch_add_explicit(&world->asleep, 1, memory_order_seq_cst);
    for (;;) {
        /* acquire: the number before the state: STOP of a stop that has not ended by then. */
        const uint32_t seen = atomic_load_explicit(&world->resumes, memory_order_seq_cst);
        if (!is_held(atomic_load_explicit(&mutator->state, memory_order_relaxed))) break;
        tenure__futex_wait_for(&world->resumes, seen, whom, start + patience_ns);
        patience_ns = 2 * (tenure__now_ns() - start) + SLEEP_FIRST_NS;
        /* Once for every resume: threads that are held again already must not wake each other all the time. seq_cst,
         * both: who still sleeps on an older number counted itself before it looked at that number. */
        if (whom == WAKE_OTHERS && atomic_load_explicit(&world->resumes, memory_order_seq_cst) != seen &&
            atomic_load_explicit(&world->asleep, memory_order_seq_cst) > 1)
            tenure__futex_wake_for(&world->resumes, CHAIN, WAKE_OTHERS);
    }
    atomic_fetch_sub_explicit(&world->asleep, 1, memory_order_relaxed);
}

/* Until no stop claims the mutator: first spinning, lending the processor to the gang, then asleep. */
static void wait_for_resume(tenure__mutator *mutator)
{
    tenure__world *world = mutator->world;
    tenure__gang *gang = &world->gang;
    uint32_t state = atomic_load_explicit(&mutator->state, memory_order_relaxed);
    if (atomic_load_explicit(&world->spinning_pays, memory_order_relaxed)) {
        const uint64_t start = tenure__now_ns();
        atomic_fetch_add_explicit(&gang->spinners, 1, memory_order_relaxed);
        for (unsigned spins = 1; is_held(state); spins++) {
            if (!tenure__gang_help(gang, true)) tenure__cpu_relax();
            if (spins % 16 == 0 && tenure__now_ns() - start > PARK_SPIN_NS) break;
            state = atomic_load_explicit(&mutator->state, memory_order_relaxed);
        }
        atomic_fetch_sub_explicit(&gang->spinners, 1, memory_order_relaxed);
    }
    if (is_held(state)) sleep_until_resumed(mutator);
}

/* All records of the thread or none; returns the one that a stop holds. returning: 0, or TENURE__RETURNING for a thread
 * that does nothing but try again until it is in: a resume may let it in without its doing. */
static tenure__mutator *acquire_all(tenure__mutator *mutator, uint32_t returning)
{
    for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling) {
        uint32_t state;
        if (tenure__owns_stop(each) || try_acquire_one(each, returning, &state)) continue;
        /* One heap's stop holds us: stay out of the others, whose stops must not wait for that one. */
        for (tenure__mutator *other = mutator->os->records; other != 0; other = other->sibling)
            if (other != each && !tenure__owns_stop(other)) withdraw_one(other, state & TENURE__MODE);
        return each;
    }
    tenure__rcu_unpark(mutator->os);
    for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling) {
        tenure__set_limit(each, tenure__host_limit(each));
        tenure__note_poll(each);
    }
    return 0;
}

bool tenure__try_reacquire(tenure__mutator *mutator) { return acquire_all(mutator, 0) == 0; }

static void wait_until_free(tenure__mutator *refused)
{
    if (atomic_load_explicit(&refused->state, memory_order_relaxed) & TENURE__DORMANT)
        tenure__wake_dormant(refused);
    else
        wait_for_resume(refused);
}

void tenure__reacquire(tenure__mutator *mutator)
{
    tenure__mutator *refused;
    while ((refused = acquire_all(mutator, TENURE__RETURNING)) != 0) wait_until_free(refused);
}

static void park(tenure__mutator *mutator, void *unused)
{
    (void)unused;
    tenure__release(mutator, TENURE__PARKED);
    /* Requested, but this record is not yet claimed: the claim is on its way, and running on would only meet the
     * poisoned limit again. */
    while (!tenure__owns_stop(mutator) &&
           (atomic_load_explicit(&mutator->world->request, memory_order_relaxed) & 1) != 0 &&
           (atomic_load_explicit(&mutator->state, memory_order_relaxed) & TENURE__STOP) == 0)
        sched_yield();
    tenure__reacquire(mutator);
}

static bool is_requested(const tenure__mutator *mutator)
{
    return (atomic_load_explicit(&mutator->world->request, memory_order_relaxed) & 1) != 0 &&
           !tenure__owns_stop(mutator);
}

/* Whether a holder of locks that others wait for may run on to its unlock, for a short time. Advice: the stop waits for
 * it as for any other that has not come to a safepoint, and correctness knows nothing of it. */
static bool in_grace(tenure__mutator *mutator)
{
    if (!tenure__holds_awaited(mutator->os)) return false;
    const uint64_t now = tenure__now_ns();
    for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling) {
        if (!is_requested(each)) continue;
        if (now - atomic_load_explicit(&each->world->requested_ns, memory_order_relaxed) >= each->world->lock_grace_ns)
            return false;
        each->in_grace = true;
    }
    return true;
}

bool tenure__safepoint(tenure__mutator *mutator)
{
    bool requested = false;
    for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling) requested |= is_requested(each);
    if (!requested) {
        /* Of an offline reader it would be a silent return. */
        if (tenure__rcu_registered() && tenure__rcu_online()) urcu_qsbr_quiescent_state();
        return false;
    }
    if (in_grace(mutator)) return false;
    tenure__with_context(mutator, park, 0);
    return true;
}

void tenure__pass_slow(tenure__os_thread *os, const tenure__mutator *but)
{
    for (tenure__mutator *each = os->records; each != 0; each = each->sibling)
        if (each != but && each->world->check_roots && !os->inside &&
            (atomic_load_explicit(&each->state, memory_order_relaxed) & TENURE__MODE) == TENURE__RUNNING)
            tenure__host_passed(each);
}

void tenure__poll_slow(tenure_thread *self)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    tenure__require_in(mutator, "tenure_poll");
    tenure__check_gc(mutator->os, "tenure_poll");
    if (!tenure__safepoint(mutator)) {
        tenure__note_poll(mutator);
        tenure__host_polled(mutator);
        tenure__set_limit(mutator, tenure__host_limit(mutator));
    }
    tenure__pass(mutator->os, 0);
}

/* True: it took longer than the deadline. */
static bool wait_for_all(tenure__world *world)
{
    uint64_t start = 0;
    bool late = false;
    for (unsigned spins = 0; atomic_load_explicit(&world->outstanding, memory_order_acquire) != 0; spins++) {
        if (spins % 64 == 0) {
            const uint64_t now = tenure__now_ns();
            if (start == 0) start = now;
            if (!atomic_load_explicit(&world->spinning_pays, memory_order_relaxed) || now - start > LEADER_SPIN_NS) {
                const uint64_t wait_ns = tenure__watch_wait_ns(world, start, now, &late);
                /* seq_cst: pairs with count_out (Dekker): either it sees that the leader sleeps, or the futex sees the
                 * new count. */
                atomic_store_explicit(&world->leader_sleeping, true, memory_order_seq_cst);
                const uint32_t now_outstanding = atomic_load_explicit(&world->outstanding, memory_order_seq_cst);
                if (now_outstanding != 0) tenure__futex_wait(&world->outstanding, now_outstanding, wait_ns);
                atomic_store_explicit(&world->leader_sleeping, false, memory_order_relaxed);
                continue;
            }
        }
        tenure__cpu_relax();
    }
    if (late) tenure__watch_reached(world, start);
    return late;
}

#define EACH(list, mutator) cds_list_for_each_entry(mutator, list, link)

/* A thread of several heaps may poll in any of them. */
static void poison_siblings(tenure__mutator *mutator)
{
    TENURE__MUST(pthread_mutex_lock(&tenure__siblings_lock));
    for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling)
        __atomic_store_n(&each->record.limit, 0, __ATOMIC_SEQ_CST);
    TENURE__MUST(pthread_mutex_unlock(&tenure__siblings_lock));
}

static uint32_t claim_list(struct cds_list_head *list)
{
    uint32_t running = 0;
    tenure__mutator *mutator;
    EACH(list, mutator)
    {
        /* acquire: pairs with the release of a mutator that went out; release: nothing before is needed by it. STOP
         * makes the exchange of a returning thread fail; only what was found running is counted. */
        const uint32_t state = atomic_fetch_or_explicit(&mutator->state, TENURE__STOP, memory_order_acq_rel);
        if ((state & TENURE__MODE) != TENURE__RUNNING) continue;
        running++;
        /* seq_cst: pairs with tenure_attach (Dekker): a thread that gets another record looks at the requests after. */
        if (atomic_load_explicit(&mutator->os->record_count, memory_order_seq_cst) > 1) poison_siblings(mutator);
    }
    return running;
}

tenure__reach tenure__world_stop(tenure__world *world, bool dormant)
{
    tenure__mutator *mutator;
    world->stop_dormant = dormant;
    atomic_store_explicit(&world->last_stopped, 0, memory_order_relaxed);
    atomic_store_explicit(&world->requested_ns, tenure__now_ns(), memory_order_relaxed);
    /* seq_cst: request before the poison; see tenure__set_limit. */
    atomic_fetch_add_explicit(&world->request, 1, memory_order_seq_cst);
    EACH(&world->active, mutator) __atomic_store_n(&mutator->record.limit, 0, __ATOMIC_SEQ_CST);
    uint32_t running = claim_list(&world->active);
    if (dormant) running += claim_list(&world->dormant);
    atomic_store_explicit(&world->spinning_pays, running < world->processors, memory_order_relaxed);
    /* outstanding was zero and has gone below by as many as are out already: it changes by additions alone, so it does
     * not matter that their decrements are not ordered after anything of this stop. */
    const bool late = atomic_fetch_add_explicit(&world->outstanding, running, memory_order_acq_rel) + running != 0 &&
                      wait_for_all(world);
    return (tenure__reach) { running,
        running > 0 ? atomic_load_explicit(&world->last_stopped, memory_order_relaxed) : 0, late };
}

/* A thread that waits since before this stop is let in on its behalf, so that the next stop has to wait for it: if
 * stops follow each other faster than it wakes up, it would never come in by itself. */
static void resume_one(tenure__mutator *mutator)
{
    uint32_t state = atomic_load_explicit(&mutator->state, memory_order_relaxed), next;
    do {
        next = state & ~(uint32_t)TENURE__STOP;
        if ((state & (TENURE__RETURNING | TENURE__PASSED | TENURE__DORMANT)) == (TENURE__RETURNING | TENURE__PASSED))
            next = TENURE__RUNNING;
        else if (state & TENURE__RETURNING)
            next |= TENURE__PASSED;
        /* release: pairs with the acquire in try_acquire_one. */
    } while (!atomic_compare_exchange_weak_explicit(
        &mutator->state, &state, next, memory_order_release, memory_order_relaxed));
}

static void resume_list(struct cds_list_head *list)
{
    tenure__mutator *mutator;
    EACH(list, mutator) resume_one(mutator);
}

void tenure__world_resume(tenure__world *world)
{
    tenure__count_parked_holders(world);
    /* release: whoever sees the even number may set its limit. */
    atomic_fetch_add_explicit(&world->request, 1, memory_order_release);
    resume_list(&world->active);
    if (world->stop_dormant) resume_list(&world->dormant);
    atomic_fetch_add_explicit(&world->resumes, 1, memory_order_seq_cst); /* pairs with sleep_until_resumed */
    if (atomic_load_explicit(&world->asleep, memory_order_seq_cst) == 0) return;
    tenure__futex_wake_for(&world->resumes, INT32_MAX, WAKE_HOLDERS);
    tenure__futex_wake_for(&world->resumes, CHAIN, WAKE_OTHERS);
}

static void poison_world(tenure__world *world)
{
    tenure__mutator *mutator;
    cds_list_for_each_entry_rcu(mutator, &world->every, every_link)
    {
        tenure__tsan_acquire(mutator);
        __atomic_store_n(&mutator->record.limit, 0, __ATOMIC_SEQ_CST);
        tenure__tsan_release(mutator);
    }
}

/* Readers are the whole process's, so every world is poisoned; and until the grace period is over, for a thread may
 * have announced quiescence just before it began, or may be about to store a limit. */
void tenure__rcu_hurry_begin(void)
{
    atomic_fetch_add_explicit(&rcu_waiters, 1, memory_order_seq_cst); /* pairs with tenure__set_limit */
    tenure__each_world(poison_world);
}

void tenure__rcu_hurry_end(void) { atomic_fetch_sub_explicit(&rcu_waiters, 1, memory_order_relaxed); }
void tenure__rcu_hurry_none(void) { atomic_store_explicit(&rcu_waiters, 0, memory_order_relaxed); }

struct outside {
    void (*fn)(void *);
    void *arg;
};

static void run_outside(tenure__mutator *mutator, void *arg)
{
    const struct outside *outside = arg;
    tenure__release(mutator, TENURE__PARKED);
    outside->fn(outside->arg);
    tenure__reacquire(mutator);
}

void tenure__outside(void (*fn)(void *), void *arg)
{
    tenure__os_thread *os = tenure__os_thread_self();
    tenure__mutator *mutator = os->records;
    int state;
    tenure__pass(os, 0);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* fn may join, print, hold locks */
    if (mutator == 0 || mutator->depth != 0)
        fn(arg);
    else
        tenure__with_context(mutator, run_outside, &(struct outside) { fn, arg });
    pthread_setcancelstate(state, 0);
}

/* --- tenure_stop_world --- */

/* The stop lock, for a stop of its own. A thread that owns another heap's stop must not wait for the owner of this one,
 * who may want that heap: false. A collection is waited for; it ends. */
static bool lock_to_own(tenure__mutator *mutator)
{
    tenure__world *world = mutator->world;
    bool owns_another = false;
    for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling)
        owns_another |= tenure__owns_stop(each);
    if (!owns_another) tenure__lock_stop(world);
    while (owns_another && !tenure__trylock_stop(world)) {
        if (atomic_load_explicit(&world->owner, memory_order_relaxed) != 0) return false;
        sched_yield();
    }
    return true;
}

/* On return the thread is in again in its other heaps. They may be stopped just now, and who stopped them may wait for
 * this heap: then this stop is given up, and tried again after that one. */
static void stop_world(tenure__mutator *mutator, void *status)
{
    tenure__world *world = mutator->world;
    tenure__mutator *refused = 0;
    tenure__release(mutator, TENURE__PARKED);
    while (lock_to_own(mutator)) {
        if (!tenure__fork_try_hold()) {
            tenure__unlock_stop(world);
            tenure__fork_hold();
            tenure__fork_unhold();
            continue;
        }
        atomic_store_explicit(&world->owner, mutator, memory_order_relaxed);
        world->owner_depth = 1;
        tenure__world_stop(world, true);
        refused = acquire_all(mutator, 0); /* let in, it would run in a heap while it waits for the stop lock of this */
        if (refused == 0) return;
        atomic_store_explicit(&world->owner, 0, memory_order_relaxed);
        tenure__world_resume(world);
        tenure__unlock_stop(world);
        tenure__fork_unhold();
        wait_until_free(refused);
    }
    *(tenure_status *)status = TENURE_EDEADLK;
    tenure__reacquire(mutator);
}

tenure_status tenure_stop_world(tenure_thread *self)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    tenure__world *world = mutator->world;
    tenure__require_in(mutator, "tenure_stop_world");
    if (tenure__owns_stop(mutator)) {
        world->owner_depth++;
        return TENURE_OK;
    }
    tenure_status status = TENURE_OK;
    tenure__pass(mutator->os, 0);
    tenure__with_context(mutator, stop_world, &status);
    return status;
}

static void resume_world(tenure__mutator *mutator, void *unused)
{
    (void)unused;
    tenure__world *world = mutator->world;
    tenure__release(mutator, TENURE__PARKED); /* the thread's other records; this one still is */
    atomic_store_explicit(&world->owner, 0, memory_order_relaxed);
    tenure__world_resume(world);
    tenure__unlock_stop(world);
    tenure__fork_unhold();
    tenure__reacquire(mutator);
}

void tenure_resume_world(tenure_thread *self)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    if (!tenure__owns_stop(mutator)) tenure__misuse("tenure_resume_world", "only after tenure_stop_world");
    if (--mutator->world->owner_depth != 0) return;
    tenure__with_context(mutator, resume_world, 0);
    tenure__pass(mutator->os, 0);
}

static void synchronize(tenure__mutator *mutator, void *unused)
{
    (void)unused;
    tenure__release(mutator, TENURE__PARKED);
    tenure__fork_hold();
    tenure__rcu_hurry_begin();
    urcu_qsbr_synchronize_rcu();
    tenure__rcu_hurry_end();
    tenure__fork_unhold();
    tenure__reacquire(mutator);
}

void tenure_synchronize_rcu(tenure_thread *self)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    tenure__require_in(mutator, "tenure_synchronize_rcu");
    tenure__pass(mutator->os, 0);
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* liburcu sleeps in calls of the system */
    tenure__with_context(mutator, synchronize, 0);
    pthread_setcancelstate(state, 0);
}
