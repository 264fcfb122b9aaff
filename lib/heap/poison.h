/* What AddressSanitizer and valgrind are told of the heap's memory, so that a use of what is free is reported by them:
 * free blocks and runs, holes but for the header that walkers read, a chunk's windows that were not opened yet. In
 * builds for AddressSanitizer, and in builds with asserts where valgrind's headers are installed; otherwise nothing. */
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
#define TENURE__POISON_VALGRIND 1
#else
enum { TENURE__POISONS = 0 };
static inline void tenure__poison(uintptr_t start, size_t bytes) { (void)start, (void)bytes; }
static inline void tenure__unpoison(uintptr_t start, size_t bytes) { (void)start, (void)bytes; }
static inline void tenure__take_word(uintptr_t *word) { (void)word; }
#endif

/* check=uses: a pool's objects, for valgrind, which keeps who allocated them. Dead ones are forgotten when something
 * else is where they were: until then it is them that it tells of. */
#if defined(TENURE__POISON_VALGRIND)
static inline void tenure__pool_begin(const void *pool) { VALGRIND_CREATE_MEMPOOL(pool, 0, 1); }
static inline void tenure__pool_end(const void *pool) { VALGRIND_DESTROY_MEMPOOL(pool); }
static inline void tenure__pool_new(const void *pool, uintptr_t object, size_t bytes)
{
    VALGRIND_MEMPOOL_ALLOC(pool, object, bytes);
}
static inline void tenure__pool_moved(const void *pool, uintptr_t object, uintptr_t to, size_t bytes)
{
    VALGRIND_MEMPOOL_CHANGE(pool, object, to, bytes);
}
static inline void tenure__pool_forget(const void *pool, uintptr_t object, size_t bytes)
{
    VALGRIND_MEMPOOL_FREE(pool, object);
    tenure__unpoison(object, bytes); /* some of it may be in use again */
}
#else
static inline void tenure__pool_begin(const void *pool) { (void)pool; }
static inline void tenure__pool_end(const void *pool) { (void)pool; }
static inline void tenure__pool_new(const void *pool, uintptr_t object, size_t bytes)
{
    (void)pool, (void)object, (void)bytes;
}
static inline void tenure__pool_moved(const void *pool, uintptr_t object, uintptr_t to, size_t bytes)
{
    (void)pool, (void)object, (void)to, (void)bytes;
}
static inline void tenure__pool_forget(const void *pool, uintptr_t object, size_t bytes)
{
    (void)pool, (void)object, (void)bytes;
}
#endif

#endif
