/* What the process may use of the machine. */
#ifndef TENURE_LIB_HEAP_LIMITS_H
#define TENURE_LIB_HEAP_LIMITS_H

#include <stdint.h>
#include <tenure/heap.h>

/* The least of physical memory and the memory limits of this process's cgroups (v1 and v2, all ancestors), in bytes.
 * root: prefix of /proc and /sys/fs/cgroup, "" but in tests. Reads files: outside stops only. */
uint64_t tenure__memory_limit_bytes(const char *root);

/* The least of the CPU affinity and the CPU quota of this process's cgroups (rounded up), at least 1. */
unsigned tenure__usable_processors(const char *root);

/* Size of the last-level cache in bytes (sysconf, else /sys), at least 1 MiB. */
uint64_t tenure__cache_bytes(const char *root);

/* TENURE_OK, or TENURE_EINVAL for options that contradict each other or another version's; err as in
 * tenure_options_parse. */
tenure_status tenure__options_check(const tenure_options *options, char *err, size_t err_size);

#endif
