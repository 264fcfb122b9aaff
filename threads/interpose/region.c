#include "threads/interpose/region.h"
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { RCU_LIBRARIES_MAX = 8 };

/* Both are written under the lock, and read once the count says that they are there. */
static pthread_mutex_t copies_lock = PTHREAD_MUTEX_INITIALIZER;
static const tenure__interpose_hooks *copies[COPIES_MAX];
unsigned tenure__interpose_copies;

/* The code of the liburcu that is loaded when the first copy registers, which needs it. */
static struct code {
    uintptr_t start, end;
} rcu_code[RCU_LIBRARIES_MAX];
static unsigned rcu_code_count;

static int note_rcu_code(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    const char *slash = strrchr(info->dlpi_name, '/');
    const char *name = slash != NULL ? slash + 1 : info->dlpi_name;
    if (strncmp(name, "liburcu", strlen("liburcu")) != 0) return 0;
    for (unsigned i = 0; i < info->dlpi_phnum && rcu_code_count < RCU_LIBRARIES_MAX; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || (part->p_flags & PF_X) == 0) continue;
        const uintptr_t start = info->dlpi_addr + part->p_vaddr;
        rcu_code[rcu_code_count++] = (struct code) { start, start + part->p_memsz };
    }
    return 0;
}

/* The table stays where it is even if its library is closed, which no caller of these functions could know. */
static void keep_loaded(const void *table)
{
    Dl_info info;
    if (dladdr(table, &info) != 0) dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

INTERPOSED void tenure__interpose_register(const tenure__interpose_hooks *hooks);
void tenure__interpose_register(const tenure__interpose_hooks *hooks)
{
    if (hooks->version != TENURE__INTERPOSE_VERSION) {
        fprintf(stderr, "tenure: interposer: made for another version of the library, which it leaves alone\n");
        return;
    }
    keep_loaded(hooks);
    pthread_mutex_lock(&copies_lock);
    const unsigned count = tenure__interpose_copies;
    if (count == 0) dl_iterate_phdr(note_rcu_code, NULL);
    if (count < COPIES_MAX) {
        copies[count] = hooks;
        /* release: pairs with the acquire in region_begin. */
        __atomic_store_n(&tenure__interpose_copies, count + 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&copies_lock);
    if (count == COPIES_MAX) fprintf(stderr, "tenure: interposer: more than %d copies in one process\n", COPIES_MAX);
}

static bool is_rcu_code(uintptr_t address)
{
    for (unsigned i = 0; i < rcu_code_count; i++)
        if (address >= rcu_code[i].start && address < rcu_code[i].end) return true;
    return false;
}

void tenure__region_find(region *out, const char *call, const void *site)
{
    const unsigned count = __atomic_load_n(&tenure__interpose_copies, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < count; i++) {
        bool watched = false;
        tenure_thread *self = copies[i]->running(&watched);
        if (self != NULL) out->of[out->count++] = (struct region_of) { copies[i], self };
        if (watched) out->watch = copies[i];
    }
    if (out->count == 0 && out->watch == NULL) return;
    out->call = call;
    out->site = site;
    if (!tenure__in_handler() && !is_rcu_code((uintptr_t)site)) return;
    out->count = 0;
    out->watch = NULL;
}

/* --- check=locks --- */

/* How often the thread has given its processor away to wait for something, and not been preempted. */
static long sleeps_of_thread(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

void tenure__watch_begin(region *watched) { watched->sleeps = sleeps_of_thread(); }

void tenure__watch_end(const region *watched)
{
    if (sleeps_of_thread() != watched->sleeps) watched->watch->waited(watched->call, watched->site);
}

void tenure__region_leave(region *left)
{
    const int error = errno;
    for (; left->count != 0; left->count--) left->of[left->count - 1].hooks->leave(left->of[left->count - 1].self);
    errno = error;
}
