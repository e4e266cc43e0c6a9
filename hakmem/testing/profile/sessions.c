/* A known culprit of fragmentation, and what it costs: requests fill memory and free all of it, but for the sessions that
 * they open, which live on and each keep a slab. What is resident then goes to stdout, in KiB. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hakmem/testing/harness/expect.h"

enum { REQUESTS = 400000, ONE_IN = 400, SIZES = 8, STEP_BYTES = 48, CALM_ROUNDS = 40, CALM_US = 50 * 1000 };

static void* work[REQUESTS];
static void* sessions[REQUESTS / ONE_IN];

static size_t size_of(int i) { return (size_t)(1 + i % SIZES) * STEP_BYTES; }

static void fill(void* block, size_t bytes) {
  EXPECT(block != NULL);
  memset(block, 1, bytes);
}

__attribute__((noinline)) static void open_session(int i) {
  void* block = malloc(size_of(i / ONE_IN));
  fill(block, size_of(i / ONE_IN));
  sessions[i / ONE_IN] = block;
}

__attribute__((noinline)) static void serve(int i) {
  void* block = malloc(size_of(i));
  fill(block, size_of(i));
  work[i] = block;
}

/* Time passes, and now and then something is asked for. */
static void calm_down(void) {
  for (int round = 0; round < CALM_ROUNDS; round++) {
    usleep(CALM_US);
    void* large = malloc(600 * 1024);
    EXPECT(large != NULL);
    free(large);
  }
}

static long resident_kib(void) {
  long pages = 0;
  FILE* file = fopen("/proc/self/statm", "re");
  EXPECT(file != NULL && fscanf(file, "%*d %ld", &pages) == 1);
  fclose(file);
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

int main(void) {
  for (int i = 0; i < REQUESTS; i++) {
    if (i % ONE_IN == 0) open_session(i);
    serve(i);
  }
  const long full_kib = resident_kib();
  for (int i = 0; i < REQUESTS; i++) free(work[i]);
  calm_down();
  printf("%ld %ld\n", full_kib, resident_kib());
  return 0;
}
