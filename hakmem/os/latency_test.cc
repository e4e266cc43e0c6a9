#include "hakmem/os/latency.h"

#include <errno.h>

#include <string>

#include "hakmem/os/lock.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"

#include "gtest/gtest.h"

namespace {

uint64_t Count(hak_latency_cause cause) {
  uint64_t count = 0;
  for (const uint64_t bucket : hak_latency_read(cause).buckets) count += bucket;
  return count;
}

class Latency : public testing::Test {
 protected:
  void SetUp() override { hak_os_fake_reset(); }
  void TearDown() override {
    hak_latency_switch(false);
    hak_os_fake_reset();
  }
};

TEST_F(Latency, OffNothingIsCountedAndNoClockIsRead) {
  EXPECT_FALSE(hak_latency_is_switched_on());
  const uint64_t before = Count(HAK_LATENCY_MAP);
  EXPECT_EQ(hak_latency_start(), 0u);
  hak_latency_end(HAK_LATENCY_MAP, 0);
  hak_os_unmap(hak_os_map(hak_os_page_bytes()), hak_os_page_bytes());
  EXPECT_EQ(Count(HAK_LATENCY_MAP), before);
}

TEST_F(Latency, ATimeIsInTheBucketOfItsLength) {
  hak_latency_switch(true);
  hak_os_fake_set_clock_ms(1000);
  for (const uint64_t ms : {0, 1, 2, 4, 500, 3000}) {
    const uint64_t start_ns = hak_latency_start();
    ASSERT_NE(start_ns, 0u);
    hak_os_fake_advance_clock_ms(ms);
    hak_latency_end(HAK_LATENCY_WHALE, start_ns);
  }
  const hak_latency_figures now = hak_latency_read(HAK_LATENCY_WHALE);
  EXPECT_EQ(now.sum_ns, 3507u * 1000000);
  EXPECT_EQ(now.buckets[0], 1u);
  EXPECT_EQ(now.buckets[13], 1u) << "2^19 <= 1 ms in ns < 2^20";
  EXPECT_EQ(now.buckets[14], 1u);
  EXPECT_EQ(now.buckets[15], 1u);
  EXPECT_EQ(now.buckets[22], 1u) << "0.5 s";
  EXPECT_EQ(now.buckets[23], 1u) << "all that is longer";
  EXPECT_EQ(Count(HAK_LATENCY_WHALE), 6u);
}

TEST_F(Latency, SystemCallsAreTimed) {
  hak_latency_switch(true);
  const size_t page = hak_os_page_bytes();
  const uint64_t maps = Count(HAK_LATENCY_MAP), unmaps = Count(HAK_LATENCY_UNMAP), purges = Count(HAK_LATENCY_RETURN);
  void* base = hak_os_map(page);
  ASSERT_NE(base, nullptr);
  errno = 77;
  EXPECT_TRUE(hak_os_purge(base, page));
  EXPECT_TRUE(hak_os_unmap(base, page));
  EXPECT_EQ(errno, 77);
  EXPECT_EQ(Count(HAK_LATENCY_MAP), maps + 1);
  EXPECT_EQ(Count(HAK_LATENCY_UNMAP), unmaps + 1);
  EXPECT_EQ(Count(HAK_LATENCY_RETURN), purges + 1);
}

TEST(LatencyNames, EachIsOneWordOfItsOwn) {
  std::string all = " ";
  for (uint32_t i = 0; i < HAK_LATENCY_COUNT; i++) {
    const std::string name = hak_latency_name(static_cast<hak_latency_cause>(i));
    EXPECT_FALSE(name.empty());
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz"), std::string::npos);
    EXPECT_EQ(all.find(" " + name + " "), std::string::npos) << name;
    all += name + " ";
  }
}

}  // namespace
