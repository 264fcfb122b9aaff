/* Why is this alive? Breadth-first search from the roots; the queue is also the tree, for every entry knows by which
 * other it was reached. An ephemeron leads to its value once its key was reached; until then it waits in a chain by its
 * key. A weak map leads likewise to those of its entries that keep something. */
#include "lib/heap/record.h"
#include "lib/inspect/fields.h"
#include "lib/inspect/roots.h"
#include <string.h>

#define ROOT SIZE_MAX
enum { CHAINS = 1 << 16 };

struct reached {
    uintptr_t object;
    size_t by; /* index in the queue; ROOT: by a root */
};

/* An ephemeron that was reached, or an entry of a map that was, and whose key was not. */
struct waiter {
    uintptr_t object;
    size_t by, next; /* in the queue: the ephemeron, or the map; in the chain: an index plus one, 0: none */
};

struct search {
    tenure_thread *self;
    tenure_heap *heap;
    uintptr_t wanted;
    bool found;

    uint64_t *seen; /* a bit a granule of the arena */
    struct reached *queue;
    size_t room, head, tail;
    size_t *chains; /* CHAINS of them: indexes of waiters plus one; 0: none */
    struct waiter *waiters;
    size_t waiter_count;

    tenure__found path; /* the steps' objects */
    size_t *offsets;    /* of the field that leads to each; the first has none */
    tenure_root root;   /* of the first */
    bool root_found;
    size_t slot; /* while an edge is looked for: where it lies; 0: not found */
    uintptr_t target;
};

/* --- the search; stopped --- */

static size_t seen_bytes(const tenure_heap *heap) { return heap->arena_bytes / 16 / 8 + 8; }

static bool has_seen(const struct search *search, uintptr_t object)
{
    const size_t granule = (object - search->heap->base) >> 4;
    return (search->seen[granule >> 6] >> (granule & 63)) & 1;
}

static void reach(struct search *search, uintptr_t object, size_t by)
{
    if (search->found || has_seen(search, object)) return;
    const size_t granule = (object - search->heap->base) >> 4;
    search->seen[granule >> 6] |= (uint64_t)1 << (granule & 63);
    search->queue[search->tail++] = (struct reached) { object, by };
    search->found = object == search->wanted;
}

static void reach_all(struct search *search, uintptr_t value, tenure__reference how, size_t by)
{
    uintptr_t targets[2];
    const unsigned count = tenure__targets_of(search->heap, value, how, targets);
    for (unsigned i = 0; i < count; i++) reach(search, targets[i], by);
}

static void seed(void *arg, const tenure__root_word *word) { reach_all(arg, word->value, word->how, ROOT); }

static void follow(void *arg, uintptr_t slot, tenure__reference how)
{
    struct search *search = arg;
    reach_all(search, tenure__slot_load(slot), how, search->head);
}

static size_t *chain_of(const struct search *search, uintptr_t key)
{
    return &search->chains[(key * 0x9e3779b97f4a7c15u) >> 48];
}

static void wait_for(struct search *search, uintptr_t key, uintptr_t object)
{
    size_t *chain = chain_of(search, key);
    search->waiters[search->waiter_count++] = (struct waiter) { object, search->head, *chain };
    *chain = search->waiter_count;
}

static void follow_ephemeron(struct search *search, const tenure__pending *ephemeron)
{
    uintptr_t key[2];
    if (tenure__targets_of(search->heap, ephemeron->key, TENURE__REFERENCE_PRECISE, key) == 0) return;
    if (has_seen(search, key[0])) {
        reach_all(search, ephemeron->value, TENURE__REFERENCE_PRECISE, search->head);
        return;
    }
    wait_for(search, key[0], (uintptr_t)ephemeron);
}

static void follow_entry(void *arg, uintptr_t slot, tenure__reference how)
{
    (void)how;
    struct search *search = arg;
    const uintptr_t entry = tenure__slot_load(slot), key = ((const tenure__map_entry *)entry)->weak;
    if (!tenure__entry_keeps((const tenure__map_entry *)entry)) return;
    if (!tenure__in_arena(search->heap, key) || has_seen(search, key))
        reach(search, entry, search->head);
    else
        wait_for(search, key, entry);
}

static bool is_entry(uintptr_t object)
{
    return tenure__plan_of(tenure__header_load(object))->type == &tenure__entry_type;
}

/* What waited for this object. */
static void follow_as_key(struct search *search, uintptr_t object)
{
    for (size_t at = *chain_of(search, object); at != 0; at = search->waiters[at - 1].next) {
        const struct waiter *waiter = &search->waiters[at - 1];
        const tenure__pending *ephemeron = (const tenure__pending *)waiter->object;
        if (!is_entry(waiter->object) && (ephemeron->key & ~(uintptr_t)15) == object)
            reach_all(search, ephemeron->value, TENURE__REFERENCE_PRECISE, waiter->by);
        else if (is_entry(waiter->object) && ((const tenure__map_entry *)waiter->object)->weak == object)
            reach(search, waiter->object, waiter->by);
    }
}

static void drain(struct search *search)
{
    for (; search->head < search->tail && !search->found; search->head++) {
        const uintptr_t object = search->queue[search->head].object;
        const uint64_t header = tenure__header_load(object);
        const tenure__plan *plan = tenure__plan_of(header);
        if (plan->shape == TENURE__SHAPE_EPHEMERON)
            follow_ephemeron(search, (const tenure__pending *)object);
        else
            tenure__each_edge(search->heap, object, plan->type == &tenure__map_type ? follow_entry : follow, search);
        if (header & TENURE__KEY) follow_as_key(search, object);
    }
}

/* --- the way back --- */

static bool leads_to(struct search *search, uintptr_t value, tenure__reference how)
{
    uintptr_t targets[2];
    const unsigned count = tenure__targets_of(search->heap, value, how, targets);
    for (unsigned i = 0; i < count; i++)
        if (targets[i] == search->target) return true;
    return false;
}

static void compare_slot(void *arg, uintptr_t slot, tenure__reference how)
{
    struct search *search = arg;
    if (search->slot == 0 && leads_to(search, tenure__slot_load(slot), how)) search->slot = slot;
}

static void compare_root(void *arg, const tenure__root_word *word)
{
    struct search *search = arg;
    if (search->root_found || !leads_to(search, word->value, word->how)) return;
    search->root_found = true;
    search->root = tenure__root_describe(word);
}

static void note_path(struct search *search)
{
    size_t count = 1;
    for (size_t at = search->tail - 1; search->queue[at].by != ROOT; at = search->queue[at].by) count++;
    search->path.count = count;
    for (size_t at = search->tail - 1; count-- > 0; at = search->queue[at].by) {
        const uintptr_t object = search->queue[at].object;
        search->path.objects[count] = object;
        if (count == 0) break;
        const uintptr_t owner = search->queue[search->queue[at].by].object;
        search->target = object;
        search->slot = 0;
        tenure__each_edge(search->heap, owner, compare_slot, search);
        /* A map's slots are not its own. */
        search->offsets[count] = tenure__in_arena(search->heap, search->slot) ? search->slot - owner : 0;
    }
}

static void look(tenure_heap *heap, void *arg)
{
    struct search *search = arg;
    tenure__mutator *self = tenure__mutator_of(search->self);
    tenure__each_root_but(heap, self, seed, search);
    drain(search);
    const bool only_by_self = !search->found;
    if (only_by_self) tenure__each_root_of(heap, self, seed, search);
    drain(search);
    if (!search->found) return;
    note_path(search);
    /* The first root in the order in which they were seeds. */
    search->target = search->path.objects[0];
    tenure__each_root_but(heap, self, compare_root, search);
    if (only_by_self) tenure__each_root_of(heap, self, compare_root, search);
}

/* --- around it --- */

static tenure_status prepare(tenure_heap *heap, void *arg)
{
    struct search *search = arg;
    uintptr_t *scratch = &tenure__mutator_of(search->self)->scratch[0];
    search->wanted = *scratch; /* it may have moved on the way into the stop */
    *scratch = 0;
    search->room = tenure__objects_bound(heap);
    search->seen = tenure__map(seen_bytes(heap));
    search->queue = tenure__map(search->room * sizeof *search->queue);
    search->chains = tenure__map(CHAINS * sizeof *search->chains);
    search->waiters = tenure__map(search->room * sizeof *search->waiters);
    search->path.objects = tenure__map(search->room * sizeof *search->path.objects);
    search->offsets = tenure__map(search->room * sizeof *search->offsets);
    if (search->seen == 0 || search->queue == 0 || search->chains == 0 || search->waiters == 0 ||
        search->path.objects == 0 || search->offsets == 0)
        return TENURE_ENOMEM;
    tenure__found_add(heap, &search->path);
    return TENURE_OK;
}

/* Of the way from owner (NULL: a root) to the object. False: it has none. Entries are named by what they hang on. */
static bool name_step(const tenure_type *owner, const tenure_path_step *step, char *name, size_t size)
{
    if (owner != &tenure__map_type) return owner != 0 && tenure__field_name(owner, step->offset, name, size);
    const tenure__map_entry *entry = step->object;
    if (entry->record.target == 0) return false; /* let go of meanwhile */
    snprintf(name, size, "[%s %p]", tenure_type_of((void *)entry->weak)->name, (void *)entry->weak);
    return true;
}

static void deliver(struct search *search, tenure_path_fn *fn, void *arg)
{
    const tenure__found *path = &search->path;
    char field[128];
    tenure__root_ask_loader(&search->root);
    const tenure_type *owner = 0;
    for (size_t i = 0; i < path->count; i++) {
        void *object = (void *)__atomic_load_n(&path->objects[i], __ATOMIC_RELAXED);
        tenure_path_step step = { .index = i, .count = path->count, .object = object };
        step.type = tenure_type_of(object);
        step.root = i == 0 ? &search->root : 0;
        step.offset = search->offsets[i];
        if (name_step(owner, &step, field, sizeof field)) step.field = field;
        owner = step.type;
        if (!fn(search->self, &step, arg)) return;
    }
}

tenure_status tenure_path(tenure_thread *self, void *object, tenure_path_fn *fn, void *arg)
{
    tenure__require_object(self, object, "tenure_path");
    tenure_heap *heap = self->heap;
    struct search search = { .self = self, .heap = heap };
    tenure__mutator_of(self)->scratch[0] = (uintptr_t)object;
    const tenure_status status = tenure__inspect(self, prepare, look, &search);
    tenure__mutator_of(self)->scratch[0] = 0;
    tenure__unmap(search.seen, seen_bytes(heap));
    tenure__unmap(search.queue, search.room * sizeof *search.queue);
    tenure__unmap(search.chains, CHAINS * sizeof *search.chains);
    tenure__unmap(search.waiters, search.room * sizeof *search.waiters);
    if (status == TENURE_OK) {
        deliver(&search, fn, arg);
        tenure__found_forget(heap, &search.path);
    }
    tenure__unmap(search.path.objects, search.room * sizeof *search.path.objects);
    tenure__unmap(search.offsets, search.room * sizeof *search.offsets);
    return status;
}

/* --- as text --- */

static void print_place(const tenure_root *root, FILE *out)
{
    if (root->name != 0)
        fprintf(out, " %s", root->name);
    else if (root->file != 0)
        fprintf(out, " %s", root->file);
    else if (root->address != 0)
        fprintf(out, " %p", root->address);
    if (root->offset != 0) fprintf(out, "+%#zx", root->offset);
}

static void print_root(const tenure_root *root, FILE *out)
{
    static const char *const kinds[] = { [TENURE_ROOT_STACK] = "stack",
        [TENURE_ROOT_REGISTER] = "register",
        [TENURE_ROOT_FRAME] = "frame",
        [TENURE_ROOT_FIBER] = "fiber",
        [TENURE_ROOT_THREAD_LOCAL] = "thread-local data",
        [TENURE_ROOT_PROGRAM] = "program data",
        [TENURE_ROOT_SLOT] = "root",
        [TENURE_ROOT_RANGE] = "root range",
        [TENURE_ROOT_CALLBACK] = "root callback",
        [TENURE_ROOT_HANDLE] = "handle",
        [TENURE_ROOT_PIN] = "pin",
        [TENURE_ROOT_FINALIZER] = "finalizer",
        [TENURE_ROOT_LIBRARY] = "a call of the library" };
    fprintf(out, "%s", kinds[root->kind]);
    print_place(root, out);
    if (root->tid != 0) fprintf(out, " of thread %s (%d)", root->thread, root->tid);
}

bool tenure_path_print(tenure_thread *self, const tenure_path_step *step, void *file)
{
    FILE *out = file;
    if (step->root != 0) {
        print_root(step->root, out);
        fputs(" -> ", out);
    } else if (step->field != 0) {
        fprintf(out, "  .%s -> ", step->field);
    } else {
        fprintf(out, "  +%zu -> ", step->offset);
    }
    fprintf(out, "%s %p, generation %d, %zu bytes\n", step->type->name, step->object,
        (int)tenure_generation_of(self->heap, step->object), tenure_size_of(step->object));
    return true;
}
