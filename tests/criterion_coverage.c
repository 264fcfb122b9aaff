/* Keeps what was counted in processes that do not end by exit: those that the library aborts, and the children that
 * tests fork. (What libgcov itself does at a fork forgets what the handlers of pthread_atfork did in the child.) */
#include <gcov.h>
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
    __gcov_dump();
    __gcov_reset();
    return real_fork();
}
