/* Bit arithmetic of blocks against the same done bit by bit. */
#include "tests/support.h"

static tenure__bits starts[TENURE__BITMAP_WORDS], ends[TENURE__BITMAP_WORDS];
static bool taken[TENURE__GRANULES];

static void clear_all(void)
{
    memset((void *)starts, 0, sizeof starts);
    memset((void *)ends, 0, sizeof ends);
    memset(taken, 0, sizeof taken);
}

static void add_object(unsigned start, unsigned granules)
{
    tenure__bit_set_owned(starts, start);
    tenure__bit_set_owned(ends, start + granules - 1);
    for (unsigned i = start; i < start + granules; i++) taken[i] = true;
}

static void expect_occupied(void)
{
    uint64_t occupied[TENURE__BITMAP_WORDS];
    tenure__occupied(starts, ends, occupied);
    for (unsigned i = 0; i < TENURE__GRANULES; i++) {
        const bool found = (occupied[i >> 6] >> (i & 63)) & 1;
        cr_assert(found == taken[i], "granule %u", i);
    }
}

/* Random layouts, dense and sparse, with stale ends in the gaps. */
Test(block, occupied)
{
    uint64_t random = 5;
    for (unsigned round = 0; round < 500; round++) {
        clear_all();
        const unsigned longest = 1 + (unsigned)(next_random(&random) % (round % 5 == 0 ? 600 : 12));
        for (unsigned at = 1; at < TENURE__GRANULES;) {
            unsigned granules = 1 + (unsigned)(next_random(&random) % longest);
            if (at + granules > TENURE__GRANULES) granules = TENURE__GRANULES - at;
            if (next_random(&random) % 2 == 0)
                add_object(at, granules);
            else if (next_random(&random) % 3 == 0)
                tenure__bit_set_owned(ends, at + granules - 1);
            at += granules;
        }
        expect_occupied();
    }
}

Test(block, occupied_at_the_borders)
{
    clear_all();
    expect_occupied();
    add_object(1, TENURE__GRANULES - 1);
    expect_occupied();
    clear_all();
    add_object(63, 1);
    add_object(64, 1);
    add_object(127, 2);
    add_object(TENURE__GRANULES - 1, 1);
    expect_occupied();
}

Test(block, next_hole)
{
    uint64_t random = 9;
    for (unsigned round = 0; round < 300; round++) {
        clear_all();
        for (unsigned at = 1 + (unsigned)(next_random(&random) % 100); at < TENURE__GRANULES - 130;) {
            const unsigned granules = 1 + (unsigned)(next_random(&random) % 100);
            add_object(at, granules);
            at += granules + (unsigned)(next_random(&random) % 150);
            if (at >= TENURE__GRANULES - 130) break;
        }
        uint64_t occupied[TENURE__BITMAP_WORDS];
        tenure__occupied(starts, ends, occupied);
        const unsigned min = 1 + (unsigned)(next_random(&random) % 70);
        unsigned start = 1, end = 0, at = 1;
        for (;;) {
            /* The next one by hand. */
            unsigned length = 0;
            for (; at < TENURE__GRANULES; at += length + 1) {
                for (length = 0; at + length < TENURE__GRANULES && !taken[at + length]; length++) {}
                if (length >= min) break;
            }
            if (at >= TENURE__GRANULES) length = 0;
            const bool found = tenure__next_hole(occupied, &start, &end, min);
            cr_assert(eq(int, found, length >= min));
            if (!found) break;
            cr_assert(eq(u32, start, at));
            cr_assert(eq(u32, end, at + length));
            start = at = end;
        }
    }
}

Test(block, bit_before)
{
    clear_all();
    cr_expect(eq(u32, tenure__bit_before(starts, TENURE__GRANULES - 1), 0));
    const unsigned set[] = { 1, 63, 64, 200, 1999, 2047 };
    for (unsigned i = 0; i < 6; i++) tenure__bit_set_owned(starts, set[i]);
    unsigned last = 0;
    for (unsigned i = 0; i < TENURE__GRANULES; i++) {
        if (tenure__bit_get(starts, i)) last = i;
        cr_assert(eq(u32, tenure__bit_before(starts, i), last));
    }
}

Test(block, claimed_once)
{
    clear_all();
    cr_expect(tenure__bit_claim(starts, 100));
    cr_expect(not(tenure__bit_claim(starts, 100)));
    cr_expect(tenure__bit_claim(starts, 101));
}
