#include "hakmem/size_class/size_class.h"

#define ROW(bytes, slab_units)                                                                \
  {                                                                                           \
    .block_bytes = (bytes), .reciprocal = (uint32_t)((0x100000000ull + (bytes)-1) / (bytes)), \
    .blocks = (slab_units)*HAK_UNIT_BYTES / (bytes), .units = (slab_units)                    \
  }
/* The four classes of one doubling: base is a power of two, the classes end at its double. */
#define DOUBLING(base, slab_units)                                            \
  ROW((base) + (base) / 4, slab_units), ROW((base) + (base) / 2, slab_units), \
      ROW((base) + 3 * ((base) / 4), slab_units), ROW((base)*2, slab_units)

/* Units a slab: enough for eight blocks, and at most 6.3 % left over at the end (which is never touched). */
const hak_size_class hak_size_class_table[HAK_SIZE_CLASS_COUNT] = {
    ROW(16, 1),         ROW(32, 1),        ROW(48, 1),        ROW(64, 1),        ROW(80, 1),
    ROW(96, 1),         ROW(112, 1),       ROW(128, 1),       DOUBLING(128, 1),  DOUBLING(256, 1),
    DOUBLING(512, 1),   DOUBLING(1024, 1), DOUBLING(2048, 1), DOUBLING(4096, 1), DOUBLING(8192, 2),
    DOUBLING(16384, 4), ROW(65536, 1),     ROW(131072, 2),    ROW(196608, 3),    ROW(262144, 4),
};

HAK_STATIC_ASSERT(sizeof hak_size_class_table / sizeof hak_size_class_table[0] == HAK_SIZE_CLASS_COUNT,
                  "a row a class");

uint32_t hak_size_class_of_aligned(size_t size_bytes, size_t alignment) {
  if (size_bytes > HAK_SIZE_CLASS_MAX_BYTES || alignment > HAK_UNIT_BYTES) return HAK_SIZE_CLASS_COUNT;
  return hak_size_class_of(hak_round_up(size_bytes + (size_bytes == 0), alignment)); /* invariant 5 */
}
