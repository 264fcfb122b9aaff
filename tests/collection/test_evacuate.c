/* What a program's changing needs leave behind in Gen 2: sparse blocks are emptied, dense ones are not, and holes that
 * nothing fits into stay bounded. */
#include "tests/support.h"
#include <sched.h>

enum { MIB = 1 << 20, SLOTS = 64 * MIB / 512 };

typedef struct piece {
    uint64_t bytes, place;
    uint64_t words[];
} piece;
TENURE_TYPE_FLEX(piece_type, piece, words);

static tenure_heap *heap;
static tenure_thread *self;
static piece **table;

static void begin(void)
{
    heap = precise_heap_with("max_heap=512m,gen0=1m");
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &table), TENURE_OK));
    table = TENURE_NEW_REFS(self, piece, SLOTS);
    cr_assert(table != NULL);
}
static void end(void) { heap_end(heap, self); }

TestSuite(evacuate, .init = begin, .fini = end, .timeout = 300);

static void put(unsigned at, size_t bytes)
{
    piece *made = tenure_new_flex(self, piece_type, (bytes - sizeof(piece)) / 8);
    cr_assert(made != NULL);
    made->bytes = bytes;
    made->place = at;
    TENURE_SET_AT(self, table, at, made);
}

static void drop(unsigned at) { TENURE_SET_AT(self, table, at, NULL); }

/* Every slot, with objects of 512 bytes, all of them in Gen 2. */
static void fill(void)
{
    for (unsigned i = 0; i < SLOTS; i++) put(i, 504);
    collect(self, TENURE_GEN2);
}

static void check(void)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (table[i] != NULL) cr_assert(eq(u64, table[i]->place, i));
    cr_expect(eq(int, tenure_verify(self), TENURE_OK));
}

/* A program that lets go of nearly everything and asks for one collection: what that finds sparse is emptied by another
 * one, unasked. */
Test(evacuate, what_became_sparse_is_emptied)
{
    fill();
    cr_assert(lt(u64, 60 * MIB, stats_of(heap).gen2_bytes));
    for (unsigned i = 0; i < SLOTS; i++)
        if (i % 16 != 0) drop(i);
    const uint64_t before = stats_of(heap).collections[2];
    collect(self, TENURE_GEN2);
    while (stats_of(heap).gen2_bytes > 10 * MIB) { /* 4 MiB of them, and the table's run */
        tenure_poll(self);
        sched_yield();
    }
    cr_expect(lt(u64, stats_of(heap).hole_bytes, 2 * MIB));
    cr_expect(le(u64, stats_of(heap).collections[2] - before, 3)); /* one may have been due before */
    check();
}

/* More died than lives, but what a small heap promotes until its next full collection fits into the holes. */
Test(evacuate, holes_that_growth_fills_are_left)
{
    fill();
    for (unsigned i = 0; i < SLOTS; i++)
        if (i % 16 >= 7) drop(i);
    const tenure_stats before = stats_of(heap);
    collect(self, TENURE_GEN2);
    cr_expect(lt(u64, 33 * MIB, stats_of(heap).hole_bytes));
    for (unsigned i = 0; i < SLOTS; i++)
        if (i % 16 >= 12) put(i, 504); /* 16 MiB */
    collect(self, TENURE_GEN1);
    cr_expect(eq(u64, stats_of(heap).collections[2] - before.collections[2], 1));
    cr_expect(lt(u64, stats_of(heap).gen2_bytes, before.gen2_bytes + 2 * MIB));
    check();
}

/* Copying nine tenths of a block to win the rest of it is not worth it. */
Test(evacuate, dense_blocks_stay)
{
    fill();
    for (unsigned i = 0; i < SLOTS; i += 10) drop(i);
    collect(self, TENURE_GEN2); /* finds the holes */
    const uint64_t copied = stats_of(heap).copied_objects;
    cr_expect(lt(u64, 5 * MIB, stats_of(heap).hole_bytes));
    collect(self, TENURE_GEN2);
    /* The block that a worker filled last is sparse, and is emptied. */
    cr_expect(lt(u64, stats_of(heap).copied_objects - copied, 4 * TENURE__BLOCK_BYTES / 512));
    check();
}

static unsigned chance(void)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % SLOTS;
}

/* Always as much lives, in objects of another size each time, which replace what chance finds: none of the first ones
 * fit where one of the others was. */
Test(evacuate, holes_that_nothing_fits_into_are_bounded)
{
    const uint64_t live = 32 * MIB;
    uint64_t used = 0, most = 0;
    for (unsigned phase = 0; phase < 4; phase++) {
        const size_t bytes = phase % 2 == 0 ? 248 : 3064;
        for (uint64_t made = 0; made < 3 * live; made += bytes) {
            unsigned at = chance();
            if (table[at] != NULL) used -= table[at]->bytes;
            put(at, bytes);
            for (used += bytes; used > live; at = chance()) {
                if (table[at] == NULL) continue;
                used -= table[at]->bytes;
                drop(at);
            }
            if (made / MIB == (made - bytes) / MIB) continue;
            /* The daemon, which leads full collections, may have to wait for a processor. */
            for (; atomic_load(&heap->full_wanted) != NULL; sched_yield()) tenure_poll(self);
            const uint64_t now = stats_of(heap).gen2_bytes;
            if (now > most) most = now;
        }
    }
    check();
    cr_expect(lt(u64, most, 3 * live), "%lu MiB", (unsigned long)(most / MIB)); /* 2.3; with holes not counted 3.5 */
}
