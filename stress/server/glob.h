/* Patterns of KEYS, SCAN and CONFIG GET: * ? [a-z] [^a-z] and \ before a character that stands for itself. */
#ifndef SERVER_GLOB_H
#define SERVER_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Takes time proportional to the product of the lengths at most. */
bool glob_match(const char *pattern, size_t pattern_length, const char *text, size_t length);

#endif
