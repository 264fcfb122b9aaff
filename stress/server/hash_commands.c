/* Commands on hashes: dictionaries from fields to strings. */
#include "command.h"
#include <tenure/barrier.h>
#include <tenure/safepoint.h>

enum { FIELDS_BETWEEN_POLLS = 256 };

static uint64_t field_bytes(size_t field_length, size_t value_length)
{
    return entry_cell_bytes(field_length) + sizeof(entry *) + text_cell_bytes(value_length);
}

/* Sets one field, under the lock. False: no memory. */
static bool set_field(request *r, dictionary *hash, size_t index, uint64_t *added)
{
    const resp_argument *field = &r->arguments[index];
    const uint64_t h = dictionary_hash(field->data, field->length);
    text *value = request_text_quietly(r, index + 1);
    if (value == NULL) return false;
    entry *e = dictionary_find(hash, field->data, field->length, h);
    if (e != NULL) {
        hash->bytes -= field_bytes(field->length, ((const text *)e->value)->length);
        TENURE_SET(r->self, e, value, value);
    } else {
        e = entry_new(r->self, field->data, field->length);
        if (e == NULL) return false;
        TENURE_SET(r->self, e, value, value);
        dictionary_insert(r->self, hash, e, h);
        (*added)++;
    }
    hash->bytes += field_bytes(field->length, value->length);
    return true;
}

static bool set_all(request *r, dictionary *hash, uint64_t *added)
{
    for (size_t i = 2; i < r->count; i += 2)
        if (!set_field(r, hash, i, added)) return false;
    return true;
}

/* False: the error has been replied. */
static bool set_fields(request *r, uint64_t *added)
{
    if (r->count % 2 != 0) {
        reply_error(r->out, "ERR wrong number of arguments for '%.*s' command", (int)r->arguments[0].length,
            r->arguments[0].data);
        return false;
    }
    context *c = r->context;
    const store_key key = request_key(r, 1);
    bool wrong_type, done = false;
    store_lock(c, key.home);
    entry *e = request_find(r, &key, KIND_HASH, &wrong_type);
    if (e != NULL) {
        dictionary *hash = e->value;
        const uint64_t before = hash->bytes;
        done = set_all(r, hash, added);
        store_resized(c, key.home, before, hash->bytes);
    } else if (!wrong_type) {
        dictionary *hash = dictionary_new(r->self);
        done = hash != NULL && set_all(r, hash, added) && store_add(c, &key, KIND_HASH, hash) != NULL;
    }
    store_unlock(c, key.home);
    if (wrong_type)
        reply_wrong_type(r->out);
    else if (!done)
        request_no_memory(r);
    return done;
}

void command_hset(request *r)
{
    uint64_t added = 0;
    if (set_fields(r, &added)) reply_integer(r->out, (int64_t)added);
}

void command_hmset(request *r)
{
    uint64_t added = 0;
    if (set_fields(r, &added)) reply_ok(r->out);
}

/* Under the lock. NULL: no such field. */
static text *get_field(const request *r, const dictionary *hash, size_t index)
{
    const resp_argument *field = &r->arguments[index];
    const entry *e = dictionary_find(hash, field->data, field->length, dictionary_hash(field->data, field->length));
    return e == NULL ? NULL : e->value;
}

void command_hget(request *r)
{
    const store_key key = request_key(r, 1);
    bool wrong_type;
    store_lock(r->context, key.home);
    const entry *e = request_find(r, &key, KIND_HASH, &wrong_type);
    text *value = e == NULL ? NULL : get_field(r, e->value, 2);
    store_unlock(r->context, key.home);
    counter_add(value != NULL ? &r->context->hits : &r->context->misses, 1);
    if (value != NULL)
        reply_text(r->self, r->out, value, value->length);
    else if (wrong_type)
        reply_wrong_type(r->out);
    else
        reply_null(r->out);
}

void command_hmget(request *r)
{
    const store_key key = request_key(r, 1);
    bool wrong_type;
    store_lock(r->context, key.home);
    const entry *e = request_find(r, &key, KIND_HASH, &wrong_type);
    if (!wrong_type) reply_array(r->out, r->count - 2);
    for (size_t i = 2; i < r->count && !wrong_type; i++) {
        text *value = e == NULL ? NULL : get_field(r, e->value, i);
        if (value != NULL)
            reply_text(r->self, r->out, value, value->length);
        else
            reply_null(r->out);
    }
    store_unlock(r->context, key.home);
    counter_add(e != NULL ? &r->context->hits : &r->context->misses, 1);
    if (wrong_type) reply_wrong_type(r->out);
}

void command_hexists(request *r)
{
    const store_key key = request_key(r, 1);
    bool wrong_type;
    store_lock(r->context, key.home);
    const entry *e = request_find(r, &key, KIND_HASH, &wrong_type);
    const bool found = e != NULL && get_field(r, e->value, 2) != NULL;
    store_unlock(r->context, key.home);
    if (wrong_type)
        reply_wrong_type(r->out);
    else
        reply_integer(r->out, found);
}

void command_hdel(request *r)
{
    context *c = r->context;
    const store_key key = request_key(r, 1);
    bool wrong_type;
    int64_t removed = 0;
    store_lock(c, key.home);
    const entry *e = request_find(r, &key, KIND_HASH, &wrong_type);
    dictionary *hash = e == NULL ? NULL : e->value;
    for (size_t i = 2; hash != NULL && hash->count > 0 && i < r->count; i++) {
        const resp_argument *field = &r->arguments[i];
        const entry *gone =
            dictionary_remove(r->self, hash, field->data, field->length, dictionary_hash(field->data, field->length));
        if (gone == NULL) continue;
        const uint64_t before = hash->bytes;
        hash->bytes -= field_bytes(field->length, ((const text *)gone->value)->length);
        store_resized(c, key.home, before, hash->bytes);
        removed++;
        if (hash->count == 0) store_remove(c, &key);
    }
    store_unlock(c, key.home);
    if (wrong_type)
        reply_wrong_type(r->out);
    else
        reply_integer(r->out, removed);
}

void command_hlen(request *r)
{
    const store_key key = request_key(r, 1);
    bool wrong_type;
    store_lock(r->context, key.home);
    const entry *e = request_find(r, &key, KIND_HASH, &wrong_type);
    const uint64_t count = e == NULL ? 0 : ((const dictionary *)e->value)->count;
    store_unlock(r->context, key.home);
    if (wrong_type)
        reply_wrong_type(r->out);
    else
        reply_integer(r->out, (int64_t)count);
}

static void get_all(request *r, bool fields, bool values)
{
    const store_key key = request_key(r, 1);
    bool wrong_type;
    store_lock(r->context, key.home);
    const entry *e = request_find(r, &key, KIND_HASH, &wrong_type);
    if (e != NULL) {
        const dictionary *hash = e->value;
        dictionary_cursor cursor = { 0 };
        size_t written = 0;
        reply_array(r->out, hash->count * ((uint64_t)fields + (uint64_t)values));
        for (entry *f; !r->out->failed && (f = dictionary_next(hash, &cursor)) != NULL;) {
            text *value = f->value;
            if (fields) reply_bulk(r->out, f->key, f->key_length);
            if (values) reply_text(r->self, r->out, value, value->length);
            if (++written % FIELDS_BETWEEN_POLLS == 0) tenure_poll(r->self);
        }
    }
    store_unlock(r->context, key.home);
    counter_add(e != NULL ? &r->context->hits : &r->context->misses, 1);
    if (wrong_type)
        reply_wrong_type(r->out);
    else if (e == NULL)
        reply_array(r->out, 0);
}

void command_hgetall(request *r) { get_all(r, true, true); }
void command_hkeys(request *r) { get_all(r, true, false); }
void command_hvals(request *r) { get_all(r, false, true); }
