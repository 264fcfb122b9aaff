/* Looking into the heap, as Python's gc does.
 *
 * All of these stop the world for as long as they look, every attached thread for the time of a walk over the whole heap
 * (tenure_referents: over one object). Callers are attached and in no region; they may block, and objects may move, as
 * in any call that may collect. Memory for what is found is mapped outside the heap: TENURE_ENOMEM. TENURE_EDEADLK as
 * tenure_stop_world.
 *
 * Callbacks run after the stop, on the caller, with a snapshot of what was found; what it holds stays alive until the
 * call returns. So they may allocate, lock, print, collect and look again without any danger of a deadlock; objects may
 * have changed meanwhile. Between tenure_stop_world and tenure_resume_world of the caller's own everything happens
 * within that stop.
 *
 * Objects that are dead and not collected yet are seen too: a dead one in Gen 1 until a Gen 0+1 collection, in Gen 2
 * until a full one. Who wants the living only calls tenure_collect(self, TENURE_GEN2) before. */
#ifndef TENURE_INSPECT_H
#define TENURE_INSPECT_H

#include <stdio.h>
#include <tenure/thread.h>
#include <tenure/type.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- objects and references --- */

/* false: no more of them. tenure_type_of, tenure_size_of and tenure_generation_of say what it is. */
typedef bool tenure_object_fn(tenure_thread *self, void *object, void *arg);

/* Every object that was in that generation, -1: in any; once. TENURE_EINVAL: no such generation. */
TENURE_API tenure_status tenure_each_object(tenure_thread *self, int generation, tenure_object_fn *fn, void *arg);

/* What the object refers to, in the order of its fields; an object to which two fields refer comes twice. Weak
 * references are none. */
TENURE_API tenure_status tenure_referents(tenure_thread *self, void *object, tenure_object_fn *fn, void *arg);

/* The objects that refer to this one, once each. */
TENURE_API tenure_status tenure_referrers(tenure_thread *self, void *object, tenure_object_fn *fn, void *arg);

/* --- the census --- */

typedef struct tenure_census_row {
    const tenure_type *type;
    uint64_t objects, bytes; /* that they occupy, with headers */
    struct {
        uint64_t objects, bytes;
    } generations[3];
    uint64_t large_objects, large_bytes; /* part of the above */
} tenure_census_row;

/* Counts by type; the first max rows of those types that have objects, sorted by bytes, the most first. *count: how many
 * such types there are, perhaps more than max. */
TENURE_API tenure_status tenure_census_read(
    tenure_thread *self, tenure_census_row *rows, size_t max, size_t *count);
/* Writes them as a table, a line per type (as stdio does, outside the stop set). */
TENURE_API tenure_status tenure_census(tenure_thread *self, FILE *out);

/* --- soundness --- */

/* Checks every invariant. TENURE_EINVAL, and the first fault on stderr. */
TENURE_API tenure_status tenure_verify(tenure_thread *self);

#ifdef __cplusplus
}
#endif
#endif
