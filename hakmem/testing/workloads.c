/* Fixed amounts of work for the counts of instructions (instruction_counts.py), one kind a run.
 *
 * Everything is the same in each run: sizes and order come from a counter, threads take turns, and the clock that the
 * allocator reads is the one below, which stands still but where a workload lets it go on. So no purge comes because
 * the machine was slow, and what is counted depends on the code alone. */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_BLOCKS = 20000, LARGE_BLOCKS = 8 };

static void* blocks[MAX_BLOCKS];
static uint64_t now_ms = 1000000; /* Sync: changes only while no other thread runs */

/* In place of libc's, for libhakmem.so too: the program comes first in the search for a name. */
__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec* time) {
  (void)clock;
  *time = (struct timespec){.tv_sec = (time_t)(now_ms / 1000), .tv_nsec = (long)(now_ms % 1000) * 1000000};
  return 0;
}

/* A block that the compiler must take for used. */
static void* keep(void* block) {
  if (block == NULL) abort();
  __asm__ volatile("" : : "r"(block) : "memory");
  return block;
}

/* The next of a sequence that visits sizes from `min` to `max`, 16 apart, in a fixed and mixed order. */
static size_t size_at(unsigned i, size_t min, size_t max) {
  const size_t sizes = (max - min) / 16 + 1;
  return min + 16 * ((size_t)i * 7919u % sizes);
}

static void fill(unsigned count, size_t min, size_t max) {
  for (unsigned i = 0; i < count; i++) blocks[i] = keep(malloc(size_at(i, min, max)));
}

static void empty(unsigned count) {
  for (unsigned i = 0; i < count; i++) free(blocks[i]);
}

/* malloc, free, malloc, free. */
static void hit(void) {
  for (unsigned i = 0; i < 50000; i++) free(keep(malloc(64)));
}

/* The same over all sizes with a hit path. */
static void hit_sizes(void) {
  for (unsigned i = 0; i < 50000; i++) free(keep(malloc(size_at(i, 16, 1024))));
}

/* Blocks from memory that was never used: refills, runs, new slabs. */
static void refill(void) { fill(MAX_BLOCKS, 16, 512); }

/* Batches that overflow the caches: spills, writes through to the slabs, refills from what came back. */
static void overflow(void) {
  for (unsigned round = 0; round < 20; round++) {
    fill(2000, 64, 64);
    empty(2000);
  }
}

/* The same where every slab becomes empty and goes back to the shared pool. */
static void release(void) {
  for (unsigned round = 0; round < 3; round++) {
    fill(MAX_BLOCKS / 2, 16, 1024);
    empty(MAX_BLOCKS / 2);
  }
}

/* 8 to 32 KiB in batches. */
static void mid(void) {
  for (unsigned round = 0; round < 60; round++) {
    fill(200, 8192, 32768);
    empty(200);
  }
}

/* 64 KiB to 4 MiB: single blocks of a slab, spans, whales. */
static void large(void) {
  for (unsigned round = 0; round < 1500; round++) {
    const unsigned at = round % LARGE_BLOCKS;
    free(blocks[at]);
    blocks[at] = keep(malloc((size_t)65536 << (round * 5 % 7)));
  }
  empty(LARGE_BLOCKS);
}

static void zeroed(void) {
  for (unsigned round = 0; round < 25; round++) {
    for (unsigned i = 0; i < 1000; i++) blocks[i] = keep(calloc(1, size_at(i, 16, 2048)));
    empty(1000);
  }
}

/* Strings from 16 B to 1 MiB, by half each time. */
static void growth(void) {
  for (unsigned round = 0; round < 40; round++) {
    void* text = NULL;
    for (size_t size = 16; size <= 1048576; size += size / 2) text = keep(realloc(text, size));
    free(text);
  }
}

static void aligned(void) {
  for (unsigned round = 0; round < 20; round++) {
    for (unsigned i = 0; i < 1000; i++) {
      if (posix_memalign(&blocks[i], (size_t)16 << i % 9, size_at(i, 16, 2048)) != 0) abort();
      keep(blocks[i]);
    }
    empty(1000);
  }
}

static pthread_barrier_t turn;
enum { REMOTE_ROUNDS = 20, REMOTE_BLOCKS = 1000 };

static void* free_in_turn(void* unused) {
  (void)unused;
  for (unsigned round = 0; round < REMOTE_ROUNDS; round++) {
    pthread_barrier_wait(&turn);
    empty(REMOTE_BLOCKS);
    pthread_barrier_wait(&turn);
  }
  return NULL;
}

/* One thread allocates, the other frees. */
static void remote(void) {
  pthread_t other;
  if (pthread_barrier_init(&turn, NULL, 2) != 0 || pthread_create(&other, NULL, free_in_turn, NULL) != 0) abort();
  for (unsigned round = 0; round < REMOTE_ROUNDS; round++) {
    fill(REMOTE_BLOCKS, 16, 512);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
  }
  pthread_join(other, NULL);
}

static void* live(void* unused) {
  fill(20, 16, 1024);
  empty(20);
  return unused;
}

/* Threads that start, use some bins and end. */
static void threads(void) {
  for (unsigned i = 0; i < 150; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, live, NULL) != 0) abort();
    pthread_join(thread, NULL);
  }
}

/* Time goes by, 100 ms a round: the purge is due, bins are reviewed, what is empty goes back to the kernel. */
static void time_goes_by(void) {
  for (unsigned round = 0; round < 60; round++) {
    fill(1000, 16, 4096);
    empty(1000);
    now_ms += 100;
  }
}

static const struct {
  const char* name;
  void (*work)(void);
} workloads[] = {
    {"hit", hit},
    {"hit_sizes", hit_sizes},
    {"refill", refill},
    {"overflow", overflow},
    {"release", release},
    {"mid", mid},
    {"large", large},
    {"calloc", zeroed},
    {"realloc", growth},
    {"aligned", aligned},
    {"remote_free", remote},
    {"threads", threads},
    {"purge", time_goes_by},
};

int main(int argc, char** argv) {
  const size_t count = sizeof workloads / sizeof workloads[0];
  if (argc == 2 && strcmp(argv[1], "--list") == 0) {
    for (size_t i = 0; i < count; i++) puts(workloads[i].name);
    return 0;
  }
  for (size_t i = 0; argc == 2 && i < count; i++) {
    if (strcmp(workloads[i].name, argv[1]) != 0) continue;
    workloads[i].work();
    return 0;
  }
  fprintf(stderr, "usage: %s --list|WORKLOAD\n", argv[0]);
  return 2;
}
