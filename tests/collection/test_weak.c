/* Weak references: cleared when their target dies and not before, in every generation, wherever things lie. */
#include "tests/threads/threads.h"
#include <errno.h>

typedef struct big {
    node *first;
    uint64_t value, filler[8000];
} big;
TENURE_TYPE(big_type, big, first);

static tenure_heap *heap;
static tenure_thread *self;

static void begin_with(const char *words)
{
    heap = precise_heap_with(words);
    self = tenure_attach(heap);
}
static void begin(void) { begin_with("max_heap=128m,verify=before,after"); }
static void end(void) { heap_end(heap, self); }

TestSuite(weak, .init = begin, .fini = end);

static node *fresh(uint64_t value)
{
    node *object = tenure_new(self, node_type);
    cr_assert(object != NULL);
    object->value = value;
    return object;
}
static uint64_t value_of(const tenure_weak *weak)
{
    const node *target = tenure_weak_get(self, weak);
    return target != NULL ? target->value : 0;
}

/* --- one reference, in each constellation of generations --- */

/* The reference and the target are as old as told, the target lives through collections of every generation, dies, and
 * is gone after a collection of its own generation, not before. */
static void constellation(unsigned target_age, unsigned weak_age, bool large)
{
    TENURE_LOCALS(self, l, node * target; tenure_weak * weak;);
    for (unsigned step = 0; step <= target_age || step <= weak_age; step++) {
        if (step == 2 - (target_age > 2 ? 2 : target_age)) {
            if (large) {
                big *object = tenure_new(self, big_type);
                object->value = 7;
                l.target = (node *)(void *)object;
            } else {
                l.target = fresh(7);
            }
        }
        if (l.target != NULL && l.weak == NULL && step + weak_age >= 2) l.weak = tenure_weak_new(self, l.target);
        if (step < 2) collect(self, TENURE_GEN1);
    }
    if (l.target == NULL) return;
    if (l.weak == NULL) l.weak = tenure_weak_new(self, l.target);
    const int generation = generation_of(heap, l.target);
    for (int i = 0; i < 3; i++) {
        cr_assert(eq(ptr, tenure_weak_get(self, l.weak), l.target));
        cr_assert(eq(u64, value_of(l.weak), 7));
    }
    l.target = NULL;
    if (generation == 2) {
        collect(self, TENURE_GEN1);
        cr_assert(tenure_weak_get(self, l.weak) != NULL, "Gen 2 was not collected");
    }
    collect(self, (tenure_generation)generation);
    cr_assert(tenure_weak_get(self, l.weak) == NULL);
}

Test(weak, ages)
{
    for (unsigned target = 0; target <= 2; target++)
        for (unsigned reference = 0; reference <= 2; reference++)
            for (unsigned large = 0; large < 2; large++) constellation(target, reference, large);
}

Test(weak, follows_its_target)
{
    static const tenure_generation order[] = { TENURE_GEN0, TENURE_GEN0, TENURE_GEN1, TENURE_GEN0, TENURE_GEN2,
        TENURE_GEN1, TENURE_GEN2 };
    TENURE_LOCALS(self, l, node * target; tenure_weak * early; tenure_weak * late;);
    l.target = fresh(3);
    l.early = tenure_weak_new(self, l.target);
    for (unsigned i = 0; i < 7; i++) {
        collect(self, order[i]);
        cr_assert(eq(ptr, tenure_weak_get(self, l.early), l.target));
        if (i == 3) l.late = tenure_weak_new(self, l.target);
        if (l.late != NULL) cr_assert(eq(ptr, tenure_weak_get(self, l.late), l.target));
    }
}

/* --- sharing --- */

Test(weak, many_share_one)
{
    enum { MANY = 100000 };
    TENURE_LOCALS(self, l, node * target; tenure_weak * first; tenure_weak * second; tenure_weak * other;);
    l.target = fresh(1);
    l.first = tenure_weak_new(self, l.target);
    l.second = tenure_weak_new(self, l.target);
    for (unsigned i = 0; i < MANY; i++) {
        l.other = tenure_weak_new(self, l.target);
        cr_assert(eq(ptr, l.other, l.second));
        if (i % (MANY / 10) == 0) collect(self, (tenure_generation)(i / (MANY / 10) % 3));
    }
    l.target = NULL;
    collect(self, TENURE_GEN2);
    cr_expect(tenure_weak_get(self, l.first) == NULL);
    cr_expect(tenure_weak_get(self, l.second) == NULL);
}

/* When the shared one dies a later one takes its place; the table holds nothing for what is gone. */
Test(weak, the_table_forgets)
{
    enum { COUNT = 5000 };
    TENURE_LOCALS(self, l, node * *targets; tenure_weak * *keep; tenure_weak * weak;);
    l.targets = TENURE_NEW_REFS(self, node, COUNT);
    l.keep = TENURE_NEW_REFS(self, tenure_weak, COUNT);
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            if (l.targets[i] == NULL) {
                node *object = fresh(i);
                TENURE_SET_AT(self, l.targets, i, object);
                TENURE_SET_AT(self, l.keep, i, NULL);
            }
            for (unsigned j = 0; j < 3; j++) {
                l.weak = tenure_weak_new(self, l.targets[i]);
                cr_assert(eq(ptr, tenure_weak_get(self, l.weak), l.targets[i]));
            }
            if (i % 3 == round % 3) TENURE_SET_AT(self, l.keep, i, l.weak);
        }
        for (unsigned i = round; i < COUNT; i += 4) TENURE_SET_AT(self, l.targets, i, NULL);
        for (unsigned i = 1; i < COUNT; i += 5) TENURE_SET_AT(self, l.keep, i, NULL);
        collect(self, (tenure_generation)(round % 3));
        for (unsigned i = 0; i < COUNT; i++)
            if (l.keep[i] != NULL && l.targets[i] != NULL)
                cr_assert(eq(ptr, tenure_weak_get(self, l.keep[i]), l.targets[i]));
    }
    l.targets = NULL;
    l.keep = NULL;
    l.weak = NULL;
    collect(self, TENURE_GEN2);
    for (unsigned i = 0; i < TENURE__RECORD_SHARDS; i++) cr_assert(eq(u32, heap->cells.shards[i].count, 0));
}

/* --- what cannot be --- */

Test(weak, cannot_be_cloned, .signal = SIGABRT)
{
    TENURE_LOCALS(self, l, tenure_weak * weak;);
    l.weak = tenure_weak_new(self, fresh(1));
    be_quiet();
    tenure_clone(self, l.weak);
}

Test(weak, no_memory)
{
    heap_end(heap, self);
    begin_with("max_heap=4m,verify=after");
    TENURE_LOCALS(self, l, node * target; node * rest; tenure_weak * weak;);
    l.target = fresh(5);
    l.weak = tenure_weak_new(self, l.target);
    for (node *more; (more = tenure_new(self, node_type)) != NULL; l.rest = more) TENURE_SET(self, more, next, l.rest);
    cr_assert(eq(int, errno, ENOMEM));
    while (tenure_weak_new(self, l.rest) != NULL) l.rest = l.rest->next;
    cr_assert(eq(ptr, tenure_weak_get(self, l.weak), l.target));
    l.rest = NULL;
    collect(self, TENURE_GEN2);
    cr_assert(eq(u64, value_of(l.weak), 5));
}

/* --- cycles --- */

/* Rings through all generations and a large object; some are dropped. The references tell which are gone. */
static void rings(const char *words)
{
    enum { RINGS = 24, LENGTH = 30 };
    heap_end(heap, self);
    begin_with(words);
    TENURE_LOCALS(self, l, node * *ends; tenure_weak * *witnesses; big * large;);
    l.ends = TENURE_NEW_REFS(self, node, RINGS);
    l.witnesses = TENURE_NEW_REFS(self, tenure_weak, RINGS * LENGTH);
    for (unsigned at = 0; at < LENGTH; at++) {
        for (unsigned ring = 0; ring < RINGS; ring++) {
            node *next;
            if (at == LENGTH / 2 && ring % 4 == 0) {
                l.large = tenure_new(self, big_type);
                next = (node *)(void *)l.large;
                next->value = ring;
            } else {
                next = fresh(ring);
            }
            node *last = l.ends[ring];
            TENURE_SET(self, next, next, last != NULL ? last->next : next);
            if (last != NULL) TENURE_SET(self, last, next, next);
            TENURE_SET_AT(self, l.ends, ring, next);
            tenure_weak *witness = tenure_weak_new(self, l.ends[ring]);
            TENURE_SET_AT(self, l.witnesses, ring * LENGTH + at, witness);
        }
        if (at % 5 == 4) collect(self, at % 10 == 4 ? TENURE_GEN0 : TENURE_GEN1);
        if (at == LENGTH - 3) collect(self, TENURE_GEN1);
    }
    l.large = NULL;
    for (unsigned ring = 0; ring < RINGS; ring += 2) TENURE_SET_AT(self, l.ends, ring, NULL);
    collect(self, TENURE_GEN2);
    for (unsigned i = 0; i < RINGS * LENGTH; i++) {
        const node *target = tenure_weak_get(self, l.witnesses[i]);
        if (i / LENGTH % 2 == 0)
            cr_assert(target == NULL);
        else
            cr_assert(eq(u64, target->value, i / LENGTH));
    }
}

Test(weak, rings) { rings("max_heap=128m,verify=before,after"); }
Test(weak, rings_evacuated) { rings("max_heap=128m,torture=evacuate,verify=before,after"); }
Test(weak, rings_that_stay) { rings("max_heap=128m,torture=nospace,verify=before,after"); }
Test(weak, rings_that_overflow) { rings("max_heap=128m,torture=overflow,verify=before,after"); }

/* --- pinned, frozen --- */

/* Little is pinned in a block: it goes back to the nursery, and what is in it counts as Gen 1 while its reference is
 * Gen 2. */
Test(weak, pinned_in_a_sparse_block)
{
    enum { COUNT = 50 };
    TENURE_LOCALS(self, l, node * targets[COUNT]; tenure_weak * weak[COUNT];);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            l.targets[i] = fresh(i + 1);
            l.weak[i] = tenure_weak_new(self, l.targets[i]);
            cr_assert(eq(int, tenure_pin(self, round == 0 ? (void *)l.targets[i] : (void *)l.weak[i]), TENURE_OK));
            for (unsigned j = 0; j < 3000; j++) fresh(0);
        }
        for (unsigned i = 0; i < 4; i++) {
            collect(self, (tenure_generation)(i % 3));
            for (unsigned j = 0; j < COUNT; j++) cr_assert(eq(ptr, tenure_weak_get(self, l.weak[j]), l.targets[j]));
        }
        for (unsigned i = 0; i < COUNT; i++) {
            tenure_unpin(self, round == 0 ? (void *)l.targets[i] : (void *)l.weak[i]);
            if (i % 2 == 0) l.targets[i] = NULL;
        }
        collect(self, TENURE_GEN2);
        for (unsigned j = 0; j < COUNT; j++) cr_assert(eq(ptr, tenure_weak_get(self, l.weak[j]), l.targets[j]));
    }
}

Test(weak, frozen)
{
    TENURE_LOCALS(self, l, node * a; node * b; tenure_weak * to_frozen; tenure_weak * from_frozen; tenure_weak * dead;);
    l.a = fresh(1);
    l.b = fresh(2);
    l.from_frozen = tenure_weak_new(self, l.b);
    cr_assert(eq(int, tenure_freeze(self), TENURE_OK));
    l.to_frozen = tenure_weak_new(self, l.a);
    l.dead = tenure_weak_new(self, fresh(3));
    l.a = NULL;
    collect(self, TENURE_GEN2);
    cr_expect(eq(u64, value_of(l.to_frozen), 1));
    cr_expect(eq(u64, value_of(l.from_frozen), 2));
    cr_expect(eq(u64, value_of(l.dead), 0));
    cr_assert(eq(int, tenure_unfreeze(self), TENURE_OK));
    collect(self, TENURE_GEN2);
    cr_expect(eq(u64, value_of(l.to_frozen), 0));
    cr_expect(eq(u64, value_of(l.from_frozen), 2));
}

/* --- conservative: what is on a stack lives, what is not dies --- */

__attribute__((noinline)) static tenure_weak *weak_to_nothing(tenure_thread *thread)
{
    tenure_weak *weak = tenure_weak_new(thread, tenure_new(thread, node_type));
    return weak;
}

Test(weak, conservative)
{
    heap_end(heap, self);
    heap = heap_with("max_heap=128m,verify=before,after");
    self = tenure_attach(heap);
    node *kept = fresh(9);
    tenure_weak *to_kept = tenure_weak_new(self, kept);
    unsigned cleared = 0;
    for (unsigned i = 0; i < 50; i++) {
        tenure_weak *weak = weak_to_nothing(self);
        clobber_stack();
        collect(self, (tenure_generation)(i % 3));
        cleared += tenure_weak_get(self, weak) == NULL;
    }
    cr_expect(ge(u32, cleared, 25u));
    cr_expect(eq(ptr, tenure_weak_get(self, to_kept), kept));
}

/* --- threads --- */

enum { THREADS = 4, SLOTS = 64 };
typedef struct shelf {
    node *strong[SLOTS];
    tenure_weak *weak[SLOTS];
} shelf;
TENURE_TYPE(shelf_type, shelf, strong, weak);
static unsigned steps;

/* Of a slot's weak reference: what has a strong one is there; what is there is whole. */
static void check_slot(tenure_thread *thread, shelf *mine, unsigned slot)
{
    const node *target = mine->weak[slot] != NULL ? tenure_weak_get(thread, mine->weak[slot]) : NULL;
    REQUIRE(mine->strong[slot] == NULL || target == mine->strong[slot]);
    REQUIRE(target == NULL || target->value == slot + 1);
}

static void *churn(tenure_thread *thread, void *object)
{
    shelf *mine = object;
    TENURE_FRAME(thread, mine);
    uint64_t seed = (uint64_t)(uintptr_t)thread;
    for (unsigned i = 0; i < steps; i++) {
        const unsigned slot = (unsigned)(next_random(&seed) % SLOTS);
        switch (next_random(&seed) % 4) {
        case 0: {
            node *target = tenure_new(thread, node_type);
            target->value = slot + 1;
            TENURE_SET(thread, mine, strong[slot], target);
            TENURE_SET(thread, mine, weak[slot], NULL);
            tenure_weak *weak = tenure_weak_new(thread, mine->strong[slot]);
            TENURE_SET(thread, mine, weak[slot], weak);
            break;
        }
        case 1:
            if (mine->strong[slot] != NULL) {
                tenure_weak *weak = tenure_weak_new(thread, mine->strong[slot]);
                TENURE_SET(thread, mine, weak[slot], weak);
            }
            break;
        case 2:
            TENURE_SET(thread, mine, strong[slot], NULL);
            break;
        }
        check_slot(thread, mine, slot);
        if (i % 512 == 0) REQUIRE(tenure_collect(thread, (tenure_generation)(i / 512 % 3)) == TENURE_OK);
    }
    return NULL;
}

static void churn_with(const char *words, tenure_roots roots, unsigned steps_of_each)
{
    heap_end(heap, self);
    const tenure_options options = options_with(words, roots);
    heap = heap_of(&options);
    self = tenure_attach(heap);
    steps = ROUNDS(steps_of_each);
    TENURE_LOCALS(self, l, shelf * shared; shelf * own;);
    pthread_t threads[THREADS];
    l.shared = tenure_new(self, shelf_type);
    collector gen0;
    collector_start(&gen0, heap);
    for (unsigned i = 0; i < THREADS; i++) {
        l.own = tenure_new(self, shelf_type);
        cr_assert(eq(int, tenure_thread_create(self, &threads[i], NULL, churn, l.own), TENURE_OK));
    }
    for (unsigned i = 0; i < THREADS; i++) join_blocked(self, threads[i]);
    {
        TENURE_BLOCKING_SCOPE(self);
        collector_stop(&gen0);
    }
    verify(self);
}

Test(weak, threads) { churn_with("max_heap=128m,gen0=512k", TENURE_ROOTS_PRECISE, 20000); }
Test(weak, threads_conservative) { churn_with("max_heap=128m,gen0=512k", TENURE_ROOTS_CONSERVATIVE, 20000); }
Test(weak, threads_verified)
{
    churn_with("max_heap=64m,torture=alloc:40,verify=before,after", TENURE_ROOTS_PRECISE, 1500);
}
Test(weak, threads_tortured)
{
    churn_with(
        "max_heap=64m,torture=alloc:50+evacuate+nospace+overflow,verify=before,after", TENURE_ROOTS_CONSERVATIVE, 1000);
}
Test(weak, every_allocation)
{
    churn_with("max_heap=64m,workers=1,torture=alloc:1+evacuate,verify=after", TENURE_ROOTS_PRECISE, 150);
}

/* All threads ask for one object's reference: they get one of two. */
static _Atomic(tenure_weak *) answers[THREADS];
static void *ask(tenure_thread *thread, void *object)
{
    TENURE_FRAME(thread, object);
    static atomic_uint next;
    tenure_weak *weak = tenure_weak_new(thread, object);
    REQUIRE(tenure_weak_get(thread, weak) == object);
    atomic_store(&answers[atomic_fetch_add(&next, 1) % THREADS], weak);
    return NULL;
}

Test(weak, threads_share)
{
    TENURE_LOCALS(self, l, node * target;);
    tenure_disable(heap); /* the answers are no roots */
    for (unsigned round = 0; round < ROUNDS(100); round++) {
        pthread_t threads[THREADS];
        l.target = fresh(1);
        for (unsigned i = 0; i < THREADS; i++)
            cr_assert(eq(int, tenure_thread_create(self, &threads[i], NULL, ask, l.target), TENURE_OK));
        for (unsigned i = 0; i < THREADS; i++) join_blocked(self, threads[i]);
        unsigned different = 0;
        for (unsigned i = 0; i < THREADS; i++) {
            bool seen = false;
            for (unsigned j = 0; j < i; j++) seen |= atomic_load(&answers[i]) == atomic_load(&answers[j]);
            different += !seen;
        }
        cr_assert(le(u32, different, 2u));
    }
    tenure_enable(heap);
    verify(self);
}
