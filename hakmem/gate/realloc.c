#include <errno.h>
#include <string.h>

#include "hakmem/base/checks.h"
#include "hakmem/gate/block_inl.h"
#include "hakmem/gate/gate.h"
#include "hakmem/gate/gate_inl.h"
#include "hakmem/growth/growth.h"
#include "hakmem/instrument/instrument.h"
#include "hakmem/purge/purge.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/size_class/size_class.h"
#include "hakmem/whale_cache/whale_cache.h"

/* Blocks of this thread's that grow. Sync: the thread */
static _Thread_local hak_growth growth;

/* Spans that grow are shorter than others, down to one unit. */
static bool resize_span(hak_slab* slab, size_t size_bytes) {
  const bool grows = slab->asked_bytes != 0;
  if (size_bytes > HAK_GATE_SPAN_MAX_BYTES) return false;
  if (size_bytes <= (grows ? (size_t)HAK_GROWTH_LARGE_BYTES : (size_t)HAK_SIZE_CLASS_MAX_BYTES)) return false;
  const uint32_t units = (uint32_t)((size_bytes + HAK_UNIT_BYTES - 1) / HAK_UNIT_BYTES);
  if (!grows) return hak_shared_pool_resize_span(slab, units);
  if (units > slab->units ? !hak_shared_pool_grow_span(slab, units) : !hak_shared_pool_resize_span(slab, units)) {
    return false;
  }
  slab->asked_bytes = (uint32_t)size_bytes;
  hak_growth_on_use(&growth, slab->base, slab->units);
  return true;
}

/* True when the span's block grows and has grown within its units. */
static inline bool grows_within(hak_slab* slab, size_t size_bytes) {
  if (slab->asked_bytes == 0 || size_bytes <= slab->asked_bytes || size_bytes > slab->block_bytes) return false;
  const uint32_t half_bytes = slab->block_bytes / 2;
  if (size_bytes > half_bytes && slab->asked_bytes <= half_bytes) {
    hak_growth_on_use(&growth, slab->base, slab->units);
  }
  slab->asked_bytes = (uint32_t)size_bytes;
  return true;
}

/* True when `ptr` is a block that grows, and has grown where it lies. */
static inline bool grows_in_place(const void* ptr, size_t size_bytes) {
  if (hak_registry_word(ptr) != HAK_REGISTRY_SPAN) return false;
  hak_slab* slab = (hak_slab*)hak_registry_owner(ptr);
  if (slab->base != (const char*)ptr) return false;
  return grows_within(slab, size_bytes) || (size_bytes > slab->block_bytes && resize_span(slab, size_bytes));
}

/* True when a block of `usable_bytes` serves `size_bytes` without much waste: one more than half empty is worth moving. */
static bool keeps_place(size_t usable_bytes, size_t size_bytes) {
  return size_bytes <= usable_bytes && (size_bytes > usable_bytes / 2 || usable_bytes <= 64);
}

/* Resizes without changing the block's address. False: it cannot be done, nothing changed. */
static bool resize_in_place(const block_info* info, size_t size_bytes) {
  if (info->kind == BLOCK_SPAN) return grows_within(info->slab, size_bytes) || resize_span(info->slab, size_bytes);
  if (info->kind == BLOCK_WHALE) return false;
  return keeps_place(info->usable_bytes, size_bytes);
}

static void regrant(void* ptr, size_t usable_bytes, size_t size_bytes) {
  if (!HAK_CFG_ASAN) return;
  hak_poison(ptr, usable_bytes);
  hak_unpoison(ptr, size_bytes);
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

/* A block of `units` units, more than enough for `size_bytes`, and room behind it. */
static void* take_growing(uint32_t units, size_t size_bytes) {
  if (units == 0 || units > HAK_GATE_SPAN_MAX_BYTES / HAK_UNIT_BYTES) return NULL;
  hak_slab* slab = hak_shared_pool_unpark_span(hak_heap_current, units, true);
  if (slab == NULL) slab = hak_shared_pool_acquire_growing(units);
  if (slab == NULL) return NULL;
  slab->asked_bytes = (uint32_t)size_bytes;
  void* block = slab->base;
  if (HAK_UNLIKELY(hak_instrument_is_on())) {
    block = hak_instrument_on_malloc(hak_instrument_follow(), block, size_bytes);
  }
  regrant(block, slab->block_bytes, size_bytes);
  return block;
}

/* A block that grows goes where it can grow on, if it is likely to. */
static HAK_NOINLINE void* grow_by_moving(void* ptr, size_t old_bytes, size_t size_bytes) {
  void* block = take_growing(hak_growth_units(&growth, ptr, size_bytes), size_bytes);
  const bool has_room = block != NULL;
  if (has_room) {
    if (HAK_CFG_ASAN) hak_unpoison(ptr, old_bytes);
    memcpy(block, ptr, old_bytes);
    hak_gate_free(ptr);
  } else {
    block = move_block(ptr, old_bytes, size_bytes);
  }
  if (block != NULL) hak_growth_on_move(&growth, block, size_bytes, has_room);
  return block;
}

static void* resize_whale(hak_whale* whale, size_t size_bytes) {
  hak_purge_tick();
  if (HAK_CFG_ASAN) hak_unpoison(whale->base, whale->size_bytes);
  if (!hak_whale_cache_resize(whale, size_bytes)) return NULL;
  regrant(whale->base, whale->size_bytes, size_bytes);
  return whale->base;
}

/* Of a block that has been resized without malloc and free. */
static HAK_NOINLINE void instrument_resize(void* block, const void* was, const block_info* info, size_t old_bytes,
                                           size_t size_bytes) {
  const bool is_large = info->kind == BLOCK_SPAN || info->kind == BLOCK_WHALE;
  hak_instrument_on_resize(hak_instrument_follow(), block, was, old_bytes, size_bytes, is_large);
}

/* What the block was last asked to serve, as far as that is known. Where nobody wants to know: any number. */
static inline size_t served_bytes(const block_info* info) {
  if (HAK_LIKELY(!hak_instrument_is_on()) || info->kind != BLOCK_SPAN || info->slab->asked_bytes == 0) {
    return info->usable_bytes;
  }
  return info->slab->asked_bytes;
}

static void* resize_live_whale(void* ptr, const block_info* info, size_t old_bytes, size_t size_bytes) {
  void* block = resize_whale(info->whale, size_bytes);
  if (block != NULL && HAK_UNLIKELY(hak_instrument_is_on())) instrument_resize(block, ptr, info, old_bytes, size_bytes);
  return block;
}

static void* realloc_live(void* ptr, const block_info* info, size_t size_bytes) {
  const size_t old_bytes = served_bytes(info);
  if (resize_in_place(info, size_bytes)) {
    regrant(ptr, hak_gate_usable_size(ptr), size_bytes);
    if (HAK_UNLIKELY(hak_instrument_is_on())) instrument_resize(ptr, ptr, info, old_bytes, size_bytes);
    return ptr;
  }
  if (info->kind == BLOCK_WHALE && size_bytes > HAK_GATE_SPAN_MAX_BYTES) {
    void* block = resize_live_whale(ptr, info, old_bytes, size_bytes);
    if (block != NULL) return block;
  }
  const int saved_errno = errno;
  if (size_bytes > info->usable_bytes && size_bytes > HAK_GROWTH_NOTED_BYTES) {
    void* moved = grow_by_moving(ptr, info->usable_bytes, size_bytes);
    if (moved != NULL || info->kind != BLOCK_WHALE) return moved;
    /* What was cached went back for that: there may be addresses now. */
    moved = resize_live_whale(ptr, info, old_bytes, size_bytes);
    if (moved != NULL) errno = saved_errno;
    return moved;
  }
  void* block = move_block(ptr, info->usable_bytes, size_bytes);
  if (block != NULL || size_bytes > info->usable_bytes) return block;
  /* A block that shrinks can always stay where it is. */
  errno = saved_errno;
  regrant(ptr, info->usable_bytes, size_bytes);
  if (HAK_UNLIKELY(hak_instrument_is_on())) instrument_resize(ptr, ptr, info, old_bytes, size_bytes);
  return ptr;
}

static HAK_NOINLINE void* realloc_any(void* ptr, size_t size_bytes) {
  if (ptr == NULL) return hak_gate_malloc(size_bytes);
  if (size_bytes == 0) {
    hak_gate_free(ptr);
    return NULL;
  }
  if (size_bytes > PTRDIFF_MAX) return hak_gate_no_memory();
  block_info info;
  if (!hak_gate_find_live(ptr, &info)) {
    errno = EINVAL;
    return NULL;
  }
  return realloc_live(ptr, &info, size_bytes);
}

static HAK_NOINLINE void* realloc_instrumented(void* ptr, size_t size_bytes) {
  const bool is_outermost = hak_gate_begin_slow(__builtin_return_address(0));
  void* block = realloc_any(ptr, size_bytes);
  hak_instrument_end(is_outermost);
  return block;
}

/* Most often a block that grows on; the rest is found out in turn. */
static HAK_NOINLINE void* realloc_large(void* ptr, size_t size_bytes) {
  if (HAK_UNLIKELY(hak_instrument_is_on())) return realloc_instrumented(ptr, size_bytes);
  return grows_in_place(ptr, size_bytes) ? ptr : realloc_any(ptr, size_bytes);
}

void* hak_gate_realloc(void* ptr, size_t size_bytes) {
  if (HAK_CFG_ASAN && hak_instrument_is_on()) return realloc_instrumented(ptr, size_bytes);
  if (HAK_CFG_ASAN || HAK_UNLIKELY(size_bytes == 0)) return realloc_any(ptr, size_bytes);
  const hak_bin* bin = hak_gate_small_bin(hak_heap_mallocs, ptr);
  if (HAK_UNLIKELY(bin == NULL)) return realloc_large(ptr, size_bytes);
  if (size_bytes > bin->stride) {
    return size_bytes <= HAK_GROWTH_NOTED_BYTES ? move_block(ptr, bin->stride, size_bytes)
                                                : grow_by_moving(ptr, bin->stride, size_bytes);
  }
  return HAK_LIKELY(keeps_place(bin->stride, size_bytes)) ? ptr : realloc_any(ptr, size_bytes);
}

void* hak_gate_reallocarray(void* ptr, size_t count, size_t element_bytes) {
  size_t size_bytes;
  if (__builtin_mul_overflow(count, element_bytes, &size_bytes)) return hak_gate_no_memory();
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
  if (ptr == NULL || size_bytes > PTRDIFF_MAX || !hak_gate_find_live(ptr, &info)) return NULL;
  const size_t old_bytes = served_bytes(&info);
  if (size_bytes > info.usable_bytes) {
    if (info.kind != BLOCK_SPAN || !resize_span(info.slab, size_bytes)) return NULL;
  }
  regrant(ptr, hak_gate_usable_size(ptr), size_bytes);
  if (HAK_UNLIKELY(hak_instrument_is_on())) instrument_resize(ptr, ptr, &info, old_bytes, size_bytes);
  return ptr;
}
