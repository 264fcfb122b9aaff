/* A packed struct. Refused: a reference must be aligned */
#include <tenure.h>
#ifdef ACCEPTED
typedef struct object {
#else
typedef struct __attribute__((packed)) object {
#endif
    int number;
    void *pointer;
} object;
TENURE_TYPE(object_type, object, pointer);
