/* Purpose: one record of a trace to bytes and back.
 * Owns: nothing; the bytes are the caller's.
 * Invariants:
 *   1. hak_trace_get after hak_trace_put, with contexts in the same state, gives the same record and moves both contexts
 *      to the same state.
 *   2. The first byte of a record is stored last: whoever reads along sees whole records, then a zero.
 * Threads: a context belongs to one thread.  Ordering: that store is a release.
 * Cost: 1 to 4 bytes for nearly all records; no call, no loop but those of varints.
 * Fails: hak_trace_get returns NULL for what is no record.  Fork: nothing to do. */
#ifndef TOOLS_TRACE_CODEC_H_
#define TOOLS_TRACE_CODEC_H_

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "tools/trace/format.h"

typedef enum hak_trace_kind {
  HAK_TRACE_MARK,
  HAK_TRACE_MALLOC,
  HAK_TRACE_CALLOC,
  HAK_TRACE_REALLOC,
  HAK_TRACE_REALLOC_NULL,
  HAK_TRACE_REALLOC_FREED,
  HAK_TRACE_ALIGNED_ALLOC,
  HAK_TRACE_POSIX_MEMALIGN,
  HAK_TRACE_MEMALIGN,
  HAK_TRACE_VALLOC,
  HAK_TRACE_PVALLOC,
  HAK_TRACE_FREE,
  HAK_TRACE_FREE_NULL,
  HAK_TRACE_FREE_UNKNOWN,
  HAK_TRACE_KINDS
} hak_trace_kind;

/** One operation, or a mark. Fields that the kind does not need are 0. */
typedef struct hak_trace_record {
  hak_trace_kind kind;
  bool has_failed;
  uint8_t alignment_log2;
  uint32_t thread;  /* with ordinal: the block that is freed or resized */
  uint64_t ordinal; /* which of that thread's blocks, in the order in which it took them */
  uint64_t count;
  uint64_t size;
  uint64_t ticket; /* of a mark: its place among all marks */
  uint64_t time_us;
} hak_trace_record;

/** What records refer to: the thread's state, and the chunk's. */
typedef struct hak_trace_context {
  uint32_t thread;
  uint32_t other_thread; /* of the last record that named another thread's block */
  uint64_t other_ordinal;
  uint64_t born; /* blocks that the thread has taken so far */
  uint64_t ticket;
  uint64_t time_us;
  uint64_t recent[HAK_TRACE_RECENT_SIZES];
} hak_trace_context;

/** The state at the beginning of a chunk. */
static inline void hak_trace_context_reset(hak_trace_context* context, uint32_t thread, uint64_t born) {
  memset(context, 0, sizeof(*context));
  memset(context->recent, 0xff, sizeof(context->recent));
  context->thread = thread;
  context->born = born;
}

/** True where the operation makes a block, which gets the thread's next ordinal. */
static inline bool hak_trace_makes_block(hak_trace_kind kind, bool has_failed) {
  return kind >= HAK_TRACE_MALLOC && kind <= HAK_TRACE_PVALLOC && kind != HAK_TRACE_REALLOC_FREED && !has_failed;
}

/** True where the record names a block. */
static inline bool hak_trace_names_block(hak_trace_kind kind) {
  return kind == HAK_TRACE_FREE || kind == HAK_TRACE_REALLOC || kind == HAK_TRACE_REALLOC_FREED;
}

static inline unsigned hak_trace_recent_place(uint64_t size) { return (unsigned)((size * 0x9e3779b97f4a7c15u) >> 59); }

/* --- bytes --- */

static inline uint8_t* hak_trace_put_number(uint8_t* at, uint64_t n) {
  while (n >= 0x80) {
    *at++ = (uint8_t)(n | 0x80);
    n >>= 7;
  }
  *at++ = (uint8_t)n;
  return at;
}

/** NULL where there is no number before `end`. */
static inline const uint8_t* hak_trace_get_number(const uint8_t* at, const uint8_t* end, uint64_t* n) {
  uint64_t value = 0;
  for (unsigned shift = 0; at != end && shift < 64; shift += 7) {
    const uint8_t byte = *at++;
    if (shift == 63 && byte > 1) return NULL;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *n = value;
      return at;
    }
  }
  return NULL;
}

/* Differences of either sign, the small ones short. */
static inline uint64_t hak_trace_fold(uint64_t difference) { return difference << 1 ^ (0 - (difference >> 63)); }
static inline uint64_t hak_trace_unfold(uint64_t folded) { return folded >> 1 ^ (0 - (folded & 1)); }

/* --- to bytes --- */

static inline __attribute__((always_inline)) uint8_t* hak_trace_put_malloc(hak_trace_context* context, uint8_t* at,
                                                                           uint64_t size, uint8_t* code) {
  const unsigned place = hak_trace_recent_place(size);
  if (context->recent[place] == size) {
    *code = (uint8_t)(HAK_TRACE_CODE_RECENT + place);
    return at;
  }
  context->recent[place] = size;
  if (size < HAK_TRACE_SHORT) {
    *code = (uint8_t)(HAK_TRACE_CODE_MALLOC_SHORT | size >> 8);
    *at++ = (uint8_t)size;
    return at;
  }
  *code = HAK_TRACE_CODE_MALLOC;
  return hak_trace_put_number(at, size);
}

static inline __attribute__((always_inline)) uint8_t* hak_trace_put_free(hak_trace_context* context, uint8_t* at,
                                                                         const hak_trace_record* record,
                                                                         uint8_t* code) {
  if (record->thread == context->thread) {
    const uint64_t distance = context->born - 1 - record->ordinal;
    if (distance < HAK_TRACE_NEAR) {
      *code = (uint8_t)(HAK_TRACE_CODE_FREE_NEAR + distance);
      return at;
    }
    if (distance - HAK_TRACE_NEAR < HAK_TRACE_SHORT) {
      *code = (uint8_t)(HAK_TRACE_CODE_FREE_SHORT | (distance - HAK_TRACE_NEAR) >> 8);
      *at++ = (uint8_t)(distance - HAK_TRACE_NEAR);
      return at;
    }
    *code = HAK_TRACE_CODE_FREE_FAR;
    return hak_trace_put_number(at, distance);
  }
  *code = HAK_TRACE_CODE_FREE_OTHER_SAME;
  if (record->thread != context->other_thread) {
    *code = HAK_TRACE_CODE_FREE_OTHER;
    at = hak_trace_put_number(at, record->thread);
  }
  at = hak_trace_put_number(at, hak_trace_fold(record->ordinal - context->other_ordinal));
  context->other_thread = record->thread;
  context->other_ordinal = record->ordinal;
  return at;
}

/* A block in a record of several fields: even, the distance of an own one; odd, the thread of another's. */
static inline uint8_t* hak_trace_put_block(hak_trace_context* context, uint8_t* at, const hak_trace_record* record) {
  if (record->thread == context->thread) {
    return hak_trace_put_number(at, (context->born - 1 - record->ordinal) << 1);
  }
  at = hak_trace_put_number(at, (uint64_t)record->thread << 1 | 1);
  at = hak_trace_put_number(at, hak_trace_fold(record->ordinal - context->other_ordinal));
  context->other_thread = record->thread;
  context->other_ordinal = record->ordinal;
  return at;
}

/** Writes the record; returns where the next one goes. There is room for HAK_TRACE_RECORD_BYTES_MAX at `at`, all zero. An
 *  own block that it names is older than context->born. */
static inline __attribute__((always_inline)) uint8_t* hak_trace_put(hak_trace_context* context, uint8_t* at,
                                                                    const hak_trace_record* record) {
  uint8_t* const code = at;
  uint8_t* next = at + (record->has_failed ? 2 : 1);
  uint8_t first = HAK_TRACE_CODE_END;
  switch (record->kind) {
    case HAK_TRACE_MARK:
      first = HAK_TRACE_CODE_MARK;
      next = hak_trace_put_number(next, record->ticket - context->ticket);
      next = hak_trace_put_number(next, record->time_us - context->time_us);
      context->ticket = record->ticket;
      context->time_us = record->time_us;
      break;
    case HAK_TRACE_MALLOC: next = hak_trace_put_malloc(context, next, record->size, &first); break;
    case HAK_TRACE_CALLOC:
      first = HAK_TRACE_CODE_CALLOC;
      next = hak_trace_put_number(next, record->count);
      next = hak_trace_put_number(next, record->size);
      break;
    case HAK_TRACE_REALLOC:
      first = HAK_TRACE_CODE_REALLOC;
      next = hak_trace_put_block(context, next, record);
      next = hak_trace_put_number(next, record->size);
      break;
    case HAK_TRACE_REALLOC_FREED:
      first = HAK_TRACE_CODE_REALLOC_FREED;
      next = hak_trace_put_block(context, next, record);
      break;
    case HAK_TRACE_ALIGNED_ALLOC:
    case HAK_TRACE_POSIX_MEMALIGN:
    case HAK_TRACE_MEMALIGN:
      first = (uint8_t)(HAK_TRACE_CODE_ALIGNED_ALLOC + (record->kind - HAK_TRACE_ALIGNED_ALLOC));
      *next++ = record->alignment_log2;
      next = hak_trace_put_number(next, record->size);
      break;
    case HAK_TRACE_REALLOC_NULL:
      first = HAK_TRACE_CODE_REALLOC_NULL;
      next = hak_trace_put_number(next, record->size);
      break;
    case HAK_TRACE_VALLOC:
    case HAK_TRACE_PVALLOC:
      first = (uint8_t)(HAK_TRACE_CODE_VALLOC + (record->kind - HAK_TRACE_VALLOC));
      next = hak_trace_put_number(next, record->size);
      break;
    case HAK_TRACE_FREE: next = hak_trace_put_free(context, next, record, &first); break;
    case HAK_TRACE_FREE_NULL: first = HAK_TRACE_CODE_FREE_NULL; break;
    case HAK_TRACE_FREE_UNKNOWN: first = HAK_TRACE_CODE_FREE_UNKNOWN; break;
    case HAK_TRACE_KINDS: break;
  }
  if (hak_trace_makes_block(record->kind, record->has_failed)) context->born++;
  if (record->has_failed) {
    code[1] = first;
    first = HAK_TRACE_CODE_FAILED;
  }
  __atomic_store_n(code, first, __ATOMIC_RELEASE);
  return next;
}

/* --- from bytes --- */

static inline const uint8_t* hak_trace_get_other(hak_trace_context* context, const uint8_t* at, const uint8_t* end,
                                                 uint64_t thread, hak_trace_record* record) {
  uint64_t folded;
  at = hak_trace_get_number(at, end, &folded);
  if (at == NULL || thread > UINT32_MAX || thread == context->thread) return NULL;
  record->thread = (uint32_t)thread;
  record->ordinal = context->other_ordinal + hak_trace_unfold(folded);
  context->other_thread = record->thread;
  context->other_ordinal = record->ordinal;
  return at;
}

/* False where the thread has no such block yet. */
static inline bool hak_trace_get_own(const hak_trace_context* context, uint64_t distance, hak_trace_record* record) {
  record->thread = context->thread;
  record->ordinal = context->born - 1 - distance;
  return distance < context->born;
}

static inline const uint8_t* hak_trace_get_block(hak_trace_context* context, const uint8_t* at, const uint8_t* end,
                                                 hak_trace_record* record) {
  uint64_t n;
  at = hak_trace_get_number(at, end, &n);
  if (at == NULL) return NULL;
  if ((n & 1) != 0) return hak_trace_get_other(context, at, end, n >> 1, record);
  return hak_trace_get_own(context, n >> 1, record) ? at : NULL;
}

static inline const uint8_t* hak_trace_get_free(hak_trace_context* context, uint8_t code, const uint8_t* at,
                                                const uint8_t* end, hak_trace_record* record) {
  uint64_t n;
  record->kind = HAK_TRACE_FREE;
  if (code == HAK_TRACE_CODE_FREE_OTHER_SAME)
    return hak_trace_get_other(context, at, end, context->other_thread, record);
  if (code == HAK_TRACE_CODE_FREE_OTHER) {
    at = hak_trace_get_number(at, end, &n);
    return at == NULL ? NULL : hak_trace_get_other(context, at, end, n, record);
  }
  if (code >= HAK_TRACE_CODE_FREE_SHORT) {
    if (at == end) return NULL;
    n = ((uint64_t)(code & 0x3f) << 8 | *at++) + HAK_TRACE_NEAR;
  } else if (code == HAK_TRACE_CODE_FREE_FAR) {
    at = hak_trace_get_number(at, end, &n);
    if (at == NULL) return NULL;
  } else {
    n = (uint64_t)(code - HAK_TRACE_CODE_FREE_NEAR);
  }
  return hak_trace_get_own(context, n, record) ? at : NULL;
}

static inline const uint8_t* hak_trace_get_malloc(hak_trace_context* context, uint8_t code, const uint8_t* at,
                                                  const uint8_t* end, hak_trace_record* record) {
  record->kind = HAK_TRACE_MALLOC;
  if (code >= HAK_TRACE_CODE_RECENT && code < HAK_TRACE_CODE_FREE_NEAR) {
    record->size = context->recent[code - HAK_TRACE_CODE_RECENT];
    return hak_trace_recent_place(record->size) == (unsigned)(code - HAK_TRACE_CODE_RECENT) ? at : NULL;
  }
  if (code == HAK_TRACE_CODE_MALLOC) {
    at = hak_trace_get_number(at, end, &record->size);
    if (at == NULL) return NULL;
  } else {
    if (at == end) return NULL;
    record->size = (uint64_t)(code & 0x3f) << 8 | *at++;
  }
  context->recent[hak_trace_recent_place(record->size)] = record->size;
  return at;
}

/* The records of several fields, and those of none. */
static inline const uint8_t* hak_trace_get_long(hak_trace_context* context, uint8_t code, const uint8_t* at,
                                                const uint8_t* end, hak_trace_record* record) {
  uint64_t n;
  switch (code) {
    case HAK_TRACE_CODE_MARK:
      record->kind = HAK_TRACE_MARK;
      at = hak_trace_get_number(at, end, &n);
      if (at != NULL) {
        record->ticket = context->ticket += n;
        at = hak_trace_get_number(at, end, &n);
      }
      if (at != NULL) record->time_us = context->time_us += n;
      return at;
    case HAK_TRACE_CODE_CALLOC:
      record->kind = HAK_TRACE_CALLOC;
      at = hak_trace_get_number(at, end, &record->count);
      return at == NULL ? NULL : hak_trace_get_number(at, end, &record->size);
    case HAK_TRACE_CODE_REALLOC:
      record->kind = HAK_TRACE_REALLOC;
      at = hak_trace_get_block(context, at, end, record);
      return at == NULL ? NULL : hak_trace_get_number(at, end, &record->size);
    case HAK_TRACE_CODE_REALLOC_FREED:
      record->kind = HAK_TRACE_REALLOC_FREED;
      return hak_trace_get_block(context, at, end, record);
    case HAK_TRACE_CODE_REALLOC_NULL:
      record->kind = HAK_TRACE_REALLOC_NULL;
      return hak_trace_get_number(at, end, &record->size);
    case HAK_TRACE_CODE_ALIGNED_ALLOC:
    case HAK_TRACE_CODE_POSIX_MEMALIGN:
    case HAK_TRACE_CODE_MEMALIGN:
      record->kind = (hak_trace_kind)(HAK_TRACE_ALIGNED_ALLOC + (code - HAK_TRACE_CODE_ALIGNED_ALLOC));
      if (at == end || *at > 63) return NULL;
      record->alignment_log2 = *at++;
      return hak_trace_get_number(at, end, &record->size);
    case HAK_TRACE_CODE_VALLOC:
    case HAK_TRACE_CODE_PVALLOC:
      record->kind = (hak_trace_kind)(HAK_TRACE_VALLOC + (code - HAK_TRACE_CODE_VALLOC));
      return hak_trace_get_number(at, end, &record->size);
    case HAK_TRACE_CODE_FREE_NULL: record->kind = HAK_TRACE_FREE_NULL; return at;
    case HAK_TRACE_CODE_FREE_UNKNOWN: record->kind = HAK_TRACE_FREE_UNKNOWN; return at;
    default: return NULL;
  }
}

/** Reads the record at `at`, which is before `end`; returns where the next one begins, or NULL where this is none. */
static inline const uint8_t* hak_trace_get(hak_trace_context* context, const uint8_t* at, const uint8_t* end,
                                           hak_trace_record* record) {
  memset(record, 0, sizeof(*record));
  uint8_t code = __atomic_load_n(at, __ATOMIC_ACQUIRE);
  at++;
  const bool has_failed = code == HAK_TRACE_CODE_FAILED;
  if (has_failed) {
    if (at == end) return NULL;
    code = *at++;
  }
  const bool is_malloc = code == HAK_TRACE_CODE_MALLOC ||
                         (code >= HAK_TRACE_CODE_RECENT && code < HAK_TRACE_CODE_FREE_NEAR) ||
                         (code >= HAK_TRACE_CODE_MALLOC_SHORT && code < HAK_TRACE_CODE_FREE_SHORT);
  const bool is_free = code == HAK_TRACE_CODE_FREE_OTHER || code == HAK_TRACE_CODE_FREE_OTHER_SAME ||
                       (code >= HAK_TRACE_CODE_FREE_NEAR && code <= HAK_TRACE_CODE_FREE_FAR) ||
                       code >= HAK_TRACE_CODE_FREE_SHORT;
  at = is_malloc ? hak_trace_get_malloc(context, code, at, end, record)
       : is_free ? hak_trace_get_free(context, code, at, end, record)
                 : hak_trace_get_long(context, code, at, end, record);
  if (at == NULL) return NULL;
  record->has_failed = has_failed;
  /* What makes no block cannot fail. */
  if (has_failed && !hak_trace_makes_block(record->kind, false)) return NULL;
  if (hak_trace_makes_block(record->kind, has_failed)) context->born++;
  return at;
}

#endif /* TOOLS_TRACE_CODEC_H_ */
