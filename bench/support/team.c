#include "bench/support/team.h"

#include <stddef.h>

typedef struct member {
  bench_team* team;
  bench_worker* worker;
  unsigned index;
  uint64_t ops;
} member;

pthread_t bench_thread_start(void* (*body)(void*), void* argument) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, body, argument) != 0) bench_die(BENCH_EXIT_FAILED, "cannot create a thread");
  return thread;
}

void* bench_thread_join(pthread_t thread) {
  void* result = NULL;
  if (pthread_join(thread, &result) != 0) bench_die(BENCH_EXIT_FAILED, "cannot join a thread");
  return result;
}

/* Two waits: the last to arrive at the first one works the clock, the second holds the others back until it has. */
void bench_team_begin(bench_team* team) {
  if (pthread_barrier_wait(&team->barrier) == PTHREAD_BARRIER_SERIAL_THREAD) bench_run_begin(&team->run);
  pthread_barrier_wait(&team->barrier);
}

void bench_team_end(bench_team* team) {
  if (pthread_barrier_wait(&team->barrier) == PTHREAD_BARRIER_SERIAL_THREAD) bench_run_end(&team->run);
  pthread_barrier_wait(&team->barrier);
}

static void* member_main(void* argument) {
  member* self = argument;
  self->ops = self->worker(self->team, self->index);
  return NULL;
}

int bench_team_run(const bench_limits* limits, unsigned threads, bench_worker* worker) {
  bench_team team = {.threads = threads};
  member members[BENCH_MAX_THREADS];
  pthread_t handles[BENCH_MAX_THREADS];
  if (threads == 0 || threads > BENCH_MAX_THREADS) bench_die(BENCH_EXIT_USAGE, "bad number of threads");
  bench_run_init(&team.run, limits, threads);
  if (pthread_barrier_init(&team.barrier, NULL, threads) != 0) bench_die(BENCH_EXIT_FAILED, "no barrier to be had");

  for (unsigned i = 0; i < threads; i++) {
    members[i] = (member){.team = &team, .worker = worker, .index = i, .ops = 0};
    if (threads > 1) handles[i] = bench_thread_start(member_main, &members[i]);
  }
  if (threads == 1) member_main(&members[0]);
  uint64_t ops = 0;
  for (unsigned i = 0; i < threads; i++) {
    if (threads > 1) bench_thread_join(handles[i]);
    ops += members[i].ops;
  }
  pthread_barrier_destroy(&team.barrier);
  return bench_run_report(&team.run, ops);
}
