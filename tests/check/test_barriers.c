/* check=barriers: wrong programs are found in the next collection, right ones are not. */
#include "tests/check/told.h"

typedef struct node {
    struct node *next;
    struct node *others[3];
    void *inside;
} node;
TENURE_TYPE(node_type, node, next, others, TENURE_INTERIOR(inside));

typedef struct box {
    node *content;
} box;
static void box_trace(void *object, void *low, void *high, tenure_visitor *visitor)
{
    (void)low, (void)high;
    tenure_visit(visitor, &((box *)object)->content);
}
TENURE_TYPE_CUSTOM(box_type, box, box_trace);

static tenure_heap *heap;
static tenure_thread *self;
static node *old, *young, *elder;
static node **array;
static box *custom;

static void begin_with(const char *words)
{
    heap = precise_heap_with(words);
    self = tenure_attach(heap);
    old = young = elder = NULL; /* not the last heap's */
    array = NULL;
    custom = NULL;
    void *const roots[] = { &old, &young, &elder, &array, &custom };
    for (unsigned i = 0; i < sizeof roots / sizeof roots[0]; i++)
        cr_assert(eq(int, tenure_root_add(heap, roots[i]), TENURE_OK));
    old = tenure_new(self, node_type);
    elder = tenure_new(self, node_type);
    array = TENURE_NEW_REFS(self, node, 5000);
    custom = tenure_new(self, box_type);
    collect(self, TENURE_GEN2);
    young = tenure_new(self, node_type);
}
static void begin(void) { begin_with("max_heap=64m,check=barriers"); }
TestSuite(barriers, .init = begin);

static void (*wrong_program)(void);
static void run_wrong(void)
{
    begin();
    wrong_program();
    tenure_collect(self, TENURE_GEN0);
}
static void expect_told(void (*wrong)(void), const char *what)
{
    heap_end(heap, self);
    wrong_program = wrong;
    const char *text = told(run_wrong);
    expect_said(text, what);
    expect_said(text, "allocated in begin_with+");
}

static void store_in_field(void) { old->next = young; }
static void store_in_element(void) { old->others[2] = young; }
static void store_inside(void) { old->inside = &young->others[1]; }
static void store_in_array(void) { array[3000] = young; }
static void store_old_in_old(void) { old->next = elder; }
static void store_in_custom(void) { custom->content = young; }
static void store_beside_a_dirty_card(void)
{
    TENURE_SET_AT(self, array, 0, young);
    array[3000] = young;
}

Test(barriers, field) { expect_told(store_in_field, "next of node"); }
Test(barriers, element) { expect_told(store_in_element, "others[2] of node"); }
Test(barriers, interior) { expect_told(store_inside, "inside of node"); }
Test(barriers, large) { expect_told(store_in_array, "[3000] of references"); }
Test(barriers, large_with_another_card) { expect_told(store_beside_a_dirty_card, "[3000] of references"); }
Test(barriers, between_old_ones) { expect_told(store_old_in_old, "next of node"); }
Test(barriers, custom) { expect_told(store_in_custom, "of box"); }

Test(barriers, right_programs_are_right)
{
    static const char *const words[] = { "max_heap=64m,check=barriers", "max_heap=64m,check=barriers,verify=all,"
                                                                        "torture=alloc:30,overflow,nospace,evacuate" };
    for (unsigned i = 0; i < 2; i++) {
        heap_end(heap, self);
        begin_with(words[i]);
        for (unsigned at = 0; at < 3000; at++) {
            node *fresh = tenure_new(self, node_type);
            fresh->next = old; /* in Gen 0: nothing to announce */
            TENURE_SET(self, old, next, fresh);
            TENURE_SET_AT(self, array, at % 5000, fresh);
            TENURE_SET(self, custom, content, fresh);
            old->others[at % 3] = NULL; /* no reference was stored */
            if (at % 500 == 499) collect(self, (tenure_generation)(at / 500 % 3));
        }
        tenure_weak *weak = tenure_weak_new(self, old);
        collect(self, TENURE_GEN2);
        cr_expect(weak != NULL);
    }
}

/* What could not be logged is announced too: by the block that it lies in, though its object begins in another one. */
Test(barriers, logs_that_overflow)
{
    heap_end(heap, self);
    begin_with("max_heap=64m,check=barriers,verify=all,torture=overflow");
    for (unsigned i = 0; i < 2000; i++) {
        node *next = tenure_new(self, node_type);
        next->next = old;
        old = next;
    }
    collect(self, TENURE_GEN2);
    young = tenure_new(self, node_type);
    for (node *at = old; at != NULL; at = at->next) TENURE_SET(self, at, others[1], young);
    TENURE_SET_AT(self, array, 4990, young);
    verify(self);
    for (int generation = 0; generation < 3; generation++) {
        collect(self, (tenure_generation)generation);
        for (node *at = old; at != NULL; at = at->next) cr_assert(eq(ptr, at->others[1], young));
        cr_assert(eq(ptr, array[4990], young));
    }
}
