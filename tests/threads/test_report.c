/* The straggler report: it comes out whatever the late thread holds, says what is true, and in the right unit. */
#include "tests/threads/threads.h"
#include "threads/report.h"
#include <fcntl.h>
#include <malloc.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { REPORTS_MAX = 4, MS = 1000000 };

static tenure_heap *heap;

/* What the handler was given, copied. */
static struct captured {
    tenure_straggler_report report;
    tenure_straggler stragglers[TENURE__STRAGGLERS_MAX];
    char text[TENURE__REPORT_BYTES];
    uint64_t at_ns;
} captured[REPORTS_MAX];
static flag late_reports, reached_reports;
static void (*resolve)(void); /* called in the first report */

static void capture(tenure_heap *of, const tenure_straggler_report *report, void *arg)
{
    REQUIRE(of == heap && arg == captured);
    const int index = atomic_load(&late_reports) + atomic_load(&reached_reports);
    if (index == REPORTS_MAX) return;
    struct captured *to = &captured[index];
    to->report = *report;
    to->at_ns = tenure__now_ns();
    memcpy(to->stragglers, report->stragglers, report->count * sizeof to->stragglers[0]);
    memcpy(to->text, report->text, strlen(report->text) + 1);
    if (resolve != NULL && index == 0) resolve();
    atomic_fetch_add(report->reached ? &reached_reports : &late_reports, 1);
}

static void begin_with(const char *words)
{
    heap = heap_with(words);
    tenure_straggler_handler(heap, capture, captured);
}
static void begin(void) { begin_with("max_heap=128m,stop_deadline=30ms,verify=before,after"); }
static void end(void) { cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK)); }

TestSuite(report, .init = begin, .fini = end);

static bool says(const struct captured *of, const char *words) { return strstr(of->text, words) != NULL; }
#define EXPECT_SAYS(of, words) cr_expect(says(of, words), "not in the report: %s\n%s", words, (of)->text)
#define EXPECT_SILENT(of, words) cr_expect(not(says(of, words)), "in the report: %s\n%s", words, (of)->text)

/* --- threads that are late on purpose --- */

static flag up, go;
static int pipe_ends[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, second_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

static tenure_thread *attach_as(const char *name)
{
    tenure_thread *self = tenure_attach(heap);
    REQUIRE(self != NULL);
    tenure_thread_name(self, name);
    return self;
}

__attribute__((noinline)) static void spin_without_polls(void)
{
    while (!atomic_load_explicit(&go, memory_order_relaxed)) {}
}

static void *spin(void *unused)
{
    tenure_thread *self = attach_as("spinner");
    atomic_fetch_add(&up, 1);
    spin_without_polls();
    tenure_detach(self);
    return unused;
}

static void *read_raw(void *unused)
{
    tenure_thread *self = attach_as("reader");
    char byte;
    atomic_fetch_add(&up, 1);
    REQUIRE(read(pipe_ends[0], &byte, 1) == 1);
    tenure_detach(self);
    return unused;
}

static void *wait_raw(void *unused)
{
    tenure_thread *self = attach_as("waiter");
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    atomic_fetch_add(&up, 1);
    while (!atomic_load(&go)) REQUIRE(pthread_cond_wait(&condition, &mutex) == 0);
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
    tenure_detach(self);
    return unused;
}

/* Asks for a stop when told to. */
static flag request;
static void *collect_when_asked(void *unused)
{
    tenure_thread *self = attach_as("requester");
    {
        TENURE_BLOCKING_SCOPE(self);
        atomic_fetch_add(&up, 1);
        await(&request, 1);
    }
    REQUIRE(tenure_collect(self, TENURE_GEN0) == TENURE_OK);
    tenure_detach(self);
    return unused;
}

/* A stop that waits for a thread that does fn, until release; the first report is captured[0]. */
static void stop_late_for(void *(*fn)(void *), void (*release)(void))
{
    pthread_t thread = start_thread(fn, NULL);
    await(&up, 1);
    pthread_t requester = start_thread(collect_when_asked, NULL);
    await(&up, 2);
    atomic_store(&request, 1);
    await(&late_reports, 1);
    release();
    await(&reached_reports, 1);
    join_thread(thread);
    join_thread(requester);
}

static void release_by_flag(void) { atomic_store(&go, 1); }

/* The only straggler of the first report. */
static const tenure_straggler *expect_one(const char *name, tenure_straggler_kind kind)
{
    const struct captured *first = &captured[0];
    cr_assert(eq(u32, first->report.late, 1), "%s", first->text);
    cr_assert(eq(u32, first->report.count, 1));
    const tenure_straggler *straggler = &first->stragglers[0];
    EXPECT_SAYS(first, name);
    cr_expect(eq(int, (int)straggler->kind, (int)kind), "%s", first->text);
    cr_expect(straggler->safepoint_ns >= first->report.waited_ns);
    EXPECT_SILENT(first, "requester");
    return straggler;
}

Test(report, a_thread_that_spins_without_polls)
{
    stop_late_for(spin, release_by_flag);
    const tenure_straggler *spinner = expect_one("\"spinner\"", TENURE_STRAGGLER_RUNS);
    cr_expect(eq(chr, spinner->state, 'R'));
    cr_expect(not(spinner->deadlock));
    EXPECT_SAYS(&captured[0], "tenure_poll(self)");
    EXPECT_SILENT(&captured[0], "DEADLOCK");
    const tenure_stats stats = stats_of(heap);
    cr_expect(eq(u64, stats.late_stops, 1));
    cr_expect(eq(str, (char *)stats.latest_name, "spinner"));
    cr_expect(stats.latest_ns >= 30 * MS && stats.latest_ns <= stats.all.reach.max_ns);
}

static void release_by_pipe(void) { REQUIRE(write(pipe_ends[1], "", 1) == 1); }

Test(report, a_thread_in_a_raw_read)
{
    cr_assert(eq(int, pipe(pipe_ends), 0));
    stop_late_for(read_raw, release_by_pipe);
    const tenure_straggler *reader = expect_one("\"reader\"", TENURE_STRAGGLER_SYSCALL);
    cr_expect(eq(long, reader->syscall, SYS_read));
    char call[64];
    snprintf(call, sizeof call, "in read(fd %d -> pipe:[", pipe_ends[0]);
    EXPECT_SAYS(&captured[0], call);
    EXPECT_SAYS(&captured[0], "called from read_raw+");
    EXPECT_SAYS(&captured[0],
        "fix: TENURE_IDLE_CALL(self, read(...)), or tenure_read in its place, or link tenure_interpose\n");
    EXPECT_SILENT(&captured[0], "DEADLOCK");
}

static void release_by_signal(void)
{
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    atomic_store(&go, 1);
    REQUIRE(pthread_cond_signal(&condition) == 0);
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
}

Test(report, a_thread_in_a_raw_condition_wait)
{
    stop_late_for(wait_raw, release_by_signal);
    const tenure_straggler *waiter = expect_one("\"waiter\"", TENURE_STRAGGLER_FUTEX);
    cr_expect(eq(long, waiter->syscall, SYS_futex));
    cr_expect(eq(int, waiter->owner_tid, 0));
    EXPECT_SAYS(&captured[0], "names no owner (a condition wait");
    EXPECT_SAYS(&captured[0], "pthread_cond_wait called from wait_raw+");
    EXPECT_SAYS(&captured[0], "TENURE_BLOCKING_CALL(self, pthread_cond_wait(...)), or tenure_cond in its place");
    EXPECT_SILENT(&captured[0], "DEADLOCK");
}

/* --- deadlocks --- */

static _Atomic pid_t owner_tid;
static _Atomic int owning; /* so many own what they should; up: the one that is stuck runs outside of regions */
static pthread_t owner_thread;

/* It owns the mutex, and parks. */
static void *own_and_park(void *unused)
{
    tenure_thread *self = attach_as("owner");
    atomic_store(&owner_tid, gettid());
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    atomic_fetch_add(&owning, 1);
    await_polling(self, &go, 1);
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
    tenure_detach(self);
    return unused;
}

/* Waits for a mutex until the test has seen enough. */
static void lock_until_released(pthread_mutex_t *of)
{
    for (;;) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
        const int error = pthread_mutex_timedlock(of, &until);
        if (error == 0) REQUIRE(pthread_mutex_unlock(of) == 0);
        if (error == 0 || atomic_load(&go)) return;
    }
}

static void *lock_owned(void *unused)
{
    tenure_thread *self = attach_as("stuck");
    owner_thread = start_thread(own_and_park, NULL);
    {
        TENURE_BLOCKING_SCOPE(self);
        await(&owning, 1);
    }
    atomic_fetch_add(&up, 1);
    lock_until_released(&mutex);
    tenure_detach(self);
    join_thread(owner_thread);
    return unused;
}

Test(report, a_thread_that_waits_for_a_mutex_whose_owner_is_parked)
{
    stop_late_for(lock_owned, release_by_flag);
    const tenure_straggler *stuck = expect_one("\"stuck\"", TENURE_STRAGGLER_MUTEX);
    cr_expect(stuck->deadlock);
    cr_expect(eq(int, stuck->owner_tid, atomic_load(&owner_tid)));
    EXPECT_SAYS(&captured[0], "owned by \"owner\"");
    EXPECT_SAYS(&captured[0], "parked for this stop");
    /* glibc's timedlock jumps into a function without a name: the call is not named. */
    EXPECT_SAYS(&captured[0], "DEADLOCK until a timeout: \"stuck\" waits in ");
    EXPECT_SAYS(&captured[0], "outside a blocking region for a lock that \"owner\", parked for this very stop, owns");
    EXPECT_SAYS(&captured[0], "called from lock_until_released+");
    EXPECT_SAYS(&captured[0], "fix: TENURE_BLOCKING_CALL(self, ");
}

/* A thread that Tenure does not know stands between the two. */
static void *own_second(void *unused)
{
    REQUIRE(pthread_mutex_lock(&second_mutex) == 0);
    atomic_fetch_add(&owning, 1);
    lock_until_released(&mutex);
    REQUIRE(pthread_mutex_unlock(&second_mutex) == 0);
    return unused;
}

static void *lock_owned_in_turn(void *unused)
{
    tenure_thread *self = attach_as("stuck");
    pthread_t between;
    {
        TENURE_BLOCKING_SCOPE(self);
        owner_thread = start_thread(own_and_park, NULL);
        await(&owning, 1);
        between = start_thread(own_second, NULL);
        await(&owning, 2);
    }
    atomic_fetch_add(&up, 1);
    lock_until_released(&second_mutex);
    tenure_detach(self);
    join_thread(between);
    join_thread(owner_thread);
    return unused;
}

Test(report, a_chain_of_owners_through_a_thread_that_is_not_attached)
{
    stop_late_for(lock_owned_in_turn, release_by_flag);
    cr_expect(expect_one("\"stuck\"", TENURE_STRAGGLER_MUTEX)->deadlock);
    EXPECT_SAYS(&captured[0], "not attached: waits for the lock");
    EXPECT_SAYS(&captured[0], "parked for this stop");
    EXPECT_SAYS(&captured[0], "for others, and they for \"owner\", parked for this very stop\n");
}

/* The owner stands in a blocking region and waits for a lock of ours, whose holder is parked. */
static tenure_mutex noted = TENURE_MUTEX_INIT("noted");
static tenure_rwlock noted_rwlock = TENURE_RWLOCK_INIT("noted");

static void *hold_noted_and_park(void *reads)
{
    tenure_thread *self = attach_as("holder");
    tenure_mutex_lock(self, &noted);
    if (reads != NULL) tenure_rwlock_rdlock(self, &noted_rwlock);
    atomic_fetch_add(&up, 1);
    await_polling(self, &go, 1);
    if (reads != NULL) tenure_rwlock_unlock(self, &noted_rwlock);
    tenure_mutex_unlock(self, &noted);
    tenure_detach(self);
    return NULL;
}

static void *own_and_want_noted(void *writes)
{
    tenure_thread *self = attach_as("owner");
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    atomic_fetch_add(&up, 1);
    if (writes != NULL) {
        tenure_rwlock_wrlock(self, &noted_rwlock);
        tenure_rwlock_unlock(self, &noted_rwlock);
    } else {
        tenure_mutex_lock(self, &noted);
        tenure_mutex_unlock(self, &noted);
    }
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
    tenure_detach(self);
    return NULL;
}

static void expect_chain_through(void *rwlock, const uint32_t *waiters)
{
    pthread_t holder = start_thread(hold_noted_and_park, rwlock);
    await(&up, 1);
    pthread_t owner = start_thread(own_and_want_noted, rwlock);
    await(&up, 2);
    tenure_thread *self = attach_as("stuck");
    pthread_t requester = start_thread(collect_when_asked, NULL);
    while (__atomic_load_n(waiters, __ATOMIC_RELAXED) == 0) tenure_poll(self);
    resolve = release_by_flag;
    atomic_store(&request, 1);
    lock_until_released(&mutex);
    tenure_detach(self);
    join_thread(holder);
    join_thread(owner);
    join_thread(requester);
    await(&reached_reports, 1);
    cr_expect(expect_one("\"stuck\"", TENURE_STRAGGLER_MUTEX)->deadlock);
    EXPECT_SAYS(&captured[0], "owned by \"owner\"");
    EXPECT_SAYS(&captured[0], "    wants lock \"noted\" (0x");
    EXPECT_SAYS(&captured[0], ", 1 waiting) in own_and_want_noted+");
    EXPECT_SAYS(&captured[0], "owned by \"holder\"");
    EXPECT_SAYS(&captured[0], "for others, and they for \"holder\", parked for this very stop\n");
}

Test(report, a_chain_through_a_lock_of_tenure)
{
    expect_chain_through(NULL, &noted.lock.waiters);
    EXPECT_SAYS(&captured[0], "in a blocking region: waits for the lock");
}

/* The system names no reader: the note of who holds it leads on. */
Test(report, a_chain_through_a_lock_of_tenure_that_is_read)
{
    expect_chain_through(&noted_rwlock, &noted_rwlock.lock.waiters);
}

static void *spin_with_noted(void *unused)
{
    tenure_thread *self = attach_as("spinner");
    tenure_mutex_lock(self, &noted);
    atomic_fetch_add(&up, 1);
    spin_without_polls();
    tenure_mutex_unlock(self, &noted);
    tenure_detach(self);
    return unused;
}

Test(report, locks_that_a_late_thread_holds)
{
    stop_late_for(spin_with_noted, release_by_flag);
    expect_one("\"spinner\"", TENURE_STRAGGLER_RUNS);
    EXPECT_SAYS(&captured[0], "    holds lock \"noted\" (0x");
    EXPECT_SAYS(&captured[0], ", 0 waiting) in spin_with_noted+");
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void *write_and_park(void *unused)
{
    tenure_thread *self = attach_as("writer");
    REQUIRE(pthread_rwlock_wrlock(&rwlock) == 0);
    atomic_fetch_add(&up, 1);
    await_polling(self, &go, 1);
    REQUIRE(pthread_rwlock_unlock(&rwlock) == 0);
    tenure_detach(self);
    return unused;
}

Test(report, a_thread_that_waits_for_an_rwlock_whose_writer_is_parked)
{
    pthread_t writer = start_thread(write_and_park, NULL);
    await(&up, 1);
    tenure_thread *self = attach_as("stuck");
    pthread_t requester = start_thread(collect_when_asked, NULL);
    resolve = release_by_flag;
    atomic_store(&request, 1);
    struct timespec until;
    do {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
    } while (pthread_rwlock_timedrdlock(&rwlock, &until) != 0 && !atomic_load(&go));
    tenure_detach(self);
    join_thread(writer);
    join_thread(requester);
    await(&reached_reports, 1);
    cr_expect(expect_one("\"stuck\"", TENURE_STRAGGLER_MUTEX)->deadlock);
    EXPECT_SAYS(&captured[0], "owned by \"writer\"");
}

/* pthread_join of a thread that is parked. */
static void *park_until_joined(void *unused)
{
    tenure_thread *self = attach_as("joined");
    atomic_fetch_add(&up, 1);
    await_polling(self, &go, 1);
    tenure_detach(self);
    return unused;
}

Test(report, a_thread_that_joins_a_parked_one)
{
    pthread_t parked = start_thread(park_until_joined, NULL);
    await(&up, 1);
    tenure_thread *self = attach_as("stuck");
    pthread_t requester = start_thread(collect_when_asked, NULL);
    resolve = release_by_flag;
    atomic_store(&request, 1);
    struct timespec until;
    do {
        tenure_poll(self); /* after the stop was given up on: it ends, and so does the thread */
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
    } while (pthread_timedjoin_np(parked, NULL, &until) != 0);
    tenure_detach(self);
    join_thread(requester);
    await(&reached_reports, 1);
    cr_expect(expect_one("\"stuck\"", TENURE_STRAGGLER_JOIN)->deadlock);
    EXPECT_SAYS(&captured[0], "for the end of \"joined\", parked for this very stop\n");
    EXPECT_SAYS(&captured[0], "fix: tenure_join");
}

#if !defined(__SANITIZE_THREAD__)
/* The same with pthread_mutex_lock, which does not give up: the parked owner lets go in a signal handler.
 * (ThreadSanitizer delivers no signal to a thread that sleeps in a system call of its own.) */
static void unlock_in_handler(int signal)
{
    (void)signal;
    pthread_mutex_unlock(&mutex);
}

static void *own_for_the_handler(void *unused)
{
    tenure_thread *self = attach_as("owner");
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    atomic_fetch_add(&owning, 1);
    await_polling(self, &go, 1);
    tenure_detach(self);
    return unused;
}

static void *lock_raw(void *unused)
{
    tenure_thread *self = attach_as("stuck");
    owner_thread = start_thread(own_for_the_handler, NULL);
    {
        TENURE_BLOCKING_SCOPE(self);
        await(&owning, 1);
    }
    atomic_fetch_add(&up, 1);
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
    atomic_store(&go, 1);
    tenure_detach(self);
    join_thread(owner_thread);
    return unused;
}

static void release_by_handler(void) { REQUIRE(pthread_kill(owner_thread, SIGUSR1) == 0); }

Test(report, pthread_mutex_lock_for_a_mutex_whose_owner_is_parked)
{
    REQUIRE(signal(SIGUSR1, unlock_in_handler) != SIG_ERR);
    stop_late_for(lock_raw, release_by_handler);
    cr_expect(expect_one("\"stuck\"", TENURE_STRAGGLER_MUTEX)->deadlock);
    EXPECT_SAYS(&captured[0], "pthread_mutex_lock called from lock_raw+");
    EXPECT_SAYS(&captured[0],
        "DEADLOCK: \"stuck\" waits in pthread_mutex_lock outside a blocking region for a lock that "
        "\"owner\", parked for this very stop, owns");
}
#endif

/* --- inside malloc --- */

/* malloc_stats prints while it holds the main arena's lock, and stdio's of stderr: the pipe is full. */
static void fill_pipe(void)
{
    REQUIRE(pipe(pipe_ends) == 0);
    REQUIRE(fcntl(pipe_ends[1], F_SETFL, O_NONBLOCK) == 0);
    char bytes[4096] = { 0 };
    while (write(pipe_ends[1], bytes, sizeof bytes) > 0) {}
    REQUIRE(fcntl(pipe_ends[1], F_SETFL, 0) == 0);
    REQUIRE(fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK) == 0);
}

static void drain_pipe(void)
{
    char bytes[4096];
    while (!atomic_load(&go)) {
        while (read(pipe_ends[0], bytes, sizeof bytes) > 0) {}
        sched_yield();
    }
}

static _Atomic pid_t allocator_tid;
static void *print_in_malloc(void *unused)
{
    tenure_thread *self = attach_as("allocator");
    atomic_store(&allocator_tid, gettid());
    malloc_stats();
    atomic_store(&go, 1);
    tenure_detach(self);
    return unused;
}

static void await_write(pid_t tid)
{
    tenure__wait wait;
    do {
        sched_yield();
        tenure__wait_read(tid, &wait);
    } while (wait.number != SYS_write);
}

Test(report, threads_inside_malloc)
{
    fill_pipe();
    tenure_thread *self = attach_as("main");
    const int real_stderr = dup(STDERR_FILENO);
    pthread_t requester = start_thread(collect_when_asked, NULL);
    pthread_t allocator;
    {
        TENURE_BLOCKING_SCOPE(self);
        await(&up, 1);
        REQUIRE(dup2(pipe_ends[1], STDERR_FILENO) == STDERR_FILENO);
        allocator = start_thread(print_in_malloc, NULL);
        while (atomic_load(&allocator_tid) == 0) sched_yield();
        await_write(atomic_load(&allocator_tid));
        resolve = drain_pipe;
    }
    /* Until this thread has come to the lock of its arena, the main one. */
    atomic_store(&request, 1);
    void *volatile memory = malloc(100000);
    tenure_detach(self);
    join_thread(allocator);
    join_thread(requester);
    free(memory);
    REQUIRE(dup2(real_stderr, STDERR_FILENO) == STDERR_FILENO);
    await(&reached_reports, 1);

    EXPECT_SAYS(&captured[0], "\"allocator\"");
    EXPECT_SAYS(&captured[0], "in write(fd 2 -> pipe:[");
    EXPECT_SAYS(&captured[0], "called from print_in_malloc+");
    if (SANITIZED) return; /* malloc is another one and has no lock here */
    cr_expect(eq(u32, captured[0].report.late, 2));
    EXPECT_SAYS(&captured[0], "malloc_stats called from");
    EXPECT_SAYS(&captured[0], "\"main\"");
    EXPECT_SAYS(&captured[0], "which names no owner");
    EXPECT_SAYS(&captured[0], "fix: TENURE_BLOCKING_CALL(self, malloc(...))\n");
    EXPECT_SAYS(&captured[0], "malloc called from report_threads_inside_malloc_impl+");
}

/* --- time --- */

/* "...after 101ms..." in nanoseconds. */
static uint64_t printed_ns(const char *text)
{
    double value;
    char unit[3];
    const char *after = strstr(text, "after ");
    cr_assert(after != NULL);
    cr_assert(eq(int, sscanf(after, "after %lf%2[a-z]", &value, unit), 2), "%s", text);
    const double scale = strcmp(unit, "s") == 0    ? 1e9
                         : strcmp(unit, "ms") == 0 ? 1e6
                         : strcmp(unit, "us") == 0 ? 1e3
                                                   : 1;
    return (uint64_t)(value * scale);
}

static void expect_printed(const struct captured *of)
{
    /* Rounded to two digits at least. */
    const uint64_t printed = printed_ns(of->text), told = of->report.waited_ns;
    cr_expect(
        printed >= told - told / 20 && printed <= told + told / 20, "%llu: %s", (unsigned long long)told, of->text);
}

static uint64_t requested_ns;

Test(report, comes_again_after_ten_times_the_deadline_and_when_it_is_reached)
{
    pthread_t thread = start_thread(spin, NULL);
    await(&up, 1);
    pthread_t requester = start_thread(collect_when_asked, NULL);
    await(&up, 2);
    requested_ns = tenure__now_ns();
    atomic_store(&request, 1);
    await(&late_reports, 2);
    const uint64_t released_ns = tenure__now_ns();
    atomic_store(&go, 1);
    await(&reached_reports, 1);
    join_thread(thread);
    join_thread(requester);

    for (unsigned i = 0; i < 3; i++) {
        const struct captured *each = &captured[i];
        const uint64_t measured_ns = each->at_ns - requested_ns;
        cr_expect(eq(u64, each->report.deadline_ns, 30 * MS));
        cr_expect(each->report.waited_ns >= (i == 0 ? 30u : 300u) * MS);
        cr_expect(each->report.waited_ns <= measured_ns);
        cr_expect(eq(int, each->report.reached, i == 2));
        expect_printed(each);
        EXPECT_SAYS(each, "(stop_deadline=30ms)");
    }
    cr_expect(captured[2].report.waited_ns >= released_ns - requested_ns - 30 * MS);
    EXPECT_SAYS(&captured[2], "\"spinner\"");
    const tenure_stats stats = stats_of(heap);
    cr_expect(eq(u64, stats.late_stops, 1));
    cr_expect(eq(u64, stats.latest_ns, captured[2].report.waited_ns));
}

Test(report, none_for_stops_that_are_reached_in_time)
{
    cr_assert(eq(int, tenure_heap_destroy(heap), TENURE_OK));
    begin_with("max_heap=128m,stop_deadline=20s");
    tenure_thread *self = attach_as("main");
    pthread_t requester = start_thread(collect_when_asked, NULL);
    atomic_store(&request, 1);
    for (unsigned i = 0; i < 100; i++) collect(self, TENURE_GEN0);
    join_blocked(self, requester);
    tenure_detach(self);
    cr_expect(eq(u64, stats_of(heap).late_stops, 0));
    cr_expect(eq(int, atomic_load(&late_reports), 0));
    cr_expect(eq(int, atomic_load(&reached_reports), 0));
}

static void release_when_counted(void)
{
    while (stats_of(heap).late_stops == 0) {
        atomic_store(&go, 1);
        sched_yield();
    }
}

/* Without a handler it is printed. */
Test(report, is_written_to_the_standard_error)
{
    cr_assert(eq(int, pipe(pipe_ends), 0));
    tenure_straggler_handler(heap, NULL, NULL);
    const int real_stderr = dup(STDERR_FILENO);
    REQUIRE(dup2(pipe_ends[1], STDERR_FILENO) == STDERR_FILENO);
    pthread_t thread = start_thread(spin, NULL);
    await(&up, 1);
    pthread_t requester = start_thread(collect_when_asked, NULL);
    await(&up, 2);
    atomic_store(&request, 1);
    size_t length = 0;
    char *text = captured[0].text;
    while (strstr(text, "fix: ") == NULL) {
        const ssize_t got = read(pipe_ends[0], text + length, sizeof captured[0].text - 1 - length);
        REQUIRE(got > 0);
        length += (size_t)got;
    }
    release_when_counted();
    join_thread(thread);
    join_thread(requester);
    REQUIRE(dup2(real_stderr, STDERR_FILENO) == STDERR_FILENO);
    EXPECT_SAYS(&captured[0], "tenure: a stop is not reached after ");
    EXPECT_SAYS(&captured[0], "\"spinner\"");
}

/* Every stop is late, the threads that are looked at come and go, and so do the stops. */
static flag enough;
static void *come_and_go(void *unused)
{
    while (!atomic_load(&enough)) {
        tenure_thread *self = attach_as("comes and goes");
        tenure_mutex_lock(self, &noted);
        check_chain(make_chain(self, 100, 1), 100, 1);
        tenure_mutex_unlock(self, &noted);
        tenure_detach(self);
    }
    return unused;
}

static flag spinner_seen;
static void see_spinner(tenure_heap *of, const tenure_straggler_report *report, void *arg)
{
    (void)of, (void)arg;
    if (!report->reached && strstr(report->text, "\"spinner\"") != NULL) atomic_store(&spinner_seen, 1);
}

/* Reports of stops that are over are not delivered, which may be all of them while the next one comes sooner than the
 * report: what is seen is that the watch has got through. */
Test(report, of_threads_that_come_and_go)
{
    cr_assert(eq(int, tenure_heap_destroy(heap), TENURE_OK));
    begin_with("max_heap=128m,stop_deadline=1ns,stop_deadline_stack=on,torture=alloc:1000,verify=after");
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++) threads[i] = start_thread(come_and_go, NULL);
    collector each;
    collector_start(&each, heap);
    while (stats_of(heap).late_stops < (uint64_t)ROUNDS(200)) sched_yield();
    atomic_store(&enough, 1);
    for (unsigned i = 0; i < 3; i++) join_thread(threads[i]);
    collector_stop(&each);

    tenure_straggler_handler(heap, see_spinner, NULL);
    const pthread_t spinner = start_thread(spin, NULL);
    await(&up, 1);
    const pthread_t requester = start_thread(collect_when_asked, NULL);
    await(&up, 2);
    atomic_store(&request, 1);
    await(&spinner_seen, 1);
    atomic_store(&go, 1);
    join_thread(spinner);
    join_thread(requester);
}

/* A forked child has a watch again, and the parent's is left alone. (ThreadSanitizer starts no threads there.) */
Test(report, in_a_forked_child)
{
    const pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        alarm(60);
        if (!SHADOWED) {
            tenure_thread *self = attach_as("child");
            REQUIRE(tenure_collect(self, TENURE_GEN0) == TENURE_OK);
            tenure_detach(self);
            stop_late_for(spin, release_by_flag);
            REQUIRE(says(&captured[0], "\"spinner\""));
            REQUIRE(tenure_heap_destroy(heap) == TENURE_OK);
        }
        _exit(0);
    }
    int status;
    cr_assert(eq(int, waitpid(child, &status, 0), child));
    cr_expect(eq(int, status, 0));
    stop_late_for(spin, release_by_flag);
    expect_one("\"spinner\"", TENURE_STRAGGLER_RUNS);
}

/* --- stacks by signal --- */

static void program_handler(int signal) { (void)signal; }

static int report_with_stack = -1;

/* A thread that gets no processor for long enough answers a later report. */
static void release_when_answered(void)
{
    enum { LATE_ONES = REPORTS_MAX - 1 };
    for (int i = 0; report_with_stack < 0 && i < LATE_ONES; i++) {
        await(&late_reports, i + 1);
        if (says(&captured[i], "      spin_without_polls+")) report_with_stack = i;
    }
    release_by_flag();
}

Test(report, asks_for_a_stack_without_taking_a_signal_of_the_program)
{
    cr_assert(eq(int, tenure_heap_destroy(heap), TENURE_OK));
    REQUIRE(signal(SIGRTMAX, program_handler) != SIG_ERR);
    begin_with("max_heap=128m,stop_deadline=30ms,stop_deadline_stack=on");
    stop_late_for(spin, release_when_answered);
    struct sigaction action;
    REQUIRE(sigaction(SIGRTMAX, NULL, &action) == 0);
    cr_expect(action.sa_handler == program_handler);
    expect_one("\"spinner\"", TENURE_STRAGGLER_RUNS);
    cr_expect(ge(int, report_with_stack, 0), "%s", captured[0].text);
}
