/* What all kinds of locks have in common, tried with each: waiting for one never stalls a stop, what is won during a
 * stop is given back, deadlines, regions, locks in heap objects of precise heaps, several heaps in one thread. */
#include "tests/threads/kinds.h"
#include "threads/lock.h"

static tenure_heap *heap;

static void begin(void) { heap = heap_with("max_heap=128m,gen0=1m,verify=after"); }
static void end(void) { cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK)); }
TestSuite(kinds, .init = begin, .fini = end);

/* --- a waiter --- */

typedef struct waiter {
    const kind *of;
    any_lock *lock;
    long timeout_ms; /* 0: none */
    tenure_thread *_Atomic self;
    flag took, may_go;
    tenure_status status;
    pthread_t thread;
} waiter;

static void *take_once(void *arg)
{
    waiter *me = arg;
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 30, 5);
    clobber_stack();
    atomic_store(&me->self, self);
    const struct timespec deadline = after_ms(me->timeout_ms);
    me->status = me->timeout_ms == 0 ? me->of->take(self, me->lock) : me->of->take_until(self, me->lock, &deadline);
    check_chain(kept, 30, 5);
    atomic_store(&me->took, 1);
    if (me->status == TENURE_OK) me->of->give(self, me->lock);
    await_polling(self, &me->may_go, 1);
    tenure_detach(self);
    return NULL;
}

/* Returns when it waits, or its time has passed already. */
static void waiter_start(tenure_thread *self, waiter *me)
{
    me->thread = start_thread(take_once, me);
    while (atomic_load(&me->self) == NULL || (mode_of(me->self) != TENURE__BLOCKED && atomic_load(&me->took) == 0)) {
        tenure_poll(self);
        sched_yield();
    }
    while (atomic_load(&tenure__mutator_of(me->self)->os->awaited) == NULL && atomic_load(&me->took) == 0)
        sched_yield();
}

static void waiter_join(tenure_thread *self, waiter *me)
{
    atomic_store(&me->may_go, 1);
    join_blocked(self, me->thread);
}

/* The world is stopped, and me waits for a lock that somebody holds, until a time that has not passed yet. */
static void stop_with_waiter(tenure_thread *self, waiter *me)
{
    for (long timeout_ms = 20;; timeout_ms *= 2) {
        *me = (waiter) { .of = me->of, .lock = me->lock, .timeout_ms = timeout_ms };
        waiter_start(self, me);
        cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
        if (atomic_load(&me->took) == 0) return;
        tenure_resume_world(self);
        waiter_join(self, me);
        cr_assert(eq(int, (int)me->status, TENURE_ETIMEDOUT));
    }
}

Test(kinds, stops_do_not_wait_for_a_waiter)
{
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < KINDS; i++) {
        any_lock lock = { 0 };
        kinds[i].prepare(&lock);
        cr_assert(eq(int, keeper_of(&kinds[i])->take(self, &lock), TENURE_OK));
        waiter me = { .of = &kinds[i], .lock = &lock };
        waiter_start(self, &me);
        for (unsigned round = 0; round < 3; round++) collect_and_litter(self);
        cr_assert(eq(int, atomic_load(&me.took), 0));
        keeper_of(&kinds[i])->give(self, &lock);
        waiter_join(self, &me);
        cr_assert(eq(int, (int)me.status, TENURE_OK), "%s", kinds[i].name);
    }
    tenure_detach(self);
}

/* Won during a stop: the waiter lets go again, so that whoever runs can have it. */
Test(kinds, what_is_won_during_a_stop_is_given_back)
{
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < KINDS; i++) {
        const kind *keeper = keeper_of(&kinds[i]);
        any_lock lock = { 0 };
        kinds[i].prepare(&lock);
        cr_assert(eq(int, keeper->take(self, &lock), TENURE_OK));
        waiter me = { .of = &kinds[i], .lock = &lock };
        waiter_start(self, &me);
        cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
        keeper->give(self, &lock);
        while ((state_of(me.self) & TENURE__RETURNING) == 0) sched_yield();
        cr_assert(keeper->try_take(self, &lock), "%s", kinds[i].name);
        spend_budget(self);
        cr_assert(eq(int, atomic_load(&me.took), 0));
        keeper->give(self, &lock);
        tenure_resume_world(self);
        waiter_join(self, &me);
        cr_assert(eq(int, (int)me.status, TENURE_OK));
    }
    tenure_detach(self);
}

Test(kinds, deadlines)
{
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < KINDS; i++) {
        any_lock lock = { 0 };
        kinds[i].prepare(&lock);
        cr_assert(eq(int, keeper_of(&kinds[i])->take(self, &lock), TENURE_OK));
        waiter me = { .of = &kinds[i], .lock = &lock, .timeout_ms = 20 };
        me.thread = start_thread(take_once, &me);
        waiter_join(self, &me);
        cr_assert(eq(int, (int)me.status, TENURE_ETIMEDOUT), "%s", kinds[i].name);

        /* The deadline passes in a stop; what was given back meanwhile is taken after it. */
        waiter late = { .of = &kinds[i], .lock = &lock };
        stop_with_waiter(self, &late);
        while ((state_of(late.self) & TENURE__RETURNING) == 0) sched_yield();
        keeper_of(&kinds[i])->give(self, &lock);
        tenure_resume_world(self);
        waiter_join(self, &late);
        cr_assert(eq(int, (int)late.status, TENURE_OK), "%s", kinds[i].name);
    }
    tenure_detach(self);
}

/* --- cancelled: semaphores alone, of what is here --- */

static tenure_sem no_units;
static flag cleaned_up;

static void allocate(void *self)
{
    make_chain(self, 30, 5); /* it runs */
    atomic_store(&cleaned_up, 1);
}

static void *wait_to_be_cancelled(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    pthread_cleanup_push(allocate, self);
    tenure_sem_wait(self, &no_units);
    pthread_cleanup_pop(0);
    return arg;
}

/* ThreadSanitizer orders nothing that the handlers of a cancelled sem_wait do: it reports what they read after an
 * acquire, in a program of ten lines without Tenure too. */
Test(kinds, a_cancelled_waiter)
{
    if (SANITIZED) return;
    tenure_thread *self = tenure_attach(heap);
    cr_assert(eq(int, tenure_sem_init(&no_units, "none", 0), TENURE_OK));
    const pthread_t thread = start_thread(wait_to_be_cancelled, NULL);
    while (__atomic_load_n(&no_units.lock.waiters, __ATOMIC_RELAXED) == 0) {
        tenure_poll(self);
        sched_yield();
    }
    pthread_cancel(thread);
    join_blocked(self, thread);
    cr_assert(eq(int, atomic_load(&cleaned_up), 1));
    cr_assert(eq(u32, no_units.lock.waiters, 0));
    tenure_detach(self);
}

/* --- as owner of a stop --- */

static flag holding, let_go;

static void *hold(void *arg)
{
    waiter *me = arg;
    tenure_thread *self = tenure_attach(heap);
    REQUIRE(me->of->take(self, me->lock) == TENURE_OK);
    atomic_store(&holding, 1);
    await_polling(self, &let_go, 1);
    me->of->give(self, me->lock);
    tenure_detach(self);
    return NULL;
}

static void *hold_unattached(void *arg)
{
    waiter *me = arg;
    REQUIRE(me->of->take(NULL, me->lock) == TENURE_OK);
    atomic_store(&holding, 1);
    while (atomic_load(&let_go) == 0) sched_yield();
    me->of->give(NULL, me->lock);
    return NULL;
}

Test(kinds, the_owner_of_a_stop_does_not_wait_for_who_is_stopped)
{
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < KINDS; i++) {
        any_lock lock = { 0 };
        kinds[i].prepare(&lock);
        waiter holder = { .of = keeper_of(&kinds[i]), .lock = &lock };
        atomic_store(&holding, 0);
        atomic_store(&let_go, 0);
        pthread_t thread = start_thread(hold, &holder);
        await_polling(self, &holding, 1);
        cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
        const struct timespec deadline = after_ms(1000000);
        cr_assert(eq(int, kinds[i].take(self, &lock), TENURE_EDEADLK), "%s", kinds[i].name);
        cr_assert(eq(int, kinds[i].take_until(self, &lock, &deadline), TENURE_EDEADLK), "%s", kinds[i].name);
        tenure_resume_world(self);
        atomic_store(&let_go, 1);
        join_blocked(self, thread);
    }
    tenure_detach(self);
}

static void *let_go_later(void *arg)
{
    const struct timespec wait = { 0, 5000000 };
    nanosleep(&wait, NULL);
    atomic_store(&let_go, 1);
    return arg;
}

Test(kinds, the_owner_of_a_stop_waits_for_who_is_not)
{
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < KINDS; i++) {
        if (!kinds[i].held) continue;
        any_lock lock = { 0 };
        waiter holder = { .of = keeper_of(&kinds[i]), .lock = &lock };
        atomic_store(&holding, 0);
        atomic_store(&let_go, 0);
        pthread_t thread = start_thread(hold_unattached, &holder);
        await_polling(self, &holding, 1);
        cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
        const struct timespec past = after_ms(2);
        cr_assert(eq(int, kinds[i].take_until(self, &lock, &past), TENURE_ETIMEDOUT));
        pthread_t later = start_thread(let_go_later, NULL);
        cr_assert(eq(int, kinds[i].take(self, &lock), TENURE_OK), "%s", kinds[i].name);
        kinds[i].give(self, &lock);
        tenure_resume_world(self);
        join_blocked(self, thread);
        join_blocked(self, later);
    }
    tenure_detach(self);
}

/* --- in heap objects that would move --- */

typedef struct owner {
    struct owner *next;
    any_lock lock;
    uint64_t value;
} owner;
TENURE_TYPE(owner_type, owner, next);

static owner *object; /* a root */
static tenure_heap *other;

/* Neither the holder's frames nor anything else but the root names the object; the collection must leave it where it is
 * while it is held or waited for, and may move it before and after. */
static void held_and_awaited_in(tenure_heap *where, tenure_heap *by)
{
    tenure_thread *self = tenure_attach(where);
    tenure_thread *taker = tenure_attach(by);
    cr_assert(eq(int, tenure_root_add(where, &object), TENURE_OK));
    for (unsigned i = 0; i < KINDS; i++) {
        if (!kinds[i].held) continue;
        object = tenure_new(self, owner_type);
        any_lock *before = &object->lock;
        collect(self, TENURE_GEN0);
        cr_assert(object != NULL && &object->lock != before, "an object that nobody holds moves");
        object = tenure_new(self, owner_type);
        any_lock *lock = &object->lock;
        cr_assert(eq(int, keeper_of(&kinds[i])->take(taker, lock), TENURE_OK));
        collect(self, TENURE_GEN0);
        cr_assert(lock == &object->lock, "held as %s", kinds[i].name);
        object = NULL;
        collect(self, TENURE_GEN1);
        cr_assert(tenure_object_at(where, lock) != NULL, "what is held lives");
        keeper_of(&kinds[i])->give(taker, lock);
        collect(self, TENURE_GEN2);
        cr_assert(tenure_object_at(where, lock) == NULL, "and no longer");
    }
    tenure_root_remove(where, &object);
    tenure_detach(taker);
    tenure_detach(self);
}

Test(kinds, what_is_held_stays_in_a_precise_heap)
{
    tenure_heap *precise = precise_heap_with("max_heap=64m,gen0=1m,verify=before+after");
    held_and_awaited_in(precise, precise);
    cr_assert(eq(int, tenure_heap_destroy(precise), TENURE_OK));
}

/* Taken with the record of one heap, in an object of another. */
Test(kinds, what_is_held_through_another_heap_stays)
{
    tenure_heap *precise = precise_heap_with("max_heap=64m,gen0=1m,verify=before+after");
    other = precise_heap_with("max_heap=64m");
    held_and_awaited_in(precise, other);
    cr_assert(eq(int, tenure_heap_destroy(other), TENURE_OK));
    cr_assert(eq(int, tenure_heap_destroy(precise), TENURE_OK));
}

static void *wait_for_object(void *arg)
{
    waiter *me = arg;
    tenure_thread *self = tenure_attach(heap);
    atomic_store(&me->self, self);
    REQUIRE(me->of->take(self, &object->lock) == TENURE_OK);
    atomic_store(&me->took, 1);
    me->of->give(self, &object->lock);
    tenure_detach(self);
    return NULL;
}

/* The holder has let the object go: an unattached thread holds it natively. */
Test(kinds, what_is_awaited_stays_in_a_precise_heap)
{
    tenure_heap *conservative = heap;
    heap = precise_heap_with("max_heap=64m,gen0=1m,verify=before+after");
    tenure_thread *self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &object), TENURE_OK));
    for (unsigned i = 0; i < KINDS; i++) {
        object = tenure_new(self, owner_type);
        kinds[i].prepare(&object->lock);
        any_lock *lock = &object->lock;
        waiter holder = { .of = keeper_of(&kinds[i]), .lock = lock };
        atomic_store(&holding, 0);
        atomic_store(&let_go, 0);
        pthread_t thread = start_thread(hold_unattached, &holder);
        while (atomic_load(&holding) == 0) sched_yield();
        waiter me = { .of = &kinds[i] };
        me.thread = start_thread(wait_for_object, &me);
        while (atomic_load(&me.self) == NULL || atomic_load(&tenure__mutator_of(me.self)->os->awaited) == NULL ||
               mode_of(me.self) != TENURE__BLOCKED) {
            tenure_poll(self);
            sched_yield();
        }
        collect(self, TENURE_GEN0);
        cr_assert(lock == &object->lock, "awaited as %s", kinds[i].name);
        atomic_store(&let_go, 1);
        join_blocked(self, thread);
        waiter_join(self, &me);
    }
    tenure_root_remove(heap, &object);
    heap_end(heap, self);
    heap = conservative;
}

/* --- the rest --- */

Test(kinds, unattached_threads)
{
    for (unsigned i = 0; i < KINDS; i++) {
        any_lock lock = { 0 };
        kinds[i].prepare(&lock);
        const struct timespec past = after_ms(1);
        cr_assert(eq(int, keeper_of(&kinds[i])->take(NULL, &lock), TENURE_OK));
        cr_assert(not(keeper_of(&kinds[i])->try_take(NULL, &lock)));
        cr_assert(eq(int, (int)keeper_of(&kinds[i])->take_until(NULL, &lock, &past),
            kinds[i].held ? TENURE_EDEADLK : TENURE_ETIMEDOUT));
        keeper_of(&kinds[i])->give(NULL, &lock);
        cr_assert(kinds[i].try_take(NULL, &lock));
        kinds[i].give(NULL, &lock);
    }
}

Test(kinds, tens_at_once)
{
    enum { MANY = 60 }; /* as many as ThreadSanitizer lets a thread hold */
    static any_lock locks[MANY];
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < MANY; i++) cr_assert(eq(int, kinds[i % 3].take(self, &locks[i]), TENURE_OK));
    collect_and_litter(self);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert(tenure__holds(tenure__mutator_of(self)->os,
            (tenure__lock *)((char *)&locks[i] +
                             (i % 3 == 0 ? offsetof(tenure_mutex, lock) : offsetof(tenure_rwlock, lock)))));
    for (unsigned i = 0; i < MANY; i += 2) kinds[i % 3].give(self, &locks[i]);
    for (unsigned i = 1; i < MANY; i += 2) kinds[i % 3].give(self, &locks[i]);
    cr_assert(eq(u32, atomic_load(&tenure__mutator_of(self)->os->held_count), 0));
    tenure_detach(self);
}

static void *give_of_another(void *arg)
{
    waiter *me = arg;
    me->of->give(NULL, me->lock);
    return NULL;
}

Test(kinds, giving_back_a_mutex_of_another, .signal = SIGABRT)
{
    static any_lock lock;
    waiter me = { .of = &kinds[0], .lock = &lock };
    be_quiet();
    cr_assert(eq(int, kinds[0].take(NULL, &lock), TENURE_OK));
    join_thread(start_thread(give_of_another, &me));
}
Test(kinds, giving_back_a_rwlock_that_nobody_holds, .signal = SIGABRT)
{
    static any_lock lock;
    be_quiet();
    kinds[READER].give(NULL, &lock);
}
