/* A weak intern table: N strings in a tenure_weakset, put by threads that share them out, then looked up by all threads
 * in an order of their own, then put again when all are there. */
#include "measure.h"
#include "random.h"
#include "workers.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenure.h>

struct string {
    uint64_t length;
    char bytes[];
};
TENURE_TYPE_FLEX(string_type, struct string, bytes);

enum { LENGTH = 24 };

static uint64_t strings = 1000000, threads = 1;
static tenure_heap *heap;
static tenure_weakset *set;
static struct string **kept;
static pthread_barrier_t barrier;
static struct lap {
    uint64_t wall_ns, cpu_ns;
} laps[4];

static void must(int right, const char *what)
{
    if (right) return;
    fprintf(stderr, "intern: %s\n", what);
    exit(EXIT_FAILURE);
}

/* FNV-1a (Fowler, Noll, Vo). */
static uint64_t hash_string(const void *key, void *arg)
{
    (void)arg;
    const struct string *string = key;
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint64_t i = 0; i < string->length; i++) hash = (hash ^ (unsigned char)string->bytes[i]) * 0x100000001b3u;
    return hash;
}
static bool equal_strings(const void *key, const void *probe, void *arg)
{
    (void)arg;
    const struct string *a = key, *b = probe;
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

static void name(struct string *string, uint64_t number)
{
    string->length = (uint64_t)snprintf(string->bytes, LENGTH, "name-%" PRIu64, number);
}

static struct string *intern(tenure_thread *self, uint64_t number)
{
    struct string *string = tenure_new_flex(self, string_type, LENGTH);
    must(string != NULL, "out of memory");
    name(string, number);
    string = tenure_weakset_put_if_absent(self, set, string);
    must(string != NULL, "out of memory");
    return string;
}

static void put(tenure_thread *self, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        struct string *string = intern(self, i);
        TENURE_SET_AT(self, kept, i, string);
    }
}
static void put_again(tenure_thread *self, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) must(intern(self, i) == kept[i], "another string won");
}
static void get(tenure_thread *self, uint64_t count, uint64_t random)
{
    struct string *probe = malloc(sizeof *probe + LENGTH);
    must(probe != NULL, "out of memory");
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t number = random_below(&random, strings);
        name(probe, number);
        must(tenure_weakset_get(self, set, probe) == kept[number], "not found");
        tenure_poll(self);
    }
    free(probe);
}

/* When all threads have come here. */
static void lap(tenure_thread *self, unsigned index, unsigned which)
{
    TENURE_IDLE_CALL(self, pthread_barrier_wait(&barrier));
    if (index == 0) laps[which] = (struct lap) { measure_now_ns(), measure_cpu_ns() };
}

static void work(unsigned index, void *arg)
{
    (void)arg;
    tenure_thread *self = tenure_attach(heap);
    const uint64_t from = strings * index / threads, to = strings * (index + 1) / threads;
    lap(self, index, 0);
    put(self, from, to);
    lap(self, index, 1);
    get(self, strings / threads, index + 1);
    lap(self, index, 2);
    put_again(self, from, to);
    lap(self, index, 3);
    tenure_detach(self);
}

static void report(const char *name, unsigned from)
{
    char key[32];
    snprintf(key, sizeof key, "%s_per_s", name);
    result_real(key, (double)strings * 1e9 / (double)(laps[from + 1].wall_ns - laps[from].wall_ns));
    snprintf(key, sizeof key, "%s_cpu_ns", name);
    result_real(key, (double)(laps[from + 1].cpu_ns - laps[from].cpu_ns) / (double)strings);
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = { { "strings", &strings, "that are interned" },
        { "threads", &threads, "that share the work" } };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    must(tenure_heap_create(&heap, NULL) == TENURE_OK, "no heap");
    must(tenure_root_add(heap, &kept) == TENURE_OK && tenure_root_add(heap, &set) == TENURE_OK, "no roots");
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    tenure_thread *self = tenure_attach(heap);
    set = tenure_weakset_new(self, hash_string, equal_strings, NULL);
    kept = TENURE_NEW_REFS(self, struct string, strings);
    must(set != NULL && kept != NULL, "out of memory");
    tenure_detach(self);
    workers_run(threads, work, NULL);
    self = tenure_attach(heap);
    must(tenure_weakset_count(self, set) == strings, "lost some");
    kept = NULL;
    tenure_collect(self, TENURE_GEN2);
    must(tenure_weakset_count(self, set) <= threads + 2, "something is kept");
    tenure_detach(self);
    result_begin("intern");
    report("put", 0);
    report("get", 1);
    report("again", 2);
    result_end();
    return tenure_heap_destroy(heap) == TENURE_OK ? 0 : 1;
}
