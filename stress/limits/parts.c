#include "parts.h"
#include <inttypes.h>
#include <string.h>
#include <time.h>

double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int parts_main(int argc, char **argv, const char *program, const part *parts, size_t count)
{
    for (size_t i = 0; i < count && argc >= 2 && argc <= 3; i++) {
        if (strcmp(argv[1], parts[i].name) != 0) continue;
        const uint64_t amount = argc == 3 ? strtoull(argv[2], NULL, 10) : parts[i].amount;
        printf("%s: %" PRIu64 " %s\n", parts[i].name, amount, parts[i].unit);
        const double start = now();
        parts[i].run(amount);
        printf("  %.2f s\n", now() - start);
        return 0;
    }
    fprintf(stderr, "usage: %s NAME [AMOUNT]\n", program);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "  %-9s %10" PRIu64 " %s\n", parts[i].name, parts[i].amount, parts[i].unit);
    return 2;
}
