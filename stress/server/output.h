/* Replies on their way to a client: a byte buffer, and large strings that are sent straight from the heap.
 *
 * The buffer is plain malloc memory. A string that is spliced in is kept alive by a handle, not copied. */
#ifndef SERVER_OUTPUT_H
#define SERVER_OUTPUT_H

#include "text.h"
#include <tenure/root.h>

enum {
    OUTPUT_FIRST_BYTES = 16 * 1024,
    OUTPUT_SPLICE_BYTES = 32 * 1024, /* strings from this length on are spliced */
    OUTPUT_HIGH_WATER = 1024 * 1024  /* with so much unsent, no further requests of the client are run */
};

typedef struct output_splice {
    size_t position; /* in the buffer: what comes before it */
    size_t length, sent;
    tenure_handle *value;
} output_splice;

typedef struct output {
    char *data;
    size_t used, sent, capacity;
    size_t limit; /* bytes of replies that may wait; beyond them the client is dropped */
    output_splice *splices;
    size_t splice_count, splice_first, splice_capacity;
    size_t splice_bytes; /* unsent */
    bool failed;         /* the limit or the memory ran out: close the connection */
} output;

/* Room for so many bytes at data + used, which the caller then adds to used. NULL: failed, nothing may be written. */
char *output_reserve_slow(output *out, size_t bytes);
static inline char *output_reserve(output *out, size_t bytes)
{
    if (out->capacity - out->used >= bytes) return out->data + out->used;
    return output_reserve_slow(out, bytes);
}

void output_append(output *out, const void *bytes, size_t count);

/* Appends [0, length) of value, by copying or as a splice. Has safepoints. */
void output_append_text(tenure_thread *self, output *out, text *value, size_t length);

static inline size_t output_pending(const output *out) { return out->used - out->sent + out->splice_bytes; }

typedef enum output_progress { OUTPUT_EMPTY, OUTPUT_BLOCKED, OUTPUT_BROKEN } output_progress;

/* Writes to a nonblocking socket what it takes. Has safepoints. sent_bytes grows by what went out. */
output_progress output_flush(tenure_thread *self, output *out, int socket, uint64_t *sent_bytes);

/* Frees all, handles included. */
void output_free(output *out);

#endif
