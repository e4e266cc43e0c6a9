/* Purpose: what the target of the shared pool knows of the pool: who holds which unit, and what is written in them.
 * Owns: nothing of the pool's.
 * Invariants:
 *   1. A unit has one holder, or none.
 *   2. A word that was written is found as it was for as long as its block is held, and reads as zero wherever the pool
 *      promises zeroes.
 * Threads: one.  Fails: ends the program where an invariant does not hold. */
#ifndef FUZZ_POOL_MODEL_H_
#define FUZZ_POOL_MODEL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "fuzz/input.h"
#include "hakmem/base/base.h"
#include "hakmem/base/bits.h"
#include "hakmem/base/poison.h"
#include "hakmem/slab/slab.h"

namespace fuzz {

constexpr size_t kUnit = HAK_UNIT_BYTES;
constexpr uint32_t kUnits = HAK_SUPERSLAB_UNITS;
constexpr int kNobody = -1;

/* What the program holds of the pool's: a slab, or a span. */
struct Holding {
  hak_slab* slab = nullptr; /* none: nothing */
  char* base = nullptr;
  uint32_t units = 0;
  uint32_t size_class = 0;                          /* or HAK_SLAB_SPAN */
  uint32_t heap = 0;                                /* of a slab */
  std::array<uint64_t, HAK_SLAB_WORDS_MAX> taken{}; /* blocks that are with the program */
  std::vector<char*> written;                       /* words, to be found as they are */

  bool IsSpan() const { return size_class == HAK_SLAB_SPAN; }
  uint32_t Blocks() const { return hak_size_class_table[size_class].blocks; }
  uint32_t BlockBytes() const { return hak_size_class_table[size_class].block_bytes; }
  uint32_t Words() const { return (Blocks() + 63) / 64; }
  uint64_t AllOfWord(uint32_t word) const { return hak_bits_low_mask(Blocks() - word * 64); }
  uint64_t RemoteOfWord(uint32_t word) const { return hak_u64_load_relaxed(&slab->remote_bits[word]); }
  char* BaseOfSuperSlab() const {
    return reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(base) & ~uintptr_t{HAK_SUPERSLAB_BYTES - 1});
  }
  uint32_t FirstUnit() const { return static_cast<uint32_t>(static_cast<size_t>(base - BaseOfSuperSlab()) / kUnit); }

  bool HasNoneTaken() const {
    for (uint32_t word = 0; word < Words(); word++) {
      if (taken[word] != 0) return false;
    }
    return true;
  }
  bool HasRemote() const {
    for (uint32_t word = 0; word < Words(); word++) {
      if (RemoteOfWord(word) != 0) return true;
    }
    return false;
  }
};

/* Which slot holds each unit of the SuperSlabs seen; those that have gone back stay, held by nobody. */
class Units {
 public:
  using Holders = std::array<int, kUnits>;

  /* Units [from, to) of `held`. Invariant 1. */
  void Hold(const Holding& held, int slot, uint32_t from_unit, uint32_t to_unit) {
    Holders& holders = all_.try_emplace(held.BaseOfSuperSlab(), NobodysUnits()).first->second;
    for (uint32_t unit = held.FirstUnit() + from_unit; unit < held.FirstUnit() + to_unit; unit++) {
      FUZZ_CHECK(unit < kUnits && holders[unit] == kNobody);
      holders[unit] = slot;
    }
  }

  void LetGo(const Holding& held, uint32_t from_unit, uint32_t to_unit) {
    Holders& holders = all_.at(held.BaseOfSuperSlab());
    for (uint32_t unit = from_unit; unit < to_unit; unit++) holders[held.FirstUnit() + unit] = kNobody;
  }

  const Holders& Of(char* superslab) const { return all_.at(superslab); }

  /* By SuperSlab. */
  const std::map<char*, Holders>& All() const { return all_; }

  static uint32_t CountFree(const Holders& holders) {
    uint32_t count = 0;
    for (const int holder : holders) count += holder == kNobody;
    return count;
  }

  /* Of the units of `among`. */
  static bool HasRun(const Holders& holders, uint32_t units, uint32_t among) {
    uint32_t run = 0;
    for (uint32_t unit = 0; unit < kUnits; unit++) {
      run = holders[unit] == kNobody && (among >> unit & 1) != 0 ? run + 1 : 0;
      if (run == units) return true;
    }
    return false;
  }

 private:
  static Holders NobodysUnits() {
    Holders none;
    none.fill(kNobody);
    return none;
  }

  std::map<char*, Holders> all_;
};

/* Some words of each block or span, written while it is held; few, since each may be the first of its page. */
class Contents {
 public:
  static void Write(Holding* held, char* address) {
    *WordAt(address) = ValueOf(address);
    held->written.push_back(address);
  }

  static void Check(const Holding& held) {
    for (char* address : held.written) FUZZ_CHECK(*WordAt(address) == ValueOf(address));
  }

  /* The words of [from, to) are as they were written; from now on they may change. */
  void Take(Holding* held, const char* from, const char* to) {
    std::vector<char*> rest;
    for (char* address : held->written) {
      if (address < from || address >= to) {
        rest.push_back(address);
        continue;
      }
      FUZZ_CHECK(*WordAt(address) == ValueOf(address));
      taken_.insert(address);
    }
    held->written.swap(rest);
  }

  /* What is promised to read as zero, at each place that was ever written. */
  void CheckZero(char* from, const char* to) {
    for (auto at = taken_.lower_bound(from); at != taken_.end() && *at < to;) {
      FUZZ_CHECK(*WordAt(*at) == 0);
      at = taken_.erase(at);
    }
  }

 private:
  static uint64_t* WordAt(char* address) {
    hak_unpoison(address, sizeof(uint64_t));
    return reinterpret_cast<uint64_t*>(address);
  }

  static uint64_t ValueOf(const char* address) { return reinterpret_cast<uintptr_t>(address) * 0x9e3779b97f4a7c15 | 1; }

  std::set<char*> taken_; /* words that may not read as zero, of memory that is free or was */
};

}  // namespace fuzz

#endif  // FUZZ_POOL_MODEL_H_
