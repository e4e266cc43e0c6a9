#include "hakmem/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "hakmem/base/atomics.h"
#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/base/control.h"
#include "hakmem/base/print.h"
#include "hakmem/base/test_one_line.h"
#include "hakmem/base/thread.h"

#include "gtest/gtest.h"

namespace {

// --- base.h ---

TEST(Base, RoundUp) {
  EXPECT_EQ(hak_round_up(0, 16), 0u);
  EXPECT_EQ(hak_round_up(1, 16), 16u);
  EXPECT_EQ(hak_round_up(16, 16), 16u);
  EXPECT_EQ(hak_round_up(17, 16), 32u);
  EXPECT_EQ(hak_round_up(SIZE_MAX - 65535, 65536), SIZE_MAX - 65535);
}

TEST(Base, IsPowerOfTwo) {
  EXPECT_FALSE(hak_is_power_of_two(0));
  for (uint32_t bit = 0; bit < 64; bit++) {
    const size_t n = static_cast<size_t>(1) << bit;
    EXPECT_TRUE(hak_is_power_of_two(n));
    EXPECT_EQ(hak_is_power_of_two(n | 1), bit == 0);
    EXPECT_EQ(hak_is_power_of_two(n - 1), bit == 1);
  }
}

// --- bits.h ---

TEST(Bits, ScansOfEveryPairOfBits) {
  for (uint32_t low = 0; low < 64; low++) {
    for (uint32_t high = low; high < 64; high++) {
      const uint64_t word = (1ull << low) | (1ull << high);
      ASSERT_EQ(hak_bits_lowest(word), low);
      ASSERT_EQ(hak_bits_highest(word), high);
      ASSERT_EQ(hak_bits_count(word), low == high ? 1u : 2u);
    }
  }
  EXPECT_EQ(hak_bits_count(0), 0u);
  EXPECT_EQ(hak_bits_count(~0ull), 64u);
}

TEST(Bits, TakeRunTakesTheLowestNeighbours) {
  uint64_t word = 0x8000000000f0e006u;
  EXPECT_EQ(hak_bits_take_run(&word), 0x6u);
  EXPECT_EQ(hak_bits_take_run(&word), 0xe000u);
  EXPECT_EQ(hak_bits_take_run(&word), 0xf00000u);
  EXPECT_EQ(word, 1ull << 63);
  EXPECT_EQ(hak_bits_take_run(&word), 1ull << 63);
  EXPECT_EQ(word, 0u);
  for (uint32_t first = 0; first < 64; first++) {
    for (uint32_t count = 1; first + count <= 64; count++) {
      const uint64_t run = hak_bits_low_mask(count) << first;
      word = run;
      ASSERT_EQ(hak_bits_take_run(&word), run);
      ASSERT_EQ(word, 0u);
    }
  }
}

TEST(Bits, SetSaysWhetherItWasSet) {
  for (uint32_t n = 0; n < 64; n++) {
    uint64_t word = 0x8000000000000001;
    const bool was_set = n == 0 || n == 63;
    EXPECT_EQ(hak_bits_set(&word, n), was_set) << n;
    EXPECT_EQ(word, 0x8000000000000001 | uint64_t{1} << n) << n;
    EXPECT_TRUE(hak_bits_set(&word, n + 64 * uint64_t{n})) << "of 64, which word it is, is for the caller to know";
    EXPECT_EQ(word, 0x8000000000000001 | uint64_t{1} << n) << n;
  }
}

TEST(Bits, LowMask) {
  EXPECT_EQ(hak_bits_low_mask(0), 0u);
  EXPECT_EQ(hak_bits_low_mask(64), ~0ull);
  for (uint32_t count = 1; count <= 64; count++) {
    ASSERT_EQ(hak_bits_count(hak_bits_low_mask(count)), count);
    ASSERT_EQ(hak_bits_highest(hak_bits_low_mask(count)), count - 1);
  }
}

int SlowFindRun(uint32_t mask, uint32_t count) {
  for (uint32_t first = 0; first + count <= 32; first++) {
    bool all = true;
    for (uint32_t i = first; i < first + count; i++) all = all && ((mask >> i) & 1) != 0;
    if (all) return static_cast<int>(first);
  }
  return -1;
}

void ExpectRuns(uint32_t mask) {
  for (uint32_t count = 1; count <= 32; count++) {
    ASSERT_EQ(hak_bits_find_run(mask, count), SlowFindRun(mask, count)) << std::hex << mask << " run of " << count;
  }
}

TEST(Bits, FindRunAgreesWithSearchOnEveryRun) {
  ExpectRuns(0);
  for (uint32_t first = 0; first < 32; first++) {
    for (uint32_t count = 1; first + count <= 32; count++) {
      const uint32_t run = static_cast<uint32_t>(hak_bits_low_mask(count) << first);
      ExpectRuns(run);
      ExpectRuns(~run);
    }
  }
}

TEST(Bits, FindRunAgreesWithSearchOnRandomMasks) {
  std::mt19937 random(1);
  for (int i = 0; i < 20000; i++) {
    uint32_t mask = static_cast<uint32_t>(random());
    // Masks with few holes, too: they are the ones with long runs.
    for (int thicken = i % 4; thicken > 0; thicken--) mask |= static_cast<uint32_t>(random());
    ExpectRuns(mask);
  }
}

// --- atomics.h ---

TEST(Atomics, CompareAndSwapSaysWhatWasFound) {
  hak_atomic_u64 word = {5};
  uint64_t expected = 4;
  EXPECT_FALSE(hak_u64_cas_seq(&word, &expected, 6));
  EXPECT_EQ(expected, 5u);
  EXPECT_TRUE(hak_u64_cas_seq(&word, &expected, 6));
  EXPECT_EQ(hak_u64_load_relaxed(&word), 6u);
  EXPECT_FALSE(hak_u64_cas_acq_rel(&word, &expected, 7));
  EXPECT_EQ(expected, 6u);
  EXPECT_TRUE(hak_u64_cas_acq_rel(&word, &expected, 7));
  EXPECT_EQ(hak_u64_exchange_seq(&word, 8), 7u);
  EXPECT_EQ(hak_u64_load_acquire(&word), 8u);
}

TEST(Atomics, ReadModifyWritesReturnTheOldValue) {
  hak_atomic_u32 word = {0xf0};
  EXPECT_EQ(hak_u32_fetch_or_seq(&word, 0x0f), 0xf0u);
  EXPECT_EQ(hak_u32_fetch_and_seq(&word, 0x3c), 0xffu);
  EXPECT_EQ(hak_u32_fetch_add_relaxed(&word, 4), 0x3cu);
  EXPECT_EQ(hak_u32_fetch_sub_relaxed(&word, 1), 0x40u);
  EXPECT_EQ(hak_u32_load_seq(&word), 0x3fu);
}

TEST(Atomics, NoAdditionIsLostBetweenThreads) {
  hak_atomic_u64 sum = {0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&sum] {
      for (int i = 0; i < 20000; i++) hak_u64_fetch_add_relaxed(&sum, 1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(hak_u64_load_relaxed(&sum), 80000u);
}

// --- print.h ---

std::string Text(const hak_print& line) {
  EXPECT_EQ(line.length, strlen(line.text));
  return line.text;
}

template <typename Append>
std::string Printed(Append append) {
  hak_print line;
  hak_print_init(&line);
  append(&line);
  return Text(line);
}

TEST(Print, Numbers) {
  EXPECT_EQ(Printed([](hak_print* out) { hak_print_u64(out, 0); }), "0");
  EXPECT_EQ(Printed([](hak_print* out) { hak_print_u64(out, 10203); }), "10203");
  EXPECT_EQ(Printed([](hak_print* out) { hak_print_u64(out, UINT64_MAX); }), "18446744073709551615");
  EXPECT_EQ(Printed([](hak_print* out) { hak_print_u64_width(out, 42, 5); }), "   42");
  EXPECT_EQ(Printed([](hak_print* out) { hak_print_u64_width(out, 123456, 3); }), "123456");
}

TEST(Print, Pointers) {
  EXPECT_EQ(Printed([](hak_print* out) { hak_print_ptr(out, nullptr); }), "0x0");
  EXPECT_EQ(Printed([](hak_print* out) { hak_print_ptr(out, reinterpret_cast<void*>(0x7f00deadbeef)); }),
            "0x7f00deadbeef");
}

TEST(Print, Sizes) {
  EXPECT_EQ(Printed([](hak_print* out) { hak_print_size(out, 1023); }), "1023 B");
  EXPECT_EQ(Printed([](hak_print* out) { hak_print_size(out, 1024); }), "1.0 KiB");
  EXPECT_EQ(Printed([](hak_print* out) { hak_print_size(out, 25 * 1024 * 1024 / 2); }), "12.5 MiB");
  EXPECT_EQ(Printed([](hak_print* out) { hak_print_size(out, 3ull << 40); }), "3.0 TiB");
  EXPECT_EQ(Printed([](hak_print* out) { hak_print_size(out, UINT64_MAX); }), "16777215.9 TiB");
}

TEST(Print, CutsOffWhatDoesNotFit) {
  hak_print line;
  hak_print_init(&line);
  const std::string all(2 * sizeof line.text, 'x');
  hak_print_str(&line, all.c_str());
  EXPECT_EQ(Text(line), all.substr(0, sizeof line.text - 1));
  hak_print_u64(&line, 7);
  hak_print_size(&line, 7);
  EXPECT_EQ(Text(line), all.substr(0, sizeof line.text - 1));
}

TEST(Print, APathHasTheNumberOfTheProcess) {
  const std::string number = std::to_string(getpid());
  for (const auto& row : std::map<std::string, std::string>{
           {"", ""},
           {"/tmp/stats", "/tmp/stats"},
           {"%p", number},
           {"a.%p.%p", "a." + number + "." + number},
           {"%d%", "%d%"},
           {"%%p", "%" + number},
       }) {
    EXPECT_EQ(Printed([&](hak_print* out) { EXPECT_TRUE(hak_print_path(out, row.first.c_str())); }), row.second);
  }
}

TEST(Print, APathThatIsTooLongIsSaidToBe) {
  hak_print line;
  hak_print_init(&line);
  const size_t most = sizeof line.text - 1;
  EXPECT_TRUE(hak_print_path(&line, std::string(most - 1, 'x').c_str()));
  hak_print_init(&line);
  EXPECT_FALSE(hak_print_path(&line, std::string(most, 'x').c_str()));
  hak_print_init(&line);
  EXPECT_FALSE(hak_print_path(&line, (std::string(most - 1, 'x') + "%p").c_str()));
}

TEST(Print, FlushWritesAllEmptiesTheBufferAndKeepsErrno) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "one line\n");
  errno = 1234;
  hak_print_flush(&line, ends[1]);
  EXPECT_EQ(errno, 1234);
  EXPECT_EQ(Text(line), "");
  close(ends[1]);
  char got[64] = {0};
  EXPECT_EQ(read(ends[0], got, sizeof got), 9);
  EXPECT_STREQ(got, "one line\n");
  close(ends[0]);
  hak_print_str(&line, "to nobody");
  hak_print_flush(&line, ends[1]); /* closed: dropped */
  EXPECT_EQ(errno, 1234);
  EXPECT_EQ(Text(line), "");
}

// --- checks.h ---

void* const kBlock = reinterpret_cast<void*>(0x7f1234567840);

class Checks : public testing::Test {
 protected:
  void TearDown() override { hak_set_error_action(HAK_ERROR_ABORT); }
};

using ChecksDeathTest = Checks;

TEST_F(ChecksDeathTest, MisuseAbortsWithOneLine) {
  EXPECT_EQ(hak_get_error_action(), HAK_ERROR_ABORT);
  EXPECT_EXIT(hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, kBlock, 64), testing::KilledBySignal(SIGABRT),
              OneLine("hakmem: double free of 0x7f1234567840 \\(size class 64\\)"));
  EXPECT_EXIT(hak_report_misuse(HAK_MISUSE_INTERIOR_POINTER, kBlock, 1024), testing::KilledBySignal(SIGABRT),
              OneLine("hakmem: interior pointer 0x7f1234567840 \\(size class 1024\\)"));
  EXPECT_EXIT(hak_report_misuse(HAK_MISUSE_FOREIGN_POINTER, kBlock, 0), testing::KilledBySignal(SIGABRT),
              OneLine("hakmem: foreign pointer 0x7f1234567840 \\(not a live block of this allocator\\)"));
  EXPECT_EXIT(hak_report_misuse(HAK_MISUSE_SIZE_MISMATCH, kBlock, 48), testing::KilledBySignal(SIGABRT),
              OneLine("hakmem: wrong size given to the free of 0x7f1234567840 \\(size class 48\\)"));
}

// As from inside nested locks: the first line is printed where it is found, and the outer end aborts.
TEST_F(ChecksDeathTest, HeldAbortsComeWhenTheLastHoldEnds) {
  const auto misuse_twice = [](bool is_released) {
    hak_hold_aborts();
    hak_hold_aborts();
    hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, kBlock, 64);
    hak_report_misuse(HAK_MISUSE_FOREIGN_POINTER, kBlock, 0);
    hak_release_aborts();
    if (is_released) hak_release_aborts();
    _exit(7);
  };
  const std::string line = OneLine("hakmem: double free of 0x7f1234567840 \\(size class 64\\)");
  EXPECT_EXIT(misuse_twice(false), testing::ExitedWithCode(7), line);
  EXPECT_EXIT(misuse_twice(true), testing::KilledBySignal(SIGABRT), line);
}

TEST_F(ChecksDeathTest, DieAbortsWhateverTheAction) {
  hak_set_error_action(HAK_ERROR_IGNORE);
  EXPECT_EXIT(hak_die("count of moons", kBlock), testing::KilledBySignal(SIGABRT),
              OneLine("hakmem: broken invariant: count of moons at 0x7f1234567840"));
  EXPECT_EXIT(hak_die("no place", nullptr), testing::KilledBySignal(SIGABRT),
              OneLine("hakmem: broken invariant: no place"));
}

TEST_F(ChecksDeathTest, CheckNamesItsConditionAndEvaluatesItOnce) {
  int evaluated = 0;
  HAK_CHECK(++evaluated == 1, nullptr);
  EXPECT_EQ(evaluated, 1);
  EXPECT_EXIT(HAK_CHECK(evaluated == 2, kBlock), testing::KilledBySignal(SIGABRT),
              "base_test.cc:[0-9]+: evaluated == 2 at 0x7f1234567840");
}

TEST_F(ChecksDeathTest, TiersFollowTheBuild) {
  const auto assert_false = [] {
    HAK_ASSERT(1 == 2);
    _exit(7);
  };
  const auto audit_false = [] {
    HAK_AUDIT(1 == 2);
    _exit(7);
  };
  if (HAK_CONFIG_LEVEL >= 1) {
    EXPECT_EXIT(assert_false(), testing::KilledBySignal(SIGABRT), "broken invariant");
  } else {
    EXPECT_EXIT(assert_false(), testing::ExitedWithCode(7), "^$");
  }
  if (HAK_CONFIG_LEVEL >= 2) {
    EXPECT_EXIT(audit_false(), testing::KilledBySignal(SIGABRT), "broken invariant");
  } else {
    EXPECT_EXIT(audit_false(), testing::ExitedWithCode(7), "^$");
  }
}

TEST_F(Checks, WarnPrintsReturnsCountsAndKeepsErrno) {
  hak_set_error_action(HAK_ERROR_WARN);
  const uint64_t before = hak_misuse_count();
  testing::internal::CaptureStderr();
  errno = 1234;
  hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, kBlock, 64);
  EXPECT_EQ(errno, 1234);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "hakmem: double free of 0x7f1234567840 (size class 64)\n");
  EXPECT_EQ(hak_misuse_count(), before + 1);
}

TEST_F(Checks, IgnoreIsSilentButCounts) {
  hak_set_error_action(HAK_ERROR_IGNORE);
  const uint64_t before = hak_misuse_count();
  testing::internal::CaptureStderr();
  hak_report_misuse(HAK_MISUSE_FOREIGN_POINTER, kBlock, 0);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(hak_misuse_count(), before + 1);
}

TEST_F(Checks, MisuseIsCountedByKind) {
  hak_set_error_action(HAK_ERROR_IGNORE);
  for (int kind = 0; kind < HAK_MISUSE_KINDS; kind++) {
    uint64_t before[HAK_MISUSE_KINDS];
    for (int k = 0; k < HAK_MISUSE_KINDS; k++) before[k] = hak_misuse_count_of(static_cast<hak_misuse>(k));
    hak_report_misuse(static_cast<hak_misuse>(kind), kBlock, 64);
    for (int k = 0; k < HAK_MISUSE_KINDS; k++) {
      EXPECT_EQ(hak_misuse_count_of(static_cast<hak_misuse>(k)), before[k] + (k == kind)) << k << " " << kind;
    }
  }
}

TEST(Thread, PointersTellThreadsApart) {
  const void* mine = hak_thread_pointer();
  EXPECT_NE(mine, nullptr);
  EXPECT_EQ(hak_thread_pointer(), mine);
  const void* other = nullptr;
  std::thread([&other] { other = hak_thread_pointer(); }).join();
  EXPECT_NE(other, nullptr);
  EXPECT_NE(other, mine);
}

TEST(Control, EverythingIsOffAtFirst) {
  const char* bytes = reinterpret_cast<const char*>(&hak_control_words);
  for (size_t i = 0; i < sizeof hak_control_words; i++) EXPECT_EQ(bytes[i], 0) << i;
}

}  // namespace
