/* Purpose: a fast, repeatable random number generator (xorshift64*), the same stream for every allocator.
 * Owns: nothing.  Threads: one generator a thread.  Cost: about 2 ns.
 * Invariants:
 *   1. The state is never 0. */
#ifndef BENCH_SUPPORT_RNG_H_
#define BENCH_SUPPORT_RNG_H_

#include <stddef.h>
#include <stdint.h>

typedef struct bench_rng {
  uint64_t state;
} bench_rng;

static inline bench_rng bench_rng_seed(uint64_t seed) { return (bench_rng){(seed + 1) * 0x9e3779b97f4a7c15u | 1u}; }

static inline uint64_t bench_rng_next(bench_rng* rng) {
  uint64_t x = rng->state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  rng->state = x;
  return x * 0x2545f4914f6cdd1du;
}

/** `bits`, 32 random ones, scaled to [0, bound) without a division; `bound` is below 2^32. */
static inline uint64_t bench_rng_scale(uint64_t bits, uint64_t bound) { return ((bits & 0xffffffffu) * bound) >> 32; }

/** A size in [min, max], evenly spread, from 32 random bits. */
static inline size_t bench_rng_size(uint64_t bits, uint64_t min, uint64_t max) {
  return (size_t)(min + bench_rng_scale(bits, max - min + 1));
}

/** A size in [16, 32 KiB) each doubling as likely as the next: many small ones, most bytes in large ones. */
static inline size_t bench_rng_log_size(uint64_t bits) {
  const uint64_t least = UINT64_C(16) << bench_rng_scale(bits >> 32, 11);
  return (size_t)(least + bench_rng_scale(bits, least));
}

#endif /* BENCH_SUPPORT_RNG_H_ */
