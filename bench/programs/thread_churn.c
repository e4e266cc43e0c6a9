/* thread_churn: threads that live for a moment: each allocates --blocks blocks, frees most of them, leaves --leave of
 * them to its creator, and ends.
 *
 * What is measured is the allocator's thread start and exit, and what becomes of a dead thread's memory. --lanes
 * threads create such threads, one at a time each.
 * One operation is one malloc or one free; creating and joining a thread is not counted but is inside the time. The
 * first byte of a block is written after malloc, and read and checked before free. */
#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/rng.h"
#include "bench/support/team.h"

enum { MAX_BLOCKS = 1 << 16, MAX_BYTES = 1 << 30 };

static uint64_t opt_min = 16;
static uint64_t opt_max = 512;
static uint64_t opt_blocks = 100;
static uint64_t opt_leave = 10;
static uint64_t opt_lanes = 2;

static const bench_option options[] = {
    {"min", "smallest block, bytes", &opt_min, 1, MAX_BYTES, NULL},
    {"max", "largest block, bytes", &opt_max, 1, MAX_BYTES, NULL},
    {"blocks", "blocks of each thread", &opt_blocks, 1, MAX_BLOCKS, NULL},
    {"leave", "of these, blocks its creator frees", &opt_leave, 0, MAX_BLOCKS, NULL},
    {"lanes", "threads that create threads", &opt_lanes, 1, BENCH_MAX_THREADS, NULL},
};

static const bench_program program = {"thread_churn", "short-lived threads", options,
                                      sizeof options / sizeof options[0]};

typedef struct lane {
  void** blocks;
  bench_rng rng;
} lane;

/* One short life: block i carries tag i, and the first --leave of them stay. */
static void* live(void* argument) {
  lane* self = argument;
  bench_rng rng = self->rng;
  for (uint64_t i = 0; i < opt_blocks; i++) {
    self->blocks[i] = bench_block_new(bench_rng_size(bench_rng_next(&rng), opt_min, opt_max), i);
  }
  for (uint64_t i = opt_leave; i < opt_blocks; i++) bench_block_free(self->blocks[i], i);
  self->rng = rng;
  return NULL;
}

static uint64_t work(bench_team* team, unsigned index) {
  lane self = {.rng = bench_rng_seed(index)};
  self.blocks = bench_block_check(calloc(opt_blocks, sizeof *self.blocks));

  bench_team_begin(team);
  uint64_t ops = 0;
  while (bench_run_next(&team->run, ops, 1) != 0) {
    bench_thread_join(bench_thread_start(live, &self));
    for (uint64_t i = 0; i < opt_leave; i++) bench_block_free(self.blocks[i], i);
    ops += 2 * opt_blocks;
  }
  bench_team_end(team);

  free(self.blocks);
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  if (opt_min > opt_max) bench_args_reject(&program, "--min is above --max");
  if (opt_leave > opt_blocks) bench_args_reject(&program, "--leave is above --blocks");
  return bench_team_run(&limits, (unsigned)opt_lanes, work);
}
