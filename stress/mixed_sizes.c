/* mixed_sizes: blocks of 0 bytes to 64 MiB side by side, by every function that allocates or frees.
 *
 * Each thread has a row of blocks; all threads together keep at most a budget of bytes. Large blocks are rare but not too
 * rare. Besides single blocks (stress/support/block.h) there are batches of one size, whose blocks end up in the row one by
 * one, blocks that use the whole of malloc_usable_size, blocks of good sizes, and blocks too short to describe themselves,
 * which a second row knows the size of. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bench/support/args.h"
#include "bench/support/team.h"
#include "stress/support/block.h"
#include "stress/support/session.h"
#include <hakmem/hakmem.h>

enum { ROW = 768, SHORT_ROW = 512, BATCH_MAX = 48, BATCH_BLOCK_MAX_BYTES = 16 << 10, RARE_SHIFT = 22, MAX_SHIFT = 26 };

static const int64_t BUDGET_BYTES = 160 << 20;

static stress_session session = {.name = "mixed_sizes", .threads = 4};

static const bench_option options[] = {STRESS_OPTIONS(session)};

static const bench_program program = {"mixed_sizes", "blocks of all sizes by all functions", options,
                                      sizeof options / sizeof options[0]};

static _Atomic int64_t live_bytes;

typedef struct short_block {
  unsigned char* bytes;
  size_t size_bytes;
} short_block;

typedef struct worker {
  bench_rng rng;
  void* row[ROW];
  short_block shorts[SHORT_ROW];
  uint64_t ops;
} worker;

static uint64_t pick(worker* self, uint64_t bound) { return bench_rng_scale(bench_rng_next(&self->rng) >> 32, bound); }

/* Evenly spread over the doublings of a range, and the ranges the rarer the larger. */
static size_t pick_size(worker* self) {
  const uint64_t kind = pick(self, 1000);
  const unsigned from = kind < 800 ? 4 : kind < 960 ? 12 : kind < 997 ? 18 : RARE_SHIFT;
  const unsigned to = kind < 800 ? 12 : kind < 960 ? 18 : kind < 997 ? RARE_SHIFT : MAX_SHIFT;
  const size_t base = (size_t)1 << (from + pick(self, to - from));
  const size_t size_bytes = base + pick(self, base);
  return size_bytes < STRESS_BLOCK_MIN_BYTES ? STRESS_BLOCK_MIN_BYTES : size_bytes;
}

static void count_live(int64_t change_bytes) {
  atomic_fetch_add_explicit(&live_bytes, change_bytes, memory_order_relaxed);
}

static bool is_over_budget(void) { return atomic_load_explicit(&live_bytes, memory_order_relaxed) > BUDGET_BYTES; }

static void empty_slot(worker* self, void** slot) {
  if (*slot == NULL) return;
  count_live(-(int64_t)stress_block_check(*slot));
  stress_block_free(*slot, &self->rng);
  *slot = NULL;
  self->ops++;
}

static void fill_slot(worker* self, void** slot, void* block) {
  empty_slot(self, slot);
  count_live((int64_t)stress_block_check(block));
  *slot = block;
  self->ops++;
}

static void** pick_slot(worker* self) { return &self->row[pick(self, ROW)]; }

/* --- ways to a new block --- */

static void add_one(worker* self) {
  fill_slot(self, pick_slot(self), stress_block_new_sized(&self->rng, pick_size(self)));
}

/* All that the allocator grants is the caller's. */
static void add_whole(worker* self) {
  size_t size_bytes = pick_size(self);
  if (pick(self, 2) == 0) size_bytes = hak_good_size(size_bytes);
  void* memory = hak_malloc(size_bytes);
  if (memory == NULL) bench_die(BENCH_EXIT_FAILED, "out of memory");
  const size_t usable_bytes = hak_malloc_usable_size(memory);
  if (usable_bytes < size_bytes) bench_die(BENCH_EXIT_CORRUPT, "a block is shorter than was asked for");
  fill_slot(self, pick_slot(self), stress_block_begin(memory, usable_bytes));
}

static void add_batch(worker* self) {
  void* batch[BATCH_MAX];
  const size_t count = 1 + pick(self, BATCH_MAX);
  const size_t size_bytes = STRESS_BLOCK_MIN_BYTES + pick(self, 1 + pick(self, BATCH_BLOCK_MAX_BYTES));
  if (hak_malloc_batch(size_bytes, count, batch) != count) bench_die(BENCH_EXIT_FAILED, "out of memory for a batch");
  for (size_t i = 0; i < count; i++) stress_block_begin(batch[i], size_bytes);
  for (size_t i = 0; i < count; i++) fill_slot(self, pick_slot(self), batch[i]);
}

/* --- ways to the end of blocks --- */

/* Blocks of all sizes in one call, NULLs among them. */
static void free_batch(worker* self) {
  void* batch[BATCH_MAX];
  const size_t count = 1 + pick(self, BATCH_MAX);
  for (size_t i = 0; i < count; i++) {
    void** slot = pick_slot(self);
    batch[i] = *slot;
    *slot = NULL;
    if (batch[i] == NULL) continue;
    count_live(-(int64_t)stress_block_end(batch[i]));
    self->ops++;
  }
  hak_free_batch(batch, count);
}

static void free_aligned(worker* self) {
  const size_t alignment = (size_t)16 << pick(self, 12);
  const size_t size_bytes = pick_size(self);
  void* memory = hak_aligned_alloc(alignment, size_bytes);
  if (memory == NULL) bench_die(BENCH_EXIT_FAILED, "out of memory");
  if ((uintptr_t)memory % alignment != 0) bench_die(BENCH_EXIT_CORRUPT, "a block is not aligned");
  stress_block_begin(memory, size_bytes);
  if (stress_block_end(memory) != size_bytes) bench_die(BENCH_EXIT_CORRUPT, "a block lost its size");
  hak_free_aligned_sized(memory, alignment, size_bytes);
  self->ops += 2;
}

static void resize(worker* self) {
  void** slot = pick_slot(self);
  if (*slot == NULL) return;
  const size_t old_bytes = stress_block_check(*slot);
  const size_t size_bytes = pick_size(self);
  *slot = stress_block_resize_to(*slot, size_bytes, &self->rng);
  count_live((int64_t)size_bytes - (int64_t)old_bytes);
  self->ops++;
}

/* --- blocks of less than STRESS_BLOCK_MIN_BYTES --- */

static unsigned char short_byte(const short_block* block) {
  return (unsigned char)(((uintptr_t)block->bytes >> 4) * 31 + block->size_bytes);
}

static void empty_short(worker* self, short_block* block) {
  if (block->bytes == NULL) return;
  for (size_t i = 0; i < block->size_bytes; i++) {
    if (block->bytes[i] != short_byte(block)) bench_die(BENCH_EXIT_CORRUPT, "a short block is damaged");
  }
  hak_free_sized(block->bytes, block->size_bytes);
  block->bytes = NULL;
  self->ops++;
}

static void replace_short(worker* self) {
  short_block* block = &self->shorts[pick(self, SHORT_ROW)];
  empty_short(self, block);
  block->size_bytes = pick(self, STRESS_BLOCK_MIN_BYTES);
  block->bytes = pick(self, 4) == 0 ? hak_calloc(block->size_bytes, 1) : hak_malloc(block->size_bytes);
  if (block->bytes == NULL) bench_die(BENCH_EXIT_FAILED, "out of memory");
  memset(block->bytes, short_byte(block), block->size_bytes);
  self->ops++;
}

static void step(worker* self) {
  if (is_over_budget()) {
    for (unsigned i = 0; i < BATCH_MAX; i++) empty_slot(self, pick_slot(self));
    return;
  }
  switch (pick(self, 16)) {
    case 0: add_batch(self); break;
    case 1: free_batch(self); break;
    case 2:
    case 3: add_whole(self); break;
    case 4: free_aligned(self); break;
    case 5:
    case 6: resize(self); break;
    case 7:
    case 8:
    case 9:
    case 10: replace_short(self); break;
    default: add_one(self); break;
  }
}

static uint64_t work(bench_team* team, unsigned index) {
  worker self = {.rng = stress_session_rng(&session, index)};
  bench_team_begin(team);
  while (bench_run_next(&team->run, self.ops, 1) != 0) step(&self);
  bench_team_end(team);
  for (unsigned i = 0; i < ROW; i++) empty_slot(&self, &self.row[i]);
  for (unsigned i = 0; i < SHORT_ROW; i++) empty_short(&self, &self.shorts[i]);
  return self.ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  stress_session_begin(&session, &limits);
  return stress_session_end(&session, bench_team_run(&limits, (unsigned)session.threads, work));
}
