/* Lists with an index: what was added is found until it is removed, in few steps however many there are. */
#include "tests/support.h"

enum { MANY = 50000 };

static tenure__ranges ranges;

static void end(void)
{
    tenure__ranges_destroy(&ranges);
    memset(&ranges, 0, sizeof ranges);
}
TestSuite(ranges, .fini = end);

static void add(uintptr_t start, uintptr_t value)
{
    cr_assert(tenure__ranges_add(&ranges, (tenure__range) { start, value }));
}
static uintptr_t found(uintptr_t start)
{
    const tenure__range *range = tenure__ranges_find(&ranges, start);
    return range != NULL ? range->end : 0;
}
static void take(uintptr_t start) { tenure__ranges_remove(&ranges, tenure__ranges_find(&ranges, start)); }

/* So many places are looked at for one, at most: those in use that lie together. */
static size_t longest_search(void)
{
    size_t longest = 0, length = 0;
    for (size_t i = 0; i < 2 * ranges.capacity; i++) {
        length = ranges.places[i] != 0 ? length + 1 : 0;
        if (length > longest) longest = length;
    }
    return longest;
}

Test(ranges, nothing)
{
    cr_expect(tenure__ranges_find(&ranges, 0) == NULL);
    add(16, 1);
    take(16);
    cr_expect(tenure__ranges_find(&ranges, 16) == NULL);
}

/* Slots side by side, objects of one size, pages, and stacks. */
Test(ranges, few_steps)
{
    const uintptr_t strides[] = { 8, 48, 80, 4096, 32768, 8 << 20 };
    for (unsigned s = 0; s < sizeof strides / sizeof strides[0]; s++) {
        for (uintptr_t i = 0; i < MANY; i++) add(0x7f0000001230 + i * strides[s], i + 1);
        cr_expect(le(sz, longest_search(), 64), "stride %lu", (unsigned long)strides[s]);
        for (uintptr_t i = 0; i < MANY; i++) cr_assert(eq(u64, found(0x7f0000001230 + i * strides[s]), i + 1));
        end();
    }
}

/* Against a plain array. */
Test(ranges, at_random)
{
    enum { STARTS = 500, STEPS = 200000 };
    static bool there[STARTS];
    uint64_t seed = 1;
    size_t count = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        const size_t which = (size_t)(next_random(&seed) % STARTS);
        const uintptr_t start = which * 16;
        cr_assert(eq(u64, found(start), there[which] ? which + 1 : 0));
        if (there[which])
            take(start);
        else
            add(start, which + 1);
        there[which] = !there[which];
        count += there[which] ? 1 : (size_t)-1;
        cr_assert(eq(sz, ranges.count, count));
    }
    for (size_t which = 0; which < STARTS; which++) cr_expect(eq(u64, found(which * 16), there[which] ? which + 1 : 0));
}

Test(ranges, the_last_of_equal_ones)
{
    for (uintptr_t i = 1; i <= 3; i++) add(64, i);
    for (uintptr_t i = 3; i >= 1; i--) {
        cr_expect(eq(u64, found(64), i));
        take(64);
    }
    cr_expect(eq(u64, found(64), 0));
}
