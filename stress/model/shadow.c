/* Shadows, and the comparison of the heap with them.
 *
 * The check collects everything in a stop of its own, walks the shadows from the holders, and asks of every object: is
 * it there, once, with its contents, its type, its identity hash and its references? With precise roots it also asks of
 * every object in the heap whether a shadow is reachable for it: what is not should be gone. */
#include "lib/collection/weak.h"
#include "lib/heap/heap.h"
#include "stress/model/model.h"
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

/* --- the walk; stopped --- */

typedef struct walk {
    thread *t;
    shadow **stack, **seen;
    size_t top, count, capacity; /* of both */
    uint64_t bytes;
} walk;

static void describe(const shadow *of, char text[static 96])
{
    snprintf(text, 96, "object %lu (%s, %zu elements)", (unsigned long)of->id, of->kind->name, of->count);
}

static void meet(walk *w, shadow *target, void *object, const char *from)
{
    char name[96];
    describe(target, name);
    if (target->epoch == the_model.epoch) {
        if (target->object != object)
            model_fail(w->t, "%s is there twice: at %p and, from %s, at %p", name, target->object, from, object);
        return;
    }
    if (((uintptr_t)object & 15) != 0 || !tenure_heap_contains(the_model.heap, object) ||
        tenure_object_at(the_model.heap, object) != object)
        model_fail(w->t, "%s is lost: %s leads to %p, where no object starts", name, from, object);
    target->epoch = the_model.epoch;
    target->object = object;
    target->settled = target->kind->sort == ORDINARY;
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
    char name[96];
    describe(of, name);
    thread *t = w->t;
    const tenure_type *type = of->kind->type();
    if (type != NULL && tenure_type_of(of->object) != type)
        model_fail(t, "%s at %p has type %s", name, of->object, tenure_type_of(of->object)->name);
    const size_t bytes = kind_bytes(of->kind, of->count);
    if (tenure_size_of(of->object) < bytes)
        model_fail(t, "%s at %p has %zu bytes", name, of->object, tenure_size_of(of->object));
    if (!kind_check(of->kind, of->object, of->count, of->pattern))
        model_fail(t, "%s at %p has other contents", name, of->object);
    if (of->hash != 0 && tenure_identity_hash(t->self, of->object) != of->hash)
        model_fail(t, "%s at %p has another identity hash", name, of->object);
    w->bytes += bytes + 16;
}

static void meet_slot(walk *w, const shadow *of, size_t i)
{
    const edge wanted = of->edges[i];
    const uintptr_t word = *slot_address(of, of->object, i);
    char from[160], name[96];
    describe(of, name);
    if (wanted.target == NULL && word == wanted.delta) return;
    if (wanted.target == NULL)
        model_fail(w->t, "%s at %p, reference %zu is %#lx instead of %#lx", name, of->object, i, (unsigned long)word,
            (unsigned long)wanted.delta);
    snprintf(from, sizeof from, "%s at %p, reference %zu", name, of->object, i);
    meet(w, wanted.target, (void *)(word - wanted.delta), from);
}

static void trace(walk *w)
{
    while (w->top > 0) {
        shadow *next = w->stack[--w->top];
        check_contents(w, next);
        for (size_t i = 0; i < next->slots && next->kind->sort == ORDINARY; i++) meet_slot(w, next, i);
    }
}

/* --- weak references and ephemerons --- */

static bool is_seen(const shadow *of) { return of != NULL && of->epoch == the_model.epoch; }

/* Those whose target or key is reached: they lead there, and an ephemeron's value is reached too. */
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
        if (!is_seen(of->edges[0].target)) continue;
        of->settled = true;
        for (size_t slot = 0; slot < of->slots; slot++) meet_slot(w, of, slot);
        trace(w);
    }
}

/* Of the others all words must be 0. Unless something may live that no shadow leads to: then what is not cleared keeps
 * its target as if it were reached. True: something was. */
static bool settle_unreached(walk *w, bool exact)
{
    for (size_t i = 0; i < w->count; i++) {
        shadow *of = w->seen[i];
        if (of->settled) continue;
        const uintptr_t word = *slot_address(of, of->object, 0);
        char name[96];
        describe(of, name);
        if (word != 0 && exact && of->edges[0].target != NULL)
            model_fail(w->t, "%s at %p should be cleared: nothing else leads to object %lu", name, of->object,
                (unsigned long)of->edges[0].target->id);
        if (word != 0) {
            meet_slot(w, of, 0);
            trace(w);
            return true;
        }
        for (size_t slot = 0; slot < of->slots; slot++) {
            of->edges[slot] = (edge) { NULL, 0 };
            meet_slot(w, of, slot);
        }
        of->settled = true;
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
        "pin", "save area" };
    if (of->edge.target == NULL || of->busy) return;
    char from[64];
    snprintf(from, sizeof from, "%s %u's %s", whose, index, places[of->place]);
    meet(w, of->edge.target, holder_object(of), from);
}

static void walk_all(walk *w, bool exact)
{
    the_model.epoch++;
    for (thread *t = the_model.threads; t != NULL; t = t->next)
        for (unsigned i = 0; i < HOLDERS; i++) meet_holder(w, &t->holders[i], "thread", t->index);
    for (unsigned i = 0; i < SHARED; i++) meet_holder(w, &the_model.shared[i].holder, "shared slot", i);
    trace(w);
    do settle_reached(w);
    while (settle_unreached(w, exact));
    forget_weak(w);
}

/* --- what the heap holds; stopped, just after a full collection --- */

static int by_address(const void *a, const void *b)
{
    const uintptr_t x = (uintptr_t)(*(shadow *const *)a)->object, y = (uintptr_t)(*(shadow *const *)b)->object;
    return (x > y) - (x < y);
}

static void check_once(walk *w)
{
    qsort(w->seen, w->count, sizeof *w->seen, by_address);
    for (size_t i = 1; i < w->count; i++)
        if (w->seen[i - 1]->object == w->seen[i]->object) {
            char a[96], b[96];
            describe(w->seen[i - 1], a);
            describe(w->seen[i], b);
            model_fail(w->t, "%s and %s are one object", a, b);
        }
}

static void expect_wanted(walk *w, uintptr_t object)
{
    shadow probe = { .object = (void *)object }, *key = &probe;
    if (bsearch(&key, w->seen, w->count, sizeof *w->seen, by_address) != NULL) return;
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

static bool count_object(tenure_thread *self, void *object, void *count)
{
    (void)self;
    (void)object;
    ++*(size_t *)count;
    return true;
}

static void check_census(walk *w)
{
    size_t count = 0;
    if (tenure_each_object(w->t->self, -1, count_object, &count) != TENURE_OK || count != w->count)
        model_fail(w->t, "tenure_each_object finds %zu objects instead of %zu", count, w->count);
}

/* Shadows that nothing leads to any more. */
static void free_unseen(void)
{
    shadow *all = atomic_load(&the_model.all), *kept = NULL;
    while (all != NULL) {
        shadow *next = all->next;
        if (all->epoch == the_model.epoch) {
            all->next = kept;
            kept = all;
        } else {
            free(all);
        }
        all = next;
    }
    atomic_store(&the_model.all, kept);
}

void model_check(thread *t)
{
    walk w = { .t = t };
    if (tenure_stop_world(t->self) != TENURE_OK) model_fail(t, "the world was not stopped");
    const tenure_status collected = tenure_collect(t->self, TENURE_GEN2);
    if (collected != TENURE_OK && (collected != TENURE_EBUSY || atomic_load(&the_model.disabled) == 0))
        model_fail(t, "tenure_collect: %s", tenure_strerror(collected));
    const bool exact = the_model.options.precise && collected == TENURE_OK && atomic_load(&the_model.frozen) == 0;
    walk_all(&w, exact);
    check_once(&w);
    if (exact) {
        check_gone(&w);
        check_census(&w);
        atomic_fetch_add(&the_model.exact_checks, 1);
    }
    if (tenure_verify(t->self) != TENURE_OK) model_fail(t, "the verifier found a fault");
    free_unseen();
    atomic_store(&the_model.live_bytes, w.bytes);
    atomic_fetch_add(&the_model.checks, 1);
    tenure_resume_world(t->self);
    free(w.stack);
    free(w.seen);
}
