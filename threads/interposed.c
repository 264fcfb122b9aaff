/* The library's end of the interposer (threads/interpose/): who may be interposed, and how it is told. */
#include "threads/host.h"
#include "threads/interpose/hooks.h"
#include <dlfcn.h>
#include <tenure/safepoint.h>

/* Everything that makes a region impossible leaves a record that is not RUNNING, but for two: code of the library that
 * is in the middle of something (it holds a lock of its own), and precise heaps, where the caller's locals would have
 * to be named. */
static tenure_thread *running(bool *watched)
{
    bool scanned = true;
    const tenure__os_thread *os = tenure__os_thread_self();
    if (os->records == 0 || os->own_locks != 0) return 0;
    for (const tenure__mutator *each = os->records; each != 0; each = each->sibling) {
        /* relaxed: only this thread moves it from and to RUNNING. */
        const uint32_t state = atomic_load_explicit(&each->state, memory_order_relaxed);
        if ((state & TENURE__MODE) != TENURE__RUNNING) return 0;
        scanned = scanned && tenure__host_scans_stacks(each->record.heap);
    }
    *watched = os->check_locks;
    return scanned ? &os->records->record : 0;
}

void tenure__interpose_announce(void)
{
    static const tenure__interpose_hooks hooks = { TENURE__INTERPOSE_VERSION, running, tenure_enter_blocking,
        tenure__try_leave_blocking, tenure_leave_blocking, tenure_enter, tenure_leave, tenure__check_failed_call };
    /* By name: a weak reference from a static library is bound to nothing when the program is linked. */
    void *found = dlsym(RTLD_DEFAULT, TENURE__INTERPOSE_REGISTER);
    if (found != 0) (*(tenure__interpose_register_fn **)(void *)&found)(&hooks);
}

void tenure__own_lock(pthread_mutex_t *mutex)
{
    tenure__os_thread_self()->own_locks++;
    TENURE__MUST(pthread_mutex_lock(mutex));
}

void tenure__own_last_words(void) { tenure__os_thread_self()->own_locks++; }

void tenure__own_unlock(pthread_mutex_t *mutex)
{
    TENURE__MUST(pthread_mutex_unlock(mutex));
    tenure__os_thread_self()->own_locks--;
}
