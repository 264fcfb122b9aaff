/* What the random program does. */
#include "stress/model/model.h"
#include <sched.h>
#include <string.h>

/* --- getting about --- */

holder *any_holder(thread *t) { return &t->holders[LOCALS + model_draw(t->source, HOLDERS - LOCALS)]; }

static void lock_shared(struct shared_slot *slot)
{
    while (atomic_flag_test_and_set_explicit(&slot->locked, memory_order_acquire)) sched_yield();
}
static void unlock_shared(struct shared_slot *slot) { atomic_flag_clear_explicit(&slot->locked, memory_order_release); }

static void take_shared(thread *t, unsigned local)
{
    struct shared_slot *slot = &the_model.shared[model_draw(t->source, SHARED)];
    lock_shared(slot);
    local_set(t, local, holder_object(&slot->holder), slot->holder.edge.target);
    unlock_shared(slot);
}

void put_shared(thread *t, unsigned local)
{
    struct shared_slot *slot = &the_model.shared[model_draw(t->source, SHARED)];
    lock_shared(slot);
    *slot->holder.slot = (uintptr_t)local_object(t, local);
    slot->holder.edge = (edge) { local_shadow(t, local), 0 };
    unlock_shared(slot);
}

bool follow(thread *t, unsigned local)
{
    shadow *here = local_shadow(t, local);
    if (here->slots == 0) return false;
    const size_t i = model_draw(t->source, (uint32_t)here->slots);
    shadow_lock(here);
    const edge found = here->edges[i];
    /* Atomic, as tenure_weak_get: when a death callback has run, 0 is stored over the 0. A weak reference may have been
     * cleared since the last check. */
    const uintptr_t word = __atomic_load_n(slot_address(here, local_object(t, local), i), __ATOMIC_RELAXED);
    const bool leads = found.target != NULL && (here->kind->sort == ORDINARY || word != 0);
    if (leads) local_set(t, local, (void *)(word - found.delta), found.target);
    shadow_unlock(here);
    return leads;
}

bool descend(thread *t, unsigned local)
{
    local_set(t, local, NULL, NULL);
    for (unsigned tries = 0; tries < 4 && local_shadow(t, local) == NULL; tries++) {
        const holder *from = any_holder(t);
        if (model_draw(t->source, 8) == 0)
            take_shared(t, local);
        else
            local_set(t, local, holder_object(from), from->edge.target);
    }
    if (local_shadow(t, local) == NULL) return false;
    while (model_draw(t->source, 4) != 0 && follow(t, local)) {}
    const shadow *found = local_shadow(t, local);
    if (kind_bytes(found->kind, found->count) < 4096 &&
        !kind_check(found->kind, local_object(t, local), found->count, found->pattern))
        model_fail(t, "object %lu (%s) at %p has other contents when it is used", (unsigned long)found->id,
            found->kind->name, local_object(t, local));
    return true;
}

/* --- memory --- */

void let_go(thread *t)
{
    atomic_fetch_add_explicit(&the_model.refusals, 1, memory_order_relaxed);
    for (unsigned i = LOCALS; i < HOLDERS; i++)
        if (i % 4 != 0) holder_clear(t, &t->holders[i]);
    local_set(t, LOCAL_A, NULL, NULL);
    local_set(t, LOCAL_B, NULL, NULL);
    put_shared(t, LOCAL_NONE);
}

static const kind *any_kind(thread *t)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < model_kind_count; i++) sum += model_kinds[i].weight;
    uint32_t at = model_draw(t->source, sum), i = 0;
    while (at >= model_kinds[i].weight) at -= model_kinds[i++].weight;
    return &model_kinds[i];
}

static bool make_kind(thread *t, const kind *of, size_t count)
{
    void *object = of->make(t->self, count);
    if (object == NULL) {
        let_go(t);
        return false;
    }
    shadow *made = shadow_new(of, count, 0);
    kind_fill(of, object, count, 0, made->pattern);
    local_set(t, LOCAL_B, object, made);
    return true;
}

bool make(thread *t)
{
    const kind *of = any_kind(t);
    return make_kind(t, of, of->least + model_draw(t->source, of->most - of->least + 1));
}

/* --- stores --- */

static edge any_edge(thread *t, const shadow *owner, size_t slot, shadow *target)
{
    const size_t bytes = target == NULL ? 0 : kind_bytes(target->kind, target->count);
    switch (kind_slot_form(owner->kind, slot)) {
    case TAGGED:
        return (edge) { target,
            target != NULL ? model_draw(t->source, MODEL_TAGS) : (uintptr_t)model_draw(t->source, 1000) << 4 | 8 };
    case INSIDE:
        return (edge) { target, model_draw(t->source, (uint32_t)bytes + 1) };
    case VAGUE: /* the end may be the next object's header: that one stays too then */
        return (
            edge) { target, model_draw(t->source, (uint32_t)bytes + (the_model.options.precise && bytes > 0 ? 0 : 1)) };
    default:
        return (edge) { target, target == NULL && model_draw(t->source, 4) == 0 ? 8 : 0 };
    }
}

/* One store with its barrier, in one of the ways that there are. */
static void store(thread *t, void *object, uintptr_t *slot, uintptr_t word, unsigned way)
{
    tenure_thread *self = t->self;
    const uintptr_t before = *slot;
    uintptr_t expected = before;
    void *value = (void *)word;
    switch (way) {
    case 0:
        tenure_store(self, object, slot, value);
        break;
    case 1:
        tenure_store_release(self, object, slot, value);
        break;
    case 2:
        if ((uintptr_t)tenure_exchange(self, object, slot, value) != before)
            model_fail(t, "tenure_exchange returned something else");
        break;
    case 3:
        if (!tenure_compare_exchange(self, object, slot, &expected, value))
            model_fail(t, "tenure_compare_exchange failed");
        break;
    case 4:
        expected = before ^ 16;
        if (tenure_compare_exchange(self, object, slot, &expected, value) || expected != before)
            model_fail(t, "tenure_compare_exchange should have failed");
        tenure_store(self, object, slot, value);
        break;
    case 5:
        tenure_will_write(self, object, slot, sizeof word);
        memcpy(slot, &word, sizeof word);
        break;
    case 6:
        tenure_store_any(self, slot, value);
        break;
    case 7:
        tenure_copy_refs(self, object, slot, &word, 1);
        break;
    default:
        TENURE_SET_AT(self, (void **)object, slot - (uintptr_t *)object, value);
        break;
    }
}

void link_objects(thread *t)
{
    shadow *owner = local_shadow(t, LOCAL_A);
    if (owner == NULL || owner->slots == 0 || owner->kind->sort != ORDINARY) return;
    const size_t i = model_draw(t->source, (uint32_t)owner->slots);
    const edge next = any_edge(t, owner, i, local_shadow(t, LOCAL_B));
    const unsigned way = model_draw(t->source, 9);
    shadow_lock(owner);
    if (owner->copiers == 0) {
        void *object = local_object(t, LOCAL_A);
        store(t, object, slot_address(owner, object, i), edge_word(next, local_object(t, LOCAL_B)), way);
        owner->edges[i] = next;
    }
    shadow_unlock(owner);
}

/* B's reference. */
static void link_token(thread *t, size_t i, unsigned to)
{
    shadow *token = local_shadow(t, LOCAL_B);
    void *object = local_object(t, LOCAL_B);
    if (local_shadow(t, to) == NULL) return;
    tenure_store(t->self, object, slot_address(token, object, i), local_object(t, to));
    token->edges[i] = (edge) { local_shadow(t, to), 0 };
}

bool make_token(thread *t, bool to_a)
{
    descend(t, LOCAL_LINK);
    if (!make_kind(t, &model_token_kind, 0)) return false;
    link_token(t, 0, LOCAL_LINK);
    if (to_a) link_token(t, 1, LOCAL_A);
    return true;
}

static void reverse(thread *t, shadow *owner, size_t from, size_t count)
{
    void *object = local_object(t, LOCAL_A);
    tenure_will_write(t->self, object, slot_address(owner, object, from), count * sizeof(uintptr_t));
    for (size_t i = from, j = from + count - 1; i < j; i++, j--) {
        uintptr_t *a = slot_address(owner, object, i), *b = slot_address(owner, object, j);
        const uintptr_t word = *a;
        const edge kept = owner->edges[i];
        *a = *b;
        *b = word;
        owner->edges[i] = owner->edges[j];
        owner->edges[j] = kept;
    }
}

static bool all_of_one_form(const kind *a, const kind *b)
{
    return a->sort == ORDINARY && b->sort == ORDINARY && a->inside == 0 && b->inside == 0 && a->form == b->form;
}

/* References of B to A, or within A. */
static void copy_range(thread *t)
{
    shadow *into = local_shadow(t, LOCAL_A), *from = local_shadow(t, LOCAL_B);
    if (into->slots == 0 || from->slots == 0 || !all_of_one_form(into->kind, from->kind)) return;
    const size_t at = model_draw(t->source, (uint32_t)into->slots),
                 first = model_draw(t->source, (uint32_t)from->slots);
    const size_t room = kind_adjacent(into->kind, into->count, at);
    const size_t there = kind_adjacent(from->kind, from->count, first);
    size_t count = 1 + model_draw(t->source, 200);
    count = count < room ? count : room;
    const bool reverses = model_draw(t->source, 2) == 0;
    if (!reverses && count > there) count = there;
    shadow *second = into < from ? from : into;
    shadow_lock(into < from ? into : from);
    if (second != (into < from ? into : from)) shadow_lock(second);
    if (into->copiers == 0 && reverses) {
        reverse(t, into, at, count);
    } else if (into->copiers == 0) {
        void *object = local_object(t, LOCAL_A);
        tenure_copy_refs(t->self, object, slot_address(into, object, at),
            slot_address(from, local_object(t, LOCAL_B), first), count);
        memmove(&into->edges[at], &from->edges[first], count * sizeof(edge));
    }
    shadow_unlock(into);
    if (from != into) shadow_unlock(from);
}

/* --- copies --- */

static void copiers_add(shadow *of, unsigned more)
{
    shadow_lock(of);
    of->copiers += more;
    shadow_unlock(of);
}

/* B is a copy of A with room for count elements, made just now. */
static void adopt_copy(thread *t, void *copy, size_t count)
{
    const shadow *original = local_shadow(t, LOCAL_A);
    shadow *made = shadow_new(original->kind, count, original->pattern);
    for (size_t i = 0; i < original->slots; i++) {
        if (*slot_address(made, copy, i) != *slot_address(original, local_object(t, LOCAL_A), i))
            model_fail(t, "a copy's reference differs");
        made->edges[i] = original->edges[i];
    }
    kind_fill(made->kind, copy, count, kind_bytes(made->kind, original->count), made->pattern);
    local_set(t, LOCAL_B, copy, made);
}

static bool copy_object(thread *t, bool longer)
{
    shadow *original = local_shadow(t, LOCAL_A);
    size_t count = original->count;
    if (original->kind->sort != ORDINARY) return false;
    if (longer) {
        if (original->kind->most == 0 || count > 2 * (size_t)original->kind->most) return false;
        count += model_draw(t->source, (uint32_t)count + 8);
    }
    copiers_add(original, 1);
    void *object = local_object(t, LOCAL_A);
    void *copy = longer ? tenure_resize(t->self, object, count) : tenure_clone(t->self, object);
    const bool itself = copy == local_object(t, LOCAL_A);
    if (copy != NULL && !itself) adopt_copy(t, copy, count);
    copiers_add(original, -1u);
    if (itself && !longer) model_fail(t, "tenure_clone returned the object itself");
    if (copy == NULL) let_go(t);
    return copy != NULL && !itself;
}

/* --- operations --- */

static void op_new(thread *t)
{
    if (!make(t)) return;
    if (atomic_load_explicit(&the_model.live_bytes, memory_order_relaxed) > the_model.live_limit) {
        holder_clear(t, any_holder(t));
        holder_clear(t, any_holder(t));
    }
    if (model_draw(t->source, 5) < 3 && descend(t, LOCAL_A))
        link_objects(t);
    else
        holder_put(t, any_holder(t), LOCAL_B);
}
static void op_garbage(thread *t) { make(t); }
static void op_link(thread *t)
{
    if (!descend(t, LOCAL_A)) return;
    descend(t, LOCAL_B);
    link_objects(t);
}
static void op_unlink(thread *t)
{
    if (!descend(t, LOCAL_A)) return;
    local_set(t, LOCAL_B, NULL, NULL);
    link_objects(t);
}
static void op_copy_range(thread *t)
{
    if (!descend(t, LOCAL_A)) return;
    if (model_draw(t->source, 3) == 0)
        local_set(t, LOCAL_B, local_object(t, LOCAL_A), local_shadow(t, LOCAL_A));
    else if (!descend(t, LOCAL_B))
        return;
    copy_range(t);
}
static void op_clone(thread *t)
{
    if (descend(t, LOCAL_A) && copy_object(t, false)) holder_put(t, any_holder(t), LOCAL_B);
}
static void op_resize(thread *t)
{
    if (descend(t, LOCAL_A) && copy_object(t, true)) holder_put(t, any_holder(t), LOCAL_B);
}
static void op_hold(thread *t)
{
    if (descend(t, LOCAL_A)) holder_put(t, any_holder(t), LOCAL_A);
}
static void op_drop(thread *t) { holder_clear(t, any_holder(t)); }
static void op_share(thread *t)
{
    if (descend(t, LOCAL_A)) put_shared(t, model_draw(t->source, 4) == 0 ? LOCAL_NONE : LOCAL_A);
}
static void op_hash(thread *t)
{
    /* A weak reference that was made anew after it had died keeps its shadow. */
    if (!descend(t, LOCAL_A) || local_shadow(t, LOCAL_A)->kind->sort == WEAK) return;
    const uint64_t hash = tenure_identity_hash(t->self, local_object(t, LOCAL_A));
    shadow *of = local_shadow(t, LOCAL_A);
    shadow_lock(of);
    if (hash == 0 || (of->hash != 0 && of->hash != hash)) model_fail(t, "an identity hash changed");
    of->hash = hash;
    shadow_unlock(of);
}
/* The first weak reference to an object is its own; who asks again gets the one that is shared while it lives. Is a
 * shared one new, then no path leads to the earlier one any more, and its shadow may stand for the new one. That is why
 * nothing refers weakly to a shared one: such a path would say that the earlier one is gone. */
static bool descend_to_target(thread *t)
{
    if (!descend(t, LOCAL_A)) return false;
    if (local_shadow(t, LOCAL_A)->kind->sort == CLEANER) return false; /* one that runs lives, and nobody knows where */
    return local_shadow(t, LOCAL_A)->kind->sort != WEAK || !shadow_is_shared_weak(local_object(t, LOCAL_A));
}
static void op_weak(thread *t)
{
    if (!descend_to_target(t)) return;
    tenure_weak *made = tenure_weak_new(t->self, local_object(t, LOCAL_A));
    if (made == NULL) {
        let_go(t);
        return;
    }
    if (tenure_weak_get(t->self, made) != local_object(t, LOCAL_A))
        model_fail(t, "a new weak reference leads elsewhere");
    /* Of what was resurrected the earlier one may be held and cleared, and another be the shared one. */
    if (shadow_is_shared_weak(made) && the_model.options.resurrects) return;
    shadow *target = local_shadow(t, LOCAL_A);
    shadow_lock(target);
    shadow *of = target->weak;
    if (!shadow_is_shared_weak(made) || of == NULL) {
        of = shadow_new(&model_weak_kind, 0, 0);
        of->edges[0] = (edge) { target, 0 };
    }
    if (shadow_is_shared_weak(made)) target->weak = of;
    local_set(t, LOCAL_B, made, of);
    shadow_unlock(target);
    holder_put(t, any_holder(t), LOCAL_B);
}
static void op_ephemeron(thread *t)
{
    if (!descend_to_target(t)) return;
    descend(t, LOCAL_B);
    tenure_ephemeron *made = tenure_ephemeron_new(t->self, local_object(t, LOCAL_A), local_object(t, LOCAL_B));
    if (made == NULL) {
        let_go(t);
        return;
    }
    shadow *of = shadow_new(&model_ephemeron_kind, 0, 0);
    of->edges[0] = (edge) { local_shadow(t, LOCAL_A), 0 };
    of->edges[1] = (edge) { local_shadow(t, LOCAL_B), 0 };
    local_set(t, LOCAL_B, made, of);
    /* From a holder, or from an object, perhaps its own key. */
    if (model_draw(t->source, 3) == 0 || (model_draw(t->source, 2) == 0 && !descend(t, LOCAL_A)))
        holder_put(t, any_holder(t), LOCAL_B);
    else
        link_objects(t);
}

static void op_object_at(thread *t)
{
    if (!descend(t, LOCAL_A)) return;
    const shadow *of = local_shadow(t, LOCAL_A);
    char *object = local_object(t, LOCAL_A);
    const size_t into = model_draw(t->source, (uint32_t)kind_bytes(of->kind, of->count) + 1);
    /* Another thread's nursery cannot be walked. */
    void *found = tenure_object_at(the_model.heap, object + into);
    if (found != object && tenure_generation_of(the_model.heap, object) != TENURE_GEN0)
        model_fail(t, "tenure_object_at finds another object");
}
static void op_poll(thread *t) { tenure_poll(t->self); }
static void op_block(thread *t)
{
    TENURE_BLOCKING_SCOPE(t->self);
    sched_yield();
}
static void op_idle(thread *t)
{
    TENURE_IDLE_SCOPE(t->self);
    sched_yield();
}
static void op_sleep(thread *t)
{
    const struct timespec a_bit = { 0, 1000 * (1 + (long)model_draw(t->source, 200)) };
    tenure_nanosleep(t->self, &a_bit, NULL);
}
static void op_enter(thread *t)
{
    descend(t, LOCAL_A);
    TENURE_BLOCKING_SCOPE(t->self);
    tenure_thread *again = tenure_enter(the_model.heap);
    if (again != t->self) model_fail(t, "tenure_enter returned another record");
    make(t);
    tenure_leave(again);
}
static void op_stop_world(thread *t)
{
    if (tenure_stop_world(t->self) != TENURE_OK) model_fail(t, "the world was not stopped");
    if (make(t)) holder_put(t, &t->holders[LOCALS], LOCAL_B);
    tenure_resume_world(t->self);
}
static void collect(thread *t, tenure_generation generation)
{
    const tenure_status status = tenure_collect(t->self, generation);
    /* TENURE_EBUSY: disabled by another operation. */
    if (status != TENURE_OK && status != TENURE_EBUSY) model_fail(t, "tenure_collect: %s", tenure_strerror(status));
}
static void op_collect0(thread *t) { collect(t, TENURE_GEN0); }
static void op_collect1(thread *t) { collect(t, TENURE_GEN1); }
static void op_collect2(thread *t) { collect(t, TENURE_GEN2); }
/* Of the first thread, so that freezing and what the model knows of it do not overtake each other. */
static void op_freeze(thread *t)
{
    if (t->index != 0 || atomic_load(&the_model.disabled) != 0) return;
    atomic_store(&the_model.frozen, 1);
    atomic_store(&the_model.vague, true);
    if (tenure_freeze(t->self) != TENURE_OK) model_fail(t, "tenure_freeze");
}
static void op_unfreeze(thread *t)
{
    if (t->index != 0) return;
    tenure_unfreeze(t->self);
    atomic_store(&the_model.frozen, 0);
}
static void op_disable(thread *t)
{
    if (t->index != 0 || atomic_exchange(&the_model.disabled, 1) != 0) return;
    tenure_disable(the_model.heap);
}
static void op_enable(thread *t)
{
    if (t->index != 0 || atomic_load(&the_model.disabled) == 0) return;
    tenure_enable(the_model.heap);
    atomic_store(&the_model.disabled, 0);
}
static void op_external(thread *t)
{
    const int64_t bytes = (int64_t)model_draw(t->source, 1 << 20);
    tenure_external_bytes(t->self, bytes);
    tenure_external_bytes(t->self, -bytes);
}
static void op_stats(thread *t)
{
    tenure_stats stats;
    tenure_stats_read(the_model.heap, &stats);
    if (stats.threads_attached == 0) model_fail(t, "no thread is attached");
}
static void op_rcu(thread *t) { tenure_synchronize_rcu(t->self); }
static void op_check(thread *t) { model_check(t); }
static void op_detach(thread *t) { t->detach_wanted = true; }

/* A thread of its own for a while, which begins with A. One at a time: it takes its record from here. */
static tenure_mutex spawn_mutex = TENURE_MUTEX_INIT("spawn");
static thread *spawned;

static void *run_spawned(tenure_thread *self, void *object)
{
    (void)self;
    thread *t = spawned;
    if (object != NULL && tenure_object_at(the_model.heap, object) == NULL) model_fail(t, "a thread got no object");
    return model_work(t);
}

static void op_spawn(thread *t)
{
    if (t->child) return;
    descend(t, LOCAL_A);
    TENURE_LOCK_SCOPE(t->self, &spawn_mutex);
    thread child = { .index = t->index, .child = true, .source = t->source, .session_steps = 20 };
    spawned = &child;
    pthread_t id;
    if (tenure_thread_create(t->self, &id, NULL, run_spawned, local_object(t, LOCAL_A)) != TENURE_OK)
        model_fail(t, "tenure_thread_create");
    if (tenure_join(t->self, id, NULL) != 0) model_fail(t, "tenure_join");
}

/* clang-format (14) moves it with every run. */
/* clang-format off */
#define OPERATIONS(X) \
    X(new, 300) X(garbage, 150) X(link, 150) X(unlink, 40) X(copy_range, 60) X(clone, 15) X(resize, 15) \
    X(hold, 60) X(drop, 50) X(share, 20) X(hash, 30) X(weak, 25) X(ephemeron, 25) X(object_at, 20) X(poll, 20) \
    X(block, 8) X(idle, 8) X(sleep, 1) X(enter, 6) X(stop_world, 4) X(collect0, 4) X(collect1, 2) \
    X(collect2, 1) X(freeze, 1) X(unfreeze, 4) X(disable, 1) X(enable, 4) X(external, 4) X(stats, 1) X(rcu, 1) \
    X(check, 1) X(detach, 1) X(spawn, 1) X(finalize, 30) X(cancel, 8) X(cleaner, 20) X(cleaner_use, 8) \
    X(watch, 20) X(pump, 15) X(map, 6) X(map_use, 50) X(fiber, 25)
/* clang-format on */

#define NAME(name, weight) #name,
const char *const model_operations[] = { OPERATIONS(NAME) };
const unsigned model_operation_count = sizeof model_operations / sizeof model_operations[0];

void model_step(thread *t)
{
#define OPERATION(name, weight) { op_##name, weight },
    static const struct {
        void (*run)(thread *);
        uint32_t weight;
    } operations[] = { OPERATIONS(OPERATION) };
    uint32_t sum = 0;
    unsigned i = 0;
    for (unsigned n = 0; n < model_operation_count; n++) sum += operations[n].weight;
    for (uint32_t at = model_draw(t->source, sum); at >= operations[i].weight; i++) at -= operations[i].weight;
    if (the_model.options.dropped >> i & 1) return;
    t->operation = model_operations[i];
    operations[i].run(t);
    for (unsigned local = LOCAL_A; local <= LOCAL_OLD; local++) local_set(t, local, NULL, NULL);
}
