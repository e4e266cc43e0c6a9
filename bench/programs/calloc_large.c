/* calloc_large: large zeroed blocks of random size, the pattern of hash tables and image buffers.
 *
 * --live slots hold blocks; each step frees one slot's block and callocs another of a size between --min and --max.
 * An allocator may clear memory, or know that it is zero already, or fetch zero pages from the kernel: the row shows
 * what its choice costs. One operation is one calloc or one free. The first and the last byte of a new block are
 * checked to be zero. --touch first then writes the first byte; --touch pages writes one byte in each page. The first
 * byte is read and checked again before free. */
#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/rng.h"
#include "bench/support/team.h"

enum { TOUCH_FIRST, TOUCH_PAGES };
enum { CHUNK = 16, MAX_LIVE = 1 << 16, MAX_BYTES = 1 << 30 };

static uint64_t opt_min = 65536;
static uint64_t opt_max = 1048576;
static uint64_t opt_live = 16;
static uint64_t opt_touch = TOUCH_FIRST;

static const char* const touches[] = {"first", "pages", NULL};

static const bench_option options[] = {
    {"min", "smallest block, bytes", &opt_min, 1, MAX_BYTES, NULL},
    {"max", "largest block, bytes", &opt_max, 1, MAX_BYTES, NULL},
    {"live", "blocks held at a time", &opt_live, 1, MAX_LIVE, NULL},
    {"touch", "what is written in a new block", &opt_touch, 0, 0, touches},
};

static const bench_program program = {"calloc_large", "large zeroed blocks", options,
                                      sizeof options / sizeof options[0]};

static void* new_block(bench_rng* rng, uint64_t tag) {
  const size_t size = bench_rng_size(bench_rng_next(rng), opt_min, opt_max);
  unsigned char* block = bench_block_check(calloc(1, size));
  if (block[0] != 0 || block[size - 1] != 0) bench_die(BENCH_EXIT_CORRUPT, "calloc gave memory that is not zero");
  if (opt_touch == TOUCH_PAGES) bench_block_touch_pages(block, 0, size);
  bench_block_mark(block, tag);
  return block;
}

static uint64_t work(bench_team* team, unsigned index) {
  bench_rng rng = bench_rng_seed(index);
  void** blocks = bench_block_check(calloc(opt_live, sizeof *blocks));
  for (uint64_t i = 0; i < opt_live; i++) blocks[i] = new_block(&rng, i);

  bench_team_begin(team);
  uint64_t ops = 0;
  uint64_t count;
  while ((count = bench_run_next(&team->run, ops, CHUNK)) != 0) {
    for (uint64_t done = 0; done < count; done += 2) {
      const uint64_t at = bench_rng_scale(bench_rng_next(&rng), opt_live);
      bench_block_free(blocks[at], at);
      blocks[at] = new_block(&rng, at);
      ops += 2;
    }
  }
  bench_team_end(team);

  for (uint64_t i = 0; i < opt_live; i++) free(blocks[i]);
  free(blocks);
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  if (opt_min > opt_max) bench_args_reject(&program, "--min is above --max");
  return bench_team_run(&limits, 1, work);
}
