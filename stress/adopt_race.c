/* adopt_race: heaps of dead threads are parked, emptied, adopted slab by slab or taken whole, while their blocks are freed
 * by others.
 *
 * All blocks are in one table that all threads share, in few size classes, so that everybody wants the slabs that the dead
 * have left. A worker does one of three things at a time. It starts a few threads that allocate and die, by return or by
 * pthread_exit amid their work, and joins them at once or later; it allocates, which adopts; it frees whatever it finds, which
 * is a remote free into a heap that lives, is being parked, is parked, or changes hands. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "bench/support/args.h"
#include "bench/support/team.h"
#include "stress/support/block.h"
#include "stress/support/session.h"

enum { TABLE = 3072, LIFE_MAX = 600, EPISODE_MAX = 400, ERA_OPS = 20000, CLASSES = 4 };

/* Slabs of many words, of one word, of few blocks. */
static const size_t class_bytes[] = {32, 96, 512, 1500, 3000, 12000, 30000};

static stress_session session = {.name = "adopt_race", .threads = 4, .burst = STRESS_MAX_BURST};

static const bench_option options[] = {STRESS_OPTIONS(session)};

static const bench_program program = {"adopt_race", "heaps change hands while their blocks are freed", options,
                                      sizeof options / sizeof options[0]};

static void* _Atomic table[TABLE];
static _Atomic uint64_t births;
static _Atomic uint64_t era; /* which classes are in use; changes now and then, so that slabs are left behind */

typedef struct mortal {
  bench_rng rng;
  uint64_t ops;
  pthread_t thread;
} mortal;

typedef struct worker {
  bench_rng rng;
  mortal burst[STRESS_MAX_BURST];
  bool is_burst_alive;
  uint64_t ops;
} worker;

static uint64_t pick(bench_rng* rng, uint64_t bound) { return bench_rng_scale(bench_rng_next(rng) >> 32, bound); }

static size_t pick_size(bench_rng* rng) {
  const uint64_t now = atomic_load_explicit(&era, memory_order_relaxed) / ERA_OPS;
  const uint64_t count = sizeof class_bytes / sizeof class_bytes[0];
  const uint64_t which = (now + pick(rng, 1 + pick(rng, CLASSES))) % count;
  return class_bytes[which] - pick(rng, 8);
}

/* Puts `block`, or nothing, into a random slot (release) and frees what was there (acquire). */
static uint64_t swap_one(void* block, bench_rng* rng) {
  void* old = atomic_exchange_explicit(&table[pick(rng, TABLE)], block, memory_order_acq_rel);
  if (old == NULL) return 0;
  stress_block_free(old, rng);
  return 1;
}

static uint64_t allocate_one(bench_rng* rng) { return 1 + swap_one(stress_block_new_sized(rng, pick_size(rng)), rng); }

/* --- threads that die --- */

/* Deep in a call, with what it holds in hand: a cleanup handler frees that. */
static void free_on_exit(void* argument) {
  mortal* self = argument;
  self->ops += swap_one(NULL, &self->rng);
}

static void exit_amid(mortal* self, void* block) {
  pthread_cleanup_push(free_on_exit, self);
  self->ops += swap_one(block, &self->rng);
  pthread_exit(NULL);
  pthread_cleanup_pop(0);
}

static void* live(void* argument) {
  mortal* self = argument;
  const uint64_t count = 1 + pick(&self->rng, LIFE_MAX);
  for (uint64_t i = 0; i < count; i++) {
    self->ops += allocate_one(&self->rng);
    /* Own blocks, too, go back: partial slabs are what others adopt. */
    if (pick(&self->rng, 2) == 0) self->ops += swap_one(NULL, &self->rng);
  }
  if (pick(&self->rng, 2) == 0) exit_amid(self, stress_block_new_sized(&self->rng, pick_size(&self->rng)));
  return NULL;
}

static void bury(worker* self) {
  for (unsigned i = 0; self->is_burst_alive && i < STRESS_MAX_BURST; i++) {
    bench_thread_join(self->burst[i].thread);
    self->ops += self->burst[i].ops;
  }
  self->is_burst_alive = false;
}

static void give_birth(worker* self) {
  bury(self);
  for (unsigned i = 0; i < STRESS_MAX_BURST; i++) {
    self->burst[i] = (mortal){.rng = {bench_rng_next(&self->rng) | 1}};
    self->burst[i].thread = bench_thread_start(live, &self->burst[i]);
  }
  self->is_burst_alive = true;
  atomic_fetch_add_explicit(&births, STRESS_MAX_BURST, memory_order_relaxed);
  if (pick(&self->rng, 2) == 0) bury(self); /* else they die while this thread goes on */
}

static void step(worker* self) {
  const uint64_t count = 1 + pick(&self->rng, EPISODE_MAX);
  const uint64_t what = pick(&self->rng, 5);
  if (what == 0) {
    give_birth(self);
  } else {
    for (uint64_t i = 0; i < count; i++) self->ops += what <= 2 ? allocate_one(&self->rng) : swap_one(NULL, &self->rng);
  }
  atomic_fetch_add_explicit(&era, count, memory_order_relaxed);
}

static uint64_t work(bench_team* team, unsigned index) {
  worker self = {.rng = stress_session_rng(&session, index)};
  bench_team_begin(team);
  while (bench_run_next(&team->run, self.ops, 1) != 0) step(&self);
  bury(&self);
  bench_team_end(team);
  for (unsigned i = index; i < TABLE; i += team->threads) {
    void* block = atomic_exchange_explicit(&table[i], NULL, memory_order_acquire);
    if (block != NULL) stress_block_free(block, &self.rng);
  }
  return self.ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  stress_session_begin(&session, &limits);
  const int status = bench_team_run(&limits, (unsigned)session.threads, work);
  printf("%s: %" PRIu64 " threads were born and died\n", session.name, atomic_load(&births));
  return stress_session_end(&session, status);
}
