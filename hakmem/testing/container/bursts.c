/* THREADS MIB KIND: bursts, one thread after the other, each of which leaves what it had to the allocator and stays. Says
 * how much memory was resident at the ends of bursts, files not counted, in KiB: the median and the most; and "ok".
 *   blocks  blocks of 64 B to 32 KiB, freed and allocated again so that the thread's caches grow
 *   large   blocks of 300 KiB to 6 MiB */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "hakmem/testing/harness/expect.h"

enum { THREADS_MAX = 64, BLOCKS_MAX = 1 << 16, ROUNDS = 12 };

static pthread_barrier_t turn;
static int thread_count;
static size_t burst_bytes;
static bool is_large;

static size_t next_size(uint32_t* random) {
  *random = *random * 1103515245u + 12345u;
  const uint32_t bits = *random >> 8;
  if (is_large) return (300u << 10) + bits % (5700u << 10);
  return (size_t)64 << (bits % 10);
}

static void burst(void** blocks, uint32_t seed) {
  for (int round = 0; round < ROUNDS; round++) {
    uint32_t random = seed;
    size_t sum = 0;
    int count = 0;
    /* Half of the rounds swing by less: that is what caches are for. */
    const size_t wanted = round % 2 == 0 ? burst_bytes : burst_bytes / 4;
    for (; sum < wanted && count < BLOCKS_MAX; count++) {
      const size_t size = next_size(&random);
      blocks[count] = malloc(size);
      EXPECT(blocks[count] != NULL);
      memset(blocks[count], round, size);
      sum += size;
    }
    while (count != 0) free(blocks[--count]);
  }
}

/* Pages that are no file's: what a limit is about. Nothing but the bursts may allocate here, so stdio has a buffer. */
static long resident_kib(void) {
  char text[128];
  FILE* file = fopen("/proc/self/statm", "r");
  long pages = 0, file_pages = 0;
  EXPECT(file != NULL);
  setvbuf(file, text, _IOFBF, sizeof text);
  EXPECT(fscanf(file, "%*d %ld %ld", &pages, &file_pages) == 2);
  fclose(file);
  return (pages - file_pages) * (sysconf(_SC_PAGESIZE) / 1024);
}

static int by_value(const void* a, const void* b) {
  const long left = *(const long*)a, right = *(const long*)b;
  return (left > right) - (left < right);
}

static void* run(void* arg) {
  const int self = (int)(intptr_t)arg;
  void** blocks = mmap(NULL, BLOCKS_MAX * sizeof(void*), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(blocks != MAP_FAILED);
  for (int whose = 0; whose < thread_count; whose++) {
    if (whose == self) burst(blocks, (uint32_t)self * 7919u + 1);
    pthread_barrier_wait(&turn);
  }
  return NULL;
}

int main(int argc, char** argv) {
  EXPECT(argc == 4);
  thread_count = atoi(argv[1]);
  burst_bytes = (size_t)atoi(argv[2]) << 20;
  is_large = strcmp(argv[3], "large") == 0;
  EXPECT(thread_count >= 1 && thread_count <= THREADS_MAX);
  pthread_t threads[THREADS_MAX];
  pthread_barrier_init(&turn, NULL, (unsigned)thread_count + 1);
  for (int i = 0; i < thread_count; i++) EXPECT(pthread_create(&threads[i], NULL, run, (void*)(intptr_t)i) == 0);
  long kib[THREADS_MAX];
  for (int i = 0; i < thread_count; i++) {
    pthread_barrier_wait(&turn);
    kib[i] = resident_kib();
  }
  for (int i = 0; i < thread_count; i++) pthread_join(threads[i], NULL);
  qsort(kib, (size_t)thread_count, sizeof kib[0], by_value);
  char line[64];
  snprintf(line, sizeof line, "%ld KiB between bursts, %ld at most", kib[thread_count / 2], kib[thread_count - 1]);
  say(line);
  say("ok");
  return 0;
}
