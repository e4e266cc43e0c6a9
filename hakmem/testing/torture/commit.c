/* What the process asks the kernel to answer for: with vm.overcommit_memory=2 that is refused beyond a limit, and a core
 * dump holds it. 20 times to 200 MiB and back: it follows what is live, and no mapping stays behind. Prints the mode. */
#include <malloc.h>

#include "hakmem/testing/harness/malloc_names.h"
#include "hakmem/testing/torture/memory.h"

enum { MIB_KIB = 1024, ROUNDS = 20, BLOCKS = 3000, SLACK_KIB = 8 * MIB_KIB };

/* Private writable KiB: what is answered for, and dumped. */
static long writable_kib(void) {
  long kib = 0;
  char* save = NULL;
  for (char* line = strtok_r(memory_read("/proc/self/maps"), "\n", &save); line != NULL;
       line = strtok_r(NULL, "\n", &save)) {
    unsigned long from, to;
    char rights[8];
    if (strstr(line, "[stack]") != NULL) continue;
    EXPECT(sscanf(line, "%lx-%lx %7s", &from, &to, rights) == 3);
    if (strcmp(rights, "rw-p") == 0) kib += (long)((to - from) / 1024);
  }
  return kib;
}

static size_t size_of(int i) { return i % 100 == 0 ? 5000000 : i % 10 == 0 ? 120000 : 1000 + (size_t)i * 3; }

static char* blocks[BLOCKS];

static long fill(void) {
  size_t live = 0;
  for (int i = 0; i < BLOCKS; i++) {
    blocks[i] = malloc(size_of(i));
    EXPECT(blocks[i] != NULL);
    blocks[i][0] = blocks[i][size_of(i) - 1] = (char)i;
    live += size_of(i);
  }
  return (long)(live / 1024);
}

int main(void) {
  const long start_kib = writable_kib();
  EXPECT(start_kib <= memory_resident_kib() * 2 + SLACK_KIB + MEMORY_FILE_MAX / 1024);
  long mappings = 0;
  for (int round = 0; round < ROUNDS; round++) {
    const long live_kib = fill();
    if (round % 5 == 0) EXPECT(writable_kib() - start_kib <= live_kib + live_kib / 4 + SLACK_KIB);
    for (int i = 0; i < BLOCKS; i++) {
      EXPECT(blocks[i][0] == (char)i && blocks[i][size_of(i) - 1] == (char)i);
      free(blocks[i]);
    }
    if (round % 5 != 0) continue;
    malloc_trim(0);
    EXPECT(writable_kib() - start_kib <= SLACK_KIB);
    if (round == 0) mappings = memory_mappings();
    EXPECT(memory_mappings() <= mappings + 2);
  }
  char line[64];
  snprintf(line, sizeof line, "overcommit_memory=%ld", memory_figure("/proc/sys/vm/overcommit_memory", ""));
  say(line);
  say("ok");
  return 0;
}
