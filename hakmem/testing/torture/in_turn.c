/* THREADS: so many, one after the other, each with blocks of many sizes and a destructor that frees behind HAKMEM's own.
 * The process does not grow by more than 5 bytes a thread. */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#include "hakmem/testing/harness/malloc_names.h"
#include "hakmem/testing/torture/memory.h"

enum { WARM_UP = 2000, BYTES_A_THREAD = 5, BLOCKS = 30 };

static pthread_key_t key;
static char* passed_on[BLOCKS];

static void destroy(void* value) {
  free(value);
  free(launder(malloc(100)));
}

/* Frees what the one before it left, and leaves as much. */
static void* live(void* unused) {
  (void)unused;
  EXPECT(pthread_setspecific(key, malloc(700)) == 0);
  for (size_t i = 0; i < BLOCKS; i++) {
    free(passed_on[i]);
    const size_t size = i == 0 ? 200000 : 10 + i * i * 7;
    passed_on[i] = malloc(size);
    EXPECT(passed_on[i] != NULL);
    passed_on[i][0] = passed_on[i][size - 1] = 1;
    free(launder(malloc(size / 2)));
  }
  return NULL;
}

static void run(long threads) {
  for (long i = 0; i < threads; i++) {
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, live, NULL) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
  }
}

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  const long threads = strtol(argv[1], NULL, 10);
  EXPECT(pthread_key_create(&key, destroy) == 0);
  run(WARM_UP);
  malloc_trim(0); /* what is free and not yet purged differs from moment to moment */
  const long warm_kib = memory_resident_kib();
  const long warm_mappings = memory_mappings();
  run(threads - WARM_UP);
  malloc_trim(0);
  const long grown_kib = memory_resident_kib() - warm_kib;
  EXPECT(grown_kib * 1024 <= (threads - WARM_UP) * BYTES_A_THREAD);
  EXPECT(memory_mappings() <= warm_mappings + 2);
  say("ok");
  return 0;
}
