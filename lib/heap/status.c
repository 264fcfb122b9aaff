/* Texts for the codes that public functions return, and the library's version. */
#include <tenure/heap.h>

const char *tenure_strerror(tenure_status status)
{
    static const char *const texts[] = {
        [TENURE_OK] = "success",
        [TENURE_ENOMEM] = "out of memory",
        [TENURE_EINVAL] = "invalid argument",
        [TENURE_EBUSY] = "busy",
        [TENURE_EDEADLK] = "would deadlock",
        [TENURE_ETIMEDOUT] = "timed out",
        [TENURE_EPERM] = "not attached or not the owner",
        [TENURE_ESYSTEM] = "system error, see errno",
    };
    const unsigned index = (unsigned)status;
    return index < sizeof texts / sizeof texts[0] ? texts[index] : "unknown status";
}

#define TEXT_(number) #number
#define TEXT(number) TEXT_(number)

const char *tenure_version(void)
{
    return TEXT(TENURE_VERSION_MAJOR) "." TEXT(TENURE_VERSION_MINOR) "." TEXT(TENURE_VERSION_PATCH);
}
