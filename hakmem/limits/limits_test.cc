#include "hakmem/limits/limits.h"

#include <string>

#include "hakmem/config/config.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"

#include "gtest/gtest.h"

namespace {

constexpr uint64_t kMiB = 1024 * 1024;
constexpr char k256MiB[] = "268435456\n";
constexpr char k64MiB[] = "67108864\n";
constexpr char kV1None[] = "9223372036854771712\n";

void File(const char* path, const char* text) { hak_os_fake_set_file(path, text); }

class Limits : public testing::Test {
 protected:
  void SetUp() override { Forget(); }
  void TearDown() override {
    if (heap_ != nullptr) hak_os_unmap(heap_, kHeapBytes);
    Forget();
  }

  static void Forget() {
    hak_os_fake_reset();
    hak_config_reset_for_test();
    hak_limits_reset_for_test();
  }

  // The process has a heap that is worth a look.
  hak_limits_figures Look() {
    if (heap_ == nullptr) heap_ = hak_os_map(kHeapBytes);
    hak_limits_consider();
    return hak_limits_read_figures();
  }

  // 64 MiB, of which the process uses `used` and `anon` of that for itself.
  void LimitTo64MiB() {
    File("/proc/self/cgroup", "0::/job\n");
    File("/sys/fs/cgroup/job/memory.max", k64MiB);
    File("/sys/fs/cgroup/job/memory.current", "1000000\n");
    ASSERT_EQ(Look().memory_bytes, 64 * kMiB);
  }

  static constexpr size_t kHeapBytes = HAK_LIMITS_FIRST_LOOK_BYTES;
  void* heap_ = nullptr;
};

TEST_F(Limits, ASmallProcessOpensNothing) {
  File("/proc/self/cgroup", "0::/job\n");
  File("/sys/fs/cgroup/job/memory.max", k64MiB);
  hak_limits_consider();
  EXPECT_FALSE(hak_limits_is_short(1000));
  EXPECT_EQ(hak_os_fake_file_reads(), 0u);
  EXPECT_EQ(hak_limits_epoch(), 0u);
  EXPECT_EQ(Look().memory_bytes, 64 * kMiB);
}

TEST_F(Limits, WithoutAGroupNothingChanges) {
  EXPECT_EQ(Look().memory_bytes, 0u);
  EXPECT_EQ(hak_os_fake_file_reads(), 1u);
  EXPECT_EQ(hak_limits_epoch(), 0u);
  EXPECT_EQ(hak_config_get(HAK_OPTION_THREAD_CACHE_BYTES), 16 * kMiB);
}

TEST_F(Limits, WithoutALimitNothingIsOpenedAgain) {
  File("/proc/self/cgroup", "0::/job\n");
  File("/sys/fs/cgroup/job/memory.max", "max\n");
  File("/sys/fs/cgroup/job/memory.high", "max\n");
  File("/sys/fs/cgroup/job/cpu.max", "max 100000\n");
  const hak_limits_figures figures = Look();
  EXPECT_EQ(figures.memory_bytes, 0u);
  EXPECT_EQ(figures.milli_cpus, 0u);
  EXPECT_EQ(hak_limits_epoch(), 0u);
  const uint64_t reads = hak_os_fake_file_reads();
  EXPECT_FALSE(hak_limits_is_short(1000));
  hak_limits_consider();
  EXPECT_EQ(hak_os_fake_file_reads(), reads);
  EXPECT_EQ(hak_limits_period_ms(125), 125u);
}

TEST_F(Limits, DefaultsFollowTheMemoryLimit) {
  File("/proc/self/cgroup", "0::/a/b\n");
  File("/sys/fs/cgroup/a/b/memory.max", k256MiB);
  const hak_limits_figures figures = Look();
  EXPECT_EQ(figures.version, 2u);
  EXPECT_EQ(figures.memory_bytes, 256 * kMiB);
  EXPECT_EQ(hak_config_get(HAK_OPTION_THREAD_CACHE_BYTES), 4 * kMiB);
  EXPECT_EQ(hak_config_get(HAK_OPTION_WHALE_CACHE_BYTES), 32 * kMiB);
  EXPECT_EQ(hak_config_get(HAK_OPTION_SUPERSLAB_CACHE), 16u);
  EXPECT_EQ(hak_config_get(HAK_OPTION_SURPLUS_BYTES), kMiB / 2);
  EXPECT_EQ(hak_config_get(HAK_OPTION_DECAY_MS), 500u);
  EXPECT_EQ(hak_limits_epoch(), 1u);
  EXPECT_STREQ(hak_config_source_name(hak_config_source_of(HAK_OPTION_THREAD_CACHE_BYTES)), "control group");
}

TEST_F(Limits, ALargeLimitLeavesTheDefaults) {
  File("/proc/self/cgroup", "0::/a\n");
  File("/sys/fs/cgroup/a/memory.max", "4294967296\n");
  EXPECT_EQ(Look().memory_bytes, 4096 * kMiB);
  EXPECT_EQ(hak_config_get(HAK_OPTION_THREAD_CACHE_BYTES), 16 * kMiB);
  EXPECT_EQ(hak_config_get(HAK_OPTION_WHALE_CACHE_BYTES), 512 * kMiB);
  EXPECT_EQ(hak_config_get(HAK_OPTION_SUPERSLAB_CACHE), 256u);
  EXPECT_EQ(hak_config_source_of(HAK_OPTION_SUPERSLAB_CACHE), HAK_CONFIG_DEFAULT);
}

TEST_F(Limits, WhatTheUserHasChosenStays) {
  ASSERT_EQ(hak_config_set("thread_cache_bytes", "16m"), 0);
  ASSERT_EQ(hak_config_set("superslab_cache", "100"), 0);
  LimitTo64MiB();
  EXPECT_EQ(hak_config_get(HAK_OPTION_THREAD_CACHE_BYTES), 16 * kMiB);
  EXPECT_EQ(hak_config_get(HAK_OPTION_SUPERSLAB_CACHE), 100u);
  EXPECT_EQ(hak_config_get(HAK_OPTION_WHALE_CACHE_BYTES), 8 * kMiB);
}

TEST_F(Limits, TheLeastLimitOfTheGroupAndThoseAroundItCounts) {
  File("/proc/self/cgroup", "0::/a/b/c\n");
  File("/sys/fs/cgroup/a/b/c/memory.max", k256MiB);
  File("/sys/fs/cgroup/a/b/memory.high", k64MiB);
  File("/sys/fs/cgroup/a/memory.max", k256MiB);
  File("/sys/fs/cgroup/a/b/memory.current", "60000000\n");
  EXPECT_EQ(Look().memory_bytes, 64 * kMiB);
  (void)hak_limits_is_short(1000);
  EXPECT_EQ(hak_limits_read_figures().used_bytes, 60000000u) << "of the group that has the limit";
}

TEST_F(Limits, Version1) {
  File("/proc/self/cgroup", "5:cpu,cpuacct:/job\n4:memory:/job/x\n1:name=systemd:/memory\n0::/\n");
  File("/sys/fs/cgroup/memory/job/x/memory.limit_in_bytes", kV1None);
  File("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", k256MiB);
  File("/sys/fs/cgroup/memory/memory.limit_in_bytes", kV1None);
  File("/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "250000\n");
  File("/sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  const hak_limits_figures figures = Look();
  EXPECT_EQ(figures.version, 1u);
  EXPECT_EQ(figures.memory_bytes, 256 * kMiB);
  EXPECT_EQ(figures.milli_cpus, 2500u);
}

TEST_F(Limits, Version1WithoutAQuota) {
  File("/proc/self/cgroup", "5:cpuacct,cpu:/\n4:memory:/\n");
  File("/sys/fs/cgroup/memory/memory.limit_in_bytes", kV1None);
  File("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  File("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  const hak_limits_figures figures = Look();
  EXPECT_EQ(figures.memory_bytes, 0u);
  EXPECT_EQ(figures.milli_cpus, 0u);
}

TEST_F(Limits, AContainerThatSeesItsOwnGroupAsTheRoot) {
  File("/proc/self/cgroup", "4:memory:/docker/abc\n");
  File("/sys/fs/cgroup/memory/memory.limit_in_bytes", k64MiB);
  EXPECT_EQ(Look().memory_bytes, 64 * kMiB);
}

TEST_F(Limits, ProcessorsSayHowManyThreadsAreAtWork) {
  EXPECT_EQ(hak_limits_rank(5), 5u);
  File("/proc/self/cgroup", "0::/\n");
  File("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(Look().milli_cpus, 1500u);
  EXPECT_EQ(hak_limits_epoch(), 1u);
  EXPECT_EQ(hak_limits_rank(1), 1u);
  EXPECT_EQ(hak_limits_rank(3), 3u);
  EXPECT_EQ(hak_limits_rank(4), static_cast<uint32_t>(HAK_LIMITS_LAST_RANK));
  EXPECT_EQ(hak_limits_rank(100), 100u);
  EXPECT_FALSE(hak_limits_is_short(1000)) << "no memory limit";
}

TEST_F(Limits, TheFirstThreadIsAlwaysAtWork) {
  File("/proc/self/cgroup", "0::/\n");
  File("/sys/fs/cgroup/cpu.max", "10000 100000\n");
  Look();
  EXPECT_EQ(hak_limits_rank(1), 1u);
  EXPECT_EQ(hak_limits_rank(2), static_cast<uint32_t>(HAK_LIMITS_LAST_RANK));
}

TEST_F(Limits, FarFromTheLimitOneFileIsReadATick) {
  LimitTo64MiB();
  const uint64_t reads = hak_os_fake_file_reads();
  EXPECT_FALSE(hak_limits_is_short(1000));
  EXPECT_EQ(hak_os_fake_file_reads(), reads + 1);
  EXPECT_EQ(hak_limits_period_ms(125), 125u);
  File("/sys/fs/cgroup/job/memory.current", "34000000\n");
  EXPECT_FALSE(hak_limits_is_short(1000));
  EXPECT_EQ(hak_limits_period_ms(125), 10u) << "half of it is used: look more often";
  EXPECT_EQ(hak_limits_period_ms(5), 5u);
}

TEST_F(Limits, AtTheLimitWithFilesMemoryIsNotShort) {
  LimitTo64MiB();
  File("/sys/fs/cgroup/job/memory.current", "67000000\n");
  File("/sys/fs/cgroup/job/memory.stat", "anon 20000000\nfile 47000000\n");
  EXPECT_FALSE(hak_limits_is_short(5000));
  EXPECT_EQ(hak_limits_epoch(), 1u);
}

TEST_F(Limits, ShortMemoryEmptiesCachesOnceASecond) {
  LimitTo64MiB();
  File("/sys/fs/cgroup/job/memory.current", "66000000\n");
  File("/sys/fs/cgroup/job/memory.stat", "anon 65000000\nfile 1000000\n");
  EXPECT_TRUE(hak_limits_is_short(5000));
  EXPECT_EQ(hak_limits_epoch(), 2u);
  EXPECT_TRUE(hak_limits_is_short(5999));
  EXPECT_EQ(hak_limits_epoch(), 2u);
  EXPECT_TRUE(hak_limits_is_short(6000));
  EXPECT_EQ(hak_limits_epoch(), 3u);
  EXPECT_EQ(hak_limits_read_figures().shortages, 3u);
  File("/sys/fs/cgroup/job/memory.current", "20000000\n");
  EXPECT_FALSE(hak_limits_is_short(7000));
}

TEST_F(Limits, Version1CountsTheWholeGroup) {
  File("/proc/self/cgroup", "4:memory:/job\n");
  File("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", k64MiB);
  File("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "67000000\n");
  File("/sys/fs/cgroup/memory/job/memory.stat", "cache 5\nrss 7\ntotal_cache 8\ntotal_rss 66000000\n");
  Look();
  EXPECT_TRUE(hak_limits_is_short(5000));
  File("/sys/fs/cgroup/memory/job/memory.stat", "cache 5\nrss 7\ntotal_cache 8\ntotal_rss 30000000\n");
  EXPECT_FALSE(hak_limits_is_short(6000));
}

TEST_F(Limits, PressureIsShortage) {
  LimitTo64MiB();
  File("/sys/fs/cgroup/job/memory.current", "40000000\n");
  File("/sys/fs/cgroup/job/memory.pressure", "some avg10=9.99 avg60=0.00 avg300=0.00 total=1\nfull avg10=50.00\n");
  EXPECT_FALSE(hak_limits_is_short(5000));
  File("/sys/fs/cgroup/job/memory.pressure", "some avg10=10.00 avg60=0.00 avg300=0.00 total=1\n");
  EXPECT_TRUE(hak_limits_is_short(5000));
  File("/sys/fs/cgroup/job/memory.current", "10000000\n");
  EXPECT_FALSE(hak_limits_is_short(7000)) << "the want is not this process's to cure";
}

TEST_F(Limits, SwitchedOffNothingIsOpened) {
  ASSERT_EQ(hak_config_set("limits", "0"), 0);
  File("/proc/self/cgroup", "0::/job\n");
  File("/sys/fs/cgroup/job/memory.max", k64MiB);
  EXPECT_EQ(Look().memory_bytes, 0u);
  EXPECT_FALSE(hak_limits_is_short(1000));
  EXPECT_EQ(hak_os_fake_file_reads(), 0u);
}

TEST_F(Limits, SwitchedOffLaterNothingIsOpenedAnyMore) {
  LimitTo64MiB();
  File("/sys/fs/cgroup/job/memory.current", "66000000\n");
  File("/sys/fs/cgroup/job/memory.stat", "anon 65000000\nfile 1000000\n");
  EXPECT_TRUE(hak_limits_is_short(5000));
  EXPECT_EQ(hak_limits_period_ms(125), 10u);
  ASSERT_EQ(hak_config_set("limits", "0"), 0);
  const uint64_t reads = hak_os_fake_file_reads();
  EXPECT_FALSE(hak_limits_is_short(6000));
  EXPECT_EQ(hak_os_fake_file_reads(), reads);
  EXPECT_EQ(hak_limits_period_ms(125), 125u);
  ASSERT_EQ(hak_config_set("limits", "1"), 0);
  EXPECT_TRUE(hak_limits_is_short(7000));
}

TEST_F(Limits, SwitchedOnLaterTheFirstLookIsTaken) {
  ASSERT_EQ(hak_config_set("limits", "0"), 0);
  File("/proc/self/cgroup", "0::/job\n");
  File("/sys/fs/cgroup/job/memory.max", k64MiB);
  ASSERT_EQ(Look().memory_bytes, 0u);
  ASSERT_EQ(hak_config_set("limits", "1"), 0);
  EXPECT_EQ(Look().memory_bytes, 64 * kMiB);
}

TEST_F(Limits, SwitchedOnBehindASandboxNothingIsOpened) {
  ASSERT_EQ(hak_config_set("limits", "0"), 0);
  File("/proc/self/cgroup", "0::/job\n");
  File("/sys/fs/cgroup/job/memory.max", k64MiB);
  hak_limits_close();
  ASSERT_EQ(hak_config_set("limits", "1"), 0);
  EXPECT_EQ(Look().memory_bytes, 0u);
  EXPECT_EQ(hak_os_fake_file_reads(), 0u);
}

TEST_F(Limits, BehindASandboxNothingIsOpened) {
  File("/proc/self/cgroup", "0::/job\n");
  File("/sys/fs/cgroup/job/memory.max", k64MiB);
  hak_limits_close();
  EXPECT_EQ(hak_limits_read_figures().memory_bytes, 64 * kMiB) << "the last chance was taken";
  const uint64_t reads = hak_os_fake_file_reads();
  EXPECT_EQ(Look().memory_bytes, 64 * kMiB);
  EXPECT_FALSE(hak_limits_is_short(1000));
  EXPECT_EQ(hak_os_fake_file_reads(), reads);
}

TEST_F(Limits, OddContentsAreNoLimit) {
  static const std::string long_path = "0::/" + std::string(600, 'x') + "\n";
  for (const char* groups : {"", "\n", "0", "0:", "0::", "nonsense", long_path.c_str(), "4:memory:"}) {
    Forget();
    File("/proc/self/cgroup", groups);
    EXPECT_EQ(Look().memory_bytes, 0u) << groups;
  }
  for (const char* limit : {"", "\n", "max", "-5", "0", "99999999999999999999999", "x"}) {
    Forget();
    File("/proc/self/cgroup", "0::/job");
    File("/sys/fs/cgroup/job/memory.max", limit);
    File("/sys/fs/cgroup/job/cpu.max", limit);
    EXPECT_EQ(Look().memory_bytes, 0u) << limit;
  }
}

TEST_F(Limits, AChildOfAForkAmidALookLooksAnew) {
  LimitTo64MiB();
  hak_limits_after_fork();
  EXPECT_EQ(hak_limits_read_figures().memory_bytes, 64 * kMiB);
  File("/sys/fs/cgroup/job/memory.current", "66000000\n");
  EXPECT_TRUE(hak_limits_is_short(5000)) << "no figures of what is pinned: all of it";
}

}  // namespace
