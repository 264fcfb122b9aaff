/* threads/mutator.h: the state words, the worlds, and how memory orders are followed.
 *
 * Record r belongs to thread r / WORLDS in world r % WORLDS. */

#ifndef THREADS
#define THREADS 2
#endif
#ifndef WORLDS
#define WORLDS 1
#endif
#define RECORDS (THREADS * WORLDS)
#define RECORD(t, w) ((t) * WORLDS + (w))
#define THREAD_OF(r) ((r) / WORLDS)
#define WORLD_OF(r) ((r) % WORLDS)

#define RUNNING 0
#define BLOCKED 1
#define IDLE 2
#define PARKED 3
#define MODE 3
#define STOP 4
#define RETURNING 8
#define DORMANT 16
#define PASSED 32
#define MODE_OF(word) ((word) & MODE)

/* tenure__mutator */
byte state[RECORDS];
bool limit[RECORDS];       /* false: poisoned */
bool on_active[RECORDS];      /* on the world's active list */
bool on_dormant[RECORDS];     /* on its dormant list */
byte idle_stops[RECORDS];
bool sibling[RECORDS];     /* on the thread's list of records */

/* tenure__os_thread */
byte record_count[THREADS];
bool siblings_lock;

/* tenure__world */
bool stop_lock[WORLDS];
bool request[WORLDS];      /* odd */
byte outstanding[WORLDS];
bool leader_sleeping[WORLDS];
byte asleep[WORLDS];
byte world_owner[WORLDS];  /* record + 1; 0: none */
bool stop_dormant[WORLDS];

/* Where there is only one world, or nobody owns a stop, what is known is not looked at: fewer states. */
#if WORLDS > 1
#define IS_SIBLING(r) (sibling[r])
#else
#define IS_SIBLING(r) true
#endif
#ifdef DO_OWN
#define OWNS_STOP(r) (world_owner[WORLD_OF(r)] == (r) + 1)
#else
#define OWNS_STOP(r) false
#endif

/* Futexes: who sleeps. On outstanding there is one, the leader. resumes only ever changes, and is compared with what it
 * was: a bit for each record says whether it has changed since the thread looked. */
bool asleep_on_outstanding[WORLDS];
bool asleep_on_resumes[RECORDS];
bool resumes_changed[RECORDS];
#ifndef CHAIN /* so many are woken at once */
#define CHAIN 1
#endif

/* What the properties are about. */
bool stopped[WORLDS];      /* between the end of world_stop and the start of world_resume */
bool coming_back[THREADS];  /* inside tenure__reacquire */
byte leaders_gone;         /* leaders that will stop nobody again */

/* --- seq_cst: a store that comes before a load of something else ---
 * In the code these are seq_cst, and here at once in memory. Without the order the store may wait in its processor's
 * store buffer while later loads are done; the process Memory writes it back some time. A later release by the same
 * thread writes it back first. */
bool limit_in_buffer[RECORDS];
bool request_in_buffer[WORLDS];
bool sleeping_in_buffer[WORLDS];
bool count_in_buffer[THREADS];
bool asleep_in_buffer[RECORDS];

#if !LIMIT_BEFORE_REQUEST || !REQUEST_BEFORE_POISON || !SLEEPING_BEFORE_OUTSTANDING || \
    !RECORD_COUNT_BEFORE_REQUEST || !ASLEEP_BEFORE_RESUMES
#define BUFFERS 1
#else
#define BUFFERS 0
#endif

inline write_back_limit(r)
{
    if
    :: limit_in_buffer[r] -> limit[r] = true; limit_in_buffer[r] = false
    :: else
    fi
}
inline write_back_request(w)
{
    if
    :: request_in_buffer[w] -> request[w] = true; request_in_buffer[w] = false
    :: else
    fi
}

inline write_back_count(t)
{
    if
    :: t < THREADS && count_in_buffer[t] -> record_count[t]++; count_in_buffer[t] = false
    :: else
    fi
}

inline write_back_asleep(r)
{
    if
    :: asleep_in_buffer[r] -> asleep[WORLD_OF(r)]++; asleep_in_buffer[r] = false
    :: else
    fi
}

#if BUFFERS
active proctype Memory()
{
    byte i;
end:
    do
    :: atomic { limit_in_buffer[0] -> write_back_limit(0) }
#if RECORDS > 1
    :: atomic { limit_in_buffer[1] -> write_back_limit(1) }
#endif
#if RECORDS > 2
    :: atomic { limit_in_buffer[2] -> write_back_limit(2) }
#endif
    :: atomic { request_in_buffer[0] -> write_back_request(0) }
#if WORLDS > 1
    :: atomic { request_in_buffer[1] -> write_back_request(1) }
#endif
    :: atomic { sleeping_in_buffer[0] -> leader_sleeping[0] = true; sleeping_in_buffer[0] = false }
    :: atomic { asleep_in_buffer[0] -> asleep[0]++; asleep_in_buffer[0] = false }
    :: atomic { count_in_buffer[0] -> record_count[0]++; count_in_buffer[0] = false }
    od
}
#endif

/* --- release and acquire: followed as C11 defines them ---
 * A thread that runs writes to what a stop reads of it; a stop writes to what threads read. Each atomic word carries
 * what was written before the release that it holds (a relaxed exchange keeps what the word carried: a release
 * sequence); an acquire takes over what the word carries. */
bool state_carries[RECORDS];       /* state: what its owner has written last */
bool outstanding_carries[RECORDS]; /* outstanding: the same of that record */
bool leader_sees[RECORDS];
bool state_hands_on[RECORDS];      /* state: what the last leader has written */
bool mutator_sees[RECORDS];

/* The owner runs, and writes. */
inline mutator_writes(r)
{
    state_carries[r] = false; outstanding_carries[r] = false; leader_sees[r] = false
}
/* The stopped world's leader reads what the mutator wrote, and writes. */
inline leader_writes(r)
{
    state_hands_on[r] = false; mutator_sees[r] = false
}
