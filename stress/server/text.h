/* Strings as heap objects: keys' values, list elements, hash fields' values.
 *
 * The bytes below `length` never change once others can see the object. APPEND may write behind them when there is room
 * and then raises `length`; so whoever took the pointer and the length under the shard's lock may read those bytes
 * without it. */
#ifndef SERVER_TEXT_H
#define SERVER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tenure/alloc.h>

typedef struct text {
    uint32_t length; /* shard's lock */
    char bytes[];
} text;

/* A copy of those bytes as an object. NULL when the heap is full. May collect. */
text *text_new(tenure_thread *self, const void *bytes, size_t length);

/* A text of that length whose bytes are zero, for the caller to fill before it is shared. NULL, may collect. */
text *text_new_blank(tenure_thread *self, size_t length);

/* value with more bytes behind it: value itself when it has room, else a copy with spare room. The caller holds the
 * lock of the shard that owns value. NULL when the heap is full; may collect. */
text *text_append(tenure_thread *self, text *value, const void *bytes, size_t count);

/* The decimal form of a number. NULL when the heap is full; may collect. */
text *text_from_integer(tenure_thread *self, int64_t number);

/* Bytes of heap that a text of this length takes. */
static inline size_t text_cell_bytes(size_t length) { return (8 + offsetof(text, bytes) + length + 15) & ~(size_t)15; }

/* Copies in pieces with safepoints between them, so that a large copy does not hold up a stop. The objects are pinned
 * by the caller's stack. */
void text_copy_bytes(tenure_thread *self, char *to, const char *from, size_t count);

#endif
