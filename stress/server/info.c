/* INFO. */
#include "command.h"
#include "memory.h"
#include "server.h"
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <tenure/stats.h>
#include <unistd.h>

static void line(output *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(output *out, const char *format, ...)
{
    char buffer[512];
    va_list values;
    va_start(values, format);
    const int length = vsnprintf(buffer, sizeof buffer, format, values);
    va_end(values);
    if (length > 0) output_append(out, buffer, (size_t)length < sizeof buffer ? (size_t)length : sizeof buffer - 1);
    output_append(out, "\r\n", 2);
}

typedef unsigned long long number;

static void server_section(output *out)
{
    line(out, "tenure_version:%s", tenure_version());
    line(out, "redis_version:5.0.0"); /* whose protocol and commands these are */
    line(out, "redis_mode:standalone");
    line(out, "process_id:%ld", (long)getpid());
    line(out, "tcp_port:%u", the_server.port);
    line(out, "worker_threads:%u", the_server.worker_count);
    context now;
    context_refresh_clock(&now);
    line(out, "uptime_in_seconds:%lld", (long long)(now.now_ms - the_server.started_ms) / 1000);
}

static void clients_section(output *out)
{
    line(out, "connected_clients:%llu", (number)atomic_load_explicit(&the_server.clients, memory_order_relaxed));
    line(out, "maxclients:%u", the_server.settings.max_clients);
}

static void memory_section(output *out)
{
    line(out, "used_memory:%llu", (number)store_bytes());
    line(out, "used_memory_receiving:%llu", (number)memory_receiving());
    line(out, "maxmemory:%llu", (number)memory_limit());
    line(out, "maxmemory_policy:allkeys-lru");
    FILE *statm = fopen("/proc/self/statm", "re");
    unsigned long size, resident;
    if (statm != NULL && fscanf(statm, "%lu %lu", &size, &resident) == 2)
        line(out, "used_memory_rss:%llu", (number)resident * (number)sysconf(_SC_PAGESIZE));
    if (statm != NULL) fclose(statm);
}

static number sum_of(size_t offset)
{
    number sum = 0;
    for (unsigned i = 0; i < the_server.worker_count; i++)
        sum += counter_read((const counter *)((const char *)&the_server.workers[i].context + offset));
    return sum + counter_read((const counter *)((const char *)&the_server.housekeeping + offset));
}

static void stats_section(output *out)
{
    line(out, "total_connections_received:%llu",
        (number)atomic_load_explicit(&the_server.total_connections, memory_order_relaxed));
    line(out, "rejected_connections:%llu",
        (number)atomic_load_explicit(&the_server.rejected_connections, memory_order_relaxed));
    line(out, "total_commands_processed:%llu", sum_of(offsetof(context, commands)));
    line(out, "total_net_input_bytes:%llu", sum_of(offsetof(context, input_bytes)));
    line(out, "total_net_output_bytes:%llu", sum_of(offsetof(context, output_bytes)));
    line(out, "keyspace_hits:%llu", sum_of(offsetof(context, hits)));
    line(out, "keyspace_misses:%llu", sum_of(offsetof(context, misses)));
    line(out, "expired_keys:%llu", sum_of(offsetof(context, expired)));
    line(out, "evicted_keys:%llu", sum_of(offsetof(context, evicted)));
}

static void cpu_section(output *out)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    line(out, "used_cpu_sys:%ld.%06ld", (long)usage.ru_stime.tv_sec, (long)usage.ru_stime.tv_usec);
    line(out, "used_cpu_user:%ld.%06ld", (long)usage.ru_utime.tv_sec, (long)usage.ru_utime.tv_usec);
}

static void distribution(output *out, const char *what, const tenure_distribution *d)
{
    line(out, "gc_%s_us:p50=%.1f,p90=%.1f,p99=%.1f,p99.9=%.1f,max=%.1f", what, (double)d->p50_ns / 1e3,
        (double)d->p90_ns / 1e3, (double)d->p99_ns / 1e3, (double)d->p999_ns / 1e3, (double)d->max_ns / 1e3);
}

static void lock_line(const tenure_lock_stats *lock, void *out)
{
    line(out, "gc_lock_%s:pauses=%llu,holders=%llu,waiters=%llu,held_us=%.1f", lock->name, (number)lock->pauses,
        (number)lock->holders, (number)lock->waiters, (double)lock->held_ns / 1e3);
}

static void gc_section(output *out)
{
    tenure_stats stats;
    tenure_stats_read(the_server.heap, &stats);
    for (int generation = 0; generation < 3; generation++)
        line(out, "gc_gen%d_collections:%llu", generation, (number)stats.collections[generation]);
    line(out, "gc_stops:%llu", (number)stats.all.total.count);
    line(out, "gc_stopped_ms:%.3f", (double)stats.all.total.sum_ns / 1e6);
    line(out, "gc_cpu_ms:%.3f", (double)stats.all.cpu.sum_ns / 1e6);
    distribution(out, "pause", &stats.all.total);
    distribution(out, "pause_gen0", &stats.pauses[0].total);
    distribution(out, "pause_gen1", &stats.pauses[1].total);
    distribution(out, "pause_gen2", &stats.pauses[2].total);
    distribution(out, "reach", &stats.all.reach);
    distribution(out, "work", &stats.all.work);
    distribution(out, "resume", &stats.all.resume);
    distribution(out, "lock_grace", &stats.lock_grace);
    line(out, "gc_lock_held_ms:%.3f", (double)stats.lock_held_ns / 1e6);
    tenure_lock_stats_each(lock_line, out);
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = { { "gen0_bytes", stats.gen0_bytes }, { "gen0_budget_bytes", stats.gen0_budget_bytes },
        { "gen1_bytes", stats.gen1_bytes }, { "gen2_bytes", stats.gen2_bytes }, { "large_bytes", stats.large_bytes },
        { "live_bytes", stats.live_bytes }, { "hole_bytes", stats.hole_bytes }, { "heap_bytes", stats.heap_bytes },
        { "committed_bytes", stats.committed_bytes }, { "returned_bytes", stats.returned_bytes },
        { "max_heap_bytes", stats.max_heap_bytes }, { "allocated_bytes", stats.allocated_bytes },
        { "copied_bytes", stats.copied_bytes }, { "copied_objects", stats.copied_objects },
        { "pinned_objects", stats.pinned_objects }, { "stayed_objects", stats.stayed_objects },
        { "logged_objects", stats.logged_objects }, { "threads_attached", stats.threads_attached },
        { "threads_dormant", stats.threads_dormant }, { "lock_stops", stats.lock_stops },
        { "lock_holders", stats.lock_holders }, { "lock_waiters", stats.lock_waiters }, { "workers", stats.workers } };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        line(out, "gc_%s:%llu", numbers[i].name, (number)numbers[i].value);
}

static void keyspace_section(request *r, output *out)
{
    const uint64_t keys = store_count();
    if (keys > 0)
        line(out, "db0:keys=%llu,expires=%llu,avg_ttl=0", (number)keys, (number)store_volatile_count(r->context));
}

void command_info(request *r)
{
    static const struct {
        const char *word, *title;
        void (*write)(output *out);
    } sections[] = { { "server", "Server", server_section }, { "clients", "Clients", clients_section },
        { "memory", "Memory", memory_section }, { "stats", "Stats", stats_section }, { "cpu", "CPU", cpu_section },
        { "gc", "gc", gc_section }, { "keyspace", "Keyspace", NULL } };
    if (r->count > 2) {
        reply_syntax_error(r->out);
        return;
    }
    const bool all =
        r->count == 1 || request_is(r, 1, "all") || request_is(r, 1, "default") || request_is(r, 1, "everything");
    output info = { .limit = r->out->limit };
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (!all && !request_is(r, 1, sections[i].word)) continue;
        if (info.used > 0) line(&info, "%s", "");
        line(&info, "# %s", sections[i].title);
        if (sections[i].write != NULL)
            sections[i].write(&info);
        else
            keyspace_section(r, &info);
    }
    if (info.failed)
        r->out->failed = true;
    else
        reply_bulk(r->out, info.used > 0 ? info.data : "", info.used);
    output_free(&info);
}
