/* Every kind of lock in heap objects under torture: threads take them in every way, plainly, trying and until a
 * deadline, and allocate holding them; the objects that the locks lie in move, and are replaced while others wait for
 * them. A lock that two own at once, or an object that moved under its lock, shows in what it guards. */
#include "tests/threads/kinds.h"

static tenure_heap *heap;

typedef struct guarded {
    node *chain; /* as many as first is over a multiple of LONGEST */
    any_lock lock;
    uint64_t first, second; /* equal, but while they are changed */
} guarded;
TENURE_TYPE(guarded_type, guarded, chain);

enum { THREADS = 4, SLOTS = 2, LONGEST = 8, REPLACED = 64 };
static guarded *slots[SLOTS]; /* roots; atomic: replaced by whoever holds the lock */
static const kind *tortured;

static guarded *make_guarded(tenure_thread *self)
{
    guarded *fresh = tenure_new(self, guarded_type);
    REQUIRE(fresh != NULL);
    tortured->prepare(&fresh->lock);
    return fresh;
}

/* make_chain, in a heap that knows of no stack. */
static node *make_framed_chain(tenure_thread *self, unsigned count, uint64_t key)
{
    node *first = NULL;
    TENURE_FRAME(self, first);
    for (unsigned i = 0; i < count; i++) {
        node *fresh = tenure_new(self, node_type);
        REQUIRE(fresh != NULL);
        fresh->value = key + i;
        TENURE_SET(self, fresh, next, first);
        first = fresh;
    }
    return first;
}

static void check_guarded(const guarded *of)
{
    REQUIRE(of->first == of->second);
    uint64_t value = of->first;
    for (const node *each = of->chain; each != NULL; each = each->next) REQUIRE(each->value == value--);
    REQUIRE(value % LONGEST == 0);
}

static void change_guarded(tenure_thread *self, guarded *of, uint64_t random)
{
    TENURE_FRAME(self, of);
    of->first++;
    node *fresh = tenure_new(self, node_type);
    REQUIRE(fresh != NULL);
    fresh->value = of->first;
    TENURE_SET(self, fresh, next, of->chain);
    TENURE_SET(self, of, chain, of->first % LONGEST == 0 ? NULL : fresh);
    if (random % REPLACED == 0)
        __atomic_store_n(&slots[random / REPLACED % SLOTS], make_guarded(self), __ATOMIC_RELEASE);
    of->second++;
}

static bool take_somehow(tenure_thread *self, const kind *by, any_lock *lock, uint64_t random)
{
    if (random % 4 == 0) return by->try_take(self, lock);
    if (random % 4 == 1) {
        const struct timespec deadline = after_ms((long)(random / 4 % 3));
        const tenure_status status = by->take_until(self, lock, &deadline);
        REQUIRE(status == TENURE_OK || status == TENURE_ETIMEDOUT);
        return status == TENURE_OK;
    }
    REQUIRE(by->take(self, lock) == TENURE_OK);
    return true;
}

static void take_and_give(tenure_thread *self, uint64_t random)
{
    guarded *of = NULL;
    TENURE_FRAME(self, of);
    for (unsigned i = 0; i < ROUNDS(5000); i++) {
        const uint64_t choice = next_random(&random);
        const bool reads = tortured->shared && choice % 4 != 0;
        const kind *by = reads || !tortured->shared ? tortured : keeper_of(tortured);
        of = __atomic_load_n(&slots[choice / 8 % SLOTS], __ATOMIC_ACQUIRE);
        if (!take_somehow(self, by, &of->lock, choice / 16)) continue;
        check_guarded(of);
        if (!reads) change_guarded(self, of, choice >> 32);
        check_guarded(of);
        by->give(self, &of->lock);
        make_framed_chain(self, 2, i);
        tenure_poll(self);
    }
}

static void *run_takes(void *seed)
{
    tenure_thread *self = tenure_attach(heap);
    take_and_give(self, (uintptr_t)seed);
    tenure_detach(self);
    return NULL;
}

static void torture(const char *options, tenure_roots roots)
{
    for (unsigned i = 0; i < KINDS; i++) {
        if (i == WRITER) continue; /* READER writes, too */
        const tenure_options all = options_with(options, roots);
        heap = heap_of(&all);
        tortured = &kinds[i];
        tenure_thread *self = tenure_attach(heap);
        pthread_t threads[THREADS];
        collector always;
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            cr_assert(eq(int, tenure_root_add(heap, &slots[slot]), TENURE_OK));
            slots[slot] = make_guarded(self);
        }
        for (unsigned t = 0; t < THREADS; t++) threads[t] = start_thread(run_takes, (void *)(uintptr_t)(t + 1));
        TENURE_BLOCKING_CALL(self, collector_start(&always, heap));
        for (unsigned t = 0; t < THREADS; t++) join_blocked(self, threads[t]);
        TENURE_BLOCKING_CALL(self, collector_stop(&always));
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            check_guarded(slots[slot]);
            tenure_root_remove(heap, &slots[slot]);
        }
        heap_end(heap, self);
    }
}

/* --- conditions --- */

typedef struct table {
    node *chain;
    tenure_mutex mutex; /* zeroed */
    tenure_cond changed;
    uint64_t turn;
} table;
TENURE_TYPE(table_type, table, chain);
static table *shared; /* a root */

/* Each in its turn. Who waits is woken by the one before it, and by deadlines. */
static void take_turns(tenure_thread *self, uint64_t first)
{
    table *at = shared;
    TENURE_FRAME(self, at);
    for (uint64_t turn = first; turn < THREADS * (uint64_t)ROUNDS(2000); turn += THREADS) {
        TENURE_LOCK_SCOPE(self, &at->mutex);
        while (at->turn != turn) {
            const struct timespec deadline = after_ms((long)(turn % 3));
            const tenure_status status = turn % 2 == 0
                                             ? tenure_cond_wait(self, &at->changed, &at->mutex)
                                             : tenure_cond_timedwait(self, &at->changed, &at->mutex, &deadline);
            REQUIRE(status == TENURE_OK || (turn % 2 != 0 && status == TENURE_ETIMEDOUT));
        }
        if (turn != 0) check_chain(at->chain, 3, turn - 1);
        node *chain = make_framed_chain(self, 3, turn);
        TENURE_SET(self, at, chain, chain);
        at->turn = turn + 1;
        tenure_cond_broadcast(&at->changed);
    }
}
static void *run_turns(void *number)
{
    tenure_thread *self = tenure_attach(heap);
    take_turns(self, (uintptr_t)number);
    tenure_detach(self);
    return NULL;
}

static void torture_conditions(const char *options, tenure_roots roots)
{
    const tenure_options all = options_with(options, roots);
    heap = heap_of(&all);
    tenure_thread *self = tenure_attach(heap);
    pthread_t threads[THREADS];
    collector always;
    cr_assert(eq(int, tenure_root_add(heap, &shared), TENURE_OK));
    shared = tenure_new(self, table_type);
    for (unsigned t = 0; t < THREADS; t++) threads[t] = start_thread(run_turns, (void *)(uintptr_t)t);
    TENURE_BLOCKING_CALL(self, collector_start(&always, heap));
    for (unsigned t = 0; t < THREADS; t++) join_blocked(self, threads[t]);
    TENURE_BLOCKING_CALL(self, collector_stop(&always));
    cr_assert(eq(u64, shared->turn, THREADS * (uint64_t)ROUNDS(2000)));
    tenure_root_remove(heap, &shared);
    heap_end(heap, self);
}

/* --- the tortures --- */

static const char often[] = "max_heap=128m,gen0=1m,verify=after,torture=alloc:61";
static const char moving[] = "max_heap=128m,gen0=1m,verify=before+after,torture=alloc:127+evacuate";
static const char polling[] = "max_heap=128m,gen0=1m,torture=poll+evacuate+overflow";

Test(lock_torture, often_in_a_precise_heap) { torture(often, TENURE_ROOTS_PRECISE); }
Test(lock_torture, moving_in_a_precise_heap) { torture(moving, TENURE_ROOTS_PRECISE); }
Test(lock_torture, moving_in_a_conservative_heap) { torture(moving, TENURE_ROOTS_CONSERVATIVE); }
Test(lock_torture, polling_in_a_precise_heap) { torture(polling, TENURE_ROOTS_PRECISE); }
Test(lock_torture, conditions_in_a_precise_heap)
{
    torture_conditions(often, TENURE_ROOTS_PRECISE);
    torture_conditions(moving, TENURE_ROOTS_PRECISE);
}
Test(lock_torture, conditions_in_a_conservative_heap) { torture_conditions(moving, TENURE_ROOTS_CONSERVATIVE); }
