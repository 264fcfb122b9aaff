/* What AddressSanitizer and valgrind are told of the heap's memory, so that a use of what is free is reported by them:
 * free blocks and runs, holes but for the header that walkers read, a chunk's windows that were not opened yet. In builds
 * for AddressSanitizer, and in builds with asserts where valgrind's headers are installed; otherwise nothing. */
#ifndef TENURE_LIB_HEAP_POISON_H
#define TENURE_LIB_HEAP_POISON_H

#include <stddef.h>
#include <stdint.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TENURE__POISON_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TENURE__POISON_ASAN 1
#endif

#if defined(TENURE__POISON_ASAN)
#include <sanitizer/asan_interface.h>
enum { TENURE__POISONS = 1 };
static inline void tenure__poison(uintptr_t start, size_t bytes) { __asan_poison_memory_region((void *)start, bytes); }
static inline void tenure__unpoison(uintptr_t start, size_t bytes)
{
    __asan_unpoison_memory_region((void *)start, bytes);
}
/* The word was read from where it need not have been written, such as a stack. */
static inline void tenure__take_word(uintptr_t *word) { (void)word; }
#elif !defined(NDEBUG) && __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
enum { TENURE__POISONS = 1 };
static inline void tenure__poison(uintptr_t start, size_t bytes) { (void)VALGRIND_MAKE_MEM_NOACCESS(start, bytes); }
static inline void tenure__unpoison(uintptr_t start, size_t bytes) { (void)VALGRIND_MAKE_MEM_DEFINED(start, bytes); }
static inline void tenure__take_word(uintptr_t *word) { (void)VALGRIND_MAKE_MEM_DEFINED(word, sizeof *word); }
#else
enum { TENURE__POISONS = 0 };
static inline void tenure__poison(uintptr_t start, size_t bytes) { (void)start, (void)bytes; }
static inline void tenure__unpoison(uintptr_t start, size_t bytes) { (void)start, (void)bytes; }
static inline void tenure__take_word(uintptr_t *word) { (void)word; }
#endif

#endif
