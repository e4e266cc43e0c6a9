#include "hakmem/testing/schedules/plain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace schedules {
namespace {

constexpr size_t kCells = 1 << 15;

}  // namespace

PlainHook plain_hook = [](const void*, uint32_t, bool) {};

PlainMemory::PlainMemory() : cells_(kCells) {}

PlainMemory::Cell* PlainMemory::Find(uintptr_t granule) {
  size_t i = (granule * 0x9e3779b97f4a7c15u) >> 49;
  while (cells_[i].granule != granule) {
    if (cells_[i].granule == 0) {
      if (++used_ > kCells / 2) {
        fprintf(stderr, "schedules: too much plain memory in one scenario\n");
        abort();
      }
      cells_[i].granule = granule;
      break;
    }
    i = (i + 1) % kCells;
  }
  Cell* cell = &cells_[i];
  if (cell->run != run_) {
    cell->run = run_;
    cell->saved = false;
    cell->count = 0;
  }
  return cell;
}

void PlainMemory::Save(Cell* cell) {
  if (cell->saved) return;
  cell->saved = true;
  void* address = reinterpret_cast<void*>(cell->granule * 8);
  undo_.push_back({address, ReadWord(address, 8)});
}

void PlainMemory::Reset() {
  for (size_t i = undo_.size(); i-- > 0;) WriteWord(undo_[i].address, 8, undo_[i].old_value);
  undo_.clear();
  run_++;
}

void PlainMemory::UndoKept() {
  Reset();
  for (size_t i = kept_.size(); i-- > 0;) WriteWord(kept_[i].address, 8, kept_[i].old_value);
  kept_.clear();
  cells_.assign(kCells, Cell());
  used_ = 0;
}

void PlainMemory::NoteWrite(const void* address, uint32_t bytes) {
  const uintptr_t first = reinterpret_cast<uintptr_t>(address) / 8;
  const uintptr_t last = (reinterpret_cast<uintptr_t>(address) + bytes - 1) / 8;
  for (uintptr_t granule = first; granule <= last; granule++) Save(Find(granule));
}

bool PlainMemory::Access(const Memory& memory, int thread, const void* address, uint32_t bytes, bool is_write,
                         Race* race) {
  const uintptr_t start = reinterpret_cast<uintptr_t>(address);
  for (uintptr_t granule = start / 8; granule <= (start + bytes - 1) / 8; granule++) {
    uint8_t mask = 0;
    for (uintptr_t i = 0; i < 8; i++) {
      if (granule * 8 + i >= start && granule * 8 + i < start + bytes) mask = static_cast<uint8_t>(mask | 1 << i);
    }
    Cell* cell = Find(granule);
    if (is_write) Save(cell);
    Record* own = nullptr;
    for (uint8_t i = 0; i < cell->count; i++) {
      Record& record = cell->records[i];
      if (record.thread == thread) {
        if (record.mask == mask && record.is_write == is_write) own = &record;
        continue;
      }
      if ((record.mask & mask) == 0 || (!record.is_write && !is_write)) continue;
      if (memory.HappensBefore(record.thread, record.clock, thread)) continue;
      *race = {address, record.is_write, is_write, record.thread, thread};
      return true;
    }
    if (own == nullptr) {
      if (cell->count == sizeof cell->records / sizeof cell->records[0]) {
        fprintf(stderr, "schedules: a word is accessed in too many ways\n");
        abort();
      }
      own = &cell->records[cell->count++];
    }
    *own = {memory.Clock(thread), mask, static_cast<uint8_t>(thread), is_write};
  }
  return false;
}

}  // namespace schedules

// --- what the compiler calls ---

using schedules::plain_hook;

#define HAK_PLAIN_ACCESS_(bytes)                                                                     \
  void __tsan_read##bytes(const void* address);                                                      \
  void __tsan_read##bytes(const void* address) { plain_hook(address, bytes, false); }                \
  void __tsan_write##bytes(const void* address);                                                     \
  void __tsan_write##bytes(const void* address) { plain_hook(address, bytes, true); }                \
  void __tsan_unaligned_read##bytes(const void* address);                                            \
  void __tsan_unaligned_read##bytes(const void* address) { plain_hook(address, bytes, false); }      \
  void __tsan_unaligned_write##bytes(const void* address);                                           \
  void __tsan_unaligned_write##bytes(const void* address) { plain_hook(address, bytes, true); }      \
  void __tsan_read_write##bytes(const void* address);                                                \
  void __tsan_read_write##bytes(const void* address) { plain_hook(address, bytes, true); }           \
  void __tsan_unaligned_read_write##bytes(const void* address);                                      \
  void __tsan_unaligned_read_write##bytes(const void* address) { plain_hook(address, bytes, true); } \
  static_assert(bytes <= 16, "as the compiler splits accesses")

extern "C" {

HAK_PLAIN_ACCESS_(1);
HAK_PLAIN_ACCESS_(2);
HAK_PLAIN_ACCESS_(4);
HAK_PLAIN_ACCESS_(8);
HAK_PLAIN_ACCESS_(16);

void __tsan_init();
void __tsan_init() {}
void __tsan_func_entry(const void* caller);
void __tsan_func_entry(const void* /*caller*/) {}
void __tsan_func_exit(const void* caller);
void __tsan_func_exit(const void* /*caller*/) {}
void __tsan_read_range(const void* address, unsigned long bytes);
void __tsan_read_range(const void* address, unsigned long bytes) {
  plain_hook(address, static_cast<uint32_t>(bytes), false);
}
void __tsan_write_range(const void* address, unsigned long bytes);
void __tsan_write_range(const void* address, unsigned long bytes) {
  plain_hook(address, static_cast<uint32_t>(bytes), true);
}
void* __tsan_memset(void* target, int value, unsigned long bytes);
void* __tsan_memset(void* target, int value, unsigned long bytes) {
  plain_hook(target, static_cast<uint32_t>(bytes), true);
  return memset(target, value, bytes);
}
void* __tsan_memcpy(void* target, const void* source, unsigned long bytes);
void* __tsan_memcpy(void* target, const void* source, unsigned long bytes) {
  plain_hook(source, static_cast<uint32_t>(bytes), false);
  plain_hook(target, static_cast<uint32_t>(bytes), true);
  return memcpy(target, source, bytes);
}
void* __tsan_memmove(void* target, const void* source, unsigned long bytes);
void* __tsan_memmove(void* target, const void* source, unsigned long bytes) {
  plain_hook(source, static_cast<uint32_t>(bytes), false);
  plain_hook(target, static_cast<uint32_t>(bytes), true);
  return memmove(target, source, bytes);
}

}  // extern "C"
