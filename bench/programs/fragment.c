/* fragment: a program whose phases need different sizes: it grows, frees 90 % at random, and grows with larger blocks.
 *
 * What stays of the first phase lies scattered over its memory. The second phase asks for as many bytes as were freed,
 * in other sizes: an allocator that can use what is free between the survivors, or give it back, needs hardly more than
 * before; one that cannot needs up to twice as much.
 * The first cycle is warm-up and measured for memory (extra figures: what the program holds, and what is resident, at
 * the end of each phase), the timed ones for speed. One operation is one malloc or one free. A new block's first byte
 * and one byte of each of its pages are written; the first byte is read and checked before free. */
#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/rng.h"
#include "bench/support/team.h"

enum { MAX_BLOCKS = 1 << 24, MAX_BYTES = 1 << 24 };

static uint64_t opt_blocks = 100000;
static uint64_t opt_min = 16;
static uint64_t opt_max = 256;
static uint64_t opt_min2 = 272;
static uint64_t opt_max2 = 1024;
static uint64_t opt_keep = 10;

static const bench_option options[] = {
    {"blocks", "blocks of the first phase", &opt_blocks, 1, MAX_BLOCKS, NULL},
    {"min", "smallest block of the first phase, bytes", &opt_min, 1, MAX_BYTES, NULL},
    {"max", "largest, bytes", &opt_max, 1, MAX_BYTES, NULL},
    {"min2", "smallest block of the second phase, bytes", &opt_min2, 1, MAX_BYTES, NULL},
    {"max2", "largest, bytes", &opt_max2, 1, MAX_BYTES, NULL},
    {"keep", "blocks of the first phase that stay, percent", &opt_keep, 0, 100, NULL},
};

static const bench_program program = {"fragment", "phases of other sizes", options, sizeof options / sizeof options[0]};

/* What one phase holds. Block i has tag i. */
typedef struct phase {
  void** blocks;
  uint32_t* sizes;
  uint64_t count;
  uint64_t bytes;
} phase;

static phase new_phase(uint64_t max_blocks) {
  return (phase){.blocks = bench_block_check(calloc(max_blocks, sizeof(void*))),
                 .sizes = bench_block_check(calloc(max_blocks, sizeof(uint32_t)))};
}

static void add_block(phase* self, size_t size) {
  void* block = bench_block_new(size, self->count);
  bench_block_touch_pages(block, BENCH_PAGE_BYTES, size);
  self->blocks[self->count] = block;
  self->sizes[self->count++] = (uint32_t)size;
  self->bytes += size;
}

static void drop_block(phase* self, uint64_t i) {
  bench_block_free(self->blocks[i], i);
  self->blocks[i] = NULL;
  self->bytes -= self->sizes[i];
}

/* Frees blocks at random, each with the odds of (100 - percent) in 100; 0 frees all. Returns how many. */
static uint64_t thin(phase* self, bench_rng* rng, uint64_t percent) {
  uint64_t freed = 0;
  for (uint64_t i = 0; i < self->count; i++) {
    if (self->blocks[i] == NULL || bench_rng_scale(bench_rng_next(rng), 100) < percent) continue;
    drop_block(self, i);
    freed++;
  }
  if (percent == 0) self->count = 0;
  return freed;
}

/* Takes figures where `run` is given. */
static void note(bench_run* run, const char* live_name, const char* rss_name, uint64_t live_bytes) {
  if (run == NULL) return;
  bench_run_extra(run, live_name, (double)live_bytes / 1024);
  bench_run_extra(run, rss_name, (double)bench_rss_kb());
}

/* Both phases once. Returns the number of operations. */
static uint64_t cycle(phase* first, phase* second, bench_rng* rng, bench_run* run) {
  for (uint64_t i = 0; i < opt_blocks; i++) add_block(first, bench_rng_size(bench_rng_next(rng), opt_min, opt_max));
  const uint64_t full_bytes = first->bytes;
  note(run, "live_full_kb", "rss_full_kb", full_bytes);
  uint64_t ops = opt_blocks + thin(first, rng, opt_keep);
  note(run, "live_kept_kb", "rss_kept_kb", first->bytes);
  while (first->bytes + second->bytes < full_bytes) {
    add_block(second, bench_rng_size(bench_rng_next(rng), opt_min2, opt_max2));
    ops++;
  }
  note(run, "live_regrown_kb", "rss_regrown_kb", first->bytes + second->bytes);
  return ops + thin(second, rng, 0) + thin(first, rng, 0);
}

static uint64_t work(bench_team* team, unsigned index) {
  bench_rng rng = bench_rng_seed(index);
  phase first = new_phase(opt_blocks);
  phase second = new_phase(opt_blocks * opt_max / opt_min2 + 1);
  cycle(&first, &second, &rng, &team->run);

  bench_team_begin(team);
  uint64_t ops = 0;
  while (bench_run_next(&team->run, ops, 1) != 0) ops += cycle(&first, &second, &rng, NULL);
  bench_team_end(team);

  free(first.blocks);
  free(first.sizes);
  free(second.blocks);
  free(second.sizes);
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  if (opt_min > opt_max || opt_min2 > opt_max2) bench_args_reject(&program, "a smallest size is above its largest");
  return bench_team_run(&limits, 1, work);
}
