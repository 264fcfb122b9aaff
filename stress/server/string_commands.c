/* Commands on strings. Objects are made before the lock is taken; replies are written after it is released, which
 * strings' immutability allows. */
#include "command.h"
#include "number.h"

/* --- reading --- */

/* The value of a string key with the length it had under the lock, or NULL. */
static text *read_string(request *r, const store_key *key, size_t *length, bool *wrong_type)
{
    store_lock(r->context, key->home);
    const entry *e = request_find(r, key, KIND_STRING, wrong_type);
    text *value = e == NULL ? NULL : e->value;
    *length = value == NULL ? 0 : value->length;
    store_unlock(r->context, key->home);
    counter_add(value != NULL ? &r->context->hits : &r->context->misses, 1);
    return value;
}

void command_get(request *r)
{
    const store_key key = request_key(r, 1);
    size_t length;
    bool wrong_type;
    text *value = read_string(r, &key, &length, &wrong_type);
    if (value != NULL)
        reply_text(r->self, r->out, value, length);
    else if (wrong_type)
        reply_wrong_type(r->out);
    else
        reply_null(r->out);
}

void command_mget(request *r)
{
    reply_array(r->out, r->count - 1);
    for (size_t i = 1; i < r->count; i++) {
        const store_key key = request_key(r, i);
        size_t length;
        bool wrong_type;
        text *value = read_string(r, &key, &length, &wrong_type);
        if (value != NULL)
            reply_text(r->self, r->out, value, length);
        else
            reply_null(r->out);
    }
}

void command_strlen(request *r)
{
    const store_key key = request_key(r, 1);
    size_t length;
    bool wrong_type;
    read_string(r, &key, &length, &wrong_type);
    if (wrong_type)
        reply_wrong_type(r->out);
    else
        reply_integer(r->out, (int64_t)length);
}

/* --- SET and its variants --- */

typedef struct set_options {
    bool if_absent, if_present, keeps_ttl, returns_old;
    int64_t expires_ms; /* 0: never */
} set_options;

/* Sets the key. False when the condition does not hold or, with the error replied, on failure; *replied says which.
 * *old is the previous value if the options ask for it. */
static bool set_value(request *r, const store_key *key, text *value, const set_options *options, text **old,
    size_t *old_length, bool *replied)
{
    context *c = r->context;
    *replied = false;
    store_lock(c, key->home);
    entry *e = store_find(c, key);
    if (options->returns_old && e != NULL && e->kind != KIND_STRING) {
        store_unlock(c, key->home);
        reply_wrong_type(r->out);
        *replied = true;
        return false;
    }
    if (options->returns_old && e != NULL) {
        *old = e->value;
        *old_length = (*old)->length;
    }
    const bool wanted = !(options->if_absent && e != NULL) && !(options->if_present && e == NULL);
    if (wanted) {
        if (e != NULL)
            store_replace(c, key->home, e, KIND_STRING, value);
        else
            e = store_add(c, key, KIND_STRING, value);
        if (e != NULL && !options->keeps_ttl && (e->expires_ms | options->expires_ms) != 0)
            store_set_expiry(key->home, e, options->expires_ms);
    }
    store_unlock(c, key->home);
    if (wanted && e == NULL) {
        request_no_memory(r);
        *replied = true;
    }
    return wanted && e != NULL;
}

/* Reads a time to live and adds it to now. The error has been replied when it is false. */
static bool read_expiry(request *r, size_t index, int64_t unit_ms, bool absolute, int64_t *expires_ms)
{
    int64_t amount;
    if (!request_integer(r, index, &amount)) return false;
    if (amount <= 0 || __builtin_mul_overflow(amount, unit_ms, expires_ms) ||
        (!absolute && __builtin_add_overflow(*expires_ms, r->context->now_ms, expires_ms))) {
        reply_error(
            r->out, "ERR invalid expire time in '%.*s' command", (int)r->arguments[0].length, r->arguments[0].data);
        return false;
    }
    return true;
}

static bool read_set_options(request *r, set_options *options)
{
    bool has_expiry = false;
    for (size_t i = 3; i < r->count; i++) {
        static const struct {
            const char *word;
            int64_t unit_ms;
            bool absolute;
        } expiries[] = { { "ex", 1000, false }, { "px", 1, false }, { "exat", 1000, true }, { "pxat", 1, true } };
        size_t which = 0;
        while (which < 4 && !request_is(r, i, expiries[which].word)) which++;
        if (which < 4 && !has_expiry && !options->keeps_ttl && i + 1 < r->count) {
            if (!read_expiry(r, ++i, expiries[which].unit_ms, expiries[which].absolute, &options->expires_ms))
                return false;
            has_expiry = true;
        } else if (request_is(r, i, "nx") && !options->if_present) {
            options->if_absent = true;
        } else if (request_is(r, i, "xx") && !options->if_absent) {
            options->if_present = true;
        } else if (request_is(r, i, "get")) {
            options->returns_old = true;
        } else if (request_is(r, i, "keepttl") && !has_expiry) {
            options->keeps_ttl = true;
        } else {
            reply_syntax_error(r->out);
            return false;
        }
    }
    return true;
}

void command_set(request *r)
{
    set_options options = { 0 };
    if (r->count > 3 && !read_set_options(r, &options)) return;
    text *value = request_text(r, 2), *old = NULL;
    if (value == NULL) return;
    const store_key key = request_key(r, 1);
    size_t old_length = 0;
    bool replied;
    const bool done = set_value(r, &key, value, &options, &old, &old_length, &replied);
    if (replied) return;
    if (options.returns_old && old != NULL)
        reply_text(r->self, r->out, old, old_length);
    else if (options.returns_old || !done)
        reply_null(r->out);
    else
        reply_ok(r->out);
}

void command_getset(request *r)
{
    const set_options options = { .returns_old = true };
    text *value = request_text(r, 2), *old = NULL;
    if (value == NULL) return;
    const store_key key = request_key(r, 1);
    size_t old_length = 0;
    bool replied;
    set_value(r, &key, value, &options, &old, &old_length, &replied);
    if (replied) return;
    if (old != NULL)
        reply_text(r->self, r->out, old, old_length);
    else
        reply_null(r->out);
}

void command_setnx(request *r)
{
    const set_options options = { .if_absent = true };
    text *value = request_text(r, 2);
    if (value == NULL) return;
    const store_key key = request_key(r, 1);
    bool replied;
    const bool done = set_value(r, &key, value, &options, NULL, NULL, &replied);
    if (!replied) reply_integer(r->out, done);
}

static void set_with_expiry(request *r, int64_t unit_ms)
{
    set_options options = { 0 };
    if (!read_expiry(r, 2, unit_ms, false, &options.expires_ms)) return;
    text *value = request_text(r, 3);
    if (value == NULL) return;
    const store_key key = request_key(r, 1);
    bool replied;
    if (set_value(r, &key, value, &options, NULL, NULL, &replied)) reply_ok(r->out);
}

void command_setex(request *r) { set_with_expiry(r, 1000); }
void command_psetex(request *r) { set_with_expiry(r, 1); }

/* Key by key: other clients may see some of them set and others not yet. */
void command_mset(request *r)
{
    if (r->count % 2 == 0) {
        reply_error(r->out, "ERR wrong number of arguments for 'mset' command");
        return;
    }
    const set_options options = { 0 };
    for (size_t i = 1; i < r->count; i += 2) {
        text *value = request_text(r, i + 1);
        if (value == NULL) return;
        const store_key key = request_key(r, i);
        bool replied;
        set_value(r, &key, value, &options, NULL, NULL, &replied);
        if (replied) return;
    }
    reply_ok(r->out);
}

/* --- numbers --- */

static void add(request *r, int64_t amount)
{
    context *c = r->context;
    const store_key key = request_key(r, 1);
    int64_t number = 0;
    bool wrong_type, is_number = true, overflow = false, done = false;
    store_lock(c, key.home);
    entry *e = request_find(r, &key, KIND_STRING, &wrong_type);
    if (e != NULL) {
        const text *old = e->value;
        is_number = number_parse(old->bytes, old->length, &number);
    }
    if (!wrong_type && is_number) {
        overflow = __builtin_add_overflow(number, amount, &number);
        text *sum = overflow ? NULL : text_from_integer(r->self, number);
        if (sum != NULL && e != NULL) {
            store_replace(c, key.home, e, KIND_STRING, sum);
            done = true;
        } else if (sum != NULL) {
            done = store_add(c, &key, KIND_STRING, sum) != NULL;
        }
    }
    store_unlock(c, key.home);
    if (done)
        reply_integer(r->out, number);
    else if (wrong_type)
        reply_wrong_type(r->out);
    else if (!is_number)
        reply_not_integer(r->out);
    else if (overflow)
        reply_error(r->out, "ERR increment or decrement would overflow");
    else
        request_no_memory(r);
}

void command_incr(request *r) { add(r, 1); }
void command_decr(request *r) { add(r, -1); }

void command_incrby(request *r)
{
    int64_t amount;
    if (request_integer(r, 2, &amount)) add(r, amount);
}

void command_decrby(request *r)
{
    int64_t amount;
    if (!request_integer(r, 2, &amount)) return;
    if (amount == INT64_MIN)
        reply_error(r->out, "ERR decrement would overflow");
    else
        add(r, -amount);
}

void command_append(request *r)
{
    enum { APPENDED, WRONG_TYPE, TOO_LONG, NO_MEMORY } result = NO_MEMORY;
    context *c = r->context;
    const store_key key = request_key(r, 1);
    const resp_argument *more = &r->arguments[2];
    size_t length = more->length;
    bool wrong_type;
    store_lock(c, key.home);
    entry *e = request_find(r, &key, KIND_STRING, &wrong_type);
    if (wrong_type) {
        result = WRONG_TYPE;
    } else if (e == NULL) {
        text *made = request_text_quietly(r, 2);
        if (made != NULL && store_add(c, &key, KIND_STRING, made) != NULL) result = APPENDED;
    } else {
        text *old = e->value;
        const size_t before = old->length;
        length += before;
        text *longer = NULL;
        if (length > RESP_MAX_BULK_BYTES)
            result = TOO_LONG;
        else
            longer = text_append(r->self, old, more->data, more->length);
        if (longer != NULL) {
            if (longer != old) TENURE_SET(r->self, e, value, longer);
            store_resized(c, key.home, text_cell_bytes(before), text_cell_bytes(length));
            result = APPENDED;
        }
    }
    store_unlock(c, key.home);
    switch (result) {
    case APPENDED:
        reply_integer(r->out, (int64_t)length);
        break;
    case WRONG_TYPE:
        reply_wrong_type(r->out);
        break;
    case TOO_LONG:
        reply_error(r->out, "ERR string exceeds maximum allowed size (512MB)");
        break;
    case NO_MEMORY:
        request_no_memory(r);
        break;
    }
}
