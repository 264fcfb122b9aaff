/* check=roots: a local that is no root is found at its first use after a safepoint. */
#include "tests/check/told.h"
#include "threads/system.h"
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

typedef struct node {
    struct node *next;
    uint64_t value;
} node;
TENURE_TYPE(node_type, node, next);

static tenure_heap *heap;
static tenure_thread *self;

static void begin_with(const char *words)
{
    heap = precise_heap_with(words);
    self = tenure_attach(heap);
}

static void (*wrong_program)(void);
static void run_wrong(void)
{
    begin_with("max_heap=64m,check=roots");
    wrong_program();
}
static void expect_told(void (*wrong)(void), const char *what, const char *type)
{
    wrong_program = wrong;
    const char *text = told(run_wrong);
    expect_said(text, what);
    expect_said(text, type);
}

static uint64_t volatile seen;

/* What the report names has to be a function of its own. */
#define NAMED __attribute__((noinline))

NAMED static void reads_what_died(void)
{
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_new(self, node_type);
    seen = lost->value;
}
NAMED static void reads_what_moved(void)
{
    node *kept = TENURE_NEW(self, node_type, .value = 7);
    TENURE_FRAME(self, kept);
    node *volatile copy = kept;
    tenure_new(self, node_type);
    seen = copy->value;
}
NAMED static void reads_what_moved_often(void)
{
    node *kept = TENURE_NEW(self, node_type, .value = 7);
    TENURE_FRAME(self, kept);
    node *volatile copy = kept;
    for (unsigned i = 0; i < 100; i++) tenure_new(self, node_type);
    seen = copy->value;
}
NAMED static void stores_into_what_moved(void)
{
    node *kept = TENURE_NEW(self, node_type, .value = 7);
    TENURE_FRAME(self, kept);
    node *volatile copy = kept;
    node *other = tenure_new(self, node_type);
    TENURE_SET(self, copy, next, other);
}
NAMED static void reads_after_a_poll(void)
{
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_poll(self);
    seen = lost->value;
}
NAMED static void reads_after_a_region(void)
{
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    TENURE_BLOCKING_CALL(self, sched_yield());
    seen = lost->value;
}
static tenure_mutex mutex = TENURE_MUTEX_INIT("mutex");
static tenure_rwlock rwlock = TENURE_RWLOCK_INIT("rwlock");
static tenure_sem sem;
static tenure_cond cond = TENURE_COND_INIT("cond");
NAMED static void reads_after_a_lock(void)
{
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_mutex_lock(self, &mutex);
    seen = lost->value;
}
NAMED static void reads_after_a_lock_without_record(void)
{
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_mutex_lock(NULL, &mutex);
    seen = lost->value;
}
NAMED static void reads_after_a_read_lock(void)
{
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_rwlock_rdlock(self, &rwlock);
    seen = lost->value;
}
NAMED static void reads_after_a_semaphore(void)
{
    tenure_sem_post(&sem);
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_sem_wait(self, &sem);
    seen = lost->value;
}
NAMED static void reads_after_a_condition(void)
{
    tenure_mutex_lock(self, &mutex);
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_cond_timedwait(self, &cond, &mutex, &(struct timespec) { 0, 0 });
    seen = lost->value;
}
NAMED static void reads_after_a_new_root(void)
{
    static node *other;
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_root_add(heap, &other);
    seen = lost->value;
}
NAMED static void reads_after_a_stop(void)
{
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_stop_world(self);
    seen = lost->value;
}
NAMED static void reads_after_a_stop_of_its_own(void)
{
    tenure_stop_world(self);
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_resume_world(self);
    seen = lost->value;
}
NAMED static void reads_after_attaching_elsewhere(void)
{
    tenure_heap *other = precise_heap_with("max_heap=64m");
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_attach(other);
    seen = lost->value;
}
NAMED static void reads_after_coming_in_from_a_region(void)
{
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_enter_blocking(self);
    tenure_enter(heap);
    seen = lost->value;
}
NAMED static void reads_after_a_grace_period(void)
{
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_synchronize_rcu(self);
    seen = lost->value;
}
NAMED static void reads_after_a_fork(void)
{
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    if (fork() == 0) _exit(0);
    seen = lost->value;
}
static void is_told(const tenure_event *event, void *arg) { (void)event, (void)arg; }
NAMED static void reads_after_listening(void)
{
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_listen(heap, is_told, NULL);
    seen = lost->value;
}
static tenure_heap *second_heap;
static tenure_thread *second(const char *words)
{
    second_heap = precise_heap_with(words);
    return tenure_attach(second_heap);
}
NAMED static void reads_after_an_allocation_elsewhere(void)
{
    tenure_thread *elsewhere = second("max_heap=64m");
    tenure_new(elsewhere, node_type);
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_new(elsewhere, node_type);
    seen = lost->value;
}
NAMED static void reads_after_a_poll_elsewhere(void)
{
    tenure_thread *elsewhere = second("max_heap=64m,check=roots");
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_poll(elsewhere);
    seen = lost->value;
}
NAMED static void reads_after_a_collection_elsewhere(void)
{
    tenure_thread *elsewhere = second("max_heap=64m");
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_collect(elsewhere, TENURE_GEN0);
    seen = lost->value;
}
NAMED static void reads_an_old_one_after_a_young_collection(void)
{
    node *kept = TENURE_NEW(self, node_type, .value = 7);
    TENURE_FRAME(self, kept);
    for (unsigned i = 0; i < 3; i++) tenure_collect(self, TENURE_GEN2);
    node *volatile copy = kept;
    tenure_collect(self, TENURE_GEN0);
    seen = copy->value;
}
NAMED static void reads_an_old_one_after_a_call_that_waits(void)
{
    node *kept = TENURE_NEW(self, node_type, .value = 7);
    TENURE_FRAME(self, kept);
    for (unsigned i = 0; i < 3; i++) tenure_collect(self, TENURE_GEN2);
    node *volatile copy = kept;
    tenure_nanosleep(self, &(struct timespec) { 0, 1 }, NULL);
    seen = copy->value;
}
NAMED static void reads_a_large_one_that_died(void)
{
    node **volatile lost = TENURE_NEW_REFS(self, node, 10000);
    tenure_new(self, node_type);
    seen = (uintptr_t)lost[9000];
}

static void finalizer_reads_what_moved(tenure_thread *thread, void *object, void *arg)
{
    node *volatile copy = object;
    (void)arg;
    tenure_new(thread, node_type);
    seen = copy->value;
}
static void has_a_wrong_finalizer(void)
{
    node *dies = tenure_new(self, node_type);
    tenure_finalize(self, dies, finalizer_reads_what_moved, NULL);
    tenure_collect(self, TENURE_GEN2);
    tenure_finalizers_drain(self, UINT64_MAX);
}

static void expect_dead(void (*wrong)(void), const char *name)
{
    char said[200];
    snprintf(said, sizeof said, "is dead: no root led to it; allocated in %s+", name);
    expect_told(wrong, said, "a node_type was at");
}
#define EXPECT_DEAD(wrong) expect_dead(wrong, #wrong)
Test(roots, dead) { EXPECT_DEAD(reads_what_died); }
Test(roots, moved) { expect_told(reads_what_moved, "has moved to", "a node_type was at"); }
Test(roots, moved_often) { expect_told(reads_what_moved_often, "has moved to", "a node_type was at"); }
Test(roots, poll) { EXPECT_DEAD(reads_after_a_poll); }
Test(roots, region) { EXPECT_DEAD(reads_after_a_region); }
Test(roots, locks)
{
    EXPECT_DEAD(reads_after_a_lock);
    EXPECT_DEAD(reads_after_a_lock_without_record);
    EXPECT_DEAD(reads_after_a_read_lock);
    EXPECT_DEAD(reads_after_a_semaphore);
    EXPECT_DEAD(reads_after_a_condition);
}
Test(roots, calls_that_may_wait_for_stops)
{
    EXPECT_DEAD(reads_after_a_new_root);
    EXPECT_DEAD(reads_after_a_stop);
    EXPECT_DEAD(reads_after_a_stop_of_its_own);
    EXPECT_DEAD(reads_after_attaching_elsewhere);
    EXPECT_DEAD(reads_after_coming_in_from_a_region);
    EXPECT_DEAD(reads_after_a_grace_period);
    EXPECT_DEAD(reads_after_a_fork);
    EXPECT_DEAD(reads_after_listening);
}
Test(roots, calls_on_other_heaps)
{
    EXPECT_DEAD(reads_after_an_allocation_elsewhere);
    EXPECT_DEAD(reads_after_a_poll_elsewhere);
    EXPECT_DEAD(reads_after_a_collection_elsewhere);
}
Test(roots, young_collections)
{
    expect_told(reads_an_old_one_after_a_young_collection, "has moved to", "a node_type was at");
}
Test(roots, call_that_waits)
{
    expect_told(reads_an_old_one_after_a_call_that_waits, "has moved to", "a node_type was at");
}
Test(roots, in_a_finalizer)
{
    expect_told(has_a_wrong_finalizer, "was used, where nothing is any more", "a node_type was at");
}
Test(roots, header)
{
    expect_told(stores_into_what_moved, "allocated in stores_into_what_moved+", "a node_type was at");
}
Test(roots, large)
{
    expect_told(reads_a_large_one_that_died, "is dead: no root led to it; allocated in reads_a_large_one_that_died+",
        "check=roots");
}

static void make_a_list_again_and_again(void)
{
    node *list = NULL;
    TENURE_FRAME(self, list);
    for (unsigned i = 0; i < 1000; i++) {
        node *next = tenure_new(self, node_type);
        cr_assert(next != NULL);
        next->next = i % 100 == 0 ? NULL : list;
        next->value = i;
        list = next;
        if (i % 50 == 0) cr_assert(tenure_new_bytes(self, 40000) != NULL);
    }
    uint64_t value = 999;
    for (node *at = list; at != NULL; at = at->next) cr_assert(eq(u64, at->value, value--));
    cr_expect(eq(u64, value, 899));
}

/* What is locked lies in an object, which moves with everything else at other times. */
typedef struct guarded {
    tenure_mutex mutex;
    tenure_cond cond;
    node *node;
} guarded;
TENURE_TYPE(guarded_type, guarded, node);
static void lock_and_move(void)
{
    guarded *object = tenure_new(self, guarded_type);
    TENURE_FRAME(self, object);
    TENURE_SET(self, object, node, (node *)tenure_new(self, node_type));
    const struct timespec past = { 0, 0 };
    for (unsigned i = 0; i < 20; i++) {
        cr_assert(eq(int, tenure_mutex_lock(self, &object->mutex), TENURE_OK));
        cr_assert(eq(int, tenure_cond_timedwait(self, &object->cond, &object->mutex, &past), TENURE_ETIMEDOUT));
        cr_assert(eq(u64, object->node->value++, i));
        tenure_mutex_unlock(self, &object->mutex);
        void *volatile before = object;
        tenure_poll(self);
        cr_expect(ne(ptr, before, object));
    }
}
Test(roots, locks_in_objects_stay_while_they_are_taken)
{
    begin_with("max_heap=64m,check=roots,verify=all");
    lock_and_move();
    heap_end(heap, self);
}

/* What such calls are given in objects: where a thread's identity goes, deadlines. */
typedef struct due {
    node *node;
    pthread_t thread;
    struct timespec at;
} due;
TENURE_TYPE(due_type, due, node);
static void *do_nothing(tenure_thread *thread, void *object)
{
    (void)thread;
    return object;
}
static void give_what_lies_in_an_object(void)
{
    due *object = tenure_new(self, due_type);
    TENURE_FRAME(self, object);
    cr_assert(eq(int, tenure_thread_create(self, &object->thread, NULL, do_nothing, object), TENURE_OK));
    const pthread_t thread = object->thread;
    TENURE_BLOCKING_CALL(self, pthread_join(thread, NULL));
    tenure_mutex_lock(self, &mutex);
    cr_assert(eq(int, tenure_cond_timedwait(self, &cond, &mutex, &object->at), TENURE_ETIMEDOUT));
    tenure_mutex_unlock(self, &mutex);
    cr_assert(eq(int, tenure_sem_timedwait(self, &sem, &object->at), TENURE_ETIMEDOUT));
}
Test(roots, arguments_in_objects)
{
    begin_with("max_heap=64m,check=roots,verify=after");
    give_what_lies_in_an_object();
    heap_end(heap, self);
}

/* Nobody waits for a stop owning the mutex of a condition: whoever stops the world may lock it. */
static atomic_bool waited_enough;
static void *wait_again_and_again(tenure_thread *thread, void *object)
{
    const struct timespec past = { 0, 0 };
    while (!atomic_load(&waited_enough)) {
        cr_assert(eq(int, tenure_mutex_lock(thread, &mutex), TENURE_OK));
        tenure_cond_timedwait(thread, &cond, &mutex, &past);
        tenure_mutex_unlock(thread, &mutex);
    }
    return object;
}
Test(roots, the_mutex_of_a_wait_is_free_in_stops)
{
    begin_with("max_heap=64m,check=roots");
    pthread_t thread;
    cr_assert(eq(int, tenure_thread_create(self, &thread, NULL, wait_again_and_again, NULL), TENURE_OK));
    for (unsigned i = 0; i < 300; i++) {
        cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
        cr_assert(eq(int, tenure_mutex_lock(self, &mutex), TENURE_OK));
        tenure_mutex_unlock(self, &mutex);
        tenure_resume_world(self);
    }
    atomic_store(&waited_enough, true);
    TENURE_BLOCKING_CALL(self, pthread_join(thread, NULL));
    heap_end(heap, self);
}

/* A listener that comes and goes does not make what it is told of. */
static _Atomic uint64_t told_of;
static void come_and_go(const tenure_event *event, void *arg)
{
    if (event->kind == TENURE_EVENT_END) atomic_fetch_add(&told_of, 1);
    tenure_leave(tenure_enter(arg));
}
Test(roots, listeners_come_and_go)
{
    begin_with("max_heap=64m,check=roots");
    cr_assert(eq(int, tenure_listen(heap, come_and_go, heap), TENURE_OK));
    tenure_new(self, node_type);
    while (atomic_load(&told_of) == 0) TENURE_BLOCKING_CALL(self, sched_yield());
    TENURE_BLOCKING_CALL(self, usleep(100000));
    const uint64_t heard = atomic_load(&told_of);
    TENURE_BLOCKING_CALL(self, usleep(100000));
    cr_expect(le(u64, atomic_load(&told_of), heard + 2)); /* of the two regions' ends */
    tenure_unlisten(heap, come_and_go, heap);
    heap_end(heap, self);
}

/* Until the address space is used up several times over. */
Test(roots, right_programs_are_right)
{
    begin_with("max_heap=4m,check=roots,verify=all");
    make_a_list_again_and_again();
    heap_end(heap, self);
}

/* A thread that populates a block, as the daemon does, and is late: no stop waits for it. */
static _Thread_local bool is_late;
static atomic_bool late_there, late_goes_on;
int __real_tenure__advise(void *memory, size_t bytes, int advice);
int __wrap_tenure__advise(void *memory, size_t bytes, int advice);
int __wrap_tenure__advise(void *memory, size_t bytes, int advice)
{
    if (is_late && advice == MADV_POPULATE_WRITE) {
        atomic_store(&late_there, true);
        while (!atomic_load(&late_goes_on)) sched_yield();
    }
    return __real_tenure__advise(memory, bytes, advice);
}
static void *populate_late(void *arg)
{
    is_late = true;
    tenure__populate_ahead(arg);
    atomic_store(&late_there, true);
    return NULL;
}

Test(roots, blocks_that_others_took_and_left_are_not_populated)
{
    begin_with("max_heap=4m,check=roots,huge_pages=off");
    const uint32_t block = atomic_load(&heap->frontier);
    pthread_t thread;
    cr_assert(eq(int, pthread_create(&thread, NULL, populate_late, heap), 0));
    while (!atomic_load(&late_there)) sched_yield();
    for (unsigned i = 0; i < 1000; i++) tenure_new(self, node_type);
    cr_assert(lt(u32, block, atomic_load(&heap->frontier)));
    atomic_store(&late_goes_on, true);
    pthread_join(thread, NULL);
    heap_end(heap, self);
}

static void make_a_list_of_what_there_is(void)
{
    node *list = NULL;
    TENURE_FRAME(self, list);
    uint64_t made = 0;
    for (unsigned i = 0; i < 2000; i++) {
        if (i % 20 == 0) tenure_new_bytes(self, 40000 + i);
        node *next = tenure_new(self, node_type);
        if (next == NULL) continue;
        next->next = list;
        next->value = made++;
        list = next;
    }
    cr_expect(lt(u64, 1000, tenure__faults_failed()));
    tenure__faults_set(NULL);
    cr_assert(eq(int, tenure_verify(self), TENURE_OK));
    for (node *at = list; at != NULL; at = at->next) cr_assert(eq(u64, at->value, --made));
    cr_expect(eq(u64, made, 0));
    list = NULL;
    make_a_list_again_and_again();
}

/* Blocks that the system does not close stay open, those that it does not open are not there. */
Test(roots, the_system_refuses)
{
    begin_with("max_heap=4m,check=roots,verify=after,fault=mprotect:0.3,madvise:0.3,seed:5");
    make_a_list_of_what_there_is();
    heap_end(heap, self);
}

/* The program's own faults are its own. */
static void on_fault(int signal)
{
    (void)signal;
    _exit(42);
}
Test(roots, other_faults_go_to_the_program, .exit_code = 42)
{
    signal(SIGSEGV, on_fault);
    begin_with("max_heap=64m,check=roots");
    volatile uintptr_t nowhere = 8;
    *(volatile int *)nowhere = 1;
}

/* A conservative heap pins what a stack leads to: nothing to find. */
Test(roots, conservative_heaps_ignore_it)
{
    heap = heap_with("max_heap=64m,check=roots");
    cr_expect(eq(int, heap->checks.vacates, false));
    self = tenure_attach(heap);
    const node *any = tenure_new(self, node_type);
    cr_expect(any != NULL);
    heap_end(heap, self);
}
