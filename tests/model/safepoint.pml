/* threads/safepoint.c, function by function. One statement, or one atomic block, is one access to memory that threads
 * share; tries of a compare-and-swap that fail change nothing and are left out. `me` is the thread that runs the code;
 * the temporaries of the inlines are declared by TEMPORARIES. */

#define TEMPORARIES byte i, j, k, word, found, running, refused; bool last, poison, requested, taken

/* The stop lock, threads/fair_lock.c, as what it promises: one at a time, and where things go on for ever whoever heads
 * the line is next. */
#ifdef FOR_EVER
bool closed[WORLDS];
inline lock_stop(w)
{
    if
    :: atomic { !stop_lock[w] && !closed[w] -> stop_lock[w] = true }
    :: atomic { stop_lock[w] || closed[w] -> skip };
        atomic { !closed[w] -> closed[w] = true };
        atomic { !stop_lock[w] -> stop_lock[w] = true; closed[w] = false }
    fi
}
#else
inline lock_stop(w) { atomic { !stop_lock[w] -> stop_lock[w] = true } }
#endif
inline unlock_stop(w) { stop_lock[w] = false }

inline set_limit(r)
{
    if
    :: LIMIT_BEFORE_REQUEST -> limit[r] = true
    :: else -> limit_in_buffer[r] = true
    fi;
    do
    :: k < WORLDS ->
        atomic {
            poison = poison || (SET_LIMIT_LOOKS && IS_SIBLING(RECORD(me, k)) && request[k] && !OWNS_STOP(RECORD(me, k)));
            k++
        }
    :: else -> k = 0; break
    od;
    if
    :: poison -> atomic { limit_in_buffer[r] = false; limit[r] = false; poison = false }
    :: else
    fi
}

inline count_out(r)
{
    if
    :: !OUTSTANDING_BEFORE_SLEEPING -> last = leader_sleeping[WORLD_OF(r)] /* loaded too early */
    :: else
    fi;
    atomic {
        outstanding[WORLD_OF(r)]--;
        outstanding_carries[r] = outstanding_carries[r] || COUNT_OUT_PUBLISHES;
        last = outstanding[WORLD_OF(r)] == 0 && (OUTSTANDING_BEFORE_SLEEPING || last)
    };
    if
    :: last ->
        if
        :: leader_sleeping[WORLD_OF(r)] || !OUTSTANDING_BEFORE_SLEEPING ->
            asleep_on_outstanding[WORLD_OF(r)] = asleep_on_outstanding[WORLD_OF(r)] && !WAKES_LEADER
        :: else
        fi;
        last = false
    :: else
    fi
}

inline release_one(r, mode)
{
    atomic {
        word = state[r];
        assert(MODE_OF(word) == RUNNING);
        write_back_limit(r);
        write_back_count(me);
        state[r] = (word & ~MODE) | mode;
        state_carries[r] = state_carries[r] || RELEASE_PUBLISHES
    };
    if
    :: word & STOP -> word = 0; count_out(r)
    :: else -> word = 0
    fi
}

/* returning: whether a refusal is noted. */
inline try_acquire_one(r, returning)
{
    atomic {
        if
        :: MODE_OF(state[r]) == RUNNING -> taken = true /* it was let in by the last resume */
        :: else ->
            taken = !((STOP_HOLDS_BACK && (state[r] & STOP)) || (DORMANT_HOLDS_BACK && (state[r] & DORMANT)));
            if
            :: taken -> state[r] = RUNNING
            :: !taken && !(state[r] & DORMANT) && returning && REFUSAL_IS_NOTED -> state[r] = state[r] | RETURNING
            :: else
            fi
        fi;
        mutator_sees[r] = mutator_sees[r] || (taken && RETURN_ACQUIRES && state_hands_on[r])
    }
}

inline withdraw_one(r)
{
    atomic {
        if
        :: MODE_OF(state[r]) == RUNNING -> taken = true
        :: else -> state[r] = state[r] & ~(RETURNING | PASSED); taken = false
        fi
    };
    if
    :: taken -> release_one(r, PARKED)
    :: else
    fi
}

/* tenure__release. */
inline release(r, mode)
{
    do
    :: i < WORLDS ->
        if
        :: IS_SIBLING(RECORD(me, i)) && (RELEASES_SIBLINGS || RECORD(me, i) == (r)) ->
            atomic { limit_in_buffer[RECORD(me, i)] = false; limit[RECORD(me, i)] = false };
            if
            :: !OWNS_STOP(RECORD(me, i)) -> release_one(RECORD(me, i), mode)
            :: else
            fi
        :: else
        fi;
        i++
    :: else -> i = 0; break
    od
}

#define IS_HELD(word) ((((word) & (STOP | DORMANT)) == STOP || (!DORMANT_WAITS_FOR_LOCK && ((word) & STOP))) && \
                       MODE_OF(word) != RUNNING)

/* tenure__futex_wake_for(&world->resumes, CHAIN, ...): any that sleep; all are WAKE_OTHERS here. */
inline wake_sleepers(w, on)
{
    do
    :: j < CHAIN && on ->
        if
        :: asleep_on_resumes[RECORD(0, w)] -> asleep_on_resumes[RECORD(0, w)] = false
#if THREADS > 1
        :: asleep_on_resumes[RECORD(1, w)] -> asleep_on_resumes[RECORD(1, w)] = false
#endif
#if THREADS > 2
        :: asleep_on_resumes[RECORD(2, w)] -> asleep_on_resumes[RECORD(2, w)] = false
#endif
        :: else
        fi;
        j++
    :: else -> j = 0; break
    od
}

inline sleep_until_resumed(r)
{
    if
    :: ASLEEP_BEFORE_RESUMES -> asleep[WORLD_OF(r)]++
    :: else -> asleep_in_buffer[r] = true
    fi;
    do
    :: resumes_changed[r] = false; /* a look at resumes */
        if
        :: IS_HELD(state[r]) || !SLEEPER_LOOKS
        :: !IS_HELD(state[r]) && SLEEPER_LOOKS -> break
        fi;
        asleep_on_resumes[r] = !resumes_changed[r]; /* tenure__futex_wait_for */
        !asleep_on_resumes[r];
        if
        :: resumes_changed[r] && asleep[WORLD_OF(r)] > 1 -> atomic { wake_sleepers(WORLD_OF(r), SLEEPERS_WAKE_OTHERS) }
        :: else
        fi
    od;
    atomic { asleep[WORLD_OF(r)]--; write_back_asleep(r) }
}

/* Spinning is the same as being slow to fall asleep. */
inline wait_for_resume(r)
{
    assert(!(inside_lock[me] && mutex == me + 1)); /* nobody parks inside lock() owning the mutex */
    atomic {
        if
        :: IS_HELD(state[r]) && !REFUSAL_IS_NOTED -> state[r] = state[r] | RETURNING /* too late */
        :: else
        fi
    };
    if
    :: IS_HELD(state[r]) -> sleep_until_resumed(r)
    :: !IS_HELD(state[r])
    fi
}

/* refused: the record, plus one, that a stop holds; 0: all are taken. */
inline acquire_all(returning)
{
    refused = 0;
    do
    :: i < WORLDS && refused == 0 ->
        if
        :: IS_SIBLING(RECORD(me, i)) && !OWNS_STOP(RECORD(me, i)) ->
            try_acquire_one(RECORD(me, i), returning);
            if
            :: taken -> i++
            :: else -> refused = RECORD(me, i) + 1
            fi
        :: else -> i++
        fi
    :: else -> break
    od;
    if
    :: refused ->
        i = 0;
        do
        :: i < WORLDS ->
            if
            :: WITHDRAWS && IS_SIBLING(RECORD(me, i)) && RECORD(me, i) != refused - 1 && !OWNS_STOP(RECORD(me, i)) ->
                withdraw_one(RECORD(me, i))
            :: else
            fi;
            i++
        :: else -> break
        od
    :: else ->
        i = 0;
        do
        :: i < WORLDS ->
            if
            :: IS_SIBLING(RECORD(me, i)) -> set_limit(RECORD(me, i))
            :: else
            fi;
            i++
        :: else -> break
        od
    fi;
    i = 0
}

inline wait_until_free(r)
{
    if
    :: atomic { state[r] & DORMANT -> skip }; wake_dormant(r)
    :: atomic { !(state[r] & DORMANT) -> skip }; wait_for_resume(r)
    fi
}

inline reacquire()
{
    coming_back[me] = true;
    do
    :: acquire_all(true);
        if
        :: refused -> wait_until_free(refused - 1)
        :: else -> break
        fi
    od;
    coming_back[me] = false
}

inline park(r)
{
    release(r, PARKED);
    OWNS_STOP(r) || !request[WORLD_OF(r)] || (state[r] & STOP); /* sched_yield until then */
    reacquire()
}

/* requested: whether it has to park. */
inline look_at_requests()
{
    do
    :: k < WORLDS ->
        atomic {
            requested = requested || (IS_SIBLING(RECORD(me, k)) && request[k] && !OWNS_STOP(RECORD(me, k)));
            k++
        }
    :: else -> k = 0; break
    od
}

/* tenure__poll_slow, with tenure__safepoint. */
inline poll_slow(r)
{
    look_at_requests();
    if
    :: requested -> requested = false; park(r)
    :: else -> set_limit(r)
    fi
}

inline wait_for_all(w)
{
    do
    :: atomic { outstanding[w] == 0 -> leader_acquires(w); break } /* spinning sees it */
    :: outstanding[w] != 0 ->
        if
        :: SLEEPING_BEFORE_OUTSTANDING -> leader_sleeping[w] = true
        :: else -> sleeping_in_buffer[w] = true
        fi;
        found = outstanding[w];
        if
        :: found ->
            /* tenure__futex_wait */
            asleep_on_outstanding[w] = outstanding[w] == found || !LEADER_COMPARES;
            !asleep_on_outstanding[w];
            found = 0
        :: else
        fi;
        atomic { sleeping_in_buffer[w] = false; leader_sleeping[w] = false }
    od
}

inline poison_siblings(t)
{
    atomic { !siblings_lock -> siblings_lock = true };
    do
    :: k < WORLDS ->
        if
        :: IS_SIBLING(RECORD(t, k)) -> limit[RECORD(t, k)] = false
        :: else
        fi;
        k++
    :: else -> k = 0; break
    od;
    siblings_lock = false
}

inline claim(r)
{
    if
    :: !COUNTS_BY_CLAIM -> word = state[r] /* loaded too early */
    :: else
    fi;
    atomic {
        write_back_request(WORLD_OF(r));
        word = (COUNTS_BY_CLAIM -> state[r] : word);
        state[r] = state[r] | STOP;
        leader_sees[r] = leader_sees[r] || (CLAIM_ACQUIRES && state_carries[r])
    };
    if
    :: MODE_OF(word) == RUNNING ->
        word = 0;
        running++;
        if
        :: record_count[THREAD_OF(r)] > 1 && POISONS_SIBLINGS -> poison_siblings(THREAD_OF(r))
        :: else
        fi
    :: else -> word = 0
    fi
}

/* Both lists in one pass; all: with the dormant one. */
inline world_stop(w, all)
{
    atomic {
        stop_dormant[w] = all;
        forget_what_is_seen(w)
    };
    if
    :: REQUEST_BEFORE_POISON -> request[w] = true
    :: else -> request_in_buffer[w] = true
    fi;
    do
    :: i < THREADS && POISONS ->
        if
        :: on_active[RECORD(i, w)] -> limit[RECORD(i, w)] = false
        :: else
        fi;
        i++
    :: else -> i = 0; break
    od;
    do
    :: i < THREADS ->
        if
        :: on_active[RECORD(i, w)] || (stop_dormant[w] && on_dormant[RECORD(i, w)]) -> claim(RECORD(i, w))
        :: else
        fi;
        i++
    :: else -> i = 0; break
    od;
    atomic {
        outstanding[w] = outstanding[w] + running;
        running = 0;
        leader_acquires(w)
    };
    wait_for_all(w);
    in_the_stop(w)
}

inline resume_one(r)
{
    atomic {
        word = state[r] & ~STOP;
        if
        :: LETS_IN && (word & RETURNING) && (word & PASSED) && !(DORMANT_STAYS_OUT && (word & DORMANT)) ->
            word = RUNNING
        :: else ->
            if
            :: word & RETURNING -> word = word | PASSED
            :: else
            fi
        fi;
        state[r] = word;
        word = 0;
        state_hands_on[r] = state_hands_on[r] || RESUME_PUBLISHES
    }
}

inline world_resume(w)
{
    atomic { stopped[w] = false; request[w] = false };
    if
    :: !RESUMES_BEFORE_ASLEEP -> found = asleep[w] /* loaded too early */
    :: else
    fi;
    do
    :: i < THREADS ->
        if
        :: on_active[RECORD(i, w)] || (stop_dormant[w] && on_dormant[RECORD(i, w)]) -> resume_one(RECORD(i, w))
        :: else
        fi;
        i++
    :: else -> i = 0; break
    od;
    atomic { /* resumes++ */
        do
        :: i < THREADS -> resumes_changed[RECORD(i, w)] = true; i++
        :: else -> i = 0; break
        od
    };
    if
    :: (RESUMES_BEFORE_ASLEEP -> asleep[w] : found) != 0 -> atomic { wake_sleepers(w, RESUME_WAKES) }
    :: else
    fi;
    found = 0
}

/* lock_to_own. taken: whether the stop lock is. */
inline lock_to_own(r)
{
    if
    :: owns_another(r) ->
        if
        :: atomic { !stop_lock[WORLD_OF(r)] -> stop_lock[WORLD_OF(r)] = true; taken = true }
        :: atomic { stop_lock[WORLD_OF(r)] && world_owner[WORLD_OF(r)] != 0 -> taken = false }
        fi
    :: else -> lock_stop(WORLD_OF(r)); taken = true
    fi
}

/* tenure_stop_world; afterwards OWNS_STOP(r) tells whether it was given. */
inline stop_world(r)
{
    release(r, PARKED);
    do
    :: lock_to_own(r);
        if
        :: taken ->
            world_owner[WORLD_OF(r)] = (r) + 1;
            world_stop(WORLD_OF(r), true);
            acquire_all(!OWNER_IS_NOT_LET_IN);
            if
            :: refused && OWNER_GIVES_UP ->
                world_owner[WORLD_OF(r)] = 0;
                world_resume(WORLD_OF(r));
                unlock_stop(WORLD_OF(r));
                wait_until_free(refused - 1)
            :: refused && !OWNER_GIVES_UP -> wait_until_free(refused - 1); reacquire(); break
            :: else -> break
            fi
        :: else -> reacquire(); break
        fi
    od
}

/* tenure_resume_world. */
inline resume_world(r)
{
    release(r, PARKED);
    world_owner[WORLD_OF(r)] = 0;
    world_resume(WORLD_OF(r));
    unlock_stop(WORLD_OF(r));
    reacquire()
}
