/* Locks made at run time, in memory that holds anything, and what they refuse. */
#include "tests/threads/threads.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>

static tenure_heap *heap;
static tenure_thread *self;
static void begin(void)
{
    heap = heap_with("max_heap=64m");
    self = tenure_attach(heap);
}
static void end(void) { heap_end(heap, self); }
TestSuite(made_locks, .init = begin, .fini = end);

static const struct timespec long_ago = { 0, 1 };

static struct {
    tenure_mutex mutex;
    tenure_rwlock rwlock;
    tenure_cond cond;
    tenure_sem sem;
} made;

static void make(void)
{
    memset(&made, 0xff, sizeof made);
    cr_assert(eq(int, tenure_mutex_init(&made.mutex, "mutex"), TENURE_OK));
    cr_assert(eq(int, tenure_rwlock_init(&made.rwlock, "rwlock"), TENURE_OK));
    cr_assert(eq(int, tenure_cond_init(&made.cond, "cond"), TENURE_OK));
    cr_assert(eq(int, tenure_sem_init(&made.sem, "sem", 1), TENURE_OK));
}

static void use(void)
{
    cr_assert(eq(int, tenure_mutex_lock(self, &made.mutex), TENURE_OK));
    cr_expect(eq(int, tenure_cond_timedwait(self, &made.cond, &made.mutex, &long_ago), TENURE_ETIMEDOUT));
    cr_expect(eq(int, tenure_mutex_trylock(self, &made.mutex), false), "the wait took it again");
    tenure_mutex_unlock(self, &made.mutex);
    cr_assert(eq(int, tenure_rwlock_rdlock(self, &made.rwlock), TENURE_OK));
    tenure_rwlock_unlock(self, &made.rwlock);
    cr_assert(eq(int, tenure_rwlock_wrlock(self, &made.rwlock), TENURE_OK));
    tenure_rwlock_unlock(self, &made.rwlock);
    cr_assert(eq(int, tenure_sem_wait(self, &made.sem), TENURE_OK));
    cr_expect(eq(int, tenure_sem_timedwait(self, &made.sem, &long_ago), TENURE_ETIMEDOUT));
    cr_assert(eq(int, tenure_sem_post(&made.sem), TENURE_OK));
}

static void destroy(void)
{
    tenure_mutex_destroy(&made.mutex);
    tenure_rwlock_destroy(&made.rwlock);
    tenure_cond_destroy(&made.cond);
    tenure_sem_destroy(&made.sem);
}

Test(made_locks, again_and_again)
{
    for (unsigned i = 0; i < 3; i++) {
        make();
        cr_expect(strcmp(made.mutex.lock.name, "mutex") == 0);
        cr_expect(strcmp(made.rwlock.lock.name, "rwlock") == 0);
        cr_expect(strcmp(made.cond.lock.name, "cond") == 0);
        cr_expect(strcmp(made.sem.lock.name, "sem") == 0);
        use();
        destroy();
    }
}

static void *wait_for_signal(void *turn)
{
    tenure_thread *own = tenure_attach(heap);
    REQUIRE(tenure_mutex_lock(own, &made.mutex) == TENURE_OK);
    ++*(unsigned *)turn;
    REQUIRE(tenure_cond_wait(own, &made.cond, &made.mutex) == TENURE_OK);
    ++*(unsigned *)turn;
    tenure_mutex_unlock(own, &made.mutex);
    tenure_detach(own);
    return NULL;
}

Test(made_locks, condition_wakes)
{
    make();
    unsigned turn = 0;
    const pthread_t waiter = start_thread(wait_for_signal, &turn);
    for (bool waits = false; !waits;) {
        cr_assert(eq(int, tenure_mutex_lock(self, &made.mutex), TENURE_OK));
        waits = turn == 1;
        if (waits) tenure_cond_broadcast(&made.cond);
        tenure_mutex_unlock(self, &made.mutex);
    }
    join_blocked(self, waiter);
    cr_expect(eq(u32, turn, 2));
    destroy();
}

/* More than a thread's record has room for. ThreadSanitizer gives up at the 64th that a thread holds. */
enum { MANY = SHADOWED ? 60 : 100 };
static tenure_mutex many[MANY];
static flag all_held, let_go;
static void *hold_many(void *unused)
{
    tenure_thread *own = tenure_attach(heap);
    for (unsigned i = 0; i < MANY; i++) REQUIRE(tenure_mutex_lock(own, &many[i]) == TENURE_OK);
    atomic_store(&all_held, 1);
    await_polling(own, &let_go, 1);
    for (unsigned i = 0; i < MANY; i++) tenure_mutex_unlock(own, &many[i]);
    tenure_detach(own);
    return unused;
}

Test(made_locks, many_at_once)
{
    const pthread_t holder = start_thread(hold_many, NULL);
    await_polling(self, &all_held, 1);
    for (unsigned i = 0; i < MANY; i++) cr_expect(eq(int, tenure_mutex_trylock(self, &many[i]), false));
    atomic_store(&let_go, 1);
    join_blocked(self, holder);
    for (unsigned i = 0; i < MANY; i++) cr_expect(eq(int, tenure_mutex_trylock(self, &many[i]), true));
    for (unsigned i = 0; i < MANY; i++) tenure_mutex_unlock(self, &many[i]);
}

Test(made_locks, semaphore_refuses)
{
    tenure_sem sem;
    cr_expect(eq(int, tenure_sem_init(&sem, "too much", (unsigned)INT_MAX + 1), TENURE_EINVAL));
    cr_assert(eq(int, tenure_sem_init(&sem, "full", INT_MAX), TENURE_OK));
    cr_expect(eq(int, tenure_sem_post(&sem), TENURE_ESYSTEM));
    cr_expect(eq(int, errno, EOVERFLOW));
    tenure_sem_destroy(&sem);
}

static tenure_mutex held = TENURE_MUTEX_INIT("held");
Test(made_locks, scope_of_what_one_holds, .signal = SIGABRT)
{
    be_quiet();
    TENURE_LOCK_SCOPE(self, &held);
    TENURE_LOCK_SCOPE(self, &held);
}
