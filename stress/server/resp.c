/* The request parser. Messages follow the wording that Redis clients know. */
#include "resp.h"
#include "number.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static resp_result broken(resp_parser *parser, const char *why)
{
    snprintf(parser->error, sizeof parser->error, "ERR Protocol error: %s", why);
    return RESP_BROKEN;
}

static bool argument_add(resp_parser *parser, const char *data, size_t length, void *owner)
{
    if (parser->count == parser->capacity) {
        const size_t capacity = parser->capacity == 0 ? 8 : parser->capacity * 2;
        resp_argument *grown = realloc(parser->arguments, capacity * sizeof *grown);
        if (grown == NULL) return false;
        parser->arguments = grown;
        parser->capacity = capacity;
    }
    parser->arguments[parser->count++] = (resp_argument) { data, length, owner };
    return true;
}

/* --- lines with a number: "*3\r\n", "$5\r\n" --- */

/* The number after the type byte at parser->position; the position moves behind the line. Short canonical numbers,
 * which are nearly all, are read in one pass. */
static resp_result parse_length(
    resp_parser *parser, const resp_buffer *buffer, const char *too_long, const char *invalid, int64_t *out)
{
    const char *line = buffer->data + buffer->start + parser->position + 1;
    const size_t left = buffer->end - buffer->start - parser->position - 1;
    int64_t value = 0;
    size_t i = 0;
    while (i < left && i < 9 && (unsigned char)(line[i] - '0') <= 9) value = value * 10 + (line[i++] - '0');
    if (i > 0 && i + 1 < left && line[i] == '\r' && line[i + 1] == '\n') {
        *out = value;
        parser->position += i + 3;
        return RESP_REQUEST;
    }
    const char *end = memchr(line, '\r', left);
    if (end == NULL || (size_t)(end - line) + 1 == left) {
        if (left > RESP_MAX_INLINE_BYTES) return broken(parser, too_long);
        return RESP_INCOMPLETE;
    }
    if (end[1] != '\n' || !number_parse(line, (size_t)(end - line), out)) return broken(parser, invalid);
    parser->position += (size_t)(end - line) + 3;
    return RESP_REQUEST;
}

/* --- arrays of bulk strings --- */

static resp_result parse_terminator(resp_parser *parser, const resp_buffer *buffer)
{
    const size_t left = buffer->end - buffer->start - parser->position;
    if (left < 2) return RESP_INCOMPLETE;
    const char *at = buffer->data + buffer->start + parser->position;
    if (at[0] != '\r' || at[1] != '\n') return broken(parser, "expected CRLF after bulk string");
    parser->position += 2;
    parser->needs_terminator = false;
    return RESP_REQUEST;
}

static resp_result parse_bulk_length(resp_parser *parser, const resp_buffer *buffer)
{
    if (parser->position == buffer->end - buffer->start) return RESP_INCOMPLETE;
    const char type = buffer->data[buffer->start + parser->position];
    if (type != '$') {
        char why[32];
        snprintf(why, sizeof why, "expected '$', got '%c'", type >= ' ' && type < 127 ? type : '?');
        return broken(parser, why);
    }
    int64_t length = 0;
    const resp_result result =
        parse_length(parser, buffer, "too big bulk count string", "invalid bulk length", &length);
    if (result != RESP_REQUEST) return result;
    if (length < 0 || (uint64_t)length > RESP_MAX_BULK_BYTES) return broken(parser, "invalid bulk length");
    parser->bulk_length = (size_t)length;
    parser->request_bytes += (size_t)length;
    if (parser->request_bytes > RESP_MAX_REQUEST_BYTES) return broken(parser, "too big request");
    parser->in_bulk = true;
    return RESP_REQUEST;
}

static resp_result parse_array(resp_parser *parser, const resp_buffer *buffer)
{
    while (parser->missing > 0) {
        resp_result result = RESP_REQUEST;
        if (parser->needs_terminator)
            result = parse_terminator(parser, buffer);
        else if (!parser->in_bulk)
            result = parse_bulk_length(parser, buffer);
        if (result != RESP_REQUEST) return result;
        if (!parser->in_bulk) {
            parser->missing--; /* the terminator of a supplied argument */
            continue;
        }
        const size_t left = buffer->end - buffer->start - parser->position;
        if (left < parser->bulk_length + 2)
            return parser->bulk_length >= RESP_LARGE_BULK_BYTES ? RESP_LARGE : RESP_INCOMPLETE;
        const char *bulk = buffer->data + buffer->start + parser->position;
        if (bulk[parser->bulk_length] != '\r' || bulk[parser->bulk_length + 1] != '\n')
            return broken(parser, "expected CRLF after bulk string");
        if (!argument_add(parser, (const char *)parser->position, parser->bulk_length, NULL))
            return broken(parser, "out of memory");
        parser->position += parser->bulk_length + 2;
        parser->in_bulk = false;
        parser->missing--;
    }
    return RESP_REQUEST;
}

/* --- inline commands: words on a line, with quotes --- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Reads one escape of a double-quoted word at from ("\" first); stores the byte; returns how many characters it took.
 */
static size_t unescape(const char *from, const char *end, char *out)
{
    if (end - from >= 4 && from[1] == 'x' && hex_digit(from[2]) >= 0 && hex_digit(from[3]) >= 0) {
        *out = (char)(hex_digit(from[2]) * 16 + hex_digit(from[3]));
        return 4;
    }
    static const char names[] = "nrtba", values[] = "\n\r\t\b\a";
    const char *name = strchr(names, from[1]);
    *out = name != NULL && *name != '\0' ? values[name - names] : from[1];
    return 2;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'; }

/* Splits [at, end) into arguments, unescaping in place: a word never becomes longer. False: unbalanced quotes. */
static bool split_line(resp_parser *parser, char *base, char *at, const char *end)
{
    for (;;) {
        while (at < end && is_blank(*at)) at++;
        if (at == end) return true;
        char *const word = at;
        char *to = at, quote = '\0';
        while (at < end && (quote != '\0' || !is_blank(*at))) {
            if (quote == '"' && *at == '\\' && at + 1 < end) {
                at += unescape(at, end, to++);
            } else if (quote == '\'' && *at == '\\' && at + 1 < end && at[1] == '\'') {
                *to++ = '\'';
                at += 2;
            } else if (quote != '\0' && *at == quote) {
                quote = '\0';
                at++;
                if (at < end && !is_blank(*at)) return false; /* a closing quote ends the word */
            } else if (quote == '\0' && (*at == '"' || *at == '\'')) {
                quote = *at++;
            } else {
                *to++ = *at++;
            }
        }
        if (quote != '\0') return false;
        if (!argument_add(parser, (const char *)(word - base), (size_t)(to - word), NULL)) return false;
    }
}

static resp_result parse_inline(resp_parser *parser, const resp_buffer *buffer)
{
    char *line = buffer->data + buffer->start;
    const size_t left = buffer->end - buffer->start;
    const char *newline = memchr(line + parser->position, '\n', left - parser->position);
    if (newline == NULL) {
        if (left > RESP_MAX_INLINE_BYTES) return broken(parser, "too big inline request");
        parser->position = left; /* searched so far */
        return RESP_INCOMPLETE;
    }
    parser->position = (size_t)(newline - line) + 1;
    if (parser->position > RESP_MAX_INLINE_BYTES) return broken(parser, "too big inline request");
    if (!split_line(parser, line, line, newline)) return broken(parser, "unbalanced quotes in request");
    return RESP_REQUEST;
}

/* --- */

static resp_result parse_start(resp_parser *parser, const resp_buffer *buffer)
{
    int64_t count = 0;
    const resp_result result =
        parse_length(parser, buffer, "too big mbulk count string", "invalid multibulk length", &count);
    if (result != RESP_REQUEST) return result;
    if (count > RESP_MAX_ARGUMENTS) return broken(parser, "invalid multibulk length");
    parser->missing = count > 0 ? (size_t)count : 0;
    return RESP_REQUEST;
}

resp_result resp_parse(resp_parser *parser, resp_buffer *buffer)
{
    if (buffer->start == buffer->end && parser->missing == 0) return RESP_INCOMPLETE;
    resp_result result = RESP_REQUEST;
    if (parser->missing == 0 && buffer->data[buffer->start] != '*') {
        result = parse_inline(parser, buffer);
    } else {
        if (parser->missing == 0) result = parse_start(parser, buffer);
        if (result == RESP_REQUEST) result = parse_array(parser, buffer);
    }
    if (result != RESP_REQUEST) return result;
    for (size_t i = 0; i < parser->count; i++)
        if (parser->arguments[i].owner == NULL)
            parser->arguments[i].data = buffer->data + buffer->start + (size_t)parser->arguments[i].data;
    return RESP_REQUEST;
}

/* Reads "$5\r\n" and skips the bulk behind it. */
static const char *peek_bulk(const char *at, const char *end, const char **bulk, size_t *length)
{
    size_t value = 0;
    if (at == end || *at++ != '$') return NULL;
    while (at < end && value < RESP_LARGE_BULK_BYTES && (unsigned char)(*at - '0') <= 9)
        value = value * 10 + (size_t)(*at++ - '0');
    if ((size_t)(end - at) < value + 4) return NULL;
    *bulk = at + 2;
    *length = value;
    return at + 2 + value + 2;
}

bool resp_peek(const resp_buffer *buffer, size_t *position, const char **key, size_t *length)
{
    if (buffer->data == NULL) return false;
    const char *base = buffer->data + buffer->start, *end = buffer->data + buffer->end;
    const char *at = base + *position;
    if (end - at < 4 || at[0] != '*' || at[1] < '1' || at[1] > '9' || at[2] != '\r') return false;
    const int count = at[1] - '0';
    at += 4;
    *length = 0;
    for (int i = 0; i < count; i++) {
        const char *bulk;
        size_t bulk_length;
        at = peek_bulk(at, end, &bulk, &bulk_length);
        if (at == NULL) return false;
        if (i == 1) {
            *key = bulk;
            *length = bulk_length;
        }
    }
    *position = (size_t)(at - base);
    return true;
}

void resp_supply(resp_parser *parser, const char *data, size_t length, void *owner)
{
    if (!argument_add(parser, data, length, owner)) abort();
    parser->in_bulk = false;
    parser->needs_terminator = true;
    parser->has_owners = true;
}

void resp_consume(resp_parser *parser, resp_buffer *buffer)
{
    buffer->start += parser->position;
    if (buffer->start == buffer->end) buffer->start = buffer->end = 0;
    parser->position = parser->count = parser->request_bytes = 0;
    parser->has_owners = false;
    if (parser->capacity > RESP_KEPT_ARGUMENTS) resp_parser_free(parser);
}

void resp_parser_free(resp_parser *parser)
{
    free(parser->arguments);
    parser->arguments = NULL;
    parser->count = parser->capacity = 0;
}
