/* The limit on what the store may hold, and eviction: approximate LRU over all keys. */
#ifndef SERVER_MEMORY_H
#define SERVER_MEMORY_H

#include "context.h"
#include <stdbool.h>
#include <stddef.h>

/* Bytes that the store may hold; 0: no limit. Any thread. */
void memory_limit_set(uint64_t bytes);
uint64_t memory_limit(void);

/* Called before commands that may add to the store: evicts while the store is above the limit. False when that did not
 * help: the command must be refused. Cheap while little was added since it last looked. May collect. */
bool memory_relieve(context *c);

/* An allocation failed, so the limit is more than the heap can hold: evicts a sixteenth of the keys. Without a limit
 * nobody has said that keys may go: then what adds to the store is refused for a tenth of a second, or until it shrank.
 */
void memory_shortage(context *c);

/* A client is about to send a value of that size, which is held outside the store until it is complete. False: it does
 * not fit. Every success is undone by memory_received. */
bool memory_reserve(context *c, size_t bytes);
void memory_received(size_t bytes);

/* Bytes of values that are being received. */
uint64_t memory_receiving(void);

#endif
