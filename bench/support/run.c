#include "bench/support/run.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const uint64_t NS_PER_S = 1000000000u;

static uint64_t wall_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t timeval_ns(struct timeval t) { return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_usec * 1000u; }

static uint64_t cpu_now_ns(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
}

static uint64_t peak_rss_kb(void) {
  char text[4096];
  const int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    const ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    const char* line = strstr(text, "\nVmHWM:");
    if (line != NULL) return strtoull(line + strlen("\nVmHWM:"), NULL, 10);
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (uint64_t)usage.ru_maxrss;
}

void bench_run_init(bench_run* run, const bench_limits* limits, unsigned threads) {
  memset(run, 0, sizeof *run);
  run->limits = *limits;
  run->ops_per_thread = limits->ops == 0 ? UINT64_MAX : (limits->ops + threads - 1) / threads;
  run->deadline_ns = UINT64_MAX;
}

void bench_run_begin(bench_run* run) {
  run->begin_cpu_ns = cpu_now_ns();
  run->begin_wall_ns = wall_now_ns();
  if (run->limits.seconds > 0.0) {
    run->deadline_ns = run->begin_wall_ns + (uint64_t)(run->limits.seconds * (double)NS_PER_S);
  }
}

void bench_run_end(bench_run* run) {
  run->wall_ns = wall_now_ns() - run->begin_wall_ns;
  run->cpu_ns = cpu_now_ns() - run->begin_cpu_ns;
}

uint64_t bench_run_next(const bench_run* run, uint64_t done, uint64_t chunk) {
  if (done >= run->ops_per_thread) return 0;
  /* The first chunk is done however late it is: no result is made of nothing. */
  if (done != 0 && run->deadline_ns != UINT64_MAX && wall_now_ns() >= run->deadline_ns) return 0;
  const uint64_t left = run->ops_per_thread - done;
  return left < chunk ? left : chunk;
}

int bench_run_report(const bench_run* run, uint64_t ops) {
  char line[256];
  const int length =
      snprintf(line, sizeof line,
               "{\"row\":\"%s\",\"ops\":%" PRIu64 ",\"wall_s\":%.6f,\"cpu_s\":%.6f,\"peak_rss_kb\":%" PRIu64 "}\n",
               run->limits.row, ops, (double)run->wall_ns / (double)NS_PER_S, (double)run->cpu_ns / (double)NS_PER_S,
               peak_rss_kb());
  if (length <= 0 || (size_t)length >= sizeof line) bench_die(BENCH_EXIT_FAILED, "result line too long");
  if (write(STDOUT_FILENO, line, (size_t)length) != length) bench_die(BENCH_EXIT_FAILED, "cannot write the result");
  return BENCH_EXIT_OK;
}

_Noreturn void bench_die(int status, const char* message) {
  fprintf(stderr, "bench: %s\n", message);
  exit(status);
}
