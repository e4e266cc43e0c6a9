/* Purpose: which block size serves a request, and how a slab of that size is cut.
 * Owns: the constant table of classes.
 * Invariants:
 *   1. Classes are sorted by block size; every block size is a multiple of 16 bytes.
 *   2. Up to 128 B a class every 16 B; up to 32 KiB four a doubling (at most 25 % above the request, 12.5 % on
 *      average); above, one a unit of 64 KiB, one block a slab, so that the untouched tail costs no memory.
 *   3. For every offset in a slab's blocks, (offset * reciprocal) >> 32 is the index of the block; but for the last five
 *      bytes of a 192 KiB block, which give an index past the end: no block either way.
 *   4. A slab's blocks lie at multiples of the block size from a 64 KiB boundary.
 *   5. The class of a size that is a multiple of some power of two has blocks of a multiple of it: the steps between
 *      classes are powers of two themselves.
 *   6. Of an offset that gives the index of a block the lower half of that product is less than the reciprocal where the
 *      block starts, and only there.
 * Threads: any.  Cost: hak_size_class_of is about six instructions.  Fails: never.  Fork: nothing to do. */
#ifndef HAKMEM_SIZE_CLASS_SIZE_CLASS_H_
#define HAKMEM_SIZE_CLASS_SIZE_CLASS_H_

#include "hakmem/base/base.h"
#include "hakmem/base/bits.h"

HAK_BEGIN_DECLS

enum {
  /** Requests up to here are served by table. */
  HAK_SIZE_CLASS_TINY_MAX_BYTES = 1024,
  /** Requests up to here share a slab with others of their class. */
  HAK_SIZE_CLASS_SHARED_MAX_BYTES = 32 * 1024,
  /** Requests up to here have a class; above are spans and whales. */
  HAK_SIZE_CLASS_MAX_BYTES = 256 * 1024,
  HAK_SIZE_CLASS_FINE_COUNT = 8,    /* 16, 32 ... 128 */
  HAK_SIZE_CLASS_SHARED_COUNT = 40, /* up to 32 KiB */
  HAK_SIZE_CLASS_COUNT = 44,
  HAK_SIZE_CLASS_MAX_BLOCKS = HAK_UNIT_BYTES / 16
};

typedef struct hak_size_class {
  uint32_t block_bytes;
  /** ceil(2^32 / block_bytes) */
  uint32_t reciprocal;
  uint16_t blocks;
  uint8_t units;
} hak_size_class;

extern const hak_size_class hak_size_class_table[HAK_SIZE_CLASS_COUNT];

/** Class of a request up to 1 KiB, as a constant expression. */
#define HAK_SIZE_CLASS_OF_TINY(n)     \
  ((n) == 0     ? 0                   \
   : (n) <= 128 ? ((n) + 15) / 16 - 1 \
   : (n) <= 256 ? 8 + ((n)-129) / 32  \
   : (n) <= 512 ? 12 + ((n)-257) / 64 \
                : 16 + ((n)-513) / 128)

/** Class of a request of `size_bytes`, 0 to HAK_SIZE_CLASS_MAX_BYTES. Zero is served as 1. */
HAK_ALWAYS_INLINE uint32_t hak_size_class_of(size_t size_bytes) {
  if (size_bytes <= 128) return (uint32_t)((size_bytes + 15) >> 4) - (size_bytes != 0);
  const uint64_t last = size_bytes - 1;
  if (size_bytes <= HAK_SIZE_CLASS_SHARED_MAX_BYTES) {
    const uint32_t octave = hak_bits_highest(last);
    return (octave - 7) * 4 + (uint32_t)(last >> (octave - 2)) - 4 + HAK_SIZE_CLASS_FINE_COUNT;
  }
  return HAK_SIZE_CLASS_SHARED_COUNT + (uint32_t)(last >> HAK_UNIT_SHIFT);
}

/** Smallest class that serves `size_bytes` on a multiple of `alignment` (a power of two up to HAK_UNIT_BYTES), or
 *  HAK_SIZE_CLASS_COUNT where no class does. */
uint32_t hak_size_class_of_aligned(size_t size_bytes, size_t alignment);

HAK_END_DECLS

#endif /* HAKMEM_SIZE_CLASS_SIZE_CLASS_H_ */
