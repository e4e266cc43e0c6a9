/* CASE: how many mappings there are, and what happens when the kernel allows no more (vm.max_map_count).
 *   few    a GiB of blocks of all sizes needs 2 % of Debian's limit at most
 *   spent  the program uses all of them up, goes on as far as it goes, and recovers */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>

#include "hakmem/testing/harness/malloc_names.h"
#include "hakmem/testing/torture/memory.h"

enum { USUAL_LIMIT = 65530, MIB = 1 << 20, PAGE = 4096, BLOCKS = 400, ERRNO_MARK = 4711 };

/* --- few --- */

typedef struct link_block {
  struct link_block* next;
} link_block;

static void few_case(void) {
  static const size_t sizes[] = {64, 500, 3000, 20000, 100000, 250000, 700000, 1900000, 2500000, 20000000};
  link_block* all = NULL;
  size_t bytes = 0;
  for (size_t turn = 0; bytes < (size_t)1024 * MIB; turn++) {
    const size_t size = sizes[turn % (sizeof sizes / sizeof sizes[0])];
    for (size_t part = 0; part < 10 * MIB; part += size) { /* as much of each */
      link_block* block = malloc(size);
      EXPECT(block != NULL);
      block->next = all;
      all = block;
      bytes += size;
    }
  }
  EXPECT(memory_mappings() <= USUAL_LIMIT * 2 / 100);
  while (all != NULL) {
    link_block* next = all->next;
    free(all);
    all = next;
  }
}

/* --- spent --- */

static char* pages;
static size_t pages_count;

/* Every second page of a range readable: as many mappings as pages. */
static void spend_all(void) {
  pages_count = (size_t)memory_figure("/proc/sys/vm/max_map_count", "") * 2;
  pages = mmap(NULL, pages_count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  EXPECT(pages != MAP_FAILED);
  for (size_t i = 0; i < pages_count; i += 2) {
    if (mprotect(pages + i * PAGE, PAGE, PROT_READ) != 0) break;
  }
  EXPECT(errno == ENOMEM);
  /* A page in two takes two more; there may be room for one. It is not used again. */
  (void)mmap(NULL, PAGE, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
}

static char* blocks[BLOCKS];

static size_t size_of(size_t i) { return i % 8 == 0 ? 2500000 : i % 8 == 1 ? 600000 : i % 8 == 2 ? 9000000 : i * 700; }

static void take_what_there_is(void) {
  for (size_t i = 0; i < BLOCKS; i++) {
    if (blocks[i] != NULL) continue;
    errno = ERRNO_MARK;
    blocks[i] = malloc(size_of(i) + 1);
    EXPECT(blocks[i] == NULL ? errno == ENOMEM : errno == ERRNO_MARK);
    if (blocks[i] != NULL) blocks[i][0] = blocks[i][size_of(i)] = (char)i;
  }
}

static void free_some(size_t step) {
  for (size_t i = 0; i < BLOCKS; i += step) {
    if (blocks[i] == NULL) continue;
    EXPECT(blocks[i][0] == (char)i && blocks[i][size_of(i)] == (char)i);
    errno = ERRNO_MARK;
    free(blocks[i]);
    EXPECT(errno == ERRNO_MARK);
    blocks[i] = NULL;
  }
}

static void grow_whales(void) {
  for (size_t i = 0; i < BLOCKS; i += 8) {
    if (blocks[i] == NULL) continue;
    char* grown = realloc(blocks[i], size_of(i) * 2);
    if (grown != NULL) blocks[i] = grown;
    EXPECT(blocks[i][0] == (char)i && blocks[i][size_of(i)] == (char)i);
  }
}

static void spent_case(void) {
  if (memory_figure("/proc/sys/vm/max_map_count", "") > 4 * USUAL_LIMIT) {
    say("skipped: vm.max_map_count is too high here");
    return;
  }
  take_what_there_is();
  free_some(3);
  spend_all();
  for (int round = 0; round < 3; round++) {
    take_what_there_is();
    grow_whales();
    free_some(2);
    malloc_trim(0);
  }
  EXPECT(munmap(pages, pages_count * PAGE) == 0);
  take_what_there_is();
  for (size_t i = 0; i < BLOCKS; i++) EXPECT(blocks[i] != NULL);
  free_some(1);
  malloc_trim(0);
  const long before = memory_mappings();
  EXPECT(before < 200); /* it has forgotten nothing that it could not unmap then */
}

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  if (strcmp(argv[1], "few") == 0) {
    few_case();
  } else {
    EXPECT(strcmp(argv[1], "spent") == 0);
    spent_case();
  }
  say("ok");
  return 0;
}
