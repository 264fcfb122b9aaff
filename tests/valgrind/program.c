/* Under valgrind's memcheck: "right" has no error, "wrong" uses a dead object. */
#include <pthread.h>
#include <string.h>
#include <tenure.h>

struct node {
    struct node *next;
    long value;
};
TENURE_TYPE(node_type, struct node, next);

static struct node *list;

static void *collect_twice(void *heap)
{
    tenure_thread *self = tenure_attach(heap);
    for (unsigned i = 0; i < 2; i++) tenure_collect(self, TENURE_GEN0);
    tenure_detach(self);
    return NULL;
}

/* The stack of an idle thread is scanned once, then looked at (verify=) for changes: words that nobody wrote are in it.
 */
static int idle_while_another_collects(tenure_heap *heap, tenure_thread *self)
{
    pthread_t thread;
    volatile long unwritten[64]; /* the first word alone is written */
    unwritten[0] = 0;
    (void)unwritten;
    tenure_enter_idle(self);
    const int error = pthread_create(&thread, NULL, collect_twice, heap);
    if (error == 0) pthread_join(thread, NULL);
    tenure_leave_idle(self);
    return error;
}

int main(int argc, char **argv)
{
    tenure_options options;
    tenure_heap *heap;
    if (argc != 2 || tenure_options_init(&options, NULL, 0) != TENURE_OK) return 2;
    const int wrong = strcmp(argv[1], "wrong") == 0;
    options.max_heap = 64 << 20;
    options.check = TENURE_CHECK_USES;
    options.verify = TENURE_VERIFY_AFTER;
    if (wrong) options.roots = TENURE_ROOTS_PRECISE;
    if (tenure_heap_create(&heap, &options) != TENURE_OK) return 2;
    tenure_thread *self = tenure_attach(heap);
    if (tenure_root_add(heap, &list) != TENURE_OK) return 2;
    for (long i = 0; i < 20000; i++) {
        struct node *node = TENURE_NEW(self, node_type, .value = i, .next = i % 100 == 0 ? NULL : list);
        list = node;
        if (i % 2000 == 0) tenure_collect(self, (tenure_generation)(i / 2000 % 3));
    }
    if (!wrong && idle_while_another_collects(heap, self) != 0) return 2;
    struct node *volatile lost = TENURE_NEW(self, node_type, .value = 0);
    tenure_collect(self, TENURE_GEN2);
    const long value = wrong ? lost->value : 0;
    tenure_keep_alive(lost);
    tenure_detach(self);
    return tenure_heap_destroy(heap) != TENURE_OK || value == 1;
}
