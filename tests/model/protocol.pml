/* The stop protocol of threads/, for spin. README.md says how it is read and run.
 *
 * Which things threads do is chosen by -D; each of them may go on for ever or end (detach, and stop nobody again) at any
 * time. So whoever is left behind, asleep or looking at a word that nobody changes, is an invalid end state. */
#include "steps.pml"
#include "mutator.pml"

/* The thread runs the program. */
inline runs()
{
    atomic {
        do
        :: k < WORLDS ->
            if
            :: IS_SIBLING(RECORD(me, k)) && OWNS_STOP(RECORD(me, k)) -> assert(stopped[k])
            :: IS_SIBLING(RECORD(me, k)) && !OWNS_STOP(RECORD(me, k)) ->
                assert(MODE_OF(state[RECORD(me, k)]) == RUNNING);
                assert(!stopped[k]); /* no thread runs while the world is stopped */
                assert(mutator_sees[RECORD(me, k)]);
                mutator_writes(RECORD(me, k))
            :: else
            fi;
            k++
        :: else -> k = 0; break
        od
    }
}

#if WORLDS > 1
#define owns_another(r) (world_owner[1 - WORLD_OF(r)] == RECORD(me, 1 - WORLD_OF(r)) + 1)
#else
#define owns_another(r) false
#endif

/* --- what the leader sees --- */

inline forget_what_is_seen(w)
{
    do
    :: i < THREADS -> leader_sees[RECORD(i, w)] = false; outstanding_carries[RECORD(i, w)] = false; i++
    :: else -> i = 0; break
    od
}
inline leader_acquires(w)
{
    do
    :: j < THREADS ->
        leader_sees[RECORD(j, w)] =
            leader_sees[RECORD(j, w)] || (LEADER_ACQUIRES && outstanding_carries[RECORD(j, w)]);
        j++
    :: else -> j = 0; break
    od
}

/* The world is stopped. */
inline in_the_stop(w)
{
    atomic {
        stopped[w] = true;
        do
        :: j < THREADS ->
            if
            :: on_active[RECORD(j, w)] || (stop_dormant[w] && on_dormant[RECORD(j, w)]) ->
                assert(MODE_OF(state[RECORD(j, w)]) != RUNNING);
                assert(state[RECORD(j, w)] & STOP);
                assert(leader_sees[RECORD(j, w)])
            :: else
            fi;
            leader_writes(RECORD(j, w));
            j++
        :: else -> j = 0; break
        od
    }
}

#include "registry.pml"
#include "lock.pml"
#include "safepoint.pml"

/* tenure__retire_idle. Safe whenever it does it; but nobody comes back who is made dormant at every stop. The code waits for
 * four. */
#ifdef FOR_EVER
#define DORMANT_AFTER 3
#else
#define DORMANT_AFTER 0
#endif
inline retire_idle(w)
{
    do
    :: i < THREADS ->
        if
        :: on_active[RECORD(i, w)] && MODE_OF(state[RECORD(i, w)]) == IDLE && idle_stops[RECORD(i, w)] >= DORMANT_AFTER ->
            make_dormant(RECORD(i, w))
        :: on_active[RECORD(i, w)] && MODE_OF(state[RECORD(i, w)]) == IDLE && idle_stops[RECORD(i, w)] < DORMANT_AFTER ->
            idle_stops[RECORD(i, w)]++
        :: MODE_OF(state[RECORD(i, w)]) != IDLE -> idle_stops[RECORD(i, w)] = 0
        :: !on_active[RECORD(i, w)] || DORMANT_AFTER == 0
        fi;
        i++
    :: else -> i = 0; break
    od
}

/* tenure__lead, without what is done in a stop. */
inline lead(w)
{
    if
    :: world_stop(w, true)
#ifdef DO_DORMANT
    :: world_stop(w, false)
#endif
    fi;
#ifdef DO_DORMANT
    retire_idle(w);
#endif
    world_resume(w)
}

#ifndef DAEMONS
#define DAEMONS 1
#endif

/* A thread that is in no stop set and stops world w. */
proctype Daemon(byte w)
{
    byte me = NATIVE;
    TEMPORARIES;
    do
    :: lock_stop(w); lead(w); unlock_stop(w)
#ifndef FOR_EVER
    :: break
#endif
    od;
    leaders_gone++
}

/* A thread that is not attached, and uses the mutex. */
proctype Native()
{
    do
    :: atomic { mutex == 0 -> mutex = NATIVE }; mutex = 0
#ifndef FOR_EVER
    :: break
#endif
    od
}

/* Who does what. */
#ifndef MAY_BLOCK
#define MAY_BLOCK true
#endif
#ifndef MAY_ATTACH
#define MAY_ATTACH true
#endif
#ifndef MAY_OWN
#define MAY_OWN true
#endif

proctype Mutator(byte me)
{
    byte r; /* the record that it uses */
    TEMPORARIES;

#ifdef USES /* always that world's */
    r = RECORD(me, USES);
#else
    r = RECORD(me, 0);
#endif
    do
    :: runs();
        if
#if WORLDS > 1 && !defined USES
        :: IS_SIBLING(RECORD(me, 0)) && IS_SIBLING(RECORD(me, 1)) -> r = RECORD(me, 1 - WORLD_OF(r))
#endif
#ifdef DO_POLL
        /* For as long as its limit is not poisoned it does nothing but poll. */
        :: true ->
            (!limit[r] && !limit_in_buffer[r]) || leaders_gone == DAEMONS;
            if
            :: !limit[r] && !limit_in_buffer[r] -> poll_slow(r)
            :: else
            fi
#endif
#ifdef DO_REFILL
        :: true -> look_at_requests();
            if
            :: requested -> requested = false; park(r)
            :: else -> set_limit(r)
            fi
#endif
#ifdef DO_BLOCK
        :: MAY_BLOCK -> release(r, BLOCKED); reacquire()
#endif
#ifdef DO_IDLE
        :: true -> release(r, IDLE); reacquire()
#endif
#ifdef DO_LOCK
        :: mutex_lock(r); runs();
            if
            :: true -> release(r, BLOCKED); reacquire(); runs() /* a safepoint, owning the mutex */
            :: true
            fi;
            native_unlock()
#endif
#ifdef DO_LEAD
        :: true -> release(r, PARKED); lock_stop(WORLD_OF(r)); lead(WORLD_OF(r)); unlock_stop(WORLD_OF(r)); reacquire()
#endif
#ifdef DO_OWN
        :: MAY_OWN -> stop_world(r);
            if
            :: OWNS_STOP(r) -> runs();
#if WORLDS > 1
                if
                :: !limit[RECORD(me, 1 - WORLD_OF(r))] -> poll_slow(RECORD(me, 1 - WORLD_OF(r)))
                :: true
                fi;
#endif
                resume_world(r)
            :: else
            fi
#endif
#ifdef DO_ATTACH
        :: MAY_ATTACH && !sibling[RECORD(me, 1 - WORLD_OF(r))] -> attach(RECORD(me, 1 - WORLD_OF(r)))
        :: MAY_ATTACH && sibling[RECORD(me, 1 - WORLD_OF(r))] -> detach(r); r = RECORD(me, 1 - WORLD_OF(r))
#endif
#ifdef DO_REATTACH
        :: true -> detach(r); attach(r)
#endif
#ifndef FOR_EVER
        :: break
#endif
        fi
    od;
    detach(r);
#if WORLDS > 1
    r = RECORD(me, 1 - WORLD_OF(r));
    if
    :: sibling[r] -> detach(r)
    :: else
    fi
#endif
}

/* Attached already, in ATTACHED worlds. */
#ifndef ATTACHED
#define ATTACHED WORLDS
#endif
inline start_attached(r)
{
    sibling[r] = true;
    record_count[THREAD_OF(r)]++;
    on_active[r] = true;
    limit[r] = true;
    mutator_sees[r] = true
}

init
{
    byte n;
    atomic {
        do
        :: n < RECORDS ->
            if
            :: WORLD_OF(n) < ATTACHED -> start_attached(n)
            :: else
            fi;
            n++
        :: else -> n = 0; break
        od;
        do
        :: n < THREADS -> run Mutator(n); n++
        :: else -> n = 0; break
        od;
        do
        :: n < DAEMONS -> run Daemon(n % WORLDS); n++
        :: else -> break
        od
#ifdef DO_NATIVE
        ;
        run Native()
#endif
    }
}

/* --- for threads that go on for ever: under weak fairness, ... --- */

#ifdef REACHED /* ... a stop that is requested is reached */
ltl reached { [] (request[0] -> <> stopped[0]) }
#endif
#ifdef RETURNS /* ... who wants to come back does, although stops come back to back */
ltl returns { [] (coming_back[0] -> <> !coming_back[0]) }
#endif
#ifdef GETS /* ... who waits for the mutex gets it */
ltl gets { [] (inside_lock[0] -> <> !inside_lock[0]) }
#endif
