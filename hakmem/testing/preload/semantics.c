/* What C, POSIX and glibc's manual say of malloc and its relatives, through their standard names. */
#include <errno.h>
#include <malloc.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"
#include "hakmem/testing/harness/malloc_names.h"

/* Not declared by every libc; HAKMEM has them. */
__attribute__((weak)) void free_sized(void* ptr, size_t size);
__attribute__((weak)) void free_aligned_sized(void* ptr, size_t alignment, size_t size);
__attribute__((weak)) void cfree(void* ptr);

/* One of each kind that HAKMEM tells apart: three of the size classes, single-block slab, span, whale. */
static const volatile size_t kinds[] = {16, 1000, 5000, 100000, 300000, 3000000};
enum { KINDS = sizeof kinds / sizeof kinds[0], ERRNO_MARK = 12345 };

/* Sizes that no allocator can serve. These tables are volatile: compilers warn where they see such a constant, and
 * clang 14 crashes. */
static const volatile size_t too_big[] = {(size_t)PTRDIFF_MAX + 1, SIZE_MAX - 4096, SIZE_MAX - 1, SIZE_MAX};
enum { TOO_BIG = sizeof too_big / sizeof too_big[0] };

static bool is_filled(const char* block, char byte, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (block[i] != byte) return false;
  }
  return true;
}

/* Laundered: clang may drop an allocation whose block nobody uses, and take it as successful. */
#define EXPECT_NO_MEMORY(call)     \
  do {                             \
    errno = 0;                     \
    EXPECT(launder(call) == NULL); \
    EXPECT(errno == ENOMEM);       \
  } while (0)

static void zero_bytes(void) {
  char* a = launder(malloc(0));
  char* b = launder(malloc(0));
  char* c = launder(calloc(0, 8));
  char* d = launder(calloc(8, 0));
  EXPECT(a != NULL && b != NULL && c != NULL && d != NULL);
  EXPECT(a != b && a != c && a != d && b != c && b != d && c != d);
  free(a);
  free(b);
  free(c);
  free(d);
  free(NULL);
}

static void impossible_sizes(void) {
  char* kept = malloc(100);
  EXPECT(kept != NULL);
  memset(kept, 7, 100);
  for (size_t i = 0; i < TOO_BIG; i++) {
    EXPECT_NO_MEMORY(malloc(too_big[i]));
    EXPECT_NO_MEMORY(calloc(1, too_big[i]));
    EXPECT_NO_MEMORY(calloc(too_big[i], 1));
    EXPECT_NO_MEMORY(realloc(launder(kept), too_big[i]));
    EXPECT_NO_MEMORY(realloc(NULL, too_big[i]));
    EXPECT_NO_MEMORY(reallocarray(launder(kept), too_big[i], 1));
    EXPECT_NO_MEMORY(aligned_alloc(64, too_big[i]));
    EXPECT_NO_MEMORY(memalign(64, too_big[i]));
    EXPECT_NO_MEMORY(valloc(too_big[i]));
    EXPECT_NO_MEMORY(pvalloc(too_big[i]));
  }
  EXPECT_NO_MEMORY(pvalloc(PTRDIFF_MAX));
  EXPECT_NO_MEMORY(malloc(PTRDIFF_MAX));
  EXPECT(is_filled(kept, 7, 100));
  free(kept);
}

static void overflowing_products(void) {
  char* kept = malloc(100);
  EXPECT(kept != NULL);
  memset(kept, 7, 100);
  static const volatile size_t factors[][2] = {
      {SIZE_MAX, 2}, {2, SIZE_MAX}, {SIZE_MAX / 2 + 1, 2}, {(size_t)1 << 32, (size_t)1 << 32}, {SIZE_MAX, SIZE_MAX}};
  for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++) {
    EXPECT_NO_MEMORY(calloc(factors[i][0], factors[i][1]));
    EXPECT_NO_MEMORY(reallocarray(launder(kept), factors[i][0], factors[i][1]));
    EXPECT_NO_MEMORY(reallocarray(NULL, factors[i][0], factors[i][1]));
  }
  EXPECT(is_filled(kept, 7, 100));
  free(kept);
}

static void errno_is_kept(void) {
  for (size_t i = 0; i < KINDS; i++) {
    errno = ERRNO_MARK;
    char* block = malloc(kinds[i]);
    EXPECT(block != NULL && errno == ERRNO_MARK);
    block = realloc(block, kinds[i] * 3);
    EXPECT(block != NULL && errno == ERRNO_MARK);
    free(block);
    EXPECT(errno == ERRNO_MARK);
    block = calloc(1, kinds[i]);
    EXPECT(block != NULL && errno == ERRNO_MARK);
    free(block);
    EXPECT(errno == ERRNO_MARK);
  }
  malloc_trim(0);
  EXPECT(errno == ERRNO_MARK);
}

static void calloc_clears(void) {
  for (size_t i = 0; i < KINDS; i++) {
    for (int round = 0; round < 4; round++) {
      char* dirty = malloc(kinds[i]);
      EXPECT(dirty != NULL);
      memset(dirty, 0xff, kinds[i]);
      free(launder(dirty));
      char* clean = calloc(kinds[i], 1);
      EXPECT(clean != NULL && is_filled(clean, 0, kinds[i]));
      free(clean);
    }
  }
}

static void realloc_keeps_contents(void) {
  char* block = realloc(NULL, 1);
  EXPECT(block != NULL);
  *block = 5;
  size_t size = 1;
  for (; size < (size_t)16 << 20; size *= 3) {
    block = realloc(block, size * 3);
    EXPECT(block != NULL && is_filled(block, 5, size));
    memset(block, 5, size * 3);
  }
  for (; size > 1; size /= 3) {
    block = realloc(block, size / 3);
    EXPECT(block != NULL && is_filled(block, 5, size / 3));
  }
  EXPECT(realloc(block, 0) == NULL); /* frees, as glibc does */
}

static void alignments(void) {
  for (size_t size = 0; size < 3000; size += 7) {
    char* block = malloc(size);
    EXPECT(block != NULL && (uintptr_t)block % alignof(max_align_t) == 0);
    free(block);
  }
  for (size_t alignment = sizeof(void*); alignment <= (size_t)8 << 20; alignment *= 2) {
    void* blocks[4] = {aligned_alloc(alignment, 100), memalign(alignment, 100), NULL, memalign(alignment - 1, 100)};
    EXPECT(posix_memalign(&blocks[2], alignment, 100) == 0);
    for (int i = 0; i < 4; i++) {
      EXPECT(blocks[i] != NULL && (uintptr_t)blocks[i] % alignment == 0);
      memset(blocks[i], i, 100);
    }
    for (int i = 0; i < 4; i++) free(blocks[i]);
  }
}

static void bad_alignments(void) {
  static const volatile size_t bad[] = {0, 3, 48, 100, SIZE_MAX};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    errno = 0;
    EXPECT(aligned_alloc(bad[i], 96) == NULL && errno == EINVAL);
  }
  static const volatile size_t bad_for_posix[] = {0, 1, 2, 4, 24, 100, SIZE_MAX};
  for (size_t i = 0; i < sizeof bad_for_posix / sizeof bad_for_posix[0]; i++) {
    void* out = &out;
    errno = ERRNO_MARK;
    EXPECT(posix_memalign(&out, bad_for_posix[i], 96) == EINVAL);
    EXPECT(out == &out && errno == ERRNO_MARK);
  }
  void* out = &out;
  EXPECT(posix_memalign(&out, 64, too_big[0]) == ENOMEM);
  EXPECT(posix_memalign(&out, 64, SIZE_MAX) == ENOMEM);
  EXPECT(out == &out && errno == ERRNO_MARK);
  static const volatile size_t odd = 48;
  void* rounded = memalign(odd, 100); /* to 64, as glibc does */
  EXPECT(rounded != NULL && (uintptr_t)rounded % 64 == 0);
  free(rounded);
}

static void pages(void) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 70000};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    char* whole = pvalloc(sizes[i]);
    char* plain = valloc(sizes[i]);
    EXPECT(whole != NULL && (uintptr_t)whole % page == 0);
    EXPECT(plain != NULL && (uintptr_t)plain % page == 0);
    EXPECT(malloc_usable_size(whole) >= (sizes[i] + page - 1) / page * page);
    free(whole);
    free(plain);
  }
}

static void usable_sizes(void) {
  EXPECT(malloc_usable_size(NULL) == 0);
  for (size_t i = 0; i < KINDS; i++) {
    char* block = malloc(kinds[i]);
    const size_t usable = malloc_usable_size(block);
    EXPECT(usable >= kinds[i]);
    memset(block, 3, usable);
    char* neighbour = malloc(kinds[i]);
    memset(neighbour, 4, malloc_usable_size(neighbour));
    EXPECT(is_filled(block, 3, usable) && malloc_usable_size(block) == usable);
    free(neighbour);
    free(block);
  }
}

static void newer_and_older_names(void) {
  if (free_sized != NULL) free_sized(malloc(100), 100);
  if (free_sized != NULL) free_sized(NULL, 0);
  if (free_aligned_sized != NULL) free_aligned_sized(aligned_alloc(256, 512), 256, 512);
  if (cfree != NULL) cfree(malloc(100));
}

int main(void) {
  zero_bytes();
  impossible_sizes();
  overflowing_products();
  errno_is_kept();
  calloc_clears();
  realloc_keeps_contents();
  alignments();
  bad_alignments();
  pages();
  usable_sizes();
  newer_and_older_names();
  say("ok");
  return 0;
}
