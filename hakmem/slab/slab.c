#include "hakmem/slab/slab.h"

#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"

static void set_shape(hak_slab* slab) {
  hak_u32_store_relaxed(&slab->shape, slab->size_class | (uint32_t)slab->units << 8);
}

void hak_slab_init(hak_slab* slab, uint32_t size_class, bool zeroed) {
  const hak_size_class* row = &hak_size_class_table[size_class];
  slab->block_bytes = row->block_bytes;
  slab->reciprocal = row->reciprocal;
  slab->blocks = row->blocks;
  slab->words = (uint16_t)((row->blocks + 63) / 64);
  slab->size_class = (uint8_t)size_class;
  slab->units = row->units;
  set_shape(slab);
  slab->first_word = 0;
  const bool is_one_word = slab->words == 1;
  slab->fresh_word = zeroed && !is_one_word ? 0 : slab->words;
  slab->next = slab->prev = NULL;
  slab->listed = false;
  for (uint32_t i = 0; i < slab->words; i++) {
    slab->free_bits[i] = ~0ull;
    HAK_ASSERT(hak_u64_load_relaxed(&slab->remote_bits[i]) == 0);
  }
  if (slab->blocks % 64 != 0) slab->free_bits[slab->words - 1] = hak_bits_low_mask(slab->blocks % 64);
  slab->clean_bits = zeroed && is_one_word ? slab->free_bits[0] : 0;
  hak_u32_store_relaxed(&slab->free_count, slab->blocks);
}

void hak_slab_resize_span(hak_slab* slab, uint32_t units) {
  slab->block_bytes = units * HAK_UNIT_BYTES;
  slab->reciprocal = (uint32_t)((0x100000000ull + slab->block_bytes - 1) / slab->block_bytes);
  slab->units = (uint8_t)units;
  set_shape(slab);
}

void hak_slab_init_span(hak_slab* slab, uint32_t units) {
  slab->size_class = HAK_SLAB_SPAN;
  slab->blocks = 1;
  slab->words = 1;
  hak_slab_resize_span(slab, units);
  slab->first_word = 0;
  slab->fresh_word = 1;
  slab->clean_bits = 0;
  slab->bin = NULL;
  slab->next = slab->prev = NULL;
  slab->listed = false;
  slab->asked_bytes = 0;
  slab->reused = false;
  slab->free_bits[0] = 0;
  hak_u32_store_relaxed(&slab->free_count, 0);
}

hak_slab_figures hak_slab_read_figures(const hak_slab* slab) {
  const uint32_t shape = hak_u32_load_relaxed(&slab->shape);
  hak_slab_figures out;
  out.size_class = (uint8_t)shape;
  out.slab_bytes = (uint64_t)(shape >> 8) * HAK_UNIT_BYTES;
  const bool is_span = out.size_class == HAK_SLAB_SPAN;
  const uint64_t blocks = is_span ? 1 : hak_size_class_table[out.size_class].blocks;
  const uint64_t block_bytes = is_span ? out.slab_bytes : hak_size_class_table[out.size_class].block_bytes;
  const uint64_t free_count = hak_slab_free_count(slab);
  out.taken_blocks = free_count < blocks ? blocks - free_count : 0;
  out.taken_bytes = out.taken_blocks * block_bytes;
  return out;
}

void hak_slab_report_twice(const hak_slab* slab, uint32_t word, uint64_t mask) {
  for (; mask != 0; mask &= mask - 1) {
    const uint32_t index = word * 64 + hak_bits_lowest(mask);
    hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, hak_slab_block(slab, index), slab->block_bytes);
  }
}

hak_slab_run hak_slab_take_run(hak_slab* slab) {
  uint32_t word = slab->first_word;
  while (word < slab->words && slab->free_bits[word] == 0) word++;
  HAK_CHECK(word < slab->words, slab->base);
  hak_slab_run run;
  run.mask = slab->free_bits[word];
  run.base = slab->base + (size_t)word * 64 * slab->block_bytes;
  run.zeroed = word >= slab->fresh_word;
  if (run.zeroed) slab->fresh_word = (uint16_t)(word + 1);
  if (slab->clean_bits != 0) {
    /* Pages that are there already go out before pages that would have to be faulted in. */
    const uint64_t dirty = run.mask & ~slab->clean_bits;
    run.zeroed = dirty == 0;
    if (dirty != 0) run.mask = dirty;
    slab->clean_bits &= ~run.mask;
  }
  slab->free_bits[word] &= ~run.mask;
  slab->first_word = (uint16_t)(slab->free_bits[word] == 0 && word + 1 < slab->words ? word + 1 : word);
  hak_u32_store_relaxed(&slab->free_count, hak_slab_free_count(slab) - hak_bits_count(run.mask));
  return run;
}

bool hak_slab_is_valid(const hak_slab* slab) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < slab->words; i++) {
    if (i < slab->first_word && slab->free_bits[i] != 0) return false;
    count += hak_bits_count(slab->free_bits[i]);
  }
  const uint32_t tail = slab->blocks % 64;
  if (tail != 0 && (slab->free_bits[slab->words - 1] & ~hak_bits_low_mask(tail)) != 0) return false;
  if ((slab->clean_bits & ~slab->free_bits[0]) != 0) return false;
  return count == hak_slab_free_count(slab);
}
