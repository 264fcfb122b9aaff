/* Giving free runs of the large part back to the system, step by step, as the daemon does. */
#include "tests/support.h"

enum { RUNS = 50, BYTES = 20000 }; /* a block each */

static void *runs[RUNS];

static bool holds_memory(const tenure_heap *heap, uint32_t block) { return heap->blocks[block].returned == 0; }

/* Each step goes on where the last one ended: what lies below is not looked at again until something is freed there. */
Test(arena, runs_are_given_back_in_one_pass)
{
    tenure_heap *heap = precise_heap_with("max_heap=64m,return_delay=3600s");
    tenure_thread *self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_range_add(heap, runs, sizeof runs, TENURE_PRECISE), TENURE_OK));
    uint32_t blocks[RUNS];
    for (unsigned i = 0; i < RUNS; i++) {
        runs[i] = tenure_new_bytes(self, BYTES);
        blocks[i] = tenure__block_index(heap, (uintptr_t)runs[i]);
        if (i != 0) cr_assert(lt(u32, blocks[i - 1], blocks[i]));
    }
    for (unsigned i = 0; i < RUNS; i += 2) runs[i] = NULL;
    collect(self, TENURE_GEN2);
    for (unsigned i = 0; i < RUNS; i += 2) {
        cr_assert(holds_memory(heap, blocks[i]));
        cr_assert(tenure__arena_return(heap, UINT32_MAX));
        cr_assert(not(holds_memory(heap, blocks[i])));
        heap->blocks[blocks[i]].returned = 0; /* as if it were not, to see whether somebody looks */
    }
    cr_expect(not(tenure__arena_return(heap, UINT32_MAX)));
    for (unsigned i = 0; i < RUNS; i += 2) heap->blocks[blocks[i]].returned = 1;
    /* What is freed below is found. */
    runs[11] = runs[21] = NULL;
    collect(self, TENURE_GEN2);
    cr_assert(tenure__arena_return(heap, UINT32_MAX));
    cr_expect(not(holds_memory(heap, blocks[11])));
    cr_expect(holds_memory(heap, blocks[21]));
    cr_assert(tenure__arena_return(heap, UINT32_MAX));
    cr_expect(not(holds_memory(heap, blocks[21])));
    cr_expect(not(tenure__arena_return(heap, UINT32_MAX)));
    verify(self);
    heap_end(heap, self);
}
