/* The memory of check=barriers and check=roots: mappings as long as the arena, of which only what is used is there; an
 * object's place in them follows from its address. */
#include "lib/check/check.h"
#include "lib/collection/trace.h"
#include "lib/inspect/inspect.h"
#include <string.h>
#include <unwind.h>

static size_t site_bytes(const tenure_heap *heap) { return heap->arena_bytes / 16 * sizeof *heap->checks.sites; }
static size_t left_bytes(const tenure_heap *heap) { return heap->arena_bytes / 16 * sizeof *heap->checks.left; }

tenure_status tenure__checks_create(tenure_heap *heap)
{
    tenure__checks *checks = &heap->checks;
    tenure_options *options = &heap->options;
    if (options->roots != TENURE_ROOTS_PRECISE) options->check &= ~(uint32_t)TENURE_CHECK_ROOTS;
    if ((options->check & (TENURE_CHECK_BARRIERS | TENURE_CHECK_ROOTS)) == 0) return TENURE_OK;
    checks->sites = tenure__map(site_bytes(heap));
    if (checks->sites == 0) return TENURE_ENOMEM;
    if (options->check & TENURE_CHECK_BARRIERS) {
        checks->shadow = tenure__map(heap->arena_bytes);
        if (checks->shadow == 0) return TENURE_ENOMEM;
    }
    if (options->check & TENURE_CHECK_ROOTS) {
        checks->left = tenure__map(left_bytes(heap));
        if (checks->left == 0) return TENURE_ENOMEM;
        options->torture |= TENURE_TORTURE_EVACUATE;
        if (options->torture_alloc == 0) options->torture_alloc = 1;
        tenure__stale_watch(heap);
    }
    return TENURE_OK;
}

void tenure__checks_destroy(tenure_heap *heap)
{
    if (heap->checks.left != 0) tenure__stale_unwatch(heap);
    tenure__unmap(heap->checks.left, left_bytes(heap));
    tenure__unmap(heap->checks.shadow, heap->arena_bytes);
    tenure__unmap(heap->checks.sites, site_bytes(heap));
}

/* --- who allocated it --- */

enum { OWN_FRAMES = 2 }; /* tenure__site_note and tenure__allocate_any */

struct walk {
    uintptr_t *frames;
    unsigned count;
};

static _Unwind_Reason_Code add_frame(struct _Unwind_Context *context, void *arg)
{
    struct walk *walk = arg;
    if (walk->count >= OWN_FRAMES) walk->frames[walk->count - OWN_FRAMES] = _Unwind_GetIP(context);
    return ++walk->count < OWN_FRAMES + TENURE__SITE_FRAMES ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static uintptr_t *site_of(const tenure_heap *heap, uintptr_t object)
{
    return heap->checks.sites[(object - heap->base) / 16];
}

void tenure__site_note(tenure_heap *heap, uintptr_t object)
{
    struct walk walk = { site_of(heap, object), 0 };
    memset(walk.frames, 0, sizeof *heap->checks.sites);
    _Unwind_Backtrace(add_frame, &walk);
}

/* The first caller that is not of the library. */
void tenure__site_print(const tenure_heap *heap, uintptr_t object, tenure__text *text)
{
    static tenure__code code; /* of a process that is about to abort */
    const uintptr_t *frames = site_of(heap, object);
    tenure__code_read(&code);
    for (unsigned i = 0; i < TENURE__SITE_FRAMES && frames[i] != 0; i++) {
        tenure__symbol symbol;
        tenure__symbol_find(&code, frames[i], true, &symbol);
        if (strncmp(symbol.name, "tenure_", 7) == 0 || strncmp(symbol.file, "libtenure", 9) == 0) continue;
        tenure__text_add(text, "; allocated in ");
        tenure__symbol_print(&symbol, text);
        return;
    }
}

static void note_moved(tenure__verification *check, uintptr_t object, uint32_t block)
{
    tenure_heap *heap = check->heap;
    (void)block;
    const uint64_t header = tenure__header_load(object);
    if ((header & TENURE__HEADER) == 0)
        memcpy(site_of(heap, (uintptr_t)header), site_of(heap, object), sizeof *heap->checks.sites);
    if (heap->checks.left != 0 && tenure__survivor(heap, object) != object)
        heap->checks.left[(object - heap->base) / 16] = header;
}

void tenure__checks_moved(tenure_heap *heap)
{
    tenure__verification check = { .heap = heap, .sound = true };
    tenure__walk_condemned(heap, &check, note_moved);
}
