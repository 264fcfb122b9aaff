/* What libgc and malloc share: types are C's, stores are plain. The includer defines
 * bench_allocate(size_t bytes, bool leaf), which returns memory of unspecified contents and never NULL, and
 * bench_allocate_zeroed(size_t bytes). */
#ifndef BENCH_ALLOCATOR_PLAIN_H
#define BENCH_ALLOCATOR_PLAIN_H

/* Incomplete: these allocators know the calling thread by themselves, self is NULL. */
typedef struct bench_thread bench_thread;

#define BENCH_LAYOUT(name, T, leaf, fixed_bytes, stride) \
    typedef T name##_object;                             \
    enum { name##_leaf = (leaf), name##_fixed_bytes = (fixed_bytes), name##_stride = (stride) }

#define BENCH_TYPE(name, T, ...) BENCH_LAYOUT(name, T, 0, sizeof(T), 0)
#define BENCH_TYPE_LEAF(name, T) BENCH_LAYOUT(name, T, 1, sizeof(T), 0)
#define BENCH_TYPE_FLEX(name, T, member, ...) BENCH_LAYOUT(name, T, 0, offsetof(T, member), sizeof(((T *)0)->member[0]))
#define BENCH_TYPE_FLEX_LEAF(name, T, member) BENCH_LAYOUT(name, T, 1, offsetof(T, member), sizeof(((T *)0)->member[0]))

#define BENCH_NEW(self, name, ...)                                                      \
    __extension__({                                                                     \
        (void)(self);                                                                   \
        name##_object *bench_made = bench_allocate(sizeof(name##_object), name##_leaf); \
        *bench_made = (name##_object) { __VA_ARGS__ };                                  \
        bench_made;                                                                     \
    })
#define BENCH_NEW_FLEX(self, name, count) \
    ((void)(self), (name##_object *)bench_allocate(name##_fixed_bytes + name##_stride * (size_t)(count), name##_leaf))
#define BENCH_NEW_REFS(self, T, count) ((void)(self), (T **)bench_allocate_zeroed(sizeof(T *) * (size_t)(count)))

#define BENCH_SET(self, object, field, value) ((void)(self), (void)((object)->field = (value)))
#define BENCH_SET_AT(self, refs, i, value) ((void)(self), (void)((refs)[i] = (value)))
#define BENCH_POLL(self) ((void)(self))

#endif
