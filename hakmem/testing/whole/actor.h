/* Random sequences of all hak_ functions, for one thread or several. */
#ifndef HAKMEM_TESTING_WHOLE_ACTOR_H_
#define HAKMEM_TESTING_WHOLE_ACTOR_H_

#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <utility>

#include "hakmem/testing/model/checked.h"
#include "hakmem/testing/model/random.h"
#include "hakmem/testing/whole/support.h"
#include <hakmem/hakmem.h>

namespace hak_testing {

// One thread's part of a random sequence. What it holds drifts up and down, so that slabs and SuperSlabs empty.
class Actor {
 public:
  static constexpr size_t kMaxBytes = 8 * 1024 * 1024;
  static constexpr uint64_t kLiveBytesMax = 96 * 1024 * 1024;

  // `live_bytes_max` is for all actors on `heap` together: above it they rather free.
  Actor(hak_model::Checked* heap, uint64_t seed, uint64_t live_bytes_max = kLiveBytesMax)
      : heap_(heap), random_(seed), live_bytes_max_(live_bytes_max) {}

  void Step() {
    if (random_.OneIn(500)) target_ = random_.Below(random_.OneIn(4) ? 4000 : 200);
    const bool is_rich = blocks_.size() > target_ || heap_->model()->LiveBytes() > live_bytes_max_;
    if (!blocks_.empty() && random_.Below(8) < (is_rich ? 5u : 2u)) {
      End();
    } else if (!blocks_.empty() && random_.OneIn(3)) {
      Change(&blocks_[random_.Below(blocks_.size())]);
    } else if (!is_rich) {
      Begin();
    }
    if (random_.OneIn(20000)) hak_trim();
  }

  void Receive(const hak_model::Block& block) { blocks_.push_back(block); }

  // A block of this actor's, chosen at random, which is no longer its own; none when it has none.
  hak_model::Block Pick() {
    if (blocks_.empty()) return hak_model::Block();
    std::swap(blocks_[random_.Below(blocks_.size())], blocks_.back());
    const hak_model::Block block = blocks_.back();
    blocks_.pop_back();
    return block;
  }

  void FreeAll() {
    while (!blocks_.empty()) heap_->Free(Pick());
  }

  hak_model::Random* random() { return &random_; }

 private:
  void Keep(const hak_model::Block& block) {
    if (block) blocks_.push_back(block);
  }

  size_t Size() { return hak_model::SkewedSize(&random_, kMaxBytes); }

  // 1 to 2 MiB, most of them small.
  size_t Alignment() { return size_t{1} << (random_.OneIn(8) ? random_.Below(22) : random_.Below(13)); }

  void Begin() {
    hak_model::Block batch[32];
    switch (random_.Below(10)) {
      case 0: Keep(heap_->Calloc(1 + random_.Below(100), hak_model::SkewedSize(&random_, kMaxBytes / 100))); break;
      case 1: Keep(heap_->Calloc(1, Size())); break;
      case 2: Keep(heap_->AlignedAlloc(Alignment(), Size())); break;
      case 3: Keep(heap_->PosixMemalign(std::max(Alignment(), sizeof(void*)), Size())); break;
      case 4: Keep(heap_->Memalign(random_.Below(10000), Size())); break;
      case 5: {
        const size_t done = heap_->MallocBatch(hak_model::SkewedSize(&random_, 4096), random_.Below(32), batch);
        for (size_t i = 0; i < done; i++) Keep(batch[i]);
        break;
      }
      case 6: {
        hak_model::Block block;
        if (heap_->Rezalloc(&block, Size())) Keep(block);
        break;
      }
      default: Keep(heap_->Malloc(Size())); break;
    }
  }

  // A new size near the old one as often as any other: growth in place, and back.
  size_t NewSize(size_t old_bytes) {
    switch (random_.Below(4)) {
      case 0: return Size();
      case 1: return std::min(old_bytes + random_.Below(old_bytes / 2 + 17), kMaxBytes);
      case 2: return old_bytes - random_.Below(old_bytes / 2 + 1);
      default: return std::min(old_bytes * 2, kMaxBytes);
    }
  }

  void Change(hak_model::Block* block) {
    const size_t bytes = std::max<size_t>(1, NewSize(block->bytes));
    switch (random_.Below(8)) {
      case 0: heap_->Rezalloc(block, bytes); break;
      case 1: heap_->Reallocarray(block, 1 + bytes / 7, 7); break;
      case 2: heap_->Expand(block, bytes); break;
      case 3: heap_->UseAll(block); break;
      case 4: heap_->model()->Check(*block); break;
      default: heap_->Realloc(block, bytes); break;
    }
  }

  void End() {
    hak_model::Block block = Pick();
    switch (random_.Below(8)) {
      case 0: heap_->FreeSized(block); break;
      case 1: heap_->FreeAlignedSized(block); break;
      case 2: heap_->Realloc(&block, 0); break;
      case 3: {
        hak_model::Block batch[32] = {block};
        const size_t count = std::min<size_t>(random_.Below(32), blocks_.size());
        for (size_t i = 1; i <= count; i++) batch[i % 32] = i < 32 ? Pick() : hak_model::Block();
        heap_->FreeBatch(batch, 1 + count);
        break;
      }
      default: heap_->Free(block); break;
    }
  }

  hak_model::Checked* heap_;
  hak_model::Random random_;
  Blocks blocks_;
  uint64_t live_bytes_max_;
  size_t target_ = 200;
};

}  // namespace hak_testing

#endif /* HAKMEM_TESTING_WHOLE_ACTOR_H_ */
