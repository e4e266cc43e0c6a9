#include "bench/support/run.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const uint64_t NS_PER_S = 1000000000u;

uint64_t bench_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t timeval_ns(struct timeval t) { return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_usec * 1000u; }

uint64_t bench_cpu_ns(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
}

/* The number that follows `label` in a file of /proc; false where there is none. */
static bool read_kb(const char* path, const char* label, uint64_t* kb) {
  char text[4096];
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  text[length > 0 ? length : 0] = '\0';
  const char* line = strstr(text, label);
  if (line == NULL) return false;
  *kb = strtoull(line + strlen(label), NULL, 10);
  return true;
}

static uint64_t peak_rss_kb(void) {
  uint64_t kb = 0;
  if (read_kb("/proc/self/status", "\nVmHWM:", &kb)) return kb;
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (uint64_t)usage.ru_maxrss;
}

uint64_t bench_rss_kb(void) {
  uint64_t kb = 0;
  /* VmRSS lags by some pages a processor; it is for kernels that know no better. */
  if (!read_kb("/proc/self/smaps_rollup", "\nRss:", &kb) && !read_kb("/proc/self/status", "\nVmRSS:", &kb)) {
    bench_die(BENCH_EXIT_FAILED, "the resident size cannot be read");
  }
  return kb;
}

void bench_run_init(bench_run* run, const bench_limits* limits, unsigned threads) {
  memset(run, 0, sizeof *run);
  run->limits = *limits;
  run->ops_per_thread = limits->ops == 0 ? UINT64_MAX : (limits->ops + threads - 1) / threads;
  run->deadline_ns = UINT64_MAX;
}

void bench_run_begin(bench_run* run) {
  run->begin_cpu_ns = bench_cpu_ns();
  run->begin_wall_ns = bench_now_ns();
  if (run->limits.seconds > 0.0) {
    run->deadline_ns = run->begin_wall_ns + (uint64_t)(run->limits.seconds * (double)NS_PER_S);
  }
}

void bench_run_end(bench_run* run) {
  run->wall_ns = bench_now_ns() - run->begin_wall_ns;
  run->cpu_ns = bench_cpu_ns() - run->begin_cpu_ns;
}

uint64_t bench_run_next(const bench_run* run, uint64_t done, uint64_t chunk) {
  if (done >= run->ops_per_thread) return 0;
  /* The first chunk is done however late it is: no result is made of nothing. */
  if (done != 0 && run->deadline_ns != UINT64_MAX && bench_now_ns() >= run->deadline_ns) return 0;
  const uint64_t left = run->ops_per_thread - done;
  return left < chunk ? left : chunk;
}

void bench_run_extra(bench_run* run, const char* name, double value) {
  if (run->extra_count == BENCH_MAX_EXTRAS) bench_die(BENCH_EXIT_FAILED, "too many extra figures");
  run->extras[run->extra_count++] = (bench_extra){name, value};
}

void bench_run_curve(bench_run* run, const bench_curve* curve) {
  if (run->curve_count == BENCH_MAX_CURVES) bench_die(BENCH_EXIT_FAILED, "too many curves");
  run->curves[run->curve_count++] = curve;
}

/* The result line as it grows. */
typedef struct text {
  size_t length;
  char bytes[16384];
} text;

__attribute__((format(printf, 2, 3))) static void put(text* line, const char* format, ...) {
  const size_t room = sizeof line->bytes - line->length;
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(line->bytes + line->length, room, format, arguments);
  va_end(arguments);
  if (length < 0 || (size_t)length >= room) bench_die(BENCH_EXIT_FAILED, "result line too long");
  line->length += (size_t)length;
}

static void put_extras(text* line, const bench_run* run) {
  for (unsigned i = 0; i < run->extra_count; i++) {
    put(line, "%s\"%s\":%.9g", i == 0 ? ",\"extra\":{" : ",", run->extras[i].name, run->extras[i].value);
  }
  if (run->extra_count != 0) put(line, "}");
}

static void put_curve(text* line, const bench_curve* curve) {
  put(line, "\"%s\":", curve->name);
  for (unsigned i = 0; i < curve->count; i++) put(line, "%c[%.7g,%.6g]", i == 0 ? '[' : ',', curve->x[i], curve->y[i]);
  put(line, "]");
}

int bench_run_report(const bench_run* run, uint64_t ops) {
  static text line;
  put(&line, "{\"row\":\"%s\",\"ops\":%" PRIu64 ",\"wall_s\":%.6f,\"cpu_s\":%.6f,\"peak_rss_kb\":%" PRIu64,
      run->limits.row, ops, (double)run->wall_ns / (double)NS_PER_S, (double)run->cpu_ns / (double)NS_PER_S,
      peak_rss_kb());
  put_extras(&line, run);
  for (unsigned i = 0; i < run->curve_count; i++) {
    put(&line, i == 0 ? ",\"curves\":{" : ",");
    put_curve(&line, run->curves[i]);
  }
  put(&line, run->curve_count != 0 ? "}}\n" : "}\n");
  const ssize_t written = write(STDOUT_FILENO, line.bytes, line.length);
  if (written < 0 || (size_t)written != line.length) bench_die(BENCH_EXIT_FAILED, "cannot write the result");
  return BENCH_EXIT_OK;
}

_Noreturn void bench_die(int status, const char* message) {
  fprintf(stderr, "bench: %s\n", message);
  exit(status);
}
