#include "lib/inspect/census.h"
#include "lib/collection/cycle.h"
#include "threads/format.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

tenure_status tenure__census_begin(tenure_heap *heap, tenure__census *census)
{
    const size_t room = tenure__type_count();
    *census = (tenure__census) { heap, tenure__map(room * sizeof *census->rows), room, 0 };
    return census->rows != 0 ? TENURE_OK : TENURE_ENOMEM;
}

void tenure__census_end(tenure__census *census) { tenure__unmap(census->rows, census->room * sizeof *census->rows); }

static void count_object(void *arg, uintptr_t object)
{
    const tenure__census *census = arg;
    tenure_heap *heap = census->heap;
    const uint64_t header = tenure__header_load(object);
    const bool large = (header & TENURE__LARGE) != 0;
    const uint64_t bytes = tenure__occupied_bytes(heap, object, header);
    tenure_census_row *row = &census->rows[tenure__header_type(header)];
    const unsigned generation = tenure__generation(heap, object);
    row->type = tenure__plan_of(header)->type;
    row->objects++;
    row->bytes += bytes;
    row->generations[generation].objects++;
    row->generations[generation].bytes += bytes;
    row->large_objects += large;
    row->large_bytes += large ? bytes : 0;
}

void tenure__census_take(tenure__census *census) { tenure__walk(census->heap, count_object, census); }

static int by_bytes(const void *a, const void *b)
{
    const tenure_census_row *first = a, *second = b;
    if (first->bytes != second->bytes) return first->bytes < second->bytes ? 1 : -1;
    return strcmp(first->type->name, second->type->name);
}

void tenure__census_sort(tenure__census *census)
{
    for (size_t i = 0; i < census->room; i++)
        if (census->rows[i].objects != 0) census->rows[census->count++] = census->rows[i];
    qsort(census->rows, census->count, sizeof *census->rows, by_bytes);
}

static void print_row(const tenure_census_row *row, const char *name, FILE *out)
{
    fprintf(out, "%10" PRIu64 " %8s", row->objects, tenure__format_bytes(row->bytes).text);
    for (unsigned i = 0; i < 3; i++)
        fprintf(out, " %10" PRIu64 " %8s", row->generations[i].objects,
            tenure__format_bytes(row->generations[i].bytes).text);
    fprintf(out, " %6" PRIu64 " %8s  %s\n", row->large_objects, tenure__format_bytes(row->large_bytes).text, name);
}

void tenure__census_print(const tenure__census *census, FILE *out)
{
    fprintf(out, "%10s %8s %10s %8s %10s %8s %10s %8s %6s %8s  type\n", "objects", "bytes", "gen0", "bytes", "gen1",
        "bytes", "gen2", "bytes", "large", "bytes");
    tenure_census_row all = { 0 };
    for (size_t i = 0; i < census->count; i++) {
        const tenure_census_row *row = &census->rows[i];
        print_row(row, row->type->name, out);
        all.objects += row->objects;
        all.bytes += row->bytes;
        for (unsigned j = 0; j < 3; j++) {
            all.generations[j].objects += row->generations[j].objects;
            all.generations[j].bytes += row->generations[j].bytes;
        }
        all.large_objects += row->large_objects;
        all.large_bytes += row->large_bytes;
    }
    print_row(&all, "all", out);
}

/* --- the public calls --- */

static tenure_status prepare(tenure_heap *heap, void *census) { return tenure__census_begin(heap, census); }

static void take(tenure_heap *heap, void *census)
{
    (void)heap;
    tenure__census_take(census);
}

tenure_status tenure_census_read(tenure_thread *self, tenure_census_row *rows, size_t max, size_t *count)
{
    tenure__census census = { 0 };
    const tenure_status status = tenure__inspect(self, prepare, take, &census);
    *count = 0;
    if (status != TENURE_OK) return status;
    tenure__census_sort(&census);
    *count = census.count;
    if (max > census.count) max = census.count;
    if (max != 0) memcpy(rows, census.rows, max * sizeof *rows);
    tenure__census_end(&census);
    return TENURE_OK;
}

struct printing {
    tenure__census census;
    FILE *out;
};

static void sort_and_print(void *arg)
{
    struct printing *printing = arg;
    tenure__census_sort(&printing->census);
    tenure__census_print(&printing->census, printing->out);
}

tenure_status tenure_census(tenure_thread *self, FILE *out)
{
    struct printing printing = { .out = out };
    const tenure_status status = tenure__inspect(self, prepare, take, &printing.census);
    if (status != TENURE_OK) return status;
    tenure__outside(sort_and_print, &printing);
    tenure__census_end(&printing.census);
    return TENURE_OK;
}

/* --- at the end --- */

void tenure__leaks_print(tenure_heap *heap)
{
    tenure__collect_by_daemon(heap, 2);
    tenure__census census;
    if (tenure__census_begin(heap, &census) != TENURE_OK) return;
    tenure__census_take(&census);
    tenure__census_sort(&census);
    if (census.count != 0) {
        fputs("tenure: still alive when the heap is destroyed:\n", stderr);
        tenure__census_print(&census, stderr);
    }
    tenure__census_end(&census);
}
