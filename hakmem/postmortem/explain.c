#include <errno.h>

#include "hakmem/base/print.h"
#include "hakmem/heap/heap.h"
#include "hakmem/postmortem/blocks_inl.h"
#include "hakmem/postmortem/history_inl.h"
#include "hakmem/postmortem/peek_inl.h"
#include "hakmem/postmortem/postmortem.h"

static void print_holder(hak_print* out, const hak_holder* holder) {
  switch (holder->state) {
    case HAK_HEAP_ACTIVE: hak_peek_print_thread(out, holder->thread); break;
    case HAK_HEAP_PARKED: hak_print_str(out, "a thread that has ended"); break;
    case HAK_HEAP_LOST: hak_print_str(out, "a thread that vanished in a fork"); break;
    case HAK_HEAP_COMMON: hak_print_str(out, "threads that are ending"); break;
    case HAK_HEAP_NAMED:
      hak_print_str(out, "site rules, class ");
      hak_print_str(out, holder->name);
      break;
    default: hak_print_str(out, "nobody"); break;
  }
}

static void print_offset(hak_print* out, const void* address, const char* block) {
  const uint64_t offset = (uint64_t)((const char*)address - block);
  if (offset == 0) {
    hak_print_str(out, "the start of ");
    return;
  }
  hak_print_u64(out, offset);
  hak_print_str(out, " bytes inside ");
}

static void print_state(hak_print* out, const hak_place* place) {
  switch (place->state) {
    case HAK_BLOCK_LIVE: hak_print_str(out, "live"); break;
    case HAK_BLOCK_FREE:
      hak_print_str(out, place->kind == HAK_PLACE_WHALE ? "freed, and cached" : "free, in its slab");
      break;
    case HAK_BLOCK_CACHED:
      hak_print_str(out, "free, cached by ");
      print_holder(out, &place->holder);
      break;
    case HAK_BLOCK_REMOTE: hak_print_str(out, "freed by a thread that does not own it, and not yet merged"); break;
    case HAK_BLOCK_WAITING:
      hak_print_str(out, "freed by ");
      print_holder(out, &place->holder);
      hak_print_str(out, ", which does not own it, and not yet on its way home");
      break;
    case HAK_BLOCK_UNKNOWN: hak_print_str(out, "its slab's bitmaps cannot be read"); break;
  }
}

static void print_block(hak_print* out, const void* address, const hak_place* place) {
  static const char names[3][12] = {"block ", "span ", "whale "};
  print_offset(out, address, place->block);
  hak_print_str(out, "the ");
  hak_print_str(out, names[place->kind == HAK_PLACE_SPAN ? 1 : place->kind == HAK_PLACE_WHALE ? 2 : 0]);
  hak_print_ptr(out, place->block);
  hak_print_str(out, " of ");
  hak_print_u64(out, place->block_bytes);
  hak_print_str(out, " bytes, ");
  print_state(out, place);
}

static void print_place(hak_print* out, const void* address, const hak_place* place) {
  switch (place->kind) {
    case HAK_PLACE_NULL: hak_print_str(out, "near NULL: a member of what a null pointer points to"); break;
    case HAK_PLACE_IMPOSSIBLE: hak_print_str(out, "no address that a program can have"); break;
    case HAK_PLACE_BLOCK:
    case HAK_PLACE_SPAN:
    case HAK_PLACE_WHALE: print_block(out, address, place); break;
    case HAK_PLACE_TAIL:
      hak_print_str(out, "behind the last block of the slab ");
      hak_print_ptr(out, place->slab.base);
      break;
    case HAK_PLACE_UNIT:
      hak_print_str(out, "in no block: unit ");
      hak_print_u64(out, place->unit);
      hak_print_str(out, " of the SuperSlab ");
      hak_print_ptr(out, place->superslab);
      hak_print_str(out, place->is_superslab_empty ? ", which is empty" : " is free");
      break;
    case HAK_PLACE_DESCRIPTORS: hak_print_str(out, "HAKMEM's own, where its descriptors are"); break;
    case HAK_PLACE_GUARD: hak_print_str(out, "a guard page of HAKMEM's descriptors"); break;
    case HAK_PLACE_DAMAGED: hak_print_str(out, "HAKMEM's, but its slab is damaged"); break;
    case HAK_PLACE_FOREIGN: hak_print_str(out, "not HAKMEM's"); break;
  }
}

static void print_slab(const hak_place* place, int fd) {
  const hak_slab* slab = &place->slab;
  const uint32_t free_blocks = hak_slab_free_count(slab);
  const uint32_t gone = free_blocks + place->cached_blocks + place->remote_blocks;
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem:   its slab ");
  hak_print_ptr(&line, slab->base);
  hak_print_str(&line, " of ");
  print_holder(&line, &place->owner);
  hak_print_str(&line, " has ");
  hak_print_u64(&line, slab->blocks);
  hak_print_str(&line, " blocks of ");
  hak_print_u64(&line, slab->block_bytes);
  hak_print_str(&line, " bytes: ");
  hak_print_u64(&line, slab->blocks > gone ? slab->blocks - gone : 0);
  hak_print_str(&line, " live, ");
  hak_print_u64(&line, place->cached_blocks);
  hak_print_str(&line, " cached, ");
  hak_print_u64(&line, place->remote_blocks);
  hak_print_str(&line, " freed from afar, ");
  hak_print_u64(&line, free_blocks);
  hak_print_str(&line, " free\n");
  hak_print_flush(&line, fd);
}

void hak_postmortem_explain(const void* address, int fd) {
  const int saved_errno = errno;
  hak_place place;
  hak_place_find(address, &place);
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem: ");
  hak_print_ptr(&line, address);
  hak_print_str(&line, " is ");
  print_place(&line, address, &place);
  hak_print_str(&line, "\n");
  hak_print_flush(&line, fd);
  if (place.kind == HAK_PLACE_BLOCK || place.kind == HAK_PLACE_TAIL) print_slab(&place, fd);
  hak_history_of_block(address, place.block, fd);
  errno = saved_errno;
}

void hak_postmortem_last_operations(int fd) {
  const int saved_errno = errno;
  hak_history_of_thread(fd);
  errno = saved_errno;
}
