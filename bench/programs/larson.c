/* larson: a server's life after Larson and Krishnan: worker threads replace random blocks of a table; after --handover
 * operations a worker ends and a new thread takes its table over.
 *
 * So most frees are of blocks whose thread is gone, and threads come and go all the time. There are --lanes tables,
 * each with one worker at a time; the thread that starts a lane's workers fills its table and then sleeps.
 * A profile is a set of values for sizes, slots and lanes; options that are given replace its values.
 * One operation is one free or one malloc; a replacement is two. A new block's first byte is written; a block is
 * read and checked before it is freed. */
#include "bench/support/args.h"
#include "bench/support/block.h"
#include "bench/support/rng.h"
#include "bench/support/team.h"

enum { CHUNK = 2048, MAX_SLOTS = 1 << 24, MAX_BYTES = 1 << 30 };

typedef struct profile {
  uint64_t min;
  uint64_t max;
  uint64_t slots;
  uint64_t lanes;
} profile;

enum { PROFILE_MIXED };

static const char* const profile_names[] = {"mixed", "tiny", "mid", "mt", NULL};
static const profile profiles[] = {{8, 1000, 5000, 2}, {8, 128, 1000, 2}, {1024, 32768, 500, 2}, {8, 1000, 5000, 8}};

static uint64_t opt_profile = PROFILE_MIXED;
static uint64_t opt_min = 0;
static uint64_t opt_max = 0;
static uint64_t opt_slots = 0;
static uint64_t opt_handover = 100000;
static uint64_t opt_lanes = 0;

static const bench_option options[] = {
    {"profile", "values of what is 0 below", &opt_profile, 0, 0, profile_names},
    {"min", "smallest block, bytes", &opt_min, 0, MAX_BYTES, NULL},
    {"max", "largest block, bytes", &opt_max, 0, MAX_BYTES, NULL},
    {"slots", "blocks of each lane", &opt_slots, 0, MAX_SLOTS, NULL},
    {"handover", "operations after which a thread hands over", &opt_handover, 2, UINT64_MAX / 2, NULL},
    {"lanes", "workers at a time", &opt_lanes, 0, BENCH_MAX_THREADS, NULL},
};

static const bench_program program = {"larson", "worker threads that hand their blocks over", options,
                                      sizeof options / sizeof options[0]};

typedef struct lane {
  const bench_run* run;
  void** slots;
  bench_rng rng;
  uint64_t ops;
  bool is_over;
} lane;

static void* new_block(bench_rng* rng, uint64_t tag) {
  return bench_block_new(bench_rng_size(bench_rng_next(rng), opt_min, opt_max), tag);
}

/* One worker's life. */
static void* serve(void* argument) {
  lane* self = argument;
  const uint64_t end = self->ops + opt_handover;
  bench_rng rng = self->rng;
  while (self->ops < end) {
    const uint64_t count = bench_run_next(self->run, self->ops, CHUNK);
    if (count == 0) {
      self->is_over = true;
      break;
    }
    for (uint64_t done = 0; done < count; done += 2) {
      const uint64_t at = bench_rng_scale(bench_rng_next(&rng) >> 32, opt_slots);
      bench_block_free(self->slots[at], at);
      self->slots[at] = new_block(&rng, at);
      self->ops += 2;
    }
  }
  self->rng = rng;
  return NULL;
}

static uint64_t work(bench_team* team, unsigned index) {
  lane self = {.run = &team->run, .rng = bench_rng_seed(index), .ops = 0, .is_over = false};
  self.slots = bench_block_check(calloc(opt_slots, sizeof *self.slots));
  for (uint64_t i = 0; i < opt_slots; i++) self.slots[i] = new_block(&self.rng, i);

  bench_team_begin(team);
  while (!self.is_over) bench_thread_join(bench_thread_start(serve, &self));
  bench_team_end(team);

  for (uint64_t i = 0; i < opt_slots; i++) free(self.slots[i]);
  free(self.slots);
  return self.ops;
}

static void apply_profile(const profile* values) {
  if (opt_min == 0) opt_min = values->min;
  if (opt_max == 0) opt_max = values->max;
  if (opt_slots == 0) opt_slots = values->slots;
  if (opt_lanes == 0) opt_lanes = values->lanes;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  apply_profile(&profiles[opt_profile]);
  if (opt_min > opt_max) bench_args_reject(&program, "--min is above --max");
  return bench_team_run(&limits, (unsigned)opt_lanes, work);
}
