// A slab for the tests of remote frees, as the shared pool would hand it out. Its memory is never touched, so there is
// none.
#ifndef HAKMEM_REMOTE_FREE_TEST_SLAB_H_
#define HAKMEM_REMOTE_FREE_TEST_SLAB_H_

#include <string.h>

#include "hakmem/base/bits.h"
#include "hakmem/heap/heap.h"
#include "hakmem/slab/slab.h"

class TestSlab {
 public:
  explicit TestSlab(uint32_t size_class) {
    memset(&slab_, 0, sizeof slab_);
    slab_.base = reinterpret_cast<char*>(0x7000000000);
    slab_.free_bits = free_bits_;
    slab_.remote_bits = remote_bits_;
    hak_slab_init(&slab_, size_class, false);
  }

  hak_slab* get() { return &slab_; }
  hak_slab* operator->() { return &slab_; }
  const hak_slab* operator->() const { return &slab_; }

  void GiveTo(hak_heap* heap) {
    slab_.bin = hak_heap_bin(heap, slab_.size_class);
    hak_ptr_store_seq(&slab_.mailbox, hak_heap_mailbox(heap, slab_.size_class));
  }

  void TakeAll() {
    while (hak_slab_free_count(&slab_) != 0) hak_slab_take_run(&slab_);
  }

  bool IsFree(uint32_t index) const { return (free_bits_[index / 64] >> (index % 64) & 1) != 0; }

  bool IsRemote(uint32_t index) const {
    return (hak_u64_load_relaxed(&remote_bits_[index / 64]) >> (index % 64) & 1) != 0;
  }

  uint32_t RemoteCount() const {
    uint32_t count = 0;
    for (const hak_atomic_u64& word : remote_bits_) count += hak_bits_count(hak_u64_load_relaxed(&word));
    return count;
  }

 private:
  hak_slab slab_;
  uint64_t free_bits_[HAK_SLAB_WORDS_MAX] = {};
  hak_atomic_u64 remote_bits_[HAK_SLAB_WORDS_MAX] = {};
};

#endif  // HAKMEM_REMOTE_FREE_TEST_SLAB_H_
