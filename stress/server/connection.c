/* Reading, running requests, writing.
 *
 * The worker lends its buffers to the connection it serves and takes them back when nothing is left in them, so that an
 * idle client costs a few hundred bytes. */
#include "command.h"
#include "memory.h"
#include "reply.h"
#include "store.h"
#include "worker.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <tenure/safepoint.h>
#include <unistd.h>

enum {
    AHEAD_REQUESTS = 16,                 /* of a pipeline whose keys are looked up in advance */
    AHEAD_LEAST_BYTES = 64,              /* received: more than one request, probably */
    INPUT_BYTES = 32 * 1024,             /* of the buffer that a worker lends */
    SPARE_OUTPUT_BYTES = 1024 * 1024,    /* a reply buffer that grew beyond this is freed */
    RECEIVE_PIECE_BYTES = 256 * 1024,    /* of one system call into a large argument: a stop waits for it */
    RECEIVE_TURN_BYTES = 4 * 1024 * 1024 /* of one client until others have their turn */
};

/* The owner of an argument whose bytes were dropped. */
static char dropped_argument;

connection *connection_new(int socket, uint64_t id, int64_t now_ms, size_t max_output)
{
    connection *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    c->socket = socket;
    c->id = id;
    c->created_ms = now_ms;
    atomic_init(&c->active_ms, now_ms);
    c->output.limit = max_output;
    return c;
}

static void arguments_release(connection *c)
{
    for (size_t i = 0; i < c->parser.count; i++) {
        void *owner = c->parser.arguments[i].owner;
        if (owner != NULL && owner != &dropped_argument) tenure_handle_free(owner);
    }
}

void connection_free(connection *c)
{
    if (c->parser.has_owners) arguments_release(c);
    if (c->receiving != NULL) {
        tenure_handle_free(c->receiving);
        memory_received(c->receiving_bytes);
    }
    resp_parser_free(&c->parser);
    free(c->input.data);
    output_free(&c->output);
    close(c->socket);
    free(c);
}

/* --- lending --- */

static bool input_borrow(worker *w, connection *c)
{
    if (c->input.data != NULL) return true;
    if (w->spare_input.data == NULL) {
        w->spare_input.data = malloc(INPUT_BYTES);
        w->spare_input.capacity = INPUT_BYTES;
        if (w->spare_input.data == NULL) return false;
    }
    c->input = w->spare_input;
    w->spare_input = (resp_buffer) { 0 };
    return true;
}

static void input_give_back(worker *w, connection *c)
{
    if (c->input.data == NULL || c->input.start != c->input.end) return;
    if (w->spare_input.data == NULL && c->input.capacity == INPUT_BYTES)
        w->spare_input = c->input;
    else
        free(c->input.data);
    c->input = (resp_buffer) { 0 };
    w->spare_input.start = w->spare_input.end = 0;
}

static void output_borrow(worker *w, connection *c)
{
    if (c->output.data != NULL || w->spare_output.data == NULL) return;
    const size_t limit = c->output.limit;
    c->output = w->spare_output;
    c->output.limit = limit;
    w->spare_output = (output) { 0 };
}

static void output_give_back(worker *w, connection *c)
{
    if (c->output.data == NULL || output_pending(&c->output) > 0) return;
    const size_t limit = c->output.limit;
    if (w->spare_output.data == NULL && c->output.capacity <= SPARE_OUTPUT_BYTES)
        w->spare_output = c->output;
    else
        output_free(&c->output);
    c->output = (output) { .limit = limit };
}

/* --- large arguments, read straight into a heap object --- */

/* The parser met a large argument: takes what is there of it out of the buffer and prepares for the rest. */
static void receive_begin(worker *w, connection *c)
{
    tenure_thread *self = w->context.self;
    const size_t length = c->parser.bulk_length;
    c->receiving_bytes = length;
    c->received_bytes = 0;
    c->receiving = NULL;
    if (memory_reserve(&w->context, length)) {
        text *value = text_new_blank(self, length);
        if (value != NULL)
            c->receiving = tenure_handle_new(self, value);
        else
            memory_shortage(&w->context);
        if (c->receiving == NULL) memory_received(length);
    }
    if (c->receiving == NULL) c->failed_argument = true;
    const size_t from = c->input.start + c->parser.position;
    const size_t there = c->input.end - from; /* less than the argument and its terminator */
    const size_t taken = there < length ? there : length;
    if (c->receiving != NULL) memcpy(((text *)tenure_handle_get(c->receiving))->bytes, c->input.data + from, taken);
    memmove(c->input.data + from, c->input.data + from + taken, there - taken);
    c->input.end -= taken;
    c->received_bytes = taken;
}

static void receive_end(connection *c)
{
    if (c->receiving != NULL) {
        text *value = tenure_handle_get(c->receiving);
        memory_received(c->receiving_bytes);
        resp_supply(&c->parser, value->bytes, c->receiving_bytes, c->receiving);
    } else {
        resp_supply(&c->parser, "", 0, &dropped_argument);
    }
    c->receiving = NULL;
    c->receiving_bytes = 0;
}

typedef enum read_result { READ_SOME, READ_NOTHING, READ_END } read_result;

static read_result read_into(worker *w, connection *c, char *to, size_t room, size_t *got)
{
    const ssize_t count = recv(c->socket, to, room, 0);
    if (count > 0) {
        *got = (size_t)count;
        counter_add(&w->context.input_bytes, (uint64_t)count);
        return READ_SOME;
    }
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return READ_NOTHING;
    return READ_END;
}

static read_result receive_some(worker *w, connection *c)
{
    size_t turn = 0;
    while (c->received_bytes < c->receiving_bytes && turn < RECEIVE_TURN_BYTES) {
        size_t room = c->receiving_bytes - c->received_bytes, got = 0;
        char *to = c->input.data; /* dropped bytes go nowhere: behind what is kept of the request */
        if (c->receiving != NULL) {
            to = ((text *)tenure_handle_get(c->receiving))->bytes + c->received_bytes;
            if (room > RECEIVE_PIECE_BYTES) room = RECEIVE_PIECE_BYTES;
        } else {
            to += c->input.end;
            if (room > c->input.capacity - c->input.end) room = c->input.capacity - c->input.end;
        }
        const read_result result = read_into(w, c, to, room, &got);
        if (result != READ_SOME) return result;
        c->received_bytes += got;
        turn += got;
        tenure_poll(w->context.self);
    }
    return READ_SOME;
}

/* --- ordinary input --- */

/* Room for at least a quarter of a lent buffer. */
static bool input_make_room(connection *c)
{
    resp_buffer *input = &c->input;
    if (input->capacity - input->end >= INPUT_BYTES / 4) return true;
    if (input->start > 0) {
        memmove(input->data, input->data + input->start, input->end - input->start);
        input->end -= input->start;
        input->start = 0;
    }
    if (input->capacity - input->end >= INPUT_BYTES / 4) return true;
    char *grown = realloc(input->data, input->capacity * 2);
    if (grown == NULL) return false;
    input->data = grown;
    input->capacity *= 2;
    return true;
}

static read_result read_some(worker *w, connection *c)
{
    if (!input_borrow(w, c) || !input_make_room(c)) return READ_END;
    if (c->receiving_bytes > 0) return receive_some(w, c);
    size_t got = 0;
    const read_result result = read_into(w, c, c->input.data + c->input.end, c->input.capacity - c->input.end, &got);
    c->input.end += got;
    return result;
}

/* --- requests --- */

static void run_request(worker *w, connection *c)
{
    if (c->failed_argument) {
        reply_no_memory(&c->output);
        c->failed_argument = false;
    } else if (c->parser.count > 0) {
        command_run(w, c);
    }
    if (c->parser.has_owners) arguments_release(c);
    resp_consume(&c->parser, &c->input);
}

/* A pipeline shows its keys in advance: what they lead to is brought into the cache while earlier requests of it run.
 * Returns for how many requests. */
static unsigned fetch_ahead(const resp_buffer *input)
{
    struct {
        dictionary *const *home;
        uint64_t hash;
    } wanted[AHEAD_REQUESTS];
    entry *found[AHEAD_REQUESTS];
    unsigned requests = 0, keys = 0;
    size_t position = 0, length;
    const char *bytes;
    while (requests < AHEAD_REQUESTS && resp_peek(input, &position, &bytes, &length)) {
        requests++;
        if (length == 0) continue;
        const store_key key = store_key_of(bytes, length);
        wanted[keys].home = &key.home->keys;
        wanted[keys++].hash = key.hash;
        __builtin_prefetch(key.home, 1);
    }
    if (keys < 2) return requests;
    for (unsigned i = 0; i < keys; i++) dictionary_prefetch_slot(wanted[i].home, wanted[i].hash);
    for (unsigned i = 0; i < keys; i++)
        if ((found[i] = dictionary_peek(wanted[i].home, wanted[i].hash)) != NULL) __builtin_prefetch(found[i]);
    for (unsigned i = 0; i < keys; i++)
        if (found[i] != NULL) __builtin_prefetch(tenure_load_acquire(&found[i]->value));
    return requests;
}

/* Runs what has been received, until more is needed or the client does not take its replies. True: requests may be left
 * that wait for the replies to be sent. */
static bool run_requests(worker *w, connection *c)
{
    unsigned fetched = 0;
    while (!c->closing && !c->output.failed) {
        if (fetched > 0)
            fetched--;
        else if (c->input.end - c->input.start > AHEAD_LEAST_BYTES && c->parser.missing == 0)
            fetched = fetch_ahead(&c->input);
        if (output_pending(&c->output) >= OUTPUT_HIGH_WATER) return true;
        if (c->receiving_bytes > 0) {
            if (c->received_bytes < c->receiving_bytes) return false;
            receive_end(c);
        }
        switch (resp_parse(&c->parser, &c->input)) {
        case RESP_INCOMPLETE:
            return false;
        case RESP_LARGE:
            receive_begin(w, c);
            break;
        case RESP_BROKEN:
            reply_error(&c->output, "%s", c->parser.error);
            c->closing = true;
            return false;
        case RESP_REQUEST:
            run_request(w, c);
            break;
        }
        tenure_poll(w->context.self);
    }
    return false;
}

static void set_interest(worker *w, connection *c, uint32_t interest)
{
    if (c->interest == interest) return;
    struct epoll_event event = { .events = interest, .data.ptr = c };
    if (epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->socket, &event) != 0) c->dead = true;
    c->interest = interest;
}

bool connection_serve(worker *w, connection *c, uint32_t events)
{
    atomic_store_explicit(&c->active_ms, w->context.now_ms, memory_order_relaxed);
    if ((events & EPOLLERR) != 0) return false;
    output_borrow(w, c);
    if ((events & (EPOLLIN | EPOLLHUP)) != 0 && !c->closing && output_pending(&c->output) < OUTPUT_HIGH_WATER &&
        read_some(w, c) == READ_END)
        return false;
    output_progress progress;
    bool stalled;
    do {
        stalled = run_requests(w, c);
        if (c->output.failed || c->dead) return false;
        uint64_t sent = 0;
        progress = output_flush(w->context.self, &c->output, c->socket, &sent);
        counter_add(&w->context.output_bytes, sent);
        if (progress == OUTPUT_BROKEN) return false;
    } while (stalled && progress == OUTPUT_EMPTY);
    if (progress == OUTPUT_EMPTY && c->closing) return false;
    input_give_back(w, c);
    output_give_back(w, c);
    const bool reads = !c->closing && output_pending(&c->output) < OUTPUT_HIGH_WATER;
    set_interest(w, c, (reads ? (uint32_t)EPOLLIN : 0) | (progress == OUTPUT_BLOCKED ? (uint32_t)EPOLLOUT : 0));
    return !c->dead;
}
