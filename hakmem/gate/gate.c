#include "hakmem/gate/gate.h"

#include <errno.h>
#include <string.h>

#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/gate/gate_inl.h"
#include "hakmem/lifecycle/lifecycle.h"
#include "hakmem/os/os.h"
#include "hakmem/purge/purge.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/unified_cache/unified_cache.h"
#include "hakmem/warm_pool/warm_pool.h"
#include "hakmem/whale_cache/whale_cache.h"
#include "hakmem/zeroing/zeroing.h"

enum {
  /* Requests up to here, above the size classes, are spans: any more and a SuperSlab would serve one block only. */
  SPAN_UNITS_MAX = HAK_SUPERSLAB_UNITS - 1,
  SPAN_MAX_BYTES = SPAN_UNITS_MAX * HAK_UNIT_BYTES,
  PARKED_HEAPS_PER_REMOTE_FREE = 4
};

/* --- what a pointer is --- */

typedef enum block_kind { BLOCK_NONE, BLOCK_SLAB, BLOCK_SPAN, BLOCK_WHALE } block_kind;

typedef struct block_info {
  block_kind kind;
  bool is_start; /* the pointer is where a block starts */
  size_t usable_bytes;
  uint64_t word;
  hak_slab* slab; /* of a slab or span */
  uint32_t index; /* of a slab */
  hak_whale* whale;
} block_info;

static inline block_info find_block(const void* ptr) {
  block_info info;
  info.word = hak_registry_word(ptr);
  if (info.word == HAK_REGISTRY_NONE) return (block_info){.kind = BLOCK_NONE};
  if (info.word == HAK_REGISTRY_WHALE) {
    info.kind = BLOCK_WHALE;
    info.whale = (hak_whale*)hak_registry_owner(ptr);
    info.is_start = info.whale->base == (const char*)ptr;
    info.usable_bytes = info.whale->size_bytes;
    return info;
  }
  info.slab = (hak_slab*)hak_registry_owner(ptr);
  info.usable_bytes = info.slab->block_bytes;
  if (info.word == HAK_REGISTRY_SPAN) {
    info.kind = BLOCK_SPAN;
    info.is_start = info.slab->base == (const char*)ptr;
    return info;
  }
  info.kind = BLOCK_SLAB;
  info.index = hak_slab_index(info.slab, ptr);
  info.is_start = hak_slab_is_block(info.slab, info.index, ptr);
  return info;
}

/* As find_block, for a pointer that should be a live block. Reports it and returns false otherwise. */
static bool find_live_block(const void* ptr, block_info* info) {
  *info = find_block(ptr);
  if (HAK_LIKELY(info->kind != BLOCK_NONE && info->is_start)) return true;
  const int saved_errno = errno;
  if (info->kind == BLOCK_NONE && !hak_whale_cache_holds(ptr)) {
    hak_report_misuse(HAK_MISUSE_FOREIGN_POINTER, ptr, 0);
  } else {
    hak_report_misuse(HAK_MISUSE_INTERIOR_POINTER, ptr, info->usable_bytes);
  }
  errno = saved_errno;
  return false;
}

/* --- allocation --- */

static void* take_block(uint32_t size_class) {
  hak_heap* heap = hak_lifecycle_enter();
  hak_bin* bin = hak_heap_bin(heap, size_class);
  void* block;
  if (!hak_hot_box_pop(bin, &block)) block = hak_unified_cache_refill(heap, size_class);
  hak_lifecycle_leave(heap);
  return block;
}

static void* take_zeroed_block(uint32_t size_class, bool* zeroed) {
  hak_heap* heap = hak_lifecycle_enter();
  void* block = hak_unified_cache_take(heap, size_class, zeroed);
  hak_lifecycle_leave(heap);
  return block;
}

static void* take_whale(size_t size_bytes, size_t alignment, bool* zeroed) {
  hak_purge_tick();
  hak_whale* whale = hak_whale_cache_acquire(size_bytes, alignment, zeroed);
  return whale == NULL ? NULL : whale->base;
}

/* A span or a whale, aligned to 64 KiB. */
static void* take_large(size_t size_bytes, bool* zeroed) {
  if (size_bytes <= SPAN_MAX_BYTES) {
    const uint32_t units = (uint32_t)((size_bytes + HAK_UNIT_BYTES - 1) / HAK_UNIT_BYTES);
    hak_slab* slab = hak_shared_pool_acquire_span(units, zeroed);
    if (slab != NULL) return slab->base;
    /* No room for a SuperSlab; a mapping of just this size may still fit. */
  }
  return take_whale(size_bytes, HAK_UNIT_BYTES, zeroed);
}

static void* try_malloc(size_t size_bytes) {
  bool zeroed;
  if (size_bytes <= HAK_SIZE_CLASS_MAX_BYTES) return take_block(hak_size_class_of(size_bytes));
  return take_large(size_bytes, &zeroed);
}

static void* try_calloc(size_t size_bytes, bool* zeroed) {
  if (size_bytes <= HAK_SIZE_CLASS_MAX_BYTES) return take_zeroed_block(hak_size_class_of(size_bytes), zeroed);
  return take_large(size_bytes, zeroed);
}

static void* try_aligned(size_t alignment, size_t size_bytes) {
  const uint32_t size_class = hak_size_class_of_aligned(size_bytes, alignment);
  if (size_class < HAK_SIZE_CLASS_COUNT) return take_block(size_class);
  bool zeroed;
  if (alignment <= HAK_UNIT_BYTES) return take_large(size_bytes, &zeroed);
  return take_whale(size_bytes, alignment, &zeroed);
}

static void* no_memory(void) {
  errno = ENOMEM;
  return NULL;
}

/* Makes what room there is before an allocation is tried for the last time. */
static HAK_SLOW void make_room(void) { hak_gate_trim(); }

void* hak_gate_malloc_slow(size_t size_bytes) {
  if (HAK_UNLIKELY(size_bytes > PTRDIFF_MAX)) return no_memory();
  void* block = try_malloc(size_bytes);
  if (HAK_UNLIKELY(block == NULL)) {
    make_room();
    block = try_malloc(size_bytes);
    if (block == NULL) return no_memory();
  }
  return hak_gate_grant(block, size_bytes);
}

void* hak_gate_malloc_mid(size_t size_bytes) {
  void* block;
  if (HAK_UNLIKELY(size_bytes > HAK_SIZE_CLASS_MAX_BYTES)) return hak_gate_malloc_slow(size_bytes);
  if (HAK_UNLIKELY(!hak_hot_box_pop(hak_hot_box_mid_bin(size_bytes), &block))) return hak_gate_malloc_slow(size_bytes);
  return hak_gate_grant(block, size_bytes);
}

static hak_zeroing zeroing;

static void* calloc_slow(size_t size_bytes) {
  bool zeroed;
  void* block = try_calloc(size_bytes, &zeroed);
  if (HAK_UNLIKELY(block == NULL)) {
    make_room();
    block = try_calloc(size_bytes, &zeroed);
    if (block == NULL) return no_memory();
  }
  hak_gate_grant(block, size_bytes);
  if (zeroed) return block;
  if (size_bytes < HAK_ZEROING_MIN_BYTES) return memset(block, 0, size_bytes);
  hak_zeroing_make(&zeroing, block, size_bytes);
  return block;
}

void* hak_gate_calloc(size_t count, size_t element_bytes) {
  size_t size_bytes;
  if (HAK_UNLIKELY(__builtin_mul_overflow(count, element_bytes, &size_bytes))) return no_memory();
  if (HAK_UNLIKELY(size_bytes > PTRDIFF_MAX)) return no_memory();
  if (size_bytes > HAK_SIZE_CLASS_TINY_MAX_BYTES) return calloc_slow(size_bytes);
  void* block = hak_gate_malloc(size_bytes);
  return block == NULL ? NULL : memset(block, 0, size_bytes);
}

static HAK_NOINLINE void* aligned_slow(size_t alignment, size_t size_bytes) {
  size_t wide;
  if (__builtin_add_overflow(size_bytes, alignment, &wide) || wide > PTRDIFF_MAX) return no_memory();
  void* block = try_aligned(alignment, size_bytes);
  if (HAK_UNLIKELY(block == NULL)) {
    make_room();
    block = try_aligned(alignment, size_bytes);
    if (block == NULL) return no_memory();
  }
  if (HAK_CFG_ASAN) {
    const block_info info = find_block(block);
    if (info.is_start) hak_poison(block, info.usable_bytes); /* after a free of an interior pointer it may be none */
    hak_unpoison(block, size_bytes);
  }
  return block;
}

/* The class that serves a multiple of the alignment has blocks of a multiple of it (size_class.h, 5). */
void* hak_gate_aligned(size_t alignment, size_t size_bytes) {
  if (alignment <= HAK_MIN_ALIGN_BYTES) return hak_gate_malloc(size_bytes);
  if (!HAK_CFG_ASAN && HAK_LIKELY(alignment <= HAK_UNIT_BYTES && size_bytes <= HAK_SIZE_CLASS_MAX_BYTES)) {
    return hak_gate_malloc(hak_round_up(size_bytes + (size_bytes == 0), alignment));
  }
  return aligned_slow(alignment, size_bytes);
}

void* hak_gate_aligned_alloc(size_t alignment, size_t size_bytes) {
  if (!hak_is_power_of_two(alignment)) {
    errno = EINVAL;
    return NULL;
  }
  return hak_gate_aligned(alignment, size_bytes);
}

void* hak_gate_memalign(size_t alignment, size_t size_bytes) {
  if (alignment > (size_t)1 << 47) return no_memory();
  size_t rounded = HAK_MIN_ALIGN_BYTES;
  while (rounded < alignment) rounded *= 2;
  return hak_gate_aligned(rounded, size_bytes);
}

int hak_gate_posix_memalign(void** out, size_t alignment, size_t size_bytes) {
  if (!hak_is_power_of_two(alignment) || alignment % sizeof(void*) != 0) return EINVAL;
  const int saved_errno = errno;
  void* block = hak_gate_aligned(alignment, size_bytes);
  errno = saved_errno;
  if (block == NULL) return ENOMEM;
  *out = block;
  return 0;
}

void* hak_gate_valloc(size_t size_bytes) { return hak_gate_aligned(hak_os_page_bytes(), size_bytes); }

void* hak_gate_pvalloc(size_t size_bytes) {
  const size_t page = hak_os_page_bytes();
  if (size_bytes > PTRDIFF_MAX - page) return no_memory();
  return hak_gate_aligned(page, hak_round_up(size_bytes, page));
}

/* --- free --- */

static bool is_of_parked(const hak_slab* slab) {
  if (hak_heap_parked_count() == 0) return false;
  const hak_mailbox* mailbox = (const hak_mailbox*)hak_ptr_load_relaxed(&slab->mailbox);
  return mailbox == NULL || hak_u32_load_relaxed(&mailbox->heap->state) == HAK_HEAP_PARKED;
}

/* Another thread's block joins this thread's cache, as far as there is room and it shares no cache line with a block that
 * the other may hold: threads that exchange blocks then need no atomic for most. It goes home when it leaves the cache. What
 * an ended thread left behind goes home at once, where it empties slabs. */
static inline bool caches_foreign(hak_heap* heap, const hak_slab* slab, void* ptr) {
  if (!hak_unified_cache_keeps_foreign(heap, slab->block_bytes)) return false;
  hak_bin* bin = hak_heap_bin(heap, slab->size_class);
  return bin->top != bin->begin && !is_of_parked(slab) && hak_hot_box_push_to(bin, ptr);
}

static void free_in_slab(const block_info* info, void* ptr) {
  hak_heap* heap = hak_lifecycle_enter();
  hak_remote_free_result result = HAK_REMOTE_FREE_DONE;
  if (hak_heap_owns_word(heap, info->word)) {
    hak_unified_cache_spill(heap, (hak_bin*)(uintptr_t)info->word, ptr);
  } else if (!HAK_CFG_ASAN || !caches_foreign(heap, info->slab, ptr)) { /* else keeps_foreign tried it */
    hak_unified_cache_note_foreign(heap);
    result = hak_remote_free_push(heap, info->slab, info->index);
  }
  hak_lifecycle_leave(heap);
  if (HAK_UNLIKELY(result == HAK_REMOTE_FREE_DOUBLE)) {
    hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, ptr, info->usable_bytes);
  } else if (HAK_UNLIKELY(result == HAK_REMOTE_FREE_TO_PARKED)) {
    hak_shared_pool_drain_parked(PARKED_HEAPS_PER_REMOTE_FREE);
  }
}

/* Another thread's block that this thread caches as its own, or that joins others of its word in the out-box: no bracket,
 * since one store does it. */
static inline bool keeps_foreign(void* ptr) {
  hak_heap* heap = hak_heap_current;
  const hak_registry_entry entry = hak_registry_look_up(ptr);
  if (entry.word <= HAK_REGISTRY_LAST_TAG || hak_heap_owns_word(heap, entry.word)) return false;
  const hak_slab* slab = (const hak_slab*)entry.owner;
  const uint32_t index = hak_slab_index(slab, ptr);
  if (!hak_slab_is_block(slab, index, ptr)) return false;
  return caches_foreign(heap, slab, ptr) || hak_remote_free_try_join(heap, slab, index);
}

/* Apart, so that what keeps_foreign serves saves no registers. */
static HAK_NOINLINE void free_any(void* ptr) {
  block_info info;
  if (HAK_UNLIKELY(!find_live_block(ptr, &info))) return;
  if (HAK_CFG_ASAN) hak_poison(ptr, info.usable_bytes);
  switch (info.kind) {
    case BLOCK_SLAB: free_in_slab(&info, ptr); break;
    case BLOCK_SPAN:
      hak_purge_tick();
      hak_shared_pool_release_span(info.slab);
      break;
    case BLOCK_WHALE: hak_whale_cache_release(info.whale, hak_purge_tick()); break;
    case BLOCK_NONE: break;
  }
}

void hak_gate_free_slow(void* ptr) {
  if (ptr == NULL || (!HAK_CFG_ASAN && keeps_foreign(ptr))) return;
  free_any(ptr);
}

void hak_gate_free_sized(void* ptr, size_t size_bytes) {
  if (ptr == NULL) return;
  block_info info;
  if (!find_live_block(ptr, &info)) return;
  if (HAK_UNLIKELY(size_bytes > info.usable_bytes)) {
    hak_report_misuse(HAK_MISUSE_SIZE_MISMATCH, ptr, info.usable_bytes);
    return;
  }
  hak_gate_free(ptr);
}

bool hak_gate_audit_free(const void* ptr) {
  if (ptr == NULL) return true;
  block_info info;
  if (!find_live_block(ptr, &info)) return false;
  if (info.kind != BLOCK_SLAB) return true;
  const uint64_t bit = 1ull << (info.index % 64);
  bool is_free = (hak_u64_load_relaxed(&info.slab->remote_bits[info.index / 64]) & bit) != 0;
  if (hak_heap_owns_word(hak_heap_current, info.word)) {
    /* Only the owner may look at the slab's own bits and its caches. */
    is_free = is_free || (info.slab->free_bits[info.index / 64] & bit) != 0;
    is_free = is_free || hak_unified_cache_holds((const hak_bin*)(uintptr_t)info.word, ptr);
  } else {
    is_free = is_free || hak_unified_cache_holds(hak_heap_bin(hak_heap_current, info.slab->size_class), ptr);
  }
  if (is_free) hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, ptr, info.usable_bytes);
  return !is_free;
}

/* --- realloc --- */

static bool resize_span(hak_slab* slab, size_t size_bytes) {
  if (size_bytes > SPAN_MAX_BYTES || size_bytes <= HAK_SIZE_CLASS_MAX_BYTES) return false;
  return hak_shared_pool_resize_span(slab, (uint32_t)((size_bytes + HAK_UNIT_BYTES - 1) / HAK_UNIT_BYTES));
}

/* True when a block of `usable_bytes` serves `size_bytes` without much waste: one more than half empty is worth moving. */
static bool keeps_place(size_t usable_bytes, size_t size_bytes) {
  return size_bytes <= usable_bytes && (size_bytes > usable_bytes / 2 || usable_bytes <= 64);
}

/* Resizes without changing the block's address. False: it cannot be done, nothing changed. */
static bool resize_in_place(const block_info* info, size_t size_bytes) {
  if (info->kind == BLOCK_SPAN) return resize_span(info->slab, size_bytes);
  if (info->kind == BLOCK_WHALE) return false;
  return keeps_place(info->usable_bytes, size_bytes);
}

static HAK_NOINLINE void* move_block(void* ptr, size_t old_bytes, size_t size_bytes) {
  void* block = hak_gate_malloc(size_bytes);
  if (block == NULL) return NULL;
  const size_t kept_bytes = old_bytes < size_bytes ? old_bytes : size_bytes;
  if (HAK_CFG_ASAN) hak_unpoison(ptr, old_bytes); /* the slack is copied too */
  memcpy(block, ptr, kept_bytes);
  hak_gate_free(ptr);
  return block;
}

static void regrant(void* ptr, size_t usable_bytes, size_t size_bytes) {
  if (!HAK_CFG_ASAN) return;
  hak_poison(ptr, usable_bytes);
  hak_unpoison(ptr, size_bytes);
}

static void* resize_whale(hak_whale* whale, size_t size_bytes) {
  hak_purge_tick();
  if (HAK_CFG_ASAN) hak_unpoison(whale->base, whale->size_bytes);
  if (!hak_whale_cache_resize(whale, size_bytes)) return NULL;
  regrant(whale->base, whale->size_bytes, size_bytes);
  return whale->base;
}

static void* realloc_live(void* ptr, const block_info* info, size_t size_bytes) {
  if (resize_in_place(info, size_bytes)) {
    regrant(ptr, hak_gate_usable_size(ptr), size_bytes);
    return ptr;
  }
  if (info->kind == BLOCK_WHALE && size_bytes > SPAN_MAX_BYTES) {
    void* block = resize_whale(info->whale, size_bytes);
    if (block != NULL) return block;
  }
  const int saved_errno = errno;
  void* block = move_block(ptr, info->usable_bytes, size_bytes);
  if (block != NULL || size_bytes > info->usable_bytes) return block;
  /* A block that shrinks can always stay where it is. */
  errno = saved_errno;
  regrant(ptr, info->usable_bytes, size_bytes);
  return ptr;
}

/* The bin of a block of this thread's, in a slab of one unit; else NULL. Told from the bin and the class's row alone. */
static inline const hak_bin* own_small_block(const void* ptr) {
  const uint64_t word = hak_registry_word(ptr);
  if (!hak_heap_owns_word(hak_heap_current, word)) return NULL;
  const hak_bin* bin = (const hak_bin*)(uintptr_t)word;
  const hak_size_class* row = &hak_size_class_table[bin->size_class];
  if (row->units != 1) return NULL;
  const uint64_t offset = (uintptr_t)ptr % HAK_UNIT_BYTES;
  const uint64_t index = (offset * row->reciprocal) >> 32;
  return index * row->block_bytes == offset && index < row->blocks ? bin : NULL;
}

static HAK_NOINLINE void* realloc_any(void* ptr, size_t size_bytes) {
  if (ptr == NULL) return hak_gate_malloc(size_bytes);
  if (size_bytes == 0) {
    hak_gate_free(ptr);
    return NULL;
  }
  if (size_bytes > PTRDIFF_MAX) return no_memory();
  block_info info;
  if (!find_live_block(ptr, &info)) {
    errno = EINVAL;
    return NULL;
  }
  return realloc_live(ptr, &info, size_bytes);
}

void* hak_gate_realloc(void* ptr, size_t size_bytes) {
  if (HAK_CFG_ASAN || HAK_UNLIKELY(size_bytes == 0)) return realloc_any(ptr, size_bytes);
  const hak_bin* bin = own_small_block(ptr);
  if (HAK_UNLIKELY(bin == NULL)) return realloc_any(ptr, size_bytes);
  if (size_bytes > bin->stride) return move_block(ptr, bin->stride, size_bytes);
  return HAK_LIKELY(keeps_place(bin->stride, size_bytes)) ? ptr : realloc_any(ptr, size_bytes);
}

void* hak_gate_reallocarray(void* ptr, size_t count, size_t element_bytes) {
  size_t size_bytes;
  if (__builtin_mul_overflow(count, element_bytes, &size_bytes)) return no_memory();
  return hak_gate_realloc(ptr, size_bytes);
}

void* hak_gate_rezalloc(void* ptr, size_t old_bytes, size_t size_bytes) {
  if (ptr == NULL) return hak_gate_calloc(1, size_bytes);
  char* block = (char*)hak_gate_realloc(ptr, size_bytes);
  if (block != NULL && size_bytes > old_bytes) memset(block + old_bytes, 0, size_bytes - old_bytes);
  return block;
}

void* hak_gate_expand(void* ptr, size_t size_bytes) {
  block_info info;
  if (ptr == NULL || size_bytes > PTRDIFF_MAX || !find_live_block(ptr, &info)) return NULL;
  if (size_bytes > info.usable_bytes) {
    if (info.kind != BLOCK_SPAN || !resize_span(info.slab, size_bytes)) return NULL;
  }
  regrant(ptr, hak_gate_usable_size(ptr), size_bytes);
  return ptr;
}

/* --- questions --- */

size_t hak_gate_usable_size(const void* ptr) {
  block_info info;
  if (ptr == NULL || !find_live_block(ptr, &info)) return 0;
  /* The whole size is the caller's from now on, so it may no longer be poisoned. */
  if (HAK_CFG_ASAN) hak_unpoison(ptr, info.usable_bytes);
  return info.usable_bytes;
}

size_t hak_gate_good_size(size_t size_bytes) {
  if (size_bytes <= HAK_SIZE_CLASS_MAX_BYTES) return hak_size_class_table[hak_size_class_of(size_bytes)].block_bytes;
  if (size_bytes > PTRDIFF_MAX - HAK_UNIT_BYTES) return 0;
  return hak_round_up(size_bytes, HAK_UNIT_BYTES);
}

bool hak_gate_is_in_heap(const void* ptr) {
  return hak_registry_word(ptr) != HAK_REGISTRY_NONE || hak_whale_cache_holds(ptr);
}

size_t hak_gate_trim(void) {
  const int saved_errno = errno;
  const uint64_t purged_before = hak_shared_pool_purged_bytes();
  /* All is drained twice: a slab that changed owner while somebody published to it may wait in the mailbox of the former
   * one, from where the first round forwards it to another. */
  hak_shared_pool_drain_parked(UINT32_MAX);
  hak_lifecycle_trim_common();
  hak_heap* heap = hak_lifecycle_enter();
  hak_unified_cache_flush(heap);
  size_t bytes = (size_t)hak_warm_pool_purge(heap);
  hak_lifecycle_leave(heap);
  hak_lifecycle_trim_common();
  bytes += (size_t)(hak_shared_pool_purged_bytes() - purged_before); /* by releases, as it was too much */
  bytes += (size_t)hak_purge_all();
  errno = saved_errno;
  return bytes;
}
