/* Lists of what the program registered, by its address: dense, for whoever walks through it in a stop, with an index
 * beside it. Linear probing; what is removed is filled from behind, the last item takes its number. Stop lock. */
#include "lib/heap/heap.h"
#include "threads/system.h"
#include <stdlib.h>

enum { FIRST_CAPACITY = 16 };

/* Half of the places are free at least; their number is a power of two. */
static size_t place_count(const tenure__ranges *ranges) { return 2 * ranges->capacity; }

static size_t home(const tenure__ranges *ranges, uintptr_t start)
{
    return start * 0x9e3779b97f4a7c15u >> (64 - __builtin_ctzll(place_count(ranges)));
}

static size_t after(const tenure__ranges *ranges, size_t place) { return (place + 1) & (place_count(ranges) - 1); }

/* The first place from the item's home on with that in it: its number, or 0. */
static size_t place_with(const tenure__ranges *ranges, uintptr_t start, uint32_t number)
{
    size_t place = home(ranges, start);
    while (ranges->places[place] != number) place = after(ranges, place);
    return place;
}

static void index_item(tenure__ranges *ranges, uint32_t number)
{
    ranges->places[place_with(ranges, ranges->items[number - 1].start, 0)] = number;
}

static bool grow(tenure__ranges *ranges)
{
    const size_t capacity = ranges->capacity != 0 ? 2 * ranges->capacity : FIRST_CAPACITY;
    uint32_t *places = tenure__calloc(2 * capacity, sizeof *places);
    tenure__range *items = tenure__realloc(ranges->items, capacity * sizeof *items);
    if (items != 0) ranges->items = items;
    if (places == 0 || items == 0) {
        free(places);
        return false;
    }
    free(ranges->places);
    ranges->places = places;
    ranges->capacity = capacity;
    for (uint32_t number = 1; number <= ranges->count; number++) index_item(ranges, number);
    return true;
}

bool tenure__ranges_add(tenure__ranges *ranges, tenure__range range)
{
    if (ranges->count == ranges->capacity && !grow(ranges)) return false;
    ranges->items[ranges->count++] = range;
    index_item(ranges, (uint32_t)ranges->count);
    return true;
}

tenure__range *tenure__ranges_find(const tenure__ranges *ranges, uintptr_t start)
{
    if (ranges->count == 0) return 0;
    uint32_t last = 0;
    for (size_t place = home(ranges, start); ranges->places[place] != 0; place = after(ranges, place)) {
        const uint32_t number = ranges->places[place];
        if (number > last && ranges->items[number - 1].start == start) last = number;
    }
    return last != 0 ? &ranges->items[last - 1] : 0;
}

static void empty_place(tenure__ranges *ranges, size_t hole)
{
    const size_t mask = place_count(ranges) - 1;
    for (size_t place = after(ranges, hole); ranges->places[place] != 0; place = after(ranges, place)) {
        /* What was pushed past the hole by its collisions moves into it. */
        const size_t at_home = home(ranges, ranges->items[ranges->places[place] - 1].start);
        if (((place - at_home) & mask) < ((place - hole) & mask)) continue;
        ranges->places[hole] = ranges->places[place];
        hole = place;
    }
    ranges->places[hole] = 0;
}

void tenure__ranges_remove(tenure__ranges *ranges, tenure__range *item)
{
    const uint32_t number = (uint32_t)(item - ranges->items) + 1, last = (uint32_t)ranges->count;
    empty_place(ranges, place_with(ranges, item->start, number));
    if (number != last) {
        *item = ranges->items[last - 1];
        ranges->places[place_with(ranges, item->start, last)] = number;
    }
    ranges->count--;
}

void tenure__ranges_destroy(tenure__ranges *ranges)
{
    free(ranges->items);
    free(ranges->places);
}
