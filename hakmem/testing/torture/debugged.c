/* Waits with 30 MiB of blocks for somebody who looks at it from outside. Prints the address of a text; frees most of what
 * it has and says so when a character comes in; ends when its standard input does. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "hakmem/testing/harness/expect.h"

enum { BLOCKS = 3000 };

int main(void) {
  (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); /* where only parents may look */
  static char* blocks[BLOCKS];
  for (size_t i = 0; i < BLOCKS; i++) {
    const size_t size = i % 1000 == 0 ? 5000000 : i % 100 == 0 ? 300000 : 1 + i;
    blocks[i] = malloc(size);
    EXPECT(blocks[i] != NULL);
    memset(blocks[i], 1, size);
  }
  for (size_t i = 1; i < BLOCKS; i += 2) free(blocks[i]);
  char* text = malloc(100);
  EXPECT(text != NULL);
  strcpy(text, "a block that a debugger reads");
  char line[64];
  snprintf(line, sizeof line, "0x%llx", (unsigned long long)(uintptr_t)text);
  say(line);
  char any;
  size_t kept = 0;
  if (read(STDIN_FILENO, &any, 1) == 1) {
    kept = BLOCKS - 200;
    for (size_t i = 0; i < kept; i += 2) free(blocks[i]);
    say("freed");
    EXPECT(read(STDIN_FILENO, &any, 1) == 0);
  }
  free(text);
  for (size_t i = kept; i < BLOCKS; i += 2) free(blocks[i]);
  say("ok");
  return 0;
}
