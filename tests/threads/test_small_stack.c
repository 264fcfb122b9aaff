/* Threads with hardly any stack: a mutator that leads a collection, or helps in one, needs at most 4 KiB of its own. */
#include "tests/threads/threads.h"
#include <limits.h>
#include <unistd.h>

#ifdef __OPTIMIZE__
#define LARGER_FRAMES SANITIZED
#else
#define LARGER_FRAMES true
#endif

enum { PAINTED = 9000, AT_MOST = 4096, PAINT = 0x5a };

typedef struct tree {
    struct tree *left, *right;
    char *inside;
    uint64_t value;
} tree;
TENURE_TYPE(tree_type, tree, left, right, TENURE_INTERIOR(inside));
TENURE_TYPE_AMBIGUOUS(vague_type, tree);
static void trace_tree(void *object, void *low, void *high, tenure_visitor *visitor)
{
    (void)low;
    (void)high;
    tenure_visit_range(visitor, object, 2);
}
TENURE_TYPE_CUSTOM(custom_type, tree, trace_tree);

static tenure_heap *heap;

static void begin(void) { heap = heap_with("max_heap=64m,gen0=256k,gen1_after=2"); }
static void end(void) { cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK)); }

TestSuite(small_stack, .init = begin, .fini = end, .disabled = LARGER_FRAMES);

__attribute__((noinline)) static void paint(void)
{
    volatile unsigned char area[PAINTED];
    for (unsigned i = 0; i < PAINTED; i++) area[i] = PAINT;
    __asm__ volatile("" : : "r"(area) : "memory");
}

/* How much of what was painted has been used since; the same frame as paint's, so the area is the same. */
__attribute__((noinline, no_sanitize("undefined"))) static unsigned used(void)
{
    volatile unsigned char area[PAINTED];
    unsigned untouched = 0;
    __asm__ volatile("" : : "r"(area) : "memory");
    while (untouched < PAINTED && area[untouched] == PAINT) untouched++;
    return PAINTED - untouched;
}

/* Not recursive: the newest of every level becomes a child of the next. */
static tree *grow(tenure_thread *self, uint64_t nodes)
{
    tree *top = NULL, **many = TENURE_NEW_REFS(self, tree, 5000);
    for (uint64_t i = 0; i < nodes; i++) {
        tree *made = i % 16 == 3   ? tenure_new(self, vague_type)
                     : i % 16 == 5 ? tenure_new(self, custom_type)
                                   : tenure_new(self, tree_type);
        REQUIRE(made != NULL && many != NULL);
        made->value = i;
        TENURE_SET(self, made, left, top);
        TENURE_SET(self, made, right, i % 3 == 0 ? many[i % 5000] : NULL);
        TENURE_SET(self, made, inside, (char *)(i % 16 == 3 ? NULL : top));
        TENURE_SET_AT(self, many, i * 7 % 5000, made);
        top = made;
    }
    return top;
}

static unsigned deepest;

static void measure(tenure_thread *self, void (*act)(tenure_thread *))
{
    paint();
    act(self);
    const unsigned bytes = used();
    if (bytes > deepest) deepest = bytes;
}

/* Without Criterion's macros, which take hundreds of bytes of the frame. */
static void collect_all_to(tenure_thread *self, tenure_generation generation)
{
    REQUIRE(tenure_collect(self, generation) == TENURE_OK);
}
static void collect_gen1(tenure_thread *self) { collect_all_to(self, TENURE_GEN1); }
static void collect_gen2(tenure_thread *self) { collect_all_to(self, TENURE_GEN2); }
/* One allocation after another until one of them has led a collection. */
static void lead(tenure_thread *self)
{
    const uint64_t before = collections_of(heap);
    while (collections_of(heap) == before)
        for (unsigned i = 0; i < 64; i++) REQUIRE(tenure_new_bytes(self, 1000) != NULL);
}

static void *live_on_little(void *nothing)
{
    (void)nothing;
    tenure_thread *self = tenure_attach(heap);
    REQUIRE(self != NULL);
    tree *volatile top = grow(self, 3000);
    for (unsigned i = 0; i < 20; i++) {
        measure(self, lead);
        if (i % 4 == 0) measure(self, collect_gen1);
        if (i % 8 == 0) measure(self, collect_gen2);
        TENURE_SET(self, (tree *)top, right, grow(self, 100));
    }
    uint64_t count = 0;
    for (const tree *at = top; at != NULL; at = at->left) count++;
    REQUIRE(count == 3000);
    tenure_detach(self);
    return NULL;
}

static void run_on(size_t stack_bytes, unsigned threads)
{
    pthread_t ids[4];
    pthread_attr_t small;
    REQUIRE(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, stack_bytes) == 0);
    for (unsigned i = 0; i < threads; i++) REQUIRE(pthread_create(&ids[i], &small, live_on_little, NULL) == 0);
    for (unsigned i = 0; i < threads; i++) join_thread(ids[i]);
    REQUIRE(pthread_attr_destroy(&small) == 0);
}

Test(small_stack, of_the_least_size_that_a_thread_may_have) { run_on((size_t)sysconf(_SC_THREAD_STACK_MIN), 1); }

Test(small_stack, several_that_help_each_other) { run_on((size_t)sysconf(_SC_THREAD_STACK_MIN), 4); }

Test(small_stack, collections_take_4_KiB_of_it_at_most)
{
    const size_t least = (size_t)sysconf(_SC_THREAD_STACK_MIN); /* 128 KiB on AArch64 */
    run_on(least > 64 * 1024 ? least : 64 * 1024, 1);
    cr_assert(deepest > 0);
    cr_assert(le(u32, deepest, AT_MOST));
}
