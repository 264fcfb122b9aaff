/* What runs when something has died: finalizers, cleaners, death callbacks.
 *
 * Each is registered with an argument, which is either a number of its own or a token: an object made for it alone,
 * whose first word is that number. So functions know what they are called for, and the walk
 * finds in the library's lists what is registered and what is due, with the addresses of objects that no shadow leads
 * to. When a function runs: it was registered, runs once, its object and token are whole. Whether it ran too early is
 * seen by the walk (an object that lives and whose cleaner ran, something due that the program holds), and whether it
 * was forgotten. */
#include "lib/collection/finalizer.h"
#include "lib/heap/heap.h"
#include "stress/model/walk.h"
#include <stdio.h>
#include <tenure/finalizer.h>

typedef struct death {
    struct death *next; /* in the list of all */
    enum { FINALIZES, CLEANS, WATCHES } sort;
    /* UNSURE: another was registered in its place, but it may have been due by then. */
    enum { REGISTERED, UNSURE, RUNS, RAN, VOID } _Atomic state;
    atomic_bool by_hand; /* tenure_cleaner_run */
    shadow *target;      /* NULL: gone. Of a watch: never */
    shadow *of;          /* the cleaner, the watch; NULL: gone */
    shadow *token;       /* NULL: the argument is the number */
    uint64_t number;
    uint64_t epoch; /* of the walk that found it registered, or due */
} death;

/* --- what it is called for --- */

static bool is_token(const void *arg) { return tenure_heap_contains(the_model.heap, arg); }

static uint64_t number_of(const void *arg) { return is_token(arg) ? *(const uint64_t *)arg : (uintptr_t)arg; }

static death *death_of(const void *arg)
{
    death *each = atomic_load(&the_model.deaths);
    while (each != NULL && each->number != number_of(arg)) each = each->next;
    return each;
}

/* --- running --- */

/* What is in LOCAL_DYING is whole, and so is what it refers to: it is followed for a few steps. */
static void look_around(thread *t)
{
    local_set(t, LOCAL_A, local_object(t, LOCAL_DYING), local_shadow(t, LOCAL_DYING));
    for (unsigned i = 0; i < 6 && local_shadow(t, LOCAL_A) != NULL; i++) {
        const shadow *here = local_shadow(t, LOCAL_A);
        if (!kind_check(here->kind, local_object(t, LOCAL_A), here->count, here->pattern))
            model_fail(t, "%s at %p has other contents when its finalizer, or one that leads to it, runs",
                walk_name(here).text, local_object(t, LOCAL_A));
        if (!follow(t, LOCAL_A)) return;
    }
}

static void register_finalizer(thread *t, unsigned local);

static void live_again(thread *t)
{
    if (model_draw(t->source, 3) == 0) put_shared(t, LOCAL_DYING);
    if (model_draw(t->source, 6) == 0 && local_shadow(t, LOCAL_A) != NULL) holder_put(t, any_holder(t), LOCAL_A);
}

static void run(thread *t, death *d)
{
    if (local_shadow(t, LOCAL_DYING) != NULL && d->sort == FINALIZES) {
        look_around(t);
        if (model_draw(t->source, 2) == 0) make(t);
        look_around(t);
        if (the_model.options.resurrects) live_again(t);
        if (model_draw(t->source, 8) == 0) register_finalizer(t, LOCAL_DYING);
    } else if (model_draw(t->source, 2) == 0) {
        make(t);
    }
}

/* On a thread of the library's own: it has holders for as long as the function runs. */
static void open_thread(thread *t, uintptr_t *frame, source *numbers, tenure_thread *self, const death *d)
{
    *numbers = (source) { .state = model_mix(d->number) };
    *t = (thread) { .self = self, .index = 1000, .child = true, .source = numbers, .operation = "finalizer thread" };
    holders_begin(t, frame);
}

static void on_thread(thread *t, death *d, void *object, shadow *of, void *arg)
{
    local_set(t, LOCAL_DYING, object, of);
    local_set(t, LOCAL_TOKEN, arg, d->token);
    if (t != model_thread) holders_open(t);
    run(t, d);
    for (unsigned local = 0; local < LOCALS; local++) /* or what was due would live on in them */
        if (local != LOCAL_DYING && local != LOCAL_TOKEN) local_set(t, local, NULL, NULL);
    if (t != model_thread) holders_close(t);
}

/* Up to on_thread there is no safepoint, and from its end neither. */
static void begin(death *d, const char *what)
{
    static const char *const states[] = { "registered", "replaced", "running", "over", "cancelled" };
    if (d == NULL) model_fail(model_thread, "%s runs for nothing that was registered", what);
    const unsigned was = atomic_exchange(&d->state, RUNS);
    if (was > UNSURE) model_fail(model_thread, "%s runs when it is %s", what, states[was]);
}

static void finish(thread *t, death *d)
{
    local_set(t, LOCAL_DYING, NULL, NULL);
    local_set(t, LOCAL_TOKEN, NULL, NULL);
    atomic_store(&d->state, RAN);
    if (t != model_thread) holders_end(t);
}

static void call(tenure_thread *self, death *d, void *object, shadow *of, void *arg)
{
    thread own, *t = model_thread;
    source numbers;
    uintptr_t frame[FRAMES] = { 0 };
    TENURE_FRAME(self, frame);
    if (atomic_load(&the_model.ends)) {
        atomic_store(&d->state, RAN);
        return;
    }
    if (t == NULL) open_thread(t = &own, frame, &numbers, self, d);
    on_thread(t, d, object, of, is_token(arg) ? arg : NULL);
    finish(t, d);
}

static void on_final(tenure_thread *self, void *object, void *arg)
{
    death *d = death_of(arg);
    begin(d, "a finalizer");
    shadow_lock(d->target);
    if (d->target->finalizer == d) d->target->finalizer = NULL;
    shadow_unlock(d->target);
    atomic_fetch_add(&the_model.finalized, 1);
    call(self, d, object, d->target, arg);
}

static void on_clean(tenure_thread *self, void *arg)
{
    death *d = death_of(arg);
    begin(d, "a cleaner");
    if (d->target != NULL && !atomic_load(&d->by_hand)) d->target->cleaned = true;
    atomic_fetch_add(&the_model.cleaned, 1);
    call(self, d, NULL, NULL, arg);
}

static void on_watch(tenure_thread *self, tenure_weak *weak, void *arg)
{
    death *d = death_of(arg);
    if (d == NULL && atomic_load(&the_model.vague)) return;
    begin(d, "a death callback");
    if (tenure_weak_get(self, weak) != NULL) model_fail(model_thread, "a death callback's reference is not cleared");
    atomic_fetch_add(&the_model.watched, 1);
    call(self, d, weak, d->of, arg);
}

/* --- registering; what it is for is in local A --- */

/* Perhaps with a token, in local B. */
static death *new_death(thread *t, unsigned sort)
{
    death *d = calloc(1, sizeof *d);
    if (d == NULL) abort();
    d->sort = sort;
    local_set(t, LOCAL_B, NULL, NULL);
    if (model_draw(t->source, 2) == 0 && make_token(t, false)) {
        d->token = local_shadow(t, LOCAL_B);
        d->number = kind_first_word(d->token->pattern);
    } else {
        d->number = (atomic_fetch_add(&the_model.ids, 1) + 1) << 4 | 8;
    }
    return d;
}

static void *arg_of(thread *t, death *d) { return d->token != NULL ? local_object(t, LOCAL_B) : (void *)d->number; }

static void publish(death *d)
{
    d->next = atomic_load(&the_model.deaths);
    while (!atomic_compare_exchange_weak(&the_model.deaths, &d->next, d)) {}
}

static void refuse(thread *t, death *d)
{
    free(d);
    let_go(t);
}

static bool descend_to_mortal(thread *t)
{
    return descend(t, LOCAL_A) && local_shadow(t, LOCAL_A)->kind->sort == ORDINARY;
}

static void replaced(death *before)
{
    unsigned was = REGISTERED;
    atomic_compare_exchange_strong(&before->state, &was, the_model.options.resurrects ? UNSURE : VOID);
}

static void register_finalizer(thread *t, unsigned local)
{
    shadow *of = local_shadow(t, local);
    if (!shadow_begin(of)) return;
    local_set(t, LOCAL_C, local_object(t, local), of); /* whatever is let go */
    death *d = new_death(t, FINALIZES);
    const bool done = tenure_finalize(t->self, local_object(t, LOCAL_C), on_final, arg_of(t, d)) == TENURE_OK;
    if (done) {
        d->target = of;
        publish(d);
        shadow_lock(of);
        if (of->finalizer != NULL) replaced(of->finalizer);
        of->finalizer = d;
        shadow_unlock(of);
    }
    shadow_end(of);
    if (!done) refuse(t, d);
}

void op_finalize(thread *t)
{
    if (descend_to_mortal(t)) register_finalizer(t, LOCAL_A);
}

void op_cancel(thread *t)
{
    if (!descend_to_mortal(t)) return;
    shadow *of = local_shadow(t, LOCAL_A);
    if (!shadow_begin(of)) return;
    shadow_lock(of);
    death *d = of->finalizer;
    shadow_unlock(of);
    const bool expected = d != NULL && atomic_load(&d->state) == REGISTERED;
    const bool done = tenure_finalize_cancel(t->self, local_object(t, LOCAL_A));
    /* Whoever was resurrected by another one's finalizer may be due. */
    if (done != expected && !(expected && the_model.options.resurrects))
        model_fail(t, "tenure_finalize_cancel says %d of %s", done, walk_name(of).text);
    if (done) atomic_store(&d->state, VOID);
    shadow_end(of);
}

/* What was made is in local B, and held or not. */
static void keep_or_not(thread *t)
{
    switch (model_draw(t->source, 3)) {
    case 0:
        holder_put(t, any_holder(t), LOCAL_B);
        break;
    case 1:
        if (descend(t, LOCAL_A)) link_objects(t);
        break;
    default:
        break;
    }
}

void op_cleaner(thread *t)
{
    if (!descend_to_mortal(t)) return;
    death *d = new_death(t, CLEANS);
    if (local_shadow(t, LOCAL_A) == NULL) {
        free(d);
        return;
    }
    tenure_cleaner *cleaner = tenure_cleaner_new(t->self, local_object(t, LOCAL_A), on_clean, arg_of(t, d));
    if (cleaner == NULL) {
        refuse(t, d);
        return;
    }
    d->target = local_shadow(t, LOCAL_A);
    d->of = shadow_new(&model_cleaner_kind, 0, 0);
    d->of->finalizer = d;
    publish(d);
    local_set(t, LOCAL_B, cleaner, d->of);
    keep_or_not(t);
}

void op_cleaner_use(thread *t)
{
    shadow *of = NULL;
    for (unsigned tries = 0; tries < 20 && of == NULL; tries++)
        if (descend(t, LOCAL_A) && local_shadow(t, LOCAL_A)->kind->sort == CLEANER) of = local_shadow(t, LOCAL_A);
    if (of == NULL || !shadow_begin(of)) return;
    death *d = of->finalizer;
    tenure_cleaner *cleaner = local_object(t, LOCAL_A);
    const bool alone = the_model.options.threads == 1;
    const bool expected = d != NULL && atomic_load(&d->state) == REGISTERED;
    if (d != NULL) atomic_store(&d->by_hand, true);
    bool done;
    local_set(t, LOCAL_C, cleaner, of); /* the function uses A and B */
    if (model_draw(t->source, 2) == 0) {
        done = tenure_cleaner_run(t->self, cleaner);
    } else {
        done = tenure_cleaner_cancel(t->self, cleaner);
        if (done) atomic_store(&d->state, VOID);
    }
    if (done != expected && (alone || done)) model_fail(t, "a cleaner was used: %d instead of %d", done, expected);
    shadow_end(of);
}

void op_watch(thread *t)
{
    if (!descend_to_mortal(t)) return;
    death *d = new_death(t, WATCHES);
    if (local_shadow(t, LOCAL_A) == NULL) {
        free(d);
        return;
    }
    tenure_weak *weak = tenure_weak_watch(t->self, local_object(t, LOCAL_A), on_watch, arg_of(t, d));
    if (weak == NULL) {
        refuse(t, d);
        return;
    }
    d->of = shadow_new(&model_watch_kind, 0, 0);
    d->of->edges[0] = (edge) { local_shadow(t, LOCAL_A), 0 };
    d->of->finalizer = d;
    publish(d);
    local_set(t, LOCAL_B, weak, d->of);
    keep_or_not(t);
}

void op_pump(thread *t) { tenure_finalizers_pump(t->self, 1 + model_draw(t->source, 8)); }

/* --- the walk; stopped, everything was collected --- */

static void list_deaths(walk *w)
{
    for (death *each = atomic_load(&the_model.deaths); each != NULL; each = each->next)
        table_put(&w->deaths, each->number, each);
}

/* NULL: cancelled, or another took its place; or a watch that nothing known led to. */
static death *find(walk *w, const tenure__action *action)
{
    if (action->fn == 0) return NULL;
    death *d = table_get(&w->deaths, number_of((const void *)action->arg));
    if (d == NULL && action->fn == (uintptr_t)on_watch && atomic_load(&the_model.vague)) {
        w->exact = false; /* what it keeps is not known either */
        return NULL;
    }
    if (d == NULL) model_fail(w->t, "a record at %p is of nothing that was registered", (const void *)action);
    return atomic_load(&d->state) == VOID ? NULL : d;
}

static void found(walk *w, death *d)
{
    if (atomic_load(&d->state) > UNSURE) model_fail(w->t, "what has run is registered");
    if (d->epoch == the_model.epoch) model_fail(w->t, "something is registered twice");
    d->epoch = the_model.epoch;
}

static void meet_token(walk *w, const death *d, const tenure__action *action)
{
    if (d->token != NULL) walk_meet(w, d->token, (void *)action->arg, "an argument");
}

static void each_due(walk *w, void (*fn)(walk *w, death *d, tenure__action *action))
{
    for (unsigned generation = 0; generation < 3; generation++)
        for (uintptr_t at = the_model.heap->finalizers.due[generation]; at != 0; at = tenure__record_at(at)->next) {
            death *d = find(w, tenure__action_at(at));
            if (d != NULL) fn(w, d, tenure__action_at(at));
        }
}

static void count_due(walk *w)
{
    for (unsigned generation = 0; generation < 3; generation++)
        for (uintptr_t at = the_model.heap->finalizers.due[generation]; at != 0; at = tenure__record_at(at)->next)
            w->internal++;
}

static void walk_due_argument(walk *w, death *d, tenure__action *action)
{
    found(w, d);
    if (d->sort == WATCHES) return;
    meet_token(w, d, action);
    if (d->sort == CLEANS) walk_meet(w, d->of, action, "what is due");
}

void deaths_walk_registered(walk *w)
{
    list_deaths(w);
    for (unsigned of = TENURE__WATCHES; of <= TENURE__CLEANERS; of++)
        for (unsigned generation = 0; generation < 3; generation++)
            for (uintptr_t at = the_model.heap->records[of][generation].head; at != 0;
                 at = tenure__record_at(at)->next) {
                death *d = find(w, tenure__action_at(at));
                w->internal++;
                if (d == NULL) continue;
                found(w, d);
                if (of == TENURE__WATCHES) continue;
                meet_token(w, d, tenure__action_at(at));
                if (of == TENURE__CLEANERS) walk_meet(w, d->of, (void *)at, "the registry");
            }
    each_due(w, walk_due_argument);
    count_due(w);
}

static void walk_due_target(walk *w, death *d, tenure__action *action)
{
    if (d->sort == FINALIZES) {
        if (is_strong(d->target) && !the_model.options.resurrects)
            model_fail(w->t, "%s is to be finalized, and something leads to it", walk_name(d->target).text);
        walk_meet(w, d->target, (void *)action->record.target, "what is due");
    } else if (d->sort == WATCHES) {
        walk_meet(w, d->of, action, "what is due");
    } else if (is_seen(d->target) && !the_model.options.resurrects) {
        model_fail(w->t, "%s is to be cleaned up, and something leads to it", walk_name(d->target).text);
    }
}

/* A registered object that nothing is known to lead to: something may lead to it, but not if all is exact. */
static void walk_registered_target(walk *w, const death *d, tenure__action *action)
{
    if (is_seen(d->target) && (void *)action->record.target != d->target->object)
        model_fail(w->t, "%s at %p is registered at %#lx", walk_name(d->target).text, d->target->object,
            (unsigned long)action->record.target);
    if (!is_seen(d->target) && w->exact) {
        tenure_path(w->t->self, (void *)action->record.target, tenure_path_print, stderr);
        model_fail(w->t, "%s should be due: nothing leads to it", walk_name(d->target).text);
    }
    walk_meet(w, d->target, (void *)action->record.target, "the registry");
}

void deaths_walk_due(walk *w) { each_due(w, walk_due_target); }

void deaths_walk_targets(walk *w)
{
    for (unsigned of = TENURE__FINALIZERS; of <= TENURE__CLEANERS; of++)
        for (unsigned generation = 0; generation < 3; generation++)
            for (uintptr_t at = the_model.heap->records[of][generation].head; at != 0;
                 at = tenure__record_at(at)->next) {
                const death *d = find(w, tenure__action_at(at));
                if (d != NULL) walk_registered_target(w, d, tenure__action_at(at));
            }
}

void deaths_walk_watch(walk *w, const shadow *of)
{
    const death *d = of->finalizer;
    if (d != NULL && atomic_load(&d->state) == REGISTERED) meet_token(w, d, of->object);
}

/* Of a watch that is not reached nothing is known. */
static void expect_found(walk *w, const death *d)
{
    static const char *const names[] = { "finalizer", "cleaner", "death callback" };
    if (atomic_load(&d->state) != REGISTERED || d->epoch == the_model.epoch) return;
    if (d->sort != WATCHES || (is_strong(d->of) && !the_model.options.resurrects))
        model_fail(w->t, "a %s is in no list: it will never run", names[d->sort]);
}

static bool is_over(const death *d)
{
    const unsigned state = atomic_load(&d->state);
    if (d->sort == WATCHES && !is_seen(d->of)) return state != RUNS;
    return state >= RAN || (state == UNSURE && d->epoch != the_model.epoch);
}

static void forget(death *d)
{
    if (is_seen(d->target) && d->target->finalizer == d) d->target->finalizer = NULL;
    if (is_seen(d->of)) d->of->finalizer = NULL;
    free(d);
}

void deaths_check(walk *w)
{
    death *all = atomic_load(&the_model.deaths), *kept = NULL;
    while (all != NULL) {
        death *next = all->next;
        expect_found(w, all);
        w->internal += atomic_load(&all->state) == RUNS;
        if (is_over(all)) {
            forget(all);
        } else {
            if (!is_seen(all->target)) all->target = NULL;
            if (!is_seen(all->of)) all->of = NULL;
            all->next = kept;
            kept = all;
        }
        all = next;
    }
    atomic_store(&the_model.deaths, kept);
}

void deaths_end(void)
{
    death *all = atomic_load(&the_model.deaths);
    while (all != NULL) {
        death *next = all->next;
        if (all->sort == CLEANS && atomic_load(&all->state) == REGISTERED) {
            fprintf(stderr, "model: a cleaner did not run before its heap was gone\n");
            abort();
        }
        free(all);
        all = next;
    }
}
