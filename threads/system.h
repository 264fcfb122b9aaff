/* The one place where the library asks the system for memory, its protection and threads, so that each of these calls
 * can be made to fail (option fault). Without faults that is one test of a flag beside a system call or a malloc.
 *
 * What faults there are holds for the process: types, locks and queues are its, not a heap's. */
#ifndef TENURE_THREADS_SYSTEM_H
#define TENURE_THREADS_SYSTEM_H

#include "include/tenure/heap.h"
#include <pthread.h>

/* Memory of which only what is touched is used, zeroed. NULL: errno says why. Allowed in a stop, as are the next. */
void *tenure__map(size_t bytes);
/* Not accessible before it is committed. */
void *tenure__reserve(size_t bytes);
void tenure__unmap(void *memory, size_t bytes);
/* Makes it readable and writable, and inaccessible again. */
bool tenure__commit(void *memory, size_t bytes);
bool tenure__withdraw(void *memory, size_t bytes);
/* madvise; 0 or -1. */
int tenure__advise(void *memory, size_t bytes, int advice);

/* As those of the C library; what they return is given to free. */
void *tenure__malloc(size_t bytes);
void *tenure__calloc(size_t count, size_t bytes);
void *tenure__realloc(void *memory, size_t bytes);
/* At a cache line, zeroed. */
void *tenure__malloc_line(size_t bytes);
/* Whether an allocation that another library makes is to fail. */
bool tenure__malloc_fails(void);

/* pthread_create; 0 or the error. */
int tenure__thread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
/* A thread of the library's own: named, all signals blocked (they are for the program's threads) but those of faults,
 * which end a process where they are blocked, whatever handler there is; finalizers and trace functions have faults. */
int tenure__own_thread(pthread_t *out, const char *name, void *(*fn)(void *), void *arg);

/* From now on these faults; NULL: none. They begin anew: the counts from 0, the seed's sequence from its start. */
void tenure__faults_set(const tenure_faults *faults);
/* Calls that could have failed since. */
uint64_t tenure__faults_calls(void);
/* Those that were made to fail since. */
uint64_t tenure__faults_failed(void);

#endif
