/* Purpose: which file an address of code is mapped from, and where in it.
 * Owns: nothing.
 * Invariants:
 *   1. No lock is taken, not even the dynamic linker's, and nothing is allocated: for the inside of malloc and for handlers of
 *      signals.
 * Threads: any.  Cost: reads /proc/self/maps up to the address, some 10 us and more in programs with many mappings.
 * Fails: false where /proc cannot be read.  Fork: nothing to do. */
#ifndef HAKMEM_OS_MAPPING_H_
#define HAKMEM_OS_MAPPING_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

enum { HAK_MAPPING_PATH_BYTES = 512 };

typedef struct hak_mapping {
  uint64_t offset;                   /* of the address in the file, in bytes */
  char path[HAK_MAPPING_PATH_BYTES]; /* absolute; what is longer is cut off */
} hak_mapping;

/** False: the address is not mapped, or from no file; or that cannot be told. */
bool hak_mapping_find(const void* address, hak_mapping* out);

HAK_END_DECLS

#endif /* HAKMEM_OS_MAPPING_H_ */
