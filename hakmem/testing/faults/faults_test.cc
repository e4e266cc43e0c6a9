// Each system call of each scenario is refused in turn, once or from then on. Whatever fails: NULL and ENOMEM, errno kept
// by free, the live blocks as they were, a heap that works, and no memory lost.
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cstdio>
#include <string>
#include <tuple>

#include "hakmem/config/config.h"
#include "hakmem/heap/heap.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/registry/registry.h"
#include "hakmem/size_class/size_class.h"
#include "hakmem/testing/faults/scenarios.h"
#include "hakmem/testing/model/checked.h"
#include "hakmem/testing/whole/child.h"
#include "hakmem/testing/whole/support.h"
#include <hakmem/hakmem.h>

#include "gtest/gtest.h"

namespace {

using hak_faults::Blocks;
using hak_faults::kMiB;
using hak_faults::Scenario;
using hak_model::Checked;
using hak_testing::SucceedsInChild;

// What a child tells the test.
struct Outcome {
  uint64_t calls;
  uint64_t failures;
  uint64_t mapped_bytes;      // but for the leaves of the registry
  uint64_t descriptor_bytes;  // the same, and but for what the caches grew to
};

Outcome* SharedOutcome() {
  void* base = mmap(nullptr, sizeof(Outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return base == MAP_FAILED ? nullptr : static_cast<Outcome*>(base);
}

// Nothing allocated yet; the scenario has run before; a process that keeps nothing, and so makes many system calls.
enum class Process { kFresh, kWarm, kFrugal };
constexpr const char* kProcessNames[] = {"Fresh", "Warm", "Frugal"};
enum class Mode { kOnce, kFromThenOn, kEvery };
constexpr const char* kModeNames[] = {"", " and all after it", " and each multiple of it"};

// nth 0: nothing fails.
struct Fault {
  hak_os_fake_call call;
  Mode mode;
  uint64_t nth;
};

std::string Text(const Fault& fault) {
  return std::string(hak_os_fake_call_name(fault.call)) + " number " + std::to_string(fault.nth) +
         kModeNames[static_cast<int>(fault.mode)];
}

void Plant(const Fault& fault) {
  if (fault.nth == 0) return;
  // EINVAL is what an old kernel says to advice that it does not know.
  const int error = fault.call == HAK_OS_FAKE_MADVISE ? EINVAL : ENOMEM;
  switch (fault.mode) {
    case Mode::kOnce: hak_os_fake_fail_nth(fault.call, fault.nth, error); break;
    case Mode::kFromThenOn: hak_os_fake_fail_from(fault.call, fault.nth, error); break;
    case Mode::kEvery: hak_os_fake_fail_every(fault.call, fault.nth, error); break;
  }
}

void KeepNothing() {
  char decay[] = "HAKMEM_DECAY_MS=0";
  char superslabs[] = "HAKMEM_SUPERSLAB_CACHE=0";
  char whales[] = "HAKMEM_WHALE_CACHE_BYTES=0";
  char blocks[] = "HAKMEM_THREAD_CACHE_BYTES=0";
  char* environment[] = {decay, superslabs, whales, blocks, nullptr};
  hak_config_load_as(environment, false);
}

void ExpectUsable(Checked* heap, Blocks* live) {
  for (const size_t bytes : {size_t{1}, size_t{1000}, size_t{30000}, size_t{200000}, kMiB, 2 * kMiB}) {
    const hak_model::Block block = heap->Calloc(1, bytes);
    EXPECT_TRUE(block) << bytes;
    hak_faults::Keep(block, live);
  }
}

// Which caches outgrow their bins is a matter of which thread has how many blocks when: the slots are there for good, and
// known.
uint64_t FarSlotsBytes() {
  uint64_t bytes = 0;
  for (hak_heap* heap = hak_heap_first(); heap != nullptr; heap = heap->next_heap) {
    for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
      const hak_bin* bin = hak_heap_bin(heap, c);
      for (uint32_t at = HAK_BIN_SLOTS_MIDDLE; at <= bin->slots_at; at++)
        bytes += (hak_bin_room(c, at) + 1) * sizeof(void*);
    }
  }
  return bytes;
}

void RunScenario(const Scenario& scenario, Process process, const Fault& fault, Outcome* outcome) {
  Checked heap;
  Blocks live;
  hak_os_fake_set_clock_ms(1000);  // the same calls in every run
  if (process == Process::kFrugal) KeepNothing();
  if (process == Process::kWarm) {
    scenario.run(&heap, &live);
    hak_faults::FreeAll(&heap, &live);
  }
  const uint64_t calls_before = hak_os_fake_calls(fault.call);
  Plant(fault);
  scenario.run(&heap, &live);
  for (const hak_model::Block& block : live) heap.model()->Check(block);
  hak_faults::FreeEverySecond(&heap, &live);
  outcome->calls = hak_os_fake_calls(fault.call) - calls_before;
  outcome->failures = hak_os_fake_failures(fault.call);
  hak_os_fake_fail_never(fault.call);
  ExpectUsable(&heap, &live);
  hak_faults::FreeAll(&heap, &live);
  hak_testing::ExpectNothingLeft(&heap);
  outcome->mapped_bytes = hak_os_fake_mapped_bytes() - hak_registry_leaf_bytes();
  outcome->descriptor_bytes = hak_metadata_used_bytes() - FarSlotsBytes();
}

// Address space that may stay mapped for good after `failures` refusals. An end of an aligned mapping that the kernel will
// not cut off is lost: `alignment_bytes` is the largest alignment of the scenario. Without room for a large chunk of
// descriptors a small one is taken first.
uint64_t AllowedLoss(const Fault& fault, uint64_t failures, uint64_t alignment_bytes) {
  switch (fault.call) {
    case HAK_OS_FAKE_MUNMAP: return failures * alignment_bytes;
    case HAK_OS_FAKE_MMAP:
    case HAK_OS_FAKE_MPROTECT: return 1 * kMiB + 256 * 1024;
    default: return 0;
  }
}

// Over all tests of this run.
struct Totals {
  uint64_t injected = 0;  // runs with a call refused, or more
  uint64_t survived = 0;
  uint64_t refused_calls = 0;
};

Totals totals;

class PrintTotals : public testing::Environment {
 public:
  void TearDown() override {
    EXPECT_EQ(totals.survived, totals.injected);
    std::printf("%llu faults injected, %llu survived (%llu system calls refused)\n",
                static_cast<unsigned long long>(totals.injected), static_cast<unsigned long long>(totals.survived),
                static_cast<unsigned long long>(totals.refused_calls));
  }
};

const testing::Environment* const print_totals = testing::AddGlobalTestEnvironment(new PrintTotals);

using Parameter = std::tuple<Scenario, Process, int>;

std::string NameOf(const testing::TestParamInfo<Parameter>& info) {
  const auto& [scenario, process, call] = info.param;
  return std::string(scenario.name) + kProcessNames[static_cast<int>(process)] + "_" +
         hak_os_fake_call_name(static_cast<hak_os_fake_call>(call));
}

class Faults : public testing::TestWithParam<Parameter> {
 protected:
  void SetUp() override { outcome_ = SharedOutcome(); }
  void TearDown() override { munmap(outcome_, sizeof(Outcome)); }

  // HAKMEM is used in the children only: each finds a process in which nobody has allocated yet.
  bool Survives(const Fault& fault) {
    const auto& [scenario, process, call] = GetParam();
    return SucceedsInChild([&, s = scenario, p = process] { RunScenario(s, p, fault, outcome_); });
  }

  // Refuses call number 1, 2, ... until the scenario makes no such call.
  void RefuseEachInTurn(Mode mode) {
    const Scenario& scenario = std::get<0>(GetParam());
    Fault fault = {static_cast<hak_os_fake_call>(std::get<2>(GetParam())), mode, 0};
    ASSERT_TRUE(Survives(fault)) << "without a fault";
    const Outcome clean = *outcome_;
    for (fault.nth = 1;; fault.nth++) {
      const bool survives = Survives(fault);
      if (survives && outcome_->failures == 0) break;
      totals.injected++;
      totals.refused_calls += outcome_->failures;
      ASSERT_TRUE(survives) << Text(fault);
      ASSERT_LE(outcome_->mapped_bytes,
                clean.mapped_bytes + AllowedLoss(fault, outcome_->failures, scenario.alignment_bytes))
          << Text(fault);
      ASSERT_LE(outcome_->descriptor_bytes, clean.descriptor_bytes + scenario.more_descriptor_bytes) << Text(fault);
      totals.survived++;
    }
    if (scenario.is_repeatable) {
      EXPECT_EQ(fault.nth - 1, clean.calls) << "not every call was refused, or there is no end to them";
    }
  }

 private:
  Outcome* outcome_ = nullptr;
};

TEST_P(Faults, OneCallFails) { RefuseEachInTurn(Mode::kOnce); }

TEST_P(Faults, AllCallsFailFromOneOn) { RefuseEachInTurn(Mode::kFromThenOn); }

TEST_P(Faults, EveryCallOfSeveralFails) { RefuseEachInTurn(Mode::kEvery); }

INSTANTIATE_TEST_SUITE_P(Scenarios, Faults,
                         testing::Combine(testing::ValuesIn(hak_faults::kScenarios),
                                          testing::Values(Process::kFresh, Process::kWarm, Process::kFrugal),
                                          testing::Range(0, static_cast<int>(HAK_OS_FAKE_CALL_COUNT))),
                         NameOf);

class PageSizes : public testing::TestWithParam<std::tuple<Scenario, size_t>> {};

// Kernels with pages of 16 and 64 KiB: all is well, and stays so when calls are refused.
TEST_P(PageSizes, MakeNoDifference) {
  const auto& [scenario, page_bytes] = GetParam();
  for (int call = -1; call < HAK_OS_FAKE_CALL_COUNT; call++) {
    ASSERT_TRUE(SucceedsInChild([&, s = scenario, page = page_bytes] {
      hak_os_fake_set_page_bytes(page);
      const Fault fault = {static_cast<hak_os_fake_call>(call < 0 ? 0 : call), Mode::kEvery, call < 0 ? 0u : 3u};
      Outcome outcome;
      RunScenario(s, Process::kFresh, fault, &outcome);
      EXPECT_EQ(hak_os_page_bytes(), page);
    })) << "call "
        << call;
  }
}

INSTANTIATE_TEST_SUITE_P(Scenarios, PageSizes,
                         testing::Combine(testing::ValuesIn(hak_faults::kScenarios), testing::Values(16384, 65536)),
                         [](const auto& of) {
                           return std::string(std::get<0>(of.param).name) + std::to_string(std::get<1>(of.param));
                         });

// --- addresses ---

// What a kernel may answer that the registry has no entry for. Nothing is there: a block of it would crash the model.
TEST(Addresses, AboveTheRegistryAreRefused) {
  for (const int bits : {48, 52, 56, 63}) {
    ASSERT_TRUE(SucceedsInChild([&] {
      Checked heap;
      Blocks live;
      hak_model::Block kept = heap.Malloc(3 * kMiB);
      ASSERT_TRUE(kept);
      // Not on a multiple of 2 MiB, so that SuperSlabs have to be cut out of more.
      hak_os_fake_answer_with((uintptr_t{1} << bits) + 65536, 2 * kMiB);
      for (const size_t bytes : {size_t{1}, size_t{100000}, 2 * kMiB, 4 * kMiB}) {
        EXPECT_FALSE(heap.Malloc(bytes)) << bytes;
        EXPECT_FALSE(heap.Calloc(1, bytes)) << bytes;
      }
      EXPECT_FALSE(heap.AlignedAlloc(4 * kMiB, 3 * kMiB));
      hak_os_fake_fail_from(HAK_OS_FAKE_MREMAP, 1, ENOMEM);
      EXPECT_FALSE(heap.Realloc(&kept, 30 * kMiB));
      hak_os_fake_fail_never(HAK_OS_FAKE_MREMAP);
      EXPECT_FALSE(heap.Realloc(&kept, 40 * kMiB));
      hak_os_fake_answer_with(0, 0);
      ExpectUsable(&heap, &live);
      hak_faults::FreeAll(&heap, &live);
      heap.Free(kept);
      hak_testing::ExpectNothingLeft(&heap);
    })) << bits;
  }
}

// The last bytes that a program can have: 2^47 on x86-64, where the stack lies too. Where the place is taken, or is not
// the program's, the mappings fall short, and that has to be survived.
TEST(Addresses, AtTheEndOfTheUsersHalf) {
  for (const Scenario& scenario : hak_faults::kScenarios) {
    ASSERT_TRUE(SucceedsInChild([&] {
      Checked heap;
      Blocks live;
      hak_os_fake_set_clock_ms(1000);
      hak_os_fake_spread((uintptr_t{1} << 47) - 512 * kMiB, 2 * kMiB);
      scenario.run(&heap, &live);
      hak_os_fake_spread(0, 0);
      ExpectUsable(&heap, &live);
      hak_faults::FreeAll(&heap, &live);
      hak_testing::ExpectNothingLeft(&heap);
    })) << scenario.name;
  }
}

// As if under RLIMIT_AS: memory runs out, is freed, and is there again.
TEST(OutOfMemory, AtManyLimits) {
  for (const hak_faults::Scenario& scenario : hak_faults::kScenarios) {
    for (uint64_t limit_bytes = 256 * 1024; limit_bytes <= 64 * kMiB; limit_bytes *= 8) {
      ASSERT_TRUE(SucceedsInChild([&] {
        Checked heap;
        Blocks live;
        hak_os_fake_set_limit_bytes(limit_bytes);
        scenario.run(&heap, &live);
        EXPECT_LE(hak_os_fake_mapped_bytes(), limit_bytes);
        hak_faults::FreeAll(&heap, &live);
        hak_os_fake_set_limit_bytes(0);
        ExpectUsable(&heap, &live);
        hak_faults::FreeAll(&heap, &live);
        hak_testing::ExpectNothingLeft(&heap);
      })) << scenario.name
          << " within " << limit_bytes << " bytes";
    }
  }
}

// There is no room for a smaller block, so the block stays where it is: a success, which leaves errno alone (Checked says).
TEST(OutOfMemory, AShrinkThatCannotMoveStays) {
  ASSERT_TRUE(SucceedsInChild([] {
    Checked heap;
    hak_model::Block block = heap.Malloc(3 * kMiB);
    ASSERT_TRUE(block);
    const void* place = block.address;
    hak_os_fake_fail_from(HAK_OS_FAKE_MMAP, 1, ENOMEM);
    hak_os_fake_fail_from(HAK_OS_FAKE_MUNMAP, 1, ENOMEM);
    EXPECT_TRUE(heap.Realloc(&block, 100));
    EXPECT_EQ(block.address, place);
    EXPECT_FALSE(heap.Realloc(&block, 5 * kMiB));
    heap.Free(block);
  }));
}

}  // namespace
