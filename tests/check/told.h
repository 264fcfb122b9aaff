/* What a process prints before it aborts. */
#ifndef TENURE_TESTS_CHECK_TOLD_H
#define TENURE_TESTS_CHECK_TOLD_H

#include "tests/support.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs fn in a child, which must abort; what it printed on stderr. The caller is attached to no heap. Not under
 * ThreadSanitizer, which lets no child of a process with several threads (liburcu's is one) start another. */
static inline const char *told(void (*fn)(void))
{
    if (SHADOWED) cr_skip_test("ThreadSanitizer starts no thread after fork");
    static char text[65536];
    int ends[2], status;
    cr_assert(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        signal(SIGABRT, SIG_DFL);
        fn();
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t got; (got = read(ends[0], text + length, sizeof text - 1 - length)) > 0;) length += (size_t)got;
    text[length] = '\0';
    cr_assert(waitpid(child, &status, 0) == child);
    const bool aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    cr_assert(aborted, "no fault was found: %s", text);
    return text;
}

static inline void expect_said(const char *text, const char *what)
{
    cr_expect(strstr(text, what) != NULL, "'%s' does not say '%s'", text, what);
}

#endif
