/* TENURE_SET_AT of another type. Refused: incompatible|cannot convert|invalid conversion */
#include <tenure.h>
void store(tenure_thread *self, int **to, long *value);
void store(tenure_thread *self, int **to, long *value)
{
#ifdef ACCEPTED
    TENURE_SET_AT(self, to, 0, (int *)value);
#else
    TENURE_SET_AT(self, to, 0, value);
#endif
}
