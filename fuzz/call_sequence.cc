#include "fuzz/call_sequence.h"

#include <errno.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "fuzz/stderr_capture.h"
#include "hakmem/config/config.h"
#include "hakmem/gate/gate.h"
#include <hakmem/hakmem.h>

namespace fuzz {

namespace {

using hak_model::Checked;

/* Sizes up to here must succeed, sizes from kHopelessBytes on must fail. None in between is asked for: whether there is
 * memory for one is the machine's affair. */
constexpr size_t kPlentyBytes = size_t{8} << 20;
constexpr size_t kHopelessBytes = size_t{1} << 47; /* more than there is address space */
constexpr size_t kMaxLiveBytes = size_t{24} << 20;
/* Filling and checking large blocks takes time: no more than so much of it an input. Of one above 64 KiB the model touches
 * an eighth. */
constexpr size_t kMaxWorkBytes = size_t{2} << 20;
constexpr size_t kDenseBytes = size_t{64} << 10;
constexpr size_t kSmallBytes = size_t{4} << 10;
constexpr unsigned kPlentyAlignmentShift = 23;
/* AddressSanitizer marks every byte of a block, and takes its time. */
constexpr unsigned kMuchShift = HAK_CFG_ASAN ? 25 : 44;
/* Up to here a block has exactly the size that hak_good_size promises; a larger one may come from the cache of whales. */
constexpr size_t kExactBytes = size_t{1984} << 10;

/* Small ones mostly, as programs do; every class, span and whale; each power of two and its neighbours; hopeless ones. */
size_t TakeSize(Input& input) {
  switch (input.TakeByte() % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4: return input.TakeBelow(256);
    case 5:
    case 6: return input.TakeBelow(size_t{4} << 10);
    case 7:
    case 8: return input.TakeBelow(size_t{64} << 10);
    case 9: return input.TakeBelow(size_t{1} << 20);
    case 10: return input.TakeBelow(kPlentyBytes + 1);
    case 11:
    case 12:
    case 13:
    case 14: {
      const size_t power = size_t{1} << input.TakeBelow(23);
      return power - 2 + input.TakeBelow(5) + (power == 1); /* at least 0 */
    }
    default: {
      static const size_t kEdges[] = {kHopelessBytes, size_t{PTRDIFF_MAX} - 128, SIZE_MAX - 255};
      return kEdges[input.TakeBelow(3)] + input.TakeByte();
    }
  }
}

size_t TakePowerOfTwo(Input& input) {
  const uint8_t shift = input.TakeByte();
  /* Mostly one that can be had. */
  return size_t{1} << (shift < 192 ? shift % (kPlentyAlignmentShift + 1) : shift % 64);
}

bool IsPowerOfTwo(size_t n) { return n != 0 && (n & (n - 1)) == 0; }

const size_t kPageBytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));

Checked& TheChecked() {
  static Checked checked;
  return checked;
}

}  // namespace

CallSequence::CallSequence(Input* input) : checked_(TheChecked()), input_(*input) {}

void CallSequence::FreeAll() {
  for (Block& block : slots_) Free(&block);
  FUZZ_CHECK(checked_.model()->LiveBlocks() == 0 && checked_.model()->LiveBytes() == 0);
}

void CallSequence::Act(unsigned what) {
  switch (what) {
    case 0:
    case 1:
    case 2: Malloc(); break;
    case 3:
    case 4: Calloc(); break;
    case 5: AlignedAlloc(); break;
    case 6: Memalign(); break;
    case 7: PosixMemalign(); break;
    case 8: RejectAlignment(); break;
    case 9:
    case 10: Realloc(); break;
    case 11: Reallocarray(); break;
    case 12: Rezalloc(); break;
    case 13: Expand(); break;
    case 14: checked_.UseAll(&LiveSlot()); break;
    case 15: MallocBatch(); break;
    case 16: FreeBatch(); break;
    case 17: FreeSized(); break;
    case 18: FreeAlignedSized(); break;
    case 19: AskGoodSize(); break;
    case 20: AskIsInHeap(); break;
    case 21: hak_trim(); break;
    case 22: Report(); break;
    case 23: checked_.model()->Check(LiveSlot()); break;
    case 24: PageAligned(); break;
    case 25: MallocMuch(); break;
    default: Free(&Slot()); break;
  }
}

/* --- slots --- */

CallSequence::Block& CallSequence::EmptySlot() {
  Block& slot = Slot();
  Free(&slot);
  return slot;
}

/* With a small block where there was none. */
CallSequence::Block& CallSequence::LiveSlot() {
  Block& slot = Slot();
  if (!slot) slot = checked_.Malloc(1);
  return slot;
}

void CallSequence::Free(Block* block) {
  checked_.Free(*block);
  *block = Block();
}

/* False: too much would be live, or this input has had its share of work on large blocks. */
bool CallSequence::HasRoomFor(size_t bytes) {
  if (bytes > kMaxLiveBytes) return bytes >= kHopelessBytes;
  const size_t work = bytes <= kDenseBytes ? bytes : kDenseBytes + (bytes - kDenseBytes) / 8;
  if (bytes > kSmallBytes && spent_bytes_ + work > kMaxWorkBytes) return false;
  spent_bytes_ += work;
  return checked_.model()->LiveBytes() + bytes <= kMaxLiveBytes;
}

void CallSequence::CheckSuccess(bool is_success, size_t bytes, size_t alignment) {
  if (bytes >= kHopelessBytes || alignment >= kHopelessBytes) FUZZ_CHECK(!is_success);
  if (bytes <= kPlentyBytes && alignment <= size_t{1} << kPlentyAlignmentShift) FUZZ_CHECK(is_success);
}

void CallSequence::Put(Block* slot, const Block& block, size_t bytes, size_t alignment) {
  CheckSuccess(static_cast<bool>(block), bytes, alignment);
  *slot = block;
}

CallSequence::Array CallSequence::TakeArray() {
  const size_t count = input_.TakeByte();
  const size_t size = TakeSize(input_);
  Array array{count, count == 0 ? size : size / count, 0};
  if (size >= kHopelessBytes) array.element_bytes = size; /* most often an overflow */
  if (input_.TakeBool()) std::swap(array.count, array.element_bytes);
  if (__builtin_mul_overflow(array.count, array.element_bytes, &array.bytes)) array.bytes = SIZE_MAX;
  return array;
}

/* --- allocation --- */

void CallSequence::Malloc() {
  Block& slot = EmptySlot();
  const size_t bytes = TakeSize(input_);
  if (!HasRoomFor(bytes)) return;
  Put(&slot, checked_.Malloc(bytes), bytes);
  if (!slot) return;
  const size_t usable = hak_malloc_usable_size(slot.address);
  FUZZ_CHECK(usable >= bytes && usable >= hak_good_size(bytes));
  if (bytes <= kExactBytes) FUZZ_CHECK(usable == hak_good_size(bytes));
}

void CallSequence::Calloc() {
  Block& slot = EmptySlot();
  const Array array = TakeArray();
  if (HasRoomFor(array.bytes)) Put(&slot, checked_.Calloc(array.count, array.element_bytes), array.bytes);
}

void CallSequence::AlignedAlloc() {
  Block& slot = EmptySlot();
  const size_t alignment = TakePowerOfTwo(input_);
  const size_t bytes = TakeSize(input_);
  if (HasRoomFor(bytes)) Put(&slot, checked_.AlignedAlloc(alignment, bytes), bytes, alignment);
}

void CallSequence::Memalign() {
  Block& slot = EmptySlot();
  /* Any alignment will do. */
  const size_t alignment = TakePowerOfTwo(input_) - input_.TakeBool();
  const size_t bytes = TakeSize(input_);
  if (HasRoomFor(bytes)) Put(&slot, checked_.Memalign(alignment, bytes), bytes, alignment);
}

void CallSequence::PosixMemalign() {
  Block& slot = EmptySlot();
  size_t alignment = TakePowerOfTwo(input_);
  if (alignment < sizeof(void*)) alignment = sizeof(void*);
  const size_t bytes = TakeSize(input_);
  if (HasRoomFor(bytes)) Put(&slot, checked_.PosixMemalign(alignment, bytes), bytes, alignment);
}

/* Of the functions that only the standard names have. */
void CallSequence::PageAligned() {
  Block& slot = EmptySlot();
  const bool is_whole_pages = input_.TakeBool();
  size_t bytes = TakeSize(input_);
  if (!HasRoomFor(bytes)) return;
  errno = 0;
  void* address = is_whole_pages ? hak_gate_pvalloc(bytes) : hak_gate_valloc(bytes);
  CheckSuccess(address != nullptr, bytes);
  FUZZ_CHECK(errno == (address == nullptr ? ENOMEM : 0));
  if (address == nullptr) return;
  if (is_whole_pages) bytes = (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  slot = checked_.model()->Take(address, bytes, kPageBytes);
}

/* Sizes that a machine may have or not: nothing is left behind either way. */
void CallSequence::MallocMuch() {
  const unsigned shift = 23 + static_cast<unsigned>(input_.TakeBelow(kMuchShift - 23));
  const size_t bytes = (size_t{1} << shift) + input_.TakeNumber(3);
  unsigned char* block = static_cast<unsigned char*>(hak_malloc(bytes));
  if (block == nullptr) return;
  FUZZ_CHECK(hak_malloc_usable_size(block) >= bytes && hak_is_in_heap(block) && hak_is_in_heap(block + bytes - 1));
  block[0] = 1;
  block[bytes - 1] = 2;
  const size_t new_bytes = input_.TakeBool() ? bytes / 2 : bytes + bytes / 2;
  unsigned char* moved = static_cast<unsigned char*>(hak_realloc(block, new_bytes));
  if (moved != nullptr) block = moved;
  FUZZ_CHECK(block[0] == 1 && (moved != nullptr && new_bytes < bytes ? true : block[bytes - 1] == 2));
  hak_free(block);
}

void CallSequence::RejectAlignment() {
  const size_t alignment = input_.TakeNumber(1 + static_cast<int>(input_.TakeBelow(8)));
  const size_t bytes = TakeSize(input_);
  if (!IsPowerOfTwo(alignment)) {
    errno = 0;
    FUZZ_CHECK(hak_aligned_alloc(alignment, bytes) == nullptr && errno == EINVAL);
  }
  if (!IsPowerOfTwo(alignment) || alignment < sizeof(void*)) {
    void* out = this;
    errno = 0;
    FUZZ_CHECK(hak_posix_memalign(&out, alignment, bytes) == EINVAL && out == this && errno == 0);
  }
}

void CallSequence::MallocBatch() {
  const size_t first = input_.TakeBelow(kSlots - kBatchMax + 1);
  const size_t count = input_.TakeBelow(kBatchMax + 1);
  const size_t bytes = TakeSize(input_);
  if (!HasRoomFor(bytes < kHopelessBytes ? bytes * count : bytes)) return;
  for (size_t i = 0; i < count; i++) Free(&slots_[first + i]);
  const size_t done = checked_.MallocBatch(bytes, count, &slots_[first]);
  if (count != 0) CheckSuccess(done == count, bytes);
  FUZZ_CHECK(bytes < kHopelessBytes || done == 0);
}

/* --- resizing --- */

void CallSequence::Realloc() {
  Block& slot = Slot();
  const size_t bytes = TakeSize(input_);
  if (HasRoomFor(bytes)) CheckSuccess(checked_.Realloc(&slot, bytes), bytes);
}

void CallSequence::Reallocarray() {
  Block& slot = Slot();
  const Array array = TakeArray();
  if (!HasRoomFor(array.bytes)) return;
  CheckSuccess(checked_.Reallocarray(&slot, array.count, array.element_bytes), array.bytes);
}

void CallSequence::Rezalloc() {
  Block& slot = Slot();
  const size_t bytes = TakeSize(input_);
  if (HasRoomFor(bytes)) CheckSuccess(checked_.Rezalloc(&slot, bytes), bytes);
}

void CallSequence::Expand() {
  FUZZ_CHECK(hak_expand(nullptr, 1) == nullptr);
  Block& slot = LiveSlot();
  const size_t bytes = TakeSize(input_);
  if (!HasRoomFor(bytes)) return;
  const size_t usable = hak_malloc_usable_size(slot.address);
  const bool is_success = checked_.Expand(&slot, bytes);
  FUZZ_CHECK(is_success || bytes > usable);
  FUZZ_CHECK(!is_success || hak_malloc_usable_size(slot.address) >= bytes);
}

/* --- free --- */

void CallSequence::FreeBatch() {
  const size_t first = input_.TakeBelow(kSlots - kBatchMax + 1);
  const size_t count = input_.TakeBelow(kBatchMax + 1);
  checked_.FreeBatch(&slots_[first], count);
  for (size_t i = 0; i < count; i++) slots_[first + i] = Block();
}

void CallSequence::FreeSized() {
  Block& slot = Slot();
  checked_.FreeSized(slot);
  slot = Block();
}

void CallSequence::FreeAlignedSized() {
  Block& slot = Slot();
  checked_.FreeAlignedSized(slot);
  slot = Block();
}

/* --- questions --- */

void CallSequence::AskGoodSize() {
  const size_t bytes = TakeSize(input_);
  const size_t good = hak_good_size(bytes);
  FUZZ_CHECK(good == 0 ? bytes > kHopelessBytes : good >= bytes && hak_good_size(good) == good);
  FUZZ_CHECK(hak_malloc_usable_size(nullptr) == 0);
}

void CallSequence::AskIsInHeap() {
  const Block& block = LiveSlot();
  const size_t offset = block.bytes == 0 ? 0 : input_.TakeNumber(8) % block.bytes;
  FUZZ_CHECK(hak_is_in_heap(block.address + offset));
  FUZZ_CHECK(!hak_is_in_heap(&offset) && !hak_is_in_heap(nullptr));
  /* Any value is a fair question; one that is no user address has one answer. */
  const uintptr_t any = input_.TakeNumber(8);
  FUZZ_CHECK(!hak_is_in_heap(reinterpret_cast<const void*>(any)) || any >> 47 == 0);
}

void CallSequence::Report() {
  static StderrCapture* const capture = new StderrCapture();
  FUZZ_CHECK(std::string(hak_version()) == HAK_VERSION_TEXT);
  if (input_.TakeByte() % 4 != 0) return; /* it is slow */
  capture->Begin();
  hak_stats_print();
  const std::string text = capture->End();
  FUZZ_CHECK(!text.empty() && text.back() == '\n');
}

}  // namespace fuzz
