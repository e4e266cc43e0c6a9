#include "stress/support/block.h"

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
  MAX_ALIGN_SHIFT = 13
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

static void expect_zero(const void* block, size_t size_bytes) {
  for (size_t at = 0; at + WORD_BYTES <= size_bytes; at = next_offset(at)) expect(block, at, 0);
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

static void* new_aligned(bench_rng* rng, size_t size_bytes) {
  const size_t alignment = (size_t)1 << bench_rng_scale(bench_rng_next(rng), MAX_ALIGN_SHIFT + 1);
  void* block = hak_aligned_alloc(alignment, size_bytes);
  const uint64_t below = (uintptr_t)block & (alignment - 1);
  if (below != 0) die_of_damage(block, 0, 0, below);
  return block;
}

void* stress_block_new_sized(bench_rng* rng, size_t size_bytes) {
  void* block;
  switch ((bench_rng_next(rng) >> 32) % 8) {
    case 0:
    case 1:
      block = hak_calloc(1, size_bytes);
      if (block != NULL) expect_zero(block, size_bytes);
      break;
    case 2: block = new_aligned(rng, size_bytes); break;
    case 3: block = hak_realloc(NULL, size_bytes); break;
    default: block = hak_malloc(size_bytes); break;
  }
  if (block == NULL) die_of_want(size_bytes);
  const uint64_t below = (uintptr_t)block % MIN_ALIGN_BYTES;
  if (below != 0) die_of_damage(block, 0, 0, below);
  return fill(block, size_bytes);
}

void* stress_block_new(bench_rng* rng) { return stress_block_new_sized(rng, pick_size(rng)); }

void stress_block_check(const void* block) { check(block); }

void* stress_block_resize(void* block, bench_rng* rng) {
  const size_t old_bytes = check(block);
  const uint64_t tag = load(block, TAG_OFFSET);
  const size_t size_bytes = pick_size(rng);
  void* moved = hak_realloc(block, size_bytes);
  if (moved == NULL) die_of_want(size_bytes);
  const size_t patterned_bytes = old_bytes - WORD_BYTES;
  expect(moved, 0, old_bytes);
  expect_pattern(moved, patterned_bytes < size_bytes ? patterned_bytes : size_bytes, tag);
  return fill(moved, size_bytes);
}

void stress_block_free(void* block, bench_rng* rng) {
  const size_t size_bytes = check(block);
  store(block, TAG_OFFSET, ~load(block, TAG_OFFSET)); /* dead: nobody may find it whole again */
  switch ((bench_rng_next(rng) >> 32) % 4) {
    case 0: hak_free_sized(block, size_bytes); break;
    case 1: hak_free_batch(&block, 1); break;
    default: hak_free(block); break;
  }
}
