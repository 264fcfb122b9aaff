/* AddressSanitizer is told what is free: a use of a dead object is its to report, and check=uses says what it was. */
#include "tests/check/told.h"
#include <sched.h>

typedef struct node {
    struct node *next;
    uint64_t value;
} node;
TENURE_TYPE(node_type, node, next);

static tenure_thread *self;
static node *root;
static uint64_t volatile seen;

static tenure_heap *heap;

static void begin(void)
{
    heap = precise_heap_with("max_heap=64m,check=uses,return_delay=0");
    self = tenure_attach(heap);
    tenure_root_add(heap, &root);
}

static void reads_what_died(void)
{
    begin();
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_collect(self, TENURE_GEN0);
    seen = lost->value;
}
static void reads_what_moved(void)
{
    begin();
    root = TENURE_NEW(self, node_type, .value = 7);
    node *volatile before = root;
    tenure_collect(self, TENURE_GEN0);
    seen = before->value;
}
static void reads_a_hole_of_gen2(void)
{
    begin();
    node *volatile lost = NULL;
    for (unsigned i = 0; i < 100; i++) {
        root = TENURE_NEW(self, node_type, .next = root, .value = i);
        if (i == 50) lost = root;
    }
    for (unsigned i = 0; i < 2; i++) tenure_collect(self, TENURE_GEN2);
    lost = root;
    for (unsigned i = 0; i < 40; i++) lost = lost->next;
    node *after = lost->next, *before = root;
    while (before->next != lost) before = before->next;
    TENURE_SET(self, before, next, after);
    tenure_collect(self, TENURE_GEN2);
    seen = lost->value;
}
static void reads_what_the_system_has_back(void)
{
    begin();
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_collect(self, TENURE_GEN0);
    while (atomic_load(&heap->free_count) != 0) sched_yield();
    seen = lost->value;
}
static void reads_what_is_populated_again(void)
{
    begin();
    node *volatile lost = TENURE_NEW(self, node_type, .value = 7);
    tenure_collect(self, TENURE_GEN0);
    while (atomic_load(&heap->free_count) != 0) sched_yield();
    atomic_store(&heap->gen0_used, 0);
    tenure__populate_ahead(heap);
    seen = lost->value;
}
/* What died lies in the block into which something was promoted, behind it. */
static void reads_behind_what_was_promoted(void)
{
    enum { NODES = 60000, PROMOTED = 150000 };
    static node *lost[NODES];
    begin();
    for (unsigned i = 0; i < NODES; i++) lost[i] = TENURE_NEW(self, node_type, .value = i);
    tenure_collect(self, TENURE_GEN0);
    for (unsigned i = 0; i < PROMOTED; i++) {
        root = TENURE_NEW(self, node_type, .next = root);
        if (i % 700 != 0) continue;
        tenure_collect(self, TENURE_GEN0);
        for (unsigned at = 0; at < NODES; at++)
            if (lost[at] > root && (uintptr_t)lost[at] >> TENURE__BLOCK_SHIFT == (uintptr_t)root >> TENURE__BLOCK_SHIFT)
                seen = lost[at]->value;
    }
}
static void reads_a_large_one(void)
{
    begin();
    node **volatile lost = TENURE_NEW_REFS(self, node, 10000);
    tenure_collect(self, TENURE_GEN0);
    seen = (uintptr_t)lost[9999];
}
static void writes_beyond_its_end(void)
{
    begin();
    char *volatile bytes = tenure_new_bytes(self, 100);
    bytes[8000] = 1; /* in a window that was not opened yet */
}

#if defined(TENURE__POISON_ASAN)
enum { NO_ASAN = false };
#else
enum { NO_ASAN = true };
static int __asan_address_is_poisoned(void const volatile *address) { return address != NULL; }
#endif
TestSuite(poison, .disabled = NO_ASAN);

static void expect_report(void (*wrong)(void), const char *function, const char *what, const char *became)
{
    char text[256];
    const char *said = told(wrong);
    expect_said(said, "use-after-poison");
    snprintf(text, sizeof text, "in %s", function);
    expect_said(said, text);
    expect_said(said, what);
    expect_said(said, became);
    snprintf(text, sizeof text, "allocated in %s+", function);
    expect_said(said, text);
}
#define EXPECT_REPORT(wrong, what, became) expect_report(wrong, #wrong, what, became)

Test(poison, dead) { EXPECT_REPORT(reads_what_died, "a node_type was at", "is dead"); }
Test(poison, moved) { EXPECT_REPORT(reads_what_moved, "a node_type was at", "has moved to"); }
Test(poison, hole) { EXPECT_REPORT(reads_a_hole_of_gen2, "a node_type was at", "is dead"); }
Test(poison, promoted) { EXPECT_REPORT(reads_behind_what_was_promoted, "a node_type was at", "is dead"); }
Test(poison, returned) { EXPECT_REPORT(reads_what_the_system_has_back, "a node_type was at", "is dead"); }
Test(poison, populated) { EXPECT_REPORT(reads_what_is_populated_again, "a node_type was at", "is dead"); }
Test(poison, large) { EXPECT_REPORT(reads_a_large_one, "a references was at", "is dead"); }
Test(poison, unused) { EXPECT_REPORT(writes_beyond_its_end, "a bytes is at", "check=uses"); }

/* Also while the daemon has them in hand. */
Test(poison, stays_while_blocks_are_returned, .timeout = 60)
{
    enum { NODES = 100000, FAR = 1000 };
    static node *lost[NODES / FAR];
    begin();
    for (unsigned i = 0; i < NODES; i++) {
        node *made = TENURE_NEW(self, node_type, .value = i);
        if (i % FAR == 0) lost[i / FAR] = made;
    }
    tenure_collect(self, TENURE_GEN0);
    while (atomic_load(&heap->free_count) != 0)
        for (unsigned i = 0; i < NODES / FAR; i++)
            cr_assert(__asan_address_is_poisoned(lost[i]), "the memory of object %u is open", i * FAR);
    heap_end(heap, self);
}
