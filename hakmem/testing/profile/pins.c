/* A known culprit of fragmentation: requests allocate much and free it all, but a few blocks that remember allocates in
 * between live on, and each keeps a slab. What the dictionary holds is more, of the same size, and lies densely. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hakmem/testing/harness/expect.h"

enum { BLOCK_BYTES = 64, WORDS = 20000, REQUESTS = 20, ALLOCATIONS = 60000, ONE_IN = 600 };

static void* dictionary[WORDS];
static void* remembered[REQUESTS * ALLOCATIONS / ONE_IN];
static int remembered_count;

/* A wrapper: the one place that calls malloc. */
__attribute__((noinline)) static void* block(void) {
  void* out = malloc(BLOCK_BYTES);
  EXPECT(out != NULL);
  memset(out, 1, BLOCK_BYTES);
  return out;
}

__attribute__((noinline)) static void load_dictionary(void) {
  for (int i = 0; i < WORDS; i++) dictionary[i] = block();
}

__attribute__((noinline)) static void remember(void) { remembered[remembered_count++] = block(); }

__attribute__((noinline)) static void serve_request(void) {
  static void* blocks[ALLOCATIONS];
  for (int i = 0; i < ALLOCATIONS; i++) {
    if (i % ONE_IN == 0) remember();
    blocks[i] = block();
  }
  for (int i = 0; i < ALLOCATIONS; i++) free(blocks[i]);
}

int main(void) {
  load_dictionary();
  for (int i = 0; i < REQUESTS; i++) serve_request();
  return 0;
}
