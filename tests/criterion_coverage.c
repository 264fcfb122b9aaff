/* Keeps what was counted in processes that do not end by exit: those that the library aborts, and the children that
 * tests fork. What libgcov itself does at a fork forgets what the handlers of pthread_atfork did in the child, and
 * takes from the parent what its other threads are counting. */
#include <gcov.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void __real_abort(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap_abort(void);
_Noreturn void __wrap__exit(int status);
pid_t __wrap___gcov_fork(void);

void __wrap_abort(void)
{
    __gcov_dump();
    __real_abort();
}

void __wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}

/* What --coverage makes of calls of fork; the pointer is fork itself. */
pid_t __wrap___gcov_fork(void)
{
    static pid_t (*const volatile real_fork)(void) = fork;
    return real_fork();
}

extern pthread_mutex_t __gcov_mx; /* libgcov's, which another thread of the parent may hold */

static void begin_child(void)
{
    pthread_mutex_init(&__gcov_mx, NULL);
    __gcov_reset();
}

/* Before all others', so that theirs are counted. */
__attribute__((constructor(101))) static void at_fork(void) { pthread_atfork(NULL, NULL, begin_child); }
