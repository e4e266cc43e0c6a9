/* Private to the gate: malloc and free as far as they are inlined into each public name. */
#ifndef HAKMEM_GATE_GATE_INL_H_
#define HAKMEM_GATE_GATE_INL_H_

#include "hakmem/base/poison.h"
#include "hakmem/config/config.h"
#include "hakmem/gate/gate.h"
#include "hakmem/hot_box/hot_box.h"
#include "hakmem/instrument/instrument.h"

/* Paranoid builds: reports a double free that the hit path would not see. False: misuse, leave the block alone. */
bool hak_gate_audit_free(const void* ptr);

/** Marks the bytes of a block that the program may touch. */
HAK_ALWAYS_INLINE void* hak_gate_grant(void* block, size_t size_bytes) {
  if (HAK_CFG_ASAN && block != NULL) {
    hak_poison(block, hak_gate_good_size(size_bytes));
    hak_unpoison(block, size_bytes);
  }
  return block;
}

/* For hak_gate_begin, where threads are instrumented. */
bool hak_gate_begin_slow(const void* caller);

/** hak_instrument_begin for a public function that calls malloc, and returns to `caller`; a thread without a heap gets one. */
HAK_ALWAYS_INLINE bool hak_gate_begin(const void* caller) {
  return HAK_UNLIKELY(hak_instrument_is_on()) && hak_gate_begin_slow(caller);
}

/** True: *block serves `size_bytes`. False: a miss, or more than HAK_SIZE_CLASS_TINY_MAX_BYTES. */
HAK_ALWAYS_INLINE bool hak_gate_try_hit(size_t size_bytes, void** block) {
  if (HAK_UNLIKELY(size_bytes > HAK_SIZE_CLASS_TINY_MAX_BYTES)) return false;
  if (HAK_UNLIKELY(!hak_hot_box_pop(hak_hot_box_tiny_bin(size_bytes), block))) return false;
  hak_gate_grant(*block, size_bytes);
  return true;
}

/** What hak_gate_try_hit does not serve. */
HAK_ALWAYS_INLINE void* hak_gate_malloc_missed(size_t size_bytes) {
  return size_bytes > HAK_SIZE_CLASS_TINY_MAX_BYTES ? hak_gate_malloc_mid(size_bytes)
                                                    : hak_gate_malloc_slow(size_bytes);
}

HAK_ALWAYS_INLINE void* hak_gate_malloc(size_t size_bytes) {
  void* block;
  return HAK_LIKELY(hak_gate_try_hit(size_bytes, &block)) ? block : hak_gate_malloc_missed(size_bytes);
}

HAK_ALWAYS_INLINE void hak_gate_free(void* ptr) {
  if (HAK_CFG_PARANOID && !hak_gate_audit_free(ptr)) return;
  if (HAK_CFG_ASAN) {
    hak_gate_free_slow(ptr);
    return;
  }
  if (HAK_LIKELY(hak_hot_box_push(ptr))) return;
  hak_gate_free_slow(ptr);
}

#endif /* HAKMEM_GATE_GATE_INL_H_ */
