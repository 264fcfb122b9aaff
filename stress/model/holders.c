/* A thread's holders: every kind of root. */
#include "stress/model/model.h"

static _Thread_local uintptr_t tls_words[SLOTS];
enum { PROGRAM_THREADS = 16 };
static uintptr_t program_words[PROGRAM_THREADS][SLOTS];

/* Whether the holder's slot may not be written just now, or nobody would look at it. */
static bool holds_nothing(const thread *t, place of)
{
    switch (of) {
    case SAVE_AREA:
        return the_model.options.precise;
    case FIBER:
        return !t->on_fiber;
    case TLS:
        return !the_model.options.program;
    case PROGRAM:
        return !the_model.options.program || t->child || t->index >= PROGRAM_THREADS;
    default:
        return false;
    }
}

static void visit_words(tenure_visitor *visitor, void *words) { tenure_visit_range(visitor, words, SLOTS); }

static uintptr_t *memory_of(const thread *t, place of) { return t->memory + (of - ROOT) * SLOTS; }

static void must(const thread *t, bool done, const char *what)
{
    if (!done) model_fail(t, "%s failed", what);
}

/* A fiber that never runs: its save area alone counts. */
static tenure_stack *add_fiber(thread *t)
{
    tenure_stack *fiber =
        tenure_stack_add(the_model.heap, t->memory, t->memory + 1, memory_of(t, SAVE_AREA), SLOTS * sizeof *t->memory);
    must(t, fiber != NULL, "tenure_stack_add");
    return fiber;
}

/* Nobody may write into a suspended fiber: young collections do not look at it again. A new one takes its place. */
static void renew_fiber(thread *t)
{
    tenure_stack *before = t->fiber;
    t->fiber = add_fiber(t);
    tenure_stack_remove(the_model.heap, before);
}

static uintptr_t *slots_of(const thread *t, place of)
{
    if (of == TLS) return tls_words;
    if (of == PROGRAM) return program_words[t->index % PROGRAM_THREADS];
    return memory_of(t, of);
}

void holders_begin(thread *t, uintptr_t *frame)
{
    t->memory = calloc((size_t)(PLACES - ROOT) * SLOTS, sizeof *t->memory);
    must(t, t->memory != NULL, "calloc");
    for (unsigned i = 0; i < HOLDERS; i++) {
        holder *h = &t->holders[i];
        const unsigned at = i - FRAMES;
        *h = (holder) { .place = i < FRAMES ? FRAME : (place)(ROOT + at / SLOTS) };
        h->slot = i < FRAMES ? &frame[i] : &slots_of(t, h->place)[at % SLOTS];
    }
    pthread_mutex_lock(&the_model.threads_lock);
    t->next = the_model.threads;
    the_model.threads = t;
    pthread_mutex_unlock(&the_model.threads_lock);
}

void holders_open(thread *t)
{
    tenure_heap *heap = the_model.heap;
    for (unsigned i = FRAMES; i < HOLDERS; i++) {
        holder *h = &t->holders[i];
        if (h->place == HANDLE) must(t, (h->handle = tenure_handle_new(t->self, NULL)) != NULL, "tenure_handle_new");
        if (h->place == ROOT) must(t, tenure_root_add(heap, h->slot) == TENURE_OK, "tenure_root_add");
    }
    const size_t bytes = SLOTS * sizeof *t->memory;
    must(t, tenure_root_range_add(heap, memory_of(t, RANGE), bytes, TENURE_PRECISE) == TENURE_OK, "a precise range");
    must(t, tenure_root_range_add(heap, memory_of(t, VAGUE_RANGE), bytes, TENURE_AMBIGUOUS) == TENURE_OK,
        "an ambiguous range");
    must(t, tenure_root_callback_add(heap, visit_words, memory_of(t, CALLBACK)) == TENURE_OK, "a callback");
    t->fiber = add_fiber(t);
}

void holders_close(thread *t)
{
    tenure_heap *heap = the_model.heap;
    fiber_end(t);
    for (unsigned i = FRAMES; i < HOLDERS; i++) holder_clear(t, &t->holders[i]);
    for (unsigned i = 0; i < HOLDERS; i++) {
        if (t->holders[i].place == HANDLE) tenure_handle_free(t->holders[i].handle);
        if (t->holders[i].place == ROOT) tenure_root_remove(heap, t->holders[i].slot);
    }
    tenure_root_range_remove(heap, memory_of(t, RANGE));
    tenure_root_range_remove(heap, memory_of(t, VAGUE_RANGE));
    tenure_root_callback_remove(heap, visit_words, memory_of(t, CALLBACK));
    tenure_stack_remove(heap, t->fiber);
}

void holders_end(thread *t)
{
    for (unsigned i = 0; i < FRAMES; i++) holder_clear(t, &t->holders[i]);
    pthread_mutex_lock(&the_model.threads_lock);
    thread **link = &the_model.threads;
    while (*link != t) link = &(*link)->next;
    *link = t->next;
    pthread_mutex_unlock(&the_model.threads_lock);
    free(t->memory);
}

void *holder_object(const holder *of)
{
    if (of->edge.target == NULL) return NULL;
    if (of->place == HANDLE) return tenure_handle_get(of->handle);
    if (of->place == PIN) return (void *)~*of->slot;
    return (void *)(*of->slot - of->edge.delta);
}

void local_set(thread *t, unsigned local, void *object, shadow *target)
{
    holder *h = &t->holders[local];
    *h->slot = target == NULL ? 0 : (uintptr_t)object;
    h->edge = (edge) { target, 0 };
}

static void pin_instead(thread *t, holder *into, unsigned from)
{
    if (into->edge.target != NULL) tenure_unpin(t->self, (void *)~*into->slot);
    void *object = local_object(t, from);
    if (object != NULL) {
        must(t, tenure_pin(t->self, object) == TENURE_OK, "tenure_pin");
        if (local_object(t, from) != object) model_fail(t, "tenure_pin let its object move");
    }
    *into->slot = ~(uintptr_t)object;
}

void holder_put(thread *t, holder *into, unsigned from)
{
    if (holds_nothing(t, into->place)) return;
    local_set(t, LOCAL_OLD, holder_object(into), into->edge.target);
    edge next = { local_shadow(t, from), 0 };
    if (into->place == VAGUE_RANGE && next.target != NULL) {
        const size_t bytes = kind_bytes(next.target->kind, next.target->count);
        /* Also the end, which may be the next object's header: that one stays too then. */
        next.delta = model_draw(t->source, (uint32_t)bytes + (the_model.options.precise && bytes > 0 ? 0 : 1));
    }
    into->busy = true;
    if (into->place == HANDLE)
        tenure_handle_set(t->self, into->handle, local_object(t, from));
    else if (into->place == PIN)
        pin_instead(t, into, from);
    else
        *into->slot = edge_word(next, local_object(t, from));
    if (into->place == SAVE_AREA) renew_fiber(t);
    into->edge = next;
    into->busy = false;
    local_set(t, LOCAL_OLD, NULL, NULL);
}

void holder_clear(thread *t, holder *into)
{
    if (into->edge.target == NULL) return;
    if (into->place == FRAME)
        local_set(t, (unsigned)(into - t->holders), NULL, NULL);
    else
        holder_put(t, into, LOCAL_NONE);
}
