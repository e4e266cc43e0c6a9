// What the tests of the whale cache have in common: no whale before each test and after it, and nothing mapped in the end but
// descriptors and leaves of the registry.
#ifndef HAKMEM_WHALE_CACHE_TEST_WHALES_H_
#define HAKMEM_WHALE_CACHE_TEST_WHALES_H_

#include <errno.h>
#include <string.h>

#include <string>
#include <vector>

#include "hakmem/base/poison.h"
#include "hakmem/config/config.h"
#include "hakmem/config/test_config.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/registry/registry.h"
#include "hakmem/whale_cache/whale_cache.h"

#include "gtest/gtest.h"

constexpr size_t kUnit = HAK_UNIT_BYTES;
constexpr size_t kMiB = 1024 * 1024;
constexpr int kErrno = 1234;

inline hak_whale_cache_figures Figures() { return hak_whale_cache_read_figures(); }

inline uint64_t metadata_bytes;

inline void NoteMetadata(hak_os_fake_call call, void*, size_t size_bytes) {
  if (call == HAK_OS_FAKE_MPROTECT) metadata_bytes += size_bytes + 2 * hak_os_page_bytes();
}

inline bool IsAll(const char* base, size_t bytes, char value) {
  hak_unpoison(base, bytes);
  return base[0] == value && memcmp(base, base + 1, bytes - 1) == 0;
}

inline void Fill(char* base, size_t bytes, char value = 0x5a) {
  hak_unpoison(base, bytes);
  memset(base, value, bytes);
}

class WhaleCache : public testing::Test {
 protected:
  void SetUp() override {
    hak_os_fake_reset();
    hak_os_fake_set_observer(NoteMetadata);
    LoadConfig("");
    errno = kErrno;
  }
  void TearDown() override {
    EXPECT_EQ(errno, kErrno);
    hak_os_fake_reset();
    hak_config_reset_for_test();
    EXPECT_EQ(Figures().live, 0u) << "the test's own leak";
    hak_whale_cache_purge(0, 0);
    EXPECT_EQ(Figures().cached, 0u);
    EXPECT_EQ(Figures().live_bytes + Figures().cached_bytes, 0u);
    EXPECT_EQ(hak_os_fake_mapped_bytes(), hak_registry_leaf_bytes() + metadata_bytes);
    EXPECT_EQ(hak_os_read_counters().mapped_bytes, hak_os_fake_mapped_bytes());
  }

  static hak_whale* Acquire(size_t bytes, size_t alignment = 1) {
    bool zeroed;
    return hak_whale_cache_acquire(bytes, alignment, &zeroed);
  }
  static void Release(hak_whale* whale, uint64_t now_ms = 0) { hak_whale_cache_release(whale, now_ms); }

  // One whale of each size in the cache, released in this order. Returns their bases.
  static std::vector<char*> Cache(const std::vector<size_t>& sizes) {
    std::vector<hak_whale*> whales;
    for (const size_t size : sizes) whales.push_back(Acquire(size));
    std::vector<char*> bases;
    for (hak_whale* whale : whales) {
      bases.push_back(whale->base);
      Release(whale);
    }
    return bases;
  }

  static bool IsCached(const char* base) { return hak_os_fake_is_mapped(base, kUnit); }

  // Behind the whale comes a hole of `bytes`, so that it can grow where it lies.
  static hak_whale* AcquireBeforeAHole(size_t bytes, size_t hole_bytes) {
    hak_whale* whale = Acquire(bytes + hole_bytes);
    EXPECT_TRUE(hak_whale_cache_resize(whale, bytes));
    EXPECT_EQ(whale->size_bytes, bytes);
    return whale;
  }
};

#endif  // HAKMEM_WHALE_CACHE_TEST_WHALES_H_
