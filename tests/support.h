/* What the tests of the collector share: heaps by option words, roots in static memory, a look at headers, stacks
 * without stale words. A precise heap does not look at the stack at all: a test that asks whether something died uses
 * one. */
#ifndef TENURE_TESTS_SUPPORT_H
#define TENURE_TESTS_SUPPORT_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenure.h>

#include "lib/heap/heap.h"

/* ThreadSanitizer's shadow memory is the process's too: the system's word on its memory says nothing of the heap's. */
#if defined(__SANITIZE_THREAD__)
enum { SHADOWED = 1 };
#else
enum { SHADOWED = 0 };
#endif

/* Run by qemu: the process is the emulator's too. */
#if defined(TENURE_EMULATED)
enum { EMULATED = 1 };
#else
enum { EMULATED = 0 };
#endif

/* --- heaps --- */

static inline tenure_options options_with(const char *words, tenure_roots roots)
{
    char err[256];
    tenure_options options;
    unsetenv("TENURE_OPTIONS");
    cr_assert(eq(int, tenure_options_init(&options, err, sizeof err), TENURE_OK));
    cr_assert(eq(int, tenure_options_parse(&options, words, err, sizeof err), TENURE_OK), "%s: %s", words, err);
    options.roots = roots;
    return options;
}

static inline tenure_heap *heap_of(const tenure_options *options)
{
    tenure_heap *heap = NULL;
    cr_assert(eq(int, tenure_heap_create(&heap, options), TENURE_OK));
    cr_assert(heap != NULL);
    return heap;
}

static inline tenure_heap *heap_with(const char *words)
{
    const tenure_options options = options_with(words, TENURE_ROOTS_CONSERVATIVE);
    return heap_of(&options);
}
static inline tenure_heap *precise_heap_with(const char *words)
{
    const tenure_options options = options_with(words, TENURE_ROOTS_PRECISE);
    return heap_of(&options);
}

/* The calling thread's last detach, then the heap. */
static inline void heap_end(tenure_heap *heap, tenure_thread *self)
{
    tenure_detach(self);
    cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK));
}

static inline void collect(tenure_thread *self, tenure_generation generation)
{
    cr_assert(eq(int, tenure_collect(self, generation), TENURE_OK));
}

static inline void verify(tenure_thread *self) { cr_assert(eq(int, tenure_verify(self), TENURE_OK)); }

static inline tenure_stats stats_of(tenure_heap *heap)
{
    tenure_stats stats;
    tenure_stats_read(heap, &stats);
    return stats;
}

/* Not inlined: it needs more stack than a collection may (test_small_stack). */
__attribute__((noinline, unused)) static uint64_t collections_of(tenure_heap *heap)
{
    const tenure_stats stats = stats_of(heap);
    return stats.collections[0] + stats.collections[1] + stats.collections[2];
}

/* Allocates garbage until the mutator led a collection because the budget was spent. */
static inline void spend_budget(tenure_thread *self)
{
    const uint64_t before = collections_of(self->heap);
    while (collections_of(self->heap) == before)
        for (unsigned i = 0; i < 64; i++) cr_assert(tenure_new_bytes(self, 1000) != NULL);
}

/* --- objects --- */

/* tenure_is for Criterion, whose macros take no expression that begins with a parenthesis. */
#define IS_OF(object, type) is_of((object), &type##__type)
static inline bool is_of(const void *object, const tenure_type *type) { return tenure_type_of(object) == type; }

static inline uint64_t header_of(const void *object) { return tenure__header_load((uintptr_t)object); }
static inline bool is_armed(const void *object) { return (header_of(object) & TENURE__UNLOGGED) != 0; }
static inline bool is_large(const void *object) { return (header_of(object) & TENURE__LARGE) != 0; }
static inline bool is_remembered(const void *object) { return (header_of(object) & TENURE__REMEMBERED) != 0; }
static inline int generation_of(tenure_heap *heap, const void *object)
{
    return (int)tenure_generation_of(heap, object);
}

/* --- the heap's packets, all of them taken --- */

static inline uint32_t packets_take_all(tenure_heap *heap)
{
    uint32_t list = 0;
    for (uint32_t packet; (packet = tenure__packet_take(&heap->packets)) != 0;) {
        tenure__packet_at(&heap->packets, packet)->next = list;
        list = packet;
    }
    return list;
}
static inline void packets_give_all(tenure_heap *heap, uint32_t list)
{
    while (list != 0) {
        const uint32_t packet = list;
        list = tenure__packet_at(&heap->packets, packet)->next;
        tenure__packet_give(&heap->packets, packet);
    }
}

/* --- stacks --- */

/* Overwrites what returned calls left below the caller's frame, without the redzones that AddressSanitizer would not
 * write. */
__attribute__((noinline, unused, no_sanitize("address"))) static void clobber_stack(void)
{
    volatile uintptr_t words[4096];
    for (unsigned i = 0; i < 4096; i++) words[i] = i;
    (void)words[17];
}

/* An address that the scanner of stacks does not take for one, so that a test may remember where something was. */
static inline uintptr_t hidden(const void *p) { return ~(uintptr_t)p; }
static inline void *shown(uintptr_t hidden_address) { return (void *)~hidden_address; }

/* For what is expected to complain. */
static inline void be_quiet(void) { cr_assert(freopen("/dev/null", "w", stderr) != NULL); }

/* --- random numbers: splitmix64; the same seed, the same numbers --- */

static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif
