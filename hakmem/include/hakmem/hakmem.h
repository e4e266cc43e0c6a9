/* HAKMEM: a general-purpose memory allocator for 64-bit Linux.
 *
 * Every function here may be called from any thread at any time, but not from a signal handler. Sizes are in bytes.
 * Blocks are aligned to 16 bytes unless more is asked for, and may be freed by any thread. A function that fails for
 * want of memory returns NULL and sets errno to ENOMEM; functions that cannot fail leave errno alone.
 *
 * These functions live beside libc's malloc. With //hakmem:malloc or libhakmem.so the standard names (malloc, free,
 * realloc, operator new and the rest) are HAKMEM's too, and blocks of both sets of names are interchangeable. */
#ifndef HAKMEM_HAKMEM_H_
#define HAKMEM_HAKMEM_H_

#include <stdbool.h>
#include <stddef.h>

#define HAK_VERSION_MAJOR 0
#define HAK_VERSION_MINOR 1
#define HAK_VERSION_PATCH 0
#define HAK_VERSION_TEXT "0.1.0"

#define HAK_API __attribute__((visibility("default")))
#define HAK_API_MALLOC __attribute__((visibility("default"), malloc, warn_unused_result))

#ifdef __cplusplus
extern "C" {
#endif

/** A block of at least `size` bytes, uninitialised. A size of 0 gives a block of its own that can be freed. NULL and
 *  ENOMEM when there is no memory or `size` exceeds PTRDIFF_MAX. As malloc(3), C17 7.22.3.4. */
HAK_API_MALLOC void* hak_malloc(size_t size);

/** A block for `count` elements of `size` bytes, all zero. NULL and ENOMEM also when the product overflows. Memory
 *  of blocks above 1 KiB that is known to be zero is not cleared again. As calloc(3), C17 7.22.3.2. */
HAK_API_MALLOC void* hak_calloc(size_t count, size_t size);

/** Makes the block `ptr` `size` bytes long, where it lies or elsewhere, and returns where it is now; contents are kept
 *  up to the smaller size. On failure the old block is as it was. `ptr` NULL: as hak_malloc. `size` 0: frees the block
 *  and returns NULL, as glibc does. */
HAK_API void* hak_realloc(void* ptr, size_t size) __attribute__((warn_unused_result));

/** As hak_realloc(ptr, count * size), with NULL and ENOMEM when the product overflows. As reallocarray(3). */
HAK_API void* hak_reallocarray(void* ptr, size_t count, size_t size) __attribute__((warn_unused_result));

/** As hak_realloc, and the bytes from `old_size` on are zero afterwards. `old_size` is how many bytes of the block the
 *  caller has in use. */
HAK_API void* hak_rezalloc(void* ptr, size_t old_size, size_t size) __attribute__((warn_unused_result));

/** Ends the life of a block. NULL is ignored. Keeps errno. A pointer that is no live block is reported on stderr where
 *  it is detected, and the process aborts (HAKMEM_ON_ERROR). As free(3), POSIX.1-2024. */
HAK_API void hak_free(void* ptr);

/** As hak_free for a block that was asked for with `size`; a size larger than the block is reported. C23. */
HAK_API void hak_free_sized(void* ptr, size_t size);

/** As hak_free for a block of hak_aligned_alloc(alignment, size). C23. */
HAK_API void hak_free_aligned_sized(void* ptr, size_t alignment, size_t size);

/** A block on a multiple of `alignment`, a power of two; `size` need not be a multiple of it. NULL and EINVAL for
 *  another alignment, NULL and ENOMEM when there is no memory. As aligned_alloc(3), C17 7.22.3.1. */
HAK_API_MALLOC void* hak_aligned_alloc(size_t alignment, size_t size);

/** As hak_aligned_alloc, but with the result in *out: 0, EINVAL (the alignment is no power of two or no multiple of
 *  sizeof(void*)) or ENOMEM. On failure *out and errno are left alone. POSIX. */
HAK_API int hak_posix_memalign(void** out, size_t alignment, size_t size);

/** As hak_aligned_alloc, with an alignment that is no power of two rounded up to one, as glibc does. */
HAK_API_MALLOC void* hak_memalign(size_t alignment, size_t size);

/** Bytes that the block `ptr` really has, all of them the caller's; 0 for NULL. Stable for the life of the block. */
HAK_API size_t hak_malloc_usable_size(const void* ptr);

/** The usable size that a request of `size` bytes would get: what to ask for when any use can be made of it. 0 when no
 *  block of that size can exist. A request above 2 MiB may be served by a freed block that is up to a quarter longer. */
HAK_API size_t hak_good_size(size_t size);

/** Makes the block `ptr` at least `size` bytes long without moving it. Returns `ptr`, or NULL when that cannot be done
 *  (the block is as it was; errno is left alone). */
HAK_API void* hak_expand(void* ptr, size_t size);

/** Allocates `count` blocks of `size` bytes into out[0..]. Returns how many there was memory for; errno is ENOMEM when
 *  it is fewer. */
HAK_API size_t hak_malloc_batch(size_t size, size_t count, void** out);

/** Frees the `count` blocks in ptrs[0..]; NULLs are ignored. */
HAK_API void hak_free_batch(void** ptrs, size_t count);

/** True when `ptr`, any value, lies in a block that HAKMEM has handed out, or in a slab of such blocks. */
HAK_API bool hak_is_in_heap(const void* ptr);

/** Empties the calling thread's caches and gives all free memory that can be given back to the kernel. Returns the
 *  bytes given back. */
HAK_API size_t hak_trim(void);

/** Options that the program is built with, "name:value,name:value" as in HAKMEM_CONF. A program defines it, at file scope
 *  and with an initialiser:
 *
 *      const char* hak_conf = "decay_ms:100,on_error:warn";
 *
 *  /etc/hakmem.conf, the environment and hak_option_set win over it. With LD_PRELOAD only, the program has to export it
 *  (-Wl,--export-dynamic-symbol=hak_conf). hakmem.conf(5) lists the options. */
extern HAK_API const char* hak_conf;

/** Sets the option `name` ("decay_ms") to `value` ("100", "64k", "warn"), as HAKMEM_DECAY_MS=100 would. It takes effect as
 *  hakmem.conf(5) says. Returns 0, or an error number: ENOENT: no such option; EINVAL: no such value, or NULL; EPERM: the
 *  option is for the start of the process only; ENOMEM: no room for another text (16 KiB in all). On failure nothing
 *  has changed. Prints nothing; errno is left alone. */
HAK_API int hak_option_set(const char* name, const char* value);

/** Writes the value of the option `name` to out[0 .. size) as text that hak_option_set would take, a zero byte at its end. Returns
 *  0, or an error number, with `out` as it was: ENOENT: no such option; ERANGE: `size` is too small (256 is enough for all);
 *  EINVAL: NULL. errno is left alone. */
HAK_API int hak_option_get(const char* name, char* out, size_t size);

/** Writes a plain-text summary to stderr. */
HAK_API void hak_stats_print(void);

/** "major.minor.patch" of the library in use. */
HAK_API const char* hak_version(void);

#ifdef __cplusplus
}
#endif

#endif /* HAKMEM_HAKMEM_H_ */
