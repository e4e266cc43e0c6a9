#include "hakmem/remote_free/remote_free.h"

#include <string.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/config/config.h"
#include "hakmem/remote_free/test_slab.h"

#include "gtest/gtest.h"

namespace {

using Slabs = std::vector<hak_slab*>;

class RemoteFree : public testing::Test {
 protected:
  void SetUp() override {
    owner_ = NewHeap();
    other_ = NewHeap();
    freer_ = NewHeap();
    hak_set_error_action(HAK_ERROR_ABORT);
  }

  static std::unique_ptr<hak_heap> NewHeap() {
    auto heap = std::make_unique<hak_heap>();
    memset(heap.get(), 0, sizeof *heap);
    for (hak_mailbox& mailbox : heap->mailboxes) mailbox.heap = heap.get();
    hak_u32_store_relaxed(&heap->state, HAK_HEAP_ACTIVE);
    return heap;
  }

  // A slab of the owner's with every block out.
  TestSlab& NewSlab(uint32_t size_class) {
    slabs_.push_back(std::make_unique<TestSlab>(size_class));
    slabs_.back()->GiveTo(owner_.get());
    slabs_.back()->TakeAll();
    return *slabs_.back();
  }

  hak_slab* Drain(hak_heap* heap, const TestSlab& slab) {
    const uint32_t c = slab->size_class;
    return hak_remote_free_drain(heap, hak_heap_bin(heap, c), c);
  }

  hak_bin* BinOf(const TestSlab& slab) { return hak_heap_bin(owner_.get(), slab->size_class); }

  hak_remote_free_result Push(TestSlab& slab, uint32_t index) {
    return hak_remote_free_push(freer_.get(), slab.get(), index);
  }

  // Blocks that wait in the out-box.
  uint32_t WaitingCount() const {
    uint32_t count = 0;
    for (const hak_outbox_entry& entry : freer_->outbox) {
      if (entry.slab != nullptr) count += hak_bits_count(entry.mask);
    }
    return count;
  }

  static uint64_t Count(const hak_atomic_u64& counter) { return hak_u64_load_relaxed(&counter); }

  static Slabs ListOf(hak_slab* head) {
    Slabs out;
    for (; head != nullptr; head = head->next) out.push_back(head);
    return out;
  }

  std::unique_ptr<hak_heap> owner_, other_, freer_;
  std::vector<std::unique_ptr<TestSlab>> slabs_;
};

using RemoteFreeDeathTest = RemoteFree;

// --- the out-box ---

TEST_F(RemoteFree, Invariant1ABlockWaitsThenIsPublishedThenCollected) {
  TestSlab& slab = NewSlab(3);
  EXPECT_EQ(Push(slab, 70), HAK_REMOTE_FREE_DONE);
  EXPECT_EQ(WaitingCount(), 1u);
  EXPECT_EQ(slab.RemoteCount(), 0u);
  hak_remote_free_flush(freer_.get());
  EXPECT_EQ(WaitingCount(), 0u);
  EXPECT_EQ(slab.RemoteCount(), 1u);
  EXPECT_EQ(hak_slab_free_count(slab.get()), 0u);
  EXPECT_EQ(Drain(owner_.get(), slab), nullptr);
  EXPECT_EQ(slab.RemoteCount(), 0u);
  EXPECT_TRUE(slab.IsFree(70));
  EXPECT_EQ(hak_slab_free_count(slab.get()), 1u);
  EXPECT_EQ(Count(freer_->counters.remote_published), 1u);
  EXPECT_EQ(Count(owner_->counters.remote_merged), 1u);
}

TEST_F(RemoteFree, AnEntryIsPublishedWith64BlocksOr4KiB) {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
    TestSlab& slab = NewSlab(c);
    const uint32_t by_bytes = std::max(1u, 4 * 1024 / slab->block_bytes);
    const uint32_t room = std::min(64u, by_bytes);
    const uint32_t fits = std::min<uint32_t>(room, slab->blocks); /* blocks of the first word */
    for (uint32_t i = 0; i + 1 < fits; i++) ASSERT_EQ(Push(slab, i), HAK_REMOTE_FREE_DONE);
    EXPECT_EQ(slab.RemoteCount(), 0u) << c;
    EXPECT_EQ(WaitingCount(), fits - 1) << c;
    Push(slab, fits - 1);
    EXPECT_EQ(slab.RemoteCount(), fits) << c;
    EXPECT_EQ(WaitingCount(), 0u) << c;
  }
}

TEST_F(RemoteFree, ADisplacedEntryIsPublished) {
  TestSlab& slab = NewSlab(0); /* 64 words, 16 entries: words 0 and 16 share one */
  ASSERT_EQ(hak_remote_free_entry(freer_.get(), slab.get(), 0), hak_remote_free_entry(freer_.get(), slab.get(), 16));
  for (uint32_t word = 0; word < 16; word++) Push(slab, word * 64);
  EXPECT_EQ(WaitingCount(), 16u);
  EXPECT_EQ(slab.RemoteCount(), 0u);
  Push(slab, 16 * 64 + 5);
  EXPECT_EQ(WaitingCount(), 16u);
  EXPECT_EQ(slab.RemoteCount(), 1u);
  EXPECT_TRUE(slab.IsRemote(0));
  hak_remote_free_flush(freer_.get());
  EXPECT_EQ(slab.RemoteCount(), 17u);
  EXPECT_TRUE(slab.IsRemote(16 * 64 + 5));
  EXPECT_EQ(Count(freer_->counters.remote_published), 17u);
}

TEST_F(RemoteFree, TryJoinOnlyJoins) {
  TestSlab& slab = NewSlab(hak_size_class_of(1024)); /* four blocks an entry */
  hak_heap* freer = freer_.get();
  EXPECT_FALSE(hak_remote_free_try_join(freer, slab.get(), 0)) << "no entry yet";
  EXPECT_EQ(WaitingCount(), 0u);
  Push(slab, 0);
  EXPECT_TRUE(hak_remote_free_try_join(freer, slab.get(), 1));
  EXPECT_FALSE(hak_remote_free_try_join(freer, slab.get(), 1)) << "twice";
  EXPECT_FALSE(hak_remote_free_try_join(freer, slab.get(), 0)) << "twice";
  TestSlab& another = NewSlab(hak_size_class_of(1024));
  EXPECT_FALSE(hak_remote_free_try_join(freer, another.get(), 2)) << "another slab's";
  EXPECT_TRUE(hak_remote_free_try_join(freer, slab.get(), 2));
  EXPECT_FALSE(hak_remote_free_try_join(freer, slab.get(), 3)) << "would fill it";
  EXPECT_EQ(WaitingCount(), 3u);
  EXPECT_EQ(slab.RemoteCount(), 0u);
  EXPECT_EQ(Push(slab, 3), HAK_REMOTE_FREE_DONE);
  EXPECT_EQ(slab.RemoteCount(), 4u);
  EXPECT_FALSE(hak_remote_free_try_join(freer, slab.get(), 4)) << "published";
}

TEST_F(RemoteFree, TryJoinLooksAtTheWord) {
  TestSlab& slab = NewSlab(0);
  Push(slab, 0);
  EXPECT_FALSE(hak_remote_free_try_join(freer_.get(), slab.get(), 16 * 64)) << "another word, the same entry";
  EXPECT_TRUE(hak_remote_free_try_join(freer_.get(), slab.get(), 63));
}

// --- double frees ---

TEST_F(RemoteFree, ADoubleInTheOutboxIsSeenAtOnce) {
  TestSlab& slab = NewSlab(3);
  Push(slab, 9);
  EXPECT_EQ(Push(slab, 9), HAK_REMOTE_FREE_DOUBLE);
  EXPECT_EQ(WaitingCount(), 1u);
  hak_remote_free_flush(freer_.get());
  EXPECT_EQ(slab.RemoteCount(), 1u);
}

TEST_F(RemoteFree, ADoubleInTheRemoteBitsIsSeenWhenPublished) {
  TestSlab& slab = NewSlab(3);
  EXPECT_EQ(hak_remote_free_publish(slab.get(), 0, 0x0f), HAK_REMOTE_FREE_DONE);
  EXPECT_EQ(hak_remote_free_publish(slab.get(), 0, 0x08), HAK_REMOTE_FREE_DOUBLE);
  EXPECT_EQ(slab.RemoteCount(), 4u);
  Drain(owner_.get(), slab);
  EXPECT_EQ(hak_slab_free_count(slab.get()), 4u);
}

// Blocks that are published beside a double are freed all the same (invariant 1: no bit is dropped).
TEST_F(RemoteFree, BlocksBesideADoubleAreFreed) {
  TestSlab& slab = NewSlab(3);
  EXPECT_EQ(hak_remote_free_publish(slab.get(), 2, 0x0f), HAK_REMOTE_FREE_DONE);
  EXPECT_EQ(hak_remote_free_publish(slab.get(), 2, 0xf8), HAK_REMOTE_FREE_DOUBLE);
  Drain(owner_.get(), slab);
  EXPECT_EQ(hak_slab_free_count(slab.get()), 8u);
  EXPECT_EQ(slab.RemoteCount(), 0u);
}

TEST_F(RemoteFreeDeathTest, FlushReportsADouble) {
  TestSlab& slab = NewSlab(3);
  hak_remote_free_publish(slab.get(), 0, 0x10);
  Push(slab, 4);
  EXPECT_DEATH(hak_remote_free_flush(freer_.get()), "double free of 0x[0-9a-f]*100 \\(size class 64\\)");
  hak_set_error_action(HAK_ERROR_IGNORE);
  const uint64_t before = hak_misuse_count();
  hak_remote_free_flush(freer_.get());
  EXPECT_EQ(hak_misuse_count(), before + 1);
  EXPECT_EQ(WaitingCount(), 0u);
}

// Not the block that is being freed, nor the first of the entry.
TEST_F(RemoteFreeDeathTest, APushNamesTheBlockThatWasFreedTwice) {
  TestSlab& slab = NewSlab(3);
  hak_remote_free_publish(slab.get(), 0, 0x10);
  Push(slab, 2);
  Push(slab, 4);
  EXPECT_DEATH(Push(slab, 16 * 64 + 7), "double free of 0x[0-9a-f]*100 \\(size class 64\\)");
  hak_set_error_action(HAK_ERROR_IGNORE);
  const uint64_t before = hak_misuse_count();
  EXPECT_EQ(Push(slab, 16 * 64 + 7), HAK_REMOTE_FREE_DONE) << "this one is fine";
  EXPECT_EQ(hak_misuse_count(), before + 1);
  EXPECT_EQ(slab.RemoteCount(), 2u);
}

TEST_F(RemoteFreeDeathTest, CollectingABlockThatIsFreeAlreadyIsReported) {
  TestSlab& slab = NewSlab(3);
  ASSERT_TRUE(hak_slab_give(slab.get(), 66));
  hak_remote_free_publish(slab.get(), 1, 0x06);
  EXPECT_DEATH(Drain(owner_.get(), slab), "double free of 0x[0-9a-f]*1080 \\(size class 64\\)");
  hak_set_error_action(HAK_ERROR_IGNORE);
  const uint64_t before = hak_misuse_count();
  Drain(owner_.get(), slab);
  EXPECT_EQ(hak_misuse_count(), before + 1);
  EXPECT_EQ(hak_slab_free_count(slab.get()), 2u) << "the other block of the mask is freed";
  EXPECT_TRUE(hak_slab_is_valid(slab.get()));
}

// --- mailboxes ---

TEST_F(RemoteFree, Invariant3ASlabIsPostedOnceUntilDrained) {
  TestSlab& slab = NewSlab(3);
  hak_mailbox* mailbox = hak_heap_mailbox(owner_.get(), 3);
  EXPECT_FALSE(hak_remote_free_is_posted(mailbox));
  for (uint32_t word = 0; word < 4; word++) hak_remote_free_publish(slab.get(), word, 1);
  EXPECT_TRUE(hak_remote_free_is_posted(mailbox));
  EXPECT_EQ(hak_u32_load_relaxed(&slab->pending), 1u);
  EXPECT_EQ(hak_ptr_load_relaxed(&mailbox->head), slab.get());
  EXPECT_EQ(slab->pending_next, nullptr) << "not on itself";
  Drain(owner_.get(), slab);
  EXPECT_FALSE(hak_remote_free_is_posted(mailbox));
  EXPECT_EQ(hak_u32_load_relaxed(&slab->pending), 0u);
  EXPECT_EQ(hak_slab_free_count(slab.get()), 4u);
  hak_remote_free_publish(slab.get(), 0, 2);
  EXPECT_TRUE(hak_remote_free_is_posted(mailbox)) << "and again";
  Drain(owner_.get(), slab);
  EXPECT_EQ(hak_slab_free_count(slab.get()), 5u);
}

TEST_F(RemoteFree, DrainTakesEverySlabThatIsPosted) {
  Slabs posted;
  for (int i = 0; i < 10; i++) {
    TestSlab& slab = NewSlab(5);
    hak_remote_free_publish(slab.get(), 0, 0x5);
    posted.push_back(slab.get());
  }
  EXPECT_EQ(Drain(owner_.get(), *slabs_[0]), nullptr);
  for (hak_slab* slab : posted) EXPECT_EQ(hak_slab_free_count(slab), 2u);
  EXPECT_EQ(ListOf(BinOf(*slabs_[0])->partial).size(), 10u);
  EXPECT_EQ(Count(owner_->counters.remote_merged), 20u);
  EXPECT_EQ(Drain(owner_.get(), *slabs_[0]), nullptr) << "nothing left";
  EXPECT_EQ(ListOf(BinOf(*slabs_[0])->partial).size(), 10u) << "listed once";
}

TEST_F(RemoteFree, DrainFilesSlabsByWhatTheyHave) {
  const uint32_t c = hak_size_class_of(1024); /* one word */
  TestSlab &partial = NewSlab(c), &empty = NewSlab(c), &listed = NewSlab(c), &current = NewSlab(c);
  hak_bin* bin = BinOf(partial);
  bin->current = current.get();
  ASSERT_TRUE(hak_slab_give(listed.get(), 0));
  hak_slab_list_push(&bin->partial, listed.get());
  hak_remote_free_publish(partial.get(), 0, 1);
  hak_remote_free_publish(empty.get(), 0, ~0ull);
  hak_remote_free_publish(listed.get(), 0, ~1ull);
  hak_remote_free_publish(current.get(), 0, ~0ull);
  hak_slab* out = Drain(owner_.get(), partial);
  Slabs returned = ListOf(out);
  EXPECT_EQ(returned.size(), 2u);
  for (hak_slab* slab : returned) {
    EXPECT_TRUE(slab == empty.get() || slab == listed.get());
    EXPECT_TRUE(hak_slab_is_empty(slab));
    EXPECT_FALSE(slab->listed);
  }
  EXPECT_EQ(ListOf(bin->partial), Slabs({partial.get()}));
  EXPECT_EQ(bin->current, current.get());
  EXPECT_TRUE(hak_slab_is_empty(current.get()));
  EXPECT_FALSE(current->listed);
}

TEST_F(RemoteFree, DrainLooksAtOneClassOnly) {
  TestSlab &small = NewSlab(0), &large = NewSlab(20);
  hak_remote_free_publish(small.get(), 0, 1);
  hak_remote_free_publish(large.get(), 0, 1);
  Drain(owner_.get(), small);
  EXPECT_EQ(hak_slab_free_count(small.get()), 1u);
  EXPECT_EQ(hak_slab_free_count(large.get()), 0u);
  EXPECT_EQ(large.RemoteCount(), 1u);
}

TEST_F(RemoteFree, AParkedOwnerIsReported) {
  TestSlab& slab = NewSlab(hak_size_class_of(16 * 1024)); /* an entry holds one block */
  hak_u32_store_relaxed(&owner_->state, HAK_HEAP_PARKED);
  EXPECT_EQ(Push(slab, 0), HAK_REMOTE_FREE_TO_PARKED);
  EXPECT_EQ(Push(slab, 1), HAK_REMOTE_FREE_DONE) << "posted already";
  hak_u32_store_relaxed(&owner_->state, HAK_HEAP_ACTIVE);
  Drain(owner_.get(), slab);
  EXPECT_EQ(Push(slab, 2), HAK_REMOTE_FREE_DONE);
}

TEST_F(RemoteFree, AParkedOwnerIsReportedWhenAnEntryIsDisplaced) {
  TestSlab& slab = NewSlab(0);
  hak_u32_store_relaxed(&owner_->state, HAK_HEAP_PARKED);
  EXPECT_EQ(Push(slab, 0), HAK_REMOTE_FREE_DONE);
  EXPECT_EQ(Push(slab, 16 * 64), HAK_REMOTE_FREE_TO_PARKED);
}

// --- change of owner ---

TEST_F(RemoteFree, ASlabPostedToAFormerOwnerIsForwarded) {
  TestSlab& slab = NewSlab(3);
  hak_remote_free_publish(slab.get(), 0, 0x7);
  slab.GiveTo(other_.get());
  EXPECT_EQ(Drain(owner_.get(), slab), nullptr);
  EXPECT_EQ(hak_slab_free_count(slab.get()), 0u) << "not the former owner's to collect";
  EXPECT_EQ(BinOf(slab)->partial, nullptr);
  EXPECT_TRUE(hak_remote_free_is_posted(hak_heap_mailbox(other_.get(), 3)));
  Drain(other_.get(), slab);
  EXPECT_EQ(hak_slab_free_count(slab.get()), 3u);
  EXPECT_EQ(hak_u32_load_relaxed(&slab->pending), 0u);
}

TEST_F(RemoteFree, ASlabPostedToAFormerOwnerStaysThereUntilDrained) {
  TestSlab& slab = NewSlab(3);
  hak_remote_free_publish(slab.get(), 0, 1);
  slab.GiveTo(other_.get());
  /* Pending still: it must not be pushed onto a second stack, whose links are the same. */
  hak_remote_free_publish(slab.get(), 0, 2);
  EXPECT_FALSE(hak_remote_free_is_posted(hak_heap_mailbox(other_.get(), 3)));
  Drain(owner_.get(), slab);
  Drain(other_.get(), slab);
  EXPECT_EQ(hak_slab_free_count(slab.get()), 2u);
}

TEST_F(RemoteFree, ASlabOfNobodysIsPostedNowhere) {
  TestSlab& slab = NewSlab(3);
  hak_remote_free_publish(slab.get(), 0, 1);
  hak_ptr_store_seq(&slab->mailbox, nullptr);
  EXPECT_EQ(Drain(owner_.get(), slab), nullptr);
  EXPECT_EQ(hak_u32_load_relaxed(&slab->pending), 0u);
  /* A late publisher withdraws. */
  EXPECT_EQ(hak_remote_free_publish(slab.get(), 0, 2), HAK_REMOTE_FREE_DONE);
  EXPECT_EQ(hak_u32_load_relaxed(&slab->pending), 0u);
  EXPECT_EQ(slab.RemoteCount(), 2u) << "no bit is dropped";
}

TEST_F(RemoteFree, SpuriousNoticeOfASlabWithoutBits) {
  TestSlab& slab = NewSlab(3);
  hak_remote_free_publish(slab.get(), 0, 1);
  hak_u64_store_relaxed(&slab->remote_bits[0], 0); /* as if the owner had collected between bits and push */
  EXPECT_EQ(Drain(owner_.get(), slab), nullptr);
  EXPECT_FALSE(slab->listed) << "no free block";
  EXPECT_EQ(hak_u32_load_relaxed(&slab->pending), 0u);
}

// --- slabs that went away while frees of their blocks were waiting: those blocks were freed twice ---

TEST_F(RemoteFree, WhatWaitsForASlabThatIsNobodysIsReported) {
  TestSlab& slab = NewSlab(2);
  hak_set_error_action(HAK_ERROR_IGNORE);
  const uint64_t before = hak_misuse_count();
  Push(slab, 3);
  Push(slab, 5);
  hak_ptr_store_seq(&slab->mailbox, nullptr);
  hak_remote_free_flush(freer_.get());
  EXPECT_EQ(hak_misuse_count(), before + 2);
  EXPECT_EQ(slab.RemoteCount(), 0u);
  EXPECT_EQ(hak_u32_load_relaxed(&slab->pending), 0u);
}

TEST_F(RemoteFree, WhatWaitsForASlabOfAnotherClassNowIsReported) {
  TestSlab& slab = NewSlab(2);
  hak_set_error_action(HAK_ERROR_IGNORE);
  const uint64_t before = hak_misuse_count();
  Push(slab, 3);
  hak_slab_init(slab.get(), 9, false);
  slab.GiveTo(owner_.get());
  slab.TakeAll();
  EXPECT_FALSE(hak_remote_free_try_join(freer_.get(), slab.get(), 4)) << "the mask would mean other blocks";
  Push(slab, 4);
  EXPECT_EQ(hak_misuse_count(), before + 1);
  hak_remote_free_flush(freer_.get());
  EXPECT_EQ(hak_misuse_count(), before + 1);
  EXPECT_TRUE(slab.IsRemote(4));
  EXPECT_EQ(slab.RemoteCount(), 1u);
}

TEST_F(RemoteFree, WhatIsOnItsWayToAnEmptySlabIsReportedAndDropped) {
  TestSlab& slab = NewSlab(2);
  hak_set_error_action(HAK_ERROR_IGNORE);
  const uint64_t before = hak_misuse_count();
  hak_remote_free_publish(slab.get(), 0, 0x5);
  hak_remote_free_publish(slab.get(), 1, 0x2);
  hak_remote_free_reject(slab.get());
  EXPECT_EQ(hak_misuse_count(), before + 3);
  EXPECT_EQ(slab.RemoteCount(), 0u);
}

// --- the option ---

TEST_F(RemoteFree, AnEntryHoldsWhatTheOptionSays) {
  const uint32_t c = hak_size_class_of(64);
  const struct {
    const char* bytes;
    uint32_t blocks;
  } rows[] = {{"0", 1}, {"63", 1}, {"64", 1}, {"640", 10}, {"16k", 64}, {"16m", 64}};
  for (const auto& row : rows) {
    ASSERT_EQ(hak_config_set("outbox_bytes", row.bytes), 0);
    TestSlab& slab = NewSlab(c);
    const uint64_t before = Count(freer_->counters.remote_published);
    for (uint32_t i = 0; i < row.blocks; i++) {
      EXPECT_EQ(Count(freer_->counters.remote_published), before) << row.bytes;
      EXPECT_EQ(Push(slab, i), HAK_REMOTE_FREE_DONE);
    }
    EXPECT_EQ(Count(freer_->counters.remote_published), before + 1) << row.bytes;
    EXPECT_EQ(WaitingCount(), 0u);
    Drain(owner_.get(), slab);
  }
  hak_config_reset_for_test();
}

}  // namespace
