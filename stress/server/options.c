/* The command line. */
#include "options.h"
#include "number.h"
#include <sched.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "tenure-server: a key-value server that speaks the Redis protocol (RESP2) and keeps its data in a Tenure heap\n"
    "\n"
    "  --port N             port to listen at (6379; 0: any free one, which the ready line names)\n"
    "  --bind ADDRESS       address to listen at (127.0.0.1: this machine only; there is no password)\n"
    "  --threads N          worker threads (as many as there are usable processors)\n"
    "  --maxclients N       connections at a time (10000)\n"
    "  --maxmemory BYTES    what keys and values may take, as 256mb; beyond it the least recently used are evicted\n"
    "                       (0: no limit)\n"
    "  --max-output BYTES   replies that a client may let wait before it is dropped (1gb)\n"
    "  --heap WORDS         options of the heap, as max_heap=1g,gen0=8m,log=gc; without max_heap it follows from\n"
    "                       maxmemory: two and a half times that and 64 MiB\n"
    "  --report             print the collector's statistics when the server ends\n"
    "  --help               this text\n"
    "\n"
    "SIGTERM, SIGINT and SHUTDOWN NOSAVE end it. The environment variable TENURE_OPTIONS takes words as --heap does.\n";

static unsigned usable_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    return (unsigned)CPU_COUNT(&set);
}

static bool read_number(const char *word, unsigned most, unsigned *out)
{
    int64_t value;
    if (!number_parse(word, strlen(word), &value) || value < 0 || value > (int64_t)most) return false;
    *out = (unsigned)value;
    return true;
}

/* False: the value does not fit the option. */
static bool apply(const char *name, const char *value, server_settings *settings, bool *known)
{
    *known = true;
    if (strcmp(name, "--port") == 0) return read_number(value, 65535, &settings->port);
    if (strcmp(name, "--threads") == 0) return read_number(value, SERVER_MAX_THREADS, &settings->threads);
    if (strcmp(name, "--maxclients") == 0) return read_number(value, 10 * 1000 * 1000, &settings->max_clients);
    if (strcmp(name, "--maxmemory") == 0) return number_parse_bytes(value, &settings->max_memory);
    if (strcmp(name, "--max-output") == 0) return number_parse_bytes(value, &settings->max_output);
    if (strcmp(name, "--bind") == 0) {
        settings->bind = value;
        return true;
    }
    if (strcmp(name, "--heap") == 0) {
        const size_t used = strlen(settings->heap);
        const int wrote =
            snprintf(settings->heap + used, sizeof settings->heap - used, "%s%s", used > 0 ? "," : "", value);
        return wrote >= 0 && (size_t)wrote < sizeof settings->heap - used;
    }
    *known = false;
    return false;
}

options_result options_read(int count, char **words, server_settings *settings)
{
    *settings = (server_settings) {
        .bind = "127.0.0.1", .port = 6379, .max_clients = 10000, .max_output = (uint64_t)1024 * 1024 * 1024
    };
    for (int i = 1; i < count; i++) {
        bool known = true;
        if (strcmp(words[i], "--help") == 0) {
            fputs(help, stdout);
            return OPTIONS_DONE;
        }
        if (strcmp(words[i], "--report") == 0) {
            settings->report = true;
            continue;
        }
        const bool has_value = i + 1 < count;
        if (!apply(words[i], has_value ? words[i + 1] : "", settings, &known) || !has_value) {
            if (!known)
                fprintf(stderr, "tenure-server: unknown option %s (see --help)\n", words[i]);
            else
                fprintf(stderr, "tenure-server: %s needs a value that fits it (see --help)\n", words[i]);
            return OPTIONS_BAD;
        }
        i++;
    }
    if (settings->threads == 0) settings->threads = usable_processors();
    if (settings->threads > SERVER_MAX_THREADS) settings->threads = SERVER_MAX_THREADS;
    return OPTIONS_RUN;
}
