/* 16 threads allocate and one frees all of it: what the process holds stays near what is live. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "hakmem/testing/torture/memory.h"

enum { PRODUCERS = 16, BATCH = 500, BATCHES_EACH = 200, BYTES_MAX = 2000, QUEUE = 8, PEAK_MAX_KIB = 128 * 1024 };

typedef struct batch {
  char* blocks[BATCH];
} batch;

/* At most QUEUE batches are on their way, 4 MiB. */
static batch queue[QUEUE];
static int queued;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void put(const batch* made) {
  pthread_mutex_lock(&lock);
  while (queued == QUEUE) pthread_cond_wait(&changed, &lock);
  queue[queued++] = *made;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

static batch get(void) {
  pthread_mutex_lock(&lock);
  while (queued == 0) pthread_cond_wait(&changed, &lock);
  const batch got = queue[--queued];
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  return got;
}

static void* produce(void* arg) {
  unsigned seed = (unsigned)(uintptr_t)arg;
  for (int i = 0; i < BATCHES_EACH; i++) {
    batch made;
    for (int k = 0; k < BATCH; k++) {
      seed = seed * 1103515245u + 12345u;
      const size_t size = 1 + (seed >> 8) % BYTES_MAX;
      made.blocks[k] = malloc(size);
      EXPECT(made.blocks[k] != NULL);
      memset(made.blocks[k], k, size);
    }
    put(&made);
  }
  return NULL;
}

int main(void) {
  pthread_t threads[PRODUCERS];
  for (uintptr_t i = 0; i < PRODUCERS; i++) {
    EXPECT(pthread_create(&threads[i], NULL, produce, (void*)i) == 0); /* NOLINT(performance-no-int-to-ptr) */
  }
  for (int i = 0; i < PRODUCERS * BATCHES_EACH; i++) {
    const batch got = get();
    for (int k = 0; k < BATCH; k++) {
      EXPECT(got.blocks[k][0] == (char)k);
      free(got.blocks[k]);
    }
  }
  for (int i = 0; i < PRODUCERS; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
  struct rusage usage;
  EXPECT(getrusage(RUSAGE_SELF, &usage) == 0);
  char line[64];
  snprintf(line, sizeof line, "peak %ld KiB", usage.ru_maxrss);
  say(line);
  EXPECT(usage.ru_maxrss <= PEAK_MAX_KIB);
  say("ok");
  return 0;
}
