/* Commands on lists. */
#include "command.h"
#include "list.h"
#include "number.h"
#include <tenure/safepoint.h>

/* After so many elements written under a lock: a safepoint. */
enum { ELEMENTS_BETWEEN_POLLS = 256 };

/* Pushes arguments 2 and on, under the lock. False: no memory; those before the failing one have been pushed. */
static bool push_all(request *r, list *l, list_end end)
{
    for (size_t i = 2; i < r->count; i++) {
        text *element = request_text_quietly(r, i);
        if (element == NULL || !list_push(r->self, l, end, element)) return false;
    }
    return true;
}

static void push(request *r, list_end end)
{
    context *c = r->context;
    const store_key key = request_key(r, 1);
    bool wrong_type, done = false;
    uint64_t count = 0;
    store_lock(c, key.home);
    entry *e = request_find(r, &key, KIND_LIST, &wrong_type);
    if (e != NULL) {
        list *l = e->value;
        const uint64_t before = l->bytes;
        done = push_all(r, l, end);
        store_resized(c, key.home, before, l->bytes);
        count = l->count;
    } else if (!wrong_type) {
        list *l = list_new(r->self);
        done = l != NULL && push_all(r, l, end) && store_add(c, &key, KIND_LIST, l) != NULL;
        if (done) count = l->count;
    }
    store_unlock(c, key.home);
    if (done)
        reply_integer(r->out, (int64_t)count);
    else if (wrong_type)
        reply_wrong_type(r->out);
    else
        request_no_memory(r);
}

void command_lpush(request *r) { push(r, LIST_LEFT); }
void command_rpush(request *r) { push(r, LIST_RIGHT); }

/* Takes one element out and drops the key with the last; under the lock. */
static text *pop_one(request *r, const store_key *key, list *l, list_end end)
{
    const uint64_t before = l->bytes;
    text *element = list_pop(r->self, l, end);
    store_resized(r->context, key->home, before, l->bytes);
    if (l->count == 0) store_remove(r->context, key);
    return element;
}

static void pop(request *r, list_end end)
{
    const bool one = r->count == 2;
    uint64_t wanted = 1;
    if (!one && !request_count(r, &wanted)) return;
    const store_key key = request_key(r, 1);
    bool wrong_type;
    text *popped = NULL;
    store_lock(r->context, key.home);
    entry *e = request_find(r, &key, KIND_LIST, &wrong_type);
    if (e != NULL && one) {
        popped = pop_one(r, &key, e->value, end);
    } else if (e != NULL) {
        list *l = e->value;
        if (wanted > l->count) wanted = l->count;
        reply_array(r->out, wanted);
        for (uint64_t i = 0; i < wanted; i++) {
            text *element = pop_one(r, &key, l, end);
            reply_text(r->self, r->out, element, element->length);
            if (i % ELEMENTS_BETWEEN_POLLS == 0) tenure_poll(r->self);
        }
    }
    store_unlock(r->context, key.home);
    counter_add(e != NULL ? &r->context->hits : &r->context->misses, 1);
    if (popped != NULL)
        reply_text(r->self, r->out, popped, popped->length);
    else if (wrong_type)
        reply_wrong_type(r->out);
    else if (e == NULL && one)
        reply_null(r->out);
    else if (e == NULL)
        reply_null_array(r->out);
}

void command_lpop(request *r) { pop(r, LIST_LEFT); }
void command_rpop(request *r) { pop(r, LIST_RIGHT); }

void command_llen(request *r)
{
    const store_key key = request_key(r, 1);
    bool wrong_type;
    store_lock(r->context, key.home);
    const entry *e = request_find(r, &key, KIND_LIST, &wrong_type);
    const uint64_t count = e == NULL ? 0 : ((const list *)e->value)->count;
    store_unlock(r->context, key.home);
    if (wrong_type)
        reply_wrong_type(r->out);
    else
        reply_integer(r->out, (int64_t)count);
}

void command_lrange(request *r)
{
    int64_t first, last;
    if (!request_integer(r, 2, &first) || !request_integer(r, 3, &last)) return;
    const store_key key = request_key(r, 1);
    bool wrong_type;
    store_lock(r->context, key.home);
    const entry *e = request_find(r, &key, KIND_LIST, &wrong_type);
    if (e != NULL) {
        const list *l = e->value;
        const int64_t count = (int64_t)l->count;
        if (first < 0) first = first + count < 0 ? 0 : first + count;
        if (last < 0) last += count;
        if (last >= count) last = count - 1;
        const int64_t wanted = first > last ? 0 : last - first + 1;
        reply_array(r->out, (uint64_t)wanted);
        list_cursor cursor = { 0 };
        if (wanted > 0) cursor = list_seek(l, (uint64_t)first);
        for (int64_t i = 0; i < wanted && !r->out->failed; i++) {
            text *element = list_next(&cursor);
            reply_text(r->self, r->out, element, element->length);
            if (i % ELEMENTS_BETWEEN_POLLS == 0) tenure_poll(r->self);
        }
    }
    store_unlock(r->context, key.home);
    counter_add(e != NULL ? &r->context->hits : &r->context->misses, 1);
    if (wrong_type)
        reply_wrong_type(r->out);
    else if (e == NULL)
        reply_array(r->out, 0);
}
