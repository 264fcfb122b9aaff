/* The essential steps of the protocol, by name: 1 is what the code does, 0 the code without it. check.py sets one after
 * the other to 0 and expects the model to fail: so it is known that the model can see what each step is for. */

/* --- what is stored before what is loaded (seq_cst in the code); 0: the store waits in a store buffer --- */
#ifndef LIMIT_BEFORE_REQUEST /* tenure__set_limit: its limit, then the requests */
#define LIMIT_BEFORE_REQUEST 1
#endif
#ifndef REQUEST_BEFORE_POISON /* tenure__world_stop: the request, then the poison */
#define REQUEST_BEFORE_POISON 1
#endif
#ifndef SLEEPING_BEFORE_OUTSTANDING /* wait_for_all: leader_sleeping, then outstanding */
#define SLEEPING_BEFORE_OUTSTANDING 1
#endif
#ifndef OUTSTANDING_BEFORE_SLEEPING /* count_out: outstanding, then leader_sleeping */
#define OUTSTANDING_BEFORE_SLEEPING 1
#endif
#ifndef ASLEEP_BEFORE_RESUMES /* sleep_until_resumed: asleep, then resumes */
#define ASLEEP_BEFORE_RESUMES 1
#endif
#ifndef RESUMES_BEFORE_ASLEEP /* tenure__world_resume: resumes, then asleep */
#define RESUMES_BEFORE_ASLEEP 1
#endif
#ifndef RECORD_COUNT_BEFORE_REQUEST /* tenure_attach: record_count, then (in tenure__set_limit) the requests */
#define RECORD_COUNT_BEFORE_REQUEST 1
#endif

/* --- what publishes and what takes over (release and acquire); 0: relaxed --- */
#ifndef RELEASE_PUBLISHES /* release_one: the owner's data, by its exchange */
#define RELEASE_PUBLISHES 1
#endif
#ifndef CLAIM_ACQUIRES /* claim_list: those data, of who was out already */
#define CLAIM_ACQUIRES 1
#endif
#ifndef COUNT_OUT_PUBLISHES /* count_out: those data, by its decrement */
#define COUNT_OUT_PUBLISHES 1
#endif
#ifndef LEADER_ACQUIRES /* wait_for_all and world_stop: those data, of who was waited for */
#define LEADER_ACQUIRES 1
#endif
#ifndef RESUME_PUBLISHES /* resume_list: the leader's data */
#define RESUME_PUBLISHES 1
#endif
#ifndef RETURN_ACQUIRES /* try_acquire_one: those data */
#define RETURN_ACQUIRES 1
#endif

/* --- what is done at all --- */
#ifndef SET_LIMIT_LOOKS /* tenure__set_limit looks at the requests */
#define SET_LIMIT_LOOKS 1
#endif
#ifndef POISONS /* world_stop poisons limits */
#define POISONS 1
#endif
#ifndef POISONS_SIBLINGS /* claim_list poisons the thread's records of other heaps */
#define POISONS_SIBLINGS 1
#endif
#ifndef STOP_HOLDS_BACK /* try_acquire_one refuses a word with STOP */
#define STOP_HOLDS_BACK 1
#endif
#ifndef DORMANT_HOLDS_BACK /* try_acquire_one refuses a word with DORMANT */
#define DORMANT_HOLDS_BACK 1
#endif
#ifndef COUNTS_BY_CLAIM /* claim_list counts by what its own exchange found */
#define COUNTS_BY_CLAIM 1
#endif
#ifndef WAKES_LEADER /* count_out wakes a leader that sleeps */
#define WAKES_LEADER 1
#endif
#ifndef LEADER_COMPARES /* the leader's futex compares outstanding with what it has seen */
#define LEADER_COMPARES 1
#endif
#ifndef RESUME_WAKES /* tenure__world_resume wakes sleepers */
#define RESUME_WAKES 1
#endif
#ifndef SLEEPERS_WAKE_OTHERS /* sleep_until_resumed: who is woken wakes others */
#define SLEEPERS_WAKE_OTHERS 1
#endif
#ifndef SLEEPER_LOOKS /* sleep_until_resumed looks at the state after resumes */
#define SLEEPER_LOOKS 1
#endif
#ifndef LETS_IN /* resume_one lets in who has waited since before the stop */
#define LETS_IN 1
#endif
#ifndef REFUSAL_IS_NOTED /* try_acquire_one: who is refused is RETURNING by the same exchange */
#define REFUSAL_IS_NOTED 1
#endif
#ifndef WOKEN_RETURNS /* tenure__wake_dormant: its thread is RETURNING */
#define WOKEN_RETURNS 1
#endif
#ifndef DORMANT_WAITS_FOR_LOCK /* is_held: a dormant thread does not wait for a stop's end */
#define DORMANT_WAITS_FOR_LOCK 1
#endif
#ifndef DORMANT_STAYS_OUT /* ... but not who is dormant */
#define DORMANT_STAYS_OUT 1
#endif
#ifndef WITHDRAWS /* acquire_all goes out of the other heaps, and is not let in there */
#define WITHDRAWS 1
#endif
#ifndef OWNER_IS_NOT_LET_IN /* stop_world, held back by another heap, is not let in there while it waits for the stop
                             * lock again */
#define OWNER_IS_NOT_LET_IN 1
#endif
#ifndef RELEASES_SIBLINGS /* tenure__release goes out of all heaps */
#define RELEASES_SIBLINGS 1
#endif
#ifndef ATTACH_RELEASES /* register_record waits for the stop lock released */
#define ATTACH_RELEASES 1
#endif
#ifndef DETACH_LOCKS /* detach_released unlinks under the stop lock */
#define DETACH_LOCKS 1
#endif
#ifndef LOCK_RETRIES /* tenure__win_released lets go of the lock before it waits for a stop */
#define LOCK_RETRIES 1
#endif
#ifndef LOCK_WAITS_RELEASED /* wait_released waits for the lock outside the stop set */
#define LOCK_WAITS_RELEASED 1
#endif
#ifndef OWNER_GIVES_UP /* stop_world gives its stop up when another heap's holds the thread back */
#define OWNER_GIVES_UP 1
#endif
