/* TENURE_SET of another type. Refused: incompatible|cannot convert|invalid conversion */
#include <tenure.h>
typedef struct other {
    int number;
} other;
typedef struct object {
    struct object *next;
    other *payload;
} object;
void store(tenure_thread *self, object *to, other *payload);
void store(tenure_thread *self, object *to, other *payload)
{
#ifdef ACCEPTED
    TENURE_SET(self, to, payload, payload);
#else
    TENURE_SET(self, to, next, payload);
#endif
}
