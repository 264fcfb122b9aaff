/* Decimal numbers as the protocol writes them. */
#ifndef SERVER_NUMBER_H
#define SERVER_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NUMBER_MAX_DIGITS = 20 }; /* of a 64-bit number with its sign */

/* Reads all of text as a 64-bit number in its canonical form: no blanks, no plus sign, no leading zeros. */
bool number_parse(const char *text, size_t length, int64_t *out);

/* Writes number to out (NUMBER_MAX_DIGITS bytes at least); returns how many characters. */
size_t number_format(char *out, int64_t number);

/* Reads "100", "64kb", "256mb", "2gb" (k m g are taken for 1024-based units too). */
bool number_parse_bytes(const char *text, uint64_t *out);

#endif
