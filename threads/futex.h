/* Linux futexes and the pause instruction. */
#ifndef TENURE_THREADS_FUTEX_H
#define TENURE_THREADS_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/* Sleeps while *word is value, at most timeout_ns (0: for ever). Wakes spuriously. */
void tenure__futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns);
void tenure__futex_wake(_Atomic uint32_t *word, unsigned count);
/* The same, of those only who wait for one of these bits; until a time of CLOCK_MONOTONIC. */
#define TENURE__FOR_EVER UINT64_MAX
void tenure__futex_wait_for(_Atomic uint32_t *word, uint32_t value, uint32_t bits, uint64_t until_ns);
void tenure__futex_wake_for(_Atomic uint32_t *word, unsigned count, uint32_t bits);

static inline void tenure__cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

#endif
