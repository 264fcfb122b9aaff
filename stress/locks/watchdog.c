/* Looks whether every thread gets on. If one does not, it says what all of them do and aborts: the core has the rest.
 */
#include "stress/locks/locks.h"
#include <string.h>
#include <time.h>
#include <unistd.h>

static void say_file(const worker *w, const char *name)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/%s", atomic_load(&w->tid), name);
    FILE *file = fopen(path, "r");
    if (file == NULL) return;
    if (fgets(line, sizeof line, file) != NULL) line[strcspn(line, "\n")] = 0;
    fclose(file);
    fprintf(stderr, " %s: %.80s;", name, line);
}

static void say_all(void)
{
    for (unsigned i = 0; i < the_settings.threads; i++) {
        const worker *w = &workers[i];
        fprintf(stderr, "locks: thread %u (tid %d)%s: %s, step %lu;", i, atomic_load(&w->tid),
            atomic_load(&w->finished) ? " has ended" : "", atomic_load(&w->doing),
            (unsigned long)atomic_load(&w->steps));
        say_file(w, "wchan");
        say_file(w, "syscall");
        fputc('\n', stderr);
    }
}

static void *watch(void *arg)
{
    uint64_t seen[THREADS_MAX] = { 0 };
    unsigned quiet[THREADS_MAX] = { 0 };
    for (;; sleep(1)) {
        for (unsigned i = 0; i < the_settings.threads; i++) {
            const uint64_t steps = atomic_load(&workers[i].steps);
            quiet[i] = steps != seen[i] || atomic_load(&workers[i].finished) ? 0 : quiet[i] + 1;
            seen[i] = steps;
            if (quiet[i] < the_settings.hang_seconds) continue;
            fprintf(stderr, "locks: thread %u has done nothing for %u s\n", i, quiet[i]);
            say_all();
            say_command();
            abort();
        }
    }
    return arg;
}

void watchdog_start(void)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, watch, NULL) == 0);
    REQUIRE(pthread_detach(thread) == 0);
}
