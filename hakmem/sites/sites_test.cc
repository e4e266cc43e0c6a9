#include "hakmem/sites/sites.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "hakmem/config/config.h"
#include "hakmem/heap/heap.h"
#include "hakmem/instrument/instrument.h"
#include "hakmem/os/mapping.h"

#include "gtest/gtest.h"

/* Functions that rules name. Global: no compiler gives them another name. */
extern "C" {
int HakSitesTestKeep(int x);
int HakSitesTestOther(int x);
__attribute__((noinline, used)) int HakSitesTestKeep(int x) { return x * 3 + 1; }
__attribute__((noinline, used)) int HakSitesTestOther(int x) { return x * 5 + 2; }
}

namespace {

const void* Inside(int (*function)(int), uintptr_t at = 2) {
  return reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(function) + at);
}

uint64_t Read(const hak_atomic_u64& figure) { return hak_u64_load_relaxed(&figure); }

class Sites : public testing::Test {
 protected:
  void TearDown() override {
    hak_instrument_reset_for_test();
    hak_sites_reset_for_test();
    hak_config_reset_for_test();
    unlink(path_.c_str());
  }

  // Returns what was complained of.
  std::string Start(const std::string& rules) {
    path_ = testing::TempDir() + "rules" + std::to_string(getpid());
    std::ofstream(path_) << rules;
    return StartWith(path_);
  }

  static std::string StartWith(const std::string& path) {
    std::string variable = "HAKMEM_SITE_RULES=" + path;
    char* environment[] = {variable.data(), nullptr};
    testing::internal::CaptureStderr();
    hak_config_load_as(environment, false);
    hak_sites_start();
    return testing::internal::GetCapturedStderr();
  }

  // The class of a call that returns there; "" is the usual one.
  static std::string ClassOf(const void* caller) {
    const hak_heap* heap = hak_instrument_route(hak_instrument_follow(), caller);
    return heap == nullptr ? "" : heap->name;
  }

  static std::string RuleFor(const void* caller) {
    hak_mapping mapping;
    EXPECT_TRUE(hak_mapping_find(caller, &mapping));
    char offset[32];
    snprintf(offset, sizeof offset, "+0x%llx", static_cast<unsigned long long>(mapping.offset));
    return mapping.path + std::string(offset);
  }

 private:
  std::string path_;
};

TEST_F(Sites, OffByDefault) {
  hak_sites_start();
  EXPECT_FALSE(hak_instrument_is_on());
  EXPECT_EQ(ClassOf(Inside(HakSitesTestKeep)), "");
  EXPECT_EQ(Read(hak_sites_read_figures()->known), 0u);
}

TEST_F(Sites, AFileWithoutRulesSwitchesNothingOn) {
  EXPECT_EQ(Start("# nothing\n"), "");
  EXPECT_FALSE(hak_instrument_is_on());
}

TEST_F(Sites, AFileThatIsNotThere) {
  EXPECT_EQ(StartWith("/nowhere/rules"), "hakmem: no site rules: cannot read /nowhere/rules\n");
  EXPECT_FALSE(hak_instrument_is_on());
}

TEST_F(Sites, ByFunction) {
  EXPECT_EQ(Start("long HakSitesTestKeep\n"), "");
  EXPECT_EQ(ClassOf(Inside(HakSitesTestKeep)), "long");
  EXPECT_EQ(ClassOf(Inside(HakSitesTestOther)), "");
  const hak_sites_figures* figures = hak_sites_read_figures();
  EXPECT_EQ(Read(figures->known), 2u);
  EXPECT_EQ(Read(figures->routed), 1u);
  EXPECT_EQ(Read(figures->unread), 0u);
}

TEST_F(Sites, ACallBelongsToTheFunctionThatItIsIn) {
  Start("long HakSitesTestKeep\n");
  EXPECT_EQ(ClassOf(Inside(HakSitesTestKeep, 0)), "") << "returns to the first byte: called by what is before";
  EXPECT_EQ(ClassOf(Inside(HakSitesTestKeep, 1)), "long");
}

TEST_F(Sites, ByOffset) {
  const void* site = Inside(HakSitesTestOther, 3);
  EXPECT_EQ(Start("short " + RuleFor(site) + "\n"), "");
  EXPECT_EQ(ClassOf(site), "short");
  EXPECT_EQ(ClassOf(Inside(HakSitesTestOther, 2)), "");
  EXPECT_EQ(Read(hak_sites_read_figures()->unread), 0u) << "no symbols are read for it";
}

TEST_F(Sites, TheFirstRuleThatFitsHasTheSite) {
  const void* site = Inside(HakSitesTestKeep, 3);
  Start("usual " + RuleFor(site) + "\nlong HakSitesTestKeep\nshort HakSitesTestKeep\n");
  EXPECT_EQ(ClassOf(site), "");
  EXPECT_EQ(ClassOf(Inside(HakSitesTestKeep, 2)), "long");
}

TEST_F(Sites, OfAnotherModuleIsNoRuleForThisOne) {
  Start("long libc.so.6!HakSitesTestKeep\nlong libc.so.6+0x1\n");
  EXPECT_EQ(ClassOf(Inside(HakSitesTestKeep)), "");
}

TEST_F(Sites, WhatIsNoCodeIsUsual) {
  Start("long HakSitesTestKeep\n");
  int on_the_stack = 0;
  EXPECT_EQ(ClassOf(&on_the_stack), "");
  EXPECT_EQ(ClassOf(nullptr), "");
  EXPECT_EQ(ClassOf(reinterpret_cast<const void*>(~uintptr_t{0})), "");
  EXPECT_EQ(Read(hak_sites_read_figures()->nowhere), 1u) << "the others are no addresses";
}

TEST_F(Sites, AFullTableIsUsualAndCounted) {
  Start("long HakSitesTestKeep\n");
  ASSERT_EQ(ClassOf(Inside(HakSitesTestKeep)), "long");
  for (uintptr_t i = 1; i <= 3 * HAK_SITES_TABLE; i++) ClassOf(reinterpret_cast<const void*>(i * 16));
  const hak_sites_figures* figures = hak_sites_read_figures();
  EXPECT_LE(Read(figures->known), static_cast<uint64_t>(HAK_SITES_TABLE));
  EXPECT_GE(Read(figures->known), static_cast<uint64_t>(HAK_SITES_TABLE) * 9 / 10) << "hardly a place is wasted";
  EXPECT_GE(Read(figures->no_room), static_cast<uint64_t>(HAK_SITES_TABLE));
  EXPECT_EQ(ClassOf(Inside(HakSitesTestKeep)), "long") << "what is known stays so";
}

TEST_F(Sites, ThreadsThatMeetTheSameSites) {
  Start("long HakSitesTestKeep\n");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([] {
      for (uintptr_t i = 0; i < 500; i++) {
        EXPECT_EQ(ClassOf(reinterpret_cast<const void*>(16 + i * 16)), "");
        EXPECT_EQ(ClassOf(Inside(HakSitesTestKeep, 1 + i % 3)), "long");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Read(hak_sites_read_figures()->known), 503u);
  EXPECT_EQ(Read(hak_sites_read_figures()->routed), 3u);
}

TEST_F(Sites, EachClassHasAHeapOfItsName) {
  Start("long HakSitesTestKeep\nshort HakSitesTestOther\n");
  EXPECT_EQ(ClassOf(Inside(HakSitesTestKeep)), "long");
  EXPECT_EQ(ClassOf(Inside(HakSitesTestOther)), "short");
  int named = 0;
  for (const hak_heap* heap = hak_heap_first(); heap != nullptr; heap = heap->next_heap) {
    named += hak_u32_load_relaxed(&heap->state) == HAK_HEAP_NAMED;
  }
  EXPECT_GE(named, 2);
}

}  // namespace
