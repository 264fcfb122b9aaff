/* threads/lock.c: a mutex, who owns it (thread + 1; NATIVE: a thread that is not attached), and how it is taken:
 * tenure__acquire, wait_released and tenure__win_released. */

#define NATIVE 255
byte mutex;
bool inside_lock[THREADS];

inline native_lock() { atomic { mutex == 0 -> mutex = me + 1 } }
inline native_trylock() { atomic { taken = mutex == 0; if :: taken -> mutex = me + 1 :: else fi } }
inline native_unlock() { atomic { assert(mutex == me + 1); mutex = 0 } }

inline mutex_lock(r)
{
    inside_lock[me] = true;
    native_trylock();
    if
    :: taken
    :: else ->
        do
        :: if
            :: LOCK_WAITS_RELEASED -> release(r, BLOCKED)
            :: else
            fi;
            native_lock();
            if
            :: LOCK_WAITS_RELEASED -> acquire_all(false)
            :: else -> break
            fi;
            if
            :: refused ->
                if
                :: LOCK_RETRIES -> native_unlock()
                :: else
                fi;
                reacquire();
                native_trylock();
                if
                :: taken -> break
                :: else
                fi
            :: else -> break
            fi
        od
    fi;
    inside_lock[me] = false
}
