/* Signals: the program's handlers and its alternate stacks are left alone, handlers may interrupt anything, and one
 * that calls Tenure is told so. Cancelled and exiting threads. */
#include "tests/threads/threads.h"
#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

static tenure_heap *heap;
static void begin(void) { heap = heap_with("max_heap=128m,gen0=512k"); }
static void end(void) { cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK)); }
TestSuite(signals, .init = begin, .fini = end);

static void handle(int signal, void (*fn)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = fn;
    action.sa_flags = SA_SIGINFO | flags;
    REQUIRE(sigaction(signal, &action, NULL) == 0);
}

static flag up, stop;
static void *work(void *arg)
{
    (void)arg;
    tenure_thread *self = tenure_attach(heap);
    atomic_fetch_add(&up, 1);
    while (!atomic_load(&stop)) {
        node *volatile kept = make_chain(self, 500, 3);
        make_chain(self, 2000, 1);
        tenure_enter_blocking(self);
        tenure_leave_blocking(self);
        check_chain(kept, 500, 3);
    }
    tenure_detach(self);
    return NULL;
}

/* --- what is the program's --- */

enum { SIGNALS = 65 };

static void dispositions(struct sigaction actions[SIGNALS])
{
    memset(actions, 0, sizeof *actions * SIGNALS);
    for (int i = 1; i < SIGNALS; i++) sigaction(i, NULL, &actions[i]); /* two are the C library's: EINVAL */
}

Test(signals, no_handler_is_installed)
{
    static struct sigaction before[SIGNALS], after[SIGNALS];
    stack_t stack_before, stack_after;
    sigset_t mask_before, mask_after;
    dispositions(before);
    cr_assert(eq(int, sigaltstack(NULL, &stack_before), 0));
    pthread_sigmask(SIG_BLOCK, NULL, &mask_before);
    tenure_heap *fresh = heap_with("max_heap=64m,gen0=512k,verify=after,stop_deadline=1s");
    tenure_thread *self = tenure_attach(fresh), *second = tenure_attach(heap);
    pthread_t thread = start_thread(work, NULL);
    collect_and_litter(self);
    spend_budget(second);
    atomic_store(&stop, 1);
    join_blocked(self, thread);
    dispositions(after);
    for (int i = 1; i < SIGNALS; i++) {
        cr_assert(before[i].sa_handler == after[i].sa_handler, "signal %d", i);
        cr_assert(eq(int, before[i].sa_flags, after[i].sa_flags));
    }
    cr_assert(eq(int, sigaltstack(NULL, &stack_after), 0));
    cr_assert(eq(ptr, stack_before.ss_sp, stack_after.ss_sp)); /* a sanitizer's */
    cr_assert(eq(int, stack_before.ss_flags, stack_after.ss_flags));
    pthread_sigmask(SIG_BLOCK, NULL, &mask_after);
    for (int i = 1; i < SIGNALS; i++) cr_assert(eq(int, sigismember(&mask_before, i), sigismember(&mask_after, i)));
    tenure_detach(second);
    heap_end(fresh, self);
}

/* A handler of faults on an alternate stack, as a program has that maps memory lazily. */
enum { PAGE = 4096, PAGES = 64 };
static atomic_int faults;

static void map_page(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    char here;
    stack_t stack;
    if (sigaltstack(NULL, &stack) != 0 || (stack.ss_flags & SS_ONSTACK) == 0) _exit(3);
    if ((uintptr_t)&here - (uintptr_t)stack.ss_sp >= stack.ss_size) _exit(4);
    void *page = (void *)((uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1));
    if (mprotect(page, PAGE, PROT_READ | PROT_WRITE) != 0) _exit(5);
    atomic_fetch_add(&faults, 1);
}

static void *fault(void *arg)
{
    (void)arg;
    stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };
    REQUIRE(sigaltstack(&stack, NULL) == 0);
    char *pages = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(pages != MAP_FAILED);
    tenure_thread *self = tenure_attach(heap);
    for (int round = ROUNDS(20); round > 0; round--) {
        node *volatile kept = make_chain(self, 500, 3);
        for (unsigned i = 0; i < PAGES; i++) {
            pages[i * PAGE] = 1;
            make_chain(self, 100, 1);
        }
        check_chain(kept, 500, 3);
        REQUIRE(mprotect(pages, PAGES * PAGE, PROT_NONE) == 0);
    }
    tenure_detach(self);
    stack.ss_flags = SS_DISABLE;
    REQUIRE(sigaltstack(&stack, NULL) == 0);
    return NULL;
}

Test(signals, faults_on_an_alternate_stack)
{
    handle(SIGSEGV, map_page, SA_ONSTACK);
    pthread_t threads[] = { start_thread(fault, NULL), start_thread(fault, NULL), start_thread(work, NULL) };
    await(&up, 1);
    for (unsigned i = 0; i < 2; i++) join_thread(threads[i]);
    atomic_store(&stop, 1);
    join_thread(threads[2]);
    cr_assert(eq(int, atomic_load(&faults), 2 * PAGES * ROUNDS(20)));
}

/* --- handlers interrupt anything --- */

static atomic_ulong ticks;
static void tick(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    const int saved = errno;
    atomic_fetch_add(&ticks, 1);
    errno = EBADF;
    sched_yield(); /* lets others come between */
    errno = saved;
}

static void tick_every_us(long interval)
{
    const struct itimerval timer = { { 0, interval }, { 0, interval } };
    REQUIRE(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

Test(signals, interrupt_everything)
{
    handle(SIGALRM, tick, SA_RESTART);
    pthread_t threads[3];
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < 3; i++) threads[i] = start_thread(work, NULL);
    await_polling(self, &up, 3);
    tick_every_us(200);
    node *volatile kept = make_chain(self, 1000, 4);
    for (int i = ROUNDS(30); i > 0; i--) {
        for (unsigned j = 0; j < 3; j++) { /* one that is parked, blocked, working */
            pthread_kill(threads[j], SIGALRM);
            REQUIRE(tenure_stop_world(self) == TENURE_OK);
            pthread_kill(threads[j], SIGALRM);
            tenure_resume_world(self);
        }
        collect_and_litter(self);
        verify(self);
    }
    tick_every_us(0);
    check_chain(kept, 1000, 4);
    atomic_store(&stop, 1);
    for (unsigned i = 0; i < 3; i++) join_blocked(self, threads[i]);
    cr_assert(lt(ulong, 100, atomic_load(&ticks)));
    tenure_detach(self);
}

static void nothing(int signal, siginfo_t *info, void *context) { (void)signal, (void)info, (void)context; }

/* EINTR as ever: nothing here tries again. */
Test(signals, blocking_calls_are_interrupted)
{
    int ends[2];
    char byte;
    handle(SIGALRM, nothing, 0);
    cr_assert(eq(int, pipe(ends), 0));
    tenure_thread *self = tenure_attach(heap);
    tick_every_us(20000);
    cr_assert(tenure_read(self, ends[0], &byte, 1) == -1);
    cr_assert(eq(int, errno, EINTR));
    const struct timespec wait = { 100, 0 };
    struct timespec left;
    cr_assert(eq(int, tenure_nanosleep(self, &wait, &left), -1));
    cr_assert(eq(int, errno, EINTR));
    const long seconds = (long)left.tv_sec;
    cr_assert(seconds < 100);
    struct pollfd fd = { ends[0], POLLIN, 0 };
    cr_assert(eq(int, tenure_poll_fds(self, &fd, 1, -1), -1));
    cr_assert(eq(int, errno, EINTR));
    cr_assert(eq(uint, mode_of(self), TENURE__RUNNING));
    tick_every_us(0);
    tenure_detach(self);
}

/* --- handlers that call Tenure --- */

static void calls_back(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    tenure_thread *self = tenure_self(heap);
    tenure_collect(self, TENURE_GEN0);
    _exit(0);
}

static void *park(void *out)
{
    tenure_thread *self = tenure_attach(heap);
    atomic_store((tenure_thread * _Atomic *)out, self);
    for (;;) tenure_poll(self);
    return NULL;
}

Test(signals, called_while_parked, .signal = SIGABRT)
{
    static tenure_thread *_Atomic parked;
    be_quiet();
    handle(SIGUSR1, calls_back, 0);
    pthread_t thread = start_thread(park, &parked);
    tenure_thread *self = tenure_attach(heap);
    while (atomic_load(&parked) == NULL) tenure_poll(self);
    REQUIRE(tenure_stop_world(self) == TENURE_OK);
    pthread_kill(thread, SIGUSR1);
    for (;;) pause();
}

Test(signals, called_in_a_region, .signal = SIGABRT)
{
    be_quiet();
    handle(SIGUSR1, calls_back, 0);
    TENURE_BLOCKING_SCOPE(tenure_attach(heap));
    raise(SIGUSR1);
}

/* Nearly all of its time goes into the zeroing of large objects: a wait of the processor's, not of the thread's. */
Test(signals, called_inside_an_allocation, .signal = SIGABRT)
{
    be_quiet();
    handle(SIGPROF, calls_back, 0);
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < 4; i++) REQUIRE(tenure_new_bytes(self, 40 << 20) != NULL);
    REQUIRE(tenure_collect(self, TENURE_GEN2) == TENURE_OK);
    const struct itimerval timer = { { 0, 0 }, { 0, 5000 } };
    REQUIRE(setitimer(ITIMER_PROF, &timer, NULL) == 0);
    for (;;) REQUIRE(tenure_new_bytes(self, 40 << 20) != NULL);
}

static void takes_root(tenure_thread *self)
{
    static void *root;
    tenure_root_add(self->heap, &root);
}
static bool handler_is_no_signal(tenure_thread *self, size_t bytes, void *arg)
{
    (void)bytes;
    takes_root(self);
    *(bool *)arg = true;
    return false;
}

/* The handler of want of memory is the program's code inside of an allocation, and may call what it is allowed to. */
Test(signals, the_memory_handler_is_none)
{
    bool asked = false;
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 10, 1);
    tenure_oom_handler(heap, handler_is_no_signal, &asked);
    cr_assert(tenure_new_bytes(self, (128 << 20) - 100) == NULL);
    cr_assert(asked);
    check_chain(kept, 10, 1);
    REQUIRE(tenure_new(self, node_type) != NULL);
    tenure_detach(self);
}

/* In checked heaps a handler on the alternate stack is recognised wherever it interrupted the program. */
static void *on_alternate_stack(void *arg)
{
    heap = arg;
    stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };
    REQUIRE(sigaltstack(&stack, NULL) == 0);
    tenure_thread *self = tenure_attach(heap);
    handle(SIGUSR1, calls_back, SA_ONSTACK);
    check_chain(make_chain(self, 10, 1), 10, 1);
    raise(SIGUSR1);
    return NULL;
}
Test(signals, called_on_the_alternate_stack_of_a_checked_heap, .signal = SIGABRT)
{
    be_quiet();
    join_thread(start_thread(on_alternate_stack, heap_with("max_heap=64m,verify=after")));
}

/* --- cancelled, exiting --- */

static int never[2];
typedef enum end_kind { EXITS, DEFERRED, ASYNCHRONOUS, IN_A_CALL, ENDS } end_kind;

static void *ends_in_a_region(void *arg)
{
    const end_kind kind = (end_kind)(uintptr_t)arg;
    tenure_thread *self = tenure_attach(heap);
    tenure_attach(heap); /* counted */
    TENURE_SET(self, make_chain(self, 1, 1), next, make_chain(self, 10, 1));
    char byte;
    if (kind == IN_A_CALL) {
        atomic_fetch_add(&up, 1);
        tenure_read(self, never[0], &byte, 1);
    }
    if (kind == ASYNCHRONOUS)
        tenure_enter_idle(self);
    else
        tenure_enter_blocking(self);
    tenure_enter_blocking(self);
    int old;
    if (kind == ASYNCHRONOUS) pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
    atomic_fetch_add(&up, 1);
    if (kind == EXITS) pthread_exit(NULL);
    while (kind == ASYNCHRONOUS) {}
    while (kind == DEFERRED) REQUIRE(read(never[0], &byte, 1) >= 0);
    return NULL;
}

Test(signals, threads_end_inside_regions)
{
    REQUIRE(pipe(never) == 0);
    tenure_thread *self = tenure_attach(heap);
    for (int i = ROUNDS(20); i > 0; i--)
        for (uintptr_t kind = EXITS; kind < ENDS; kind++) {
            if (kind != EXITS && NO_CANCELLING) continue;
            atomic_store(&up, 0);
            pthread_t thread = start_thread(ends_in_a_region, (void *)kind);
            await_polling(self, &up, 1);
            if (kind != EXITS) pthread_cancel(thread);
            join_blocked(self, thread);
            collect(self, TENURE_GEN1);
        }
    cr_assert(stats_of(heap).threads_attached == 1);
    collect_and_litter(self);
    verify(self);
    tenure_detach(self);
}

/* What waits while others are kept out is no cancellation point, nor what is left half done. */
static pid_t forked;
static void *is_cancelled_later(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    pthread_cancel(pthread_self());
    tenure_heap *other = heap_with("max_heap=64m");
    REQUIRE(tenure_heap_destroy(other) == TENURE_OK);
    REQUIRE(tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL) != NULL);
    tenure_detach(self); /* the first: it starts a thread */
    atomic_store(&up, 1);
    forked = fork();
    if (forked == 0) _exit(0);
    atomic_store(&up, 2);
    pthread_testcancel();
    REQUIRE(false);
    return arg;
}

Test(signals, cancellation_waits)
{
    if (NO_CANCELLING) return;
    join_thread(start_thread(is_cancelled_later, NULL));
    cr_assert(eq(int, atomic_load(&up), 2));
    cr_assert(eq(int, waitpid(forked, NULL, 0), forked));
}

/* Of threads that wait for a grace period together liburcu puts all but one to sleep. */
static void *synchronizes(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    for (;;) {
        tenure_synchronize_rcu(self);
        atomic_fetch_add(&up, 1);
        pthread_testcancel();
    }
    return arg;
}

Test(signals, grace_periods_are_no_cancellation_points, .timeout = 60)
{
    if (NO_CANCELLING) return;
    pthread_t threads[8];
    for (unsigned round = 0; round < 20; round++) {
        atomic_store(&up, 0);
        for (unsigned i = 0; i < 8; i++) threads[i] = start_thread(synchronizes, NULL);
        while (atomic_load(&up) < 20) sched_yield();
        for (unsigned i = 0; i < 8; i++) pthread_cancel(threads[i]);
        for (unsigned i = 0; i < 8; i++) cr_assert(eq(int, pthread_join(threads[i], NULL), 0));
        const pid_t child = fork();
        if (child == 0) _exit(0);
        cr_assert(eq(int, waitpid(child, NULL, 0), child));
    }
}
