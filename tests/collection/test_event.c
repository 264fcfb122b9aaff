/* Histograms, the log line, and the statistics as text. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/collection/event.h"
#include "lib/collection/stats_print.h"

static tenure__histogram histogram;
static tenure__pause_histograms pauses;

/* --- histograms --- */

static tenure_distribution read_back(void)
{
    tenure_distribution distribution;
    tenure__histogram_read(&histogram, &distribution);
    return distribution;
}

Test(histogram, empty)
{
    const tenure_distribution distribution = read_back();
    cr_expect(eq(u64, distribution.count, 0));
    cr_expect(eq(u64, distribution.p50_ns, 0));
    cr_expect(eq(u64, distribution.p999_ns, 0));
    cr_expect(eq(u64, distribution.max_ns, 0));
}

/* Of two values the median is the smaller; no value is reported too low, nor more than 3.2 % too high. */
Test(histogram, error_of_every_magnitude)
{
    for (uint64_t ns = 1; ns < 1ull << 39; ns += ns / 7 + 1) {
        memset(&histogram, 0, sizeof histogram);
        tenure__histogram_record(&histogram, ns);
        tenure__histogram_record(&histogram, 1ull << 39);
        const uint64_t reported = read_back().p50_ns;
        cr_assert(reported >= ns && (double)reported <= (double)ns * 1.032, "%zu is reported as %zu", (size_t)ns,
            (size_t)reported);
    }
}

Test(histogram, small_values_are_exact)
{
    for (uint64_t ns = 0; ns < 64; ns++) {
        memset(&histogram, 0, sizeof histogram);
        tenure__histogram_record(&histogram, ns);
        tenure__histogram_record(&histogram, 1000);
        cr_assert(eq(u64, read_back().p50_ns, ns));
    }
}

Test(histogram, percentiles)
{
    for (uint64_t i = 1; i <= 10000; i++) tenure__histogram_record(&histogram, i * 1000);
    const tenure_distribution distribution = read_back();
    const struct {
        uint64_t reported, exact;
    } ranks[] = { { distribution.p50_ns, 5000000 }, { distribution.p90_ns, 9000000 }, { distribution.p99_ns, 9900000 },
        { distribution.p999_ns, 9990000 } };
    for (size_t i = 0; i < sizeof ranks / sizeof ranks[0]; i++)
        cr_expect(ranks[i].reported >= ranks[i].exact && (double)ranks[i].reported <= (double)ranks[i].exact * 1.032);
    cr_expect(eq(u64, distribution.count, 10000));
    cr_expect(eq(u64, distribution.sum_ns, 10000ull * 10001 / 2 * 1000));
    cr_expect(eq(u64, distribution.max_ns, 10000000));
    cr_expect(distribution.p999_ns <= distribution.max_ns);
}

Test(histogram, beyond_the_last_bucket)
{
    tenure__histogram_record(&histogram, UINT64_MAX);
    cr_expect(eq(u64, read_back().p50_ns, UINT64_MAX));
    cr_expect(eq(u64, read_back().max_ns, UINT64_MAX));
}

static void *record_many(void *arg)
{
    for (uint64_t i = 0; i < 20000; i++) tenure__histogram_record(&histogram, i + *(uint64_t *)arg);
    return NULL;
}

Test(histogram, threads)
{
    pthread_t threads[4];
    uint64_t starts[4] = { 0, 1000, 5, 77 };
    for (unsigned i = 0; i < 4; i++) cr_assert(zero(pthread_create(&threads[i], NULL, record_many, &starts[i])));
    for (unsigned i = 0; i < 4; i++) cr_assert(zero(pthread_join(threads[i], NULL)));
    cr_expect(eq(u64, read_back().count, 80000));
    cr_expect(eq(u64, read_back().max_ns, 20999));
}

/* --- the log line --- */

static const tenure_collection young = {
    .sequence = 12,
    .generation = 0,
    .reason = "budget",
    .workers = 1,
    .at_ns = 1234567890,
    .reach_ns = 2000,
    .pin_ns = 8000,
    .roots_ns = 3000,
    .trace_ns = 40000,
    .finish_ns = 6000,
    .resume_ns = 2000,
    .total_ns = 61000,
    .cpu_ns = 59000,
    .before_bytes = { 8 << 20, 1258291, 256 << 20 },
    .after_bytes = { 0, 1992294, 256 << 20 },
    .heap_before_bytes = 265 << 20,
    .heap_after_bytes = 258 << 20,
    .copied_bytes = 786432,
    .copied_objects = 12345,
    .pinned_objects = 7,
    .stayed_objects = 1,
    .logged_objects = 42,
    .threads_stopped = 1,
    .last_tid = 4242,
    .last_name = "worker-1",
};

static char *text;
static size_t text_size;

static FILE *text_begin(void)
{
    FILE *out = open_memstream(&text, &text_size);
    cr_assert(out != NULL);
    return out;
}

static void event_text(const tenure_collection *event)
{
    FILE *out = text_begin();
    tenure__collection_print(event, out);
    fclose(out);
    cr_expect(text_size > 0 && strchr(text, '\n') == text + text_size - 1, "one line: %s", text);
}

Test(event, young)
{
    event_text(&young);
    cr_expect(eq(str, text,
        "tenure: gc 12 young budget at=1.234s gen0 8.0M->0 gen1 1.2M->1.9M gen2 256M->256M heap 265M->258M pause=61us "
        "reach=2.0us pin=8.0us roots=3.0us copy=40us weak=0 finish=6.0us resume=2.0us cpu=59us lead=mutator workers=1 "
        "copied=768K/12345 pinned=7 stayed=1 logged=42 stopped=1 last=worker-1(4242)\n"));
}

Test(event, kinds)
{
    tenure_collection event = young;
    event.generation = 2;
    event.reason = "gen2 growth";
    event.led_by_daemon = true;
    event.last_tid = 0;
    event_text(&event);
    cr_expect(strstr(text, "gc 12 full gen2-growth at=") != NULL, "%s", text);
    cr_expect(strstr(text, " mark=40us") != NULL && strstr(text, " lead=daemon") != NULL);
    cr_expect(strstr(text, "last=") == NULL);
    cr_expect(strstr(text, "deadline=") == NULL);
    event.late = true;
    event.generation = 1;
    event_text(&event);
    cr_expect(strstr(text, " deadline=missed") != NULL);
    cr_expect(strstr(text, "gc 12 gen1 ") != NULL);
    event.generation = -1;
    event_text(&event);
    cr_expect(strstr(text, "gc 12 stop ") != NULL);
}

/* Whatever a thread is called: one line, one word, within the array. */
Test(event, hostile_name)
{
    tenure_collection event = young;
    memset(event.last_name, '%', sizeof event.last_name);
    event.last_name[0] = '\n';
    event.last_name[1] = ' ';
    event_text(&event);
    cr_expect(strstr(text, "last=--%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%(4242)\n") != NULL, "%s", text);
}

Test(event, greatest_values)
{
    tenure_collection event;
    memset(&event, 0xff, sizeof event);
    event.led_by_daemon = event.late = true;
    event.generation = 2;
    event.reason = "out of memory";
    memset(event.last_name, 'x', sizeof event.last_name);
    event.last_tid = 2147483647;
    event_text(&event);
    cr_expect(strstr(text, "(2147483647)\n") != NULL, "cut off: %s", text);
}

Test(event, pauses)
{
    tenure_pauses read;
    tenure__pauses_record(&pauses, &young);
    tenure__pauses_read(&pauses, &read);
    cr_expect(eq(u64, read.reach.sum_ns, 2000));
    cr_expect(eq(u64, read.work.sum_ns, 57000));
    cr_expect(eq(u64, read.resume.sum_ns, 2000));
    cr_expect(eq(u64, read.total.sum_ns, 61000));
    cr_expect(eq(u64, read.cpu.sum_ns, 59000));
    cr_expect(eq(u64, read.total.count, 1));
}

/* --- statistics --- */

/* Every field another number, so that a figure under a wrong name shows. */
static tenure_stats numbered_stats(void)
{
    tenure_stats stats;
    uint64_t *words = (uint64_t *)(void *)&stats;
    for (size_t i = 0; i < sizeof stats / sizeof *words; i++) words[i] = 1000000 + i;
    stats.finalizer_slowest_type = "\"a type\""; /* escaped where it has to be */
    return stats;
}

static void stats_text(const tenure_stats *stats, tenure_format format)
{
    FILE *out = text_begin();
    tenure__stats_write(stats, out, format);
    fclose(out);
}

static uint64_t number_after(const char *key)
{
    const char *at = strstr(text, key);
    cr_assert(at != NULL, "no %s in %s", key, text);
    return strtoull(at + strlen(key), NULL, 10);
}

/* A parser of JSON without escapes and fractions. NULL: malformed. */
static const char *json_skip(const char *at)
{
    if (*at == '{' || *at == '[') {
        const char close = *at == '{' ? '}' : ']';
        const bool keys = *at == '{';
        if (at[1] == close) return at + 2;
        for (;;) {
            at++;
            if (keys && (*at != '"' || (at = json_skip(at)) == NULL || *at++ != ':')) return NULL;
            if ((at = json_skip(at)) == NULL) return NULL;
            if (*at == close) return at + 1;
            if (*at != ',') return NULL;
        }
    }
    if (*at == '"') {
        at = strpbrk(at + 1, "\"\\");
        return at == NULL || *at == '\\' ? NULL : at + 1;
    }
    const size_t digits = strspn(at, "0123456789");
    return digits == 0 ? NULL : at + digits;
}

Test(stats, json)
{
    const tenure_stats stats = numbered_stats();
    stats_text(&stats, TENURE_JSON);
    const char *end = json_skip(text);
    cr_assert(end != NULL, "%s", text);
    cr_expect(eq(str, (char *)end, "\n"));
    cr_expect(eq(u64, number_after("\"heap_bytes\":"), stats.heap_bytes));
    cr_expect(eq(u64, number_after("\"gen0_budget_bytes\":"), stats.gen0_budget_bytes));
    cr_expect(eq(u64, number_after("\"age_ns\":"), stats.since_ns));
    cr_expect(eq(u64, number_after("\"collections\":["), stats.collections[0]));
    cr_expect(eq(u64, number_after("\"stops\":{\"total\":{\"count\":"), stats.all.total.count));
    cr_expect(eq(u64, number_after("\"pauses\":[{\"total\":{\"count\":"), stats.pauses[0].total.count));
}

/* Every word of the struct appears: nothing was forgotten in the tables. */
Test(stats, json_is_complete)
{
    const tenure_stats stats = numbered_stats();
    stats_text(&stats, TENURE_JSON);
    for (size_t i = 0; i < offsetof(tenure_stats, latest_name) / sizeof(uint64_t); i++) {
        char number[32];
        snprintf(number, sizeof number, "%zu", 1000000 + i);
        cr_expect(strstr(text, number) != NULL, "word %zu of tenure_stats is missing", i);
    }
}

Test(stats, hostile_name)
{
    tenure_stats stats = { 0 };
    memset(stats.latest_name, 'x', sizeof stats.latest_name);
    memcpy(stats.latest_name, "a\"\\\n b", 6);
    stats_text(&stats, TENURE_JSON);
    cr_expect(json_skip(text) != NULL, "%s", text);
    cr_expect(strstr(text, "\"latest_name\":\"a--- bxxxxxxxxxxxxxxxxxxxxxxxxxx\"") != NULL, "%s", text);
}

/* Lines are comments or `name{labels} number`; every family is announced once, counters end in _total. */
Test(stats, prometheus)
{
    const tenure_stats stats = numbered_stats();
    stats_text(&stats, TENURE_PROMETHEUS);
    cr_expect(eq(u64, number_after("\ntenure_heap_bytes "), stats.heap_bytes));
    cr_expect(eq(u64, number_after("\ntenure_copied_bytes_total "), stats.copied_bytes));
    cr_expect(eq(u64, number_after("\ntenure_collections_total{generation=\"2\"} "), stats.collections[2]));
    cr_expect(strstr(text, "\ntenure_age_seconds 0.001") != NULL);
    cr_expect(strstr(text, "\ntenure_pause_seconds{generation=\"0\",part=\"reach\",quantile=\"0.99\"} 0.001") != NULL);
    cr_expect(strstr(text, "\ntenure_stop_seconds_count{part=\"total\"} 100") != NULL);

    char types[64][64];
    size_t type_count = 0;
    char *saved = NULL;
    for (char *line = strtok_r(text, "\n", &saved); line != NULL; line = strtok_r(NULL, "\n", &saved)) {
        char name[64], type[16];
        if (sscanf(line, "# TYPE %63s %15s", name, type) == 2) {
            for (size_t i = 0; i < type_count; i++) cr_expect(ne(str, types[i], name));
            cr_assert(type_count < 64);
            strcpy(types[type_count++], name);
            const size_t length = strlen(name);
            const bool total = length > 6 && strcmp(name + length - 6, "_total") == 0;
            cr_expect(eq(int, total, strcmp(type, "counter") == 0), "%s", line);
        } else if (line[0] != '#') {
            const char *blank = strrchr(line, ' ');
            cr_assert(blank != NULL, "%s", line);
            cr_expect(blank[1 + strspn(blank + 1, "0123456789.")] == '\0', "%s", line);
            cr_expect(eq(int, strncmp(line, "tenure_", 7), 0));
            cr_expect(strncmp(types[type_count - 1], line, strlen(types[type_count - 1])) == 0,
                "%s is not announced by %s", line, types[type_count - 1]);
        }
    }
}

Test(stats, text)
{
    const tenure_stats stats = numbered_stats();
    stats_text(&stats, TENURE_TEXT);
    cr_expect(strstr(text, "heap_bytes") != NULL);
    cr_expect(strstr(text, "young") != NULL);
    tenure_stats none;
    memset(&none, 0, sizeof none);
    stats_text(&none, TENURE_TEXT);
    cr_expect(strstr(text, "young  total") == NULL);
}

Test(stats, unknown_format_writes_nothing)
{
    const tenure_stats stats = numbered_stats();
    stats_text(&stats, (tenure_format)7);
    cr_expect(eq(sz, text_size, 0));
}
