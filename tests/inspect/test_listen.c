/* Events of collections: all of them, in order, outside of stops, on a thread that holds up nobody. */
#include "tests/threads/threads.h"

typedef struct record {
    flag collections, inside, may_return;
    bool slow;
    uint64_t sequences[4096];
    unsigned kinds; /* of the collection that is being told of */
    uint64_t at_ns, phases_ns;
    uint64_t lost;
    bool faulty;
} record;

static void check_kind(record *seen, const tenure_event *event)
{
    static const char *const names[] = { "begin", "reach", "pin", "roots", "copy", "weak", "finish", "resume", "end" };
    const char *name = names[seen->kinds % 9];
    if (event->collection->generation == 2 && strcmp(name, "copy") == 0) name = "mark";
    seen->faulty |= strcmp(event->name, name) != 0;
    const tenure_event_kind kind = seen->kinds == 0   ? TENURE_EVENT_BEGIN
                                   : seen->kinds == 8 ? TENURE_EVENT_END
                                                      : TENURE_EVENT_PHASE;
    seen->faulty |= event->kind != kind;
    seen->kinds = (seen->kinds + 1) % 9;
}

static void hear(const tenure_event *event, void *arg)
{
    record *seen = arg;
    check_kind(seen, event);
    if (event->kind == TENURE_EVENT_BEGIN) {
        seen->at_ns = event->at_ns;
        seen->phases_ns = 0;
    } else if (event->kind == TENURE_EVENT_PHASE) {
        seen->faulty |= event->at_ns < seen->at_ns;
        seen->at_ns = event->at_ns;
        seen->phases_ns += event->duration_ns;
    } else {
        seen->faulty |= seen->phases_ns > event->duration_ns || event->duration_ns != event->collection->total_ns;
        seen->lost += event->collection->lost_before;
        seen->sequences[atomic_load(&seen->collections)] = event->collection->sequence;
        atomic_fetch_add(&seen->collections, 1);
    }
    if (!seen->slow) return;
    atomic_store(&seen->inside, 1);
    await(&seen->may_return, 1);
}

static record first, second;

static void expect_in_order(const record *seen, unsigned collections)
{
    cr_expect(not(seen->faulty));
    cr_expect(eq(int, atomic_load(&seen->collections), (int)collections));
    for (unsigned i = 1; i < collections; i++) cr_expect(eq(u64, seen->sequences[i], seen->sequences[i - 1] + 1));
}

Test(listen, every_collection_in_order)
{
    tenure_heap *heap = heap_with("verify=after");
    tenure_thread *self = tenure_attach(heap);
    collect(self, TENURE_GEN0);
    cr_assert(eq(int, tenure_listen(heap, hear, &first), TENURE_OK));
    cr_assert(eq(int, tenure_listen(heap, hear, &second), TENURE_OK));
    for (unsigned i = 0; i < 30; i++) collect(self, (tenure_generation)(i % 3));
    spend_budget(self);
    const unsigned collections = (unsigned)collections_of(heap);
    heap_end(heap, self); /* delivers the rest */
    expect_in_order(&first, collections - 1);
    expect_in_order(&second, collections - 1);
    cr_expect(eq(u64, first.sequences[0], 2));
}

Test(listen, what_a_collection_was)
{
    tenure_heap *heap = heap_with("");
    tenure_thread *self = tenure_attach(heap);
    cr_assert(eq(int, tenure_listen(heap, hear, &first), TENURE_OK));
    tenure_new_bytes(self, 1000);
    collect(self, TENURE_GEN2);
    await_polling(self, &first.collections, 1);
    cr_expect(eq(u64, stats_of(heap).lost_events, 0));
    heap_end(heap, self);
    cr_expect(not(first.faulty));
}

/* A listener that blocks delays no collection; what does not fit is lost, and said to be. */
Test(listen, slow)
{
    tenure_heap *heap = heap_with("");
    tenure_thread *self = tenure_attach(heap);
    first.slow = true;
    cr_assert(eq(int, tenure_listen(heap, hear, &first), TENURE_OK));
    for (unsigned i = 0; i < 1500; i++) collect(self, TENURE_GEN0);
    cr_expect(eq(u64, stats_of(heap).lost_events, 1500 - 1024));
    atomic_store(&first.may_return, 1);
    await_polling(self, &first.collections, 1024);
    collect(self, TENURE_GEN0);
    await_polling(self, &first.collections, 1025);
    cr_expect(eq(u64, first.lost, 1500 - 1024));
    cr_expect(eq(u64, first.sequences[1024], 1501));
    cr_expect(not(first.faulty));
    heap_end(heap, self);
}

static void *collect_much(void *arg)
{
    tenure_thread *self = tenure_attach(arg);
    for (unsigned i = 0; i < ROUNDS(3000); i++)
        for (unsigned j = 0; j < 300; j++) REQUIRE(tenure_new_bytes(self, 500) != NULL);
    tenure_detach(self);
    return NULL;
}

/* After tenure_unlisten nothing is told any more, whoever collects meanwhile. */
Test(listen, unlisten)
{
    tenure_heap *heap = heap_with("gen0=64k");
    tenure_thread *self = tenure_attach(heap);
    pthread_t thread = start_thread(collect_much, heap);
    for (unsigned i = 0; i < ROUNDS(200); i++) {
        cr_assert(eq(int, tenure_listen(heap, hear, &first), TENURE_OK));
        collect(self, TENURE_GEN0);
        tenure_unlisten(heap, hear, &first);
        const int told = atomic_load(&first.collections);
        collect(self, TENURE_GEN0);
        cr_expect(eq(int, atomic_load(&first.collections), told));
        atomic_store(&first.collections, 0);
    }
    join_blocked(self, thread);
    heap_end(heap, self);
}

/* It waits for a call that is going on, outside the stop set: the call itself waits for a collection. */
static void *remove_second(void *arg)
{
    tenure_thread *self = tenure_attach(arg);
    tenure_unlisten(arg, hear, &first);
    REQUIRE(atomic_load(&first.may_return) == 1);
    tenure_detach(self);
    return NULL;
}

Test(listen, unlisten_waits)
{
    tenure_heap *heap = heap_with("");
    tenure_thread *self = tenure_attach(heap);
    first.slow = true;
    cr_assert(eq(int, tenure_listen(heap, hear, &first), TENURE_OK));
    collect(self, TENURE_GEN0);
    await_polling(self, &first.inside, 1);
    pthread_t thread = start_thread(remove_second, heap);
    for (unsigned i = 0; i < 20; i++) collect(self, TENURE_GEN2);
    atomic_store(&first.may_return, 1);
    join_blocked(self, thread);
    heap_end(heap, self);
}

struct leaving {
    tenure_heap *heap;
    flag calls;
};

static void leave(const tenure_event *event, void *arg)
{
    struct leaving *leaving = arg;
    (void)event;
    atomic_fetch_add(&leaving->calls, 1);
    tenure_unlisten(leaving->heap, leave, leaving);
}

static void work(const tenure_event *event, void *arg)
{
    struct leaving *leaving = arg;
    if (event->kind != TENURE_EVENT_BEGIN || atomic_load(&leaving->calls) >= 5) return;
    tenure_thread *self = tenure_enter(leaving->heap);
    REQUIRE(tenure_new_bytes(self, 100) != NULL);
    REQUIRE(tenure_collect(self, TENURE_GEN2) == TENURE_OK);
    tenure_leave(self);
    atomic_fetch_add(&leaving->calls, 1);
}

/* A listener may remove itself, enter the heap, and collect. */
Test(listen, listeners_use_the_heap)
{
    tenure_heap *heap = heap_with("verify=before,after");
    tenure_thread *self = tenure_attach(heap);
    struct leaving leaving = { heap, 0 }, working = { heap, 0 };
    cr_assert(eq(int, tenure_listen(heap, leave, &leaving), TENURE_OK));
    cr_assert(eq(int, tenure_listen(heap, work, &working), TENURE_OK));
    collect(self, TENURE_GEN0);
    await_polling(self, &working.calls, 5);
    cr_expect(eq(int, atomic_load(&leaving.calls), 1));
    {
        TENURE_BLOCKING_SCOPE(self);
        tenure_unlisten(heap, work, &working);
    }
    heap_end(heap, self);
}

/* Its thread would wait for itself. */
static tenure_heap *ending;
static flag detached, answered;
static _Atomic int answer;
static void end_the_heap(const tenure_event *event, void *arg)
{
    (void)arg;
    if (event->kind != TENURE_EVENT_END) return;
    while (atomic_load(&detached) == 0) sched_yield();
    atomic_store(&answer, tenure_heap_destroy(ending));
    atomic_store(&answered, 1);
}
Test(listen, a_listener_does_not_end_the_heap)
{
    ending = heap_with("max_heap=64m");
    tenure_thread *self = tenure_attach(ending);
    cr_assert(eq(int, tenure_listen(ending, end_the_heap, NULL), TENURE_OK));
    collect(self, TENURE_GEN0);
    tenure_detach(self);
    atomic_store(&detached, 1);
    while (atomic_load(&answered) == 0) sched_yield();
    cr_expect(eq(int, atomic_load(&answer), TENURE_EBUSY));
    cr_expect(eq(int, tenure_heap_destroy(ending), TENURE_OK));
}

Test(listen, only_what_listens, .signal = SIGABRT)
{
    be_quiet();
    tenure_heap *heap = heap_with("");
    tenure_unlisten(heap, hear, &first);
}
