/* Purpose: the arithmetic of sampling: when the next sample comes, and for how much one stands.
 * Owns: nothing.
 * Invariants:
 *   1. Distances between samples are exponential with the mean asked for, so that a block of s bytes, which takes s + 1
 *      of them, is sampled with probability 1 - exp(-(s + 1) / mean) whatever was allocated before it, and stands for the
 *      reciprocal of that.
 * Threads: any.  Cost: some twenty multiplications.  Fails: never.  Fork: nothing to do.
 *
 * libm is not among what the allocator may need, so logarithm and exponential are here: to 12 digits, of which 3 would do. */
#ifndef HAKMEM_PROFILE_ESTIMATE_H_
#define HAKMEM_PROFILE_ESTIMATE_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

enum {
  /** Weights are in parts of a block. */
  HAK_PROFILE_WEIGHT_ONE = 256
};

/** Natural logarithm of `x`, which is above 0. */
double hak_profile_log(double x);

/** 1 - exp(-x), for x from 0 on. */
double hak_profile_one_minus_exp(double x);

/** Bytes to the next sample, at least 1. `random` is any 64 bits, uniformly distributed. */
uint64_t hak_profile_distance(uint64_t random, uint64_t mean_bytes);

/** For how many blocks a sampled one of `size_bytes` stands, in parts of HAK_PROFILE_WEIGHT_ONE. */
uint64_t hak_profile_weight(uint64_t size_bytes, uint64_t mean_bytes);

/** The `n`th of a sequence of random numbers. */
uint64_t hak_profile_random(uint64_t n);

HAK_END_DECLS

#endif /* HAKMEM_PROFILE_ESTIMATE_H_ */
