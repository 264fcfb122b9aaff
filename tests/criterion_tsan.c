/* Lets Criterion run under ThreadSanitizer on x86-64. BoxFort, which runs every test in a process of its own, puts its
 * arena at 0x200000000000 + (rand_r(&seed) & 0x3fffff) * 0x1000000; ThreadSanitizer refuses most of these addresses. It
 * allows 0x550000000000 to 0x568000000000, where this rand_r leads. */
#include <stdlib.h>

__attribute__((visibility("default"))) int rand_r(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return (int)(0x350000u + (*seed >> 16) % 0x10000u);
}
