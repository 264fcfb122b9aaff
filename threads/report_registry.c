/* What the registry knows of threads, and the threads of their locks. Runs on the watch's thread; see report.h. Records
 * are read under RCU. What lies in a thread's own memory (its name while it changes, its locks) is read through the
 * kernel: the thread may end meanwhile. */
#include "threads/format.h"
#include "threads/report.h"
#include <string.h>

/* --- records --- */

static void view_read(tenure__mutator *mutator, tenure__view *view)
{
    view->tid = mutator->tid;
    view->os = mutator->os;
    view->state = atomic_load_explicit(&mutator->state, memory_order_relaxed);
    view->polled_ns = atomic_load_explicit(&mutator->polled_ns, memory_order_relaxed);
    if (!tenure__peek(view->name, (uintptr_t)mutator->name, sizeof view->name)) view->name[0] = '\0';
    view->name[sizeof view->name - 1] = '\0';
}

/* A function, for ThreadSanitizer to leave alone (tests/tsan_suppressions.txt). */
static struct cds_list_head *next_record(const struct cds_list_head *node) { return rcu_dereference(node->next); }

/* Every mutator of the heap until fn returns true. */
typedef bool view_fn(tenure__mutator *mutator, void *arg);
static bool some_mutator(tenure__world *world, view_fn *fn, void *arg)
{
    bool found = false;
    const enum tenure__rcu_section section = tenure__rcu_section_begin();
    for (struct cds_list_head *node = next_record(&world->every); node != &world->every; node = next_record(node)) {
        tenure__mutator *mutator = caa_container_of(node, tenure__mutator, every_link);
        tenure__tsan_acquire(mutator);
        found = fn(mutator, arg);
        tenure__tsan_release(mutator);
        if (found) break;
    }
    tenure__rcu_section_end(section);
    return found;
}

struct late {
    tenure__view *views;
    unsigned count;
};

/* The stop waits for those that it claimed while they ran and that still do. */
static bool collect_late(tenure__mutator *mutator, void *arg)
{
    struct late *late = arg;
    const uint32_t state = atomic_load_explicit(&mutator->state, memory_order_relaxed);
    if ((state & TENURE__STOP) == 0 || (state & TENURE__MODE) != TENURE__RUNNING) return false;
    if (late->count < TENURE__STRAGGLERS_MAX) view_read(mutator, &late->views[late->count]);
    late->count++;
    return false;
}

unsigned tenure__views_late(tenure__world *world, tenure__view views[TENURE__STRAGGLERS_MAX])
{
    struct late late = { views, 0 };
    some_mutator(world, collect_late, &late);
    return late.count;
}

static bool view_if_it_is(tenure__mutator *mutator, void *arg)
{
    tenure__view *view = arg;
    if (mutator->tid != view->tid) return false;
    view_read(mutator, view);
    return true;
}

bool tenure__view_find(tenure__world *world, tenure__view *view) { return some_mutator(world, view_if_it_is, view); }

/* --- locks --- */

static_assert(sizeof(tenure__held) == sizeof(struct tenure__lock_held) &&
                  offsetof(tenure__held, site) == offsetof(struct tenure__lock_held, site),
    "held locks are copied as they are");

/* The thread takes and gives back locks meanwhile: one may be shown twice, or one that it holds no more. */
void tenure__locks_read(const tenure__view *view, tenure__locks *locks)
{
    tenure__os_thread os;
    *locks = (tenure__locks) { .awaited = 0 };
    if (!tenure__peek(&os, (uintptr_t)view->os, sizeof os)) return;
    locks->awaited = (uintptr_t)atomic_load_explicit(&os.awaited, memory_order_relaxed);
    locks->awaited_site = (uintptr_t)atomic_load_explicit(&os.awaited_site, memory_order_relaxed);
    locks->awaited_ns = tenure__now_ns() - atomic_load_explicit(&os.awaited_since_ns, memory_order_relaxed);
    const uint32_t count = atomic_load_explicit(&os.held_count, memory_order_relaxed);
    const uint32_t shown = count < TENURE__LOCKS_SHOWN ? count : TENURE__LOCKS_SHOWN;
    const uintptr_t held = (uintptr_t)atomic_load_explicit(&os.held, memory_order_relaxed);
    if (tenure__peek(locks->held, held + (count - shown) * sizeof locks->held[0], shown * sizeof locks->held[0]))
        locks->held_count = count;
}

static void describe_lock(const tenure__code *code, uintptr_t address, uintptr_t site, tenure__text *text)
{
    tenure__lock lock = { 0 };
    tenure__symbol symbol;
    char name[TENURE__NAME_BYTES] = "";
    if (tenure__peek(&lock, address, sizeof lock) && lock.name != 0)
        for (unsigned i = 0;
             i < sizeof name - 1 && tenure__peek(&name[i], (uintptr_t)lock.name + i, 1) && name[i] != 0;)
            i++;
    tenure__text_add(text, "\"%s\" (0x%llx, %u waiting) in ", name, (unsigned long long)address, lock.waiters);
    tenure__symbol_find(code, site, true, &symbol);
    tenure__symbol_print(&symbol, text);
}

void tenure__locks_describe(const tenure__code *code, const tenure__locks *locks, tenure__text *text)
{
    if (locks->awaited != 0) {
        tenure__text_add(text, "    wants lock ");
        describe_lock(code, locks->awaited, locks->awaited_site, text);
        tenure__text_add(text, " for %s\n", tenure__format_duration(locks->awaited_ns).text);
    }
    for (unsigned i = 0; i < locks->held_count && i < TENURE__LOCKS_SHOWN; i++) {
        tenure__text_add(text, "    holds lock ");
        describe_lock(code, locks->held[i].lock, locks->held[i].site, text);
        tenure__text_add(text, "\n");
    }
    if (locks->held_count > TENURE__LOCKS_SHOWN)
        tenure__text_add(text, "    and holds %u more\n", locks->held_count - TENURE__LOCKS_SHOWN);
}

struct holder {
    uintptr_t lock;
    pid_t tid;
};

static bool holds(tenure__mutator *mutator, void *arg)
{
    struct holder *holder = arg;
    const tenure__view view = { .os = mutator->os };
    tenure__locks locks;
    tenure__locks_read(&view, &locks);
    for (unsigned i = 0; i < locks.held_count && i < TENURE__LOCKS_SHOWN; i++) {
        if (locks.held[i].lock != holder->lock) continue;
        holder->tid = mutator->tid;
        return true;
    }
    return false;
}

pid_t tenure__holder_find(tenure__world *world, uintptr_t lock)
{
    struct holder holder = { lock, 0 };
    some_mutator(world, holds, &holder);
    return holder.tid;
}
