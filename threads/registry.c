/* Attach, detach, enter, leave: which threads are mutators of which heap.
 *
 * The lists are guarded by the stop lock; readers that only look (statistics) walk them under RCU. A record is freed
 * one grace period after it was unlinked. */
#include "threads/futex.h"
#include "threads/host.h"
#include "threads/system.h"
#include <errno.h>
#include <link.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <tenure/root.h>
#include <unistd.h>

pthread_mutex_t tenure__siblings_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t tenure__loader_lock = PTHREAD_MUTEX_INITIALIZER;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;
static _Thread_local tenure__os_thread os_self;

tenure__os_thread *tenure__os_thread_self(void) { return &os_self; }

void tenure__rcu_park(tenure__os_thread *os)
{
    os->rcu_comes_back = tenure__rcu_registered() && tenure__rcu_online();
    if (os->rcu_comes_back) urcu_qsbr_thread_offline();
}

/* Not a second thread_online: that would announce quiescence without waking who waits for it. */
void tenure__rcu_unpark(tenure__os_thread *os)
{
    if (os->rcu_comes_back) urcu_qsbr_thread_online();
    os->rcu_comes_back = false;
}

pthread_mutex_t tenure__worlds_lock = PTHREAD_MUTEX_INITIALIZER;
CDS_LIST_HEAD(tenure__worlds);

void tenure__each_world(void (*fn)(tenure__world *))
{
    TENURE__MUST(pthread_mutex_lock(&tenure__worlds_lock));
    const enum tenure__rcu_section section = tenure__rcu_section_begin();
    tenure__world *world;
    cds_list_for_each_entry(world, &tenure__worlds, world_link) fn(world);
    tenure__rcu_section_end(section);
    TENURE__MUST(pthread_mutex_unlock(&tenure__worlds_lock));
}

static void detach(tenure__mutator *mutator, bool exits);

/* --- room for held locks --- */

struct tenure__held_array {
    struct tenure__held_array *older;
    tenure__held held[];
};

static void free_held(tenure__os_thread *os)
{
    os->held_count = os->held_capacity = os->held_fast = 0;
    while (os->held_arrays != 0) {
        struct tenure__held_array *array = os->held_arrays;
        os->held_arrays = array->older;
        free(array);
    }
}

/* A thread that just exits. Destructors that run later may attach again: then this one is called once more. */
static void thread_exits(void *value)
{
    (void)value;
    while (os_self.records != 0) {
        tenure__mutator *mutator = os_self.records;
        mutator->depth = 0; /* it exits from inside a region */
        detach(mutator, true);
    }
    free_held(&os_self);
}

static void first_use(void)
{
    key_error = pthread_key_create(&key, thread_exits);
    tenure__interpose_announce();
}

bool tenure__held_grow(tenure__os_thread *os)
{
    pthread_once(&once, first_use);
    const uint32_t count = os->held_capacity;
    struct tenure__held_array *array = tenure__malloc(sizeof *array + count * sizeof array->held[0] * 2);
    if (array == 0 || key_error != 0 || pthread_setspecific(key, os) != 0) {
        free(array);
        return false;
    }
    tenure__held *old = atomic_load_explicit(&os->held, memory_order_relaxed);
    memset(array->held, 0, count * sizeof array->held[0] * 2);
    for (uint32_t i = 0; i < count; i++) {
        atomic_init(&array->held[i].lock, atomic_load_explicit(&old[i].lock, memory_order_relaxed));
        atomic_init(&array->held[i].site, atomic_load_explicit(&old[i].site, memory_order_relaxed));
    }
    array->older = os->held_arrays;
    os->held_arrays = array;
    os->held_capacity = 2 * count;
    /* release: pairs with pin_locks, which may look at a thread in a region. */
    atomic_store_explicit(&os->held, array->held, memory_order_release);
    return true;
}

tenure_status tenure__world_init(tenure__world *world, struct tenure_heap *heap, size_t record_bytes)
{
    pthread_once(&once, first_use);
    if (key_error != 0) {
        errno = key_error;
        return TENURE_ESYSTEM;
    }
    CDS_INIT_LIST_HEAD(&world->every);
    CDS_INIT_LIST_HEAD(&world->active);
    CDS_INIT_LIST_HEAD(&world->dormant);
    world->heap = heap;
    world->record_bytes = record_bytes;
    TENURE__MUST(pthread_mutex_lock(&tenure__worlds_lock));
    cds_list_add(&world->world_link, &tenure__worlds);
    TENURE__MUST(pthread_mutex_unlock(&tenure__worlds_lock));
    return TENURE_OK;
}

void tenure__world_destroy(tenure__world *world)
{
    /* Records of detached threads wait for their grace period; none may outlive the heap. */
    TENURE__MUST(pthread_mutex_lock(&tenure__worlds_lock));
    cds_list_del(&world->world_link);
    TENURE__MUST(pthread_mutex_unlock(&tenure__worlds_lock));
    const bool online = tenure__rcu_registered() && tenure__rcu_online();
    if (online) urcu_qsbr_thread_offline();
    tenure__fork_hold();
    tenure__rcu_hurry_begin();
    tenure__rcu_barrier();
    tenure__tsan_acquire(&world->retired); /* not world: the stop lock lies there, and its unlocking forgets */
    tenure__rcu_hurry_end();
    tenure__fork_unhold();
    if (online) urcu_qsbr_thread_online();
}

tenure_thread *tenure_self(tenure_heap *heap)
{
    for (tenure__mutator *each = os_self.records; each != 0; each = each->sibling)
        if (each->record.heap == heap) return &each->record;
    return 0;
}

/* The stack that the calling thread was started on. False: it runs on another one. */
static bool own_stack(uintptr_t *base)
{
    pthread_attr_t attr;
    void *low;
    size_t bytes;
    if (pthread_getattr_np(pthread_self(), &attr) != 0) return false;
    const int error = pthread_attr_getstack(&attr, &low, &bytes);
    pthread_attr_destroy(&attr);
    const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    *base = (uintptr_t)low + bytes;
    /* The main thread's low end is where the limit of its size puts it. */
    return error == 0 && here < *base && here >= (uintptr_t)low;
}

void tenure__each_library(tenure__library_fn *fn, void *arg)
{
    tenure__own_lock(&tenure__loader_lock);
    dl_iterate_phdr(fn, arg);
    tenure__own_unlock(&tenure__loader_lock);
}

/* Thread-local data lies where dl_iterate_phdr says for the calling thread; at most so many libraries are kept. */
static int note_tls(struct dl_phdr_info *info, size_t size, void *arg)
{
    tenure__mutator *mutator = arg;
    if (size < offsetof(struct dl_phdr_info, dlpi_tls_data) + sizeof info->dlpi_tls_data || info->dlpi_tls_data == 0)
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum && mutator->tls_count < TENURE__TLS_RANGES; i++) {
        if (info->dlpi_phdr[i].p_type != PT_TLS) continue;
        const uintptr_t start = (uintptr_t)info->dlpi_tls_data;
        mutator->tls[mutator->tls_count++] = (struct tenure__tls) { start, start + info->dlpi_phdr[i].p_memsz };
    }
    return 0;
}

static void link_sibling(tenure__mutator *mutator)
{
    TENURE__MUST(pthread_mutex_lock(&tenure__siblings_lock));
    mutator->sibling = os_self.records;
    os_self.records = mutator;
    TENURE__MUST(pthread_mutex_unlock(&tenure__siblings_lock));
    atomic_fetch_add_explicit(&os_self.record_count, 1, memory_order_seq_cst); /* pairs with claim_list */
}

static void unlink_sibling(tenure__mutator *mutator)
{
    TENURE__MUST(pthread_mutex_lock(&tenure__siblings_lock));
    tenure__mutator **link = &os_self.records;
    while (*link != mutator) link = &(*link)->sibling;
    *link = mutator->sibling;
    TENURE__MUST(pthread_mutex_unlock(&tenure__siblings_lock));
    atomic_fetch_sub_explicit(&os_self.record_count, 1, memory_order_relaxed);
}

/* Registers the new record. The thread is blocked in its other heaps meanwhile, so that their stops do not wait for
 * this heap's: saver is the record of one of them with the context saved, or the new record when it is the first. */
static void register_record(tenure__mutator *saver, void *new_record)
{
    tenure__mutator *mutator = new_record;
    tenure__world *world = mutator->world;
    if (saver != mutator) {
        /* Its own heap may stop as soon as it is linked, while another one's keeps the thread out. */
        memcpy(mutator->registers, saver->registers, sizeof mutator->registers);
        mutator->stack_pointer = saver->stack_pointer;
        tenure__release(saver, TENURE__PARKED);
    }
    tenure__lock_stop(world);
    link_sibling(mutator);
    cds_list_add(&mutator->link, &world->active);
    tenure__tsan_release(mutator);
    cds_list_add_rcu(&mutator->every_link, &world->every);
    tenure__unlock_stop(world);
    atomic_fetch_add_explicit(&world->attached, 1, memory_order_relaxed);
    tenure__reacquire(mutator);
}

static tenure__mutator *new_record(tenure_heap *heap)
{
    return tenure__malloc_line(tenure__host_world(heap)->record_bytes);
}

/* The calling thread's record from now on; NULL and errno: it is freed. */
static tenure_thread *attach(tenure_heap *heap, tenure__mutator *mutator)
{
    tenure__world *world = tenure__host_world(heap);
    uintptr_t base = 0;
    const bool found = own_stack(&base);
    if (!found || pthread_setspecific(key, &os_self) != 0) {
        free(mutator);
        errno = found ? ENOMEM : EINVAL;
        return 0;
    }
    mutator->record.heap = heap;
    mutator->world = world;
    mutator->os = &os_self;
    mutator->stack_base = base;
    mutator->attach_count = 1;
    mutator->tid = (pid_t)syscall(SYS_gettid);
    tenure__each_library(note_tls, mutator);
    pthread_getname_np(pthread_self(), mutator->name, sizeof mutator->name);
    atomic_store_explicit(&mutator->state, TENURE__PARKED, memory_order_relaxed);
    if (world->rcu) {
        if (!tenure__rcu_registered()) {
            tenure__rcu_register();
            os_self.rcu_registered = true;
        }
        if (os_self.rcu_registered) os_self.rcu_users++;
    }
    os_self.check_locks |= world->check_locks;
    os_self.check_roots |= world->check_roots;
    if (os_self.check_locks || os_self.check_roots) os_self.held_fast = 0;
    tenure__host_attached(mutator);
    if (os_self.records == 0) tenure__rcu_park(&os_self);
    tenure__with_context(os_self.records != 0 ? os_self.records : mutator, register_record, mutator);
    return &mutator->record;
}

tenure_thread *tenure_attach(tenure_heap *heap)
{
    tenure__mutator *mutator = (tenure__mutator *)tenure_self(heap);
    if (mutator != 0) {
        mutator->attach_count++;
        return &mutator->record;
    }
    if (os_self.records != 0 && os_self.records->depth != 0)
        tenure__misuse("tenure_attach", "not inside a blocking or idle region (tenure_enter comes back in)");
    tenure__pass(&os_self, 0);
    mutator = new_record(heap);
    return mutator != 0 ? attach(heap, mutator) : 0;
}

static void free_record(struct rcu_head *head)
{
    tenure__mutator *mutator = caa_container_of(head, tenure__mutator, retired);
    tenure__tsan_acquire(head);
    tenure__tsan_acquire(mutator);
    tenure__world *world = mutator->world;
    free(mutator);
    atomic_fetch_sub_explicit(&world->retired, 1, memory_order_relaxed);
    tenure__tsan_release(&world->retired);
}

static bool has_frames(const tenure__mutator *mutator)
{
    return mutator->record.frames != 0 || mutator->own_frames != 0 || tenure__host_frames_suspended(mutator);
}

/* The record becomes blocked, hands over what it holds and is unlinked. exits: the thread does. */
static void detach_released(tenure__mutator *mutator, void *exits)
{
    tenure__world *world = mutator->world;
    tenure__mutator *other = mutator->sibling != 0        ? mutator->sibling
                             : os_self.records != mutator ? os_self.records
                                                          : 0;
    tenure__release(mutator, TENURE__BLOCKED);
    tenure__lock_stop(world);
    if (!*(const bool *)exits && has_frames(mutator))
        tenure__misuse("tenure_detach", "only after the end of every TENURE_FRAME"); /* writes to self */
    tenure__host_detached(mutator);
    cds_list_del(&mutator->link);
    cds_list_del_rcu(&mutator->every_link);
    if (atomic_load_explicit(&mutator->state, memory_order_relaxed) & TENURE__DORMANT)
        atomic_fetch_sub_explicit(&world->dormant_count, 1, memory_order_relaxed);
    unlink_sibling(mutator);
    atomic_fetch_sub_explicit(&world->attached, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&world->retired, 1, memory_order_relaxed);
    const bool rcu = world->rcu;
    tenure__tsan_release(mutator);
    tenure__rcu_call(&mutator->retired, free_record); /* under the lock: the barrier in world_destroy comes after */
    tenure__unlock_stop(world);
    /* From here the heap may be destroyed: neither world nor mutator. */
    if (rcu && os_self.rcu_registered && --os_self.rcu_users == 0) {
        tenure__rcu_unregister();
        os_self.rcu_registered = os_self.rcu_comes_back = false;
    }
    if (other != 0)
        tenure__reacquire(other);
    else
        tenure__rcu_unpark(&os_self); /* the host's own registration */
}

static void detach(tenure__mutator *mutator, bool exits)
{
    if (tenure__owns_stop(mutator)) tenure__misuse("tenure_detach", "not between stop_world and resume_world");
    /* A thread that exits inside a region is out already; taking its state back first keeps one way through here. */
    if ((atomic_load_explicit(&mutator->state, memory_order_relaxed) & TENURE__MODE) != TENURE__RUNNING) {
        for (tenure__mutator *each = os_self.records; each != 0; each = each->sibling) each->depth = 0;
        tenure__reacquire(mutator);
    }
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* liburcu's thread may have to be started */
    tenure__with_context(mutator, detach_released, &exits);
    pthread_setcancelstate(state, 0);
}

void tenure_detach(tenure_thread *self)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    tenure__require_in(mutator, "tenure_detach");
    if (--mutator->attach_count != 0) return;
    detach(mutator, false);
    tenure__pass(&os_self, 0); /* the others: a thread that only comes and goes makes no collection */
}

void tenure__drop_others(tenure__world *world)
{
    tenure__mutator *mutator, *next;
    cds_list_for_each_entry_safe(mutator, next, &world->every, every_link)
    {
        if (mutator->os == &os_self) {
            mutator->tid = (pid_t)syscall(SYS_gettid);
            continue;
        }
        tenure__await_forked(mutator->os);
        tenure__host_detached(mutator);
        cds_list_del(&mutator->link);
        cds_list_del(&mutator->every_link);
        if (atomic_load_explicit(&mutator->state, memory_order_relaxed) & TENURE__DORMANT)
            atomic_fetch_sub_explicit(&world->dormant_count, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&world->attached, 1, memory_order_relaxed);
        free(mutator);
    }
}

void tenure__wake_dormant(tenure__mutator *mutator)
{
    tenure__world *world = mutator->world;
    tenure__lock_stop(world);
    if (atomic_load_explicit(&mutator->state, memory_order_relaxed) & TENURE__DORMANT) {
        cds_list_move(&mutator->link, &world->active);
        atomic_fetch_sub_explicit(&world->dormant_count, 1, memory_order_relaxed);
        /* It is let in by the second resume from here, before it could be dormant again. No stop goes on. */
        atomic_fetch_or_explicit(&mutator->state, TENURE__RETURNING, memory_order_relaxed);
        atomic_fetch_and_explicit(&mutator->state, ~(uint32_t)TENURE__DORMANT, memory_order_relaxed);
        mutator->idle_stops = 0;
    }
    tenure__unlock_stop(world);
}

void tenure__make_dormant(tenure__mutator *mutator)
{
    cds_list_move(&mutator->link, &mutator->world->dormant);
    atomic_fetch_or_explicit(&mutator->state, TENURE__DORMANT, memory_order_relaxed);
    /* This stop has claimed it as active; later young stops will not see it. The flag keeps its owner out until it has
     * moved itself back under the stop lock. If it is just about to come back it sleeps to the end of this stop. */
    atomic_fetch_and_explicit(&mutator->state, ~(uint32_t)TENURE__STOP, memory_order_release);
    atomic_fetch_add_explicit(&mutator->world->dormant_count, 1, memory_order_relaxed);
}

void tenure_thread_name(tenure_thread *self, const char *name)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    strncpy(mutator->name, name, sizeof mutator->name - 1);
}

/* --- enter and leave --- */

/* Back into the region that tenure_enter came from. The context of the frame to return to is in mutator. */
static void go_back(tenure__mutator *mutator, const struct tenure__entry *entry)
{
    os_self.entered--;
    for (tenure__mutator *each = os_self.records; each != 0; each = each->sibling) {
        each->depth = entry->depth;
        each->went_back = true;
        memcpy(each->entry_registers, entry->registers, sizeof each->entry_registers);
    }
    tenure__release(mutator, entry->mode);
}

tenure_thread *tenure_enter(tenure_heap *heap)
{
    tenure__mutator *any = os_self.records;
    struct tenure__entry entry = { 0 };
    if (any != 0 && any->depth != 0) {
        entry.depth = any->depth;
        entry.mode = atomic_load_explicit(&any->state, memory_order_relaxed) & TENURE__MODE;
        entry.stack_pointer = any->stack_pointer;
        memcpy(entry.registers, any->went_back ? any->entry_registers : any->registers, sizeof entry.registers);
        if (os_self.entered == TENURE__ENTERED_MAX)
            tenure__misuse("tenure_enter", "nests at most 32 deep in all heaps");
        tenure__reacquire(any);
        for (tenure__mutator *each = any; each != 0; each = each->sibling) {
            each->depth = 0;
            each->entered_from[os_self.entered] = each->record.frames;
        }
        os_self.entered++;
        tenure__pass(&os_self, 0);
    }
    tenure_thread *self = tenure_attach(heap);
    if (self == 0) {
        const int error = errno;
        if (entry.depth != 0) {
            any->stack_pointer = entry.stack_pointer;
            memcpy(any->registers, entry.registers, sizeof any->registers);
            go_back(any, &entry);
        }
        errno = error;
        return 0;
    }
    tenure__mutator *mutator = tenure__mutator_of(self);
    if (mutator->entries == TENURE__ENTRIES_MAX) tenure__misuse("tenure_enter", "nests at most 8 deep");
    mutator->entry[mutator->entries++] = entry;
    return self;
}

void tenure__leave_saved(tenure_thread *self);
void tenure__leave_saved(tenure_thread *self)
{
    tenure__mutator *mutator = tenure__mutator_of(self);
    tenure__require_in(mutator, "tenure_leave");
    if (mutator->entries == 0) tenure__misuse("tenure_leave", "only after tenure_enter");
    const struct tenure__entry entry = mutator->entry[--mutator->entries];
    /* If the record goes, the thread stays in a region of another heap, with this one's context: not with the one that
     * detaching saves, for its frames are gone when this returns. */
    uintptr_t registers[TENURE__SAVED_REGISTERS];
    const uintptr_t stack_pointer = mutator->stack_pointer;
    memcpy(registers, mutator->registers, sizeof registers);
    const bool goes = mutator->attach_count == 1;
    tenure_detach(self);
    tenure__mutator *stays = goes ? os_self.records : mutator;
    if (entry.depth == 0) return;
    if (stays == 0) {
        os_self.entered--;
        return;
    }
    stays->stack_pointer = stack_pointer;
    memcpy(stays->registers, registers, sizeof registers);
    go_back(stays, &entry);
}

/* --- threads that start attached --- */

struct start {
    tenure_heap *heap;
    tenure__mutator *record; /* made by who can still report that there is no memory */
    tenure_thread_fn *fn;
    tenure_handle *object;
};

static void *run_attached(void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    tenure_thread *self = attach(start.heap, start.record);
    if (self == 0) tenure__misuse("tenure_thread_create", "no memory to attach the new thread");
    void *object = 0;
    if (start.object != 0) {
        /* A root of the thread's own before the handle goes, which may wait for a stop. */
        uintptr_t *scratch = &tenure__mutator_of(self)->scratch[0];
        *scratch = (uintptr_t)tenure_handle_get(start.object);
        tenure_handle_free(start.object);
        object = (void *)*scratch;
        *scratch = 0;
    }
    void *result = start.fn(self, object);
    tenure_detach(self);
    return result;
}

tenure_status tenure_thread_create(
    tenure_thread *self, pthread_t *out, const pthread_attr_t *attr, tenure_thread_fn *fn, void *object)
{
    struct start *start = tenure__malloc(sizeof *start);
    tenure__mutator *record = new_record(self->heap);
    uintptr_t *scratch = &tenure__mutator_of(self)->scratch[TENURE__SCRATCH_IO];
    *scratch = (uintptr_t)out; /* it may lie in an object */
    tenure_handle *handle = object != 0 ? tenure_handle_new(self, object) : 0;
    *scratch = 0;
    if (start == 0 || record == 0 || (object != 0 && handle == 0)) {
        if (handle != 0) tenure_handle_free(handle);
        free(record);
        free(start);
        return TENURE_ENOMEM;
    }
    *start = (struct start) { self->heap, record, fn, handle };
    const int error = tenure__thread_create(out, attr, run_attached, start);
    if (error == 0) return TENURE_OK;
    if (handle != 0) tenure_handle_free(handle);
    free(record);
    free(start);
    errno = error;
    return TENURE_ESYSTEM;
}
