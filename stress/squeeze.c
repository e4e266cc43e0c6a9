/* squeeze: as much memory as there is, and no more.
 *
 *   rlimit  the limit of address space comes down on running threads and goes up again. While it is down they allocate until
 *           they are refused (NULL and ENOMEM), check that every block is whole, free a half, and again; when it is up all
 *           of them get what they ask for
 *   cgroup  in a memory cgroup of 64 MiB: threads that fill their share of a peak below it, check it, free it, and fill it
 *           again; with blocks of the same kind for a while (--steady-mib), then of another kind each time, where what the
 *           last kind left is of no use to the next (--mixed-mib). By at most four threads, since each has a cache. The kernel
 *           ends what goes beyond; nothing may be ended
 *   every   both; where no cgroup can be made it says so and does without */
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/support/args.h"
#include "bench/support/team.h"
#include "stress/support/block.h"
#include "stress/support/cgroup.h"
#include "stress/support/session.h"
#include <hakmem/hakmem.h>

enum { MODE_RLIMIT, MODE_CGROUP, MODE_EVERY };
enum { ROW = 4096, ROOMY_BYTES = 8 << 20, SLACK_MAX_BYTES = 16 << 20, RECOVERY_BYTES = 48 << 20 };
enum { REFUSALS_PER_CYCLE = 4, PAUSE_NS = 200000, CGROUP_BYTES = 64 << 20, CGROUP_MAX_THREADS = 4, KINDS = 4 };

static const char* const modes[] = {"rlimit", "cgroup", "every", NULL};

static uint64_t opt_mode = MODE_EVERY;
static uint64_t opt_steady_mib = 36;
static uint64_t opt_mixed_mib = 12;
static stress_session session = {.name = "squeeze", .threads = 4};

static const bench_option options[] = {
    {"mode", "what squeezes", &opt_mode, 0, 0, modes},
    {"steady-mib", "what all threads fill together in the cgroup, one kind of blocks", &opt_steady_mib, 1, 64, NULL},
    {"mixed-mib", "the same for kinds that change", &opt_mixed_mib, 1, 64, NULL},
    STRESS_OPTIONS(session),
};

static const bench_program program = {"squeeze", "allocates at the limit of memory", options,
                                      sizeof options / sizeof options[0]};

static _Atomic bool is_squeezed;
static _Atomic uint64_t refusals;
static _Atomic uint64_t cycles;
static _Atomic unsigned workers_left;
static uint64_t cgroup_kind; /* of all blocks at present; KINDS: any */

typedef struct worker {
  bench_rng rng;
  void* row[ROW];
  unsigned count; /* of blocks, at the start of the row */
  uint64_t live_bytes;
  uint64_t ops;
} worker;

static uint64_t pick(bench_rng* rng, uint64_t bound) { return bench_rng_scale(bench_rng_next(rng) >> 32, bound); }

static void pause_a_moment(void) {
  const struct timespec pause = {.tv_nsec = PAUSE_NS};
  nanosleep(&pause, NULL);
}

/* Most are small; most bytes are in large ones. */
static size_t pick_size(bench_rng* rng) {
  static const size_t kind_max_bytes[KINDS] = {2 << 10, 64 << 10, 1 << 20, 4 << 20};
  const uint64_t kind = pick(rng, 64);
  return STRESS_BLOCK_MIN_BYTES + pick(rng, kind_max_bytes[kind < 40 ? 0 : kind < 58 ? 1 : kind < 63 ? 2 : 3]);
}

static void free_at(worker* self, unsigned index) {
  self->live_bytes -= stress_block_check(self->row[index]);
  stress_block_free(self->row[index], &self->rng);
  self->row[index] = self->row[--self->count];
  self->ops++;
}

static void free_down_to(worker* self, unsigned count) {
  while (self->count > count) free_at(self, (unsigned)pick(&self->rng, self->count));
}

/* --- address space --- */

static uint64_t address_space_bytes(void) {
  char text[64] = {0};
  const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) bench_die(BENCH_EXIT_FAILED, "cannot read /proc/self/statm");
  close(fd);
  return strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void set_limit(rlim_t bytes) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0) bench_die(BENCH_EXIT_FAILED, "cannot read RLIMIT_AS");
  limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
  if (setrlimit(RLIMIT_AS, &limit) != 0) bench_die(BENCH_EXIT_FAILED, "cannot set RLIMIT_AS");
}

/* Lowers and raises the limit for as long as there are workers. */
static uint64_t squeeze(bench_team* team, bench_rng* rng) {
  uint64_t ops = 0;
  bench_team_begin(team);
  while (atomic_load(&workers_left) != 0) {
    const uint64_t enough = atomic_load(&refusals) + REFUSALS_PER_CYCLE;
    set_limit(address_space_bytes() + pick(rng, SLACK_MAX_BYTES));
    atomic_store(&is_squeezed, true);
    while (atomic_load(&refusals) < enough && atomic_load(&workers_left) != 0) pause_a_moment();
    set_limit(RLIM_INFINITY);
    atomic_store(&is_squeezed, false);
    /* All is well again at once. */
    stress_block_free(stress_block_new_sized(rng, RECOVERY_BYTES + pick(rng, 4096)), rng);
    ops += 2;
    atomic_fetch_add(&cycles, 1);
    for (uint64_t i = pick(rng, 10); i != 0; i--) pause_a_moment();
  }
  bench_team_end(team);
  return ops;
}

/* One more block, or a larger one. False: refused. */
static bool grow(worker* self) {
  size_t size_bytes = pick_size(&self->rng);
  if (atomic_load(&is_squeezed) && pick(&self->rng, 8) == 0) size_bytes += pick(&self->rng, SLACK_MAX_BYTES / 2);
  self->ops++;
  if (self->count == ROW || (self->count != 0 && pick(&self->rng, 4) == 0)) {
    void** block = &self->row[pick(&self->rng, self->count)];
    const size_t old_bytes = stress_block_check(*block);
    if (!stress_block_try_resize(block, size_bytes, &self->rng)) return false;
    self->live_bytes += size_bytes - old_bytes;
    return true;
  }
  void* block = stress_block_try_new(&self->rng, size_bytes);
  if (block == NULL) return false;
  self->row[self->count++] = block;
  self->live_bytes += size_bytes;
  return true;
}

static void live_in_little(worker* self) {
  if (!atomic_load(&is_squeezed) && self->live_bytes > ROOMY_BYTES) {
    free_down_to(self, self->count / 2);
  } else if (!grow(self)) {
    atomic_fetch_add(&refusals, 1);
    for (unsigned i = 0; i < self->count; i++) stress_block_check(self->row[i]);
    free_down_to(self, self->count / 2);
  }
}

static uint64_t work_in_little(bench_team* team, unsigned index) {
  worker self = {.rng = stress_session_rng(&session, index)};
  if (index == 0) return squeeze(team, &self.rng);
  bench_team_begin(team);
  while (bench_run_next(&team->run, self.ops, 1) != 0) live_in_little(&self);
  atomic_fetch_sub(&workers_left, 1);
  bench_team_end(team);
  free_down_to(&self, 0);
  return self.ops;
}

static int run_rlimit(bench_limits limits) {
  limits.row = "rlimit";
  stress_session_begin(&session, &limits);
  atomic_store(&workers_left, (unsigned)session.threads - 1);
  int status = bench_team_run(&limits, (unsigned)session.threads, work_in_little);
  printf("%s: rlimit: %" PRIu64 " cycles, %" PRIu64 " refusals\n", session.name, atomic_load(&cycles),
         atomic_load(&refusals));
  if (status == BENCH_EXIT_OK && atomic_load(&refusals) == 0) bench_die(BENCH_EXIT_FAILED, "nothing was refused");
  return stress_session_end(&session, status);
}

/* --- cgroup --- */

/* Fills this thread's share with blocks of one kind, or of a mixture; looks at them; frees them. */
static void fill_share(worker* self, uint64_t share_bytes) {
  static const size_t kind_bytes[KINDS] = {256, 16 << 10, 400 << 10, 2 << 20};
  const uint64_t kind = cgroup_kind < KINDS ? cgroup_kind : pick(&self->rng, KINDS + 1);
  for (;;) {
    size_t size_bytes = kind == KINDS ? pick_size(&self->rng) : kind_bytes[kind] + pick(&self->rng, kind_bytes[kind]);
    if (size_bytes > share_bytes / 2) size_bytes = share_bytes / 2;
    if (self->count == ROW || self->live_bytes + size_bytes > share_bytes) break;
    self->row[self->count++] = stress_block_new_sized(&self->rng, size_bytes);
    self->live_bytes += size_bytes;
    self->ops++;
  }
  for (unsigned i = 0; i < self->count; i++) stress_block_check(self->row[i]);
  free_down_to(self, 0);
}

static uint64_t work_in_share(bench_team* team, unsigned index) {
  worker self = {.rng = stress_session_rng(&session, index)};
  const uint64_t peak_mib = cgroup_kind < KINDS ? opt_steady_mib : opt_mixed_mib;
  uint64_t own_cycles = 0;
  bench_team_begin(team);
  while (bench_run_next(&team->run, self.ops, 1) != 0) {
    fill_share(&self, (peak_mib << 20) / session.threads);
    own_cycles++;
  }
  bench_team_end(team);
  atomic_fetch_add(&cycles, own_cycles);
  return self.ops;
}

static int work_in_cgroup(bench_limits limits) {
  static const char* const rows[KINDS + 1] = {"cgroup_tiny", "cgroup_units", "cgroup_spans", "cgroup_whales",
                                              "cgroup_mixed"};
  if (session.threads > CGROUP_MAX_THREADS) session.threads = CGROUP_MAX_THREADS;
  stress_session_begin(&session, &limits);
  limits.seconds /= KINDS + 1;
  limits.ops = (limits.ops + KINDS) / (KINDS + 1);
  int status = BENCH_EXIT_OK;
  for (cgroup_kind = 0; cgroup_kind <= KINDS && status == BENCH_EXIT_OK; cgroup_kind++) {
    hak_trim();
    limits.row = rows[cgroup_kind];
    status = bench_team_run(&limits, (unsigned)session.threads, work_in_share);
  }
  printf("%s: cgroup: %" PRIu64 " cycles\n", session.name, atomic_load(&cycles));
  return stress_session_end(&session, status);
}

static int run_cgroup(bench_limits limits) {
  stress_cgroup group;
  if (!stress_cgroup_make(&group, CGROUP_BYTES)) {
    printf("%s: cgroup: none can be made here: %s\n", session.name, group.reason);
    return opt_mode == MODE_CGROUP ? BENCH_EXIT_FAILED : BENCH_EXIT_OK;
  }
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) exit(stress_cgroup_enter(&group) ? work_in_cgroup(limits) : BENCH_EXIT_FAILED);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) bench_die(BENCH_EXIT_FAILED, "cannot fork");
  const stress_cgroup_figures figures = stress_cgroup_end(&group);
  printf("%s: cgroup: peak %" PRIu64 " kB of %d kB, %" PRIu64 " ended by the kernel\n", session.name,
         figures.peak_bytes >> 10, CGROUP_BYTES >> 10, figures.kills);
  if (figures.kills == 0 && WIFEXITED(status)) return WEXITSTATUS(status);
  fprintf(stderr, "%s: cgroup: ended by signal %d (seed %" PRIu64 ")\n", session.name, WTERMSIG(status), session.seed);
  return BENCH_EXIT_FAILED;
}

int main(int argc, char** argv) {
  bench_limits limits = bench_args_parse(&program, argc, argv);
  if (session.threads < 2) bench_args_reject(&program, "--threads: at least 2, one to squeeze and one to be squeezed");
  stress_session_pick_seed(&session);
  if (opt_mode == MODE_RLIMIT) return run_rlimit(limits);
  if (opt_mode == MODE_CGROUP) return run_cgroup(limits);
  limits.seconds /= 2;
  limits.ops = (limits.ops + 1) / 2;
  const int status = run_cgroup(limits); /* first: its child finds a process that has done nothing yet */
  return status != BENCH_EXIT_OK ? status : run_rlimit(limits);
}
