// What the tests of the shared pool have in common: a pool without a SuperSlab before each test and after it, and
// nothing mapped in the end but the memory of descriptors.
#ifndef HAKMEM_SHARED_POOL_TEST_POOL_H_
#define HAKMEM_SHARED_POOL_TEST_POOL_H_

#include <string.h>

#include <string>
#include <utility>
#include <vector>

#include "hakmem/base/poison.h"
#include "hakmem/config/config.h"
#include "hakmem/config/test_config.h"
#include "hakmem/heap/heap.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"

#include "gtest/gtest.h"

constexpr size_t kUnit = HAK_UNIT_BYTES;
constexpr size_t kSuperSlab = HAK_SUPERSLAB_BYTES;
constexpr uint64_t kStartMs = 1000;
constexpr uint64_t kHeapLimit = 8 * 1024 * 1024;

// Metadata chunks, seen when they are made accessible: nothing else calls mprotect.
inline std::vector<std::pair<char*, size_t>>& MetadataChunks() {
  static std::vector<std::pair<char*, size_t>> chunks;
  return chunks;
}

inline void NoteMetadataChunk(hak_os_fake_call call, void* base, size_t size_bytes) {
  if (call == HAK_OS_FAKE_MPROTECT) MetadataChunks().emplace_back(static_cast<char*>(base), size_bytes);
}

// Bytes mapped for descriptors. A test that has mprotect refused takes the refused chunk off the list.
inline uint64_t DescriptorBytes() {
  uint64_t bytes = hak_registry_leaf_bytes();
  for (const auto& chunk : MetadataChunks()) bytes += chunk.second + 2 * hak_os_page_bytes();
  return bytes;
}

inline hak_shared_pool_figures Figures() { return hak_shared_pool_read_figures(); }

inline bool ReadsAsZero(const char* base, size_t bytes) {
  hak_unpoison(base, bytes);
  return base[0] == 0 && memcmp(base, base + 1, bytes - 1) == 0;
}

inline void Fill(char* base, size_t bytes) {
  hak_unpoison(base, bytes);
  memset(base, 0x5a, bytes);
}

class PoolFixture : public testing::Test {
 protected:
  void SetUp() override {
    hak_os_fake_reset();
    hak_os_fake_set_observer(NoteMetadataChunk);
    LoadConfig("");
    hak_shared_pool_set_clock(kStartMs);
    heap_ = hak_heap_acquire(kHeapLimit);
    ASSERT_NE(heap_, nullptr);
    ASSERT_EQ(Figures().superslabs, 0u);
  }

  void TearDown() override {
    hak_os_fake_reset();
    hak_config_reset_for_test();
    EXPECT_EQ(Figures().live_slabs + Figures().live_spans, 0u) << "the test's own leak";
    hak_shared_pool_purge(kStartMs, 0);
    EXPECT_EQ(Figures().superslabs, 0u);
    EXPECT_EQ(Figures().empty_superslabs, 0u);
    EXPECT_EQ(hak_os_fake_mapped_bytes(), DescriptorBytes());
    EXPECT_EQ(hak_os_read_counters().mapped_bytes, hak_os_fake_mapped_bytes());
    hak_heap_park(heap_);
  }

  hak_slab* Acquire(uint32_t size_class) { return hak_shared_pool_acquire(heap_, size_class); }
  void Release(hak_slab* slab) { hak_shared_pool_release(heap_, slab); }

  static hak_slab* AcquireSpan(uint32_t units) {
    bool zeroed;
    return hak_shared_pool_acquire_span(units, &zeroed);
  }

  hak_heap* heap_ = nullptr;
};

// Keeps a SuperSlab in use, so that what is released next to it stays in the pool's units.
class AnchoredPoolFixture : public PoolFixture {
 protected:
  void SetUp() override {
    PoolFixture::SetUp();
    anchor_ = AcquireSpan(1);
  }

  void TearDown() override {
    hak_shared_pool_release_span(anchor_);
    PoolFixture::TearDown();
  }

  hak_slab* anchor_ = nullptr;
};

#endif  // HAKMEM_SHARED_POOL_TEST_POOL_H_
