/* Objects, what they refer to, what refers to them: found in a stop, delivered after it. Until then the references
 * found are roots that are followed, so the callback may allocate and collect; and it may wait for whomever it likes,
 * for nobody is stopped on its behalf. */
#include "lib/inspect/inspect.h"

struct search {
    tenure_thread *self;
    int generation;   /* of the objects looked for; -1: all */
    uintptr_t object; /* whose referents or referrers are looked for */
    uintptr_t from;   /* the object whose references are being looked at */
    bool found_one;   /* it refers to object */
    tenure__found found;
};

static void add(struct search *search, uintptr_t object)
{
    if (search->found.count < search->found.room) search->found.objects[search->found.count++] = object;
}

/* --- what is looked for; stopped --- */

static void add_object(void *arg, uintptr_t object)
{
    struct search *search = arg;
    if (search->generation < 0 || (unsigned)search->generation == tenure__generation(search->self->heap, object))
        add(search, object);
}

static void look_for_objects(tenure_heap *heap, void *arg) { tenure__walk(heap, add_object, arg); }

static void add_targets(void *arg, uintptr_t slot, tenure__reference kind)
{
    struct search *search = arg;
    uintptr_t targets[2];
    const unsigned count = tenure__targets_of(search->self->heap, tenure__slot_load(slot), kind, targets);
    for (unsigned i = 0; i < count; i++) add(search, targets[i]);
}

static void look_for_referents(tenure_heap *heap, void *arg)
{
    tenure__each_edge(heap, ((struct search *)arg)->object, add_targets, arg);
}

static void compare_targets(void *arg, uintptr_t slot, tenure__reference kind)
{
    struct search *search = arg;
    uintptr_t targets[2];
    const unsigned count = tenure__targets_of(search->self->heap, tenure__slot_load(slot), kind, targets);
    for (unsigned i = 0; i < count; i++) search->found_one |= targets[i] == search->object;
}

static void add_referrer(void *arg, uintptr_t object)
{
    struct search *search = arg;
    search->found_one = false;
    tenure__each_edge(search->self->heap, object, compare_targets, arg);
    if (search->found_one) add(search, object);
}

static void look_for_referrers(tenure_heap *heap, void *arg) { tenure__walk(heap, add_referrer, arg); }

/* --- the frame around it --- */

/* Room for whatever may be found; from here on it is a root (of nothing yet). */
static tenure_status make_room(tenure_heap *heap, struct search *search, size_t room)
{
    search->found.objects = tenure__map(room * sizeof(uintptr_t));
    if (search->found.objects == 0) return TENURE_ENOMEM;
    search->found.room = room;
    tenure__found_add(heap, &search->found);
    return TENURE_OK;
}

/* The argument may have moved on the way into the stop. */
static void take_object(struct search *search)
{
    uintptr_t *scratch = &tenure__mutator_of(search->self)->scratch[0];
    search->object = *scratch;
    *scratch = 0;
}

static tenure_status prepare_for_heap(tenure_heap *heap, void *arg)
{
    take_object(arg);
    return make_room(heap, arg, tenure__objects_bound(heap));
}

static tenure_status prepare_for_object(tenure_heap *heap, void *arg)
{
    struct search *search = arg;
    take_object(search);
    /* Every word leads to two objects at most. */
    const size_t words =
        tenure__payload_bytes(heap, search->object, tenure__header_load(search->object)) / sizeof(uintptr_t);
    return make_room(heap, search, 2 * words + 1);
}

static tenure_status deliver(
    struct search *search, tenure__prepare_fn *prepare, tenure__look_fn *look, tenure_object_fn *fn, void *arg)
{
    tenure_thread *self = search->self;
    const tenure_status status = tenure__inspect(self, prepare, look, search);
    tenure__mutator_of(self)->scratch[0] = 0;
    tenure__found *found = &search->found;
    if (found->objects == 0) return status;
    for (size_t i = 0; i < found->count; i++)
        if (!fn(self, (void *)__atomic_load_n(&found->objects[i], __ATOMIC_RELAXED), arg)) break;
    tenure__found_forget(self->heap, found);
    tenure__unmap(found->objects, found->room * sizeof(uintptr_t));
    return status;
}

tenure_status tenure_each_object(tenure_thread *self, int generation, tenure_object_fn *fn, void *arg)
{
    if (generation < -1 || generation > 2) return TENURE_EINVAL;
    struct search search = { .self = self, .generation = generation };
    return deliver(&search, prepare_for_heap, look_for_objects, fn, arg);
}

tenure_status tenure_referents(tenure_thread *self, void *object, tenure_object_fn *fn, void *arg)
{
    tenure__require_object(self, object, "tenure_referents");
    struct search search = { .self = self };
    tenure__mutator_of(self)->scratch[0] = (uintptr_t)object;
    return deliver(&search, prepare_for_object, look_for_referents, fn, arg);
}

tenure_status tenure_referrers(tenure_thread *self, void *object, tenure_object_fn *fn, void *arg)
{
    tenure__require_object(self, object, "tenure_referrers");
    struct search search = { .self = self };
    tenure__mutator_of(self)->scratch[0] = (uintptr_t)object;
    return deliver(&search, prepare_for_heap, look_for_referrers, fn, arg);
}
