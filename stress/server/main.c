/* Start and end of the server; in between the main thread waits for signals and looks for expired keys. */
#include "command.h"
#include "memory.h"
#include "options.h"
#include "server.h"
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <tenure/safepoint.h>
#include <tenure/stats.h>
#include <unistd.h>

enum { TICK_NS = 100 * 1000 * 1000 };

/* Every client is a descriptor. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    const rlim_t reserved = 64; /* for the server's own */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > reserved &&
        the_server.settings.max_clients > limit.rlim_cur - reserved) {
        the_server.settings.max_clients = (unsigned)(limit.rlim_cur - reserved);
        fprintf(stderr, "tenure-server: at most %u clients: the limit on descriptors is %llu\n",
            the_server.settings.max_clients, (unsigned long long)limit.rlim_cur);
    }
}

static bool create_heap(void)
{
    tenure_options options;
    char wrong[128] = "";
    if (tenure_options_init(&options, wrong, sizeof wrong) != TENURE_OK) {
        fprintf(stderr, "tenure-server: TENURE_OPTIONS: %s\n", wrong);
        return false;
    }
    /* Where the first touch of a huge page is dear, fifty clients wait for it. redis-server does without as well. */
    options.huge_pages = false;
    /* Room for what is garbage until it is collected, for copying, and for the nurseries. */
    if (the_server.settings.max_memory != 0)
        options.max_heap = the_server.settings.max_memory / 2 * 5 + (uint64_t)64 * 1024 * 1024;
    const char *environment = getenv(options.environment); /* goes before what the server sets */
    if (environment != NULL) (void)tenure_options_parse(&options, environment, NULL, 0);
    if (tenure_options_parse(&options, the_server.settings.heap, wrong, sizeof wrong) != TENURE_OK) {
        fprintf(stderr, "tenure-server: --heap: %s\n", wrong);
        return false;
    }
    const tenure_status status = tenure_heap_create(&the_server.heap, &options);
    if (status != TENURE_OK) fprintf(stderr, "tenure-server: heap: %s\n", tenure_strerror(status));
    return status == TENURE_OK;
}

/* Until a signal or SHUTDOWN ends the server. */
static void keep_house(tenure_thread *self, const sigset_t *signals)
{
    context *c = &the_server.housekeeping;
    const struct timespec tick = { .tv_nsec = TICK_NS };
    for (;;) {
        const int signal_number = TENURE_IDLE_CALL(self, sigtimedwait(signals, NULL, &tick));
        if (signal_number > 0 || atomic_load_explicit(&the_server.stopping, memory_order_relaxed)) return;
        context_refresh_clock(c);
        store_expire_some(c);
    }
}

static int run(const sigset_t *signals)
{
    tenure_thread *self = tenure_attach(the_server.heap);
    if (self == NULL) {
        fprintf(stderr, "tenure-server: attach: %s\n", strerror(errno));
        return 1;
    }
    tenure_thread_name(self, "main");
    context_begin(&the_server.housekeeping, self);
    the_server.started_ms = the_server.housekeeping.now_ms;
    if (!store_create(self)) {
        fprintf(stderr, "tenure-server: the heap is too small for the store\n");
        return 1;
    }
    memory_limit_set(the_server.settings.max_memory);
    const int listener = worker_listen(the_server.settings.bind, the_server.settings.port);
    if (listener < 0 || !workers_start(self, listener)) return 1;

    printf("tenure-server ready at %s:%u, %u threads\n", the_server.settings.bind, the_server.port,
        the_server.worker_count);
    fflush(stdout);
    keep_house(self, signals);
    atomic_store_explicit(&the_server.stopping, true, memory_order_relaxed);
    workers_join(self);
    close(listener);
    if (the_server.settings.report) tenure_stats_print(the_server.heap, stdout, TENURE_TEXT);
    store_destroy(self);
    tenure_detach(self);
    return 0;
}

int main(int count, char **words)
{
    switch (options_read(count, words, &the_server.settings)) {
    case OPTIONS_RUN:
        break;
    case OPTIONS_DONE:
        return 0;
    case OPTIONS_BAD:
        return 2;
    }
    /* Before the first thread is created, so that all inherit it. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* Reply buffers of a megabyte, of clients that read slowly: mapped one by one, and gone when they are freed. glibc
     * raises its threshold otherwise, and keeps in its arenas what two hundred of them took. */
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    raise_descriptor_limit();
    dictionary_seed();
    command_table_build();
    if (!create_heap()) return 1;
    const int result = run(&signals);
    if (result != 0) return result; /* threads may be running: the process's end is theirs */
    const tenure_status status = tenure_heap_destroy(the_server.heap);
    if (status != TENURE_OK) fprintf(stderr, "tenure-server: heap: %s\n", tenure_strerror(status));
    puts("tenure-server stopped");
    return status == TENURE_OK ? 0 : 1;
}
