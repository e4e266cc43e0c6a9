/* THREADS SIZES MAX_KIB LEFT_KIB: so many at once, each with a block of each of so many sizes. That costs at most MAX_KIB a
 * thread more than the bare threads did, and few mappings; LEFT_KIB may be left when they have ended. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#include "hakmem/testing/harness/malloc_names.h"
#include "hakmem/testing/torture/memory.h"

enum { THREADS_MAX = 20000, STACK_BYTES = 32 * 1024, SIZES_MAX = 8, STEPS = 3 };

static const size_t sizes[SIZES_MAX] = {100, 48, 16, 200, 400, 700, 1000, 3000};
static int sizes_count;
static pthread_barrier_t steps[STEPS];
static pthread_t threads[THREADS_MAX];

static void* live(void* unused) {
  (void)unused;
  char* blocks[SIZES_MAX];
  pthread_barrier_wait(&steps[0]); /* bare */
  pthread_barrier_wait(&steps[1]);
  for (int i = 0; i < sizes_count; i++) {
    blocks[i] = malloc(sizes[i]);
    EXPECT(blocks[i] != NULL);
    memset(blocks[i], i, sizes[i]);
  }
  pthread_barrier_wait(&steps[2]);
  pthread_barrier_wait(&steps[0]); /* measured */
  for (int i = 0; i < sizes_count; i++) {
    EXPECT(blocks[i][0] == (char)i && blocks[i][sizes[i] - 1] == (char)i);
    free(blocks[i]);
  }
  return NULL;
}

/* False: the machine lets us have fewer. */
static int start(long count) {
  pthread_attr_t attributes;
  EXPECT(pthread_attr_init(&attributes) == 0);
  EXPECT(pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0);
  EXPECT(pthread_attr_setguardsize(&attributes, 0) == 0);
  for (long i = 0; i < count; i++) {
    const int error = pthread_create(&threads[i], &attributes, live, NULL);
    if (error == EAGAIN || error == ENOMEM) return 0;
    EXPECT(error == 0);
  }
  return 1;
}

int main(int argc, char** argv) {
  EXPECT(argc == 5);
  const long count = strtol(argv[1], NULL, 10);
  sizes_count = (int)strtol(argv[2], NULL, 10);
  EXPECT(sizes_count >= 0 && sizes_count <= SIZES_MAX);
  EXPECT(count > 0 && count <= THREADS_MAX);
  for (int i = 0; i < STEPS; i++) EXPECT(pthread_barrier_init(&steps[i], NULL, (unsigned)count + 1) == 0);
  if (!start(count)) {
    say("skipped: this machine has no room for so many threads");
    return 0;
  }
  pthread_barrier_wait(&steps[0]);
  const long bare_kib = memory_resident_kib();
  const long bare_mappings = memory_mappings();
  pthread_barrier_wait(&steps[1]);
  pthread_barrier_wait(&steps[2]);
  const long kib = (memory_resident_kib() - bare_kib) / count;
  const long mappings = memory_mappings() - bare_mappings;
  pthread_barrier_wait(&steps[0]);
  for (long i = 0; i < count; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
  malloc_trim(0);
  const long left_kib = (memory_resident_kib() - bare_kib) / count;
  char line[128];
  snprintf(line, sizeof line, "a thread: %ld KiB, %ld mappings in all, %ld KiB left", kib, mappings, left_kib);
  say(line);
  EXPECT(kib <= strtol(argv[3], NULL, 10));
  EXPECT(left_kib <= strtol(argv[4], NULL, 10));
  EXPECT(mappings <= count / 4);
  say("ok");
  return 0;
}
