/* realloc_storm: blocks that grow and shrink all the time, in place, by move and by mremap, handed from thread to thread.
 *
 * Each thread has a row of blocks. It takes one and resizes it up to 16 times in one manner: small steps as a string grows,
 * doublings as a vector grows, sizes around the borders between the kinds of blocks (slab classes, spans, whales), or any.
 * Then it often swaps the block with a table that all share, so that the next resize is another thread's. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "bench/support/args.h"
#include "bench/support/team.h"
#include "stress/support/block.h"
#include "stress/support/session.h"

enum { ROW = 24, SHARED = 64, RESIZES_MAX = 16, EDGE_BYTES = 64, MAX_BYTES = 8 << 20 };
enum { CREEP, GROW, SHRINK, EDGE, ANY, MANNERS };

/* Where one kind of block ends and the next begins: tiny classes, a page, units, spans, SuperSlab, whales. */
static const size_t edges[] = {128,       1 << 10,   4 << 10,    32 << 10, 64 << 10, 128 << 10,
                               192 << 10, 256 << 10, 1984 << 10, 2 << 20,  4 << 20};

static stress_session session = {.name = "realloc_storm", .threads = 4};

static const bench_option options[] = {STRESS_OPTIONS(session)};

static const bench_program program = {"realloc_storm", "blocks that grow and shrink", options,
                                      sizeof options / sizeof options[0]};

static void* _Atomic shared[SHARED];
static _Atomic uint64_t moves;

typedef struct worker {
  bench_rng rng;
  void* row[ROW];
  uint64_t moves;
  uint64_t ops;
} worker;

static uint64_t pick(worker* self, uint64_t bound) { return bench_rng_scale(bench_rng_next(&self->rng) >> 32, bound); }

static size_t clamp(size_t size_bytes) {
  return size_bytes < STRESS_BLOCK_MIN_BYTES ? STRESS_BLOCK_MIN_BYTES : size_bytes > MAX_BYTES ? MAX_BYTES : size_bytes;
}

/* The farther an edge is up, the rarer it is picked: a whale costs a thousand small blocks. */
static size_t pick_edge(worker* self) {
  const uint64_t count = sizeof edges / sizeof edges[0];
  return edges[pick(self, pick(self, count) + 1)];
}

static size_t next_size(worker* self, unsigned manner, size_t size_bytes) {
  switch (manner) {
    case CREEP: return size_bytes + 1 + pick(self, size_bytes < 4096 ? 64 : size_bytes / 64);
    case GROW: return size_bytes + size_bytes / 8 + pick(self, size_bytes);
    case SHRINK: return size_bytes - pick(self, size_bytes);
    case EDGE: return pick_edge(self) - EDGE_BYTES / 2 + pick(self, EDGE_BYTES);
    default: return STRESS_BLOCK_MIN_BYTES + pick(self, pick_edge(self));
  }
}

static void* resize_often(worker* self, void* block) {
  const unsigned manner = (unsigned)pick(self, MANNERS);
  const uint64_t count = 1 + pick(self, RESIZES_MAX);
  size_t size_bytes = stress_block_check(block);
  for (uint64_t i = 0; i < count && (i == 0 || size_bytes < MAX_BYTES); i++) {
    size_bytes = clamp(next_size(self, manner, size_bytes));
    void* now = stress_block_resize_to(block, size_bytes, &self->rng);
    self->moves += now != block;
    self->ops++;
    block = now;
  }
  /* Few stay large, or all would be in the end. */
  if (size_bytes > EDGE_BYTES << 10 && pick(self, 4) != 0) {
    block = stress_block_resize_to(block, STRESS_BLOCK_MIN_BYTES + pick(self, 2048), &self->rng);
    self->ops++;
  }
  return block;
}

static void step(worker* self) {
  void** slot = &self->row[pick(self, ROW)];
  if (*slot != NULL && pick(self, 16) == 0) {
    stress_block_free(*slot, &self->rng);
    *slot = NULL;
    self->ops++;
  }
  if (*slot == NULL) {
    *slot = stress_block_new(&self->rng);
    self->ops++;
  }
  *slot = resize_often(self, *slot);
  /* Hands the block over (release) and takes another (acquire). */
  if (pick(self, 2) == 0) *slot = atomic_exchange_explicit(&shared[pick(self, SHARED)], *slot, memory_order_acq_rel);
}

static uint64_t work(bench_team* team, unsigned index) {
  worker self = {.rng = stress_session_rng(&session, index)};
  bench_team_begin(team);
  while (bench_run_next(&team->run, self.ops, 1) != 0) step(&self);
  bench_team_end(team);
  for (unsigned i = 0; i < ROW; i++) {
    if (self.row[i] != NULL) stress_block_free(self.row[i], &self.rng);
  }
  for (unsigned i = index; i < SHARED; i += team->threads) {
    void* block = atomic_exchange_explicit(&shared[i], NULL, memory_order_acquire);
    if (block != NULL) stress_block_free(block, &self.rng);
  }
  atomic_fetch_add_explicit(&moves, self.moves, memory_order_relaxed);
  return self.ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  stress_session_begin(&session, &limits);
  const int status = bench_team_run(&limits, (unsigned)session.threads, work);
  printf("%s: %" PRIu64 " of the operations moved a block\n", session.name, atomic_load(&moves));
  return stress_session_end(&session, status);
}
