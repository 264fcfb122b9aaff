/* stress-locks: see locks.h. */
#include "stress/locks/locks.h"
#include <getopt.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

settings the_settings = { .seed = 1, .seconds = 10, .threads = 6, .heaps = 1, .hang_seconds = 60, .words = "" };
tenure_heap *heaps[HEAPS_MAX];
box *boxes[HEAPS_MAX][BOXES];
gate gates[GATES];
tenure_sem semaphores[SEMAPHORES];
channel channels[CHANNELS];
worker workers[THREADS_MAX];
_Atomic bool time_is_up;
_Atomic uint64_t waits_entered, waits_left, latest_ns;

static const char usage[] =
    "usage: stress-locks [--seed N] [--seconds N] [--threads N] [--heaps N] [--fork] [--stops] [--options WORDS]\n"
    "                    [--hang SECONDS]\n"
    "  --seed     0: another one at every run\n"
    "  --threads  at most 64, all attached to all heaps, of which there are at most 4\n"
    "  --fork     processes are forked as well\n"
    "  --stops    tenure_stop_world is called as well\n"
    "  --hang     a thread that makes no step for so long hangs\n";

uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* splitmix64 */
uint32_t draw(worker *w, uint32_t bound)
{
    uint64_t z = w->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((((z ^ (z >> 31)) >> 32) * bound) >> 32);
}

void doing(worker *w, const char *what) { atomic_store(&w->doing, what); }

void say_command(void)
{
    fprintf(stderr,
        "locks: to see it again: stress-locks --seed %lu --seconds %u --threads %u --heaps %u%s%s --options '%s'\n",
        (unsigned long)the_settings.seed, the_settings.seconds, the_settings.threads, the_settings.heaps,
        the_settings.fork ? " --fork" : "", the_settings.stops ? " --stops" : "", the_settings.words);
}

void require_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "locks: %s:%d: required: %s\n", file, line, expression);
    say_command();
    abort();
}

static void *work(void *arg)
{
    worker *w = arg;
    node *chain[HEAPS_MAX] = { NULL };
    atomic_store(&w->tid, (int)syscall(SYS_gettid));
    attach_all(w);
    while (!atomic_load(&time_is_up)) act(w, chain);
    doing(w, "detaching");
    detach_all(w);
    atomic_store(&w->finished, true);
    return NULL;
}

static void begin(void)
{
    char err[256], words[512];
    tenure_options options;
    snprintf(words, sizeof words, "max_heap=256m,gen0=1m,stop_deadline=10s%s%s", the_settings.words[0] != 0 ? "," : "",
        the_settings.words);
    REQUIRE(tenure_options_init(&options, err, sizeof err) == TENURE_OK);
    if (tenure_options_parse(&options, words, err, sizeof err) != TENURE_OK) {
        fprintf(stderr, "locks: %s\n", err);
        exit(2);
    }
    for (unsigned i = 0; i < the_settings.heaps; i++) {
        REQUIRE(tenure_heap_create(&heaps[i], &options) == TENURE_OK);
        REQUIRE(tenure_root_range_add(heaps[i], boxes[i], sizeof boxes[i], TENURE_PRECISE) == TENURE_OK);
        tenure_thread *self = tenure_attach(heaps[i]);
        REQUIRE(self != NULL);
        for (unsigned k = 0; k < BOXES; k++) boxes[i][k] = box_new(self);
        tenure_detach(self);
    }
    for (unsigned i = 0; i < SEMAPHORES; i++) REQUIRE(tenure_sem_init(&semaphores[i], "units", UNITS) == TENURE_OK);
    for (unsigned i = 0; i < CHANNELS; i++) {
        REQUIRE(tenure_mutex_init(&channels[i].mutex, "channel") == TENURE_OK);
        REQUIRE(tenure_cond_init(&channels[i].filled, "filled") == TENURE_OK);
    }
}

/* Nothing is lost. */
static void finish(void)
{
    for (unsigned i = 0; i < the_settings.heaps; i++) {
        tenure_thread *self = tenure_attach(heaps[i]);
        REQUIRE(tenure_collect(self, TENURE_GEN2) == TENURE_OK);
        REQUIRE(tenure_verify(self) == TENURE_OK);
        for (unsigned k = 0; k < BOXES; k++) {
            uint64_t sum = 0;
            for (unsigned t = 0; t < the_settings.threads; t++) sum += workers[t].boxed[i][k];
            REQUIRE(boxes[i][k]->count == sum);
            REQUIRE(boxes[i][k]->latest->value == sum);
        }
        tenure_detach(self);
        REQUIRE(tenure_heap_destroy(heaps[i]) == TENURE_OK);
    }
    for (unsigned i = 0; i < GATES; i++) {
        uint64_t sum = 0;
        for (unsigned t = 0; t < the_settings.threads; t++) sum += workers[t].wrote[i];
        REQUIRE(gates[i].first == sum && gates[i].second == sum);
    }
    for (unsigned i = 0; i < SEMAPHORES; i++) {
        for (unsigned k = 0; k < UNITS; k++) REQUIRE(tenure_sem_trywait(NULL, &semaphores[i]));
        REQUIRE(!tenure_sem_trywait(NULL, &semaphores[i]));
    }
    for (unsigned i = 0; i < CHANNELS; i++) REQUIRE(channels[i].items == 0 && channels[i].put == channels[i].taken);
    REQUIRE(atomic_load(&waits_entered) == atomic_load(&waits_left));
}

static unsigned number(const char *word, unsigned most)
{
    char *end;
    const unsigned long value = strtoul(word, &end, 10);
    if (*word == 0 || *end != 0 || value > most) {
        fputs(usage, stderr);
        exit(2);
    }
    return (unsigned)value;
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = { { "seed", required_argument, 0, 's' },
        { "seconds", required_argument, 0, 't' }, { "threads", required_argument, 0, 'n' },
        { "heaps", required_argument, 0, 'h' }, { "options", required_argument, 0, 'o' },
        { "hang", required_argument, 0, 'w' }, { "fork", no_argument, 0, 'f' }, { "stops", no_argument, 0, 'x' },
        { 0 } };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 's':
            the_settings.seed = strtoull(optarg, NULL, 10);
            break;
        case 't':
            the_settings.seconds = number(optarg, 1000000);
            break;
        case 'n':
            the_settings.threads = number(optarg, THREADS_MAX);
            break;
        case 'h':
            the_settings.heaps = number(optarg, HEAPS_MAX);
            break;
        case 'o':
            the_settings.words = optarg;
            break;
        case 'w':
            the_settings.hang_seconds = number(optarg, 100000);
            break;
        case 'f':
            the_settings.fork = true;
            break;
        case 'x':
            the_settings.stops = true;
            break;
        default:
            fputs(usage, stderr);
            exit(2);
        }
    }
    if (the_settings.seed == 0) the_settings.seed = now_ns(CLOCK_REALTIME);
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    begin();
    for (unsigned i = 0; i < the_settings.threads; i++) {
        worker *w = &workers[i];
        w->index = i;
        w->random = the_settings.seed * 1000003 + i;
        doing(w, "starting");
        REQUIRE(pthread_create(&w->thread, NULL, work, w) == 0);
    }
    watchdog_start();
    sleep(the_settings.seconds);
    atomic_store(&time_is_up, true);
    uint64_t steps = 0;
    for (unsigned i = 0; i < the_settings.threads; i++) {
        REQUIRE(pthread_join(workers[i].thread, NULL) == 0);
        steps += atomic_load(&workers[i].steps);
    }
    finish();
    printf("locks: seed %lu: %lu steps, %lu waits, the latest deadline missed by %.1f ms\n",
        (unsigned long)the_settings.seed, (unsigned long)steps, (unsigned long)atomic_load(&waits_entered),
        (double)atomic_load(&latest_ns) / 1e6);
    return 0;
}
