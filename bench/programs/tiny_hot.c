/* tiny_hot: one size, the tightest loops there are.
 *
 *   pair  malloc, free, malloc, free: the hit paths and nothing else
 *   lifo  allocate --count blocks, free them last first: what a stack of objects does
 *   fifo  allocate --count blocks, free them first first: what a queue does
 * One operation is one malloc or one free. The first byte of a block is written after malloc, and read and checked
 * before free. */
#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/team.h"

enum { MODE_PAIR, MODE_LIFO, MODE_FIFO };
enum { PAIR_CHUNK = 2048, MIN_CHUNK = 2048, MAX_COUNT = 1 << 26, MAX_BYTES = 1 << 30 };

static uint64_t opt_mode = MODE_PAIR;
static uint64_t opt_size = 64;
static uint64_t opt_count = 100;

static const char* const modes[] = {"pair", "lifo", "fifo", NULL};

static const bench_option options[] = {
    {"mode", "order of the frees", &opt_mode, 0, 0, modes},
    {"size", "block size, bytes", &opt_size, 1, MAX_BYTES, NULL},
    {"count", "blocks of a lifo or fifo batch", &opt_count, 1, MAX_COUNT, NULL},
};

static const bench_program program = {"tiny_hot", "tight loops over one block size", options,
                                      sizeof options / sizeof options[0]};

static void run_pairs(uint64_t pairs) {
  const size_t size = opt_size;
  for (uint64_t i = 0; i < pairs; i++) bench_block_free(bench_block_new(size, i), i);
}

static void fill(void** blocks, uint64_t count) {
  const size_t size = opt_size;
  for (uint64_t i = 0; i < count; i++) blocks[i] = bench_block_new(size, i);
}

static void run_batch(void** blocks, uint64_t count) {
  fill(blocks, count);
  if (opt_mode == MODE_LIFO) {
    for (uint64_t i = count; i-- > 0;) bench_block_free(blocks[i], i);
  } else {
    for (uint64_t i = 0; i < count; i++) bench_block_free(blocks[i], i);
  }
}

static uint64_t time_pairs(const bench_run* run) {
  uint64_t ops = 0;
  uint64_t count;
  while ((count = bench_run_next(run, ops, PAIR_CHUNK)) != 0) {
    const uint64_t pairs = (count + 1) / 2;
    run_pairs(pairs);
    ops += 2 * pairs;
  }
  return ops;
}

/* Asks for more only after MIN_CHUNK operations, so that short batches are not measured together with the clock. */
static uint64_t time_batches(const bench_run* run, void** blocks) {
  const uint64_t ops_per_batch = 2 * opt_count;
  uint64_t ops = 0;
  uint64_t count;
  while ((count = bench_run_next(run, ops, MIN_CHUNK)) != 0) {
    for (uint64_t done = 0; done < count; done += ops_per_batch) {
      run_batch(blocks, opt_count);
      ops += ops_per_batch;
    }
  }
  return ops;
}

static uint64_t work(bench_team* team, unsigned index) {
  (void)index;
  void** blocks = bench_block_check(calloc(opt_count, sizeof *blocks));
  run_batch(blocks, opt_mode == MODE_PAIR ? 1 : opt_count);

  bench_team_begin(team);
  const uint64_t ops = opt_mode == MODE_PAIR ? time_pairs(&team->run) : time_batches(&team->run, blocks);
  bench_team_end(team);

  free(blocks);
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  return bench_team_run(&limits, 1, work);
}
