/* Arrays decay to pointers, their elements have to be pointers all the same. Refused: an item must be a pointer */
#include <tenure.h>
typedef struct object {
    long numbers[4];
    void *pointers[4];
} object;
#ifdef ACCEPTED
TENURE_TYPE(object_type, object, pointers);
#else
TENURE_TYPE(object_type, object, numbers);
#endif
