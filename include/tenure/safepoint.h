/* Safepoints: polls, blocking and idle regions, stopping the world, RCU.
 *
 * A mutator stops only at a safepoint: an allocation, a poll, the start or end of a region, and every other call that
 * may block or collect. What such a call is given in objects of precise heaps (where a result goes, a path) may move
 * before it is used, unless the call says otherwise; locks and deadlines, buffers of io.h, and out of
 * tenure_thread_create may lie there, in objects of self's heap.
 *
 * Signal handlers may interrupt anything but must not use the heap, in or out of regions: no call of Tenure, no heap
 * object. Calls from handlers abort where they are recognised (threads/README.md, "Signals"). */
#ifndef TENURE_SAFEPOINT_H
#define TENURE_SAFEPOINT_H

#include <tenure/thread.h>

#ifdef __cplusplus
extern "C" {
#endif

TENURE_API void tenure__poll_slow(tenure_thread *self);

/* A safepoint for loops that do not allocate: one load and a compare. May block, may collect. */
static inline void tenure_poll(tenure_thread *self)
{
    if (__builtin_expect(__atomic_load_n(&self->limit, __ATOMIC_RELAXED) == 0, 0)) tenure__poll_slow(self);
}

/* Between the two calls the thread is outside the stop set: a stop neither waits for it nor wakes it. Inside: no heap
 * access but through pinned memory (what this thread's stack points to stays where it is and lives); allocating aborts.
 * Regions nest. tenure_leave_blocking waits for a stop that is going on, and for one at most.
 *
 * A thread that is cancelled or exits between two such calls stays outside until it is detached: its handlers must not
 * use the heap, and no TENURE_FRAME of a precise heap may be open, for it would end while stops look at it. Out of a
 * SCOPE or CALL (below; if compiled with -fexceptions) it comes back in first, out of calls of Tenure always. */
TENURE_API void tenure_enter_blocking(tenure_thread *self);
TENURE_API void tenure_leave_blocking(tenure_thread *self);

/* The same, and nobody else stores references into this thread's stack meanwhile: young stops skip it altogether. */
TENURE_API void tenure_enter_idle(tenure_thread *self);
TENURE_API void tenure_leave_idle(tenure_thread *self);

/* For longjmp out of regions and TENURE_FRAMEs: what tenure_jump_save returns, tenure_jump_restore goes back to. It
 * leaves the regions, of all of the thread's heaps, and ends the frames, of self's: with frames in others, save and
 * restore in each. Restore before the jump, with no safepoint in between: what is jumped over is intact while stops
 * look at it, and what registers get back is found. After it only where there is no before (out of a signal handler):
 * then what is used afterwards is volatile, and a TENURE_FRAME of a precise heap left inside a region aborts (where it
 * is recognised). Not across a tenure_enter that has not been left. May block, may collect. */
typedef struct tenure_jump {
    unsigned depth;
    struct tenure__frame *frames;
} tenure_jump;
TENURE_API tenure_jump tenure_jump_save(tenure_thread *self);
TENURE_API void tenure_jump_restore(tenure_thread *self, tenure_jump jump);

/* Always inlined: the registers that tenure_enter_blocking saves must be those of a frame that lives on. */
static inline __attribute__((always_inline)) tenure_thread *tenure__scope_blocking(tenure_thread *self)
{
    tenure_enter_blocking(self);
    return self;
}
static inline __attribute__((always_inline)) tenure_thread *tenure__scope_idle(tenure_thread *self)
{
    tenure_enter_idle(self);
    return self;
}
static inline void tenure__scope_blocking_end(tenure_thread **self) { tenure_leave_blocking(*self); }
static inline void tenure__scope_idle_end(tenure_thread **self) { tenure_leave_idle(*self); }

#define TENURE__CONCAT_(a, b) a##b
#define TENURE__CONCAT(a, b) TENURE__CONCAT_(a, b)

/* A region to the end of the enclosing block, however it is left. */
#define TENURE_BLOCKING_SCOPE(self)                                                             \
    __attribute__((cleanup(tenure__scope_blocking_end), unused)) tenure_thread *TENURE__CONCAT( \
        tenure__scope_, __COUNTER__) = tenure__scope_blocking(self)
#define TENURE_IDLE_SCOPE(self)                                                             \
    __attribute__((cleanup(tenure__scope_idle_end), unused)) tenure_thread *TENURE__CONCAT( \
        tenure__scope_, __COUNTER__) = tenure__scope_idle(self)

/* A region around one call; the value is the call's. */
#define TENURE_BLOCKING_CALL(self, call) \
    __extension__({                      \
        TENURE_BLOCKING_SCOPE(self);     \
        call;                            \
    })
#define TENURE_IDLE_CALL(self, call) \
    __extension__({                  \
        TENURE_IDLE_SCOPE(self);     \
        call;                        \
    })

/* Stops every other mutator of the heap; nests. Requesters queue as blocked. The owner may allocate; when Gen 0 is full
 * it collects itself. May block. TENURE_EDEADLK: the caller owns another heap's stop, and this one has an owner too.
 * Other calls into another heap (attach, detach, roots, handles, collections) wait for its owner, as for a lock: two
 * owners who do so crosswise wait for ever. */
TENURE_API tenure_status tenure_stop_world(tenure_thread *self);
TENURE_API void tenure_resume_world(tenure_thread *self);

/* Waits for an RCU grace period (urcu-qsbr); the caller is offline meanwhile, and threads that only poll announce
 * quiescence. May block. */
TENURE_API void tenure_synchronize_rcu(tenure_thread *self);

#ifdef __cplusplus
}
#endif
#endif
