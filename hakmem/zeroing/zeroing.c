#include "hakmem/zeroing/zeroing.h"

#include <string.h>

#include "hakmem/base/checks.h"
#include "hakmem/config/config.h"
#include "hakmem/os/os.h"

enum {
  /* Calls from one sample to the next. Where pages go back a sample of untouched ones costs a page fault a piece; where
   * blocks are cleared it is a read of what would be written anyway. */
  CALLS_PER_SAMPLE_PURGING = 16,
  CALLS_PER_SAMPLE_CLEARING = 4,
  /* A new sample's weight in the average. */
  WEIGHT_OF_SAMPLE = 4,
  /* A page fault costs 8 to 12 times what it costs to clear a page that is there. */
  CLEAR_FROM_SHARE = HAK_ZEROING_SHARE_ONE / 8,
  PURGE_BELOW_SHARE = HAK_ZEROING_SHARE_ONE / 16
};

bool hak_zeroing_clears(const hak_zeroing* zeroing) { return hak_u32_load_relaxed(&zeroing->clears) != 0; }

bool hak_zeroing_is_sample_due(hak_zeroing* zeroing) {
  const uint32_t calls = hak_u32_load_relaxed(&zeroing->calls);
  hak_u32_store_relaxed(&zeroing->calls, calls + 1);
  return calls % (hak_zeroing_clears(zeroing) ? CALLS_PER_SAMPLE_CLEARING : CALLS_PER_SAMPLE_PURGING) == 0;
}

void hak_zeroing_on_sample(hak_zeroing* zeroing, uint32_t written, uint32_t pieces) {
  const uint32_t seen = written * HAK_ZEROING_SHARE_ONE / pieces;
  const uint32_t old = hak_u32_load_relaxed(&zeroing->share);
  const uint32_t share = old - old / WEIGHT_OF_SAMPLE + seen / WEIGHT_OF_SAMPLE;
  hak_u32_store_relaxed(&zeroing->share, share);
  if (share >= CLEAR_FROM_SHARE) {
    hak_u32_store_relaxed(&zeroing->clears, 1);
  } else if (share < PURGE_BELOW_SHARE) {
    hak_u32_store_relaxed(&zeroing->clears, 0);
  }
}

/* Eight words at a time: what was written to shows in the first few as a rule. */
static bool is_all_zero(const char* piece) {
  for (uint32_t at = 0; at < HAK_ZEROING_PIECE_BYTES; at += 64) {
    uint64_t words[8];
    memcpy(words, piece + at, sizeof words);
    const uint64_t any = words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7];
    if (any != 0) return false;
  }
  return true;
}

/* Pieces spread over the block but for its first page, which nearly every program writes to. Where they lie changes from
 * sample to sample, and each is the start of a page. */
static void sample(hak_zeroing* zeroing, const char* block, size_t size_bytes, size_t page_bytes) {
  const size_t pages = size_bytes / page_bytes; /* whole ones */
  if (pages < 2) return;
  const size_t turn = hak_u32_load_relaxed(&zeroing->calls);
  uint32_t written = 0;
  for (uint32_t i = 0; i < HAK_ZEROING_PIECES; i++) {
    const size_t page = 1 + (i * pages / HAK_ZEROING_PIECES + turn) % (pages - 1);
    if (!is_all_zero(block + page * page_bytes)) written++;
  }
  hak_zeroing_on_sample(zeroing, written, HAK_ZEROING_PIECES);
}

void hak_zeroing_make(hak_zeroing* zeroing, void* block, size_t size_bytes) {
  HAK_ASSERT(size_bytes >= HAK_ZEROING_MIN_BYTES && (uintptr_t)block % HAK_UNIT_BYTES == 0);
  char* const begin = (char*)block;
  const size_t page_bytes = hak_os_page_bytes();
  const hak_zeroing_way way = (hak_zeroing_way)hak_config_get(HAK_OPTION_ZEROING);
  if (way == HAK_ZEROING_LEARN && hak_zeroing_is_sample_due(zeroing)) sample(zeroing, begin, size_bytes, page_bytes);
  /* The first page is the one that the program will write to next, and often there already. */
  const size_t whole_bytes = hak_round_up(size_bytes, page_bytes);
  const bool purges = way == HAK_ZEROING_LEARN ? !hak_zeroing_clears(zeroing) : way == HAK_ZEROING_PURGE;
  if (purges && whole_bytes > page_bytes && hak_os_purge(begin + page_bytes, whole_bytes - page_bytes)) {
    memset(begin, 0, page_bytes);
    return;
  }
  memset(begin, 0, size_bytes);
}
