#include "hakmem/gate/gate.h"

#include <errno.h>
#include <string.h>

#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/gate/block_inl.h"
#include "hakmem/gate/gate_inl.h"
#include "hakmem/instrument/instrument.h"
#include "hakmem/lifecycle/lifecycle.h"
#include "hakmem/os/latency.h"
#include "hakmem/os/os.h"
#include "hakmem/profile/profile.h"
#include "hakmem/purge/purge.h"
#include "hakmem/remote_free/remote_free.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/unified_cache/unified_cache.h"
#include "hakmem/warm_pool/warm_pool.h"
#include "hakmem/whale_cache/whale_cache.h"
#include "hakmem/zeroing/zeroing.h"

enum { PARKED_HEAPS_PER_REMOTE_FREE = 4, PARKED_PER_TICK = 32 };

/* --- what a pointer is --- */

bool hak_gate_find_live(const void* ptr, block_info* info) {
  hak_gate_find(ptr, info);
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

static HAK_SLOW void* refill_timed(hak_heap* heap, uint32_t size_class) {
  const uint64_t start_ns = hak_latency_start();
  void* block = hak_unified_cache_refill(heap, size_class);
  hak_latency_end(HAK_LATENCY_REFILL, start_ns);
  return block;
}

HAK_ALWAYS_INLINE void* refill(hak_heap* heap, uint32_t size_class) {
  if (HAK_UNLIKELY(hak_latency_is_switched_on())) return refill_timed(heap, size_class);
  return hak_unified_cache_refill(heap, size_class);
}

static void* take_block(uint32_t size_class) {
  hak_heap* heap = hak_lifecycle_enter();
  hak_bin* bin = hak_heap_bin(heap, size_class);
  void* block;
  if (!hak_hot_box_pop(bin, &block)) block = refill(heap, size_class);
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
  if (alignment <= HAK_UNIT_BYTES) {
    hak_whale* parked = hak_whale_cache_unpark(hak_heap_current, size_bytes);
    *zeroed = false;
    if (HAK_LIKELY(parked != NULL)) return parked->base;
  }
  hak_purge_tick();
  hak_whale* whale = hak_whale_cache_acquire(size_bytes, alignment, zeroed);
  return whale == NULL ? NULL : whale->base;
}

/* A span or a whale, aligned to 64 KiB. */
static void* take_large(size_t size_bytes, bool* zeroed) {
  if (size_bytes <= HAK_GATE_SPAN_MAX_BYTES) {
    const uint32_t units = (uint32_t)((size_bytes + HAK_UNIT_BYTES - 1) / HAK_UNIT_BYTES);
    hak_slab* slab = hak_shared_pool_unpark_span(hak_heap_current, units, false);
    *zeroed = false;
    if (slab == NULL) slab = hak_shared_pool_acquire_span(units, zeroed);
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

/* Makes what room there is before an allocation is tried for the last time. */
static HAK_SLOW void make_room(void) { hak_gate_trim(); }

static void* malloc_slow(size_t size_bytes) {
  if (size_bytes > HAK_GATE_SPAN_MAX_BYTES) {
    hak_whale* parked = hak_whale_cache_unpark(hak_heap_current, size_bytes);
    if (HAK_LIKELY(parked != NULL)) return hak_gate_grant(parked->base, size_bytes);
  }
  if (HAK_UNLIKELY(size_bytes > PTRDIFF_MAX)) return hak_gate_no_memory();
  void* block = try_malloc(size_bytes);
  if (HAK_UNLIKELY(block == NULL)) {
    make_room();
    block = try_malloc(size_bytes);
    if (block == NULL) return hak_gate_no_memory();
  }
  return hak_gate_grant(block, size_bytes);
}

/* What the hit path does, for a thread that misses there because it is instrumented. */
HAK_ALWAYS_INLINE bool take_hit(size_t size_bytes, void** block) {
  uint16_t offset;
  if (HAK_LIKELY(size_bytes <= HAK_SIZE_CLASS_TINY_MAX_BYTES)) {
    offset = hak_heap_tiny_offset[(size_bytes + 15) >> 4];
  } else if (size_bytes <= HAK_SIZE_CLASS_MAX_BYTES) {
    offset = hak_heap_mid_offset[(size_bytes + HAK_HEAP_MID_STEP_BYTES - 1) / HAK_HEAP_MID_STEP_BYTES];
  } else {
    return false;
  }
  return hak_hot_box_pop((hak_bin*)(void*)((char*)hak_heap_current + offset), block);
}

bool hak_gate_begin_slow(const void* caller) {
  /* A thread that begins with this call, to note where from. */
  if (!hak_heap_is_real(hak_heap_current)) hak_lifecycle_leave(hak_lifecycle_enter());
  return hak_instrument_begin(caller);
}

/* A block of a named heap. NULL: no memory, or the class is one of whole units: blocks that have a slab each pin no other. */
static HAK_NOINLINE void* take_named(hak_heap* heap, uint32_t size_class, bool* zeroed) {
  if (size_class >= HAK_SIZE_CLASS_SHARED_COUNT) return NULL;
  hak_hold_aborts(); /* what has been freed twice comes to light when remote frees are collected */
  hak_lock_take(hak_heap_named_lock());
  hak_heap_enter(heap);
  void* block = hak_unified_cache_take(heap, size_class, zeroed);
  hak_heap_leave(heap);
  hak_lock_give(hak_heap_named_lock());
  hak_release_aborts();
  return block;
}

HAK_ALWAYS_INLINE uint32_t class_of(size_t size_bytes) {
  return size_bytes <= HAK_SIZE_CLASS_MAX_BYTES ? hak_size_class_of(size_bytes) : (uint32_t)HAK_SIZE_CLASS_COUNT;
}

/* A block of the named heap that the call's site is routed to; NULL: of none. */
static void* take_routed(uint32_t mode, const void* caller, uint32_t size_class, bool* zeroed) {
  hak_heap* heap = hak_instrument_route(mode, caller);
  return HAK_LIKELY(heap == NULL) ? NULL : take_named(heap, size_class, zeroed);
}

/* For a thread that routes and does no more. What is usual costs the miss and a look at the site. */
static HAK_NOINLINE void* malloc_by_site(const void* caller, size_t size_bytes) {
  bool zeroed;
  hak_heap* heap = hak_instrument_route(HAK_INSTRUMENT_ROUTE, caller);
  void* block = HAK_LIKELY(heap == NULL) ? NULL : take_named(heap, class_of(size_bytes), &zeroed);
  if (HAK_LIKELY(block == NULL) && !take_hit(size_bytes, &block)) return malloc_slow(size_bytes);
  return hak_gate_grant(block, size_bytes);
}

static void free_unseen(void* ptr);

/* What the program gets for `block` from an instrumented thread. */
static void* instrument(uint32_t mode, void* block, size_t size_bytes) {
  void* other = hak_instrument_on_malloc(mode, block, size_bytes);
  if (HAK_UNLIKELY(other != block) && !hak_profile_keeps_twin(block)) free_unseen(block);
  return other;
}

static HAK_NOINLINE void* malloc_looked_at(size_t size_bytes) {
  const void* caller = __builtin_return_address(0);
  if (hak_instrument_only_routes()) return malloc_by_site(caller, size_bytes);
  const bool is_outermost = hak_gate_begin_slow(caller);
  const uint32_t mode = hak_instrument_follow();
  bool zeroed;
  void* block = take_routed(mode, caller, class_of(size_bytes), &zeroed);
  if (block == NULL && !take_hit(size_bytes, &block)) block = malloc_slow(size_bytes);
  block = hak_gate_grant(instrument(mode, block, size_bytes), size_bytes);
  hak_instrument_end(is_outermost);
  return block;
}

/* A miss, which has been counted. */
static HAK_NOINLINE void* malloc_counted(size_t size_bytes) {
  (void)hak_instrument_follow();
  return malloc_slow(size_bytes);
}

void* hak_gate_malloc_slow(size_t size_bytes) {
  /* What is not off comes first: a thread that samples is here with every malloc. */
  if (HAK_UNLIKELY(hak_instrument_try_count(size_bytes))) {
    void* block;
    return HAK_LIKELY(take_hit(size_bytes, &block)) ? hak_gate_grant(block, size_bytes) : malloc_counted(size_bytes);
  }
  return HAK_UNLIKELY(hak_instrument_is_on()) ? malloc_looked_at(size_bytes) : malloc_slow(size_bytes);
}

void* hak_gate_malloc_mid(size_t size_bytes) {
  void* block;
  if (HAK_UNLIKELY(size_bytes > HAK_SIZE_CLASS_MAX_BYTES)) return hak_gate_malloc_slow(size_bytes);
  if (HAK_UNLIKELY(!hak_hot_box_pop(hak_hot_box_mid_bin(size_bytes), &block))) return hak_gate_malloc_slow(size_bytes);
  return hak_gate_grant(block, size_bytes);
}

static hak_zeroing zeroing;

/* A block that calloc is to hand out. *zeroed: it reads as zero. NULL: no memory. */
static inline void* take_for_calloc(size_t size_bytes, bool* zeroed) {
  void* block = try_calloc(size_bytes, zeroed);
  if (HAK_LIKELY(block != NULL)) return block;
  make_room();
  return try_calloc(size_bytes, zeroed);
}

static inline void* clear(void* block, size_t size_bytes, bool zeroed) {
  if (HAK_UNLIKELY(block == NULL)) return hak_gate_no_memory();
  hak_gate_grant(block, size_bytes);
  if (zeroed) return block;
  if (size_bytes < HAK_ZEROING_MIN_BYTES) return memset(block, 0, size_bytes);
  hak_zeroing_make(&zeroing, block, size_bytes);
  return block;
}

static HAK_NOINLINE void* calloc_instrumented(size_t size_bytes) {
  const void* caller = __builtin_return_address(0);
  const bool is_outermost = hak_gate_begin_slow(caller);
  const uint32_t mode = hak_instrument_follow();
  bool zeroed;
  void* usual = take_routed(mode, caller, class_of(size_bytes), &zeroed);
  if (usual == NULL) usual = take_for_calloc(size_bytes, &zeroed);
  void* block = instrument(mode, usual, size_bytes);
  hak_instrument_end(is_outermost);
  return clear(block, size_bytes, zeroed && block == usual);
}

static void* calloc_slow(size_t size_bytes) {
  if (HAK_UNLIKELY(hak_instrument_is_on())) return calloc_instrumented(size_bytes);
  bool zeroed;
  void* block = take_for_calloc(size_bytes, &zeroed);
  return clear(block, size_bytes, zeroed);
}

static HAK_NOINLINE void* calloc_missed(size_t size_bytes) {
  const bool is_outermost = hak_gate_begin(__builtin_return_address(0));
  void* block = hak_gate_malloc_slow(size_bytes);
  hak_instrument_end(is_outermost);
  return block == NULL ? NULL : memset(block, 0, size_bytes);
}

void* hak_gate_calloc(size_t count, size_t element_bytes) {
  size_t size_bytes;
  if (HAK_UNLIKELY(__builtin_mul_overflow(count, element_bytes, &size_bytes))) return hak_gate_no_memory();
  if (HAK_UNLIKELY(size_bytes > PTRDIFF_MAX)) return hak_gate_no_memory();
  if (size_bytes > HAK_SIZE_CLASS_TINY_MAX_BYTES) return calloc_slow(size_bytes);
  void* block;
  return HAK_LIKELY(hak_gate_try_hit(size_bytes, &block)) ? memset(block, 0, size_bytes) : calloc_missed(size_bytes);
}

static inline void* take_aligned(size_t alignment, size_t size_bytes) {
  void* block = try_aligned(alignment, size_bytes);
  if (HAK_LIKELY(block != NULL)) return block;
  make_room();
  return try_aligned(alignment, size_bytes);
}

static HAK_NOINLINE void* aligned_instrumented(const void* caller, size_t alignment, size_t size_bytes) {
  const bool is_outermost = hak_gate_begin_slow(caller);
  const uint32_t mode = hak_instrument_follow();
  bool zeroed;
  void* block = take_routed(mode, caller, hak_size_class_of_aligned(size_bytes, alignment), &zeroed);
  if (block == NULL) block = take_aligned(alignment, size_bytes);
  block = instrument(mode, block, size_bytes);
  hak_instrument_end(is_outermost);
  return block;
}

static HAK_NOINLINE void* aligned_slow(size_t alignment, size_t size_bytes) {
  size_t wide;
  if (__builtin_add_overflow(size_bytes, alignment, &wide) || wide > PTRDIFF_MAX) return hak_gate_no_memory();
  void* block = HAK_UNLIKELY(hak_instrument_is_on())
                    ? aligned_instrumented(__builtin_return_address(0), alignment, size_bytes)
                    : take_aligned(alignment, size_bytes);
  if (HAK_UNLIKELY(block == NULL)) return hak_gate_no_memory();
  if (HAK_CFG_ASAN) {
    block_info info;
    hak_gate_find(block, &info);
    if (info.is_start) hak_poison(block, info.usable_bytes); /* after a free of an interior pointer it may be none */
    hak_unpoison(block, size_bytes);
  }
  return block;
}

/* The class that serves a multiple of the alignment has blocks of a multiple of it (size_class.h, 5). */
HAK_ALWAYS_INLINE bool is_by_rounding(size_t alignment, size_t size_bytes) {
  return alignment <= HAK_UNIT_BYTES && size_bytes <= HAK_SIZE_CLASS_MAX_BYTES;
}

HAK_ALWAYS_INLINE size_t rounded_to(size_t alignment, size_t size_bytes) {
  return hak_round_up(size_bytes + (size_bytes == 0), alignment);
}

void* hak_gate_aligned(size_t alignment, size_t size_bytes) {
  if (alignment <= HAK_MIN_ALIGN_BYTES) return hak_gate_malloc(size_bytes);
  if (!HAK_CFG_ASAN && HAK_LIKELY(is_by_rounding(alignment, size_bytes))) {
    return hak_gate_malloc(rounded_to(alignment, size_bytes));
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
  if (alignment > (size_t)1 << 47) return hak_gate_no_memory();
  size_t rounded = HAK_MIN_ALIGN_BYTES;
  while (rounded < alignment) rounded *= 2;
  return hak_gate_aligned(rounded, size_bytes);
}

static HAK_NOINLINE int posix_memalign_missed(void** out, size_t alignment, size_t size_bytes) {
  const int saved_errno = errno;
  const bool is_outermost = hak_gate_begin(__builtin_return_address(0));
  void* block = hak_gate_aligned(alignment, size_bytes);
  hak_instrument_end(is_outermost);
  errno = saved_errno;
  if (block == NULL) return ENOMEM;
  *out = block;
  return 0;
}

int hak_gate_posix_memalign(void** out, size_t alignment, size_t size_bytes) {
  if (!hak_is_power_of_two(alignment) || alignment % sizeof(void*) != 0) return EINVAL;
  void* block;
  if (!HAK_CFG_ASAN && HAK_LIKELY(is_by_rounding(alignment, size_bytes)) &&
      HAK_LIKELY(hak_gate_try_hit(rounded_to(alignment, size_bytes), &block))) {
    *out = block;
    return 0;
  }
  return posix_memalign_missed(out, alignment, size_bytes);
}

void* hak_gate_valloc(size_t size_bytes) { return hak_gate_aligned(hak_os_page_bytes(), size_bytes); }

void* hak_gate_pvalloc(size_t size_bytes) {
  const size_t page = hak_os_page_bytes();
  if (size_bytes > PTRDIFF_MAX - page) return hak_gate_no_memory();
  return hak_gate_aligned(page, hak_round_up(size_bytes, page));
}

/* --- free --- */

static bool is_homing(uint64_t word) {
  return hak_heap_homing_count() != 0 && hak_heap_is_homing(hak_u32_load_relaxed(&hak_heap_of_word(word)->state));
}

/* A block joins this thread's cache, as far as there is room, whosever it is: threads that exchange blocks then need no
 * atomic for most, and no branch tells its own from others'. One of another thread's goes home when it leaves the cache. What
 * an ended thread left behind goes home at once, where it empties slabs, and so does what a named heap keeps apart. */
HAK_ALWAYS_INLINE bool caches_any(hak_heap* heap, void* ptr) {
  const uint64_t word = hak_registry_word(ptr);
  if (HAK_UNLIKELY(word <= HAK_REGISTRY_LAST_TAG)) return false;
  if (HAK_UNLIKELY(hak_heap_owns_word(hak_heap_common(), word))) return false;
  const uint64_t offset = hak_heap_offset_of_word(word);
  if (HAK_UNLIKELY(is_homing(word))) return false;
  return hak_hot_box_push_to((hak_bin*)(void*)(heap->bins + offset), ptr);
}

/* True when `ptr`, in `slab`, is what the thread has cached last: it has been freed twice. */
static inline bool is_cached_last(hak_heap* heap, const hak_slab* slab, const void* ptr) {
  const hak_bin* bin = hak_heap_bin(heap, slab->size_class);
  return bin->top != bin->end && *bin->top == ptr;
}

static HAK_SLOW void spill_timed(hak_heap* heap, hak_bin* bin, void* ptr) {
  const uint64_t start_ns = hak_latency_start();
  hak_unified_cache_spill(heap, bin, ptr);
  hak_latency_end(HAK_LATENCY_SPILL, start_ns);
}

HAK_ALWAYS_INLINE void spill(hak_heap* heap, hak_bin* bin, void* ptr) {
  if (HAK_UNLIKELY(hak_latency_is_switched_on())) {
    spill_timed(heap, bin, ptr);
  } else {
    hak_unified_cache_spill(heap, bin, ptr);
  }
}

static void free_in_slab(const block_info* info, void* ptr) {
  hak_heap* heap = hak_lifecycle_enter();
  hak_remote_free_result result = HAK_REMOTE_FREE_DONE;
  if (hak_heap_owns_word(heap, info->word)) {
    spill(heap, (hak_bin*)(uintptr_t)info->word, ptr);
  } else if (heap->is_exchanging && HAK_UNLIKELY(is_cached_last(heap, info->slab, ptr))) {
    result = HAK_REMOTE_FREE_DOUBLE;
  } else if (!HAK_CFG_ASAN || !heap->is_exchanging || !caches_any(heap, ptr)) { /* else the gate has tried it */
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

/* Another thread's block joins others of its word in the out-box: no bracket, since one store does it. */
HAK_ALWAYS_INLINE bool joins_outbox(hak_heap* heap, void* ptr) {
  const hak_registry_entry entry = hak_registry_look_up(ptr);
  if (entry.word <= HAK_REGISTRY_LAST_TAG || hak_heap_owns_word(heap, entry.word)) return false;
  const hak_slab* slab = (const hak_slab*)entry.owner;
  const uint64_t place = hak_slab_place(slab, ptr);
  if (heap->is_exchanging && HAK_UNLIKELY(is_cached_last(heap, slab, ptr))) return false;
  return hak_slab_is_block_at(slab, place) && hak_remote_free_try_join(heap, slab, (uint32_t)(place >> 32));
}

static void free_span(hak_slab* slab) {
  const uint32_t parked = hak_shared_pool_try_park_span(slab, hak_heap_current);
  if (HAK_LIKELY(parked % PARKED_PER_TICK != 0)) return;
  hak_purge_tick();
  if (parked == 0) hak_shared_pool_release_span(slab);
}

static void free_whale(hak_whale* whale) {
  const uint32_t parked = hak_whale_cache_try_park(whale, hak_heap_current);
  if (HAK_UNLIKELY(parked == 0)) {
    hak_whale_cache_release(whale, hak_purge_tick());
  } else if (HAK_UNLIKELY(parked % PARKED_PER_TICK == 0)) {
    hak_purge_tick();
  }
}

static HAK_NOINLINE void free_sampled(const block_info* info, void* ptr) {
  void* twin;
  if (HAK_LIKELY(hak_profile_free_small(info->slab, info->index, &twin))) {
    if (twin != NULL) free_unseen(twin);
  } else {
    hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, ptr, info->usable_bytes);
  }
}

/* Apart, so that what takes no more than a look saves no registers. */
static HAK_NOINLINE void free_any(void* ptr) {
  block_info info;
  if (HAK_UNLIKELY(!hak_gate_find_live(ptr, &info))) return;
  if (HAK_CFG_ASAN) hak_poison(ptr, info.usable_bytes);
  switch (info.kind) {
    case BLOCK_SLAB: free_in_slab(&info, ptr); break;
    case BLOCK_SAMPLED: free_sampled(&info, ptr); break;
    case BLOCK_SPAN:
      if (HAK_UNLIKELY(info.slab->sample != 0)) hak_profile_forget_large(&info.slab->sample);
      free_span(info.slab);
      break;
    case BLOCK_WHALE:
      if (HAK_UNLIKELY(info.whale->sample != 0)) hak_profile_forget_large(&info.whale->sample);
      free_whale(info.whale);
      break;
    case BLOCK_NONE: break;
  }
}

/* What the thread's frees do by themselves, but for those that are all to come here. */
static inline bool frees_by_hit(void* ptr) {
  hak_heap* heap = hak_heap_current;
  if (heap->is_exchanging && caches_any(heap, ptr)) return true;
  const uint64_t word = hak_registry_word(ptr);
  if (hak_heap_owns_word(heap, word)) return hak_hot_box_push_to((hak_bin*)(uintptr_t)word, ptr);
  return hak_heap_frees != heap && joins_outbox(heap, ptr);
}

/* A free that is not the program's, or has been recorded. */
static void free_unseen(void* ptr) {
  if (!HAK_CFG_ASAN && frees_by_hit(ptr)) return;
  free_any(ptr);
}

static HAK_NOINLINE void free_instrumented(void* ptr) {
  const bool is_outermost = hak_gate_begin_slow(__builtin_return_address(0));
  hak_instrument_on_free(hak_instrument_follow(), ptr);
  hak_instrument_end(is_outermost);
  free_unseen(ptr);
}

void hak_gate_free_slow(void* ptr) {
  if (ptr == NULL) return;
  if (!HAK_CFG_ASAN) {
    hak_heap* heap = hak_heap_current;
    if (heap->frees_exchange && caches_any(heap, ptr)) return;
    if (joins_outbox(heap->frees_exchange ? heap : hak_heap_frees, ptr)) return;
  }
  if (HAK_UNLIKELY(hak_instrument_is_on())) {
    free_instrumented(ptr);
  } else {
    free_any(ptr);
  }
}

void hak_gate_free_sized(void* ptr, size_t size_bytes) {
  if (ptr == NULL) return;
  block_info info;
  if (!hak_gate_find_live(ptr, &info)) return;
  if (HAK_UNLIKELY(size_bytes > info.usable_bytes)) {
    hak_report_misuse(HAK_MISUSE_SIZE_MISMATCH, ptr, info.usable_bytes);
    return;
  }
  hak_gate_free(ptr);
}

bool hak_gate_audit_free(const void* ptr) {
  if (ptr == NULL) return true;
  block_info info;
  if (!hak_gate_find_live(ptr, &info)) return false;
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

/* --- questions --- */

static HAK_NOINLINE size_t usable_size_of_any(const void* ptr) {
  block_info info;
  if (ptr == NULL || !hak_gate_find_live(ptr, &info)) return 0;
  /* The whole size is the caller's from now on, so it may no longer be poisoned. */
  if (HAK_CFG_ASAN) hak_unpoison(ptr, info.usable_bytes);
  return info.usable_bytes;
}

/* Programs that count their memory, as redis does, ask at each malloc and free. */
size_t hak_gate_usable_size(const void* ptr) {
  const hak_bin* bin = HAK_CFG_ASAN ? NULL : hak_gate_small_bin(hak_heap_current, ptr);
  return HAK_LIKELY(bin != NULL) ? bin->stride : usable_size_of_any(ptr);
}

size_t hak_gate_good_size(size_t size_bytes) {
  if (size_bytes <= HAK_SIZE_CLASS_MAX_BYTES) return hak_size_class_table[hak_size_class_of(size_bytes)].block_bytes;
  if (size_bytes > PTRDIFF_MAX - HAK_UNIT_BYTES) return 0;
  return hak_round_up(size_bytes, HAK_UNIT_BYTES);
}

bool hak_gate_is_in_heap(const void* ptr) {
  const hak_registry_entry entry = hak_registry_look_up(ptr);
  if (entry.word == HAK_REGISTRY_NONE) return hak_whale_cache_holds(ptr);
  return entry.word != HAK_REGISTRY_SPAN || hak_slab_free_count((const hak_slab*)entry.owner) == 0; /* else parked */
}

size_t hak_gate_trim(void) {
  const int saved_errno = errno;
  const uint64_t purged_before = hak_shared_pool_purged_bytes();
  /* All is drained twice: a slab that changed owner while somebody published to it may wait in the mailbox of the former
   * one, from where the first round forwards it to another. */
  hak_shared_pool_drain_parked(UINT32_MAX);
  hak_lifecycle_trim_shared();
  hak_heap* heap = hak_lifecycle_enter();
  hak_unified_cache_flush(heap);
  size_t bytes = (size_t)hak_warm_pool_purge(heap);
  hak_lifecycle_leave(heap);
  hak_lifecycle_trim_shared();
  bytes += (size_t)(hak_shared_pool_purged_bytes() - purged_before); /* by releases, as it was too much */
  bytes += (size_t)hak_purge_all();
  errno = saved_errno;
  return bytes;
}

size_t hak_gate_trim_thread(void) {
  const int saved_errno = errno;
  const uint64_t purged_before = hak_shared_pool_purged_bytes();
  hak_heap* heap = hak_lifecycle_enter();
  hak_unified_cache_flush(heap);
  size_t bytes = (size_t)hak_warm_pool_purge(heap);
  hak_lifecycle_leave(heap);
  bytes += (size_t)(hak_shared_pool_purged_bytes() - purged_before);
  errno = saved_errno;
  return bytes;
}
