/* Tests that fork. */
#ifndef TENURE_TESTS_THREADS_FORK_H
#define TENURE_TESTS_THREADS_FORK_H

#include "tests/threads/threads.h"
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_SECONDS = 40 };

/* fork, and in the child fn(arg) and out: a child that hangs is killed, one that requires in vain aborts.
 * ThreadSanitizer cannot start threads in the child of a process with several, and AddressSanitizer (gcc 12) leaves its
 * allocator's lock taken there if another thread started or allocated at the fork: with them only the parent's part is
 * tested.
 */
__attribute__((unused)) static pid_t fork_child(void (*fn)(void *), void *arg)
{
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child != 0) return child;
    alarm(CHILD_SECONDS);
    if (!SANITIZED) fn(arg);
    _exit(0);
}

__attribute__((unused)) static void require_success(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0) REQUIRE(errno == EINTR);
    if (WIFSIGNALED(status)) fprintf(stderr, "the child ended with signal %d\n", WTERMSIG(status));
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

__attribute__((unused)) static void in_child(void (*fn)(void *), void *arg) { require_success(fork_child(fn, arg)); }

#endif
