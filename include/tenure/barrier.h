/* Storing references into heap objects. Loads are plain C.
 *
 * An object older than Gen 0 carries an unlogged bit in its header. The first store of something younger into it since
 * the last collection logs it; the bit is clear afterwards and stores are plain (coarse object logging; compare LXR,
 * Zhao, Blackburn, McKinley, PLDI 2022). Of what is not younger nothing is noted. A large object keeps the bit and has
 * a card for every 64 bytes; a card that is dirty already needs nothing more. Between check and store there is no
 * safepoint. Nothing here blocks or collects. */
#ifndef TENURE_BARRIER_H
#define TENURE_BARRIER_H

#include <tenure/thread.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TENURE__UNLOGGED = 2,
    TENURE__LARGE = 128,
    TENURE__CARD_SHIFT = 6,
    TENURE__CARD_DIRTY = 1,
    TENURE__BLOCK_SHIFT = 15,
    TENURE__GENERATION_SHIFT = 48
};

TENURE_API void tenure__barrier_slow(tenure_thread *self, void *object, const void *slot, const void *value);

/* By the generation of the value's block, whose kind has one more in its two bits than an object's header. Relaxed: the
 * kind of a block in which something lives changes in stops only; where it is still seen as free, the call logs. */
static inline __attribute__((always_inline)) int tenure__is_not_younger(
    const tenure_thread *self, const void *value, uint64_t header)
{
    const uintptr_t block = ((uintptr_t)value - self->arena) >> TENURE__BLOCK_SHIFT;
    return block < self->blocks && (__atomic_load_n(&self->kinds[block], __ATOMIC_RELAXED) & 3u) >
                                       ((unsigned)(header >> TENURE__GENERATION_SHIFT) & 3u);
}

static inline __attribute__((always_inline)) void tenure__barrier(
    tenure_thread *self, void *object, const void *slot, const void *value)
{
    const uint64_t header = __atomic_load_n((uint64_t *)object - 1, __ATOMIC_RELAXED);
    if ((header & TENURE__UNLOGGED) == 0) return;
    if ((header & TENURE__LARGE) == 0
            ? tenure__is_not_younger(self, value, header)
            : (__atomic_load_n((uint8_t *)(self->cards + ((uintptr_t)slot >> TENURE__CARD_SHIFT)), __ATOMIC_RELAXED) &
                  TENURE__CARD_DIRTY) != 0)
        return;
    tenure__barrier_slow(self, object, slot, value);
}

/* Any slot inside object. object is the object's start. The store is relaxed: it orders nothing. */
static inline __attribute__((always_inline)) void tenure_store(
    tenure_thread *self, void *object, void *slot, const void *value)
{
    tenure__barrier(self, object, slot, value);
    __atomic_store_n((uintptr_t *)slot, (uintptr_t)value, __ATOMIC_RELAXED);
}
/* Release: whoever loads it with tenure_load_acquire sees what was written into the value before. */
static inline void tenure_store_release(tenure_thread *self, void *object, void *slot, const void *value)
{
    tenure__barrier(self, object, slot, value);
    __atomic_store_n((uintptr_t *)slot, (uintptr_t)value, __ATOMIC_RELEASE);
}
/* Acquire and release. Returns what was there. */
static inline void *tenure_exchange(tenure_thread *self, void *object, void *slot, const void *value)
{
    tenure__barrier(self, object, slot, value);
    return (void *)__atomic_exchange_n((uintptr_t *)slot, (uintptr_t)value, __ATOMIC_ACQ_REL);
}
/* Acquire and release on success, acquire on failure, which writes what was there to *expected (a local). */
static inline bool tenure_compare_exchange(
    tenure_thread *self, void *object, void *slot, void *expected, const void *value)
{
    tenure__barrier(self, object, slot, value);
    return __atomic_compare_exchange_n(
        (uintptr_t *)slot, (uintptr_t *)expected, (uintptr_t)value, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

#define tenure_load_acquire(slot) __atomic_load_n((slot), __ATOMIC_ACQUIRE)

/* A typed temporary; a value of the wrong type is an error here and nowhere else. */
#if defined(__cplusplus)
#define TENURE__TYPED(name, like, value) __typeof__(like) name = (value)
#elif defined(__clang__)
#define TENURE__TYPED(name, like, value)                                                                        \
    _Pragma("clang diagnostic push") _Pragma("clang diagnostic error \"-Wincompatible-pointer-types\"")         \
        _Pragma("clang diagnostic error \"-Wint-conversion\"")                                                  \
            _Pragma("clang diagnostic error \"-Wincompatible-pointer-types-discards-qualifiers\"") __typeof__(( \
                (void)0, (like))) name = (value);                                                               \
    _Pragma("clang diagnostic pop")
#else
#define TENURE__TYPED(name, like, value)                                                                             \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic error \"-Wincompatible-pointer-types\"")                  \
        _Pragma("GCC diagnostic error \"-Wint-conversion\"")                                                         \
            _Pragma("GCC diagnostic error \"-Wdiscarded-qualifiers\"") __typeof__(((void)0, (like))) name = (value); \
    _Pragma("GCC diagnostic pop")
#endif

/* object->field = value, with the barrier. The value is evaluated before the object, each once. */
#define TENURE_SET(self, object, field, value)                                                                   \
    __extension__({                                                                                              \
        TENURE__TYPED(tenure__value, (object)->field, value);                                                    \
        __typeof__(object) tenure__owner = (object);                                                             \
        tenure_store((self), (void *)tenure__owner, (void *)&tenure__owner->field, (const void *)tenure__value); \
    })

/* refs[i] = value, where refs is the start of an array object. */
#define TENURE_SET_AT(self, refs, i, value)                                                                  \
    __extension__({                                                                                          \
        TENURE__TYPED(tenure__value, (refs)[0], value);                                                      \
        __typeof__(&(refs)[0]) tenure__owner = (refs);                                                       \
        tenure_store((self), (void *)tenure__owner, (void *)&tenure__owner[i], (const void *)tenure__value); \
    })

/* For embedded structs, elements, and structs that may not be in the heap: finds the owner, stores plainly outside. */
TENURE_API void tenure_store_any(tenure_thread *self, void *slot, const void *value);
#define TENURE_SET_ANY(self, inner, field, value)                                       \
    __extension__({                                                                     \
        TENURE__TYPED(tenure__value, (inner)->field, value);                            \
        tenure_store_any((self), (void *)&(inner)->field, (const void *)tenure__value); \
    })

/* Plain C may store into [start, start + bytes) of object (memcpy, qsort, struct assignment) until the next call that
 * may collect. Custom types call it before changing state that their trace function reads. */
TENURE_API void tenure_will_write(tenure_thread *self, void *object, const void *start, size_t bytes);

/* memmove of count references into object. */
TENURE_API void tenure_copy_refs(
    tenure_thread *self, void *object, void *destination, const void *source, size_t count);

/* Aborts if the object could have been promoted since it was allocated: an initialiser collected. */
TENURE_API void tenure__verify_initialised(const void *object);
#ifdef NDEBUG
#define tenure__check_initialised(object) ((void)(object))
#else
#define tenure__check_initialised(object) tenure__verify_initialised(object)
#endif

#ifdef __cplusplus
}
#endif
#endif
