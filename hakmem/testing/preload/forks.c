/* fork while other threads allocate: the child is whole, may allocate, free what it inherited, and start threads. */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "hakmem/testing/harness/expect.h"
#include "hakmem/testing/harness/malloc_names.h"

enum { WORKERS = 4, FORKS = 20, HELD = 2000, BLOCK_BYTES = 64, HANG_S = 60 };

static atomic_bool stop;
static atomic_int warm;

/* What the workers hold. In a child it names live blocks only: a slot is cleared before its block is freed. */
static char* held[WORKERS][HELD];

static void drop(char** slot) {
  char* old = *slot;
  *slot = NULL;
  free(launder(old));
}

/* Allocates and frees with full caches, so that what a fork leaves behind is not clean. */
static void* churn(void* arg) {
  char** mine = arg;
  unsigned seed = (unsigned)(mine - held[0]);
  for (unsigned round = 0; !atomic_load(&stop); round++) {
    seed = seed * 1103515245u + 12345u;
    if (round == 20000) atomic_fetch_add(&warm, 1);
    char** slot = &mine[(seed >> 8) % HELD];
    drop(slot);
    if ((seed >> 20) % 4 == 0) continue; /* slabs with free blocks to adopt */
    *slot = malloc(round % 64 == 0 ? (seed >> 4) % 100000 : BLOCK_BYTES);
    EXPECT(*slot != NULL);
    **slot = 1;
  }
  for (int i = 0; i < HELD; i++) free(mine[i]);
  return NULL;
}

static void allocate_in_handler(void) { free(launder(malloc(1000))); }

/* --- the child: it takes over what the threads that are gone left, heaps with full caches and single slabs --- */

static pthread_barrier_t child_barrier;

/* Fills as many blocks as any thread before held, and looks at them when everybody has filled theirs. */
static void use_heap(char mark, bool with_others) {
  static _Thread_local char* blocks[HELD * 2];
  for (int i = 0; i < HELD * 2; i++) {
    blocks[i] = malloc(BLOCK_BYTES);
    EXPECT(blocks[i] != NULL);
    memset(blocks[i], mark, BLOCK_BYTES);
  }
  if (with_others) pthread_barrier_wait(&child_barrier);
  for (int i = 0; i < HELD * 2; i++) {
    for (int k = 0; k < BLOCK_BYTES; k++) EXPECT(blocks[i][k] == mark);
    free(blocks[i]);
  }
}

/* Has a heap, and ends without having used the blocks in its caches: they go where they came from. */
static void* adopt_and_leave(void* unused) {
  (void)unused;
  free(launder(malloc(5000)));
  pthread_barrier_wait(&child_barrier); /* as many threads as heaps, each with one */
  return NULL;
}

static void* use_heap_with_others(void* arg) {
  use_heap((char)(size_t)arg, true);
  return NULL;
}

static void run_threads(void* (*run)(void*)) {
  pthread_t threads[WORKERS];
  for (size_t i = 0; i < WORKERS; i++) {
    EXPECT(pthread_create(&threads[i], NULL, run, (void*)(i + 1)) == 0); /* NOLINT(performance-no-int-to-ptr) */
  }
  if (run == use_heap_with_others) {
    use_heap(0, true);
  } else {
    pthread_barrier_wait(&child_barrier);
  }
  for (int i = 0; i < WORKERS; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
}

static void live_in_child(char* inherited) {
  EXPECT(pthread_barrier_init(&child_barrier, NULL, WORKERS + 1) == 0);
  free(inherited);
  use_heap(9, false); /* adopts slabs whose other blocks are in the caches of heaps */
  run_threads(adopt_and_leave);
  for (int i = 0; i < WORKERS * HELD; i++) free(held[i / HELD][i % HELD]);
  malloc_trim(0); /* slabs of which every block is back go, whoever has them */
  run_threads(use_heap_with_others);
  malloc_trim(0);
  run_threads(use_heap_with_others);
}

int main(void) {
  EXPECT(pthread_atfork(allocate_in_handler, allocate_in_handler, allocate_in_handler) == 0);
  pthread_t workers[WORKERS];
  for (size_t i = 0; i < WORKERS; i++) {
    EXPECT(pthread_create(&workers[i], NULL, churn, held[i]) == 0);
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
