/* A program whose heap is known to the block, for those who look at it from outside. Each line on stdin begins the next phase; a word on
 * stdout says that it is over, and that nobody allocates until the next:
 *
 *     start    what libc and the threads need
 *     full     BLOCKS of each size, in thread `worker`; two spans, two whales
 *     less     every other block of SIZES[0] freed by its thread, FOREIGN blocks of SIZES[1] by another one, one span, one whale
 *     end      the worker has ended, and kept the rest */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "hakmem/testing/harness/expect.h"

enum { BLOCKS = 1000, SIZES = 4, FOREIGN = 100 };
static const size_t sizes[SIZES] = {700, 1900, 13000, 150000};
static const size_t spans[2] = {400 * 1000, 1000 * 1000};
static const size_t whales[2] = {3000 * 1000, 5000 * 1000};

static char* blocks[SIZES][BLOCKS];
static char* large[4];
static pthread_barrier_t turn;

static char* touched(size_t size) {
  char* block = (char*)malloc(size);
  EXPECT(block != NULL);
  memset(block, 1, size);
  return block;
}

static size_t count_of(size_t size) { return size > 100 * 1000 ? BLOCKS / 100 : BLOCKS; }

static void* work(void* unused) {
  (void)unused;
  EXPECT(prctl(PR_SET_NAME, "worker") == 0);
  pthread_barrier_wait(&turn);
  pthread_barrier_wait(&turn);
  for (size_t i = 0; i < SIZES; i++) {
    for (size_t j = 0; j < count_of(sizes[i]); j++) blocks[i][j] = touched(sizes[i]);
  }
  for (size_t i = 0; i < 2; i++) {
    large[i] = touched(spans[i]);
    large[2 + i] = touched(whales[i]);
  }
  pthread_barrier_wait(&turn);
  pthread_barrier_wait(&turn);
  for (size_t j = 0; j < BLOCKS; j += 2) free(blocks[0][j]);
  free(large[1]);
  free(large[3]);
  pthread_barrier_wait(&turn);
  pthread_barrier_wait(&turn);
  return NULL;
}

static void wait_for_line(void) {
  char c = 0;
  while (c != '\n') EXPECT(read(STDIN_FILENO, &c, 1) == 1);
}

int main(void) {
  pthread_t worker;
  EXPECT(pthread_barrier_init(&turn, NULL, 2) == 0);
  EXPECT(pthread_create(&worker, NULL, work, NULL) == 0);
  pthread_barrier_wait(&turn);
  say("start");
  wait_for_line();
  pthread_barrier_wait(&turn);
  pthread_barrier_wait(&turn);
  say("full");
  wait_for_line();
  /* Not all of any slab: that would go back at once. */
  for (size_t j = 0; j < BLOCKS; j += BLOCKS / FOREIGN) free(blocks[1][j]);
  pthread_barrier_wait(&turn);
  pthread_barrier_wait(&turn);
  say("less");
  wait_for_line();
  pthread_barrier_wait(&turn);
  EXPECT(pthread_join(worker, NULL) == 0);
  say("end");
  wait_for_line();
  return 0;
}
