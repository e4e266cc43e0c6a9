#include "hakmem/testing/model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace hak_model {

namespace {

// A leaf has the bits of 1 GiB, a word of it those of 1 KiB.
constexpr unsigned kAddressBits = 48;
constexpr unsigned kLeafShift = 30;
constexpr unsigned kWordShift = 10;
constexpr unsigned kBitShift = 4;
constexpr size_t kRootEntries = size_t{1} << (kAddressBits - kLeafShift);
constexpr size_t kLeafWords = size_t{1} << (kLeafShift - kWordShift);

// Blocks up to here carry the pattern in every byte. A larger one does so at its ends, where neighbours and off-by-one
// errors show, and between them in one line of each stride, which is less than a page.
constexpr size_t kDenseBytes = 64 * 1024;
constexpr size_t kEndBytes = 4096;
constexpr size_t kStrideBytes = 512;
constexpr size_t kLineBytes = 64;

[[noreturn]] void Fail(const char* what, const Block& block, const void* where) {
  char line[256];
  const int length = snprintf(line, sizeof line, "model: %s at %p: block %p of %zu bytes, alignment %zu\n", what, where,
                              static_cast<void*>(block.address), block.bytes, block.alignment);
  // Nothing can be done about a short write: the abort says enough.
  const ssize_t written = write(STDERR_FILENO, line, static_cast<size_t>(length));
  static_cast<void>(written);
  abort();
}

void* Map(size_t bytes) {
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) Fail("no memory for the model", Block(), nullptr);
  return base;
}

uint64_t Mix(uint64_t n) {
  n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u;
  n = (n ^ (n >> 27)) * 0x94d049bb133111ebu;
  return n ^ (n >> 31);
}

// The pattern's eight bytes at `offset`, a multiple of 8. Never zero, so that cleared memory is no pattern.
uint64_t PatternAt(uint64_t seed, size_t offset) { return (seed + offset * 0x9e3779b97f4a7c15u) | 0x0100000000000001u; }

uint64_t SeedOf(const Block& block) { return Mix(reinterpret_cast<uintptr_t>(block.address) + Mix(block.bytes)); }

// Calls visit(begin, end) for each range of offsets that carries the pattern in a block of `bytes`; all begins are
// multiples of 8.
template <typename Visit>
void ForEachPatternedRange(size_t bytes, Visit visit) {
  if (bytes <= kDenseBytes) {
    visit(size_t{0}, bytes);
    return;
  }
  const size_t last = (bytes - kEndBytes) & ~size_t{7};
  visit(size_t{0}, kEndBytes);
  for (size_t at = kEndBytes; at < last; at += kStrideBytes) visit(at, std::min(at + kLineBytes, last));
  visit(last, bytes);
}

void WritePattern(const Block& block) {
  const uint64_t seed = SeedOf(block);
  ForEachPatternedRange(block.bytes, [&](size_t begin, size_t end) {
    size_t at = begin;
    for (; at + 8 <= end; at += 8) {
      const uint64_t value = PatternAt(seed, at);
      memcpy(block.address + at, &value, sizeof value);
    }
    const uint64_t value = PatternAt(seed, at);
    if (at < end) memcpy(block.address + at, &value, end - at);
  });
}

// Checks that the first `kept_bytes` of `block`'s pattern are at `address`.
void CheckPattern(const Block& block, const unsigned char* address, size_t kept_bytes, const char* complaint) {
  const uint64_t seed = SeedOf(block);
  ForEachPatternedRange(block.bytes, [&](size_t begin, size_t end) {
    end = std::min(end, kept_bytes);
    size_t at = begin;
    for (; at + 8 <= end; at += 8) {
      uint64_t value;
      memcpy(&value, address + at, sizeof value);
      if (value != PatternAt(seed, at)) Fail(complaint, block, address + at);
    }
    if (at >= end) return;
    const uint64_t value = PatternAt(seed, at);
    if (memcmp(address + at, &value, end - at) != 0) Fail(complaint, block, address + at);
  });
}

void CheckZero(const Block& block, size_t from) {
  size_t at = from;
  for (; at < block.bytes && at % 8 != 0; at++) {
    if (block.address[at] != 0) Fail("not zero", block, block.address + at);
  }
  for (; at + 8 <= block.bytes; at += 8) {
    uint64_t value;
    memcpy(&value, block.address + at, sizeof value);
    if (value != 0) Fail("not zero", block, block.address + at);
  }
  for (; at < block.bytes; at++) {
    if (block.address[at] != 0) Fail("not zero", block, block.address + at);
  }
}

// Calls visit(address of a word's KiB, mask of the block's bits in it). A block of no bytes has the bit of its address.
template <typename Visit>
void ForEachWord(const Block& block, Visit visit) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(block.address) >> kBitShift;
  const uintptr_t last =
      (reinterpret_cast<uintptr_t>(block.address) + std::max<size_t>(block.bytes, 1) - 1) >> kBitShift;
  for (uintptr_t word = begin / 64; word <= last / 64; word++) {
    uint64_t mask = ~uint64_t{0};
    if (word == begin / 64) mask &= ~uint64_t{0} << (begin % 64);
    if (word == last / 64) mask &= ~uint64_t{0} >> (63 - last % 64);
    visit(word << kWordShift, mask);
  }
}

size_t WordIndex(uintptr_t address) { return (address >> kWordShift) % kLeafWords; }

const void* FirstOf(uintptr_t word_address, uint64_t bits) {
  const uintptr_t first = word_address + (static_cast<uintptr_t>(__builtin_ctzll(bits)) << kBitShift);
  return reinterpret_cast<const void*>(first);
}

}  // namespace

Model::Model() : root_(static_cast<std::atomic<Word*>*>(Map(kRootEntries * sizeof(root_[0])))) {}

Model::~Model() {
  for (size_t i = 0; i < kRootEntries; i++) {
    Word* leaf = root_[i].load(std::memory_order_relaxed);
    if (leaf != nullptr) munmap(leaf, kLeafWords * sizeof(Word));
  }
  munmap(root_, kRootEntries * sizeof(root_[0]));
}

Model::Word* Model::LeafOf(uintptr_t address) {
  std::atomic<Word*>& entry = root_[address >> kLeafShift];
  Word* leaf = entry.load(std::memory_order_acquire);
  if (leaf != nullptr) return leaf;
  Word* fresh = static_cast<Word*>(Map(kLeafWords * sizeof(Word)));
  if (entry.compare_exchange_strong(leaf, fresh, std::memory_order_acq_rel)) return fresh;
  munmap(fresh, kLeafWords * sizeof(Word));
  return leaf;
}

void Model::SetBits(const Block& block) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(block.address);
  if (((address + block.bytes) >> kAddressBits) != 0) Fail("no user address", block, block.address);
  ForEachWord(block, [&](uintptr_t at, uint64_t mask) {
    const uint64_t before = LeafOf(at)[WordIndex(at)].fetch_or(mask, std::memory_order_relaxed);
    if ((before & mask) != 0) Fail("overlap with a live block", block, FirstOf(at, before & mask));
  });
  live_blocks_.fetch_add(1, std::memory_order_relaxed);
  live_bytes_.fetch_add(block.bytes, std::memory_order_relaxed);
}

void Model::ClearBits(const Block& block) {
  ForEachWord(block, [&](uintptr_t at, uint64_t mask) {
    const uint64_t before = LeafOf(at)[WordIndex(at)].fetch_and(~mask, std::memory_order_relaxed);
    if ((before & mask) != mask) Fail("no live block", block, FirstOf(at, mask & ~before));
  });
  live_blocks_.fetch_sub(1, std::memory_order_relaxed);
  live_bytes_.fetch_sub(block.bytes, std::memory_order_relaxed);
}

Block Model::Take(void* address, size_t bytes, size_t alignment, Contents contents) {
  Block block;
  block.address = static_cast<unsigned char*>(address);
  block.bytes = bytes;
  block.alignment = std::max(alignment, kMinAlignment);
  if (address == nullptr) Fail("NULL taken for a block", block, nullptr);
  if (reinterpret_cast<uintptr_t>(address) % block.alignment != 0) Fail("misaligned", block, address);
  SetBits(block);
  if (contents == Contents::kZero) CheckZero(block, 0);
  WritePattern(block);
  return block;
}

void Model::Check(const Block& block) const { CheckPattern(block, block.address, block.bytes, "damaged"); }

void Model::Drop(const Block& block) {
  Check(block);
  ClearBits(block);
}

Block Model::EndResize(const Block& old_block, void* address, size_t bytes, Contents rest) {
  Block block;
  block.address = static_cast<unsigned char*>(address);
  block.bytes = bytes;
  block.alignment = kMinAlignment;
  if (reinterpret_cast<uintptr_t>(address) % block.alignment != 0) Fail("misaligned", block, address);
  SetBits(block);
  CheckPattern(old_block, block.address, std::min(bytes, old_block.bytes), "not carried over by realloc");
  if (rest == Contents::kZero) CheckZero(block, std::min(bytes, old_block.bytes));
  WritePattern(block);
  return block;
}

Block Model::UndoResize(const Block& block) {
  SetBits(block);
  Check(block);
  return block;
}

}  // namespace hak_model
