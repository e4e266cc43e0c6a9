/* thread_churn: threads that are born and die all the time, each with the blocks that dead ones left.
 *
 * There are --threads lanes. A lane has a table of blocks and one live thread at a time, which checks, resizes, frees
 * and replaces blocks of the table, swaps some with a table that all lanes share, and dies. A key destructor allocates
 * and frees on the way out, before or after the allocator's own: three rounds of it. */
#include <stdatomic.h>

#include "bench/support/args.h"
#include "bench/support/team.h"
#include "stress/support/block.h"
#include "stress/support/session.h"

enum { OWNED = 512, SHARED = 512, STEPS_PER_LIFE = 400, EXIT_ROUNDS = 3, EXIT_BLOCKS = 8 };

static stress_session session = {.name = "thread_churn", .threads = 4};

static const bench_option options[] = {STRESS_OPTIONS(session)};

static const bench_program program = {"thread_churn", "threads born and dying with inherited blocks", options,
                                      sizeof options / sizeof options[0]};

static void* _Atomic shared[SHARED];
static pthread_key_t exit_key;

typedef struct lane {
  bench_rng rng;
  void* owned[OWNED];
  unsigned exit_rounds_left;
  uint64_t ops;
} lane;

static void fill_slot(lane* self, void** slot) {
  *slot = stress_block_new(&self->rng);
  self->ops++;
}

static void empty_slot(lane* self, void** slot) {
  if (*slot == NULL) return;
  stress_block_free(*slot, &self->rng);
  *slot = NULL;
  self->ops++;
}

static void step(lane* self) {
  const uint64_t bits = bench_rng_next(&self->rng);
  void** slot = &self->owned[bench_rng_scale(bits, OWNED)];
  if (*slot == NULL) {
    fill_slot(self, slot);
    return;
  }
  switch ((bits >> 32) % 8) {
    case 0:
      *slot = stress_block_resize(*slot, &self->rng);
      self->ops++;
      break;
    case 1:
    case 2:
      /* Hands one block over (release) and takes another (acquire). */
      *slot = atomic_exchange_explicit(&shared[(bits >> 40) % SHARED], *slot, memory_order_acq_rel);
      if (*slot != NULL) stress_block_check(*slot);
      break;
    default:
      empty_slot(self, slot);
      if ((bits >> 35) % 4 != 0) fill_slot(self, slot);
  }
}

static void at_thread_exit(void* argument) {
  lane* self = argument;
  void* blocks[EXIT_BLOCKS];
  for (unsigned i = 0; i < EXIT_BLOCKS; i++) fill_slot(self, &blocks[i]);
  /* One block of the dead thread's last moments stays as well. */
  empty_slot(self, &self->owned[0]);
  self->owned[0] = blocks[0];
  for (unsigned i = 1; i < EXIT_BLOCKS; i++) empty_slot(self, &blocks[i]);
  if (self->exit_rounds_left-- > 1) pthread_setspecific(exit_key, self);
}

static void* live(void* argument) {
  lane* self = argument;
  self->exit_rounds_left = EXIT_ROUNDS;
  if (pthread_setspecific(exit_key, self) != 0) bench_die(BENCH_EXIT_FAILED, "cannot set a key");
  for (unsigned i = 0; i < STEPS_PER_LIFE; i++) step(self);
  return NULL;
}

static uint64_t work(bench_team* team, unsigned index) {
  lane self = {.rng = stress_session_rng(&session, index)};
  bench_team_begin(team);
  while (bench_run_next(&team->run, self.ops, 1) != 0) bench_thread_join(bench_thread_start(live, &self));
  bench_team_end(team);
  for (unsigned i = 0; i < OWNED; i++) empty_slot(&self, &self.owned[i]);
  for (unsigned i = index; i < SHARED; i += team->threads) {
    void* block = atomic_exchange_explicit(&shared[i], NULL, memory_order_acquire);
    empty_slot(&self, &block);
  }
  return self.ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  if (pthread_key_create(&exit_key, at_thread_exit) != 0) bench_die(BENCH_EXIT_FAILED, "no key to be had");
  stress_session_begin(&session, &limits);
  return stress_session_end(&session, bench_team_run(&limits, (unsigned)session.threads, work));
}
