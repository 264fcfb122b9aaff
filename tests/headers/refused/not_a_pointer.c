/* An item that is not a pointer. Refused: an item must be a pointer */
#include <tenure.h>
typedef struct object {
    void *pointer;
    int number;
} object;
#ifdef ACCEPTED
TENURE_TYPE(object_type, object, pointer);
#else
TENURE_TYPE(object_type, object, pointer, number);
#endif
