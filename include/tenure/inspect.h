/* Looking into the heap. */
#ifndef TENURE_INSPECT_H
#define TENURE_INSPECT_H

#include <tenure/thread.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Stops the world, walks the whole heap and checks every invariant. TENURE_OK; or TENURE_EINVAL and the first fault on
 * stderr. Attached callers; may block. */
TENURE_API tenure_status tenure_verify(tenure_thread *self);

#ifdef __cplusplus
}
#endif
#endif
