/* TENURE_SET of a number. Refused: integer|cannot initialize|invalid conversion */
#include <tenure.h>
typedef struct object {
    struct object *next;
} object;
void store(tenure_thread *self, object *to, uintptr_t word);
void store(tenure_thread *self, object *to, uintptr_t word)
{
#ifdef ACCEPTED
    TENURE_SET(self, to, next, (object *)word);
#else
    TENURE_SET(self, to, next, word);
#endif
}
