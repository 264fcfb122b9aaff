/* What main calls: in the program itself, or in a library that embeds Tenure. */
#ifndef CONSUMER_H
#define CONSUMER_H
/* 0: all went well. */
int consumer_run(void);
#endif
