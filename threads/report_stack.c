/* The stack of another thread, for the straggler report. A thread that sleeps in the kernel is looked at from outside;
 * one that runs can only be asked by a signal, which is sent on request only (option stop_deadline_stack). */
#include "threads/futex.h"
#include "threads/report.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

/* --- from outside --- */

/* Of the eight bytes before an address: whether they end in a call, and where a direct one goes (relative to the
 * address). */
#if defined(__x86_64__)
static bool follows_call(const uint8_t bytes[8])
{
    if (bytes[3] == 0xe8) return true; /* call rel32 */
    /* call r/m: ff /2, with a modrm byte and at most five more behind it. */
    for (unsigned at = 1; at < 7; at++)
        if (bytes[at] == 0xff && (bytes[at + 1] & 0x38) == 0x10) return true;
    return false;
}

static bool call_distance(const uint8_t bytes[8], int64_t *distance)
{
    int32_t relative;
    memcpy(&relative, bytes + 4, sizeof relative);
    *distance = relative;
    return bytes[3] == 0xe8;
}
#elif defined(__aarch64__)
static uint32_t last_instruction(const uint8_t bytes[8])
{
    uint32_t instruction;
    memcpy(&instruction, bytes + 4, sizeof instruction);
    return instruction;
}

static bool call_distance(const uint8_t bytes[8], int64_t *distance) /* bl */
{
    *distance = (int64_t)((uint64_t)last_instruction(bytes) << 38) / (1ll << 36) - 4;
    return (last_instruction(bytes) & 0xfc000000) == 0x94000000;
}

static bool follows_call(const uint8_t bytes[8])
{
    int64_t unused;
    return call_distance(bytes, &unused) || (last_instruction(bytes) & 0xfffffc1f) == 0xd63f0000; /* blr */
}
#endif

uintptr_t tenure__stack_call_target(uintptr_t return_address)
{
    uint8_t before[8];
    int64_t distance;
    if (!tenure__peek(before, return_address - 8, 8) || !call_distance(before, &distance)) return 0;
    return return_address + (uintptr_t)distance;
}

enum { GUESS_BYTES = 64 * 1024, GUESS_STEP = 512 };

void tenure__stack_guess(const tenure__code *code, uintptr_t stack_pointer, uintptr_t pc, tenure__stack *stack)
{
    *stack = (tenure__stack) { .frames = { pc }, .count = 1, .guessed = true };
    for (uintptr_t at = stack_pointer; at < stack_pointer + GUESS_BYTES; at += GUESS_STEP) {
        uintptr_t words[GUESS_STEP / sizeof(uintptr_t)];
        if (!tenure__peek(words, at, sizeof words)) return;
        for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
            uint8_t before[8];
            if (!tenure__code_contains(code, words[i]) || !tenure__peek(before, words[i] - 8, 8)) continue;
            if (!follows_call(before)) continue;
            stack->frames[stack->count++] = words[i];
            if (stack->count == TENURE__FRAMES_MAX) return;
        }
    }
}

/* --- by asking --- */

enum { ANSWER_NS = 50 * 1000 * 1000 };
enum { SILENT, ANSWERING, ANSWERED, ASKED };

/* One question in the process at a time. */
static pthread_mutex_t question_lock = PTHREAD_MUTEX_INITIALIZER; /* watches only */
static struct {
    _Atomic uint32_t phase; /* ASKED: and, times four, of whom; so that a signal that comes late answers no other */
    unsigned count;         /* this and the frames: who asks, but for ANSWERING, when they are who answers's */
    uintptr_t frames[TENURE__FRAMES_MAX];
} question;
static int question_signal; /* 0: none was free */

static _Unwind_Reason_Code walk(struct _Unwind_Context *context, void *unused)
{
    (void)unused;
    if (question.count == TENURE__FRAMES_MAX) return _URC_END_OF_STACK;
    const uintptr_t pc = _Unwind_GetIP(context);
    if (pc == 0) return _URC_END_OF_STACK;
    question.frames[question.count++] = pc;
    return _URC_NO_REASON;
}

/* On the late thread, anywhere. A question that was given up meanwhile is none. The unwinder finds its tables by
 * _dl_find_object since glibc 2.35 with gcc 12, without a lock; before that it may wait for the loader's. */
static void answer(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    const int saved = errno;
    uint32_t asked = (uint32_t)syscall(SYS_gettid) << 2 | ASKED;
    /* acquire: the frames are free; pairs with the store of ASKED. */
    if (atomic_compare_exchange_strong_explicit(
            &question.phase, &asked, ANSWERING, memory_order_acquire, memory_order_relaxed)) {
        _Unwind_Backtrace(walk, 0);
        /* release: the frames. */
        atomic_store_explicit(&question.phase, ANSWERED, memory_order_release);
        tenure__futex_wake(&question.phase, 1);
    }
    errno = saved;
}

static _Unwind_Reason_Code stop_walking(struct _Unwind_Context *context, void *unused)
{
    (void)context, (void)unused;
    return _URC_END_OF_STACK;
}

static void choose_signal(void)
{
    _Unwind_Backtrace(stop_walking, 0); /* what the unwinder sets up, it sets up now */
    for (int signal = SIGRTMAX; signal >= SIGRTMIN; signal--) {
        struct sigaction action;
        if (sigaction(signal, 0, &action) != 0 || action.sa_handler != SIG_DFL) continue;
        memset(&action, 0, sizeof action);
        action.sa_sigaction = answer;
        action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
        sigfillset(&action.sa_mask);
        if (sigaction(signal, &action, 0) != 0) continue;
        question_signal = signal;
        return;
    }
}

void tenure__stack_forked(void) { TENURE__MUST(pthread_mutex_init(&question_lock, 0)); }

/* The handler stays for good: a signal that is still pending somewhere would end the process. */
void tenure__stack_ask_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    TENURE__MUST(pthread_once(&once, choose_signal));
}

/* A program that took the signal for itself later has it. */
static bool signal_is_ours(void)
{
    struct sigaction action;
    return question_signal != 0 && sigaction(question_signal, 0, &action) == 0 && (action.sa_flags & SA_SIGINFO) != 0 &&
           action.sa_sigaction == answer;
}

/* Waits until the phase is ANSWERED; false: after ANSWER_NS nobody had begun to answer, and nobody will. */
static bool await_answer(void)
{
    const uint64_t start = tenure__now_ns();
    for (;;) {
        uint32_t phase = atomic_load_explicit(&question.phase, memory_order_acquire);
        if (phase == ANSWERED) return true;
        const uint64_t waited = tenure__now_ns() - start;
        if (waited < ANSWER_NS) {
            tenure__futex_wait(&question.phase, phase, ANSWER_NS - waited);
        } else if (phase == ANSWERING) {
            tenure__futex_wait(&question.phase, phase, ANSWER_NS);
        } else if (atomic_compare_exchange_strong_explicit(
                       &question.phase, &phase, SILENT, memory_order_relaxed, memory_order_relaxed)) {
            return false;
        }
    }
}

void tenure__stack_ask(pid_t tid, tenure__stack *stack)
{
    *stack = (tenure__stack) { .count = 0 };
    if (!signal_is_ours()) {
        stack->failure = "no real-time signal was free to ask for it";
        return;
    }
    TENURE__MUST(pthread_mutex_lock(&question_lock));
    question.count = 0;
    atomic_store_explicit(&question.phase, (uint32_t)tid << 2 | ASKED, memory_order_release);
    if (syscall(SYS_tgkill, getpid(), tid, question_signal) != 0) {
        stack->failure = "the thread is gone";
    } else if (!await_answer()) {
        stack->failure = "no answer in 50 ms: the thread gets no processor, or blocks the signal";
    } else {
        /* From the interrupted frame on: the first two are the handler and what the kernel returns to from it. */
        const unsigned skipped = question.count > 2 ? 2 : 0;
        stack->count = question.count - skipped;
        memcpy(stack->frames, question.frames + skipped, stack->count * sizeof stack->frames[0]);
    }
    atomic_store_explicit(&question.phase, SILENT, memory_order_relaxed);
    TENURE__MUST(pthread_mutex_unlock(&question_lock));
}
