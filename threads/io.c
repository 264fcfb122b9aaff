/* The wrappers of blocking system calls: idle regions with the system's own results and errno. */
#include "threads/mutator.h"
#include <errno.h>
#include <limits.h>
#include <sys/wait.h>
#include <tenure/io.h>
#include <tenure/safepoint.h>
#include <unistd.h>

void tenure__io_over(tenure__mutator *mutator)
{
    if (mutator->depth != 0) return; /* a stop may read them */
    mutator->scratch[TENURE__SCRATCH_IO] = mutator->scratch[TENURE__SCRATCH_IO + 1] = 0;
    mutator->io_count = 0;
}

/* Buffers inside heap objects are pinned by the caller's stack; in precise heaps by scratch roots, which a thread sets
 * while it runs. */
static void pin_for_call(tenure_thread *self, const void *buffer, const void *other)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    if (mutator->depth != 0) return;
    mutator->scratch[TENURE__SCRATCH_IO] = (uintptr_t)buffer;
    mutator->scratch[TENURE__SCRATCH_IO + 1] = (uintptr_t)other;
}

struct region {
    tenure_thread *self;
    tenure_jump before;
};

/* It has returned, errno is its; or it was cancelled: back in before the program's handlers run and its frames end. */
static void call_over(void *arg)
{
    const struct region *over = arg;
    const int error = errno;
    tenure_jump_restore(over->self, over->before);
    errno = error;
}

/* With -fexceptions (CMakeLists.txt) nothing is registered that a longjmp out of the call would leave behind. */
#define IDLE_WITH(result_type, pinned, pinned_too, call)         \
    do {                                                         \
        result_type result;                                      \
        struct region around = { self, tenure_jump_save(self) }; \
        pthread_cleanup_push(call_over, &around);                \
        pin_for_call(self, pinned, pinned_too);                  \
        tenure_enter_idle(self);                                 \
        result = call;                                           \
        pthread_cleanup_pop(1);                                  \
        return result;                                           \
    } while (0)

ssize_t tenure_read(tenure_thread *self, int fd, void *buffer, size_t bytes)
{
    IDLE_WITH(ssize_t, buffer, 0, read(fd, buffer, bytes));
}
ssize_t tenure_write(tenure_thread *self, int fd, const void *buffer, size_t bytes)
{
    IDLE_WITH(ssize_t, buffer, 0, write(fd, buffer, bytes));
}

/* Its buffers are pinned as well. */
static ssize_t with_vector(tenure_thread *self, int fd, const struct iovec *vector, int count,
    ssize_t (*call)(int fd, const struct iovec *vector, int count))
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    if (mutator->depth == 0) {
        mutator->io_vector = vector;
        mutator->io_count = count <= IOV_MAX ? count : 0; /* more are refused unread */
    }
    IDLE_WITH(ssize_t, vector, 0, call(fd, vector, count));
}
ssize_t tenure_readv(tenure_thread *self, int fd, const struct iovec *vector, int count)
{
    return with_vector(self, fd, vector, count, readv);
}
ssize_t tenure_writev(tenure_thread *self, int fd, const struct iovec *vector, int count)
{
    return with_vector(self, fd, vector, count, writev);
}

int tenure_accept(tenure_thread *self, int fd, struct sockaddr *address, socklen_t *length)
{
    IDLE_WITH(int, address, length, accept(fd, address, length));
}
int tenure_connect(tenure_thread *self, int fd, const struct sockaddr *address, socklen_t length)
{
    IDLE_WITH(int, address, 0, connect(fd, address, length));
}
ssize_t tenure_recv(tenure_thread *self, int fd, void *buffer, size_t bytes, int flags)
{
    IDLE_WITH(ssize_t, buffer, 0, recv(fd, buffer, bytes, flags));
}
ssize_t tenure_send(tenure_thread *self, int fd, const void *buffer, size_t bytes, int flags)
{
    IDLE_WITH(ssize_t, buffer, 0, send(fd, buffer, bytes, flags));
}
int tenure_poll_fds(tenure_thread *self, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    IDLE_WITH(int, fds, 0, poll(fds, count, timeout_ms));
}
int tenure_epoll_wait(tenure_thread *self, int fd, struct epoll_event *events, int max, int timeout_ms)
{
    IDLE_WITH(int, events, 0, epoll_wait(fd, events, max, timeout_ms));
}
int tenure_nanosleep(tenure_thread *self, const struct timespec *wait, struct timespec *left)
{
    IDLE_WITH(int, wait, left, nanosleep(wait, left));
}
int tenure_join(tenure_thread *self, pthread_t thread, void **result_of_thread)
{
    IDLE_WITH(int, result_of_thread, 0, pthread_join(thread, result_of_thread));
}
pid_t tenure_waitpid(tenure_thread *self, pid_t pid, int *status, int options)
{
    IDLE_WITH(pid_t, status, 0, waitpid(pid, status, options));
}
