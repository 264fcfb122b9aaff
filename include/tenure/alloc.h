/* Allocation. Objects are zeroed and 16-aligned. Every function that takes self and returns an object may collect (and
 * so may block); it returns NULL with errno ENOMEM only after every collection and the handler failed. */
#ifndef TENURE_ALLOC_H
#define TENURE_ALLOC_H

#include <string.h>
#include <tenure/barrier.h>
#include <tenure/thread.h>
#include <tenure/type.h>

#ifdef __cplusplus
extern "C" {
#endif

TENURE_API void *tenure__allocate_slow(tenure_thread *self, uint64_t header, size_t payload_bytes);

/* An object's cell is its 8-byte header and its payload, rounded up to 16 bytes; bits 8 to 23 of the header count its
 * granules. Payloads of more than half a block go to tenure__allocate_slow, whose header bits do not matter. */
enum { TENURE__SMALL_MAX = 16 * 1024 - 8, TENURE__SIZE_SHIFT = 8 };
#define TENURE__APART ((uint64_t)1 << 63) /* in a type's header word: never allocated inline */

/* Whole granules. Of what is short and not constant a call or a string instruction, into which compilers turn loops,
 * would take longer to begin than the loop takes. */
static inline __attribute__((always_inline)) void tenure__zero(uintptr_t from, uintptr_t bytes)
{
    if (__builtin_constant_p(bytes) || bytes > 256) {
        __builtin_memset((void *)from, 0, bytes);
        return;
    }
    for (const uintptr_t end = from + bytes; from != end; from += 16) {
        __builtin_memset((void *)from, 0, 16);
        __asm__("" : "+r"(from));
    }
}

static inline __attribute__((always_inline)) void *tenure__allocate(
    tenure_thread *self, uint64_t type_header, size_t payload_bytes, bool apart)
{
    if (__builtin_expect(payload_bytes > TENURE__SMALL_MAX, 0) || apart)
        return tenure__allocate_slow(self, type_header, payload_bytes);
    const uintptr_t cell_bytes = (payload_bytes + 8 + 15) & ~(uintptr_t)15;
    const uint64_t header = type_header + ((uint64_t)(cell_bytes >> 4) << TENURE__SIZE_SHIFT);
    const uintptr_t top = self->top;
    if (__builtin_expect(top + cell_bytes > __atomic_load_n(&self->limit, __ATOMIC_RELAXED), 0))
        return tenure__allocate_slow(self, type_header, payload_bytes);
    self->top = top + cell_bytes;
    tenure__zero(top + 8, cell_bytes); /* and the next header: nothing is there yet */
    *(uint64_t *)top = header;
    return (void *)(top + 8);
}

/* Bytes of an object with a flexible part; SIZE_MAX when they do not fit. */
static inline size_t tenure__flex_bytes(size_t offset, size_t stride, size_t count)
{
    size_t bytes;
    if (__builtin_mul_overflow(stride, count, &bytes) || __builtin_add_overflow(bytes, offset, &bytes)) return SIZE_MAX;
    return bytes;
}

/* tenure_new(self, type) -> T *: one object of a declared type. */
#define tenure_new(self, type) \
    ((type##__object *)tenure__allocate((self), type##__header, sizeof(type##__fixed), type##__apart))

/* tenure_new_flex(self, type, count) -> T *: count elements in the flexible part. */
#define tenure_new_flex(self, type, count)                      \
    ((type##__object *)tenure__allocate((self), type##__header, \
        tenure__flex_bytes(sizeof(type##__flex_offset) - 1, sizeof(type##__flex_stride) - 1, (count)), type##__apart))

/* Allocates, then stores the initialisers plainly: they may not collect. NULL: as tenure_new, nothing evaluated twice.
 */
#define TENURE_NEW(self, type, ...)                              \
    __extension__({                                              \
        type##__object *tenure__object = tenure_new(self, type); \
        if (__builtin_expect(tenure__object != 0, 1)) {          \
            *tenure__object = (type##__object) { __VA_ARGS__ };  \
            tenure__check_initialised(tenure__object);           \
        }                                                        \
        tenure__object;                                          \
    })

/* For types known at run time: count elements (0 for types without a flexible part). */
TENURE_API void *tenure_alloc(tenure_thread *self, const tenure_type *type, size_t count);

/* An object of declared type T repeated count times in one object (an array of structs). */
#define tenure_new_array(self, type, count) ((type##__object *)tenure__new_array((self), &type##__type, (count)))
TENURE_API void *tenure__new_array(tenure_thread *self, const tenure_type *element, size_t count);

/* An array of count references -> T **. */
#define TENURE_NEW_REFS(self, T, count) ((T **)tenure__new_refs((self), (count)))
TENURE_API void **tenure__new_refs(tenure_thread *self, size_t count);

/* Plain bytes; aligned: align a power of two up to 4096 (beyond 16 the object is large or padded and never moves). */
TENURE_API void *tenure_new_bytes(tenure_thread *self, size_t bytes);
TENURE_API void *tenure_new_aligned(tenure_thread *self, size_t bytes, size_t align);
TENURE_API void *tenure_bytes_dup(tenure_thread *self, const void *bytes, size_t count);

/* The object with room for count elements (bytes, for plain bytes): itself when it fits, else a copy of the elements
 * that both have. The old object stays as it was; nobody stores into it meanwhile. */
TENURE_API void *tenure_resize(tenure_thread *self, void *object, size_t count);
TENURE_API void *tenure_clone(tenure_thread *self, const void *object);

#define tenure_is(object, type) (tenure_type_of(object) == &type##__type)
TENURE_API const tenure_type *tenure_type_of(const void *object);
/* Usable bytes: at least what was asked for. */
TENURE_API size_t tenure_size_of(const void *object);
TENURE_API tenure_generation tenure_generation_of(tenure_heap *heap, const void *object);
/* Whether p lies in the heap's address range. */
TENURE_API bool tenure_heap_contains(tenure_heap *heap, const void *p);
/* The object that p points to or into, or NULL. Attached callers. */
TENURE_API void *tenure_object_at(tenure_heap *heap, const void *p);

/* The object that p points to is in use up to here. */
#define tenure_keep_alive(p) __asm__ volatile("" : : "r"(p) : "memory")

/* Never 0; stable while the object moves. */
TENURE_API uint64_t tenure_identity_hash(tenure_thread *self, void *object);

/* Off-heap memory that heap objects hold counts towards the thresholds; delta in bytes, may be negative. Any number of
 * threads; the next allocation may collect for it. */
TENURE_API void tenure_external_bytes(tenure_thread *self, int64_t delta);

#ifdef __cplusplus
}
#endif
#endif
