/* What all threads of the server share. */
#include "server.h"
#include <signal.h>
#include <unistd.h>

server the_server;

void server_stop(void)
{
    atomic_store_explicit(&the_server.stopping, true, memory_order_relaxed);
    kill(getpid(), SIGTERM); /* all threads block it: the main thread's wait takes it */
}
