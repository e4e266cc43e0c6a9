/* CASE FUNCTION: hands HAKMEM a block that is not its own.
 *   libc      of the malloc inside libc that the preloaded one stands before
 *   linked    of another libc, in a name space of its own
 *   break     of the program's break
 * The block is given to `free`, `realloc` or `size` (malloc_usable_size). Prints the pointer, and how it went on. */
#include <dlfcn.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"
#include "hakmem/testing/harness/malloc_names.h"

enum { BYTES = 200 };

static char* block_of_library(void* library) {
  EXPECT(library != NULL);
  void* (*its_malloc)(size_t) = (void* (*)(size_t))dlsym(library, "malloc");
  EXPECT(its_malloc != NULL && its_malloc != malloc);
  return its_malloc(BYTES);
}

static char* foreign_block(const char* from) {
  if (strcmp(from, "libc") == 0) return block_of_library(dlopen("libc.so.6", RTLD_NOW));
  if (strcmp(from, "linked") == 0) return block_of_library(dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW));
  EXPECT(strcmp(from, "break") == 0);
  return sbrk(BYTES);
}

static void use_heap(void) {
  char* blocks[500];
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < 500; i++) {
      blocks[i] = malloc(BYTES);
      EXPECT(blocks[i] != NULL);
      memset(blocks[i], i, BYTES);
    }
    for (int i = 0; i < 500; i++) {
      EXPECT(blocks[i][0] == (char)i && blocks[i][BYTES - 1] == (char)i);
      free(blocks[i]);
    }
  }
  malloc_trim(0);
}

int main(int argc, char** argv) {
  EXPECT(argc == 3);
  use_heap();
  char* block = foreign_block(argv[1]);
  EXPECT(block != NULL);
  memset(block, 5, BYTES);
  char line[64];
  snprintf(line, sizeof line, "0x%llx", (unsigned long long)(uintptr_t)block);
  say(line);
  errno = 4711;
  if (strcmp(argv[2], "free") == 0) {
    free(launder(block));
    EXPECT(errno == 4711);
  } else if (strcmp(argv[2], "realloc") == 0) {
    EXPECT(realloc(launder(block), (size_t)BYTES * 2) == NULL && errno == EINVAL);
  } else {
    EXPECT(strcmp(argv[2], "size") == 0);
    EXPECT(malloc_usable_size(launder(block)) == 0);
  }
  for (int i = 0; i < BYTES; i++) EXPECT(((volatile char*)block)[i] == 5);
  use_heap();
  say("went on");
  return 0;
}
