/* The threads of a workload. */
#ifndef BENCH_WORKERS_H
#define BENCH_WORKERS_H

#include <stdint.h>

typedef void worker_fn(unsigned index, void *arg);

/* Runs fn(0, arg) on the calling thread and fn(1..count-1, arg) on new ones, so that a program with one worker has one
 * thread; returns when all have returned. */
void workers_run(uint64_t count, worker_fn *fn, void *arg);

#endif
