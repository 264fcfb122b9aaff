/* Recording and printing of collections. Recording runs in a stop: no locks, no memory, relaxed counters only. Printing
 * is a listener's, outside stops. */
#include "lib/collection/event.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>

#include "threads/format.h"

/* --- histograms --- */

/* Values below 2 * SUB have a bucket each; above, SUB buckets divide every power of two. log2(SUB) is 5. */
enum { SUB_BITS = 5, LAST_BUCKET = TENURE__HISTOGRAM_BUCKETS - 1 };
static_assert(1 << SUB_BITS == TENURE__HISTOGRAM_SUB, "buckets for every power of two");

static unsigned bucket_of(uint64_t ns)
{
    if (ns < TENURE__HISTOGRAM_SUB) return (unsigned)ns;
    const unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - SUB_BITS;
    const uint64_t bucket = shift * (uint64_t)TENURE__HISTOGRAM_SUB + (ns >> shift);
    return bucket < LAST_BUCKET ? (unsigned)bucket : LAST_BUCKET;
}

/* The greatest value that bucket_of maps there; the last bucket has none. */
static uint64_t bucket_upper_ns(unsigned bucket)
{
    if (bucket < TENURE__HISTOGRAM_SUB) return bucket;
    if (bucket == LAST_BUCKET) return UINT64_MAX;
    const unsigned shift = bucket / TENURE__HISTOGRAM_SUB - 1;
    const uint64_t sub = bucket % TENURE__HISTOGRAM_SUB + TENURE__HISTOGRAM_SUB;
    return ((sub + 1) << shift) - 1;
}

/* All accesses are relaxed: readers want figures, and no figure publishes another. */
static uint64_t load(const _Atomic uint64_t *counter) { return atomic_load_explicit(counter, memory_order_relaxed); }

void tenure__histogram_record(tenure__histogram *histogram, uint64_t ns)
{
    uint64_t max_ns = load(&histogram->max_ns);
    while (ns > max_ns && !atomic_compare_exchange_weak_explicit(
                              &histogram->max_ns, &max_ns, ns, memory_order_relaxed, memory_order_relaxed)) {}
    atomic_fetch_add_explicit(&histogram->sum_ns, ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->buckets[bucket_of(ns)], 1, memory_order_relaxed);
}

void tenure__histogram_read(const tenure__histogram *histogram, tenure_distribution *out)
{
    *out = (tenure_distribution) {
        .count = load(&histogram->count),
        .sum_ns = load(&histogram->sum_ns),
        .max_ns = load(&histogram->max_ns),
    };
    /* Ranks come from the buckets' own total, which may be ahead of or behind count. */
    uint64_t total = 0;
    for (unsigned bucket = 0; bucket <= LAST_BUCKET; bucket++)
        total += atomic_load_explicit(&histogram->buckets[bucket], memory_order_relaxed);
    if (total == 0) return;

    const struct {
        uint64_t per_mille;
        uint64_t *ns;
    } wanted[] = { { 500, &out->p50_ns }, { 900, &out->p90_ns }, { 990, &out->p99_ns }, { 999, &out->p999_ns } };
    const unsigned wanted_count = sizeof wanted / sizeof wanted[0];
    uint64_t seen = 0;
    for (unsigned bucket = 0, next = 0; bucket <= LAST_BUCKET && next < wanted_count; bucket++) {
        seen += atomic_load_explicit(&histogram->buckets[bucket], memory_order_relaxed);
        const uint64_t upper_ns = bucket_upper_ns(bucket);
        while (next < wanted_count && seen * 1000 >= wanted[next].per_mille * total)
            *wanted[next++].ns = upper_ns < out->max_ns ? upper_ns : out->max_ns;
    }
}

/* --- pauses --- */

void tenure__pauses_record(tenure__pause_histograms *pauses, const tenure_collection *event)
{
    tenure__histogram_record(&pauses->reach, event->reach_ns);
    tenure__histogram_record(
        &pauses->work, event->pin_ns + event->roots_ns + event->trace_ns + event->weak_ns + event->finish_ns);
    tenure__histogram_record(&pauses->resume, event->resume_ns);
    tenure__histogram_record(&pauses->total, event->total_ns);
    tenure__histogram_record(&pauses->cpu, event->cpu_ns);
}

void tenure__pauses_read(const tenure__pause_histograms *pauses, tenure_pauses *out)
{
    tenure__histogram_read(&pauses->reach, &out->reach);
    tenure__histogram_read(&pauses->work, &out->work);
    tenure__histogram_read(&pauses->resume, &out->resume);
    tenure__histogram_read(&pauses->total, &out->total);
    tenure__histogram_read(&pauses->cpu, &out->cpu);
}

/* --- the log line --- */

/* The line while it grows; what does not fit is cut off. */
typedef struct line {
    char text[768];
    size_t length;
} line;

__attribute__((format(printf, 2, 3))) static void append(line *to, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int wanted = vsnprintf(to->text + to->length, sizeof to->text - to->length, format, arguments);
    va_end(arguments);
    if (wanted > 0) to->length += (size_t)wanted;
    if (to->length >= sizeof to->text) to->length = sizeof to->text - 1;
}

/* One word, whatever a program named its thread: tools split the line at blanks. */
static void append_word(line *to, const char *word, size_t size)
{
    for (size_t i = 0; i < size && word[i] != '\0'; i++)
        append(to, "%c", isgraph((unsigned char)word[i]) ? word[i] : '-');
}

static void append_bytes(line *to, const char *name, uint64_t before, uint64_t after)
{
    append(to, " %s %s->%s", name, tenure__format_bytes(before).text, tenure__format_bytes(after).text);
}

static void append_duration(line *to, const char *name, uint64_t ns)
{
    append(to, " %s=%s", name, tenure__format_duration(ns).text);
}

void tenure__collection_print(const tenure_collection *event, FILE *out)
{
    static const char *const kinds[] = { "stop", "young", "gen1", "full" };
    static const char *const generations[] = { "gen0", "gen1", "gen2" };
    line to = { .length = 0 };

    append(&to, "tenure: gc %" PRIu64 " %s ", event->sequence, kinds[event->generation + 1]);
    append_word(&to, event->reason, 64);
    append(&to, " at=%" PRIu64 ".%03" PRIu64 "s", event->at_ns / 1000000000, event->at_ns / 1000000 % 1000);
    for (unsigned generation = 0; generation < 3; generation++)
        append_bytes(&to, generations[generation], event->before_bytes[generation], event->after_bytes[generation]);
    append_bytes(&to, "heap", event->heap_before_bytes, event->heap_after_bytes);

    append_duration(&to, "pause", event->total_ns);
    append_duration(&to, "reach", event->reach_ns);
    append_duration(&to, "pin", event->pin_ns);
    append_duration(&to, "roots", event->roots_ns);
    append_duration(&to, event->generation == 2 ? "mark" : "copy", event->trace_ns);
    append_duration(&to, "weak", event->weak_ns);
    append_duration(&to, "finish", event->finish_ns);
    append_duration(&to, "resume", event->resume_ns);
    append_duration(&to, "cpu", event->cpu_ns);

    append(&to, " lead=%s workers=%u copied=%s/%" PRIu64 " pinned=%" PRIu64 " stayed=%" PRIu64 " logged=%" PRIu64,
        event->led_by_daemon ? "daemon" : "mutator", event->workers, tenure__format_bytes(event->copied_bytes).text,
        event->copied_objects, event->pinned_objects, event->stayed_objects, event->logged_objects);
    append(&to, " stopped=%u", event->threads_stopped);
    if (event->late) append(&to, " deadline=missed");
    if (event->last_tid != 0) {
        append(&to, " last=");
        append_word(&to, event->last_name, sizeof event->last_name);
        append(&to, "(%d)", event->last_tid);
    }
    /* One call: lines of several heaps do not mix. */
    fprintf(out, "%s\n", to.text);
}
