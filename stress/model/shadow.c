/* Shadows, and the comparison of the heap with them.
 *
 * The check collects everything in a stop of its own, walks the shadows from the holders, and asks of every object: is
 * it there, once, with its contents, its type, its identity hash and its references? With precise roots it also asks of
 * every object in the heap whether a shadow is reachable for it: what is not should be gone. */
#include "lib/collection/weak.h"
#include "lib/heap/heap.h"
#include "stress/model/walk.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

shadow *shadow_new(const kind *of, size_t count, uint64_t pattern)
{
    const size_t slots = kind_slots(of, count);
    shadow *made = calloc(1, sizeof *made + slots * sizeof made->edges[0]);
    if (made == NULL) abort();
    made->kind = of;
    made->count = count;
    made->slots = slots;
    made->id = atomic_fetch_add_explicit(&the_model.ids, 1, memory_order_relaxed) + 1;
    made->pattern = pattern != 0 ? pattern : model_mix(made->id);
    atomic_flag_clear(&made->locked);
    made->next = atomic_load(&the_model.all);
    while (!atomic_compare_exchange_weak(&the_model.all, &made->next, made)) {}
    return made;
}

/* Held for a few stores, never across a safepoint. */
void shadow_lock(shadow *of)
{
    while (atomic_flag_test_and_set_explicit(&of->locked, memory_order_acquire)) sched_yield();
}
void shadow_unlock(shadow *of) { atomic_flag_clear_explicit(&of->locked, memory_order_release); }

bool shadow_is_shared_weak(const tenure_weak *weak) { return ((const tenure__record *)weak)->hash != 0; }

/* One thread at a time registers something of an object, or changes a map: these calls may wait. */
bool shadow_begin(shadow *of)
{
    shadow_lock(of);
    const bool begun = !of->busy;
    of->busy = true;
    shadow_unlock(of);
    return begun;
}
void shadow_end(shadow *of)
{
    shadow_lock(of);
    of->busy = false;
    shadow_unlock(of);
}

/* --- tables --- */

static size_t table_cell(const table *of, uint64_t key)
{
    size_t at = model_mix(key) & (of->capacity - 1);
    while (of->cells[at].key != 0 && of->cells[at].key != key) at = (at + 1) & (of->capacity - 1);
    return at;
}

void table_put(table *into, uint64_t key, void *value)
{
    if (2 * into->count >= into->capacity) {
        const table before = *into;
        into->capacity = before.capacity == 0 ? 4096 : 2 * before.capacity;
        into->cells = calloc(into->capacity, sizeof *into->cells);
        if (into->cells == NULL) abort();
        into->count = 0;
        for (size_t i = 0; i < before.capacity; i++)
            if (before.cells[i].key != 0) table_put(into, before.cells[i].key, before.cells[i].value);
        free(before.cells);
    }
    const size_t at = table_cell(into, key);
    into->count += into->cells[at].key == 0;
    into->cells[at].key = key;
    into->cells[at].value = value;
}

void *table_get(const table *from, uint64_t key)
{
    return from->capacity == 0 ? NULL : from->cells[table_cell(from, key)].value;
}

/* --- the walk; stopped --- */

named walk_name(const shadow *of)
{
    named name;
    snprintf(
        name.text, sizeof name.text, "object %lu (%s, %zu elements)", (unsigned long)of->id, of->kind->name, of->count);
    return name;
}

shadow *walk_find(const walk *w, uintptr_t address) { return table_get(&w->addresses, address); }

void walk_meet(walk *w, shadow *target, void *object, const char *from)
{
    if (target->epoch == the_model.epoch) {
        if (target->object != object)
            model_fail(w->t, "%s is there twice: at %p and, from %s, at %p", walk_name(target).text, target->object,
                from, object);
        return;
    }
    if (((uintptr_t)object & 15) != 0 || !tenure_heap_contains(the_model.heap, object) ||
        tenure_object_at(the_model.heap, object) != object)
        model_fail(w->t, "%s is lost: %s leads to %p, where no object starts", walk_name(target).text, from, object);
    const shadow *other = walk_find(w, (uintptr_t)object);
    if (other != NULL)
        model_fail(w->t, "%s and %s are one object at %p", walk_name(target).text, walk_name(other).text, object);
    if (target->cleaned && !the_model.options.resurrects)
        model_fail(w->t, "%s at %p lives, from %s, and its cleaner ran", walk_name(target).text, object, from);
    table_put(&w->addresses, (uintptr_t)object, target);
    target->epoch = the_model.epoch;
    target->strong = w->strong ? the_model.epoch : 0;
    target->object = object;
    target->settled = target->kind->weak == 0;
    if (w->count == w->capacity) {
        w->capacity = w->capacity == 0 ? 4096 : 2 * w->capacity;
        w->stack = realloc(w->stack, w->capacity * sizeof *w->stack);
        w->seen = realloc(w->seen, w->capacity * sizeof *w->seen);
        if (w->stack == NULL || w->seen == NULL) abort();
    }
    w->seen[w->count++] = target;
    w->stack[w->top++] = target;
}

static void check_contents(walk *w, shadow *of)
{
    thread *t = w->t;
    const tenure_type *type = of->kind->type();
    if (type != NULL && tenure_type_of(of->object) != type)
        model_fail(t, "%s at %p has type %s", walk_name(of).text, of->object, tenure_type_of(of->object)->name);
    const size_t bytes = kind_bytes(of->kind, of->count);
    if (tenure_size_of(of->object) < bytes)
        model_fail(t, "%s at %p has %zu bytes", walk_name(of).text, of->object, tenure_size_of(of->object));
    if (!kind_check(of->kind, of->object, of->count, of->pattern))
        model_fail(t, "%s at %p has other contents", walk_name(of).text, of->object);
    if (of->hash != 0 && tenure_identity_hash(t->self, of->object) != of->hash)
        model_fail(t, "%s at %p has another identity hash", walk_name(of).text, of->object);
    w->bytes += bytes + 16;
}

static uintptr_t slot_word(const shadow *of, size_t i) { return *slot_address(of, of->object, i); }

static void meet_slot(walk *w, const shadow *of, size_t i)
{
    const edge wanted = of->edges[i];
    const uintptr_t word = slot_word(of, i);
    char from[160];
    if (wanted.target == NULL && word == wanted.delta) return;
    if (wanted.target == NULL)
        model_fail(w->t, "%s at %p, reference %zu is %#lx instead of %#lx", walk_name(of).text, of->object, i,
            (unsigned long)word, (unsigned long)wanted.delta);
    snprintf(from, sizeof from, "%s at %p, reference %zu", walk_name(of).text, of->object, i);
    walk_meet(w, wanted.target, (void *)(word - wanted.delta), from);
}

void walk_trace(walk *w)
{
    while (w->top > 0) {
        shadow *next = w->stack[--w->top];
        check_contents(w, next);
        for (size_t i = next->kind->weak; i < next->slots; i++) meet_slot(w, next, i);
        if (next->kind->sort == WATCH) deaths_walk_watch(w, next);
    }
}

/* --- weak references and ephemerons --- */

/* Its target, or key, has died. */
static void settle_cleared(walk *w, shadow *of)
{
    for (size_t slot = 0; slot < of->kind->weak; slot++) {
        of->edges[slot] = (edge) { NULL, 0 };
        meet_slot(w, of, slot);
    }
    of->settled = true;
}

/* Whether it may have been cleared although its target is met now: the target was due when that happened. */
static bool may_be_cleared(const shadow *target) { return the_model.options.resurrects || !is_strong(target); }

/* Those whose target or key is met: they lead there, and an ephemeron's value is met too. */
static void settle_reached(walk *w)
{
    for (size_t i = 0, unsettled = 0, since = 0;; i++) {
        if (i == w->count) { /* once more, if that reached something */
            if (unsettled == 0 || since == w->count) return;
            since = w->count;
            i = unsettled = 0;
        }
        shadow *of = w->seen[i];
        if (of->settled) continue;
        unsettled++;
        const shadow *target = of->edges[0].target;
        if (!is_seen(target)) continue;
        if (slot_word(of, 0) == 0 && may_be_cleared(target)) {
            settle_cleared(w, of);
            continue;
        }
        of->settled = true;
        for (size_t slot = 0; slot < of->kind->weak; slot++) meet_slot(w, of, slot);
        walk_trace(w);
    }
}

/* Of the others all words must be 0. Unless something may live that no shadow leads to: then what is not cleared keeps
 * its target as if it were reached. True: something was. */
static bool settle_unreached(walk *w)
{
    for (size_t i = 0; i < w->count; i++) {
        shadow *of = w->seen[i];
        if (of->settled) continue;
        const uintptr_t word = slot_word(of, 0);
        if (word != 0 && w->exact && of->edges[0].target != NULL)
            model_fail(w->t, "%s at %p should be cleared: nothing else leads to object %lu", walk_name(of).text,
                of->object, (unsigned long)of->edges[0].target->id);
        if (word != 0) {
            meet_slot(w, of, 0);
            walk_trace(w);
            return true;
        }
        settle_cleared(w, of);
    }
    return false;
}

/* The shadows of weak references that nobody holds go. */
static void forget_weak(walk *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (!is_seen(w->seen[i]->weak)) w->seen[i]->weak = NULL;
}

/* --- the walk --- */

static void meet_holder(walk *w, const holder *of, const char *whose, unsigned index)
{
    static const char *const places[PLACES] = { "frame", "root", "range", "ambiguous range", "callback", "handle",
        "pin", "save area", "fiber", "thread-local variable", "static variable" };
    if (of->edge.target == NULL || of->busy) return;
    char from[64];
    snprintf(from, sizeof from, "%s %u's %s", whose, index, places[of->place]);
    walk_meet(w, of->edge.target, holder_object(of), from);
}

/* What a finalizer that runs has in its hands leads to what is due. */
static void meet_threads(walk *w, bool dying)
{
    for (thread *t = the_model.threads; t != NULL; t = t->next) {
        const bool runs = t->holders[LOCAL_DYING].edge.target != NULL;
        for (unsigned i = 0; i < HOLDERS; i++)
            if ((runs && i < LOCALS) == dying) meet_holder(w, &t->holders[i], "thread", t->index);
    }
}

/* Everything that follows from what was met. */
static void settle(walk *w)
{
    size_t before;
    walk_trace(w);
    do {
        before = w->count;
        settle_reached(w);
        if (w->collected) maps_walk(w);
        walk_trace(w);
    } while (w->count != before);
}

static void walk_all(walk *w)
{
    the_model.epoch++;
    w->strong = true;
    meet_threads(w, false);
    for (unsigned i = 0; i < SHARED; i++) meet_holder(w, &the_model.shared[i].holder, "shared slot", i);
    if (w->collected) deaths_walk_registered(w);
    settle(w);
    w->strong = false;
    meet_threads(w, true);
    if (w->collected) deaths_walk_due(w);
    settle(w);
    if (w->collected) deaths_walk_targets(w);
    do settle(w);
    while (settle_unreached(w));
    if (w->collected) forget_weak(w);
}

/* --- what the heap holds; stopped, just after a full collection --- */

/* Records of the library's own: finalizers, what is due, entries of maps. Watches and cleaners are the program's too.
 */
static bool is_internal(const void *object)
{
    const tenure_type *type = tenure_type_of(object);
    if (type == &tenure__entry_type || type == &tenure__entry_both_type) return true;
    for (unsigned i = 0; i < 3; i++)
        if (type == &tenure__action_types[i] || type == &tenure__due_types[i]) return true;
    return false;
}

static void expect_wanted(walk *w, uintptr_t object)
{
    if (walk_find(w, object) != NULL) return;
    if (is_internal((void *)object)) {
        w->extra++;
        return;
    }
    tenure_path(w->t->self, (void *)object, tenure_path_print, stderr);
    model_fail(w->t, "an object of type %s at %#lx (generation %d) should be gone",
        tenure_type_of((void *)object)->name, (unsigned long)object,
        (int)tenure_generation_of(the_model.heap, (void *)object));
}

/* Everything that lives is older than Gen 0 now, or a resident, and has a bit. */
static void check_gone(walk *w)
{
    tenure_heap *heap = the_model.heap;
    const uint32_t small = atomic_load(&heap->frontier), large = atomic_load(&heap->large_frontier);
    for (uint32_t block = 0; block < small; block++) {
        if ((tenure__kind_of(heap, block) & TENURE__KIND_GENERATION) == 0) continue;
        const tenure__bits *live = tenure__bits_of(heap->live, block);
        for (unsigned i = 1; i < TENURE__GRANULES; i++)
            if (tenure__bit_get(live, i)) expect_wanted(w, tenure__block_start(heap, block) + (uintptr_t)i * 16);
    }
    for (uint32_t block = heap->large_start; block < large; block++) {
        const uint8_t byte = tenure__kind_of(heap, block);
        if ((byte & TENURE__KIND_GENERATION) != 0 && (byte & TENURE__KIND_HEAD) != 0)
            expect_wanted(w, tenure__run_object(heap, block));
    }
}

static bool count_object(tenure_thread *self, void *object, void *arg)
{
    walk *w = arg;
    (void)self;
    w->visited += !is_internal(object) || walk_find(w, (uintptr_t)object) != NULL;
    return true;
}

static void check_census(walk *w)
{
    if (w->extra > w->internal)
        model_fail(w->t, "there are %zu records of finalizers, cleaners and map entries instead of %zu", w->extra,
            w->internal);
    if (tenure_each_object(w->t->self, -1, count_object, w) != TENURE_OK || w->visited != w->count)
        model_fail(w->t, "tenure_each_object finds %zu objects instead of %zu", w->visited, w->count);
}

/* Shadows that nothing leads to any more. */
static void free_unseen(void)
{
    shadow *all = atomic_load(&the_model.all), *kept = NULL;
    while (all != NULL) {
        shadow *next = all->next;
        if (is_seen(all)) {
            all->next = kept;
            kept = all;
        } else {
            maps_free(all);
            free(all);
        }
        all = next;
    }
    atomic_store(&the_model.all, kept);
}

/* Without a collection nothing is known of what fell due: then nothing is forgotten either. */
static void check_collected(walk *w)
{
    deaths_check(w);
    maps_check(w);
    if (w->exact) {
        check_gone(w);
        check_census(w);
        atomic_fetch_add(&the_model.exact_checks, 1);
    }
    free_unseen();
}

static bool collect_all(thread *t)
{
    const tenure_status collected = tenure_collect(t->self, TENURE_GEN2);
    if (collected != TENURE_OK && (collected != TENURE_EBUSY || atomic_load(&the_model.disabled) == 0))
        model_fail(t, "tenure_collect: %s", tenure_strerror(collected));
    return collected == TENURE_OK;
}

static void compare(thread *t, bool collects)
{
    walk w = { .t = t };
    if (tenure_stop_world(t->self) != TENURE_OK) model_fail(t, "the world was not stopped");
    w.collected = collects && collect_all(t);
    w.exact = the_model.options.precise && w.collected && atomic_load(&the_model.frozen) == 0;
    walk_all(&w);
    if (w.collected) check_collected(&w);
    if (tenure_verify(t->self) != TENURE_OK) model_fail(t, "the verifier found a fault");
    atomic_store(&the_model.live_bytes, w.bytes);
    atomic_fetch_add(&the_model.checks, 1);
    atomic_store(&the_model.compared, atomic_load(&the_model.heap->collected));
    tenure_resume_world(t->self);
    free(w.stack);
    free(w.seen);
    free(w.addresses.cells);
    free(w.deaths.cells);
}

void model_check(thread *t) { compare(t, true); }

void model_check_collected(thread *t)
{
    if (atomic_load(&the_model.compared) != atomic_load(&the_model.heap->collected)) compare(t, false);
}
