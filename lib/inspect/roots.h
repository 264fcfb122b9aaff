/* All roots by name: what pins and what is traced in a full collection (collection/pin.c, roots.c), told apart. */
#ifndef TENURE_LIB_INSPECT_ROOTS_H
#define TENURE_LIB_INSPECT_ROOTS_H

#include "lib/inspect/inspect.h"

/* A word that holds a reference, or may. */
typedef struct tenure__root_word {
    tenure_root_kind kind;
    tenure__reference how;
    uintptr_t value;
    uintptr_t address;              /* 0: it has none that tells anything */
    uintptr_t base;                 /* what address is counted from; 0: nothing */
    unsigned register_index;        /* REGISTER */
    const tenure__mutator *mutator; /* whose; NULL: no thread's */
} tenure__root_word;

typedef void tenure__root_word_fn(void *arg, const tenure__root_word *word);

/* Which: what the stack, registers and frames of that thread hold, or everything else. What is being delivered by
 * lib/inspect/ itself is no root here. As look (inspect.h). */
void tenure__each_root_of(tenure_heap *heap, tenure__mutator *mutator, tenure__root_word_fn *fn, void *arg);
void tenure__each_root_but(tenure_heap *heap, tenure__mutator *mutator, tenure__root_word_fn *fn, void *arg);

/* The word for the program; stopped, for the thread may be gone afterwards. The loader is asked after the stop: it has
 * a lock. */
tenure_root tenure__root_describe(const tenure__root_word *word);
void tenure__root_ask_loader(tenure_root *root);

#endif
