/* Statistics in three formats, from one table of figures. */
#include "lib/collection/stats_print.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>

#include "threads/format.h"

typedef enum unit { BYTES, OBJECTS, NANOSECONDS } unit;

typedef struct figure {
    const char *name; /* JSON appends _ns to durations; Prometheus _seconds to those and _total to counters */
    const char *help;
    size_t offset;
    unit unit;
    bool counter; /* never falls */
} figure;

#define GAUGE(name, unit, help)                                \
    {                                                          \
#name, help, offsetof(tenure_stats, name), unit, false \
    }
#define COUNTER(name, unit, help)                             \
    {                                                         \
#name, help, offsetof(tenure_stats, name), unit, true \
    }

static const figure figures[] = {
    { "age", "Age of the heap", offsetof(tenure_stats, since_ns), NANOSECONDS, false },
    GAUGE(heap_bytes, BYTES, "Blocks in use, all generations"),
    GAUGE(gen0_bytes, BYTES, "Handed to mutators since the last collection"),
    GAUGE(gen0_budget_bytes, BYTES, "What may be handed out before a young collection is due"),
    GAUGE(gen0_collections, OBJECTS, "Collections of Gen 0 since the last one of Gen 1"),
    GAUGE(gen1_after, OBJECTS, "That many, and Gen 1 is collected"),
    GAUGE(gen2_grown_bytes, BYTES, "Growth of Gen 2 since the last full collection, with memory outside the heap"),
    GAUGE(gen2_growth_bytes, BYTES, "Growth that makes a full collection due"),
    GAUGE(gen1_bytes, BYTES, "Blocks in use by Gen 1"),
    GAUGE(gen2_bytes, BYTES, "Blocks in use by Gen 2"),
    GAUGE(large_bytes, BYTES, "Part of the generations in large objects"),
    GAUGE(frozen_bytes, BYTES, "Part of Gen 2 that left the collected set"),
    GAUGE(live_bytes, BYTES, "What lived in Gen 2 after the last full collection"),
    GAUGE(hole_bytes, BYTES, "What died in blocks of Gen 2 by then, and was not filled since"),
    GAUGE(committed_bytes, BYTES, "Memory taken from the system and not given back"),
    GAUGE(max_heap_bytes, BYTES, "Limit of the heap"),
    GAUGE(external_bytes, BYTES, "Memory outside the heap that objects hold"),
    COUNTER(returned_bytes, BYTES, "Memory given back to the system"),
    COUNTER(allocated_bytes, BYTES, "Chunks and large objects handed out"),
    COUNTER(copied_bytes, BYTES, "Copied by collections"),
    COUNTER(copied_objects, OBJECTS, "Copied by collections"),
    COUNTER(pinned_objects, OBJECTS, "Kept in place for an ambiguous word"),
    COUNTER(stayed_objects, OBJECTS, "Kept in place for want of memory"),
    COUNTER(logged_objects, OBJECTS, "Logged by the write barrier"),
    COUNTER(lost_events, OBJECTS, "Collections that no listener was told of: too many waited"),
    COUNTER(weak_cleared, OBJECTS, "Weak references and ephemerons cleared"),
    GAUGE(finalizers_pending, OBJECTS, "Finalizers and cleaners that are due or run"),
    COUNTER(finalizers_run, OBJECTS, "Finalizers and cleaners that ran"),
    { "finalizer_slowest", "Longest run of a finalizer or cleaner", offsetof(tenure_stats, finalizer_slowest_ns),
        NANOSECONDS, false },
    GAUGE(threads_attached, OBJECTS, "Attached threads"),
    GAUGE(threads_dormant, OBJECTS, "Attached threads that stops do not look at"),
    COUNTER(lock_stops, OBJECTS, "Stops that parked a holder of a lock"),
    COUNTER(lock_holders, OBJECTS, "Parked holders of locks, sum over stops"),
    COUNTER(lock_waiters, OBJECTS, "Threads that waited for their locks"),
    { "lock_held", "That stops added to the time for which locks were held", offsetof(tenure_stats, lock_held_ns),
        NANOSECONDS, true },
    COUNTER(late_stops, OBJECTS, "Stops that were reached after stop_deadline"),
    { "latest_stop", "Longest time that one of them took to be reached", offsetof(tenure_stats, latest_ns), NANOSECONDS,
        false },
    GAUGE(workers, OBJECTS, "Threads that may collect in parallel"),
};
enum { FIGURE_COUNT = sizeof figures / sizeof figures[0] };

static uint64_t figure_value(const tenure_stats *stats, const figure *of)
{
    return *(const uint64_t *)(const void *)((const char *)stats + of->offset);
}

typedef struct part {
    const char *name;
    size_t offset; /* in tenure_pauses */
} part;
static const part parts[] = {
    { "total", offsetof(tenure_pauses, total) },
    { "reach", offsetof(tenure_pauses, reach) },
    { "work", offsetof(tenure_pauses, work) },
    { "resume", offsetof(tenure_pauses, resume) },
    { "cpu", offsetof(tenure_pauses, cpu) },
};
enum { PART_COUNT = sizeof parts / sizeof parts[0] };

static const tenure_distribution *part_of(const tenure_pauses *pauses, const part *of)
{
    return (const tenure_distribution *)(const void *)((const char *)pauses + of->offset);
}

typedef struct column {
    const char *name, *quantile;
    size_t offset; /* in tenure_distribution */
} column;
static const column columns[] = {
    { "p50", "0.5", offsetof(tenure_distribution, p50_ns) },
    { "p90", "0.9", offsetof(tenure_distribution, p90_ns) },
    { "p99", "0.99", offsetof(tenure_distribution, p99_ns) },
    { "p999", "0.999", offsetof(tenure_distribution, p999_ns) },
};
enum { COLUMN_COUNT = sizeof columns / sizeof columns[0] };

static uint64_t column_ns(const tenure_distribution *distribution, const column *of)
{
    return *(const uint64_t *)(const void *)((const char *)distribution + of->offset);
}

enum { NAME_LONGEST = 64 };

/* The name of a thread, a type or a lock, without what would need escapes. */
static void write_name(const char *name, size_t size, FILE *out)
{
    for (size_t i = 0; i < size && name[i] != '\0'; i++)
        fputc(isprint((unsigned char)name[i]) && name[i] != '"' && name[i] != '\\' ? name[i] : '-', out);
}

/* --- text --- */

static void text_distribution(const tenure_distribution *distribution, const char *kind, const char *what, FILE *out)
{
    const uint64_t mean_ns = distribution->count == 0 ? 0 : distribution->sum_ns / distribution->count;
    fprintf(
        out, "  %-6s %-7s %9" PRIu64 " %8s", kind, what, distribution->count, tenure__format_duration(mean_ns).text);
    for (unsigned j = 0; j < COLUMN_COUNT; j++)
        fprintf(out, " %8s", tenure__format_duration(column_ns(distribution, &columns[j])).text);
    fprintf(out, " %8s\n", tenure__format_duration(distribution->max_ns).text);
}

static void text_pauses(const tenure_pauses *pauses, const char *kind, FILE *out)
{
    if (pauses->total.count == 0) return;
    for (unsigned i = 0; i < PART_COUNT; i++) text_distribution(part_of(pauses, &parts[i]), kind, parts[i].name, out);
}

static void text_lock(const tenure_lock_stats *lock, void *out)
{
    fprintf(out, "  lock %s: %" PRIu64 " pauses, %" PRIu64 " holders, %" PRIu64 " waiters, held %s longer\n",
        lock->name, lock->pauses, lock->holders, lock->waiters, tenure__format_duration(lock->held_ns).text);
}

static void write_text(const tenure_stats *stats, FILE *out)
{
    static const char *const kinds[] = { "young", "gen1", "full" };
    fprintf(out, "tenure %s\n", tenure_version());
    for (unsigned i = 0; i < FIGURE_COUNT; i++) {
        const uint64_t value = figure_value(stats, &figures[i]);
        fprintf(out, "  %-18s ", figures[i].name);
        switch (figures[i].unit) {
        case BYTES:
            fprintf(out, "%8s", tenure__format_bytes(value).text);
            break;
        case NANOSECONDS:
            fprintf(out, "%8s", tenure__format_duration(value).text);
            break;
        case OBJECTS:
            fprintf(out, "%8" PRIu64, value);
            break;
        }
        fprintf(out, "  %s\n", figures[i].help);
    }
    if (stats->latest_name[0] != '\0') {
        fprintf(out, "  %-18s ", "latest_name");
        write_name(stats->latest_name, sizeof stats->latest_name, out);
        fprintf(out, "  The thread that it waited for\n");
    }
    if (stats->finalizer_slowest_type != 0) {
        fprintf(out, "  %-18s ", "finalizer_type");
        write_name(stats->finalizer_slowest_type, SIZE_MAX, out);
        fprintf(out, "  Of the object that the slowest one was for\n");
    }
    fprintf(out, "  stops              count     mean");
    for (unsigned i = 0; i < COLUMN_COUNT; i++) fprintf(out, " %8s", columns[i].name);
    fprintf(out, " %8s\n", "max");
    for (unsigned i = 0; i < 3; i++) text_pauses(&stats->pauses[i], kinds[i], out);
    text_pauses(&stats->all, "all", out);
    if (stats->lock_grace.count != 0) text_distribution(&stats->lock_grace, "locks", "grace", out);
    tenure_lock_stats_each(text_lock, out);
}

/* --- JSON --- */

static void json_distribution(const tenure_distribution *distribution, FILE *out)
{
    fprintf(out, "{\"count\":%" PRIu64 ",\"sum_ns\":%" PRIu64, distribution->count, distribution->sum_ns);
    for (unsigned j = 0; j < COLUMN_COUNT; j++)
        fprintf(out, ",\"%s_ns\":%" PRIu64, columns[j].name, column_ns(distribution, &columns[j]));
    fprintf(out, ",\"max_ns\":%" PRIu64 "}", distribution->max_ns);
}

static void json_pauses(const tenure_pauses *pauses, FILE *out)
{
    for (unsigned i = 0; i < PART_COUNT; i++) {
        fprintf(out, "%s\"%s\":", i == 0 ? "{" : ",", parts[i].name);
        json_distribution(part_of(pauses, &parts[i]), out);
    }
    fprintf(out, "}");
}

struct json_locks {
    FILE *out;
    bool more;
};

static void json_lock(const tenure_lock_stats *lock, void *arg)
{
    struct json_locks *locks = arg;
    fprintf(locks->out, "%s{\"name\":\"", locks->more ? "," : "");
    write_name(lock->name, NAME_LONGEST, locks->out);
    fprintf(locks->out,
        "\",\"pauses\":%" PRIu64 ",\"holders\":%" PRIu64 ",\"waiters\":%" PRIu64 ",\"held_ns\":%" PRIu64 "}",
        lock->pauses, lock->holders, lock->waiters, lock->held_ns);
    locks->more = true;
}

static void write_json(const tenure_stats *stats, FILE *out)
{
    fprintf(out, "{\"version\":\"%s\"", tenure_version());
    for (unsigned i = 0; i < FIGURE_COUNT; i++)
        fprintf(out, ",\"%s%s\":%" PRIu64, figures[i].name, figures[i].unit == NANOSECONDS ? "_ns" : "",
            figure_value(stats, &figures[i]));
    if (stats->finalizer_slowest_type != 0) {
        fprintf(out, ",\"finalizer_slowest_type\":\"");
        write_name(stats->finalizer_slowest_type, SIZE_MAX, out);
        fprintf(out, "\"");
    }
    fprintf(out, ",\"latest_name\":\"");
    write_name(stats->latest_name, sizeof stats->latest_name, out);
    fprintf(out, "\",\"collections\":[%" PRIu64 ",%" PRIu64 ",%" PRIu64 "],\"pauses\":[", stats->collections[0],
        stats->collections[1], stats->collections[2]);
    for (unsigned i = 0; i < 3; i++) {
        if (i > 0) fprintf(out, ",");
        json_pauses(&stats->pauses[i], out);
    }
    fprintf(out, "],\"stops\":");
    json_pauses(&stats->all, out);
    fprintf(out, ",\"lock_grace\":");
    json_distribution(&stats->lock_grace, out);
    fprintf(out, ",\"locks\":[");
    tenure_lock_stats_each(json_lock, &(struct json_locks) { out, false });
    fprintf(out, "]}\n");
}

/* --- Prometheus text exposition, version 0.0.4: base units, counters end in _total --- */

static void prometheus_family(const char *name, const char *suffix, const char *help, const char *type, FILE *out)
{
    fprintf(out, "# HELP tenure_%s%s %s\n# TYPE tenure_%s%s %s\n", name, suffix, help, name, suffix, type);
}

static void prometheus_seconds(uint64_t ns, FILE *out)
{
    fprintf(out, " %" PRIu64 ".%09" PRIu64 "\n", ns / 1000000000, ns % 1000000000);
}

/* labels: `generation="0",part="total"` or nothing. */
static void prometheus_distribution(
    const char *name, const char *labels, const tenure_distribution *distribution, FILE *out)
{
    for (unsigned j = 0; j < COLUMN_COUNT; j++) {
        fprintf(out, "tenure_%s_seconds{%s%squantile=\"%s\"}", name, labels, labels[0] != '\0' ? "," : "",
            columns[j].quantile);
        prometheus_seconds(column_ns(distribution, &columns[j]), out);
    }
    fprintf(out, "tenure_%s_seconds_sum{%s}", name, labels);
    prometheus_seconds(distribution->sum_ns, out);
    fprintf(out, "tenure_%s_seconds_count{%s} %" PRIu64 "\n", name, labels, distribution->count);
}

/* labels: `generation="0",` or nothing. */
static void prometheus_pauses(const char *name, const char *labels, const tenure_pauses *pauses, FILE *out)
{
    for (unsigned i = 0; i < PART_COUNT; i++) {
        char both[64];
        snprintf(both, sizeof both, "%spart=\"%s\"", labels, parts[i].name);
        prometheus_distribution(name, both, part_of(pauses, &parts[i]), out);
    }
}

static void prometheus_lock(const tenure_lock_stats *lock, void *out)
{
    fprintf(out, "tenure_lock_named_held_seconds_total{name=\"");
    write_name(lock->name, NAME_LONGEST, out);
    fprintf(out, "\"}");
    prometheus_seconds(lock->held_ns, out);
}

static void prometheus_longest(const char *name, const char *labels, const tenure_pauses *pauses, FILE *out)
{
    for (unsigned i = 0; i < PART_COUNT; i++) {
        fprintf(out, "tenure_%s_max_seconds{%spart=\"%s\"}", name, labels, parts[i].name);
        prometheus_seconds(part_of(pauses, &parts[i])->max_ns, out);
    }
}

static void write_prometheus(const tenure_stats *stats, FILE *out)
{
    static const char *const labels[] = { "generation=\"0\",", "generation=\"1\",", "generation=\"2\"," };
    for (unsigned i = 0; i < FIGURE_COUNT; i++) {
        const figure *of = &figures[i];
        const char *suffix = of->unit == NANOSECONDS ? (of->counter ? "_seconds_total" : "_seconds")
                             : of->counter           ? "_total"
                                                     : "";
        prometheus_family(of->name, suffix, of->help, of->counter ? "counter" : "gauge", out);
        fprintf(out, "tenure_%s%s", of->name, suffix);
        if (of->unit == NANOSECONDS)
            prometheus_seconds(figure_value(stats, of), out);
        else
            fprintf(out, " %" PRIu64 "\n", figure_value(stats, of));
    }
    if (stats->finalizer_slowest_type != 0) {
        prometheus_family(
            "finalizer_slowest", "_type", "Type whose object's finalizer or cleaner ran longest", "gauge", out);
        fprintf(out, "tenure_finalizer_slowest_type{type=\"");
        write_name(stats->finalizer_slowest_type, SIZE_MAX, out);
        fprintf(out, "\"} 1\n");
    }
    prometheus_family("collections", "_total", "Collections by the oldest generation collected", "counter", out);
    for (unsigned i = 0; i < 3; i++)
        fprintf(out, "tenure_collections_total{generation=\"%u\"} %" PRIu64 "\n", i, stats->collections[i]);

    /* Collections and all stops are families of their own: a sum over labels counts nothing twice. */
    prometheus_family("pause", "_seconds", "Parts of collections' stops", "summary", out);
    for (unsigned i = 0; i < 3; i++) prometheus_pauses("pause", labels[i], &stats->pauses[i], out);
    prometheus_family("pause", "_max_seconds", "Longest parts of collections' stops", "gauge", out);
    for (unsigned i = 0; i < 3; i++) prometheus_longest("pause", labels[i], &stats->pauses[i], out);
    prometheus_family("stop", "_seconds", "Parts of all stops", "summary", out);
    prometheus_pauses("stop", "", &stats->all, out);
    prometheus_family("stop", "_max_seconds", "Longest parts of all stops", "gauge", out);
    prometheus_longest("stop", "", &stats->all, out);
    prometheus_family(
        "lock_grace", "_seconds", "Holders of awaited locks, from a stop's request until they parked", "summary", out);
    prometheus_distribution("lock_grace", "", &stats->lock_grace, out);
    prometheus_family(
        "lock_named_held", "_seconds_total", "That stops added to the time for which locks were held", "counter", out);
    tenure_lock_stats_each(prometheus_lock, out);
}

void tenure__stats_write(const tenure_stats *stats, FILE *out, tenure_format format)
{
    static void (*const writers[])(const tenure_stats *,
        FILE *) = { [TENURE_TEXT] = write_text, [TENURE_JSON] = write_json, [TENURE_PROMETHEUS] = write_prometheus };
    if ((unsigned)format < sizeof writers / sizeof writers[0]) writers[format](stats, out);
}

void tenure_stats_print(tenure_heap *heap, FILE *out, tenure_format format)
{
    tenure_stats stats;
    tenure_stats_read(heap, &stats);
    tenure__stats_write(&stats, out, format);
}
