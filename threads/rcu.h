/* liburcu, and nothing else includes it. urcu-qsbr: attached threads are readers that are quiescent at safepoints and
 * offline while they are parked, blocked or idle.
 *
 * ThreadSanitizer does not see liburcu's inline assembly: callbacks of call_rcu are annotated here, once; and locks
 * that were waited for by a clock that it does not know. */
#ifndef TENURE_THREADS_RCU_H
#define TENURE_THREADS_RCU_H

#include <stdbool.h>
#define _LGPL_SOURCE /* inlined readers; its licence allows it. NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wsign-conversion"
/* The flavour first: the others take their names from it. */
#include <urcu/urcu-qsbr.h>
/* And then these, in any order. */
#include <urcu/call-rcu.h>
#include <urcu/rculfhash.h>
#include <urcu/rculist.h>
#include <urcu/static/urcu-qsbr.h>
#include <urcu/wfcqueue.h>
#pragma GCC diagnostic pop

/* Whether this thread is a registered reader (by us or by the host). */
static inline bool tenure__rcu_registered(void) { return URCU_TLS(urcu_qsbr_reader).registered; }
static inline bool tenure__rcu_online(void) { return urcu_qsbr_read_ongoing() != 0; }

/* --- rcu.c --- */

void tenure__rcu_register(void);
void tenure__rcu_unregister(void);

/* A read-side section for a thread that may be no reader: registered for its duration. Returns what _end wants. Inside,
 * nothing is waited for. */
enum tenure__rcu_section {
    TENURE__RCU_WAS_ONLINE,
    TENURE__RCU_WAS_OFFLINE,
    TENURE__RCU_WAS_UNREGISTERED,
    TENURE__RCU_LOCKED /* the same, of a thread that no stop waits for: it holds off forks by the lock */
};
enum tenure__rcu_section tenure__rcu_section_begin(void);
void tenure__rcu_section_end(enum tenure__rcu_section section);

/* call_rcu and its barrier, which work in a forked child too. call: a running mutator or the stop lock's owner.
 * barrier: between tenure__fork_hold and _unhold. */
void tenure__rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *));
void tenure__rcu_barrier(void);

/* For fork.c: before the stops, when all are stopped, and afterwards. */
void tenure__rcu_fork_begin(void);
void tenure__rcu_fork_stopped(void);
void tenure__rcu_fork_parent(void);
void tenure__rcu_fork_child(void);

#if defined(__SANITIZE_THREAD__)
#define TENURE__TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TENURE__TSAN 1
#endif
#endif
#ifdef TENURE__TSAN
#include <sanitizer/tsan_interface.h>
#define tenure__tsan_acquire(address) __tsan_acquire(address)
#define tenure__tsan_release(address) __tsan_release(address)
/* Taken by one of the pthread_*_clock* calls, which it does not know. */
#define tenure__tsan_locked_with(address, flags)                            \
    (__tsan_mutex_pre_lock((address), __tsan_mutex_try_lock | (flags)),     \
        __tsan_mutex_post_lock((address), __tsan_mutex_try_lock | (flags), 0))
#define tenure__tsan_locked(address) tenure__tsan_locked_with(address, 0u)
#define tenure__tsan_read_locked(address) tenure__tsan_locked_with(address, __tsan_mutex_read_lock)
#else
#define tenure__tsan_acquire(address) ((void)(address))
#define tenure__tsan_release(address) ((void)(address))
#define tenure__tsan_locked(address) ((void)(address))
#define tenure__tsan_read_locked(address) ((void)(address))
#endif

#endif
