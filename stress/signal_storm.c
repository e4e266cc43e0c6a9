/* signal_storm: signals at a high rate, while threads allocate and free.
 *
 * Each thread has a row of blocks. A sender and a timer a thread interrupt it wherever it is, in locks and system calls too,
 * with SIGUSR1 (SA_RESTART) and SIGUSR2 (without). The handler allocates nothing. It looks at the blocks of the thread that it
 * has interrupted, each of which must be whole, leaves errno as it was, and sometimes forks a child that looks at all of
 * them. On x86-64 some calls of the allocator are traced besides: SIGTRAP after every single instruction. The threads
 * check that no free changes errno. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/support/args.h"
#include "bench/support/team.h"
#include "stress/support/block.h"
#include "stress/support/session.h"
#include <hakmem/hakmem.h>

/* glibc has the field without its name. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { ROW = 96, CHUNK = 16, TRACED_MAX_BYTES = 4096, TRACED_WHALE_BYTES = 3 << 20, ERRNO_TOKEN = 12321 };
enum { SEND_PAUSE_NS = 20000, TIMER_NS = 150000, TRAPS_PER_LOOK = 32 };

/* A sanitizer's run-time is in the allocator's calls too, and would be traced; TSan delays signals and dislikes forks. */
static const bool can_trace = !HAK_CONFIG_SANITIZE_ADDRESS && !HAK_CONFIG_SANITIZE_THREAD;
static const bool can_fork = !HAK_CONFIG_SANITIZE_THREAD;

static uint64_t opt_fork_one_in = 4096;
static uint64_t opt_trace_one_in = 64;
static stress_session session = {.name = "signal_storm", .threads = 4};

static const bench_option options[] = {
    {"fork-one-in", "signals that fork; 0: none", &opt_fork_one_in, 0, UINT32_MAX, NULL},
    {"trace-one-in", "operations that are traced; 0: none", &opt_trace_one_in, 0, UINT32_MAX, NULL},
    STRESS_OPTIONS(session),
};

static const bench_program program = {"signal_storm", "signals while threads allocate", options,
                                      sizeof options / sizeof options[0]};

typedef struct worker {
  bench_rng rng;
  bench_rng handler_rng;
  void* _Atomic row[ROW]; /* whole blocks or NULL, whenever a handler looks */
  uint64_t signals;       /* this and what follows: written by handlers */
  uint64_t traps;
  uint64_t forks;
  uint64_t ops;
} worker;

static __thread worker* volatile interrupted;
static _Atomic int thread_ids[STRESS_MAX_THREADS];
static _Atomic bool is_storm_over;
static _Atomic uint64_t signals;
static _Atomic uint64_t traps;
static _Atomic uint64_t forks;

static uint64_t pick(bench_rng* rng, uint64_t bound) { return bench_rng_scale(bench_rng_next(rng) >> 32, bound); }

/* --- handlers --- */

static void look_at(worker* self, uint64_t slot) {
  const void* block = atomic_load_explicit(&self->row[slot], memory_order_relaxed);
  if (block != NULL) stress_block_check(block);
}

/* fork, not _Fork: its handlers take the allocator's locks, one of which the interrupted code may hold. */
static void fork_here(worker* self) {
  self->forks++;
  const pid_t child = fork();
  if (child < 0) _exit(BENCH_EXIT_FAILED);
  if (child == 0) {
    for (uint64_t i = 0; i < ROW; i++) look_at(self, i);
    _exit(BENCH_EXIT_OK);
  }
  int status = 0;
  while (waitpid(child, &status, 0) != child) {
    if (errno != EINTR) _exit(BENCH_EXIT_FAILED);
  }
  if (status != 0) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : BENCH_EXIT_CORRUPT);
}

static void on_signal(int number) {
  const int saved_errno = errno;
  worker* self = interrupted;
  if (self != NULL) {
    if (number == SIGTRAP) {
      if (++self->traps % TRAPS_PER_LOOK == 0) look_at(self, pick(&self->handler_rng, ROW));
    } else {
      self->signals++;
      look_at(self, pick(&self->handler_rng, ROW));
    }
    if (can_fork && opt_fork_one_in != 0 && pick(&self->handler_rng, opt_fork_one_in) == 0) fork_here(self);
  }
  errno = saved_errno;
}

static void handle(int number, int flags) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
  sigfillset(&action.sa_mask);
  sigdelset(&action.sa_mask, SIGALRM); /* a hang ends even so */
  if (sigaction(number, &action, NULL) != 0) bench_die(BENCH_EXIT_FAILED, "cannot set a handler");
}

/* --- the storm --- */

static void* send_signals(void* argument) {
  bench_rng* rng = argument;
  const struct timespec pause = {.tv_nsec = SEND_PAUSE_NS};
  while (!atomic_load_explicit(&is_storm_over, memory_order_relaxed)) {
    const int thread_id = atomic_load_explicit(&thread_ids[pick(rng, session.threads)], memory_order_relaxed);
    if (thread_id != 0) syscall(SYS_tgkill, getpid(), thread_id, pick(rng, 2) == 0 ? SIGUSR1 : SIGUSR2);
    nanosleep(&pause, NULL);
  }
  return NULL;
}

static timer_t start_timer(int thread_id) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
  event.sigev_notify_thread_id = thread_id;
  timer_t timer;
  const struct itimerspec times = {.it_interval = {.tv_nsec = TIMER_NS}, .it_value = {.tv_nsec = TIMER_NS}};
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &times, NULL) != 0) {
    bench_die(BENCH_EXIT_FAILED, "no timer to be had");
  }
  return timer;
}

/* --- one instruction at a time --- */

#if defined(__x86_64__)
/* Sets or clears the processor's trap flag, clear of the red zone. */
static inline void set_trace(bool is_on) {
  if (is_on) {
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
  } else {
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
  }
}
#else
static inline void set_trace(bool is_on) { (void)is_on; }
#endif

static void* traced_malloc(size_t size_bytes) {
  set_trace(true);
  void* memory = hak_malloc(size_bytes);
  set_trace(false);
  if (memory == NULL) bench_die(BENCH_EXIT_FAILED, "out of memory");
  return memory;
}

static void traced_free(void* memory) {
  set_trace(true);
  hak_free(memory);
  set_trace(false);
}

static void* traced_realloc(void* memory, size_t size_bytes) {
  set_trace(true);
  void* moved = hak_realloc(memory, size_bytes);
  set_trace(false);
  if (moved == NULL) bench_die(BENCH_EXIT_FAILED, "out of memory");
  return moved;
}

/* Sizes that need not be copied byte by byte, which takes a trap for each. */
static void trace_one(worker* self, void* _Atomic* slot) {
  size_t size_bytes = STRESS_BLOCK_MIN_BYTES + pick(&self->rng, TRACED_MAX_BYTES);
  if (pick(&self->rng, 8) == 0) size_bytes += pick(&self->rng, TRACED_WHALE_BYTES);
  void* old = atomic_exchange_explicit(slot, NULL, memory_order_relaxed);
  if (old != NULL) {
    const size_t old_bytes = stress_block_end(old);
    if (old_bytes <= TRACED_MAX_BYTES) old = traced_realloc(old, STRESS_BLOCK_MIN_BYTES + old_bytes / 2);
    traced_free(old);
  }
  void* block = stress_block_begin(traced_malloc(size_bytes), size_bytes);
  atomic_store_explicit(slot, block, memory_order_relaxed);
  self->ops += 2;
}

/* --- the work --- */

static void free_keeping_errno(worker* self, void* block) {
  errno = ERRNO_TOKEN;
  stress_block_free(block, &self->rng);
  if (errno != ERRNO_TOKEN) bench_die(BENCH_EXIT_CORRUPT, "a free changed errno");
  self->ops++;
}

static void step(worker* self) {
  void* _Atomic* slot = &self->row[pick(&self->rng, ROW)];
  if (can_trace && opt_trace_one_in != 0 && pick(&self->rng, opt_trace_one_in) == 0) {
    trace_one(self, slot);
    return;
  }
  /* Out of the row while it changes. */
  void* block = atomic_exchange_explicit(slot, NULL, memory_order_relaxed);
  if (block != NULL && pick(&self->rng, 8) != 0) {
    free_keeping_errno(self, block);
    block = NULL;
  }
  block = block != NULL ? stress_block_resize(block, &self->rng) : stress_block_new(&self->rng);
  self->ops++;
  atomic_store_explicit(slot, block, memory_order_relaxed);
}

static void end(worker* self) {
  interrupted = NULL;
  for (unsigned i = 0; i < ROW; i++) {
    if (self->row[i] != NULL) free_keeping_errno(self, self->row[i]);
  }
  atomic_fetch_add_explicit(&signals, self->signals, memory_order_relaxed);
  atomic_fetch_add_explicit(&traps, self->traps, memory_order_relaxed);
  atomic_fetch_add_explicit(&forks, self->forks, memory_order_relaxed);
}

static uint64_t work(bench_team* team, unsigned index) {
  worker self = {.rng = stress_session_rng(&session, index),
                 .handler_rng = stress_session_rng(&session, session.threads + index)};
  bench_rng sender_rng = stress_session_rng(&session, 2 * session.threads);
  const int thread_id = (int)syscall(SYS_gettid);
  interrupted = &self;
  atomic_store_explicit(&thread_ids[index], thread_id, memory_order_relaxed);
  bench_team_begin(team);
  const timer_t timer = start_timer(thread_id);
  pthread_t sender;
  if (index == 0) sender = bench_thread_start(send_signals, &sender_rng);
  uint64_t count;
  while ((count = bench_run_next(&team->run, self.ops, CHUNK)) != 0) {
    for (uint64_t i = 0; i < count; i++) step(&self);
  }
  timer_delete(timer);
  if (index == 0) {
    atomic_store_explicit(&is_storm_over, true, memory_order_relaxed);
    bench_thread_join(sender);
  }
  bench_team_end(team); /* so that no thread is gone while there is a sender */
  end(&self);
  return self.ops;
}

int main(int argc, char** argv) {
  const bench_limits limits = bench_args_parse(&program, argc, argv);
  stress_session_begin(&session, &limits);
  handle(SIGUSR1, SA_RESTART);
  handle(SIGUSR2, 0);
  handle(SIGTRAP, 0);
  const int status = bench_team_run(&limits, (unsigned)session.threads, work);
  printf("%s: %" PRIu64 " signals, %" PRIu64 " traced instructions, %" PRIu64 " forks in handlers\n", session.name,
         atomic_load(&signals), atomic_load(&traps), atomic_load(&forks));
  if (atomic_load(&signals) == 0) bench_die(BENCH_EXIT_FAILED, "no signal came");
  return stress_session_end(&session, status);
}
