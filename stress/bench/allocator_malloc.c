/* malloc and free. The result line names the library that malloc came from, so that a peer that was not linked in after
 * all shows. */
#include "allocator.h"

#include "measure.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

void bench_exhausted(void)
{
    fprintf(stderr, "malloc: out of memory\n");
    exit(EXIT_EXHAUSTED);
}

void bench_begin(uint64_t max_heap_bytes) { (void)max_heap_bytes; }

void bench_end(void) {}

bench_thread *bench_thread_begin(void) { return NULL; }

void bench_thread_end(bench_thread *self) { (void)self; }

void bench_idle_begin(bench_thread *self) { (void)self; }

void bench_idle_end(bench_thread *self) { (void)self; }

void bench_collect(bench_thread *self) { (void)self; }

void bench_collections_begin(void) {}

void bench_collections_report(void)
{
    Dl_info found;
    void *function = dlsym(RTLD_DEFAULT, "malloc");
    if (function == NULL || dladdr(function, &found) == 0 || found.dli_fname == NULL) return;
    const char *slash = strrchr(found.dli_fname, '/');
    result_text("malloc_from", slash != NULL ? slash + 1 : found.dli_fname);
}
