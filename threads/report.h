/* The straggler report, within threads/. Everything here runs on the watch's thread unless it says otherwise: no
 * malloc, no streams, no lock of anybody else's, no call of the loader. Memory of others is read through the kernel
 * (tenure__peek), which fails where a load would fault. */
#ifndef TENURE_THREADS_REPORT_H
#define TENURE_THREADS_REPORT_H

#include "threads/mutator.h"
#include <tenure/stats.h>
#include <tenure/straggler.h>

/* --- report_proc.c: what the kernel says of a thread --- */

/* A text while it grows; what does not fit is cut off. */
typedef struct tenure__text {
    char *bytes;
    size_t size, length;
} tenure__text;
__attribute__((format(printf, 2, 3))) void tenure__text_add(tenure__text *text, const char *format, ...);

/* Copies from this process's own memory; false: some of it is not there. */
bool tenure__peek(void *to, uintptr_t from, size_t bytes);

typedef struct tenure__wait {
    tenure_straggler_kind kind;
    char state;       /* of /proc/self/task/TID/stat; 0: no such thread */
    char name[16];    /* the system's for the thread */
    char channel[32]; /* wchan, "": none or not told */
    bool known;       /* the kernel tells system calls */
    long number;      /* of the system call, -1: none */
    uint64_t arguments[6];
    uintptr_t stack_pointer, pc; /* 0: it runs */
    pid_t owner;                 /* of what it waits for; 0: none, or unknown */
    bool timed;                  /* it gives up after some time */
} tenure__wait;

void tenure__wait_read(pid_t tid, tenure__wait *wait);
/* "in read(fd 5 -> pipe:[4711])" and the like. */
void tenure__wait_describe(const tenure__wait *wait, tenure__text *text);
/* The system call's name, "": not one that is known to block; and what tenure/io.h has in its place, NULL: nothing. */
const char *tenure__wait_call(const tenure__wait *wait);
const char *tenure__wait_wrapper(const tenure__wait *wait);

/* --- report_symbol.c: from an address to a name --- */

enum { TENURE__CODE_MAX = 512, TENURE__PATHS_BYTES = 32 * 1024 };
/* The executable mappings, as /proc/self/maps had them. */
typedef struct tenure__code {
    struct {
        uintptr_t start, end;
        uint64_t offset;
        uint32_t path; /* in paths */
    } ranges[TENURE__CODE_MAX];
    unsigned count;
    size_t path_bytes;
    char paths[TENURE__PATHS_BYTES];
} tenure__code;

typedef struct tenure__symbol {
    char name[64];    /* "": unknown */
    uint64_t offset;  /* from its start */
    const char *file; /* base name of the mapped file; "?": none */
    uint64_t address; /* in the file, as addr2line wants it */
} tenure__symbol;

void tenure__code_read(tenure__code *code);
bool tenure__code_contains(const tenure__code *code, uintptr_t address);
/* call: the address is that of the instruction after a call. */
void tenure__symbol_find(const tenure__code *code, uintptr_t address, bool call, tenure__symbol *symbol);
/* "name+0x12 (file+0x3456)" */
void tenure__symbol_print(const tenure__symbol *symbol, tenure__text *text);
/* Part of the C library, or of a sanitizer that stands before it. */
bool tenure__symbol_is_system(const tenure__symbol *symbol);

/* --- report_stack.c: the stack of another thread --- */

enum { TENURE__FRAMES_MAX = 32 };
typedef struct tenure__stack {
    uintptr_t frames[TENURE__FRAMES_MAX]; /* the first is a pc, the others are return addresses */
    unsigned count;
    bool guessed; /* from what looks like return addresses: some may be stale */
    const char *failure;
} tenure__stack;

/* A thread that sleeps in the kernel: the words on its stack that follow a call instruction. */
void tenure__stack_guess(const tenure__code *code, uintptr_t stack_pointer, uintptr_t pc, tenure__stack *stack);
/* Where the call before that return address goes; 0: the instruction does not say. */
uintptr_t tenure__stack_call_target(uintptr_t return_address);
/* Any thread: by a signal, whose handler walks its stack. Interrupts system calls that are not restarted. */
void tenure__stack_ask(pid_t tid, tenure__stack *stack);
/* Chooses the signal and installs the handler, once in a process. Where a heap is created. */
void tenure__stack_ask_prepare(void);

/* --- report_registry.c: what the registry and the locks know of a thread --- */

enum { TENURE__STRAGGLERS_MAX = 8, TENURE__LOCKS_SHOWN = 8 };

/* What the registry knows of a thread, copied. */
typedef struct tenure__view {
    pid_t tid;
    uint32_t state;
    uint64_t polled_ns;
    char name[TENURE__NAME_BYTES];
    const tenure__os_thread *os; /* for tenure__peek: the thread may be gone */
} tenure__view;

/* Copies of those whom the stop waits for, as many as there is room for; returns how many there are. */
unsigned tenure__views_late(tenure__world *world, tenure__view views[TENURE__STRAGGLERS_MAX]);
/* Fills the view of the mutator whose tid is in it; false: it is none of this world's. */
bool tenure__view_find(tenure__world *world, tenure__view *view);

/* Locks of tenure/lock.h; addresses of tenure__lock. */
typedef struct tenure__locks {
    uintptr_t awaited, awaited_site; /* 0: it waits for none */
    uint64_t awaited_ns;             /* for so long */
    unsigned held_count;             /* of them, the latest are shown */
    struct tenure__lock_held {
        uintptr_t lock, site;
    } held[TENURE__LOCKS_SHOWN];
} tenure__locks;

void tenure__locks_read(const tenure__view *view, tenure__locks *locks);
/* Lines of what it waits for and holds, with the places. */
void tenure__locks_describe(const tenure__code *code, const tenure__locks *locks, tenure__text *text);
/* The tid of a thread of this world that holds the lock, 0: none does. */
pid_t tenure__holder_find(tenure__world *world, uintptr_t lock);

/* --- report.c: the text --- */

enum { TENURE__CHAIN_MAX = 8, TENURE__REPORT_BYTES = 32 * 1024 };

typedef struct tenure__reporter {
    tenure__world *world;
    uint64_t deadline_ns;
    bool ask_stacks;
    tenure__code code;
    tenure__view late[TENURE__STRAGGLERS_MAX];
    tenure_straggler stragglers[TENURE__STRAGGLERS_MAX];
    char bytes[TENURE__REPORT_BYTES];
    tenure__text text;
} tenure__reporter;

/* Fills reporter->text with what holds up the stop that was requested at since_ns. */
tenure_straggler_report tenure__report_late(tenure__reporter *reporter, uint64_t since_ns);

/* The same of a stop that was reached after all, when that thread came. */
tenure_straggler_report tenure__report_reached(
    tenure__reporter *reporter, uint64_t reach_ns, const char *last_name, int last_tid);

/* In a forked child: nobody is asking. */
void tenure__stack_forked(void);

/* --- report_watch.c: the watch --- */

/* Any thread: creates the watch of a world whose stops shall be reached within deadline_ns. */
tenure_status tenure__watch_start(tenure__world *world, uint64_t deadline_ns, bool ask_stacks);
/* Any thread; nothing stops the world any more. */
void tenure__watch_stop(tenure__world *world);
/* In a forked child: the watch is gone, and starts again before the next collection. The stop lock's owner. */
void tenure__watch_forked(tenure__world *world);
void tenure__watch_revive(tenure__world *world);

/* The leader, while it waits for a stop that it requested at since_ns: past the deadline the watch is woken (once: late
 * is false before and true after). Returns the nanoseconds until then; 0: there is nothing more to wake for. */
uint64_t tenure__watch_wait_ns(tenure__world *world, uint64_t since_ns, uint64_t now_ns, bool *late);
/* The leader: that stop is reached. */
void tenure__watch_reached(tenure__world *world, uint64_t since_ns);

/* Any thread: the stops that were late. */
void tenure__watch_stats(const tenure__world *world, tenure_stats *out);

#endif
