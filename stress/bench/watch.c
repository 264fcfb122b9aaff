/* Runs a program, and tells what it took and what the machine did meanwhile to threads that wanted to run.
 *
 *   bench-watch PROGRAM ARGUMENT...
 *
 * On every usable processor a thread of real-time priority, where that is permitted, sleeps until times that are 5 ms
 * apart. How much later than that it runs is what the machine itself, the kernel and whoever else is there, may add to
 * any pause: pauses shorter than that cannot be told from it. What it takes away from the program, 200 wake-ups a
 * second and processor, it takes away from every peer alike. The last line on standard output is this program's. */
#include "histogram.h"
#include "measure.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD_NS = 5 * 1000 * 1000, GAP_NS = 100 * 1000, SECOND_NS = 1000 * 1000 * 1000, CANNOT_RUN = 127 };

struct sleeper {
    pthread_t thread;
    unsigned processor;
    uint64_t gaps;               /* later than GAP_NS */
    struct histogram late_ns;    /* read when the thread has ended */
    _Alignas(128) char apart[1]; /* each is written by its thread alone */
};

static struct sleeper sleepers[CPU_SETSIZE];
static int sleeper_count;
static bool real_time = true;
static _Atomic bool over;

static void must(int error, const char *what)
{
    if (error == 0) return;
    fprintf(stderr, "watch: %s: %s\n", what, strerror(error));
    exit(CANNOT_RUN);
}

static uint64_t real_time_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static void *sleeper_main(void *arg)
{
    struct sleeper *sleeper = arg;
    cpu_set_t processors;
    CPU_ZERO(&processors);
    CPU_SET(sleeper->processor, &processors);
    must(pthread_setaffinity_np(pthread_self(), sizeof processors, &processors), "pthread_setaffinity_np");
    uint64_t due_ns = measure_now_ns();
    /* Relaxed: nothing is read that was written before it. */
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        due_ns += PERIOD_NS;
        const struct timespec due = { (time_t)(due_ns / SECOND_NS), (long)(due_ns % SECOND_NS) };
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR) continue;
        const uint64_t now_ns = measure_now_ns();
        histogram_add(&sleeper->late_ns, now_ns - due_ns);
        if (now_ns - due_ns > GAP_NS) sleeper->gaps++;
        if (now_ns - due_ns > PERIOD_NS) due_ns = now_ns; /* what was slept through is one gap */
    }
    return NULL;
}

static void sleeper_start(struct sleeper *sleeper)
{
    pthread_attr_t attributes;
    must(pthread_attr_init(&attributes), "pthread_attr_init");
    if (real_time) {
        const struct sched_param priority = { .sched_priority = sched_get_priority_max(SCHED_FIFO) };
        must(pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED), "pthread_attr_setinheritsched");
        must(pthread_attr_setschedpolicy(&attributes, SCHED_FIFO), "pthread_attr_setschedpolicy");
        must(pthread_attr_setschedparam(&attributes, &priority), "pthread_attr_setschedparam");
    }
    int error = pthread_create(&sleeper->thread, &attributes, sleeper_main, sleeper);
    if (error == EPERM && real_time) {
        real_time = false;
        error = pthread_create(&sleeper->thread, NULL, sleeper_main, sleeper);
    }
    must(error, "pthread_create");
    must(pthread_attr_destroy(&attributes), "pthread_attr_destroy");
}

static void sleepers_start(void)
{
    cpu_set_t usable;
    must(sched_getaffinity(0, sizeof usable, &usable) == 0 ? 0 : errno, "sched_getaffinity");
    for (unsigned processor = 0; processor < CPU_SETSIZE; processor++) {
        if (!CPU_ISSET(processor, &usable)) continue;
        sleepers[sleeper_count].processor = processor;
        sleeper_start(&sleepers[sleeper_count++]);
    }
}

static void sleepers_report(void)
{
    static struct histogram all;
    uint64_t gaps = 0;
    atomic_store(&over, true);
    for (int i = 0; i < sleeper_count; i++) {
        must(pthread_join(sleepers[i].thread, NULL), "pthread_join");
        histogram_merge(&all, &sleepers[i].late_ns);
        gaps += sleepers[i].gaps;
    }
    result_count("hiccups_real_time", real_time);
    result_count("hiccups_samples", all.count);
    result_count("hiccups_over_100us", gaps);
    result_count("hiccups_p50_ns", histogram_percentile(&all, 50));
    result_count("hiccups_p99_ns", histogram_percentile(&all, 99));
    result_count("hiccups_max_ns", all.max);
}

static pid_t program_start(char **words)
{
    const pid_t child = fork();
    must(child < 0 ? errno : 0, "fork");
    if (child != 0) return child;
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* whoever ends this program means that one */
    execvp(words[0], words);
    fprintf(stderr, "watch: %s: %s\n", words[0], strerror(errno));
    _exit(CANNOT_RUN);
}

static double seconds_of(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec * 1e-6; }

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s PROGRAM ARGUMENT...\n", argv[0]);
        return CANNOT_RUN;
    }
    const uint64_t spawned_ns = real_time_ns();
    const uint64_t begin_ns = measure_now_ns();
    const pid_t child = program_start(argv + 1);
    sleepers_start();
    int status;
    struct rusage used;
    while (wait4(child, &status, 0, &used) < 0) must(errno == EINTR ? 0 : errno, "wait4");
    const uint64_t wall_ns = measure_now_ns() - begin_ns;
    result_begin("watch");
    result_real("spawned_seconds", (double)spawned_ns * 1e-9);
    result_real("process_wall_seconds", (double)wall_ns * 1e-9);
    result_real("process_cpu_seconds", seconds_of(used.ru_utime) + seconds_of(used.ru_stime));
    result_count("peak_rss_bytes", (uint64_t)used.ru_maxrss * 1024);
    sleepers_report();
    result_end();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
