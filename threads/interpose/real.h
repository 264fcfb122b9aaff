/* The functions behind the interposed ones: the next definitions after this library's, usually the C library's. */
#ifndef TENURE_THREADS_INTERPOSE_REAL_H
#define TENURE_THREADS_INTERPOSE_REAL_H

#include <stddef.h>

#define INTERPOSED __attribute__((visibility("default")))

typedef struct real {
    const char *name;
    void *function; /* atomic: NULL until looked up; every thread finds the same */
} real;

/* Looks up all of them: by the constructor, or by the first call of a constructor that runs earlier. Later calls, also
 * those of signal handlers, find them looked up. */
void tenure__real_find(void);

static inline void *tenure__real_of(const real *wanted)
{
    /* relaxed: the functions were there before any code that could call them. */
    void *function = __atomic_load_n(&wanted->function, __ATOMIC_RELAXED);
    if (__builtin_expect(function != NULL, 1)) return function;
    tenure__real_find();
    return __atomic_load_n(&wanted->function, __ATOMIC_RELAXED);
}

#define REAL(name) REAL_NAMED(__typeof__(&name), #name)
/* For names that no header declares, or declares under another name. used: clang sees that nobody in the file writes to
 * it, and would take NULL for what stands there. */
#define REAL_NAMED(type, name)                                                                      \
    __extension__({                                                                                 \
        static real tenure__wanted __attribute__((section("tenure_real"), used)) = { name, NULL };  \
        void *tenure__found = tenure__real_of(&tenure__wanted);                                     \
        *(type *)(void *)&tenure__found;                                                            \
    })

#endif
