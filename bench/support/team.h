/* Purpose: the same work on one or more threads, timed from the moment all are warm until the last is done.
 * Owns: its threads, from bench_team_run until it returns.
 * Invariants:
 *   1. A team of one runs on the calling thread, so a one-thread row measures a one-thread process.
 *   2. The clocks run only between the return of bench_team_begin and the entry of bench_team_end: what a worker
 *      does before is warm-up, what it does after is clean-up.
 *   3. Every worker calls begin and end once each.
 * Threads: bench_team_run from main.  Fails: ends the program where a thread cannot be had. */
#ifndef BENCH_SUPPORT_TEAM_H_
#define BENCH_SUPPORT_TEAM_H_

#include <pthread.h>
#include <stdint.h>

#include "bench/support/run.h"

enum { BENCH_MAX_THREADS = 64 };

typedef struct bench_team {
  bench_run run;
  pthread_barrier_t barrier;
  unsigned threads;
} bench_team;

/** A worker: `index` is 0 to threads - 1. Returns how many operations it did in the timed part. */
typedef uint64_t bench_worker(bench_team* team, unsigned index);

/** Runs `worker` on `threads` threads (1 to BENCH_MAX_THREADS), prints the result, returns main's exit status. */
int bench_team_run(const bench_limits* limits, unsigned threads, bench_worker* worker);

/** Waits until every worker is warm; then the clocks run. */
void bench_team_begin(bench_team* team);
/** Waits until every worker is done; the clocks stop. */
void bench_team_end(bench_team* team);

/** pthread_create that ends the program on failure. */
pthread_t bench_thread_start(void* (*body)(void*), void* argument);
/** pthread_join that ends the program on failure; returns the thread's result. */
void* bench_thread_join(pthread_t thread);

#endif /* BENCH_SUPPORT_TEAM_H_ */
