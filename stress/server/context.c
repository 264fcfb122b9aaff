#include "context.h"
#include <string.h>
#include <time.h>

void context_refresh_clock(context *c)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    c->now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    c->now_lru = (uint32_t)(c->now_ms / 10);
}

void context_begin(context *c, tenure_thread *self)
{
    c->self = self;
    context_refresh_clock(c);
    c->random = ((uint64_t)(uintptr_t)c * 0x9e3779b97f4a7c15u ^ (uint64_t)c->now_ms) | 1;
}
