/* Objects, referents, referrers: nothing is missed and nothing comes twice, wherever objects lie and whoever runs. */
#include "tests/threads/fork.h"

typedef struct pair {
    struct pair *left, *right;
    char *inside; /* interior */
    uint64_t value;
} pair;
TENURE_TYPE(pair_type, pair, left, right, TENURE_INTERIOR(inside));

typedef struct sack {
    size_t count;
    void *items[];
} sack;
static void trace_sack(void *object, void *low, void *high, tenure_visitor *visitor)
{
    sack *this = object;
    for (size_t i = 0; i < this->count; i++)
        if ((void *)&this->items[i] >= low && (void *)&this->items[i] < high) tenure_visit(visitor, &this->items[i]);
}
TENURE_TYPE_CUSTOM_FLEX(sack_type, sack, items, trace_sack);

typedef struct words {
    uintptr_t words[4];
} words;
TENURE_TYPE_AMBIGUOUS(words_type, words);

typedef struct leaf {
    uint64_t value[2];
} leaf;
TENURE_TYPE_LEAF(leaf_type, leaf);

static const char *const heaps[] = { "verify=before,after", "verify=before,after,torture=alloc:7,evacuate",
    "verify=after,torture=poll,nospace", "gen0=64k,torture=overflow", "lead=daemon,workers=1" };
enum { HEAPS = sizeof heaps / sizeof heaps[0] };

static tenure_heap *heap;
static tenure_thread *self;
static pair *root;
static void *other;

/* Both kinds of roots, all heaps. */
static void with_heaps(void (*check)(void))
{
    for (unsigned i = 0; i < 2 * HEAPS; i++) {
        heap = i % 2 == 0 ? heap_with(heaps[i / 2]) : precise_heap_with(heaps[i / 2]);
        self = tenure_attach(heap);
        root = NULL;
        other = NULL;
        cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
        cr_assert(eq(int, tenure_root_add(heap, &other), TENURE_OK));
        check();
        heap_end(heap, self);
    }
}

struct counts {
    uint64_t pairs, sum, large, others;
    unsigned collections;
};

static bool count(tenure_thread *thread, void *object, void *arg)
{
    struct counts *counts = arg;
    (void)thread;
    if (!tenure_is(object, pair_type)) {
        counts->others++;
        counts->large += tenure_size_of(object) > 100000;
        return true;
    }
    counts->pairs++;
    counts->sum += ((pair *)object)->value;
    return true;
}

static void make_pairs(unsigned many)
{
    for (unsigned i = 1; i <= many; i++) {
        pair *made = tenure_new(self, pair_type);
        made->value = i;
        made->left = root;
        root = made;
    }
}

static struct counts counts_of(int generation)
{
    struct counts counts = { 0 };
    cr_assert(eq(int, tenure_each_object(self, generation, count, &counts), TENURE_OK));
    return counts;
}

static void check_everything_once(void)
{
    make_pairs(500);
    collect(self, TENURE_GEN0);
    make_pairs(300);
    collect(self, TENURE_GEN1);
    other = tenure_new_bytes(self, 200000);
    cr_assert(eq(int, tenure_freeze(self), TENURE_OK));
    make_pairs(100);
    struct counts counts = counts_of(-1);
    cr_expect(eq(u64, counts.pairs, 900));
    cr_expect(eq(u64, counts.sum, 500 * 501 / 2 + 300 * 301 / 2 + 100 * 101 / 2));
    cr_expect(eq(u64, counts.large, 1));
    cr_expect(eq(u64, counts_of(0).pairs + counts_of(1).pairs + counts_of(2).pairs, 900));
    cr_expect(eq(u64, counts_of(2).large, 1));
    cr_expect(eq(int, tenure_unfreeze(self), TENURE_OK));
    verify(self);
    /* What is dead is seen until its generation is collected. */
    root = NULL;
    other = NULL;
    clobber_stack();
    collect(self, TENURE_GEN2);
    cr_expect(le(u64, counts_of(-1).pairs, 4), "but for what stale words on the stack hold");
}
Test(objects, everything_once) { with_heaps(check_everything_once); }

/* The callback allocates and collects while the snapshot is delivered: what it holds moves and stays alive. */
static bool count_and_collect(tenure_thread *thread, void *object, void *arg)
{
    struct counts *counts = arg;
    count(thread, object, arg);
    if (counts->pairs == 50) root = NULL;
    if (counts->pairs % 100 == 99) {
        REQUIRE(tenure_collect(thread, (tenure_generation)(counts->collections++ % 3)) == TENURE_OK);
        REQUIRE(tenure_new_bytes(thread, 5000) != NULL);
    }
    return true;
}

static void check_delivery_survives_collections(void)
{
    make_pairs(1000);
    struct counts counts = { 0 };
    cr_assert(eq(int, tenure_each_object(self, -1, count_and_collect, &counts), TENURE_OK));
    cr_expect(eq(u64, counts.pairs, 1000));
    cr_expect(eq(u64, counts.sum, 1000 * 1001 / 2));
    cr_expect(counts.collections >= 9);
    verify(self);
}
Test(objects, delivery_survives_collections) { with_heaps(check_delivery_survives_collections); }

static bool first_only(tenure_thread *thread, void *object, void *arg)
{
    (void)thread;
    (void)object;
    return ++*(unsigned *)arg < 3;
}

/* A child has no thread that is being told of objects, and nothing of what it was being told. */
static flag being_told, told_enough;
static bool wait_while_told(tenure_thread *thread, void *object, void *arg)
{
    (void)object, (void)arg;
    atomic_store(&being_told, 1);
    TENURE_BLOCKING_CALL(thread, await(&told_enough, 1));
    return false;
}
static void *look_at_everything(tenure_thread *thread, void *object)
{
    REQUIRE(tenure_each_object(thread, -1, wait_while_told, NULL) == TENURE_OK);
    return object;
}
static void *write_over_stack(tenure_thread *thread, void *object)
{
    char junk[200000];
    memset(junk, 0x55, sizeof junk);
    __asm__ volatile("" : : "r"(junk) : "memory");
    (void)thread;
    return object;
}
static void collect_in_child(void *arg)
{
    for (unsigned i = 0; i < 4; i++) {
        pthread_t thread;
        REQUIRE(tenure_collect(arg, TENURE_GEN2) == TENURE_OK);
        REQUIRE(tenure_thread_create(arg, &thread, NULL, write_over_stack, NULL) == TENURE_OK);
        TENURE_BLOCKING_CALL(arg, pthread_join(thread, NULL));
    }
    REQUIRE(tenure_collect(arg, TENURE_GEN2) == TENURE_OK);
}
Test(objects, forked_while_another_is_told, .timeout = 120)
{
    heap = heap_with("verify=before,after");
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
    root = tenure_new(self, pair_type);
    pthread_t thread;
    cr_assert(eq(int, tenure_thread_create(self, &thread, NULL, look_at_everything, NULL), TENURE_OK));
    TENURE_BLOCKING_CALL(self, await(&being_told, 1));
    in_child(collect_in_child, self);
    atomic_store(&told_enough, 1);
    TENURE_BLOCKING_CALL(self, pthread_join(thread, NULL));
    tenure_root_remove(heap, &root);
    heap_end(heap, self);
}

Test(objects, stops_when_told)
{
    heap = heap_with("");
    self = tenure_attach(heap);
    make_pairs(10);
    unsigned calls = 0;
    cr_expect(eq(int, tenure_each_object(self, -1, first_only, &calls), TENURE_OK));
    cr_expect(eq(u32, calls, 3));
    cr_expect(eq(int, tenure_each_object(self, 3, first_only, &calls), TENURE_EINVAL));
    heap_end(heap, self);
}

/* --- references --- */

struct list {
    const void *objects[16];
    unsigned count;
};

static bool note(tenure_thread *thread, void *object, void *arg)
{
    struct list *list = arg;
    (void)thread;
    REQUIRE(list->count < 16);
    list->objects[list->count++] = object;
    return true;
}

static struct list referents_of(void *object)
{
    struct list list = { .count = 0 };
    cr_assert(eq(int, tenure_referents(self, object, note, &list), TENURE_OK));
    return list;
}

static struct list referrers_of(void *object)
{
    struct list list = { .count = 0 };
    cr_assert(eq(int, tenure_referrers(self, object, note, &list), TENURE_OK));
    return list;
}

/* In a heap in which nothing moves once it is in Gen 2. */
Test(references, of_every_kind)
{
    heap = heap_with("verify=before,after");
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
    leaf *plain = tenure_new(self, leaf_type);
    pair *target = tenure_new(self, pair_type);
    root = tenure_new(self, pair_type);
    root->left = target;
    root->right = target;
    root->inside = (char *)plain + 8;
    sack *custom = tenure_new_flex(self, sack_type, 6000); /* large */
    custom->count = 6000;
    custom->items[5999] = target;
    custom->items[0] = plain;
    words *ambiguous = tenure_new(self, words_type);
    ambiguous->words[1] = (uintptr_t)&target->value;
    ambiguous->words[3] = 12345;
    pair **array = TENURE_NEW_REFS(self, pair, 3);
    array[2] = target;

    struct list list = referents_of(root);
    cr_assert(eq(u32, list.count, 3));
    cr_expect(eq(ptr, (void *)list.objects[0], target));
    cr_expect(eq(ptr, (void *)list.objects[1], target));
    cr_expect(eq(ptr, (void *)list.objects[2], plain));
    list = referents_of(custom);
    cr_assert(eq(u32, list.count, 2));
    cr_expect(eq(ptr, (void *)list.objects[0], plain));
    cr_expect(eq(ptr, (void *)list.objects[1], target));
    list = referents_of(ambiguous);
    cr_assert(eq(u32, list.count, 1));
    cr_expect(eq(ptr, (void *)list.objects[0], target));
    cr_expect(eq(u32, referents_of(plain).count, 0));

    cr_expect(eq(u32, referrers_of(target).count, 4), "root, custom, ambiguous, array: once each");
    cr_expect(eq(u32, referrers_of(plain).count, 2));
    cr_expect(eq(u32, referrers_of(root).count, 0));
    tenure_keep_alive(array);
    verify(self);
    heap_end(heap, self);
}

/* The argument moves while the call waits for the stop. */
static flag stops;
static void *collect_often(void *arg)
{
    tenure_thread *thread = tenure_attach(arg);
    while (atomic_load(&stops) == 0) REQUIRE(tenure_collect(thread, TENURE_GEN2) == TENURE_OK);
    tenure_detach(thread);
    return NULL;
}

Test(references, of_what_is_no_object, .signal = SIGABRT)
{
    be_quiet();
    heap = heap_with("");
    self = tenure_attach(heap);
    tenure_referents(self, NULL, count_and_collect, NULL);
}

Test(references, while_objects_move)
{
    heap = precise_heap_with("torture=evacuate,verify=after");
    self = tenure_attach(heap);
    cr_assert(eq(int, tenure_root_add(heap, &root), TENURE_OK));
    make_pairs(20);
    pthread_t thread = start_thread(collect_often, heap);
    for (unsigned i = 0; i < ROUNDS(300); i++) {
        cr_assert(eq(u32, referents_of(root).count, 1));
        cr_assert(eq(u32, referrers_of(root->left).count, 1));
        cr_assert(eq(u32, referrers_of(root).count, 0));
    }
    atomic_store(&stops, 1);
    join_blocked(self, thread);
    heap_end(heap, self);
}

/* --- beside threads that run --- */

static void *build(void *arg)
{
    tenure_thread *thread = tenure_attach(arg);
    pair *list = NULL;
    TENURE_FRAME(thread, list);
    for (unsigned i = 0; atomic_load(&stops) == 0; i++) {
        pair *made = tenure_new(thread, pair_type);
        made->value = 7;
        made->left = list;
        list = i % 1000 == 0 ? NULL : made;
        if (i % 64 == 0) REQUIRE(tenure_new_bytes(thread, i % 5000) != NULL);
    }
    return NULL;
}

static bool require_seven(tenure_thread *thread, void *object, void *arg)
{
    (void)thread;
    ++*(uint64_t *)arg;
    if (tenure_is(object, pair_type)) REQUIRE(((pair *)object)->value == 7 || ((pair *)object)->value == 0);
    return true;
}

static void check_beside_threads(void)
{
    atomic_store(&stops, 0);
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++) threads[i] = start_thread(build, heap);
    uint64_t seen = 0;
    for (unsigned i = 0; i < 8; i++) {
        cr_assert(eq(int, tenure_each_object(self, (int)(i % 4) - 1, require_seven, &seen), TENURE_OK));
        tenure_census_row rows[8];
        size_t count = 0;
        cr_assert(eq(int, tenure_census_read(self, rows, 8, &count), TENURE_OK));
        for (unsigned j = 0; j < 20; j++) cr_assert(tenure_new_bytes(self, 100) != NULL);
    }
    atomic_store(&stops, 1);
    for (unsigned i = 0; i < 2; i++) join_blocked(self, threads[i]);
    cr_expect(seen > 0);
    verify(self);
}
Test(objects, beside_threads) { with_heaps(check_beside_threads); }

/* The chunk that the caller bumps through is taken from it, also when it owns the stop. */
static void check_own_stop(void)
{
    make_pairs(10);
    cr_assert(eq(int, tenure_stop_world(self), TENURE_OK));
    for (unsigned i = 1; i <= 20; i++) {
        make_pairs(5);
        struct counts counts = { 0 };
        cr_assert(eq(int, tenure_each_object(self, -1, count_and_collect, &counts), TENURE_OK));
        cr_expect(ge(u64, counts.pairs, 5));
        make_pairs(3);
    }
    tenure_resume_world(self);
    verify(self);
}
Test(objects, own_stop) { with_heaps(check_own_stop); }

/* --- the census --- */

static tenure_census_row row_of(const tenure_type *type)
{
    tenure_census_row rows[64];
    size_t many = 0;
    cr_assert(eq(int, tenure_census_read(self, rows, 64, &many), TENURE_OK));
    cr_assert(many <= 64);
    for (size_t i = 1; i < many; i++) cr_expect(rows[i - 1].bytes >= rows[i].bytes);
    for (size_t i = 0; i < many; i++)
        if (rows[i].type == type) return rows[i];
    return (tenure_census_row) { 0 };
}

static void check_census(void)
{
    make_pairs(100);
    collect(self, TENURE_GEN2);
    make_pairs(40);
    other = tenure_new_flex(self, sack_type, 20000);
    tenure_census_row row = row_of(&pair_type__type);
    cr_expect(eq(u64, row.objects, 140));
    cr_expect(eq(u64, row.bytes, 140 * 48));
    cr_expect(eq(u64, row.generations[0].objects + row.generations[1].objects + row.generations[2].objects, 140));
    cr_expect(eq(u64, row.large_objects, 0));
    row = row_of(&sack_type__type);
    cr_expect(eq(u64, row.objects, 1));
    cr_expect(eq(u64, row.large_objects, 1));
    cr_expect(ge(u64, row.large_bytes, 160000));
    cr_expect(eq(u64, row.large_bytes, row.bytes));
    cr_expect(eq(u64, row_of(&leaf_type__type).objects, 0));
}
Test(census, counts) { with_heaps(check_census); }

Test(census, table)
{
    heap = heap_with("");
    self = tenure_attach(heap);
    make_pairs(1234);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cr_assert(eq(int, tenure_census(self, out), TENURE_OK));
    fclose(out);
    cr_expect(strstr(text, "      1234      58K       1234      58K") != NULL, "%s", text);
    cr_expect(strstr(text, "  pair_type\n") != NULL, "%s", text);
    cr_expect(strstr(text, "  all\n") != NULL, "%s", text);
    size_t count = 0;
    cr_expect(eq(int, tenure_census_read(self, NULL, 0, &count), TENURE_OK));
    cr_expect(ge(sz, count, 1));
    free(text);
    heap_end(heap, self);
}

/* --- debug=leak --- */

/* What tenure_heap_destroy wrote. */
static char written[4096];
static void destroy_and_read(void)
{
    FILE *file = tmpfile();
    cr_assert(file != NULL);
    const int old = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    heap_end(heap, self);
    fflush(stderr);
    dup2(old, STDERR_FILENO);
    rewind(file);
    written[fread(written, 1, sizeof written - 1, file)] = '\0';
    fclose(file);
}

/* What roots still hold when the heap is destroyed is told by type; what is merely dead is not. */
static void check_leaks(const char *options)
{
    heap = heap_with(options);
    self = tenure_attach(heap);
    tenure_handle *handle = tenure_handle_new(self, tenure_new(self, leaf_type));
    cr_assert(handle != NULL);
    make_pairs(100);
    root = NULL;
    destroy_and_read();
    cr_expect(strstr(written, "still alive") != NULL && strstr(written, "  leaf_type\n") != NULL, "%s", written);
    cr_expect(strstr(written, "pair_type") == NULL, "%s", written);

    heap = heap_with(options);
    self = tenure_attach(heap);
    make_pairs(100);
    root = NULL;
    destroy_and_read();
    cr_expect(eq(str, written, ""));
}

Test(leaks, at_destroy)
{
    check_leaks("debug=leak,verify=before,after");
    check_leaks("debug=leak,lead=daemon,workers=1");
}
