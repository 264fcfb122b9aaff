/* The allocation calls: sizes at every border, alignment, copies, resizing, and what can be asked of an object. */
#include "tests/support.h"
#include <errno.h>
#include <signal.h>

typedef struct node {
    struct node *next;
    uint64_t value;
} node;
TENURE_TYPE(node_type, node, next);

typedef struct text {
    uint32_t length;
    char bytes[];
} text;
TENURE_TYPE_FLEX(text_type, text, bytes);

typedef struct refs {
    uint64_t count;
    node *slots[];
} refs;
TENURE_TYPE_FLEX_REFS(refs_type, refs, slots);

typedef struct big {
    node *first;
    char bytes[TENURE__SMALL_MAX - 8];
} big;
TENURE_TYPE(big_type, big, first);

typedef struct bigger {
    node *first;
    char bytes[TENURE__SMALL_MAX];
} bigger;
TENURE_TYPE(bigger_type, bigger, first);

typedef struct tiny {
    char byte;
} tiny;
TENURE_TYPE_LEAF(tiny_type, tiny);

static tenure_heap *heap;
static tenure_thread *self;

static void begin(void)
{
    heap = heap_with("max_heap=512m,verify=after");
    self = tenure_attach(heap);
    cr_assert(self != NULL);
}
static void end(void) { heap_end(heap, self); }

TestSuite(allocate, .init = begin, .fini = end);

static bool all_zero(const void *object, size_t bytes)
{
    const unsigned char *at = object;
    for (size_t i = 0; i < bytes; i++)
        if (at[i] != 0) return false;
    return true;
}

static bool is_aligned(const void *object, size_t align) { return (uintptr_t)object % align == 0; }

static void expect_fresh(void *object, size_t bytes)
{
    cr_assert(object != NULL);
    cr_assert(is_aligned(object, 16));
    cr_assert(ge(sz, tenure_size_of(object), bytes));
    cr_assert(all_zero(object, tenure_size_of(object)), "%zu bytes are not zero", bytes);
    cr_assert(eq(int, generation_of(heap, object), 0));
    cr_assert(tenure_heap_contains(heap, object));
}

/* Each object is filled to its last usable byte: whoever was given too little destroys its neighbour. */
Test(allocate, sizes)
{
    enum { COUNT = 700 };
    static unsigned char *objects[COUNT];
    cr_assert(eq(int, tenure_root_range_add(heap, objects, sizeof objects, TENURE_PRECISE), TENURE_OK));
    unsigned made = 0;
    for (size_t bytes = 0; bytes <= 600; bytes++) {
        objects[made] = tenure_new_bytes(self, bytes);
        expect_fresh(objects[made], bytes);
        memset(objects[made], (int)(made & 0xff), tenure_size_of(objects[made]));
        made++;
    }
    const size_t borders[] = { 4080, 4088, 4096, 8184, 16000, TENURE__SMALL_MAX - 1, TENURE__SMALL_MAX,
        TENURE__SMALL_MAX + 1, 16384, 32744, 32752, 32760, 32768, 65536, 1000000 };
    for (unsigned i = 0; i < sizeof borders / sizeof borders[0]; i++) {
        objects[made] = tenure_new_bytes(self, borders[i]);
        expect_fresh(objects[made], borders[i]);
        cr_expect(eq(int, is_large(objects[made]), borders[i] > TENURE__SMALL_MAX));
        memset(objects[made], (int)(made & 0xff), tenure_size_of(objects[made]));
        made++;
    }
    for (int generation = 0; generation < 3; generation++) {
        collect(self, (tenure_generation)generation);
        for (unsigned i = 0; i < made; i++)
            for (size_t j = 0; j < tenure_size_of(objects[i]); j++) cr_assert(objects[i][j] == (i & 0xff));
    }
}

Test(allocate, sixty_four_megabytes)
{
    const size_t bytes = 64u << 20;
    unsigned char *object = tenure_new_bytes(self, bytes);
    expect_fresh(object, bytes);
    object[0] = 1;
    object[bytes - 1] = 2;
    for (int generation = 0; generation < 3; generation++) {
        collect(self, (tenure_generation)generation);
        cr_assert(eq(int, object[0], 1));
        cr_assert(eq(int, object[bytes - 1], 2));
    }
    cr_expect(eq(int, generation_of(heap, object), 2));
    cr_expect(eq(ptr, tenure_object_at(heap, object + bytes / 2), object));
}

Test(allocate, largest_small_and_smallest_large_struct)
{
    big *small = tenure_new(self, big_type);
    expect_fresh(small, sizeof *small);
    cr_expect(not(is_large(small)));
    bigger *large = tenure_new(self, bigger_type);
    expect_fresh(large, sizeof *large);
    cr_expect(is_large(large));
    small->first = tenure_new(self, node_type);
    small->first->value = 3;
    TENURE_SET(self, large, first, small->first);
    for (int generation = 0; generation < 3; generation++) {
        collect(self, (tenure_generation)generation);
        cr_expect(eq(u64, small->first->value, 3));
        cr_expect(eq(ptr, large->first, small->first));
    }
    tiny *byte = tenure_new(self, tiny_type);
    expect_fresh(byte, 1);
}

Test(allocate, of_what_type)
{
    node *object = tenure_new(self, node_type);
    cr_expect(IS_OF(object, node_type));
    cr_expect(not(IS_OF(object, text_type)));
    cr_expect(eq(str, (char *)tenure_type_of(object)->name, "node_type"));
    cr_expect(eq(ptr, tenure_object_at(heap, object), object));
    cr_expect(eq(ptr, tenure_object_at(heap, &object->value), object));
    cr_expect(eq(ptr, tenure_object_at(heap, &heap), NULL));
    cr_expect(not(tenure_heap_contains(heap, &heap)));
    cr_expect(not(tenure_heap_contains(heap, NULL)));
}

Test(allocate, initialisers)
{
    node *first = tenure_new(self, node_type);
    node *object = TENURE_NEW(self, node_type, .next = first, .value = 7);
    cr_expect(eq(ptr, object->next, first));
    cr_expect(eq(u64, object->value, 7));
}

Test(allocate, aligned)
{
    for (size_t align = 1; align <= 4096; align *= 2) {
        const size_t sizes[] = { 0, 1, 100, 5000, 40000 };
        for (unsigned i = 0; i < 5; i++) {
            unsigned char *object = tenure_new_aligned(self, sizes[i], align);
            expect_fresh(object, sizes[i]);
            cr_assert(is_aligned(object, align));
            memset(object, 0x77, sizes[i]);
            collect(self, i % 2 == 0 ? TENURE_GEN0 : TENURE_GEN2);
            cr_assert(is_aligned(object, align));
            for (size_t j = 0; j < sizes[i]; j++) cr_assert(object[j] == 0x77);
        }
    }
    const size_t bad[] = { 0, 3, 24, 8192 };
    for (unsigned i = 0; i < 4; i++) {
        errno = 0;
        cr_expect(tenure_new_aligned(self, 10, bad[i]) == NULL);
        cr_expect(eq(int, errno, EINVAL));
    }
}

/* --- flexible parts --- */

Test(allocate, flexible)
{
    const size_t counts[] = { 0, 1, 4, 5, 13, 1000, TENURE__SMALL_MAX - 4, TENURE__SMALL_MAX - 3, 100000 };
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        text *object = tenure_new_flex(self, text_type, counts[i]);
        expect_fresh(object, offsetof(text, bytes) + counts[i]);
        object = tenure_alloc(self, &text_type__type, counts[i]);
        expect_fresh(object, offsetof(text, bytes) + counts[i]);
        cr_expect(IS_OF(object, text_type));
    }
    node **none = TENURE_NEW_REFS(self, node, 0);
    expect_fresh(none, 0);
    node *array = tenure_new_array(self, node_type, 0);
    expect_fresh(array, 0);
}

Test(allocate, counts_that_overflow)
{
    const size_t counts[] = { SIZE_MAX, SIZE_MAX / 8, SIZE_MAX / 8 + 1, SIZE_MAX / 16 + 1, (size_t)1 << 60,
        (size_t)1 << 62, SIZE_MAX - 24, (size_t)1 << 47 };
    const uint64_t before = collections_of(heap);
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        void *made[6];
        for (unsigned way = 0; way < 6; way++) {
            errno = 0;
            switch (way) {
            case 0:
                made[way] = tenure_new_flex(self, text_type, counts[i]);
                break;
            case 1:
                made[way] = tenure_new_flex(self, refs_type, counts[i]);
                break;
            case 2:
                made[way] = TENURE_NEW_REFS(self, node, counts[i]);
                break;
            case 3:
                made[way] = tenure_new_array(self, node_type, counts[i]);
                break;
            case 4:
                made[way] = tenure_new_bytes(self, counts[i]);
                break;
            case 5:
                made[way] = tenure_new_aligned(self, counts[i], 64);
                break;
            }
            cr_assert(made[way] == NULL, "way %u, count %zx", way, counts[i]);
            cr_assert(eq(int, errno, ENOMEM));
        }
    }
    cr_expect(lt(u64, collections_of(heap) - before, 100));
    verify(self);
}

/* --- copies --- */

Test(allocate, clones)
{
    node *object = TENURE_NEW(self, node_type, .value = 5);
    object->next = object;
    node *copy = tenure_clone(self, object);
    cr_expect(ne(ptr, copy, object));
    cr_expect(eq(ptr, copy->next, object));
    cr_expect(eq(u64, copy->value, 5));
    const size_t counts[] = { 0, 1, 9, 3000, 90000 };
    for (unsigned i = 0; i < 5; i++) {
        refs *list = tenure_new_flex(self, refs_type, counts[i]);
        list->count = counts[i];
        for (size_t j = 0; j < counts[i]; j++) tenure_store(self, list, &list->slots[j], object);
        collect(self, i % 2 == 0 ? TENURE_GEN0 : TENURE_GEN2);
        refs *twin = tenure_clone(self, list);
        cr_assert(eq(u64, twin->count, counts[i]));
        cr_assert(eq(sz, tenure_size_of(twin), tenure_size_of(list)));
        for (size_t j = 0; j < counts[i]; j++) cr_assert(eq(ptr, twin->slots[j], object));
        cr_expect(eq(int, generation_of(heap, twin), 0));
    }
}

Test(allocate, resized)
{
    text *object = tenure_new_flex(self, text_type, 10);
    object->length = 10;
    memcpy(object->bytes, "0123456789", 10);
    cr_expect(eq(ptr, tenure_resize(self, object, 3), object), "it fits");
    cr_expect(eq(ptr, tenure_resize(self, object, 10), object));
    text *longer = tenure_resize(self, object, 100000);
    cr_expect(ne(ptr, longer, object));
    cr_expect(eq(u32, longer->length, 10));
    cr_expect(memcmp(longer->bytes, "0123456789", 10) == 0);
    cr_expect(all_zero(longer->bytes + 12, 100000 - 12));
    cr_expect(memcmp(object->bytes, "0123456789", 10) == 0, "the old one stays as it was");
    char *bytes = tenure_new_bytes(self, 5);
    memcpy(bytes, "abcde", 5);
    char *more = tenure_resize(self, bytes, 50);
    cr_expect(ge(sz, tenure_size_of(more), 50));
    cr_expect(memcmp(more, "abcde", 5) == 0);
    errno = 0;
    cr_expect(tenure_resize(self, bytes, SIZE_MAX) == NULL);
    cr_expect(eq(int, errno, ENOMEM));
}

Test(allocate, resize_of_a_fixed_type, .signal = SIGABRT)
{
    be_quiet();
    tenure_resize(self, tenure_new(self, node_type), 2);
}

/* Resized in a loop, as a growing array is, while the heap moves. */
Test(allocate, growing)
{
    refs *list = tenure_new_flex(self, refs_type, 1);
    for (uint64_t i = 0; i < 20000; i++) {
        node *object = TENURE_NEW(self, node_type, .value = i);
        if ((tenure_size_of(list) - offsetof(refs, slots)) / sizeof list->slots[0] <= i)
            list = tenure_resize(self, list, i + i / 2 + 1);
        tenure_store(self, list, &list->slots[i], object);
        list->count = i + 1;
        if (i % 3000 == 0) collect(self, i % 2000 == 0 ? TENURE_GEN2 : TENURE_GEN0);
    }
    for (uint64_t i = 0; i < list->count; i++) cr_assert(eq(u64, list->slots[i]->value, i));
}

/* The source moves or dies while the copy is allocated, unless it is pinned. */
Test(allocate, bytes_dup_from_the_heap)
{
    heap_end(heap, self);
    heap = precise_heap_with("max_heap=64m,torture=alloc:1,verify=after");
    self = tenure_attach(heap);
    static char *source;
    cr_assert(eq(int, tenure_root_add(heap, &source), TENURE_OK));
    source = tenure_bytes_dup(self, "a text that is longer than a granule", 37);
    for (unsigned i = 0; i < 50; i++) {
        char *copy = tenure_bytes_dup(self, source + 2, 35);
        cr_assert(eq(str, copy, "text that is longer than a granule"));
        cr_assert(eq(str, source, "a text that is longer than a granule"));
        source = tenure_clone(self, source);
    }
    cr_expect(ne(ptr, tenure_bytes_dup(self, "", 0), NULL));
}
