/* Threads: attach, enter, leave, detach.
 *
 * A thread that touches heap objects is attached: it is a mutator. Its record (tenure_thread) belongs to it alone, and
 * not to its signal handlers.
 *
 * fork: a safepoint; may block until stops that other threads own are over. The child has the calling thread alone,
 * attached as it was, and may go on with every heap; what only other threads' stacks held is gone. A read-side section
 * of RCU ends. Not from trace functions and root callbacks (aborts).
 *
 * Of what waits, the calls of io.h and the waits for conditions and semaphores are cancellation points. Asynchronous
 * cancellation only inside regions. */
#ifndef TENURE_THREAD_H
#define TENURE_THREAD_H

#include <pthread.h>
#include <tenure/heap.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is inlined reads these fields; the rest of the record is private. */
struct tenure__frame;
struct tenure_thread {
    uintptr_t top;                /* owner only: where the next object's header goes, 8 mod 16 */
    uintptr_t limit;              /* atomic: end of the window; a stop request stores 0 */
    struct tenure__frame *frames; /* owner only: innermost TENURE_FRAME */
    tenure_heap *heap;            /* constant */
    uintptr_t cards;              /* constant: where address 0 would have its card */
    uintptr_t arena;              /* constant: where the first block is */
    uintptr_t blocks;             /* constant: how many there are; 0 with check=barriers, which has every store told */
    const uint8_t *kinds;         /* constant: of each block its kind; atomic */
};

/* Attaches the calling thread; counted when it is attached already. NULL and errno ENOMEM when there is no memory, or
 * EINVAL when the thread runs on a stack that is not its own (see tenure_stack_add). May block while a stop is going
 * on. An exiting thread is detached by its TLS destructor. */
TENURE_API tenure_thread *tenure_attach(tenure_heap *heap);

/* Undoes one tenure_attach; the last one detaches: self is invalid then, and every TENURE_FRAME must have ended. What
 * the thread's function returned is no root any more. May block. */
TENURE_API void tenure_detach(tenure_thread *self);

/* For callbacks of a library: attaches if need be, comes back in even from inside a blocking region. Nests.
 * tenure_leave restores what was. Both may block. */
TENURE_API tenure_thread *tenure_enter(tenure_heap *heap);
TENURE_API void tenure_leave(tenure_thread *self);

/* This thread's record in that heap, or NULL. */
TENURE_API tenure_thread *tenure_self(tenure_heap *heap);

/* Names the thread in reports; copied, 31 bytes at most. */
TENURE_API void tenure_thread_name(tenure_thread *self, const char *name);

/* pthread_create for a thread that is attached to self's heap while fn runs; object (a heap object or NULL) stays
 * rooted on its way and is fn's argument. May block. TENURE_ESYSTEM with errno, TENURE_ENOMEM. */
typedef void *tenure_thread_fn(tenure_thread *self, void *object);
TENURE_API tenure_status tenure_thread_create(
    tenure_thread *self, pthread_t *out, const pthread_attr_t *attr, tenure_thread_fn *fn, void *object);

#ifdef __cplusplus
}
#endif
#endif
