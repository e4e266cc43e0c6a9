/* The shared pool against a map of units: slabs of every class for several heaps, spans, adoption of parked heaps' slabs,
 * remote frees, purges and moves of the clock, on a kernel that refuses what the input says.
 *
 * The pool's other half, the bins' own lists, is played here as warm_pool plays it. Descriptors are made before the first
 * input, so that each finds the same pool: no SuperSlab, three heaps, no leaf of the registry. */
#include <array>
#include <utility>
#include <vector>

#include "fuzz/input.h"
#include "fuzz/kernel.h"
#include "fuzz/option.h"
#include "fuzz/pool_model.h"
#include "hakmem/base/base.h"
#include "hakmem/base/bits.h"
#include "hakmem/config/config.h"
#include "hakmem/heap/heap.h"
#include "hakmem/os/os_fake.h"
#include "hakmem/registry/registry.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/shared_pool/superslab_inl.h"
#include "hakmem/slab/slab.h"
#include "hakmem/surplus/surplus.h"

namespace {

constexpr uint32_t kHeaps = 3;
constexpr uint32_t kSlots = 32;
constexpr uint32_t kSuperSlabsMax = 16;
constexpr unsigned kActsPerCheck = 4; /* it takes longer than they do */
constexpr uint64_t kStartMs = 1000;
constexpr uint64_t kHeapLimit = 8 << 20;

using fuzz::Contents;
using fuzz::Holding;
using fuzz::kNobody;
using fuzz::kUnit;
using fuzz::kUnits;
using fuzz::Units;

hak_shared_pool_figures Figures() { return hak_shared_pool_read_figures(); }

hak_heap* heaps[kHeaps]; /* active before each input, and after it */

void ChooseOption(uint8_t choice) {
  static const char* const kEntries[] = {"HAKMEM_SUPERSLAB_CACHE=0", "HAKMEM_SUPERSLAB_CACHE=1",
                                         "HAKMEM_SUPERSLAB_CACHE=4", "HAKMEM_HUGE_PAGES=0"};
  static const uint64_t kSurplusBytes[] = {uint64_t{1} << 40, 0, size_t{512} << 10, size_t{4} << 20};
  fuzz::LoadOption(kEntries[choice % 4]);
  hak_config_set_for_test(HAK_OPTION_SURPLUS_BYTES, kSurplusBytes[choice / 4 % 4]);
  hak_shared_pool_age(HAK_SURPLUS_AGES_TO_FORGET); /* what the last input taught */
}

void MakeDescriptors() {
  for (hak_heap*& heap : heaps) FUZZ_CHECK((heap = hak_heap_acquire(kHeapLimit)) != nullptr);
  std::vector<hak_slab*> spans;
  bool zeroed;
  for (uint32_t i = 0; i < kSuperSlabsMax + 2; i++) {
    spans.push_back(hak_shared_pool_acquire_span(kUnits - 1, &zeroed));
    FUZZ_CHECK(spans.back() != nullptr);
  }
  for (hak_slab* span : spans) hak_shared_pool_release_span(span);
  hak_shared_pool_purge(0, 0);
}

class Session {
 public:
  explicit Session(fuzz::Input input) : input_(input), kernel_(input_, fuzz::Kernel::Leaves::kOftenOne) {
    ChooseOption(input_.TakeByte());
    hak_shared_pool_set_clock(kStartMs);
    FUZZ_CHECK(Figures().superslabs == 0);
  }

  void Run() {
    for (unsigned acts = 1; !input_.IsUsedUp(); acts++) {
      Act(input_.TakeByte() % 32);
      CheckFigures();
      if (acts % kActsPerCheck == 0) CheckAll();
    }
    Finish();
  }

 private:
  void Act(unsigned what) {
    switch (what) {
      case 0:
      case 1:
      case 2:
      case 3: AcquireSlab(); break;
      case 4:
      case 5:
      case 6: AcquireSpan(); break;
      case 7:
      case 8: ResizeSpan(); break;
      case 9:
      case 10: TakeRun(); break;
      case 11:
      case 12: Give(); break;
      case 13:
      case 14: File(); break;
      case 15: Drain(); break;
      case 16: Park(); break;
      case 17: Unpark(); break;
      case 18: DrainParked(static_cast<uint32_t>(input_.TakeBelow(5))); break;
      case 19:
      case 20: Purge(); break;
      case 21: MoveClock(); break;
      case 22:
      case 23:
      case 24: kernel_.Script(input_); break;
      case 25: kernel_.Obey(); break;
      default: Release(&SlotWith((what & 1) != 0)); break;
    }
  }

  /* --- who holds what --- */

  Holding& Slot() { return slots_[input_.TakeBelow(kSlots)]; }

  /* The first with a slab, or with a span, from the one that the input names; or else an empty one. */
  Holding& SlotWith(bool is_span) {
    const size_t first = input_.TakeBelow(kSlots);
    for (size_t i = 0; i < kSlots; i++) {
      Holding& held = slots_[(first + i) % kSlots];
      if (held.slab != nullptr && held.IsSpan() == is_span) return held;
    }
    return slots_[first];
  }

  /* Any class, and often that of a slab that is there. */
  uint32_t TakeClass() {
    const uint8_t which = input_.TakeByte();
    if (which < 128) return which % HAK_SIZE_CLASS_COUNT;
    const Holding& held = SlotWith(false);
    return held.slab != nullptr && !held.IsSpan() ? held.size_class : which % HAK_SIZE_CLASS_COUNT;
  }

  uint32_t TakeHeap() { return static_cast<uint32_t>(input_.TakeBelow(kHeaps)); }

  bool IsParked(uint32_t heap) const { return hak_u32_load_relaxed(&heaps[heap]->state) == HAK_HEAP_PARKED; }

  static hak_bin* BinOf(const Holding& held) { return hak_heap_bin(heaps[held.heap], held.size_class); }

  int IndexOf(const Holding& held) const { return static_cast<int>(&held - slots_.data()); }

  void Forget(Holding* held) {
    units_.LetGo(*held, 0, held->units);
    *held = Holding();
  }

  /* --- acquire --- */

  /* False: nothing to put it in, or enough SuperSlabs. */
  bool MakeEmpty(Holding* held) {
    if (held->slab != nullptr) Release(held);
    return held->slab == nullptr && Figures().superslabs < kSuperSlabsMax;
  }

  void AcquireSlab() {
    Holding& held = Slot();
    const uint32_t heap = TakeHeap();
    const uint32_t size_class = TakeClass();
    if (IsParked(heap) || !MakeEmpty(&held)) return;
    const bool is_orphan_due = HasOrphan(size_class);
    const hak_shared_pool_figures before = Figures();
    const uint64_t refusals = kernel_.AllRefusals();
    hak_slab* slab = hak_shared_pool_acquire(heaps[heap], size_class);
    FUZZ_CHECK((Figures().from_orphan != before.from_orphan) == is_orphan_due);
    if (is_orphan_due) Adopt(slab, heap, size_class);
    const uint64_t emptied = RemoveDissolved(is_orphan_due ? nullptr : slab);
    if (is_orphan_due) return;
    const uint32_t units = hak_size_class_table[size_class].units;
    CheckStage(before, emptied, units, slab, refusals);
    if (slab == nullptr) return;
    held.heap = heap;
    Fill(&held, slab, size_class, units);
    hak_bin* bin = BinOf(held);
    bin->size_class = static_cast<uint8_t>(size_class);
    bin->stride = held.BlockBytes();
    FUZZ_CHECK(hak_slab_is_empty(slab) && !slab->listed);
    const bool is_one_word = held.Words() == 1;
    if (is_one_word ? slab->clean_bits != 0 : slab->fresh_word == 0)
      contents_.CheckZero(held.base, held.base + units * kUnit);
  }

  void AcquireSpan() {
    Holding& held = Slot();
    const uint32_t units = 1 + static_cast<uint32_t>(input_.TakeBelow(kUnits - 1));
    if (!MakeEmpty(&held)) return;
    const hak_shared_pool_figures before = Figures();
    const uint64_t refusals = kernel_.AllRefusals();
    bool zeroed = false;
    hak_slab* slab = hak_shared_pool_acquire_span(units, &zeroed);
    CheckStage(before, 0, units, slab, refusals);
    if (slab == nullptr) return;
    Fill(&held, slab, HAK_SLAB_SPAN, units);
    if (zeroed) contents_.CheckZero(held.base, held.base + units * kUnit);
    Contents::Write(&held, held.base);
    Contents::Write(&held, held.base + units * kUnit - sizeof(uint64_t));
  }

  void Fill(Holding* held, hak_slab* slab, uint32_t size_class, uint32_t units) {
    held->slab = slab;
    held->base = slab->base;
    held->size_class = size_class;
    held->units = units;
    units_.Hold(*held, IndexOf(*held), 0, units);
  }

  /* The SuperSlabs in use that have a run of free units, all of them dirty or as may be. */
  struct Fits {
    bool any = false;
    bool hot = false;
  };
  Fits FindFits(uint32_t units, bool all_dirty) const {
    Fits fits;
    for (const auto& [base, holders] : units_.All()) {
      const uint32_t free_units = Units::CountFree(holders);
      if (free_units == kUnits || !Units::HasRun(holders, units, all_dirty ? DirtyUnits(base) : ~0u)) continue;
      fits.any = true;
      fits.hot = fits.hot || free_units < kUnits / 2;
    }
    return fits;
  }

  /* A claim does not change them. */
  static uint32_t DirtyUnits(const char* base) {
    for (uint32_t id = 0; id < hak_superslab_id_end(); id++) {
      const hak_superslab* superslab = hak_superslab_by_id(id);
      if (superslab != nullptr && hak_u32_load_relaxed(&superslab->in_use) != 0 && superslab->base == base) {
        return hak_u32_load_relaxed(&superslab->dirty_units);
      }
    }
    FUZZ_CHECK(!"the SuperSlab is there");
    return 0;
  }

  static uint32_t UnitsOf(const hak_slab* slab, uint32_t units) {
    return static_cast<uint32_t>(((uint64_t{1} << units) - 1) << slab->first_unit);
  }

  /* `slab` came from the first stage that had room: dirty units of a hot SuperSlab, of a draining one, of an empty one, other
   * units of these, a new one. `emptied`: SuperSlabs that became empty before. */
  void CheckStage(const hak_shared_pool_figures& before, uint64_t emptied, uint32_t units, const hak_slab* slab,
                  uint64_t refusals) {
    const hak_shared_pool_figures after = Figures();
    const bool has_empty = before.empty_superslabs + emptied != 0;
    const Fits any = FindFits(units, false);
    if (slab == nullptr) {
      FUZZ_CHECK(!any.any && !has_empty && kernel_.AllRefusals() != refusals);
      FUZZ_CHECK(after.superslabs == before.superslabs && after.from_new == before.from_new);
      return;
    }
    const uint32_t taken = UnitsOf(slab, units) & DirtyUnits(BaseOf(slab));
    const bool asks_for_dirty = hak_superslab_read_sums().dirty_units + hak_bits_count(taken) >= units;
    const Fits dirty = asks_for_dirty ? FindFits(units, true) : Fits();
    const bool from_empty = has_empty && !dirty.any && (asks_for_dirty || !any.any);
    const bool from_units = dirty.any || (any.any && !from_empty);
    FUZZ_CHECK(after.from_units - before.from_units == from_units);
    FUZZ_CHECK(after.from_empty - before.from_empty == from_empty);
    FUZZ_CHECK(after.from_new - before.from_new == (!from_units && !from_empty));
    FUZZ_CHECK(after.superslabs - before.superslabs == after.from_new - before.from_new);
    FUZZ_CHECK(!dirty.any || taken == UnitsOf(slab, units));
    if (from_units) {
      const auto at = units_.All().find(BaseOf(slab));
      const bool fits_hot = dirty.any ? dirty.hot : any.hot;
      FUZZ_CHECK(at != units_.All().end() && fits_hot == (Units::CountFree(at->second) < kUnits / 2));
    }
  }

  static char* BaseOf(const hak_slab* slab) { return slab->base - slab->first_unit * kUnit; }

  /* --- orphans --- */

  /* Whether a parked heap has a slab of the class that an acquire must find. */
  bool HasOrphan(uint32_t size_class) const {
    for (const Holding& held : slots_) {
      if (held.slab == nullptr || held.size_class != size_class || !IsParked(held.heap)) continue;
      const bool has_remote = held.HasRemote();
      if (BinOf(held)->current == held.slab) {
        if (has_remote || hak_slab_free_count(held.slab) != 0) return true;
      } else if (has_remote ? !held.HasNoneTaken() : held.slab->listed) {
        return true; /* one that is empty once merged goes to the pool first */
      }
    }
    return false;
  }

  void Adopt(hak_slab* slab, uint32_t heap, uint32_t size_class) {
    for (Holding& held : slots_) {
      if (held.slab != slab) continue;
      FUZZ_CHECK(held.size_class == size_class && IsParked(held.heap) && BinOf(held)->current != slab);
      FUZZ_CHECK(!slab->listed && !held.HasRemote() && hak_slab_free_count(slab) != 0);
      held.heap = heap;
      hak_bin* bin = BinOf(held);
      bin->size_class = static_cast<uint8_t>(size_class);
      bin->stride = held.BlockBytes();
      return;
    }
    FUZZ_CHECK(!"the slab is one that was held");
  }

  /* Slabs whose last block came back may have been taken apart: those of parked heaps, and those of any heap all of whose
   * blocks others have freed. `anew`: what has just been acquired, and may be one of these. Returns how many SuperSlabs that
   * emptied. */
  uint64_t RemoveDissolved(const hak_slab* anew = nullptr) {
    uint64_t emptied = 0;
    for (Holding& held : slots_) {
      if (held.slab == nullptr || held.IsSpan() || !held.HasNoneTaken()) continue;
      if (held.slab != anew && IsRegistered(held)) continue;
      char* superslab = held.BaseOfSuperSlab();
      Forget(&held);
      emptied += Units::CountFree(units_.Of(superslab)) == kUnits;
    }
    return emptied;
  }

  static bool IsRegistered(const Holding& held) {
    return hak_registry_word(held.base) == reinterpret_cast<uintptr_t>(BinOf(held)) &&
           hak_registry_owner(held.base) == held.slab;
  }

  void Park() {
    const uint32_t heap = TakeHeap();
    if (parked_.size() + 1 == kHeaps || IsParked(heap)) return;
    hak_heap_park(heaps[heap]);
    parked_.push_back(heap);
  }

  void Unpark() {
    if (parked_.empty()) return;
    FUZZ_CHECK(hak_heap_acquire(kHeapLimit) == heaps[parked_.back()]);
    parked_.pop_back();
  }

  void DrainParked(uint32_t count) {
    hak_shared_pool_drain_parked(count);
    RemoveDissolved();
    if (count < parked_.size()) return;
    for (const Holding& held : slots_) {
      if (held.slab == nullptr || held.IsSpan() || !IsParked(held.heap)) continue;
      FUZZ_CHECK(!held.HasRemote());
    }
  }

  /* --- blocks --- */

  /* A slab with an owner that is there. */
  bool IsWorkable(const Holding& held) const { return held.slab != nullptr && !held.IsSpan() && !IsParked(held.heap); }

  void TakeRun() {
    Holding& held = SlotWith(false);
    if (!IsWorkable(held) || hak_slab_free_count(held.slab) == 0) return;
    const hak_slab_run run = hak_slab_take_run(held.slab);
    if (hak_slab_free_count(held.slab) == 0 && BinOf(held)->current == held.slab) BinOf(held)->current = nullptr;
    const size_t offset = static_cast<size_t>(run.base - held.base);
    const uint32_t word = static_cast<uint32_t>(offset / held.BlockBytes() / 64);
    FUZZ_CHECK(run.mask != 0 && (run.mask & ~held.AllOfWord(word)) == 0 && (run.mask & held.taken[word]) == 0);
    held.taken[word] |= run.mask;
    const uint32_t lowest = hak_bits_lowest(run.mask);
    const uint32_t highest = hak_bits_highest(run.mask);
    char* const first = run.base + size_t{lowest} * held.BlockBytes();
    char* const last = run.base + size_t{highest} * held.BlockBytes();
    if (run.zeroed) {
      for (uint32_t i = lowest; i <= highest; i++) {
        char* const block = run.base + size_t{i} * held.BlockBytes();
        if ((run.mask >> i) & 1) contents_.CheckZero(block, block + held.BlockBytes());
      }
    }
    Contents::Write(&held, first);
    if (last != first) Contents::Write(&held, last);
    if (held.slab->listed && hak_slab_free_count(held.slab) == 0)
      hak_slab_list_remove(&BinOf(held)->partial, held.slab);
  }

  /* Blocks go back: to the slab where its owner gives them, else from afar. */
  void Give() {
    Holding& held = SlotWith(false);
    const uint8_t how = input_.TakeByte();
    if (held.slab == nullptr || held.IsSpan()) return;
    const uint32_t word = static_cast<uint32_t>(input_.TakeBelow(held.Words()));
    const uint64_t mask = (how & 4) != 0 ? held.taken[word] : input_.TakeNumber(8) & held.taken[word];
    if (mask == 0) return;
    if ((how & 3) == 0 && !IsParked(held.heap)) {
      GiveMask(&held, word, mask, false);
    } else if ((how & 3) == 1) {
      Push(&held, word, mask);
    } else {
      GiveMask(&held, word, mask, true);
    }
  }

  void TakeBack(Holding* held, uint32_t word, uint64_t mask) {
    for (uint64_t rest = mask; rest != 0; rest &= rest - 1) {
      char* const block = held->base + size_t{word * 64 + hak_bits_lowest(rest)} * held->BlockBytes();
      contents_.Take(held, block, block + held->BlockBytes());
    }
    held->taken[word] &= ~mask;
  }

  void GiveMask(Holding* held, uint32_t word, uint64_t mask, bool from_afar) {
    TakeBack(held, word, mask);
    if (!from_afar) {
      FUZZ_CHECK(hak_slab_give_word(held->slab, word, mask) == 0);
      return;
    }
    const bool is_pending = hak_u32_load_relaxed(&held->slab->pending) != 0;
    FUZZ_CHECK(hak_remote_free_publish(held->slab, word, mask) ==
               (IsParked(held->heap) && !is_pending ? HAK_REMOTE_FREE_TO_PARKED : HAK_REMOTE_FREE_DONE));
  }

  /* Through the out-box of another heap. */
  void Push(Holding* held, uint32_t word, uint64_t mask) {
    uint32_t heap = 0;
    while (heap < kHeaps && (heap == held->heap || IsParked(heap))) heap++;
    if (heap == kHeaps) return;
    TakeBack(held, word, mask);
    for (uint64_t rest = mask; rest != 0; rest &= rest - 1) {
      const uint32_t index = word * 64 + hak_bits_lowest(rest);
      FUZZ_CHECK(hak_remote_free_push(heaps[heap], held->slab, index) != HAK_REMOTE_FREE_DOUBLE);
    }
    hak_remote_free_flush(heaps[heap]);
  }

  /* The slab enters or leaves the list of its bin, or becomes its current one. */
  void File() {
    Holding& held = SlotWith(false);
    const bool as_current = input_.TakeBool();
    if (!IsWorkable(held)) return;
    hak_bin* bin = BinOf(held);
    if (held.slab->listed || bin->current == held.slab) {
      Unfile(&held);
    } else if (hak_slab_free_count(held.slab) == 0) {
      return; /* warm_pool.h, invariant 3 */
    } else if (as_current && bin->current == nullptr) {
      bin->current = held.slab;
    } else {
      hak_slab_list_push(&bin->partial, held.slab);
    }
  }

  static void Unfile(Holding* held) {
    hak_bin* bin = BinOf(*held);
    if (held->slab->listed) hak_slab_list_remove(&bin->partial, held->slab);
    if (bin->current == held->slab) bin->current = nullptr;
  }

  void Drain() {
    const uint32_t heap = TakeHeap();
    const uint32_t size_class = TakeClass();
    if (!IsParked(heap)) DrainBin(heap, size_class);
  }

  void DrainBin(uint32_t heap, uint32_t size_class) {
    hak_slab* empty = hak_remote_free_drain(heaps[heap], hak_heap_bin(heaps[heap], size_class), size_class);
    while (empty != nullptr) {
      hak_slab* slab = empty;
      empty = slab->next;
      slab->next = nullptr;
      for (Holding& held : slots_) {
        if (held.slab != slab) continue;
        FUZZ_CHECK(held.heap == heap && held.size_class == size_class && held.HasNoneTaken());
        ReleaseSlab(&held);
        break;
      }
    }
  }

  /* --- release --- */

  void Release(Holding* held) {
    if (held->slab == nullptr) return;
    if (held->IsSpan()) {
      contents_.Take(held, held->base, held->base + held->units * kUnit);
      hak_slab* slab = held->slab;
      const uint64_t refusals = kernel_.AllRefusals();
      Forget(held);
      hak_shared_pool_release_span(slab);
      CheckEmptyCache(refusals);
      return;
    }
    const bool is_parked = IsParked(held->heap);
    for (uint32_t word = 0; word < held->Words(); word++) {
      if (held->taken[word] != 0) GiveMask(held, word, held->taken[word], is_parked);
    }
    if (is_parked) return; /* the next drain's */
    const hak_slab* slab = held->slab;
    DrainBin(held->heap, held->size_class);
    if (held->slab != slab) return;
    Unfile(held);
    ReleaseSlab(held);
  }

  void ReleaseSlab(Holding* held) {
    hak_slab* slab = held->slab;
    hak_heap* heap = heaps[held->heap];
    const uint64_t refusals = kernel_.AllRefusals();
    FUZZ_CHECK(held->written.empty() && hak_slab_is_empty(slab) && hak_slab_is_valid(slab));
    Forget(held);
    hak_shared_pool_release(heap, slab);
    FUZZ_CHECK(hak_ptr_load_relaxed(&slab->mailbox) == nullptr);
    CheckEmptyCache(refusals);
  }

  void CheckEmptyCache(uint64_t refusals) {
    if (kernel_.AllRefusals() != refusals) return;
    FUZZ_CHECK(Figures().empty_superslabs <= hak_config_get(HAK_OPTION_SUPERSLAB_CACHE));
  }

  void ResizeSpan() {
    Holding& held = SlotWith(true);
    const uint32_t units = 1 + static_cast<uint32_t>(input_.TakeBelow(kUnits - 1));
    if (held.slab == nullptr || !held.IsSpan()) return;
    const uint32_t old_units = held.units;
    bool is_free = held.FirstUnit() + units <= kUnits;
    const Units::Holders& holders = units_.Of(held.BaseOfSuperSlab());
    for (uint32_t i = old_units; is_free && i < units; i++) is_free = holders[held.FirstUnit() + i] == kNobody;
    const char* const end = held.base + units * kUnit;
    if (units < old_units) contents_.Take(&held, end, held.base + old_units * kUnit);
    FUZZ_CHECK(hak_shared_pool_resize_span(held.slab, units) == is_free);
    if (!is_free) return;
    held.units = units;
    if (units > old_units) {
      units_.Hold(held, IndexOf(held), old_units, units);
      Contents::Write(&held, held.base + units * kUnit - sizeof(uint64_t));
    } else {
      units_.LetGo(held, units, old_units);
    }
  }

  /* --- time --- */

  void MoveClock() {
    now_ms_ += input_.TakeNumber(2);
    hak_shared_pool_set_clock(now_ms_);
  }

  void Purge() {
    const uint8_t how = input_.TakeByte();
    const uint64_t decay_ms = how < 128 ? 0 : (how & 127) * 16;
    const hak_shared_pool_figures before = Figures();
    const uint64_t refusals = kernel_.AllRefusals();
    const uint64_t advice_refusals = kernel_.Refusals(HAK_OS_FAKE_MADVISE);
    const uint64_t bytes = hak_shared_pool_purge(now_ms_, decay_ms);
    const hak_shared_pool_figures after = Figures();
    const uint64_t due_bytes = before.dirty_free_units * kUnit + before.empty_superslabs * HAK_SUPERSLAB_BYTES;
    FUZZ_CHECK(bytes <= due_bytes && after.purged_bytes - before.purged_bytes == bytes);
    FUZZ_CHECK(bytes == (before.dirty_free_units - after.dirty_free_units) * kUnit +
                            (before.empty_superslabs - after.empty_superslabs) * HAK_SUPERSLAB_BYTES);
    /* Each refusal was about dirty units, a SuperSlab that could not go, or the bitmaps of one that went. */
    const uint64_t dirty_due = kernel_.Refusals(HAK_OS_FAKE_MADVISE) - advice_refusals;
    FUZZ_CHECK(after.dirty_free_units + before.empty_superslabs >= dirty_due);
    if (decay_ms == 0 && kernel_.AllRefusals() == refusals) FUZZ_CHECK(bytes == due_bytes);
    for (const Holding& held : slots_) Contents::Check(held);
  }

  /* --- checks --- */

  void CheckAll() const {
    for (const Holding& held : slots_) {
      if (held.slab != nullptr) CheckHolding(held);
    }
    for (const auto& [base, holders] : units_.All()) CheckWords(base, holders);
  }

  void CheckFigures() {
    uint64_t units = 0;
    uint64_t slabs = 0;
    uint64_t spans = 0;
    for (const Holding& held : slots_) {
      if (held.slab == nullptr) continue;
      units += held.units;
      (held.IsSpan() ? spans : slabs)++;
    }
    const hak_shared_pool_figures now = Figures();
    FUZZ_CHECK(now.live_slabs == slabs && now.live_spans == spans && now.slab_bytes == units * kUnit);
    FUZZ_CHECK(now.free_units + units + kUnits * now.empty_superslabs == kUnits * now.superslabs);
    FUZZ_CHECK(now.dirty_free_units <= now.free_units);
    CheckMapped(now.superslabs);
  }

  void CheckMapped(uint64_t superslabs) {
    const uint64_t owned_bytes = superslabs * HAK_SUPERSLAB_BYTES;
    const uint64_t mapped_bytes = kernel_.MappedBytes();
    FUZZ_CHECK(mapped_bytes >= owned_bytes && mapped_bytes - owned_bytes <= kernel_.RefusedBytes());
  }

  void CheckHolding(const Holding& held) const {
    const hak_slab* slab = held.slab;
    FUZZ_CHECK(slab->base == held.base && slab->units == held.units && slab->size_class == held.size_class);
    FUZZ_CHECK(hak_slab_is_valid(slab));
    if (held.IsSpan()) {
      FUZZ_CHECK(slab->block_bytes == held.units * kUnit && slab->blocks == 1);
      return;
    }
    FUZZ_CHECK(slab->bin == BinOf(held));
    FUZZ_CHECK(hak_ptr_load_relaxed(&slab->mailbox) == hak_heap_mailbox(heaps[held.heap], held.size_class));
    /* Each block is in one place. */
    for (uint32_t word = 0; word < held.Words(); word++) {
      const uint64_t remote = held.RemoteOfWord(word);
      FUZZ_CHECK((slab->free_bits[word] & remote) == 0);
      FUZZ_CHECK((slab->free_bits[word] | remote) == (held.AllOfWord(word) & ~held.taken[word]));
    }
  }

  /* Invariant 4, and the words of what is held. */
  void CheckWords(const char* base, const Units::Holders& holders) const {
    for (uint32_t unit = 0; unit < kUnits; unit++) {
      const char* address = base + unit * kUnit;
      uint64_t word = HAK_REGISTRY_NONE;
      if (holders[unit] != kNobody) {
        const Holding& held = slots_[static_cast<size_t>(holders[unit])];
        word = held.IsSpan() ? uint64_t{HAK_REGISTRY_SPAN} : reinterpret_cast<uintptr_t>(BinOf(held));
        FUZZ_CHECK(hak_registry_owner(address) == held.slab);
      }
      FUZZ_CHECK(hak_registry_word(address) == word);
    }
  }

  /* Everything goes back, and the pool is as it was. */
  void Finish() {
    kernel_.Obey();
    while (!parked_.empty()) Unpark();
    CheckAll();
    for (Holding& held : slots_) Release(&held);
    CheckFigures();
    CheckAll();
    for (hak_heap* heap : heaps) {
      for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) {
        hak_bin* bin = hak_heap_bin(heap, c);
        FUZZ_CHECK(bin->partial == nullptr && bin->current == nullptr);
        FUZZ_CHECK(!hak_remote_free_is_posted(hak_heap_mailbox(heap, c)));
        bin->stride = 0;
      }
    }
    hak_shared_pool_purge(now_ms_, 0);
    FUZZ_CHECK(Figures().superslabs == 0);
    kernel_.Finish();
  }

  fuzz::Input input_;
  fuzz::Kernel kernel_;
  std::array<Holding, kSlots> slots_;
  Units units_;
  Contents contents_;
  std::vector<uint32_t> parked_; /* heaps, the last parked last */
  uint64_t now_ms_ = kStartMs;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  static const bool is_ready = (MakeDescriptors(), true);
  FUZZ_CHECK(is_ready);
  Session(fuzz::Input(data, size_bytes)).Run();
  return 0;
}
