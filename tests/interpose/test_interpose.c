/* What interposed calls do in detail: linked with the interposer, so that the calls below are its own. */
#include "tests/threads/threads.h"
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <time.h>

static tenure_heap *heap;
static tenure_thread *self;
static int ends[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void begin(void)
{
    heap = heap_with("max_heap=128m,verify=before,after,torture=evacuate");
    self = tenure_attach(heap);
    cr_assert(eq(int, pipe(ends), 0));
}
static void end(void) { heap_end(heap, self); }
TestSuite(interpose, .init = begin, .fini = end);

/* --- another attached thread --- */

static _Atomic(tenure_thread *) other;
static flag arrived;

/* Until the other thread sleeps in the kernel. */
static void await_sleep(void)
{
    char name[64], line[256], state = 0;
    while (atomic_load(&other) == NULL || atomic_load(&arrived) == 0) tenure_poll(self);
    snprintf(name, sizeof name, "/proc/self/task/%d/stat", (int)tenure__mutator_of(atomic_load(&other))->tid);
    for (; state != 'S'; sched_yield()) {
        FILE *file = fopen(name, "r");
        REQUIRE(file != NULL && fgets(line, sizeof line, file) != NULL);
        fclose(file);
        state = strrchr(line, ')')[2];
    }
}

static void *run_attached(void *fn)
{
    tenure_thread *mine = tenure_attach(heap);
    REQUIRE(mine != NULL);
    atomic_store(&other, mine);
    (*(void (**)(void))fn)();
    REQUIRE(mode_of(mine) == TENURE__RUNNING);
    atomic_store(&other, NULL);
    tenure_detach(mine);
    return NULL;
}
static pthread_t start_attached(void (**fn)(void)) { return start_thread(run_attached, (void *)fn); }

/* --- what is won while a stop goes on is given back --- */

static void lock_and_unlock(void)
{
    atomic_store(&arrived, 1);
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
}

/* The owner of the stop has the mutex again and again: the waiter, who wins it sometimes, does not wait for the stop's
 * end with it. */
static void use_mutex_while_stopped(void)
{
    for (unsigned i = 0; i < 2000; i++) {
        REQUIRE(pthread_mutex_unlock(&mutex) == 0);
        sched_yield();
        REQUIRE(pthread_mutex_lock(&mutex) == 0);
    }
}

Test(interpose, nobody_waits_for_a_stop_owning_a_mutex)
{
    static void (*fn)(void) = lock_and_unlock;
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    const pthread_t thread = start_attached(&fn);
    await_sleep();
    cr_assert(eq(u32, mode_of(atomic_load(&other)), TENURE__BLOCKED));
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    use_mutex_while_stopped();
    tenure_resume_world(self);
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
    join_thread(thread);
}

static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static bool ready;
static void await_condition(void)
{
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    atomic_store(&arrived, 1);
    while (!ready) REQUIRE(pthread_cond_wait(&condition, &mutex) == 0);
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
}

Test(interpose, nobody_waits_for_a_stop_owning_a_conditions_mutex)
{
    static void (*fn)(void) = await_condition;
    const pthread_t thread = start_attached(&fn);
    await_sleep();
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    REQUIRE(pthread_cond_broadcast(&condition) == 0);
    use_mutex_while_stopped();
    ready = true;
    tenure_resume_world(self);
    REQUIRE(pthread_cond_broadcast(&condition) == 0);
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
    join_thread(thread);
}

static sem_t semaphore;
static void take_semaphore(void)
{
    atomic_store(&arrived, 1);
    REQUIRE(sem_wait(&semaphore) == 0);
}

Test(interpose, nobody_waits_for_a_stop_with_a_semaphores_unit)
{
    static void (*fn)(void) = take_semaphore;
    REQUIRE(sem_init(&semaphore, 0, 0) == 0);
    const pthread_t thread = start_attached(&fn);
    await_sleep();
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    for (unsigned i = 0; i < 2000; i++) {
        REQUIRE(sem_post(&semaphore) == 0);
        sched_yield();
        REQUIRE(sem_wait(&semaphore) == 0);
    }
    tenure_resume_world(self);
    REQUIRE(sem_post(&semaphore) == 0);
    join_thread(thread);
}

/* --- results --- */

static pthread_mutex_t *init_mutex(pthread_mutex_t *out, int type, int robust)
{
    pthread_mutexattr_t attr;
    REQUIRE(pthread_mutexattr_init(&attr) == 0);
    REQUIRE(pthread_mutexattr_settype(&attr, type) == 0 && pthread_mutexattr_setrobust(&attr, robust) == 0);
    REQUIRE(pthread_mutex_init(out, &attr) == 0);
    return out;
}

static void *lock_and_exit(void *of) { return (void *)(intptr_t)pthread_mutex_lock(of); }
static const struct timespec past = { 1, 0 };

Test(interpose, mutexes_give_what_they_gave)
{
    pthread_mutex_t checked, recursive;
    init_mutex(&checked, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED);
    cr_assert(eq(int, pthread_mutex_lock(&checked), 0));
    cr_expect(eq(int, pthread_mutex_lock(&checked), EDEADLK));
    init_mutex(&recursive, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED);
    for (unsigned i = 0; i < 3; i++) cr_expect(eq(int, pthread_mutex_lock(&recursive), 0));
    for (unsigned i = 0; i < 3; i++) cr_expect(eq(int, pthread_mutex_unlock(&recursive), 0));
    cr_expect(eq(int, pthread_mutex_unlock(&recursive), EPERM));
    cr_assert(eq(int, pthread_mutex_lock(&mutex), 0));
    cr_expect(eq(int, pthread_mutex_timedlock(&mutex, &past), ETIMEDOUT));
    cr_expect(eq(int, pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &past), ETIMEDOUT));
    cr_expect(eq(u32, mode_of(self), TENURE__RUNNING));
}

/* The emulator refuses set_robust_list, and the C library does not look: nobody there ever learns of the owner's death.
 */
Test(interpose, robust_mutexes_give_what_they_gave, .disabled = EMULATED)
{
    pthread_mutex_t robust;
    init_mutex(&robust, PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
    join_thread(start_thread(lock_and_exit, &robust));
    cr_expect(eq(int, pthread_mutex_lock(&robust), EOWNERDEAD));
    cr_expect(eq(int, pthread_mutex_consistent(&robust), 0));
    cr_expect(eq(int, pthread_mutex_unlock(&robust), 0));
    cr_expect(eq(u32, mode_of(self), TENURE__RUNNING));
}

Test(interpose, other_locks_give_what_they_gave)
{
    pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
    cr_assert(eq(int, pthread_rwlock_wrlock(&lock), 0));
    cr_expect(eq(int, pthread_rwlock_rdlock(&lock), EDEADLK));
    cr_expect(eq(int, pthread_rwlock_timedrdlock(&lock, &past), EDEADLK));
    REQUIRE(sem_init(&semaphore, 0, 1) == 0);
    errno = ENOTTY;
    cr_expect(eq(int, sem_wait(&semaphore), 0));
    cr_expect(eq(int, errno, ENOTTY), "untouched by what succeeds");
    cr_expect(eq(int, sem_timedwait(&semaphore, &past), -1));
    cr_expect(eq(int, errno, ETIMEDOUT));
    cr_assert(eq(int, pthread_mutex_lock(&mutex), 0));
    cr_expect(eq(int, pthread_cond_timedwait(&condition, &mutex, &past), ETIMEDOUT));
    cr_expect(eq(int, pthread_mutex_trylock(&mutex), EBUSY), "it comes back owning the mutex");
}

Test(interpose, errno_is_the_calls)
{
    char byte;
    errno = 0;
    cr_expect(eq(int, (int)read(-1, &byte, 1), -1));
    cr_expect(eq(int, errno, EBADF));
    errno = ENOTTY;
    struct pollfd nothing = { .fd = ends[0], .events = POLLIN };
    cr_expect(eq(int, poll(&nothing, 1, 0), 0));
    cr_expect(eq(int, errno, ENOTTY));
    cr_expect(eq(int, fputs("x", stderr) >= 0, 1));
    cr_expect(eq(int, errno, ENOTTY));
}

/* --- buffers in the heap --- */

enum { BYTES = 500 };
static void read_into_heap(void)
{
    char *into = tenure_new_bytes(atomic_load(&other), BYTES);
    REQUIRE(into != NULL);
    atomic_store(&arrived, 1);
    REQUIRE(read(ends[0], into, BYTES) == BYTES);
    for (unsigned i = 0; i < BYTES; i++) REQUIRE(into[i] == 5);
}

Test(interpose, buffers_in_the_heap_stay)
{
    static void (*fn)(void) = read_into_heap;
    char bytes[BYTES];
    const pthread_t thread = start_attached(&fn);
    await_sleep();
    for (unsigned i = 0; i < 3; i++) collect_and_litter(self);
    memset(bytes, 5, sizeof bytes);
    cr_assert(eq(int, (int)write(ends[1], bytes, BYTES), BYTES));
    join_thread(thread);
}

/* --- threads that end inside --- */

static flag cleaned;
static void see_that_it_runs(void *unused)
{
    (void)unused;
    REQUIRE(mode_of(atomic_load(&other)) == TENURE__RUNNING);
    REQUIRE(tenure_new_bytes(atomic_load(&other), 100) != NULL);
    atomic_store(&cleaned, 1);
}
static void read_until_cancelled(void)
{
    char byte;
    pthread_cleanup_push(see_that_it_runs, NULL);
    atomic_store(&arrived, 1);
    read(ends[0], &byte, 1);
    pthread_cleanup_pop(0);
    REQUIRE(false);
}

Test(interpose, cancelled_threads_leave_the_region_first)
{
    static void (*fn)(void) = read_until_cancelled;
    const pthread_t thread = start_attached(&fn);
    void *result;
    await_sleep();
    REQUIRE(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
    cr_expect(eq(ptr, result, PTHREAD_CANCELED));
    cr_expect(eq(int, atomic_load(&cleaned), 1));
    cr_expect(eq(u64, stats_of(heap).threads_attached, 1));
}

static void *take_free_semaphore(void *arg)
{
    REQUIRE(pthread_cancel(pthread_self()) == 0);
    REQUIRE(sem_wait(&semaphore) == 0);
    return arg;
}

Test(interpose, a_semaphore_that_is_free_is_a_cancellation_point)
{
    void *result;
    REQUIRE(sem_init(&semaphore, 0, 1) == 0);
    REQUIRE(pthread_join(start_thread(take_free_semaphore, NULL), &result) == 0);
    cr_expect(eq(ptr, result, PTHREAD_CANCELED));
}

/* --- calls that pass through --- */

static void read_byte(void)
{
    char byte;
    atomic_store(&arrived, 1);
    REQUIRE(read(ends[0], &byte, 1) == 1);
}

static void handle(int number)
{
    (void)number;
    read_byte();
}
static void raise_signal(void) { REQUIRE(raise(SIGUSR1) == 0); }

/* A handler may have interrupted anything. */
Test(interpose, signal_handlers_enter_no_region)
{
    static void (*fn)(void) = raise_signal;
    struct sigaction action = { .sa_handler = handle }, old;
    cr_assert(eq(int, sigaction(SIGUSR1, &action, NULL), 0));
    const pthread_t thread = start_attached(&fn);
    await_sleep();
    cr_expect(eq(u32, mode_of(atomic_load(&other)), TENURE__RUNNING));
    cr_assert(eq(int, (int)write(ends[1], "b", 1), 1));
    join_thread(thread);
    cr_assert(eq(int, sigaction(SIGUSR1, NULL, &old), 0));
    cr_expect(old.sa_handler == handle, "the program sees its own handler");
    cr_expect(signal(SIGUSR1, SIG_IGN) == handle);
    cr_expect(signal(SIGUSR1, handle) == SIG_IGN);
    cr_expect(signal(SIGUSR1, SIG_DFL) == handle);
}

/* What the library waits for itself is in the middle of something. */
static void want_own_lock(void)
{
    atomic_store(&arrived, 1);
    tenure__own_lock(&mutex);
    tenure__own_unlock(&mutex);
}

Test(interpose, the_librarys_own_locks_enter_no_region)
{
    static void (*fn)(void) = want_own_lock;
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    const pthread_t thread = start_attached(&fn);
    await_sleep();
    cr_expect(eq(u32, mode_of(atomic_load(&other)), TENURE__RUNNING));
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
    join_thread(thread);
}

static tenure_heap *second;
static void read_in_two_heaps(void)
{
    tenure_thread *mine = tenure_attach(second);
    atomic_store(&other, mine);
    read_byte();
    tenure_detach(mine);
    atomic_store(&other, tenure_self(heap));
}
static uint32_t mode_in_two_heaps(tenure_heap *of_second)
{
    static void (*fn)(void) = read_in_two_heaps;
    second = of_second;
    const pthread_t thread = start_attached(&fn);
    await_sleep();
    const uint32_t mode = mode_of(atomic_load(&other));
    REQUIRE(write(ends[1], "b", 1) == 1);
    join_thread(thread);
    REQUIRE(tenure_heap_destroy(second) == TENURE_OK);
    return mode;
}

Test(interpose, regions_are_of_all_heaps)
{
    cr_expect(eq(u32, mode_in_two_heaps(heap_with("max_heap=64m")), TENURE__BLOCKED));
}
Test(interpose, precise_heaps_enter_no_region)
{
    cr_expect(eq(u32, mode_in_two_heaps(precise_heap_with("max_heap=64m")), TENURE__RUNNING));
}

/* --- a great deal at once: nothing hangs, nothing is lost --- */

enum { LOCKERS = 4 };
static unsigned guarded;
static void *lock_a_lot(void *arg)
{
    tenure_thread *mine = tenure_attach(heap);
    for (unsigned i = 0; i < ROUNDS(3000); i++) {
        node *chain = make_chain(mine, 5, i);
        REQUIRE(pthread_mutex_lock(&mutex) == 0);
        guarded++;
        if (i % 16 == 0) REQUIRE(tenure_new_bytes(mine, 60000) != NULL);
        REQUIRE(pthread_mutex_unlock(&mutex) == 0);
        check_chain(chain, 5, i);
    }
    tenure_detach(mine);
    return arg;
}

Test(interpose, contended_under_stops)
{
    static collector always;
    pthread_t threads[LOCKERS];
    collector_start(&always, heap);
    for (unsigned i = 0; i < LOCKERS; i++) threads[i] = start_thread(lock_a_lot, NULL);
    for (unsigned i = 0; i < LOCKERS; i++) join_thread(threads[i]);
    collector_stop(&always);
    cr_expect(eq(u32, guarded, LOCKERS * ROUNDS(3000)));
}
