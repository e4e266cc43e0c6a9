#include "hakmem/growth/growth.h"

static void punish(hak_growth* growth) {
  growth->is_open = false;
  growth->units = 0;
  growth->penalty = growth->penalty == 0 ? 1 : growth->penalty;
  growth->wait = growth->penalty;
  if (growth->penalty < HAK_GROWTH_PENALTY_MAX) growth->penalty *= 2;
}

/* Of any size: what has more units than a uint32_t can count has as many as it can. */
static uint32_t units_of(size_t size_bytes) {
  const size_t units = size_bytes / HAK_UNIT_BYTES + (size_bytes % HAK_UNIT_BYTES != 0);
  return units < UINT32_MAX ? (uint32_t)units : UINT32_MAX;
}

uint32_t hak_growth_units(hak_growth* growth, const void* ptr, size_t size_bytes) {
  if (ptr != growth->last) {
    growth->streak = 0;
    growth->goes_without = false;
  }
  if (growth->streak < HAK_GROWTH_STREAK) growth->streak++;
  const uint32_t least = units_of(size_bytes);
  if (size_bytes > HAK_GROWTH_LARGE_BYTES) return least;
  if (growth->streak < HAK_GROWTH_STREAK || size_bytes < HAK_GROWTH_MIN_BYTES) return 0;
  if (growth->goes_without) return 0;
  if (growth->is_open) punish(growth);
  if (growth->wait == 0) return growth->units > least ? growth->units : least;
  growth->wait--;
  growth->goes_without = true;
  return 0;
}

void hak_growth_on_move(hak_growth* growth, const void* ptr, size_t size_bytes, bool with_room) {
  growth->last = ptr;
  if (!with_room || size_bytes > HAK_GROWTH_LARGE_BYTES) return;
  growth->trial = ptr;
  growth->is_open = true;
}

void hak_growth_on_use(hak_growth* growth, const void* ptr, uint32_t units) {
  if (growth->trial != ptr) return;
  growth->is_open = false;
  growth->penalty = 0;
  growth->units = (uint8_t)units;
}
