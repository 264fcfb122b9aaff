/* The wrappers of blocking system calls: idle regions with the system's own results and errno. */
#include "threads/mutator.h"
#include <errno.h>
#include <sys/wait.h>
#include <tenure/io.h>
#include <tenure/safepoint.h>
#include <unistd.h>

/* A buffer inside a heap object is pinned by the caller's stack; in precise heaps by this scratch root. */
#define IDLE_WITH(result_type, pinned, call)                                         \
    do {                                                                             \
        uintptr_t *scratch = &tenure__mutator_of(self)->scratch[TENURE__SCRATCH_IO]; \
        *scratch = (uintptr_t)(pinned);                                              \
        tenure_enter_idle(self);                                                     \
        const result_type result = call;                                             \
        const int error = errno;                                                     \
        tenure_leave_idle(self);                                                     \
        *scratch = 0;                                                                \
        errno = error;                                                               \
        return result;                                                               \
    } while (0)

ssize_t tenure_read(tenure_thread *self, int fd, void *buffer, size_t bytes)
{
    IDLE_WITH(ssize_t, buffer, read(fd, buffer, bytes));
}
ssize_t tenure_write(tenure_thread *self, int fd, const void *buffer, size_t bytes)
{
    IDLE_WITH(ssize_t, buffer, write(fd, buffer, bytes));
}
ssize_t tenure_readv(tenure_thread *self, int fd, const struct iovec *vector, int count)
{
    IDLE_WITH(ssize_t, vector, readv(fd, vector, count));
}
ssize_t tenure_writev(tenure_thread *self, int fd, const struct iovec *vector, int count)
{
    IDLE_WITH(ssize_t, vector, writev(fd, vector, count));
}
int tenure_accept(tenure_thread *self, int fd, struct sockaddr *address, socklen_t *length)
{
    IDLE_WITH(int, address, accept(fd, address, length));
}
int tenure_connect(tenure_thread *self, int fd, const struct sockaddr *address, socklen_t length)
{
    IDLE_WITH(int, address, connect(fd, address, length));
}
ssize_t tenure_recv(tenure_thread *self, int fd, void *buffer, size_t bytes, int flags)
{
    IDLE_WITH(ssize_t, buffer, recv(fd, buffer, bytes, flags));
}
ssize_t tenure_send(tenure_thread *self, int fd, const void *buffer, size_t bytes, int flags)
{
    IDLE_WITH(ssize_t, buffer, send(fd, buffer, bytes, flags));
}
int tenure_poll_fds(tenure_thread *self, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    IDLE_WITH(int, fds, poll(fds, count, timeout_ms));
}
int tenure_epoll_wait(tenure_thread *self, int fd, struct epoll_event *events, int max, int timeout_ms)
{
    IDLE_WITH(int, events, epoll_wait(fd, events, max, timeout_ms));
}
int tenure_nanosleep(tenure_thread *self, const struct timespec *wait, struct timespec *left)
{
    IDLE_WITH(int, wait, nanosleep(wait, left));
}
int tenure_join(tenure_thread *self, pthread_t thread, void **result_of_thread)
{
    IDLE_WITH(int, result_of_thread, pthread_join(thread, result_of_thread));
}
pid_t tenure_waitpid(tenure_thread *self, pid_t pid, int *status, int options)
{
    IDLE_WITH(pid_t, status, waitpid(pid, status, options));
}
