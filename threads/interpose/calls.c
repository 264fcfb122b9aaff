/* Calls of the C library that block in the kernel. A buffer in the heap stays where it is: the caller's stack points to
 * it. The _chk functions are what programs call that were compiled with _FORTIFY_SOURCE. */
#include "threads/interpose/region.h"
#include <fcntl.h>
#include <grp.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <syslog.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

typedef struct timespec timespec;

/* --- reading and writing --- */

BLOCKING(ssize_t, read, (int fd, void *buffer, size_t bytes), (fd, buffer, bytes))
BLOCKING(ssize_t, write, (int fd, const void *buffer, size_t bytes), (fd, buffer, bytes))
BLOCKING(ssize_t, readv, (int fd, const struct iovec *vector, int count), (fd, vector, count))
BLOCKING(ssize_t, writev, (int fd, const struct iovec *vector, int count), (fd, vector, count))
BLOCKING(ssize_t, pread, (int fd, void *buffer, size_t bytes, off_t at), (fd, buffer, bytes, at))
BLOCKING(ssize_t, pread64, (int fd, void *buffer, size_t bytes, off64_t at), (fd, buffer, bytes, at))
BLOCKING(ssize_t, pwrite, (int fd, const void *buffer, size_t bytes, off_t at), (fd, buffer, bytes, at))
BLOCKING(ssize_t, pwrite64, (int fd, const void *buffer, size_t bytes, off64_t at), (fd, buffer, bytes, at))
BLOCKING(ssize_t, preadv, (int fd, const struct iovec *vector, int count, off_t at), (fd, vector, count, at))
BLOCKING(ssize_t, preadv64, (int fd, const struct iovec *vector, int count, off64_t at), (fd, vector, count, at))
BLOCKING(ssize_t, pwritev, (int fd, const struct iovec *vector, int count, off_t at), (fd, vector, count, at))
BLOCKING(ssize_t, pwritev64, (int fd, const struct iovec *vector, int count, off64_t at), (fd, vector, count, at))
BLOCKING(ssize_t, sendfile, (int out, int in, off_t *at, size_t bytes), (out, in, at, bytes))
BLOCKING(ssize_t, sendfile64, (int out, int in, off64_t *at, size_t bytes), (out, in, at, bytes))
BLOCKING(ssize_t, splice, (int in, off64_t *in_at, int out, off64_t *out_at, size_t bytes, unsigned flags),
    (in, in_at, out, out_at, bytes, flags))
BLOCKING(int, fsync, (int fd), (fd))
BLOCKING(int, fdatasync, (int fd), (fd))
BLOCKING(int, msync, (void *start, size_t bytes, int flags), (start, bytes, flags))
BLOCKING(int, tcdrain, (int fd), (fd))

extern ssize_t __read_chk(int fd, void *buffer, size_t bytes, size_t room);
extern ssize_t __pread_chk(int fd, void *buffer, size_t bytes, off_t at, size_t room);
extern ssize_t __pread64_chk(int fd, void *buffer, size_t bytes, off64_t at, size_t room);
BLOCKING(ssize_t, __read_chk, (int fd, void *buffer, size_t bytes, size_t room), (fd, buffer, bytes, room))
BLOCKING(
    ssize_t, __pread_chk, (int fd, void *buffer, size_t bytes, off_t at, size_t room), (fd, buffer, bytes, at, room))
BLOCKING(ssize_t, __pread64_chk, (int fd, void *buffer, size_t bytes, off64_t at, size_t room),
    (fd, buffer, bytes, at, room))

/* --- sockets: addresses as the GNU headers declare them --- */

BLOCKING(int, accept, (int fd, __SOCKADDR_ARG address, socklen_t *length), (fd, address, length))
BLOCKING(int, accept4, (int fd, __SOCKADDR_ARG address, socklen_t *length, int flags), (fd, address, length, flags))
BLOCKING(int, connect, (int fd, __CONST_SOCKADDR_ARG address, socklen_t length), (fd, address, length))
BLOCKING(ssize_t, recv, (int fd, void *buffer, size_t bytes, int flags), (fd, buffer, bytes, flags))
BLOCKING(ssize_t, recvfrom, (int fd, void *buffer, size_t bytes, int flags, __SOCKADDR_ARG address, socklen_t *length),
    (fd, buffer, bytes, flags, address, length))
BLOCKING(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
BLOCKING(int, recvmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags, timespec *timeout),
    (fd, messages, count, flags, timeout))
BLOCKING(ssize_t, send, (int fd, const void *buffer, size_t bytes, int flags), (fd, buffer, bytes, flags))
BLOCKING(ssize_t, sendto,
    (int fd, const void *buffer, size_t bytes, int flags, __CONST_SOCKADDR_ARG address, socklen_t length),
    (fd, buffer, bytes, flags, address, length))
BLOCKING(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
BLOCKING(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags), (fd, messages, count, flags))

extern ssize_t __recv_chk(int fd, void *buffer, size_t bytes, size_t room, int flags);
extern ssize_t __recvfrom_chk(
    int fd, void *buffer, size_t bytes, size_t room, int flags, __SOCKADDR_ARG address, socklen_t *length);
BLOCKING(
    ssize_t, __recv_chk, (int fd, void *buffer, size_t bytes, size_t room, int flags), (fd, buffer, bytes, room, flags))
BLOCKING(ssize_t, __recvfrom_chk,
    (int fd, void *buffer, size_t bytes, size_t room, int flags, __SOCKADDR_ARG address, socklen_t *length),
    (fd, buffer, bytes, room, flags, address, length))

/* --- waiting for descriptors --- */

BLOCKING(int, poll, (struct pollfd * fds, nfds_t count, int timeout_ms), (fds, count, timeout_ms))
BLOCKING(int, ppoll, (struct pollfd * fds, nfds_t count, const timespec *timeout, const sigset_t *mask),
    (fds, count, timeout, mask))
BLOCKING(int, select, (int count, fd_set *in, fd_set *out, fd_set *urgent, struct timeval *timeout),
    (count, in, out, urgent, timeout))
BLOCKING(int, pselect,
    (int count, fd_set *in, fd_set *out, fd_set *urgent, const timespec *timeout, const sigset_t *mask),
    (count, in, out, urgent, timeout, mask))
BLOCKING(int, epoll_wait, (int fd, struct epoll_event *events, int max, int timeout_ms), (fd, events, max, timeout_ms))
BLOCKING(int, epoll_pwait, (int fd, struct epoll_event *events, int max, int timeout_ms, const sigset_t *mask),
    (fd, events, max, timeout_ms, mask))
BLOCKING(int, epoll_pwait2,
    (int fd, struct epoll_event *events, int max, const timespec *timeout, const sigset_t *mask),
    (fd, events, max, timeout, mask))

extern int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t room);
extern int __ppoll_chk(struct pollfd *fds, nfds_t count, const timespec *timeout, const sigset_t *mask, size_t room);
BLOCKING(
    int, __poll_chk, (struct pollfd * fds, nfds_t count, int timeout_ms, size_t room), (fds, count, timeout_ms, room))
BLOCKING(int, __ppoll_chk,
    (struct pollfd * fds, nfds_t count, const timespec *timeout, const sigset_t *mask, size_t room),
    (fds, count, timeout, mask, room))

/* --- time, signals, processes --- */

BLOCKING(int, nanosleep, (const timespec *wait, timespec *left), (wait, left))
BLOCKING(int, clock_nanosleep, (clockid_t clock, int flags, const timespec *wait, timespec *left),
    (clock, flags, wait, left))
BLOCKING(int, usleep, (useconds_t us), (us))
BLOCKING(unsigned, sleep, (unsigned seconds), (seconds))
BLOCKING(int, pause, (void), ())
BLOCKING(int, sigsuspend, (const sigset_t *mask), (mask))
BLOCKING(int, sigwait, (const sigset_t *set, int *number), (set, number))
BLOCKING(int, sigwaitinfo, (const sigset_t *set, siginfo_t *info), (set, info))
BLOCKING(int, sigtimedwait, (const sigset_t *set, siginfo_t *info, const timespec *timeout), (set, info, timeout))
BLOCKING(pid_t, wait, (int *status), (status))
BLOCKING(pid_t, wait3, (int *status, int options, struct rusage *usage), (status, options, usage))
BLOCKING(pid_t, wait4, (pid_t pid, int *status, int options, struct rusage *usage), (pid, status, options, usage))
BLOCKING(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options))
BLOCKING(int, waitid, (idtype_t kind, id_t id, siginfo_t *info, int options), (kind, id, info, options))
BLOCKING(int, system, (const char *command), (command))

/* --- locks and queues between processes --- */

BLOCKING(int, flock, (int fd, int operation), (fd, operation))
BLOCKING(int, lockf, (int fd, int command, off_t bytes), (fd, command, bytes))
BLOCKING(int, lockf64, (int fd, int command, off64_t bytes), (fd, command, bytes))
BLOCKING(
    ssize_t, msgrcv, (int id, void *message, size_t bytes, long type, int flags), (id, message, bytes, type, flags))
BLOCKING(int, msgsnd, (int id, const void *message, size_t bytes, int flags), (id, message, bytes, flags))
BLOCKING(int, semop, (int id, struct sembuf *operations, size_t count), (id, operations, count))
BLOCKING(int, semtimedop, (int id, struct sembuf *operations, size_t count, const timespec *timeout),
    (id, operations, count, timeout))
BLOCKING(ssize_t, mq_receive, (mqd_t queue, char *message, size_t bytes, unsigned *priority),
    (queue, message, bytes, priority))
BLOCKING(ssize_t, mq_timedreceive, (mqd_t queue, char *message, size_t bytes, unsigned *priority, const timespec *end),
    (queue, message, bytes, priority, end))
BLOCKING(int, mq_send, (mqd_t queue, const char *message, size_t bytes, unsigned priority),
    (queue, message, bytes, priority))
BLOCKING(int, mq_timedsend, (mqd_t queue, const char *message, size_t bytes, unsigned priority, const timespec *end),
    (queue, message, bytes, priority, end))

/* --- opening: a FIFO waits for its other end, a file system for its server --- */

static mode_t open_mode(int flags, va_list list)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(list, mode_t) : 0;
}

#define OPEN(name, parameters, arguments)           \
    INTERPOSED int name parameters                  \
    {                                               \
        va_list list;                               \
        va_start(list, flags);                      \
        const mode_t mode = open_mode(flags, list); \
        va_end(list);                               \
        REGION;                                     \
        return REAL(name) arguments;                \
    }
OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int directory, const char *path, int flags, ...), (directory, path, flags, mode))
OPEN(openat64, (int directory, const char *path, int flags, ...), (directory, path, flags, mode))

extern int __open_2(const char *path, int flags);
extern int __open64_2(const char *path, int flags);
extern int __openat_2(int directory, const char *path, int flags);
extern int __openat64_2(int directory, const char *path, int flags);
BLOCKING(int, __open_2, (const char *path, int flags), (path, flags))
BLOCKING(int, __open64_2, (const char *path, int flags), (path, flags))
BLOCKING(int, __openat_2, (int directory, const char *path, int flags), (directory, path, flags))
BLOCKING(int, __openat64_2, (int directory, const char *path, int flags), (directory, path, flags))

/* One argument of any type, as the C library itself takes it. */
#define FCNTL(name)                                                                                   \
    INTERPOSED int name(int fd, int command, ...)                                                     \
    {                                                                                                 \
        va_list list;                                                                                 \
        va_start(list, command);                                                                      \
        void *argument = va_arg(list, void *);                                                        \
        va_end(list);                                                                                 \
        if (command != F_SETLKW && command != F_OFD_SETLKW) return REAL(name)(fd, command, argument); \
        REGION;                                                                                       \
        return REAL(name)(fd, command, argument);                                                     \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* --- names: what they do inside the C library is not seen from here --- */

BLOCKING(int, getaddrinfo,
    (const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found),
    (node, service, hints, found))
BLOCKING(int, getnameinfo,
    (const struct sockaddr *address, socklen_t length, char *host, socklen_t host_bytes, char *service,
        socklen_t service_bytes, int flags),
    (address, length, host, host_bytes, service, service_bytes, flags))
BLOCKING(struct hostent *, gethostbyname, (const char *name), (name))
BLOCKING(struct hostent *, gethostbyname2, (const char *name, int family), (name, family))
BLOCKING(
    struct hostent *, gethostbyaddr, (const void *address, socklen_t length, int family), (address, length, family))
BLOCKING(int, gethostbyname_r,
    (const char *name, struct hostent *entry, char *buffer, size_t bytes, struct hostent **found, int *error),
    (name, entry, buffer, bytes, found, error))
BLOCKING(int, gethostbyname2_r,
    (const char *name, int family, struct hostent *entry, char *buffer, size_t bytes, struct hostent **found,
        int *error),
    (name, family, entry, buffer, bytes, found, error))
BLOCKING(int, gethostbyaddr_r,
    (const void *address, socklen_t length, int family, struct hostent *entry, char *buffer, size_t bytes,
        struct hostent **found, int *error),
    (address, length, family, entry, buffer, bytes, found, error))
BLOCKING(struct passwd *, getpwnam, (const char *name), (name))
BLOCKING(struct passwd *, getpwuid, (uid_t id), (id))
BLOCKING(struct group *, getgrnam, (const char *name), (name))
BLOCKING(struct group *, getgrgid, (gid_t id), (id))
BLOCKING(int, getpwnam_r, (const char *name, struct passwd *entry, char *buffer, size_t bytes, struct passwd **found),
    (name, entry, buffer, bytes, found))
BLOCKING(int, getpwuid_r, (uid_t id, struct passwd *entry, char *buffer, size_t bytes, struct passwd **found),
    (id, entry, buffer, bytes, found))
BLOCKING(int, getgrnam_r, (const char *name, struct group *entry, char *buffer, size_t bytes, struct group **found),
    (name, entry, buffer, bytes, found))
BLOCKING(int, getgrgid_r, (gid_t id, struct group *entry, char *buffer, size_t bytes, struct group **found),
    (id, entry, buffer, bytes, found))

/* --- the system's log: a socket and a lock --- */

INTERPOSED void vsyslog(int priority, const char *format, va_list list)
{
    REGION;
    REAL(vsyslog)(priority, format, list);
}
INTERPOSED void syslog(int priority, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    REGION;
    REAL(vsyslog)(priority, format, list);
    va_end(list);
}
extern void __vsyslog_chk(int priority, int flag, const char *format, va_list list);
extern void __syslog_chk(int priority, int flag, const char *format, ...);
INTERPOSED void __vsyslog_chk(int priority, int flag, const char *format, va_list list)
{
    REGION;
    REAL(__vsyslog_chk)(priority, flag, format, list);
}
INTERPOSED void __syslog_chk(int priority, int flag, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    REGION;
    REAL(__vsyslog_chk)(priority, flag, format, list);
    va_end(list);
}
