/* A ring of messages, after the experiment with which Go's collector was introduced: each new message of 1 KiB replaces
 * the oldest, everything lives equally long, and what is looked for is the longest time that one push takes. A message
 * that goes is checked. */
#include "allocator.h"
#include "measure.h"
#include "ticks.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES = 1024 };

struct message {
    uint64_t number;
    uint8_t bytes[];
};
BENCH_TYPE_FLEX_LEAF(message, struct message, bytes);

static uint64_t window = 200 * 1000;
static uint64_t messages = 2 * 1000 * 1000;

static struct message *message_make(bench_thread *self, uint64_t number)
{
    struct message *made = BENCH_NEW_FLEX(self, message, MESSAGE_BYTES);
    made->number = number;
    memset(made->bytes, (uint8_t)number, MESSAGE_BYTES);
    return made;
}

static void message_check(const struct message *message, uint64_t number)
{
    const uint8_t expected = (uint8_t)number;
    if (message->number == number && message->bytes[0] == expected && message->bytes[MESSAGE_BYTES - 1] == expected)
        return;
    fprintf(stderr, "message %" PRIu64 " is broken\n", number);
    abort();
}

static void push(bench_thread *self, struct message **ring, uint64_t number)
{
    struct message *made = message_make(self, number);
    struct message *stale = ring[number % window];
    if (stale != NULL) {
        message_check(stale, number - window);
        BENCH_FREE(stale);
    }
    BENCH_SET_AT(self, ring, number % window, made);
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = {
        { "window", &window, "messages that live" },
        { "messages", &messages, "that are pushed, after as many as live" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    static struct histogram latency_ticks;
    const double ticks_per_ns = ticks_per_nanosecond();
    bench_begin(0);
    bench_thread *self = bench_thread_begin();
    struct message **ring = BENCH_NEW_REFS(self, struct message, window);
    for (uint64_t number = 0; number < window; number++) push(self, ring, number);
    measure_begin();
    uint64_t last = ticks_now();
    for (uint64_t number = window; number < window + messages; number++) {
        push(self, ring, number);
        const uint64_t now = ticks_now();
        histogram_add(&latency_ticks, now - last);
        last = now;
    }
    measure_end("ring");
    measure_opaque(ring);
    bench_thread_end(self);
    result_count("live_bytes", window * (sizeof(struct message *) + sizeof(struct message) + MESSAGE_BYTES));
    result_latency(&latency_ticks, 1 / ticks_per_ns);
    result_end();
    bench_end();
}
