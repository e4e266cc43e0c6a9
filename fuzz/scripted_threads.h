/* Purpose: threads as the allocator knows them, all played by one: exact schedules, and a switch costs two stores.
 * A thread is its heap and the thread-local pointer to it: a thread "runs" while hak_heap_current is its heap.
 * Owns: hak_heap_current of the thread that plays, from construction to End; the clock of the fake OS.
 * Invariants:
 *   1. One thread runs at a time, and all of them find the heaps as new when a script begins: empty, never used.
 *   2. Outside Run the player has no heap, and calls nothing that needs one.
 * Threads: the player's, and one real one that is past its exit (RunLate).  Fails: FUZZ_CHECK. */
#ifndef FUZZ_SCRIPTED_THREADS_H_
#define FUZZ_SCRIPTED_THREADS_H_

#include <array>
#include <cstdint>
#include <functional>

#include "hakmem/heap/heap.h"

namespace fuzz {

class ScriptedThreads {
 public:
  static constexpr unsigned kThreads = 3;

  /** Caches of up to `cache_limit_bytes` a thread: HAKMEM_THREAD_CACHE_BYTES. */
  explicit ScriptedThreads(uint64_t cache_limit_bytes);

  /** Runs `act` as thread `who`, which starts with its first act: with a heap that another left behind, or a new one. */
  template <typename Act>
  void Run(unsigned who, Act act) {
    hak_heap_set_current(HeapOf(who), true, true);
    act();
    heaps_[who] = hak_heap_current;
    hak_heap_set_current(&hak_heap_empty, true, true);
  }

  /** Runs `act` by a thread whose exit hook has run, on the common heap. A real thread: takes some microseconds. */
  void RunLate(const std::function<void()>& act);

  /** What lifecycle's hook does at the end of a thread. The next act of `who` is a new thread's. */
  void Exit(unsigned who);

  /** What lifecycle does in the child of a fork by thread `who`: the others are gone, their caches as they were. */
  void Fork(unsigned who);

  /** Empties all caches, and merges what was freed from afar, of every thread there is and every heap left behind. */
  void Settle();

  void AdvanceClock(uint64_t ms);

  /** The walkers: every heap's bins, and the slabs in their lists. */
  void Audit() const;

  /** The end of all threads; the program has freed every block. Checks that nothing is left, and makes the heaps new. */
  void End();

 private:
  hak_heap* HeapOf(unsigned who);
  void FlushParked();

  const uint64_t cache_limit_bytes_;
  std::array<hak_heap*, kThreads> heaps_{};
};

}  // namespace fuzz

#endif  // FUZZ_SCRIPTED_THREADS_H_
