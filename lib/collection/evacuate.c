/* Which blocks of Gen 2 a full collection empties. Sparse ones always; denser ones too where holes take much beside
 * what lives: a program whose objects change their sizes does not fill them again. The sparsest first, and so much at a
 * time that copies take half of what the holes do: that much more memory is needed until the collection's end. */
#include "lib/collection/evacuate.h"

enum {
    CLASSES = 16, /* of blocks, by how much of them is alive */
    ALWAYS = 4,   /* classes below are sparse */
    DENSEST = 12  /* from here on copying costs more than it gains */
};

typedef struct class
{
    uint64_t blocks, alive; /* granules */
} class;

typedef struct plan {
    unsigned limit; /* classes below are emptied, */
    uint64_t last;  /* the last of them up to so many granules */
} plan;

static unsigned class_of(unsigned alive) { return alive / (TENURE__GRANULES / CLASSES); }

static bool is_marked(const tenure_heap *heap, uint32_t block)
{
    const uint8_t kind = tenure__kind_of(heap, block);
    return (kind & TENURE__KIND_GENERATION) != 0 && tenure__kind_generation(kind) == 2 &&
           (kind & TENURE__KIND_FROZEN) == 0;
}

/* What its objects were when it was swept or settled; DENSEST: it was filled since. */
static unsigned known_class(const tenure_heap *heap, uint32_t block)
{
    const unsigned alive = heap->blocks[block].live_granules;
    return alive == 0 ? DENSEST : class_of(alive);
}

/* Holes may have been filled since. */
static unsigned count_alive(tenure_heap *heap, uint32_t block)
{
    uint64_t occupied[TENURE__BITMAP_WORDS];
    tenure__occupied(tenure__bits_of(heap->live, block), tenure__bits_of(heap->ends, block), occupied);
    unsigned alive = 0;
    for (unsigned i = 0; i < TENURE__BITMAP_WORDS; i++) alive += (unsigned)__builtin_popcountll(occupied[i]);
    return alive;
}

/* Counts the blocks of each class; granules in holes. */
static uint64_t count_classes(tenure_heap *heap, uint32_t frontier, class classes[CLASSES])
{
    uint64_t holes = 0;
    for (uint32_t block = 0; block < frontier; block++) {
        if (!is_marked(heap, block) || known_class(heap, block) >= DENSEST) continue;
        const unsigned alive = heap->blocks[block].live_granules = count_alive(heap, block);
        class *of = &classes[class_of(alive)];
        of->blocks++;
        of->alive += alive;
        holes += TENURE__GRANULES - alive;
    }
    return holes;
}

static plan make_plan(const tenure_heap *heap, const class classes[CLASSES], uint64_t holes)
{
    const uint64_t blocks = atomic_load_explicit(&heap->generation_blocks[2], memory_order_relaxed);
    const uint64_t all = blocks * TENURE__GRANULES;
    const uint64_t allowed = tenure__holes_allowed(all > holes ? all - holes : 0);
    /* Copies must find room: what is not in use, less what the young generations may need. */
    const uint64_t taken = atomic_load_explicit(&heap->used_blocks, memory_order_relaxed) +
                           atomic_load_explicit(&heap->gen0_used, memory_order_relaxed) +
                           atomic_load_explicit(&heap->gen1_count, memory_order_relaxed);
    uint64_t left = heap->max_blocks > taken ? (heap->max_blocks - taken) * TENURE__GRANULES : 0;
    if (left > holes / 2) left = holes / 2;
    plan made = { 0, 0 };
    while (made.limit < ALWAYS || (made.limit < DENSEST && holes > allowed)) {
        const class *next = &classes[made.limit++];
        made.last = left;
        if (next->alive > left) break;
        left -= next->alive;
        holes -= next->blocks * TENURE__GRANULES - next->alive;
    }
    return made;
}

/* Within the plan, which takes note of it. */
static bool is_chosen(const tenure_heap *heap, uint32_t block, plan *to_do)
{
    const unsigned known = known_class(heap, block), alive = heap->blocks[block].live_granules;
    if (known + 1 != to_do->limit) return known < to_do->limit;
    if (alive > to_do->last) return false;
    to_do->last -= alive;
    return true;
}

void tenure__choose_evacuation(tenure_heap *heap)
{
    const uint32_t frontier = atomic_load_explicit(&heap->frontier, memory_order_relaxed);
    class classes[CLASSES] = { { 0, 0 } };
    const uint64_t holes = count_classes(heap, frontier, classes);
    plan to_do = make_plan(heap, classes, holes);
    const bool all = (heap->options.torture & TENURE_TORTURE_EVACUATE) != 0;
    for (uint32_t block = 0; block < frontier; block++)
        if (is_marked(heap, block) && (all || is_chosen(heap, block, &to_do)))
            tenure__set_kind(heap, block, tenure__kind_of(heap, block) | TENURE__KIND_EVACUATE);
}
