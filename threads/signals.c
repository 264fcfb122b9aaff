/* Calls that a thread may make only while it runs the program: what they refuse, and how a signal handler is told. */
#include "threads/mutator.h"
#include <signal.h>

void tenure__refuse_reentry(const char *call)
{
    tenure__misuse(call, "not from a signal handler (this one interrupted a call of Tenure)");
}

void tenure__require_in_slow(const tenure__mutator *mutator, const char *call)
{
    if (mutator->depth != 0) tenure__misuse(call, "not inside a blocking or idle region");
    const uint32_t mode = atomic_load_explicit(&mutator->state, memory_order_relaxed) & TENURE__MODE;
    /* The owner of a stop runs although its record is parked. */
    if (mutator->os->inside || (mode != TENURE__RUNNING && !tenure__owns_stop(mutator))) tenure__refuse_reentry(call);
    stack_t stack;
    if (mutator->world->checked && sigaltstack(0, &stack) == 0 && (stack.ss_flags & SS_ONSTACK) != 0)
        tenure__misuse(call, "not from a signal handler (this one runs on the alternate signal stack)");
}
