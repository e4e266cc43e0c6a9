#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/shared_pool/superslab_inl.h"

/* Sets of SuperSlab ids: a bit an id, and a summary bit a word, so that a search over all ids reads 8192 / 64 words
 * at most. Sync: atomic seq. Bits are hints to searchers; the truth is each SuperSlab's free_units. A summary bit may
 * be set over a zero word, never for long clear over a set one: who clears it looks again. What all sets say of the same
 * ids lies together, so that a small process touches one page of them. */
enum { SET_WORDS = HAK_SUPERSLAB_IDS_MAX / 64, GROUP_WORDS = 64, DRAINING_FROM_UNITS = 16 };

/* One a tier, and that of the SuperSlabs with dirty free units. A row of four is found by a shift. */
enum { SET_DIRTY = HAK_TIER_COUNT, SET_ROW = 4 };

typedef struct set_row {
  hak_atomic_u64 of[SET_ROW];
} set_row;

/* A row of summaries before 64 rows of words, again and again. */
static set_row rows[SET_WORDS + SET_WORDS / GROUP_WORDS] HAK_ALIGNED(HAK_CACHE_LINE_BYTES);

/* free_units of each SuperSlab as of its last refresh, side by side: descriptors lie 11 pages apart, all in the same cache sets. Sync:
 * atomic relaxed, a hint: of two threads that refresh at once the later may write what the other has seen changed, which costs a
 * vain try, or hides the SuperSlab from some searches until its next change. */
hak_atomic_u32 hak_tiers_free_hints[HAK_TIERS_HINTS];

static hak_atomic_u64* word_of(uint32_t set, uint32_t word) { return &rows[word + word / GROUP_WORDS + 1].of[set]; }

static hak_atomic_u64* summary_of(uint32_t set, uint32_t word) {
  return &rows[word - word % GROUP_WORDS + word / GROUP_WORDS].of[set];
}

static bool set_has(uint32_t set, uint32_t id) { return (hak_u64_load_seq(word_of(set, id / 64)) >> (id % 64)) & 1; }

static void set_add(uint32_t set, uint32_t id) {
  const uint32_t word = id / 64;
  hak_atomic_u64* summary = summary_of(set, word);
  if (!set_has(set, id)) hak_u64_fetch_or_seq(word_of(set, word), 1ull << (id % 64));
  if (((hak_u64_load_seq(summary) >> (word % 64)) & 1) == 0) hak_u64_fetch_or_seq(summary, 1ull << (word % 64));
}

/* True: it was in the set. */
static bool set_remove(uint32_t set, uint32_t id) {
  const uint32_t word = id / 64;
  hak_atomic_u64* summary = summary_of(set, word);
  const uint64_t bit = 1ull << (id % 64);
  const uint64_t old = hak_u64_fetch_and_seq(word_of(set, word), ~bit);
  if ((old & ~bit) == 0) {
    hak_u64_fetch_and_seq(summary, ~(1ull << (word % 64)));
    if (hak_u64_load_seq(word_of(set, word)) != 0) {
      hak_u64_fetch_or_seq(summary, 1ull << (word % 64));
    }
  }
  return (old & bit) != 0;
}

/* The ids of a word that are in both sets. */
static uint64_t both_words(uint32_t set, uint32_t other, uint32_t word) {
  const uint64_t bits = hak_u64_load_seq(word_of(set, word));
  return other == set ? bits : bits & hak_u64_load_relaxed(word_of(other, word));
}

/* The ids that are in both sets, which may be one, of the first word from *word on that has any, and *word which it is; or 0. */
static uint64_t next_word(uint32_t set, uint32_t other, uint32_t* word) {
  const uint32_t end = (hak_superslab_id_end() + 63) / 64;
  while (*word < end) {
    const uint64_t bits = both_words(set, other, *word);
    if (bits != 0) return bits;
    /* The next word that the summary knows of. */
    for (++*word; *word < end; *word = (*word / 64 + 1) * 64) {
      const uint64_t ahead = hak_u64_load_seq(summary_of(set, *word)) & ~hak_bits_low_mask(*word % 64);
      if (ahead == 0) continue;
      *word = *word / 64 * 64 + hak_bits_lowest(ahead);
      break;
    }
  }
  return 0;
}

/* The lowest id from `id` on that is in both sets. */
static uint32_t set_next(uint32_t set, uint32_t other, uint32_t id) {
  if (id >= HAK_SUPERSLAB_IDS_MAX) return HAK_SUPERSLAB_IDS_MAX;
  uint32_t word = id / 64;
  uint64_t bits = both_words(set, other, word) & ~hak_bits_low_mask(id % 64);
  if (bits == 0) {
    word++;
    bits = next_word(set, other, &word);
  }
  return bits == 0 ? HAK_SUPERSLAB_IDS_MAX : word * 64 + hak_bits_lowest(bits);
}

static hak_tier tier_of(uint32_t free_units) {
  if (free_units == 0) return HAK_TIER_NONE;
  return hak_bits_count(free_units) < DRAINING_FROM_UNITS ? HAK_TIER_HOT : HAK_TIER_DRAINING;
}

/* True when the index says just what it should. */
static bool is_listed_as(const hak_superslab* superslab, hak_tier tier) {
  for (uint32_t t = 0; t < HAK_TIER_COUNT; t++) {
    if (set_has(t, superslab->id) != (t == (uint32_t)tier)) return false;
  }
  return true;
}

void hak_tiers_refresh(hak_superslab* superslab) {
  for (;;) {
    const uint32_t free_units = hak_u32_load_seq(&superslab->free_units);
    const hak_tier tier = tier_of(free_units);
    if (HAK_LIKELY(superslab->id < HAK_TIERS_HINTS)) {
      hak_u32_store_relaxed(&hak_tiers_free_hints[superslab->id], free_units);
    }
    /* Whoever changes the index last looks at the mask once more, here, so the index ends up right however threads
     * interleave: who changes the mask after that look refreshes too, and finds the index at rest. */
    if (is_listed_as(superslab, tier)) return;
    for (uint32_t t = 0; t < HAK_TIER_COUNT; t++) {
      if (t == (uint32_t)tier) {
        set_add(t, superslab->id);
      } else if (set_has(t, superslab->id)) {
        set_remove(t, superslab->id);
      }
    }
  }
}

uint32_t hak_tiers_next(hak_tier tier, bool dirty, uint32_t id) {
  return set_next(tier, dirty ? (uint32_t)SET_DIRTY : (uint32_t)tier, id);
}

uint64_t hak_tiers_next_word(hak_tier tier, bool dirty, uint32_t* word) {
  return next_word(tier, dirty ? (uint32_t)SET_DIRTY : (uint32_t)tier, word);
}

void hak_tiers_mark_dirty(uint32_t id) { set_add(SET_DIRTY, id); }

static bool has_dirty(const hak_superslab* superslab) {
  const uint32_t free_units = hak_u32_load_seq(&superslab->free_units);
  return (free_units & hak_u32_load_relaxed(&superslab->dirty_units)) != 0;
}

void hak_tiers_check_dirty(uint32_t id) {
  const hak_superslab* superslab = hak_superslab_by_id(id);
  if (superslab == NULL || has_dirty(superslab)) return;
  set_remove(SET_DIRTY, id);
  /* Who frees a dirty unit after this look marks it afterwards, and finds no mark. */
  if (has_dirty(superslab)) set_add(SET_DIRTY, id);
}

uint32_t hak_tiers_take_dirty(uint32_t id) {
  for (;;) {
    id = set_next(SET_DIRTY, SET_DIRTY, id);
    if (id == HAK_SUPERSLAB_IDS_MAX || set_remove(SET_DIRTY, id)) return id;
    id++;
  }
}
