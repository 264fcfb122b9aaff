/* check=locks finds what it promises, and nothing else. */
#include "tests/threads/threads.h"
#include "threads/lock.h"
#include <sys/wait.h>

static tenure_heap *heap;
static tenure_thread *self;
static tenure_mutex low = TENURE_MUTEX_INIT("low"), high = TENURE_MUTEX_INIT("high"),
                    quiet = TENURE_MUTEX_INIT("quiet");
static tenure_rwlock shared = TENURE_RWLOCK_INIT("shared");
static tenure_cond cond = TENURE_COND_INIT("cond");

static void begin(void)
{
    heap = heap_with("max_heap=64m,gen0=1m,check=locks");
    self = tenure_attach(heap);
    tenure_mutex_rules(&low, 1, 0);
    tenure_rwlock_rules(&shared, 2, 0);
    tenure_mutex_rules(&high, 3, 0);
    tenure_mutex_rules(&quiet, 0, TENURE_LOCK_NO_GC);
}
static void end(void) { heap_end(heap, self); }
TestSuite(lock_check, .init = begin, .fini = end);

static char report[4096];

/* What fn prints before it aborts, in a child. */
static void aborts_with(void (*fn)(void))
{
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        fn();
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    for (ssize_t count; (count = tenure_read(self, ends[0], report + used, sizeof report - 1 - used)) > 0;)
        used += (size_t)count;
    report[used] = '\0';
    close(ends[0]);
    int status;
    REQUIRE(tenure_waitpid(self, child, &status, 0) == child);
    const bool aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    cr_assert(aborted, "%s", report);
}
static void says(const char *text) { cr_expect(strstr(report, text) != NULL, "'%s' in: %s", text, report); }

Test(lock_check, rising_ranks_are_fine)
{
    for (unsigned i = 0; i < 3; i++) {
        tenure_mutex_lock(self, &low);
        tenure_rwlock_rdlock(self, &shared);
        tenure_mutex_lock(self, &high);
        tenure_rwlock_rdlock(self, &shared); /* again: it waits for nobody */
        tenure_rwlock_unlock(self, &shared);
        cr_assert(eq(int, tenure_mutex_lock(self, &low), TENURE_EDEADLK));
        tenure_mutex_lock(self, &quiet); /* takes no part */
        tenure_mutex_unlock(self, &quiet);
        cr_assert(tenure_new_bytes(self, 24) != NULL);
        tenure_mutex_unlock(self, &low); /* in any order */
        cr_assert(tenure_mutex_trylock(self, &low), "a try-lock waits for nobody");
        tenure_mutex_unlock(self, &low);
        tenure_mutex_unlock(self, &high);
        tenure_rwlock_unlock(self, &shared);
        collect(self, TENURE_GEN0);
    }
}

static void waits_with_high(void)
{
    tenure_mutex_lock(self, &low);
    tenure_mutex_lock(self, &high);
    const struct timespec past = { 0 };
    tenure_cond_timedwait(self, &cond, &low, &past);
}

Test(lock_check, a_condition_takes_its_mutex_back)
{
    aborts_with(waits_with_high);
    says("locks are taken in rising order of rank");
    says("holds \"high\" (rank 3) in ");
    says("takes \"low\" (rank 1) in ");
}

__attribute__((noinline)) static void takes_high(void)
{
    tenure_mutex_lock(self, &high);
    __asm__ volatile("");
}
static void takes_low_under_high(void)
{
    takes_high();
    tenure_mutex_lock(self, &low);
    __asm__ volatile("");
}
static void takes_low_under_shared(void)
{
    tenure_rwlock_rdlock(self, &shared);
    tenure_mutex_lock(self, &low);
}
Test(lock_check, falling_ranks)
{
    aborts_with(takes_low_under_high);
    says("rising order of rank");
    says("holds \"high\" (rank 3) in takes_high+");
    says("takes \"low\" (rank 1) in takes_low_under_high+");
    aborts_with(takes_low_under_shared);
    says("holds \"shared\" (rank 2)");
}

static void allocates(void)
{
    tenure_new_bytes(self, 24);
    tenure_mutex_lock(self, &quiet);
    tenure_new_bytes(self, 24);
}
static void polls(void)
{
    tenure_mutex_lock(self, &quiet);
    tenure_poll(self);
}
static void blocks(void)
{
    tenure_mutex_lock(self, &quiet);
    TENURE_BLOCKING_SCOPE(self);
}
static void collects(void)
{
    tenure_mutex_lock(self, &quiet);
    tenure_collect(self, TENURE_GEN0);
}
Test(lock_check, no_gc)
{
    aborts_with(allocates);
    says("an allocation while a lock is held that is declared no-GC");
    says("holds \"quiet\" (rank 0) in allocates+");
    aborts_with(polls);
    says("tenure_poll while");
    aborts_with(blocks);
    says("a blocking region while");
    aborts_with(collects);
    says("tenure_collect while");
}

/* The poison goes with the lock. */
Test(lock_check, no_gc_ends_with_the_lock)
{
    for (unsigned i = 0; i < 3; i++) {
        tenure_mutex_lock(self, &quiet);
        const struct timespec past = { 0, 1 };
        tenure_cond_timedwait(self, &cond, &quiet, &past); /* given back meanwhile */
        cr_assert(eq(ulong, self->limit, 0));
        tenure_mutex_unlock(self, &quiet);
        cr_assert(ne(ulong, self->limit, 0));
        cr_assert(tenure_new_bytes(self, 24) != NULL);
        tenure_poll(self);
        collect(self, TENURE_GEN0);
    }
}

Test(lock_check, off)
{
    end();
    heap = heap_with("max_heap=64m,gen0=1m");
    self = tenure_attach(heap);
    tenure__os_thread_self()->check_locks = false; /* on for the thread since begin */
    tenure_mutex_lock(self, &high);
    tenure_mutex_lock(self, &low);
    tenure_mutex_lock(self, &quiet);
    cr_assert(tenure_new_bytes(self, 24) != NULL);
    tenure_poll(self);
    tenure_mutex_unlock(self, &quiet);
    tenure_mutex_unlock(self, &low);
    tenure_mutex_unlock(self, &high);
}
