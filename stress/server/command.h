/* Commands: their table, and running one. */
#ifndef SERVER_COMMAND_H
#define SERVER_COMMAND_H

#include "connection.h"
#include "context.h"
#include "reply.h"
#include "store.h"
#include "worker.h"

/* What a command works with. arguments[0] is its name. */
typedef struct request {
    worker *worker;
    connection *connection;
    context *context;
    tenure_thread *self;
    output *out;
    const resp_argument *arguments;
    size_t count;
} request;

typedef void command_fn(request *r);

enum {
    COMMAND_WRITE = 1,
    COMMAND_GROWS = 2, /* may add to the store: refused when there is no room */
    COMMAND_READ = 4,
    COMMAND_FAST = 8,
    COMMAND_ADMIN = 16
};

typedef struct command {
    const char *name; /* lower case, at most 16 characters */
    command_fn *run;
    int arity; /* arguments with the name; negative: at least so many */
    unsigned flags;
    int first_key, last_key, key_step; /* as COMMAND reports them; 0: none */
} command;

/* Finds and runs the command of the connection's parser, and replies. */
void command_run(worker *w, connection *c);

/* By name, whatever its case. NULL: there is none. */
const command *command_find(const char *name, size_t length);
size_t command_count(void);
const command *command_at(size_t index);

/* Once, before the first request. */
void command_table_build(void);

/* --- helpers for commands --- */

static inline store_key request_key(const request *r, size_t index)
{
    return store_key_of(r->arguments[index].data, r->arguments[index].length);
}

/* Whether that argument is this word (lower case), whatever its case. */
bool request_is(const request *r, size_t index, const char *word);

/* False: not an integer; the error has been replied. */
bool request_integer(request *r, size_t index, int64_t *out);

/* The argument as a string object: the one it was received into, or a new one. NULL: no memory, and the error has been
 * replied. May collect. */
text *request_text(request *r, size_t index);
/* The same without a reply: for callers that hold a lock, and call request_no_memory after they have released it. */
text *request_text_quietly(request *r, size_t index);

/* The heap is full: evicts if that is allowed, and replies the error. */
void request_no_memory(request *r);

/* The entry of a key if it is of that kind; NULL: not there, or of another kind, which *wrong_type tells. Under the
 * lock. */
entry *request_find(request *r, const store_key *key, value_kind kind, bool *wrong_type);

/* The number of values that LPOP, RPOP, SPOP are asked for as argument 2. False: bad, and the error has been replied.
 */
bool request_count(request *r, uint64_t *out);

/* The commands, by the file they are in. */
command_fn command_get, command_set, command_setnx, command_setex, command_psetex, command_getset, command_mget,
    command_mset, command_incr, command_decr, command_incrby, command_decrby, command_append,
    command_strlen; /* string_commands.c */
command_fn command_lpush, command_rpush, command_lpop, command_rpop, command_llen, command_lrange; /* list_commands.c */
command_fn command_sadd, command_srem, command_sismember, command_smembers, command_scard,
    command_spop; /* set_commands.c */
command_fn command_hset, command_hmset, command_hget, command_hmget, command_hdel, command_hexists, command_hlen,
    command_hgetall, command_hkeys, command_hvals; /* hash_commands.c */
command_fn command_del, command_exists, command_expire, command_pexpire, command_ttl, command_pttl, command_persist,
    command_type, command_rename;                                                           /* key_commands.c */
command_fn command_keys, command_scan, command_dbsize, command_flushall, command_randomkey; /* keyspace_commands.c */
command_fn command_ping, command_echo, command_quit, command_select, command_auth, command_command, command_client,
    command_memory, command_config, command_shutdown, command_time; /* server_commands.c */
command_fn command_info;                            /* info.c */

#endif
