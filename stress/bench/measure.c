#include "measure.h"

#include "allocator.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static struct {
    uint64_t wall_ns;
    double cpu_seconds;
} begin;

uint64_t measure_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t measure_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double seconds_of(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec * 1e-6; }

static void usage(const char *program, const struct argument *arguments, size_t count)
{
    fprintf(stderr, "usage: %s", program);
    for (size_t i = 0; i < count; i++) fprintf(stderr, " [--%s N]", arguments[i].name);
    fputc('\n', stderr);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "  --%s: %s (%" PRIu64 ")\n", arguments[i].name, arguments[i].help, *arguments[i].value);
    exit(EXIT_FAILURE);
}

static const struct argument *argument_find(const char *word, const struct argument *arguments, size_t count)
{
    if (strncmp(word, "--", 2) != 0) return NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(word + 2, arguments[i].name) == 0) return &arguments[i];
    return NULL;
}

void arguments_parse(int argc, char **argv, const struct argument *arguments, size_t count)
{
    for (int i = 1; i < argc; i += 2) {
        const struct argument *argument = argument_find(argv[i], arguments, count);
        if (argument == NULL || i + 1 == argc) usage(argv[0], arguments, count);
        char *end;
        errno = 0;
        const uint64_t value = strtoull(argv[i + 1], &end, 10);
        if (errno != 0 || end == argv[i + 1] || *end != '\0') usage(argv[0], arguments, count);
        *argument->value = value;
    }
}

void measure_begin(void)
{
    struct rusage used;
    bench_collections_begin();
    getrusage(RUSAGE_SELF, &used);
    begin.cpu_seconds = seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
    begin.wall_ns = measure_now_ns();
}

void measure_end(const char *program)
{
    const uint64_t wall_ns = measure_now_ns() - begin.wall_ns;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    result_begin(program);
    result_real("wall_seconds", (double)wall_ns * 1e-9);
    result_real("cpu_seconds", seconds_of(used.ru_utime) + seconds_of(used.ru_stime) - begin.cpu_seconds);
    bench_collections_report();
}

void result_begin(const char *program) { printf("program=%s", program); }

void result_text(const char *key, const char *value) { printf(" %s=%s", key, value); }

void result_count(const char *key, uint64_t value) { printf(" %s=%" PRIu64, key, value); }

void result_count_of(const char *prefix, const char *key, uint64_t value)
{
    printf(" %s_%s=%" PRIu64, prefix, key, value);
}

void result_real(const char *key, double value) { printf(" %s=%.6f", key, value); }

void result_real_of(const char *prefix, const char *key, double value) { printf(" %s_%s=%.6f", prefix, key, value); }

static void result_distribution(const char *name, const char *part, const struct histogram *histogram)
{
    char prefix[32];
    snprintf(prefix, sizeof prefix, "%s%s", name, part);
    result_count_of(prefix, "p50_ns", histogram_percentile(histogram, 50));
    result_count_of(prefix, "p99_ns", histogram_percentile(histogram, 99));
    result_count_of(prefix, "max_ns", histogram->max);
}

void result_pauses(const char *name, const struct pauses *pauses)
{
    result_count_of(name, "count", pauses->total_ns.count);
    result_real_of(name, "seconds", (double)pauses->total_ns.sum * 1e-9);
    result_real_of(name, "cpu_seconds", (double)pauses->cpu_ns.sum * 1e-9);
    if (pauses->total_ns.count == 0) return;
    result_distribution(name, "", &pauses->total_ns);
    result_distribution(name, "_cpu", &pauses->cpu_ns);
    result_distribution(name, "_reach", &pauses->reach_ns);
}

void result_latency(const struct histogram *latency, double ns_per_unit)
{
    static const struct {
        const char *key;
        double percent;
    } percentiles[] = { { "p50_ns", 50 }, { "p99_ns", 99 }, { "p999_ns", 99.9 }, { "p9999_ns", 99.99 } };
    for (size_t i = 0; i < sizeof percentiles / sizeof percentiles[0]; i++)
        result_real_of(
            "latency", percentiles[i].key, (double)histogram_percentile(latency, percentiles[i].percent) * ns_per_unit);
    result_real("latency_max_ns", (double)latency->max * ns_per_unit);
}

void result_end(void)
{
    putchar('\n');
    fflush(stdout);
}
