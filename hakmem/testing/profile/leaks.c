/* A known leak: what forget_about allocates is never freed, all else is. `leaks [wait]`: goes on until stdin ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hakmem/testing/harness/expect.h"

enum { ROUNDS = 40000, CACHED = 2000, CACHED_BYTES = 3000, LEAKED_BYTES = 200, WORKED = 20 };

static void* cached[CACHED];
static void* volatile last_leaked;

/* Blocks that every program has: long-lived, but not more and more of them. */
__attribute__((noinline)) static void fill_cache(void) {
  for (int i = 0; i < CACHED; i++) {
    cached[i] = malloc(CACHED_BYTES);
    EXPECT(cached[i] != NULL);
  }
}

__attribute__((noinline)) static void forget_about(int i) {
  char* block = malloc(LEAKED_BYTES);
  EXPECT(block != NULL);
  memset(block, i, LEAKED_BYTES);
  last_leaked = block;
}

__attribute__((noinline)) static void work(int i) {
  void* blocks[WORKED];
  for (int j = 0; j < WORKED; j++) {
    blocks[j] = malloc((size_t)(100 + (i * 7 + j) % 900));
    EXPECT(blocks[j] != NULL);
  }
  for (int j = 0; j < WORKED; j++) free(blocks[j]);
}

int main(int argc, char** argv) {
  const int waits = argc > 1 && strcmp(argv[1], "wait") == 0;
  fill_cache();
  if (waits) {
    puts("ready");
    fflush(stdout);
  }
  for (int i = 0; i < ROUNDS; i++) {
    forget_about(i);
    work(i);
    if (waits && i % 50 == 0) usleep(1000);
  }
  for (int i = 0; !waits && i < CACHED; i++) free(cached[i]);
  if (waits) {
    puts("done");
    fflush(stdout);
    while (getchar() != EOF) {
    }
  }
  return 0;
}
