#include "stress/support/session.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "bench/support/run.h"
#include "bench/support/team.h"
#include "hakmem/report/report.h"
#include "stress/support/block.h"
#include <hakmem/hakmem.h>

/* What a run may take beyond its --seconds until it is ended as hung; sanitizers make it slow to start and end. */
enum { HANG_FACTOR = 4, HANG_SECONDS = 120, WARM_UP_BLOCKS = 512 };

static const uint64_t MMAP_RANGE_BYTES = (uint64_t)1 << 44;

/* Resident memory of the mappings that lie where mmap puts them, below the stack: the allocator's are there, and a
 * sanitizer's shadow, which never shrinks, is not. */
static uint64_t resident_kb(void) {
  char line[512];
  const uintptr_t top = (uintptr_t)line;
  FILE* file = fopen("/proc/self/smaps", "re");
  if (file == NULL) bench_die(BENCH_EXIT_FAILED, "cannot read /proc/self/smaps");
  uint64_t sum_kb = 0;
  bool is_counted = false;
  while (fgets(line, sizeof line, file) != NULL) {
    uint64_t begin = 0;
    uint64_t end = 0;
    uint64_t kb = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &begin, &end) == 2) {
      is_counted = end + MMAP_RANGE_BYTES > top;
    } else if (is_counted && sscanf(line, "Rss: %" SCNu64, &kb) == 1) {
      sum_kb += kb;
    }
  }
  fclose(file);
  return sum_kb;
}

static uint64_t seed_from_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) % 1000000007u + 1;
}

static void* use_everything(void* session) {
  bench_rng rng = stress_session_rng(session, UINT64_MAX);
  void* blocks[WARM_UP_BLOCKS];
  for (unsigned i = 0; i < WARM_UP_BLOCKS; i++) blocks[i] = stress_block_new(&rng);
  for (unsigned i = 0; i < WARM_UP_BLOCKS; i++) stress_block_free(blocks[i], &rng);
  return NULL;
}

/* How many threads there are at a time. */
static uint64_t most_threads(const stress_session* session) { return session->threads * (1 + session->burst); }

/* AddressSanitizer keeps what was freed with libc's free for a while, up to 256 MB: of each thread that was, what libc had
 * allocated for it. Blocks of HAKMEM's are not there. */
const char* __asan_default_options(void);
const char* __asan_default_options(void) { return "quarantine_size_mb=0"; }

/* What the first use of everything brings in is no leak: code, tables, the stacks that libc keeps for the next
 * threads, and what a sanitizer keeps of each. */
static void warm_up(stress_session* session) {
  pthread_t threads[STRESS_MAX_THREADS * (1 + STRESS_MAX_BURST)];
  const uint64_t count = most_threads(session);
  for (uint64_t i = 0; i < count; i++) threads[i] = bench_thread_start(use_everything, session);
  for (uint64_t i = 0; i < count; i++) bench_thread_join(threads[i]);
  use_everything(session);
  hak_trim();
}

void stress_session_pick_seed(stress_session* session) {
  if (session->seed == 0) session->seed = seed_from_clock();
}

void stress_session_begin(stress_session* session, const bench_limits* limits) {
  stress_session_pick_seed(session);
  printf("%s: seed %" PRIu64 ", %" PRIu64 " threads\n", session->name, session->seed, session->threads);
  fflush(stdout); /* or a child of fork prints it again */
  if (limits->seconds > 0.0) alarm(HANG_SECONDS + (unsigned)(limits->seconds * HANG_FACTOR));
  warm_up(session);
  session->before_kb = resident_kb();
}

bench_rng stress_session_rng(const stress_session* session, uint64_t index) {
  return bench_rng_seed(session->seed * 0xd1342543de82ef95u + index);
}

int stress_session_end(const stress_session* session, int status) {
  const uint64_t full_kb = resident_kb();
  hak_trim();
  const uint64_t after_kb = resident_kb();
  const hak_report_figures left = hak_report_read_figures();
  const uint64_t bound_kb =
      session->before_kb + STRESS_RSS_BOUND_KB + STRESS_RSS_BOUND_PER_THREAD_KB * most_threads(session);
  printf("%s: resident before %" PRIu64 " kB, after %" PRIu64 " kB, after hak_trim %" PRIu64 " kB, bound %" PRIu64
         " kB\n",
         session->name, session->before_kb, full_kb, after_kb, bound_kb);
  fflush(stdout);
  if (status != BENCH_EXIT_OK) return status;
  /* To the byte: one lost block keeps its slab. */
  if (left.live_bytes != 0 || left.mapped_bytes != 0) {
    fprintf(stderr, "%s: all is free, and %" PRIu64 " bytes are live, %" PRIu64 " mapped (seed %" PRIu64 ")\n",
            session->name, left.live_bytes, left.mapped_bytes, session->seed);
    return BENCH_EXIT_FAILED;
  }
  if (after_kb <= bound_kb) return BENCH_EXIT_OK;
  fprintf(stderr, "%s: memory did not come back (seed %" PRIu64 ")\n", session->name, session->seed);
  return BENCH_EXIT_FAILED;
}
