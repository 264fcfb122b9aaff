/* The table of commands and their dispatch. */
#include "command.h"
#include "memory.h"
#include "number.h"
#include <stdio.h>
#include <string.h>

enum { W = COMMAND_WRITE, G = COMMAND_WRITE | COMMAND_GROWS, R = COMMAND_READ, F = COMMAND_FAST, A = COMMAND_ADMIN };

static const command commands[] = {
    { "get", command_get, 2, R | F, 1, 1, 1 },
    { "set", command_set, -3, G, 1, 1, 1 },
    { "setnx", command_setnx, 3, G | F, 1, 1, 1 },
    { "setex", command_setex, 4, G, 1, 1, 1 },
    { "psetex", command_psetex, 4, G, 1, 1, 1 },
    { "getset", command_getset, 3, G, 1, 1, 1 },
    { "mget", command_mget, -2, R | F, 1, -1, 1 },
    { "mset", command_mset, -3, G, 1, -1, 2 },
    { "incr", command_incr, 2, G | F, 1, 1, 1 },
    { "decr", command_decr, 2, G | F, 1, 1, 1 },
    { "incrby", command_incrby, 3, G | F, 1, 1, 1 },
    { "decrby", command_decrby, 3, G | F, 1, 1, 1 },
    { "append", command_append, 3, G, 1, 1, 1 },
    { "strlen", command_strlen, 2, R | F, 1, 1, 1 },
    { "lpush", command_lpush, -3, G | F, 1, 1, 1 },
    { "rpush", command_rpush, -3, G | F, 1, 1, 1 },
    { "lpop", command_lpop, -2, W | F, 1, 1, 1 },
    { "rpop", command_rpop, -2, W | F, 1, 1, 1 },
    { "llen", command_llen, 2, R | F, 1, 1, 1 },
    { "lrange", command_lrange, 4, R, 1, 1, 1 },
    { "sadd", command_sadd, -3, G | F, 1, 1, 1 },
    { "srem", command_srem, -3, W | F, 1, 1, 1 },
    { "sismember", command_sismember, 3, R | F, 1, 1, 1 },
    { "smembers", command_smembers, 2, R, 1, 1, 1 },
    { "scard", command_scard, 2, R | F, 1, 1, 1 },
    { "spop", command_spop, -2, W | F, 1, 1, 1 },
    { "hset", command_hset, -4, G | F, 1, 1, 1 },
    { "hmset", command_hmset, -4, G | F, 1, 1, 1 },
    { "hget", command_hget, 3, R | F, 1, 1, 1 },
    { "hmget", command_hmget, -3, R | F, 1, 1, 1 },
    { "hdel", command_hdel, -3, W | F, 1, 1, 1 },
    { "hexists", command_hexists, 3, R | F, 1, 1, 1 },
    { "hlen", command_hlen, 2, R | F, 1, 1, 1 },
    { "hgetall", command_hgetall, 2, R, 1, 1, 1 },
    { "hkeys", command_hkeys, 2, R, 1, 1, 1 },
    { "hvals", command_hvals, 2, R, 1, 1, 1 },
    { "del", command_del, -2, W, 1, -1, 1 },
    { "unlink", command_del, -2, W | F, 1, -1, 1 },
    { "exists", command_exists, -2, R | F, 1, -1, 1 },
    { "expire", command_expire, 3, W | F, 1, 1, 1 },
    { "pexpire", command_pexpire, 3, W | F, 1, 1, 1 },
    { "ttl", command_ttl, 2, R | F, 1, 1, 1 },
    { "pttl", command_pttl, 2, R | F, 1, 1, 1 },
    { "persist", command_persist, 2, W | F, 1, 1, 1 },
    { "type", command_type, 2, R | F, 1, 1, 1 },
    { "rename", command_rename, 3, W, 1, 2, 1 },
    { "keys", command_keys, 2, R, 0, 0, 0 },
    { "scan", command_scan, -2, R, 0, 0, 0 },
    { "dbsize", command_dbsize, 1, R | F, 0, 0, 0 },
    { "randomkey", command_randomkey, 1, R, 0, 0, 0 },
    { "flushall", command_flushall, -1, W, 0, 0, 0 },
    { "flushdb", command_flushall, -1, W, 0, 0, 0 },
    { "ping", command_ping, -1, F, 0, 0, 0 },
    { "echo", command_echo, 2, F, 0, 0, 0 },
    { "quit", command_quit, -1, F, 0, 0, 0 },
    { "select", command_select, 2, F, 0, 0, 0 },
    { "auth", command_auth, -2, F, 0, 0, 0 },
    { "time", command_time, 1, F, 0, 0, 0 },
    { "info", command_info, -1, 0, 0, 0, 0 },
    { "config", command_config, -2, A, 0, 0, 0 },
    { "command", command_command, -1, 0, 0, 0, 0 },
    { "client", command_client, -2, A, 0, 0, 0 },
    { "memory", command_memory, -2, 0, 0, 0, 0 },
    { "shutdown", command_shutdown, -1, A, 0, 0, 0 },
};
enum { COMMANDS = sizeof commands / sizeof commands[0], SLOTS = 256, NAME_BYTES = 16 };

size_t command_count(void) { return COMMANDS; }
const command *command_at(size_t index) { return &commands[index]; }

/* --- finding --- */

/* A name in two words, folded to one case; what is no letter may collide with another byte, which the names do not
 * have. */
typedef struct folded {
    uint64_t low, high;
} folded;

static folded fold_name(const char *name, size_t length)
{
    char padded[NAME_BYTES] = { 0 };
    memcpy(padded, name, length);
    folded words;
    memcpy(&words, padded, sizeof words);
    words.low |= 0x2020202020202020u;
    words.high |= 0x2020202020202020u;
    return words;
}

static struct {
    folded name;
    const command *command;
} slots[SLOTS]; /* written before the workers start */

static size_t slot_of(folded name) { return (size_t)((name.low ^ name.high * 31) * 0x9e3779b97f4a7c15u >> 56); }

void command_table_build(void)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        const folded name = fold_name(commands[i].name, strlen(commands[i].name));
        size_t slot = slot_of(name);
        while (slots[slot].command != NULL) slot = (slot + 1) % SLOTS;
        slots[slot].name = name;
        slots[slot].command = &commands[i];
    }
}

const command *command_find(const char *name, size_t length)
{
    if (length == 0 || length > NAME_BYTES) return NULL;
    const folded wanted = fold_name(name, length);
    for (size_t slot = slot_of(wanted); slots[slot].command != NULL; slot = (slot + 1) % SLOTS)
        if (slots[slot].name.low == wanted.low && slots[slot].name.high == wanted.high &&
            slots[slot].command->name[length - 1] != '\0' && slots[slot].command->name[length] == '\0')
            return slots[slot].command;
    return NULL;
}

/* --- running --- */

/* As Redis 5 words it: clients that greet with HELLO look for "unknown command" and go on in RESP2. */
static void reply_unknown(request *r)
{
    char line[256];
    size_t used = 0;
    for (size_t i = 1; i < r->count && used < sizeof line - 1; i++) {
        const int length = r->arguments[i].length > 64 ? 64 : (int)r->arguments[i].length;
        const int wrote = snprintf(line + used, sizeof line - used, "`%.*s`, ", length, r->arguments[i].data);
        if (wrote < 0) break;
        used += (size_t)wrote;
    }
    if (used == 0) line[0] = '\0';
    reply_error(r->out, "ERR unknown command `%.*s`, with args beginning with: %s",
        r->arguments[0].length > 64 ? 64 : (int)r->arguments[0].length, r->arguments[0].data, line);
}

void command_run(worker *w, connection *c)
{
    request r = { .worker = w,
        .connection = c,
        .context = &w->context,
        .self = w->context.self,
        .out = &c->output,
        .arguments = c->parser.arguments,
        .count = c->parser.count };
    counter_add(&w->context.commands, 1);
    const command *found = command_find(r.arguments[0].data, r.arguments[0].length);
    if (found == NULL) {
        reply_unknown(&r);
    } else if (found->arity > 0 ? r.count != (size_t)found->arity : r.count < (size_t)-found->arity) {
        reply_error(r.out, "ERR wrong number of arguments for '%s' command", found->name);
    } else if ((found->flags & COMMAND_GROWS) != 0 && !memory_relieve(r.context)) {
        reply_no_memory(r.out);
    } else {
        found->run(&r);
    }
}

/* --- helpers --- */

bool request_is(const request *r, size_t index, const char *word)
{
    const resp_argument *argument = &r->arguments[index];
    for (size_t i = 0; i < argument->length; i++) {
        const char c = argument->data[i];
        if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != word[i] || word[i] == '\0') return false;
    }
    return word[argument->length] == '\0';
}

bool request_integer(request *r, size_t index, int64_t *out)
{
    if (number_parse(r->arguments[index].data, r->arguments[index].length, out)) return true;
    reply_not_integer(r->out);
    return false;
}

void request_no_memory(request *r)
{
    memory_shortage(r->context);
    reply_no_memory(r->out);
}

text *request_text_quietly(request *r, size_t index)
{
    const resp_argument *argument = &r->arguments[index];
    if (argument->owner != NULL) return tenure_handle_get(argument->owner);
    return text_new(r->self, argument->data, argument->length);
}

text *request_text(request *r, size_t index)
{
    text *made = request_text_quietly(r, index);
    if (made == NULL) request_no_memory(r);
    return made;
}

bool request_count(request *r, uint64_t *out)
{
    int64_t count;
    if (r->count > 3) {
        reply_syntax_error(r->out);
        return false;
    }
    if (!number_parse(r->arguments[2].data, r->arguments[2].length, &count) || count < 0) {
        reply_error(r->out, "ERR value is out of range, must be positive");
        return false;
    }
    *out = (uint64_t)count;
    return true;
}

entry *request_find(request *r, const store_key *key, value_kind kind, bool *wrong_type)
{
    entry *e = store_find(r->context, key);
    *wrong_type = e != NULL && e->kind != (unsigned)kind;
    return *wrong_type ? NULL : e;
}
