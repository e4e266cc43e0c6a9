/* purge_race: free pages go back to the kernel while others are being handed out.
 *
 * One thread calls hak_trim again and again. The others fill and empty rows of blocks of one kind at a time, so that whole
 * slabs, spans and whales become free and are wanted again a moment later, by another thread or in another size. With
 * --decay-ms 0 (the default here) every tick of the allocator's own clock purges as well. Blocks are dirty all over when they
 * are freed: memory of calloc that is not zero, or a page lost from a live block, is found. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/support/args.h"
#include "bench/support/team.h"
#include "stress/support/block.h"
#include "stress/support/session.h"
#include <hakmem/hakmem.h>

enum { ROW = 64, ROW_MAX_BYTES = 8 << 20, TRIM_PAUSE_MAX_NS = 1000000, DIRT = 0x5a };

/* Pages of a slab, blocks of one to three units, spans, whales. */
static const size_t kind_max_bytes[] = {8 << 10, 256 << 10, 1984 << 10, 6 << 20};

static uint64_t opt_decay_ms = 0;
static stress_session session = {.name = "purge_race", .threads = 4};

static const bench_option options[] = {
    {"decay-ms", "how long freed memory stays resident", &opt_decay_ms, 0, 3600000, NULL},
    STRESS_OPTIONS(session),
};

static const bench_program program = {"purge_race", "purges while threads allocate", options,
                                      sizeof options / sizeof options[0]};

static _Atomic uint64_t trimmed_bytes;
static _Atomic unsigned workers_left;

typedef struct worker {
  bench_rng rng;
  void* row[ROW];
  uint64_t ops;
} worker;

static uint64_t pick(bench_rng* rng, uint64_t bound) { return bench_rng_scale(bench_rng_next(rng) >> 32, bound); }

static void fill_slot(worker* self, void** slot, size_t size_bytes) {
  if (pick(&self->rng, 2) == 0) {
    *slot = stress_block_new_sized(&self->rng, size_bytes);
  } else {
    unsigned char* memory = hak_calloc(1, size_bytes);
    if (memory == NULL) bench_die(BENCH_EXIT_FAILED, "out of memory");
    for (size_t i = 0; i < size_bytes; i++) {
      if (memory[i] != 0) bench_die(BENCH_EXIT_CORRUPT, "memory of calloc is not zero");
    }
    *slot = stress_block_begin(memory, size_bytes);
  }
  self->ops++;
}

static void empty_slot(worker* self, void** slot) {
  memset(*slot, DIRT, stress_block_end(*slot));
  hak_free(*slot);
  *slot = NULL;
  self->ops++;
}

/* Fills the row with blocks of one kind, looks at them again, empties it. */
static void fill_and_empty(worker* self) {
  const uint64_t kind = pick(&self->rng, sizeof kind_max_bytes / sizeof kind_max_bytes[0]);
  const size_t min_bytes = kind == 0 ? STRESS_BLOCK_MIN_BYTES : kind_max_bytes[kind - 1];
  size_t sum_bytes = 0;
  unsigned count = 0;
  while (count < ROW && sum_bytes < ROW_MAX_BYTES) {
    const size_t size_bytes = min_bytes + pick(&self->rng, kind_max_bytes[kind] - min_bytes);
    fill_slot(self, &self->row[count++], size_bytes);
    sum_bytes += size_bytes;
  }
  for (unsigned i = 0; i < count; i++) stress_block_check(self->row[i]);
  /* From a random one on: some slabs are empty early, some late. */
  const unsigned first = (unsigned)pick(&self->rng, count);
  for (unsigned i = 0; i < count; i++) empty_slot(self, &self->row[(first + i) % count]);
}

static uint64_t trim(bench_team* team, bench_rng* rng) {
  uint64_t trims = 0;
  bench_team_begin(team);
  while (atomic_load_explicit(&workers_left, memory_order_relaxed) != 0) {
    atomic_fetch_add_explicit(&trimmed_bytes, hak_trim(), memory_order_relaxed);
    trims++;
    const struct timespec pause = {.tv_nsec = (long)pick(rng, pick(rng, TRIM_PAUSE_MAX_NS))};
    nanosleep(&pause, NULL);
  }
  bench_team_end(team);
  return trims;
}

static uint64_t work(bench_team* team, unsigned index) {
  worker self = {.rng = stress_session_rng(&session, index)};
  if (index == 0) return trim(team, &self.rng);
  bench_team_begin(team);
  while (bench_run_next(&team->run, self.ops, 1) != 0) fill_and_empty(&self);
  atomic_fetch_sub_explicit(&workers_left, 1, memory_order_relaxed);
  bench_team_end(team);
  return self.ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  if (session.threads < 2) bench_args_reject(&program, "--threads: at least 2, one to purge and one to allocate");
  /* Before the allocator's first call, which reads it. */
  char decay[24];
  snprintf(decay, sizeof decay, "%" PRIu64, opt_decay_ms);
  if (setenv("HAKMEM_DECAY_MS", decay, 1) != 0) bench_die(BENCH_EXIT_FAILED, "cannot set HAKMEM_DECAY_MS");
  stress_session_begin(&session, &limits);
  atomic_store(&workers_left, (unsigned)session.threads - 1);
  const int status = bench_team_run(&limits, (unsigned)session.threads, work);
  printf("%s: %" PRIu64 " MiB went back by hak_trim\n", session.name, atomic_load(&trimmed_bytes) >> 20);
  return stress_session_end(&session, status);
}
