/* fork: the child has a whole heap, one thread, and a collector that starts again; the parent goes on. */
#include "tests/threads/fork.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <tenure/root.h>

static tenure_heap *heap, *other;
static flag stop;

static void begin(void)
{
    heap = heap_with("max_heap=128m,gen0=1m,verify=after");
    other = heap_with("max_heap=128m,gen0=1m,verify=after");
}
static void end(void)
{
    cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK));
    cr_expect(eq(int, tenure_heap_destroy(other), TENURE_OK));
}

TestSuite(fork, .init = begin, .fini = end);

/* --- children --- */

static unsigned thread_count(void)
{
    DIR *tasks = opendir("/proc/self/task");
    REQUIRE(tasks != NULL);
    unsigned count = 0;
    for (struct dirent *each; (each = readdir(tasks)) != NULL;) count += each->d_name[0] != '.';
    closedir(tasks);
    return count;
}

static void *work_attached(void *arg)
{
    tenure_thread *self = tenure_attach(arg);
    REQUIRE(self != NULL);
    node *volatile kept = make_chain(self, 100, 7);
    litter(self);
    REQUIRE(tenure_collect(self, TENURE_GEN1) == TENURE_OK);
    check_chain(kept, 100, 7);
    tenure_detach(self);
    return NULL;
}

/* Everything that a program does with a heap, by a thread that is attached to it. */
static void use(tenure_thread *self)
{
    node *volatile kept = make_chain(self, 200, 5);
    collect_and_litter(self);
    check_chain(kept, 200, 5);
    REQUIRE(tenure_verify(self) == TENURE_OK);
    const pthread_t threads[2] = { start_thread(work_attached, self->heap), start_thread(work_attached, self->heap) };
    for (unsigned i = 0; i < 2; i++) tenure_join(self, threads[i], NULL);
    REQUIRE(tenure_stop_world(self) == TENURE_OK);
    litter(self);
    tenure_resume_world(self);
    tenure_synchronize_rcu(self);
    check_chain(kept, 200, 5);
}

static void use_and_destroy(tenure_thread *self)
{
    tenure_heap *used = self->heap;
    use(self);
    tenure_detach(self);
    REQUIRE(tenure_heap_destroy(used) == TENURE_OK);
}

/* --- one thread --- */

static void uses_the_heap(void *chain)
{
    tenure_thread *self = tenure_self(heap);
    check_chain(chain, 1000, 3);
    use(self);
    check_chain(chain, 1000, 3);
    use_and_destroy(self);
}

Test(fork, the_child_uses_and_destroys_the_heap)
{
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 1000, 3);
    in_child(uses_the_heap, kept);
    check_chain(kept, 1000, 3);
    use(self);
    check_chain(kept, 1000, 3);
    tenure_detach(self);
}

static void collects_young(void *chain)
{
    tenure_thread *self = tenure_self(heap);
    REQUIRE(EMULATED || thread_count() == 1);
    const uint64_t before = collections_of(heap);
    while (collections_of(heap) < before + 5) check_chain(make_chain(self, 1000, 3), 1000, 3);
    check_chain(chain, 1000, 3);
}

static void waits_for_the_daemon(void *chain)
{
    tenure_thread *self = tenure_self(heap);
    REQUIRE(tenure_collect(self, TENURE_GEN2) == TENURE_OK);
    check_chain(chain, 1000, 3);
}

static void only_allocates(void *unused)
{
    (void)unused;
    tenure_thread *self = tenure_self(heap);
    check_chain(make_chain(self, 100, 3), 100, 3);
    tenure_stats stats;
    tenure_stats_read(heap, &stats);
    REQUIRE(stats.threads_attached == 1);
    REQUIRE(tenure__mutator_of(self)->tid == getpid());
    REQUIRE(EMULATED || thread_count() == 1); /* the emulator has threads too */
}

static void does_nothing(void *unused) { (void)unused; }
static void executes(void *unused)
{
    (void)unused;
    execl("/bin/true", "true", (char *)NULL);
    _exit(1);
}

Test(fork, threads_start_on_first_need)
{
    tenure_thread *self = tenure_attach(heap);
    work_attached(other); /* a record was freed by liburcu's thread */
    node *volatile kept = make_chain(self, 1000, 3);
    in_child(only_allocates, NULL);
    in_child(collects_young, kept);
    in_child(waits_for_the_daemon, kept);
    in_child(does_nothing, NULL);
    in_child(executes, NULL);
    tenure_detach(self);
}

static void attaches(void *unused)
{
    (void)unused;
    REQUIRE(tenure_self(heap) == NULL);
    use_and_destroy(tenure_attach(heap));
}

Test(fork, from_an_unattached_thread)
{
    join_thread(start_thread(work_attached, heap));
    in_child(attaches, NULL);
    use(tenure_attach(heap));
    tenure_detach(tenure_self(heap));
}

static void leaves_the_region(void *chain)
{
    tenure_thread *self = tenure_self(heap);
    REQUIRE(mode_of(self) == TENURE__BLOCKED);
    tenure_leave_blocking(self);
    check_chain(chain, 1000, 3);
    use_and_destroy(self);
}

Test(fork, from_a_region)
{
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 1000, 3);
    tenure_enter_blocking(self);
    in_child(leaves_the_region, kept);
    tenure_leave_blocking(self);
    check_chain(kept, 1000, 3);
    tenure_detach(self);
}

static void uses_both_heaps(void *unused)
{
    (void)unused;
    tenure_heap *fresh;
    tenure_options options = heap->options;
    REQUIRE(tenure_heap_create(&fresh, &options) == TENURE_OK);
    use_and_destroy(tenure_attach(fresh));
    use(tenure_self(heap));
    use_and_destroy(tenure_self(other));
    use_and_destroy(tenure_self(heap));
}

Test(fork, several_heaps_and_a_new_one)
{
    tenure_thread *self = tenure_attach(heap), *second = tenure_attach(other);
    in_child(uses_both_heaps, NULL);
    use(self);
    use(second);
    tenure_detach(self);
    tenure_detach(second);
}

static void forks_again(void *chain)
{
    in_child(uses_the_heap, chain);
    in_child(does_nothing, NULL);
    use(tenure_self(heap));
    in_child(uses_the_heap, chain);
    uses_the_heap(chain);
}

static void forks_at_once(void *chain) { in_child(uses_the_heap, chain); }

Test(fork, children_fork)
{
    tenure_thread *self = tenure_attach(heap);
    join_blocked(self, start_thread(work_attached, heap));
    node *volatile kept = make_chain(self, 1000, 3);
    in_child(forks_again, kept);
    in_child(forks_at_once, kept);
    check_chain(kept, 1000, 3);
    tenure_detach(self);
}

static void uses_led_by_the_daemon(void *of)
{
    tenure_thread *self = tenure_self(of);
    const uint64_t before = collections_of(of);
    while (collections_of(of) < before + 3) check_chain(make_chain(self, 1000, 3), 1000, 3);
    use_and_destroy(self);
}

static void with_options(const char *words, tenure_rcu rcu)
{
    tenure_options options = options_with(words, TENURE_ROOTS_CONSERVATIVE);
    options.rcu = rcu;
    tenure_heap *of = heap_of(&options);
    tenure_thread *self = tenure_attach(of);
    node *volatile kept = make_chain(self, 100, 2);
    for (unsigned i = 0; i < 3; i++) in_child(uses_led_by_the_daemon, of);
    check_chain(kept, 100, 2);
    heap_end(of, self);
}
Test(fork, led_by_the_daemon) { with_options("max_heap=64m,gen0=1m,lead=daemon", TENURE_RCU_ON); }
Test(fork, without_rcu) { with_options("max_heap=64m,gen0=1m,verify=before,after", TENURE_RCU_OFF); }
Test(fork, with_a_deadline) { with_options("max_heap=64m,gen0=1m,stop_deadline=50ms", TENURE_RCU_ON); }
Test(fork, torture) { with_options("max_heap=64m,gen0=256k,verify=before,after,torture=alloc:2000", TENURE_RCU_ON); }

/* What the host is to liburcu it is in the child too. */
static void is_an_online_reader(void *unused)
{
    (void)unused;
    REQUIRE(tenure__rcu_registered() && tenure__rcu_online());
    attaches(NULL);
    REQUIRE(tenure__rcu_registered() && tenure__rcu_online());
    urcu_qsbr_synchronize_rcu();
    urcu_qsbr_unregister_thread();
}

Test(fork, from_a_reader_of_the_hosts)
{
    work_attached(heap);
    urcu_qsbr_register_thread();
    in_child(is_an_online_reader, NULL);
    REQUIRE(tenure__rcu_online());
    urcu_qsbr_unregister_thread();
}

/* --- roots --- */

typedef struct box {
    node *content;
} box;
static void trace_box(void *object, void *low, void *high, tenure_visitor *visitor)
{
    (void)low, (void)high;
    tenure_visit(visitor, &((box *)object)->content);
}
TENURE_TYPE_CUSTOM(box_type, box, trace_box);

static node *from_callback;
static void visit_root(tenure_visitor *visitor, void *arg)
{
    (void)arg;
    tenure_visit(visitor, &from_callback);
}

/* Trace functions run on the gang's threads, which are not there at first. */
static void traces(void *arg)
{
    const box *boxed = arg;
    tenure_thread *self = tenure_self(heap);
    const uint64_t before = collections_of(heap);
    while (collections_of(heap) < before + 3) check_chain(make_chain(self, 1000, 3), 1000, 3);
    check_chain(boxed->content, 50, 1);
    check_chain(from_callback, 50, 2);
    use(self);
    check_chain(boxed->content, 50, 1);
    check_chain(from_callback, 50, 2);
}

Test(fork, trace_functions_and_root_callbacks)
{
    tenure_thread *self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_callback_add(heap, visit_root, NULL), TENURE_OK));
    box *volatile boxed = tenure_new(self, box_type);
    TENURE_SET(self, boxed, content, make_chain(self, 50, 1));
    from_callback = make_chain(self, 50, 2);
    in_child(traces, boxed);
    traces(boxed);
    tenure_detach(self);
}

static void fork_from_root(tenure_visitor *visitor, void *arg)
{
    (void)visitor, (void)arg;
    fork();
}

Test(fork, from_a_root_callback, .signal = SIGABRT)
{
    be_quiet();
    tenure_thread *self = tenure_attach(heap);
    tenure_root_callback_add(heap, fork_from_root, NULL);
    tenure_collect(self, TENURE_GEN0);
}

/* What only a thread held that the child does not have is gone; what it had linked stays. */
static flag up;
static tenure_handle *shared_handle;
typedef struct holder_result {
    tenure_thread *of_heap, *of_other;
} holder_result;
static holder_result holders;

static void *hold_in_both(void *arg)
{
    const bool running = arg != NULL;
    holders.of_heap = tenure_attach(heap), holders.of_other = tenure_attach(other);
    node *volatile kept[] = { make_chain(holders.of_heap, 30, 1), make_chain(holders.of_other, 30, 2) };
    node *shared = tenure_handle_get(shared_handle);
    TENURE_SET(holders.of_heap, shared, next, make_chain(holders.of_heap, 30, 3)); /* logged by this thread */
    atomic_store(&up, 1);
    if (!running) tenure_enter_idle(holders.of_heap);
    while (!atomic_load(&stop)) {
        if (running) tenure_poll(holders.of_heap);
        sched_yield();
    }
    if (!running) tenure_leave_idle(holders.of_heap);
    check_chain(kept[0], 30, 1);
    check_chain(kept[1], 30, 2);
    tenure_detach(holders.of_heap);
    tenure_detach(holders.of_other);
    return NULL;
}

static void has_what_was_linked(void *unused)
{
    (void)unused;
    tenure_thread *self = tenure_self(heap);
    for (unsigned i = 0; i < 3; i++) {
        use(self);
        check_chain(((node *)tenure_handle_get(shared_handle))->next, 30, 3);
    }
    REQUIRE(stats_of(heap).threads_attached == 1);
    REQUIRE(stats_of(other).threads_attached == 0);
    REQUIRE(tenure_heap_destroy(other) == TENURE_OK);
    use_and_destroy(self);
}

static void other_threads_are_dropped(bool running)
{
    tenure_thread *self = tenure_attach(heap);
    shared_handle = tenure_handle_new(self, make_chain(self, 1, 9));
    collect(self, TENURE_GEN2);
    pthread_t thread = start_thread(hold_in_both, running ? &heap : NULL);
    await_polling(self, &up, 1);
    in_child(has_what_was_linked, NULL);
    check_chain(((node *)tenure_handle_get(shared_handle))->next, 30, 3);
    atomic_store(&stop, 1);
    join_blocked(self, thread);
    tenure_handle_free(shared_handle);
    tenure_detach(self);
}
Test(fork, a_running_thread_is_dropped) { other_threads_are_dropped(true); }
Test(fork, an_idle_thread_is_dropped) { other_threads_are_dropped(false); }

/* Dormant: idle for several stops. */
Test(fork, a_dormant_thread_is_dropped)
{
    tenure_thread *self = tenure_attach(heap);
    shared_handle = tenure_handle_new(self, make_chain(self, 1, 9));
    pthread_t thread = start_thread(hold_in_both, NULL);
    await_polling(self, &up, 1);
    while (stats_of(heap).threads_dormant == 0) collect_and_litter(self);
    in_child(has_what_was_linked, NULL);
    atomic_store(&stop, 1);
    join_blocked(self, thread);
    tenure_handle_free(shared_handle);
    tenure_detach(self);
}

static tenure_mutex contended = TENURE_MUTEX_INIT("contended");

static void *wait_in_both(void *arg)
{
    tenure_thread *self = tenure_attach(heap);
    REQUIRE(tenure_attach(other) != NULL);
    tenure_mutex_lock(self, &contended);
    tenure_mutex_unlock(self, &contended);
    tenure_detach(tenure_self(other));
    tenure_detach(self);
    return arg;
}

static void nobody_waits(void *unused)
{
    (void)unused;
    REQUIRE(contended.lock.waiters == 0);
    tenure_mutex_unlock(tenure_self(heap), &contended);
}

/* As advice to the next holders, who would be given grace for nobody. */
Test(fork, who_waited_is_not_counted)
{
    tenure_thread *self = tenure_attach(heap);
    tenure_mutex_lock(self, &contended);
    const pthread_t thread = start_thread(wait_in_both, NULL);
    while (__atomic_load_n(&contended.lock.waiters, __ATOMIC_RELAXED) == 0) {
        tenure_poll(self);
        sched_yield();
    }
    in_child(nobody_waits, NULL);
    tenure_mutex_unlock(self, &contended);
    join_blocked(self, thread);
    cr_expect(eq(u32, contended.lock.waiters, 0));
    tenure_detach(self);
}

/* --- owners of stops --- */

static void still_owns(void *chain)
{
    tenure_thread *self = tenure_self(heap);
    REQUIRE(tenure__owns_stop(tenure__mutator_of(self)));
    litter(self);
    collect_and_litter(self);
    check_chain(chain, 50, 3);
    tenure_resume_world(self);
    use_and_destroy(self);
}

Test(fork, from_the_owner_of_a_stop)
{
    tenure_thread *self = tenure_attach(heap);
    shared_handle = tenure_handle_new(self, make_chain(self, 1, 9));
    pthread_t thread = start_thread(hold_in_both, &heap);
    await_polling(self, &up, 1);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    node *volatile kept = make_chain(self, 50, 3);
    in_child(still_owns, kept);
    litter(self);
    tenure_resume_world(self);
    check_chain(kept, 50, 3);
    atomic_store(&stop, 1);
    join_blocked(self, thread);
    tenure_handle_free(shared_handle);
    tenure_detach(self);
}

static atomic_int inside;

static void *own_for_a_while(void *arg)
{
    tenure_thread *self = tenure_attach(arg);
    while (!atomic_load(&stop)) {
        REQUIRE(tenure_stop_world(self) == TENURE_OK);
        atomic_store(&inside, 1);
        atomic_store(&up, 1);
        litter(self);
        atomic_store(&inside, 0);
        tenure_resume_world(self);
        tenure_poll(self);
    }
    tenure_detach(self);
    return NULL;
}

static void nobody_was_inside(void *unused)
{
    (void)unused;
    REQUIRE(atomic_load(&inside) == 0);
    use(tenure_self(heap) != NULL ? tenure_self(heap) : tenure_attach(heap));
}

Test(fork, waits_for_the_owner_of_a_stop)
{
    pthread_t thread = start_thread(own_for_a_while, heap);
    await(&up, 1);
    for (int i = ROUNDS(10); i > 0; i--) in_child(nobody_was_inside, NULL);
    tenure_thread *self = tenure_attach(heap);
    for (int i = ROUNDS(10); i > 0; i--) in_child(nobody_was_inside, NULL);
    tenure_enter_blocking(self);
    atomic_store(&stop, 1);
    join_thread(thread);
    tenure_leave_blocking(self);
    tenure_detach(self);
}

static void uses_other_and_heap(void *of)
{
    tenure_thread *self = tenure_self(of);
    if (tenure__owns_stop(tenure__mutator_of(self))) tenure_resume_world(self);
    use_and_destroy(self);
    use_and_destroy(tenure_attach(of == heap ? other : heap));
}

static void *own_and_fork(void *of)
{
    tenure_thread *self = tenure_attach(of);
    for (int i = ROUNDS(10); i > 0; i--) {
        REQUIRE(tenure_stop_world(self) == TENURE_OK);
        const pid_t child = fork_child(uses_other_and_heap, of);
        REQUIRE(tenure__owns_stop(tenure__mutator_of(self)));
        litter(self);
        tenure_resume_world(self);
        tenure_enter_blocking(self);
        require_success(child);
        tenure_leave_blocking(self);
    }
    tenure_detach(self);
    return NULL;
}

/* Each has what the other waits for. Not under the emulator, which holds locks of its own while a thread begins or
 * ends, and whose fork does not wait for that: a child of then waits for them for ever. */
Test(fork, two_owners_fork, .disabled = EMULATED)
{
    pthread_t threads[] = { start_thread(own_and_fork, heap), start_thread(own_and_fork, other),
        start_thread(own_and_fork, heap) };
    for (unsigned i = 0; i < 3; i++) join_thread(threads[i]);
}

/* --- under load --- */

static tenure_mutex mutex = TENURE_MUTEX_INIT("fork");
static int dev_null;

static void load_step(tenure_thread *self, unsigned what)
{
    switch (what % 9) {
    case 0:
        check_chain(make_chain(self, 500, what), 500, what);
        break;
    case 1:
        tenure_mutex_lock(self, &mutex);
        make_chain(self, 100, 1);
        tenure_mutex_unlock(self, &mutex);
        break;
    case 2:
        join_blocked(self, start_thread(work_attached, what % 2 != 0 ? heap : other));
        break;
    case 3:
        tenure_detach(tenure_attach(self->heap == heap ? other : heap));
        break;
    case 4:
        tenure_synchronize_rcu(self);
        break;
    case 5:
        if (tenure_stop_world(self) == TENURE_OK) tenure_resume_world(self);
        break;
    case 6:
        tenure_handle_free(tenure_handle_new(self, make_chain(self, 10, 1)));
        break;
    case 7:
        REQUIRE(tenure_write(self, dev_null, "x", 1) == 1);
        break;
    default:
        REQUIRE(tenure_new_bytes(self, 100000) != NULL);
        tenure_stats stats;
        tenure_stats_read(other, &stats);
        REQUIRE(tenure_collect(self, (tenure_generation)(what / 9 % 3)) == TENURE_OK);
        break;
    }
}

static void *load(void *arg)
{
    uint64_t random = (uintptr_t)arg;
    tenure_thread *self = tenure_attach((uintptr_t)arg % 2 != 0 ? heap : other);
    node *volatile kept = make_chain(self, 100, 1);
    while (!atomic_load(&stop)) load_step(self, (unsigned)(next_random(&random) >> 8));
    check_chain(kept, 100, 1);
    tenure_detach(self);
    return NULL;
}

enum { LOADERS = 4 };
static pthread_t loaders[LOADERS];
static void load_start(void)
{
    dev_null = open("/dev/null", O_WRONLY);
    REQUIRE(dev_null >= 0);
    for (uintptr_t i = 0; i < LOADERS; i++) loaders[i] = start_thread(load, (void *)(i + 1));
}
static void load_stop(void)
{
    atomic_store(&stop, 1);
    for (unsigned i = 0; i < LOADERS; i++) join_thread(loaders[i]);
}

static void uses_all(void *chain)
{
    tenure_thread *self = tenure_self(heap);
    check_chain(chain, 1000, 3);
    REQUIRE(tenure_verify(self) == TENURE_OK);
    use(self);
    check_chain(chain, 1000, 3);
    use_and_destroy(tenure_attach(other));
    use_and_destroy(self);
}

static void *fork_attached(void *arg)
{
    (void)arg;
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 1000, 3);
    for (int i = ROUNDS(30); i > 0; i--) {
        const pid_t child = fork_child(uses_all, kept);
        check_chain(kept, 1000, 3);
        tenure_enter_idle(self);
        require_success(child);
        tenure_leave_idle(self);
    }
    tenure_detach(self);
    return NULL;
}

static void *fork_unattached(void *arg)
{
    (void)arg;
    for (int i = ROUNDS(30); i > 0; i--) in_child(attaches, NULL);
    return NULL;
}

static void *attach_all_the_time(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop)) tenure_detach(tenure_attach(other));
    return NULL;
}

static void attaches_another(void *unused)
{
    (void)unused;
    join_thread(start_thread(work_attached, heap));
}

/* A thread that attaches asks the loader, whose lock a child inherits as it is. */
Test(fork, beside_threads_that_attach, .disabled = EMULATED)
{
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++) threads[i] = start_thread(attach_all_the_time, NULL);
    for (int i = ROUNDS(50); i > 0; i--) in_child(attaches_another, NULL);
    atomic_store(&stop, 1);
    for (unsigned i = 0; i < 2; i++) join_thread(threads[i]);
}

/* Not under the emulator, as above. */
Test(fork, under_load, .disabled = EMULATED)
{
    load_start();
    pthread_t threads[] = { start_thread(fork_attached, NULL), start_thread(fork_unattached, NULL) };
    for (unsigned i = 0; i < 2; i++) join_thread(threads[i]);
    load_stop();
}

extern char **environ;

/* These do not go through fork handlers; under the emulator they are forks, as above. */
Test(fork, spawning_under_load, .disabled = EMULATED)
{
    load_start();
    tenure_thread *self = tenure_attach(heap);
    node *volatile kept = make_chain(self, 100, 3);
    char *const words[] = { "true", NULL };
    for (int i = ROUNDS(20); i > 0; i--) {
        pid_t child;
        int status;
        cr_assert(eq(int, TENURE_BLOCKING_CALL(self, system("exit 3")), 3 << 8));
        cr_assert(eq(int, posix_spawn(&child, "/bin/true", NULL, NULL, words, environ), 0));
        cr_assert(eq(int, tenure_waitpid(self, child, &status, 0), child));
        cr_assert(eq(int, status, 0));
        tenure_enter_blocking(self);
        FILE *pipe = popen("echo word", "r");
        char line[16] = "";
        cr_assert(pipe != NULL);
        cr_assert(fgets(line, sizeof line, pipe) != NULL);
        cr_assert(eq(int, pclose(pipe), 0));
        tenure_leave_blocking(self);
        cr_assert(eq(str, line, "word\n"));
        child = vfork();
        if (child == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        cr_assert(eq(int, tenure_waitpid(self, child, &status, 0), child));
        cr_assert(eq(int, status, 0));
        check_chain(kept, 100, 3);
    }
    tenure_detach(self);
    load_stop();
}

/* --- memory --- */

/* Bit 56 of a page's entry: this process alone maps it. */
static bool shares_pages(const void *object)
{
    const int map = open("/proc/self/pagemap", O_RDONLY);
    uint64_t entry;
    REQUIRE(map >= 0);
    REQUIRE(pread(map, &entry, sizeof entry, (off_t)((uintptr_t)object / 4096 * sizeof entry)) == sizeof entry);
    close(map);
    return (entry >> 63) != 0 && (entry >> 56 & 1) == 0;
}

/* Precise: nothing stays behind in Gen 1 because an old word on a stack pins it, and moves later. */
static tenure_heap *precise;

static void keeps_pages_shared(void *chain)
{
    tenure_thread *self = tenure_self(precise);
    for (const node *each = chain; each != NULL; each = each->next) REQUIRE(shares_pages(each));
    collect_and_litter(self);
    for (const node *each = chain; each != NULL; each = each->next) REQUIRE(shares_pages(each));
    TENURE_SET(self, (node *)chain, next, NULL);
    REQUIRE(!shares_pages(chain));
}

Test(fork, frozen_pages_stay_shared)
{
    precise = precise_heap_with("max_heap=64m,gen0=8m,verify=after");
    tenure_thread *self = tenure_attach(precise);
    tenure_handle *kept = tenure_handle_new(self, make_chain(self, 5000, 3));
    cr_assert(eq(int, tenure_freeze(self), TENURE_OK));
    in_child(keeps_pages_shared, tenure_handle_get(kept));
    tenure_handle_free(kept);
    heap_end(precise, self);
}

/* --- what hangs on objects that die --- */

static flag in_finalizer, finalizer_goes_on, finalized;
static void hold_up(tenure_thread *self, void *object, void *arg)
{
    (void)object, (void)arg;
    atomic_store(&in_finalizer, 1);
    TENURE_BLOCKING_SCOPE(self);
    while (!atomic_load(&finalizer_goes_on)) sched_yield();
}
static void count_finalized(tenure_thread *self, void *object, void *arg)
{
    (void)self, (void)object, (void)arg;
    atomic_fetch_add(&finalized, 1);
}

__attribute__((noinline)) static void finalize_garbage(tenure_thread *self, tenure_finalizer_fn *fn, unsigned count)
{
    while (count-- > 0) REQUIRE(tenure_finalize(self, make_chain(self, 1, 1), fn, NULL) == TENURE_OK);
    clobber_stack();
}

/* What is due runs here too; what the parent was in the middle of does not, and nobody waits for it. */
static void finalizes(void *unused)
{
    (void)unused;
    tenure_thread *self = tenure_self(precise);
    const int before = atomic_load(&finalized);
    REQUIRE(tenure_finalizers_drain(self, UINT64_MAX) == TENURE_OK);
    REQUIRE(atomic_load(&finalized) == before + 5);
    finalize_garbage(self, count_finalized, 10);
    REQUIRE(tenure_collect(self, TENURE_GEN2) == TENURE_OK);
    REQUIRE(tenure_finalizers_drain(self, UINT64_MAX) == TENURE_OK);
    REQUIRE(atomic_load(&finalized) == before + 15);
    tenure_detach(self);
    REQUIRE(tenure_heap_destroy(precise) == TENURE_OK);
}

Test(fork, finalizers)
{
    precise = precise_heap_with("max_heap=64m,gen0=1m,verify=after");
    tenure_thread *self = tenure_attach(precise);
    finalize_garbage(self, hold_up, 1);
    collect(self, TENURE_GEN2);
    await_polling(self, &in_finalizer, 1);
    finalize_garbage(self, count_finalized, 5);
    collect(self, TENURE_GEN2);
    in_child(finalizes, NULL);
    cr_assert(eq(int, atomic_load(&finalized), 0));
    atomic_store(&finalizer_goes_on, 1);
    cr_assert(eq(int, tenure_finalizers_drain(self, UINT64_MAX), TENURE_OK));
    cr_assert(eq(int, atomic_load(&finalized), 5));
    heap_end(precise, self);
}

/* The child of a finalizer has the finalizer thread alone, which runs what is due when it comes back. */
static void comes_back(tenure_thread *self, void *object, void *arg)
{
    (void)object, (void)arg;
    const pid_t child = SANITIZED ? 1 : fork();
    REQUIRE(child >= 0);
    if (child != 0) {
        if (child != 1) TENURE_BLOCKING_CALL(self, require_success(child));
        atomic_store(&in_finalizer, 2);
        return;
    }
    alarm(CHILD_SECONDS);
    collect_and_litter(self);
    finalize_garbage(self, count_finalized, 3);
    REQUIRE(tenure_collect(self, TENURE_GEN2) == TENURE_OK);
    atomic_store(&finalizer_goes_on, 1);
    pthread_t thread;
    REQUIRE(tenure_thread_create(self, &thread, NULL, (tenure_thread_fn *)(uintptr_t)arg, NULL) == TENURE_OK);
}
static void *ends_child(tenure_thread *self, void *object)
{
    (void)object;
    REQUIRE(tenure_finalizers_drain(self, UINT64_MAX) == TENURE_OK);
    REQUIRE(atomic_load(&finalized) == 3);
    _exit(0);
}

Test(fork, from_a_finalizer)
{
    precise = precise_heap_with("max_heap=64m,gen0=1m,verify=after");
    tenure_thread *self = tenure_attach(precise);
    REQUIRE(tenure_finalize(self, make_chain(self, 1, 1), comes_back, (void *)(uintptr_t)ends_child) == TENURE_OK);
    collect(self, TENURE_GEN2);
    await_polling(self, &in_finalizer, 2);
    heap_end(precise, self);
}

/* --- listeners --- */

static flag heard[3];
static void hear(const tenure_event *event, void *arg)
{
    (void)arg;
    if (event->kind == TENURE_EVENT_END) atomic_fetch_add(&heard[event->collection->generation], 1);
}

/* The parent's collections are not told of again, and the child's own are. */
static void hears_its_own(void *unused)
{
    (void)unused;
    tenure_thread *self = tenure_self(heap);
    for (unsigned i = 0; i < 3; i++) atomic_store(&heard[i], 0);
    REQUIRE(tenure_collect(self, TENURE_GEN1) == TENURE_OK);
    await_polling(self, &heard[1], 1);
    REQUIRE(atomic_load(&heard[2]) == 0);
    REQUIRE(tenure_listen(heap, hear, heap) == TENURE_OK);
    REQUIRE(tenure_collect(self, TENURE_GEN1) == TENURE_OK);
    await_polling(self, &heard[1], 3);
    tenure_unlisten(heap, hear, heap);
    use_and_destroy(self);
}

Test(fork, listeners)
{
    tenure_thread *self = tenure_attach(heap);
    cr_assert(eq(int, tenure_listen(heap, hear, NULL), TENURE_OK));
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned j = 0; j < 10; j++) collect(self, TENURE_GEN2);
        in_child(hears_its_own, NULL);
    }
    tenure_unlisten(heap, hear, NULL);
    tenure_detach(self);
}

/* The child of a listener has its thread alone. */
static void in_a_listener(void *unused)
{
    (void)unused;
    use(tenure_attach(heap));
    tenure_detach(tenure_self(heap));
}
static flag forked;
static void fork_in_listener(const tenure_event *event, void *arg)
{
    (void)event, (void)arg;
    if (atomic_load(&forked) == 0) in_child(in_a_listener, NULL);
    atomic_store(&forked, 1);
}
static void listens_on(void *unused)
{
    (void)unused;
    atomic_store(&forked, 0);
    hears_its_own(NULL);
}
Test(fork, from_a_listener)
{
    tenure_thread *self = tenure_attach(heap);
    cr_assert(eq(int, tenure_listen(heap, fork_in_listener, NULL), TENURE_OK));
    cr_assert(eq(int, tenure_listen(heap, hear, NULL), TENURE_OK));
    collect(self, TENURE_GEN0);
    in_child(listens_on, NULL);
    await_polling(self, &forked, 1);
    tenure_detach(self);
}
