/* Clocks, arguments, and the result: one line of key=value words on standard output, which the runner collects. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "histogram.h"
#include <stddef.h>
#include <stdint.h>

/* CLOCK_MONOTONIC. */
uint64_t measure_now_ns(void);

/* CPU time of the whole process. */
uint64_t measure_cpu_ns(void);

/* Hides from the compiler where a pointer came from and that memory is as it was, so that nothing is hoisted. */
#define measure_opaque(pointer) __asm__ volatile("" : "+r"(pointer) : : "memory")

/* One option of a program, "--name value": a number. */
struct argument {
    const char *name;
    uint64_t *value;
    const char *help;
};
/* Ends the program with a usage line when a word is not one of them. */
void arguments_parse(int argc, char **argv, const struct argument *arguments, size_t count);

/* The measured part: wall and CPU time of the whole process, and the collections in between. */
void measure_begin(void);
/* Starts the result line with the program's name and what was measured since measure_begin. */
void measure_end(const char *program);

/* More words of the result line; result_count_of writes prefix_key=value. result_end ends the line. */
void result_begin(const char *program);
void result_text(const char *key, const char *value);
void result_count(const char *key, uint64_t value);
void result_count_of(const char *prefix, const char *key, uint64_t value);
void result_real(const char *key, double value);
void result_real_of(const char *prefix, const char *key, double value);
/* Of stops: from the request to the resume, CPU time of the process meanwhile, from the request to the stop. */
struct pauses {
    struct histogram total_ns, cpu_ns, reach_ns;
};
/* name_count, _seconds and _cpu_seconds; if there were any, name_p50_ns, name_cpu_p50_ns, name_reach_p50_ns ... */
void result_pauses(const char *name, const struct pauses *pauses);
/* latency_p50_ns and so on. */
void result_latency(const struct histogram *latency, double ns_per_unit);
void result_end(void);

#endif
