/* stress-memory NAME [AMOUNT]: what a heap takes from the system while a program's needs change. Each checks its data,
 * states a bound, and fails above it. */
#include "parts.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenure.h>
#include <time.h>
#include <unistd.h>

/* Plain data that says how long it is and what is in it. */
typedef struct piece {
    uint64_t bytes, mark;
    uint64_t words[];
} piece;
TENURE_TYPE_FLEX(piece_type, piece, words);

static uint64_t random_state = 0x9e3779b97f4a7c15u;
static uint64_t draw(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

static uint64_t resident_bytes(void)
{
    FILE *statm = fopen("/proc/self/statm", "re");
    unsigned long size, resident;
    REQUIRE(statm != NULL && fscanf(statm, "%lu %lu", &size, &resident) == 2);
    fclose(statm);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double mib(uint64_t bytes) { return (double)bytes / (1 << 20); }

/* --- pieces in a table --- */

typedef struct table {
    piece **slots; /* heap */
    uint64_t size;
    uint64_t live_bytes; /* of what is in it, payloads */
} table;

static void put(tenure_thread *self, table *t, uint64_t at, uint64_t bytes)
{
    piece *made = tenure_new_flex(self, piece_type, (bytes - sizeof(piece)) / 8);
    REQUIRE(made != NULL);
    made->bytes = bytes;
    made->mark = bytes * 31 + at;
    for (uint64_t i = 0; i < (bytes - sizeof(piece)) / 8; i++) made->words[i] = made->mark;
    if (t->slots[at] != NULL) t->live_bytes -= t->slots[at]->bytes;
    TENURE_SET_AT(self, t->slots, at, made);
    t->live_bytes += bytes;
}

static void drop(tenure_thread *self, table *t, uint64_t at)
{
    if (t->slots[at] == NULL) return;
    t->live_bytes -= t->slots[at]->bytes;
    TENURE_SET_AT(self, t->slots, at, NULL);
}

static void check(const table *t)
{
    for (uint64_t i = 0; i < t->size; i++) {
        const piece *p = t->slots[i];
        if (p == NULL) continue;
        REQUIRE(p->mark == p->bytes * 31 + i);
        if (p->bytes >= sizeof(piece) + 8) REQUIRE(p->words[(p->bytes - sizeof(piece)) / 8 - 1] == p->mark);
    }
}

static table *table_new(tenure_heap *heap, tenure_thread *self, uint64_t size)
{
    table *made = calloc(1, sizeof *made);
    REQUIRE(made != NULL);
    made->size = size;
    REQUIRE(tenure_root_add(heap, &made->slots) == TENURE_OK);
    made->slots = TENURE_NEW_REFS(self, piece, size);
    REQUIRE(made->slots != NULL);
    return made;
}

static void end(tenure_heap *heap, tenure_thread *self, table *t)
{
    check(t);
    tenure_root_remove(heap, &t->slots);
    tenure_detach(self);
    REQUIRE(tenure_heap_destroy(heap) == TENURE_OK);
    free(t);
}

/* --- grows and shrinks --- */

/* Fills the heap, lets go of 49 in 50, wherever they lie, collects, and works on with short-lived objects. */
static void memory_shrink(uint64_t amount_mib)
{
    const double patience_s = 30;
    tenure_heap *heap;
    REQUIRE(tenure_heap_create(&heap, NULL) == TENURE_OK);
    tenure_thread *self = tenure_attach(heap);
    table *t = table_new(heap, self, (amount_mib << 20) / 512);
    double start = now();
    uint64_t used = 0;
    while (used < t->size && t->live_bytes < amount_mib << 20)
        put(self, t, used++, draw(400) == 0 ? 20000 + draw(40000) * 8 : 24 + draw(75) * 8);
    const uint64_t peak = resident_bytes();
    printf("  %.0f MiB in %" PRIu64 " objects after %.1f s: resident %.0f MiB\n", mib(t->live_bytes), used,
        now() - start, mib(peak));
    for (uint64_t i = 0; i < used; i++)
        if (draw(50) != 0) drop(self, t, i);
    start = now();
    REQUIRE(tenure_collect(self, TENURE_GEN2) == TENURE_OK);
    const double collected = now() - start;
    uint64_t resident;
    while ((resident = resident_bytes()) > peak / 10 && now() - start < patience_s) {
        for (unsigned i = 0; i < 1000; i++) REQUIRE(tenure_new_bytes(self, 100) != NULL);
        tenure_nanosleep(self, &(struct timespec) { .tv_nsec = 10000000 }, NULL);
    }
    tenure_stats stats;
    tenure_stats_read(heap, &stats);
    printf("  %.0f MiB of it left, collected in %.2f s: resident %.0f MiB, %.1f %% of the peak, after %.1f s; full "
           "collections: %" PRIu64 ", the longest %.0f ms\n",
        mib(t->live_bytes), collected, mib(resident), 100.0 * (double)resident / (double)peak, now() - start,
        stats.collections[2], (double)stats.pauses[2].total.max_ns / 1e6);
    REQUIRE(resident <= peak / 10);
    end(heap, self, t);
}

/* --- a day's changes --- */

static uint64_t size_in(unsigned phase)
{
    switch (phase % 6) {
    case 0: /* small */
        return 24 + draw(14) * 8;
    case 1: /* some to a page */
        return 512 + draw(440) * 8;
    case 2: /* some to a block */
        return 9000 + draw(900) * 8;
    case 3: /* mixed */
        return draw(8) == 0 ? 256 + draw(1800) * 8 : 24 + draw(30) * 8;
    case 4: /* runs of blocks */
        return 17000 + draw(draw(10) == 0 ? 60000 : 10000) * 8;
    default: /* small, and large ones among them */
        return draw(200) == 0 ? 20000 + draw(25000) * 8 : 24 + draw(250) * 8;
    }
}

/* As much lives as ever; three times that is made in each phase, and takes the place of what chance finds. */
static void memory_fragment(uint64_t amount_mib)
{
    enum { PHASES = 12, STEP = 2 << 20 };
    const uint64_t live = amount_mib << 20;
    tenure_options options;
    tenure_heap *heap;
    REQUIRE(tenure_options_init(&options, NULL, 0) == TENURE_OK);
    options.gen0 = 4 << 20;
    options.return_delay = 50000000; /* an hour takes seconds here, and what nobody needed for a minute 50 ms */
    REQUIRE(tenure_heap_create(&heap, &options) == TENURE_OK);
    tenure_thread *self = tenure_attach(heap);
    table *t = table_new(heap, self, live / 64);
    memset(t->slots, 0, t->size * sizeof *t->slots);
    const uint64_t others = resident_bytes(); /* the program, and the table */
    uint64_t worst = 0;
    double sum = 0;
    for (unsigned phase = 0; phase < PHASES; phase++) {
        uint64_t worst_here = 0, samples = 0;
        double sum_here = 0;
        for (uint64_t made = 0, bytes; made < 3 * live; made += bytes) {
            bytes = size_in(phase);
            while (t->live_bytes + bytes > live) drop(self, t, draw(t->size));
            put(self, t, draw(t->size), bytes);
            if (made / STEP == (made + bytes) / STEP || (phase == 0 && made < live)) continue;
            const uint64_t here = resident_bytes() - others;
            if (here > worst_here) worst_here = here;
            sum_here += (double)here;
            samples++;
        }
        check(t);
        sum_here /= (double)samples;
        printf("  phase %2u: resident %.2f times what lives, at most %.2f\n", phase, sum_here / (double)live,
            (double)worst_here / (double)live);
        if (worst_here > worst) worst = worst_here;
        sum += sum_here;
    }
    const uint64_t bound = 3 * live + (64 << 20);
    printf("  mean %.2f times, at most %.2f, which is %.0f MiB (bound: three times and 64 MiB, %.0f MiB)\n",
        sum / PHASES / (double)live, (double)worst / (double)live, mib(worst), mib(bound));
    REQUIRE(worst <= bound);
    end(heap, self, t);
}

/* --- in a container --- */

/* Three quarters of what the control group may use; full, and empty, and full again, without being killed. */
static void memory_container(uint64_t amount_mib)
{
    tenure_heap *heap;
    REQUIRE(tenure_heap_create(&heap, NULL) == TENURE_OK);
    tenure_thread *self = tenure_attach(heap);
    tenure_stats stats;
    tenure_stats_read(heap, &stats);
    printf("  max_heap is %.0f MiB\n", mib(stats.max_heap_bytes));
    REQUIRE(stats.max_heap_bytes == (amount_mib << 20) / 4 * 3);
    table *t = table_new(heap, self, (amount_mib << 20) / 1024);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t used = 0;
        for (piece *made; used < t->size; used++) {
            if ((made = tenure_new_flex(self, piece_type, 200)) == NULL) break;
            made->bytes = 200 * 8 + sizeof *made;
            memset(made->words, 1, 200 * 8);
            made->words[199] = made->mark = made->bytes * 31 + used;
            TENURE_SET_AT(self, t->slots, used, made);
        }
        REQUIRE(used < t->size);
        check(t);
        printf("  full with %.0f MiB: resident %.0f MiB\n", mib(used * 1624), mib(resident_bytes()));
        for (uint64_t i = 0; i < used; i++) TENURE_SET_AT(self, t->slots, i, NULL);
    }
    end(heap, self, t);
}

int main(int argc, char **argv)
{
    static const part parts[] = {
        { "shrink", memory_shrink, 8192, "MiB that the heap grows to" },
        { "fragment", memory_fragment, 256, "MiB that live" },
        { "container", memory_container, 256,
            "MiB that this process's control group may use (in_container makes one)" },
    };
    return parts_main(argc, argv, "stress-memory", parts, sizeof parts / sizeof parts[0]);
}
