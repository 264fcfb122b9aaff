/* Items of a flexible part's elements. Refused: an item must be a pointer */
#include <tenure.h>
typedef struct element {
    void *pointer;
    int number;
} element;
typedef struct object {
    long length;
    element elements[];
} object;
#ifdef ACCEPTED
TENURE_TYPE_FLEX(object_type, object, elements, TENURE_ELEMENT(pointer));
#else
TENURE_TYPE_FLEX(object_type, object, elements, TENURE_ELEMENT(number));
#endif
