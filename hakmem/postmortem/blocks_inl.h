/* Private to the post-mortem: what an address is, by the heap as it was left. */
#ifndef HAKMEM_POSTMORTEM_BLOCKS_INL_H_
#define HAKMEM_POSTMORTEM_BLOCKS_INL_H_

#include "hakmem/base/base.h"
#include "hakmem/heap/heap.h"
#include "hakmem/slab/slab.h"

HAK_BEGIN_DECLS

typedef enum hak_place_kind {
  HAK_PLACE_NULL,       /* below 64 KiB */
  HAK_PLACE_IMPOSSIBLE, /* no address that a program can have */
  HAK_PLACE_BLOCK,      /* in a slab */
  HAK_PLACE_TAIL,       /* behind the last block of a slab */
  HAK_PLACE_SPAN,
  HAK_PLACE_WHALE,
  HAK_PLACE_UNIT, /* in a SuperSlab, in no slab */
  HAK_PLACE_DESCRIPTORS,
  HAK_PLACE_GUARD,
  HAK_PLACE_DAMAGED, /* the registry leads to what is no slab or whale */
  HAK_PLACE_FOREIGN
} hak_place_kind;

typedef enum hak_block_state {
  HAK_BLOCK_LIVE,
  HAK_BLOCK_FREE,    /* in its slab; of a whale: it is cached */
  HAK_BLOCK_CACHED,  /* by `holder` */
  HAK_BLOCK_REMOTE,  /* freed by another thread, and published */
  HAK_BLOCK_WAITING, /* freed by another thread, `holder`, in its out-box */
  HAK_BLOCK_UNKNOWN  /* the bitmaps cannot be read */
} hak_block_state;

/** A heap that has something to do with a block. */
typedef struct hak_holder {
  const void* heap;               /* NULL: none */
  uint32_t state;                 /* hak_heap_state */
  uint32_t thread;                /* 0: not known, or it has ended */
  char name[HAK_HEAP_NAME_BYTES]; /* of a named heap */
} hak_holder;

typedef struct hak_place {
  hak_place_kind kind;
  const char* block; /* where the block begins; NULL: there is none */
  size_t block_bytes;
  hak_block_state state;
  hak_holder holder;
  /* Of a block in a slab. */
  hak_slab slab; /* a copy */
  hak_holder owner;
  uint32_t cached_blocks; /* of the slab's, in all caches */
  uint32_t remote_blocks; /* freed by other threads, and not merged */
  /* Of HAK_PLACE_UNIT. */
  const char* superslab;
  uint32_t unit;
  bool is_superslab_empty;
} hak_place;

/** Async-signal-safe. */
void hak_place_find(const void* address, hak_place* out);

HAK_END_DECLS

#endif /* HAKMEM_POSTMORTEM_BLOCKS_INL_H_ */
