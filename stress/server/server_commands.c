/* Commands about the connection and the server itself. */
#include "command.h"
#include "glob.h"
#include "memory.h"
#include "number.h"
#include "server.h"
#include <malloc.h>
#include <stdio.h>
#include <time.h>

/* --- the connection --- */

void command_ping(request *r)
{
    if (r->count == 1)
        output_append(r->out, "+PONG\r\n", 7);
    else if (r->count == 2)
        reply_bulk(r->out, r->arguments[1].data, r->arguments[1].length);
    else
        reply_error(r->out, "ERR wrong number of arguments for 'ping' command");
}

void command_echo(request *r)
{
    const resp_argument *a = &r->arguments[1];
    if (a->owner != NULL)
        reply_text(r->self, r->out, tenure_handle_get(a->owner), a->length);
    else
        reply_bulk(r->out, a->data, a->length);
}

void command_quit(request *r)
{
    reply_ok(r->out);
    r->connection->closing = true;
}

void command_select(request *r)
{
    int64_t index;
    if (!request_integer(r, 1, &index)) return;
    if (index == 0)
        reply_ok(r->out);
    else
        reply_error(r->out, "ERR DB index is out of range");
}

void command_auth(request *r)
{
    reply_error(r->out, "ERR AUTH called without any password configured: this server has none");
}

void command_time(request *r)
{
    struct timespec now;
    char number[32];
    clock_gettime(CLOCK_REALTIME, &now);
    reply_array(r->out, 2);
    snprintf(number, sizeof number, "%lld", (long long)now.tv_sec);
    reply_bulk_string(r->out, number);
    snprintf(number, sizeof number, "%ld", now.tv_nsec / 1000);
    reply_bulk_string(r->out, number);
}

/* --- CLIENT --- */

static int describe(const connection *c, int64_t now_ms, char *line, size_t size)
{
    const int64_t active_ms = atomic_load_explicit(&c->active_ms, memory_order_relaxed);
    return snprintf(line, size, "id=%llu addr=%s fd=%d name=%s age=%lld idle=%lld flags=N db=0\n",
        (unsigned long long)c->id, c->address, c->socket, c->name, (long long)(now_ms - c->created_ms) / 1000,
        (long long)(now_ms > active_ms ? now_ms - active_ms : 0) / 1000);
}

static void client_list(request *r)
{
    output list = { .limit = r->out->limit };
    for (unsigned i = 0; i < the_server.worker_count; i++) {
        worker *w = &the_server.workers[i];
        TENURE_LOCK_SCOPE(r->self, &w->list_lock);
        for (const connection *c = w->connections; c != NULL; c = c->next) {
            char line[256];
            const int length = describe(c, r->context->now_ms, line, sizeof line);
            output_append(&list, line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
        }
    }
    if (list.failed)
        r->out->failed = true;
    else
        reply_bulk(r->out, list.data, list.used);
    output_free(&list);
}

static void client_set_name(request *r)
{
    const resp_argument *name = &r->arguments[2];
    bool bad = name->length >= CONNECTION_NAME_BYTES;
    for (size_t i = 0; i < name->length && !bad; i++) bad = name->data[i] < '!' || name->data[i] > '~';
    if (bad) {
        reply_error(r->out,
            "ERR Client names cannot contain spaces, newlines or special characters, nor be longer than "
            "%d bytes.",
            CONNECTION_NAME_BYTES - 1);
        return;
    }
    {
        TENURE_LOCK_SCOPE(r->self, &r->worker->list_lock);
        memset(r->connection->name, 0, sizeof r->connection->name);
        memcpy(r->connection->name, name->data, name->length);
    }
    reply_ok(r->out);
}

static void reply_unknown_subcommand(request *r)
{
    const resp_argument *a = &r->arguments[1];
    reply_error(r->out, "ERR Unknown subcommand or wrong number of arguments for '%.*s'",
        a->length > 64 ? 64 : (int)a->length, a->data);
}

void command_client(request *r)
{
    if (request_is(r, 1, "id") && r->count == 2) {
        reply_integer(r->out, (int64_t)r->connection->id);
    } else if (request_is(r, 1, "getname") && r->count == 2) {
        if (r->connection->name[0] == '\0')
            reply_null(r->out);
        else
            reply_bulk_string(r->out, r->connection->name);
    } else if (request_is(r, 1, "setname") && r->count == 3) {
        client_set_name(r);
    } else if (request_is(r, 1, "list") && r->count == 2) {
        client_list(r);
    } else if (request_is(r, 1, "info") && r->count == 2) {
        char line[256];
        const int length = describe(r->connection, r->context->now_ms, line, sizeof line);
        reply_bulk(r->out, line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
    } else if (request_is(r, 1, "setinfo") && r->count == 4) {
        reply_ok(r->out); /* a client's library and version: taken note of by nobody */
    } else {
        reply_unknown_subcommand(r);
    }
}

/* --- MEMORY --- */

/* PURGE: what INFO says next of the heap is what lives; and malloc gives back what its arenas keep of the largest
 * number of replies that ever waited at one time. */
void command_memory(request *r)
{
    if (request_is(r, 1, "purge") && r->count == 2) {
        tenure_collect(r->self, TENURE_GEN2);
        TENURE_BLOCKING_CALL(r->self, malloc_trim(0));
        reply_ok(r->out);
    } else {
        reply_unknown_subcommand(r);
    }
}

/* --- COMMAND --- */

static void reply_command(request *r, const command *described)
{
    static const struct {
        unsigned flag;
        const char *name;
    } flags[] = { { COMMAND_WRITE, "write" }, { COMMAND_GROWS, "denyoom" }, { COMMAND_READ, "readonly" },
        { COMMAND_FAST, "fast" }, { COMMAND_ADMIN, "admin" } };
    enum { FLAGS = sizeof flags / sizeof flags[0] };
    uint64_t set = 0;
    for (size_t i = 0; i < FLAGS; i++) set += (described->flags & flags[i].flag) != 0;
    reply_array(r->out, 6);
    reply_bulk_string(r->out, described->name);
    reply_integer(r->out, described->arity);
    reply_array(r->out, set);
    for (size_t i = 0; i < FLAGS; i++)
        if ((described->flags & flags[i].flag) != 0) reply_status(r->out, flags[i].name);
    reply_integer(r->out, described->first_key);
    reply_integer(r->out, described->last_key);
    reply_integer(r->out, described->key_step);
}

void command_command(request *r)
{
    if (r->count == 1) {
        reply_array(r->out, command_count());
        for (size_t i = 0; i < command_count(); i++) reply_command(r, command_at(i));
    } else if (request_is(r, 1, "count") && r->count == 2) {
        reply_integer(r->out, (int64_t)command_count());
    } else if (request_is(r, 1, "info")) {
        reply_array(r->out, r->count - 2);
        for (size_t i = 2; i < r->count; i++) {
            const command *found = command_find(r->arguments[i].data, r->arguments[i].length);
            if (found != NULL)
                reply_command(r, found);
            else
                reply_null_array(r->out);
        }
    } else {
        reply_unknown_subcommand(r); /* DOCS too: redis-cli then goes by its own help texts */
    }
}

/* --- CONFIG --- */

enum { SETTING_BYTES = 512 };
typedef struct setting {
    const char *name;
    void (*read)(char *value); /* SETTING_BYTES */
} setting;

static void put(char *value, uint64_t number) { snprintf(value, SETTING_BYTES, "%llu", (unsigned long long)number); }
static void read_maxmemory(char *value) { put(value, memory_limit()); }
static void read_maxclients(char *value) { put(value, the_server.settings.max_clients); }
static void read_port(char *value) { put(value, the_server.port); }
static void read_threads(char *value) { put(value, the_server.worker_count); }
static void read_bulk_limit(char *value) { put(value, RESP_MAX_BULK_BYTES); }
static void read_bind(char *value) { snprintf(value, SETTING_BYTES, "%s", the_server.settings.bind); }
static void read_heap(char *value) { snprintf(value, SETTING_BYTES, "%s", the_server.settings.heap); }
static void read_policy(char *value) { snprintf(value, SETTING_BYTES, "allkeys-lru"); }
static void read_no(char *value) { snprintf(value, SETTING_BYTES, "no"); }
static void read_empty(char *value) { value[0] = '\0'; }
static void read_one(char *value) { put(value, 1); }

static const setting settings[] = {
    { "appendonly", read_no },
    { "bind", read_bind },
    { "databases", read_one },
    { "heap", read_heap },
    { "io-threads", read_threads },
    { "maxclients", read_maxclients },
    { "maxmemory", read_maxmemory },
    { "maxmemory-policy", read_policy },
    { "port", read_port },
    { "proto-max-bulk-len", read_bulk_limit },
    { "save", read_empty },
};

static void config_get(request *r)
{
    uint64_t count = 0;
    const size_t begin = reply_array_begin(r->out);
    for (size_t s = 0; s < sizeof settings / sizeof settings[0]; s++) {
        bool matches = false;
        for (size_t i = 2; i < r->count && !matches; i++)
            matches =
                glob_match(r->arguments[i].data, r->arguments[i].length, settings[s].name, strlen(settings[s].name));
        if (!matches) continue;
        char value[SETTING_BYTES];
        settings[s].read(value);
        reply_bulk_string(r->out, settings[s].name);
        reply_bulk_string(r->out, value);
        count += 2;
    }
    reply_array_end(r->out, begin, count);
}

static void config_set(request *r)
{
    char value[32];
    uint64_t bytes;
    if (!request_is(r, 2, "maxmemory")) {
        reply_error(r->out, "ERR only maxmemory can be set while the server runs");
        return;
    }
    snprintf(value, sizeof value, "%.*s", r->arguments[3].length < 32 ? (int)r->arguments[3].length : 31,
        r->arguments[3].data);
    if (!number_parse_bytes(value, &bytes)) {
        reply_error(r->out, "ERR Invalid argument for CONFIG SET 'maxmemory'");
        return;
    }
    memory_limit_set(bytes);
    r->context->growth = UINT64_MAX / 2; /* look at the total before the next write */
    reply_ok(r->out);
}

void command_config(request *r)
{
    if (request_is(r, 1, "get") && r->count >= 3)
        config_get(r);
    else if (request_is(r, 1, "set") && r->count == 4)
        config_set(r);
    else
        reply_unknown_subcommand(r);
}

/* --- SHUTDOWN --- */

void command_shutdown(request *r)
{
    if (r->count > 2 || (r->count == 2 && !request_is(r, 1, "nosave"))) {
        if (r->count == 2 && request_is(r, 1, "save"))
            reply_error(r->out, "ERR this server saves nothing: SHUTDOWN NOSAVE");
        else
            reply_syntax_error(r->out);
        return;
    }
    r->connection->dead = true; /* the end of the connection is the answer */
    server_stop();
}
