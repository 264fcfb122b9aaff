/* The daemon's other work waits for what cannot wait. */
#include "lib/collection/cycle.h"
#include "lib/collection/finalizer.h"
#include "tests/threads/threads.h"

static _Atomic uint64_t returned_bytes;
static flag announced;
static void note_returned(void *heap)
{
    atomic_store(&returned_bytes, atomic_load(&((tenure_heap *)heap)->returned_bytes));
    atomic_store(&announced, 1);
}

/* Memory goes back step by step, each under the stop lock: while that is owned the daemon waits in the first, and
 * finalizers become due. (If it is not there yet, it announces them at once.) */
Test(daemon, attends_while_it_returns_memory)
{
    enum { LARGE = 4 << 20, COUNT = 64 };
    tenure_heap *heap = precise_heap_with("max_heap=1g,gen0=512m,return_delay=0");
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < COUNT; i++) cr_assert(tenure_new_bytes(self, LARGE) != NULL);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    const uint64_t before = atomic_load(&heap->returned_bytes);
    collect(self, TENURE_GEN2);
    tenure__daemon_poke(heap);
    for (unsigned i = 0; i < 1000; i++) sched_yield();
    tenure_finalizers_ready(heap, note_returned, heap);
    atomic_store(&heap->finalizers.ready, true);
    tenure_resume_world(self);
    tenure__daemon_poke(heap);
    await_polling(self, &announced, 1);
    cr_expect(lt(u64, atomic_load(&returned_bytes) - before, (uint64_t)LARGE * COUNT / 2));
    heap_end(heap, self);
}
