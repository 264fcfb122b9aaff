/* An object's header word, 8 bytes before its payload. Bit 0 tells it from a forwarding address (which replaces it
 * during a stop). Outside stops it changes only by atomic read-modify-write. */
#ifndef TENURE_LIB_HEAP_HEADER_H
#define TENURE_LIB_HEAP_HEADER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <tenure/alloc.h>
#include <tenure/barrier.h>

enum {
    TENURE__HEADER = 1, /* a header, not a forwarding address */
    /* TENURE__UNLOGGED = 2: older than Gen 0 and not logged since the last collection (include/tenure/barrier.h).
     * TENURE__LARGE = 128: in a run of its own; its cards are its log, and it stays unlogged */
    TENURE__REMEMBERED = 4,   /* on the Gen 2->1 list */
    TENURE__STAYS = 8,        /* in stops: alive and stays where it is */
    TENURE__PINNED = 16,      /* in stops: may not move, alive or not */
    TENURE__HASHED = 32,      /* its identity hash was asked for */
    TENURE__HASH_STORED = 64, /* its last granule holds the hash */
    TENURE__SIZE_MASK = 0xffff,
    TENURE__TYPE_SHIFT = 24,
    TENURE__TYPE_MASK = 0xffffff,
};

/* What else the collector has of the object. Set outside stops, cleared in stops. */
#define TENURE__KEY ((uint64_t)1 << 50)         /* it was made the key of some ephemeron */
#define TENURE__WEAK ((uint64_t)1 << 51)        /* a weak reference to it is in no table */
#define TENURE__WEAK_SHARED ((uint64_t)1 << 52) /* another one is in the table, for all who ask */
#define TENURE__FINALIZER ((uint64_t)1 << 53)   /* it has a finalizer */
#define TENURE__FINALIZER_TABLED ((uint64_t)1 << 54) /* its finalizer, if any, is in the table; another one is void */

static inline _Atomic uint64_t *tenure__header_of(uintptr_t object) { return (_Atomic uint64_t *)(object - 8); }
static inline uint64_t tenure__header_load(uintptr_t object)
{
    return atomic_load_explicit(tenure__header_of(object), memory_order_relaxed);
}
static inline void tenure__header_store(uintptr_t object, uint64_t header)
{
    atomic_store_explicit(tenure__header_of(object), header, memory_order_relaxed);
}
static inline unsigned tenure__header_granules(uint64_t header)
{
    return (unsigned)(header >> TENURE__SIZE_SHIFT) & TENURE__SIZE_MASK;
}
static inline uint32_t tenure__header_type(uint64_t header)
{
    return (uint32_t)(header >> TENURE__TYPE_SHIFT) & TENURE__TYPE_MASK;
}
static inline unsigned tenure__header_generation(uint64_t header)
{
    return (unsigned)(header >> TENURE__GENERATION_SHIFT) & 3;
}
static inline uint64_t tenure__header_with_generation(uint64_t header, unsigned generation)
{
    return (header & ~((uint64_t)3 << TENURE__GENERATION_SHIFT)) | (uint64_t)generation << TENURE__GENERATION_SHIFT;
}
/* Granules without the one that holds a moved object's hash. */
static inline unsigned tenure__header_payload_granules(uint64_t header)
{
    return tenure__header_granules(header) - ((header & TENURE__HASH_STORED) != 0);
}

/* Type index 0 fills gaps so that a Gen 0 block can be walked from cell to cell. */
enum { TENURE__TYPE_FILLER = 0 };
static inline uint64_t tenure__filler_header(unsigned granules)
{
    return TENURE__HEADER | (uint64_t)granules << TENURE__SIZE_SHIFT;
}

#endif
