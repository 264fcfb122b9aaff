/* What a thread does, one thing at a time. */
#include "stress/locks/locks.h"
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

TENURE_TYPE(node_type, node, next);
TENURE_TYPE(box_type, box, latest);

node *node_new(tenure_thread *self, uint64_t value)
{
    node *fresh = tenure_new(self, node_type);
    REQUIRE(fresh != NULL);
    fresh->value = value;
    return fresh;
}

box *box_new(tenure_thread *self)
{
    box *fresh = tenure_new(self, box_type);
    REQUIRE(fresh != NULL);
    node *latest = node_new(self, 0);
    TENURE_SET(self, fresh, latest, latest);
    return fresh;
}

static unsigned any_heap(worker *w) { return draw(w, the_settings.heaps); }

/* The thread runs. Never while its heaps are stopped. */
static void mark_running(worker *w) { atomic_fetch_add_explicit(&w->ran, 1, memory_order_relaxed); }

/* --- waits --- */

static void wait_begins(void) { atomic_fetch_add(&waits_entered, 1); }
static void wait_ends(void) { atomic_fetch_add(&waits_left, 1); }

/* A timed wait: its deadline, and how much of the processors the whole process had until it ended. On a loaded machine
 * that tells a late wake-up from a process that did not run. */
typedef struct timed {
    struct timespec deadline;
    uint64_t deadline_ns, cpu_ns;
} timed;

static timed timed_begin(worker *w)
{
    const uint64_t deadline = now_ns(CLOCK_MONOTONIC) + draw(w, 2000000);
    wait_begins();
    return (timed) { { (time_t)(deadline / 1000000000), (long)(deadline % 1000000000) }, deadline,
        now_ns(CLOCK_PROCESS_CPUTIME_ID) };
}

static void timed_end(const timed *wait)
{
    enum { LATE_CPU_MS = 10000 };
    wait_ends();
    const uint64_t now = now_ns(CLOCK_MONOTONIC);
    if (now < wait->deadline_ns) return;
    const uint64_t late = now - wait->deadline_ns;
    for (uint64_t most = atomic_load(&latest_ns);
         late > most && !atomic_compare_exchange_weak(&latest_ns, &most, late);) {}
    REQUIRE(now_ns(CLOCK_PROCESS_CPUTIME_ID) - wait->cpu_ns < LATE_CPU_MS * 1000000ull);
}

/* --- memory --- */

static void collect(worker *w, node **chain)
{
    (void)chain;
    const tenure_status status = tenure_collect(w->self[any_heap(w)], (tenure_generation)(draw(w, 8) == 0   ? 2
                                                                                          : draw(w, 4) == 0 ? 1
                                                                                                            : 0));
    REQUIRE(status == TENURE_OK);
}

static void poll_often(worker *w, node **chain)
{
    (void)chain;
    for (unsigned i = draw(w, 200); i > 0; i--) tenure_poll(w->self[any_heap(w)]);
}

static void garbage(worker *w, node **chain)
{
    (void)chain;
    tenure_thread *self = w->self[any_heap(w)];
    for (unsigned i = draw(w, 300); i > 0; i--) REQUIRE(tenure_new_bytes(self, 8 + draw(w, 400)) != NULL);
}

static void check_chain(node **chain, unsigned heap)
{
    unsigned length = 0;
    for (const node *each = chain[heap]; each != NULL; each = each->next, length++)
        REQUIRE(each->next == NULL || each->value == each->next->value + 1);
    REQUIRE(length <= CHAIN);
}

static void grow_chain(worker *w, node **chain)
{
    const unsigned heap = any_heap(w);
    check_chain(chain, heap);
    if (chain[heap] != NULL && chain[heap]->value + 1 == CHAIN) chain[heap] = NULL;
    node *fresh = node_new(w->self[heap], chain[heap] == NULL ? 0 : chain[heap]->value + 1);
    TENURE_SET(w->self[heap], fresh, next, chain[heap]);
    chain[heap] = fresh;
}

/* --- mutexes --- */

/* Something that may take long, collect, or wait for a stop. */
static void dawdle(worker *w, node **chain)
{
    switch (draw(w, 8)) {
    case 0:
        garbage(w, chain);
        break;
    case 1:
        poll_often(w, chain);
        break;
    case 2:
        grow_chain(w, chain);
        break;
    case 3:
        TENURE_BLOCKING_CALL(w->self[0], sched_yield());
        break;
    default:
        break;
    }
}

static void use_box(worker *w, node **chain, unsigned heap, unsigned number)
{
    mark_running(w);
    tenure_thread *self = w->self[heap];
    const uint64_t count = boxes[heap][number]->count;
    REQUIRE(boxes[heap][number]->latest->value == count);
    dawdle(w, chain);
    node *fresh = node_new(self, count + 1);
    box *here = boxes[heap][number];
    REQUIRE(here->count == count);
    here->count = count + 1;
    TENURE_SET(self, here, latest, fresh);
    w->boxed[heap][number]++;
    mark_running(w);
}

static void lock_box(worker *w, node **chain)
{
    const unsigned heap = any_heap(w), number = draw(w, BOXES);
    tenure_thread *self = w->self[any_heap(w)];
    box *held = boxes[heap][number];
    timed wait;
    switch (draw(w, 4)) {
    case 0:
        if (!tenure_mutex_trylock(self, &held->mutex)) return;
        break;
    case 1:
        wait = timed_begin(w);
        const tenure_status status = tenure_mutex_timedlock(self, &held->mutex, &wait.deadline);
        timed_end(&wait);
        REQUIRE(status == TENURE_OK || status == TENURE_ETIMEDOUT);
        if (status != TENURE_OK) return;
        break;
    default:
        wait_begins();
        REQUIRE(tenure_mutex_lock(self, &held->mutex) == TENURE_OK);
        wait_ends();
    }
    REQUIRE(boxes[heap][number] == held); /* held ones stay where they are */
    use_box(w, chain, heap, number);
    if (number + 1 < BOXES && draw(w, 4) == 0) { /* a second one, in the order of their numbers */
        TENURE_LOCK_SCOPE(self, &boxes[heap][number + 1]->mutex);
        use_box(w, chain, heap, number + 1);
    }
    tenure_mutex_unlock(self, &held->mutex);
}

/* Inside a region a lock is pthread's; the heap is not touched but for the pinned box. */
static void lock_in_region(worker *w, node **chain)
{
    (void)chain;
    box *held = boxes[0][0];
    TENURE_BLOCKING_SCOPE(w->self[0]);
    wait_begins();
    REQUIRE(tenure_mutex_lock(w->self[0], &held->mutex) == TENURE_OK);
    wait_ends();
    sched_yield();
    tenure_mutex_unlock(w->self[0], &held->mutex);
}

/* --- the other kinds --- */

static void read_or_write(worker *w, node **chain)
{
    const unsigned number = draw(w, GATES);
    gate *each = &gates[number];
    tenure_thread *self = w->self[any_heap(w)];
    wait_begins();
    if (draw(w, 3) != 0) {
        REQUIRE(tenure_rwlock_rdlock(self, &each->lock) == TENURE_OK);
        wait_ends();
        const uint64_t first = each->first;
        dawdle(w, chain);
        REQUIRE(each->first == first && each->second == first);
    } else {
        REQUIRE(tenure_rwlock_wrlock(self, &each->lock) == TENURE_OK);
        wait_ends();
        each->first++;
        dawdle(w, chain);
        each->second++;
        w->wrote[number]++;
    }
    tenure_rwlock_unlock(self, &each->lock);
}

static void take_unit(worker *w, node **chain)
{
    static _Atomic int taken[SEMAPHORES];
    const unsigned number = draw(w, SEMAPHORES);
    tenure_sem *sem = &semaphores[number];
    tenure_thread *self = w->self[any_heap(w)];
    if (draw(w, 3) == 0) {
        timed wait = timed_begin(w);
        const tenure_status status = tenure_sem_timedwait(self, sem, &wait.deadline);
        timed_end(&wait);
        if (status == TENURE_ETIMEDOUT) return;
        REQUIRE(status == TENURE_OK);
    } else {
        wait_begins();
        REQUIRE(tenure_sem_wait(self, sem) == TENURE_OK);
        wait_ends();
    }
    REQUIRE(atomic_fetch_add(&taken[number], 1) < UNITS);
    dawdle(w, chain);
    atomic_fetch_sub(&taken[number], 1);
    REQUIRE(tenure_sem_post(sem) == TENURE_OK);
}

static void hand_over(worker *w, node **chain)
{
    channel *each = &channels[draw(w, CHANNELS)];
    tenure_thread *self = w->self[any_heap(w)];
    {
        TENURE_LOCK_SCOPE(self, &each->mutex);
        each->items++;
        each->put++;
        tenure_cond_signal(&each->filled);
    }
    dawdle(w, chain);
    TENURE_LOCK_SCOPE(self, &each->mutex);
    while (each->items == 0) {
        wait_begins();
        REQUIRE(tenure_cond_wait(self, &each->filled, &each->mutex) == TENURE_OK);
        wait_ends();
    }
    mark_running(w);
    each->items--;
    each->taken++;
}

static void wait_for_nothing(worker *w, node **chain)
{
    static tenure_cond never = TENURE_COND_INIT("never");
    (void)chain;
    channel *each = &channels[draw(w, CHANNELS)];
    tenure_thread *self = w->self[any_heap(w)];
    TENURE_LOCK_SCOPE(self, &each->mutex);
    timed wait = timed_begin(w);
    const tenure_status status = tenure_cond_timedwait(self, &never, &each->mutex, &wait.deadline);
    timed_end(&wait);
    REQUIRE(status == TENURE_ETIMEDOUT || status == TENURE_OK);
}

/* --- regions --- */

static void come_back_inside(worker *w, node **chain)
{
    const unsigned heap = any_heap(w);
    tenure_thread *self = tenure_enter(heaps[heap]);
    REQUIRE(self == w->self[heap]);
    mark_running(w);
    grow_chain(w, chain);
    dawdle(w, chain);
    tenure_leave(self);
}

static void go_out(worker *w, node **chain)
{
    const struct timespec nap = { 0, (long)draw(w, 300000) };
    tenure_thread *self = w->self[any_heap(w)];
    switch (draw(w, 4)) {
    case 0: {
        TENURE_IDLE_SCOPE(self);
        nanosleep(&nap, NULL);
        break;
    }
    case 1:
        tenure_nanosleep(self, &nap, NULL);
        break;
    case 2: {
        TENURE_BLOCKING_SCOPE(self);
        come_back_inside(w, chain);
        break;
    }
    default:
        TENURE_BLOCKING_CALL(self, sched_yield());
    }
}

/* --- stops of its own --- */

static uint64_t all_that_ran(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < the_settings.threads; i++)
        sum += atomic_load_explicit(&workers[i].ran, memory_order_relaxed);
    return sum;
}

static void stop(worker *w, node **chain)
{
    if (!the_settings.stops) return;
    const unsigned heap = any_heap(w);
    tenure_thread *self = w->self[heap];
    wait_begins();
    REQUIRE(tenure_stop_world(self) == TENURE_OK);
    wait_ends();
    const uint64_t ran = all_that_ran();
    for (unsigned i = draw(w, 50); i > 0; i--) node_new(self, i);
    if (draw(w, 8) == 0) REQUIRE(tenure_collect(self, TENURE_GEN0) == TENURE_OK);
    check_chain(chain, heap);
    box *free_one = boxes[heap][draw(w, BOXES)];
    if (tenure_mutex_trylock(self, &free_one->mutex)) tenure_mutex_unlock(self, &free_one->mutex);
    sched_yield();
    REQUIRE(all_that_ran() == ran);
    tenure_resume_world(self);
}

/* --- threads that come and go --- */

void attach_all(worker *w)
{
    for (unsigned i = 0; i < the_settings.heaps; i++) REQUIRE((w->self[i] = tenure_attach(heaps[i])) != NULL);
    mark_running(w);
}

void detach_all(worker *w)
{
    for (unsigned i = 0; i < the_settings.heaps; i++) tenure_detach(w->self[i]);
}

static void attach_again(worker *w, node **chain)
{
    const unsigned heap = any_heap(w);
    if (draw(w, 2) == 0) { /* counted */
        REQUIRE(tenure_attach(heaps[heap]) == w->self[heap]);
        dawdle(w, chain);
        tenure_detach(w->self[heap]);
    } else {
        chain[heap] = NULL;
        tenure_detach(w->self[heap]);
        REQUIRE((w->self[heap] = tenure_attach(heaps[heap])) != NULL);
    }
}

/* Ends while it is attached, or inside a region; its destructor detaches. */
struct visitor {
    tenure_heap *heap;
    bool in_region;
};

static void *exits_attached(void *arg)
{
    const struct visitor *visitor = arg;
    tenure_thread *self = tenure_attach(visitor->heap);
    REQUIRE(self != NULL);
    node_new(self, 1);
    tenure_poll(self);
    if (visitor->in_region) tenure_enter_blocking(self);
    return NULL;
}

static void spawn(worker *w, node **chain)
{
    (void)chain;
    const unsigned heap = any_heap(w);
    struct visitor visitor = { heaps[heap], draw(w, 2) == 0 };
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, exits_attached, &visitor) == 0);
    wait_begins();
    REQUIRE(tenure_join(w->self[heap], thread, NULL) == 0);
    wait_ends();
}

/* The child has this thread alone: it allocates, collects, looks at its chains. */
static void fork_child(worker *w, node **chain)
{
    if (!the_settings.fork || draw(w, 8) != 0) return;
    const unsigned heap = any_heap(w);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(the_settings.hang_seconds);
        garbage(w, chain);
        REQUIRE(tenure_collect(w->self[heap], TENURE_GEN2) == TENURE_OK);
        for (unsigned i = 0; i < the_settings.heaps; i++) check_chain(chain, i);
        _exit(0);
    }
    int status;
    wait_begins();
    REQUIRE(tenure_waitpid(w->self[heap], child, &status, 0) == child);
    wait_ends();
    REQUIRE(status == 0);
}

/* --- the choice --- */

static const struct {
    const char *name;
    void (*act)(worker *w, node **chain);
    unsigned weight;
} actions[] = {
    { "a mutex", lock_box, 30 },
    { "a mutex in a region", lock_in_region, 4 },
    { "a reader-writer lock", read_or_write, 15 },
    { "a semaphore", take_unit, 12 },
    { "a hand-over", hand_over, 15 },
    { "a condition that never comes", wait_for_nothing, 2 },
    { "a region", go_out, 10 },
    { "polls", poll_often, 8 },
    { "garbage", garbage, 10 },
    { "a chain", grow_chain, 30 },
    { "a collection", collect, 3 },
    { "stopping the world", stop, 3 },
    { "detaching and attaching", attach_again, 2 },
    { "a thread that exits attached", spawn, 1 },
    { "fork", fork_child, 1 },
};

void act(worker *w, node **chain)
{
    unsigned sum = 0, i = 0;
    for (unsigned k = 0; k < sizeof actions / sizeof actions[0]; k++) sum += actions[k].weight;
    for (unsigned drawn = draw(w, sum); drawn >= actions[i].weight; i++) drawn -= actions[i].weight;
    doing(w, actions[i].name);
    mark_running(w);
    actions[i].act(w, chain);
    atomic_fetch_add(&w->steps, 1);
}
