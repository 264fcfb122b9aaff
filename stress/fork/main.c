/* How long a fork takes, and how long it holds up the others: stress-fork [live MiB] [forks]. Two threads poll without
 * a pause and note the longest time between two polls around each fork; the child leaves at once. Last _Fork, which
 * runs no handlers: the system copies the page tables. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <tenure.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 2, NODE_WORDS = 4 };
struct node {
    struct node *next;
    long words[NODE_WORDS - 1];
};
TENURE_TYPE(node, struct node, next);

static tenure_heap *heap;
static atomic_bool stop;
static _Atomic uint64_t longest[THREADS];

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *poll_all_the_time(void *arg)
{
    _Atomic uint64_t *mine = arg;
    tenure_thread *self = tenure_attach(heap);
    for (uint64_t last = now_ns(), now; !atomic_load(&stop); last = now) {
        tenure_poll(self);
        now = now_ns();
        if (now - last > atomic_load(mine)) atomic_store(mine, now - last);
    }
    tenure_detach(self);
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void print(const char *what, uint64_t *ns, unsigned count)
{
    qsort(ns, count, sizeof *ns, by_size);
    printf("%-28s median %8.3f  p90 %8.3f  max %8.3f ms\n", what, (double)ns[count / 2] / 1e6,
        (double)ns[count * 9 / 10] / 1e6, (double)ns[count - 1] / 1e6);
}

static uint64_t fork_once(bool handlers)
{
    const uint64_t start = now_ns();
    const pid_t child = handlers ? fork() : _Fork();
    if (child == 0) _exit(0);
    const uint64_t taken = now_ns() - start;
    if (child < 0 || waitpid(child, NULL, 0) != child) abort();
    return taken;
}

static void measure(const char *what, unsigned forks, bool handlers)
{
    uint64_t *taken = calloc(forks, sizeof *taken), *held = calloc(forks, sizeof *held);
    if (taken == NULL || held == NULL) abort();
    for (unsigned i = 0; i < forks; i++) {
        for (unsigned j = 0; j < THREADS; j++) atomic_store(&longest[j], 0);
        taken[i] = fork_once(handlers);
        for (unsigned j = 0; j < THREADS; j++)
            if (atomic_load(&longest[j]) > held[i]) held[i] = atomic_load(&longest[j]);
        usleep(2000);
    }
    printf("%s\n", what);
    print("  fork()", taken, forks);
    print("  longest time without a poll", held, forks);
    free(taken);
    free(held);
}

static void run_beside(const char *what, tenure_thread *self, unsigned forks)
{
    pthread_t threads[THREADS];
    atomic_store(&stop, false);
    for (unsigned i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, poll_all_the_time, &longest[i]) != 0) abort();
    measure(what, forks, true);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < THREADS; i++) tenure_join(self, threads[i], NULL);
}

int main(int argc, char **argv)
{
    const long live = argc > 1 ? atol(argv[1]) : 0;
    const unsigned forks = argc > 2 ? (unsigned)atol(argv[2]) : 200;
    if (tenure_heap_create(&heap, NULL) != TENURE_OK) return 1;
    tenure_thread *self = tenure_attach(heap);
    struct node *volatile kept = NULL;
    for (long i = 0; i < live * (1 << 20) / (long)sizeof(struct node); i++) {
        struct node *fresh = TENURE_NEW(self, node, .next = kept);
        kept = fresh;
    }
    run_beside("beside two threads", self, forks);
    run_beside("the same, some threads were detached", self, forks); /* liburcu's callback thread is there */
    measure("alone, without any handlers: the system's part", forks, false);
    return kept == NULL && live != 0;
}
