#include "hakmem/surplus/surplus.h"

enum {
  /* With ages of an eighth of a second credit is halved in 22 seconds. */
  CREDIT_FADES = 256,
  /* Halved within the decay time. */
  GIVEN_FADES = 6
};

HAK_STATIC_ASSERT(HAK_SURPLUS_AGES_TO_FORGET >= 64 * CREDIT_FADES, "enough to fade 2^64 bytes");

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
  hak_u64_fetch_add_relaxed(&surplus->again_bytes, again_bytes);
}

void hak_surplus_on_refusal(hak_surplus* surplus, hak_surplus_way way) {
  hak_u32_store_relaxed(&surplus->refused, hak_u32_load_relaxed(&surplus->refused) | way);
}

bool hak_surplus_is_open(const hak_surplus* surplus, hak_surplus_way way) {
  return (hak_u32_load_relaxed(&surplus->refused) & way) == 0;
}

/* Rounded up, so that the last byte goes too. */
static uint64_t fade(uint64_t bytes, uint64_t part, uint64_t ages) {
  for (; ages != 0 && bytes != 0; ages--) bytes -= (bytes + part - 1) / part;
  return bytes;
}

void hak_surplus_age(hak_surplus* surplus, uint64_t ages) {
  hak_u32_store_relaxed(&surplus->refused, 0);
  const uint64_t given_bytes = hak_u64_load_relaxed(&surplus->given_bytes);
  if (given_bytes != 0) {
    const bool is_long_ago = ages >= HAK_SURPLUS_AGES_PER_DECAY;
    hak_u64_store_relaxed(&surplus->given_bytes, is_long_ago ? 0 : fade(given_bytes, GIVEN_FADES, ages));
  }
  const uint64_t credit_bytes = hak_u64_load_relaxed(&surplus->credit_bytes);
  if (credit_bytes == 0) return;
  hak_u64_store_relaxed(&surplus->credit_bytes,
                        fade(credit_bytes, CREDIT_FADES, at_most(ages, HAK_SURPLUS_AGES_TO_FORGET)));
}
