#include "hakmem/registry/registry.h"

#include <errno.h>

#include <atomic>
#include <thread>
#include <vector>

#include "hakmem/base/checks.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"

#include "gtest/gtest.h"

namespace {

constexpr uint64_t kUnit = HAK_UNIT_BYTES;
constexpr uint64_t kLeafSpan = 1ull << 32; /* addresses of one leaf */
constexpr uint64_t kLeafBytes = sizeof(hak_registry_leaf);
constexpr uint64_t kAddressEnd = 1ull << 48;
constexpr int kErrno = 1234;

void* At(uint64_t address) { return reinterpret_cast<void*>(address); }

// Addresses need not be mapped to be registered: each test has some 4 GiB to itself, where no leaf is yet.
uint64_t FreshSpan(uint64_t count = 1) {
  static uint64_t next = 0x1000 * kLeafSpan;
  const uint64_t first = next;
  next += count * kLeafSpan;
  return first;
}

constexpr uint64_t kWindowBytes = uint64_t{HAK_REGISTRY_LEAF_UNITS} * kUnit;
constexpr uint64_t kWindowTop = 0xf000 * kLeafSpan; /* well above half of any stack */
constexpr uint64_t kWindow = kWindowTop - kWindowBytes;

class Registry : public testing::Test {
 protected:
  void SetUp() override {
    hak_os_fake_reset();
    ASSERT_TRUE(hak_registry_prepare(At(kWindowTop - kUnit), kUnit)); /* the first address of all: here is the window */
    errno = kErrno;
  }
  void TearDown() override {
    EXPECT_EQ(errno, kErrno);
    hak_os_fake_reset();
    /* Invariant 4: leaves stay, and nothing else does. */
    EXPECT_EQ(hak_os_fake_mapped_bytes(), hak_registry_leaf_bytes());
    EXPECT_EQ(hak_os_read_counters().mapped_bytes, hak_registry_leaf_bytes());
  }

  static void ExpectNobodys(uint64_t address) { EXPECT_EQ(hak_registry_word(At(address)), 0u) << std::hex << address; }

  int owner_ = 0;
  int other_ = 0;
};

using RegistryDeathTest = Registry;

TEST_F(Registry, Invariant1AnyValueMayBeLookedUp) {
  for (int bit = 0; bit < 64; bit++) {
    ExpectNobodys(1ull << bit);
    ExpectNobodys((1ull << bit) - 1);
    ExpectNobodys(~(1ull << bit));
    ExpectNobodys(~0ull << bit);
  }
  ExpectNobodys(0);
  ExpectNobodys(~0ull);
  for (const uint64_t address : {0x800000000000ull, 0xdeadbeefdeadbeefull, 0xffff800000000000ull, 0x7fffffffffffull}) {
    ExpectNobodys(address);
  }
  ExpectNobodys(reinterpret_cast<uint64_t>(this));
}

TEST_F(Registry, SetAndClearTouchTheirUnitsOnly) {
  const uint64_t base = FreshSpan() + 100 * kUnit;
  ASSERT_TRUE(hak_registry_prepare(At(base), 8 * kUnit));
  hak_registry_set(At(base), 8, 0x1000, &owner_);
  hak_registry_set(At(base + 2 * kUnit), 3, HAK_REGISTRY_SPAN, &other_);
  ExpectNobodys(base - 1);
  ExpectNobodys(base + 8 * kUnit);
  for (uint64_t unit = 0; unit < 8; unit++) {
    const bool is_other = unit >= 2 && unit < 5;
    for (const uint64_t offset : {uint64_t{0}, uint64_t{1}, kUnit / 2, kUnit - 1}) {
      const void* ptr = At(base + unit * kUnit + offset);
      ASSERT_EQ(hak_registry_word(ptr), is_other ? uint64_t{HAK_REGISTRY_SPAN} : 0x1000u) << unit;
      ASSERT_EQ(hak_registry_owner(ptr), is_other ? &other_ : &owner_) << unit;
    }
  }
  hak_registry_clear(At(base + 2 * kUnit), 3);
  EXPECT_EQ(hak_registry_word(At(base + 2 * kUnit - 1)), 0x1000u);
  for (uint64_t unit = 2; unit < 5; unit++) ExpectNobodys(base + unit * kUnit);
  EXPECT_EQ(hak_registry_word(At(base + 5 * kUnit)), 0x1000u);
  hak_registry_clear(At(base), 8);
}

TEST_F(Registry, UnitsOnBothSidesOfALeafBoundary) {
  const uint64_t boundary = FreshSpan(2) + kLeafSpan;
  const uint64_t leaves = hak_registry_leaf_bytes();
  ASSERT_TRUE(hak_registry_prepare(At(boundary - 2 * kUnit), 4 * kUnit));
  EXPECT_EQ(hak_registry_leaf_bytes(), leaves + 2 * kLeafBytes);
  hak_registry_set(At(boundary - 2 * kUnit), 4, 0x2000, &owner_);
  ExpectNobodys(boundary - 2 * kUnit - 1);
  for (uint64_t unit = 0; unit < 4; unit++) {
    EXPECT_EQ(hak_registry_word(At(boundary + (unit - 2) * kUnit)), 0x2000u);
    EXPECT_EQ(hak_registry_owner(At(boundary + (unit - 2) * kUnit)), &owner_);
  }
  ExpectNobodys(boundary + 2 * kUnit);
  ExpectNobodys(boundary - kLeafSpan); /* the lowest unit of the one leaf, the highest of the other */
  ExpectNobodys(boundary + kLeafSpan - 1);
  hak_registry_clear(At(boundary - kUnit), 2);
  ExpectNobodys(boundary - 1);
  ExpectNobodys(boundary);
  EXPECT_EQ(hak_registry_word(At(boundary - 2 * kUnit)), 0x2000u);
  EXPECT_EQ(hak_registry_word(At(boundary + kUnit)), 0x2000u);
}

TEST_F(Registry, ARangeThatEndsAtALeafBoundaryNeedsOneLeaf) {
  const uint64_t boundary = FreshSpan(2) + kLeafSpan;
  const uint64_t leaves = hak_registry_leaf_bytes();
  ASSERT_TRUE(hak_registry_prepare(At(boundary - kUnit), kUnit));
  EXPECT_EQ(hak_registry_leaf_bytes(), leaves + kLeafBytes);
}

TEST_F(Registry, PrepareAgainMapsNothing) {
  const uint64_t base = FreshSpan();
  ASSERT_TRUE(hak_registry_prepare(At(base), kUnit));
  hak_registry_set(At(base), 1, 0x3000, &owner_);
  const uint64_t calls = hak_os_fake_calls(HAK_OS_FAKE_MMAP);
  EXPECT_TRUE(hak_registry_prepare(At(base), kLeafSpan));
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MMAP), calls);
  EXPECT_EQ(hak_registry_word(At(base)), 0x3000u);
}

TEST_F(Registry, Invariant4TheWindowLiesAroundTheFirstAddress) {
  EXPECT_EQ(-hak_u64_load_relaxed(&hak_registry_window_at.minus_base), kWindow);
  ASSERT_TRUE(hak_registry_prepare(At(FreshSpan()), kUnit));
  EXPECT_EQ(-hak_u64_load_relaxed(&hak_registry_window_at.minus_base), kWindow);
}

TEST_F(Registry, TheWindowLiesWhereTheKernelGoesOn) {
  constexpr uint64_t kGiB = 1 << 30;
  constexpr uint64_t kStack = 0x7ffc12345678;
  /* Downwards from the stack: the GiB of the first address, and three below. */
  EXPECT_EQ(hak_registry_window_base_for(0x7f5500000000, kStack), 0x7f5540000000 - kWindowBytes);
  EXPECT_EQ(hak_registry_window_base_for(0x7f553fe00000, kStack), 0x7f5540000000 - kWindowBytes);
  /* Upwards from a third of the way (x86-64), a quarter (arm64). */
  EXPECT_EQ(hak_registry_window_base_for(0x2aaad2345000, kStack), 0x2aaac0000000u);
  EXPECT_EQ(hak_registry_window_base_for(0x400000200000, 0xfffffffff000), 0x400000000000u);
  /* Little room on either side. */
  EXPECT_EQ(hak_registry_window_base_for(kUnit, kStack), 0u);
  EXPECT_EQ(hak_registry_window_base_for(kGiB, kGiB), 0u);
}

TEST_F(Registry, Invariant5TheWindowNeedsNoLeaf) {
  const uint64_t leaves = hak_registry_leaf_bytes();
  ASSERT_TRUE(hak_registry_prepare(At(kWindow), kWindowBytes));
  for (const uint64_t base : {kWindow, kWindow + (uint64_t{3} << 30) - 2 * kUnit, kWindowTop - 4 * kUnit}) {
    hak_registry_set(At(base), 4, 0x7000, &owner_);
    ExpectNobodys(base - 1);
    EXPECT_EQ(hak_registry_word(At(base)), 0x7000u);
    EXPECT_EQ(hak_registry_word(At(base + 4 * kUnit - 1)), 0x7000u);
    EXPECT_EQ(hak_registry_owner(At(base + 4 * kUnit - 1)), &owner_);
    ExpectNobodys(base + 4 * kUnit);
    hak_registry_clear(At(base), 4);
    ExpectNobodys(base);
  }
  EXPECT_EQ(hak_registry_leaf_bytes(), leaves);
}

TEST_F(Registry, UnitsOnBothSidesOfTheWindowsEdges) {
  for (const uint64_t edge : {kWindow, kWindowTop}) {
    ASSERT_TRUE(hak_registry_prepare(At(edge - 2 * kUnit), 4 * kUnit));
    hak_registry_set(At(edge - 2 * kUnit), 4, 0x8000, &owner_);
    for (uint64_t unit = 0; unit < 4; unit++) {
      EXPECT_EQ(hak_registry_word(At(edge + (unit - 2) * kUnit)), 0x8000u) << unit;
      EXPECT_EQ(hak_registry_owner(At(edge + (unit - 2) * kUnit)), &owner_) << unit;
    }
    ExpectNobodys(edge - 2 * kUnit - 1);
    ExpectNobodys(edge + 2 * kUnit);
    hak_registry_clear(At(edge - kUnit), 2);
    ExpectNobodys(edge - 1);
    ExpectNobodys(edge);
    EXPECT_EQ(hak_registry_word(At(edge - 2 * kUnit)), 0x8000u);
    EXPECT_EQ(hak_registry_word(At(edge + kUnit)), 0x8000u);
  }
}

TEST_F(Registry, TheLastUnitBelow48Bits) {
  const uint64_t last = kAddressEnd - kUnit;
  ASSERT_TRUE(hak_registry_prepare(At(last), kUnit));
  hak_registry_set(At(last), 1, 0x4000, &owner_);
  EXPECT_EQ(hak_registry_word(At(kAddressEnd - 1)), 0x4000u);
  ExpectNobodys(last - 1);
  ExpectNobodys(0);
  hak_registry_clear(At(last), 1);
}

TEST_F(Registry, ThereIsNothingAbove48Bits) {
  const uint64_t base = FreshSpan();
  ASSERT_TRUE(hak_registry_prepare(At(base), kUnit));
  hak_registry_set(At(base), 1, 0x5000, &owner_);
  for (int bit = 48; bit < 64; bit++) {
    ExpectNobodys(base | 1ull << bit);
  }
}

TEST_F(Registry, PrepareRefusesAddressesAbove48Bits) {
  const uint64_t leaves = hak_registry_leaf_bytes();
  EXPECT_FALSE(hak_registry_prepare(At(kAddressEnd), kUnit));
  EXPECT_FALSE(hak_registry_prepare(At(kAddressEnd - kUnit), 2 * kUnit));
  EXPECT_FALSE(hak_registry_prepare(At(~0ull - kUnit + 1), kUnit));
  EXPECT_FALSE(hak_registry_prepare(At(~0ull - kUnit + 1), 2 * kUnit)); /* wraps */
  EXPECT_FALSE(hak_registry_prepare(At(0xffff800000000000), kUnit));
  EXPECT_FALSE(hak_registry_prepare(At(kLeafSpan), ~0ull)); /* wraps to below 48 bits */
  EXPECT_FALSE(hak_registry_prepare(At(kLeafSpan), 0 - kLeafSpan + kUnit));
  EXPECT_EQ(hak_registry_leaf_bytes(), leaves);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MMAP), 0u);
}

TEST_F(Registry, EachLeafOfARangeRefusedThenRetry) {
  for (uint64_t n = 1; n <= 3; n++) {
    const uint64_t base = FreshSpan(3);
    const uint64_t leaves = hak_registry_leaf_bytes();
    hak_os_fake_fail_nth(HAK_OS_FAKE_MMAP, n, ENOMEM);
    EXPECT_FALSE(hak_registry_prepare(At(base), 3 * kLeafSpan));
    EXPECT_EQ(hak_registry_leaf_bytes(), leaves + (n - 1) * kLeafBytes);
    ExpectNobodys(base);
    ExpectNobodys(base + 3 * kLeafSpan - 1);
    EXPECT_TRUE(hak_registry_prepare(At(base), 3 * kLeafSpan));
    EXPECT_EQ(hak_registry_leaf_bytes(), leaves + 3 * kLeafBytes);
  }
}

uint64_t race_base; /* 0: no more */

// Runs before the leaf of the prepare under test is mapped, and prepares the same addresses: as a faster thread would.
void PrepareFirst(hak_os_fake_call call, void*, size_t) {
  if (call != HAK_OS_FAKE_MMAP || race_base == 0) return;
  const uint64_t base = race_base;
  race_base = 0;
  EXPECT_TRUE(hak_registry_prepare(At(base), kUnit));
  hak_registry_set(At(base), 1, 0x6000, nullptr);
}

TEST_F(Registry, WhoLosesTheRaceForALeafUsesTheWinners) {
  const uint64_t base = race_base = FreshSpan();
  const uint64_t leaves = hak_registry_leaf_bytes();
  hak_os_fake_set_observer(PrepareFirst);
  EXPECT_TRUE(hak_registry_prepare(At(base), kUnit));
  EXPECT_EQ(race_base, 0u);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MMAP), 2u);
  EXPECT_EQ(hak_os_fake_calls(HAK_OS_FAKE_MUNMAP), 1u);
  EXPECT_EQ(hak_registry_leaf_bytes(), leaves + kLeafBytes);
  EXPECT_EQ(hak_registry_word(At(base)), 0x6000u);
}

TEST_F(RegistryDeathTest, OnlyPreparedWholeUnitsAreSet) {
  if (HAK_CONFIG_LEVEL < 1) GTEST_SKIP() << "asserted in debug builds only";
  const uint64_t base = FreshSpan();
  EXPECT_DEATH(hak_registry_set(At(base), 1, 0x1000, nullptr), "broken invariant");
  EXPECT_DEATH(hak_registry_clear(At(base), 1), "broken invariant");
  ASSERT_TRUE(hak_registry_prepare(At(base), kUnit));
  EXPECT_DEATH(hak_registry_set(At(base + 16), 1, 0x1000, nullptr), "broken invariant");
  EXPECT_DEATH(hak_registry_set(At(base), 1, HAK_REGISTRY_NONE, nullptr), "broken invariant");
}

TEST_F(Registry, ThreadsPrepareEachLeafOnce) {
  constexpr uint64_t kSpans = 32;
  const uint64_t base = FreshSpan(kSpans);
  const uint64_t leaves = hak_registry_leaf_bytes();
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; t++) {
    threads.emplace_back([base, t] {
      for (uint64_t i = 0; i < kSpans; i++) {
        const uint64_t mine = base + i * kLeafSpan + t * kUnit;
        if (!hak_registry_prepare(At(mine), kUnit)) return;
        hak_registry_set(At(mine), 1, 0x100 + t, nullptr);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(hak_registry_leaf_bytes(), leaves + kSpans * kLeafBytes);
  for (uint64_t i = 0; i < kSpans; i++) {
    for (uint64_t t = 0; t < 4; t++) ASSERT_EQ(hak_registry_word(At(base + i * kLeafSpan + t * kUnit)), 0x100 + t);
  }
}

// A unit changes hands while others look its neighbours up; the block goes to a reader by a release of the program's.
TEST_F(Registry, Invariant3WhoGetsABlockSeesWordAndOwner) {
  constexpr uint64_t kUnits = 512;
  constexpr uint64_t kRounds = 40;
  const uint64_t base = FreshSpan();
  ASSERT_TRUE(hak_registry_prepare(At(base), kUnits * kUnit));
  static int owners[kRounds + 1];
  for (uint64_t round = 1; round <= kRounds; round++) {
    std::atomic<uint64_t> handed_out{0};
    std::atomic<int> wrong{0};
    std::vector<std::thread> readers;
    for (int r = 0; r < 3; r++) {
      readers.emplace_back([&, round] {
        for (uint64_t seen = 0; seen < kUnits;) {
          const uint64_t now = handed_out.load(std::memory_order_acquire);
          for (; seen < now; seen++) {
            const void* ptr = At(base + seen * kUnit + 8);
            if (hak_registry_word(ptr) != 0x1000 * round || hak_registry_owner(ptr) != &owners[round]) wrong++;
          }
          /* What is not handed out yet may be looked up all the same: the old word, 0 or the new one. */
          const uint64_t early = hak_registry_word(At(base + (kUnits - 1) * kUnit));
          if (early != 0 && early != 0x1000 * round && early != 0x1000 * (round - 1)) wrong++;
        }
      });
    }
    for (uint64_t i = 0; i < kUnits; i++) {
      hak_registry_clear(At(base + i * kUnit), 1);
      hak_registry_set(At(base + i * kUnit), 1, 0x1000 * round, &owners[round]);
      handed_out.store(i + 1, std::memory_order_release);
    }
    for (std::thread& reader : readers) reader.join();
    ASSERT_EQ(wrong.load(), 0) << round;
  }
  errno = kErrno; /* threads may have set it */
}

}  // namespace
