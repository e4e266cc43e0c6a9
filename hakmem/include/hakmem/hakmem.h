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
#include <stdint.h>

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

/** What HAKMEM holds, and what it has done since the process started. Figures of bytes and counts are of a moment, each on
 *  its own: while other threads run they need not fit each other to the last block. Blocks count with their usable size.
 *  New fields are added at the end only, and `size_bytes` says how far a library fills them in. */
typedef struct hak_stats {
  uint64_t version;    /**< HAK_STATS_VERSION of the library. */
  uint64_t size_bytes; /**< Bytes of this structure that were filled in; the rest is left alone. */

  /* Memory in bytes: mapped = live + cached + slack + free. */
  uint64_t mapped_bytes; /**< Mapped for blocks. */
  uint64_t live_bytes;   /**< In blocks that the program has. */
  uint64_t
      cached_bytes; /**< In free blocks that threads cache, or that are on their way to the thread they came from. */
  uint64_t slack_bytes;      /**< In slabs that are in use: free blocks, and what their blocks leave over at the end. */
  uint64_t free_bytes;       /**< In no slab; large freed blocks among it. */
  uint64_t releasable_bytes; /**< The part of free_bytes that may be resident: what a trim can give back at most. */
  uint64_t metadata_bytes;   /**< Address space for descriptors, besides. */

  /* What the kernel says; 0 where it says nothing. */
  uint64_t rss_bytes;               /**< Resident in the whole process. */
  uint64_t resident_bytes;          /**< The part of it that is HAKMEM's: of mapped_bytes and of its tables. */
  uint64_t resident_block_bytes;    /**< The part of mapped_bytes that is resident. */
  uint64_t resident_metadata_bytes; /**< Descriptors and tables, likewise. */
  uint64_t other_rss_bytes;         /**< rss_bytes - resident_bytes: program, libraries, stacks, mappings of others. */
  uint64_t returned_bytes;          /**< Given back up to now, as ranges of addresses: by munmap and by madvise. */
  uint64_t unmapped_bytes;          /**< By munmap. */
  uint64_t purged_bytes;            /**< By madvise. */
  uint64_t again_bytes;  /**< Asked for again soon after it had gone back: its pages were faulted in twice. */
  uint64_t minor_faults; /**< Page faults of the whole process that read nothing from disk. */
  uint64_t major_faults; /**< Those that did. */

  /* What there is. */
  uint64_t live_blocks;   /**< Blocks that the program has. */
  uint64_t cached_blocks; /**< As cached_bytes. */
  uint64_t slabs;         /**< Slabs in use: blocks of one size. */
  uint64_t spans;         /**< Blocks of whole units of 64 KiB. */
  uint64_t whales;        /**< Blocks too large for a SuperSlab. */
  uint64_t cached_whales; /**< Such that were freed and are kept. */
  uint64_t superslabs;    /**< Mappings of 2 MiB that slabs and spans lie in. */
  uint64_t empty_superslabs;
  uint64_t active_threads; /**< Threads that have allocated and not ended. */
  uint64_t parked_heaps;   /**< Heaps of ended threads, for the next ones. */

  /* What was done, up to now. */
  uint64_t from_orphan; /**< Slabs taken over from ended threads. */
  uint64_t from_units;  /**< Slabs and spans made in unused units of a SuperSlab. */
  uint64_t from_empty;  /**< In an empty SuperSlab that was kept. */
  uint64_t from_new;    /**< In a new mapping. */
  uint64_t slabs_released;
  uint64_t whales_from_cache; /**< Blocks too large for a SuperSlab that a cached one served. */
  uint64_t whales_from_new;   /**< Such that were mapped. */
  uint64_t whales_moved;      /**< Such that realloc moved without copying. */
  uint64_t whales_resized;    /**< Such that realloc lengthened where they lie. */
  uint64_t refills;           /**< Calls of malloc that found their cache empty. */
  uint64_t refilled_blocks;   /**< Blocks that went into caches then. */
  uint64_t spills;            /**< Calls of free that found their cache full. */
  uint64_t spilled_blocks;    /**< Blocks that left caches for their slabs. */
  uint64_t written_through;   /**< Frees that went to their slab at once. */
  uint64_t malloc_hits_min;   /**< Calls of malloc that a cache served, at least: hits are not counted. */
  uint64_t free_hits_min;     /**< Calls of free that a cache took, at least. */
  uint64_t remote_words;   /**< Sets of up to 64 blocks that threads sent home to other threads. Blocks of others that a
                                   thread's own cache took are in neither before they leave it for home. */
  uint64_t remote_blocks;  /**< Blocks that came home so, with those of slabs that others had freed whole. */
  uint64_t merges;         /**< Times that they were collected. */
  uint64_t caps_raised;    /**< Verdicts of the adaptive cache engine: a cache may hold more. */
  uint64_t caps_lowered;   /**< Less. */
  uint64_t cap_reviews;    /**< Times that a thread's caches were reviewed. */
  uint64_t growth_flushes; /**< Times that idle caches were emptied because the process had to grow. */
  uint64_t surplus_flushes; /**< Times that caches were emptied because too much was free. */
  uint64_t map_calls;       /**< mmap. */
  uint64_t unmap_calls;     /**< munmap. */
  uint64_t purge_calls;     /**< madvise that gives pages back. */
  uint64_t advise_calls;    /**< madvise about huge pages. */
  uint64_t move_calls;      /**< mremap. */
  uint64_t protect_calls;   /**< mprotect. */
  uint64_t lock_waits;      /**< Takes of HAKMEM's locks that found them held. */
  uint64_t lock_sleeps;     /**< Of these, that had to sleep. */
  uint64_t misuse_reports;  /**< Double frees and the like. */

  /* Version 2. */
  uint64_t
      remote_pending_blocks; /**< Freed by other threads and on their way home: sent up to now = these + remote_blocks. */
  uint64_t double_frees;     /**< Misuse by kind: blocks freed that were free. */
  uint64_t interior_pointers; /**< Pointers into a block, and not to its start, given to free and the like. */
  uint64_t foreign_pointers;  /**< Pointers that are none of HAKMEM's, likewise. */
  uint64_t wrong_sizes;       /**< Sizes given to a sized free that do not fit the block. */
  /* Of live_bytes, what malloc was not asked for, because sizes are rounded up. Sizes asked for are not counted; they are
   * known of the blocks that a heap profile samples, and of these it is estimated as if all were filled alike. */
  uint64_t
      rounding_bytes; /**< The estimate; 0 where there are no samples. Good to one part in sqrt(rounding_samples). */
  uint64_t
      rounding_max_bytes; /**< It is not more than so much, but for aligned blocks and those that realloc left as they were. */
  uint64_t rounding_samples; /**< Live blocks that it rests on; 0: it is not known. */
} hak_stats;

#define HAK_STATS_VERSION 2

/** Fills the first `size` bytes of *out (sizeof *out as the caller was compiled). 0, or EINVAL where `size` has no room for
 *  `version` and `size_bytes`. Walks all of HAKMEM's descriptors and asks the kernel which pages are resident: about
 *  ten milliseconds a resident GiB, nearly all of it the kernel's. Allocates nothing and stops nobody. */
HAK_API int hak_stats_get(hak_stats* out, size_t size);

/** Takes a text in pieces; `text` is not terminated. May allocate. */
typedef void (*hak_write)(void* context, const char* text, size_t length);

/** The same figures, those of each size class, thread and lock, and the options, as one JSON object. */
HAK_API void hak_stats_json(hak_write write, void* context);

/** The same as OpenMetrics text, for Prometheus and its like. */
HAK_API void hak_stats_openmetrics(hak_write write, void* context);

/** Reads and writes by name; hak_ctl_names has them all. Where `old_value` is not NULL, *old_size is the room there on entry
 *  and the size of the value afterwards. A number is a uint64_t; a text is a string that ends with a NUL byte. Where
 *  `new_value` is not NULL the value is written, after the old one has been read; actions are written too, and take any number.
 *  0; ENOENT: no such name; EINVAL: no room for the old value (*old_size then says what is needed), or the new one is of the
 *  wrong size or out of range; EPERM: it cannot be written, or not be read.
 *  Figures ("stats...") are those of the moment when "epoch" was last written, or of the first look. */
HAK_API int hak_ctl(const char* name, void* old_value, size_t* old_size, const void* new_value, size_t new_size);

/** The names that hak_ctl knows, one a line: the name, r, w or rw, number or text, and what it is. <n> stands for a number. */
HAK_API void hak_ctl_names(hak_write write, void* context);

/** Begins to sample the heap: on average one block in `interval` bytes that each thread asks for is noted with its call stack;
 *  0: as the option profile_bytes has it. Threads take part from their next slow path on. Already begun: the interval is new.
 *  docs/inside.md has what the samples are good for. */
HAK_API void hak_profile_start(size_t interval);

/** Ends it. What has been sampled stays until it is freed. */
HAK_API void hak_profile_stop(void);

/** Writes the samples to a file for `hakmem prof FILE`; "%p" in `path` is the number of the process. A file that exists is left
 *  alone, and .1, .2 and so on tried. False: it cannot be written, or the path is longer than 500 bytes. */
HAK_API bool hak_profile_write(const char* path);

/** "major.minor.patch" of the library in use. */
HAK_API const char* hak_version(void);

#ifdef __cplusplus
}
#endif

#endif /* HAKMEM_HAKMEM_H_ */
