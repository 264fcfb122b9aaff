/* Writing RESP2. */
#include "reply.h"
#include "number.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { HEADER_BYTES = 1 + NUMBER_MAX_DIGITS + 2 };

static void header(output *out, char type, int64_t number)
{
    char *to = output_reserve(out, HEADER_BYTES);
    if (to == NULL) return;
    to[0] = type;
    const size_t digits = number_format(to + 1, number);
    to[1 + digits] = '\r';
    to[2 + digits] = '\n';
    out->used += digits + 3;
}

void reply_integer(output *out, int64_t number) { header(out, ':', number); }
void reply_array(output *out, uint64_t count) { header(out, '*', (int64_t)count); }
void reply_null(output *out) { output_append(out, "$-1\r\n", 5); }
void reply_null_array(output *out) { output_append(out, "*-1\r\n", 5); }

void reply_status(output *out, const char *status)
{
    output_append(out, "+", 1);
    output_append(out, status, strlen(status));
    output_append(out, "\r\n", 2);
}

void reply_error(output *out, const char *format, ...)
{
    char line[512];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (length < 0) length = 0;
    if ((size_t)length >= sizeof line) length = (int)sizeof line - 1;
    /* A client's bytes may be part of the message: they must not end the line. */
    for (int i = 0; i < length; i++)
        if (line[i] == '\r' || line[i] == '\n') line[i] = ' ';
    output_append(out, "-", 1);
    output_append(out, line, (size_t)length);
    output_append(out, "\r\n", 2);
}

void reply_bulk(output *out, const void *bytes, size_t length)
{
    char *to = output_reserve(out, HEADER_BYTES + length + 2);
    if (to == NULL) return;
    *to++ = '$';
    to += number_format(to, (int64_t)length);
    memcpy(to, "\r\n", 2);
    memcpy(to + 2, bytes, length);
    memcpy(to + 2 + length, "\r\n", 2);
    out->used = (size_t)(to + 2 + length + 2 - out->data);
}

void reply_bulk_string(output *out, const char *string) { reply_bulk(out, string, strlen(string)); }

void reply_text(tenure_thread *self, output *out, text *value, size_t length)
{
    if (length < OUTPUT_SPLICE_BYTES) {
        reply_bulk(out, value->bytes, length);
        tenure_keep_alive(value);
        return;
    }
    header(out, '$', (int64_t)length);
    output_append_text(self, out, value, length);
    output_append(out, "\r\n", 2);
}

void reply_wrong_type(output *out)
{
    reply_error(out, "WRONGTYPE Operation against a key holding the wrong kind of value");
}
void reply_not_integer(output *out) { reply_error(out, "ERR value is not an integer or out of range"); }
void reply_syntax_error(output *out) { reply_error(out, "ERR syntax error"); }
void reply_no_memory(output *out) { reply_error(out, "OOM command not allowed when used memory > 'maxmemory'."); }

size_t reply_array_begin(output *out)
{
    const size_t begin = out->used;
    if (output_reserve(out, HEADER_BYTES) != NULL) out->used += HEADER_BYTES;
    return begin;
}

void reply_array_end(output *out, size_t begin, uint64_t count)
{
    if (out->failed) return;
    char digits[HEADER_BYTES];
    digits[0] = '*';
    size_t length = 1 + number_format(digits + 1, (int64_t)count);
    digits[length++] = '\r';
    digits[length++] = '\n';
    char *to = out->data + begin;
    memmove(to + length, to + HEADER_BYTES, out->used - begin - HEADER_BYTES);
    memcpy(to, digits, length);
    out->used -= HEADER_BYTES - length;
}
