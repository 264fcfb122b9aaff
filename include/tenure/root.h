/* Roots beyond the stacks of attached threads. Functions that take a heap may be called from any thread; they may wait
 * for a stop to end (outside the stop set when the caller is attached), so an attached caller may see objects move. */
#ifndef TENURE_ROOT_H
#define TENURE_ROOT_H

#include <tenure/thread.h>
#include <tenure/type.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- locals of precise heaps --- */

struct tenure__local {
    void *address; /* of one reference or of an array of them */
    size_t count;
};
struct tenure__frame {
    struct tenure__frame *outer;
    tenure_thread *self;
    const struct tenure__local *locals;
    size_t count;
};
static inline void tenure__frame_end(struct tenure__frame *frame) { frame->self->frames = frame->outer; }
static inline __attribute__((always_inline)) struct tenure__frame *tenure__frame_begin(struct tenure__frame *frame)
{
    frame->outer = frame->self->frames;
    struct tenure__frame *published = frame;
    __asm__("" : "+r"(published));
    frame->self->frames = published;
    return frame;
}

/* 0 +: else gcc warns where v is a void **. */
#define TENURE__LOCAL(T, E, v) { (void *)&(v), (0 + sizeof(v)) / sizeof(void *) },
#define TENURE__LOCALS_1(T, E, a) TENURE__LOCAL(T, E, a)
#define TENURE__LOCALS_2(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_1(T, E, __VA_ARGS__)
#define TENURE__LOCALS_3(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_2(T, E, __VA_ARGS__)
#define TENURE__LOCALS_4(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_3(T, E, __VA_ARGS__)
#define TENURE__LOCALS_5(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_4(T, E, __VA_ARGS__)
#define TENURE__LOCALS_6(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_5(T, E, __VA_ARGS__)
#define TENURE__LOCALS_7(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_6(T, E, __VA_ARGS__)
#define TENURE__LOCALS_8(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_7(T, E, __VA_ARGS__)
#define TENURE__LOCALS_9(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_8(T, E, __VA_ARGS__)
#define TENURE__LOCALS_10(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_9(T, E, __VA_ARGS__)
#define TENURE__LOCALS_11(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_10(T, E, __VA_ARGS__)
#define TENURE__LOCALS_12(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_11(T, E, __VA_ARGS__)
#define TENURE__LOCALS_13(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_12(T, E, __VA_ARGS__)
#define TENURE__LOCALS_14(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_13(T, E, __VA_ARGS__)
#define TENURE__LOCALS_15(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_14(T, E, __VA_ARGS__)
#define TENURE__LOCALS_16(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_15(T, E, __VA_ARGS__)
#define TENURE__LOCALS_17(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_16(T, E, __VA_ARGS__)
#define TENURE__LOCALS_18(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_17(T, E, __VA_ARGS__)
#define TENURE__LOCALS_19(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_18(T, E, __VA_ARGS__)
#define TENURE__LOCALS_20(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_19(T, E, __VA_ARGS__)
#define TENURE__LOCALS_21(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_20(T, E, __VA_ARGS__)
#define TENURE__LOCALS_22(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_21(T, E, __VA_ARGS__)
#define TENURE__LOCALS_23(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_22(T, E, __VA_ARGS__)
#define TENURE__LOCALS_24(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_23(T, E, __VA_ARGS__)
#define TENURE__LOCALS_25(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_24(T, E, __VA_ARGS__)
#define TENURE__LOCALS_26(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_25(T, E, __VA_ARGS__)
#define TENURE__LOCALS_27(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_26(T, E, __VA_ARGS__)
#define TENURE__LOCALS_28(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_27(T, E, __VA_ARGS__)
#define TENURE__LOCALS_29(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_28(T, E, __VA_ARGS__)
#define TENURE__LOCALS_30(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_29(T, E, __VA_ARGS__)
#define TENURE__LOCALS_31(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_30(T, E, __VA_ARGS__)
#define TENURE__LOCALS_32(T, E, a, ...) TENURE__LOCAL(T, E, a) TENURE__LOCALS_31(T, E, __VA_ARGS__)

/* TENURE_FRAME(self, a, b, array): up to 32 initialised pointer variables or arrays of pointers of this block are roots
 * to its end, however it is left (by pthread_exit or cancellation: if compiled with -fexceptions, else the frame stays
 * on and is read when its stack is gone; regions and locks held to the end of a block likewise). TENURE_LOCALS(self, L,
 * T *a, *b;) declares them, zeroed, as fields of L. */
#define TENURE_FRAME(self, ...) TENURE__FRAME_(self, __COUNTER__, __VA_ARGS__)
#define TENURE_LOCALS(self, L, ...)    \
    struct {                           \
        __VA_ARGS__                    \
    } L;                               \
    __builtin_memset(&L, 0, sizeof L); \
    TENURE_FRAME(self, L)
#define TENURE__FRAME_(self, id, ...) \
    TENURE__FRAME_OF(self, TENURE__CONCAT(tenure__locals_, id), TENURE__CONCAT(tenure__frame_, id), __VA_ARGS__)
#define TENURE__FRAME_OF(self_, locals_, frame_, ...)                                                        \
    const struct tenure__local locals_[] = { TENURE__PASTE(TENURE__LOCALS_, TENURE__COUNT(__VA_ARGS__))(     \
        ~, ~, __VA_ARGS__) };                                                                                \
    __attribute__((cleanup(tenure__frame_end), unused)) struct tenure__frame frame_ = { 0, (self_), locals_, \
        sizeof locals_ / sizeof locals_[0] };                                                                \
    (void)tenure__frame_begin(&frame_)

/* --- registered roots --- */

/* slot: the address of one reference outside the heap; precise, followed and updated. TENURE_ENOMEM. */
TENURE_API tenure_status tenure_root_add(tenure_heap *heap, void *slot);
TENURE_API void tenure_root_remove(tenure_heap *heap, void *slot);

typedef enum tenure_precision { TENURE_PRECISE, TENURE_AMBIGUOUS } tenure_precision;
TENURE_API tenure_status tenure_root_range_add(
    tenure_heap *heap, void *start, size_t bytes, tenure_precision precision);
TENURE_API void tenure_root_range_remove(tenure_heap *heap, void *start);

/* Called in every stop, on a collector thread; visits references outside the heap; as a trace function it takes no lock
 * and allocates nothing. */
typedef void tenure_root_fn(tenure_visitor *visitor, void *arg);
TENURE_API tenure_status tenure_root_callback_add(tenure_heap *heap, tenure_root_fn *fn, void *arg);
TENURE_API void tenure_root_callback_remove(tenure_heap *heap, tenure_root_fn *fn, void *arg);

/* The data segments of the program and its libraries and the TLS of attached threads, ambiguously. Not for private
 * embedders. */
TENURE_API tenure_status tenure_root_program(tenure_heap *heap);

/* --- fibers --- */

/* A stack that is not a thread's own: [low, high), and where its registers are saved while it does not run. NULL and
 * errno ENOMEM or EINVAL. */
typedef struct tenure_stack tenure_stack;
TENURE_API tenure_stack *tenure_stack_add(tenure_heap *heap, void *low, void *high, void *save_area, size_t save_bytes);
TENURE_API void tenure_stack_remove(tenure_heap *heap, tenure_stack *stack);
/* Just before this thread switches to that stack; NULL: to its own. Each stack has its own TENURE_FRAMEs: none begins
 * or ends between this call and the switch, and a stack with open ones goes on on the thread that opened them (else it
 * aborts); given up with open ones it is removed, and added anew. Callbacks of several stacks (tenure_enter) end in
 * reverse order. */
TENURE_API void tenure_stack_switch(tenure_thread *self, tenure_stack *to_or_null);

/* --- handles and pins --- */

typedef struct tenure_handle tenure_handle;
/* A strong reference from outside. self may be NULL only for _get and for a heap-less _free. NULL and errno ENOMEM. */
TENURE_API tenure_handle *tenure_handle_new(tenure_thread *self, void *object);
TENURE_API void *tenure_handle_get(tenure_handle *handle);
TENURE_API void tenure_handle_set(tenure_thread *self, tenure_handle *handle, void *object);
TENURE_API void tenure_handle_free(tenure_handle *handle);

/* Keeps the object alive and where it is; counted. TENURE_ENOMEM; unpinning what is not pinned aborts. */
TENURE_API tenure_status tenure_pin(tenure_thread *self, void *object);
TENURE_API void tenure_unpin(tenure_thread *self, void *object);

#ifdef __cplusplus
}
#endif
#endif
