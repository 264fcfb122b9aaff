/* Running what is due: the finalizer thread, pumps, draining, the end of the heap.
 *
 * The lists of what is due change in stops, and outside of them under a lock that is held for a few loads and stores
 * and never across a safepoint; what a running mutator took from a list is its own. */
#include "lib/collection/cycle.h"
#include "lib/collection/finalizer.h"
#include "threads/futex.h"
#include "threads/system.h"
#include <errno.h>
#include <tenure/finalizer.h>
#include <tenure/root.h>
#include <tenure/safepoint.h>
#include <unistd.h>

/* The finalizer thread's state. */
enum { NONE, RUNS, ENDED };
static _Thread_local const tenure_heap *serving; /* the heap whose finalizer thread this is */

/* --- one --- */

static tenure__action *take_due(tenure__finalizers_state *finalizers)
{
    tenure__own_lock(&finalizers->lock);
    uintptr_t *head = &finalizers->due[finalizers->due[2] != 0 ? 2 : 1];
    tenure__action *action = tenure__action_at(*head);
    if (action != 0) *head = action->record.next;
    tenure__own_unlock(&finalizers->lock);
    return action;
}

static void note_time(tenure__finalizers_state *finalizers, uint64_t ns, const tenure_type *type)
{
    tenure__own_lock(&finalizers->lock);
    finalizers->run++;
    if (ns > finalizers->slowest_ns) {
        finalizers->slowest_ns = ns;
        finalizers->slowest_type = type->name; /* types are immortal */
    }
    tenure__own_unlock(&finalizers->lock);
}

/* True: it ran; false: it had been cancelled, or run by hand. due: the index of its type. */
static bool call(tenure_thread *self, tenure__action *action, unsigned kind)
{
    /* acq_rel: it is called once, whoever comes first (tenure_cleaner_run), after what was done before it was
     * registered. */
    const uintptr_t fn = __atomic_exchange_n(&action->fn, 0, __ATOMIC_ACQ_REL);
    if (fn == 0) return false;
    TENURE_FRAME(self, action);
    void *target = (void *)action->record.target, *arg = (void *)action->arg;
    const tenure_type *type =
        kind == TENURE__FINALIZERS ? tenure_type_of(target) : (const tenure_type *)action->record.hash;
    const uint64_t start = tenure__now_ns();
    if (kind == TENURE__FINALIZERS)
        ((tenure_finalizer_fn *)fn)(self, target, arg);
    else if (kind == TENURE__CLEANERS)
        ((tenure_cleaner_fn *)fn)(self, arg);
    else
        ((tenure_watch_fn *)fn)(self, (tenure_weak *)action, arg);
    if (tenure__mutator_of(self)->depth != 0)
        tenure__misuse("a finalizer", "it ends the blocking and idle regions that it entered");
    note_time(&self->heap->finalizers, tenure__now_ns() - start, type);
    tenure_store(self, action, &action->arg, 0);
    return true;
}

/* In a frame of its own: what it left on the stack is below whoever waits for the next. */
typedef enum outcome { NOTHING_DUE, RAN, SKIPPED } outcome;
__attribute__((noinline)) static outcome run_next(tenure_thread *self)
{
    tenure__finalizers_state *finalizers = &self->heap->finalizers;
    tenure__action *action = take_due(finalizers);
    if (action == 0) return NOTHING_DUE;
    TENURE_FRAME(self, action);
    /* Not kept by this one: what is behind it in the list, and (when it has run) its object. */
    tenure_store(self, action, &action->record.next, 0);
    const unsigned kind = TENURE__WATCHES + (unsigned)(tenure_type_of(action) - tenure__due_types);
    tenure__allocator_of(self)->finalizing++;
    const bool ran = call(self, action, kind);
    tenure__allocator_of(self)->finalizing--;
    tenure_store(self, action, &action->record.target, 0);
    /* release: what it did is seen by who waits for it to be done. */
    if (atomic_fetch_sub_explicit(&finalizers->left, 1, memory_order_acq_rel) == 1)
        tenure__futex_wake(&finalizers->left, UINT32_MAX >> 1);
    return ran ? RAN : SKIPPED;
}

size_t tenure_finalizers_pump(tenure_thread *self, size_t max)
{
    tenure__require_in(tenure__mutator_of(self), "tenure_finalizers_pump");
    size_t ran = 0;
    for (outcome last = RAN; ran < max && last != NOTHING_DUE; ran += last == RAN) last = run_next(self);
    return ran;
}

/* Until then, or until nothing is due and nothing runs: true. */
static bool drain(tenure_thread *self, uint64_t deadline)
{
    tenure_heap *heap = self->heap;
    for (;;) {
        /* acquire: pairs with the release in run_next. */
        const uint32_t left = atomic_load_explicit(&heap->finalizers.left, memory_order_acquire);
        const uint64_t now = tenure__now_ns();
        if (left == 0) return true;
        if (now >= deadline) return false;
        /* Not announced yet; in a forked child perhaps by nobody. */
        if (atomic_load_explicit(&heap->finalizers.ready, memory_order_relaxed)) tenure__daemon_poke(heap);
        if (heap->options.finalizers == TENURE_PUMP && run_next(self) != NOTHING_DUE) continue;
        TENURE_BLOCKING_CALL(self, tenure__futex_wait(&heap->finalizers.left, left, deadline - now));
    }
}

tenure_status tenure_finalizers_drain(tenure_thread *self, uint64_t timeout_ns)
{
    tenure__require_in(tenure__mutator_of(self), "tenure_finalizers_drain");
    if (tenure__allocator_of(self)->finalizing != 0 || tenure__owns_stop(tenure__mutator_of(self)))
        return TENURE_EDEADLK;
    const uint64_t now = tenure__now_ns();
    return drain(self, timeout_ns < UINT64_MAX - now ? now + timeout_ns : UINT64_MAX) ? TENURE_OK : TENURE_ETIMEDOUT;
}

bool tenure_cleaner_run(tenure_thread *self, tenure_cleaner *cleaner)
{
    tenure__require_in(tenure__mutator_of(self), "tenure_cleaner_run");
    return call(self, (tenure__action *)cleaner, TENURE__CLEANERS);
}

bool tenure_cleaner_cancel(tenure_thread *self, tenure_cleaner *cleaner)
{
    tenure__action *action = (tenure__action *)cleaner;
    if (__atomic_exchange_n(&action->fn, 0, __ATOMIC_ACQ_REL) == 0) return false;
    tenure_store(self, action, &action->arg, 0);
    return true;
}

/* --- the thread --- */

static void wait_for_due(tenure_thread *self, uint32_t seen)
{
    TENURE_IDLE_CALL(self, tenure__futex_wait(&self->heap->finalizers.wake, seen, 0));
}

static void *finalizer_thread(void *arg)
{
    tenure_heap *heap = arg;
    tenure__finalizers_state *finalizers = &heap->finalizers;
    serving = heap;
    /* relaxed: who looks for threads under the stop lock sees it, if it sees the record at all. */
    atomic_store_explicit(&finalizers->tid, gettid(), memory_order_relaxed);
    tenure_thread *self;
    while ((self = tenure_attach(heap)) == 0) sched_yield(); /* memory is short: others release some */
    for (;;) {
        const uint32_t seen = atomic_load_explicit(&finalizers->wake, memory_order_acquire);
        if (atomic_load_explicit(&finalizers->stops, memory_order_acquire)) break;
        if (run_next(self) == NOTHING_DUE) wait_for_due(self, seen);
    }
    tenure_detach(self);
    atomic_store_explicit(&finalizers->tid, 0, memory_order_relaxed);
    /* release: pairs with the acquire in end_thread. */
    atomic_store_explicit(&finalizers->state, ENDED, memory_order_release);
    tenure__futex_wake(&finalizers->state, UINT32_MAX >> 1);
    return 0;
}

static void start_thread(tenure_heap *heap)
{
    tenure__finalizers_state *finalizers = &heap->finalizers;
    atomic_store_explicit(&finalizers->state, RUNS, memory_order_relaxed); /* before it can have ended */
    if (tenure__own_thread(&finalizers->thread, "tenure-final", finalizer_thread, heap) == 0) return;
    atomic_store_explicit(&finalizers->state, NONE, memory_order_relaxed);
    atomic_store_explicit(&finalizers->ready, true, memory_order_relaxed); /* tried again later */
}

static void poke_thread(tenure__finalizers_state *finalizers)
{
    /* release: pairs with the acquire in finalizer_thread. */
    atomic_fetch_add_explicit(&finalizers->wake, 1, memory_order_release);
    tenure__futex_wake(&finalizers->wake, 1);
}

/* Started at first need, and again after the heap's destruction was begun and given up. Daemon. */
static void wake_thread(tenure_heap *heap)
{
    tenure__finalizers_state *finalizers = &heap->finalizers;
    if (atomic_load_explicit(&finalizers->stops, memory_order_acquire)) return;
    if (atomic_load_explicit(&finalizers->state, memory_order_acquire) == ENDED) {
        tenure__finalizers_join(heap);
        atomic_store_explicit(&finalizers->state, NONE, memory_order_relaxed);
    }
    if (atomic_load_explicit(&finalizers->state, memory_order_relaxed) == NONE) start_thread(heap);
    poke_thread(finalizers);
}

void tenure__finalizers_announce(tenure_heap *heap)
{
    tenure__finalizers_state *finalizers = &heap->finalizers;
    /* acquire: pairs with the poke of the daemon. */
    if (!atomic_exchange_explicit(&finalizers->ready, false, memory_order_acquire)) return;
    tenure__futex_wake(&finalizers->left, UINT32_MAX >> 1); /* who drains by pumping */
    if (heap->options.finalizers == TENURE_THREAD) wake_thread(heap);
    tenure__own_lock(&finalizers->lock);
    tenure_ready_fn *fn = finalizers->ready_fn;
    void *arg = finalizers->ready_arg;
    tenure__own_unlock(&finalizers->lock);
    if (fn != 0) fn(arg);
    const uint64_t one = 1;
    /* Full or closed: nobody is in a hurry to read it. */
    if (heap->options.finalizers_eventfd != 0) (void)!write(heap->options.finalizers_eventfd, &one, sizeof one);
}

void tenure_finalizers_ready(tenure_heap *heap, tenure_ready_fn *fn, void *arg)
{
    tenure__own_lock(&heap->finalizers.lock);
    heap->finalizers.ready_fn = fn;
    heap->finalizers.ready_arg = arg;
    tenure__own_unlock(&heap->finalizers.lock);
}

/* --- the end --- */

static void look_for_others(tenure_heap *heap, void *arg)
{
    const pid_t own = atomic_load_explicit(&heap->finalizers.tid, memory_order_relaxed);
    tenure__mutator *mutator;
    cds_list_for_each_entry(mutator, &heap->world.every, every_link) * (bool *)arg |= mutator->tid != own;
}

/* Whether a thread is attached beside the finalizers' own. */
static bool is_busy(tenure_heap *heap)
{
    bool busy = tenure_self(heap) != 0;
    if (!busy) tenure__with_stop_lock(heap, look_for_others, &busy);
    return busy;
}

/* What the finalizer thread registered since the last stop is in lists of its own: if there is one, it may have. */
static bool has_rest(const tenure_heap *heap)
{
    bool rest = atomic_load_explicit(&heap->finalizers.left, memory_order_relaxed) != 0 ||
                atomic_load_explicit(&heap->finalizers.state, memory_order_relaxed) == RUNS;
    for (unsigned generation = 0; generation < 3; generation++)
        rest |= heap->records[TENURE__FINALIZERS][generation].head != 0 ||
                heap->records[TENURE__CLEANERS][generation].head != 0;
    return rest;
}

/* Their objects may be alive, but not for long. */
static void make_cleaners_due(tenure_thread *self)
{
    tenure_heap *heap = self->heap;
    tenure_stop_world(self);
    for (unsigned generation = 0; generation < 3; generation++) {
        for (uintptr_t at = heap->records[TENURE__CLEANERS][generation].head, next; at != 0; at = next) {
            next = tenure__record_at(at)->next;
            tenure__record_at(at)->target = 0;
            if (tenure__action_at(at)->fn != 0)
                tenure__make_due(heap, at, tenure__header_generation(tenure__header_load(at)));
        }
        heap->records[TENURE__CLEANERS][generation] = (tenure__records) { 0 };
    }
    tenure_resume_world(self);
    tenure__daemon_poke(heap);
}

static uint64_t runs_of(tenure__finalizers_state *finalizers)
{
    tenure__own_lock(&finalizers->lock);
    const uint64_t run = finalizers->run;
    tenure__own_unlock(&finalizers->lock);
    return run;
}

/* Rounds: what runs, be it since before the first, may register more and let go of what had a finalizer. */
static void run_rest(tenure_thread *self, uint64_t deadline)
{
    tenure__finalizers_state *finalizers = &self->heap->finalizers;
    uint64_t before;
    do {
        before = runs_of(finalizers);
        tenure__collect_now(tenure__allocator_of(self), 2, "destroy");
        make_cleaners_due(self);
    } while (drain(self, deadline) && runs_of(finalizers) != before && tenure__now_ns() < deadline);
}

struct ending {
    tenure_heap *heap;
    bool ended;
};

/* Outside the stop set: the thread may have to wait for one. */
static void end_thread(void *arg)
{
    struct ending *ending = arg;
    tenure__finalizers_state *finalizers = &ending->heap->finalizers;
    const uint64_t deadline = tenure__now_ns() + ending->heap->options.destroy_wait;
    atomic_store_explicit(&finalizers->stops, true, memory_order_release);
    poke_thread(finalizers);
    for (;;) {
        /* acquire: pairs with the release of the thread that ends. */
        const uint32_t state = atomic_load_explicit(&finalizers->state, memory_order_acquire);
        const uint64_t now = tenure__now_ns();
        ending->ended = state != RUNS;
        if (ending->ended || now >= deadline) return;
        tenure__futex_wait(&finalizers->state, state, deadline - now);
    }
}

tenure_status tenure__finalizers_end(tenure_heap *heap)
{
    tenure__finalizers_state *finalizers = &heap->finalizers;
    const uint64_t deadline = tenure__now_ns() + heap->options.destroy_wait;
    if (is_busy(heap)) return TENURE_EBUSY;
    tenure_thread *self = has_rest(heap) ? tenure_enter(heap) : 0;
    if (self != 0) {
        run_rest(self, deadline);
        tenure_leave(self);
    }
    struct ending ending = { heap, false };
    tenure__outside(end_thread, &ending);
    if (ending.ended && !is_busy(heap)) return TENURE_OK;
    /* Back to work: what is due still runs. */
    atomic_store_explicit(&finalizers->stops, false, memory_order_relaxed);
    atomic_store_explicit(&finalizers->ready, true, memory_order_relaxed);
    tenure__daemon_poke(heap);
    return TENURE_EBUSY;
}

/* --- fork --- */

void tenure__finalizers_forked(tenure_heap *heap)
{
    tenure__finalizers_state *finalizers = &heap->finalizers;
    if (serving == heap) { /* a finalizer forked */
        atomic_store_explicit(&finalizers->tid, gettid(), memory_order_relaxed);
    } else {
        atomic_store_explicit(&finalizers->tid, 0, memory_order_relaxed);
        atomic_store_explicit(&finalizers->state, NONE, memory_order_relaxed);
        atomic_store_explicit(&finalizers->stops, false, memory_order_relaxed);
    }
    const tenure__allocator *own = (tenure__allocator *)tenure_self(heap);
    uint32_t left = own != 0 ? own->finalizing : 0;
    for (unsigned generation = 0; generation < 3; generation++)
        for (uintptr_t at = finalizers->due[generation]; at != 0; at = tenure__record_at(at)->next) left++;
    atomic_store_explicit(&finalizers->left, left, memory_order_relaxed);
    atomic_store_explicit(&finalizers->ready, left != 0, memory_order_relaxed);
}

void tenure__finalizers_init(tenure_heap *heap)
{
    TENURE__MUST(pthread_mutex_init(&heap->finalizers.lock, 0));
    tenure__record_table_init(&heap->finalizers.table);
}

void tenure__finalizers_destroy(tenure_heap *heap)
{
    tenure__record_table_destroy(&heap->finalizers.table);
    TENURE__MUST(pthread_mutex_destroy(&heap->finalizers.lock));
}

void tenure__finalizers_join(tenure_heap *heap)
{
    if (atomic_load_explicit(&heap->finalizers.state, memory_order_relaxed) != NONE)
        TENURE__MUST(pthread_join(heap->finalizers.thread, 0));
}
