/* Limits of the machine, read from trees that look like /proc and /sys. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/heap/limits.h"

static char root[64];

static void tree_begin(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(root, sizeof root, "%.40s/tenure-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    cr_assert(mkdtemp(root) != NULL);
}

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    return remove(path);
}

static void tree_end(void) { nftw(root, entry_remove, 8, FTW_DEPTH | FTW_PHYS); }

TestSuite(limits, .init = tree_begin, .fini = tree_end);

static void file_write(const char *name, const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL, "%s", path);
    fputs(text, file);
    fclose(file);
}

static const char meminfo[] = "MemTotal:        4194304 kB\nMemFree:          100 kB\n"; /* 4 GiB */
static const uint64_t physical = 4ull << 30, mib = 1ull << 20;

static void write_v2(const char *group, const char *top)
{
    char text[512];
    file_write("/proc/meminfo", meminfo);
    snprintf(text, sizeof text, "0::%s\n", group);
    file_write("/proc/self/cgroup", text);
    snprintf(text, sizeof text,
        "22 1 0:20 / /proc rw - proc proc rw\n"
        "31 23 0:28 %s /sys/fs/cgroup rw,relatime shared:9 master:3 - cgroup2 cgroup2 rw,nsdelegate\n",
        top);
    file_write("/proc/self/mountinfo", text);
}

static void write_v1(const char *group, const char *top)
{
    char text[1024];
    file_write("/proc/meminfo", meminfo);
    snprintf(text, sizeof text, "9:name=systemd:/\n4:memory:%s\n2:cpuacct,cpu:%s\n0::/\n", group, group);
    file_write("/proc/self/cgroup", text);
    snprintf(text, sizeof text,
        "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
        "32 31 0:29 %s /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 %s /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
        "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n",
        top, top);
    file_write("/proc/self/mountinfo", text);
}

static unsigned affinity(void) { return tenure__usable_processors("/nonexistent"); }

Test(limits, no_groups)
{
    file_write("/proc/meminfo", meminfo);
    cr_expect(eq(u64, tenure__memory_limit_bytes(root), physical));
    cr_expect(affinity() >= 1);
    cr_expect(eq(uint, tenure__usable_processors(root), affinity()));
}

Test(limits, nothing_at_all) { cr_expect(tenure__memory_limit_bytes(root) > mib); }

Test(limits, v2_own_group)
{
    write_v2("/server", "/");
    file_write("/sys/fs/cgroup/server/memory.max", "1073741824\n");
    file_write("/sys/fs/cgroup/server/cpu.max", "50000 100000\n");
    cr_expect(eq(u64, tenure__memory_limit_bytes(root), 1024 * mib));
    cr_expect(eq(uint, tenure__usable_processors(root), 1));
}

Test(limits, v2_unlimited)
{
    write_v2("/server", "/");
    file_write("/sys/fs/cgroup/server/memory.max", "max\n");
    file_write("/sys/fs/cgroup/server/memory.high", "max\n");
    file_write("/sys/fs/cgroup/server/cpu.max", "max 100000\n");
    cr_expect(eq(u64, tenure__memory_limit_bytes(root), physical));
    cr_expect(eq(uint, tenure__usable_processors(root), affinity()));
}

Test(limits, v2_high)
{
    write_v2("/server", "/");
    file_write("/sys/fs/cgroup/server/memory.max", "1073741824\n");
    file_write("/sys/fs/cgroup/server/memory.high", "536870912\n");
    cr_expect(eq(u64, tenure__memory_limit_bytes(root), 512 * mib));
}

Test(limits, v2_ancestors)
{
    write_v2("/slice/pod/server", "/");
    file_write("/sys/fs/cgroup/slice/pod/server/memory.max", "1073741824\n");
    file_write("/sys/fs/cgroup/slice/memory.max", "268435456\n");
    cr_expect(eq(u64, tenure__memory_limit_bytes(root), 256 * mib));
}

Test(limits, v2_in_a_namespace)
{
    write_v2("/", "/");
    file_write("/sys/fs/cgroup/memory.max", "268435456\n");
    cr_expect(eq(u64, tenure__memory_limit_bytes(root), 256 * mib));
}

Test(limits, part_of_the_tree_is_mounted)
{
    write_v2("/docker/abc/inner", "/docker/abc");
    file_write("/sys/fs/cgroup/inner/memory.max", "1073741824\n");
    file_write("/sys/fs/cgroup/memory.max", "536870912\n");
    /* Outside of the mount: not this process's. */
    file_write("/sys/fs/memory.max", "1\n");
    cr_expect(eq(u64, tenure__memory_limit_bytes(root), 512 * mib));
}

Test(limits, group_outside_of_the_mount)
{
    write_v2("/docker/abcd", "/docker/abc");
    file_write("/sys/fs/cgroup/memory.max", "536870912\n");
    file_write("/sys/fs/cgroup/d/memory.max", "1\n");
    cr_expect(eq(u64, tenure__memory_limit_bytes(root), 512 * mib));
}

Test(limits, blanks_in_the_mount_point)
{
    file_write("/proc/meminfo", meminfo);
    file_write("/proc/self/cgroup", "0::/a\n");
    file_write("/proc/self/mountinfo", "31 23 0:28 / /sys/c\\040group rw - cgroup2 cgroup2 rw\n");
    file_write("/sys/c group/a/memory.max", "536870912\n");
    cr_expect(eq(u64, tenure__memory_limit_bytes(root), 512 * mib));
}

Test(limits, v1)
{
    write_v1("/pod/server", "/");
    file_write("/sys/fs/cgroup/memory/pod/server/memory.limit_in_bytes", "9223372036854771712\n");
    file_write("/sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "268435456\n");
    file_write("/sys/fs/cgroup/cpu,cpuacct/pod/server/cpu.cfs_quota_us", "-1\n");
    file_write("/sys/fs/cgroup/cpu,cpuacct/pod/server/cpu.cfs_period_us", "100000\n");
    cr_expect(eq(u64, tenure__memory_limit_bytes(root), 256 * mib));
    cr_expect(eq(uint, tenure__usable_processors(root), affinity()));
    file_write("/sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us", "20000\n");
    file_write("/sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_period_us", "100000\n");
    cr_expect(eq(uint, tenure__usable_processors(root), 1));
}

Test(limits, quota_is_rounded_up)
{
    write_v2("/server", "/");
    file_write("/sys/fs/cgroup/server/cpu.max", "150000 100000\n");
    cr_expect(eq(uint, tenure__usable_processors(root), affinity() < 2 ? affinity() : 2));
}

Test(limits, more_than_there_is)
{
    write_v2("/server", "/");
    file_write("/sys/fs/cgroup/server/memory.max", "99999999999999\n");
    file_write("/sys/fs/cgroup/server/cpu.max", "99999999999 100000\n");
    cr_expect(eq(u64, tenure__memory_limit_bytes(root), physical));
    cr_expect(eq(uint, tenure__usable_processors(root), affinity()));
}

Test(limits, malformed)
{
    file_write("/proc/meminfo", "nonsense\n");
    file_write("/proc/self/cgroup", "0\n::\n0::/a\nx");
    file_write("/proc/self/mountinfo", "\n - \n1 - cgroup2\n31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw");
    file_write("/sys/fs/cgroup/a/memory.max", "");
    file_write("/sys/fs/cgroup/a/cpu.max", "0 0\n");
    cr_expect(tenure__memory_limit_bytes(root) > mib);
    cr_expect(eq(uint, tenure__usable_processors(root), affinity()));
}

Test(limits, caches)
{
    cr_expect(eq(u64, tenure__cache_bytes(root), mib));
    file_write("/sys/devices/system/cpu/cpu0/cache/index0/size", "48K\n");
    file_write("/sys/devices/system/cpu/cpu0/cache/index1/size", "32K\n");
    cr_expect(eq(u64, tenure__cache_bytes(root), mib));
    file_write("/sys/devices/system/cpu/cpu0/cache/index2/size", "2048K\n");
    file_write("/sys/devices/system/cpu/cpu0/cache/index3/size", "32M\n");
    cr_expect(eq(u64, tenure__cache_bytes(root), 32 * mib));
}

Test(this_machine, is_plausible)
{
    cr_expect(tenure__memory_limit_bytes("") >= 64 * mib);
    cr_expect(tenure__usable_processors("") >= 1);
    cr_expect(tenure__cache_bytes("") >= mib);
}
