/* The whale cache against lists of live and cached whales: acquires, releases, resizes, purges, moves of the clock, on a
 * kernel that refuses what the input says.
 *
 * Some words of each whale are written and must be there as long as it lives, wherever its pages move. Descriptors are
 * made before the first input, so that each finds the same box: no whale, no leaf of the registry. */
#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "fuzz/input.h"
#include "fuzz/kernel.h"
#include "fuzz/option.h"
#include "hakmem/base/base.h"
#include "hakmem/base/poison.h"
#include "hakmem/config/config.h"
#include "hakmem/os/os.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/registry/registry.h"
#include "hakmem/surplus/surplus.h"
#include "hakmem/whale_cache/whale_cache.h"

namespace {

constexpr size_t kUnit = HAK_UNIT_BYTES;
constexpr size_t kWord = sizeof(uint64_t);
constexpr uint32_t kSlots = 80; /* more than the cache has entries */
constexpr size_t kLiveBytesMax = size_t{64} << 20;
constexpr size_t kKeepBytes = size_t{8} << 20; /* what stays cached however fast the process grows */
/* From here on no kernel has the addresses. */
constexpr size_t kHopelessBytes = size_t{1} << 48;

/* What the cache has learnt of what is asked for again: told the same. */
hak_surplus surplus;

/* Each input starts with nothing learnt. */
void ForgetSurplus() {
  surplus = hak_surplus();
  hak_whale_cache_age(HAK_SURPLUS_AGES_TO_FORGET);
}

hak_whale_cache_figures Figures() { return hak_whale_cache_read_figures(); }

uint64_t* WordAt(char* address) {
  hak_unpoison(address, kWord);
  return reinterpret_cast<uint64_t*>(address);
}

struct Live {
  hak_whale* whale = nullptr; /* none: nothing */
  char* base = nullptr;
  size_t bytes = 0;
  uint64_t mapping = 0;        /* number of the mapping that it is part of */
  uint64_t tag = 0;            /* this whale's and no other's */
  std::vector<size_t> written; /* offsets of words that hold the tag plus the offset */
};

struct Cached {
  char* base;
  size_t bytes;
  uint64_t freed_ms;
  uint64_t mapping;
  bool is_joined = false;
};

void ChooseOption(uint8_t choice) {
  static const char* const kEntries[] = {"HAKMEM_WHALE_CACHE_BYTES=0", "HAKMEM_WHALE_CACHE_BYTES=1m",
                                         "HAKMEM_WHALE_CACHE_BYTES=8m", "HAKMEM_DECAY_MS=500"};
  static const uint64_t kSurplusBytes[] = {uint64_t{1} << 40, 0, size_t{1} << 20, size_t{16} << 20};
  fuzz::LoadOption(kEntries[choice % 4]);
  hak_config_set_for_test(HAK_OPTION_SURPLUS_BYTES, kSurplusBytes[choice / 4 % 4]);
}

void MakeDescriptors() {
  std::vector<hak_whale*> whales;
  bool zeroed;
  for (uint32_t i = 0; i < kSlots + HAK_WHALE_CACHE_ENTRIES + 1; i++) {
    whales.push_back(hak_whale_cache_acquire(kUnit, 1, &zeroed));
    FUZZ_CHECK(whales.back() != nullptr);
  }
  for (hak_whale* whale : whales) hak_whale_cache_release(whale, 0);
  hak_whale_cache_purge(0, 0);
}

class Session {
 public:
  explicit Session(fuzz::Input input) : input_(input), kernel_(input_, fuzz::Kernel::Leaves::kOftenOne) {
    ChooseOption(input_.TakeByte());
    ForgetSurplus();
    limit_bytes_ = hak_config_get(HAK_OPTION_WHALE_CACHE_BYTES);
    FUZZ_CHECK(Figures().live + Figures().cached == 0);
  }

  void Run() {
    while (!input_.IsUsedUp()) {
      Act(input_.TakeByte() % 16);
      CheckFigures();
    }
    for (Live& live : slots_) {
      if (live.whale != nullptr) CheckLive(live);
    }
    Finish();
  }

 private:
  void Act(unsigned what) {
    switch (what) {
      case 0:
      case 1:
      case 2: AcquireOne(); break;
      case 3: AcquireMany(); break;
      case 4:
      case 5:
        if (Live* live = LiveSlot()) Release(live);
        break;
      case 6: ReleaseMany(); break;
      case 7:
      case 8:
      case 9:
      case 10:
        if (Live* live = LiveSlot()) Resize(live, TakeSize());
        break;
      case 11: Purge(); break;
      case 12: Ask(); break;
      case 13:
      case 14: kernel_.Script(input_); break;
      default: kernel_.Obey(); break;
    }
  }

  Live& Slot() { return slots_[input_.TakeBelow(kSlots)]; }

  /* The first with a whale from the one that the input names, or nullptr. */
  Live* LiveSlot() {
    const size_t first = input_.TakeBelow(kSlots);
    for (size_t i = 0; i < kSlots; i++) {
      Live* live = &slots_[(first + i) % kSlots];
      if (live->whale != nullptr) return live;
    }
    return nullptr;
  }

  /* --- sizes --- */

  size_t TakeSize() {
    const uint8_t how = input_.TakeByte();
    switch (how % 8) {
      case 0: return (size_t{1} << 16 << input_.TakeBelow(7)) - 1 + input_.TakeBelow(3); /* a power of two, about */
      case 1: return input_.TakeBelow(64 * kUnit);
      case 2: {
        static const size_t kEdges[] = {0, kHopelessBytes, size_t{PTRDIFF_MAX} - 2 * kUnit, SIZE_MAX - 255};
        return kEdges[how / 8 % 4] + input_.TakeByte();
      }
      default: return (1 + input_.TakeBelow(32)) * kUnit;
    }
  }

  size_t TakeAlignment() {
    const uint8_t shift = input_.TakeByte();
    return size_t{1} << (shift < 128 ? 0 : shift < 250 ? shift % 24 : shift % 64);
  }

  /* Few mostly: many take time. */
  size_t TakeCount() {
    const uint8_t count = input_.TakeByte();
    return count < 224 ? count % 8 : count % 32 * 4;
  }

  static size_t Rounded(size_t bytes) { return bytes == 0 ? kUnit : hak_round_up(bytes, kUnit); }

  bool HasRoomFor(size_t bytes) const {
    return bytes >= kHopelessBytes || Figures().live_bytes + bytes <= kLiveBytesMax;
  }

  /* --- acquire --- */

  /* Of the cached whales that are large enough, the smallest, and of these the newest. */
  std::vector<Cached>::iterator BestFit(size_t bytes, size_t alignment) {
    auto best = cached_.end();
    for (auto at = cached_.begin(); at != cached_.end(); ++at) {
      if (at->bytes < bytes) continue;
      if (reinterpret_cast<uintptr_t>(at->base) % alignment != 0) continue;
      if (best == cached_.end() || at->bytes <= best->bytes) best = at; /* the newest are the last */
    }
    return best;
  }

  void AcquireOne() {
    Live& live = Slot();
    const size_t bytes = TakeSize();
    Acquire(&live, bytes, TakeAlignment());
  }

  void Acquire(Live* live, size_t bytes, size_t alignment) {
    if (live->whale != nullptr) Release(live);
    if (!HasRoomFor(bytes)) return;
    Begin();
    const bool is_hopeless = bytes >= kHopelessBytes || alignment >= kHopelessBytes;
    const auto best = is_hopeless ? cached_.end() : BestFit(Rounded(bytes), std::max(alignment, kUnit));
    bool zeroed = false;
    hak_whale* whale = hak_whale_cache_acquire(bytes, alignment, &zeroed);
    uint64_t mapping = 0;
    if (best != cached_.end()) {
      const size_t wanted = Rounded(bytes);
      const bool is_cut = best->bytes > wanted + wanted / 4;
      FUZZ_CHECK(whale != nullptr && whale->base == best->base && !zeroed);
      FUZZ_CHECK(whale->size_bytes == (is_cut ? wanted : best->bytes));
      mapping = best->mapping;
      if (is_cut) {
        *best = {best->base + wanted, best->bytes - wanted, best->freed_ms, mapping, best->is_joined};
      } else {
        cached_.erase(best);
      }
      FUZZ_CHECK(Noted().empty());
    } else {
      mapping = ++mappings_;
      CheckNew(whale, is_hopeless, bytes);
      FUZZ_CHECK(whale == nullptr || zeroed);
    }
    if (whale == nullptr) return;
    if (zeroed) hak_surplus_on_take(&surplus, whale->size_bytes);
    FUZZ_CHECK(whale->base != nullptr && reinterpret_cast<uintptr_t>(whale->base) % std::max(alignment, kUnit) == 0);
    FUZZ_CHECK(whale->size_bytes >= bytes && whale->size_bytes % kUnit == 0);
    *live = Live{whale, whale->base, whale->size_bytes, mapping, next_tag_ += uint64_t{1} << 40, {}};
    CheckApart(*live);
    if (zeroed) CheckZero(live->base, live->bytes);
    Write(live, 0);
    if (live->bytes > kUnit) Write(live, live->bytes - kWord);
    CheckLive(*live);
  }

  /* After a new mapping: as much of the oldest whales as it takes makes way, but for a few. After none: all of them did,
   * and it was not enough. */
  void CheckNew(const hak_whale* whale, bool is_hopeless, size_t bytes) {
    const std::vector<Cached> before = cached_;
    const size_t gone_bytes = NoteUnmappings(0, true);
    if (whale == nullptr) {
      FUZZ_CHECK(is_hopeless || IsRefused());
      /* What was refused to be unmapped ends the search for more. */
      FUZZ_CHECK(bytes > PTRDIFF_MAX - kUnit || cached_.empty() || IsRefused());
      return;
    }
    FUZZ_CHECK(!is_hopeless && whale->size_bytes == Rounded(bytes));
    if (IsRefused()) return;
    const size_t keep_bytes = std::max<size_t>(kKeepBytes, Figures().live_bytes / 4);
    FUZZ_CHECK(AreTheOldestGone(before));
    FUZZ_CHECK(gone_bytes >= whale->size_bytes || !IsOver(keep_bytes, CachedBytes(), cached_.size()));
    FUZZ_CHECK(gone_bytes == 0 || gone_bytes - LastBytes(before) < whale->size_bytes);
    CheckNoMoreThanNeeded(before, keep_bytes, gone_bytes, whale->size_bytes);
  }

  void AcquireMany() {
    const size_t first = input_.TakeBelow(kSlots);
    const size_t count = TakeCount();
    const size_t bytes = (1 + input_.TakeBelow(4)) * kUnit;
    for (size_t i = first; i < kSlots && i < first + count; i++) {
      if (slots_[i].whale == nullptr) Acquire(&slots_[i], bytes, 1);
    }
  }

  /* --- release --- */

  void Release(Live* live) {
    if (live->whale == nullptr) return;
    CheckLive(*live);
    Begin();
    const bool is_kept = live->bytes <= limit_bytes_ / 4;
    const uint64_t freed_ms = now_ms_ += input_.TakeByte();
    const Live old = *live;
    *live = Live();
    hak_whale_cache_release(old.whale, freed_ms);
    FUZZ_CHECK(hak_registry_word(old.base) == HAK_REGISTRY_NONE);
    if (is_kept) {
      AddCached({old.base, old.bytes, freed_ms, old.mapping});
      CheckKept(freed_ms);
    } else {
      FUZZ_CHECK(Noted().size() == 1 && Noted()[0].base == old.base && Noted()[0].bytes == old.bytes);
      if (Noted()[0].is_refused) AddCached({old.base, old.bytes, freed_ms, old.mapping});
    }
  }

  /* Invariant 3: the cache is within its limits, and no more than that took was given up. */
  void CheckKept(uint64_t freed_ms) {
    const std::vector<Cached> before = cached_;
    const uint64_t idle_bytes =
        hak_surplus_limit(&surplus, hak_config_get(HAK_OPTION_SURPLUS_BYTES), Figures().live_bytes);
    const size_t limit_bytes = hak_surplus_is_open(&surplus, HAK_SURPLUS_BY_UNMAP)
                                   ? std::min<uint64_t>(limit_bytes_, idle_bytes)
                                   : limit_bytes_;
    const size_t gone_bytes = NoteUnmappings(freed_ms, false);
    hak_surplus_on_give(&surplus, gone_bytes);
    if (IsRefused()) {
      hak_surplus_on_refusal(&surplus, HAK_SURPLUS_BY_UNMAP);
      return;
    }
    FUZZ_CHECK(AreTheOldestGone(before) && !IsOver(limit_bytes, CachedBytes(), cached_.size()));
    CheckNoMoreThanNeeded(before, limit_bytes, gone_bytes, SIZE_MAX - kUnit);
  }

  /* Without the last that went there was too much; of a joined whale only as many units went as it took. */
  void CheckNoMoreThanNeeded(const std::vector<Cached>& before, size_t limit_bytes, size_t gone_bytes,
                             size_t most_bytes) const {
    const size_t last_bytes = LastBytes(before);
    if (last_bytes == 0) return;
    const bool is_part = IsFirstShorter(before);
    FUZZ_CHECK(IsOver(limit_bytes, CachedBytes() + last_bytes, cached_.size() + (is_part ? 0 : 1)));
    FUZZ_CHECK(!is_part || CachedBytes() + kUnit > limit_bytes || gone_bytes < most_bytes + kUnit);
  }

  /* --- the cache --- */

  std::vector<Cached>::iterator Beside(const char* base, size_t bytes, uint64_t mapping, bool is_behind) {
    return std::find_if(cached_.begin(), cached_.end(), [=](const Cached& each) {
      if (each.mapping != mapping) return false;
      return is_behind ? each.base == base + bytes : each.base + each.bytes == base;
    });
  }

  /* The newest, joined with what lies beside it: of two the older stays where it is. */
  void AddCached(const Cached& added) {
    std::vector<char*> neighbours;
    for (const bool is_behind : {false, true}) {
      const auto other = Beside(added.base, added.bytes, added.mapping, is_behind);
      if (other != cached_.end()) neighbours.push_back(other->base);
    }
    size_t at = cached_.size();
    cached_.push_back(added);
    for (char* base : neighbours) {
      size_t other = 0;
      while (cached_[other].base != base) other++;
      const size_t younger = cached_[other].freed_ms <= cached_[at].freed_ms ? at : other;
      const size_t older = younger == at ? other : at;
      cached_[older].base = std::min(cached_[older].base, cached_[younger].base);
      cached_[older].bytes += cached_[younger].bytes;
      cached_[older].is_joined = true;
      cached_.erase(cached_.begin() + static_cast<ptrdiff_t>(younger));
      at = older > younger ? older - 1 : older;
    }
  }

  /* Of the oldest that is left a part went. */
  bool IsFirstShorter(const std::vector<Cached>& before) const {
    return !cached_.empty() && cached_[0].bytes != before[before.size() - cached_.size()].bytes;
  }

  /* What went last, whole or in part; 0: nothing did. */
  size_t LastBytes(const std::vector<Cached>& before) const {
    const size_t gone = before.size() - cached_.size();
    if (IsFirstShorter(before)) return before[gone].bytes - cached_[0].bytes;
    return gone == 0 ? 0 : before[gone - 1].bytes;
  }

  /* More whales than there are entries: some that the kernel would not unmap. */
  static bool IsOver(size_t limit_bytes, size_t bytes, size_t count) {
    return bytes > limit_bytes || count > HAK_WHALE_CACHE_ENTRIES;
  }

  void ReleaseMany() {
    const size_t first = input_.TakeBelow(kSlots);
    const size_t count = TakeCount();
    for (size_t i = first; i < kSlots && i < first + count; i++) Release(&slots_[i]);
  }

  /* --- resize --- */

  void Resize(Live* live, size_t bytes) {
    if (live->whale == nullptr || !HasRoomFor(bytes)) return;
    CheckLive(*live);
    Begin();
    char* const old_base = live->base;
    const size_t old_bytes = live->bytes;
    hak_unpoison(old_base, old_bytes); /* as the gate does: the pages may go elsewhere */
    const bool is_done = hak_whale_cache_resize(live->whale, bytes);
    if (bytes > old_bytes && bytes < kHopelessBytes && TakeBehind(*live, Rounded(bytes) - old_bytes)) {
      FUZZ_CHECK(is_done && live->whale->base == old_base && live->whale->size_bytes == Rounded(bytes));
      live->bytes = live->whale->size_bytes;
      hak_unpoison(live->base, live->bytes);
      Write(live, live->bytes - kWord);
      CheckApart(*live);
      CheckLive(*live);
      return;
    }
    if (!is_done) {
      FUZZ_CHECK(bytes > old_bytes && (bytes >= kHopelessBytes || IsRefused() || AreMovesGivenUp()));
      FUZZ_CHECK(live->whale->base == old_base && live->whale->size_bytes == old_bytes);
      CheckLive(*live);
      return;
    }
    live->base = live->whale->base;
    live->bytes = live->whale->size_bytes;
    FUZZ_CHECK(bytes < kHopelessBytes && live->bytes >= bytes);
    if (bytes > old_bytes) {
      CheckGrown(live, old_base, old_bytes, Rounded(bytes));
    } else {
      CheckCut(live, old_base, old_bytes, Rounded(bytes));
    }
    CheckApart(*live);
    CheckLive(*live);
  }

  /* What a whale lacks comes from the cached one behind it, if that has so much. */
  bool TakeBehind(const Live& live, size_t bytes) {
    const auto behind = Beside(live.base, live.bytes, live.mapping, true);
    if (behind == cached_.end() || behind->bytes < bytes) return false;
    behind->base += bytes;
    behind->bytes -= bytes;
    if (behind->bytes == 0) cached_.erase(behind);
    return true;
  }

  void CheckGrown(Live* live, const char* old_base, size_t old_bytes, size_t bytes) {
    const bool is_moved = live->base != old_base;
    FUZZ_CHECK(live->bytes == bytes || (is_moved && live->bytes <= bytes + bytes / 8));
    if (is_moved) FUZZ_CHECK(hak_registry_word(old_base) == HAK_REGISTRY_NONE);
    live->mapping = ++mappings_;
    FUZZ_CHECK(*WordAt(live->base + old_bytes) == 0 && *WordAt(live->base + live->bytes - kWord) == 0);
    Write(live, live->bytes - kWord);
  }

  /* By more than an eighth only, and never where the kernel will not have the end. */
  void CheckCut(Live* live, const char* old_base, size_t old_bytes, size_t bytes) {
    FUZZ_CHECK(live->base == old_base);
    const bool is_due = old_bytes - bytes > old_bytes / 8;
    FUZZ_CHECK(live->bytes == (is_due && !IsRefused() ? bytes : old_bytes));
    const auto is_cut = [live](size_t offset) { return offset >= live->bytes; };
    live->written.erase(std::remove_if(live->written.begin(), live->written.end(), is_cut), live->written.end());
  }

  /* --- purge --- */

  void Purge() {
    const uint8_t how = input_.TakeByte();
    const uint64_t decay_ms = how < 100 ? 0 : (how - 100) * 8;
    now_ms_ += input_.TakeByte();
    hak_whale_cache_age(1);
    hak_surplus_age(&surplus, 1);
    Begin();
    const std::vector<Cached> before = cached_;
    FUZZ_CHECK(hak_whale_cache_purge(now_ms_, decay_ms) == NoteUnmappings(now_ms_, decay_ms == 0));
    if (IsRefused()) return;
    FUZZ_CHECK(AreTheOldestGone(before));
    FUZZ_CHECK(cached_.empty() || (decay_ms != 0 && now_ms_ < cached_[0].freed_ms + decay_ms));
    for (size_t i = 0; i < before.size() - cached_.size(); i++) {
      FUZZ_CHECK(decay_ms == 0 || now_ms_ >= before[i].freed_ms + decay_ms);
    }
  }

  /* --- questions --- */

  void Ask() {
    const Live& live = Slot();
    const uint64_t any = input_.TakeNumber(8);
    char* const pointer = live.whale != nullptr ? live.base + any % live.bytes : reinterpret_cast<char*>(any);
    bool is_held = false;
    for (const Live& each : slots_) {
      is_held = is_held || (each.whale != nullptr && pointer >= each.base && pointer < each.base + each.bytes);
    }
    FUZZ_CHECK(hak_whale_cache_holds(pointer) == is_held);
    for (const Cached& each : cached_) FUZZ_CHECK(!hak_whale_cache_holds(each.base));
  }

  /* --- what the kernel was asked for --- */

  void Begin() {
    noted_from_ = kernel_.Unmappings().size();
    refusals_ = kernel_.AllRefusals();
  }

  bool IsRefused() const { return kernel_.AllRefusals() != refusals_; }

  /* Refused so often that they may not be tried any more. */
  static bool AreMovesGivenUp() { return fuzz::Kernel::Refusals(HAK_OS_FAKE_MREMAP) >= HAK_OS_TARGETS_LEFT_MAX; }

  /* The calls of munmap since Begin. */
  std::vector<fuzz::Unmapping> Noted() {
    const std::vector<fuzz::Unmapping>& all = kernel_.Unmappings();
    return std::vector<fuzz::Unmapping>(all.begin() + static_cast<ptrdiff_t>(noted_from_), all.end());
  }

  /* Takes the whales that were unmapped out of the list; what was refused becomes the newest, freed at `now_ms`, or when
   * it was freed before. Returns the bytes unmapped. */
  size_t NoteUnmappings(uint64_t now_ms, bool keeps_time) {
    size_t bytes = 0;
    for (const fuzz::Unmapping& call : Noted()) {
      const auto ends_it = [&call](const Cached& each) {
        return each.base + each.bytes == call.base + call.bytes && (each.base == call.base || each.is_joined);
      };
      const auto at = std::find_if(cached_.begin(), cached_.end(), ends_it);
      if (at == cached_.end()) continue;
      Cached whale = *at;
      if (whale.base == call.base) {
        cached_.erase(at);
      } else {
        FUZZ_CHECK(call.base > whale.base && call.bytes <= whale.bytes / 2);
        at->bytes -= call.bytes;
        whale.base = call.base;
        whale.bytes = call.bytes;
      }
      if (!call.is_refused) {
        bytes += whale.bytes;
        continue;
      }
      if (!keeps_time) whale.freed_ms = now_ms;
      AddCached(whale);
    }
    return bytes;
  }

  bool AreTheOldestGone(const std::vector<Cached>& before) const {
    const size_t gone = before.size() - cached_.size();
    return std::equal(cached_.begin(), cached_.end(), before.begin() + static_cast<ptrdiff_t>(gone), before.end(),
                      [this](const Cached& a, const Cached& b) {
                        return a.base == b.base &&
                               (a.bytes == b.bytes || (&a == &cached_[0] && b.is_joined && a.bytes < b.bytes));
                      });
  }

  size_t CachedBytes() const {
    size_t bytes = 0;
    for (const Cached& each : cached_) bytes += each.bytes;
    return bytes;
  }

  /* --- contents --- */

  void Write(Live* live, size_t offset) {
    *WordAt(live->base + offset) = live->tag + offset;
    live->written.push_back(offset);
    written_.insert(live->base + offset);
  }

  /* What is promised to read as zero, at each place that was ever written. */
  void CheckZero(char* base, size_t bytes) {
    for (auto at = written_.lower_bound(base); at != written_.end() && *at < base + bytes;) {
      FUZZ_CHECK(*WordAt(*at) == 0);
      at = written_.erase(at);
    }
  }

  /* --- checks --- */

  static void CheckLive(const Live& live) {
    FUZZ_CHECK(live.whale->base == live.base && live.whale->size_bytes == live.bytes);
    FUZZ_CHECK(hak_os_fake_is_mapped(live.base, live.bytes));
    for (const size_t offset : live.written) FUZZ_CHECK(*WordAt(live.base + offset) == live.tag + offset);
    /* Invariant 2. */
    FUZZ_CHECK(hak_registry_word(live.base) == HAK_REGISTRY_WHALE && hak_registry_owner(live.base) == live.whale);
    FUZZ_CHECK(hak_registry_word(live.base + kUnit - 1) == HAK_REGISTRY_WHALE);
    if (live.bytes == kUnit) return;
    FUZZ_CHECK(hak_registry_word(live.base + kUnit) == HAK_REGISTRY_NONE);
    FUZZ_CHECK(hak_registry_word(live.base + live.bytes - 1) == HAK_REGISTRY_NONE);
  }

  void CheckApart(const Live& live) const {
    const auto is_apart = [&live](const char* base, size_t bytes) {
      return base + bytes <= live.base || live.base + live.bytes <= base;
    };
    for (const Live& each : slots_) {
      if (each.whale != nullptr && &each != &live)
        FUZZ_CHECK(is_apart(each.base, each.bytes) && each.whale != live.whale);
    }
    for (const Cached& each : cached_) FUZZ_CHECK(is_apart(each.base, each.bytes));
  }

  void CheckFigures() {
    uint64_t live = 0;
    uint64_t live_bytes = 0;
    for (const Live& each : slots_) {
      live += each.whale != nullptr;
      live_bytes += each.bytes;
    }
    const hak_whale_cache_figures now = Figures();
    FUZZ_CHECK(now.live == live && now.live_bytes == live_bytes);
    FUZZ_CHECK(now.cached == cached_.size() && now.cached_bytes == CachedBytes());
    const uint64_t owned_bytes = live_bytes + now.cached_bytes;
    const uint64_t mapped_bytes = kernel_.MappedBytes();
    FUZZ_CHECK(mapped_bytes >= owned_bytes && mapped_bytes - owned_bytes <= kernel_.RefusedBytes());
  }

  /* Everything goes back, and the box is as it was. */
  void Finish() {
    kernel_.Obey();
    for (Live& live : slots_) Release(&live);
    hak_whale_cache_purge(now_ms_, 0);
    FUZZ_CHECK(Figures().live + Figures().cached == 0);
    kernel_.Finish();
  }

  fuzz::Input input_;
  fuzz::Kernel kernel_;
  uint64_t limit_bytes_ = 0;
  std::array<Live, kSlots> slots_;
  std::vector<Cached> cached_; /* the oldest first */
  std::set<char*> written_;    /* words that may not read as zero */
  uint64_t mappings_ = 0;
  uint64_t next_tag_ = 1;
  uint64_t now_ms_ = 1000;
  size_t noted_from_ = 0; /* of kernel_.Unmappings(), when the act under test began */
  uint64_t refusals_ = 0; /* likewise */
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  static const bool is_ready = (MakeDescriptors(), true);
  FUZZ_CHECK(is_ready);
  Session(fuzz::Input(data, size_bytes)).Run();
  return 0;
}
