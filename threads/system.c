/* System calls that can be made to fail. Whether the nth call of a kind fails follows from seed, kind and n alone: one
 * thread sees the same faults in every run. */
#include "threads/system.h"
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* --- what fails --- */

enum kind { MAP, ADVISE, PROTECT, THREAD, MALLOC, KINDS };

static atomic_bool faulty;
/* Written by faults_set, which clears faulty before and sets it after. */
static _Atomic uint64_t parts[KINDS]; /* of 2^32 */
static _Atomic uint64_t only, seed;
static _Atomic uint64_t calls[KINDS], all_calls, failed;

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u; /* splitmix64, Steele, Lea and Flood, OOPSLA 2014 */
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* All relaxed but the flag: each is a number by itself. */
static bool decide(enum kind kind)
{
    const uint64_t number = atomic_fetch_add_explicit(&all_calls, 1, memory_order_relaxed) + 1;
    const uint64_t nth = atomic_fetch_add_explicit(&calls[kind], 1, memory_order_relaxed);
    const uint64_t drawn = mix(atomic_load_explicit(&seed, memory_order_relaxed) +
                               (nth * KINDS + (uint64_t)kind + 1) * 0x9e3779b97f4a7c15u) >>
                           32;
    const bool fails = number == atomic_load_explicit(&only, memory_order_relaxed) ||
                       drawn < atomic_load_explicit(&parts[kind], memory_order_relaxed);
    if (fails) atomic_fetch_add_explicit(&failed, 1, memory_order_relaxed);
    return fails;
}

static bool fails(enum kind kind, int error)
{
    /* acquire: pairs with the release in faults_set; the faults are there. */
    if (!atomic_load_explicit(&faulty, memory_order_acquire) || !decide(kind)) return false;
    errno = error;
    return true;
}

void tenure__faults_set(const tenure_faults *faults)
{
    atomic_store_explicit(&faulty, false, memory_order_relaxed);
    if (faults == 0) return;
    const uint64_t millionths[KINDS] = { faults->map, faults->advise, faults->protect, faults->thread, faults->memory };
    for (unsigned i = 0; i < KINDS; i++) {
        atomic_store_explicit(&parts[i], (millionths[i] << 32) / 1000000, memory_order_relaxed);
        atomic_store_explicit(&calls[i], 0, memory_order_relaxed);
    }
    atomic_store_explicit(&only, faults->nth, memory_order_relaxed);
    atomic_store_explicit(&seed, faults->seed, memory_order_relaxed);
    atomic_store_explicit(&all_calls, 0, memory_order_relaxed);
    atomic_store_explicit(&failed, 0, memory_order_relaxed);
    /* release: pairs with the acquire in fails. */
    atomic_store_explicit(&faulty, true, memory_order_release);
}

uint64_t tenure__faults_calls(void) { return atomic_load_explicit(&all_calls, memory_order_relaxed); }
uint64_t tenure__faults_failed(void) { return atomic_load_explicit(&failed, memory_order_relaxed); }

/* --- address space --- */

static void *map(size_t bytes, int protection)
{
    if (fails(MAP, ENOMEM)) return 0;
    void *memory = mmap(0, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory != MAP_FAILED ? memory : 0;
}

void *tenure__map(size_t bytes) { return map(bytes, PROT_READ | PROT_WRITE); }
void *tenure__reserve(size_t bytes) { return map(bytes, PROT_NONE); }

void tenure__unmap(void *memory, size_t bytes)
{
    if (memory != 0) munmap(memory, bytes);
}

static bool protect(void *memory, size_t bytes, int protection)
{
    return !fails(PROTECT, ENOMEM) && mprotect(memory, bytes, protection) == 0;
}

bool tenure__commit(void *memory, size_t bytes) { return protect(memory, bytes, PROT_READ | PROT_WRITE); }
bool tenure__withdraw(void *memory, size_t bytes) { return protect(memory, bytes, PROT_NONE); }

int tenure__advise(void *memory, size_t bytes, int advice)
{
    return fails(ADVISE, ENOMEM) ? -1 : madvise(memory, bytes, advice);
}

/* --- malloc --- */

void *tenure__malloc(size_t bytes) { return fails(MALLOC, ENOMEM) ? 0 : malloc(bytes); }
void *tenure__calloc(size_t count, size_t bytes) { return fails(MALLOC, ENOMEM) ? 0 : calloc(count, bytes); }
void *tenure__realloc(void *memory, size_t bytes) { return fails(MALLOC, ENOMEM) ? 0 : realloc(memory, bytes); }
bool tenure__malloc_fails(void) { return fails(MALLOC, ENOMEM); }

void *tenure__malloc_line(size_t bytes)
{
    enum { LINE = 64 };
    void *memory;
    const size_t whole = (bytes + LINE - 1) / LINE * LINE;
    if (fails(MALLOC, ENOMEM) || posix_memalign(&memory, LINE, whole) != 0) return 0;
    return memset(memory, 0, whole);
}

/* --- threads --- */

int tenure__thread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    return fails(THREAD, EAGAIN) ? EAGAIN : pthread_create(out, attr, fn, arg);
}

int tenure__own_thread(pthread_t *out, const char *name, void *(*fn)(void *), void *arg)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
    sigset_t blocked, old;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &old);
    const int error = tenure__thread_create(out, 0, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, 0);
    if (error == 0) pthread_setname_np(*out, name);
    return error;
}
