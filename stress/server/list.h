/* Lists: chunks of references, chained both ways, so that both ends push and pop in constant time and a long list does
 * not cost two words of links for each element. The shard's lock covers a list. */
#ifndef SERVER_LIST_H
#define SERVER_LIST_H

#include "text.h"

typedef struct list_chunk {
    struct list_chunk *previous, *next;
    uint32_t first, count, capacity; /* items[first .. first + count) are in use */
    text *items[];
} list_chunk;

typedef struct list {
    list_chunk *head, *tail; /* both NULL when empty */
    uint64_t count;
    uint64_t bytes; /* approximate heap bytes of all of it */
} list;

typedef enum list_end { LIST_LEFT, LIST_RIGHT } list_end;

/* NULL when the heap is full; may collect. */
list *list_new(tenure_thread *self);

/* False when the heap is full: the list is as it was. May collect. */
bool list_push(tenure_thread *self, list *l, list_end end, text *element);

/* NULL when empty. Does not collect. */
text *list_pop(tenure_thread *self, list *l, list_end end);

/* A position in a list that does not change meanwhile. */
typedef struct list_cursor {
    list_chunk *chunk;
    uint32_t slot;
} list_cursor;

/* index < count. */
list_cursor list_seek(const list *l, uint64_t index);

/* The element at the cursor, which moves on by one; NULL at the end. */
text *list_next(list_cursor *cursor);

#endif
