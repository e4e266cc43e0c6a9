// Each system call of each scenario is refused in turn, once or from then on. Whatever fails: NULL and ENOMEM, errno kept
// by free, the live blocks as they were, a heap that works, and no memory lost.
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#include <string>
#include <tuple>

#include "hakmem/os/os_fake.h"
#include "hakmem/report/report.h"
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
  uint64_t failures;
  uint64_t mapped_bytes;
};

Outcome* SharedOutcome() {
  void* base = mmap(nullptr, sizeof(Outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return base == MAP_FAILED ? nullptr : static_cast<Outcome*>(base);
}

enum class Process { kFresh, kWarm };
enum class Mode { kOnce, kFromThenOn };

// nth 0: nothing fails.
struct Fault {
  hak_os_fake_call call;
  Mode mode;
  uint64_t nth;
};

void Plant(const Fault& fault) {
  if (fault.nth == 0) return;
  // EINVAL is what an old kernel says to advice that it does not know.
  const int error = fault.call == HAK_OS_FAKE_MADVISE ? EINVAL : ENOMEM;
  if (fault.mode == Mode::kOnce) {
    hak_os_fake_fail_nth(fault.call, fault.nth, error);
  } else {
    hak_os_fake_fail_from(fault.call, fault.nth, error);
  }
}

void ExpectUsable(Checked* heap, Blocks* live) {
  for (const size_t bytes : {size_t{1}, size_t{1000}, size_t{30000}, size_t{200000}, kMiB, 2 * kMiB}) {
    const hak_model::Block block = heap->Calloc(1, bytes);
    EXPECT_TRUE(block) << bytes;
    hak_faults::Keep(block, live);
  }
}

void RunScenario(const Scenario& scenario, Process process, const Fault& fault, Outcome* outcome) {
  Checked heap;
  Blocks live;
  if (process == Process::kWarm) {
    scenario.run(&heap, &live);
    hak_faults::FreeAll(&heap, &live);
  }
  Plant(fault);
  scenario.run(&heap, &live);
  for (const hak_model::Block& block : live) heap.model()->Check(block);
  hak_faults::FreeEverySecond(&heap, &live);
  outcome->failures = hak_os_fake_failures(fault.call);
  hak_os_fake_fail_never(fault.call);
  ExpectUsable(&heap, &live);
  hak_faults::FreeAll(&heap, &live);
  hak_testing::ExpectNothingLeft(&heap);
  outcome->mapped_bytes = hak_os_fake_mapped_bytes();
}

// Address space that may stay mapped for good after `failures` refusals. An end of an aligned mapping that the kernel will
// not cut off is lost: 2 MiB is the largest alignment here. Without room for a large chunk of descriptors a small one is
// taken first.
uint64_t AllowedLoss(const Fault& fault, uint64_t failures) {
  switch (fault.call) {
    case HAK_OS_FAKE_MUNMAP: return failures * 2 * kMiB;
    case HAK_OS_FAKE_MMAP:
    case HAK_OS_FAKE_MPROTECT: return 1 * kMiB + 256 * 1024;
    default: return 0;
  }
}

using Parameter = std::tuple<Scenario, Process>;

std::string NameOf(const testing::TestParamInfo<Parameter>& info) {
  return std::string(std::get<0>(info.param).name) + (std::get<1>(info.param) == Process::kWarm ? "Warm" : "Fresh");
}

class Faults : public testing::TestWithParam<Parameter> {
 protected:
  void SetUp() override { outcome_ = SharedOutcome(); }
  void TearDown() override { munmap(outcome_, sizeof(Outcome)); }

  // Refuses call number 1, 2, ... until the scenario makes no such call. HAKMEM is used in the children only: each finds a
  // process in which nobody has allocated yet.
  void RefuseEachInTurn(hak_os_fake_call call, Mode mode) {
    constexpr uint64_t kCallsMax = 40;
    constexpr uint64_t kEachUntil = 10;  // and of those behind it every third
    const auto& [scenario, process] = GetParam();
    Fault fault = {call, mode, 0};
    const auto run = [&, s = scenario, p = process] { RunScenario(s, p, fault, outcome_); };
    ASSERT_TRUE(SucceedsInChild(run)) << "without a fault";
    const uint64_t baseline_bytes = outcome_->mapped_bytes;
    for (fault.nth = 1; fault.nth <= kCallsMax; fault.nth += fault.nth < kEachUntil ? 1 : 3) {
      ASSERT_TRUE(SucceedsInChild(run)) << hak_os_fake_call_name(call) << " number " << fault.nth
                                        << (mode == Mode::kOnce ? "" : " and all after it");
      if (outcome_->failures == 0) break;
      ASSERT_LE(outcome_->mapped_bytes, baseline_bytes + AllowedLoss(fault, outcome_->failures))
          << hak_os_fake_call_name(call) << " number " << fault.nth << (mode == Mode::kOnce ? "" : " and all after it");
    }
  }

 private:
  Outcome* outcome_ = nullptr;
};

TEST_P(Faults, OneCallFails) {
  for (int call = 0; call < HAK_OS_FAKE_CALL_COUNT; call++) {
    RefuseEachInTurn(static_cast<hak_os_fake_call>(call), Mode::kOnce);
    if (HasFatalFailure()) return;
  }
}

TEST_P(Faults, AllCallsFailFromOneOn) {
  for (int call = 0; call < HAK_OS_FAKE_CALL_COUNT; call++) {
    RefuseEachInTurn(static_cast<hak_os_fake_call>(call), Mode::kFromThenOn);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Scenarios, Faults,
                         testing::Combine(testing::ValuesIn(hak_faults::kScenarios),
                                          testing::Values(Process::kFresh, Process::kWarm)),
                         NameOf);

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
