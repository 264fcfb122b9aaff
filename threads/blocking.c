/* Blocking and idle regions: outside the stop set by one exchange on one's own state word, back by another. */
#include "threads/host.h"
#include <tenure/safepoint.h>

/* The stubs tenure_enter_blocking and tenure_enter_idle (threads/context_*.S) have saved the context. */
void tenure__enter_blocking_saved(tenure_thread *self);
void tenure__enter_idle_saved(tenure_thread *self);

static void enter(tenure__mutator *mutator, uint32_t mode)
{
    if (mutator->depth == 0) {
        tenure__require_in(mutator, "a region");
        if (tenure__owns_stop(mutator))
            tenure__misuse("a blocking region", "not between stop_world and resume_world of the same thread");
        tenure__check_gc(mutator->os, "a blocking region");
        for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling) each->went_back = false;
        tenure__release(mutator, mode);
    }
    for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling) each->depth++;
}

static void leave(tenure__mutator *mutator)
{
    if (mutator->depth == 0) tenure__misuse("leaving a region", "only after entering one");
    for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling) each->depth--;
    if (mutator->depth != 0) return;
    tenure__reacquire(mutator);
    tenure__host_polled(mutator);
    tenure__pass(mutator->os, 0);
}

void tenure__enter_blocking_saved(tenure_thread *self) { enter(tenure__mutator_of(self), TENURE__BLOCKED); }
void tenure__enter_idle_saved(tenure_thread *self) { enter(tenure__mutator_of(self), TENURE__IDLE); }
void tenure_leave_blocking(tenure_thread *self) { leave(tenure__mutator_of(self)); }
bool tenure__try_leave_blocking(tenure_thread *self)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    if (mutator->depth == 1 && !tenure__try_reacquire(mutator)) return false;
    for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling) each->depth--;
    tenure__pass(mutator->os, 0);
    return true;
}
void tenure_leave_idle(tenure_thread *self) { leave(tenure__mutator_of(self)); }

tenure_jump tenure_jump_save(tenure_thread *self)
{
    return (tenure_jump) { tenure__mutator_of(self)->depth, self->frames };
}

/* Out of a region that was entered further in, and over frames that a stop may look at until it is left. */
static bool is_jumped(const tenure__mutator *mutator, uintptr_t here)
{
    const uintptr_t innermost = (uintptr_t)mutator->record.frames;
    return innermost >= mutator->stack_pointer && innermost < here && !tenure__host_scans_stacks(mutator->record.heap);
}

/* Not inlined: every frame that is still open lies above where it is called. (Where its own frame's address is differs:
 * at the top on x86, at the bottom on AArch64.) */
__attribute__((noinline)) void tenure_jump_restore(tenure_thread *self, tenure_jump jump)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    const uintptr_t here = (uintptr_t)__builtin_dwarf_cfa();
    for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling)
        if (mutator->depth > jump.depth && is_jumped(each, here))
            tenure__misuse("tenure_jump_restore", "before the jump, where it leaves a TENURE_FRAME inside a region");
    while (mutator->depth > jump.depth) leave(mutator);
    self->frames = jump.frames;
    for (tenure__mutator *each = mutator->os->records; each != 0; each = each->sibling)
        tenure__io_over(each); /* a call of io.h may have been jumped out of */
}
