/* Blocks and what is known of them beside the heap: the unit of ownership is a block of 32 KiB.
 *
 * A cell is an object's 8-byte header and its payload, rounded up to granules of 16 bytes. Payloads are 16-aligned, so
 * a cell starts at 8 mod 16. An object is named by its payload's address; its granule in the block is (address >> 4) &
 * 2047, from 1 to 2047, and the granules of its cell are counted from there. */
#ifndef TENURE_LIB_HEAP_BLOCK_H
#define TENURE_LIB_HEAP_BLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <tenure/barrier.h>

enum {
    TENURE__BLOCK_BYTES = 1 << TENURE__BLOCK_SHIFT,
    TENURE__GRANULES = TENURE__BLOCK_BYTES / 16, /* bits a block in each bitmap; bit 0 is never used */
    TENURE__BITMAP_WORDS = TENURE__GRANULES / 64,
    TENURE__WINDOW_BYTES = 4096,
    TENURE__WINDOWS = TENURE__BLOCK_BYTES / TENURE__WINDOW_BYTES,
    TENURE__CARDS = TENURE__BLOCK_BYTES >> TENURE__CARD_SHIFT, /* a block */
    TENURE__COMMIT_BLOCKS = 128                                /* memory is committed in steps of 4 MiB */
};

/* The table's byte: bits 0 and 1 are the generation plus one (0: free), the others say what kind of block. */
enum {
    TENURE__KIND_FREE = 0,
    TENURE__KIND_GENERATION = 3,
    TENURE__KIND_HEAD = 4,       /* first block of a large object's run */
    TENURE__KIND_TAIL = 8,       /* another block of it */
    TENURE__KIND_LEAF = 16,      /* objects without references only */
    TENURE__KIND_AMBIGUOUS = 32, /* ambiguous objects only */
    TENURE__KIND_EVACUATE = 64,  /* sparse: this full collection empties it */
    TENURE__KIND_RESERVED = 128, /* alone: a run that its owner still zeroes */
    TENURE__KIND_FROZEN = 128    /* with a generation: left the collected set */
};
static inline uint8_t tenure__kind(unsigned generation) { return (uint8_t)(generation + 1); }
static inline unsigned tenure__kind_generation(uint8_t kind) { return (kind & TENURE__KIND_GENERATION) - 1u; }

/* How long ago a Gen 0 block was handed out, in blocks that were handed out since: 0 for the last 512 KiB, 1 for those
 * before, 2 for the MiB before, 3 for the two before, ... The last age is that of all that is older than Gen 0. */
enum { TENURE__AGES = 9, TENURE__AGE_OLD = TENURE__AGES - 1, TENURE__AGE_SHIFT = 19 - TENURE__BLOCK_SHIFT };
static inline unsigned tenure__age(uint32_t since)
{
    const uint32_t halves = since >> TENURE__AGE_SHIFT; /* of a MiB */
    const unsigned age = halves == 0 ? 0 : 32 - (unsigned)__builtin_clz(halves);
    return age < TENURE__AGE_OLD ? age : TENURE__AGE_OLD - 1;
}

/* Flags of a block. Set in stops by any worker (atomic or), or by a barrier where it says so. */
enum {
    TENURE__BLOCK_KEEPS = 1,        /* some objects stay: settled at the end of the stop */
    TENURE__BLOCK_RESIDENTS = 2,    /* a Gen 0 block with older objects in it */
    TENURE__BLOCK_RESCAN = 4,       /* a work list or a log overflowed: scan every object of it (barriers too) */
    TENURE__BLOCK_CARDS = 8,        /* some card is dirty and the block is logged (barriers) */
    TENURE__BLOCK_CARDS_OLD = 16,   /* some card is remembered and the block is on the Gen 2->1 list */
    TENURE__BLOCK_RESCAN_NEXT = 32, /* in stops: RESCAN for the next collection */
    TENURE__BLOCK_OLD_PINS = 64,    /* in stops: an idle thread pins something here, which shall end in Gen 2 */
    TENURE__BLOCK_OPEN = 128,       /* a worker's buffer lies in it, or a mutator's chunk */
    /* From these bits on, for each cache line of its cards: some card of the line is dirty, is remembered. */
    TENURE__BLOCK_LINES = 16,
    TENURE__BLOCK_LINES_OLD = 24,
    TENURE__CARD_LINES = TENURE__CARDS / 64
};

/* The bit of the line with the slot's card; first: TENURE__BLOCK_LINES or TENURE__BLOCK_LINES_OLD. */
static inline uint32_t tenure__card_line(uintptr_t slot, unsigned first)
{
    return (uint32_t)1 << (first + (slot & (TENURE__BLOCK_BYTES - 1)) / (TENURE__BLOCK_BYTES / TENURE__CARD_LINES));
}

/* A cache line each: neighbours belong to different mutators, which write here for every window. */
typedef struct tenure__block {
    _Alignas(64) _Atomic uint32_t flags;
    uint32_t next; /* in a list of blocks, plus one; owner of the list */
    uint16_t
        first[TENURE__WINDOWS]; /* Gen 0: granule of the first cell that starts in each window, 0: none yet. Owner */
    _Atomic uint32_t pinned_granules; /* in stops */
    uint32_t live_granules;           /* when last counted; 0: filled since */
    uint32_t head_distance;           /* blocks back to the run's head */
    uint32_t run_blocks;              /* head: length of the run */
    uint64_t large_bytes;             /* head: payload bytes */
    uint32_t large_offset;            /* head: of the payload from the block's start */
    uint8_t sparse;   /* in stops: what stays here becomes (or remains) Gen 1, and the block is nursery again */
    uint8_t returned; /* memory was given back since it was last used */
    uint8_t age;      /* in stops, of what is collected young: tenure__age */
} tenure__block;

/* Bits of one block in a bitmap. Words are accessed relaxed: whoever owns the block writes them, or all workers by
 * atomic or; who reads them after a phase is ordered by the phase's end. */
typedef _Atomic uint64_t tenure__bits;

static inline bool tenure__bit_get(const tenure__bits *bits, unsigned granule)
{
    return (atomic_load_explicit(&bits[granule >> 6], memory_order_relaxed) >> (granule & 63)) & 1;
}
static inline void tenure__bit_set_owned(tenure__bits *bits, unsigned granule)
{
    const uint64_t word = atomic_load_explicit(&bits[granule >> 6], memory_order_relaxed);
    atomic_store_explicit(&bits[granule >> 6], word | (uint64_t)1 << (granule & 63), memory_order_relaxed);
}
/* True: this call set it. */
static inline bool tenure__bit_claim(tenure__bits *bits, unsigned granule)
{
    const uint64_t bit = (uint64_t)1 << (granule & 63);
    if (atomic_load_explicit(&bits[granule >> 6], memory_order_relaxed) & bit) return false;
    return (atomic_fetch_or_explicit(&bits[granule >> 6], bit, memory_order_relaxed) & bit) == 0;
}
/* The last set bit at or before granule; 0: none (bit 0 is never used). */
static inline unsigned tenure__bit_before(const tenure__bits *bits, unsigned granule)
{
    unsigned word = granule >> 6;
    uint64_t value = atomic_load_explicit(&bits[word], memory_order_relaxed) & (~(uint64_t)0 >> (63 - (granule & 63)));
    while (value == 0) {
        if (word-- == 0) return 0;
        value = atomic_load_explicit(&bits[word], memory_order_relaxed);
    }
    return word * 64 + 63 - (unsigned)__builtin_clzll(value);
}

/* The granules that live objects occupy, from the bits of their starts and ends. An end that no live start precedes is
 * stale and does no harm: adding the starts to the complement of the ends carries from each start to its end and stops.
 */
static inline void tenure__occupied(
    const tenure__bits *starts, const tenure__bits *ends, uint64_t occupied[TENURE__BITMAP_WORDS])
{
    unsigned char carry = 0;
    for (unsigned i = 0; i < TENURE__BITMAP_WORDS; i++) {
        const uint64_t s = atomic_load_explicit(&starts[i], memory_order_relaxed);
        const uint64_t open = ~atomic_load_explicit(&ends[i], memory_order_relaxed);
        uint64_t sum;
        const unsigned char c1 = __builtin_add_overflow(s, open, &sum);
        const unsigned char c2 = __builtin_add_overflow(sum, carry, &sum);
        carry = c1 | c2;
        occupied[i] = sum ^ open;
    }
}

/* The next run of granules that are not occupied, from *start on, at least min long; false: none. */
static inline bool tenure__next_hole(
    const uint64_t occupied[TENURE__BITMAP_WORDS], unsigned *start, unsigned *end, unsigned min)
{
    unsigned at = *start;
    while (at < TENURE__GRANULES) {
        uint64_t word = ~occupied[at >> 6] & (~(uint64_t)0 << (at & 63));
        if (word == 0) {
            at = (at | 63) + 1;
            continue;
        }
        const unsigned hole = (at & ~63u) + (unsigned)__builtin_ctzll(word);
        unsigned stop = hole;
        while (stop < TENURE__GRANULES) {
            word = occupied[stop >> 6] & (~(uint64_t)0 << (stop & 63));
            if (word != 0) {
                stop = (stop & ~63u) + (unsigned)__builtin_ctzll(word);
                break;
            }
            stop = (stop | 63) + 1;
        }
        if (stop - hole >= min) {
            *start = hole;
            *end = stop;
            return true;
        }
        at = stop;
    }
    return false;
}

#endif
