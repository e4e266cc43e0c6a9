/* cache_line_sharing: small blocks of different threads on one cache line slow each other down: who puts them there?
 *
 *   active   each thread allocates, writes and frees blocks of its own: are blocks that two threads ask for at about
 *            the same time neighbours?
 *   passive  one thread allocates neighbours and gives each thread one, which frees it and goes on as above: does the
 *            allocator let it have that very block again, beside those of the others?
 * After Berger's cache-thrash and cache-scratch. One operation is one malloc or one free; between them the block's
 * first byte is counted up --writes times and then checked. With as many cores as threads, what is lost here is lost to
 * the traffic of cache lines; the row's clock is wall time. */
#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/team.h"

enum { MODE_ACTIVE, MODE_PASSIVE };
enum { CHUNK = 64, MAX_WRITES = 1 << 20, MAX_BYTES = 4096 };

static uint64_t opt_mode = MODE_ACTIVE;
static uint64_t opt_size = 8;
static uint64_t opt_writes = 100;
static uint64_t opt_threads = 2;

static const char* const modes[] = {"active", "passive", NULL};

static const bench_option options[] = {
    {"mode", "where the blocks come from", &opt_mode, 0, 0, modes},
    {"size", "block size, bytes", &opt_size, 1, MAX_BYTES, NULL},
    {"writes", "writes to a block in its life", &opt_writes, 1, MAX_WRITES, NULL},
    {"threads", "threads", &opt_threads, 1, BENCH_MAX_THREADS, NULL},
};

static const bench_program program = {"cache_line_sharing", "blocks on one cache line", options,
                                      sizeof options / sizeof options[0]};

static void* gifts[BENCH_MAX_THREADS]; /* Sync: thread 0 writes, the start of the run publishes */

/* A block's life: no write may be merged with the next. */
static void use_block(void) {
  volatile unsigned char* block = bench_block_new(opt_size, 0);
  for (uint64_t i = 0; i < opt_writes; i++) *block = (unsigned char)(*block + 1);
  bench_block_free((void*)(uintptr_t)block, opt_writes);
}

static uint64_t work(bench_team* team, unsigned index) {
  if (opt_mode == MODE_PASSIVE && index == 0) {
    for (unsigned i = 0; i < team->threads; i++) gifts[i] = bench_block_new(opt_size, i);
  }

  bench_team_begin(team);
  if (opt_mode == MODE_PASSIVE) bench_block_free(gifts[index], index);
  uint64_t ops = 0;
  uint64_t count;
  while ((count = bench_run_next(&team->run, ops, CHUNK)) != 0) {
    const uint64_t lives = (count + 1) / 2;
    for (uint64_t i = 0; i < lives; i++) use_block();
    ops += 2 * lives;
  }
  bench_team_end(team);
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  return bench_team_run(&limits, (unsigned)opt_threads, work);
}
