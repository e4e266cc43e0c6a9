#include "hakmem/base/print.h"
#include "hakmem/instrument/instrument.h"
#include "hakmem/os/latency.h"
#include "hakmem/postmortem/history_inl.h"
#include "hakmem/postmortem/peek_inl.h"
#include "hakmem/recorder/recorder.h"

enum { BLOCK_LINES = 6, THREAD_LINES = 8 };

/* One operation, copied. */
typedef struct event {
  hak_recorder_row row;
  uint64_t ago; /* operations of its thread: 1 is the last */
  uint32_t thread;
} event;

static hak_instrument_op op_of(const hak_recorder_row* row) {
  return (hak_instrument_op)(row->op_and_size >> HAK_RECORDER_OP_SHIFT);
}

static uint64_t size_of(const hak_recorder_row* row) {
  return row->op_and_size & ((1ull << HAK_RECORDER_OP_SHIFT) - 1);
}

/* The operation of a ring that is `ago` back, from 1 on. False: it is not there any more. */
static bool read_event(const hak_recorder_ring* ring, uint64_t ago, event* out) {
  const uint64_t count = hak_u64_load_acquire(&ring->count);
  if (ago > count || ago > ring->capacity) return false;
  out->row = ring->rows[(count - ago) % ring->capacity];
  out->ago = ago;
  out->thread = ring->thread;
  return true;
}

static void print_event(const event* at, uint64_t now_ns, bool with_block, int fd) {
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem:   ");
  switch (op_of(&at->row)) {
    case HAK_INSTRUMENT_MALLOC: hak_print_str(&line, at->row.ptr == NULL ? "refused" : "allocated"); break;
    case HAK_INSTRUMENT_FREE: hak_print_str(&line, "freed"); break;
    case HAK_INSTRUMENT_RESIZE: hak_print_str(&line, "resized"); break;
  }
  if (with_block && at->row.ptr != NULL) {
    hak_print_str(&line, " ");
    hak_print_ptr(&line, at->row.ptr);
  }
  if (op_of(&at->row) != HAK_INSTRUMENT_FREE) {
    hak_print_str(&line, " for ");
    hak_print_u64(&line, size_of(&at->row));
    hak_print_str(&line, " bytes");
  }
  if (at->ago == 1) {
    hak_print_str(&line, " by the last operation");
  } else {
    hak_print_str(&line, " ");
    hak_print_u64(&line, at->ago);
    hak_print_str(&line, " operations ago");
  }
  if (!with_block) {
    hak_print_str(&line, at->ago == 1 ? " of " : " by ");
    hak_peek_print_thread(&line, at->thread);
  }
  const uint64_t us = now_ns > at->row.time_ns ? (now_ns - at->row.time_ns) / 1000 : 0;
  hak_print_str(&line, ", ");
  hak_print_u64(&line, us < 10000 ? us : us / 1000);
  hak_print_str(&line, us < 10000 ? " us ago" : " ms ago");
  if (at->row.caller != NULL) {
    hak_print_str(&line, ", from ");
    hak_peek_print_code(&line, at->row.caller);
  }
  hak_print_str(&line, "\n");
  hak_print_flush(&line, fd);
}

/* Where the block began that was allocated last of those that `address` lay in. */
static const void* youngest_around(const void* address) {
  const void* block = address;
  uint64_t youngest_ns = 0;
  for (uint32_t i = 0; i < hak_recorder_ring_count(); i++) {
    const hak_recorder_ring* ring = hak_recorder_ring_at(i);
    event at;
    for (uint64_t ago = 1; ring != NULL && read_event(ring, ago, &at); ago++) {
      const bool is_around = op_of(&at.row) != HAK_INSTRUMENT_FREE && at.row.ptr != NULL &&
                             (uintptr_t)address - (uintptr_t)at.row.ptr < size_of(&at.row);
      if (!is_around || at.row.time_ns < youngest_ns) continue;
      youngest_ns = at.row.time_ns;
      block = at.row.ptr;
    }
  }
  return block;
}

void hak_history_of_block(const void* address, const void* block, int fd) {
  if (block == NULL) block = youngest_around(address);
  event events[BLOCK_LINES]; /* the youngest first */
  uint32_t count = 0;
  for (uint32_t i = 0; i < hak_recorder_ring_count(); i++) {
    const hak_recorder_ring* ring = hak_recorder_ring_at(i);
    event at;
    for (uint64_t ago = 1; ring != NULL && read_event(ring, ago, &at); ago++) {
      if (at.row.ptr != block) continue;
      uint32_t place = count;
      while (place > 0 && events[place - 1].row.time_ns < at.row.time_ns) place--;
      if (place == BLOCK_LINES) continue;
      if (count < BLOCK_LINES) count++;
      for (uint32_t j = count - 1; j > place; j--) events[j] = events[j - 1];
      events[place] = at;
    }
  }
  if (count == 0) return;
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem: what was done with ");
  hak_print_ptr(&line, block);
  hak_print_str(&line, ", the last first:\n");
  hak_print_flush(&line, fd);
  const uint64_t now_ns = hak_latency_now_ns();
  for (uint32_t i = 0; i < count; i++) print_event(&events[i], now_ns, false, fd);
}

void hak_history_of_thread(int fd) {
  const hak_recorder_ring* ring = hak_recorder_own();
  event at;
  if (ring == NULL || !read_event(ring, 1, &at)) return;
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem: last operations of ");
  hak_peek_print_thread(&line, ring->thread);
  hak_print_str(&line, ":\n");
  hak_print_flush(&line, fd);
  const uint64_t now_ns = hak_latency_now_ns();
  for (uint64_t ago = 1; ago <= THREAD_LINES && read_event(ring, ago, &at); ago++) print_event(&at, now_ns, true, fd);
}
