/* Commands on keys of any kind: removal, expiry, type, renaming. */
#include "command.h"
#include "number.h"

void command_del(request *r)
{
    int64_t removed = 0;
    for (size_t i = 1; i < r->count; i++) {
        const store_key key = request_key(r, i);
        store_lock(r->context, key.home);
        /* Looked up first: what has expired does not count. */
        if (store_find(r->context, &key) != NULL && store_remove(r->context, &key)) removed++;
        store_unlock(r->context, key.home);
    }
    reply_integer(r->out, removed);
}

void command_exists(request *r)
{
    int64_t found = 0;
    for (size_t i = 1; i < r->count; i++) {
        const store_key key = request_key(r, i);
        store_lock(r->context, key.home);
        if (store_find(r->context, &key) != NULL) found++;
        store_unlock(r->context, key.home);
    }
    reply_integer(r->out, found);
}

static void expire(request *r, int64_t unit_ms)
{
    int64_t amount, expires_ms;
    if (!request_integer(r, 2, &amount)) return;
    if (__builtin_mul_overflow(amount, unit_ms, &expires_ms) ||
        __builtin_add_overflow(expires_ms, r->context->now_ms, &expires_ms)) {
        reply_error(
            r->out, "ERR invalid expire time in '%.*s' command", (int)r->arguments[0].length, r->arguments[0].data);
        return;
    }
    const store_key key = request_key(r, 1);
    store_lock(r->context, key.home);
    entry *e = store_find(r->context, &key);
    if (e != NULL && expires_ms <= r->context->now_ms)
        store_remove(r->context, &key);
    else if (e != NULL)
        store_set_expiry(key.home, e, expires_ms);
    store_unlock(r->context, key.home);
    reply_integer(r->out, e != NULL);
}

void command_expire(request *r) { expire(r, 1000); }
void command_pexpire(request *r) { expire(r, 1); }

/* -2: no such key; -1: never; else milliseconds. */
static int64_t time_to_live(request *r)
{
    const store_key key = request_key(r, 1);
    store_lock(r->context, key.home);
    const entry *e = store_find(r->context, &key);
    const int64_t left = e == NULL ? -2 : e->expires_ms == 0 ? -1 : e->expires_ms - r->context->now_ms;
    store_unlock(r->context, key.home);
    return left;
}

void command_ttl(request *r)
{
    const int64_t left_ms = time_to_live(r);
    reply_integer(r->out, left_ms < 0 ? left_ms : (left_ms + 500) / 1000);
}

void command_pttl(request *r) { reply_integer(r->out, time_to_live(r)); }

void command_persist(request *r)
{
    const store_key key = request_key(r, 1);
    store_lock(r->context, key.home);
    entry *e = store_find(r->context, &key);
    const bool changed = e != NULL && e->expires_ms != 0;
    if (changed) store_set_expiry(key.home, e, 0);
    store_unlock(r->context, key.home);
    reply_integer(r->out, changed);
}

void command_type(request *r)
{
    static const char *const names[] = { "string", "list", "set", "hash" };
    const store_key key = request_key(r, 1);
    store_lock(r->context, key.home);
    const entry *e = store_find(r->context, &key);
    const char *name = e == NULL ? "none" : names[e->kind];
    store_unlock(r->context, key.home);
    reply_status(r->out, name);
}

/* Two shards are always locked in the order of their addresses. */
static void lock_both(context *c, shard *a, shard *b)
{
    if (a != b) store_lock(c, a < b ? a : b);
    store_lock(c, a < b ? b : a);
}

static void unlock_both(context *c, shard *a, shard *b)
{
    store_unlock(c, a);
    if (a != b) store_unlock(c, b);
}

void command_rename(request *r)
{
    enum { RENAMED, MISSING, NO_MEMORY } result = RENAMED;
    context *c = r->context;
    const store_key from = request_key(r, 1), to = request_key(r, 2);
    const bool same = from.length == to.length && memcmp(from.bytes, to.bytes, from.length) == 0;
    lock_both(c, from.home, to.home);
    entry *source = store_find(c, &from);
    if (source == NULL) {
        result = MISSING;
    } else if (!same) {
        entry *target = store_find(c, &to);
        if (target != NULL)
            store_replace(c, to.home, target, (value_kind)source->kind, source->value);
        else
            target = store_add(c, &to, (value_kind)source->kind, source->value);
        if (target == NULL) {
            result = NO_MEMORY;
        } else {
            store_set_expiry(to.home, target, source->expires_ms);
            store_remove(c, &from);
        }
    }
    unlock_both(c, from.home, to.home);
    if (result == RENAMED)
        reply_ok(r->out);
    else if (result == MISSING)
        reply_error(r->out, "ERR no such key");
    else
        request_no_memory(r);
}
