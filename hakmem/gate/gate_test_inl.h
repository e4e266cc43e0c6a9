/* Private to the tests of the gate: what every one of them starts from, and patterns that tell blocks apart. */
#ifndef HAKMEM_GATE_GATE_TEST_INL_H_
#define HAKMEM_GATE_GATE_TEST_INL_H_

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <vector>

#include "hakmem/base/checks.h"
#include "hakmem/config/config.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

inline constexpr size_t kKiB = 1024;
inline constexpr size_t kMiB = 1024 * kKiB;
inline constexpr size_t kTooMuch = static_cast<size_t>(PTRDIFF_MAX) + 1;

// Sizes around the borders of every kind of block: classes, spans, whales.
inline std::vector<size_t> BorderSizes() {
  std::vector<size_t> sizes = {0, 1, 2, 8};
  for (size_t size = 16; size <= 4 * kMiB; size += size / 4) {
    for (const size_t near : {size - 1, size, size + 1}) sizes.push_back(near);
  }
  for (const size_t border : {kKiB, 4 * kKiB, 32 * kKiB, 64 * kKiB, 256 * kKiB, 1984 * kKiB, 2 * kMiB}) {
    for (const size_t near : {border - 1, border, border + 1}) sizes.push_back(near);
  }
  return sizes;
}

// One size a kind of block.
inline std::vector<size_t> KindSizes() { return {24, 1000, 5000, 40 * kKiB, 200 * kKiB, 500 * kKiB, 3 * kMiB}; }

// Bytes 8 * i to 8 * i + 7 of the pattern of `seed`. What is filled longer holds what is filled shorter.
inline uint64_t PatternWord(size_t seed, size_t i) { return (seed * 0x10001 + i + 1) * 0x9e3779b97f4a7c15; }

inline void Fill(void* block, size_t size, size_t seed) {
  char* bytes = static_cast<char*>(block);
  for (size_t i = 0; i < size; i += 8) {
    const uint64_t word = PatternWord(seed, i / 8);
    memcpy(bytes + i, &word, size - i < 8 ? size - i : 8);
  }
}

inline bool Holds(const void* block, size_t size, size_t seed) {
  const char* bytes = static_cast<const char*>(block);
  for (size_t i = 0; i < size; i += 8) {
    const uint64_t word = PatternWord(seed, i / 8);
    if (memcmp(bytes + i, &word, size - i < 8 ? size - i : 8) != 0) return false;
  }
  return true;
}

inline bool IsZero(const void* block, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(block);
  return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

inline bool IsAligned(const void* block, size_t alignment) {
  return reinterpret_cast<uintptr_t>(block) % alignment == 0;
}

// errno is 1234 at the start of a test: whatever else it is at the end was set by what the test called. The clock stands
// still: what is free does not decay, and an exchange does not end, just because a test takes its time.
class Gate : public testing::Test {
 protected:
  static constexpr int kErrno = 1234;

  void SetUp() override {
    hak_os_fake_reset();
    hak_os_fake_set_clock_ms(hak_os_now_ms());
    errno = kErrno;
  }

  void TearDown() override {
    hak_os_fake_reset();
    hak_set_error_action(HAK_ERROR_ABORT);
    hak_trim();
  }

  // Runs `act` with every new mapping refused, and nothing free left in this thread's hands.
  template <typename Act>
  static void WithoutMemory(Act act) {
    hak_trim();
    hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
    hak_os_fake_fail_from(HAK_OS_FAKE_MREMAP, 1, ENOMEM);
    act();
    hak_os_fake_fail_never(HAK_OS_FAKE_MMAP);
    hak_os_fake_fail_never(HAK_OS_FAKE_MREMAP);
  }
};

#endif /* HAKMEM_GATE_GATE_TEST_INL_H_ */
