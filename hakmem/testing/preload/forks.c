/* fork while other threads allocate: the child is whole, may allocate, free what it inherited, and start threads. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "hakmem/testing/harness/expect.h"

enum { WORKERS = 4, FORKS = 40, HELD = 2000, BLOCK_BYTES = 64, HANG_S = 60 };

static atomic_bool stop;
static atomic_int warm;

/* Allocates and frees with full caches, so that what a fork leaves behind is not clean. */
static void* churn(void* arg) {
  char* held[HELD] = {NULL};
  unsigned seed = (unsigned)(size_t)arg;
  for (unsigned round = 0; !atomic_load(&stop); round++) {
    seed = seed * 1103515245u + 12345u;
    const unsigned i = (seed >> 8) % HELD;
    free(held[i]);
    held[i] = malloc(round % 64 == 0 ? (seed >> 4) % 100000 : BLOCK_BYTES);
    EXPECT(held[i] != NULL);
    held[i][0] = 1;
    if (round == 20000) atomic_fetch_add(&warm, 1);
  }
  for (int i = 0; i < HELD; i++) free(held[i]);
  return NULL;
}

static void allocate_in_handler(void) { free(launder(malloc(1000))); }

/* In the child. Takes over what the threads that are gone left, heaps and single slabs, and gives it all back. */
static void* use_heap(void* arg) {
  static _Thread_local char* blocks[HELD];
  const char mark = (char)(size_t)arg;
  for (int i = 0; i < HELD; i++) {
    blocks[i] = malloc(BLOCK_BYTES);
    EXPECT(blocks[i] != NULL);
    memset(blocks[i], mark, BLOCK_BYTES);
  }
  for (int i = 0; i < HELD; i++) {
    for (int k = 0; k < BLOCK_BYTES; k++) EXPECT(blocks[i][k] == mark);
    free(blocks[i]);
  }
  return NULL;
}

static void live_in_child(char* inherited) {
  free(inherited);
  pthread_t threads[WORKERS + 2];
  use_heap(NULL);
  for (size_t i = 0; i < WORKERS + 2; i++) {
    EXPECT(pthread_create(&threads[i], NULL, use_heap, (void*)(i + 1)) == 0); /* NOLINT(performance-no-int-to-ptr) */
  }
  use_heap(NULL);
  for (int i = 0; i < WORKERS + 2; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
  use_heap(NULL);
}

int main(void) {
  pthread_atfork(allocate_in_handler, allocate_in_handler, allocate_in_handler);
  pthread_t workers[WORKERS];
  for (size_t i = 0; i < WORKERS; i++) {
    EXPECT(pthread_create(&workers[i], NULL, churn, (void*)(i + 1)) == 0); /* NOLINT(performance-no-int-to-ptr) */
  }
  while (atomic_load(&warm) != WORKERS) sched_yield();
  for (int i = 0; i < FORKS; i++) {
    char* inherited = malloc(100);
    const pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
      alarm(HANG_S); /* a child that hangs is killed, and seen */
      live_in_child(inherited);
      _exit(0);
    }
    free(inherited);
    int status = -1;
    EXPECT(waitpid(child, &status, 0) == child);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  atomic_store(&stop, true);
  for (int i = 0; i < WORKERS; i++) EXPECT(pthread_join(workers[i], NULL) == 0);
  say("ok");
  return 0;
}
