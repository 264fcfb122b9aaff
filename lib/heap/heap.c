/* Creating and destroying a heap: what fails half-way undoes itself. */
#include "lib/heap/heap.h"
#include "lib/check/check.h"
#include "lib/collection/cycle.h"
#include "lib/collection/ephemeron.h"
#include "lib/collection/finalizer.h"
#include "lib/collection/weakmap.h"
#include "lib/heap/limits.h"
#include "lib/inspect/census.h"
#include "lib/inspect/leak.h"
#include "threads/report.h"
#include "threads/system.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_MAX_HEAP = 4 << 20, PACKETS_MIN = 4096, PACKETS_TORTURED = 8 };

/* Zeros become what the machine and the container allow. */
static void resolve(tenure_options *options)
{
    const unsigned processors = tenure__usable_processors("");
    if (options->max_heap == 0) options->max_heap = tenure__memory_limit_bytes("") / 4 * 3;
    if (options->max_heap < MIN_MAX_HEAP) options->max_heap = MIN_MAX_HEAP;
    if (options->workers == 0 || options->workers > processors) options->workers = processors;
    if (options->workers > TENURE__WORKERS_MAX) options->workers = TENURE__WORKERS_MAX;
}

static tenure_status create_workers(tenure_heap *heap)
{
    heap->worker_count = heap->options.workers + 1;
    heap->workers = tenure__malloc_line(sizeof(tenure__worker) * heap->worker_count);
    if (heap->workers == 0) return TENURE_ENOMEM;
    for (unsigned i = 0; i < heap->worker_count; i++) {
        heap->workers[i].heap = heap;
        heap->workers[i].index = i;
    }
    return TENURE_OK;
}

static tenure_status create_parts(tenure_heap *heap)
{
    tenure_status status = tenure__arena_create(heap);
    if (status != TENURE_OK) return status;
    const uint64_t packets = heap->options.max_heap / 64 / sizeof(tenure__packet);
    status = tenure__packets_create(&heap->packets, heap->options.torture & TENURE_TORTURE_OVERFLOW ? PACKETS_TORTURED
                                                    : packets > PACKETS_MIN                         ? (uint32_t)packets
                                                                                                    : PACKETS_MIN);
    if (status != TENURE_OK) return status;
    status = create_workers(heap);
    if (status != TENURE_OK) return status;
    status = tenure__events_create(&heap->events);
    if (status != TENURE_OK) return status;
    status = tenure__checks_create(heap);
    if (status != TENURE_OK) return status;
    tenure__sizing_init(heap);
    return TENURE_OK;
}

static void free_parts(tenure_heap *heap)
{
    tenure__checks_destroy(heap);
    tenure__events_destroy(&heap->events);
    tenure__finalizers_destroy(heap);
    tenure__ephemerons_destroy(heap);
    tenure__record_table_destroy(&heap->cells);
    free(heap->workers);
    tenure__packets_destroy(&heap->packets);
    tenure__arena_destroy(heap);
    free(heap);
}

static void print_line(const tenure_event *event, void *arg)
{
    if (event->kind == TENURE_EVENT_END) tenure__collection_print(event->collection, arg);
}

static tenure_status start_threads(tenure_heap *heap)
{
    const int error = tenure__gang_start(&heap->world.gang, heap->options.workers);
    if (error != 0) {
        errno = error;
        return TENURE_ESYSTEM;
    }
    tenure_status status = TENURE_OK;
    if (heap->options.log_gc) status = tenure_listen(heap, print_line, stderr);
    if (status == TENURE_OK && (heap->options.debug & TENURE_DEBUG_LEAK) != 0)
        status = tenure_listen(heap, tenure__leak_print, heap);
    if (status == TENURE_OK && heap->options.stop_deadline != 0)
        status = tenure__watch_start(&heap->world, heap->options.stop_deadline, heap->options.stop_deadline_stack);
    if (status == TENURE_OK) status = tenure__daemon_start(heap);
    if (status != TENURE_OK) {
        tenure__watch_stop(&heap->world);
        tenure__gang_stop(&heap->world.gang);
    }
    return status;
}

static tenure_status create(tenure_heap **out, const tenure_options *options)
{
    tenure_heap *heap = tenure__malloc_line(sizeof *heap);
    if (heap == 0) return TENURE_ENOMEM;
    heap->options = *options;
    resolve(&heap->options);
    heap->created_ns = tenure__now_ns();
    tenure__record_table_init(&heap->cells);
    tenure__ephemerons_init(heap);
    tenure__finalizers_init(heap);
    tenure_status status = create_parts(heap);
    if (status == TENURE_OK) status = tenure__world_init(&heap->world, heap, sizeof(tenure__allocator));
    if (status != TENURE_OK) {
        free_parts(heap);
        return status;
    }
    heap->world.processors = tenure__usable_processors("");
    heap->world.check_locks = (options->check & TENURE_CHECK_LOCKS) != 0;
    heap->world.check_roots = heap->checks.vacates;
    heap->world.lock_grace_ns = options->lock_grace;
    heap->world.rcu = options->rcu == TENURE_RCU_ON;
    heap->world.checked = options->verify != 0 || options->torture != 0 || options->torture_alloc != 0;
    status = start_threads(heap);
    if (status != TENURE_OK) {
        const int error = errno;
        tenure__world_destroy(&heap->world);
        free_parts(heap);
        errno = error;
        return status;
    }
    *out = heap;
    return TENURE_OK;
}

tenure_status tenure_heap_create(tenure_heap **out, const tenure_options *options_or_null)
{
    *out = 0;
    tenure_options options;
    tenure_status status = TENURE_OK;
    if (options_or_null == 0)
        status = tenure_options_init(&options, 0, 0);
    else
        status = tenure__options_check(options_or_null, 0, 0);
    if (status != TENURE_OK) return status;
    if (options_or_null != 0) options = *options_or_null;
    if (options.fault.on) tenure__faults_set(&options.fault);
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* it opens and reads files */
    status = create(out, &options);
    pthread_setcancelstate(cancel, 0);
    if (status != TENURE_OK && options.fault.on) tenure__faults_set(0);
    return status;
}

/* Outside: it waits for threads and for a grace period, and the caller may be attached to another heap. */
static void destroy(void *arg)
{
    tenure_heap *heap = arg;
    if (heap->options.debug & TENURE_DEBUG_LEAK) tenure__leaks_print(heap);
    tenure__daemon_stop(heap);
    tenure__finalizers_join(heap);
    tenure__gang_stop(&heap->world.gang);
    tenure__maps_destroy(heap);
    tenure__watch_stop(&heap->world);
    tenure__world_destroy(&heap->world);
    tenure__roots_destroy(heap);
    if (heap->options.fault.on) tenure__faults_set(0);
    free_parts(heap);
}

tenure_status tenure_heap_destroy(tenure_heap *heap)
{
    if (tenure__events_within(&heap->events)) return TENURE_EBUSY;
    const tenure_status status = tenure__finalizers_end(heap);
    if (status == TENURE_OK) tenure__outside(destroy, heap);
    return status;
}

struct oom_change {
    tenure_oom_fn *fn;
    void *arg;
};

static void set_oom_handler(tenure_heap *heap, void *arg)
{
    const struct oom_change *change = arg;
    heap->oom = change->fn;
    heap->oom_arg = change->arg;
}

void tenure_oom_handler(tenure_heap *heap, tenure_oom_fn *fn, void *arg)
{
    struct oom_change change = { fn, arg };
    tenure__with_stop_lock(heap, set_oom_handler, &change);
}

bool tenure_heap_contains(tenure_heap *heap, const void *p) { return tenure__in_arena(heap, (uintptr_t)p); }
