#include "hakmem/remote_free/remote_free.h"

#include "hakmem/base/bits.h"
#include "hakmem/base/checks.h"

enum {
  /* An entry is published when it holds this many bytes, full word or not: idle threads sit on little. */
  ENTRY_BYTES_MAX = 16 * 1024
};

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

/* Sets the bits and sees to it that the owner learns of them. *twice: those that were set already. What comes with them
 * is not lost: the word was not empty, so whoever set its first bit has yet to reach the owner, or has. */
static hak_remote_free_result publish(hak_slab* slab, uint32_t word, uint64_t mask, uint64_t* twice) {
  /* Pairs with the exchange in collect_bits. */
  *twice = hak_u64_fetch_or_seq(&slab->remote_bits[word], mask) & mask;
  if (hak_u32_load_seq(&slab->pending) != 0) return HAK_REMOTE_FREE_DONE;
  return notify_owner(slab) ? HAK_REMOTE_FREE_TO_PARKED : HAK_REMOTE_FREE_DONE;
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

static uint32_t entry_room(const hak_slab* slab) {
  const uint32_t room = ENTRY_BYTES_MAX / slab->block_bytes;
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
    entry->mask = 0;
    entry->room = entry_room(slab);
  }
  if (HAK_UNLIKELY((entry->mask & bit) != 0)) return HAK_REMOTE_FREE_DOUBLE;
  entry->mask |= bit;
  if (--entry->room == 0) {
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
  return empty;
}
