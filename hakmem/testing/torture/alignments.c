/* Alignments up to the size of the address space: served, or NULL with the right errno. */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

enum { LARGEST_SURE = 36, ERRNO_MARK = 4711 };

static int is_aligned(const void* block, size_t alignment) { return ((uintptr_t)block & (alignment - 1)) == 0; }

static void check(char* block, size_t alignment, size_t size) {
  EXPECT(is_aligned(block, alignment));
  EXPECT(malloc_usable_size(block) >= size);
  block[0] = 1;
  block[size - 1] = 2;
}

/* 64 GiB aligned to 64 GiB need 128 GiB of address space for a moment, and no memory. */
static void huge_ones(void) {
  static const size_t sizes[] = {1, 5000, 400000, 5000000};
  for (int bits = 20; bits <= LARGEST_SURE; bits++) {
    const size_t alignment = (size_t)1 << bits;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
      void* blocks[3] = {aligned_alloc(alignment, sizes[i]), memalign(alignment - 1, sizes[i]), NULL};
      EXPECT(posix_memalign(&blocks[2], alignment, sizes[i]) == 0);
      for (int b = 0; b < 3; b++) {
        EXPECT(blocks[b] != NULL);
        check(blocks[b], alignment, sizes[i]);
      }
      char* moved = realloc(blocks[1], sizes[i] * 3); /* may lose the alignment, as everywhere */
      EXPECT(moved != NULL && moved[0] == (sizes[i] == 1 ? 2 : 1));
      free(blocks[0]);
      free(moved);
      free(blocks[2]);
    }
  }
}

static void impossible_ones(void) {
  for (int bits = 48; bits < 64; bits++) {
    const size_t alignment = (size_t)1 << bits;
    errno = 0;
    EXPECT(launder(aligned_alloc(alignment, 100)) == NULL && errno == ENOMEM);
    errno = 0;
    EXPECT(launder(memalign(alignment, 100)) == NULL && errno == ENOMEM);
    errno = ERRNO_MARK;
    void* out = &out;
    EXPECT(posix_memalign(&out, alignment, 100) == ENOMEM && out == &out && errno == ERRNO_MARK);
  }
}

/* In between either answer is right. */
static void doubtful_ones(void) {
  for (int bits = LARGEST_SURE + 1; bits < 48; bits++) {
    const size_t alignment = (size_t)1 << bits;
    errno = ERRNO_MARK;
    void* block = aligned_alloc(alignment, 100);
    EXPECT(block == NULL ? errno == ENOMEM : is_aligned(block, alignment) && errno == ERRNO_MARK);
    free(block);
  }
}

int main(void) {
  huge_ones();
  impossible_ones();
  doubtful_ones();
  free(launder(malloc(100)));
  say("ok");
  return 0;
}
