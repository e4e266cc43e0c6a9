/* swap_table: threads exchange blocks through one table of atomic pointers, as caches and work lists that many threads
 * share do.
 *
 * Each step allocates a block, swaps it with the one in a random slot of the table and frees what came out, which any
 * thread may have allocated: with n threads, n - 1 of n frees are remote, one block at a time, from everybody to
 * everybody. One operation is one malloc or one free. A new block's first byte is written; a block is read and checked
 * before it is freed. */
#include <stdatomic.h>

#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/rng.h"
#include "bench/support/team.h"

enum { CHUNK = 1024, MAX_SLOTS = 1 << 20, MAX_BYTES = 1 << 30 };

static uint64_t opt_min = 16;
static uint64_t opt_max = 512;
static uint64_t opt_slots = 4096; /* of all threads */
static uint64_t opt_threads = 2;

static const bench_option options[] = {
    {"min", "smallest block, bytes", &opt_min, 1, MAX_BYTES, NULL},
    {"max", "largest block, bytes", &opt_max, 1, MAX_BYTES, NULL},
    {"slots", "blocks in the table", &opt_slots, 1, MAX_SLOTS, NULL},
    {"threads", "threads that share the table", &opt_threads, 1, BENCH_MAX_THREADS, NULL},
};

static const bench_program program = {"swap_table", "threads that exchange blocks", options,
                                      sizeof options / sizeof options[0]};

static _Atomic(void*) table[MAX_SLOTS]; /* Sync: atomic acq_rel; a block's contents travel with it */

/* The tag of a block is its slot. */
static void swap_block(bench_rng* rng) {
  const uint64_t bits = bench_rng_next(rng);
  const uint64_t at = bench_rng_scale(bits >> 32, opt_slots);
  void* block = bench_block_new(bench_rng_size(bits, opt_min, opt_max), at);
  block = atomic_exchange_explicit(&table[at], block, memory_order_acq_rel);
  bench_block_free(block, at);
}

static uint64_t work(bench_team* team, unsigned index) {
  bench_rng rng = bench_rng_seed(index);
  for (uint64_t i = index; i < opt_slots; i += team->threads) {
    table[i] = bench_block_new(bench_rng_size(bench_rng_next(&rng), opt_min, opt_max), i);
  }

  bench_team_begin(team);
  uint64_t ops = 0;
  uint64_t count;
  while ((count = bench_run_next(&team->run, ops, CHUNK)) != 0) {
    const uint64_t steps = (count + 1) / 2;
    for (uint64_t i = 0; i < steps; i++) swap_block(&rng);
    ops += 2 * steps;
  }
  bench_team_end(team);

  for (uint64_t i = index; i < opt_slots; i += team->threads) free(table[i]);
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  if (opt_min > opt_max) bench_args_reject(&program, "--min is above --max");
  return bench_team_run(&limits, (unsigned)opt_threads, work);
}
