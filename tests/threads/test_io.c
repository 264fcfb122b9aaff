/* The wrappers of blocking calls: results and errno are the system's, buffers in the heap stay where they are, and
 * stops go on meanwhile. */
#include "tests/threads/threads.h"
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <sys/un.h>
#include <sys/wait.h>

static tenure_heap *heap;
static tenure_thread *self;
static collector always;
static int ends[2];

/* Every call here comes back through the end of an idle region while stops go on. */
static void begin(void)
{
    heap = heap_with("max_heap=128m,torture=alloc:1000000000");
    collector_start(&always, heap);
    self = tenure_attach(heap);
    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0));
}
static void end(void)
{
    tenure_enter_blocking(self);
    collector_stop(&always);
    tenure_leave_blocking(self);
    heap_end(heap, self);
}

TestSuite(io, .init = begin, .fini = end);

enum { ROUNDS_OF_IO = 200, BYTES = 500 };

static char *fresh_bytes(char fill)
{
    char *bytes = tenure_new_bytes(self, BYTES);
    REQUIRE(bytes != NULL);
    return memset(bytes, fill, BYTES);
}
static void expect_bytes(const char *bytes, char fill)
{
    for (unsigned i = 0; i < BYTES; i++) REQUIRE(bytes[i] == fill);
}

Test(io, read_and_write)
{
    for (unsigned i = 0; i < ROUNDS_OF_IO; i++) {
        const char fill = (char)(i % 100);
        cr_assert(eq(int, (int)tenure_write(self, ends[0], fresh_bytes(fill), BYTES), BYTES));
        char *into = fresh_bytes(120);
        cr_assert(eq(int, (int)tenure_read(self, ends[1], into, BYTES), BYTES));
        expect_bytes(into, fill);
        litter(self);
        expect_bytes(into, fill);
    }
}

Test(io, send_and_recv)
{
    for (unsigned i = 0; i < ROUNDS_OF_IO; i++) {
        cr_assert(eq(int, (int)tenure_send(self, ends[0], fresh_bytes(3), BYTES, 0), BYTES));
        char *into = fresh_bytes(120);
        cr_assert(eq(int, (int)tenure_recv(self, ends[1], into, BYTES, MSG_WAITALL), BYTES));
        expect_bytes(into, 3);
    }
}

Test(io, vectors)
{
    for (unsigned i = 0; i < ROUNDS_OF_IO; i++) {
        const struct iovec out[] = { { fresh_bytes(1), BYTES }, { fresh_bytes(2), BYTES } };
        cr_assert(eq(int, (int)tenure_writev(self, ends[0], out, 2), 2 * BYTES));
        const struct iovec in[] = { { fresh_bytes(8), BYTES }, { fresh_bytes(9), BYTES } };
        cr_assert(eq(int, (int)tenure_readv(self, ends[1], in, 2), 2 * BYTES));
        expect_bytes(in[0].iov_base, 1);
        expect_bytes(in[1].iov_base, 2);
    }
}

#define FAILS(call, error)                   \
    do {                                     \
        errno = 0;                           \
        cr_assert(eq(int, (int)(call), -1)); \
        cr_assert(eq(int, errno, (error)));  \
    } while (0)

Test(io, errno_is_the_calls)
{
    char byte;
    const struct iovec vector = { &byte, 1 };
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct epoll_event event;
    const struct timespec never = { -1, 0 };
    int status;
    for (unsigned i = 0; i < ROUNDS_OF_IO; i++) {
        FAILS(tenure_read(self, -1, &byte, 1), EBADF);
        FAILS(tenure_write(self, -1, &byte, 1), EBADF);
        FAILS(tenure_readv(self, -1, &vector, 1), EBADF);
        FAILS(tenure_writev(self, -1, &vector, 1), EBADF);
        FAILS(tenure_accept(self, -1, NULL, NULL), EBADF);
        FAILS(tenure_connect(self, -1, (const struct sockaddr *)&address, sizeof address), EBADF);
        FAILS(tenure_recv(self, ends[0], &byte, 1, MSG_DONTWAIT), EAGAIN);
        FAILS(tenure_send(self, -1, &byte, 1, 0), EBADF);
        FAILS(tenure_epoll_wait(self, -1, &event, 1, 0), EBADF);
        FAILS(tenure_nanosleep(self, &never, NULL), EINVAL);
        FAILS(tenure_waitpid(self, -1, &status, WNOHANG), ECHILD);
        errno = ENOTTY;
        struct pollfd nothing = { .fd = ends[0], .events = POLLIN };
        cr_assert(eq(int, tenure_poll_fds(self, &nothing, 1, 0), 0));
        cr_assert(eq(int, errno, ENOTTY), "untouched by what succeeds");
    }
}

Test(io, sockets)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } }, peer;
    socklen_t length = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(eq(int, bind(listener, (const struct sockaddr *)&address, length), 0));
    cr_assert(eq(int, getsockname(listener, (struct sockaddr *)&address, &length), 0));
    cr_assert(eq(int, listen(listener, 1), 0));
    cr_assert(eq(int, tenure_connect(self, client, (const struct sockaddr *)&address, length), 0));
    length = sizeof peer;
    const int server = tenure_accept(self, listener, (struct sockaddr *)&peer, &length);
    cr_assert(ge(int, server, 0));
    cr_assert(eq(int, (int)tenure_send(self, client, "abc", 3, 0), 3));
    const int epoll = epoll_create1(0);
    struct epoll_event event = { .events = EPOLLIN, .data = { .u32 = 77 } };
    cr_assert(eq(int, epoll_ctl(epoll, EPOLL_CTL_ADD, server, &event), 0));
    memset(&event, 0, sizeof event);
    cr_assert(eq(int, tenure_epoll_wait(self, epoll, &event, 1, -1), 1));
    cr_assert(eq(u32, event.data.u32, 77));
    struct pollfd ready = { .fd = server, .events = POLLIN };
    cr_assert(eq(int, tenure_poll_fds(self, &ready, 1, -1), 1));
    cr_assert(eq(int, ready.revents, POLLIN));
}

static void *give_back(void *arg) { return arg; }

Test(io, join_and_waitpid)
{
    void *result = NULL;
    cr_assert(eq(int, tenure_join(self, start_thread(give_back, &heap), &result), 0));
    cr_assert(eq(ptr, result, (void *)&heap));
    const pid_t child = fork();
    if (child == 0) _exit(7);
    int status = 0;
    cr_assert(eq(int, tenure_waitpid(self, child, &status, 0), child));
    cr_assert(eq(int, WEXITSTATUS(status), 7));
    const struct timespec brief = { 0, 1000 };
    cr_assert(eq(int, tenure_nanosleep(self, &brief, NULL), 0));
}

/* A precise heap whose objects all move: the buffer is pinned by the call alone. */
static tenure_heap *precise;
static flag reading;

static void read_into_frame(tenure_thread *reader)
{
    char *into = tenure_new_bytes(reader, BYTES);
    TENURE_FRAME(reader, into);
    atomic_store(&reading, 1);
    REQUIRE(tenure_read(reader, ends[1], into, BYTES) == BYTES);
    expect_bytes(into, 5);
}

/* Into what only other objects lead to. */
static void read_into_vector(tenure_thread *reader)
{
    void **held = TENURE_NEW_REFS(reader, void, 2);
    TENURE_FRAME(reader, held);
    for (unsigned i = 0; i < 2; i++) {
        void *bytes = tenure_new_bytes(reader, BYTES);
        TENURE_SET_AT(reader, held, i, bytes);
    }
    const struct iovec vector[] = { { held[0], BYTES }, { held[1], BYTES } };
    atomic_store(&reading, 2);
    REQUIRE(tenure_readv(reader, ends[1], vector, 2) == 2 * BYTES);
    expect_bytes(held[0], 6);
    expect_bytes(held[1], 7);
}
static void accept_with_length(tenure_thread *reader, int listener)
{
    struct sockaddr_un *from = tenure_new_bytes(reader, sizeof *from);
    socklen_t *length = NULL;
    TENURE_FRAME(reader, from, length);
    length = tenure_new_bytes(reader, sizeof *length);
    *length = sizeof *from;
    atomic_store(&reading, 3);
    const int accepted = tenure_accept(reader, listener, (struct sockaddr *)from, length);
    REQUIRE(accepted >= 0 && *length < sizeof *from && from->sun_family == AF_UNIX);
    close(accepted);
}
static int listener;
static struct sockaddr_un listens_at;
static socklen_t listens_at_bytes = sizeof listens_at;

static void *read_precise(void *arg)
{
    tenure_thread *reader = tenure_attach(precise);
    read_into_frame(reader);
    read_into_vector(reader);
    accept_with_length(reader, listener);
    tenure_detach(reader);
    return arg;
}

Test(io, buffers_of_precise_heaps)
{
    precise = precise_heap_with("max_heap=128m,check=roots,torture=alloc:5");
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert(eq(int, bind(listener, (const struct sockaddr *)&(struct sockaddr) { AF_UNIX, { 0 } }, 2), 0));
    cr_assert(eq(int, getsockname(listener, (struct sockaddr *)&listens_at, &listens_at_bytes), 0));
    cr_assert(eq(int, listen(listener, 1), 0));
    pthread_t thread = start_thread(read_precise, NULL);
    tenure_thread *mine = tenure_attach(precise);
    await_polling(mine, &reading, 1);
    for (unsigned i = 0; i < 3; i++) tenure_collect(mine, TENURE_GEN2);
    cr_assert(eq(int, (int)tenure_write(mine, ends[0], fresh_bytes(5), BYTES), BYTES));
    await_polling(mine, &reading, 2);
    for (unsigned i = 0; i < 3; i++) tenure_collect(mine, TENURE_GEN2);
    const struct iovec sent[] = { { fresh_bytes(6), BYTES }, { fresh_bytes(7), BYTES } };
    cr_assert(eq(int, (int)tenure_writev(mine, ends[0], sent, 2), 2 * BYTES));
    await_polling(mine, &reading, 3);
    for (unsigned i = 0; i < 3; i++) tenure_collect(mine, TENURE_GEN2);
    const int connects = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert(eq(int, connect(connects, (const struct sockaddr *)&listens_at, listens_at_bytes), 0));
    join_blocked(mine, thread);
    close(connects);
    close(listener);
    heap_end(precise, mine);
}

/* --- cancelled: in again before the program's handlers run, and nothing is pinned any more --- */

static tenure_heap *moving;
static tenure_thread *_Atomic waits;
static flag cleaned_up;

static void runs_again(void *waiter)
{
    const tenure__mutator *mutator = tenure__mutator_of(waiter);
    REQUIRE(mode_of(waiter) == TENURE__RUNNING && mutator->io_count == 0);
    REQUIRE(mutator->scratch[TENURE__SCRATCH_IO] == 0 && mutator->scratch[TENURE__SCRATCH_IO + 1] == 0);
    REQUIRE(tenure_new_bytes(waiter, BYTES) != NULL);
    atomic_store(&cleaned_up, 1);
}

enum { READ, READV, RECV, ACCEPT, POLL, EPOLL, SLEEP, JOIN, CALLS };

static void *never_ends(void *arg)
{
    for (;;) pause();
    return arg;
}

static void wait_in(unsigned call, tenure_thread *waiter)
{
    static pthread_t thread;
    char bytes[8];
    const struct iovec vector = { bytes, sizeof bytes };
    struct pollfd fd = { ends[1], POLLIN, 0 };
    struct epoll_event event;
    const struct timespec long_time = { 1000, 0 };
    if (call == JOIN) thread = start_thread(never_ends, NULL);
    atomic_store(&waits, waiter);
    switch (call) {
    case READ:
        tenure_read(waiter, ends[1], bytes, sizeof bytes);
        break;
    case READV:
        tenure_readv(waiter, ends[1], &vector, 1);
        break;
    case RECV:
        tenure_recv(waiter, ends[1], bytes, sizeof bytes, 0);
        break;
    case ACCEPT:
        tenure_accept(waiter, listener, NULL, NULL);
        break;
    case POLL:
        tenure_poll_fds(waiter, &fd, 1, -1);
        break;
    case EPOLL:
        tenure_epoll_wait(waiter, epoll_create1(0), &event, 1, -1);
        break;
    case SLEEP:
        tenure_nanosleep(waiter, &long_time, NULL);
        break;
    default:
        tenure_join(waiter, thread, NULL);
        break;
    }
    REQUIRE(false);
}
static void *wait_to_be_cancelled(void *call)
{
    tenure_thread *waiter = tenure_attach(moving);
    pthread_cleanup_push(runs_again, waiter);
    wait_in((unsigned)(uintptr_t)call, waiter);
    pthread_cleanup_pop(0);
    return call;
}

/* ThreadSanitizer orders nothing that follows in the thread once a call like poll has been cancelled. */
Test(io, cancelled_calls_come_back_first)
{
    if (NO_CANCELLING) return;
    moving = precise_heap_with("max_heap=128m");
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert(eq(int, bind(listener, (const struct sockaddr *)&(struct sockaddr) { AF_UNIX, { 0 } }, 2), 0));
    cr_assert(eq(int, listen(listener, 1), 0));
    tenure_thread *mine = tenure_attach(moving);
    for (uintptr_t call = 0; call < (SANITIZED ? POLL : CALLS); call++) {
        atomic_store(&waits, NULL);
        atomic_store(&cleaned_up, 0);
        const pthread_t thread = start_thread(wait_to_be_cancelled, (void *)call);
        for (; atomic_load(&waits) == NULL || mode_of(waits) != TENURE__IDLE; sched_yield()) tenure_poll(mine);
        cr_assert(eq(int, tenure_stop_world(mine), TENURE_OK));
        pthread_cancel(thread);
        while ((state_of(waits) & TENURE__RETURNING) == 0) sched_yield();
        cr_assert(eq(int, atomic_load(&cleaned_up), 0), "call %u", (unsigned)call);
        tenure_resume_world(mine);
        join_blocked(mine, thread);
        cr_assert(eq(int, atomic_load(&cleaned_up), 1), "call %u", (unsigned)call);
    }
    close(listener);
    heap_end(moving, mine);
}

/* --- jumped out of, by a handler of the signal that the call raises --- */

static sigjmp_buf out_of_call;
static void jump_out(int signal)
{
    (void)signal;
    siglongjmp(out_of_call, 1);
}

/* What the call would have had done when it is cancelled goes with it: nothing of it is left on the stack, which is
 * others' then. */
static __attribute__((noinline)) void overwrite(void)
{
    volatile char stack[8192];
    memset((void *)stack, 0x5a, sizeof stack);
}
static __attribute__((noinline)) void read_for_ever(tenure_thread *waiter)
{
    char byte;
    atomic_store(&waits, waiter);
    tenure_read(waiter, ends[1], &byte, 1);
}
static void *jumps_and_ends(void *how)
{
    tenure_thread *waiter = tenure_attach(heap);
    const tenure_jump before = tenure_jump_save(waiter);
    if (sigsetjmp(out_of_call, 1) == 0)
        read_for_ever(waiter);
    else
        tenure_jump_restore(waiter, before);
    overwrite();
    if (how == NULL) pthread_exit(&ends);
    pthread_cancel(pthread_self());
    pthread_testcancel();
    return NULL;
}

Test(io, jumped_out_and_ended)
{
    if (NO_CANCELLING) return;
    signal(SIGUSR1, jump_out);
    static char cancel;
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&waits, NULL);
        const pthread_t thread = start_thread(jumps_and_ends, i == 0 ? NULL : &cancel);
        for (; atomic_load(&waits) == NULL || mode_of(waits) != TENURE__IDLE; sched_yield()) tenure_poll(self);
        cr_assert(eq(int, pthread_kill(thread, SIGUSR1), 0));
        void *result;
        cr_assert(eq(int, tenure_join(self, thread, &result), 0));
        cr_expect(result == (i == 0 ? (void *)&ends : PTHREAD_CANCELED));
    }
}

/* Whichever record comes back for all of the thread's. */
Test(io, jumped_out_with_two_heaps)
{
    char bytes[8] = { 0 };
    struct iovec *vector = malloc(sizeof *vector);
    tenure_heap *other = heap_with("max_heap=128m");
    tenure_thread *of_other = tenure_attach(other);
    cr_assert(signal(SIGPIPE, jump_out) != SIG_ERR);
    close(ends[1]);
    *vector = (struct iovec) { bytes, sizeof bytes };
    const tenure_jump before = tenure_jump_save(self);
    if (sigsetjmp(out_of_call, 1) == 0) tenure_writev(of_other, ends[0], vector, 1);
    tenure_jump_restore(self, before);
    cr_assert(eq(int, tenure__mutator_of(of_other)->io_count, 0));
    cr_assert(eq(u32, mode_of(of_other), TENURE__RUNNING));
    free(vector);
    collect_and_litter(of_other);
    heap_end(other, of_other);
}
