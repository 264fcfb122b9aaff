/* From the leaders of collections to the listeners: a bounded ring, and the thread that empties it. */
#ifndef TENURE_LIB_INSPECT_LISTEN_H
#define TENURE_LIB_INSPECT_LISTEN_H

#include <pthread.h>
#include <stdatomic.h>
#include <tenure/event.h>

struct tenure__listener;
typedef struct tenure__leak tenure__leak; /* leak.h */

typedef struct tenure__told {
    tenure_collection collection;
    tenure__leak *leak; /* NULL: nothing to say */
} tenure__told;

typedef struct tenure__events {
    tenure__told *ring;            /* constant */
    _Atomic uint64_t written;      /* collections put into the ring; stop lock, to write */
    _Atomic uint64_t delivered;    /* taken out; the listeners' thread, to write */
    _Atomic uint64_t lost;         /* that found no room; stop lock, to write */
    uint64_t lost_before;          /* since the last one that did; stop lock */
    _Atomic uint32_t listening;    /* listeners; lock, to write */
    _Atomic uint32_t wake;         /* futex of the listeners' thread */
    _Atomic bool stops;            /* the heap is destroyed */
    pthread_mutex_t lock;          /* never held while a listener runs */
    pthread_cond_t returned;       /* a listener has returned, with lock */
    struct tenure__listener *list; /* lock */
    struct tenure__listener *now;  /* lock: the one that runs */
    bool started;                  /* lock */
    bool gone;                     /* this process is a child that has no such thread yet; stop lock */
    pthread_t thread;
} tenure__events;

/* TENURE_ENOMEM. */
tenure_status tenure__events_create(tenure__events *events);
/* Delivers what waits, then ends the thread. No collection comes any more; the caller is out of all stop sets. */
void tenure__events_destroy(tenure__events *events);
/* Whether the caller is called by the listeners' thread. */
bool tenure__events_within(tenure__events *events);
/* After the resume, by the leader, who still holds the stop lock. Takes leak over. No memory, no lock, no waiting. */
void tenure__events_publish(tenure__events *events, const tenure_collection *collection, tenure__leak *leak);
/* In a forked child: what was not delivered is the parent's. The lock was held by the thread that forked. */
void tenure__events_forked(tenure__events *events);
/* Starts the listeners' thread again if a child needs it. Stop lock, before the stop. */
void tenure__events_revive(tenure__events *events);

#endif
