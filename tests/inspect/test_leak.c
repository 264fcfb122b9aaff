/* debug=leak: what finalizers alone keep, by type, and what of it lies on cycles with them. */
#include "tests/threads/threads.h"
#include <unistd.h>

typedef struct item {
    struct item *next, *other;
} item;
TENURE_TYPE(knot_type, item, next, other); /* of cycles */
TENURE_TYPE(bead_type, item, next, other); /* of chains */
typedef struct leaf {
    uint64_t value[7];
} leaf;
TENURE_TYPE_LEAF(leaf_type, leaf);
typedef struct wide {
    item *first;
    uint64_t filler[8000];
} wide;
TENURE_TYPE(wide_type, wide, first);
static void trace_hollow(void *object, void *low, void *high, tenure_visitor *visitor)
{
    (void)low, (void)high;
    tenure_visit(visitor, object);
}
TENURE_TYPE_CUSTOM(hollow_type, item, trace_hollow);
TENURE_TYPE_AMBIGUOUS(vague_type, item);

static tenure_heap *heap;
static tenure_thread *self;
static item *root;

/* What the listener heard; the test reads it when the end of the last collection was told. */
static struct {
    flag ends;
    unsigned reports;
    tenure_leak all;
    tenure_leak_row rows[16];
} heard;

static void hear(const tenure_event *event, void *arg)
{
    (void)arg;
    if (event->kind == TENURE_EVENT_LEAK) {
        heard.reports++;
        heard.all = *event->leak;
        for (size_t i = 0; i < event->leak->count && i < 16; i++) heard.rows[i] = event->leak->rows[i];
    } else {
        REQUIRE(event->leak == NULL);
    }
    if (event->kind == TENURE_EVENT_END) atomic_fetch_add(&heard.ends, 1);
}

static void start(const char *words)
{
    tenure_options options = options_with(words, TENURE_ROOTS_PRECISE);
    options.finalizers = TENURE_PUMP;
    heap = heap_of(&options);
    self = tenure_attach(heap);
    root = NULL;
    memset(&heard, 0, sizeof heard);
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
    cr_assert(eq(int, tenure_listen(heap, hear, NULL), TENURE_OK));
}
static void end(void) { heap_end(heap, self); }

static void nothing(tenure_thread *thread, void *object, void *arg) { (void)thread, (void)object, (void)arg; }
static void finalize(void *object) { cr_assert(eq(int, tenure_finalize(self, object, nothing, NULL), TENURE_OK)); }

/* How many reports this collection made. */
static unsigned reports_of(tenure_generation generation)
{
    const unsigned before = heard.reports;
    collect(self, generation);
    await(&heard.ends, (int)collections_of(heap));
    return heard.reports - before;
}

static void expect_row(const tenure_type *type, uint64_t objects, uint64_t finalizers, uint64_t on_cycles)
{
    const tenure_leak_row *row = NULL;
    for (size_t i = 0; i < heard.all.count; i++)
        if (heard.rows[i].type == type) row = &heard.rows[i];
    cr_assert(row != NULL, "no row of %s", type->name);
    cr_expect(eq(u64, row->objects, objects), "%s", type->name);
    cr_expect(eq(u64, row->finalizers, finalizers), "%s", type->name);
    cr_expect(eq(u64, row->on_cycles, on_cycles), "%s", type->name);
    cr_expect(row->bytes >= objects * 16 && row->bytes % 16 == 0);
}

/* a <-> b, both finalizable, a leads to a leaf too; c -> d, both finalizable, leads to one that is not, and to what is
 * alive. */
static void make_knot_and_chain(void)
{
    item *a = NULL, *b = NULL;
    leaf *tail = NULL;
    TENURE_FRAME(self, a, b, tail);
    root = tenure_new(self, bead_type);
    a = tenure_new(self, knot_type);
    b = tenure_new(self, knot_type);
    tail = tenure_new(self, leaf_type);
    TENURE_SET(self, a, next, b);
    TENURE_SET(self, b, next, a);
    tenure_store(self, a, &a->other, tail);
    finalize(a);
    finalize(b);
    a = tenure_new(self, bead_type);
    b = tenure_new(self, bead_type);
    TENURE_SET(self, a, next, b);
    TENURE_SET(self, a, other, root);
    finalize(a);
    finalize(b);
    a = tenure_new(self, bead_type);
    TENURE_SET(self, b, next, a);
}

static void knot_and_chain(const char *words)
{
    start(words);
    make_knot_and_chain();
    for (unsigned i = 0; i < 2; i++) {
        cr_expect(eq(uint, reports_of(TENURE_GEN2), 1 - i));
        if (i == 0) {
            cr_expect(eq(u64, heard.all.objects, 6));
            cr_expect(eq(u64, heard.all.finalizers, 4));
            cr_expect(eq(u64, heard.all.on_cycles, 2));
            expect_row(&knot_type__type, 2, 2, 2);
            expect_row(&bead_type__type, 3, 2, 0);
            expect_row(&leaf_type__type, 1, 0, 0);
            cr_expect(ge(u64, heard.rows[0].bytes, heard.rows[heard.all.count - 1].bytes));
        }
    }
    cr_expect(eq(sz, tenure_finalizers_pump(self, SIZE_MAX), 4));
    cr_expect(eq(uint, reports_of(TENURE_GEN2), 0));
    end();
}
Test(leak, a_cycle_is_named_and_a_chain_is_not) { knot_and_chain("debug=leak,verify=before,after"); }
Test(leak, under_torture) { knot_and_chain("debug=leak,verify=after,torture=evacuate+overflow+nospace"); }

Test(leak, young_collections_and_other_heaps_do_not_report)
{
    start("debug=leak");
    make_knot_and_chain();
    cr_expect(eq(uint, reports_of(TENURE_GEN1), 0));
    cr_expect(eq(uint, reports_of(TENURE_GEN2), 0)); /* due since then */
    end();
    start("");
    make_knot_and_chain();
    cr_expect(eq(uint, reports_of(TENURE_GEN2), 0));
    end();
}

/* Cycles of every shape: through a large object, a custom and an ambiguous one, old and young ones; of one object; one
 * without finalizers that hangs on another. */
static void make_cycles(void)
{
    item *a = NULL, *b = NULL, *c = NULL;
    wide *large = NULL;
    TENURE_FRAME(self, a, b, c, large);
    large = tenure_new(self, wide_type);
    collect(self, TENURE_GEN2);
    a = tenure_new(self, hollow_type);
    collect(self, TENURE_GEN0);
    b = tenure_new(self, vague_type);
    c = tenure_new(self, bead_type); /* young */
    tenure_store(self, large, &large->first, a);
    TENURE_SET(self, a, next, b);
    TENURE_SET(self, b, other, c);
    tenure_store(self, c, &c->next, large);
    finalize(c);
    a = tenure_new(self, knot_type);
    TENURE_SET(self, a, other, a);
    finalize(a);
    b = tenure_new(self, vague_type);
    c = tenure_new(self, vague_type);
    TENURE_SET(self, a, next, b);
    TENURE_SET(self, b, next, c);
    TENURE_SET(self, c, next, b);
}

Test(leak, cycles_of_any_kind)
{
    start("debug=leak,verify=before,after");
    make_cycles();
    cr_expect(eq(uint, reports_of(TENURE_GEN2), 1));
    expect_row(&wide_type__type, 1, 0, 1);
    expect_row(&hollow_type__type, 1, 0, 1);
    expect_row(&vague_type__type, 3, 0, 1); /* two of them on a cycle without a finalizer */
    expect_row(&bead_type__type, 1, 1, 1);
    expect_row(&knot_type__type, 1, 1, 1);
    cr_expect(eq(u64, heard.all.objects, 7));
    end();
}

/* Deep and wide: the search has a stack of its own, and looks at every reference twice. */
enum { LENGTH = 200000 };
static void make_long_cycle(void)
{
    item *last = NULL, *next = NULL;
    TENURE_FRAME(self, last, next);
    last = root = tenure_new(self, knot_type);
    for (unsigned i = 1; i < LENGTH; i++) {
        next = tenure_new(self, knot_type);
        TENURE_SET(self, next, other, last);
        TENURE_SET(self, last, next, next);
        last = next;
    }
    TENURE_SET(self, last, next, root);
    finalize(last);
    root = NULL;
}

Test(leak, a_long_cycle)
{
    start("debug=leak");
    make_long_cycle();
    cr_expect(eq(uint, reports_of(TENURE_GEN2), 1));
    expect_row(&knot_type__type, LENGTH, 1, LENGTH);
    end();
}

static char written[8192];
static void read_stderr(void (*fn)(void))
{
    FILE *file = tmpfile();
    cr_assert(file != NULL);
    const int old = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    fn();
    fflush(stderr);
    dup2(old, STDERR_FILENO);
    close(old);
    rewind(file);
    written[fread(written, 1, sizeof written - 1, file)] = '\0';
    fclose(file);
}

static void leak_three_times(void)
{
    start("debug=leak");
    for (unsigned i = 0; i < 3; i++) {
        make_knot_and_chain();
        cr_expect(eq(uint, reports_of(TENURE_GEN2), 1));
    }
    root = NULL;
    end();
}

Test(leak, printed_now_and_then)
{
    const uint64_t began = tenure__now_ns();
    read_stderr(leak_three_times);
    const char *first = strstr(written, " leak: finalizers alone keep 6 objects, ");
    cr_assert(first != NULL, "%s", written);
    cr_expect(strstr(first, "4 of them have one, 2 lie on cycles with finalizers\n") != NULL, "%s", written);
    cr_expect(strstr(first, "          2          2  knot_type\n") != NULL, "%s", written);
    cr_expect(strstr(first, "          2          0  bead_type\n") != NULL, "%s", written);
    if (tenure__now_ns() - began < 1000000000) cr_expect(strstr(first + 1, " leak: ") == NULL, "%s", written);
}
