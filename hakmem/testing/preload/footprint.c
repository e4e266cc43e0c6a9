/* KiB of memory of its own (anonymous pages, those of written variables among them) that the process has when it ends:
 *
 *     footprint                  of a process with two small blocks
 *     footprint THREADS SIZES    what each of so many idle threads adds, each with a block of so many sizes */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hakmem/testing/harness/expect.h"

enum { THREADS_MAX = 400, SIZES_MAX = 8, STACK_BYTES = 64 * 1024 };

static const size_t sizes[SIZES_MAX] = {64, 256, 32, 128, 1000, 48, 400, 2000};
static size_t sizes_used;
static void* blocks[THREADS_MAX][SIZES_MAX];
static pthread_barrier_t all_are_there;

static long anonymous_kib(void) {
  static char text[4096]; /* stdio would allocate */
  const int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
  EXPECT(file >= 0);
  EXPECT(read(file, text, sizeof text - 1) > 0);
  close(file);
  const char* line = strstr(text, "\nAnonymous:");
  EXPECT(line != NULL);
  return strtol(line + strlen("\nAnonymous:"), NULL, 10);
}

static void* idle(void* own_blocks) {
  for (size_t i = 0; i < sizes_used; i++) {
    void* block = malloc(sizes[i]);
    EXPECT(block != NULL);
    memset(block, 1, 1);
    ((void**)own_blocks)[i] = block;
  }
  pthread_barrier_wait(&all_are_there);
  pause();
  return NULL;
}

static double kib_a_thread(size_t threads) {
  pthread_attr_t attributes;
  EXPECT(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0);
  EXPECT(pthread_barrier_init(&all_are_there, NULL, (unsigned)threads + 1) == 0);
  const long before_kib = anonymous_kib();
  for (size_t i = 0; i < threads; i++) {
    pthread_t thread;
    EXPECT(pthread_create(&thread, &attributes, idle, blocks[i]) == 0);
  }
  pthread_barrier_wait(&all_are_there);
  return (double)(anonymous_kib() - before_kib) / (double)threads;
}

int main(int argc, char** argv) {
  blocks[0][0] = malloc(100);
  blocks[0][1] = malloc(4096);
  EXPECT(blocks[0][0] != NULL && blocks[0][1] != NULL);
  memset(blocks[0][0], 1, 1);
  memset(blocks[0][1], 1, 1);
  if (argc < 3) {
    printf("%ld\n", anonymous_kib());
    return 0;
  }
  const size_t threads = strtoul(argv[1], NULL, 10);
  sizes_used = strtoul(argv[2], NULL, 10);
  EXPECT(threads > 0 && threads <= THREADS_MAX && sizes_used <= SIZES_MAX);
  printf("%.1f\n", kib_a_thread(threads));
  fflush(stdout);
  _exit(0);
}
