#ifndef TENURE_LIB_INSPECT_FIELDS_H
#define TENURE_LIB_INSPECT_FIELDS_H

#include <tenure/type.h>

/* The name of the field at that offset, as the type's declaration has it, with the indexes of arrays: "next", "a.b",
 * "slots[3].key". False: it is not known. */
bool tenure__field_name(const tenure_type *type, size_t offset, char *name, size_t size);

#endif
