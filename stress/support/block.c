#include "stress/support/block.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/support/args.h"
#include <hakmem/hakmem.h>

enum {
  WORD_BYTES = 8,
  TAG_OFFSET = WORD_BYTES,
  HEADER_BYTES = 2 * WORD_BYTES,
  /* Words of the pattern lie side by side up to here, and a page apart from then on. */
  DENSE_BYTES = 1024,
  PAGE_BYTES = 4096,
  MIN_ALIGN_BYTES = 16,
  MAX_ALIGN_SHIFT = 13,
  MAX_RARE_ALIGN_SHIFT = 22,
  RARE_ALIGN_ONE_IN = 64,
  DIRTY_ONE_IN = 8,
  DIRT = 0xa5
};

_Static_assert(STRESS_BLOCK_MIN_BYTES == HEADER_BYTES + WORD_BYTES, "room for the header and the last word");

/* _exit: the process may be a child of fork, or have a broken heap. */
_Noreturn static void die_of_damage(const void* block, size_t offset, uint64_t expected, uint64_t found) {
  char line[200];
  const int length = snprintf(
      line, sizeof line, "stress: block %p is damaged at offset %zu: expected %016" PRIx64 ", found %016" PRIx64 "\n",
      block, offset, expected, found);
  if (write(STDERR_FILENO, line, (size_t)length) != length) _exit(BENCH_EXIT_FAILED);
  _exit(BENCH_EXIT_CORRUPT);
}

_Noreturn static void die_of_want(size_t size_bytes) {
  fprintf(stderr, "stress: no memory for %zu bytes\n", size_bytes);
  _exit(BENCH_EXIT_FAILED);
}

/* NULL has been returned: for want of memory, says errno. */
static void expect_no_memory(void) {
  if (errno == ENOMEM) return;
  fprintf(stderr, "stress: NULL came with errno %d, not ENOMEM\n", errno);
  _exit(BENCH_EXIT_CORRUPT);
}

static uint64_t load(const void* block, size_t offset) {
  uint64_t word;
  memcpy(&word, (const char*)block + offset, sizeof word);
  return word;
}

static void store(void* block, size_t offset, uint64_t word) { memcpy((char*)block + offset, &word, sizeof word); }

static void expect(const void* block, size_t offset, uint64_t word) {
  const uint64_t found = load(block, offset);
  if (__builtin_expect(found != word, 0)) die_of_damage(block, offset, word, found);
}

static uint64_t tag_of(const void* block, size_t size_bytes) {
  uint64_t tag = ((uint64_t)(uintptr_t)block ^ ((uint64_t)size_bytes << 20)) * 0x9e3779b97f4a7c15u;
  return tag ^ (tag >> 29);
}

static uint64_t word_at(uint64_t tag, size_t offset) { return (tag + offset) * 0xbf58476d1ce4e5b9u; }

static size_t next_offset(size_t offset) { return offset + (offset < DENSE_BYTES ? WORD_BYTES : PAGE_BYTES); }

/* The block's first `count_bytes` against the pattern of `tag`. */
static void expect_pattern(const void* block, size_t count_bytes, uint64_t tag) {
  for (size_t at = HEADER_BYTES; at + WORD_BYTES <= count_bytes; at = next_offset(at))
    expect(block, at, word_at(tag, at));
}

/* All of it: a page that came back dirty may be dirty anywhere. */
static void expect_zero(const void* block, size_t size_bytes) {
  for (size_t at = 0; at + WORD_BYTES <= size_bytes; at += WORD_BYTES) expect(block, at, 0);
  expect(block, size_bytes - WORD_BYTES, 0);
}

static void* fill(void* block, size_t size_bytes) {
  const uint64_t tag = tag_of(block, size_bytes);
  const size_t last = size_bytes - WORD_BYTES;
  store(block, 0, size_bytes);
  store(block, TAG_OFFSET, tag);
  for (size_t at = HEADER_BYTES; at + WORD_BYTES <= last; at = next_offset(at)) store(block, at, word_at(tag, at));
  store(block, last, word_at(tag, last));
  return block;
}

/* Checks the block; returns its size. */
static size_t check(const void* block) {
  const size_t size_bytes = load(block, 0);
  expect(block, TAG_OFFSET, tag_of(block, size_bytes)); /* vouches for the size as well */
  const uint64_t tag = load(block, TAG_OFFSET);
  const size_t last = size_bytes - WORD_BYTES;
  expect_pattern(block, last, tag);
  expect(block, last, word_at(tag, last));
  return size_bytes;
}

static size_t pick_size(bench_rng* rng) {
  const uint64_t bits = bench_rng_next(rng);
  const uint64_t kind = (bits >> 32) % 1000;
  const size_t max = kind < 600 ? 512 : kind < 850 ? 8 << 10 : kind < 970 ? 64 << 10 : kind < 998 ? 512 << 10 : 3 << 20;
  return bench_rng_size(bits, STRESS_BLOCK_MIN_BYTES, max);
}

static void expect_aligned(const void* block, size_t alignment) {
  const uint64_t below = (uintptr_t)block & (alignment - 1);
  if (below != 0) die_of_damage(block, 0, 0, below);
}

static void* new_aligned(bench_rng* rng, size_t size_bytes) {
  const uint64_t bits = bench_rng_next(rng) >> 32;
  const unsigned max_shift = bits % RARE_ALIGN_ONE_IN == 0 ? MAX_RARE_ALIGN_SHIFT : MAX_ALIGN_SHIFT;
  size_t alignment = (size_t)1 << bench_rng_scale(bench_rng_next(rng), max_shift + 1);
  void* block = NULL;
  switch ((bits >> 8) % 3) {
    case 0: block = hak_aligned_alloc(alignment, size_bytes); break;
    case 1: block = hak_memalign(alignment, size_bytes); break;
    default:
      if (alignment < sizeof(void*)) alignment = sizeof(void*);
      errno = hak_posix_memalign(&block, alignment, size_bytes);
  }
  if (block != NULL) expect_aligned(block, alignment);
  return block;
}

static void* new_zeroed(bench_rng* rng, size_t size_bytes) {
  void* block = bench_rng_next(rng) >> 63 == 0 ? hak_calloc(1, size_bytes) : hak_rezalloc(NULL, 0, size_bytes);
  if (block != NULL) expect_zero(block, size_bytes);
  return block;
}

static void* new_of_batch(size_t size_bytes) {
  void* block = NULL;
  return hak_malloc_batch(size_bytes, 1, &block) == 1 ? block : NULL;
}

void* stress_block_try_new(bench_rng* rng, size_t size_bytes) {
  void* block;
  errno = 0;
  switch ((bench_rng_next(rng) >> 32) % 16) {
    case 0:
    case 1:
    case 2:
    case 3: block = new_zeroed(rng, size_bytes); break;
    case 4:
    case 5: block = new_aligned(rng, size_bytes); break;
    case 6: block = hak_realloc(NULL, size_bytes); break;
    case 7: block = hak_reallocarray(NULL, 1, size_bytes); break;
    case 8: block = new_of_batch(size_bytes); break;
    default: block = hak_malloc(size_bytes); break;
  }
  if (block == NULL) {
    expect_no_memory();
    return NULL;
  }
  expect_aligned(block, MIN_ALIGN_BYTES);
  return fill(block, size_bytes);
}

void* stress_block_new_sized(bench_rng* rng, size_t size_bytes) {
  void* block = stress_block_try_new(rng, size_bytes);
  if (block == NULL) die_of_want(size_bytes);
  return block;
}

void* stress_block_new(bench_rng* rng) { return stress_block_new_sized(rng, pick_size(rng)); }

void* stress_block_begin(void* memory, size_t size_bytes) {
  expect_aligned(memory, MIN_ALIGN_BYTES);
  return fill(memory, size_bytes);
}

size_t stress_block_check(const void* block) { return check(block); }

size_t stress_block_end(void* block) {
  const size_t size_bytes = check(block);
  store(block, TAG_OFFSET, ~load(block, TAG_OFFSET)); /* dead: nobody may find it whole again */
  return size_bytes;
}

/* `block` with another size by one of the ways there are; NULL: as it was. */
static void* reallocate(void* block, size_t old_bytes, size_t size_bytes, bench_rng* rng) {
  errno = 0;
  switch ((bench_rng_next(rng) >> 32) % 8) {
    case 0: return hak_reallocarray(block, 1, size_bytes);
    case 1:
      block = hak_rezalloc(block, old_bytes, size_bytes);
      if (block != NULL && size_bytes >= old_bytes + WORD_BYTES) {
        expect_zero((char*)block + old_bytes, size_bytes - old_bytes);
      }
      return block;
    case 2:
      if (hak_expand(block, size_bytes) != NULL) return block;
      break;
    default: break;
  }
  return hak_realloc(block, size_bytes);
}

bool stress_block_try_resize(void** block, size_t size_bytes, bench_rng* rng) {
  const size_t old_bytes = check(*block);
  const uint64_t tag = load(*block, TAG_OFFSET);
  /* Where both sizes agree: the pattern up to the smaller size's last word, and that word too. */
  const size_t last = (old_bytes < size_bytes ? old_bytes : size_bytes) - WORD_BYTES;
  store(*block, last, word_at(tag, last));
  void* moved = reallocate(*block, old_bytes, size_bytes, rng);
  if (moved == NULL) expect_no_memory();
  const void* now = moved == NULL ? *block : moved;
  expect(now, 0, old_bytes);
  expect_pattern(now, last, tag);
  expect(now, last, word_at(tag, last));
  *block = fill(moved == NULL ? *block : moved, moved == NULL ? old_bytes : size_bytes);
  return moved != NULL;
}

void* stress_block_resize_to(void* block, size_t size_bytes, bench_rng* rng) {
  if (!stress_block_try_resize(&block, size_bytes, rng)) die_of_want(size_bytes);
  return block;
}

void* stress_block_resize(void* block, bench_rng* rng) { return stress_block_resize_to(block, pick_size(rng), rng); }

/* What comes next in these pages must not take this for zeros. */
static void make_dirty(void* block, size_t size_bytes, bench_rng* rng) {
  if ((bench_rng_next(rng) >> 32) % DIRTY_ONE_IN == 0) memset(block, DIRT, size_bytes);
}

void stress_block_free(void* block, bench_rng* rng) {
  const size_t size_bytes = stress_block_end(block);
  make_dirty(block, size_bytes, rng);
  switch ((bench_rng_next(rng) >> 32) % 8) {
    case 0:
    case 1: hak_free_sized(block, size_bytes); break;
    case 2: hak_free_batch(&block, 1); break;
    case 3:
      if (hak_realloc(block, 0) != NULL) die_of_damage(block, 0, 0, 1);
      break;
    default: hak_free(block); break;
  }
}
