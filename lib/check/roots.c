/* check=roots: blocks that a collection emptied lose their access rights, and are used again only when the arena has no
 * others, the oldest first. Whoever uses a pointer that no root told the collector of faults at once; the handler says
 * which object it was (sites.c knows). */
#include "lib/check/check.h"
#include "threads/system.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
    return tenure__commit((void *)tenure__block_start(heap, block), (size_t)count << TENURE__BLOCK_SHIFT);
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

static void write_fault(const tenure_heap *heap, uintptr_t address)
{
    static char bytes[4096];
    tenure__text text = { bytes, sizeof bytes, 0 };
    tenure__text_add(&text, "tenure: check=roots: %#lx was used, where nothing is any more", address);
    tenure__uses_describe(heap, address, &text);
    tenure__text_add(&text, "\ntenure: locals that live across a call that may collect are named by TENURE_FRAME\n");
    const ssize_t wrote = write(STDERR_FILENO, bytes, text.length);
    (void)wrote;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    const uintptr_t address = (uintptr_t)info->si_addr;
    const tenure_heap *heap = tenure__uses_heap(address);
    if (heap != 0 && heap->checks.vacates && is_vacated(heap, tenure__block_index(heap, address))) {
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

void tenure__stale_catch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    TENURE__MUST(pthread_once(&once, install));
}
