/* latency: how long single calls take, the slowest of 10,000 above all, under a load that has a bit of everything.
 *
 * --threads threads replace blocks in random slots of their own; every eighth block goes through a table that all
 * share, and what comes out of it, anybody's, is freed. Of 1,024 blocks 959 are of 16-1040 B, 64 of 1-32 KB and one of
 * 64 KB-1 MB. Each malloc and each free is timed alone, by the processor's counter. The median of 10,000 empty
 * measurements is subtracted (extra figure clock_ns), so figures of a few ns say little but that they are small; those
 * of a moment in which the kernel ran something else count as well, the same for every allocator.
 * Extra figures: the 50th, 90th, 99th, 99.9th and 99.99th percentile and the largest, of malloc and of free. The curves
 * have the latency, in ns, over the share of calls that are not slower.
 * One operation is one malloc or one free. The first byte is written outside the measured time, and read and checked
 * before free. */
#include <stdatomic.h>

#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/histogram.h"
#include "bench/support/rng.h"
#include "bench/support/team.h"
#include "bench/support/ticks.h"

enum { CHUNK = 512, MAX_SLOTS = 1 << 24, SHARED_SLOTS = 1024, SHARED_EVERY = 8, CLOCK_TRIES = 10000, TAG = 0x5a };
enum { STEPS_PER_DECADE = 8, CURVE_POINTS = 5 * STEPS_PER_DECADE + 1 };

static const double STEP = 0.74989420933245587; /* 10 to the power of -1 / STEPS_PER_DECADE */

static uint64_t opt_slots = 4096;
static uint64_t opt_threads = 2;

static const bench_option options[] = {
    {"slots", "blocks each thread holds", &opt_slots, 1, MAX_SLOTS, NULL},
    {"threads", "threads", &opt_threads, 1, BENCH_MAX_THREADS, NULL},
};

static const bench_program program = {"latency", "percentiles of single calls", options,
                                      sizeof options / sizeof options[0]};

/* In ticks of the clock. */
typedef struct latencies {
  bench_histogram allocations;
  bench_histogram frees;
} latencies;

static uint64_t clock_ticks;                    /* what an empty measurement takes */
static latencies per_thread[BENCH_MAX_THREADS]; /* Sync: each thread its own, merged after the end of the run */
static _Atomic(void*) shared[SHARED_SLOTS];     /* Sync: atomic acq_rel; a block's contents travel with it */

static size_t random_size(uint64_t bits) {
  const uint64_t kind = bits >> 54;
  if (kind == 0) return bench_rng_size(bits, 65536, 1048576);
  return kind <= 64 ? bench_rng_size(bits, 1024, 32768) : bench_rng_size(bits, 16, 1040);
}

static void* timed_malloc(bench_histogram* histogram, size_t size, uint64_t clock) {
  const uint64_t begin = bench_ticks();
  void* block = malloc(size);
  const uint64_t ticks = bench_ticks() - begin;
  bench_histogram_add(histogram, ticks > clock ? ticks - clock : 0);
  bench_block_check(block);
  bench_block_mark(block, TAG);
  return block;
}

static void timed_free(bench_histogram* histogram, void* block, uint64_t clock) {
  bench_block_verify(block, TAG);
  const uint64_t begin = bench_ticks();
  free(block);
  const uint64_t ticks = bench_ticks() - begin;
  bench_histogram_add(histogram, ticks > clock ? ticks - clock : 0);
}

/* Ticks that an empty measurement takes. Called before there are threads. */
static uint64_t measure_clock(void) {
  static bench_histogram empty;
  for (unsigned i = 0; i < CLOCK_TRIES; i++) {
    const uint64_t begin = bench_ticks();
    bench_histogram_add(&empty, bench_ticks() - begin);
  }
  return (uint64_t)bench_histogram_quantile(&empty, 0.5);
}

static void step(latencies* self, void** slots, bench_rng* rng, uint64_t number, uint64_t clock) {
  const uint64_t bits = bench_rng_next(rng);
  const uint64_t at = bench_rng_scale(bits >> 32, opt_slots);
  void* block = timed_malloc(&self->allocations, random_size(bench_rng_next(rng)), clock);
  void* old;
  if (number % SHARED_EVERY == 0) {
    old = atomic_exchange_explicit(&shared[bits % SHARED_SLOTS], block, memory_order_acq_rel);
  } else {
    old = slots[at];
    slots[at] = block;
  }
  timed_free(&self->frees, old, clock);
}

static void add_figures(bench_run* run, const char* const* names, const bench_histogram* histogram,
                        double ns_per_tick) {
  static const double quantiles[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
  const size_t count = sizeof quantiles / sizeof quantiles[0];
  for (size_t i = 0; i < count; i++) {
    bench_run_extra(run, names[i], bench_histogram_quantile(histogram, quantiles[i]) * ns_per_tick);
  }
  bench_run_extra(run, names[count], (double)histogram->max * ns_per_tick);
}

/* From the fastest call to five nines, in even steps of the logarithm of the share that is slower. */
static void add_curve(bench_run* run, bench_curve* curve, const bench_histogram* histogram, double ns_per_tick) {
  double slower = 1.0; /* share of the calls */
  for (unsigned i = 0; i < CURVE_POINTS; i++, slower *= STEP) {
    curve->x[i] = 1.0 - slower;
    curve->y[i] = bench_histogram_quantile(histogram, 1.0 - slower) * ns_per_tick;
  }
  curve->count = CURVE_POINTS;
  bench_run_curve(run, curve);
}

static void add_all(bench_run* run, unsigned threads, double ns_per_tick) {
  static const char* const malloc_names[] = {"malloc_p50_ns",  "malloc_p90_ns",   "malloc_p99_ns",
                                             "malloc_p999_ns", "malloc_p9999_ns", "malloc_max_ns"};
  static const char* const free_names[] = {"free_p50_ns",  "free_p90_ns",   "free_p99_ns",
                                           "free_p999_ns", "free_p9999_ns", "free_max_ns"};
  static bench_curve curves[] = {{.name = "malloc_ns"}, {.name = "free_ns"}};
  latencies* all = &per_thread[0];
  for (unsigned i = 1; i < threads; i++) {
    bench_histogram_merge(&all->allocations, &per_thread[i].allocations);
    bench_histogram_merge(&all->frees, &per_thread[i].frees);
  }
  add_figures(run, malloc_names, &all->allocations, ns_per_tick);
  add_figures(run, free_names, &all->frees, ns_per_tick);
  add_curve(run, &curves[0], &all->allocations, ns_per_tick);
  add_curve(run, &curves[1], &all->frees, ns_per_tick);
}

/* Gives every step-th slot of the shared table a first block. */
static void fill_shared(bench_rng* rng, unsigned first, unsigned step) {
  for (unsigned i = first; i < SHARED_SLOTS; i += step) {
    shared[i] = bench_block_new(random_size(bench_rng_next(rng)), TAG);
  }
}

static void empty_shared(unsigned first, unsigned step) {
  for (unsigned i = first; i < SHARED_SLOTS; i += step) free(shared[i]);
}

static uint64_t work(bench_team* team, unsigned index) {
  bench_rng rng = bench_rng_seed(index);
  void** slots = bench_block_check(calloc(opt_slots, sizeof *slots));
  for (uint64_t i = 0; i < opt_slots; i++) slots[i] = bench_block_new(random_size(bench_rng_next(&rng)), TAG);
  fill_shared(&rng, index, team->threads);
  const uint64_t clock = clock_ticks;
  latencies* self = &per_thread[index];

  bench_team_begin(team);
  const uint64_t begin_ns = bench_now_ns();
  const uint64_t begin = bench_ticks();
  uint64_t steps = 0;
  uint64_t count;
  while ((count = bench_run_next(&team->run, 2 * steps, CHUNK)) != 0) {
    for (uint64_t end = steps + (count + 1) / 2; steps < end; steps++) step(self, slots, &rng, steps, clock);
  }
  const double ns_per_tick = (double)(bench_now_ns() - begin_ns) / (double)(bench_ticks() - begin);
  bench_team_end(team);

  if (index == 0) {
    bench_run_extra(&team->run, "clock_ns", (double)clock * ns_per_tick);
    add_all(&team->run, team->threads, ns_per_tick);
  }
  for (uint64_t i = 0; i < opt_slots; i++) free(slots[i]);
  empty_shared(index, team->threads);
  free(slots);
  return 2 * steps;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  clock_ticks = measure_clock();
  return bench_team_run(&limits, (unsigned)opt_threads, work);
}
