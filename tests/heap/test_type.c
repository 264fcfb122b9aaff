/* Types made at run time: what is refused, and that there may be many. */
#include "tests/support.h"
#include <errno.h>
#include <signal.h>

static const size_t at_8 = 8, at_9 = 9, at_16 = 16, far = (size_t)UINT32_MAX + 1;

static void no_trace(void *object, void *low, void *high, tenure_visitor *visitor)
{
    (void)object, (void)low, (void)high, (void)visitor;
}

static void refused(tenure_type_spec spec, const char *why)
{
    errno = 0;
    cr_expect(tenure_type_create(&spec) == NULL, "%s", why);
    cr_expect(eq(int, errno, EINVAL), "%s", why);
}

Test(type, refusals)
{
    refused((tenure_type_spec) { .name = "x" }, "no size");
    refused((tenure_type_spec) { .size = 8 }, "no name");
    refused((tenure_type_spec) { .name = "x", .size = 16, .align = 32 }, "alignment");
    refused((tenure_type_spec) { .name = "x", .size = 16, .align = 3 }, "no power of two");
    refused((tenure_type_spec) { .name = "x", .size = 16, .references = &at_9, .reference_count = 1 }, "misaligned");
    refused((tenure_type_spec) { .name = "x", .size = 16, .references = &at_16, .reference_count = 1 }, "outside");
    refused((tenure_type_spec) { .name = "x", .size = 16, .references = &far, .reference_count = 1 }, "far outside");
    refused((tenure_type_spec) { .name = "x", .size = 16, .flex_references = &at_8, .flex_reference_count = 1 },
        "no flexible part");
    refused(
        (tenure_type_spec) {
            .name = "x", .flex_offset = 8, .flex_stride = 8, .flex_references = &at_8, .flex_reference_count = 1 },
        "outside of the element");
    refused(
        (tenure_type_spec) {
            .name = "x", .flex_offset = 8, .flex_stride = 12, .flex_references = &at_8, .flex_reference_count = 1 },
        "elements misaligned");
    refused((tenure_type_spec) { .name = "x", .size = 8, .trace = no_trace, .ambiguous = true }, "both");
}

/* The caller's memory may go away, and the table of types grows. */
Test(type, many)
{
    enum { MANY = 3000 };
    static const tenure_type *types[MANY];
    tenure_heap *heap = heap_with("max_heap=16m,verify=after");
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < MANY; i++) {
        char name[16];
        size_t offset = 8 * (i % 4);
        snprintf(name, sizeof name, "made %u", i);
        tenure_type_spec spec = { .name = name, .size = 32 + 8 * (i % 3), .references = &offset, .reference_count = 1 };
        types[i] = tenure_type_create(&spec);
        cr_assert(types[i] != NULL);
        memset(name, 0, sizeof name);
        offset = 12345;
        void **object = tenure_alloc(self, types[i], 0);
        object[i % 4] = tenure_new_bytes(self, 8);
        if (i % 500 == 0) collect(self, TENURE_GEN0);
        cr_assert(tenure_type_of(object) == types[i]);
        cr_assert(tenure_object_at(heap, object[i % 4]) == object[i % 4]);
    }
    for (unsigned i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "made %u", i);
        cr_assert(eq(str, (char *)types[i]->name, name));
    }
    heap_end(heap, self);
}

/* References farther into the object than a map reaches. */
Test(type, wide)
{
    enum { WORDS = 200 };
    static size_t offsets[WORDS];
    for (unsigned i = 0; i < WORDS; i++) offsets[i] = 8 * i;
    const tenure_type_spec spec = {
        .name = "wide", .size = sizeof offsets, .references = offsets, .reference_count = WORDS
    };
    const tenure_type *type = tenure_type_create(&spec);
    tenure_heap *heap = precise_heap_with("max_heap=16m,verify=before,after,torture=evacuate");
    tenure_thread *self = tenure_attach(heap);
    static uint64_t **object;
    cr_assert(eq(int, tenure_root_add(heap, &object), TENURE_OK));
    object = tenure_alloc(self, type, 0);
    for (unsigned i = 0; i < WORDS; i++) {
        uint64_t *value = tenure_new_bytes(self, 8);
        *value = i;
        TENURE_SET_AT(self, object, i, value);
    }
    for (int generation = 0; generation < 3; generation++) {
        collect(self, (tenure_generation)generation);
        for (unsigned i = 0; i < WORDS; i++) cr_assert(eq(u64, *object[i], i));
    }
    heap_end(heap, self);
}

/* --- arrays of types whose elements cannot be traced --- */

typedef struct __attribute__((packed)) odd {
    void *reference;
    char more;
} odd;
TENURE_TYPE(odd_type, odd, reference);
typedef struct inner {
    char *inside;
} inner;
TENURE_TYPE(inner_type, inner, TENURE_INTERIOR(inside));

static tenure_thread *quiet_thread(void)
{
    tenure_thread *self = tenure_attach(heap_with("max_heap=16m"));
    be_quiet();
    return self;
}

Test(type, array_of_misaligned, .signal = SIGABRT) { tenure_new_array(quiet_thread(), odd_type, 3); }
Test(type, array_of_interior_references, .signal = SIGABRT) { tenure_new_array(quiet_thread(), inner_type, 3); }
