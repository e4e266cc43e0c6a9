/* Purpose: the semantics of malloc and its relatives over the boxes below: sizes, alignments, errors.
 * Owns: errno; the choice of box for a size; poisoning under AddressSanitizer.
 * Invariants:
 *   1. Of all boxes only this one sets errno, and only to say why it returns NULL.
 *   2. hak_gate_free and whatever it calls keep errno.
 *   3. A pointer it returns is where a block starts, aligned to 16 bytes at least.
 * Threads: any.
 * Ordering: none of its own.
 * Cost: hit paths see hot_box.h.
 * Fails: NULL and ENOMEM or EINVAL, after giving back every cached byte and trying again.
 * Fork: nothing to do.
 *
 * The public names are thin: hak_api.c has the hak_ names, override.c the standard ones, override_new.c C++'s. */
#ifndef HAKMEM_GATE_GATE_H_
#define HAKMEM_GATE_GATE_H_

#include "hakmem/base/base.h"

HAK_BEGIN_DECLS

/** malloc of more than HAK_SIZE_CLASS_TINY_MAX_BYTES. */
void* hak_gate_malloc_mid(size_t size_bytes);
/** malloc beyond the hit paths. */
void* hak_gate_malloc_slow(size_t size_bytes);
/** free beyond the hit path; any pointer, NULL included. */
void hak_gate_free_slow(void* ptr);

void* hak_gate_calloc(size_t count, size_t element_bytes);
void* hak_gate_realloc(void* ptr, size_t size_bytes);
void* hak_gate_reallocarray(void* ptr, size_t count, size_t element_bytes);
void* hak_gate_rezalloc(void* ptr, size_t old_bytes, size_t size_bytes);
/** `alignment` is a power of two. */
void* hak_gate_aligned(size_t alignment, size_t size_bytes);
void* hak_gate_aligned_alloc(size_t alignment, size_t size_bytes);
void* hak_gate_memalign(size_t alignment, size_t size_bytes);
int hak_gate_posix_memalign(void** out, size_t alignment, size_t size_bytes);
void* hak_gate_valloc(size_t size_bytes);
void* hak_gate_pvalloc(size_t size_bytes);
void hak_gate_free_sized(void* ptr, size_t size_bytes);
/** Usable size of the live block `ptr`; 0 for NULL; a foreign pointer is reported and 0 returned. */
size_t hak_gate_usable_size(const void* ptr);
size_t hak_gate_good_size(size_t size_bytes);
void* hak_gate_expand(void* ptr, size_t size_bytes);
bool hak_gate_is_in_heap(const void* ptr);
size_t hak_gate_trim(void);
/** Empties the calling thread's caches. Returns the bytes that went back to the kernel by it. */
size_t hak_gate_trim_thread(void);

HAK_END_DECLS

#endif /* HAKMEM_GATE_GATE_H_ */
