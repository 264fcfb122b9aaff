/* Limits of the machine and of the control groups that hold this process.
 *
 * A process belongs to one group in every hierarchy (/proc/self/cgroup); where a hierarchy can be seen is in
 * /proc/self/mountinfo. In a container the mount may show only a part of the tree, whose top is the mount's root.
 * Limits of all groups up to that top apply, whichever is least. Files that are not there limit nothing. */
#include "lib/heap/limits.h"
#include "threads/system.h"

#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- files --- */

/* False: does not fit. */
__attribute__((format(printf, 2, 3))) static bool path_format(char path[PATH_MAX], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(path, PATH_MAX, format, arguments);
    va_end(arguments);
    return length >= 0 && length < PATH_MAX;
}

static FILE *file_open(const char *directory, const char *name)
{
    char path[PATH_MAX];
    return path_format(path, "%s%s", directory, name) ? fopen(path, "re") : NULL;
}

/* First line of a file, without its end. */
static bool line_read(const char *directory, const char *name, char *line, size_t size)
{
    FILE *file = file_open(directory, name);
    if (file == NULL) return false;
    const bool read = fgets(line, (int)size, file) != NULL;
    fclose(file);
    if (read) line[strcspn(line, "\n")] = '\0';
    return read;
}

/* Calls fn for each line until it returns false. */
static void lines_each(const char *directory, const char *name, bool (*fn)(char *line, void *arg), void *arg)
{
    FILE *file = file_open(directory, name);
    if (file == NULL) return;
    char *line = NULL;
    size_t size = 0;
    for (ssize_t length; (length = getline(&line, &size, file)) > 0;) {
        if (line[length - 1] == '\n') line[length - 1] = '\0';
        if (!fn(line, arg)) break;
    }
    free(line);
    fclose(file);
}

/* --- where this process's control groups are --- */

typedef struct hierarchy {
    const char *controller; /* of cgroup v1; NULL: the one hierarchy of v2 */
    bool found;             /* this process has a group there */
    bool mounted;           /* it can be seen */
    char group[PATH_MAX];   /* of this process, from the hierarchy's top */
    char top[PATH_MAX];     /* the part of it that is mounted, from the hierarchy's top */
    char mount[PATH_MAX];   /* and where */
} hierarchy;

/* Whether the comma-separated list holds the word. */
static bool list_has(const char *list, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = list;; at++) {
        const size_t item = strcspn(at, ",");
        if (item == length && memcmp(at, word, length) == 0) return true;
        at += item;
        if (*at == '\0') return false;
    }
}

/* The part of path below top; NULL: it is not below. */
static const char *path_below(const char *path, const char *top)
{
    size_t length = strlen(top);
    if (length > 0 && top[length - 1] == '/') length--; /* "/" */
    if (strncmp(path, top, length) != 0 || (path[length] != '/' && path[length] != '\0')) return NULL;
    return path + length;
}

/* "4:memory:/group" or "0::/group". */
static bool group_line(char *line, void *arg)
{
    hierarchy *of = arg;
    char *saved = line;
    const char *id = strsep(&saved, ":"), *controllers = strsep(&saved, ":");
    if (controllers == NULL || saved == NULL) return true;
    const bool mine =
        of->controller == NULL ? strcmp(id, "0") == 0 && *controllers == '\0' : list_has(controllers, of->controller);
    if (!mine) return true;
    of->found = path_format(of->group, "%s", saved);
    return false;
}

/* \040 and the like, in place. */
static void octal_decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] != '\0' && from[3] != '\0') {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory": a mount that shows this
 * process's group ends the search, any other of the same hierarchy is better than none. */
static bool mount_line(char *line, void *arg)
{
    hierarchy *of = arg;
    char *filesystem = strstr(line, " - ");
    if (filesystem == NULL) return true;
    *filesystem = '\0';
    filesystem += 3;

    const char *type = strsep(&filesystem, " ");
    (void)strsep(&filesystem, " "); /* the source, of no use */
    const char *options = filesystem == NULL ? "" : filesystem;
    const bool mine = of->controller == NULL ? strcmp(type, "cgroup2") == 0
                                             : strcmp(type, "cgroup") == 0 && list_has(options, of->controller);
    if (!mine) return true;

    char *fields[5];
    for (unsigned i = 0; i < 5; i++)
        if ((fields[i] = strsep(&line, " ")) == NULL) return true;
    char *top = fields[3], *mount = fields[4];
    octal_decode(top);
    octal_decode(mount);
    const bool shows_group = path_below(of->group, top) != NULL;
    if ((shows_group || !of->mounted) && path_format(of->top, "%s", top) && path_format(of->mount, "%s", mount))
        of->mounted = true;
    return !shows_group;
}

/* Calls fn for the directory of this process's group and of each ancestor that can be seen. */
static void groups_each(
    const char *root, const char *controller, void (*fn)(const char *directory, void *arg), void *arg)
{
    hierarchy *of = tenure__calloc(1, sizeof *of); /* three paths are much for a stack */
    if (of == NULL) return;
    of->controller = controller;
    lines_each(root, "/proc/self/cgroup", group_line, of);
    if (of->found) lines_each(root, "/proc/self/mountinfo", mount_line, of);

    char directory[PATH_MAX];
    const char *below = of->mounted ? path_below(of->group, of->top) : NULL;
    const bool fits = path_format(directory, "%s%s%s", root, of->mount, below == NULL ? "" : below);
    const size_t mount_length = strlen(root) + strlen(of->mount);
    while (of->mounted && fits) {
        fn(directory, arg);
        char *slash = strrchr(directory, '/');
        if (slash == NULL || (size_t)(slash - directory) < mount_length) break;
        *slash = '\0';
    }
    free(of);
}

/* --- memory --- */

static void least(uint64_t *limit, uint64_t value)
{
    if (value < *limit) *limit = value;
}

/* A number of bytes; "max" and what cannot be read limit nothing. */
static void least_in_file(const char *directory, const char *name, uint64_t *limit)
{
    char line[64];
    uint64_t value;
    if (line_read(directory, name, line, sizeof line) && sscanf(line, "%" SCNu64, &value) == 1) least(limit, value);
}

/* memory.high counts as a limit: above it the kernel stalls the process for as long as it takes to reclaim. */
static void memory_v2(const char *directory, void *arg)
{
    least_in_file(directory, "/memory.max", arg);
    least_in_file(directory, "/memory.high", arg);
}

static void memory_v1(const char *directory, void *arg) { least_in_file(directory, "/memory.limit_in_bytes", arg); }

static bool physical_line(char *line, void *arg)
{
    uint64_t kib;
    if (sscanf(line, "MemTotal: %" SCNu64 " kB", &kib) != 1) return true;
    *(uint64_t *)arg = kib << 10;
    return false;
}

uint64_t tenure__memory_limit_bytes(const char *root)
{
    uint64_t limit = 0;
    lines_each(root, "/proc/meminfo", physical_line, &limit);
    if (limit == 0) limit = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    groups_each(root, NULL, memory_v2, &limit);
    groups_each(root, "memory", memory_v1, &limit);
    return limit;
}

/* --- processors --- */

/* quota microseconds of processor time in every period; rounded up: 1.5 processors run two threads. */
static void least_quota(uint64_t quota, uint64_t period, uint64_t *processors)
{
    if (quota > 0 && period > 0) least(processors, quota / period + (quota % period != 0));
}

static void processors_v2(const char *directory, void *arg)
{
    char line[64];
    uint64_t quota, period;
    if (line_read(directory, "/cpu.max", line, sizeof line) &&
        sscanf(line, "%" SCNu64 " %" SCNu64, &quota, &period) == 2)
        least_quota(quota, period, arg);
}

static void processors_v1(const char *directory, void *arg)
{
    char quota_line[64], period_line[64];
    int64_t quota;
    uint64_t period;
    if (line_read(directory, "/cpu.cfs_quota_us", quota_line, sizeof quota_line) &&
        line_read(directory, "/cpu.cfs_period_us", period_line, sizeof period_line) &&
        sscanf(quota_line, "%" SCNd64, &quota) == 1 && sscanf(period_line, "%" SCNu64, &period) == 1 && quota > 0)
        least_quota((uint64_t)quota, period, arg);
}

/* The processors of this thread's affinity mask, which follows cpusets. 0: cannot be read. */
static unsigned affinity_count(void)
{
    enum { MOST_PROCESSORS = 1 << 16 };
    /* The kernel refuses a mask smaller than its own. */
    for (unsigned room = CPU_SETSIZE; room <= MOST_PROCESSORS; room *= 2) {
        cpu_set_t *set = CPU_ALLOC(room);
        if (set == NULL) return 0;
        const size_t bytes = CPU_ALLOC_SIZE(room);
        const int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0) return (unsigned)count;
    }
    return 0;
}

unsigned tenure__usable_processors(const char *root)
{
    uint64_t processors = affinity_count();
    if (processors == 0) processors = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    groups_each(root, NULL, processors_v2, &processors);
    groups_each(root, "cpu", processors_v1, &processors);
    return processors < 1 ? 1 : (unsigned)processors;
}

/* --- caches --- */

/* The largest of the first processor's caches: the last level. 0: cannot be read. */
static uint64_t sysfs_cache_bytes(const char *root)
{
    uint64_t largest = 0;
    for (unsigned index = 0; index < 16; index++) {
        char name[64], line[64], unit = ' ';
        uint64_t size;
        snprintf(name, sizeof name, "/sys/devices/system/cpu/cpu0/cache/index%u/size", index);
        if (!line_read(root, name, line, sizeof line)) break;
        if (sscanf(line, "%" SCNu64 "%c", &size, &unit) < 1) continue;
        size <<= unit == 'K' ? 10 : unit == 'M' ? 20 : 0;
        if (size > largest) largest = size;
    }
    return largest;
}

uint64_t tenure__cache_bytes(const char *root)
{
    const uint64_t at_least = 1ull << 20;
    const bool this_machine = *root == '\0';
    const int levels[] = { _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL2_CACHE_SIZE };
    uint64_t bytes = 0;
    for (unsigned i = 0; this_machine && bytes == 0 && i < sizeof levels / sizeof levels[0]; i++) {
        const long size = sysconf(levels[i]);
        if (size > 0) bytes = (uint64_t)size;
    }
    if (bytes == 0) bytes = sysfs_cache_bytes(root);
    return bytes < at_least ? at_least : bytes;
}
