/* Purpose: blocks used as a real program uses them: a new one is written to, one about to be freed is read.
 * Owns: nothing.
 * Invariants:
 *   1. bench_block_new writes the first byte; bench_block_free reads it back and ends the program with status 3
 *      where it changed, so an allocator that hands one block out twice fails the row instead of winning it.
 *   2. The pointer passes an asm barrier: no compiler may pair a malloc with its free and drop both.
 * Threads: any.  Cost: one store, one load and a predicted branch a block. */
#ifndef BENCH_SUPPORT_BLOCK_H_
#define BENCH_SUPPORT_BLOCK_H_

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "bench/support/run.h"

enum { BENCH_PAGE_BYTES = 4096 };

/** Makes the compiler assume that `block` escaped and that memory behind it changed. */
static inline void bench_keep(void* block) { __asm__ volatile("" : : "r"(block) : "memory"); }

/** `block`, or the end of the program where it is NULL. */
static inline void* bench_block_check(void* block) {
  if (__builtin_expect(block == NULL, 0)) bench_die(BENCH_EXIT_FAILED, "out of memory");
  bench_keep(block);
  return block;
}

static inline void bench_block_mark(void* block, uint64_t tag) { *(volatile unsigned char*)block = (unsigned char)tag; }

static inline void bench_block_verify(const void* block, uint64_t tag) {
  const unsigned char found = *(const volatile unsigned char*)block;
  if (__builtin_expect(found != (unsigned char)tag, 0)) {
    bench_die(BENCH_EXIT_CORRUPT, "a block lost its contents");
  }
}

/** A new block of `size` bytes (1 or more) whose first byte holds the low byte of `tag`. */
static inline void* bench_block_new(size_t size, uint64_t tag) {
  void* block = bench_block_check(malloc(size));
  bench_block_mark(block, tag);
  return block;
}

/** Checks the tag that bench_block_new wrote, then frees the block. */
static inline void bench_block_free(void* block, uint64_t tag) {
  bench_block_verify(block, tag);
  free(block);
}

/** Writes one byte in each page of [from, size) of `block`. */
static inline void bench_block_touch_pages(void* block, size_t from, size_t size) {
  volatile unsigned char* bytes = block;
  for (size_t at = from; at < size; at += BENCH_PAGE_BYTES) bytes[at] = 1;
}

#endif /* BENCH_SUPPORT_BLOCK_H_ */
