/* Purpose: a fuzzer's bytes as values: every input decodes, however short, and similar inputs decode to similar values.
 * Owns: nothing; a view of the caller's bytes.
 * Invariants:
 *   1. Bytes are used front to back, each once; when there are none left every value is 0.
 *   2. The same bytes give the same values in every build.
 * Threads: an Input belongs to one thread.  Fails: never. */
#ifndef FUZZ_INPUT_H_
#define FUZZ_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

/** Ends the program with the place and the condition when `condition` does not hold, in every build. */
#define FUZZ_CHECK(condition) ((condition) ? static_cast<void>(0) : fuzz::FailedCheck(__FILE__, __LINE__, #condition))

namespace fuzz {

[[noreturn]] inline void FailedCheck(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
  std::abort();
}

class Input {
 public:
  Input(const uint8_t* data, size_t size_bytes) : next_(data), end_(data + size_bytes) {}

  bool IsUsedUp() const { return next_ == end_; }

  uint8_t TakeByte() { return IsUsedUp() ? uint8_t{0} : *next_++; }

  bool TakeBool() { return (TakeByte() & 1) != 0; }

  /** A number of `bytes` bytes (8 at most), the lowest first. */
  uint64_t TakeNumber(int bytes) {
    uint64_t number = 0;
    for (int i = 0; i < bytes; i++) number |= static_cast<uint64_t>(TakeByte()) << (8 * i);
    return number;
  }

  /** A number below `bound` (1 or more), from as few bytes as that takes. */
  uint64_t TakeBelow(uint64_t bound) {
    int bytes = 0;
    for (uint64_t rest = bound - 1; rest != 0; rest >>= 8) bytes++;
    return TakeNumber(bytes) % bound;
  }

  /** Up to 255 bytes: their number comes first. */
  std::string TakeText() {
    const size_t wanted = TakeByte();
    const size_t left = static_cast<size_t>(end_ - next_);
    const size_t length = wanted < left ? wanted : left;
    std::string text(reinterpret_cast<const char*>(next_), length);
    next_ += length;
    return text;
  }

 private:
  const uint8_t* next_;
  const uint8_t* end_;
};

}  // namespace fuzz

#endif  // FUZZ_INPUT_H_
