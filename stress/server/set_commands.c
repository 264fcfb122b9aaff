/* Commands on sets: dictionaries whose entries have no values. */
#include "command.h"
#include "number.h"
#include <tenure/safepoint.h>

enum { MEMBERS_BETWEEN_POLLS = 256 };

/* What a member costs: its cell and about one bucket. */
static uint64_t member_bytes(size_t length) { return entry_cell_bytes(length) + sizeof(entry *); }

/* Adds arguments 2 and on, under the lock. False: no memory; those before have been added. */
static bool add_all(request *r, dictionary *set, uint64_t *added)
{
    for (size_t i = 2; i < r->count; i++) {
        const resp_argument *a = &r->arguments[i];
        const uint64_t hash = dictionary_hash(a->data, a->length);
        if (dictionary_find(set, a->data, a->length, hash) != NULL) continue;
        entry *member = entry_new(r->self, a->data, a->length);
        if (member == NULL) return false;
        dictionary_insert(r->self, set, member, hash);
        set->bytes += member_bytes(a->length);
        (*added)++;
    }
    return true;
}

void command_sadd(request *r)
{
    context *c = r->context;
    const store_key key = request_key(r, 1);
    bool wrong_type, done = false;
    uint64_t added = 0;
    store_lock(c, key.home);
    entry *e = request_find(r, &key, KIND_SET, &wrong_type);
    if (e != NULL) {
        dictionary *set = e->value;
        const uint64_t before = set->bytes;
        done = add_all(r, set, &added);
        store_resized(c, key.home, before, set->bytes);
    } else if (!wrong_type) {
        dictionary *set = dictionary_new(r->self);
        done = set != NULL && add_all(r, set, &added) && store_add(c, &key, KIND_SET, set) != NULL;
    }
    store_unlock(c, key.home);
    if (done)
        reply_integer(r->out, (int64_t)added);
    else if (wrong_type)
        reply_wrong_type(r->out);
    else
        request_no_memory(r);
}

/* Takes a member out, and the key with the last; under the lock. */
static entry *remove_member(request *r, const store_key *key, dictionary *set, const char *member, size_t length)
{
    entry *removed = dictionary_remove(r->self, set, member, length, dictionary_hash(member, length));
    if (removed == NULL) return NULL;
    const uint64_t before = set->bytes;
    set->bytes -= member_bytes(length);
    store_resized(r->context, key->home, before, set->bytes);
    if (set->count == 0) store_remove(r->context, key);
    return removed;
}

void command_srem(request *r)
{
    const store_key key = request_key(r, 1);
    bool wrong_type;
    int64_t removed = 0;
    store_lock(r->context, key.home);
    const entry *e = request_find(r, &key, KIND_SET, &wrong_type);
    dictionary *set = e == NULL ? NULL : e->value;
    for (size_t i = 2; set != NULL && set->count > 0 && i < r->count; i++)
        if (remove_member(r, &key, set, r->arguments[i].data, r->arguments[i].length) != NULL) removed++;
    store_unlock(r->context, key.home);
    if (wrong_type)
        reply_wrong_type(r->out);
    else
        reply_integer(r->out, removed);
}

void command_sismember(request *r)
{
    const store_key key = request_key(r, 1);
    const resp_argument *a = &r->arguments[2];
    const uint64_t hash = dictionary_hash(a->data, a->length);
    bool wrong_type;
    store_lock(r->context, key.home);
    const entry *e = request_find(r, &key, KIND_SET, &wrong_type);
    const bool found = e != NULL && dictionary_find(e->value, a->data, a->length, hash) != NULL;
    store_unlock(r->context, key.home);
    counter_add(e != NULL ? &r->context->hits : &r->context->misses, 1);
    if (wrong_type)
        reply_wrong_type(r->out);
    else
        reply_integer(r->out, found);
}

void command_scard(request *r)
{
    const store_key key = request_key(r, 1);
    bool wrong_type;
    store_lock(r->context, key.home);
    const entry *e = request_find(r, &key, KIND_SET, &wrong_type);
    const uint64_t count = e == NULL ? 0 : ((const dictionary *)e->value)->count;
    store_unlock(r->context, key.home);
    if (wrong_type)
        reply_wrong_type(r->out);
    else
        reply_integer(r->out, (int64_t)count);
}

void command_smembers(request *r)
{
    const store_key key = request_key(r, 1);
    bool wrong_type;
    store_lock(r->context, key.home);
    const entry *e = request_find(r, &key, KIND_SET, &wrong_type);
    if (e != NULL) {
        const dictionary *set = e->value;
        dictionary_cursor cursor = { 0 };
        size_t written = 0;
        reply_array(r->out, set->count);
        for (entry *m; !r->out->failed && (m = dictionary_next(set, &cursor)) != NULL;) {
            reply_bulk(r->out, m->key, m->key_length);
            if (++written % MEMBERS_BETWEEN_POLLS == 0) tenure_poll(r->self);
        }
    }
    store_unlock(r->context, key.home);
    counter_add(e != NULL ? &r->context->hits : &r->context->misses, 1);
    if (wrong_type)
        reply_wrong_type(r->out);
    else if (e == NULL)
        reply_array(r->out, 0);
}

static entry *pop_one(request *r, const store_key *key, dictionary *set)
{
    const entry *drawn = dictionary_random(set, context_random(r->context));
    return drawn == NULL ? NULL : remove_member(r, key, set, drawn->key, drawn->key_length);
}

void command_spop(request *r)
{
    const bool one = r->count == 2;
    uint64_t wanted = 1;
    if (!one && !request_count(r, &wanted)) return;
    const store_key key = request_key(r, 1);
    bool wrong_type;
    const entry *popped = NULL;
    store_lock(r->context, key.home);
    const entry *e = request_find(r, &key, KIND_SET, &wrong_type);
    if (e != NULL && one) {
        popped = pop_one(r, &key, e->value);
    } else if (e != NULL) {
        dictionary *set = e->value;
        if (wanted > set->count) wanted = set->count;
        reply_array(r->out, wanted);
        for (uint64_t i = 0; i < wanted; i++) {
            const entry *member = pop_one(r, &key, set);
            reply_bulk(r->out, member->key, member->key_length);
            if (i % MEMBERS_BETWEEN_POLLS == 0) tenure_poll(r->self);
        }
    }
    store_unlock(r->context, key.home);
    if (popped != NULL)
        reply_bulk(r->out, popped->key, popped->key_length);
    else if (wrong_type)
        reply_wrong_type(r->out);
    else if (e == NULL && one)
        reply_null(r->out);
    else if (e == NULL)
        reply_array(r->out, 0);
    tenure_keep_alive(popped);
}
