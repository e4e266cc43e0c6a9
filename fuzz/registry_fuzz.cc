/* The registry against a map of units: prepares, sets, clears and look-ups at the edges of leaves, of the root table and of
 * the 48 bits, with leaves that the kernel refuses and leaves that a faster thread has made. Addresses need not be mapped
 * to be registered, so they are numbers here. */
#include <map>
#include <set>

#include "fuzz/input.h"
#include "fuzz/kernel.h"
#include "hakmem/base/base.h"
#include "hakmem/os/os.h"
#include "hakmem/registry/registry.h"

namespace {

constexpr uint64_t kUnit = HAK_UNIT_BYTES;
constexpr uint64_t kAddressEnd = uint64_t{1} << 48;
constexpr uint64_t kLeafBytes = sizeof(hak_registry_leaf);
constexpr unsigned kLeafShift = 32;
/* Its edges lie within entries that inputs ask for, and an edge between two entries lies inside. */
constexpr uint64_t kWindowFirst = (uint64_t{0x7fff} << 16) + (1 << 14);
constexpr uint64_t kWindowEnd = kWindowFirst + HAK_REGISTRY_LEAF_UNITS;
/* Leaves are mappings of 1 MiB: a range that needs more than so many is left out, unless it must be refused. */
constexpr uint64_t kLeavesMax = 4;

void* At(uint64_t address) { return reinterpret_cast<void*>(address); }

bool IsPrepared(uint64_t entry) { return hak_ptr_load_relaxed(&hak_registry_root[entry]) != nullptr; }

/* A range that another thread prepares while the one under test maps its leaf. */
struct Race {
  uint64_t base;
  uint64_t bytes; /* 0: none */
};
Race race;

void BeFaster(hak_os_fake_call call, void*, size_t) {
  if (call != HAK_OS_FAKE_MMAP || race.bytes == 0) return;
  const Race now = race;
  race.bytes = 0; /* the calls of this prepare come here too */
  hak_registry_prepare(At(now.base), now.bytes);
}

class Session {
 public:
  explicit Session(fuzz::Input input)
      : input_(input), kernel_(input_, fuzz::Kernel::Leaves::kNone), leaf_bytes_(hak_registry_leaf_bytes()) {
    hak_u64_store_relaxed(&hak_registry_window_at.minus_base, -(kWindowFirst * kUnit));
    kernel_.Watch(BeFaster);
  }

  void Run() {
    while (!input_.IsUsedUp()) {
      const uint8_t what = input_.TakeByte();
      switch (what % 8) {
        case 0:
        case 1: Prepare((what & 0x80) != 0); break;
        case 2:
        case 3:
        case 4: Set(); break;
        case 5: Clear(); break;
        case 6: LookUp(); break;
        default: kernel_.Script(input_); break;
      }
    }
    for (const auto& [unit, value] : units_) CheckUnit(unit);
    for (const auto& [unit, value] : units_) hak_registry_clear(At(unit * kUnit), 1); /* the window stays */
    kernel_.Finish();
  }

 private:
  /* --- addresses --- */

  /* A unit below 48 bits, as its number. Few root entries, so that ranges meet; units near either end of a leaf. */
  uint64_t TakeUnit() {
    static const uint64_t kEntries[] = {0, 1, 2, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xfffd, 0xfffe, 0xffff};
    const uint8_t where = input_.TakeByte();
    const uint64_t entry = kEntries[where % 10];
    const uint64_t index = where / 10 < 20 ? input_.TakeByte() - uint64_t{128} : input_.TakeNumber(2);
    return entry << 16 | (index & 0xffff);
  }

  uint64_t TakeBytes() {
    switch (input_.TakeByte() % 8) {
      case 0: return 1 + input_.TakeBelow(kUnit); /* a byte to a unit */
      case 1: return (1 + input_.TakeBelow(3)) << kLeafShift;
      case 2: return ((1 + input_.TakeBelow(3)) << kLeafShift) + 1 - input_.TakeBelow(3);
      case 3: {
        const uint64_t any = input_.TakeNumber(8);
        return any == 0 ? 1 : any;
      }
      default: return (1 + input_.TakeBelow(64)) * kUnit;
    }
  }

  /* --- operations --- */

  void Prepare(bool has_rival) {
    const uint64_t any_bits = has_rival ? 0 : input_.TakeBelow(256);
    /* Now and then an address that is none. */
    const uint64_t base = TakeUnit() * kUnit | (any_bits >= 240 ? any_bits << 48 : any_bits);
    const uint64_t bytes = TakeBytes();
    const bool is_valid = base < kAddressEnd && bytes <= kAddressEnd - base;
    const uint64_t first = base >> kLeafShift;
    const uint64_t last = (base + bytes - 1) >> kLeafShift;
    if (is_valid && last - first >= kLeavesMax) return;
    race = {base, has_rival && is_valid ? bytes : 0};
    const uint64_t refusals = kernel_.Refusals(HAK_OS_FAKE_MMAP);
    const uint64_t calls = hak_os_fake_calls(HAK_OS_FAKE_MMAP);
    const bool is_done = hak_registry_prepare(At(base), bytes);
    const bool had_rival = has_rival && race.bytes == 0;
    race.bytes = 0;
    if (!is_valid) {
      FUZZ_CHECK(!is_done && hak_os_fake_calls(HAK_OS_FAKE_MMAP) == calls);
      return;
    }
    if (IsInWindow(base / kUnit) && IsInWindow((base + bytes - 1) / kUnit)) {
      FUZZ_CHECK(is_done && hak_os_fake_calls(HAK_OS_FAKE_MMAP) == calls);
      return;
    }
    const bool is_refused = kernel_.Refusals(HAK_OS_FAKE_MMAP) != refusals;
    FUZZ_CHECK(is_done ? had_rival || !is_refused : is_refused);
    NotePrepared(first, last, is_done, had_rival);
  }

  /* Without a rival the leaves before the refused one are there, and none after it. */
  void NotePrepared(uint64_t first, uint64_t last, bool is_done, bool had_rival) {
    bool is_past_refusal = false;
    for (uint64_t entry = first; entry <= last; entry++) {
      const bool is_prepared = IsPrepared(entry);
      FUZZ_CHECK(is_prepared || !is_done);
      if (prepared_.count(entry) != 0) {
        FUZZ_CHECK(is_prepared);
        continue;
      }
      FUZZ_CHECK(had_rival || !is_prepared || !is_past_refusal);
      is_past_refusal = is_past_refusal || !is_prepared;
      if (is_prepared) prepared_.insert(entry);
    }
    FUZZ_CHECK(is_done || had_rival || is_past_refusal);
    CheckMapped();
  }

  static bool IsInWindow(uint64_t unit) { return unit >= kWindowFirst && unit < kWindowEnd; }

  bool IsPreparedUnit(uint64_t unit) const {
    return unit >> 32 == 0 && (IsInWindow(unit) || prepared_.count(unit >> 16) != 0);
  }

  /* Up to `units` prepared units from `unit` on; their number. */
  uint64_t PreparedUnits(uint64_t unit, uint64_t units) const {
    uint64_t count = 0;
    while (count < units && IsPreparedUnit(unit + count)) count++;
    return count;
  }

  void Set() {
    const uint64_t unit = TakeUnit();
    const uint64_t units = PreparedUnits(unit, 1 + input_.TakeBelow(32));
    /* A tag, or any other number: the registry does not care. */
    const uint8_t kind = input_.TakeByte();
    const uint64_t word = kind < 192 ? 1 + kind % 16 : input_.TakeNumber(8) | 1;
    void* const owner = At(input_.TakeNumber(2) << 40 | kind);
    hak_registry_set(At(unit * kUnit), static_cast<uint32_t>(units), word, owner);
    for (uint64_t i = 0; i < units; i++) units_[unit + i] = {word, owner};
    CheckAround(unit, units);
  }

  void Clear() {
    const uint64_t unit = TakeUnit();
    const uint64_t units = PreparedUnits(unit, 1 + input_.TakeBelow(32));
    hak_registry_clear(At(unit * kUnit), static_cast<uint32_t>(units));
    for (uint64_t i = 0; i < units; i++) units_.erase(unit + i);
    CheckAround(unit, units);
  }

  /* Any value is a fair question, and with bits 48 and up there is nothing. */
  void LookUp() {
    const uint64_t address = TakeUnit() * kUnit + input_.TakeNumber(2);
    CheckAddress(address);
    CheckAddress(address | input_.TakeNumber(2) << 48);
    CheckAddress(input_.TakeNumber(8));
  }

  /* --- checks --- */

  void CheckAddress(uint64_t address) const {
    const auto at = units_.find(address / kUnit);
    const uint64_t word = hak_registry_word(At(address));
    if (at == units_.end()) {
      FUZZ_CHECK(word == HAK_REGISTRY_NONE);
    } else {
      FUZZ_CHECK(word == at->second.word && hak_registry_owner(At(address)) == at->second.owner);
    }
  }

  void CheckUnit(uint64_t unit) const {
    CheckAddress(unit * kUnit);
    CheckAddress(unit * kUnit + kUnit - 1);
  }

  /* The units, their neighbours, and what a carry or a lost bit would take for them. */
  void CheckAround(uint64_t unit, uint64_t units) const {
    for (uint64_t i = 0; i < units + 2; i++) CheckUnit(unit + i - 1);
    for (const uint64_t other : {unit + 0x10000, unit - 0x10000, unit ^ 0x8000, unit ^ 0x80000000}) CheckUnit(other);
  }

  void CheckMapped() {
    FUZZ_CHECK(hak_registry_leaf_bytes() - leaf_bytes_ == prepared_.size() * kLeafBytes);
    /* A leaf that a rival's made superfluous, and that the kernel would not take back. */
    FUZZ_CHECK(kernel_.MappedBytes() == kernel_.RefusedBytes());
  }

  struct Value {
    uint64_t word;
    void* owner;
  };

  fuzz::Input input_;
  fuzz::Kernel kernel_;
  const uint64_t leaf_bytes_;
  std::set<uint64_t> prepared_; /* root entries */
  std::map<uint64_t, Value> units_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  Session(fuzz::Input(data, size_bytes)).Run();
  return 0;
}
