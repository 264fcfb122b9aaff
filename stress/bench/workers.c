#include "workers.h"

#include "allocator.h" /* libgc puts its own pthread_create in place */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS_MAX = 256 };

struct worker {
    pthread_t thread;
    worker_fn *fn;
    void *arg;
    unsigned index;
};

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    worker->fn(worker->index, worker->arg);
    return NULL;
}

static void must(int error, const char *what)
{
    if (error == 0) return;
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    exit(EXIT_FAILURE);
}

void workers_run(uint64_t count, worker_fn *fn, void *arg)
{
    static struct worker workers[WORKERS_MAX];
    if (count < 1 || count > WORKERS_MAX) {
        fprintf(stderr, "threads: 1 to %d\n", WORKERS_MAX);
        exit(EXIT_FAILURE);
    }
    for (unsigned i = 1; i < count; i++) {
        workers[i].fn = fn;
        workers[i].arg = arg;
        workers[i].index = i;
        must(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), "pthread_create");
    }
    fn(0, arg);
    for (unsigned i = 1; i < count; i++) must(pthread_join(workers[i].thread, NULL), "pthread_join");
}
