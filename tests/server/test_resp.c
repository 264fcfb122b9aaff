/* The request parser and its helpers: every way in which bytes may arrive. */
#include "glob.h"
#include "number.h"
#include "reply.h"
#include "resp.h"
#include <criterion/criterion.h>
#include <stdlib.h>

/* A parser with its input. */
typedef struct feed {
    resp_parser parser;
    resp_buffer buffer;
} feed;

static void feed_add(feed *f, const char *bytes, size_t count)
{
    if (count == 0) return;
    f->buffer.data = realloc(f->buffer.data, f->buffer.end + count);
    memcpy(f->buffer.data + f->buffer.end, bytes, count);
    f->buffer.capacity = f->buffer.end += count;
}

static void feed_free(feed *f)
{
    resp_parser_free(&f->parser);
    free(f->buffer.data);
}

static void expect_argument(const feed *f, size_t index, const char *bytes, size_t length)
{
    cr_assert_gt(f->parser.count, index);
    cr_assert_eq(f->parser.arguments[index].length, length);
    cr_assert_eq(memcmp(f->parser.arguments[index].data, bytes, length), 0);
}

static void expect_error(const char *bytes, size_t count, const char *message)
{
    feed f = { 0 };
    feed_add(&f, bytes, count);
    cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_BROKEN, "%s", message);
    cr_assert_str_eq(f.parser.error, message);
    feed_free(&f);
}
#define EXPECT_ERROR(bytes, message) expect_error(bytes, sizeof(bytes) - 1, "ERR Protocol error: " message)

static const char three[] = "*3\r\n$3\r\nSET\r\n$3\r\na\0b\r\n$0\r\n\r\n";

Test(resp, whole_request)
{
    feed f = { 0 };
    feed_add(&f, three, sizeof three - 1);
    cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_REQUEST);
    cr_assert_eq(f.parser.count, 3);
    expect_argument(&f, 0, "SET", 3);
    expect_argument(&f, 1, "a\0b", 3);
    expect_argument(&f, 2, "", 0);
    resp_consume(&f.parser, &f.buffer);
    cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_INCOMPLETE);
    feed_free(&f);
}

Test(resp, byte_by_byte)
{
    feed f = { 0 };
    for (size_t i = 0; i + 1 < sizeof three - 1; i++) {
        feed_add(&f, three + i, 1);
        cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_INCOMPLETE, "after %zu bytes", i + 1);
    }
    feed_add(&f, three + sizeof three - 2, 1);
    cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_REQUEST);
    expect_argument(&f, 1, "a\0b", 3);
    feed_free(&f);
}

Test(resp, pipelined_with_inline_between)
{
    feed f = { 0 };
    const char *all = "*1\r\n$4\r\nPING\r\nGET  key\r\n\r\n*0\r\n*-1\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n";
    feed_add(&f, all, strlen(all));
    const size_t counts[] = { 1, 2, 0, 0, 0, 2 };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_REQUEST);
        cr_assert_eq(f.parser.count, counts[i], "request %zu", i);
        if (i == 1) expect_argument(&f, 1, "key", 3);
        if (i == 5) expect_argument(&f, 1, "hi", 2);
        resp_consume(&f.parser, &f.buffer);
    }
    cr_assert_eq(f.buffer.start, f.buffer.end);
    feed_free(&f);
}

Test(resp, buffer_may_move_within_a_request)
{
    feed f = { 0 };
    feed_add(&f, "PING\r\n", 6);
    feed_add(&f, three, 20);
    cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_REQUEST);
    resp_consume(&f.parser, &f.buffer);
    cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_INCOMPLETE);
    /* As the server compacts it. */
    char *elsewhere = malloc(64);
    memcpy(elsewhere, f.buffer.data + f.buffer.start, f.buffer.end - f.buffer.start);
    free(f.buffer.data);
    f.buffer = (resp_buffer) { elsewhere, 0, f.buffer.end - f.buffer.start, 64 };
    feed_add(&f, three + 20, sizeof three - 1 - 20);
    cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_REQUEST);
    expect_argument(&f, 0, "SET", 3);
    expect_argument(&f, 1, "a\0b", 3);
    feed_free(&f);
}

Test(resp, inline_quotes)
{
    feed f = { 0 };
    const char *line = "SET \"a b\\x41\\n\\\"\" 'it\\'s \\n'  plain\"x y\"\n";
    feed_add(&f, line, strlen(line));
    cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_REQUEST);
    cr_assert_eq(f.parser.count, 4);
    expect_argument(&f, 1, "a bA\n\"", 6);
    expect_argument(&f, 2, "it's \\n", 7);
    expect_argument(&f, 3, "plainx y", 8);
    feed_free(&f);
}

Test(resp, protocol_errors)
{
    EXPECT_ERROR("*x\r\n", "invalid multibulk length");
    EXPECT_ERROR("*1048577\r\n", "invalid multibulk length");
    EXPECT_ERROR("*99999999999999999999\r\n", "invalid multibulk length");
    EXPECT_ERROR("*+1\r\n", "invalid multibulk length");
    EXPECT_ERROR("*1\rx", "invalid multibulk length");
    EXPECT_ERROR("*1\r\nPING\r\n", "expected '$', got 'P'");
    EXPECT_ERROR("*1\r\n\x01", "expected '$', got '?'");
    EXPECT_ERROR("*1\r\n$-1\r\n", "invalid bulk length");
    EXPECT_ERROR("*1\r\n$abc\r\n", "invalid bulk length");
    EXPECT_ERROR("*1\r\n$536870913\r\n", "invalid bulk length");
    EXPECT_ERROR("*1\r\n$4\r\nPINGxx", "expected CRLF after bulk string");
    EXPECT_ERROR("SET \"a\r\n", "unbalanced quotes in request");
    EXPECT_ERROR("SET \"a\"b\r\n", "unbalanced quotes in request");
}

Test(resp, endless_lines_are_cut)
{
    enum { BYTES = 70 * 1024 };
    char *line = malloc(BYTES);
    memset(line, 'a', BYTES);
    expect_error(line, BYTES, "ERR Protocol error: too big inline request");
    line[0] = '*';
    memset(line + 1, '1', BYTES - 1);
    expect_error(line, BYTES, "ERR Protocol error: too big mbulk count string");
    memcpy(line, "*1\r\n$", 5);
    expect_error(line, BYTES, "ERR Protocol error: too big bulk count string");
    free(line);
}

Test(resp, large_bulk_is_handed_over)
{
    feed f = { 0 };
    const char *head = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nabc";
    feed_add(&f, head, strlen(head));
    cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_LARGE);
    cr_assert_eq(f.parser.bulk_length, 100000);
    cr_assert_eq(memcmp(f.buffer.data + f.buffer.start + f.parser.position, "abc", 3), 0);
    f.buffer.end -= 3; /* taken out */
    char *value = malloc(100000);
    resp_supply(&f.parser, value, 100000, value);
    cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_INCOMPLETE);
    feed_add(&f, "\r", 1);
    cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_INCOMPLETE);
    feed_add(&f, "\n", 1);
    cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_REQUEST);
    cr_assert_eq(f.parser.arguments[2].data, value);
    expect_argument(&f, 1, "k", 1);
    resp_consume(&f.parser, &f.buffer);
    cr_assert_eq(f.buffer.start, f.buffer.end);
    free(value);
    feed_free(&f);
}

Test(resp, total_of_a_request_is_limited)
{
    feed f = { 0 };
    const char *head = "*4\r\n$536870912\r\n";
    feed_add(&f, head, strlen(head));
    char nothing[1];
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_LARGE);
        resp_supply(&f.parser, nothing, 536870912, nothing);
        feed_add(&f, "\r\n$536870912\r\n", 14);
    }
    cr_assert_eq(resp_parse(&f.parser, &f.buffer), RESP_BROKEN);
    cr_assert_str_eq(f.parser.error, "ERR Protocol error: too big request");
    feed_free(&f);
}

Test(resp, peek_sees_keys_of_whole_requests)
{
    feed f = { 0 };
    const char *all = "*2\r\n$3\r\nGET\r\n$3\r\nabc\r\n*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nval";
    feed_add(&f, all, strlen(all));
    size_t position = 0, length = 0;
    const char *key = NULL;
    cr_assert(resp_peek(&f.buffer, &position, &key, &length));
    cr_assert_eq(length, 3);
    cr_assert_eq(memcmp(key, "abc", 3), 0);
    cr_assert(resp_peek(&f.buffer, &position, &key, &length));
    cr_assert_eq(length, 0);
    cr_assert_not(resp_peek(&f.buffer, &position, &key, &length), "the last is not complete");
    feed_add(&f, "\r\n", 2);
    cr_assert(resp_peek(&f.buffer, &position, &key, &length));
    cr_assert_eq(length, 1);
    cr_assert_eq(position, f.buffer.end);
    cr_assert_not(resp_peek(&f.buffer, &position, &key, &length));
    feed_free(&f);
}

Test(resp, random_bytes_do_no_harm)
{
    static const char alphabet[] = "*$0123-\r\n\"'\\x a";
    srand(1);
    for (int round = 0; round < 20000; round++) {
        feed f = { 0 };
        for (int part = 0; part < 4; part++) {
            char bytes[24];
            const size_t count = (size_t)rand() % sizeof bytes;
            for (size_t i = 0; i < count; i++) bytes[i] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
            feed_add(&f, bytes, count);
            resp_result result;
            const char *key;
            size_t position = 0, length;
            while (resp_peek(&f.buffer, &position, &key, &length))
                cr_assert_leq(position, f.buffer.end - f.buffer.start);
            while ((result = resp_parse(&f.parser, &f.buffer)) == RESP_REQUEST) {
                size_t sum = 0;
                for (size_t i = 0; i < f.parser.count; i++)
                    for (size_t j = 0; j < f.parser.arguments[i].length; j++)
                        sum += (unsigned char)f.parser.arguments[i].data[j];
                cr_assert_geq(sum, 0);
                resp_consume(&f.parser, &f.buffer);
            }
            if (result == RESP_BROKEN || result == RESP_LARGE) break;
        }
        feed_free(&f);
    }
}

/* --- numbers --- */

Test(number, parses_canonical_forms_only)
{
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } cases[] = { { "0", true, 0 }, { "7", true, 7 }, { "-1", true, -1 }, { "9223372036854775807", true, INT64_MAX },
        { "-9223372036854775808", true, INT64_MIN }, { "9223372036854775808", false, 0 },
        { "-9223372036854775809", false, 0 }, { "", false, 0 }, { "-", false, 0 }, { "+1", false, 0 },
        { "01", false, 0 }, { "-0", false, 0 }, { " 1", false, 0 }, { "1 ", false, 0 }, { "1a", false, 0 },
        { "99999999999999999999", false, 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = 0;
        cr_assert_eq(number_parse(cases[i].text, strlen(cases[i].text), &value), cases[i].good, "%s", cases[i].text);
        if (cases[i].good) cr_assert_eq(value, cases[i].value);
    }
}

Test(number, formats_what_it_parses)
{
    const int64_t values[] = { 0, 9, 10, -1, -10, 123456789, INT64_MAX, INT64_MIN };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char digits[NUMBER_MAX_DIGITS];
        int64_t again;
        const size_t length = number_format(digits, values[i]);
        cr_assert(number_parse(digits, length, &again));
        cr_assert_eq(again, values[i]);
    }
}

Test(number, parses_sizes)
{
    uint64_t bytes;
    cr_assert(number_parse_bytes("100", &bytes) && bytes == 100);
    cr_assert(number_parse_bytes("3k", &bytes) && bytes == 3072);
    cr_assert(number_parse_bytes("2MB", &bytes) && bytes == 2097152);
    cr_assert(number_parse_bytes("1gb", &bytes) && bytes == 1073741824);
    cr_assert_not(number_parse_bytes("1tb", &bytes));
    cr_assert_not(number_parse_bytes("", &bytes));
    cr_assert_not(number_parse_bytes("-1", &bytes));
    cr_assert_not(number_parse_bytes("99999999999gb", &bytes));
}

/* --- patterns --- */

Test(glob, matches)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = { { "*", "", true }, { "*", "anything", true }, { "", "", true }, { "", "a", false },
        { "a?c", "abc", true }, { "a?c", "ac", false }, { "a*c", "abbbc", true }, { "a*c", "abbbd", false },
        { "*a*b*", "xxaxxbxx", true }, { "*a*b*", "xxbxxaxx", false }, { "[a-c]x", "bx", true },
        { "[a-c]x", "dx", false }, { "[^a-c]x", "dx", true }, { "[^a-c]x", "bx", false }, { "[c-a]", "b", true },
        { "\\*", "*", true }, { "\\*", "a", false }, { "[\\]]", "]", true }, { "a[", "a[", false },
        { "h[ae]llo", "hallo", true }, { "key:*:end", "key:1:end:end", true }, { "a**b", "ab", true } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_assert_eq(glob_match(cases[i].pattern, strlen(cases[i].pattern), cases[i].text, strlen(cases[i].text)),
            cases[i].matches, "%s against %s", cases[i].pattern, cases[i].text);
}

Test(glob, many_stars_take_no_time)
{
    char pattern[201], letters[4000];
    for (int i = 0; i < 200; i += 2) memcpy(pattern + i, "a*", 2);
    pattern[200] = 'b';
    memset(letters, 'a', sizeof letters);
    cr_assert_not(glob_match(pattern, sizeof pattern, letters, sizeof letters));
}

/* --- replies --- */

Test(reply, writes_resp)
{
    output out = { .limit = 1 << 20 };
    reply_ok(&out);
    reply_integer(&out, -12);
    reply_bulk(&out, "a\0b", 3);
    reply_null(&out);
    reply_error(&out, "ERR what is %s", "a\r\nb");
    const char expected[] = "+OK\r\n:-12\r\n$3\r\na\0b\r\n$-1\r\n-ERR what is a  b\r\n";
    cr_assert_eq(out.used, sizeof expected - 1);
    cr_assert_eq(memcmp(out.data, expected, out.used), 0);
    output_free(&out);
}

Test(reply, array_of_unknown_length)
{
    output out = { .limit = 1 << 20 };
    reply_ok(&out);
    const size_t begin = reply_array_begin(&out);
    reply_integer(&out, 1);
    reply_integer(&out, 2);
    reply_array_end(&out, begin, 2);
    reply_ok(&out);
    const char expected[] = "+OK\r\n*2\r\n:1\r\n:2\r\n+OK\r\n";
    cr_assert_eq(out.used, sizeof expected - 1);
    cr_assert_eq(memcmp(out.data, expected, out.used), 0);
    output_free(&out);
}

Test(reply, limit_fails_the_output)
{
    output out = { .limit = 100000 };
    char block[4096] = { 0 };
    for (int i = 0; i < 100 && !out.failed; i++) reply_bulk(&out, block, sizeof block);
    cr_assert(out.failed);
    cr_assert_leq(out.used, 2 * 100000); /* looked at when the buffer grows */
    output_free(&out);
}
