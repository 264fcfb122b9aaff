/* Commands on the whole store: KEYS, SCAN, DBSIZE, RANDOMKEY, FLUSHALL. */
#include "command.h"
#include "glob.h"
#include "number.h"
#include <stdio.h>
#include <tenure/safepoint.h>

/* Keys that match, written as an array's elements. */
typedef struct matches {
    request *r;
    const resp_argument *pattern; /* NULL: all */
    int kind;                     /* -1: any */
    uint64_t count;               /* written */
    uint64_t seen;
} matches;

static void write_match(entry *e, void *arg)
{
    matches *m = arg;
    m->seen++;
    if (e->expires_ms != 0 && e->expires_ms <= m->r->context->now_ms) return;
    if (m->kind >= 0 && e->kind != (unsigned)m->kind) return;
    if (m->pattern != NULL && !glob_match(m->pattern->data, m->pattern->length, e->key, e->key_length)) return;
    reply_bulk(m->r->out, e->key, e->key_length);
    m->count++;
}

void command_keys(request *r)
{
    matches m = { .r = r, .pattern = &r->arguments[1], .kind = -1 };
    const size_t begin = reply_array_begin(r->out);
    for (size_t i = 0; i < STORE_SHARDS && !r->out->failed; i++) {
        shard *home = &store_shards[i];
        dictionary_cursor cursor = { 0 };
        store_lock(r->context, home);
        for (entry *e; (e = dictionary_next(home->keys, &cursor)) != NULL;) {
            write_match(e, &m);
            if (m.seen % 256 == 0) tenure_poll(r->self);
        }
        store_unlock(r->context, home);
    }
    reply_array_end(r->out, begin, m.count);
}

/* --- SCAN: the cursor is the position within a shard, above the shard's number --- */

typedef struct scan_options {
    resp_argument const *pattern;
    int64_t count;
    int kind;
} scan_options;

static bool read_scan_options(request *r, scan_options *options)
{
    for (size_t i = 2; i < r->count; i += 2) {
        static const char *const kinds[] = { "string", "list", "set", "hash" };
        if (i + 1 == r->count) {
            reply_syntax_error(r->out);
            return false;
        }
        if (request_is(r, i, "match")) {
            options->pattern = &r->arguments[i + 1];
        } else if (request_is(r, i, "count")) {
            if (!request_integer(r, i + 1, &options->count)) return false;
            if (options->count < 1) {
                reply_syntax_error(r->out);
                return false;
            }
        } else if (request_is(r, i, "type")) {
            options->kind = 4; /* none has it, unless: */
            for (int kind = 0; kind < 4; kind++)
                if (request_is(r, i + 1, kinds[kind])) options->kind = kind;
        } else {
            reply_syntax_error(r->out);
            return false;
        }
    }
    return true;
}

void command_scan(request *r)
{
    scan_options options = { .count = 10, .kind = -1 };
    int64_t start;
    if (!number_parse(r->arguments[1].data, r->arguments[1].length, &start) || start < 0) {
        reply_error(r->out, "ERR invalid cursor");
        return;
    }
    if (!read_scan_options(r, &options)) return;
    uint64_t shard_number = (uint64_t)start % STORE_SHARDS, position = (uint64_t)start / STORE_SHARDS;

    /* The cursor comes before the keys: room for its longest form is left, and it is moved up to them at the end. */
    output *out = r->out;
    reply_array(out, 2);
    const size_t cursor_at = out->used;
    enum { CURSOR_BYTES = 5 + NUMBER_MAX_DIGITS + 2 }; /* "$20\r\n", digits, "\r\n" */
    if (output_reserve(out, CURSOR_BYTES) == NULL) return;
    out->used += CURSOR_BYTES;
    const size_t begin = reply_array_begin(out);

    matches m = { .r = r, .pattern = options.pattern, .kind = options.kind };
    /* Empty buckets count as a tenth: a sparse table must not make a call endless. */
    uint64_t buckets = 0;
    while (shard_number < STORE_SHARDS && m.seen + buckets / 10 < (uint64_t)options.count && !out->failed) {
        shard *home = &store_shards[shard_number];
        store_lock(r->context, home);
        do {
            position = dictionary_scan(home->keys, position, write_match, &m);
            buckets++;
        } while (position != 0 && m.seen + buckets / 10 < (uint64_t)options.count);
        store_unlock(r->context, home);
        if (position == 0) shard_number++;
        tenure_poll(r->self);
    }
    reply_array_end(out, begin, m.count);
    if (out->failed) return;

    char digits[NUMBER_MAX_DIGITS], cursor[CURSOR_BYTES + 1];
    const uint64_t next = shard_number == STORE_SHARDS ? 0 : position * STORE_SHARDS + shard_number;
    const size_t digit_count = number_format(digits, (int64_t)next);
    const int length = snprintf(cursor, sizeof cursor, "$%zu\r\n%.*s\r\n", digit_count, (int)digit_count, digits);
    char *to = out->data + cursor_at;
    memcpy(to, cursor, (size_t)length);
    memmove(to + length, to + CURSOR_BYTES, out->used - cursor_at - CURSOR_BYTES);
    out->used -= CURSOR_BYTES - (size_t)length;
}

void command_dbsize(request *r) { reply_integer(r->out, (int64_t)store_count()); }

void command_randomkey(request *r)
{
    entry *found = NULL;
    const uint64_t from = context_random(r->context) >> 56;
    for (uint64_t i = 0; i < STORE_SHARDS && found == NULL; i++) {
        shard *home = &store_shards[(from + i) % STORE_SHARDS];
        if (counter_read(&home->count) == 0) continue;
        store_lock(r->context, home);
        found = dictionary_random(home->keys, context_random(r->context));
        store_unlock(r->context, home);
    }
    if (found != NULL)
        reply_bulk(r->out, found->key, found->key_length);
    else
        reply_null(r->out);
    tenure_keep_alive(found);
}

void command_flushall(request *r)
{
    if (r->count > 2 || (r->count == 2 && !request_is(r, 1, "async") && !request_is(r, 1, "sync"))) {
        reply_syntax_error(r->out);
        return;
    }
    if (store_clear(r->context))
        reply_ok(r->out);
    else
        request_no_memory(r);
}
