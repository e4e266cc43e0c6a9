// Plain memory accesses of the boxes: undone after each run, and checked for races. The compiler reports them: the boxes
// are compiled with -fsanitize=thread and linked with the functions of plain.cc in place of ThreadSanitizer's.
#ifndef HAKMEM_TESTING_SCHEDULES_PLAIN_H_
#define HAKMEM_TESTING_SCHEDULES_PLAIN_H_

#include <stdint.h>

#include <string>
#include <vector>

#include "hakmem/testing/schedules/memory.h"

namespace schedules {

// A word that was written, as it was.
struct Undo {
  void* address;
  uint64_t old_value;
};

struct Race {
  const void* address;
  bool first_is_write, second_is_write;
  int first_thread, second_thread;
};

class PlainMemory {
 public:
  PlainMemory();

  // Undoes the writes since the last call, and forgets who accessed what.
  void Reset();
  // Writes from now on are kept (by the next Reset) until UndoKept.
  void KeepWrites() { undo_.swap(kept_), undo_.clear(), run_++; }
  void UndoKept();

  // A write outside of the explored threads: to be undone only.
  void NoteWrite(const void* address, uint32_t bytes);
  // An access by an explored thread. True: `race` says with what it is not ordered.
  bool Access(const Memory& memory, int thread, const void* address, uint32_t bytes, bool is_write, Race* race);

 private:
  struct Record {
    uint32_t clock;
    uint8_t mask;
    uint8_t thread;
    bool is_write;
  };
  struct Cell {
    uintptr_t granule;  // address / 8
    uint32_t run;       // everything below is of this run
    bool saved;
    uint8_t count;
    Record records[29];
  };

  Cell* Find(uintptr_t granule);
  void Save(Cell* cell);

  std::vector<Cell> cells_;
  size_t used_ = 0;
  uint32_t run_ = 1;
  std::vector<Undo> undo_, kept_;
};

// What the compiler's calls do, set by the explorer.
using PlainHook = void (*)(const void* address, uint32_t bytes, bool is_write);
extern PlainHook plain_hook;

}  // namespace schedules

#endif  // HAKMEM_TESTING_SCHEDULES_PLAIN_H_
