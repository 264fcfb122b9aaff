/* Blocking system calls as idle regions: the system's own arguments, results and errno. Buffers in the heap are pinned
 * by the caller's stack (in precise heaps: by this call, unless it is made inside another region). All may block. Those
 * that the system makes cancellation points are: the thread's handlers run as after the call. */
#ifndef TENURE_IO_H
#define TENURE_IO_H

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <tenure/thread.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

TENURE_API ssize_t tenure_read(tenure_thread *self, int fd, void *buffer, size_t bytes);
TENURE_API ssize_t tenure_write(tenure_thread *self, int fd, const void *buffer, size_t bytes);
TENURE_API ssize_t tenure_readv(tenure_thread *self, int fd, const struct iovec *vector, int count);
TENURE_API ssize_t tenure_writev(tenure_thread *self, int fd, const struct iovec *vector, int count);
TENURE_API int tenure_accept(tenure_thread *self, int fd, struct sockaddr *address, socklen_t *length);
TENURE_API int tenure_connect(tenure_thread *self, int fd, const struct sockaddr *address, socklen_t length);
TENURE_API ssize_t tenure_recv(tenure_thread *self, int fd, void *buffer, size_t bytes, int flags);
TENURE_API ssize_t tenure_send(tenure_thread *self, int fd, const void *buffer, size_t bytes, int flags);
TENURE_API int tenure_poll_fds(tenure_thread *self, struct pollfd *fds, nfds_t count, int timeout_ms);
TENURE_API int tenure_epoll_wait(tenure_thread *self, int fd, struct epoll_event *events, int max, int timeout_ms);
TENURE_API int tenure_nanosleep(tenure_thread *self, const struct timespec *wait, struct timespec *left);
TENURE_API int tenure_join(tenure_thread *self, pthread_t thread, void **result);
TENURE_API pid_t tenure_waitpid(tenure_thread *self, pid_t pid, int *status, int options);

#ifdef __cplusplus
}
#endif
#endif
