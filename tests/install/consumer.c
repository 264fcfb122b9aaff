/* A program of somebody else: a list that survives collections. */
#include "consumer.h"

#include <stdio.h>
#include <string.h>
#include <tenure.h>

typedef struct link {
    struct link *next;
    long number;
} link;
TENURE_TYPE(link_type, link, next);

static long sum(const link *first)
{
    long total = 0;
    for (; first != NULL; first = first->next) total += first->number;
    return total;
}

int consumer_run(void)
{
    tenure_heap *heap;
    tenure_options options;
    char err[128];
    if (tenure_options_init(&options, err, sizeof err) != TENURE_OK) return 1;
    options.max_heap = 64 << 20;
    options.gen0 = 1 << 20;
    const tenure_status status = tenure_heap_create(&heap, &options);
    if (status != TENURE_OK) {
        fprintf(stderr, "tenure_heap_create: %s\n", tenure_strerror(status));
        return 1;
    }
    tenure_thread *self = tenure_attach(heap);
    if (self == NULL) return 1;

    link *first = NULL;
    long expected = 0;
    for (long i = 0; i < 200000; i++) {
        link *one = TENURE_NEW(self, link_type, .next = i % 10 == 0 ? first : NULL, .number = i);
        if (one == NULL) return 1;
        if (i % 10 == 0) {
            first = one;
            expected += i;
        }
    }
    if (tenure_collect(self, TENURE_GEN2) != TENURE_OK) return 1;
    const long found = sum(first);

    tenure_stats stats;
    tenure_stats_read(heap, &stats);
    tenure_detach(self);
    if (tenure_heap_destroy(heap) != TENURE_OK) return 1;
    printf("tenure %s: sum %ld of %ld, %lu young and %lu full collections\n", tenure_version(), found, expected,
        (unsigned long)stats.collections[0], (unsigned long)stats.collections[2]);
    return found == expected && stats.collections[2] > 0 ? 0 : 1;
}
