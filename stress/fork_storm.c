/* fork_storm: threads fork, again and again, while all others allocate and free.
 *
 * Threads 0, 2 .. fork and wait for the child; 1, 3 .. never wait, so that forks find threads amid the allocator, often with
 * a lock: they trim now and then, and replace large blocks without a look at them.
 *
 * Each thread has a row of blocks in a table that a child finds as it was at the moment of the fork. The child checks
 * all of them, its own thread's and those of threads that do not exist in it, frees some and resizes others, allocates
 * itself, some forks once more, and exits. A child that hangs is ended by its alarm; the parent reports that, and any
 * damage that the child found. The table's slots are atomic: in a child each holds a whole block or none. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/support/args.h"
#include "bench/support/team.h"
#include "stress/support/block.h"
#include "stress/support/session.h"
#include <hakmem/hakmem.h>

enum { ROW = 128, CHUNK = 64, CHILD_BLOCKS = 64, CHILD_SECONDS = 60, MAX_DEPTH = 2 };
enum { LOCK_ROUNDS = 32, LOCK_MIN_BYTES = 260 << 10, LOCK_MAX_BYTES = 6 << 20 };

static stress_session session = {.name = "fork_storm", .threads = 4};

static const bench_option options[] = {STRESS_OPTIONS(session)};

static const bench_program program = {"fork_storm", "forks while threads allocate", options,
                                      sizeof options / sizeof options[0]};

static void* _Atomic table[STRESS_MAX_THREADS][ROW];
static _Atomic uint64_t forks;

/* Slots change hands by exchange: release of the block put there, acquire of the one taken. */
static void* swap_slot(void* _Atomic* slot, void* block) {
  return atomic_exchange_explicit(slot, block, memory_order_acq_rel);
}

/* Returns how many operations that were. */
static uint64_t replace(void* _Atomic* slot, bench_rng* rng) {
  void* old = swap_slot(slot, NULL);
  const uint64_t bits = bench_rng_next(rng) >> 32;
  if (old != NULL && bits % 8 == 0) {
    swap_slot(slot, stress_block_resize(old, rng));
    return 1;
  }
  if (old != NULL) stress_block_free(old, rng);
  swap_slot(slot, stress_block_new(rng));
  return old != NULL ? 2 : 1;
}

static void fork_and_wait(bench_rng* rng, unsigned depth);

/* What a child does with the heap that it finds. */
static void live_as_child(bench_rng* rng, unsigned depth) {
  void* own[CHILD_BLOCKS];
  for (unsigned i = 0; i < CHILD_BLOCKS; i++) own[i] = stress_block_new(rng);
  for (unsigned thread = 0; thread < session.threads; thread++) {
    for (unsigned i = 0; i < ROW; i++) {
      void* block = atomic_load_explicit(&table[thread][i], memory_order_acquire);
      if (block == NULL) continue;
      const uint64_t bits = bench_rng_next(rng) >> 32;
      if (bits % 4 == 0) {
        stress_block_free(swap_slot(&table[thread][i], NULL), rng);
      } else if (bits % 16 == 1) {
        replace(&table[thread][i], rng);
      } else {
        stress_block_check(block);
      }
    }
  }
  if (depth < MAX_DEPTH && bench_rng_next(rng) >> 62 == 0) fork_and_wait(rng, depth + 1);
  for (unsigned i = 0; i < CHILD_BLOCKS; i++) stress_block_free(own[i], rng);
  if (bench_rng_next(rng) >> 63 == 0) hak_trim();
}

static void check_child(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) != child) {
    if (errno != EINTR) bench_die(BENCH_EXIT_FAILED, "cannot wait for a child");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  if (WIFEXITED(status)) _exit(WEXITSTATUS(status)); /* the child has said why */
  fprintf(stderr, "%s: a child %s (signal %d, seed %llu)\n", session.name,
          WTERMSIG(status) == SIGALRM ? "hung" : "crashed", WTERMSIG(status), (unsigned long long)session.seed);
  _exit(BENCH_EXIT_CORRUPT);
}

static void fork_and_wait(bench_rng* rng, unsigned depth) {
  bench_rng child_rng = {bench_rng_next(rng) | 1};
  const pid_t child = fork();
  if (child < 0) bench_die(BENCH_EXIT_FAILED, "cannot fork");
  if (child == 0) {
    alarm(CHILD_SECONDS);
    live_as_child(&child_rng, depth);
    _exit(BENCH_EXIT_OK);
  }
  atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
  check_child(child);
}

/* Takes the allocator's locks as often as one can. Returns how many operations that were. */
static uint64_t take_locks(bench_rng* rng) {
  for (unsigned i = 0; i < LOCK_ROUNDS; i++) {
    void* memory = hak_malloc(bench_rng_size(bench_rng_next(rng) >> 32, LOCK_MIN_BYTES, LOCK_MAX_BYTES));
    if (memory == NULL) bench_die(BENCH_EXIT_FAILED, "out of memory");
    hak_free(memory);
  }
  if (bench_rng_next(rng) >> 61 == 0) hak_trim();
  return 2 * LOCK_ROUNDS;
}

static uint64_t work(bench_team* team, unsigned index) {
  bench_rng rng = stress_session_rng(&session, index);
  void* _Atomic* row = table[index];
  uint64_t ops = 0;
  bench_team_begin(team);
  uint64_t count;
  while ((count = bench_run_next(&team->run, ops, CHUNK)) != 0) {
    for (uint64_t i = 0; i < count; i++) ops += replace(&row[bench_rng_scale(bench_rng_next(&rng) >> 32, ROW)], &rng);
    if (index % 2 == 0) {
      fork_and_wait(&rng, 0);
    } else {
      ops += take_locks(&rng);
    }
  }
  bench_team_end(team);
  for (unsigned i = 0; i < ROW; i++) {
    void* block = swap_slot(&row[i], NULL);
    if (block != NULL) stress_block_free(block, &rng);
  }
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  stress_session_begin(&session, &limits);
  const int status = bench_team_run(&limits, (unsigned)session.threads, work);
  printf("%s: %llu forks\n", session.name, (unsigned long long)atomic_load(&forks));
  return stress_session_end(&session, status);
}
