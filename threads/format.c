#include "threads/format.h"

#include <inttypes.h>
#include <stdio.h>

/* value in the largest unit in which it is at least 1: below 10 with one decimal. */
static tenure__quantity scale(uint64_t value, uint64_t base, const char *const *units, unsigned unit_count)
{
    tenure__quantity out;
    uint64_t divisor = 1;
    unsigned unit = 0;
    while (unit + 1 < unit_count && value / divisor >= base) {
        divisor *= base;
        unit++;
    }
    const uint64_t whole = value / divisor, rest = value % divisor;
    const uint64_t tenths = (rest * 10 + divisor / 2) / divisor;
    if (divisor > 1 && whole * 10 + tenths < 100)
        snprintf(out.text, sizeof out.text, "%" PRIu64 ".%" PRIu64 "%s", whole + tenths / 10, tenths % 10, units[unit]);
    else
        snprintf(out.text, sizeof out.text, "%" PRIu64 "%s", whole + (rest >= divisor - divisor / 2 && divisor > 1),
            value == 0 ? "" : units[unit]);
    return out;
}

tenure__quantity tenure__format_bytes(uint64_t bytes)
{
    static const char *const units[] = { "", "K", "M", "G", "T" };
    return scale(bytes, 1024, units, sizeof units / sizeof units[0]);
}

tenure__quantity tenure__format_duration(uint64_t ns)
{
    static const char *const units[] = { "ns", "us", "ms", "s" };
    return scale(ns, 1000, units, sizeof units / sizeof units[0]);
}
