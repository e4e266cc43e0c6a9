/* remote_free: blocks are freed by another thread than the one that allocated them.
 *
 *   pc   producer/consumer: --threads / 2 pairs; one thread of a pair allocates, the other frees
 *   all  all to all: every thread allocates for the others, in turn, and frees what they sent to it
 * Blocks travel through bounded rings of 1024 pointers; a full or empty ring is waited for by spinning, then yielding.
 * One operation is one malloc or one free. The sender writes a block's first byte; the receiver reads and checks it. */
#include <stdatomic.h>

#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/ring.h"
#include "bench/support/team.h"

enum { MODE_PC, MODE_ALL };
enum { CHUNK = 512, TAG = 0x5a, MAX_THREADS = 16, MAX_BYTES = 1 << 30 };

static uint64_t opt_mode = MODE_PC;
static uint64_t opt_size = 64;
static uint64_t opt_threads = 2;

static const char* const modes[] = {"pc", "all", NULL};

static const bench_option options[] = {
    {"mode", "who frees whose blocks", &opt_mode, 0, 0, modes},
    {"size", "block size, bytes", &opt_size, 1, MAX_BYTES, NULL},
    {"threads", "threads; even for pc", &opt_threads, 2, MAX_THREADS, NULL},
};

static const bench_program program = {"remote_free", "frees by another thread", options,
                                      sizeof options / sizeof options[0]};

static bench_ring rings[MAX_THREADS][MAX_THREADS]; /* [from][to] */
static _Atomic unsigned senders_left;              /* all: threads that may still send */

static void push(bench_ring* ring, void* item) {
  unsigned spins = 0;
  while (!bench_ring_try_push(ring, item)) bench_ring_wait(&spins);
}

static uint64_t produce(const bench_run* run, bench_ring* ring) {
  uint64_t ops = 0;
  uint64_t count;
  while ((count = bench_run_next(run, ops, CHUNK)) != 0) {
    for (uint64_t i = 0; i < count; i++) push(ring, bench_block_new(opt_size, TAG));
    ops += count;
  }
  push(ring, NULL);
  return ops;
}

static uint64_t consume(bench_ring* ring) {
  uint64_t ops = 0;
  for (;;) {
    void* block = NULL;
    unsigned spins = 0;
    while (!bench_ring_try_pop(ring, &block)) bench_ring_wait(&spins);
    if (block == NULL) return ops;
    bench_block_free(block, TAG);
    ops++;
  }
}

/* Frees everything sent to thread `to` so far. Returns how many blocks that were. */
static uint64_t drain(unsigned to, unsigned threads) {
  uint64_t freed = 0;
  for (unsigned from = 0; from < threads; from++) {
    void* block = NULL;
    while (bench_ring_try_pop(&rings[from][to], &block)) {
      bench_block_free(block, TAG);
      freed++;
    }
  }
  return freed;
}

static uint64_t exchange(const bench_team* team, unsigned index) {
  uint64_t ops = 0;
  unsigned to = index;
  uint64_t count;
  while ((count = bench_run_next(&team->run, ops, CHUNK)) != 0) {
    for (uint64_t i = 0; i < count / 2 + 1; i++) {
      do to = to + 1 == team->threads ? 0 : to + 1;
      while (to == index);
      void* block = bench_block_new(opt_size, TAG);
      unsigned spins = 0;
      while (!bench_ring_try_push(&rings[index][to], block)) {
        ops += drain(index, team->threads); /* the receiver may itself wait for room here */
        bench_ring_wait(&spins);
      }
      ops++;
    }
    ops += drain(index, team->threads);
  }
  atomic_fetch_sub_explicit(&senders_left, 1, memory_order_release);
  unsigned spins = 0;
  while (atomic_load_explicit(&senders_left, memory_order_acquire) != 0) {
    ops += drain(index, team->threads);
    bench_ring_wait(&spins);
  }
  return ops + drain(index, team->threads);
}

static uint64_t work(bench_team* team, unsigned index) {
  bench_team_begin(team);
  uint64_t ops;
  if (opt_mode == MODE_ALL) {
    ops = exchange(team, index);
  } else {
    bench_ring* ring = &rings[index & ~1u][index | 1u];
    ops = (index & 1u) == 0 ? produce(&team->run, ring) : consume(ring);
  }
  bench_team_end(team);
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  if (opt_mode == MODE_PC && opt_threads % 2 != 0) bench_args_reject(&program, "--threads must be even for pc");
  atomic_store(&senders_left, (unsigned)opt_threads);
  return bench_team_run(&limits, (unsigned)opt_threads, work);
}
