/* Worker threads, the listening socket and handing out connections. */
#include "worker.h"
#include "server.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <tenure/io.h>
#include <unistd.h>

enum { EVENTS_AT_ONCE = 128, BUSY_EVENTS = 16, ACCEPTS_AT_ONCE = 64, BACKLOG = 1024 };

/* --- the listening socket --- */

int worker_listen(const char *address, unsigned port)
{
    char service[16];
    snprintf(service, sizeof service, "%u", port);
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    const int failure = getaddrinfo(address, service, &hints, &found);
    if (failure != 0) {
        fprintf(stderr, "tenure-server: cannot bind to %s: %s\n", address, gai_strerror(failure));
        return -1;
    }
    const int listener = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(listener, found->ai_addr, found->ai_addrlen) != 0 || listen(listener, BACKLOG) != 0) {
        fprintf(stderr, "tenure-server: cannot listen at %s:%u: %s\n", address, port, strerror(errno));
        freeaddrinfo(found);
        if (listener >= 0) close(listener);
        return -1;
    }
    freeaddrinfo(found);
    struct sockaddr_storage bound = { 0 };
    socklen_t length = sizeof bound;
    char name[16] = "";
    if (getsockname(listener, (struct sockaddr *)&bound, &length) == 0)
        getnameinfo((struct sockaddr *)&bound, length, NULL, 0, name, sizeof name, NI_NUMERICSERV);
    the_server.port = (unsigned)strtoul(name, NULL, 10);
    return listener;
}

/* --- connections --- */

static void list_add(worker *w, tenure_thread *self, connection *c)
{
    TENURE_LOCK_SCOPE(self, &w->list_lock);
    c->next = w->connections;
    if (c->next != NULL) c->next->previous = c;
    w->connections = c;
}

static void list_remove(worker *w, connection *c)
{
    TENURE_LOCK_SCOPE(w->context.self, &w->list_lock);
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        w->connections = c->next;
    if (c->next != NULL) c->next->previous = c->previous;
}

static void connection_end(worker *w, connection *c)
{
    list_remove(w, c);
    connection_free(c);
    atomic_fetch_sub_explicit(&w->clients, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&the_server.clients, 1, memory_order_relaxed);
}

static worker *least_busy(void)
{
    worker *best = &the_server.workers[0];
    for (unsigned i = 1; i < the_server.worker_count; i++) {
        worker *w = &the_server.workers[i];
        if (atomic_load_explicit(&w->clients, memory_order_relaxed) <
            atomic_load_explicit(&best->clients, memory_order_relaxed))
            best = w;
    }
    return best;
}

/* Gives a new socket to the worker with the fewest. Once epoll knows it, it is that worker's alone. */
static void admit(worker *acceptor, int socket, const struct sockaddr_storage *peer, socklen_t peer_length)
{
    atomic_fetch_add_explicit(&the_server.total_connections, 1, memory_order_relaxed);
    connection *c = NULL;
    if (atomic_load_explicit(&the_server.clients, memory_order_relaxed) < the_server.settings.max_clients)
        c = connection_new(socket, atomic_fetch_add_explicit(&the_server.next_client_id, 1, memory_order_relaxed) + 1,
            acceptor->context.now_ms, the_server.settings.max_output);
    if (c == NULL) {
        static const char full[] = "-ERR max number of clients reached\r\n";
        atomic_fetch_add_explicit(&the_server.rejected_connections, 1, memory_order_relaxed);
        (void)!send(socket, full, sizeof full - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        close(socket);
        return;
    }
    const int on = 1;
    (void)setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails for other families: no matter */
    (void)setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    char host[CONNECTION_ADDRESS_BYTES - 8] = "?", port[8] = "0";
    getnameinfo((const struct sockaddr *)peer, peer_length, host, sizeof host, port, sizeof port,
        NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(c->address, sizeof c->address, "%s:%s", host, port);

    worker *w = least_busy();
    atomic_fetch_add_explicit(&w->clients, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&the_server.clients, 1, memory_order_relaxed);
    list_add(w, acceptor->context.self, c);
    c->interest = EPOLLIN;
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, socket, &event) != 0) {
        /* Nobody else has seen it but through the list. */
        TENURE_LOCK_SCOPE(acceptor->context.self, &w->list_lock);
        if (c->previous != NULL)
            c->previous->next = c->next;
        else
            w->connections = c->next;
        if (c->next != NULL) c->next->previous = c->previous;
        connection_free(c);
        atomic_fetch_sub_explicit(&w->clients, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&the_server.clients, 1, memory_order_relaxed);
    }
}

static void accept_some(worker *w)
{
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        struct sockaddr_storage peer = { 0 };
        socklen_t length = sizeof peer;
        const int socket = accept4(w->listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (socket >= 0) {
            admit(w, socket, &peer, length);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED) continue;
        /* Out of descriptors: epoll would report the listener again at once and for ever; let others run meanwhile. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            tenure_nanosleep(w->context.self, &(struct timespec) { .tv_nsec = 1000000 }, NULL);
        return;
    }
}

/* --- the loop --- */

static int wait_for_events(worker *w, struct epoll_event *events, int last_count)
{
    /* After a large batch there is probably more: look without the cost of a region. An empty look costs a system call,
     * more than a region does, so that it is worth it for large batches only. */
    if (last_count >= BUSY_EVENTS) {
        const int count = epoll_wait(w->epoll, events, EVENTS_AT_ONCE, 0);
        if (count != 0) return count;
    }
    return tenure_epoll_wait(w->context.self, w->epoll, events, EVENTS_AT_ONCE, -1);
}

static void *worker_run(tenure_thread *self, void *unused)
{
    (void)unused;
    /* The thread's number is its place in creation order: taken from a counter, since the argument must be a heap
     * object. */
    static _Atomic unsigned started;
    worker *w = &the_server.workers[atomic_fetch_add_explicit(&started, 1, memory_order_relaxed)];
    context_begin(&w->context, self);
    char name[32];
    snprintf(name, sizeof name, "worker-%u", w->index);
    tenure_thread_name(self, name);
    pthread_setname_np(pthread_self(), name);

    struct epoll_event events[EVENTS_AT_ONCE];
    int count = 0;
    while (!atomic_load_explicit(&the_server.stopping, memory_order_relaxed)) {
        count = wait_for_events(w, events, count);
        context_refresh_clock(&w->context);
        for (int i = 0; i < count; i++) {
            void *what = events[i].data.ptr;
            if (what == &w->listener)
                accept_some(w);
            else if (what == &w->wake)
                continue;
            else if (!connection_serve(w, what, events[i].events))
                connection_end(w, what);
        }
    }
    while (w->connections != NULL) connection_end(w, w->connections);
    free(w->spare_input.data);
    output_free(&w->spare_output);
    return NULL;
}

/* --- start and end --- */

static bool watch(worker *w, int descriptor, void *what)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };
    return epoll_ctl(w->epoll, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

bool workers_start(tenure_thread *self, int listener)
{
    const unsigned count = the_server.settings.threads;
    worker *workers = aligned_alloc(128, (sizeof(worker) + 127) / 128 * 128 * count);
    if (workers == NULL) return false;
    memset(workers, 0, sizeof *workers * count);
    the_server.workers = workers;
    for (unsigned i = 0; i < count; i++) {
        worker *w = &workers[i];
        w->index = i;
        w->listener = i == 0 ? listener : -1;
        w->epoll = epoll_create1(EPOLL_CLOEXEC);
        w->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (w->epoll < 0 || w->wake < 0 || !watch(w, w->wake, &w->wake) ||
            tenure_mutex_init(&w->list_lock, "connections") != TENURE_OK) {
            fprintf(stderr, "tenure-server: worker %u: %s\n", i, strerror(errno));
            return false;
        }
    }
    the_server.worker_count = count;
    for (unsigned i = 0; i < count; i++) {
        const tenure_status status = tenure_thread_create(self, &workers[i].thread, NULL, worker_run, NULL);
        if (status != TENURE_OK) {
            fprintf(stderr, "tenure-server: worker %u: %s\n", i, tenure_strerror(status));
            return false;
        }
    }
    if (!watch(&workers[0], listener, &workers[0].listener)) {
        fprintf(stderr, "tenure-server: listener: %s\n", strerror(errno));
        return false;
    }
    return true;
}

void workers_join(tenure_thread *self)
{
    for (unsigned i = 0; i < the_server.worker_count; i++) {
        const uint64_t one = 1;
        (void)!write(the_server.workers[i].wake, &one, sizeof one);
    }
    for (unsigned i = 0; i < the_server.worker_count; i++) tenure_join(self, the_server.workers[i].thread, NULL);
    for (unsigned i = 0; i < the_server.worker_count; i++) {
        close(the_server.workers[i].epoll);
        close(the_server.workers[i].wake);
    }
}
