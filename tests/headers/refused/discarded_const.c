/* TENURE_SET that takes const away. Refused: discard|cannot initialize|invalid conversion */
#include <tenure.h>
typedef struct object {
    struct object *next;
} object;
void store(tenure_thread *self, object *to, const object *value);
void store(tenure_thread *self, object *to, const object *value)
{
#ifdef ACCEPTED
    TENURE_SET(self, to, next, (object *)(uintptr_t)value);
#else
    TENURE_SET(self, to, next, value);
#endif
}
