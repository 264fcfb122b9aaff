/* tenure_mutex: waiting for one never stalls a stop, and no stop leaves it taken by a parked thread inside lock(). */
#include "tests/threads/threads.h"

static tenure_heap *heap;

static void begin(void) { heap = heap_with("max_heap=128m,gen0=1m,verify=after"); }
static void end(void) { cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK)); }

TestSuite(lock, .init = begin, .fini = end);

enum { THREADS = 4 };
static tenure_mutex mutex = TENURE_MUTEX_INIT("contended");
static unsigned long counter; /* guarded by mutex */
static flag up, go;

static void *count_under_lock(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 30, (uintptr_t)arg);
    for (int i = ROUNDS(5000); i > 0; i--) {
        TENURE_LOCK_SCOPE(self, &mutex);
        const unsigned long before = counter;
        if (i % 4 == 0) make_chain(self, 10, 1); /* a safepoint under the lock */
        counter = before + 1;
    }
    check_chain(kept, 30, (uintptr_t)arg);
    tenure_detach(self);
    return NULL;
}

Test(lock, contended_while_stops_go_on_back_to_back)
{
    pthread_t threads[THREADS];
    collector always;
    collector_start(&always, heap);
    for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start_thread(count_under_lock, (void *)i);
    for (unsigned i = 0; i < THREADS; i++) join_thread(threads[i]);
    collector_stop(&always);
    cr_assert(eq(ulong, counter, THREADS * (unsigned long)ROUNDS(5000)));
}

/* --- a waiter --- */

static tenure_thread *_Atomic waiter;

static void *wait_for_lock(void *of)
{
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 30, 5);
    clobber_stack();
    atomic_store(&waiter, self);
    atomic_store(&up, 1);
    tenure_mutex_lock(self, of);
    check_chain(kept, 30, 5);
    atomic_store(&go, 1);
    tenure_mutex_unlock(self, of);
    tenure_detach(self);
    return NULL;
}

static pthread_t start_waiter(tenure_thread *self, tenure_mutex *of)
{
    pthread_t thread = start_thread(wait_for_lock, of);
    await_polling(self, &up, 1);
    for (; mode_of(waiter) != TENURE__BLOCKED; sched_yield()) tenure_poll(self);
    return thread;
}

Test(lock, stops_do_not_wait_for_a_waiter)
{
    tenure_thread *self = tenure_attach(heap);
    tenure_mutex_lock(self, &mutex);
    pthread_t thread = start_waiter(self, &mutex);
    for (unsigned i = 0; i < 3; i++) collect_and_litter(self);
    cr_assert(eq(int, atomic_load(&go), 0));
    tenure_mutex_unlock(self, &mutex);
    join_blocked(self, thread);
    cr_assert(eq(int, atomic_load(&go), 1));
    tenure_detach(self);
}

/* Won during a stop: the waiter lets go again, so that whoever runs can have it. */
Test(lock, nobody_parks_inside_lock_owning_it)
{
    tenure_thread *self = tenure_attach(heap);
    tenure_mutex_lock(self, &mutex);
    pthread_t thread = start_waiter(self, &mutex);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    tenure_mutex_unlock(self, &mutex);
    /* It gets the mutex, finds itself stopped, gives it back and sleeps. */
    while ((state_of(waiter) & TENURE__RETURNING) == 0) sched_yield();
    cr_assert(tenure_mutex_trylock(self, &mutex));
    spend_budget(self);
    cr_assert(eq(int, atomic_load(&go), 0));
    tenure_mutex_unlock(self, &mutex);
    tenure_resume_world(self);
    join_blocked(self, thread);
    tenure_detach(self);
}

Test(lock, trylock_of_a_taken_one)
{
    tenure_thread *self = tenure_attach(heap);
    cr_assert(tenure_mutex_trylock(self, &mutex));
    cr_assert(not(tenure_mutex_trylock(self, &mutex)));
    tenure_mutex_unlock(self, &mutex);
    tenure_mutex own;
    cr_assert(eq(int, tenure_mutex_init(&own, "own"), TENURE_OK));
    tenure_mutex_lock(self, &own);
    tenure_mutex_unlock(self, &own);
    tenure_mutex_destroy(&own);
    tenure_detach(self);
}

Test(lock, inside_a_region)
{
    tenure_thread *self = tenure_attach(heap);
    tenure_mutex_lock(self, &mutex);
    pthread_t thread = start_waiter(self, &mutex);
    tenure_enter_blocking(self);
    tenure_mutex_unlock(self, &mutex);
    await(&go, 1);
    tenure_mutex_lock(self, &mutex);
    cr_assert(eq(u32, mode_of(self), TENURE__BLOCKED));
    tenure_mutex_unlock(self, &mutex);
    tenure_leave_blocking(self);
    join_blocked(self, thread);
    tenure_detach(self);
}

Test(lock, a_lock_that_one_holds_oneself)
{
    tenure_thread *self = tenure_attach(heap);
    cr_assert(eq(int, tenure_mutex_lock(self, &mutex), TENURE_OK));
    cr_assert(eq(int, tenure_mutex_lock(self, &mutex), TENURE_EDEADLK));
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    cr_assert(eq(int, tenure_mutex_lock(self, &mutex), TENURE_EDEADLK));
    tenure_resume_world(self);
    tenure_mutex_unlock(self, &mutex);
    tenure_detach(self);
}

/* --- as owner of a stop, attached to another heap as well --- */

static tenure_heap *other;

static void *hold_and_poll(void *arg)
{
    tenure_thread *self = tenure_attach(other);
    tenure_mutex_lock(self, &mutex);
    atomic_store(&up, 1);
    await_polling(self, &go, 1);
    tenure_mutex_unlock(self, &mutex);
    tenure_detach(self);
    return arg;
}

static void *lock_as_stop_owner(void *arg)
{
    tenure_thread *self = tenure_attach(heap), *second = tenure_attach(other);
    REQUIRE(tenure_stop_world(self) == TENURE_OK);
    atomic_store(&waiter, self);
    REQUIRE(tenure_mutex_lock(self, &mutex) == TENURE_OK);
    REQUIRE(mode_of(second) == TENURE__RUNNING);
    tenure_mutex_unlock(self, &mutex);
    tenure_resume_world(self);
    tenure_detach(second);
    tenure_detach(self);
    return arg;
}

/* The holder is parked for the other heap's stop, which does not wait for the owner of this one. */
Test(lock, a_stop_owner_waits_outside_of_its_other_heaps)
{
    other = heap_with("max_heap=64m");
    const pthread_t holder = start_thread(hold_and_poll, NULL);
    await(&up, 1);
    const pthread_t owner = start_thread(lock_as_stop_owner, NULL);
    while (atomic_load(&waiter) == NULL || atomic_load(&tenure__mutator_of(waiter)->os->awaited) != &mutex.lock)
        sched_yield();
    for (unsigned i = 0; i < 10; i++) {
        tenure__lock_stop(&other->world);
        tenure__world_stop(&other->world, true);
        tenure__world_resume(&other->world);
        tenure__unlock_stop(&other->world);
    }
    atomic_store(&go, 1);
    join_thread(holder);
    join_thread(owner);
    cr_assert(eq(int, tenure_heap_destroy(other), TENURE_OK));
}

/* --- in heap objects --- */

typedef struct account {
    struct account *next;
    tenure_mutex mutex; /* zeroed: unlocked */
    unsigned long balance;
} account;
TENURE_TYPE(account_type, account, next);

static account *bank; /* a root */
static atomic_ulong deposits;

static account *nth(unsigned n)
{
    account *each = bank;
    for (; n > 0; n--) each = each->next;
    return each;
}

static void *deposit(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    for (int i = ROUNDS(3000); i > 0; i--) {
        account *of = nth(((unsigned)i + (unsigned)(uintptr_t)arg) % 3);
        TENURE_FRAME(self, of);
        tenure_mutex_lock(self, &of->mutex);
        const unsigned long before = of->balance;
        tenure_poll(self);
        of->balance = before + 1;
        tenure_mutex_unlock(self, &of->mutex);
        atomic_fetch_add(&deposits, 1);
        if (i % 64 == 0) REQUIRE(tenure_collect(self, TENURE_GEN0) == TENURE_OK);
        make_chain(self, 10, 1);
    }
    tenure_detach(self);
    return NULL;
}

static void deposits_add_up(void)
{
    tenure_thread *self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &bank), TENURE_OK));
    for (unsigned i = 0; i < 3; i++) {
        account *fresh = tenure_new(self, account_type);
        TENURE_SET(self, fresh, next, bank);
        bank = fresh;
    }
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) threads[i] = start_thread(deposit, (void *)i);
    for (unsigned i = 0; i < THREADS; i++) join_blocked(self, threads[i]);
    unsigned long sum = 0;
    for (unsigned i = 0; i < 3; i++) sum += nth(i)->balance;
    cr_assert(eq(ulong, sum, THREADS * (unsigned long)ROUNDS(3000)));
    tenure_root_remove(heap, &bank);
    tenure_detach(self);
}

Test(lock, inside_heap_objects) { deposits_add_up(); }
