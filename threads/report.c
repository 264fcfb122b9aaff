/* The straggler report's text: who is late, what each waits for, who owns that, and what to change. Runs on the watch's
 * thread; see report.h. What it looks at goes on changing: every line was true at some time since the deadline passed.
 */
#include "threads/report.h"
#include "threads/format.h"
#include <string.h>

/* --- whom a late thread waits for --- */

struct chain {
    pid_t tids[TENURE__CHAIN_MAX]; /* from the late thread on */
    unsigned count;
    bool deadlock;
    bool timed;        /* some of them give up after some time */
    bool parked;       /* it ends with a thread that waits for this stop to end */
    tenure__view last; /* which is that one */
};

static bool chain_contains(const struct chain *chain, pid_t tid)
{
    for (unsigned i = 0; i < chain->count; i++)
        if (chain->tids[i] == tid) return true;
    return false;
}

/* Parked, or back from a region and not let in: it does nothing before the stop is over. */
static bool waits_for_this_stop(uint32_t state)
{
    return (state & TENURE__MODE) == TENURE__PARKED ||
           ((state & TENURE__MODE) != TENURE__RUNNING && (state & TENURE__RETURNING) != 0);
}

/* One owner: a line of text. False: the chain ends with it. */
static bool describe_owner(tenure__reporter *reporter, tenure__wait *wait, struct chain *chain)
{
    tenure__text *text = &reporter->text;
    tenure__view view = { .tid = wait->owner };
    const bool joined = wait->kind == TENURE_STRAGGLER_JOIN;
    const bool attached = tenure__view_find(reporter->world, &view);
    tenure__wait_read(view.tid, wait);
    if (!attached) memcpy(view.name, wait->name, sizeof wait->name);
    chain->last = view;
    tenure__text_add(text, "    %s \"%s\" (tid %d), ", joined ? "that is" : "owned by", view.name, view.tid);
    if (chain_contains(chain, view.tid)) {
        tenure__text_add(text, "who is in this chain already\n");
        chain->deadlock = true;
        return false;
    }
    chain->tids[chain->count++] = view.tid;
    if (attached && waits_for_this_stop(view.state)) {
        tenure__text_add(text, "parked for this stop\n");
        chain->deadlock = chain->parked = true;
        return false;
    }
    tenure__text_add(text, "%s: ",
        !attached                                        ? "not attached"
        : (view.state & TENURE__MODE) == TENURE__RUNNING ? "late itself"
                                                         : "in a blocking region");
    tenure__wait_describe(wait, text);
    tenure__text_add(text, "\n");
    if (attached) {
        tenure__locks locks;
        tenure__locks_read(&view, &locks);
        tenure__locks_describe(&reporter->code, &locks, text);
        if (wait->owner == 0 && locks.awaited != 0) wait->owner = tenure__holder_find(reporter->world, locks.awaited);
    }
    return wait->owner != 0 && chain->count < TENURE__CHAIN_MAX;
}

static void follow_owners(tenure__reporter *reporter, pid_t tid, const tenure__wait *first, struct chain *chain)
{
    tenure__wait wait = *first;
    *chain = (struct chain) { .tids = { tid }, .count = 1, .timed = wait.timed };
    while (wait.owner != 0 && describe_owner(reporter, &wait, chain)) chain->timed |= wait.timed;
}

/* --- where a late thread is --- */

struct place {
    char call[sizeof(((tenure__symbol *)0)->name)]; /* what the program called of the system: "" unknown */
    tenure__symbol from;                            /* where; file 0: unknown */
};

/* A call out of the program goes through a stub without a name, or by a pointer. A call of something that has a name
 * went elsewhere: a stale word. (Or to what jumped on from there.) */
static bool is_call_out(const tenure__code *code, uintptr_t return_address)
{
    const uintptr_t target = tenure__stack_call_target(return_address);
    tenure__symbol symbol;
    if (target == 0) return true;
    tenure__symbol_find(code, target, false, &symbol);
    return symbol.name[0] == '\0';
}

/* The innermost frame that is not the system's, and what it called; better one that is sure. */
static void find_place(
    const tenure__code *code, const tenure__stack *stack, const tenure__symbol *symbols, struct place *place)
{
    static const char interceptor[] = "__interceptor_"; /* a sanitizer's */
    *place = (struct place) { .call = "" };
    const tenure__symbol *called = 0;
    for (unsigned i = 0; i < stack->count; i++) {
        if (tenure__symbol_is_system(&symbols[i])) called = &symbols[i];
        if (called == 0 || called == &symbols[i]) continue;
        const bool sure = is_call_out(code, stack->frames[i]);
        if (!sure && place->from.file != 0) continue;
        const char *name = strstr(called->name, interceptor);
        name = name != 0 ? name + strlen(interceptor) : called->name;
        const size_t length = strcspn(name, "."); /* without the compiler's ".part.0" */
        memcpy(place->call, name, length);
        place->call[length] = '\0';
        place->from = symbols[i];
        if (sure) return;
    }
}

static void read_stack(tenure__reporter *reporter, pid_t tid, const tenure__wait *wait, tenure__stack *stack)
{
    if (reporter->ask_stacks)
        tenure__stack_ask(tid, stack);
    else if (wait->stack_pointer != 0)
        tenure__stack_guess(&reporter->code, wait->stack_pointer, wait->pc, stack);
    else
        *stack = (tenure__stack) { .failure = "of a thread that runs only with stop_deadline_stack=on" };
}

/* Names the frames. A guessed one may be the address of a function, which happens to follow a call: it is dropped. */
static void find_symbols(const tenure__code *code, tenure__stack *stack, tenure__symbol *symbols)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < stack->count; i++) {
        tenure__symbol *symbol = &symbols[kept];
        if (i > 0 && stack->guessed) {
            tenure__symbol_find(code, stack->frames[i], false, symbol);
            if (symbol->name[0] != '\0' && symbol->offset == 0) continue;
        }
        tenure__symbol_find(code, stack->frames[i], i > 0, symbol);
        stack->frames[kept++] = stack->frames[i];
    }
    stack->count = kept;
}

static void print_stack(tenure__text *text, const tenure__stack *stack, const tenure__symbol *symbols)
{
    if (stack->count == 0) {
        tenure__text_add(text, "    stack: %s\n", stack->failure);
        return;
    }
    tenure__text_add(text, "    stack%s:\n",
        stack->guessed ? " (guessed from the words on it that look like return addresses; some may be stale)" : "");
    for (unsigned i = 0; i < stack->count; i++) {
        tenure__text_add(text, "      ");
        tenure__symbol_print(&symbols[i], text);
        tenure__text_add(text, "\n");
    }
}

/* --- what to do about it --- */

/* "pthread_mutex_lock(...)", or "..." where its name is not known. */
static void print_call(tenure__text *text, const char *call)
{
    tenure__text_add(text, call[0] != '\0' ? "%s(...)" : "...", call);
}

/* What Tenure has in a call's place. */
static const char *counterpart(const char *call)
{
    static const char *const pairs[][2] = { { "pthread_mutex", "tenure_mutex" }, { "pthread_rwlock", "tenure_rwlock" },
        { "pthread_cond", "tenure_cond" }, { "sem_", "tenure_sem" } };
    for (unsigned i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (strncmp(call, pairs[i][0], strlen(pairs[i][0])) == 0) return pairs[i][1];
    return 0;
}

/* Whether the interposer stands before it: it sees what is called of the C library, not what that does inside. */
static bool is_interposed(const tenure__wait *wait, const char *call)
{
    return call[0] == '\0' || counterpart(call) != 0 || wait->kind == TENURE_STRAGGLER_JOIN ||
           strcmp(call, tenure__wait_call(wait)) == 0;
}

static void advise(tenure__text *text, const tenure__wait *wait, const char *call)
{
    const char *instead = wait->kind == TENURE_STRAGGLER_SYSCALL ? tenure__wait_wrapper(wait) : counterpart(call);
    switch (wait->kind) {
    case TENURE_STRAGGLER_RUNS:
        tenure__text_add(text, "    fix: tenure_poll(self) in loops that do not allocate, TENURE_BLOCKING_CALL around "
                               "long calls of others\n");
        return;
    case TENURE_STRAGGLER_KERNEL:
        return;
    case TENURE_STRAGGLER_JOIN:
        tenure__text_add(text, "    fix: tenure_join");
        break;
    case TENURE_STRAGGLER_MUTEX:
    case TENURE_STRAGGLER_FUTEX:
    case TENURE_STRAGGLER_SYSCALL:
        tenure__text_add(
            text, "    fix: TENURE_%s_CALL(self, ", wait->kind == TENURE_STRAGGLER_SYSCALL ? "IDLE" : "BLOCKING");
        print_call(text, call);
        tenure__text_add(text, ")");
        if (instead != 0) tenure__text_add(text, ", or %s in its place", instead);
        break;
    }
    tenure__text_add(text, is_interposed(wait, call) ? ", or link tenure_interpose\n" : "\n");
}

static void judge(
    tenure__text *text, const tenure__view *view, const struct chain *chain, const tenure__wait *wait, const char *call)
{
    if (!chain->deadlock) return;
    tenure__text_add(text, "    DEADLOCK%s: \"%s\" waits in %s outside a blocking region for ",
        chain->timed ? " until a timeout" : "", view->name, call[0] != '\0' ? call : "a call");
    if (!chain->parked)
        tenure__text_add(text, "threads that wait for each other\n");
    else if (chain->count > 2)
        tenure__text_add(text, "others, and they for \"%s\", parked for this very stop\n", chain->last.name);
    else if (wait->kind == TENURE_STRAGGLER_JOIN)
        tenure__text_add(text, "the end of \"%s\", parked for this very stop\n", chain->last.name);
    else
        tenure__text_add(text, "a lock that \"%s\", parked for this very stop, owns\n", chain->last.name);
}

/* --- the report --- */

static void describe(tenure__reporter *reporter, const tenure__view *view, uint64_t waited_ns, tenure_straggler *out)
{
    tenure__text *text = &reporter->text;
    tenure__wait wait;
    tenure__stack stack;
    tenure__locks locks;
    tenure__symbol symbols[TENURE__FRAMES_MAX];
    struct place place;
    struct chain chain;
    tenure__wait_read(view->tid, &wait);
    read_stack(reporter, view->tid, &wait, &stack);
    find_symbols(&reporter->code, &stack, symbols);
    find_place(&reporter->code, &stack, symbols, &place);
    const char *call = place.call;
    if (call[0] == '\0' && wait.kind == TENURE_STRAGGLER_SYSCALL) call = tenure__wait_call(&wait);
    /* Of the coarse clock, which lags by a few milliseconds. */
    const uint64_t now_ns = tenure__now_ns();
    const uint64_t seen_ns = now_ns - view->polled_ns > waited_ns ? now_ns - view->polled_ns : waited_ns;

    tenure__text_add(text, "  \"%s\" (tid %d), state %c%s%s: at no safepoint for %s, in a slow path of one %s ago\n",
        view->name, view->tid, wait.state != 0 ? wait.state : '?', wait.channel[0] != '\0' ? " in " : "", wait.channel,
        tenure__format_duration(waited_ns).text, tenure__format_duration(seen_ns).text);
    tenure__text_add(text, "    ");
    tenure__wait_describe(&wait, text);
    if (place.from.file != 0) {
        tenure__text_add(text, ": %s called from ", call[0] != '\0' ? call : "a call");
        tenure__symbol_print(&place.from, text);
    }
    tenure__text_add(text, "\n");
    tenure__locks_read(view, &locks);
    tenure__locks_describe(&reporter->code, &locks, text);
    follow_owners(reporter, view->tid, &wait, &chain);
    judge(text, view, &chain, &wait, call);
    advise(text, &wait, call);
    print_stack(text, &stack, symbols);
    *out = (tenure_straggler) { .name = view->name,
        .tid = view->tid,
        .kind = wait.kind,
        .state = wait.state,
        .syscall = wait.number,
        .owner_tid = wait.owner,
        .deadlock = chain.deadlock,
        .safepoint_ns = seen_ns };
}

static tenure_straggler_report begin(tenure__reporter *reporter, uint64_t waited_ns)
{
    reporter->text = (tenure__text) { reporter->bytes, sizeof reporter->bytes, 0 };
    return (tenure_straggler_report) { .deadline_ns = reporter->deadline_ns,
        .waited_ns = waited_ns,
        .stragglers = reporter->stragglers,
        .text = reporter->bytes };
}

tenure_straggler_report tenure__report_late(tenure__reporter *reporter, uint64_t since_ns)
{
    const unsigned late = tenure__views_late(reporter->world, reporter->late);
    tenure_straggler_report report = begin(reporter, tenure__now_ns() - since_ns);
    report.late = late;
    report.count = late < TENURE__STRAGGLERS_MAX ? late : TENURE__STRAGGLERS_MAX;
    tenure__text_add(&reporter->text,
        "tenure: a stop is not reached after %s (stop_deadline=%s): it waits for %u of %llu threads\n",
        tenure__format_duration(report.waited_ns).text, tenure__format_duration(report.deadline_ns).text, late,
        (unsigned long long)atomic_load_explicit(&reporter->world->attached, memory_order_relaxed));
    tenure__code_read(&reporter->code);
    for (unsigned i = 0; i < report.count; i++)
        describe(reporter, &reporter->late[i], report.waited_ns, &reporter->stragglers[i]);
    if (report.count < late) tenure__text_add(&reporter->text, "  and %u more\n", late - report.count);
    return report;
}

tenure_straggler_report tenure__report_reached(
    tenure__reporter *reporter, uint64_t reach_ns, const char *last_name, int last_tid)
{
    tenure_straggler_report report = begin(reporter, reach_ns);
    report.reached = true;
    tenure__text_add(&reporter->text,
        "tenure: the stop is reached after %s (stop_deadline=%s), \"%s\" (tid %d) came last\n",
        tenure__format_duration(reach_ns).text, tenure__format_duration(report.deadline_ns).text, last_name, last_tid);
    return report;
}
