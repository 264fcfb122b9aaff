/* CPU nanoseconds per call of what the interposer stands before, when nothing blocks: of an unattached thread and of an
 * attached one. Run it with and without LD_PRELOAD=libtenure_interpose.so; the best of several repetitions. */
#include "measure.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <tenure.h>
#include <unistd.h>

enum { REPETITIONS = 9 };

static uint64_t calls = 200 * 1000;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int zero;
static FILE *null, *zeroes;

static void lock_and_unlock(void)
{
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
}
static void read_byte(void)
{
    char byte;
    if (read(zero, &byte, 1) != 1) perror("read");
}
static void put_byte(void) { fputc('x', null); }
static void put_line(void) { fputs("a line of some forty characters or so..\n", null); }
static void print_number(void) { fprintf(null, "%d\n", 4711); }
static void get_byte(void) { fgetc(zeroes); }

static const struct {
    const char *name;
    void (*call)(void);
} measured[] = { { "lock", lock_and_unlock }, { "read", read_byte }, { "fputc", put_byte }, { "fputs", put_line },
    { "fprintf", print_number }, { "fgetc", get_byte } };

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void measure(const char *thread)
{
    for (size_t i = 0; i < sizeof measured / sizeof measured[0]; i++) {
        uint64_t best = UINT64_MAX;
        for (unsigned repetition = 0; repetition < REPETITIONS; repetition++) {
            const uint64_t begin = cpu_ns();
            for (uint64_t call = 0; call < calls; call++) measured[i].call();
            const uint64_t ns = cpu_ns() - begin;
            if (ns < best) best = ns;
        }
        char key[32];
        snprintf(key, sizeof key, "%s_%s_ns", thread, measured[i].name);
        result_real(key, (double)best / (double)calls);
    }
}

static void *do_nothing(void *arg) { return arg; }

int main(int argc, char **argv)
{
    const struct argument arguments[] = { { "calls", &calls, "of each kind, repeated" } };
    arguments_parse(argc, argv, arguments, 1);
    zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    null = fopen("/dev/null", "we");
    zeroes = fopen("/dev/zero", "re");
    tenure_heap *heap;
    pthread_t thread;
    /* The C library locks less in a process that never had a second thread. */
    if (zero < 0 || null == NULL || zeroes == NULL || pthread_create(&thread, NULL, do_nothing, NULL) != 0 ||
        pthread_join(thread, NULL) != 0 || tenure_heap_create(&heap, NULL) != TENURE_OK)
        return 1;
    result_begin("interpose");
    measure("unattached");
    tenure_thread *self = tenure_attach(heap);
    measure("attached");
    result_end();
    tenure_detach(self);
    return tenure_heap_destroy(heap) != TENURE_OK;
}
