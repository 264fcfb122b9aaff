/* The command line. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include "server.h"

typedef enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_BAD } options_result;

/* Fills settings with defaults and what the command line says. OPTIONS_DONE: the help was printed; OPTIONS_BAD: a
 * message is on stderr. */
options_result options_read(int count, char **words, server_settings *settings);

#endif
