/* What libFuzzer calls, and what each target says when something is wrong. */
#ifndef TENURE_TESTS_FUZZ_FUZZ_H
#define TENURE_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

#define FUZZ_REQUIRE(condition)                                                       \
    ((condition) ? (void)0                                                            \
                 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), abort()))

#endif
