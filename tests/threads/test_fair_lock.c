/* The fair lock: nobody starves, the line is served in its order. */
#include "tests/threads/threads.h"
#include <sys/resource.h>

TestSuite(fair_lock);

static tenure__fair_lock lock;
static flag served, let_go;
static int order[3];
static unsigned long counter; /* lock */

static void *wait_in_line(void *arg)
{
    tenure__fair_take(&lock);
    order[atomic_fetch_add(&served, 1)] = (int)(intptr_t)arg;
    await(&let_go, 1);
    tenure__fair_give(&lock);
    return NULL;
}

static pthread_t join_line(int number)
{
    pthread_t thread = start_thread(wait_in_line, (void *)(intptr_t)number);
    while (atomic_load(&lock.tickets) != (uint32_t)number + 1) sched_yield();
    return thread;
}

Test(fair_lock, whoever_waited_long_is_next)
{
    cr_assert(tenure__fair_try(&lock));
    cr_assert(not(tenure__fair_try(&lock)));
    pthread_t thread = join_line(0);
    while (!atomic_load(&lock.closed)) sched_yield();
    tenure__fair_give(&lock);
    cr_assert(not(tenure__fair_try(&lock)), "it is free, but not for others");
    atomic_store(&let_go, 1);
    join_thread(thread);
    cr_assert(eq(int, atomic_load(&served), 1));
    cr_assert(tenure__fair_try(&lock));
    tenure__fair_give(&lock);
}

Test(fair_lock, the_line_is_served_in_its_order)
{
    pthread_t threads[3];
    tenure__fair_take(&lock);
    for (int i = 0; i < 3; i++) threads[i] = join_line(i);
    atomic_store(&let_go, 1);
    tenure__fair_give(&lock);
    for (int i = 0; i < 3; i++) join_thread(threads[i]);
    for (int i = 0; i < 3; i++) cr_assert(eq(int, order[i], i));
}

static void *pass_through(void *arg)
{
    tenure__fair_take(&lock);
    atomic_fetch_add(&served, 1);
    tenure__fair_give(&lock);
    return arg;
}

/* Each hand-over used to wake an eighth of all who waited: 10,000 threads that attach took minutes. */
Test(fair_lock, a_long_line_is_not_woken_whenever_it_moves)
{
    enum { LONG = 1000 };
    static pthread_t threads[LONG];
    struct rusage before, after;
    tenure__fair_take(&lock);
    for (unsigned i = 0; i < LONG; i++) threads[i] = start_thread(pass_through, NULL);
    while (atomic_load(&lock.tickets) < LONG) sched_yield();
    getrusage(RUSAGE_SELF, &before);
    tenure__fair_give(&lock);
    for (unsigned i = 0; i < LONG; i++) join_thread(threads[i]);
    getrusage(RUSAGE_SELF, &after);
    cr_expect(eq(int, atomic_load(&served), LONG));
    cr_expect(lt(long, after.ru_nvcsw - before.ru_nvcsw, 20 * LONG)); /* of going to sleep */
}

static void *count(void *arg)
{
    for (int i = ROUNDS(20000); i > 0; i--) {
        tenure__fair_take(&lock);
        counter++;
        tenure__fair_give(&lock);
    }
    return arg;
}

/* More waiters than the line has slots. */
Test(fair_lock, excludes)
{
    enum { THREADS = 12 };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = start_thread(count, NULL);
    for (int i = 0; i < THREADS; i++) join_thread(threads[i]);
    cr_assert(eq(ulong, counter, THREADS * (unsigned long)ROUNDS(20000)));
}
