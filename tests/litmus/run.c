/* Runs the litmus tests natively: each thread goes through thousands of instances of a test side by side with the
 * others, again and again, and outcomes that the model forbids are counted; one is a failure. Beside each its control,
 * the same accesses without any order: how often that shows the outcome tells what this machine can show at all. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, PLACES = 5, REGISTERS = 8, INSTANCES = 2048, ROUNDS = 100 };

/* A line each, so that they come and go by themselves. */
typedef struct cell {
    _Alignas(64) union {
        atomic_int atomic;
        int plain;
    };
} cell;

typedef struct variant {
    void (*threads[THREADS])(cell *const *cells, size_t at, int *registers);
    bool (*seen)(int (*registers)[REGISTERS], const int *last);
} variant;

typedef struct shape {
    const char *name;
    unsigned threads, places;
    int start[PLACES];
    bool plain[PLACES];
    variant as_it_is, relaxed;
} shape;

#include "shapes.h"

static cell *cells[PLACES];
static int registers[INSTANCES][THREADS][REGISTERS];
static pthread_barrier_t together;
static const variant *running;
static unsigned rounds = ROUNDS;

/* Where each thread is. They wait for each other before each instance, but not for long: one may have no processor. */
enum { PATIENCE = 2000 };
static cell at_instance[THREADS];
static unsigned running_threads;

static void keep_step(size_t thread, int instance)
{
    atomic_store_explicit(&at_instance[thread].atomic, instance, memory_order_relaxed);
    for (unsigned other = 0; other < running_threads; other++)
        for (unsigned spins = 0; spins < PATIENCE; spins++)
            if (atomic_load_explicit(&at_instance[other].atomic, memory_order_relaxed) >= instance) break;
}

/* Some hundred nanoseconds at most: what a line takes from one processor to another, so that either may come first. */
static void delay(size_t thread, unsigned instance)
{
    const unsigned mixed = (instance * 2 + (unsigned)thread + 1) * 2654435761u;
    for (volatile unsigned left = mixed >> 25; left > 0;) left = left - 1;
}

static void *run_thread(void *number)
{
    const size_t thread = (size_t)number;
    for (unsigned round = 0; round < rounds; round++) {
        pthread_barrier_wait(&together);
        for (int i = 0; i < INSTANCES; i++) {
            keep_step(thread, i + 1);
            delay(thread, (unsigned)i);
            running->threads[thread](cells, (size_t)i, registers[i][thread]);
        }
        pthread_barrier_wait(&together);
        atomic_store_explicit(&at_instance[thread].atomic, 0, memory_order_relaxed);
    }
    return NULL;
}

static void prepare(const shape *of)
{
    for (unsigned place = 0; place < of->places; place++)
        for (size_t i = 0; i < INSTANCES; i++)
            if (of->plain[place])
                cells[place][i].plain = of->start[place];
            else
                atomic_store_explicit(&cells[place][i].atomic, of->start[place], memory_order_relaxed);
}

static unsigned long count_seen(const shape *of)
{
    unsigned long seen = 0;
    for (size_t i = 0; i < INSTANCES; i++) {
        int last[PLACES];
        for (unsigned place = 0; place < of->places; place++)
            last[place] = of->plain[place] ? cells[place][i].plain
                                           : atomic_load_explicit(&cells[place][i].atomic, memory_order_relaxed);
        seen += running->seen(registers[i], last);
    }
    return seen;
}

static unsigned long run(const shape *of, const variant *which)
{
    pthread_t threads[THREADS];
    unsigned long seen = 0;
    running = which;
    running_threads = of->threads;
    if (pthread_barrier_init(&together, NULL, of->threads + 1) != 0) abort();
    for (size_t i = 0; i < of->threads; i++)
        if (pthread_create(&threads[i], NULL, run_thread, (void *)i) != 0) abort();
    for (unsigned round = 0; round < rounds; round++) {
        prepare(of);
        pthread_barrier_wait(&together);
        pthread_barrier_wait(&together);
        seen += count_seen(of);
    }
    for (size_t i = 0; i < of->threads; i++) pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&together);
    return seen;
}

int main(int argc, char **argv)
{
    bool failed = false;
    if (argc > 1) rounds = (unsigned)strtoul(argv[1], NULL, 10);
    for (unsigned place = 0; place < PLACES; place++)
        if ((cells[place] = aligned_alloc(64, INSTANCES * sizeof(cell))) == NULL) abort();
    printf("%u instances of each, how many show the outcome: as it is, without orders\n", rounds * INSTANCES);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const unsigned long seen = run(&shapes[i], &shapes[i].as_it_is), control = run(&shapes[i], &shapes[i].relaxed);
        printf("%-12s %10lu %10lu\n", shapes[i].name, seen, control);
        failed |= seen != 0;
    }
    for (unsigned place = 0; place < PLACES; place++) free(cells[place]);
    return failed;
}
