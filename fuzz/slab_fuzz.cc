/* The slab's bitmaps against std::bitset: gives, masks of gives, double gives, runs, look-ups by address, and the list of
 * slabs with free blocks. The slab never touches its blocks, so their memory is an address and nothing more. */
#include <algorithm>
#include <bitset>
#include <memory>
#include <vector>

#include "fuzz/input.h"
#include "hakmem/base/bits.h"
#include "hakmem/size_class/size_class.h"
#include "hakmem/slab/slab.h"

namespace {

constexpr uint32_t kSlabs = 4;

char* const kMemory = reinterpret_cast<char*>(uintptr_t{1} << 40);

/* One slab and what should be true of it. */
class CheckedSlab {
 public:
  CheckedSlab() {
    slab_.base = kMemory;
    slab_.free_bits = free_bits_;
    slab_.remote_bits = remote_bits_;
  }

  void Start(fuzz::Input& input) {
    if (input.TakeBool()) {
      StartSpan(1 + static_cast<uint32_t>(input.TakeBelow(HAK_SUPERSLAB_UNITS - 1)));
    } else {
      const uint32_t size_class = static_cast<uint32_t>(input.TakeBelow(HAK_SIZE_CLASS_COUNT));
      StartClass(size_class, input.TakeBool());
    }
    Check();
  }

  void Give(fuzz::Input& input) {
    const uint32_t index = static_cast<uint32_t>(input.TakeBelow(blocks_));
    FUZZ_CHECK(hak_slab_give(&slab_, index) == !is_free_[index]);
    is_free_[index] = true;
    Check();
  }

  void GiveWord(fuzz::Input& input) {
    const uint32_t word = static_cast<uint32_t>(input.TakeBelow(Words()));
    const uint64_t mask = input.TakeNumber(8) & hak_bits_low_mask(blocks_ - word * 64);
    const uint64_t twice = mask & FreeWord(word);
    FUZZ_CHECK(hak_slab_give_word(&slab_, word, mask) == twice);
    for (uint32_t i = 0; i < 64; i++) {
      if ((mask >> i) & 1) is_free_[word * 64 + i] = true;
    }
    Check();
  }

  /* The caller must find a free block. */
  void TakeRun() {
    if (is_free_.none()) return;
    uint32_t word = 0;
    while (FreeWord(word) == 0) word++;
    const hak_slab_run run = hak_slab_take_run(&slab_);
    FUZZ_CHECK(run.base == kMemory + static_cast<size_t>(word) * 64 * block_bytes_);
    FUZZ_CHECK(run.mask == FreeWord(word));
    FUZZ_CHECK(run.zeroed == is_fresh_[word]);
    for (uint32_t i = 0; i < 64; i++) is_free_[word * 64 + i] = false;
    is_fresh_[word] = false;
    Check();
  }

  void LookUp(fuzz::Input& input) const {
    const uint64_t offset = input.TakeBelow(SlabBytes());
    const uint32_t index = hak_slab_index(&slab_, kMemory + offset);
    FUZZ_CHECK(hak_slab_is_block(&slab_, index, kMemory + offset) ==
               (offset % block_bytes_ == 0 && offset / block_bytes_ < blocks_));
    const uint32_t block = static_cast<uint32_t>(input.TakeBelow(blocks_));
    FUZZ_CHECK(hak_slab_block(&slab_, block) == kMemory + static_cast<size_t>(block) * block_bytes_);
    FUZZ_CHECK(hak_slab_index(&slab_, hak_slab_block(&slab_, block)) == block);
  }

  hak_slab* slab() { return &slab_; }

 private:
  void StartSpan(uint32_t units) {
    hak_slab_init_span(&slab_, units);
    Expect(units * HAK_UNIT_BYTES, 1, units);
    FUZZ_CHECK(slab_.size_class == HAK_SLAB_SPAN);
    is_free_.reset();
    is_fresh_.reset();
  }

  void StartClass(uint32_t size_class, bool zeroed) {
    const hak_size_class& row = hak_size_class_table[size_class];
    hak_slab_init(&slab_, size_class, zeroed);
    Expect(row.block_bytes, row.blocks, row.units);
    FUZZ_CHECK(slab_.size_class == size_class);
    is_free_.reset();
    for (uint32_t i = 0; i < blocks_; i++) is_free_[i] = true;
    is_fresh_.reset();
    for (uint32_t i = 0; i < Words(); i++) is_fresh_[i] = zeroed;
  }

  void Expect(uint32_t block_bytes, uint32_t blocks, uint32_t units) {
    block_bytes_ = block_bytes;
    blocks_ = blocks;
    units_ = units;
    FUZZ_CHECK(slab_.block_bytes == block_bytes && slab_.blocks == blocks && slab_.units == units);
    FUZZ_CHECK(slab_.words == Words() && slab_.base == kMemory && !slab_.listed);
  }

  /* Every block, and what the slab says about itself. */
  void Check() const {
    for (uint32_t word = 0; word < Words(); word++) FUZZ_CHECK(slab_.free_bits[word] == FreeWord(word));
    FUZZ_CHECK(hak_slab_free_count(&slab_) == is_free_.count());
    FUZZ_CHECK(hak_slab_is_empty(&slab_) == (is_free_.count() == blocks_));
    FUZZ_CHECK(hak_slab_is_valid(&slab_));
  }

  uint32_t Words() const { return (blocks_ + 63) / 64; }
  uint64_t SlabBytes() const { return static_cast<uint64_t>(units_) * HAK_UNIT_BYTES; }

  uint64_t FreeWord(uint32_t word) const {
    uint64_t bits = 0;
    for (uint32_t i = 0; i < 64; i++) bits |= static_cast<uint64_t>(is_free_[word * 64 + i]) << i;
    return bits;
  }

  hak_slab slab_{};
  uint64_t free_bits_[HAK_SLAB_WORDS_MAX]{};
  hak_atomic_u64 remote_bits_[HAK_SLAB_WORDS_MAX]{};

  uint32_t block_bytes_ = 0;
  uint32_t blocks_ = 0;
  uint32_t units_ = 0;
  std::bitset<HAK_SIZE_CLASS_MAX_BLOCKS> is_free_;
  std::bitset<HAK_SLAB_WORDS_MAX> is_fresh_; /* zeroed, and never in a run */
};

/* The list of a bin's slabs against a vector, the head last. */
class CheckedList {
 public:
  void Toggle(hak_slab* slab) {
    const auto at = std::find(listed_.begin(), listed_.end(), slab);
    FUZZ_CHECK(slab->listed == (at != listed_.end()));
    if (slab->listed) {
      hak_slab_list_remove(&head_, slab);
      listed_.erase(at);
    } else {
      hak_slab_list_push(&head_, slab);
      listed_.push_back(slab);
    }
    Check();
  }

 private:
  void Check() const {
    const hak_slab* slab = head_;
    const hak_slab* before = nullptr;
    for (auto at = listed_.rbegin(); at != listed_.rend(); ++at) {
      FUZZ_CHECK(slab == *at && slab->prev == before && slab->listed);
      before = slab;
      slab = slab->next;
    }
    FUZZ_CHECK(slab == nullptr);
  }

  hak_slab* head_ = nullptr;
  std::vector<hak_slab*> listed_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  fuzz::Input input(data, size_bytes);
  const auto slabs = std::make_unique<CheckedSlab[]>(kSlabs);
  CheckedList list;
  for (uint32_t i = 0; i < kSlabs; i++) slabs[i].Start(input);
  while (!input.IsUsedUp()) {
    const uint8_t choice = input.TakeByte();
    CheckedSlab& slab = slabs[choice % kSlabs];
    switch (choice / kSlabs % 8) {
      case 0:
      case 1: slab.Give(input); break;
      case 2:
      case 3: slab.GiveWord(input); break;
      case 4:
      case 5: slab.TakeRun(); break;
      case 6: slab.LookUp(input); break;
      default:
        /* The list is the owner's: a slab leaves it before it becomes another. */
        if (slab.slab()->listed || input.TakeBool()) {
          list.Toggle(slab.slab());
        } else {
          slab.Start(input);
        }
    }
  }
  return 0;
}
