/* Purpose: bit scans on words.
 * Owns: nothing.  Threads: any.  Cost: one to twenty instructions.  Fails: never.  Fork: nothing to do.
 * Invariants:
 *   1. Scans are only defined on words that are not zero; callers test first. */
#ifndef HAKMEM_BASE_BITS_H_
#define HAKMEM_BASE_BITS_H_

#include "hakmem/base/base.h"

/** Index of the lowest set bit of `word`, which is not zero. */
HAK_ALWAYS_INLINE uint32_t hak_bits_lowest(uint64_t word) { return (uint32_t)__builtin_ctzll(word); }

/** Index of the highest set bit of `word`, which is not zero. */
HAK_ALWAYS_INLINE uint32_t hak_bits_highest(uint64_t word) { return 63u - (uint32_t)__builtin_clzll(word); }

HAK_ALWAYS_INLINE uint32_t hak_bits_count(uint64_t word) {
#if defined(__POPCNT__) || defined(__aarch64__)
  return (uint32_t)__builtin_popcountll(word);
#else
  /* Sums of two, four and eight bits side by side; the builtin would be a call of a table. */
  word -= (word >> 1) & 0x5555555555555555;
  word = (word & 0x3333333333333333) + ((word >> 2) & 0x3333333333333333);
  word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
  return (uint32_t)((word * 0x0101010101010101) >> 56);
#endif
}

/** Sets bit `n` % 64 of *word. Returns whether it was set before. */
HAK_ALWAYS_INLINE bool hak_bits_set(uint64_t* word, uint64_t n) {
#if defined(__x86_64__)
  /* One instruction. gcc 12 takes it for `1 << n` too, but not in a loop, where it keeps the 1 in a register and shifts it. */
  bool was_set;
  __asm__("btsq %2, %0" : "+r"(*word), "=@ccc"(was_set) : "r"(n));
  return was_set;
#else
  const uint64_t bit = 1ull << (n % 64);
  const bool was_set = (*word & bit) != 0;
  *word |= bit;
  return was_set;
#endif
}

/** A word with the `count` lowest bits set; `count` is 0 to 64. */
HAK_ALWAYS_INLINE uint64_t hak_bits_low_mask(uint32_t count) { return count >= 64 ? ~0ull : (1ull << count) - 1; }

/** Takes the lowest run of adjacent set bits out of *word, which is not zero, and returns it. */
HAK_ALWAYS_INLINE uint64_t hak_bits_take_run(uint64_t* word) {
  const uint64_t lowest = *word & -*word;
  const uint64_t run = *word & ~(*word + lowest); /* the carry ends where the run does */
  *word &= ~run;
  return run;
}

/** Lowest position of `count` (1 to 32) adjacent set bits in `mask`, or -1 where there is no such run.
 *  Cost: O(log count). */
HAK_ALWAYS_INLINE int hak_bits_find_run(uint32_t mask, uint32_t count) {
  uint32_t starts = mask;
  uint32_t covered = 1;
  while (covered < count) {
    const uint32_t step = covered < count - covered ? covered : count - covered;
    starts &= starts >> step;
    covered += step;
  }
  return starts == 0 ? -1 : __builtin_ctz(starts);
}

#endif /* HAKMEM_BASE_BITS_H_ */
