/* The wrappers of blocking system calls: idle regions with the system's own results and errno. */
#include "threads/mutator.h"
#include <errno.h>
#include <limits.h>
#include <sys/wait.h>
#include <tenure/io.h>
#include <tenure/safepoint.h>
#include <unistd.h>

/* Buffers inside heap objects are pinned by the caller's stack; in precise heaps by scratch roots. */
#define IDLE_WITH(result_type, pinned, pinned_too, call)                             \
    __extension__({                                                                  \
        uintptr_t *scratch = &tenure__mutator_of(self)->scratch[TENURE__SCRATCH_IO]; \
        scratch[0] = (uintptr_t)(pinned);                                            \
        scratch[1] = (uintptr_t)(pinned_too);                                        \
        tenure_enter_idle(self);                                                     \
        const result_type result = call;                                             \
        const int error = errno;                                                     \
        tenure_leave_idle(self);                                                     \
        scratch[0] = scratch[1] = 0;                                                 \
        errno = error;                                                               \
        result;                                                                      \
    })

ssize_t tenure_read(tenure_thread *self, int fd, void *buffer, size_t bytes)
{
    return IDLE_WITH(ssize_t, buffer, 0, read(fd, buffer, bytes));
}
ssize_t tenure_write(tenure_thread *self, int fd, const void *buffer, size_t bytes)
{
    return IDLE_WITH(ssize_t, buffer, 0, write(fd, buffer, bytes));
}

/* Its buffers are pinned as well. */
static ssize_t with_vector(tenure_thread *self, int fd, const struct iovec *vector, int count,
    ssize_t (*call)(int fd, const struct iovec *vector, int count))
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    mutator->io_vector = vector;
    mutator->io_count = count <= IOV_MAX ? count : 0; /* more are refused unread */
    const ssize_t done = IDLE_WITH(ssize_t, vector, 0, call(fd, vector, count));
    mutator->io_count = 0;
    return done;
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
    return IDLE_WITH(int, address, length, accept(fd, address, length));
}
int tenure_connect(tenure_thread *self, int fd, const struct sockaddr *address, socklen_t length)
{
    return IDLE_WITH(int, address, 0, connect(fd, address, length));
}
ssize_t tenure_recv(tenure_thread *self, int fd, void *buffer, size_t bytes, int flags)
{
    return IDLE_WITH(ssize_t, buffer, 0, recv(fd, buffer, bytes, flags));
}
ssize_t tenure_send(tenure_thread *self, int fd, const void *buffer, size_t bytes, int flags)
{
    return IDLE_WITH(ssize_t, buffer, 0, send(fd, buffer, bytes, flags));
}
int tenure_poll_fds(tenure_thread *self, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    return IDLE_WITH(int, fds, 0, poll(fds, count, timeout_ms));
}
int tenure_epoll_wait(tenure_thread *self, int fd, struct epoll_event *events, int max, int timeout_ms)
{
    return IDLE_WITH(int, events, 0, epoll_wait(fd, events, max, timeout_ms));
}
int tenure_nanosleep(tenure_thread *self, const struct timespec *wait, struct timespec *left)
{
    return IDLE_WITH(int, wait, left, nanosleep(wait, left));
}
int tenure_join(tenure_thread *self, pthread_t thread, void **result_of_thread)
{
    return IDLE_WITH(int, result_of_thread, 0, pthread_join(thread, result_of_thread));
}
pid_t tenure_waitpid(tenure_thread *self, pid_t pid, int *status, int options)
{
    return IDLE_WITH(pid_t, status, 0, waitpid(pid, status, options));
}
