#include "threads/futex.h"
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void tenure__futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
    const int saved = errno;
    const struct timespec timeout = { (time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u) };
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ns != 0 ? &timeout : 0, 0, 0);
    errno = saved;
}

void tenure__futex_wake(_Atomic uint32_t *word, unsigned count)
{
    const int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, 0, 0, 0);
    errno = saved;
}

void tenure__futex_wait_for(_Atomic uint32_t *word, uint32_t value, uint32_t bits, uint64_t until_ns)
{
    const int saved = errno;
    const struct timespec until = { (time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u) };
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, &until, 0, bits);
    errno = saved;
}

void tenure__futex_wake_for(_Atomic uint32_t *word, unsigned count, uint32_t bits)
{
    const int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_BITSET_PRIVATE, count, 0, 0, bits);
    errno = saved;
}
