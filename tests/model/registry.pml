/* threads/registry.c. */

inline link_sibling(r)
{
    atomic { !siblings_lock -> siblings_lock = true };
    sibling[r] = true;
    siblings_lock = false;
    if
    :: RECORD_COUNT_BEFORE_REQUEST -> record_count[me]++
    :: else -> count_in_buffer[me] = true
    fi
}

inline unlink_sibling(r)
{
    atomic { !siblings_lock -> siblings_lock = true };
    sibling[r] = false;
    siblings_lock = false;
    record_count[me]--
}

/* tenure_attach and register_record. */
inline attach(r)
{
    state[r] = PARKED;
#if WORLDS > 1
    if
    :: ATTACH_RELEASES -> release(r, PARKED) /* the others: this one is no sibling yet */
    :: else
    fi;
#endif
    lock_stop(WORLD_OF(r));
    link_sibling(r);
    /* The stop lock publishes, both ways. */
    atomic { on_active[r] = true; mutator_sees[r] = true; state_carries[r] = true };
    unlock_stop(WORLD_OF(r));
    reacquire()
}

/* detach_released. The record's memory is gone afterwards. */
inline detach(r)
{
    release(r, BLOCKED);
    if
    :: DETACH_LOCKS -> lock_stop(WORLD_OF(r))
    :: else
    fi;
    atomic { assert(!stopped[WORLD_OF(r)]); on_active[r] = false; on_dormant[r] = false };
    unlink_sibling(r);
    atomic { state[r] = 0; limit[r] = false; mutator_writes(r); leader_writes(r) };
    if
    :: DETACH_LOCKS -> unlock_stop(WORLD_OF(r))
    :: else
    fi
#if WORLDS > 1
    ;
    reacquire()
#endif
}

inline wake_dormant(r)
{
    lock_stop(WORLD_OF(r));
    atomic {
        if
        :: state[r] & DORMANT -> on_active[r] = true; on_dormant[r] = false; idle_stops[r] = 0
        :: else
        fi
    };
    atomic { state[r] = (state[r] & ~DORMANT) | (WOKEN_RETURNS -> RETURNING : 0); mutator_sees[r] = true /* by the lock */ };
    unlock_stop(WORLD_OF(r))
}

/* In a stop. */
inline make_dormant(r)
{
    atomic { on_active[r] = false; on_dormant[r] = true; state[r] = state[r] | DORMANT };
    atomic {
        state[r] = state[r] & ~STOP;
        state_hands_on[r] = state_hands_on[r] || RESUME_PUBLISHES
    }
}
