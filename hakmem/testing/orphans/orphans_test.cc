// A fork leaves heaps of threads behind that had no chance to empty their caches. Single slabs of such a heap are
// adopted by others, then the heap is taken whole: the blocks in its caches are of slabs it does not own any more.
#include "hakmem/heap/heap.h"
#include "hakmem/registry/registry.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/size_class/size_class.h"
#include "hakmem/slab/slab.h"
#include "hakmem/unified_cache/unified_cache.h"

#include "gtest/gtest.h"

namespace {

constexpr uint64_t kCacheBytes = 1 << 20;

class Orphans : public testing::TestWithParam<uint32_t> {
 protected:
  // The orphan has blocks in its slots and in its run; then its slab is the adopter's.
  void SetUp() override {
    orphan_ = hak_heap_acquire(kCacheBytes);
    ASSERT_NE(orphan_, nullptr);
    void* block = hak_unified_cache_refill(orphan_, Class());
    ASSERT_NE(block, nullptr);
    slab_ = static_cast<hak_slab*>(hak_registry_owner(block));
    cached_ = CachedBlocks();
    ASSERT_GT(cached_, 0u);
    free_in_slab_ = hak_slab_free_count(slab_);
    ASSERT_GT(free_in_slab_, 0u);

    adopter_ = hak_heap_acquire(kCacheBytes);
    hak_heap_park(orphan_); /* not flushed, as in the child of a fork */
    ASSERT_EQ(hak_shared_pool_acquire(adopter_, Class()), slab_);
    ASSERT_EQ(hak_heap_acquire(kCacheBytes), orphan_);
  }

  static uint32_t Class() { return GetParam(); }
  hak_bin* OrphanBin() const { return hak_heap_bin(orphan_, Class()); }

  uint32_t CachedBlocks() const {
    const hak_bin* bin = OrphanBin();
    return hak_bin_held(bin) + static_cast<uint32_t>(__builtin_popcountll(bin->run_mask));
  }

  hak_heap* orphan_ = nullptr;
  hak_heap* adopter_ = nullptr;
  hak_slab* slab_ = nullptr;
  uint32_t cached_ = 0;
  uint32_t free_in_slab_ = 0;
};

TEST_P(Orphans, AFlushLeavesTheSlabToItsNewOwner) {
  hak_unified_cache_flush(orphan_);
  EXPECT_EQ(CachedBlocks(), 0u);
  EXPECT_EQ(hak_slab_free_count(slab_), free_in_slab_) << "the owner's bits were written by another heap";
  EXPECT_EQ(OrphanBin()->partial, nullptr);
  EXPECT_EQ(OrphanBin()->current, nullptr);
  EXPECT_FALSE(slab_->listed);
  for (const hak_outbox_entry& entry : orphan_->outbox) EXPECT_EQ(entry.slab, nullptr) << "a block stays behind";
}

TEST_P(Orphans, TheNewOwnerGetsTheBlocks) {
  hak_unified_cache_flush(orphan_);
  hak_bin* bin = hak_heap_bin(adopter_, Class());
  ASSERT_TRUE(hak_remote_free_is_posted(hak_heap_mailbox(adopter_, Class())));
  EXPECT_EQ(hak_remote_free_drain(adopter_, bin, Class()), nullptr); /* one block is with the program */
  EXPECT_EQ(hak_slab_free_count(slab_), free_in_slab_ + cached_);
  EXPECT_EQ(hak_slab_free_count(slab_), slab_->blocks - 1u);
}

// Slabs of more than one bitmap word, so that the run is not all of it.
INSTANTIATE_TEST_SUITE_P(Classes, Orphans, testing::Values(hak_size_class_of(64), hak_size_class_of(700)));

}  // namespace
