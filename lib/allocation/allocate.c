/* The allocation calls that are no inlined bump, and what can be asked of an object. */
#include "lib/allocation/nursery.h"
#include "lib/collection/cycle.h"
#include <errno.h>
#include <string.h>

void *tenure_alloc(tenure_thread *self, const tenure_type *type, size_t count)
{
    const bool flexible = (type->flags & TENURE__FLEX) != 0;
    const size_t bytes = flexible ? tenure__flex_bytes(type->flex_offset, type->flex_stride, count) : type->size;
    return tenure__allocate(self, *type->header, bytes, (*type->header & TENURE__APART) != 0);
}

void *tenure__new_array(tenure_thread *self, const tenure_type *element, size_t count)
{
    const tenure_type *array = tenure__array_type(element);
    if (array != 0) return tenure_alloc(self, array, count);
    errno = ENOMEM;
    return 0;
}

void **tenure__new_refs(tenure_thread *self, size_t count) { return tenure_alloc(self, &tenure__refs_type, count); }

void *tenure_new_bytes(tenure_thread *self, size_t bytes) { return tenure_alloc(self, &tenure__bytes_type, bytes); }

void *tenure_new_aligned(tenure_thread *self, size_t bytes, size_t align)
{
    if (align == 0 || (align & (align - 1)) != 0 || align > 4096) {
        errno = EINVAL;
        return 0;
    }
    if (align <= 16) return tenure_new_bytes(self, bytes);
    return tenure__allocate_any(self, *tenure__bytes_type.header, bytes, align);
}

void *tenure_bytes_dup(tenure_thread *self, const void *bytes, size_t count)
{
    /* The source may itself be in the heap: pinned while the copy is allocated. */
    uintptr_t *scratch = &tenure__mutator_of(self)->scratch[TENURE__SCRATCH_DUP];
    *scratch = (uintptr_t)bytes;
    void *copy = tenure_new_bytes(self, count);
    if (copy != 0) memcpy(copy, bytes, count);
    *scratch = 0;
    return copy;
}

const tenure_type *tenure_type_of(const void *object)
{
    return tenure__plan_of(tenure__header_load((uintptr_t)object))->type;
}

/* Which heap an object lies in is not in its header; a large one's size is in that heap's run table. */
static size_t size_of(const tenure_heap *heap, uintptr_t object)
{
    return tenure__payload_bytes(heap, object, tenure__header_load(object));
}

size_t tenure_size_of(const void *object)
{
    const uint64_t header = tenure__header_load((uintptr_t)object);
    if ((header & TENURE__LARGE) == 0) return (size_t)tenure__header_payload_granules(header) * 16 - 8;
    for (tenure__mutator *each = tenure__os_thread_self()->records; each != 0; each = each->sibling)
        if (tenure__in_arena(each->record.heap, (uintptr_t)object))
            return size_of(each->record.heap, (uintptr_t)object);
    tenure__misuse("tenure_size_of", "of a large object: only by a thread that is attached to its heap");
}

/* A new object of the same type with room for count elements and the old one's contents. */
static void *copy_of(tenure_thread *self, const void *object, size_t count)
{
    /* Not scratch[0]: the handler of tenure_oom_handler may set handles, which use that. */
    uintptr_t *scratch = &tenure__mutator_of(self)->scratch[1];
    if (tenure_type_of(object)->flags & TENURE__HIDDEN_WORDS)
        tenure__misuse("tenure_clone", "not of weak references, ephemerons and the like");
    *scratch = (uintptr_t)object;
    void *copy = tenure_alloc(self, tenure_type_of(object), count);
    const uintptr_t original = *scratch;
    *scratch = 0;
    if (copy == 0) return 0;
    const size_t from = size_of(self->heap, original), to = size_of(self->heap, (uintptr_t)copy);
    memcpy(copy, (const void *)original, from < to ? from : to);
    return copy;
}

static size_t elements_of(const tenure_heap *heap, const void *object)
{
    const tenure_type *type = tenure_type_of(object);
    const size_t bytes = size_of(heap, (uintptr_t)object);
    if ((type->flags & TENURE__FLEX) == 0 || bytes < type->flex_offset) return 0;
    return (bytes - type->flex_offset) / type->flex_stride;
}

void *tenure_resize(tenure_thread *self, void *object, size_t count)
{
    if ((tenure_type_of(object)->flags & TENURE__FLEX) == 0)
        tenure__misuse("tenure_resize", "only objects with a flexible part");
    return elements_of(self->heap, object) >= count ? object : copy_of(self, object, count);
}

void *tenure_clone(tenure_thread *self, const void *object)
{
    return copy_of(self, object, elements_of(self->heap, object));
}

tenure_generation tenure_generation_of(tenure_heap *heap, const void *object)
{
    const uint64_t header = tenure__header_load((uintptr_t)object);
    (void)heap;
    return (tenure_generation)tenure__header_generation(header);
}

void tenure__external_add(tenure_heap *heap, int64_t delta)
{
    const int64_t now = atomic_fetch_add_explicit(&heap->external_bytes, delta, memory_order_relaxed) + delta;
    /* relaxed, all: figures. What died in a full collection is let go of after it, and has not grown since. */
    for (int64_t least = atomic_load_explicit(&heap->external_least, memory_order_relaxed); now < least;)
        if (atomic_compare_exchange_weak_explicit(
                &heap->external_least, &least, now, memory_order_relaxed, memory_order_relaxed))
            break;
}

void tenure_external_bytes(tenure_thread *self, int64_t delta)
{
    tenure_heap *heap = self->heap;
    tenure__external_add(heap, delta);
    if (delta > 0) {
        /* It counts towards Gen 0's budget like blocks, up to half of it at once. */
        const uint32_t budget = atomic_load_explicit(&heap->gen0_budget, memory_order_relaxed);
        const uint64_t blocks = ((uint64_t)delta + heap->external_rest) >> TENURE__BLOCK_SHIFT;
        heap->external_rest = ((uint64_t)delta + heap->external_rest) & (TENURE__BLOCK_BYTES - 1);
        const uint32_t counted = (uint32_t)(blocks < budget / 2 ? blocks : budget / 2);
        /* The next allocation collects, though the chunk has room: hardly anything else may be allocated. */
        if (atomic_fetch_add_explicit(&heap->gen0_used, counted, memory_order_relaxed) + counted > budget &&
            tenure_enabled(heap))
            tenure__chunk_close(tenure__allocator_of(self));
    }
}
