/* The file is what its readers expect, and says what the census says. */
#include "tests/threads/threads.h"
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

typedef struct leaf_ {
    uint64_t value;
} leaf_;
TENURE_TYPE_LEAF(leaf_type, leaf_);
typedef struct part {
    struct part *next, *more[2];
    leaf_ *leaf;
} part;
TENURE_TYPE(part_type, part, next, more, leaf);
typedef struct row {
    uint64_t count;
    part *parts[];
} row;
TENURE_TYPE_FLEX_REFS(row_type, row, parts);

static tenure_heap *heap;
static tenure_thread *self;
static part *list;
static row *table;
static char path[] = "/tmp/tenure-test-XXXXXX";

static void begin_with(tenure_heap *made)
{
    heap = made;
    self = tenure_attach(heap);
    list = NULL;
    table = NULL;
    cr_assert(eq(int, tenure_root_add(heap, &list), TENURE_OK));
    cr_assert(eq(int, tenure_root_add(heap, &table), TENURE_OK));
}

static void build(unsigned many)
{
    for (unsigned i = 0; i < many; i++) {
        part *made = tenure_new(self, part_type);
        made->next = list;
        if (i % 10 == 0) made->more[1] = list;
        list = made;
        leaf_ *leaf = tenure_new(self, leaf_type);
        TENURE_SET(self, list, leaf, leaf);
    }
    table = tenure_new_flex(self, row_type, 50000);
    TENURE_SET_AT(self, table->parts, 49999, list);
}

/* What the reader printed. */
static char lines[65536];
static void read_snapshot(void)
{
    const int file = mkstemp(path);
    cr_assert(file >= 0);
    close(file);
    cr_assert(eq(int, tenure_snapshot(self, path), TENURE_OK));
    char command[256];
    snprintf(command, sizeof command, "python3 " TENURE_TESTS "/inspect/snapshot.py %s", path);
    TENURE_BLOCKING_SCOPE(self);
    FILE *output = popen(command, "r");
    cr_assert(output != NULL);
    lines[fread(lines, 1, sizeof lines - 1, output)] = '\0';
    cr_expect(eq(int, pclose(output), 0), "%s", command);
    unlink(path);
    strcpy(path + strlen(path) - 6, "XXXXXX");
}

static bool says(const char *line) { return strstr(lines, line) != NULL; }

static void expect_census(void)
{
    tenure_census_row rows[64];
    size_t count = 0;
    cr_assert(eq(int, tenure_census_read(self, rows, 64, &count), TENURE_OK));
    cr_assert(count <= 64);
    for (size_t i = 0; i < count; i++) {
        char line[256];
        snprintf(
            line, sizeof line, "node %s %zu %zu\n", rows[i].type->name, (size_t)rows[i].objects, (size_t)rows[i].bytes);
        cr_expect(says(line), "%sis not in\n%s", line, lines);
    }
}

static void check(tenure_heap *made)
{
    begin_with(made);
    build(1000);
    collect(self, TENURE_GEN2);
    build(100);
    collect(self, TENURE_GEN0);
    read_snapshot();
    cr_expect(says("node part_type 1100 "));
    cr_expect(says("node leaf_type 1100 "));
    cr_expect(says("field next 1099\n"), "%s", lines);
    cr_expect(says("field leaf 1100\n"), "%s", lines);
    cr_expect(says("field more[1] 109\n"), "%s", lines);
    cr_expect(says("node (roots) 1 0\n"));
    expect_census();
    heap_end(heap, self);
}

Test(snapshot, agrees_with_census)
{
    check(precise_heap_with("verify=before,after"));
    check(heap_with("verify=before,after,torture=evacuate"));
    check(precise_heap_with("workers=1,lead=daemon,torture=overflow,nospace"));
}

/* Root, kinds, list, leaves, table: all that lives, and nothing that is dead. */
Test(snapshot, the_living_hang_on_roots)
{
    begin_with(precise_heap_with(""));
    build(10);
    read_snapshot();
    cr_expect(says("reached 23\n"), "%s", lines);
    list = NULL;
    read_snapshot();
    cr_expect(says("reached 23\n"), "by the table: %s", lines);
    table = NULL;
    read_snapshot();
    cr_expect(says("node part_type 10 "));
    cr_expect(says("reached 1\n"), "%s", lines);
    heap_end(heap, self);
}

/* What only an entry of a weak map keeps hangs on the map; what it hangs on it does not keep. */
static struct {
    tenure_weakmap *map;
    part *key;
} weak;
Test(snapshot, weak_maps)
{
    begin_with(precise_heap_with(""));
    cr_assert(eq(int, tenure_root_range_add(heap, (void *)&weak, sizeof weak, TENURE_PRECISE), TENURE_OK));
    weak.map = tenure_weakmap_new(self, TENURE_WEAK_KEYS, NULL, NULL, NULL);
    weak.key = tenure_new(self, part_type);
    cr_assert(eq(int, tenure_weakmap_put(self, weak.map, weak.key, tenure_new(self, part_type)), TENURE_OK));
    read_snapshot();
    cr_expect(says("node weak map entry 1 "), "%s", lines);
    cr_expect(says("field kept 1\n") && says("field hangs on 1\n"), "%s", lines);
    cr_expect(says("reached 6\n"), "root, kind, map, key, entry, value: %s", lines);
    weak.key = NULL;
    read_snapshot();
    cr_expect(says("reached 5\n"), "the key is reached no more: %s", lines);
    heap_end(heap, self);
}

Test(snapshot, empty_heap)
{
    begin_with(precise_heap_with(""));
    read_snapshot();
    cr_expect(says("reached 1\n"), "%s", lines);
    heap_end(heap, self);
}

static flag stops;
static void *churn(void *arg)
{
    tenure_thread *thread = tenure_attach(arg);
    part *own = NULL;
    TENURE_FRAME(thread, own);
    for (unsigned i = 0; atomic_load(&stops) == 0; i++) {
        part *made = tenure_new(thread, part_type);
        made->next = own;
        own = i % 1000 == 0 ? NULL : made;
    }
    return NULL;
}

Test(snapshot, beside_threads)
{
    begin_with(heap_with("verify=after,gen0=256k"));
    build(100);
    pthread_t threads[2] = { start_thread(churn, heap), start_thread(churn, heap) };
    for (unsigned i = 0; i < 5; i++) {
        read_snapshot();
        cr_expect(says("node row_type 1 "));
    }
    atomic_store(&stops, 1);
    for (unsigned i = 0; i < 2; i++) join_blocked(self, threads[i]);
    heap_end(heap, self);
}

Test(snapshot, no_such_place)
{
    begin_with(heap_with(""));
    errno = 0;
    cr_expect(eq(int, tenure_snapshot(self, "/nowhere/at/all"), TENURE_ESYSTEM));
    cr_expect(eq(int, errno, ENOENT));
    cr_expect(eq(int, tenure_snapshot(self, "/dev/full"), TENURE_ESYSTEM));
    cr_expect(eq(int, errno, ENOSPC));
    heap_end(heap, self);
}

/* Nothing is left where it failed. */
Test(snapshot, that_fails_leaves_no_file)
{
    begin_with(heap_with(""));
    char place[] = "/tmp/tenure-test-XXXXXX";
    const int descriptor = mkstemp(place);
    cr_assert(descriptor >= 0);
    close(descriptor);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(eq(int, setrlimit(RLIMIT_FSIZE, &(struct rlimit) { 16, RLIM_INFINITY }), 0));
    cr_expect(eq(int, tenure_snapshot(self, place), TENURE_ESYSTEM));
    cr_expect(eq(int, access(place, F_OK), -1));
    heap_end(heap, self);
}
