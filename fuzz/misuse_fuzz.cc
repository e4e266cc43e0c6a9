/* Crimes amid valid calls, by scripted threads: pointers freed twice, at once, much later, or by another thread; pointers
 * into blocks, free units, whales and the allocator's own memory; foreign, wild and non-canonical ones; wrong sizes.
 *
 * The error action is `warn` or `ignore`, so that the program goes on. What must hold:
 *   1. No crash, no broken invariant, and nobody's block but those named in 4 is ever changed or handed out twice.
 *   2. A crime that is reported had no effect, and is reported once. Calls that are no crime are not reported.
 *   3. An address outside the slabs is reported in the call. An address in a slab may be cached or posted first, and is
 *      reported when it reaches its bitmap: in Settle, which empties every cache, at the latest. Until then it is owed:
 *      reports and crimes balance then, exactly. Questions (usable size, a resize in place) about a block that is free need
 *      not be reported.
 *   4. Until then the bytes of an owed address may be handed out (docs/misuse.md, "handed out twice"): such a block is
 *      given back as it came. All other blocks are disjoint and keep their contents, which the model checks.
 *   5. Without thread caches a crime on the thread's own blocks is reported in the call, while no block is on its way from
 *      one thread to another. Else: in the next Settle.
 *   6. At the end every byte has come back, and the books of every heap are right.
 *
 * A free of the start of a live block is a valid free, whoever calls it: no allocator can know. */
#include <errno.h>
#include <stdio.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/input.h"
#include "fuzz/scripted_threads.h"
#include "fuzz/stderr_capture.h"
#include "hakmem/base/checks.h"
#include "hakmem/registry/registry.h"
#include "hakmem/slab/slab.h"
#include "hakmem/testing/model/model.h"
#include <hakmem/hakmem.h>

namespace {

using hak_model::Block;
using hak_model::Contents;

constexpr size_t kSlots = 48;
constexpr size_t kStaleMax = 64;
constexpr size_t kUnitBytes = HAK_UNIT_BYTES;
constexpr uint64_t kCacheBytes = uint64_t{1} << 20;
constexpr size_t kMaxWorkBytes = size_t{4} << 20;
constexpr size_t kLongBytes = size_t{64} << 10;

uintptr_t AddressOf(const void* ptr) { return reinterpret_cast<uintptr_t>(ptr); }
void* PointerTo(uintptr_t address) { return reinterpret_cast<void*>(address); }

bool IsInSlab(const void* ptr) { return hak_registry_word(ptr) > HAK_REGISTRY_LAST_TAG; }

/* The bytes that malloc could hand out for `ptr`, which is in a slab. */
size_t ClassBytes(const void* ptr) { return static_cast<const hak_slab*>(hak_registry_owner(ptr))->block_bytes; }

class Session {
 public:
  explicit Session(fuzz::Input* input)
      : input_(*input),
        is_cached_(input->TakeBool()),
        reads_lines_(input->TakeByte() % 4 == 0),
        threads_(is_cached_ ? kCacheBytes : 0),
        reports_(hak_misuse_count()) {}

  void Run() {
    hak_set_error_action(HAK_ERROR_IGNORE);
    while (!input_.IsUsedUp()) {
      const uint8_t turn = input_.TakeByte();
      who_ = turn % 2;
      Act(turn / 2);
      threads_.Audit();
    }
    Settle();
    for (Slot& slot : slots_) Free(&slot);
    Settle();
    FUZZ_CHECK(model().LiveBlocks() == 0);
    threads_.End();
    FUZZ_CHECK(NewReports() == 0);
    hak_set_error_action(HAK_ERROR_ABORT);
  }

 private:
  struct Slot {
    Block block;
    size_t usable_bytes = 0;
  };

  /* Addresses that may be handed out although they should not. */
  struct Owed {
    uintptr_t begin;
    size_t bytes;
  };

  static hak_model::Model& model() {
    static hak_model::Model model;
    return model;
  }

  void Act(unsigned what) {
    switch (what % 32) {
      case 0: Settle(); break;
      case 1: threads_.Exit(who_); break;
      case 2: threads_.AdvanceClock(uint64_t{1} << input_.TakeBelow(12)); break;
      case 3: Valid([] { hak_trim(); }); break;
      case 4: Resize(); break;
      case 5: Aligned(); break;
      case 6: Calloc(); break;
      case 7: model().Check(TakeSlot().block); break;
      case 8:
      case 9: WrongSize(); break;
      case 10:
      case 11:
      case 12:
      case 13:
      case 14:
      case 15: Crime(); break;
      case 16:
      case 17:
      case 18: MallocMany(); break;
      case 19: FreeMany(); break;
      case 20:
      case 21:
      case 22:
      case 23:
      case 24:
      case 25: Free(&slots_[input_.TakeBelow(kSlots)]); break;
      case 26: Fork(); break;
      default: Malloc(&slots_[input_.TakeBelow(kSlots)], TakeSize()); break;
    }
    Answer(0); /* what exits, ticks of the clock and the like brought to light */
  }

  /* --- reports --- */

  uint64_t NewReports() {
    const uint64_t before = reports_;
    reports_ = hak_misuse_count();
    return reports_ - before;
  }

  /* After a call with `crimes` crimes: 2. */
  void Answer(uint64_t crimes) {
    owed_count_ += crimes;
    const uint64_t reports = NewReports();
    FUZZ_CHECK(reports <= owed_count_);
    owed_count_ -= reports;
    if (owed_count_ == 0) owed_.clear();
  }

  bool IsMine(const void* ptr) {
    bool is_mine = false;
    threads_.Run(who_, [&] { is_mine = hak_heap_owns_word(hak_heap_current, hak_registry_word(ptr)); });
    return is_mine;
  }

  template <typename Call>
  void Valid(Call call) {
    threads_.Run(who_, call);
    Answer(0);
  }

  void Settle() {
    threads_.Settle();
    Answer(0);
    FUZZ_CHECK(owed_count_ == 0);
    is_under_way_ = false;
  }

  void Owe(const void* ptr, size_t bytes) { owed_.push_back({AddressOf(ptr), bytes}); }

  bool IsOwed(const void* ptr, size_t bytes) const {
    const uintptr_t begin = AddressOf(ptr);
    return std::any_of(owed_.begin(), owed_.end(), [begin, bytes](const Owed& owed) {
      return begin < owed.begin + owed.bytes && owed.begin < begin + std::max<size_t>(bytes, 1);
    });
  }

  /* --- the valid program --- */

  size_t TakeSize() {
    switch (input_.TakeByte() % 16) {
      case 0:
      case 1: return size_t{1024} << input_.TakeBelow(9); /* the larger classes */
      case 2: return input_.TakeBelow(size_t{64} << 10);
      case 3: return (size_t{256} << 10) + input_.TakeBelow(size_t{1} << 20);
      case 4: return (size_t{2} << 20) + input_.TakeBelow(size_t{1} << 20);
      case 5:
      case 6:
      case 7: return size_t{16} << input_.TakeBelow(6);
      default: return input_.TakeBelow(256);
    }
  }

  bool HasRoomFor(size_t bytes) {
    const size_t work = std::min(bytes, kLongBytes) + bytes / 8;
    if (bytes > 1024 && spent_bytes_ + work > kMaxWorkBytes) return false;
    spent_bytes_ += work;
    return true;
  }

  /* What an allocation returned: 4. */
  void Keep(Slot* slot, void* address, size_t bytes, size_t alignment = 16, Contents contents = Contents::kAny) {
    FUZZ_CHECK(address != nullptr);
    const size_t usable = IsInSlab(address) ? ClassBytes(address) : std::max<size_t>(bytes, 1);
    if (IsOwed(address, usable)) {
      Valid([address] { hak_free(address); });
      return;
    }
    slot->block = model().Take(address, bytes, alignment, contents);
    slot->usable_bytes = hak_malloc_usable_size(address);
  }

  /* What the vanished threads had cached is under way: back to slabs that others may adopt meanwhile. */
  void Fork() {
    threads_.Fork(who_);
    is_under_way_ = true;
  }

  void Malloc(Slot* slot, size_t bytes) {
    Free(slot);
    if (!HasRoomFor(bytes)) return;
    void* address = nullptr;
    Valid([&] { address = hak_malloc(bytes); });
    Keep(slot, address, bytes);
  }

  void MallocMany() {
    const size_t bytes = TakeSize();
    const size_t count = bytes > kLongBytes ? 1 : 1 + input_.TakeBelow(kSlots);
    if (!HasRoomFor(count * bytes)) return;
    /* All first: what is given back goes out again at once. */
    std::vector<std::pair<Slot*, void*>> taken;
    for (size_t i = 0; i < count; i++) {
      if (slots_[i].block) continue;
      Valid([&] { taken.emplace_back(&slots_[i], hak_malloc(bytes)); });
    }
    for (const auto& [slot, address] : taken) Keep(slot, address, bytes);
  }

  void Aligned() {
    Slot& slot = slots_[input_.TakeBelow(kSlots)];
    Free(&slot);
    const size_t alignment = size_t{16} << input_.TakeBelow(14);
    const size_t bytes = TakeSize();
    if (!HasRoomFor(bytes)) return;
    void* address = nullptr;
    Valid([&] { address = hak_aligned_alloc(alignment, bytes); });
    /* What is given back may be anything. */
    Keep(&slot, address, bytes, IsOwed(address, 1) ? 1 : alignment);
  }

  /* The allocator itself writes to the block: not while that may be one that should not be handed out. */
  void Calloc() {
    if (owed_count_ != 0) return;
    Slot& slot = slots_[input_.TakeBelow(kSlots)];
    Free(&slot);
    const size_t bytes = TakeSize();
    if (!HasRoomFor(bytes)) return;
    void* address = nullptr;
    Valid([&] { address = hak_calloc(1, bytes); });
    Keep(&slot, address, bytes, 16, Contents::kZero);
  }

  void Resize() {
    Slot& slot = TakeSlot();
    const size_t bytes = 1 + TakeSize();
    if (owed_count_ != 0 || !slot.block || !HasRoomFor(bytes)) return;
    const Block old = slot.block;
    model().BeginResize(old);
    is_under_way_ = is_under_way_ || !IsMine(old.address);
    void* address = nullptr;
    Valid([&] { address = hak_realloc(old.address, bytes); });
    FUZZ_CHECK(address != nullptr);
    if (address != old.address) Remember(old.address);
    slot.block = model().EndResize(old, address, bytes);
    slot.usable_bytes = hak_malloc_usable_size(address);
  }

  void Free(Slot* slot) {
    if (!slot->block) return;
    model().Drop(slot->block);
    is_under_way_ = is_under_way_ || !IsMine(slot->block.address);
    Valid([slot] { hak_free(slot->block.address); });
    Remember(slot->block.address);
    *slot = Slot();
  }

  void FreeMany() {
    const size_t first = input_.TakeBelow(kSlots);
    const size_t count = input_.TakeBelow(kSlots);
    for (size_t i = 0; i < count; i++) Free(&slots_[(first + i) % kSlots]);
  }

  /* A slot with a block, where one can be had. */
  Slot& TakeSlot() {
    Slot& slot = slots_[input_.TakeBelow(kSlots)];
    if (!slot.block) Malloc(&slot, 64);
    return slot;
  }

  void Remember(const void* ptr) { stale_[stale_next_++ % kStaleMax] = ptr; }

  Slot* FindStart(const void* ptr) {
    for (Slot& slot : slots_) {
      if (slot.block && slot.block.address == ptr) return &slot;
    }
    return nullptr;
  }

  /* --- crimes --- */

  void WrongSize() {
    const Slot& slot = TakeSlot();
    if (!slot.block) return;
    const size_t bytes = slot.usable_bytes + 1 + input_.TakeNumber(1 + static_cast<int>(input_.TakeBelow(7)));
    const bool is_aligned = input_.TakeBool();
    Report(slot.block.address, [&] {
      if (is_aligned) {
        hak_free_aligned_sized(slot.block.address, 16, bytes);
      } else {
        hak_free_sized(slot.block.address, bytes);
      }
    });
    Answer(1);
    model().Check(slot.block);
  }

  void* TakeBadPointer() {
    static int in_data;
    const uint8_t what = input_.TakeByte();
    const void* stale = stale_[(stale_next_ - 1 - input_.TakeBelow(kStaleMax)) % kStaleMax];
    const Slot& slot = slots_[input_.TakeBelow(kSlots)];
    const uintptr_t near = what % 2 == 0 ? AddressOf(stale) : AddressOf(slot.block.address);
    switch (what / 2 % 16) {
      case 0: return PointerTo(near + 1 + input_.TakeByte());
      case 1: return PointerTo(near + 16 * (1 + input_.TakeBelow(4096)));
      case 2: return PointerTo(near + kUnitBytes * input_.TakeBelow(64));
      case 3: return PointerTo(near - kUnitBytes * input_.TakeBelow(64));
      case 4: return PointerTo(near / kUnitBytes * kUnitBytes + input_.TakeBelow(kUnitBytes));
      case 5: return PointerTo(near | uint64_t{1} << (47 + input_.TakeBelow(17)));
      case 6: return &in_data;
      case 7: return &who_; /* on the stack, like all of this */
      case 8: return PointerTo(input_.TakeNumber(8));
      case 9: return PointerTo(input_.TakeNumber(2));
      case 10: return TakeOwnMemory();
      default: return PointerTo(AddressOf(stale));
    }
  }

  /* In the allocator's heaps, descriptors, bitmaps and tables. */
  void* TakeOwnMemory() {
    hak_heap* heap = hak_heap_first();
    const Slot& slot = slots_[input_.TakeBelow(kSlots)];
    const uintptr_t offset = input_.TakeBelow(64) * 8;
    if (slot.block && IsInSlab(slot.block.address)) {
      auto* slab = static_cast<hak_slab*>(hak_registry_owner(slot.block.address));
      if (offset % 16 == 0) return PointerTo(AddressOf(slab) + offset);
      return PointerTo(AddressOf(slab->free_bits) + offset);
    }
    return PointerTo((offset % 16 == 0 ? AddressOf(heap) : AddressOf(&hak_registry_root)) + offset);
  }

  void Crime() {
    void* ptr = TakeBadPointer();
    const uint8_t how = input_.TakeByte();
    if (ptr == nullptr) return;
    Slot* slot = FindStart(ptr);
    if (slot != nullptr) {
      Free(slot);
      return;
    }
    const bool is_question = how % 16 >= 10;
    if (how % 16 >= 13 && owed_count_ == 0) {
      CommitResize(ptr, 1 + input_.TakeBelow(4096));
    } else if (is_question) {
      Ask(ptr, how % 2 == 0);
    } else {
      CommitFree(ptr, how % 16);
    }
  }

  /* Runs a call and checks the lines that it writes, sometimes. Returns how many reports there were, not yet answered. */
  template <typename Call>
  uint64_t Report(const void* ptr, Call call) {
    static fuzz::StderrCapture* const capture = new fuzz::StderrCapture();
    const uint64_t before = hak_misuse_count();
    if (reads_lines_) {
      hak_set_error_action(HAK_ERROR_WARN);
      capture->Begin();
    }
    errno = 0;
    threads_.Run(who_, call);
    const int error = errno;
    const uint64_t reports = hak_misuse_count() - before;
    if (reads_lines_) {
      hak_set_error_action(HAK_ERROR_IGNORE);
      CheckLines(capture->End(), ptr, reports);
    }
    FUZZ_CHECK(error == 0 || error == EINVAL);
    return reports;
  }

  void CheckLines(const std::string& text, const void* ptr, uint64_t reports) const {
    FUZZ_CHECK(static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n')) == reports);
    for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
      FUZZ_CHECK(text.compare(at, 8, "hakmem: ") == 0);
    if (reports != 1 || owed_count_ != 0) return;
    char hex[32];
    snprintf(hex, sizeof hex, "%p", ptr);
    FUZZ_CHECK(text.find(hex) != std::string::npos);
  }

  /* After a free of a bad pointer in a call that made `reports` reports: 3 and 5. */
  void Judge(void* ptr, bool was_in_slab, bool was_mine, size_t class_bytes, uint64_t reports) {
    if (!was_in_slab) FUZZ_CHECK(reports == 1);
    Answer(1);
    if (owed_count_ != 0) Owe(ptr, class_bytes);
    if (is_cached_) return;
    if (!was_mine || is_under_way_) Settle();
    FUZZ_CHECK(owed_count_ == 0);
  }

  void CommitFree(void* ptr, unsigned how) {
    const bool was_in_slab = IsInSlab(ptr);
    const size_t class_bytes = was_in_slab ? ClassBytes(ptr) : 0;
    const bool was_mine = IsMine(ptr);
    const uint64_t reports = Report(ptr, [ptr, how] {
      void* batch[] = {nullptr, ptr};
      switch (how) {
        case 0: hak_free_sized(ptr, 0); break;
        case 1: hak_free_aligned_sized(ptr, 16, 1); break;
        case 2: hak_free_sized(ptr, SIZE_MAX); break;
        case 3: hak_free_batch(batch, 2); break;
        case 4: FUZZ_CHECK(hak_realloc(ptr, 0) == nullptr); break;
        case 5: FUZZ_CHECK(hak_reallocarray(ptr, 0, 8) == nullptr); break;
        default: hak_free(ptr);
      }
    });
    Judge(ptr, was_in_slab, was_mine, class_bytes, reports);
  }

  /* A question about a block that is free may be answered. */
  void Ask(void* ptr, bool is_expand) {
    const bool was_in_slab = IsInSlab(ptr);
    const size_t class_bytes = was_in_slab ? ClassBytes(ptr) : 0;
    size_t answer = 0;
    const uint64_t reports = Report(ptr, [&] {
      answer = is_expand ? static_cast<size_t>(hak_expand(ptr, 1) == ptr) : hak_malloc_usable_size(ptr);
    });
    FUZZ_CHECK(reports == 1 ? answer == 0 : was_in_slab && answer == (is_expand ? 1 : class_bytes));
    Answer(reports);
  }

  /* Nothing is owed: the new block, if there is one, is as good as any. */
  void CommitResize(void* ptr, size_t bytes) {
    const bool was_in_slab = IsInSlab(ptr);
    const size_t class_bytes = was_in_slab ? ClassBytes(ptr) : 0;
    void* address = nullptr;
    const uint64_t reports = Report(ptr, [&] { address = hak_realloc(ptr, bytes); });
    if (address == nullptr || address == ptr) {
      FUZZ_CHECK(address == nullptr ? reports == 1 : was_in_slab && reports == 0);
      Answer(reports);
      return;
    }
    FUZZ_CHECK(was_in_slab && bytes != 0);
    Answer(1);
    if (owed_count_ != 0) Owe(ptr, class_bytes);
    Slot& slot = slots_[input_.TakeBelow(kSlots)];
    Slot fresh;
    Keep(&fresh, address, bytes);
    Free(&slot);
    slot = fresh;
    if (!is_cached_) Settle();
  }

  fuzz::Input& input_;
  const bool is_cached_;
  const bool reads_lines_;
  fuzz::ScriptedThreads threads_;
  unsigned who_ = 0;
  std::array<Slot, kSlots> slots_;
  std::array<const void*, kStaleMax> stale_{};
  size_t stale_next_ = 0;
  size_t spent_bytes_ = 0;
  uint64_t reports_;
  uint64_t owed_count_ = 0;
  bool is_under_way_ = false; /* a block, from the thread that freed it to its owner */
  std::vector<Owed> owed_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  fuzz::Input input(data, size_bytes);
  Session(&input).Run();
  return 0;
}
