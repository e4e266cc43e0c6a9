#include "hakmem/mid_ace/mid_ace.h"

enum {
  /* A bin starts with at most this many bytes, and with two blocks at least where the budget allows. */
  START_BYTES = 8 * 1024,
  START_CAP_MAX = 32,
  /* Misses and spills, both, that make a swing. */
  SWING = 2,
  /* A cache of up to so much, or this share of the thread's budget where that is more, is worth having whatever the program
   * does: refills and spills move more at a time. */
  SMALL_BYTES = 64 * 1024,
  SMALL_SHARE = 64,
  /* A class of whole units caches at most so much: its slow path is short, and its blocks may be dirty to the end. */
  UNITS_MAX_BYTES = 512 * 1024
};

static uint32_t at_most(uint32_t a, uint32_t b) { return a < b ? a : b; }

static uint64_t cap_bytes(uint32_t size_class, uint32_t cap) {
  return (uint64_t)hak_size_class_table[size_class].block_bytes * cap;
}

uint64_t hak_mid_ace_limit(uint64_t limit_bytes, uint32_t nth) {
  const uint64_t parts = nth <= 1 ? 1 : nth <= 4 ? 2 : nth <= 8 ? 4 : 16;
  return limit_bytes / parts + (limit_bytes % parts != 0);
}

uint32_t hak_mid_ace_start(hak_mid_ace_budget* budget, uint32_t size_class, uint32_t slots) {
  if (budget->limit_bytes == 0) return 0;
  uint32_t cap = START_BYTES / hak_size_class_table[size_class].block_bytes;
  if (cap < 2) cap = 2;
  cap = at_most(cap, at_most(START_CAP_MAX, slots));
  if (budget->granted_bytes + cap_bytes(size_class, cap) > budget->limit_bytes) cap = 1;
  budget->granted_bytes += cap_bytes(size_class, cap);
  return cap;
}

void hak_mid_ace_refund(hak_mid_ace_budget* budget, uint32_t size_class, uint32_t cap) {
  budget->granted_bytes -= cap_bytes(size_class, cap);
}

static uint32_t grow(hak_mid_ace_budget* budget, uint32_t size_class, uint32_t cap, uint32_t slots) {
  const uint32_t wanted = at_most(cap * 2, slots);
  const uint64_t more = cap_bytes(size_class, wanted - cap);
  if (wanted == cap || budget->granted_bytes + more > budget->limit_bytes) return cap;
  if (size_class >= HAK_SIZE_CLASS_SHARED_COUNT && cap_bytes(size_class, wanted) > UNITS_MAX_BYTES) return cap;
  budget->granted_bytes += more;
  budget->grown++;
  return wanted;
}

/* Longer rows than so many misses or spills are more than two doublings of a cache would catch: each of them moves an
 * eighth of the cap at least. */
enum { LONG_ROW = 32 };

static void count_row(hak_mid_ace_bin* bin, bool is_spill) {
  if (bin->row_spills != is_spill) bin->row = 0;
  bin->row_spills = is_spill;
  if (bin->row < UINT16_MAX) bin->row++;
}

static uint64_t small_bytes(const hak_mid_ace_budget* budget) {
  const uint64_t share_bytes = budget->limit_bytes / SMALL_SHARE;
  return share_bytes > SMALL_BYTES ? share_bytes : SMALL_BYTES;
}

static uint32_t verdict(hak_mid_ace_budget* budget, hak_mid_ace_bin* bin, uint32_t size_class, uint32_t cap,
                        uint32_t slots) {
  bin->seen = bin->wanted = true;
  if (bin->row > LONG_ROW && cap_bytes(size_class, cap * 2) > small_bytes(budget)) bin->misses = bin->spills = 0;
  if (bin->misses < SWING || bin->spills < SWING) return cap;
  bin->misses = bin->spills = 0;
  return cap == 0 ? 0 : grow(budget, size_class, cap, slots);
}

uint32_t hak_mid_ace_on_miss(hak_mid_ace_budget* budget, hak_mid_ace_bin* bin, uint32_t size_class, uint32_t cap,
                             uint32_t slots) {
  count_row(bin, false);
  if (bin->misses < UINT16_MAX) bin->misses++;
  return verdict(budget, bin, size_class, cap, slots);
}

uint32_t hak_mid_ace_on_spill(hak_mid_ace_budget* budget, hak_mid_ace_bin* bin, uint32_t size_class, uint32_t cap,
                              uint32_t slots) {
  count_row(bin, true);
  if (bin->spills < UINT16_MAX) bin->spills++;
  return verdict(budget, bin, size_class, cap, slots);
}

uint32_t hak_mid_ace_on_epoch(hak_mid_ace_budget* budget, hak_mid_ace_bin* bin, uint32_t size_class, uint32_t cap) {
  const bool idle = !bin->seen;
  bin->seen = false;
  bin->misses = bin->spills = 0;
  if (!idle || cap <= 1) return cap;
  const uint32_t smaller = cap / 2;
  budget->granted_bytes -= cap_bytes(size_class, cap - smaller);
  budget->shrunk++;
  return smaller;
}

bool hak_mid_ace_on_growth(hak_mid_ace_bin* bin) {
  const bool is_idle = !bin->wanted;
  bin->wanted = false;
  return is_idle;
}
