/* The request side of RESP2: arrays of bulk strings, and inline commands.
 *
 * The parser works on a byte buffer that its caller fills, remembers where it stopped, and copies nothing: arguments
 * point into the buffer. It knows neither sockets nor the heap. Bulk strings that are large and not there yet are
 * handed to the caller, who may receive them straight into their final place. */
#ifndef SERVER_RESP_H
#define SERVER_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RESP_MAX_ARGUMENTS = 1024 * 1024,
    RESP_MAX_INLINE_BYTES = 64 * 1024, /* also of a line that announces a length */
    RESP_LARGE_BULK_BYTES = 64 * 1024, /* from here on the caller is asked to receive the bytes */
    RESP_KEPT_ARGUMENTS = 64           /* a longer argument array is freed after the request */
};
#define RESP_MAX_BULK_BYTES ((size_t)512 * 1024 * 1024)
#define RESP_MAX_REQUEST_BYTES ((size_t)1024 * 1024 * 1024)

typedef struct resp_argument {
    const char *data;
    size_t length;
    void *owner; /* what the caller of resp_supply gave: it keeps data alive; else NULL */
} resp_argument;

/* Received bytes: [start, end) of data. Zeroed: empty. */
typedef struct resp_buffer {
    char *data;
    size_t start, end, capacity;
} resp_buffer;

typedef enum resp_result {
    RESP_INCOMPLETE, /* more bytes are needed */
    RESP_REQUEST,    /* arguments[0 .. count) hold a request; count may be 0: an empty line, to be ignored */
    RESP_LARGE,      /* bulk_length bytes follow from data + start + position on: take them, then call resp_supply */
    RESP_BROKEN      /* error says why; the connection is beyond repair */
} resp_result;

typedef struct resp_parser {
    resp_argument *arguments; /* while incomplete, data holds the offset from the buffer's start */
    size_t count, capacity;
    size_t missing;  /* arguments still to come; 0: between requests */
    size_t position; /* from the buffer's start: where to go on */
    size_t bulk_length;
    size_t request_bytes;
    bool in_bulk;          /* the length of the next argument has been read */
    bool needs_terminator; /* of an argument that resp_supply gave */
    bool has_owners;
    char error[96];
} resp_parser;

/* Parses on. After RESP_REQUEST call resp_consume before the next call. */
resp_result resp_parse(resp_parser *parser, resp_buffer *buffer);

/* Finds the first key of a request that lies whole in the buffer at *position (from the buffer's start), and moves the
 * position behind it. A hint for fetching ahead: only the common form is understood, arrays of at most nine arguments.
 * False: something else or nothing there. The key may be empty. */
bool resp_peek(const resp_buffer *buffer, size_t *position, const char **key, size_t *length);

/* Drops the request from the buffer. */
void resp_consume(resp_parser *parser, resp_buffer *buffer);

/* The large argument that RESP_LARGE asked for. The buffer's bytes from the announced position on belong to it: the
 * caller has taken them out. */
void resp_supply(resp_parser *parser, const char *data, size_t length, void *owner);

void resp_parser_free(resp_parser *parser);

#endif
