/* The program's trace functions and root callbacks run on collector threads, never on a mutator's stack, whoever leads
 * and however few workers there are. */
#include "tests/threads/threads.h"

typedef struct traced {
    struct traced *next;
    uint64_t value;
} traced;

enum { MUTATORS = 3 };
static _Atomic pid_t mutators[MUTATORS + 1];
static atomic_ulong traces, callbacks, on_a_mutator;
static traced *rooted[MUTATORS];

static void look_who_runs(void)
{
    const pid_t runs = gettid();
    for (unsigned i = 0; i <= MUTATORS; i++)
        if (atomic_load(&mutators[i]) == runs) atomic_fetch_add(&on_a_mutator, 1);
}

static void trace(void *object, void *low, void *high, tenure_visitor *visitor)
{
    traced *each = object;
    look_who_runs();
    atomic_fetch_add(&traces, 1);
    if ((void *)&each->next >= low && (void *)&each->next < high) tenure_visit(visitor, &each->next);
}
TENURE_TYPE_CUSTOM(traced_type, traced, trace);

static void visit_rooted(tenure_visitor *visitor, void *arg)
{
    REQUIRE(arg == &callbacks);
    look_who_runs();
    atomic_fetch_add(&callbacks, 1);
    tenure_visit_range(visitor, rooted, MUTATORS);
}

static tenure_heap *heap;

static void *allocate_traced(void *arg)
{
    const uintptr_t index = (uintptr_t)arg;
    tenure_thread *self = tenure_attach(heap);
    atomic_store(&mutators[index], gettid());
    for (unsigned round = 0; round < 10; round++) {
        rooted[index] = NULL;
        for (unsigned i = 0; i < 3000; i++) {
            traced *fresh = tenure_new(self, traced_type);
            REQUIRE(fresh != NULL);
            fresh->value = i;
            TENURE_SET(self, fresh, next, rooted[index]);
            rooted[index] = fresh;
            make_chain(self, 3, 1);
        }
        if (round % 4 == 3) REQUIRE(tenure_collect(self, TENURE_GEN2) == TENURE_OK);
        uint64_t expected = 3000;
        for (const traced *each = rooted[index]; each != NULL; each = each->next) REQUIRE(each->value == --expected);
        REQUIRE(expected == 0);
    }
    tenure_detach(self);
    return NULL;
}

static void runs_elsewhere(const char *words)
{
    heap = precise_heap_with(words);
    tenure_thread *self = tenure_attach(heap);
    atomic_store(&mutators[MUTATORS], gettid());
    cr_assert(eq(int, tenure_root_callback_add(heap, visit_rooted, &callbacks), TENURE_OK));
    pthread_t threads[MUTATORS];
    for (uintptr_t i = 0; i < MUTATORS; i++) threads[i] = start_thread(allocate_traced, (void *)i);
    for (unsigned i = 0; i < MUTATORS; i++) join_blocked(self, threads[i]);
    /* The owner of a stop leads on its own stack too. */
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    for (unsigned i = 0; i < 3; i++) spend_budget(self);
    tenure_resume_world(self);
    cr_assert(lt(ulong, 0, atomic_load(&traces)));
    cr_assert(ge(ulong, atomic_load(&callbacks), collections_of(heap)));
    cr_assert(eq(ulong, atomic_load(&on_a_mutator), 0));
    tenure_root_callback_remove(heap, visit_rooted, &callbacks);
    heap_end(heap, self);
}

Test(gang, one_worker_led_by_mutators) { runs_elsewhere("max_heap=128m,gen0=1m,lead=mutator,workers=1,verify=after"); }
Test(gang, one_worker_led_by_the_daemon) { runs_elsewhere("max_heap=128m,gen0=1m,lead=daemon,workers=1,verify=after"); }
Test(gang, two_workers) { runs_elsewhere("max_heap=128m,gen0=1m,lead=mutator,workers=2,verify=after"); }
Test(gang, many_workers) { runs_elsewhere("max_heap=128m,gen0=1m,lead=mutator,workers=8,verify=after"); }
Test(gang, work_lists_that_overflow)
{
    runs_elsewhere("max_heap=128m,gen0=1m,lead=mutator,workers=2,verify=after,torture=overflow");
}
