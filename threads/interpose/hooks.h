/* What a copy of the library tells the interposer. The two may come from different builds, a process may hold several
 * copies (in the program, in libtenure.so, hidden in libraries that embed it): each looks the interposer up by name
 * when its first heap is created, and hands it this table. */
#ifndef TENURE_THREADS_INTERPOSE_HOOKS_H
#define TENURE_THREADS_INTERPOSE_HOOKS_H

#include <tenure/thread.h>

#define TENURE__INTERPOSE_REGISTER "tenure__interpose_register"
enum { TENURE__INTERPOSE_VERSION = 2 };

typedef struct tenure__interpose_hooks {
    uint32_t version; /* TENURE__INTERPOSE_VERSION; a table of another version is not used */
    /* A record of the calling thread if a blocking call may become a region now, else NULL. Sets *watched if the call
     * is a fault of the program should it have to wait (check=locks). */
    tenure_thread *(*running)(bool *watched);
    void (*enter)(tenure_thread *); /* a stub that saves the caller's registers: its frame has to outlive the region */
    bool (*try_leave)(tenure_thread *); /* false: a stop holds the thread, which is still inside */
    void (*leave)(tenure_thread *);
    tenure_thread *(*come_in)(tenure_heap *); /* a callback of the blocking call runs the program's code */
    void (*go_out)(tenure_thread *);
    void (*waited)(const char *call, const void *site); /* the watched call did; aborts */
} tenure__interpose_hooks;

typedef void tenure__interpose_register_fn(const tenure__interpose_hooks *hooks);

#endif
