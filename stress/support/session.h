/* Purpose: what every stress program does around its work: the seed, a limit for hangs, and the memory afterwards.
 * Owns: nothing.
 * Invariants:
 *   1. The program prints its seed before it starts to work; the same seed gives each thread the same random numbers.
 *   2. When all blocks are free and hak_trim has run, no more memory is resident than before the work, but for
 *      STRESS_RSS_BOUND_KB and STRESS_RSS_BOUND_PER_THREAD_KB for each thread that lives at a time: stacks that libc keeps,
 *      the allocator's own tables.
 *   3. Then, too, the allocator counts no block as live and has nothing mapped for blocks: a free that was lost shows.
 * Threads: from main, before and after all others. */
#ifndef STRESS_SUPPORT_SESSION_H_
#define STRESS_SUPPORT_SESSION_H_

#include <stdint.h>

#include "bench/support/args.h"
#include "bench/support/rng.h"

enum {
  /* TSan keeps some memory for each atomic and each thread there ever was. */
  STRESS_RSS_BOUND_KB = 3072 + HAK_CONFIG_SANITIZE_THREAD * 16384,
  STRESS_RSS_BOUND_PER_THREAD_KB = 256,
  STRESS_MAX_THREADS = 64,
  STRESS_MAX_BURST = 3
};

/** The options --threads and --seed of every program. */
#define STRESS_OPTIONS(session)                                                                  \
  {"threads", "threads at a time", &(session).threads, 1, STRESS_MAX_THREADS, NULL}, {           \
    "seed", "of the random numbers; 0: from the clock", &(session).seed, 0, UINT64_MAX / 2, NULL \
  }

typedef struct stress_session {
  const char* name;
  uint64_t threads;
  uint64_t seed;
  uint64_t burst; /* threads that each of `threads` has besides, at most: 0 to STRESS_MAX_BURST */
  uint64_t before_kb;
} stress_session;

/** Picks the seed where none is given. Only for programs that need it before they begin. */
void stress_session_pick_seed(stress_session* session);

/** After the arguments have been parsed: picks and prints the seed, and sets an alarm for a run that hangs. */
void stress_session_begin(stress_session* session, const bench_limits* limits);

/** The random numbers of thread `index`. */
bench_rng stress_session_rng(const stress_session* session, uint64_t index);

/** After the work, all blocks being free: `status`, or BENCH_EXIT_FAILED and a line on stderr where the memory has not
 *  come back. */
int stress_session_end(const stress_session* session, int status);

#endif /* STRESS_SUPPORT_SESSION_H_ */
