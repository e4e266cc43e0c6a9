/* Purpose: one timed run: its limits, its clocks, and its result as one line of JSON.
 * Owns: nothing; the caller's bench_run.
 * Invariants:
 *   1. Wall time is CLOCK_MONOTONIC; CPU time is getrusage(RUSAGE_SELF), user and system, all threads.
 *   2. Between begin and end nothing here allocates or makes a system call, save the clock.
 *   3. The peak RSS is that of this program alone (VmHWM); ru_maxrss would also count what ran before exec.
 *   4. An extra figure's unit is the last word of its name: rss_after_10s_kb, malloc_p99_ns.
 * Threads: begin, end, extra, curve and report from one thread; bench_run_next from any between begin and end. */
#ifndef BENCH_SUPPORT_RUN_H_
#define BENCH_SUPPORT_RUN_H_

#include <stdbool.h>
#include <stdint.h>

#include "bench/support/args.h"

enum { BENCH_MAX_EXTRAS = 24, BENCH_MAX_CURVES = 2, BENCH_MAX_CURVE_POINTS = 48 };

/** A figure beside speed and peak RSS. */
typedef struct bench_extra {
  const char* name;
  double value;
} bench_extra;

/** A line that can be drawn: y over x, x ascending and the same in every run. */
typedef struct bench_curve {
  const char* name;
  unsigned count;
  double x[BENCH_MAX_CURVE_POINTS];
  double y[BENCH_MAX_CURVE_POINTS];
} bench_curve;

typedef struct bench_run {
  bench_limits limits;
  uint64_t ops_per_thread; /* UINT64_MAX: no limit */
  uint64_t deadline_ns;    /* UINT64_MAX: no limit; set by begin */
  uint64_t begin_wall_ns;
  uint64_t begin_cpu_ns;
  uint64_t wall_ns; /* set by end */
  uint64_t cpu_ns;  /* set by end */
  bench_extra extras[BENCH_MAX_EXTRAS];
  unsigned extra_count;
  const bench_curve* curves[BENCH_MAX_CURVES];
  unsigned curve_count;
} bench_run;

/** Prepares a run of `threads` threads that share --ops evenly. */
void bench_run_init(bench_run* run, const bench_limits* limits, unsigned threads);
/** Starts the clocks. */
void bench_run_begin(bench_run* run);
/** Stops the clocks. */
void bench_run_end(bench_run* run);
/** How many operations the calling thread, `done` of them behind it, is to do before it asks again: at most
 *  `chunk`; 0: the run is over, which by time it is not before the first chunk. */
uint64_t bench_run_next(const bench_run* run, uint64_t done, uint64_t chunk);
/** Adds a figure to the result. `name` stays the caller's and goes into a JSON string unescaped. */
void bench_run_extra(bench_run* run, const char* name, double value);
/** Adds a curve to the result; it stays the caller's. */
void bench_run_curve(bench_run* run, const bench_curve* curve);
/** Prints the result line on stdout. Returns the exit status for main. */
int bench_run_report(const bench_run* run, uint64_t ops);

/** KiB that are resident now, exactly where the kernel tells (smaps_rollup). Allocates nothing. */
uint64_t bench_rss_kb(void);
/** CLOCK_MONOTONIC in nanoseconds. */
uint64_t bench_now_ns(void);
/** CPU time of the process so far, user and system, in nanoseconds. */
uint64_t bench_cpu_ns(void);

/** Ends the program with "bench: MESSAGE" on stderr and `status`. */
_Noreturn void bench_die(int status, const char* message);

#endif /* BENCH_SUPPORT_RUN_H_ */
