#include "threads/interpose/real.h"
#include <dlfcn.h>

/* The linker's names for the ends of the section that REAL fills. */
extern real __start_tenure_real[] __attribute__((visibility("hidden")));
extern real __stop_tenure_real[] __attribute__((visibility("hidden")));

/* One that this C library does not have stays NULL: no program that was linked with it calls that one. */
__attribute__((constructor)) void tenure__real_find(void)
{
    for (real *each = __start_tenure_real; each < __stop_tenure_real; each++)
        __atomic_store_n(&each->function, dlsym(RTLD_NEXT, each->name), __ATOMIC_RELAXED);
}
