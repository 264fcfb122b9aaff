/* Who allocated what: for each granule at which an object starts, or started and nothing was allocated there since, the
 * callers of the allocation, and what became of the object. */
#include "lib/check/check.h"
#include "lib/collection/trace.h"
#include "lib/inspect/inspect.h"
#include <string.h>
#include <unwind.h>

/* --- noting --- */

enum { OWN_FRAMES = 1 }; /* tenure__site_note; others of the library may have been inlined into each other */

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

/* What was there is not to be found any more. */
static void forget(const tenure_heap *heap, tenure__site *site)
{
    const uintptr_t object = heap->base + (uintptr_t)(site - heap->checks.sites) * 16;
    if (site->header != 0 && !tenure__in_arena(heap, site->header) && (site->header & TENURE__LARGE) == 0)
        tenure__pool_forget(heap, object, (size_t)tenure__header_granules(site->header) * 16 - 8);
    site->header = 0;
}

/* Up to the end of its first block. */
static void put(tenure_heap *heap, uintptr_t object, tenure__site site)
{
    const unsigned first = tenure__granule_of(object);
    unsigned granules = tenure__header_granules(site.header);
    if (site.header & TENURE__LARGE || first + granules > TENURE__GRANULES) granules = TENURE__GRANULES - first;
    tenure__site *at = tenure__site_of(heap, object);
    for (unsigned i = 0; i < granules; i++) forget(heap, &at[i]);
    *at = site;
}

__attribute__((noinline)) void tenure__site_note(tenure_heap *heap, uintptr_t object)
{
    tenure__site site = { .header = tenure__header_load(object) };
    struct walk walk = { site.frames, 0 };
    _Unwind_Backtrace(add_frame, &walk);
    put(heap, object, site);
    tenure__pool_new(heap, object, tenure__payload_bytes(heap, object, site.header));
}

/* --- looking --- */

uintptr_t tenure__site_find(const tenure_heap *heap, uintptr_t address)
{
    const uintptr_t cell = address + 8; /* headers are just before their granule */
    uint32_t block = tenure__block_index(heap, cell);
    unsigned granule = tenure__granule_of(cell);
    if (block >= heap->large_start && block < heap->block_count) {
        const uint32_t head = tenure__run_head(heap, block);
        if (head != block) granule = TENURE__GRANULES - 1;
        block = head;
    }
    const uintptr_t start = tenure__block_start(heap, block);
    while (granule != 0 && tenure__site_of(heap, start + (uintptr_t)granule * 16)->header == 0) granule--;
    return granule != 0 ? start + (uintptr_t)granule * 16 : 0;
}

/* The first caller that is not of the library. */
void tenure__site_print(const tenure_heap *heap, uintptr_t object, tenure__text *text)
{
    static tenure__code code; /* of a process that is about to abort */
    const tenure__site *site = tenure__site_of(heap, object);
    tenure__code_read(&code);
    for (unsigned i = 0; i < TENURE__SITE_FRAMES && site->frames[i] != 0; i++) {
        tenure__symbol symbol;
        tenure__symbol_find(&code, site->frames[i], true, &symbol);
        if (strncmp(symbol.name, "tenure_", 7) == 0 || strncmp(symbol.file, "libtenure", 9) == 0) continue;
        tenure__text_add(text, "; allocated in ");
        tenure__symbol_print(&symbol, text);
        return;
    }
}

/* --- what became of it --- */

/* Objects may come twice, and such as are not condemned. */
static void note_moved(tenure__verification *check, uintptr_t object, uint32_t block)
{
    tenure_heap *heap = check->heap;
    tenure__site *site = tenure__site_of(heap, object);
    const uintptr_t now = tenure__survivor(heap, object);
    (void)block;
    if ((site->header & TENURE__HEADER) == 0 || now == object) return;
    if (now == 0) { /* a run may soon be part of several others */
        if (site->header & TENURE__LARGE)
            tenure__pool_forget(heap, object, tenure__payload_bytes(heap, object, site->header));
        site->header &= ~(uint64_t)TENURE__HEADER;
        return;
    }
    put(heap, now, *site);
    tenure__pool_moved(heap, object, now, tenure__payload_bytes(heap, now, site->header));
    site->header = now;
}

void tenure__sites_moved(tenure_heap *heap)
{
    tenure__verification check = { .heap = heap, .sound = true };
    tenure__walk_condemned(heap, &check, note_moved);
}
