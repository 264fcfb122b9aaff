/* Every macro of the public headers, in the subset that C11, C17 and C++17 share. Compiled, not run. */
#include <tenure.h>
#include <unistd.h>

typedef struct node node;
struct node {
    long number;
    node *left, *right;
};
typedef struct pair {
    node *first;
    int weight;
    node *second;
} pair;
typedef struct everything {
    node *plain;
    const node *constant;
    void *untyped;
    pair nested;
    node *array[4];
    node *matrix[2][3];
    pair pairs[5];
    uintptr_t word;
    uintptr_t words[2];
    char *inside;
#ifndef __cplusplus
    _Atomic(node *) atomic;
    node *_Atomic atomics[2];
#endif
    node *volatile changing;
    int number;
} everything;

TENURE_TYPE(node_type, node, left, right);
#ifdef __cplusplus
TENURE_TYPE(everything_type, everything, plain, constant, untyped, nested.first, nested.second, array, matrix,
    TENURE_EACH(pairs, first), TENURE_EACH(pairs, second), TENURE_WORD(word), TENURE_WORD(words),
    TENURE_INTERIOR(inside), changing);
#else
TENURE_TYPE(everything_type, everything, plain, constant, untyped, nested.first, nested.second, array, matrix,
    TENURE_EACH(pairs, first), TENURE_EACH(pairs, second), TENURE_WORD(word), TENURE_WORD(words),
    TENURE_INTERIOR(inside), atomic, atomics, changing);
#endif

typedef struct wide {
    void *a[32];
} wide;
TENURE_TYPE(most_items, wide, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13],
    a[14], a[15], a[16], a[17], a[18], a[19], a[20], a[21], a[22], a[23], a[24], a[25], a[26], a[27], a[28], a[29],
    a[30], a[31]);

typedef struct leaf {
    double numbers[3];
} leaf;
TENURE_TYPE_LEAF(leaf_type, leaf);

typedef struct text {
    size_t length;
    node *owner;
    char bytes[]; /* C++: an extension that gcc and clang share */
} text;
typedef struct blob {
    size_t length;
    char bytes[];
} blob;
typedef struct table {
    node *owner;
    pair pairs[];
} table;
typedef struct vector {
    node *owner;
    void *elements[];
} vector;
TENURE_TYPE_FLEX(blob_type, blob, bytes);
TENURE_TYPE_FLEX(text_type, text, bytes, owner);
TENURE_TYPE_FLEX(table_type, table, pairs, owner, TENURE_ELEMENT(first), TENURE_ELEMENT(second));
TENURE_TYPE_FLEX_REFS(vector_type, vector, elements, owner);
TENURE_TYPE_FLEX_REFS(bare_vector_type, vector, elements);

static void trace_pair(void *object, void *low, void *high, tenure_visitor *visitor)
{
    pair *of = (pair *)object;
    if ((void *)&of->first >= low && (void *)&of->first < high) tenure_visit(visitor, &of->first);
    tenure_visit_range(visitor, &of->second, 1);
}
TENURE_TYPE_CUSTOM(pair_type, pair, trace_pair);
TENURE_TYPE_CUSTOM_FLEX(custom_vector_type, vector, elements, trace_pair);
TENURE_TYPE_AMBIGUOUS(ambiguous_type, pair);
TENURE_TYPE_AMBIGUOUS_FLEX(ambiguous_vector_type, vector, elements);

TENURE_TYPE_EXTERN(elsewhere_type, node);
TENURE_TYPE_FLEX_EXTERN(elsewhere_vector_type, vector, elements);

node *allocate(tenure_thread *self, size_t count);
node *allocate(tenure_thread *self, size_t count)
{
    node *first = tenure_new(self, node_type);
#ifdef __cplusplus
    node *second = TENURE_NEW(self, node_type, 1, first, nullptr);
#else
    node *second = TENURE_NEW(self, node_type, .number = 1, .left = first);
#endif
    everything *all = tenure_new(self, everything_type);
    wide *most = tenure_new(self, most_items);
    leaf *numbers = tenure_new(self, leaf_type);
    blob *bytes = tenure_new_flex(self, blob_type, count);
    text *letters = tenure_new_flex(self, text_type, count);
    table *rows = tenure_new_flex(self, table_type, count);
    vector *vectors[] = { tenure_new_flex(self, vector_type, count), tenure_new_flex(self, bare_vector_type, count),
        tenure_new_flex(self, custom_vector_type, count), tenure_new_flex(self, ambiguous_vector_type, count),
        tenure_new_flex(self, elsewhere_vector_type, count) };
    pair *pairs[] = { tenure_new(self, pair_type), tenure_new(self, ambiguous_type) };
    node *elsewhere = tenure_new(self, elsewhere_type);
    node *nodes = tenure_new_array(self, node_type, count);
    node **references = TENURE_NEW_REFS(self, node, count);
    void *others[] = { tenure_new_bytes(self, count), tenure_new_aligned(self, count, 64),
        tenure_bytes_dup(self, "x", 1), tenure_alloc(self, &node_type__type, 0), tenure_resize(self, bytes, 2),
        tenure_clone(self, first) };

    TENURE_SET(self, first, left, second);
    TENURE_SET(self, first, right, NULL);
    TENURE_SET(self, all, constant, first);
    TENURE_SET(self, all, untyped, numbers);
    TENURE_SET(self, all, nested.first, elsewhere);
    TENURE_SET(self, all, array[1], first);
    TENURE_SET(self, all, changing, first);
    TENURE_SET(self, most, a[31], nodes);
    TENURE_SET(self, letters, owner, first);
    TENURE_SET(self, rows, pairs[1].second, first);
    TENURE_SET_AT(self, references, count, first);
    TENURE_SET_ANY(self, &all->pairs[1], first, second);
    TENURE_SET_ANY(self, pairs[0], first, second);
    tenure_store(self, vectors[0], &vectors[0]->elements[0], others[0]);
    tenure_store_release(self, vectors[0], &vectors[0]->elements[0], pairs[1]);
    tenure_store_any(self, &all->plain, first);
    tenure_will_write(self, all, &all->words, sizeof all->words);
    tenure_copy_refs(self, references, references + 1, references, 1);
    void *expected = tenure_load_acquire(&vectors[0]->elements[0]);
    if (tenure_compare_exchange(self, vectors[0], &vectors[0]->elements[0], &expected, NULL))
        expected = tenure_exchange(self, vectors[0], &vectors[0]->elements[0], first);
    if (tenure_is(first, node_type) && tenure_type_of(first) == &node_type__type) tenure_keep_alive(expected);
    return first;
}

size_t precise(tenure_thread *self, const char *path);
size_t precise(tenure_thread *self, const char *path)
{
    node *a = NULL, *b = NULL, *array[3] = { NULL, NULL, NULL };
    TENURE_FRAME(self, a, b, array);
    TENURE_LOCALS(self, locals, node * c, *d; text * letters;);
    locals.c = tenure_new(self, node_type);
    a = locals.d;
    for (int i = 0; i < 2; i++) {
        node *inner = a;
        TENURE_FRAME(self, inner);
        if (inner == b) return 1;
    }
    return path != NULL && locals.letters != NULL && array[0] == a;
}

int regions(tenure_thread *self, tenure_mutex *mutex, int fd);
int regions(tenure_thread *self, tenure_mutex *mutex, int fd)
{
    static tenure_mutex named = TENURE_MUTEX_INIT("named");
    static tenure_rwlock shared = TENURE_RWLOCK_INIT("shared");
    static tenure_cond changed = TENURE_COND_INIT("changed");
    static tenure_sem units = TENURE_SEM_INIT("units");
    char buffer[8];
    for (int i = 0; i < 3; i++) {
        TENURE_BLOCKING_SCOPE(self);
        if (i == 1) continue;
        TENURE_IDLE_SCOPE(self);
        if (i == 2) break;
    }
    tenure_cond_broadcast(&changed);
    if (!tenure_sem_trywait(self, &units) && tenure_rwlock_tryrdlock(self, &shared))
        tenure_rwlock_unlock(self, &shared);
    TENURE_LOCK_SCOPE(self, mutex);
    {
        TENURE_LOCK_SCOPE(self, &named);
        tenure_poll(self);
    }
    const ssize_t count = TENURE_BLOCKING_CALL(self, read(fd, buffer, sizeof buffer));
    const ssize_t more = TENURE_IDLE_CALL(self, read(fd, buffer, sizeof buffer));
    return count + more > 0 ? 1 : 0;
}

const char *version(void);
const char *version(void)
{
    return TENURE_VERSION_NUMBER == TENURE_VERSION_MAJOR * 10000 + TENURE_VERSION_MINOR * 100 + TENURE_VERSION_PATCH
               ? tenure_version()
               : NULL;
}
