/* What Tenure asks of liburcu beyond quiescence: registration, deferred frees, and how both survive a fork.
 *
 * liburcu wants every reader unregistered before a fork, and pauses the thread that runs its callbacks across it. Here
 * the child drops the readers of the threads that it does not have, and starts the callback thread when something first
 * needs it: a child that only execs has one thread. */
#include "threads/rcu.h"
#include "threads/mutator.h"
#include "threads/system.h"

/* Held around registration, and by a thread that is a reader for one section only and in no stop set: a fork finds
 * liburcu's own lock of its list free, and nobody half-way. Nothing is waited for under it. */
static pthread_mutex_t registration = PTHREAD_MUTEX_INITIALIZER;

static _Atomic bool call_rcu_used;     /* its default thread exists; written under a stop lock */
static _Atomic bool paused_since_fork; /* this process is a child that has no callback thread yet; likewise */

void tenure__rcu_register(void)
{
    tenure__own_lock(&registration);
    urcu_qsbr_register_thread();
    tenure__own_unlock(&registration);
}

void tenure__rcu_unregister(void)
{
    tenure__own_lock(&registration);
    urcu_qsbr_unregister_thread();
    tenure__own_unlock(&registration);
}

static bool is_in_a_stop_set(void)
{
    const tenure__mutator *mutator = tenure__os_thread_self()->records;
    return mutator != 0 &&
           (atomic_load_explicit(&mutator->state, memory_order_relaxed) & TENURE__MODE) == TENURE__RUNNING;
}

enum tenure__rcu_section tenure__rcu_section_begin(void)
{
    if (!tenure__rcu_registered()) {
        tenure__own_lock(&registration);
        urcu_qsbr_register_thread();
        if (!is_in_a_stop_set()) return TENURE__RCU_LOCKED;
        tenure__own_unlock(&registration);
        return TENURE__RCU_WAS_UNREGISTERED;
    }
    if (tenure__rcu_online()) return TENURE__RCU_WAS_ONLINE;
    urcu_qsbr_thread_online();
    return TENURE__RCU_WAS_OFFLINE;
}

void tenure__rcu_section_end(enum tenure__rcu_section section)
{
    if (section == TENURE__RCU_WAS_UNREGISTERED) {
        tenure__rcu_unregister();
    } else if (section == TENURE__RCU_LOCKED) {
        urcu_qsbr_unregister_thread();
        tenure__own_unlock(&registration);
    } else if (section == TENURE__RCU_WAS_OFFLINE) {
        urcu_qsbr_thread_offline();
    }
}

/* What call_rcu_before_fork took is given back late. */
static void finish_fork(void)
{
    if (!atomic_load_explicit(&paused_since_fork, memory_order_acquire)) return;
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    TENURE__MUST(pthread_mutex_lock(&once));
    if (atomic_load_explicit(&paused_since_fork, memory_order_relaxed)) {
        urcu_qsbr_call_rcu_after_fork_child();
        /* release: pairs with the acquire above; the callback thread is there for who sees it. */
        atomic_store_explicit(&paused_since_fork, false, memory_order_release);
    }
    TENURE__MUST(pthread_mutex_unlock(&once));
}

/* --- without liburcu's callback thread --- */

/* Callbacks that wait until there is one; their func is set. */
static _Atomic(struct cds_wfcq_node *) put_off;
/* Of who takes them: they have been called or handed over for whoever gets it. Nobody forks meanwhile. */
static pthread_mutex_t taking = PTHREAD_MUTEX_INITIALIZER;

static void *end_at_once(void *arg) { return arg; }

/* Whether it is there, or could be started just now: liburcu ends a process in which it cannot start it. */
static bool has_callback_thread(void)
{
    if (atomic_load_explicit(&call_rcu_used, memory_order_relaxed) &&
        !atomic_load_explicit(&paused_since_fork, memory_order_acquire))
        return true;
    pthread_t probe;
    if (tenure__own_thread(&probe, "tenure-probe", end_at_once, 0) != 0) return false;
    TENURE__MUST(pthread_join(probe, 0));
    return true;
}

/* acquire: pairs with the release in tenure__rcu_call. */
static struct cds_wfcq_node *take(void) { return atomic_exchange_explicit(&put_off, 0, memory_order_acquire); }

static void each(struct cds_wfcq_node *node, void (*fn)(struct rcu_head *))
{
    for (struct cds_wfcq_node *next; node != 0; node = next) {
        next = node->next;
        fn(caa_container_of(node, struct rcu_head, next));
    }
}

/* release: of what tenure__rcu_call and who took it wrote; the callbacks acquire it. */
static void hand_over(struct rcu_head *head)
{
    void (*fn)(struct rcu_head *) = head->func;
    tenure__tsan_release(head);
    urcu_qsbr_call_rcu(head, fn);
    atomic_store_explicit(&call_rcu_used, true, memory_order_relaxed); /* read when no stop lock is free */
}

static void call(struct rcu_head *head) { head->func(head); }

/* --- call_rcu --- */

void tenure__rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *))
{
    struct cds_wfcq_node *first = atomic_load_explicit(&put_off, memory_order_relaxed);
    head->func = fn;
    /* release: who takes it (acquire in take) sees func and the next one, and what the caller wrote before. */
    do head->next.next = first;
    while (!atomic_compare_exchange_weak_explicit(
        &put_off, &first, &head->next, memory_order_release, memory_order_relaxed));
    if (!has_callback_thread()) return;
    finish_fork();
    TENURE__MUST(pthread_mutex_lock(&taking));
    each(take(), hand_over);
    TENURE__MUST(pthread_mutex_unlock(&taking));
}

void tenure__rcu_barrier(void)
{
    finish_fork();
    TENURE__MUST(pthread_mutex_lock(&taking));
    struct cds_wfcq_node *taken = take();
    if (taken == 0 || has_callback_thread()) {
        each(taken, hand_over);
    } else {
        urcu_qsbr_synchronize_rcu();
        each(taken, call);
    }
    TENURE__MUST(pthread_mutex_unlock(&taking));
    urcu_qsbr_barrier();
}

/* --- fork --- */

static bool paused; /* by the fork that is going on */

/* Takes liburcu's lock of its callback threads: only once the default one exists, for making it would wait for this
 * lock under a stop lock. Its thread takes 10 ms to see the request. */
static void pause_callbacks(void)
{
    if (paused || !atomic_load_explicit(&call_rcu_used, memory_order_relaxed) ||
        atomic_load_explicit(&paused_since_fork, memory_order_relaxed))
        return;
    urcu_qsbr_call_rcu_before_fork();
    paused = true;
}

void tenure__rcu_fork_begin(void)
{
    if (!atomic_load_explicit(&call_rcu_used, memory_order_relaxed)) return;
    tenure__rcu_hurry_begin(); /* the callback thread may be waiting for a grace period */
    pause_callbacks();
    tenure__rcu_hurry_end();
}

void tenure__rcu_fork_stopped(void)
{
    pause_callbacks(); /* if they were first used, or used again after a fork, since */
    TENURE__MUST(pthread_mutex_lock(&registration));
}

void tenure__rcu_fork_parent(void)
{
    TENURE__MUST(pthread_mutex_unlock(&registration));
    if (paused) urcu_qsbr_call_rcu_after_fork_parent();
    paused = false;
}

/* Only the caller is left in liburcu's list of readers. A thread that registers goes first: what is before it is the
 * list's head. The records of the others lie in the stacks of threads that are gone, and go when new threads use them.
 */
static void forget_readers(void)
{
    const bool registered = tenure__rcu_registered(), online = registered && tenure__rcu_online();
    if (registered) urcu_qsbr_unregister_thread();
    urcu_qsbr_register_thread();
    struct cds_list_head *node = &URCU_TLS(urcu_qsbr_reader).node, *head = node->prev;
    head->next = head->prev = node;
    node->next = head;
    if (!registered)
        urcu_qsbr_unregister_thread();
    else if (!online)
        urcu_qsbr_thread_offline();
}

void tenure__rcu_fork_child(void)
{
    TENURE__MUST(pthread_mutex_unlock(&registration));
    forget_readers();
    if (paused) atomic_store_explicit(&paused_since_fork, true, memory_order_relaxed);
    paused = false;
}
