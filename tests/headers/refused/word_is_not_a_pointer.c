/* A uintptr_t named without TENURE_WORD. Refused: an item must be a pointer */
#include <tenure.h>
typedef struct object {
    uintptr_t word;
} object;
#ifdef ACCEPTED
TENURE_TYPE(object_type, object, TENURE_WORD(word));
#else
TENURE_TYPE(object_type, object, word);
#endif
