/* Purpose: a program that a fuzzer's bytes stand for: calls of every entry point, with any sizes and alignments, on blocks
 *   that live in slots; each result and the contents of each block checked.
 * Owns: the slots. The model is the process's: its tables are too large to build for each input.
 * Invariants:
 *   1. Between two programs no block is live.
 *   2. Requests are of sizes that must succeed, or of sizes that must fail.
 * Threads: one at a time; a call is made by whoever calls Act.  Fails: FUZZ_CHECK, or the model's own line. */
#ifndef FUZZ_CALL_SEQUENCE_H_
#define FUZZ_CALL_SEQUENCE_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "fuzz/input.h"
#include "hakmem/testing/model/checked.h"
#include "hakmem/testing/model/model.h"

namespace fuzz {

class CallSequence {
 public:
  static constexpr unsigned kKinds = 32;

  explicit CallSequence(Input* input);

  /** One call of kind `what`, below kKinds; its operands are taken from the input. */
  void Act(unsigned what);

  /** Ends the life of every block. */
  void FreeAll();

 private:
  using Block = hak_model::Block;

  static constexpr size_t kSlots = 64;
  static constexpr size_t kBatchMax = 32;

  /* A number of elements and their size, for `bytes` in all, or for too many. */
  struct Array {
    size_t count;
    size_t element_bytes;
    size_t bytes; /* SIZE_MAX: overflow */
  };

  Block& Slot() { return slots_[input_.TakeBelow(kSlots)]; }
  Block& EmptySlot();
  Block& LiveSlot();
  void Free(Block* block);
  bool HasRoomFor(size_t bytes);
  static void CheckSuccess(bool is_success, size_t bytes, size_t alignment = 1);
  void Put(Block* slot, const Block& block, size_t bytes, size_t alignment = 1);
  Array TakeArray();

  void Malloc();
  void Calloc();
  void AlignedAlloc();
  void Memalign();
  void PosixMemalign();
  void PageAligned();
  void RejectAlignment();
  void MallocMuch();
  void MallocBatch();
  void Realloc();
  void Reallocarray();
  void Rezalloc();
  void Expand();
  void FreeBatch();
  void FreeSized();
  void FreeAlignedSized();
  void AskGoodSize();
  void AskIsInHeap();
  void Report();

  hak_model::Checked& checked_;
  Input& input_;
  std::array<Block, kSlots> slots_;
  size_t spent_bytes_ = 0;
};

}  // namespace fuzz

#endif  // FUZZ_CALL_SEQUENCE_H_
