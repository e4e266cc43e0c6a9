/* Purpose: the malloc contract, checked from outside: which bytes are live, and what is in them.
 * Owns: one bit for each 16 bytes of address space, set while they belong to a live block; figures.
 * Invariants:
 *   1. A block's bits are set from Take to Drop. A bit found set by Take is an overlap, one found clear by Drop a block
 *      that was not live.
 *   2. From Take on a block holds a pattern that follows from its address and size. Each later call on the block checks
 *      it, so bytes that somebody else wrote, or that a realloc did not carry over, are found.
 *   3. It allocates with mmap only, never with malloc, whoever's malloc that is.
 * Threads: any. A block belongs to the thread that holds its handle; handing the handle over, with the program's own
 *   synchronisation, hands over the block.
 * Ordering: none on purpose. Bits and figures are relaxed, so that the model hides no race of the allocator from tsan.
 * Cost: one atomic operation a KiB, and the pattern: all of a block up to 64 KiB, the ends and an eighth of the rest above.
 * Fails: a broken contract prints one line that starts with "model: " and aborts.
 * Fork: the child has a copy, as of its blocks. */
#ifndef HAKMEM_TESTING_MODEL_MODEL_H_
#define HAKMEM_TESTING_MODEL_MODEL_H_

#include <stddef.h>
#include <stdint.h>

#include <atomic>

namespace hak_model {

// The handle of a live block. No address: no block.
struct Block {
  unsigned char* address = nullptr;
  size_t bytes = 0;      // as requested
  size_t alignment = 0;  // as requested, 16 at least
  explicit operator bool() const { return address != nullptr; }
};

enum class Contents { kAny, kZero };

class Model {
 public:
  static constexpr size_t kMinAlignment = 16;

  Model();
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // After an allocation that succeeded: checks alignment, overlap and zeroing, and writes the pattern.
  Block Take(void* address, size_t bytes, size_t alignment = kMinAlignment, Contents contents = Contents::kAny);

  // Checks the pattern of a live block.
  void Check(const Block& block) const;

  // Before a free: checks the block, which is no longer live.
  void Drop(const Block& block);

  // Around a realloc: BeginResize before it, then EndResize with what it returned, or, where that is NULL, UndoResize.
  // EndResize checks that the contents came along and, with kZero, that the rest is zero. The block at the new place
  // owes nothing but kMinAlignment.
  void BeginResize(const Block& block) { Drop(block); }
  Block EndResize(const Block& old_block, void* address, size_t bytes, Contents rest = Contents::kAny);
  Block UndoResize(const Block& block);

  uint64_t LiveBlocks() const { return live_blocks_.load(std::memory_order_relaxed); }
  uint64_t LiveBytes() const { return live_bytes_.load(std::memory_order_relaxed); }

 private:
  using Word = std::atomic<uint64_t>;
  Word* LeafOf(uintptr_t address);
  void SetBits(const Block& block);
  void ClearBits(const Block& block);

  std::atomic<Word*>* root_;
  std::atomic<uint64_t> live_blocks_{0};
  std::atomic<uint64_t> live_bytes_{0};
};

}  // namespace hak_model

#endif  // HAKMEM_TESTING_MODEL_MODEL_H_
