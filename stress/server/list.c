/* Lists as chains of chunks. */
#include "list.h"
#include <tenure/barrier.h>

TENURE_TYPE_FLEX_REFS(list_chunk, list_chunk, items, previous, next);
TENURE_TYPE(list, list, head, tail);

/* Most lists are short: the first chunk is small and doubles. A store into a chunk that has been promoted makes the
 * next young collection look at all its slots, so that chunks do not grow beyond a kilobyte. */
enum { FIRST_CAPACITY = 4, MAX_CAPACITY = 128 };

static size_t chunk_bytes(uint32_t capacity)
{
    return (8 + offsetof(list_chunk, items) + capacity * sizeof(text *) + 15) & ~(size_t)15;
}

list *list_new(tenure_thread *self)
{
    list *made = tenure_new(self, list);
    if (made != NULL) made->bytes = (8 + sizeof(list) + 15) & ~(size_t)15;
    return made;
}

/* An empty chunk whose window opens away from the end that it is for. */
static list_chunk *chunk_new(tenure_thread *self, uint32_t capacity, list_end end)
{
    list_chunk *made = tenure_new_flex(self, list_chunk, capacity);
    if (made == NULL) return NULL;
    made->capacity = capacity;
    made->first = end == LIST_LEFT ? capacity : 0;
    return made;
}

static bool chunk_is_full(const list_chunk *chunk, list_end end)
{
    return end == LIST_LEFT ? chunk->first == 0 : chunk->first + chunk->count == chunk->capacity;
}

/* A chunk with room takes the place of `full`: twice the size, with its elements. */
static list_chunk *chunk_double(tenure_thread *self, list *l, list_chunk *full, list_end end)
{
    list_chunk *made = chunk_new(self, full->capacity * 2, end);
    if (made == NULL) return NULL;
    if (end == LIST_LEFT) made->first -= full->count;
    tenure_copy_refs(self, made, &made->items[made->first], &full->items[full->first], full->count);
    made->count = full->count;
    TENURE_SET(self, made, previous, full->previous);
    TENURE_SET(self, made, next, full->next);
    if (full->previous != NULL)
        TENURE_SET(self, full->previous, next, made);
    else
        TENURE_SET(self, l, head, made);
    if (full->next != NULL)
        TENURE_SET(self, full->next, previous, made);
    else
        TENURE_SET(self, l, tail, made);
    l->bytes += chunk_bytes(made->capacity) - chunk_bytes(full->capacity);
    return made;
}

/* A new chunk beyond the one at that end. */
static list_chunk *chunk_add(tenure_thread *self, list *l, list_end end)
{
    list_chunk *neighbour = end == LIST_LEFT ? l->head : l->tail;
    list_chunk *made = chunk_new(self, neighbour == NULL ? FIRST_CAPACITY : MAX_CAPACITY, end);
    if (made == NULL) return NULL;
    if (end == LIST_LEFT) {
        TENURE_SET(self, made, next, neighbour);
        if (neighbour != NULL)
            TENURE_SET(self, neighbour, previous, made);
        else
            TENURE_SET(self, l, tail, made);
        TENURE_SET(self, l, head, made);
    } else {
        TENURE_SET(self, made, previous, neighbour);
        if (neighbour != NULL)
            TENURE_SET(self, neighbour, next, made);
        else
            TENURE_SET(self, l, head, made);
        TENURE_SET(self, l, tail, made);
    }
    l->bytes += chunk_bytes(made->capacity);
    return made;
}

static void chunk_unlink(tenure_thread *self, list *l, list_chunk *empty)
{
    if (empty->previous != NULL)
        TENURE_SET(self, empty->previous, next, empty->next);
    else
        TENURE_SET(self, l, head, empty->next);
    if (empty->next != NULL)
        TENURE_SET(self, empty->next, previous, empty->previous);
    else
        TENURE_SET(self, l, tail, empty->previous);
    l->bytes -= chunk_bytes(empty->capacity);
}

bool list_push(tenure_thread *self, list *l, list_end end, text *element)
{
    list_chunk *chunk = end == LIST_LEFT ? l->head : l->tail;
    if (chunk == NULL || chunk_is_full(chunk, end)) {
        const bool doubles = chunk != NULL && chunk->capacity < MAX_CAPACITY && chunk->count * 2 > chunk->capacity;
        chunk = doubles ? chunk_double(self, l, chunk, end) : chunk_add(self, l, end);
        if (chunk == NULL) return false;
    }
    const uint32_t slot = end == LIST_LEFT ? chunk->first - 1 : chunk->first + chunk->count;
    TENURE_SET(self, chunk, items[slot], element);
    if (end == LIST_LEFT) chunk->first = slot;
    chunk->count++;
    l->count++;
    l->bytes += text_cell_bytes(element->length);
    return true;
}

text *list_pop(tenure_thread *self, list *l, list_end end)
{
    list_chunk *chunk = end == LIST_LEFT ? l->head : l->tail;
    if (chunk == NULL) return NULL;
    const uint32_t slot = end == LIST_LEFT ? chunk->first : chunk->first + chunk->count - 1;
    text *element = chunk->items[slot];
    TENURE_SET(self, chunk, items[slot], NULL);
    if (end == LIST_LEFT) chunk->first++;
    chunk->count--;
    if (chunk->count == 0) chunk_unlink(self, l, chunk);
    l->count--;
    l->bytes -= text_cell_bytes(element->length);
    return element;
}

list_cursor list_seek(const list *l, uint64_t index)
{
    list_chunk *chunk;
    if (index < l->count / 2) {
        for (chunk = l->head; index >= chunk->count; chunk = chunk->next) index -= chunk->count;
        return (list_cursor) { chunk, chunk->first + (uint32_t)index };
    }
    uint64_t behind = l->count - index; /* elements from index to the end, at least 1 */
    for (chunk = l->tail; behind > chunk->count; chunk = chunk->previous) behind -= chunk->count;
    return (list_cursor) { chunk, chunk->first + chunk->count - (uint32_t)behind };
}

text *list_next(list_cursor *cursor)
{
    if (cursor->chunk == NULL) return NULL;
    text *element = cursor->chunk->items[cursor->slot++];
    if (cursor->slot == cursor->chunk->first + cursor->chunk->count) {
        cursor->chunk = cursor->chunk->next;
        if (cursor->chunk != NULL) cursor->slot = cursor->chunk->first;
    }
    return element;
}
