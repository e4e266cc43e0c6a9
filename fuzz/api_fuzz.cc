/* Every hak_ function, in any order, with any sizes and alignments, by three kinds of thread, against the reference model.
 *
 * An operation is one byte for what and by whom, then its operands. Blocks live in slots. One thread acts at a time, so
 * that an input means the same each time: the main thread, a second one that frees and resizes the main thread's blocks
 * from afar, and threads that live for one operation and leave their blocks behind. The model checks each result and the
 * contents of each block; what it cannot know is checked here. */
#include <errno.h>
#include <stdint.h>

#include <array>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "fuzz/input.h"
#include "fuzz/stderr_capture.h"
#include "hakmem/testing/model/checked.h"
#include "hakmem/testing/model/model.h"
#include <hakmem/hakmem.h>

namespace {

using hak_model::Block;
using hak_model::Checked;
using hak_model::Model;

/* Sizes up to here must succeed, sizes from kHopelessBytes on must fail. None in between is asked for: whether there is
 * memory for one is the machine's affair. */
constexpr size_t kPlentyBytes = size_t{8} << 20;
constexpr size_t kHopelessBytes = size_t{1} << 47; /* more than there is address space */
constexpr size_t kMaxLiveBytes = size_t{24} << 20;
/* Filling and checking large blocks takes time: no more than so much of it an input. */
constexpr size_t kMaxWorkBytes = size_t{32} << 20;
constexpr size_t kSmallBytes = size_t{4} << 10;
constexpr unsigned kPlentyAlignmentShift = 23;
/* Up to here a block has exactly the size that hak_good_size promises; a larger one may come from the cache of whales. */
constexpr size_t kExactBytes = size_t{1984} << 10;

constexpr size_t kSlots = 64;
constexpr size_t kBatchMax = 32;

/* Small ones mostly, as programs do; every class, span and whale; each power of two and its neighbours; hopeless ones. */
size_t TakeSize(fuzz::Input& input) {
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

size_t TakePowerOfTwo(fuzz::Input& input) {
  const uint8_t shift = input.TakeByte();
  /* Mostly one that can be had. */
  return size_t{1} << (shift < 192 ? shift % (kPlentyAlignmentShift + 1) : shift % 64);
}

bool IsPowerOfTwo(size_t n) { return n != 0 && (n & (n - 1)) == 0; }

/* A thread that acts when told to, while the one that tells waits. It starts with the first act. */
class Helper {
 public:
  ~Helper() {
    if (!thread_.joinable()) return;
    Run(nullptr);
    thread_.join();
  }

  /* Nothing to act: the end of the thread. */
  void Run(const std::function<void()>& act) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!thread_.joinable()) thread_ = std::thread([this] { Loop(); });
    act_ = &act;
    changed_.notify_all();
    changed_.wait(lock, [this] { return act_ == nullptr; });
  }

 private:
  void Loop() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (bool is_over = false; !is_over;) {
      changed_.wait(lock, [this] { return act_ != nullptr; });
      is_over = !*act_;
      if (!is_over) (*act_)();
      act_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void()>* act_ = nullptr;
  std::thread thread_;
};

class Session {
 public:
  Session(Checked& checked, fuzz::Input input) : checked_(checked), input_(input) {}

  void Run() {
    while (!input_.IsUsedUp()) {
      const uint8_t what = input_.TakeByte();
      RunAs(what >> 5, [this, what] { Act(what & 31); });
    }
    for (Block& block : slots_) Free(&block);
    FUZZ_CHECK(checked_.model()->LiveBlocks() == 0 && checked_.model()->LiveBytes() == 0);
    helper_ = nullptr;
    hak_trim(); /* the next input of this process finds as little of this one as can be */
  }

 private:
  /* Runs `act` on the thread that `who`, 0 to 7, stands for. */
  void RunAs(unsigned who, const std::function<void()>& act) {
    if (who < 5) {
      act();
    } else if (who < 7) {
      helper_->Run(act);
    } else {
      std::thread(act).join();
    }
  }

  void Act(unsigned what) {
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
      default: Free(&Slot()); break;
    }
  }

  /* --- slots --- */

  Block& Slot() { return slots_[input_.TakeBelow(kSlots)]; }

  Block& EmptySlot() {
    Block& slot = Slot();
    Free(&slot);
    return slot;
  }

  /* With a small block where there was none. */
  Block& LiveSlot() {
    Block& slot = Slot();
    if (!slot) slot = checked_.Malloc(1);
    return slot;
  }

  void Free(Block* block) {
    checked_.Free(*block);
    *block = Block();
  }

  /* False: too much would be live, or this input has had its share of work on large blocks. */
  bool HasRoomFor(size_t bytes) {
    if (bytes > kMaxLiveBytes) return bytes >= kHopelessBytes;
    if (bytes > kSmallBytes && spent_bytes_ + bytes > kMaxWorkBytes) return false;
    spent_bytes_ += bytes;
    return checked_.model()->LiveBytes() + bytes <= kMaxLiveBytes;
  }

  static void CheckSuccess(bool is_success, size_t bytes, size_t alignment = 1) {
    if (bytes >= kHopelessBytes || alignment >= kHopelessBytes) FUZZ_CHECK(!is_success);
    if (bytes <= kPlentyBytes && alignment <= size_t{1} << kPlentyAlignmentShift) FUZZ_CHECK(is_success);
  }

  void Put(Block* slot, const Block& block, size_t bytes, size_t alignment = 1) {
    CheckSuccess(static_cast<bool>(block), bytes, alignment);
    *slot = block;
  }

  /* A number of elements and their size, for `bytes` in all, or for too many. */
  struct Array {
    size_t count;
    size_t element_bytes;
    size_t bytes; /* SIZE_MAX: overflow */
  };

  Array TakeArray() {
    const size_t count = input_.TakeByte();
    const size_t size = TakeSize(input_);
    Array array{count, count == 0 ? size : size / count, 0};
    if (size >= kHopelessBytes) array.element_bytes = size; /* most often an overflow */
    if (input_.TakeBool()) std::swap(array.count, array.element_bytes);
    if (__builtin_mul_overflow(array.count, array.element_bytes, &array.bytes)) array.bytes = SIZE_MAX;
    return array;
  }

  /* --- allocation --- */

  void Malloc() {
    Block& slot = EmptySlot();
    const size_t bytes = TakeSize(input_);
    if (!HasRoomFor(bytes)) return;
    Put(&slot, checked_.Malloc(bytes), bytes);
    if (!slot) return;
    const size_t usable = hak_malloc_usable_size(slot.address);
    FUZZ_CHECK(usable >= bytes && usable >= hak_good_size(bytes));
    if (bytes <= kExactBytes) FUZZ_CHECK(usable == hak_good_size(bytes));
  }

  void Calloc() {
    Block& slot = EmptySlot();
    const Array array = TakeArray();
    if (HasRoomFor(array.bytes)) Put(&slot, checked_.Calloc(array.count, array.element_bytes), array.bytes);
  }

  void AlignedAlloc() {
    Block& slot = EmptySlot();
    const size_t alignment = TakePowerOfTwo(input_);
    const size_t bytes = TakeSize(input_);
    if (HasRoomFor(bytes)) Put(&slot, checked_.AlignedAlloc(alignment, bytes), bytes, alignment);
  }

  void Memalign() {
    Block& slot = EmptySlot();
    /* Any alignment will do. */
    const size_t alignment = TakePowerOfTwo(input_) - input_.TakeBool();
    const size_t bytes = TakeSize(input_);
    if (HasRoomFor(bytes)) Put(&slot, checked_.Memalign(alignment, bytes), bytes, alignment);
  }

  void PosixMemalign() {
    Block& slot = EmptySlot();
    size_t alignment = TakePowerOfTwo(input_);
    if (alignment < sizeof(void*)) alignment = sizeof(void*);
    const size_t bytes = TakeSize(input_);
    if (HasRoomFor(bytes)) Put(&slot, checked_.PosixMemalign(alignment, bytes), bytes, alignment);
  }

  void RejectAlignment() {
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

  void MallocBatch() {
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

  void Realloc() {
    Block& slot = Slot();
    const size_t bytes = TakeSize(input_);
    if (HasRoomFor(bytes)) CheckSuccess(checked_.Realloc(&slot, bytes), bytes);
  }

  void Reallocarray() {
    Block& slot = Slot();
    const Array array = TakeArray();
    if (!HasRoomFor(array.bytes)) return;
    CheckSuccess(checked_.Reallocarray(&slot, array.count, array.element_bytes), array.bytes);
  }

  void Rezalloc() {
    Block& slot = Slot();
    const size_t bytes = TakeSize(input_);
    if (HasRoomFor(bytes)) CheckSuccess(checked_.Rezalloc(&slot, bytes), bytes);
  }

  void Expand() {
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

  void FreeBatch() {
    const size_t first = input_.TakeBelow(kSlots - kBatchMax + 1);
    const size_t count = input_.TakeBelow(kBatchMax + 1);
    checked_.FreeBatch(&slots_[first], count);
    for (size_t i = 0; i < count; i++) slots_[first + i] = Block();
  }

  void FreeSized() {
    Block& slot = Slot();
    checked_.FreeSized(slot);
    slot = Block();
  }

  void FreeAlignedSized() {
    Block& slot = Slot();
    checked_.FreeAlignedSized(slot);
    slot = Block();
  }

  /* --- questions --- */

  void AskGoodSize() {
    const size_t bytes = TakeSize(input_);
    const size_t good = hak_good_size(bytes);
    FUZZ_CHECK(good == 0 ? bytes > kHopelessBytes : good >= bytes && hak_good_size(good) == good);
    FUZZ_CHECK(hak_malloc_usable_size(nullptr) == 0);
  }

  void AskIsInHeap() {
    const Block& block = LiveSlot();
    const size_t offset = block.bytes == 0 ? 0 : input_.TakeNumber(8) % block.bytes;
    FUZZ_CHECK(hak_is_in_heap(block.address + offset));
    FUZZ_CHECK(!hak_is_in_heap(&offset) && !hak_is_in_heap(nullptr));
    /* Any value is a fair question; one that is no user address has one answer. */
    const uintptr_t any = input_.TakeNumber(8);
    FUZZ_CHECK(!hak_is_in_heap(reinterpret_cast<const void*>(any)) || any >> 47 == 0);
  }

  void Report() {
    static fuzz::StderrCapture* const capture = new fuzz::StderrCapture();
    FUZZ_CHECK(std::string(hak_version()) == HAK_VERSION_TEXT);
    if (input_.TakeByte() % 4 != 0) return; /* it is slow */
    capture->Begin();
    hak_stats_print();
    const std::string text = capture->End();
    FUZZ_CHECK(!text.empty() && text.back() == '\n');
  }

  Checked& checked_;
  fuzz::Input input_;
  std::unique_ptr<Helper> helper_ = std::make_unique<Helper>();
  std::array<Block, kSlots> slots_;
  size_t spent_bytes_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  static Checked checked; /* its tables are too large to build for each input; it is empty in between */
  Session(checked, fuzz::Input(data, size_bytes)).Run();
  return 0;
}
