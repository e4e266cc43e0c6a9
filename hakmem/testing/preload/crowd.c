/* 1,000 threads at once, each with blocks of its own and of its neighbour. */
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

enum { THREADS = 1000, BLOCKS = 50, STACK_BYTES = 64 * 1024 };

static pthread_barrier_t all_are_here;
static char* blocks[THREADS][BLOCKS];

static size_t size_of(uintptr_t thread, uintptr_t i) { return 1 + (thread * 37 + i * 101) % 3000; }

static void* live(void* arg) {
  const uintptr_t me = (uintptr_t)arg;
  for (uintptr_t i = 0; i < BLOCKS; i++) {
    blocks[me][i] = malloc(size_of(me, i));
    EXPECT(blocks[me][i] != NULL);
    memset(blocks[me][i], (int)me, size_of(me, i));
  }
  pthread_barrier_wait(&all_are_here);
  const uintptr_t other = (me + 1) % THREADS;
  for (uintptr_t i = 0; i < BLOCKS; i++) {
    EXPECT(blocks[other][i][0] == (char)other && blocks[other][i][size_of(other, i) - 1] == (char)other);
    free(blocks[other][i]);
  }
  return NULL;
}

/* Small, so that many fit; some processors want more than others. */
static size_t stack_bytes(void) {
  const size_t least = (size_t)PTHREAD_STACK_MIN;
  return least > STACK_BYTES ? least : STACK_BYTES;
}

int main(void) {
  pthread_attr_t attributes;
  EXPECT(pthread_attr_init(&attributes) == 0);
  EXPECT(pthread_attr_setstacksize(&attributes, stack_bytes()) == 0);
  EXPECT(pthread_barrier_init(&all_are_here, NULL, THREADS) == 0);
  static pthread_t threads[THREADS];
  for (uintptr_t i = 0; i < THREADS; i++) {
    EXPECT(pthread_create(&threads[i], &attributes, live, (void*)i) == 0); /* NOLINT(performance-no-int-to-ptr) */
  }
  for (int i = 0; i < THREADS; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
  say("ok");
  return 0;
}
