#include "hakmem/surplus/surplus.h"

enum {
  /* With ages of an eighth of a second credit is halved in six seconds. */
  CREDIT_FADES = 64,
  GIVEN_FADES = 2
};

static uint64_t at_most(uint64_t a, uint64_t b) { return a < b ? a : b; }

uint64_t hak_surplus_limit(const hak_surplus* surplus, uint64_t base_bytes, uint64_t used_bytes) {
  return base_bytes + used_bytes / HAK_SURPLUS_USED_SHARE + hak_u64_load_relaxed(&surplus->credit_bytes);
}

void hak_surplus_on_give(hak_surplus* surplus, uint64_t size_bytes) {
  hak_u64_fetch_add_relaxed(&surplus->given_bytes, size_bytes);
}

void hak_surplus_on_take(hak_surplus* surplus, uint64_t size_bytes) {
  const uint64_t given_bytes = hak_u64_load_relaxed(&surplus->given_bytes);
  if (HAK_LIKELY(given_bytes == 0)) return;
  const uint64_t again_bytes = at_most(size_bytes, given_bytes);
  hak_u64_store_relaxed(&surplus->given_bytes, given_bytes - again_bytes);
  hak_u64_fetch_add_relaxed(&surplus->credit_bytes, again_bytes);
}

/* Rounded up, so that the last byte goes too. */
static void fade(hak_atomic_u64* surplus_bytes, uint64_t part) {
  const uint64_t old = hak_u64_load_relaxed(surplus_bytes);
  if (old != 0) hak_u64_store_relaxed(surplus_bytes, old - (old + part - 1) / part);
}

void hak_surplus_age(hak_surplus* surplus) {
  fade(&surplus->given_bytes, GIVEN_FADES);
  fade(&surplus->credit_bytes, CREDIT_FADES);
}
