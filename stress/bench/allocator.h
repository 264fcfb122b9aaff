/* The allocator under test, as the workloads see it: chosen at compile time, inlined, so that no peer pays for the
 * abstraction. Each workload is written once against these names:
 *
 *   BENCH_TYPE(name, T, reference...)            an object type whose items are references
 *   BENCH_TYPE_LEAF(name, T)                     without references
 *   BENCH_TYPE_FLEX(name, T, member, reference...) with a flexible array of plain data and such items
 *   BENCH_TYPE_FLEX_LEAF(name, T, member)        with a flexible array of plain data and no references
 *   BENCH_NEW(self, name, .field = value...)     an object; fields not named are zero; values may not allocate
 *   BENCH_NEW_FLEX(self, name, count)            its contents are unspecified: write before reading. Until the next
 *                                                allocation plain stores initialise it
 *   BENCH_NEW_REFS(self, T, count)               an array of count NULL references to T
 *   BENCH_SET(self, object, field, value)        stores a reference; BENCH_SET_AT(self, refs, i, value) into an array
 *   BENCH_FREE(object)                           frees where BENCH_EXPLICIT is 1, else nothing
 *   BENCH_PLACE(self), BENCH_DROP(self, place)   all that this thread allocated since then is dead: for bump allocation
 *   BENCH_POLL(self)                             a safepoint, where there are any
 *
 * Running out of memory ends the program with EXIT_EXHAUSTED and a line on stderr; what it cannot do: EXIT_SKIPPED. */
#ifndef BENCH_ALLOCATOR_H
#define BENCH_ALLOCATOR_H

#include <stddef.h>
#include <stdint.h>

enum { EXIT_EXHAUSTED = 3, EXIT_SKIPPED = 4 };

__attribute__((noreturn, cold)) void bench_exhausted(void);

#if defined(BENCH_TENURE)
#include "allocator_tenure.h"
#elif defined(BENCH_LIBGC)
#include "allocator_libgc.h"
#elif defined(BENCH_MALLOC)
#include "allocator_malloc.h"
#elif defined(BENCH_BUMP)
#include "allocator_bump.h"
#else
#error "define BENCH_TENURE, BENCH_LIBGC, BENCH_MALLOC or BENCH_BUMP"
#endif

/* Once, from main's thread. max_heap_bytes 0: as the allocator decides; explicit allocators ignore it. */
void bench_begin(uint64_t max_heap_bytes);
void bench_end(void);

#ifndef BENCH_PLACE /* collectors find out, explicit allocators are told object by object */
#define BENCH_PLACE(self) ((void)(self), NULL)
#define BENCH_DROP(self, place) ((void)(self), (void)(place))
#endif

/* Every thread that allocates, around its work. */
bench_thread *bench_thread_begin(void);
void bench_thread_end(bench_thread *self);

/* Around waiting for other threads. Nothing is allocated, read or written in the heap meanwhile. */
void bench_idle_begin(bench_thread *self);
void bench_idle_end(bench_thread *self);

/* A full collection: what lives now is old. Nothing for explicit allocators. */
void bench_collect(bench_thread *self);

/* The counts of collections start here... */
void bench_collections_begin(void);
/* ... and are added to the result line here, with what else the allocator tells of itself. */
void bench_collections_report(void);

#endif
