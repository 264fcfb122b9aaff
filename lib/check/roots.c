/* check=roots: blocks that a collection emptied lose their access rights, and are used again only when the arena has no
 * others, the oldest first. Whoever uses a pointer that no root told the collector of faults at once; the handler says
 * which object it was. What was in a vacated block is known from its header words, kept beside the heap: a forwarding
 * address if it moved, its header if it was not reached. */
#include "lib/check/check.h"
#include "threads/system.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WATCHED_MAX = 64 };
static _Atomic(tenure_heap *) watched[WATCHED_MAX]; /* heaps beyond that fault without a report */
static struct sigaction before;

/* --- vacated blocks --- */

/* False: too many mappings; then they stay accessible. */
static bool close_blocks(tenure_heap *heap, uint32_t block, uint32_t count)
{
    void *start = (void *)tenure__block_start(heap, block);
    const size_t bytes = (size_t)count << TENURE__BLOCK_SHIFT;
    tenure__unpoison((uintptr_t)start, bytes); /* the fault says more than AddressSanitizer could */
    return tenure__advise(start, bytes, MADV_DONTNEED) == 0 && tenure__withdraw(start, bytes);
}

void tenure__vacate(tenure_heap *heap, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0, block = first, next; i < count; i++, block = next) {
        next = heap->blocks[block].next - 1;
        const bool closed = close_blocks(heap, block, 1);
        tenure__blocks_push(heap, closed ? &heap->vacated_blocks : &heap->free_blocks, block);
        if (closed)
            atomic_fetch_sub_explicit(&heap->resident_blocks, 1, memory_order_relaxed);
        else
            atomic_fetch_add_explicit(&heap->free_count, 1, memory_order_relaxed);
    }
    atomic_fetch_sub_explicit(&heap->used_blocks, count, memory_order_relaxed);
}

void tenure__vacate_run(tenure_heap *heap, uint32_t head, uint32_t blocks)
{
    if (!close_blocks(heap, head, blocks)) return;
    for (uint32_t i = head; i < head + blocks; i++) heap->blocks[i].returned = 1;
    atomic_fetch_sub_explicit(&heap->resident_blocks, blocks, memory_order_relaxed);
}

bool tenure__vacated_open(tenure_heap *heap, uint32_t block, uint32_t count)
{
    const size_t granules = (size_t)count * TENURE__GRANULES;
    if (!tenure__commit((void *)tenure__block_start(heap, block), (size_t)count << TENURE__BLOCK_SHIFT)) return false;
    memset(&heap->checks.left[(size_t)block * TENURE__GRANULES], 0, granules * sizeof *heap->checks.left);
    return true;
}

void tenure__vacated_release(tenure_heap *heap)
{
    /* The newest comes first, and lies deepest in the end. Taken all at once: nobody pops from this stack. */
    uint32_t at = (uint32_t)atomic_exchange_explicit(&heap->vacated_blocks, 0, memory_order_acquire);
    while (at != 0) {
        const uint32_t block = at - 1;
        at = heap->blocks[block].next;
        tenure__blocks_push(heap, &heap->returned_blocks, block);
    }
}

/* --- faults --- */

static bool is_vacated(const tenure_heap *heap, uint32_t block)
{
    return tenure__kind_of(heap, block) == TENURE__KIND_FREE;
}

/* What is left of the object whose cell (header and payload) covered the address; 0: unknown. */
static uintptr_t find_left(const tenure_heap *heap, uintptr_t address)
{
    const uintptr_t cell = address + 8; /* headers are just before their granule */
    uint32_t block = tenure__block_index(heap, cell);
    unsigned granule = tenure__granule_of(cell);
    if (block >= heap->large_start && block < heap->block_count) {
        const uint32_t head = tenure__run_head(heap, block);
        if (head != block) granule = TENURE__GRANULES - 1;
        block = head;
    }
    const uint64_t *left = &heap->checks.left[(size_t)block * TENURE__GRANULES];
    while (granule != 0 && left[granule] == 0) granule--;
    return granule != 0 ? tenure__block_start(heap, block) + (uintptr_t)granule * 16 : 0;
}

static void describe(const tenure_heap *heap, uintptr_t address, tenure__text *text)
{
    tenure__text_add(text, "tenure: check=roots: %#lx was used, where nothing is any more", address);
    const uintptr_t object = find_left(heap, address);
    if (object == 0) return;
    uintptr_t now = object;
    uint64_t header = heap->checks.left[(object - heap->base) / 16];
    unsigned moves = 0;
    while (header != 0 && (header & TENURE__HEADER) == 0 && moves++ < 1000000) {
        now = (uintptr_t)header;
        const bool again = is_vacated(heap, tenure__block_index(heap, now));
        header = again ? heap->checks.left[(now - heap->base) / 16] : tenure__header_load(now);
    }
    const tenure_type *type = (header & TENURE__HEADER) != 0 ? tenure__plan_of(header)->type : 0;
    tenure__text_add(text, ": a %s was at %#lx", type != 0 ? type->name : "?", object);
    if (now != object) tenure__text_add(text, ", has moved to %#lx", now);
    if (is_vacated(heap, tenure__block_index(heap, now)))
        tenure__text_add(text, "%s is dead: no root led to it", now != object ? ", and" : ", and it");
    tenure__site_print(heap, object, text);
}

static void write_fault(const tenure_heap *heap, uintptr_t address)
{
    static char bytes[4096];
    tenure__text text = { bytes, sizeof bytes, 0 };
    describe(heap, address, &text);
    tenure__text_add(&text, "\ntenure: locals that live across a call that may collect are named by TENURE_FRAME\n");
    const ssize_t wrote = write(STDERR_FILENO, bytes, text.length);
    (void)wrote;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    const uintptr_t address = (uintptr_t)info->si_addr;
    for (unsigned i = 0; i < WATCHED_MAX; i++) {
        const tenure_heap *heap = atomic_load_explicit(&watched[i], memory_order_acquire);
        if (heap == 0 || !tenure__in_arena(heap, address) || !is_vacated(heap, tenure__block_index(heap, address)))
            continue;
        write_fault(heap, address);
        abort();
    }
    if ((before.sa_flags & SA_SIGINFO) != 0)
        before.sa_sigaction(signal, info, context);
    else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
        before.sa_handler(signal);
    else
        sigaction(signal, &before, 0); /* it faults again, to its end */
}

static void install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    if (sigaction(SIGSEGV, &action, &before) != 0) tenure__fatal(__func__, __LINE__, errno);
}

void tenure__stale_watch(tenure_heap *heap)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    TENURE__MUST(pthread_once(&once, install));
    for (unsigned i = 0; i < WATCHED_MAX; i++) {
        tenure_heap *none = 0;
        if (atomic_compare_exchange_strong(&watched[i], &none, heap)) return;
    }
}

void tenure__stale_unwatch(tenure_heap *heap)
{
    for (unsigned i = 0; i < WATCHED_MAX; i++) {
        tenure_heap *mine = heap;
        atomic_compare_exchange_strong(&watched[i], &mine, 0);
    }
}
