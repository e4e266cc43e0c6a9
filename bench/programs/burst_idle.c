/* burst_idle: a process that needed much memory for a moment and then has nothing to do: how much does it keep?
 *
 * --threads threads hold --live-mb MiB between them for good. Then each allocates its share of --burst-mb more and
 * frees it in random order, over and over as long as the run lasts, --bursts times at most; after that they sleep for
 * --idle-ms. With --call-ms one of them wakes up each time so many milliseconds have gone by, and makes one malloc and
 * one free; with 0 all sleep, and nobody calls the allocator.
 * Extra figures: what is live, and what is resident before the bursts, right after the last one was freed, after 1 and
 * 10 seconds of sleep where it is that long, and at its end; and the CPU time from the last burst on. Sizes are
 * 16 B-32 KB, each doubling as likely as the next.
 * One operation is one malloc or one free of a burst, and only the bursts are timed. A new block's first byte and one
 * byte of each of its pages are written; the first byte is read and checked before free. */
#include <pthread.h>
#include <time.h>

#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/rng.h"
#include "bench/support/team.h"

enum { TAG = 0x5a, MIB = 1 << 20, MIN_BYTES = 16, MAX_MIB = 1 << 14, MAX_MS = 600000 };
enum { CALL_SLOTS = 64, CALL_MIN_BYTES = 16, CALL_MAX_BYTES = 1024 };

static uint64_t opt_burst_mb = 64;
static uint64_t opt_live_mb = 8;
static uint64_t opt_bursts = 0;
static uint64_t opt_threads = 1;
static uint64_t opt_idle_ms = 1000;
static uint64_t opt_call_ms = 0;

static const bench_option options[] = {
    {"burst-mb", "a burst, MiB", &opt_burst_mb, 1, MAX_MIB, NULL},
    {"live-mb", "held throughout, MiB", &opt_live_mb, 0, MAX_MIB, NULL},
    {"bursts", "bursts; 0: as many as the run lasts", &opt_bursts, 0, MAX_MS, NULL},
    {"threads", "threads that share both", &opt_threads, 1, BENCH_MAX_THREADS, NULL},
    {"idle-ms", "sleep after the bursts, ms", &opt_idle_ms, 1, MAX_MS, NULL},
    {"call-ms", "time between calls while idle, ms; 0: none", &opt_call_ms, 0, MAX_MS, NULL},
};

static const bench_program program = {"burst_idle", "memory kept after a burst", options,
                                      sizeof options / sizeof options[0]};

static pthread_barrier_t meeting; /* of all threads */
static _Atomic uint64_t live_bytes;

typedef struct heap {
  void** blocks;
  uint64_t count;
  uint64_t bytes;
} heap;

/* Allocates until there are `bytes`. */
static void fill(heap* self, bench_rng* rng, uint64_t bytes) {
  while (self->bytes < bytes) {
    const size_t size = bench_rng_log_size(bench_rng_next(rng));
    void* block = bench_block_new(size, TAG);
    bench_block_touch_pages(block, BENCH_PAGE_BYTES, size);
    self->blocks[self->count++] = block;
    self->bytes += size;
  }
}

static void empty_at_random(heap* self, bench_rng* rng) {
  while (self->count != 0) {
    const uint64_t at = bench_rng_scale(bench_rng_next(rng), self->count);
    bench_block_free(self->blocks[at], TAG);
    self->blocks[at] = self->blocks[--self->count];
  }
  self->bytes = 0;
}

static heap new_heap(uint64_t bytes) {
  return (heap){.blocks = bench_block_check(malloc((bytes / MIN_BYTES + 1) * sizeof(void*)))};
}

/* Bursts as long as the run lasts. The list of blocks goes with them. Returns the number of operations. */
static uint64_t burst(const bench_run* run, bench_rng* rng, uint64_t bytes) {
  heap self = new_heap(bytes);
  uint64_t ops = 0;
  for (uint64_t i = 0; (opt_bursts == 0 || i < opt_bursts) && bench_run_next(run, ops, 1) != 0; i++) {
    fill(&self, rng, bytes);
    ops += 2 * self.count;
    empty_at_random(&self, rng);
  }
  free(self.blocks);
  return ops;
}

static void sleep_until(uint64_t ns) {
  const struct timespec until = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) continue;
}

/* Sleeps until then, but for the calls that --call-ms asks for. */
static void idle_until(uint64_t end_ns, void** slots, bench_rng* rng) {
  while (opt_call_ms != 0) {
    const uint64_t next_ns = bench_now_ns() + opt_call_ms * 1000000u;
    if (next_ns >= end_ns) break;
    sleep_until(next_ns);
    const uint64_t at = bench_rng_scale(bench_rng_next(rng), CALL_SLOTS);
    if (slots[at] != NULL) bench_block_free(slots[at], TAG);
    slots[at] = bench_block_new(bench_rng_size(bench_rng_next(rng), CALL_MIN_BYTES, CALL_MAX_BYTES), TAG);
  }
  sleep_until(end_ns);
}

static void watch(bench_run* run, bench_rng* rng) {
  static const struct {
    uint64_t ms;
    const char* name;
  } moments[] = {{1000, "rss_after_1s_kb"}, {10000, "rss_after_10s_kb"}};
  void* slots[CALL_SLOTS] = {NULL};
  const uint64_t begin_ns = bench_now_ns();
  const uint64_t begin_cpu_ns = bench_cpu_ns();
  bench_run_extra(run, "live_kb", (double)live_bytes / 1024);
  bench_run_extra(run, "rss_after_burst_kb", (double)bench_rss_kb());
  for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
    if (moments[i].ms > opt_idle_ms) break;
    idle_until(begin_ns + moments[i].ms * 1000000u, slots, rng);
    bench_run_extra(run, moments[i].name, (double)bench_rss_kb());
  }
  idle_until(begin_ns + opt_idle_ms * 1000000u, slots, rng);
  bench_run_extra(run, "rss_after_idle_kb", (double)bench_rss_kb());
  bench_run_extra(run, "idle_cpu_ms", (double)(bench_cpu_ns() - begin_cpu_ns) / 1e6);
  for (size_t i = 0; i < CALL_SLOTS; i++) free(slots[i]);
}

static uint64_t work(bench_team* team, unsigned index) {
  bench_rng rng = bench_rng_seed(index);
  heap live = new_heap(opt_live_mb * MIB / team->threads);
  fill(&live, &rng, opt_live_mb * MIB / team->threads);
  live_bytes += live.bytes;
  pthread_barrier_wait(&meeting); /* all that is live is there */
  if (index == 0) bench_run_extra(&team->run, "rss_before_kb", (double)bench_rss_kb());

  bench_team_begin(team);
  const uint64_t ops = burst(&team->run, &rng, opt_burst_mb * MIB / team->threads);
  bench_team_end(team);
  if (index == 0) watch(&team->run, &rng);
  pthread_barrier_wait(&meeting); /* where the others sleep meanwhile */

  empty_at_random(&live, &rng);
  free(live.blocks);
  return ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  if (pthread_barrier_init(&meeting, NULL, (unsigned)opt_threads) != 0) {
    bench_die(BENCH_EXIT_FAILED, "no barrier to be had");
  }
  return bench_team_run(&limits, (unsigned)opt_threads, work);
}
