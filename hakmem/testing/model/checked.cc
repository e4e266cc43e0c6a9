#include "hakmem/testing/model/checked.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <hakmem/hakmem.h>

namespace hak_model {

namespace {

// No function leaves this in errno.
constexpr int kNoErrno = 0x5a5a;
constexpr size_t kBatchMax = 64;

void Require(bool holds, const char* what, const void* address, size_t bytes) {
  if (holds) return;
  fprintf(stderr, "model: %s: %p, %zu bytes, errno %d\n", what, address, bytes, errno);
  abort();
}

}  // namespace

Block Checked::Take(void* address, size_t bytes, size_t alignment, Contents contents) {
  if (address == nullptr) {
    Require(errno == ENOMEM, "NULL without ENOMEM", address, bytes);
    return Block();
  }
  Require(errno == kNoErrno, "success changed errno", address, bytes);
  Require(hak_is_in_heap(address), "not in HAKMEM's heap", address, bytes);
  return model_.Take(address, bytes, alignment, contents);
}

Block Checked::Malloc(size_t bytes) {
  errno = kNoErrno;
  return Take(hak_malloc(bytes), bytes, Model::kMinAlignment, Contents::kAny);
}

Block Checked::Calloc(size_t count, size_t bytes) {
  errno = kNoErrno;
  void* address = hak_calloc(count, bytes);
  size_t total = 0;
  const bool overflows = __builtin_mul_overflow(count, bytes, &total);
  Require(address == nullptr || !overflows, "block for a product that overflows", address, bytes);
  return Take(address, total, Model::kMinAlignment, Contents::kZero);
}

Block Checked::AlignedAlloc(size_t alignment, size_t bytes) {
  errno = kNoErrno;
  return Take(hak_aligned_alloc(alignment, bytes), bytes, alignment, Contents::kAny);
}

Block Checked::Memalign(size_t alignment, size_t bytes) {
  errno = kNoErrno;
  void* address = hak_memalign(alignment, bytes);
  size_t rounded = Model::kMinAlignment;
  while (rounded < alignment) rounded *= 2;
  return Take(address, bytes, rounded, Contents::kAny);
}

Block Checked::PosixMemalign(size_t alignment, size_t bytes) {
  void* const untouched = &model_;
  void* address = untouched;
  errno = kNoErrno;
  const int error = hak_posix_memalign(&address, alignment, bytes);
  Require(errno == kNoErrno, "posix_memalign changed errno", address, bytes);
  if (error == 0) return Take(address, bytes, alignment, Contents::kAny);
  Require(error == ENOMEM && address == untouched, "posix_memalign failed the wrong way", address, bytes);
  return Block();
}

// After a realloc of *block, which the model has dropped, to `bytes` bytes.
bool Checked::EndRealloc(Block* block, void* address, size_t bytes, Contents rest) {
  if (address != nullptr) {
    Require(errno == kNoErrno, "success changed errno", address, bytes);
    Require(hak_is_in_heap(address), "not in HAKMEM's heap", address, bytes);
    *block = *block ? model_.EndResize(*block, address, bytes, rest)
                    : model_.Take(address, bytes, Model::kMinAlignment, rest);
    return true;
  }
  if (*block && bytes == 0) {
    Require(errno == kNoErrno, "realloc to 0 changed errno", block->address, block->bytes);
    *block = Block();
    return true;
  }
  Require(errno == ENOMEM, "NULL without ENOMEM", block->address, bytes);
  if (*block) *block = model_.UndoResize(*block);
  return false;
}

bool Checked::Realloc(Block* block, size_t bytes) {
  if (*block) model_.BeginResize(*block);
  errno = kNoErrno;
  void* address = hak_realloc(block->address, bytes);
  return EndRealloc(block, address, bytes, Contents::kAny);
}

bool Checked::Reallocarray(Block* block, size_t count, size_t bytes) {
  if (*block) model_.BeginResize(*block);
  errno = kNoErrno;
  void* address = hak_reallocarray(block->address, count, bytes);
  size_t total = 0;
  const bool overflows = __builtin_mul_overflow(count, bytes, &total);
  Require(address == nullptr || !overflows, "block for a product that overflows", address, bytes);
  return EndRealloc(block, address, overflows ? SIZE_MAX : total, Contents::kAny);
}

bool Checked::Rezalloc(Block* block, size_t bytes) {
  if (*block) model_.BeginResize(*block);
  errno = kNoErrno;
  void* address = hak_rezalloc(block->address, block->bytes, bytes);
  return EndRealloc(block, address, bytes, Contents::kZero);
}

bool Checked::Expand(Block* block, size_t bytes) {
  model_.BeginResize(*block);
  errno = kNoErrno;
  void* address = hak_expand(block->address, bytes);
  Require(errno == kNoErrno, "expand changed errno", block->address, bytes);
  Require(address == nullptr || address == block->address, "expand moved the block", address, bytes);
  if (address == nullptr) {
    *block = model_.UndoResize(*block);
    return false;
  }
  const size_t alignment = block->alignment;
  *block = model_.EndResize(*block, address, bytes);
  block->alignment = alignment;
  return true;
}

void Checked::UseAll(Block* block) {
  const size_t usable = hak_malloc_usable_size(block->address);
  Require(usable >= block->bytes, "usable size is too small", block->address, usable);
  Require(usable == hak_malloc_usable_size(block->address), "usable size is not stable", block->address, usable);
  const size_t alignment = block->alignment;
  model_.BeginResize(*block);
  *block = model_.EndResize(*block, block->address, usable);
  block->alignment = alignment;
}

void Checked::Free(const Block& block) {
  if (block) model_.Drop(block);
  errno = kNoErrno;
  hak_free(block.address);
  Require(errno == kNoErrno, "free changed errno", block.address, block.bytes);
}

void Checked::FreeSized(const Block& block) {
  if (block) model_.Drop(block);
  errno = kNoErrno;
  hak_free_sized(block.address, block.bytes);
  Require(errno == kNoErrno, "free_sized changed errno", block.address, block.bytes);
}

void Checked::FreeAlignedSized(const Block& block) {
  if (block) model_.Drop(block);
  errno = kNoErrno;
  hak_free_aligned_sized(block.address, block.alignment, block.bytes);
  Require(errno == kNoErrno, "free_aligned_sized changed errno", block.address, block.bytes);
}

size_t Checked::MallocBatch(size_t bytes, size_t count, Block* blocks) {
  void* addresses[kBatchMax];
  Require(count <= kBatchMax, "batch is too long for the test", nullptr, count);
  errno = kNoErrno;
  const size_t done = hak_malloc_batch(bytes, count, addresses);
  Require(done <= count && errno == (done == count ? kNoErrno : ENOMEM), "batch failed the wrong way", nullptr, bytes);
  errno = kNoErrno;
  for (size_t i = 0; i < done; i++) blocks[i] = Take(addresses[i], bytes, Model::kMinAlignment, Contents::kAny);
  return done;
}

void Checked::FreeBatch(const Block* blocks, size_t count) {
  void* addresses[kBatchMax];
  Require(count <= kBatchMax, "batch is too long for the test", nullptr, count);
  for (size_t i = 0; i < count; i++) {
    if (blocks[i]) model_.Drop(blocks[i]);
    addresses[i] = blocks[i].address;
  }
  errno = kNoErrno;
  hak_free_batch(addresses, count);
  Require(errno == kNoErrno, "free_batch changed errno", nullptr, count);
}

}  // namespace hak_model
