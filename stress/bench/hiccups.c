/* What the machine itself does to a thread that never waits: it reads the clock all the time, and gaps between two
 * readings are moments when something else ran on its processor. Pauses shorter than these cannot be told from them. */
#include "measure.h"
#include <stdio.h>

enum { GAP_NS = 20 * 1000 };

static uint64_t milliseconds = 1000;

static void hiccups_run(void)
{
    const uint64_t begin_ns = measure_now_ns();
    const uint64_t end_ns = begin_ns + milliseconds * 1000 * 1000;
    uint64_t gaps = 0, gaps_ns = 0, max_ns = 0;
    for (uint64_t last_ns = begin_ns; last_ns < end_ns;) {
        const uint64_t now_ns = measure_now_ns();
        const uint64_t gap_ns = now_ns - last_ns;
        if (gap_ns > max_ns) max_ns = gap_ns;
        if (gap_ns > GAP_NS) {
            gaps++;
            gaps_ns += gap_ns;
        }
        last_ns = now_ns;
    }
    result_begin("hiccups");
    result_real("seconds", (double)milliseconds * 1e-3);
    result_count("gaps_over_20us", gaps);
    result_count("gaps_ns", gaps_ns);
    result_count("max_ns", max_ns);
    result_end();
}

int main(int argc, char **argv)
{
    const struct argument arguments[] = {
        { "milliseconds", &milliseconds, "how long to look" },
    };
    arguments_parse(argc, argv, arguments, sizeof arguments / sizeof arguments[0]);
    hiccups_run();
}
