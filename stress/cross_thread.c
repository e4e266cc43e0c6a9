/* cross_thread: blocks that other threads check, resize and free than those that allocated them.
 *
 *   pipe   producer/consumer: threads 0, 2 .. send to 1, 3 ..
 *   ring   every thread sends to the next
 *   mesh   every thread sends to a random other one
 *   swap   every thread swaps blocks with a table that all share
 *   every  all of these, a quarter of the time each
 * Threads send through bounded rings; one whose ring is full receives meanwhile. A receiver keeps a table of blocks and
 * frees a random one for each that comes, so that blocks of all ages and owners live side by side. */
#include <stdatomic.h>

#include "bench/support/args.h"
#include "bench/support/ring.h"
#include "bench/support/team.h"
#include "stress/support/block.h"
#include "stress/support/session.h"

enum { MODE_PIPE, MODE_RING, MODE_MESH, MODE_SWAP, MODE_EVERY };
enum { CHUNK = 64, KEPT = 256, SHARED = 2048, RESIZE_ONE_IN = 8 };

static const char* const modes[] = {"pipe", "ring", "mesh", "swap", "every", NULL};

static uint64_t opt_mode = MODE_EVERY;
static stress_session session = {.name = "cross_thread", .threads = 4};

static const bench_option options[] = {
    {"mode", "who frees whose blocks", &opt_mode, 0, 0, modes},
    STRESS_OPTIONS(session),
};

static const bench_program program = {"cross_thread", "blocks freed by other threads", options,
                                      sizeof options / sizeof options[0]};

static bench_ring rings[STRESS_MAX_THREADS][STRESS_MAX_THREADS]; /* [from][to] */
static _Atomic unsigned senders_left;
static void* _Atomic shared[SHARED];

typedef struct worker {
  unsigned index;
  unsigned threads;
  bench_rng rng;
  void* kept[KEPT];
  uint64_t ops;
} worker;

/* The end of `block`, if there is one. */
static void retire(worker* self, void* block) {
  if (block == NULL) return;
  stress_block_free(block, &self->rng);
  self->ops++;
}

/* Puts `block` where another one was, which ends here. */
static void keep(worker* self, void* block) {
  void** slot = &self->kept[bench_rng_scale(bench_rng_next(&self->rng) >> 32, KEPT)];
  retire(self, *slot);
  if (bench_rng_next(&self->rng) >> 32 < UINT32_MAX / RESIZE_ONE_IN) {
    block = stress_block_resize(block, &self->rng);
    self->ops++;
  }
  *slot = block;
}

static void receive_all(worker* self) {
  for (unsigned from = 0; from < self->threads; from++) {
    void* block = NULL;
    while (bench_ring_try_pop(&rings[from][self->index], &block)) {
      stress_block_check(block);
      keep(self, block);
    }
  }
}

/* In a pipe every other thread only receives; the last of an odd number sends to itself. */
static bool is_sender(const worker* self) { return opt_mode != MODE_PIPE || self->index % 2 == 0; }

static unsigned pick_receiver(worker* self) {
  switch (opt_mode) {
    case MODE_PIPE: return self->index + 1 < self->threads ? self->index + 1 : self->index;
    case MODE_RING: return (self->index + 1) % self->threads;
    default: return (unsigned)bench_rng_scale(bench_rng_next(&self->rng) >> 32, self->threads);
  }
}

static void send_one(worker* self) {
  bench_ring* ring = &rings[self->index][pick_receiver(self)];
  void* block = stress_block_new(&self->rng);
  self->ops++;
  unsigned spins = 0;
  while (!bench_ring_try_push(ring, block)) {
    receive_all(self); /* the receiver may itself wait for room here */
    bench_ring_wait(&spins);
  }
}

static void swap_one(worker* self) {
  void* block = stress_block_new(&self->rng);
  self->ops++;
  void* _Atomic* slot = &shared[bench_rng_scale(bench_rng_next(&self->rng) >> 32, SHARED)];
  /* Each exchange hands the new block over (release) and takes the old one (acquire). */
  block = atomic_exchange_explicit(slot, block, memory_order_acq_rel);
  if (block != NULL) keep(self, block);
}

/* Receives until nobody sends any more. */
static void finish_receiving(worker* self) {
  atomic_fetch_sub_explicit(&senders_left, 1, memory_order_release);
  unsigned spins = 0;
  while (atomic_load_explicit(&senders_left, memory_order_acquire) != 0) {
    receive_all(self);
    bench_ring_wait(&spins);
  }
  receive_all(self);
}

static uint64_t work(bench_team* team, unsigned index) {
  worker self = {.index = index, .threads = team->threads, .rng = stress_session_rng(&session, index)};
  bench_team_begin(team);
  while (is_sender(&self) && bench_run_next(&team->run, self.ops, CHUNK) != 0) {
    for (unsigned i = 0; i < CHUNK; i++) {
      if (opt_mode == MODE_SWAP) {
        swap_one(&self);
      } else {
        send_one(&self);
      }
    }
    receive_all(&self);
  }
  finish_receiving(&self);
  bench_team_end(team);
  for (unsigned i = 0; i < KEPT; i++) retire(&self, self.kept[i]);
  for (unsigned i = index; i < SHARED; i += team->threads) {
    retire(&self, atomic_exchange_explicit(&shared[i], NULL, memory_order_acquire));
  }
  return self.ops;
}

static int run_mode(bench_limits limits, uint64_t mode) {
  opt_mode = mode;
  limits.row = modes[mode];
  atomic_store(&senders_left, (unsigned)session.threads);
  return bench_team_run(&limits, (unsigned)session.threads, work);
}

int main(int argc, char** argv) {
  bench_limits limits = bench_args_parse(&program, argc, argv);
  if (session.threads < 2) bench_args_reject(&program, "--threads: at least 2, one to allocate and one to free");
  stress_session_begin(&session, &limits);
  int status = BENCH_EXIT_OK;
  if (opt_mode != MODE_EVERY) {
    status = run_mode(limits, opt_mode);
  } else {
    limits.seconds /= MODE_EVERY;
    limits.ops = (limits.ops + MODE_EVERY - 1) / MODE_EVERY;
    for (uint64_t mode = 0; mode < MODE_EVERY && status == BENCH_EXIT_OK; mode++) status = run_mode(limits, mode);
  }
  return stress_session_end(&session, status);
}
