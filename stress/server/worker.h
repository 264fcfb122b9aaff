/* Worker threads: each with its own epoll instance and the connections that it was given. */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include "connection.h"
#include "context.h"
#include <tenure/lock.h>

typedef struct worker {
    context context;
    unsigned index;
    int epoll;
    int listener; /* the first worker's: accepts for all; else -1 */
    int wake;     /* eventfd: stop */
    pthread_t thread;
    resp_buffer spare_input; /* lent to the connection that is being served */
    output spare_output;     /* likewise */
    tenure_mutex list_lock;  /* protects connections, and that they stay */
    connection *connections;
    _Atomic unsigned clients; /* relaxed: a hint for handing out connections */
} worker;

/* Opens the listening socket and notes the port in the_server. -1 with a message on stderr. */
int worker_listen(const char *address, unsigned port);

/* Creates the threads; listener is given to the first. False with a message on stderr. */
bool workers_start(tenure_thread *self, int listener);

/* Wakes all workers so that they see that the server is stopping, and waits for their ends. */
void workers_join(tenure_thread *self);

#endif
