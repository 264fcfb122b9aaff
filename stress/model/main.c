/* stress-model: runs the model test from a seed, or many seeds; makes a failing run smaller. */
#include "stress/model/model.h"
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] =
    "usage: stress-model [--seed N] [--runs N] [--threads N] [--steps N] [--check N] [--roots precise|conservative]\n"
    "                    [--options WORDS] [--drop OPERATION]... [--timeout SECONDS] [--minimise]\n"
    "  --runs      that many seeds from --seed on, each in a process; the first that fails is minimised\n"
    "  --check     compare the heap with the truth every N steps of each thread\n"
    "  --minimise  look for fewer steps, operations and threads with which it still fails\n";

static model_options options = { .seed = 1, .threads = 1, .steps = 20000, .check_every = 250, .words = "max_heap=64m" };
static unsigned timeout_s;

/* In a process of its own. */
static bool fails(const model_options *with, bool quiet)
{
    const pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) {
        if (quiet && freopen("/dev/null", "w", stderr) == NULL) abort();
        alarm(timeout_s);
        model_run(with);
        exit(0);
    }
    int status;
    if (waitpid(child, &status, 0) != child) abort();
    return status != 0;
}

/* Threads make it a matter of luck. */
static bool still_fails(const model_options *with)
{
    for (unsigned i = 0; i < (with->threads == 1 ? 2 : 8); i++)
        if (fails(with, true)) return true;
    return false;
}

static void keep_if_fails(model_options *kept, model_options tried)
{
    if (still_fails(&tried)) *kept = tried;
}

static void fewer_steps(model_options *kept)
{
    uint64_t enough = kept->steps, too_few = 0;
    while (enough - too_few > 1) {
        model_options tried = *kept;
        tried.steps = too_few + (enough - too_few) / 2;
        if (still_fails(&tried))
            enough = tried.steps;
        else
            too_few = tried.steps;
    }
    kept->steps = enough;
}

static void minimise(model_options kept)
{
    model_options tried;
    if (timeout_s == 0) timeout_s = 60;
    fewer_steps(&kept);
    tried = kept, tried.check_every = 1;
    keep_if_fails(&kept, tried);
    fewer_steps(&kept);
    for (unsigned i = 0; i < model_operation_count; i++) {
        tried = kept, tried.dropped |= (uint64_t)1 << i;
        keep_if_fails(&kept, tried);
    }
    while (kept.threads > 1) {
        tried = kept, tried.threads--;
        if (!still_fails(&tried)) break;
        kept = tried;
    }
    fewer_steps(&kept);
    unsigned tries = 8;
    while (tries > 0 && !fails(&kept, false)) tries--;
    if (tries == 0) model_say_command(&kept); /* it failed before; with threads that is a matter of luck */
}

static uint64_t drop_bit(const char *name)
{
    for (unsigned i = 0; i < model_operation_count; i++)
        if (strcmp(name, model_operations[i]) == 0) return (uint64_t)1 << i;
    fprintf(stderr, "stress-model: no operation %s; there are", name);
    for (unsigned i = 0; i < model_operation_count; i++) fprintf(stderr, " %s", model_operations[i]);
    fputc('\n', stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option table[] = { { "seed", 1, NULL, 's' }, { "runs", 1, NULL, 'r' },
        { "threads", 1, NULL, 't' }, { "steps", 1, NULL, 'n' }, { "check", 1, NULL, 'c' }, { "roots", 1, NULL, 'p' },
        { "options", 1, NULL, 'o' }, { "drop", 1, NULL, 'd' }, { "timeout", 1, NULL, 'w' },
        { "minimise", 0, NULL, 'm' }, { NULL, 0, NULL, 0 } };
    uint64_t runs = 1;
    bool smaller = false;
    for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) switch (c) {
        case 's':
            options.seed = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            runs = strtoull(optarg, NULL, 10);
            break;
        case 't':
            options.threads = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'n':
            options.steps = strtoull(optarg, NULL, 10);
            break;
        case 'c':
            options.check_every = strtoull(optarg, NULL, 10);
            break;
        case 'p':
            options.precise = strcmp(optarg, "precise") == 0;
            break;
        case 'o':
            options.words = optarg;
            break;
        case 'd':
            options.dropped |= drop_bit(optarg);
            break;
        case 'w':
            timeout_s = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'm':
            smaller = true;
            break;
        default:
            fputs(usage, stderr);
            return 2;
        }
    if (options.threads == 0 || optind != argc) {
        fputs(usage, stderr);
        return 2;
    }
    if (smaller) {
        minimise(options);
        return 0;
    }
    if (runs == 1) {
        alarm(timeout_s);
        model_run(&options);
        printf(
            "%u checks, %u exact; %u allocations refused; %u finalizers, %u cleaners, %u death callbacks ran, %u map "
            "entries died\n",
            the_model.checks, the_model.exact_checks, the_model.refusals, the_model.finalized, the_model.cleaned,
            the_model.watched, the_model.entries_died);
        return 0;
    }
    unsigned failed = 0;
    for (uint64_t i = 0; i < runs; i++, options.seed++)
        if (fails(&options, false) && failed++ == 0) minimise(options);
    printf("%lu runs, %u failed\n", (unsigned long)runs, failed);
    return failed != 0;
}
