#include "hakmem/remote_free/remote_free.h"

#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"
#include "hakmem/config/config.h"

/* Slabs of one mailbox that are looked at to find complete ones. */
enum { WALK_MAX = 64 };

hak_atomic_ptr hak_remote_free_complete_head HAK_START_DATA;

static void push_to_mailbox(hak_mailbox* mailbox, hak_slab* slab) {
  void* head = hak_ptr_load_relaxed(&mailbox->head);
  do {
    slab->pending_next = (hak_slab*)head;
    /* Release: pending_next and the bits. Pairs with the exchange in hak_remote_free_drain. */
  } while (!hak_ptr_cas_seq(&mailbox->head, &head, slab));
}

/* Sees to it that the owner of `slab` will look at it. Returns true when that owner is parked. */
static bool notify_owner(hak_slab* slab) {
  for (;;) {
    if (hak_u32_exchange_seq(&slab->pending, 1) != 0) return false; /* on its way already */
    hak_mailbox* mailbox = (hak_mailbox*)hak_ptr_load_seq(&slab->mailbox);
    if (mailbox != NULL) {
      push_to_mailbox(mailbox, slab);
      return hak_u32_load_relaxed(&mailbox->heap->state) == HAK_HEAP_PARKED;
    }
    /* Nobody's: all of its blocks, ours too, were collected, and the slab was released. Unless it got an owner
     * between our two looks, whose freeing threads may have met our mark and relied on it. */
    hak_u32_exchange_seq(&slab->pending, 0);
    if (hak_ptr_load_seq(&slab->mailbox) == NULL) return false;
  }
}

/* A bitmap word that has `blocks` blocks, or its share of them. */
static uint64_t full_word(uint32_t blocks) { return blocks >= 64 ? ~0ull : hak_bits_low_mask(blocks); }

/* Every block is in remote_bits. Any slab may be asked, also one that changes hands: its class is read from `shape`. */
static bool is_complete(const hak_slab* slab) {
  const uint32_t size_class = hak_u32_load_relaxed(&slab->shape) & 0xff;
  if (size_class >= HAK_SIZE_CLASS_COUNT) return false; /* a span by now */
  const uint32_t blocks = hak_size_class_table[size_class].blocks;
  /* Downwards: blocks are often freed in the order of their addresses, and then the first look tells. */
  for (uint32_t word = (blocks + 63) / 64; word-- > 0;) {
    if (hak_u64_load_seq(&slab->remote_bits[word]) != full_word(blocks - word * 64)) return false;
  }
  return true;
}

/* Of several who fill a word each, the last to set bits sees them all. */
static HAK_NOINLINE void post_if_complete(hak_slab* slab, uint32_t word) {
  /* Most often not, and where blocks are freed downwards the word below tells. */
  if (word != 0 && hak_u64_load_seq(&slab->remote_bits[word - 1]) != ~0ull) return;
  if (!is_complete(slab)) return;
  /* Pairs with the exchange in hak_remote_free_take_complete: who takes it from there looks at the bits afterwards. */
  if (hak_u32_exchange_seq(&slab->complete, 1) != 0) return;
  void* head = hak_ptr_load_relaxed(&hak_remote_free_complete_head);
  do {
    slab->complete_next = (hak_slab*)head;
    /* Release: complete_next. Pairs with the exchange in hak_remote_free_take_complete. */
  } while (!hak_ptr_cas_seq(&hak_remote_free_complete_head, &head, slab));
}

/* Sets the bits and sees to it that the owner learns of them. *twice: those that were set already. What comes with them
 * is not lost: the word was not empty, so whoever set its first bit has yet to reach the owner, or has. */
static inline hak_remote_free_result publish(hak_slab* slab, uint32_t word, uint64_t mask, uint64_t* twice) {
  const uint64_t full = full_word(slab->blocks - word * 64u); /* before our blocks are free: it may be another's then */
  /* Pairs with the exchange in collect_bits. */
  const uint64_t before = hak_u64_fetch_or_seq(&slab->remote_bits[word], mask);
  *twice = before & mask;
  const bool is_posted = hak_u32_load_seq(&slab->pending) != 0;
  const bool to_parked = !is_posted && notify_owner(slab);
  /* After it was posted, so that who takes it finds it in the mailbox. */
  if (HAK_UNLIKELY((before | mask) == full)) post_if_complete(slab, word);
  return to_parked ? HAK_REMOTE_FREE_TO_PARKED : HAK_REMOTE_FREE_DONE;
}

hak_remote_free_result hak_remote_free_publish(hak_slab* slab, uint32_t word, uint64_t mask) {
  uint64_t twice;
  const hak_remote_free_result result = publish(slab, word, mask, &twice);
  return HAK_UNLIKELY(twice != 0) ? HAK_REMOTE_FREE_DOUBLE : result;
}

/* A slab does not leave its owner before its last block is free: without an owner, or with another class, it went while
 * the blocks of the entry waited here, and they were freed twice. Their bits would be other blocks' now. */
static bool is_stale(const hak_outbox_entry* entry) {
  return hak_ptr_load_relaxed(&entry->slab->mailbox) == NULL || entry->slab->size_class != entry->key >> 16;
}

static void report_stale(const hak_slab* slab, uint32_t key, uint64_t mask) {
  const uint32_t block_bytes = hak_size_class_table[key >> 16].block_bytes;
  for (; mask != 0; mask &= mask - 1) {
    const size_t index = (key & 0xffff) * 64 + hak_bits_lowest(mask);
    hak_report_misuse(HAK_MISUSE_DOUBLE_FREE, slab->base + index * block_bytes, block_bytes);
  }
}

static hak_remote_free_result publish_entry(hak_heap* heap, hak_outbox_entry* entry) {
  hak_u64_bump_single_writer(&heap->counters.remote_published, 1);
  hak_slab* slab = entry->slab;
  const bool stale = is_stale(entry);
  entry->slab = NULL;
  if (HAK_UNLIKELY(stale)) {
    report_stale(slab, entry->key, entry->mask);
    return HAK_REMOTE_FREE_DONE;
  }
  const uint32_t word = entry->key & 0xffff;
  uint64_t twice;
  const hak_remote_free_result result = publish(slab, word, entry->mask, &twice);
  if (HAK_UNLIKELY(twice != 0)) hak_slab_report_twice(slab, word, twice);
  return result;
}

/* An entry is published when it holds so many bytes, full word or not: idle threads sit on little. */
static uint32_t entry_room(const hak_slab* slab) {
  const uint32_t room = (uint32_t)hak_config_get(HAK_OPTION_OUTBOX_BYTES) / slab->block_bytes;
  return room > 64 ? 64 : room == 0 ? 1 : room;
}

hak_remote_free_result hak_remote_free_push(hak_heap* heap, hak_slab* slab, uint32_t index) {
  const uint32_t key = hak_remote_free_key(slab, index);
  const uint64_t bit = 1ull << (index & 63);
  hak_outbox_entry* entry = hak_remote_free_entry(heap, slab, index >> 6);
  hak_remote_free_result result = HAK_REMOTE_FREE_DONE;
  if (entry->slab != slab || entry->key != key) {
    if (entry->slab != NULL) result = publish_entry(heap, entry);
    entry->slab = slab;
    entry->key = key;
    entry->mask = bit;
    entry->room = entry_room(slab) - 1;
  } else {
    if (HAK_UNLIKELY((entry->mask & bit) != 0)) return HAK_REMOTE_FREE_DOUBLE;
    entry->mask |= bit;
    entry->room--;
  }
  if (entry->room == 0) {
    const hak_remote_free_result full = publish_entry(heap, entry);
    if (full != HAK_REMOTE_FREE_DONE) result = full;
  }
  return result;
}

void hak_remote_free_flush(hak_heap* heap) {
  for (uint32_t i = 0; i < HAK_OUTBOX_ENTRIES; i++) {
    if (heap->outbox[i].slab != NULL) publish_entry(heap, &heap->outbox[i]);
  }
}

/* Owner: moves the slab's remote bits to its free bits. */
static void collect_bits(hak_heap* heap, hak_slab* slab) {
  for (uint32_t i = 0; i < slab->words; i++) {
    if (hak_u64_load_seq(&slab->remote_bits[i]) == 0) continue;
    const uint64_t mask = hak_u64_exchange_seq(&slab->remote_bits[i], 0);
    const uint64_t twice = hak_slab_give_word(slab, i, mask);
    hak_u64_bump_single_writer(&heap->counters.remote_merged, hak_bits_count(mask));
    if (HAK_UNLIKELY(twice != 0)) hak_slab_report_twice(slab, i, twice);
  }
}

void hak_remote_free_reject(hak_slab* slab) {
  for (uint32_t i = 0; i < slab->words; i++) {
    const uint64_t mask = hak_u64_exchange_seq(&slab->remote_bits[i], 0);
    if (mask != 0) hak_slab_report_twice(slab, i, mask);
  }
}

/* Owner: files a slab that has just gained free blocks. True: it is empty, and out of the bin's lists. */
static bool relist(hak_bin* bin, hak_slab* slab) {
  if (slab == bin->current || hak_slab_free_count(slab) == 0) return false;
  if (hak_slab_is_empty(slab)) {
    if (slab->listed) hak_slab_list_remove(&bin->partial, slab);
    return true;
  }
  if (!slab->listed) hak_slab_list_push(&bin->partial, slab);
  return false;
}

hak_slab* hak_remote_free_drain(hak_heap* heap, hak_bin* bin, uint32_t size_class) {
  hak_mailbox* mailbox = hak_heap_mailbox(heap, size_class);
  hak_u32_store_relaxed(&heap->is_draining, 1); /* seen by whoever meets a pending that is cleared below */
  hak_slab* posted = (hak_slab*)hak_ptr_exchange_seq(&mailbox->head, NULL);
  hak_slab* empty = NULL;
  while (posted != NULL) {
    hak_slab* slab = posted;
    posted = slab->pending_next; /* before pending is cleared: afterwards it is another's */
    hak_u32_exchange_seq(&slab->pending, 0);
    const hak_mailbox* present = (const hak_mailbox*)hak_ptr_load_seq(&slab->mailbox);
    if (present != mailbox) {
      /* Changed owner, or nobody's, since it was posted here. */
      if (present != NULL) notify_owner(slab);
      continue;
    }
    collect_bits(heap, slab);
    HAK_AUDIT(hak_slab_is_valid(slab));
    if (relist(bin, slab)) {
      slab->next = empty;
      empty = slab;
    }
  }
  hak_u32_store_release(&heap->is_draining, 0); /* pairs with the load in take_from */
  return empty;
}

/* --- slabs that others have freed whole --- */

/* Gives a mailbox back the stack that was taken out of it. What was pushed meanwhile comes before it. */
static void put_back(hak_mailbox* mailbox, hak_slab* first) {
  while (first != NULL) {
    void* head = NULL;
    /* Release: the links. Pairs with the exchange in hak_remote_free_drain. */
    if (hak_ptr_cas_seq(&mailbox->head, &head, first)) return;
    hak_slab* newer = (hak_slab*)hak_ptr_exchange_seq(&mailbox->head, NULL);
    if (newer == NULL) continue; /* drained between our two looks */
    hak_slab* last = newer;
    while (last->pending_next != NULL) last = last->pending_next;
    last->pending_next = first;
    first = newer;
  }
}

/* Nobody else has a pointer to the slab, or can come by one. The mailbox goes first: a publisher of its last blocks who
 * has yet to look at pending must find either the mark, or no owner. */
static void take_slab(hak_slab* slab) {
  hak_ptr_store_seq(&slab->mailbox, NULL);
  hak_u32_exchange_seq(&slab->pending, 0);
  for (uint32_t i = 0; i < slab->words; i++) {
    slab->free_bits[i] = hak_u64_exchange_seq(&slab->remote_bits[i], 0);
  }
  slab->first_word = 0;
  hak_u32_store_relaxed(&slab->free_count, slab->blocks);
}

/* Of a popped slab: complete, and its owner has none of its blocks: else some were freed twice, here and there, and the slab is
 * in its owner's lists. It stays posted, and the owner reports them. A bit comes first: as long as none is there, the owner may
 * free the last blocks himself and release the slab, which may be of another class by the next look. Who sees one knows that
 * the slab is what it was when that block was freed, and stays so. */
static bool is_free_for_all(const hak_slab* slab) {
  return hak_u64_load_seq(&slab->remote_bits[0]) != 0 && is_complete(slab) && hak_slab_free_count(slab) == 0;
}

/* Takes the complete slabs of `mailbox`, in front of the list `taken`. A slab that is popped here stays pending, so that its
 * owner cannot come by it again; but he may be amid collecting it, where a late publisher posted it once more. */
static hak_slab* take_from(hak_mailbox* mailbox, hak_slab* taken) {
  hak_slab* first = (hak_slab*)hak_ptr_exchange_seq(&mailbox->head, NULL);
  hak_slab** link = &first;
  /* Pairs with the store at the end of hak_remote_free_drain. */
  const uint32_t walk = hak_u32_load_acquire(&mailbox->heap->is_draining) ? 0 : WALK_MAX;
  for (uint32_t i = 0; *link != NULL && i < walk; i++) {
    hak_slab* slab = *link;
    if (hak_ptr_load_seq(&slab->mailbox) != mailbox || !is_free_for_all(slab)) {
      link = &slab->pending_next;
      continue;
    }
    *link = slab->pending_next;
    take_slab(slab);
    slab->next = taken;
    taken = slab;
  }
  put_back(mailbox, first);
  return taken;
}

hak_slab* hak_remote_free_take_complete(void) {
  hak_slab* posted = (hak_slab*)hak_ptr_exchange_seq(&hak_remote_free_complete_head, NULL);
  hak_slab* taken = NULL;
  while (posted != NULL) {
    hak_slab* slab = posted;
    posted = slab->complete_next; /* before complete is cleared: afterwards it is another's */
    hak_u32_exchange_seq(&slab->complete, 0);
    hak_mailbox* mailbox = (hak_mailbox*)hak_ptr_load_seq(&slab->mailbox);
    if (mailbox != NULL) taken = take_from(mailbox, taken); /* else its owner was faster, or an earlier walk */
  }
  return taken;
}
