/* One client: its socket, what has been received and what is to be sent.
 *
 * All of it is malloc memory that lives as long as the socket; the heap is reached through handles only. A connection
 * belongs to one worker; CLIENT LIST reads the fields marked so from other threads under the worker's list lock. */
#ifndef SERVER_CONNECTION_H
#define SERVER_CONNECTION_H

#include "output.h"
#include "resp.h"
#include <stdatomic.h>

struct worker;

enum { CONNECTION_NAME_BYTES = 64, CONNECTION_ADDRESS_BYTES = 64 };

typedef struct connection {
    int socket;           /* CLIENT LIST */
    uint32_t interest;    /* events that epoll was last told */
    bool closing;         /* after what is in output has been sent */
    bool dead;            /* at once */
    bool failed_argument; /* an argument of the present request found no memory */
    resp_parser parser;
    resp_buffer input;        /* no memory while nothing is half received */
    output output;            /* no memory while nothing waits */
    tenure_handle *receiving; /* text that a large argument is read into; NULL with receiving_bytes > 0: dropped */
    size_t receiving_bytes, received_bytes;
    uint64_t id;                            /* CLIENT LIST */
    int64_t created_ms;                     /* CLIENT LIST */
    _Atomic int64_t active_ms;              /* CLIENT LIST */
    char name[CONNECTION_NAME_BYTES];       /* CLIENT LIST: written under the list lock */
    char address[CONNECTION_ADDRESS_BYTES]; /* CLIENT LIST */
    struct connection *previous, *next;     /* list lock */
} connection;

/* NULL when there is no memory. */
connection *connection_new(int socket, uint64_t id, int64_t now_ms, size_t max_output);

/* Serves what epoll reported. False: the connection is over and the caller frees it. */
bool connection_serve(struct worker *w, connection *c, uint32_t events);

/* Closes the socket and frees all. */
void connection_free(connection *c);

#endif
