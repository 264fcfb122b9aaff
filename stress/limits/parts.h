/* What the programs of this folder share: a condition that must hold, a clock, and a main that runs a part by name. */
#ifndef TENURE_STRESS_LIMITS_PARTS_H
#define TENURE_STRESS_LIMITS_PARTS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(condition) \
    ((condition) ? (void)0 \
                 : (fprintf(stderr, "%s:%d: %s: failed\n", __FILE__, __LINE__, #condition), exit(EXIT_FAILURE)))

typedef struct part {
    const char *name;
    void (*run)(uint64_t amount);
    uint64_t amount; /* unless another is asked for */
    const char *unit;
} part;

/* Seconds of a clock that only moves forward. */
double now(void);

/* argv: PROGRAM NAME [AMOUNT]. The exit status: 0, or 2 after telling the usage. A part that fails exits itself. */
int parts_main(int argc, char **argv, const char *program, const part *parts, size_t count);

#endif
