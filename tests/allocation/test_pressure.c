/* Memory pressure: max_heap reached by many threads at once; nothing alive is lost, the handler is called, and there is
 * room again when the program lets go. */
#include "tests/threads/threads.h"

enum { THREADS = 8, ROUNDS = 3 };
static flag refused, handled, full;

static bool handler(tenure_thread *self, size_t bytes, void *arg)
{
    (void)self, (void)bytes, (void)arg;
    atomic_fetch_add(&handled, 1);
    return false;
}

static void await_all(tenure_thread *self, int *turn)
{
    atomic_fetch_add(&full, 1);
    await_polling(self, &full, *turn += THREADS);
}

/* Keeps until there is nothing left and everybody found that. */
static void fill(tenure_thread *self, int *turn)
{
    node *first = NULL;
    unsigned count = 0;
    TENURE_FRAME(self, first);
    for (node *fresh; (fresh = tenure_new(self, node_type)) != NULL; first = fresh) {
        fresh->value = 3 + count++;
        TENURE_SET(self, fresh, next, first);
    }
    atomic_fetch_add(&refused, 1);
    await_all(self, turn);
    check_chain(first, count, 3);
}

static void *hoard(void *arg)
{
    tenure_thread *self = tenure_attach(arg);
    REQUIRE(self != NULL);
    int turn = 0;
    for (int round = 0; round < ROUNDS; round++) {
        fill(self, &turn);
        await_all(self, &turn); /* everybody has let go: there is room again */
        for (unsigned i = 0; i < 1000; i++) REQUIRE(tenure_new_bytes(self, 100) != NULL);
        await_all(self, &turn);
    }
    tenure_detach(self);
    return NULL;
}

static void exhaust(const char *words)
{
    tenure_heap *heap = precise_heap_with(words); /* no stale word on a stack keeps a list */
    tenure_oom_handler(heap, handler, NULL);
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) REQUIRE(pthread_create(&threads[i], NULL, hoard, heap) == 0);
    for (unsigned i = 0; i < THREADS; i++) REQUIRE(pthread_join(threads[i], NULL) == 0);
    cr_expect(eq(int, atomic_load(&refused), THREADS *ROUNDS));
    cr_expect(ge(int, atomic_load(&handled), THREADS *ROUNDS));
    cr_expect(eq(int, tenure_heap_destroy(heap), TENURE_OK));
}

Test(pressure, eight_threads_fill_the_heap) { exhaust("max_heap=16m,gen0=1m"); }
Test(pressure, eight_threads_verified) { exhaust("max_heap=8m,gen0=512k,verify=before,after"); }
Test(pressure, eight_threads_daemon_leads) { exhaust("max_heap=8m,gen0=512k,lead=daemon"); }

/* The handler pins and lets go; what is being copied stays where it is all the same. */
static node *pinned;
static tenure_handle *ballast;
static bool let_go_and_pin(tenure_thread *self, size_t bytes, void *arg)
{
    (void)bytes, (void)arg;
    if (ballast == NULL) return false;
    tenure_handle_free(ballast);
    ballast = NULL;
    REQUIRE(tenure_pin(self, pinned) == TENURE_OK);
    tenure_unpin(self, pinned);
    return true;
}
static void copy_until_full(tenure_thread *self)
{
    enum { BYTES = 5000, MOST = 5000 };
    char *source = tenure_new_bytes(self, BYTES);
    void **kept = NULL;
    TENURE_FRAME(self, source, kept);
    kept = TENURE_NEW_REFS(self, void, MOST);
    cr_assert(source != NULL && kept != NULL);
    memset(source, 'x', BYTES);
    for (unsigned i = 0; ballast != NULL; i++) {
        cr_assert(lt(u32, i, MOST));
        char *copy = tenure_bytes_dup(self, source, BYTES);
        cr_assert(copy != NULL);
        for (unsigned at = 0; at < BYTES; at++) cr_assert(copy[at] == 'x');
        TENURE_SET_AT(self, kept, i, (void *)copy);
    }
}
Test(pressure, the_handler_pins_while_bytes_are_copied)
{
    tenure_heap *heap = precise_heap_with("max_heap=16m,check=roots");
    tenure_thread *self = tenure_attach(heap);
    tenure_oom_handler(heap, let_go_and_pin, NULL);
    cr_assert(eq(int, tenure_root_add(heap, &pinned), TENURE_OK));
    pinned = tenure_new(self, node_type);
    ballast = tenure_handle_new(self, tenure_new_bytes(self, 6 << 20));
    cr_assert(ballast != NULL);
    copy_until_full(self);
    heap_end(heap, self);
}
