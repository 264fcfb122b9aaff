/* Strings as heap objects. See text.h for the rule that lets readers copy without the lock. */
#include "text.h"
#include "number.h"
#include <tenure/safepoint.h>

TENURE_TYPE_FLEX(text, text, bytes);

/* A quarter of a megabyte takes some 20 us to copy: about what a stop may wait for one thread. */
enum { COPY_PIECE_BYTES = 256 * 1024 };

void text_copy_bytes(tenure_thread *self, char *to, const char *from, size_t count)
{
    while (count > COPY_PIECE_BYTES) {
        memcpy(to, from, COPY_PIECE_BYTES);
        to += COPY_PIECE_BYTES;
        from += COPY_PIECE_BYTES;
        count -= COPY_PIECE_BYTES;
        tenure_poll(self);
    }
    memcpy(to, from, count);
}

text *text_new_blank(tenure_thread *self, size_t length)
{
    text *made = tenure_new_flex(self, text, length);
    if (made != NULL) made->length = (uint32_t)length;
    return made;
}

text *text_new(tenure_thread *self, const void *bytes, size_t length)
{
    text *made = text_new_blank(self, length);
    if (made != NULL) text_copy_bytes(self, made->bytes, bytes, length);
    tenure_keep_alive(made);
    return made;
}

text *text_append(tenure_thread *self, text *value, const void *bytes, size_t count)
{
    const size_t before = value->length;
    const size_t after = before + count;
    text *grown = value;
    if (offsetof(text, bytes) + after > tenure_size_of(value)) {
        /* Twice the length while that is small, so that n appends copy O(n) bytes; a quarter more beyond 1 MiB. */
        const size_t spare = after < 1024 * 1024 ? after : after / 4;
        grown = tenure_new_flex(self, text, after + spare);
        if (grown == NULL) return NULL;
        text_copy_bytes(self, grown->bytes, value->bytes, before);
    }
    text_copy_bytes(self, grown->bytes + before, bytes, count);
    grown->length = (uint32_t)after;
    tenure_keep_alive(value);
    return grown;
}

text *text_from_integer(tenure_thread *self, int64_t number)
{
    char digits[NUMBER_MAX_DIGITS];
    return text_new(self, digits, number_format(digits, number));
}
