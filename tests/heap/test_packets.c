/* Packets and stacks of indexes: nothing is lost or handed out twice, however many threads take and give. */
#include "tests/support.h"
#include <pthread.h>

enum { CAPACITY = 64, THREADS = 4, ROUNDS = 100000 };
static tenure__packets packets;
static tenure__index_stack shared;
static _Atomic uint32_t owners[CAPACITY + 1];

static void begin(void) { cr_assert(eq(int, tenure__packets_create(&packets, CAPACITY), TENURE_OK)); }
static void end(void) { tenure__packets_destroy(&packets); }
TestSuite(packets, .init = begin, .fini = end);

Test(packets, all_of_them_and_no_more)
{
    bool seen[CAPACITY + 1] = { false };
    for (unsigned round = 0; round < 3; round++) {
        memset(seen, 0, sizeof seen);
        for (unsigned i = 0; i < CAPACITY; i++) {
            const uint32_t packet = tenure__packet_take(&packets);
            cr_assert(packet >= 1 && packet <= CAPACITY && !seen[packet]);
            seen[packet] = true;
            cr_assert(eq(u32, tenure__packet_at(&packets, packet)->count, 0));
            cr_assert(eq(u32, tenure__packet_at(&packets, packet)->next, 0));
            tenure__packet_at(&packets, packet)->count = 17;
        }
        cr_assert(eq(u32, tenure__packet_take(&packets), 0));
        for (uint32_t i = 1; i <= CAPACITY; i++) tenure__packet_give(&packets, i);
    }
}

Test(packets, last_in_first_out)
{
    for (uint32_t i = 0; i < 5; i++) tenure__packet_push(&packets, &shared, tenure__packet_take(&packets));
    for (uint32_t i = 5; i > 0; i--) cr_expect(eq(u32, tenure__packet_pop(&packets, &shared), i));
    cr_expect(eq(u32, tenure__packet_pop(&packets, &shared), 0));
}

Test(packets, lists_grow_until_there_is_none)
{
    uint32_t list = 0;
    const unsigned most = CAPACITY * TENURE__PACKET_ENTRIES;
    for (unsigned i = 0; i < most; i++) cr_assert(tenure__packet_append(&packets, &list, i + 1));
    cr_assert(not(tenure__packet_append(&packets, &list, 1)));
    uint64_t sum = 0;
    for (; list != 0; list = tenure__packet_at(&packets, list)->next)
        for (uint32_t i = 0; i < tenure__packet_at(&packets, list)->count; i++)
            sum += tenure__packet_at(&packets, list)->entries[i];
    cr_expect(eq(u64, sum, (uint64_t)most * (most + 1) / 2));
}

static void *take_and_give(void *failures)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t mine[3];
        for (unsigned j = 0; j < 3; j++) {
            mine[j] = j == 2 ? tenure__packet_pop(&packets, &shared) : tenure__packet_take(&packets);
            if (mine[j] != 0 && atomic_fetch_add(&owners[mine[j]], 1) != 0)
                atomic_fetch_add((_Atomic unsigned *)failures, 1);
        }
        for (unsigned j = 0; j < 3; j++) {
            if (mine[j] == 0) continue;
            atomic_fetch_sub(&owners[mine[j]], 1);
            if (j == 1)
                tenure__packet_push(&packets, &shared, mine[j]);
            else
                tenure__packet_give(&packets, mine[j]);
        }
    }
    return NULL;
}

Test(packets, many_threads)
{
    pthread_t threads[THREADS];
    _Atomic unsigned failures = 0;
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert(eq(int, pthread_create(&threads[i], NULL, take_and_give, &failures), 0));
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    cr_expect(eq(u32, failures, 0));
    unsigned found = 0;
    while (tenure__packet_pop(&packets, &shared) != 0) found++;
    while (tenure__packet_take(&packets) != 0) found++;
    cr_expect(eq(u32, found, CAPACITY));
}
