/* aligned_mix: blocks with alignments of their own among ordinary ones: vectors, cache lines, pages.
 *
 * Each step frees the block of a random slot and puts a new one there: by malloc and by the functions of --by in turn,
 * the latter with an alignment from --align-min to --align-max, each doubling as likely as the next.
 * posix_memalign gets odd sizes; aligned_alloc gets multiples of the alignment, as C11 wanted.
 * One operation is one allocation or one free. The address is checked to be aligned; a new block's first byte is
 * written, and read and checked before free. */
#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/rng.h"
#include "bench/support/team.h"

enum { CHUNK = 1024, MAX_SLOTS = 1 << 24, MAX_BYTES = 1 << 30, MAX_ALIGNMENT = 1 << 22 };
enum { BY_POSIX_MEMALIGN, BY_ALIGNED_ALLOC, BY_BOTH };

static uint64_t opt_min = 1;
static uint64_t opt_max = 4096;
static uint64_t opt_align_min = 16;
static uint64_t opt_align_max = 4096;
static uint64_t opt_slots = 1000;
static uint64_t opt_by = BY_BOTH;

static const char* const ways[] = {"posix_memalign", "aligned_alloc", "both", NULL};

static const bench_option options[] = {
    {"min", "smallest block, bytes", &opt_min, 1, MAX_BYTES, NULL},
    {"max", "largest block, bytes", &opt_max, 1, MAX_BYTES, NULL},
    {"align-min", "least alignment, a power of two", &opt_align_min, sizeof(void*), MAX_ALIGNMENT, NULL},
    {"align-max", "largest alignment, a power of two", &opt_align_max, sizeof(void*), MAX_ALIGNMENT, NULL},
    {"slots", "blocks held", &opt_slots, 1, MAX_SLOTS, NULL},
    {"by", "what aligned blocks come from", &opt_by, 0, 0, ways},
};

static const bench_program program = {"aligned_mix", "aligned blocks among others", options,
                                      sizeof options / sizeof options[0]};

static unsigned doublings; /* from --align-min to --align-max */

static void* new_aligned(uint64_t way, size_t alignment, size_t size) {
  void* block = NULL;
  if (way == BY_POSIX_MEMALIGN) {
    if (posix_memalign(&block, alignment, size | 1) != 0) block = NULL;
  } else {
    block = aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
  }
  bench_block_check(block);
  if (((uintptr_t)block & (alignment - 1)) != 0) bench_die(BENCH_EXIT_CORRUPT, "a block is not aligned");
  return block;
}

static void* new_block(bench_rng* rng, uint64_t step, uint64_t tag) {
  const uint64_t bits = bench_rng_next(rng);
  const size_t size = bench_rng_size(bits, opt_min, opt_max);
  if (step % 2 == 0) return bench_block_new(size, tag);
  const uint64_t way = opt_by == BY_BOTH ? step / 2 % 2 : opt_by;
  void* block = new_aligned(way, opt_align_min << bench_rng_scale(bits >> 32, doublings + 1), size);
  bench_block_mark(block, tag);
  return block;
}

static uint64_t work(bench_team* team, unsigned index) {
  bench_rng rng = bench_rng_seed(index);
  void** slots = bench_block_check(calloc(opt_slots, sizeof *slots));
  for (uint64_t i = 0; i < opt_slots; i++) slots[i] = new_block(&rng, i, i);

  bench_team_begin(team);
  uint64_t ops = 0;
  uint64_t count;
  while ((count = bench_run_next(&team->run, ops, CHUNK)) != 0) {
    for (uint64_t done = 0; done < count; done += 2) {
      const uint64_t at = bench_rng_scale(bench_rng_next(&rng), opt_slots);
      bench_block_free(slots[at], at);
      slots[at] = new_block(&rng, ops / 2, at);
      ops += 2;
    }
  }
  bench_team_end(team);

  for (uint64_t i = 0; i < opt_slots; i++) free(slots[i]);
  free(slots);
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  if (opt_min > opt_max) bench_args_reject(&program, "--min is above --max");
  if (opt_align_min > opt_align_max) bench_args_reject(&program, "--align-min is above --align-max");
  if ((opt_align_min & (opt_align_min - 1)) != 0 || (opt_align_max & (opt_align_max - 1)) != 0) {
    bench_args_reject(&program, "an alignment is not a power of two");
  }
  while (opt_align_min << doublings != opt_align_max) doublings++;
  return bench_team_run(&limits, 1, work);
}
