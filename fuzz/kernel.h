/* Purpose: the scripted kernel that the targets of single boxes run on: which calls fail comes from the input, and what
 *   is mapped in the end is accounted for to the byte.
 * Owns: os_fake's scripts and observer; the leaves of the registry between two inputs.
 * Invariants:
 *   1. Each input starts with the same kernel: nothing fails, nothing learned, leaves as it says.
 *   2. Bytes mapped beyond those of the start are leaves, memory of the box under test, or ranges that the kernel has
 *      refused to unmap.
 * Threads: one.  Fails: ends the program where an invariant does not hold. */
#ifndef FUZZ_KERNEL_H_
#define FUZZ_KERNEL_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fuzz/input.h"
#include "hakmem/os/os_fake.h"

namespace fuzz {

/** A call of munmap. */
struct Unmapping {
  char* base;
  size_t bytes;
  bool is_refused;
};

class Kernel {
 public:
  enum class Leaves {
    kNone,
    kOftenOne, /* most inputs find the leaf that the first mappings need: to make it takes time */
  };

  /** A kernel with pages of 4, 16 or 64 KiB, and mappings inside or outside the registry's window, as the input says.
   *  The box under test holds no memory but descriptors. */
  Kernel(Input& input, Leaves leaves);

  /** Takes from the input which calls of one kind fail from now on, and why. */
  void Script(Input& input);
  /** No more failures. */
  void Obey();

  /** Called before each call that the box makes, even one that will fail. nullptr: nobody. */
  void Watch(void (*watcher)(hak_os_fake_call call, void* base, size_t size_bytes));

  /** Calls of `call` that were made to fail. */
  static uint64_t Refusals(hak_os_fake_call call) { return hak_os_fake_failures(call); }
  /** Calls of all kinds. */
  static uint64_t AllRefusals();

  /** Every munmap of this input, in order. */
  const std::vector<Unmapping>& Unmappings();

  /** Bytes mapped beyond those of the start and the leaves. */
  uint64_t MappedBytes() const;
  /** Bytes that the kernel has refused to unmap, some of which may have been unmapped since. */
  uint64_t RefusedBytes();

  /** The end of an input, with nothing held by the box under test: takes the lost ranges away, which must be all that is
   *  left. Words of the registry are 0, or the next input starts without leaves. */
  void Finish();

 private:
  uint64_t start_bytes_; /* without leaves */
  uint64_t start_leaf_bytes_;
};

}  // namespace fuzz

#endif  // FUZZ_KERNEL_H_
