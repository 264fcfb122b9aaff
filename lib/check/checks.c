/* The memory of check=barriers, check=roots and check=uses: mappings as long as the arena, of which only what is used
 * is there; an object's place in them follows from its address. */
#include "lib/check/check.h"
#include "threads/system.h"

static size_t site_bytes(const tenure_heap *heap) { return heap->arena_bytes / 16 * sizeof *heap->checks.sites; }

tenure_status tenure__checks_create(tenure_heap *heap)
{
    tenure__checks *checks = &heap->checks;
    tenure_options *options = &heap->options;
    if (options->roots != TENURE_ROOTS_PRECISE) options->check &= ~(uint32_t)TENURE_CHECK_ROOTS;
    if ((options->check & (TENURE_CHECK_BARRIERS | TENURE_CHECK_ROOTS | TENURE_CHECK_USES)) == 0) return TENURE_OK;
    checks->sites = tenure__map(site_bytes(heap));
    if (checks->sites == 0) return TENURE_ENOMEM;
    if (options->check & TENURE_CHECK_BARRIERS) {
        checks->shadow = tenure__map(heap->arena_bytes);
        if (checks->shadow == 0) return TENURE_ENOMEM;
    }
    if (options->check & TENURE_CHECK_ROOTS) {
        checks->vacates = true;
        options->torture |= TENURE_TORTURE_EVACUATE;
        if (options->torture_alloc == 0) options->torture_alloc = 1;
        tenure__stale_catch();
    }
    tenure__pool_begin(heap);
    tenure__uses_watch(heap);
    return TENURE_OK;
}

void tenure__checks_destroy(tenure_heap *heap)
{
    if (heap->checks.sites != 0) tenure__uses_unwatch(heap);
    tenure__unmap(heap->checks.shadow, heap->arena_bytes);
    tenure__unmap(heap->checks.sites, site_bytes(heap));
}
