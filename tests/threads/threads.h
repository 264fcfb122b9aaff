/* What the tests of threads share. Threads other than the test's own may not use Criterion's asserts: they require. Who
 * waits for something looks for it in a loop and gives the processor away; if it never comes, Criterion's timeout ends
 * the test. The states of records are read through the private header. */
#ifndef TENURE_TESTS_THREADS_THREADS_H
#define TENURE_TESTS_THREADS_THREADS_H

#include "tests/support.h"
#include "threads/mutator.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* AddressSanitizer is not told that a cancelled thread leaves its frames. */
#if defined(__SANITIZE_ADDRESS__)
#define NO_CANCELLING true
#else
#define NO_CANCELLING false
#endif

/* Fewer rounds where everything takes ten times as long. */
#define ROUNDS(count) (SANITIZED ? (count) / 10 + 1 : (count))

#define REQUIRE(expression) ((expression) ? (void)0 : require_failed(#expression, __FILE__, __LINE__))
_Noreturn static inline void require_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "%s:%d: required: %s\n", file, line, expression);
    abort();
}

/* --- threads --- */

static inline pthread_t start_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, fn, arg) == 0);
    return thread;
}
static inline void join_thread(pthread_t thread) { REQUIRE(pthread_join(thread, NULL) == 0); }

/* For threads that are attached: outside the stop set. */
static inline void join_blocked(tenure_thread *self, pthread_t thread)
{
    TENURE_BLOCKING_SCOPE(self);
    join_thread(thread);
}

/* --- waiting --- */

typedef atomic_int flag;

static inline void await(flag *word, int value)
{
    while (atomic_load(word) < value) sched_yield();
}
/* For attached threads that run. */
static inline void await_polling(tenure_thread *self, flag *word, int value)
{
    for (; atomic_load(word) < value; sched_yield()) tenure_poll(self);
}

static inline uint32_t state_of(tenure_thread *thread) { return atomic_load(&tenure__mutator_of(thread)->state); }
static inline uint32_t mode_of(tenure_thread *thread) { return state_of(thread) & TENURE__MODE; }
static inline void await_mode(tenure_thread *thread, uint32_t mode)
{
    while (mode_of(thread) != mode) sched_yield();
}
/* By the stop that is going on. */
static inline bool is_claimed(tenure_thread *thread) { return (state_of(thread) & TENURE__STOP) != 0; }

/* --- objects --- */

typedef struct node {
    struct node *next;
    uint64_t value;
} node;
TENURE_TYPE(node_type, node, next);

__attribute__((unused, noinline)) static node *make_chain(tenure_thread *self, unsigned count, uint64_t key)
{
    node *first = NULL;
    for (unsigned i = 0; i < count; i++) {
        node *fresh = tenure_new(self, node_type);
        REQUIRE(fresh != NULL);
        fresh->value = key + i;
        TENURE_SET(self, fresh, next, first);
        first = fresh;
    }
    return first;
}

__attribute__((unused, noinline)) static void check_chain(const node *first, unsigned count, uint64_t key)
{
    for (; count-- > 0; first = first->next) {
        REQUIRE(first != NULL);
        REQUIRE(first->value == key + count);
    }
    REQUIRE(first == NULL);
}

/* A chain whose only reference is the complement of its address. */
__attribute__((unused, noinline)) static uintptr_t make_hidden_chain(tenure_thread *self, unsigned count, uint64_t key)
{
    const uintptr_t place = hidden(make_chain(self, count, key));
    clobber_stack();
    return place;
}

/* Fills memory that was freed with something else. */
__attribute__((unused, noinline)) static void litter(tenure_thread *self)
{
    for (unsigned i = 0; i < 20000; i++) {
        node *garbage = tenure_new(self, node_type);
        REQUIRE(garbage != NULL);
        garbage->value = 0xeeeeeeee;
    }
}

/* Each generation once, and what they freed is overwritten. */
__attribute__((unused, noinline)) static void collect_and_litter(tenure_thread *self)
{
    for (int generation = 0; generation < 3; generation++) {
        REQUIRE(tenure_collect(self, (tenure_generation)generation) == TENURE_OK);
        litter(self);
    }
}

/* Collects without a pause until told to stop; everything now and then, so that what is verified does not grow. */
typedef struct collector {
    tenure_heap *heap;
    flag up, stop;
    pthread_t thread;
} collector;

__attribute__((unused)) static void *collect_back_to_back(void *arg)
{
    collector *each = arg;
    tenure_thread *self = tenure_attach(each->heap);
    REQUIRE(self != NULL);
    atomic_store(&each->up, 1);
    for (unsigned i = 1; !atomic_load(&each->stop); i++)
        REQUIRE(tenure_collect(self, i % 100 == 0 ? TENURE_GEN2 : TENURE_GEN0) == TENURE_OK);
    tenure_detach(self);
    return NULL;
}
static inline void collector_start(collector *each, tenure_heap *heap)
{
    each->heap = heap;
    atomic_store(&each->up, 0);
    atomic_store(&each->stop, 0);
    each->thread = start_thread(collect_back_to_back, each);
    await(&each->up, 1);
}
/* The caller is unattached, or outside the stop set. */
static inline void collector_stop(collector *each)
{
    atomic_store(&each->stop, 1);
    join_thread(each->thread);
}

#endif
