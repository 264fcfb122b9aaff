/* What all threads of the server share: the settings, the list of workers, and the request to stop. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "context.h"
#include <stdbool.h>
#include <stddef.h>

enum { SERVER_MAX_THREADS = 256, SERVER_MAX_HEAP_WORDS = 512 };

typedef struct server_settings {
    const char *bind;
    unsigned port;    /* 0: any free one */
    unsigned threads; /* 0: as many as there are usable processors */
    unsigned max_clients;
    uint64_t max_memory;              /* 0: no limit */
    uint64_t max_output;              /* bytes of replies that one client may let wait */
    char heap[SERVER_MAX_HEAP_WORDS]; /* for tenure_options_parse */
    bool report;                      /* print the collector's statistics at the end */
} server_settings;

struct worker;
typedef struct server {
    server_settings settings;
    unsigned port; /* that it really listens at */
    int64_t started_ms;
    tenure_heap *heap;
    struct worker *workers;
    unsigned worker_count;
    context housekeeping; /* the main thread's */
    _Atomic bool stopping;
    _Atomic uint64_t next_client_id;
    _Atomic uint64_t clients, total_connections, rejected_connections; /* relaxed: numbers that stand alone */
} server;
extern server the_server;

/* Asks all threads to end; any thread may call it, and it returns at once. */
void server_stop(void);

#endif
