/* TENURE_WORD of half a word. Refused: a word item must be as wide as a pointer */
#include <tenure.h>
typedef struct object {
    uintptr_t word;
    uint32_t half;
} object;
#ifdef ACCEPTED
TENURE_TYPE(object_type, object, TENURE_WORD(word));
#else
TENURE_TYPE(object_type, object, TENURE_WORD(half));
#endif
