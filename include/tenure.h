/* Tenure: an embeddable, generational, lock-aware garbage collector for multithreaded C programs. */
#ifndef TENURE_H
#define TENURE_H

#include <tenure/alloc.h>
#include <tenure/barrier.h>
#include <tenure/event.h>
#include <tenure/finalizer.h>
#include <tenure/heap.h>
#include <tenure/inspect.h>
#include <tenure/io.h>
#include <tenure/lock.h>
#include <tenure/root.h>
#include <tenure/safepoint.h>
#include <tenure/stats.h>
#include <tenure/straggler.h>
#include <tenure/thread.h>
#include <tenure/type.h>
#include <tenure/weak.h>
#include <tenure/weakmap.h>

#endif
