/* What a report of a use of something that is no more says about it: check=roots, whose stale pointers fault, and
 * AddressSanitizer, which tells the library when it reports something. (Valgrind reads what poison.h told it.) */
#include "lib/check/check.h"
#include <unistd.h>

enum { WATCHED_MAX = 64 };
static _Atomic(tenure_heap *) watched[WATCHED_MAX]; /* reports about heaps beyond that say nothing more */

const tenure_heap *tenure__uses_heap(uintptr_t address)
{
    for (unsigned i = 0; i < WATCHED_MAX; i++) {
        /* acquire: pairs with the exchange of tenure__uses_watch; the heap is whole. */
        const tenure_heap *heap = atomic_load_explicit(&watched[i], memory_order_acquire);
        if (heap != 0 && tenure__in_arena(heap, address)) return heap;
    }
    return 0;
}

void tenure__uses_describe(const tenure_heap *heap, uintptr_t address, tenure__text *text)
{
    const uintptr_t object = tenure__site_find(heap, address);
    if (object == 0) return;
    uintptr_t now = object;
    uint64_t header = tenure__site_of(heap, object)->header;
    while (tenure__in_arena(heap, header)) {
        now = header;
        header = tenure__site_of(heap, now)->header;
    }
    const bool is_dead = (header & TENURE__HEADER) == 0;
    const tenure_type *type = header != 0 ? tenure__plan_of(header | TENURE__HEADER)->type : 0;
    tenure__text_add(
        text, ": a %s %s at %#lx", type != 0 ? type->name : "?", is_dead || now != object ? "was" : "is", object);
    if (now != object) tenure__text_add(text, ", has moved to %#lx", now);
    if (is_dead) tenure__text_add(text, "%s is dead: no root led to it", now != object ? ", and" : ", and it");
    tenure__site_print(heap, object, text);
}

/* --- AddressSanitizer --- */

#if defined(TENURE__POISON_ASAN)
static void on_report(const char *report)
{
    static char bytes[4096];
    tenure__text text = { bytes, sizeof bytes, 0 };
    const uintptr_t address = (uintptr_t)__asan_get_report_address();
    const tenure_heap *heap = tenure__uses_heap(address);
    (void)report;
    if (heap == 0) return;
    tenure__text_add(&text, "tenure: check=uses: %#lx", address);
    tenure__uses_describe(heap, address, &text);
    tenure__text_add(&text, "\n");
    const ssize_t wrote = write(STDERR_FILENO, bytes, text.length);
    (void)wrote;
}
static void listen_to_tools(void) { __asan_set_error_report_callback(on_report); }
#else
static void listen_to_tools(void) {}
#endif

void tenure__uses_watch(tenure_heap *heap)
{
    listen_to_tools();
    for (unsigned i = 0; i < WATCHED_MAX; i++) {
        tenure_heap *none = 0;
        if (atomic_compare_exchange_strong(&watched[i], &none, heap)) return;
    }
}

void tenure__uses_unwatch(tenure_heap *heap)
{
    tenure__pool_end(heap);
    for (unsigned i = 0; i < WATCHED_MAX; i++) {
        tenure_heap *mine = heap;
        atomic_compare_exchange_strong(&watched[i], &mine, 0);
    }
}
