/* The reply side of RESP2. Everything goes to an output; an output that failed swallows it. */
#ifndef SERVER_REPLY_H
#define SERVER_REPLY_H

#include "output.h"

void reply_status(output *out, const char *status); /* "+OK" without the plus */
void reply_error(output *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_integer(output *out, int64_t number);
void reply_array(output *out, uint64_t count);
void reply_null(output *out);
void reply_null_array(output *out);
void reply_bulk(output *out, const void *bytes, size_t length);
void reply_bulk_string(output *out, const char *string);
/* A bulk string of the first length bytes of value. Has safepoints. */
void reply_text(tenure_thread *self, output *out, text *value, size_t length);

static inline void reply_ok(output *out) { output_append(out, "+OK\r\n", 5); }
void reply_wrong_type(output *out);
void reply_not_integer(output *out);
void reply_syntax_error(output *out);
void reply_no_memory(output *out);

/* An array whose length is known only when it is complete: begin returns where it starts, end puts the header there. */
size_t reply_array_begin(output *out);
void reply_array_end(output *out, size_t begin, uint64_t count);

#endif
