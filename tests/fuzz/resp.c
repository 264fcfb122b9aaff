/* The request parser of stress/server: any bytes. In whatever pieces they arrive, the requests are the same. */
#include "resp.h"
#include "tests/fuzz/fuzz.h"

/* What was parsed, as a sum over requests and arguments. */
typedef struct transcript {
    uint64_t sum;
    size_t requests;
    bool broken;
    char error[96];
} transcript;

static void add(transcript *into, const void *data, size_t length)
{
    const uint8_t *at = data;
    into->sum = (into->sum ^ length) * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < length; i++) into->sum = (into->sum ^ at[i]) * 0x100000001b3u;
}

static void add_request(transcript *into, const resp_parser *parser)
{
    into->requests++;
    for (size_t i = 0; i < parser->count; i++) add(into, parser->arguments[i].data, parser->arguments[i].length);
    add(into, "", 0);
}

typedef struct input {
    const uint8_t *bytes;
    size_t count, at;
} input;

/* The caller's part of RESP_LARGE: takes what is there and what still comes. False: the rest never comes. */
static bool receive(resp_parser *parser, resp_buffer *buffer, input *from, char **received)
{
    const size_t start = buffer->start + parser->position;
    const size_t there = buffer->end - start, length = parser->bulk_length;
    const size_t taken = there < length ? there : length;
    if (length - taken > from->count - from->at) return false;
    *received = malloc(length);
    FUZZ_REQUIRE(*received != NULL);
    memcpy(*received, buffer->data + start, taken);
    memmove(buffer->data + start, buffer->data + start + taken, there - taken);
    buffer->end -= taken;
    memcpy(*received + taken, from->bytes + from->at, length - taken);
    from->at += length - taken;
    resp_supply(parser, *received, length, *received);
    return true;
}

static void free_owned(const resp_parser *parser)
{
    for (size_t i = 0; i < parser->count; i++) free(parser->arguments[i].owner);
}

static void peek(const resp_buffer *buffer)
{
    const char *key;
    size_t position = 0, length;
    while (resp_peek(buffer, &position, &key, &length)) {
        FUZZ_REQUIRE(position <= buffer->end - buffer->start);
        if (length > 0) FUZZ_REQUIRE(key >= buffer->data + buffer->start && key + length <= buffer->data + buffer->end);
    }
}

/* step: bytes that arrive at once. */
static transcript parse(const uint8_t *bytes, size_t count, size_t step)
{
    transcript result = { 0 };
    resp_parser parser = { 0 };
    input from = { bytes, count, 0 };
    resp_buffer buffer = { .data = malloc(count + 1), .capacity = count + 1 };
    FUZZ_REQUIRE(buffer.data != NULL);
    bool more = true;
    while (more && from.at < count) {
        const size_t got = step < count - from.at ? step : count - from.at;
        memcpy(buffer.data + buffer.end, bytes + from.at, got);
        buffer.end += got;
        from.at += got;
        peek(&buffer);
        for (resp_result next; more && (next = resp_parse(&parser, &buffer)) != RESP_INCOMPLETE;) {
            char *received;
            if (next == RESP_REQUEST) {
                add_request(&result, &parser);
                free_owned(&parser);
                resp_consume(&parser, &buffer);
            } else if (next == RESP_LARGE) {
                more = receive(&parser, &buffer, &from, &received);
            } else {
                result.broken = true;
                memcpy(result.error, parser.error, sizeof result.error);
                more = false;
            }
        }
    }
    free_owned(&parser);
    resp_parser_free(&parser);
    free(buffer.data);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count == 0 || count > RESP_MAX_INLINE_BYTES / 2) return 0;
    const transcript whole = parse(bytes + 1, count - 1, count);
    const transcript pieces = parse(bytes + 1, count - 1, (size_t)bytes[0] % 17 + 1);
    FUZZ_REQUIRE(whole.requests == pieces.requests && whole.sum == pieces.sum);
    FUZZ_REQUIRE(whole.broken == pieces.broken && strcmp(whole.error, pieces.error) == 0);
    return 0;
}
