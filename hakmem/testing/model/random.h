/* Purpose: random numbers and request sizes that are the same in every run of the same seed.
 * Owns: nothing.  Threads: one a generator. */
#ifndef HAKMEM_TESTING_MODEL_RANDOM_H_
#define HAKMEM_TESTING_MODEL_RANDOM_H_

#include <stddef.h>
#include <stdint.h>

namespace hak_model {

// splitmix64.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t n = state_ += 0x9e3779b97f4a7c15u;
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u;
    n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
    return n ^ (n >> 31);
  }

  // 0 to limit - 1; 0 for a limit of 0.
  uint64_t Below(uint64_t limit) { return limit == 0 ? 0 : Next() % limit; }

  // True once in `n` calls.
  bool OneIn(uint64_t n) { return Below(n) == 0; }

 private:
  uint64_t state_;
};

// 0 to `max_bytes`: each binary order of magnitude is half as likely as the one before, so that most requests are as
// small as a program's are, and every size class, span and whale still comes up. Sizes right at a power of two, and one
// byte to either side of it, come up often.
inline size_t SkewedSize(Random* random, size_t max_bytes) {
  unsigned magnitude = 4;
  while ((size_t{1} << magnitude) < max_bytes && random->Below(16) < 10) magnitude++;
  const size_t top = size_t{1} << magnitude;
  const size_t bytes = random->OneIn(8) ? top - 1 + random->Below(3) : random->Below(top + 1);
  return bytes > max_bytes ? max_bytes : bytes;
}

}  // namespace hak_model

#endif  // HAKMEM_TESTING_MODEL_RANDOM_H_
