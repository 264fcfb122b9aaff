/* Finalizers, cleaners and death callbacks: what runs when an object has died.
 *
 * They run on a thread of the heap's own (the default), or where the program pumps them; never on an allocating thread,
 * never in a stop; one after the other on each thread, in no order. A function may allocate, lock, block, register and
 * resurrect. It must return: longjmp, pthread_exit or an exception out of it are not allowed, nor a region or a stopped
 * world that it does not end. It has no way to fail: what went wrong is for the function to report, the next one runs
 * in any case. One that blocks holds up no collection and no other thread, only the finalizers behind it.
 *
 * To release files, connections and memory outside the heap prefer cleaners: they run when the object is really gone,
 * cannot resurrect it and keep nothing else alive.
 *
 * After fork the child runs what was due and not begun; what another thread was in the middle of stays half done, as
 * everything that other threads did. Descriptors, the eventfd among them, are shared with the parent.
 *
 * When descriptors run out (EMFILE): tenure_collect(self, TENURE_GEN2), tenure_finalizers_drain, try again. Off-heap
 * memory: tenure_external_bytes (tenure/alloc.h). */
#ifndef TENURE_FINALIZER_H
#define TENURE_FINALIZER_H

#include <tenure/weak.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- finalizers: called with the object, as Python's __del__ by PEP 442 --- */

/* object is whole, and so is everything that it refers to, though that may have been finalized before or may be next:
 * nothing of a dead group of objects is freed before all its finalizers ran. Whoever stores object where it can be
 * reached resurrects it; its weak references are cleared nevertheless. */
typedef void tenure_finalizer_fn(tenure_thread *self, void *object, void *arg);

/* Calls fn once, after object became unreachable. An object has at most one finalizer: a second call replaces the
 * first. Once it was called it may be registered again. arg: anything; if it is an object it is kept until then (it
 * must not lead to object, which would never die). May collect. TENURE_ENOMEM. */
TENURE_API tenure_status tenure_finalize(tenure_thread *self, void *object, tenure_finalizer_fn *fn, void *arg);
/* True: object had a finalizer that was not yet due; now it has none. */
TENURE_API bool tenure_finalize_cancel(tenure_thread *self, void *object);

/* --- cleaners: called without the object, after it is gone, as Java's Cleaner and Python's weakref.finalize --- */

typedef void tenure_cleaner_fn(tenure_thread *self, void *arg);
typedef struct tenure_cleaner tenure_cleaner;

/* Calls fn(arg) once: after object is gone (and was not resurrected by its finalizer), when tenure_cleaner_run is
 * called, or when the heap is destroyed. arg as with tenure_finalize. The result is a heap object that nobody need
 * keep; any number for one object. May collect. NULL and errno ENOMEM. */
TENURE_API tenure_cleaner *tenure_cleaner_new(tenure_thread *self, void *object, tenure_cleaner_fn *fn, void *arg);
/* Runs it now, on this thread, unless it ran or was cancelled: then false. */
TENURE_API bool tenure_cleaner_run(tenure_thread *self, tenure_cleaner *cleaner);
/* It will not run. False: it ran, or was cancelled before. */
TENURE_API bool tenure_cleaner_cancel(tenure_thread *self, tenure_cleaner *cleaner);

/* --- death callbacks: called for a weak reference that outlives its target --- */

typedef void tenure_watch_fn(tenure_thread *self, tenure_weak *weak, void *arg);

/* A weak reference of its own (never shared); fn(weak, arg) is called once after it was cleared, if it can itself be
 * reached then. arg as with tenure_finalize, kept by the reference. May collect. NULL and errno ENOMEM. */
TENURE_API tenure_weak *tenure_weak_watch(tenure_thread *self, void *target, tenure_watch_fn *fn, void *arg);

/* --- where they run --- */

/* Runs what is due on this thread, up to max; how many ran. Attached callers, with options.finalizers of either kind;
 * may collect, and what they do. */
TENURE_API size_t tenure_finalizers_pump(tenure_thread *self, size_t max);

/* Returns when nothing is due and nothing runs: waits for the finalizer thread (TENURE_THREAD), or pumps (TENURE_PUMP)
 * and waits for other pumps. TENURE_ETIMEDOUT after timeout_ns (pumping, it ends between two of them); TENURE_EDEADLK
 * within something that was due, and between tenure_stop_world and tenure_resume_world. May block, may collect. */
TENURE_API tenure_status tenure_finalizers_drain(tenure_thread *self, uint64_t timeout_ns);

/* From now on fn(arg) is called, on the daemon and outside stops, when a collection has found something to run. It must
 * not block for long, and does not touch the heap. What was set before may be running still when this returns. Beside
 * it or instead: options.finalizers_eventfd. fn NULL: none. Any thread. */
typedef void tenure_ready_fn(void *arg);
TENURE_API void tenure_finalizers_ready(tenure_heap *heap, tenure_ready_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif
#endif
