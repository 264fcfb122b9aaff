/* What a thread waits for, by what /proc/self/task/TID says of it and by glibc's mutexes. Runs on the watch's thread;
 * see report.h. */
#include "threads/report.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* vsnprintf into memory: no stream, and with these conversions no memory of its own. */
void tenure__text_add(tenure__text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int wanted = vsnprintf(text->bytes + text->length, text->size - text->length, format, arguments);
    va_end(arguments);
    if (wanted > 0) text->length += (size_t)wanted;
    if (text->length >= text->size) text->length = text->size - 1;
}

bool tenure__peek(void *to, uintptr_t from, size_t bytes)
{
    const struct iovec local = { to, bytes }, remote = { (void *)from, bytes };
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)bytes;
}

/* --- /proc/self/task/TID --- */

/* The file's beginning, as a string without its last newline; false: there is none. */
static bool read_task(pid_t tid, const char *file, char *bytes, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/%s", tid, file);
    bytes[0] = '\0';
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const ssize_t got = read(fd, bytes, size - 1);
    close(fd);
    if (got < 0) return false;
    bytes[got] = '\0';
    if (got > 0 && bytes[got - 1] == '\n') bytes[got - 1] = '\0';
    return true;
}

static bool is_task(pid_t tid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d", tid);
    return tid > 0 && access(path, F_OK) == 0;
}

/* "running", "-1 SP PC", or "NUMBER ARGUMENT... SP PC". */
static void parse_syscall(const char *line, tenure__wait *wait)
{
    char *at;
    if (strncmp(line, "running", 7) == 0) return;
    wait->number = strtol(line, &at, 10);
    if (wait->number >= 0)
        for (unsigned i = 0; i < 6; i++) wait->arguments[i] = strtoull(at, &at, 16);
    wait->stack_pointer = strtoull(at, &at, 16);
    wait->pc = strtoull(at, &at, 16);
}

/* --- who owns what a futex belongs to --- */

static uint32_t peek_word(uintptr_t address)
{
    uint32_t word;
    return tenure__peek(&word, address, sizeof word) ? word : 0;
}

/* glibc's plain mutex: __lock is the word that is waited on, 2 says that there are waiters. Locks of the C library's
 * own look alike but for the owner, and what stands in its place there is hardly ever a thread's number. */
static pid_t mutex_owner(uintptr_t address)
{
    pthread_mutex_t mutex;
    if (!tenure__peek(&mutex, address, sizeof mutex)) return 0;
    return mutex.__data.__lock == 2 && mutex.__data.__nusers > 0 ? mutex.__data.__owner : 0;
}

/* glibc's rwlock: readers and writers wait on two words of it; a writer that owns it is named. */
static pid_t rwlock_writer(uintptr_t address)
{
    static const size_t words[] = { offsetof(pthread_rwlock_t, __data.__wrphase_futex),
        offsetof(pthread_rwlock_t, __data.__writers_futex) };
    for (unsigned i = 0; i < 2; i++) {
        pthread_rwlock_t lock;
        if (!tenure__peek(&lock, address - words[i], sizeof lock)) continue;
        if (lock.__data.__readers != 0 && is_task(lock.__data.__cur_writer)) return lock.__data.__cur_writer;
    }
    return 0;
}

/* Robust and priority-inheriting mutexes have their owner in the word; so has the word that pthread_join waits on. */
static void read_futex(tenure__wait *wait)
{
    const uintptr_t address = wait->arguments[0];
    const int operation = (int)wait->arguments[1] & FUTEX_CMD_MASK;
    const uint32_t expected = (uint32_t)wait->arguments[2];
    const bool inherits = operation == FUTEX_LOCK_PI || operation == FUTEX_LOCK_PI2;
    wait->kind = TENURE_STRAGGLER_FUTEX;
    wait->timed = wait->arguments[3] != 0;
    pid_t owner = 0;
    if (inherits || (expected & FUTEX_WAITERS) != 0)
        owner = (pid_t)((inherits ? peek_word(address) : expected) & FUTEX_TID_MASK);
    else if (expected == 2)
        owner = mutex_owner(address);
    else if ((wait->arguments[1] & FUTEX_PRIVATE_FLAG) == 0 && is_task((pid_t)expected)) {
        wait->owner = (pid_t)expected;
        wait->kind = TENURE_STRAGGLER_JOIN;
        return;
    }
    if (!is_task(owner)) owner = rwlock_writer(address);
    if (!is_task(owner)) return;
    wait->owner = owner;
    wait->kind = TENURE_STRAGGLER_MUTEX;
}

void tenure__wait_read(pid_t tid, tenure__wait *wait)
{
    char line[512];
    *wait = (tenure__wait) { .kind = TENURE_STRAGGLER_RUNS, .number = -1 };
    if (!read_task(tid, "stat", line, sizeof line)) return;
    const char *name = strchr(line, '('), *name_end = strrchr(line, ')'); /* the name may hold anything */
    if (name == 0 || name_end == 0 || name_end[1] == '\0') return;
    snprintf(wait->name, sizeof wait->name, "%.*s", (int)(name_end - name - 1), name + 1);
    wait->state = name_end[2];
    read_task(tid, "wchan", wait->channel, sizeof wait->channel);
    if (strcmp(wait->channel, "0") == 0) wait->channel[0] = '\0';
    wait->known = read_task(tid, "syscall", line, sizeof line);
    if (wait->known) parse_syscall(line, wait);
    if (wait->number == SYS_futex)
        read_futex(wait);
    else if (wait->number >= 0)
        wait->kind = TENURE_STRAGGLER_SYSCALL;
    else if (wait->state != 'R')
        wait->kind = TENURE_STRAGGLER_KERNEL;
}

/* --- in words --- */

/* The system calls that block, those that a machine has; and what stands for them in tenure/io.h. */
static const struct {
    long number;
    const char *name, *wrapper;
    bool takes_fd;
} calls[] = {
    { SYS_read, "read", "tenure_read", true },
    { SYS_readv, "readv", "tenure_readv", true },
    { SYS_pread64, "pread", 0, true },
    { SYS_write, "write", "tenure_write", true },
    { SYS_writev, "writev", "tenure_writev", true },
    { SYS_pwrite64, "pwrite", 0, true },
    { SYS_fsync, "fsync", 0, true },
    { SYS_fdatasync, "fdatasync", 0, true },
    { SYS_flock, "flock", 0, true },
    { SYS_ioctl, "ioctl", 0, true },
    { SYS_fcntl, "fcntl", 0, true },
    { SYS_accept, "accept", "tenure_accept", true },
    { SYS_accept4, "accept4", "tenure_accept", true },
    { SYS_connect, "connect", "tenure_connect", true },
    { SYS_recvfrom, "recv", "tenure_recv", true },
    { SYS_recvmsg, "recvmsg", 0, true },
    { SYS_sendto, "send", "tenure_send", true },
    { SYS_sendmsg, "sendmsg", 0, true },
    { SYS_epoll_pwait, "epoll_wait", "tenure_epoll_wait", true },
    { SYS_ppoll, "poll", "tenure_poll_fds", false },
    { SYS_pselect6, "select", "tenure_poll_fds", false },
#ifdef __x86_64__
    { SYS_epoll_wait, "epoll_wait", "tenure_epoll_wait", true },
    { SYS_poll, "poll", "tenure_poll_fds", false },
    { SYS_select, "select", "tenure_poll_fds", false },
    { SYS_open, "open", 0, false },
#endif
    { SYS_openat, "openat", 0, false },
    { SYS_nanosleep, "nanosleep", "tenure_nanosleep", false },
    { SYS_clock_nanosleep, "nanosleep", "tenure_nanosleep", false },
    { SYS_wait4, "waitpid", "tenure_waitpid", false },
    { SYS_waitid, "waitid", 0, false },
    { SYS_futex, "futex", 0, false },
    { SYS_mmap, "mmap", 0, false },
    { SYS_munmap, "munmap", 0, false },
    { SYS_madvise, "madvise", 0, false },
    { SYS_mprotect, "mprotect", 0, false },
    { SYS_sched_yield, "sched_yield", 0, false },
};
enum { CALL_COUNT = sizeof calls / sizeof calls[0] };

static unsigned call_index(long number)
{
    unsigned i = 0;
    while (i < CALL_COUNT && calls[i].number != number) i++;
    return i;
}

static void describe_call(const tenure__wait *wait, tenure__text *text)
{
    const unsigned i = call_index(wait->number);
    if (i == CALL_COUNT) {
        tenure__text_add(text, "system call %ld", wait->number);
        return;
    }
    tenure__text_add(text, "%s(", calls[i].name);
    if (calls[i].takes_fd) {
        char path[64], target[128];
        snprintf(path, sizeof path, "/proc/self/fd/%d", (int)wait->arguments[0]);
        const ssize_t length = readlink(path, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        tenure__text_add(text, "fd %d%s%s", (int)wait->arguments[0], length > 0 ? " -> " : "", target);
    }
    tenure__text_add(text, ")");
}

void tenure__wait_describe(const tenure__wait *wait, tenure__text *text)
{
    switch (wait->kind) {
    case TENURE_STRAGGLER_RUNS:
        tenure__text_add(text, wait->known ? "runs, or waits for a processor" : "the kernel does not tell");
        break;
    case TENURE_STRAGGLER_MUTEX:
        tenure__text_add(text, "waits for the lock whose futex is 0x%llx", (unsigned long long)wait->arguments[0]);
        break;
    case TENURE_STRAGGLER_JOIN:
        tenure__text_add(text, "waits for the end of thread %d", wait->owner);
        break;
    case TENURE_STRAGGLER_FUTEX:
        tenure__text_add(text,
            "waits on futex 0x%llx, which names no owner (a condition wait, a semaphore, a lock of a library)",
            (unsigned long long)wait->arguments[0]);
        break;
    case TENURE_STRAGGLER_SYSCALL:
        tenure__text_add(text, "in ");
        describe_call(wait, text);
        break;
    case TENURE_STRAGGLER_KERNEL:
        tenure__text_add(text, "in the kernel outside a system call (a page fault, a signal or a debugger)");
        break;
    }
}

const char *tenure__wait_call(const tenure__wait *wait)
{
    const unsigned i = call_index(wait->number);
    return i < CALL_COUNT ? calls[i].name : "";
}

const char *tenure__wait_wrapper(const tenure__wait *wait)
{
    const unsigned i = call_index(wait->number);
    return i < CALL_COUNT ? calls[i].wrapper : 0;
}
