/* Purpose: the hak_ functions with a model beside them: each call checks what it can of its own contract.
 * Owns: nothing but the model.
 * Invariants:
 *   1. A block comes back with at least the usable size asked for, in HAKMEM's heap.
 *   2. No block: errno is ENOMEM. In all other cases errno is as it was.
 * Threads: any, as the model.  Fails: aborts with a line, as the model. */
#ifndef HAKMEM_TESTING_MODEL_CHECKED_H_
#define HAKMEM_TESTING_MODEL_CHECKED_H_

#include <stddef.h>

#include "hakmem/testing/model/model.h"

namespace hak_model {

class Checked {
 public:
  // Each returns no block when there is no memory.
  Block Malloc(size_t bytes);
  Block Calloc(size_t count, size_t bytes);
  Block AlignedAlloc(size_t alignment, size_t bytes);
  Block Memalign(size_t alignment, size_t bytes);
  Block PosixMemalign(size_t alignment, size_t bytes);

  // False: no memory, the block is as it was. True: *block is the new one; none when `bytes` is 0 and there was a block.
  bool Realloc(Block* block, size_t bytes);
  bool Reallocarray(Block* block, size_t count, size_t bytes);
  bool Rezalloc(Block* block, size_t bytes);

  // False: it cannot grow where it is. Shrinks as well.
  bool Expand(Block* block, size_t bytes);
  // Asks for the usable size, and uses it all from now on.
  void UseAll(Block* block);

  void Free(const Block& block);
  void FreeSized(const Block& block);
  void FreeAlignedSized(const Block& block);

  // Into blocks[0..]; returns how many.
  size_t MallocBatch(size_t bytes, size_t count, Block* blocks);
  void FreeBatch(const Block* blocks, size_t count);

  Model* model() { return &model_; }

 private:
  Block Take(void* address, size_t bytes, size_t alignment, Contents contents);
  bool EndRealloc(Block* block, void* address, size_t bytes, Contents rest);

  Model model_;
};

}  // namespace hak_model

#endif  // HAKMEM_TESTING_MODEL_CHECKED_H_
