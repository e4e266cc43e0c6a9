/* The program maps pages of its own right behind and before HAKMEM's blocks, at addresses of its choice, and makes holes
 * there again. HAKMEM neither grows into them nor takes them with it. */
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "hakmem/testing/harness/expect.h"
#include "hakmem/testing/harness/malloc_names.h"

enum { PAGE = 65536, NEIGHBOURS = 2000, WHALES = 40, ROUNDS = 3 };

static char* neighbours[NEIGHBOURS];
static int neighbours_count;

/* A page of the program's at `address`, if nothing is there. */
static void settle_at(char* address) {
  if (neighbours_count == NEIGHBOURS) return;
  char* page = mmap(address, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (page == MAP_FAILED) return;
  EXPECT(page == address);
  memset(page, 77, PAGE);
  neighbours[neighbours_count++] = page;
}

static void settle_around(char* block) {
  char* end = block + malloc_usable_size(block);
  char* superslab = (char*)((uintptr_t)block & ~(uintptr_t)0x1fffff); /* NOLINT(performance-no-int-to-ptr) */
  settle_at(end);
  settle_at((char*)((uintptr_t)block & ~(uintptr_t)(PAGE - 1)) - PAGE); /* NOLINT(performance-no-int-to-ptr) */
  settle_at(superslab - PAGE);
  settle_at(superslab + 0x200000);
}

static void move_out(int step) {
  int kept = 0;
  for (int i = 0; i < neighbours_count; i++) {
    for (int k = 0; k < PAGE; k++) EXPECT(neighbours[i][k] == 77);
    if (i % step == 0) {
      EXPECT(munmap(neighbours[i], PAGE) == 0);
    } else {
      neighbours[kept++] = neighbours[i];
    }
  }
  neighbours_count = kept;
}

static size_t size_of(int i) { return i % 4 == 0 ? 300000 : i % 4 == 1 ? 40000 : 2500000 + (size_t)i * 65536; }

int main(void) {
  static char* blocks[WHALES];
  int settled = 0;
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < WHALES; i++) {
      blocks[i] = malloc(size_of(i));
      EXPECT(blocks[i] != NULL);
      memset(blocks[i], i, size_of(i));
      settle_around(blocks[i]);
    }
    settled += neighbours_count;
    for (int i = 0; i < WHALES; i++) { /* what would be in the way is there, or was */
      if (i == WHALES / 2) move_out(2);
      blocks[i] = realloc(blocks[i], size_of(i) * 3);
      EXPECT(blocks[i] != NULL && blocks[i][0] == (char)i && blocks[i][size_of(i) - 1] == (char)i);
      memset(blocks[i], i, size_of(i) * 3);
      settle_around(blocks[i]);
    }
    for (int i = 0; i < WHALES; i++) {
      EXPECT(blocks[i][size_of(i) * 3 - 1] == (char)i);
      free(blocks[i]);
    }
    malloc_trim(0);
    move_out(1);
  }
  EXPECT(settled > WHALES);
  say("ok");
  return 0;
}
