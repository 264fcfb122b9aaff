/* Output buffers with splices. */
#include "output.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tenure/safepoint.h>

/* One system call copies at most so much: a stop waits for it. */
enum { WRITE_PIECE_BYTES = 256 * 1024 };

char *output_reserve_slow(output *out, size_t bytes)
{
    if (out->failed) return NULL;
    const size_t needed = out->used + bytes;
    if (needed < bytes || needed - out->sent > out->limit) {
        out->failed = true;
        return NULL;
    }
    size_t capacity = out->capacity == 0 ? OUTPUT_FIRST_BYTES : out->capacity * 2;
    while (capacity < needed) capacity *= 2;
    char *grown = realloc(out->data, capacity);
    if (grown == NULL) {
        out->failed = true;
        return NULL;
    }
    out->data = grown;
    out->capacity = capacity;
    return grown + out->used;
}

void output_append(output *out, const void *bytes, size_t count)
{
    char *to = output_reserve(out, count);
    if (to == NULL) return;
    memcpy(to, bytes, count);
    out->used += count;
}

static bool splice_add(tenure_thread *self, output *out, text *value, size_t length)
{
    if (out->splice_count == out->splice_capacity) {
        const size_t capacity = out->splice_capacity == 0 ? 4 : out->splice_capacity * 2;
        output_splice *grown = realloc(out->splices, capacity * sizeof *grown);
        if (grown == NULL) return false;
        out->splices = grown;
        out->splice_capacity = capacity;
    }
    tenure_handle *handle = tenure_handle_new(self, value);
    if (handle == NULL) return false;
    out->splices[out->splice_count++] = (output_splice) { out->used, length, 0, handle };
    out->splice_bytes += length;
    return true;
}

void output_append_text(tenure_thread *self, output *out, text *value, size_t length)
{
    if (length >= OUTPUT_SPLICE_BYTES && !out->failed && splice_add(self, out, value, length)) return;
    char *to = output_reserve(out, length);
    if (to == NULL) return;
    text_copy_bytes(self, to, value->bytes, length);
    tenure_keep_alive(value);
    out->used += length;
}

/* What to write next: bytes of the buffer up to the next splice, or bytes of that splice. */
static const char *next_piece(const output *out, size_t *length)
{
    const output_splice *splice = out->splice_first < out->splice_count ? &out->splices[out->splice_first] : NULL;
    if (splice != NULL && splice->position == out->sent) {
        *length = splice->length - splice->sent;
        return ((const text *)tenure_handle_get(splice->value))->bytes + splice->sent;
    }
    *length = (splice != NULL ? splice->position : out->used) - out->sent;
    return out->data + out->sent;
}

static void note_sent(output *out, size_t count)
{
    output_splice *splice = out->splice_first < out->splice_count ? &out->splices[out->splice_first] : NULL;
    if (splice == NULL || splice->position != out->sent) {
        out->sent += count;
        return;
    }
    splice->sent += count;
    out->splice_bytes -= count;
    if (splice->sent == splice->length) {
        tenure_handle_free(splice->value);
        out->splice_first++;
    }
}

output_progress output_flush(tenure_thread *self, output *out, int socket, uint64_t *sent_bytes)
{
    while (output_pending(out) > 0) {
        size_t length;
        const char *piece = next_piece(out, &length);
        const bool more = length < output_pending(out);
        if (length > WRITE_PIECE_BYTES) length = WRITE_PIECE_BYTES;
        const ssize_t written = send(socket, piece, length, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
        if (written < 0) {
            if (errno == EINTR) continue;
            return errno == EAGAIN || errno == EWOULDBLOCK ? OUTPUT_BLOCKED : OUTPUT_BROKEN;
        }
        note_sent(out, (size_t)written);
        *sent_bytes += (uint64_t)written;
        if (output_pending(out) > 0) tenure_poll(self);
    }
    out->used = out->sent = 0;
    out->splice_count = out->splice_first = 0;
    return OUTPUT_EMPTY;
}

void output_free(output *out)
{
    for (size_t i = out->splice_first; i < out->splice_count; i++) tenure_handle_free(out->splices[i].value);
    free(out->splices);
    free(out->data);
    *out = (output) { .limit = out->limit };
}
