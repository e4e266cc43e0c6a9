/* Purpose: memory for HAKMEM's own descriptors, away from every user block.
 * Owns: guarded mappings, filled from the bottom and never given back.
 * Invariants:
 *   1. What is handed out is zero, and lies between guard pages with other descriptors only.
 *   2. Nothing is ever freed here: each box recycles its own descriptors, so a descriptor's address always holds a
 *      descriptor of the same type. The lock-free parts rely on it.
 * Threads: any; one lock.  Lock: held across mmap(2) when a mapping is full, once a MiB of descriptors.
 * Cost: a lock and an addition.  Fails: NULL when the kernel has no memory.
 * Fork: the lock is taken by lifecycle around fork. */
#ifndef HAKMEM_METADATA_METADATA_H_
#define HAKMEM_METADATA_METADATA_H_

#include "hakmem/base/base.h"
#include "hakmem/base/view_part.h"
#include "hakmem/os/lock.h"

HAK_BEGIN_DECLS

/** `size_bytes` of zeroed memory on a multiple of `alignment`, a power of two up to 16 KiB, or NULL. At most 64 KiB, and 48 KiB
 *  where the alignment is above 4096. Untouched pages of it cost nothing. */
void* hak_metadata_alloc(size_t size_bytes, size_t alignment);

/** What an address is to this box. */
typedef enum hak_metadata_place { HAK_METADATA_NONE, HAK_METADATA_DESCRIPTORS, HAK_METADATA_GUARD } hak_metadata_place;

/** For who looks at a process that has crashed: no lock is taken. */
hak_metadata_place hak_metadata_find(const void* address);

/** Bytes handed out so far. */
uint64_t hak_metadata_used_bytes(void);

/** Bytes of descriptors that are in memory. */
uint64_t hak_metadata_resident_bytes(void);

hak_lock* hak_metadata_lock(void);

/** For hakmem/view. */
extern const hak_view_part hak_metadata_view;

HAK_END_DECLS

#endif /* HAKMEM_METADATA_METADATA_H_ */
