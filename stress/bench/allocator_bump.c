/* Bump allocation: every thread has an address range of its own, which the system fills with pages as it is touched. */
#include "allocator.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define ARENA_BYTES ((size_t)16 << 30)

_Thread_local struct bench_arena bench_arena;

void bench_exhausted(void)
{
    fprintf(stderr, "bump: out of memory\n");
    exit(EXIT_EXHAUSTED);
}

void bench_begin(uint64_t max_heap_bytes) { (void)max_heap_bytes; }

void bench_end(void) {}

bench_thread *bench_thread_begin(void)
{
    void *arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED) bench_exhausted();
    bench_arena = (struct bench_arena) { arena, (char *)arena + ARENA_BYTES };
    return NULL;
}

/* What it allocated lives on. */
void bench_thread_end(bench_thread *self) { (void)self; }

void bench_idle_begin(bench_thread *self) { (void)self; }

void bench_idle_end(bench_thread *self) { (void)self; }

void bench_collect(bench_thread *self) { (void)self; }

void bench_collections_begin(void) {}

void bench_collections_report(void) {}
