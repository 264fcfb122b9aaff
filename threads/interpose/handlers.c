/* Signal handlers of the program, which may call write() or read(). A handler may have interrupted anything, an inlined
 * allocation between two of its stores for instance, where no collection may happen: no call that it makes becomes a
 * region. So handlers are called through one that notes where its frame is.
 *
 * A handler that is left by siglongjmp leaves the note behind: until the thread's stack is shorter than it was in the
 * handler, its calls pass through. */
#include "threads/interpose/region.h"
#include <signal.h>
#include <stdatomic.h>

typedef void handler_fn(int number, siginfo_t *info, void *context);

static _Atomic(handler_fn *) handlers[NSIG];
static _Thread_local const char *handler_frame __attribute__((tls_model("initial-exec")));

bool tenure__in_handler(void)
{
    return handler_frame != NULL && (const char *)__builtin_frame_address(0) < handler_frame;
}

/* Installed with the program's flags. The kernel passes all three arguments also without SA_SIGINFO. */
static void call_handler(int number, siginfo_t *info, void *context)
{
    const char *outer = handler_frame;
    handler_frame = __builtin_frame_address(0);
    /* acquire: pairs with the release in note_handler. */
    atomic_load_explicit(&handlers[number], memory_order_acquire)(number, info, context);
    handler_frame = outer;
}

typedef void plain_fn(int number);

/* What to install for the program's handler, noted before: the signal may come at once. Returns the one noted until now
 * in *old. */
static plain_fn *note_handler(int number, plain_fn *handler, plain_fn **old)
{
    *old = SIG_DFL;
    if (number <= 0 || number >= NSIG) return handler; /* the system refuses it */
    if (handler == SIG_DFL || handler == SIG_IGN || handler == SIG_HOLD || handler == SIG_ERR) {
        *old = (plain_fn *)(void (*)(void))atomic_load_explicit(&handlers[number], memory_order_acquire);
        return handler;
    }
    handler_fn *const noted = (handler_fn *)(void (*)(void))handler;
    *old = (plain_fn *)(void (*)(void))atomic_exchange_explicit(&handlers[number], noted, memory_order_acq_rel);
    return (plain_fn *)(void (*)(void))call_handler;
}

/* What the program is told of the handler that was installed. */
static plain_fn *shown_handler(plain_fn *installed, plain_fn *noted)
{
    return installed == (plain_fn *)(void (*)(void))call_handler ? noted : installed;
}

INTERPOSED int sigaction(int number, const struct sigaction *action, struct sigaction *old_action)
{
    plain_fn *noted;
    struct sigaction ours, old;
    if (action != NULL) ours = *action;
    plain_fn *const wanted = action != NULL ? action->sa_handler : SIG_DFL;
    ours.sa_handler = note_handler(number, wanted, &noted);
    const int result = REAL(sigaction)(number, action != NULL ? &ours : NULL, &old);
    if (result != 0) return result;
    if (old_action != NULL) {
        *old_action = old;
        old_action->sa_handler = shown_handler(old.sa_handler, noted);
    }
    return 0;
}

typedef plain_fn *signal_fn(int number, plain_fn *handler);

#define SIGNAL(name)                                                                    \
    INTERPOSED plain_fn *name(int number, plain_fn *handler)                            \
    {                                                                                   \
        plain_fn *noted;                                                                \
        plain_fn *const installed = note_handler(number, handler, &noted);              \
        return shown_handler(REAL_NAMED(signal_fn *, #name)(number, installed), noted); \
    }

/* Under the names that programs of different standards call. */
extern plain_fn *bsd_signal(int number, plain_fn *handler);
extern plain_fn *__sysv_signal(int number, plain_fn *handler);
SIGNAL(signal)
SIGNAL(bsd_signal)
SIGNAL(sysv_signal)
SIGNAL(__sysv_signal)
SIGNAL(sigset)
