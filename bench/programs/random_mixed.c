/* random_mixed: each step picks a slot at random, frees its block and puts a new one of random size there.
 *
 * The live set is `slots` blocks of (min + max) / 2 bytes on average, and frees come in random order. Small working
 * sets measure the hit paths, large ones cache misses and how densely blocks lie. The step has no branch of its own
 * that a processor could mispredict: what is left to predict is the allocator's.
 * One operation is one malloc or one free. A new block's first byte is written; a block about to be freed is read and
 * checked, as a destructor would, unless --blind-free says that the program never looks at it again.
 * With several threads each has its own slots and nothing is shared. */
#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/rng.h"
#include "bench/support/team.h"

enum { CHUNK = 2048, MAX_SLOTS = 1 << 26, MAX_BYTES = 1 << 30 };

static uint64_t opt_min = 16;
static uint64_t opt_max = 1040;
static uint64_t opt_slots = 4096; /* of each thread */
static uint64_t opt_threads = 1;
static uint64_t opt_blind_free = 0;

static const char* const no_yes[] = {"no", "yes", NULL};

static const bench_option options[] = {
    {"min", "smallest block, bytes", &opt_min, 1, MAX_BYTES, NULL},
    {"max", "largest block, bytes", &opt_max, 1, MAX_BYTES, NULL},
    {"slots", "blocks each thread holds", &opt_slots, 1, MAX_SLOTS, NULL},
    {"threads", "threads, each with its own slots", &opt_threads, 1, BENCH_MAX_THREADS, NULL},
    {"blind-free", "free without reading the block first", &opt_blind_free, 0, 0, no_yes},
};

static const bench_program program = {"random_mixed", "random sizes in random slots", options,
                                      sizeof options / sizeof options[0]};

/* Replaces the blocks of `count` random slots. One random number gives the slot (high half) and the size (low half). */
static void replace_blocks(unsigned char** slots, bench_rng* rng, uint64_t count) {
  const uint64_t slot_count = opt_slots;
  const uint64_t min = opt_min;
  const uint64_t max = opt_max;
  const bool is_blind = opt_blind_free != 0;
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t bits = bench_rng_next(rng);
    const uint64_t at = bench_rng_scale(bits >> 32, slot_count);
    if (!is_blind) bench_block_verify(slots[at], at);
    free(slots[at]);
    slots[at] = bench_block_new(bench_rng_size(bits, min, max), at);
  }
}

static uint64_t work(bench_team* team, unsigned index) {
  bench_rng rng = bench_rng_seed(index);
  unsigned char** slots = bench_block_check(calloc(opt_slots, sizeof *slots));
  for (uint64_t i = 0; i < opt_slots; i++) {
    slots[i] = bench_block_new(bench_rng_size(bench_rng_next(&rng), opt_min, opt_max), i);
  }

  bench_team_begin(team);
  uint64_t ops = 0;
  uint64_t count;
  while ((count = bench_run_next(&team->run, ops, CHUNK)) != 0) {
    const uint64_t steps = (count + 1) / 2;
    replace_blocks(slots, &rng, steps);
    ops += 2 * steps;
  }
  bench_team_end(team);

  for (uint64_t i = 0; i < opt_slots; i++) free(slots[i]);
  free(slots);
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  if (opt_min > opt_max) bench_args_reject(&program, "--min is above --max");
  return bench_team_run(&limits, (unsigned)opt_threads, work);
}
