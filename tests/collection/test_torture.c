/* A random program in a heap under torture, compared with a shadow of its graph in plain memory. Objects of every
 * shape; each thread has a table of roots and works on what hangs on it. The seeds are fixed and printed on failure. */
#include "tests/support.h"
#include <tenure/io.h>

/* Every shape begins alike. inside: in objects of kind INTERIOR points to the target's check instead of its start. */
#define THING_FIELDS    \
    uint64_t id, check; \
    struct thing *first, *second
typedef struct thing {
    THING_FIELDS;
} thing;
typedef struct longer {
    THING_FIELDS;
    thing *more[];
} longer;
typedef struct inner {
    THING_FIELDS;
    uint64_t *inside;
} inner;
typedef struct slot {
    uint64_t plain;
    thing *reference;
} slot;
typedef struct slots {
    THING_FIELDS;
    slot elements[];
} slots;

static void trace_thing(void *object, void *low, void *high, tenure_visitor *visitor)
{
    thing *traced = object;
    if ((void *)&traced->first >= low && (void *)&traced->first < high) tenure_visit(visitor, &traced->first);
    if ((void *)&traced->second >= low && (void *)&traced->second < high) tenure_visit(visitor, &traced->second);
}

TENURE_TYPE(thing_type, thing, first, second);
TENURE_TYPE_FLEX_REFS(longer_type, longer, more, first, second);
TENURE_TYPE(inner_type, inner, first, second, TENURE_INTERIOR(inside));
TENURE_TYPE_FLEX(slots_type, slots, elements, first, second, TENURE_ELEMENT(reference));
TENURE_TYPE_CUSTOM(custom_type, thing, trace_thing);
TENURE_TYPE_AMBIGUOUS(vague_type, thing);

enum kind { PLAIN, LONGER, LARGE, INTERIOR, SLOTS, CUSTOM, AMBIGUOUS, KINDS };
enum { MORE = 4, TABLE = 48, LARGE_COUNT = 3000 };

typedef struct shadow {
    uint64_t id;
    enum kind kind;
    struct shadow *first, *second, *more[MORE];
    struct shadow *all; /* every shadow of the thread */
    thing *object;      /* where it was seen by walk number */
    uint64_t walk;
} shadow;

typedef struct program {
    tenure_thread *self;
    uint64_t random, seed, ids, walks;
    shadow *all, *table[TABLE];
    uint64_t hashes; /* identity hashes asked for */
} program;

static size_t more_index(enum kind kind, unsigned i) { return kind == LARGE ? i * (LARGE_COUNT / MORE) + 3 : i; }

static thing **more_slot(thing *object, enum kind kind, unsigned i)
{
    if (kind == SLOTS) return &((slots *)object)->elements[i].reference;
    return &((longer *)object)->more[more_index(kind, i)];
}

static bool has_more(enum kind kind) { return kind == LONGER || kind == LARGE || kind == SLOTS; }

static thing *new_thing(tenure_thread *self, enum kind kind)
{
    switch (kind) {
    case LONGER:
        return (thing *)tenure_new_flex(self, longer_type, MORE);
    case LARGE:
        return (thing *)tenure_new_flex(self, longer_type, LARGE_COUNT);
    case INTERIOR:
        return (thing *)tenure_new(self, inner_type);
    case SLOTS:
        return (thing *)tenure_new_flex(self, slots_type, MORE);
    case CUSTOM:
        return tenure_new(self, custom_type);
    case AMBIGUOUS:
        return tenure_new(self, vague_type);
    default:
        return tenure_new(self, thing_type);
    }
}

/* Some shadow that hangs on table[at], and the object: a walk of random length, in both graphs. */
static shadow *descend(program *run, thing **table, unsigned at, thing **object)
{
    shadow *here = run->table[at];
    *object = table[at];
    while (here != NULL && next_random(&run->random) % 4 != 0) {
        const bool first = next_random(&run->random) % 2 == 0;
        shadow *next = first ? here->first : here->second;
        if (next == NULL) break;
        *object = first ? (*object)->first : (*object)->second;
        here = next;
    }
    return here;
}

static void link_things(program *run, shadow *owner, thing *object, shadow *target, thing *value)
{
    tenure_thread *self = run->self;
    const unsigned way = (unsigned)(next_random(&run->random) % 4);
    if (owner->kind == INTERIOR && way == 3) {
        tenure_store(self, object, &((inner *)object)->inside, value == NULL ? NULL : &value->check);
        owner->more[0] = target;
    } else if (has_more(owner->kind) && way >= 2) {
        const unsigned i = (unsigned)(next_random(&run->random) % MORE);
        tenure_store(self, object, more_slot(object, owner->kind, i), value);
        owner->more[i] = target;
    } else if (way % 2 == 0) {
        TENURE_SET(self, object, first, value);
        owner->first = target;
    } else {
        tenure_will_write(self, object, object, sizeof *object);
        object->second = value;
        owner->second = target;
    }
}

static void step(program *run, thing **table)
{
    tenure_thread *self = run->self;
    const unsigned at = (unsigned)(next_random(&run->random) % TABLE),
                   other = (unsigned)(next_random(&run->random) % TABLE);
    const unsigned action = (unsigned)(next_random(&run->random) % 100);
    thing *object = NULL, *value = NULL;
    TENURE_FRAME(self, table, object, value);
    if (action < 50) {
        const unsigned draw = (unsigned)(next_random(&run->random) % 60);
        const enum kind kind = draw == 0   ? LARGE
                               : draw < 30 ? PLAIN
                                           : (enum kind)(draw % KINDS == LARGE ? LONGER : draw % KINDS);
        value = new_thing(self, kind);
        cr_assert(value != NULL);
        value->id = ++run->ids;
        value->check = ~value->id;
        shadow *made = calloc(1, sizeof *made);
        made->id = value->id;
        made->kind = kind;
        made->all = run->all;
        run->all = made;
        shadow *owner = descend(run, table, at, &object);
        if (owner != NULL && action < 30) {
            link_things(run, owner, object, made, value);
        } else {
            TENURE_SET_AT(self, table, at, value);
            run->table[at] = made;
        }
    } else if (action < 80) {
        shadow *owner = descend(run, table, at, &object);
        shadow *target = descend(run, table, other, &value);
        if (owner != NULL) link_things(run, owner, object, target, value);
    } else if (action < 90) {
        TENURE_SET_AT(self, table, at, NULL);
        run->table[at] = NULL;
    } else if (action < 95) {
        shadow *owner = descend(run, table, at, &object);
        if (owner != NULL) run->hashes += tenure_identity_hash(self, object);
    } else {
        tenure_poll(self);
    }
}

/* --- comparing --- */

static void expect_same(program *run, shadow *expected, thing *object)
{
    if (expected == NULL || object == NULL) {
        cr_assert(expected == NULL && object == NULL, "seed %zu: one is missing", (size_t)run->seed);
        return;
    }
    cr_assert(object->id == expected->id && object->check == ~expected->id, "seed %zu: object %zu is damaged",
        (size_t)run->seed, (size_t)expected->id);
    if (expected->walk == run->walks) {
        cr_assert(
            expected->object == object, "seed %zu: object %zu is there twice", (size_t)run->seed, (size_t)expected->id);
        return;
    }
    expected->walk = run->walks;
    expected->object = object;
    expect_same(run, expected->first, object->first);
    expect_same(run, expected->second, object->second);
    if (expected->kind == INTERIOR) {
        char *inside = (char *)((inner *)object)->inside;
        expect_same(run, expected->more[0], inside == NULL ? NULL : (thing *)(void *)(inside - offsetof(thing, check)));
    }
    for (unsigned i = 0; has_more(expected->kind) && i < MORE; i++)
        expect_same(run, expected->more[i], *more_slot(object, expected->kind, i));
}

static void compare(program *run, thing **table)
{
    run->walks++;
    for (unsigned i = 0; i < TABLE; i++) expect_same(run, run->table[i], table[i]);
}

/* --- the program --- */

static unsigned steps_of_each = 10000;
static _Atomic uint64_t seeds = 1;

static void *work(tenure_thread *self, void *nothing)
{
    (void)nothing;
    program run = { .self = self };
    run.seed = run.random = atomic_fetch_add(&seeds, 1);
    thing **table = TENURE_NEW_REFS(self, thing, TABLE);
    cr_assert(table != NULL);
    TENURE_FRAME(self, table);
    for (unsigned i = 1; i <= steps_of_each; i++) {
        step(&run, table);
        if (i % 250 == 0) compare(&run, table);
    }
    compare(&run, table);
    while (run.all != NULL) {
        shadow *next = run.all->all;
        free(run.all);
        run.all = next;
    }
    return NULL;
}

static void torture(const char *words, tenure_roots roots, unsigned threads)
{
    const tenure_options options = options_with(words, roots);
    tenure_heap *heap = heap_of(&options);
    tenure_thread *self = tenure_attach(heap);
    cr_assert(self != NULL);
    pthread_t others[4];
    for (unsigned i = 1; i < threads; i++)
        cr_assert(eq(int, tenure_thread_create(self, &others[i], NULL, work, NULL), TENURE_OK));
    work(self, NULL);
    for (unsigned i = 1; i < threads; i++) cr_assert(eq(int, tenure_join(self, others[i], NULL), 0));
    verify(self);
    heap_end(heap, self);
}

static void matrix(const char *words)
{
    for (unsigned threads = 1; threads <= 4; threads += threads == 1 ? 1 : 2) {
        torture(words, TENURE_ROOTS_CONSERVATIVE, threads);
        torture(words, TENURE_ROOTS_PRECISE, threads);
    }
}

Test(torture, small_nursery) { matrix("max_heap=64m,gen0=512k,verify=before,after"); }
Test(torture, every_7th_allocation) { matrix("max_heap=64m,torture=alloc:7,verify=before,after"); }
Test(torture, daemon_leads) { matrix("max_heap=64m,lead=daemon,torture=alloc:23,verify=before,after"); }
Test(torture, evacuate) { matrix("max_heap=64m,torture=alloc:23,evacuate,verify=before,after"); }
Test(torture, nospace) { matrix("max_heap=64m,torture=alloc:23,nospace,verify=before,after"); }
Test(torture, overflow) { matrix("max_heap=64m,torture=alloc:23,overflow,verify=before,after"); }
Test(torture, all_of_it) { matrix("max_heap=64m,torture=alloc:23,evacuate,nospace,overflow,verify=before,after"); }
Test(torture, one_worker) { matrix("max_heap=64m,workers=1,torture=alloc:23,evacuate,overflow,verify=before,after"); }
Test(torture, every_poll)
{
    steps_of_each = 300;
    matrix("max_heap=64m,torture=poll,verify=before,after");
}
Test(torture, without_the_verifier)
{
    steps_of_each = 30000;
    matrix("max_heap=64m,gen0=512k,gen1_after=2,gen2_growth=10");
}
