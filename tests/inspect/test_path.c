/* Why is this alive? The shortest way, by name, from every kind of root; and that there is none. */
#include "tests/threads/threads.h"
#include <ucontext.h>

typedef struct link {
    struct link *next, *others[3];
    struct {
        struct link *deep;
    } in;
    char *inside;
    uint64_t value;
} link_;
TENURE_TYPE(link_type, link_, next, others, in.deep, TENURE_INTERIOR(inside));

typedef struct slot {
    uint64_t key;
    link_ *target;
} slot;
typedef struct table {
    link_ *first;
    slot fixed[2];
    slot slots[];
} table;
TENURE_TYPE_FLEX(table_type, table, slots, first, TENURE_EACH(fixed, target), TENURE_ELEMENT(target));

typedef struct vector {
    uint64_t count;
    link_ *items[];
} vector;
TENURE_TYPE_FLEX_REFS(vector_type, vector, items);

static void trace_own(void *object, void *low, void *high, tenure_visitor *visitor)
{
    (void)low;
    (void)high;
    tenure_visit(visitor, object);
}
typedef struct own {
    link_ *target;
} own;
TENURE_TYPE_CUSTOM(own_type, own, trace_own);

static tenure_heap *heap;
static tenure_thread *self;

static void begin_with(tenure_heap *made)
{
    heap = made;
    self = tenure_attach(heap);
}
static void begin(void) { begin_with(precise_heap_with("verify=before,after")); }
static void end(void) { heap_end(heap, self); }

typedef struct path {
    size_t calls;
    tenure_root root;
    const tenure_type *types[8];
    char fields[8][128];
    size_t offsets[8];
    void *last;
} path;

static bool note(tenure_thread *thread, const tenure_path_step *step, void *arg)
{
    path *to = arg;
    REQUIRE(thread == self && step->index == to->calls && (step->root != NULL) == (step->index == 0));
    if (step->root != NULL) to->root = *step->root;
    if (step->index < 8) {
        to->types[step->index] = step->type;
        to->offsets[step->index] = step->offset;
        snprintf(to->fields[step->index], 128, "%s", step->field != NULL ? step->field : "?");
    }
    to->calls++;
    to->last = step->object;
    REQUIRE(to->calls <= step->count);
    return true;
}

static path path_to(void *object)
{
    path found = { 0 };
    cr_assert(eq(int, tenure_path(self, object, note, &found), TENURE_OK));
    return found;
}

/* The reference to an object that the calling thread holds in a place that is no root. */
static uintptr_t remembered;

/* --- kinds of roots; in precise heaps the caller's stack plays no part --- */

static link_ *static_root;

Test(path, by_slot, .init = begin, .fini = end)
{
    cr_assert(eq(int, tenure_root_add(heap, &static_root), TENURE_OK));
    static_root = tenure_new(self, link_type);
    path found = path_to(static_root);
    cr_assert(eq(sz, found.calls, 1));
    cr_expect(eq(ptr, found.last, static_root));
    cr_expect(eq(int, (int)found.root.kind, TENURE_ROOT_SLOT));
    cr_expect(eq(ptr, (void *)found.root.address, &static_root));
    cr_expect(found.root.file != NULL);
    cr_expect(eq(int, found.root.tid, 0));
}

Test(path, none, .init = begin, .fini = end)
{
    link_ *lost = tenure_new(self, link_type);
    lost->next = lost;
    cr_expect(eq(sz, path_to(lost).calls, 0));
    /* But for the caller's own frames, which count when there is nothing else. */
    TENURE_FRAME(self, lost);
    path found = path_to(lost);
    cr_expect(eq(sz, found.calls, 1));
    cr_expect(eq(int, (int)found.root.kind, TENURE_ROOT_FRAME));
    cr_expect(eq(ptr, (void *)found.root.address, &lost));
    cr_expect(eq(int, found.root.tid, (int)gettid()));
}

Test(path, by_range_handle_and_pin, .init = begin, .fini = end)
{
    static link_ *range[10];
    cr_assert(eq(int, tenure_root_range_add(heap, range, sizeof range, TENURE_PRECISE), TENURE_OK));
    range[7] = tenure_new(self, link_type);
    path found = path_to(range[7]);
    cr_expect(eq(int, (int)found.root.kind, TENURE_ROOT_RANGE));
    cr_expect(eq(ptr, (void *)found.root.address, &range[7]));

    tenure_handle *handle = tenure_handle_new(self, tenure_new(self, link_type));
    found = path_to(tenure_handle_get(handle));
    cr_expect(eq(int, (int)found.root.kind, TENURE_ROOT_HANDLE));
    cr_expect(eq(ptr, (void *)found.root.address, handle));
    tenure_handle_free(handle);

    link_ *pinned = tenure_new(self, link_type);
    cr_assert(eq(int, tenure_pin(self, pinned), TENURE_OK));
    found = path_to(pinned);
    cr_expect(eq(sz, found.calls, 1));
    cr_expect(eq(int, (int)found.root.kind, TENURE_ROOT_PIN));
    tenure_unpin(self, pinned);
    cr_expect(eq(sz, path_to(pinned).calls, 0));

    void *words = malloc(64);
    memset(words, 0, 64);
    ((void **)words)[3] = (char *)pinned + 8;
    cr_assert(eq(int, tenure_root_range_add(heap, words, 64, TENURE_AMBIGUOUS), TENURE_OK));
    found = path_to(pinned);
    cr_expect(eq(int, (int)found.root.kind, TENURE_ROOT_RANGE));
    cr_expect(eq(sz, found.root.offset, 24));
    cr_expect(found.root.file == NULL);
    tenure_root_range_remove(heap, words);
    free(words);
}

static void call_back(tenure_visitor *visitor, void *arg) { tenure_visit(visitor, arg); }

Test(path, by_callback, .init = begin, .fini = end)
{
    link_ *hidden_one = tenure_new(self, link_type);
    cr_assert(eq(int, tenure_root_callback_add(heap, call_back, &hidden_one), TENURE_OK));
    path found = path_to(hidden_one);
    cr_expect(eq(sz, found.calls, 1));
    cr_expect(eq(int, (int)found.root.kind, TENURE_ROOT_CALLBACK));
    cr_expect(eq(ptr, (void *)found.root.address, (void *)(uintptr_t)call_back));
    collect(self, TENURE_GEN2);
    cr_expect(eq(int, generation_of(heap, hidden_one), 2), "the tracer's visitor traces again");
    tenure_root_callback_remove(heap, call_back, &hidden_one);
}

static flag ready, may_end;
static int other_tid;

/* Its local is where nothing but a scan of its stack or registers finds it. */
static void *hold_on_stack(void *arg)
{
    tenure_thread *thread = tenure_attach(arg);
    tenure_thread_name(thread, "holder");
    other_tid = (int)gettid();
    link_ *volatile local = tenure_new(thread, link_type);
    remembered = hidden(local);
    clobber_stack();
    atomic_store(&ready, 1);
    {
        TENURE_BLOCKING_SCOPE(thread);
        await(&may_end, 1);
    }
    tenure_keep_alive(local);
    tenure_detach(thread);
    return NULL;
}

Test(path, by_stack_of_another_thread)
{
    begin_with(heap_with("verify=before,after"));
    pthread_t thread = start_thread(hold_on_stack, heap);
    await_polling(self, &ready, 1);
    path found = path_to(shown(remembered));
    cr_expect(eq(sz, found.calls, 1));
    cr_expect(found.root.kind == TENURE_ROOT_STACK || found.root.kind == TENURE_ROOT_REGISTER);
    cr_expect(eq(int, found.root.tid, other_tid));
    cr_expect(eq(str, found.root.thread, "holder"));
    if (found.root.kind == TENURE_ROOT_STACK)
        cr_expect(eq(ptr, *(void **)(uintptr_t)found.root.address, shown(remembered)));
    else
        cr_expect(found.root.name != NULL);
    atomic_store(&may_end, 1);
    join_blocked(self, thread);
    /* Only this thread's stack is left. */
    found = path_to(shown(remembered));
    cr_expect(eq(int, found.root.tid, (int)gettid()));
    end();
}

static __thread link_ *local_to_thread;

Test(path, by_program_data)
{
    begin_with(heap_with("verify=before,after"));
    cr_assert(eq(int, tenure_root_program(heap), TENURE_OK));
    static_root = tenure_new(self, link_type);
    path found = path_to(static_root);
    cr_expect(eq(int, (int)found.root.kind, TENURE_ROOT_PROGRAM));
    cr_expect(eq(ptr, (void *)found.root.address, &static_root));
    cr_expect(found.root.file != NULL);
    static_root = NULL;
    local_to_thread = tenure_new(self, link_type);
    found = path_to(local_to_thread);
    cr_expect(eq(int, (int)found.root.kind, TENURE_ROOT_THREAD_LOCAL));
    cr_expect(eq(ptr, (void *)found.root.address, &local_to_thread));
    cr_expect(eq(int, found.root.tid, (int)gettid()));
    end();
}

/* --- fibers --- */

static ucontext_t main_context, fiber_context;
static tenure_stack *fiber;

static void run_fiber(void)
{
    link_ *volatile local = tenure_new(self, link_type);
    remembered = hidden(local);
    clobber_stack();
    tenure_stack_switch(self, NULL);
    swapcontext(&fiber_context, &main_context);
    tenure_keep_alive(local);
    tenure_stack_switch(self, NULL);
    setcontext(&main_context);
}

Test(path, by_fiber)
{
    begin_with(heap_with("verify=before,after"));
    enum { BYTES = 256 * 1024 };
    char *memory = aligned_alloc(16, BYTES);
    fiber = tenure_stack_add(heap, memory, memory + BYTES, &fiber_context, sizeof fiber_context);
    cr_assert(fiber != NULL);
    cr_assert(eq(int, getcontext(&fiber_context), 0));
    fiber_context.uc_stack.ss_sp = memory;
    fiber_context.uc_stack.ss_size = BYTES;
    makecontext(&fiber_context, run_fiber, 0);
    tenure_stack_switch(self, fiber);
    swapcontext(&main_context, &fiber_context);
    path found = path_to(shown(remembered));
    cr_expect(eq(sz, found.calls, 1));
    cr_expect(eq(int, (int)found.root.kind, TENURE_ROOT_FIBER));
    tenure_stack_switch(self, fiber);
    swapcontext(&main_context, &fiber_context);
    tenure_stack_remove(heap, fiber);
    free(memory);
    end();
}

/* --- the way --- */

static void expect_step(const path *found, size_t index, const tenure_type *type, const char *field, size_t offset)
{
    cr_expect(eq(str, (char *)found->fields[index], (char *)field));
    cr_expect(eq(sz, found->offsets[index], offset));
    cr_expect(eq(ptr, (void *)found->types[index], (void *)type));
}

static void *held[4];

static void begin_held(void)
{
    begin();
    cr_assert(eq(int, tenure_root_range_add(heap, held, sizeof held, TENURE_PRECISE), TENURE_OK));
}

Test(path, fields_by_name, .init = begin_held, .fini = end)
{
    held[0] = tenure_new(self, link_type);
    link_ *first = held[0];
    first->others[2] = tenure_new(self, link_type);
    first = held[0];
    link_ *second = first->others[2];
    second->in.deep = tenure_new(self, link_type);
    second = ((link_ *)held[0])->others[2];
    table *map = tenure_new_flex(self, table_type, 5);
    second = ((link_ *)held[0])->others[2];
    second->in.deep->next = (link_ *)map;
    map->slots[3].target = tenure_new(self, link_type);
    map = (table *)((link_ *)held[0])->others[2]->in.deep->next;
    link_ *last = map->slots[3].target;
    path found = path_to(last);
    cr_assert(eq(sz, found.calls, 5));
    expect_step(&found, 1, &link_type__type, "others[2]", offsetof(link_, others[2]));
    expect_step(&found, 2, &link_type__type, "in.deep", offsetof(link_, in.deep));
    expect_step(&found, 3, &table_type__type, "next", 0);
    expect_step(&found, 4, &link_type__type, "slots[3].target", offsetof(table, slots[3].target));
    cr_expect(eq(ptr, found.last, last));
}

/* Each holder with one field that leads to a target of its own. */
Test(path, every_kind_of_field, .init = begin_held, .fini = end)
{
    held[1] = tenure_new(self, link_type);
    held[0] = tenure_new_flex(self, table_type, 2);
    ((table *)held[0])->first = held[1];
    cr_expect(eq(ptr, path_to(held[1]).last, held[1]));
    struct {
        link_ **slot;
        const char *name;
    } cases[] = { { &((table *)held[0])->first, "first" }, { &((table *)held[0])->fixed[1].target, "fixed[1].target" },
        { &((table *)held[0])->slots[0].target, "slots[0].target" } };
    cr_assert(eq(int, tenure_pin(self, held[0]), TENURE_OK));
    for (unsigned i = 0; i < 3; i++) {
        link_ *target = tenure_new(self, link_type);
        tenure_store(self, held[0], cases[i].slot, target);
        const path found = path_to(target);
        cr_assert(eq(sz, found.calls, 2));
        cr_expect(eq(str, (char *)found.fields[1], (char *)cases[i].name));
    }
    held[2] = tenure_new_flex(self, vector_type, 9);
    link_ *target = tenure_new(self, link_type);
    ((vector *)held[2])->items[8] = target;
    cr_expect(eq(str, (char *)path_to(target).fields[1], "items[8]"));
    held[2] = TENURE_NEW_REFS(self, link_, 4);
    target = tenure_new(self, link_type);
    ((link_ **)held[2])[1] = target;
    cr_expect(eq(str, (char *)path_to(target).fields[1], "[1]"));
    held[2] = tenure_new(self, own_type);
    target = tenure_new(self, link_type);
    ((own *)held[2])->target = target;
    path found = path_to(target);
    cr_expect(eq(sz, found.calls, 2));
    cr_expect(eq(str, found.fields[1], "?"), "a trace function names nothing");
    cr_expect(eq(sz, found.offsets[1], 0));
    held[2] = tenure_new(self, link_type);
    target = tenure_new(self, link_type);
    ((link_ *)held[2])->inside = (char *)target + 24;
    cr_expect(eq(str, (char *)path_to(target).fields[1], "inside"));
    tenure_unpin(self, held[0]);
}

/* What is being told of is not why it is alive. */
static bool ask_for_path(tenure_thread *thread, void *object, void *arg)
{
    (void)thread;
    if (object == *(void **)arg) cr_expect(eq(sz, path_to(object).calls, 0));
    return true;
}

Test(path, shortest, .init = begin_held, .fini = end)
{
    enum { LONG = 100000 };
    for (unsigned i = 0; i < LONG; i++) {
        link_ *made = tenure_new(self, link_type);
        made->next = held[0];
        held[0] = made;
        if (i == 0) held[1] = made;
    }
    held[2] = tenure_new(self, link_type);
    ((link_ *)held[2])->others[0] = held[1];
    link_ *last = held[1];
    held[1] = NULL;
    path found = path_to(last);
    cr_expect(eq(sz, found.calls, 2));
    cr_expect(eq(ptr, (void *)found.root.address, &held[2]));
    held[2] = NULL;
    last = (link_ *)found.last;
    found = path_to(last);
    cr_expect(eq(sz, found.calls, LONG));
    held[0] = NULL;
    last = found.last;
    cr_expect(eq(int, tenure_each_object(self, -1, ask_for_path, &last), TENURE_OK));
}

/* --- ephemerons: they lead to their values, and only if something else leads to their keys --- */

Test(path, ephemerons, .init = begin_held, .fini = end)
{
    held[0] = tenure_new(self, link_type); /* the key */
    link_ *value = tenure_new(self, link_type);
    held[1] = tenure_ephemeron_new(self, held[0], value);
    value = tenure_ephemeron_value(self, held[1]);
    path found = path_to(value);
    cr_assert(eq(sz, found.calls, 2));
    cr_expect(eq(str, found.fields[1], "value"));
    link_ *key = held[0];
    held[0] = NULL;
    cr_expect(eq(sz, path_to(value).calls, 0), "the key is gone");
    cr_expect(eq(sz, path_to(key).calls, 0), "an ephemeron is not why its key is alive");
}

/* A chain in the worst order: each ephemeron is met before its key, which the next one's value holds. */
Test(path, chain_of_ephemerons, .init = begin_held, .fini = end)
{
    enum { LONG = 20000 };
    held[0] = TENURE_NEW_REFS(self, tenure_ephemeron, LONG);
    link_ *next = tenure_new(self, link_type);
    held[1] = next; /* the last value */
    for (unsigned i = 0; i < LONG; i++) {
        held[2] = tenure_new(self, link_type);
        tenure_ephemeron *made = tenure_ephemeron_new(self, held[2], held[1]);
        TENURE_SET_AT(self, (tenure_ephemeron **)held[0], LONG - 1 - i, made);
        held[1] = held[2];
    }
    /* held[1] is the key that all hang on. */
    link_ *last = tenure_ephemeron_value(self, ((tenure_ephemeron **)held[0])[LONG - 1]);
    held[2] = NULL;
    path found = path_to(last);
    cr_assert(eq(sz, found.calls, 3), "by the array and the last ephemeron");
    cr_expect(eq(ptr, found.last, last));
    held[1] = NULL;
    cr_expect(eq(sz, path_to(last).calls, 0));
}

/* --- finalizers: what is due is kept until it ran, and the arguments of those that are registered --- */

static void finalize(tenure_thread *thread, void *object, void *arg)
{
    (void)thread;
    (void)object;
    (void)arg;
}

Test(path, finalizers)
{
    tenure_options options = options_with("verify=before,after", TENURE_ROOTS_PRECISE);
    options.finalizers = TENURE_PUMP;
    begin_with(heap_of(&options));
    cr_assert(eq(int, tenure_root_range_add(heap, held, sizeof held, TENURE_PRECISE), TENURE_OK));
    held[0] = tenure_new(self, link_type);
    held[1] = tenure_new(self, link_type);
    cr_assert(eq(int, tenure_finalize(self, held[0], finalize, held[1]), TENURE_OK));
    link_ *arg = held[1];
    held[1] = NULL;
    path found = path_to(arg);
    cr_expect(eq(int, (int)found.root.kind, TENURE_ROOT_FINALIZER));
    cr_expect(eq(sz, found.calls, 2), "the record, its argument");
    cr_expect(eq(int, (int)path_to(held[0]).root.kind, TENURE_ROOT_RANGE), "a finalizer does not keep its object");
    /* Due: the object is kept, and only by that. */
    tenure_weak *weak = tenure_weak_new(self, held[0]);
    held[2] = weak;
    ((link_ *)held[0])->next = tenure_new(self, link_type);
    struct {
        link_ *part;
    } last = { ((link_ *)held[0])->next };
    cr_assert(eq(int, tenure_root_add(heap, &last.part), TENURE_OK));
    held[0] = NULL;
    collect(self, TENURE_GEN2);
    cr_expect(eq(ptr, tenure_weak_get(self, held[2]), NULL));
    tenure_root_remove(heap, &last.part);
    found = path_to(last.part);
    cr_expect(eq(int, (int)found.root.kind, TENURE_ROOT_FINALIZER));
    cr_expect(eq(sz, found.calls, 3), "the record, its object, its part");
    cr_expect(eq(sz, tenure_finalizers_pump(self, 10), 1));
    cr_expect(eq(sz, path_to(last.part).calls, 0));
    end();
}

/* --- weak maps: they lead to what entries keep, if something else leads to what these hang on --- */

static void expect_entry_step(const path *found, const void *hangs_on)
{
    char name[128];
    snprintf(name, sizeof name, "[link_type %p]", hangs_on);
    cr_assert(eq(sz, found->calls, 3));
    cr_expect(eq(str, (char *)found->fields[1], name));
    cr_expect(eq(str, (char *)found->fields[2], "kept"));
    cr_expect(eq(str, (char *)found->types[1]->name, "weak map entry"));
}

static void weak_map_leads_to_value(tenure_generation generation)
{
    held[0] = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    held[1] = tenure_new(self, link_type);
    cr_assert(eq(int, tenure_weakmap_put(self, held[0], held[1], tenure_new(self, link_type)), TENURE_OK));
    cr_assert(eq(int, tenure_weakmap_put(self, held[0], tenure_new(self, link_type), held[1]), TENURE_OK));
    collect(self, generation);
    link_ *value = tenure_weakmap_get(self, held[0], held[1]);
    path found = path_to(value);
    expect_entry_step(&found, held[1]);
    link_ *key = held[1];
    held[1] = NULL;
    cr_expect(eq(sz, path_to(value).calls, 0), "the key is gone");
    cr_expect(eq(sz, path_to(key).calls, 0), "a map is not why its key is alive");
    held[1] = key;
    held[0] = NULL;
    cr_expect(eq(sz, path_to(value).calls, 0), "the map is gone");
}
Test(path, weak_map, .init = begin_held, .fini = end)
{
    weak_map_leads_to_value(TENURE_GEN0);
    weak_map_leads_to_value(TENURE_GEN2);
}

Test(path, weak_map_of_weak_values, .init = begin_held, .fini = end)
{
    held[0] = tenure_weakmap_new(self, TENURE_WEAK_VALUES, NULL, NULL, NULL);
    held[1] = tenure_new(self, link_type);
    link_ *key = tenure_new(self, link_type);
    held[2] = key;
    cr_assert(eq(int, tenure_weakmap_put(self, held[0], held[2], held[1]), TENURE_OK));
    key = held[2];
    held[2] = NULL;
    path found = path_to(key);
    expect_entry_step(&found, held[1]);
    held[1] = NULL;
    cr_expect(eq(sz, path_to(key).calls, 0), "the value is gone");
}

/* Each value is the next one's key, and maps are met before keys. Entries that keep nothing lead nowhere. */
Test(path, chain_through_a_weak_map, .init = begin_held, .fini = end)
{
    enum { LONG = 3000 };
    held[0] = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    held[1] = tenure_new(self, link_type);
    held[2] = held[1];
    for (unsigned i = 0; i < LONG; i++) {
        held[3] = tenure_new(self, link_type);
        cr_assert(eq(int, tenure_weakmap_put(self, held[0], held[2], held[3]), TENURE_OK));
        held[2] = held[3];
    }
    link_ *last = held[2];
    held[2] = held[3] = NULL;
    path found = path_to(last);
    cr_expect(eq(sz, found.calls, 3));
    cr_expect(eq(ptr, found.last, last));
    held[2] = tenure_weakmap_new(self, TENURE_WEAK_BOTH, NULL, NULL, NULL);
    link_ *key = held[1];
    cr_assert(eq(int, tenure_weakmap_put(self, held[2], key, last), TENURE_OK));
    held[0] = NULL;
    cr_expect(eq(sz, path_to(last).calls, 0));
}

/* --- as text, and beside threads that run --- */

Test(path, text, .init = begin_held, .fini = end)
{
    char *text = NULL;
    size_t size = 0;
    held[3] = tenure_new(self, link_type);
    ((link_ *)held[3])->next = tenure_new(self, link_type);
    FILE *out = open_memstream(&text, &size);
    cr_assert(eq(int, tenure_path(self, ((link_ *)held[3])->next, tenure_path_print, out), TENURE_OK));
    fclose(out);
    cr_expect(eq(int, strncmp(text, "root range ", 11), 0), "%s", text);
    cr_expect(strstr(text, " -> link_type 0x") != NULL, "%s", text);
    cr_expect(strstr(text, "\n  .next -> link_type 0x") != NULL, "%s", text);
    cr_expect(strstr(text, ", generation 0, 56 bytes\n") != NULL, "%s", text);
    free(text);
}

static flag stops;
static void *churn(void *arg)
{
    tenure_thread *thread = tenure_attach(arg);
    link_ *list = NULL;
    TENURE_FRAME(thread, list);
    for (unsigned i = 0; atomic_load(&stops) == 0; i++) {
        link_ *made = tenure_new(thread, link_type);
        made->next = list;
        list = i % 500 == 0 ? NULL : made;
    }
    return NULL;
}

static void check_beside_threads(tenure_heap *made)
{
    begin_with(made);
    cr_assert(eq(int, tenure_root_range_add(heap, held, sizeof held, TENURE_PRECISE), TENURE_OK));
    held[0] = tenure_new(self, link_type);
    held[1] = tenure_new(self, link_type);
    TENURE_SET(self, (link_ *)held[0], next, held[1]);
    held[1] = NULL;
    atomic_store(&stops, 0);
    pthread_t threads[2] = { start_thread(churn, heap), start_thread(churn, heap) };
    for (unsigned i = 0; i < 20; i++) {
        path found = path_to(((link_ *)held[0])->next);
        if (heap->options.roots == TENURE_ROOTS_CONSERVATIVE && found.calls == 1) {
            /* True too: a parked thread that helped to move it has its address left on its stack. */
            cr_assert(found.root.kind == TENURE_ROOT_STACK || found.root.kind == TENURE_ROOT_REGISTER);
            cr_assert(found.root.tid != gettid());
            continue;
        }
        cr_assert(eq(sz, found.calls, 2));
        cr_expect(eq(str, found.fields[1], "next"));
        for (unsigned j = 0; j < 10; j++) cr_assert(tenure_new_bytes(self, 200) != NULL);
    }
    atomic_store(&stops, 1);
    for (unsigned i = 0; i < 2; i++) join_blocked(self, threads[i]);
    end();
}

Test(path, beside_threads)
{
    check_beside_threads(precise_heap_with("verify=before,after"));
    check_beside_threads(precise_heap_with("verify=after,torture=alloc:50,evacuate"));
    check_beside_threads(heap_with("verify=before,after,torture=alloc:50,evacuate"));
    check_beside_threads(heap_with("lead=daemon,workers=1,gen0=64k"));
}
