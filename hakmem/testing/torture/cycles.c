/* MIB: 10,000 cycles, each with up to 40 MiB of blocks of other sizes than the last, and no more resident than that at the
 * peak. */
#include <stdlib.h>
#include <sys/resource.h>

#include "hakmem/testing/harness/expect.h"

enum { CYCLES = 10000, BIG_EVERY = 100, MIB = 1 << 20, BLOCKS_MAX = 60000 };

static char* blocks[BLOCKS_MAX];

static void run_cycle(unsigned cycle) {
  const size_t live = cycle % BIG_EVERY == 0 ? (size_t)40 * MIB : MIB;
  const size_t size = 700 + (size_t)(cycle * 2654435761u) % 300000;
  int count = 0;
  for (size_t bytes = 0; bytes + size <= live && count < BLOCKS_MAX; bytes += size, count++) {
    blocks[count] = malloc(size);
    EXPECT(blocks[count] != NULL);
    memset(blocks[count], count, size);
  }
  for (int i = 0; i < count; i++) {
    EXPECT(blocks[i][0] == (char)i && blocks[i][size - 1] == (char)i);
    free(blocks[i]);
  }
}

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  const long most_kib = atol(argv[1]) * 1024;
  EXPECT(most_kib > 0);
  for (unsigned cycle = 0; cycle < CYCLES; cycle++) run_cycle(cycle);
  struct rusage usage;
  EXPECT(getrusage(RUSAGE_SELF, &usage) == 0);
  char line[64];
  snprintf(line, sizeof line, "peak %ld KiB", usage.ru_maxrss);
  say(line);
  EXPECT(usage.ru_maxrss <= most_kib);
  say("ok");
  return 0;
}
