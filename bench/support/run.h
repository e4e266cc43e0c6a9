/* Purpose: one timed run: its limits, its clocks, and its result as one line of JSON.
 * Owns: nothing; the caller's bench_run.
 * Invariants:
 *   1. Wall time is CLOCK_MONOTONIC; CPU time is getrusage(RUSAGE_SELF), user and system, all threads.
 *   2. Between begin and end nothing here allocates or makes a system call, save the clock.
 *   3. The peak RSS is that of this program alone (VmHWM); ru_maxrss would also count what ran before exec.
 * Threads: begin, end and report from one thread; bench_run_next from any between begin and end. */
#ifndef BENCH_SUPPORT_RUN_H_
#define BENCH_SUPPORT_RUN_H_

#include <stdbool.h>
#include <stdint.h>

#include "bench/support/args.h"

typedef struct bench_run {
  bench_limits limits;
  uint64_t ops_per_thread; /* UINT64_MAX: no limit */
  uint64_t deadline_ns;    /* UINT64_MAX: no limit; set by begin */
  uint64_t begin_wall_ns;
  uint64_t begin_cpu_ns;
  uint64_t wall_ns; /* set by end */
  uint64_t cpu_ns;  /* set by end */
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
/** Prints the result line on stdout. Returns the exit status for main. */
int bench_run_report(const bench_run* run, uint64_t ops);

/** Ends the program with "bench: MESSAGE" on stderr and `status`. */
_Noreturn void bench_die(int status, const char* message);

#endif /* BENCH_SUPPORT_RUN_H_ */
