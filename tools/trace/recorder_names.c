/* The names that the recorder puts in front of the allocator's. */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/trace/recorder.h"
#include "tools/trace/shadow.h"

#define EXPORT __attribute__((visibility("default")))
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Not declared by every libc's headers. */
EXPORT void cfree(void* ptr);
EXPORT void free_sized(void* ptr, size_t size);
EXPORT void free_aligned_sized(void* ptr, size_t alignment, size_t size);
EXPORT void* memalign(size_t alignment, size_t size);
EXPORT void* valloc(size_t size);
EXPORT void* pvalloc(size_t size);
EXPORT size_t malloc_usable_size(void* ptr);

/* --- the allocator behind --- */

static struct {
  void* (*malloc)(size_t);
  void* (*calloc)(size_t, size_t);
  void* (*realloc)(void*, size_t);
  void (*free)(void*);
  void* (*memalign)(size_t, size_t);
  void* (*aligned_alloc)(size_t, size_t);
  int (*posix_memalign)(void**, size_t, size_t);
  size_t (*usable_size)(void*);
} real;

/* What the dynamic linker asks for while it is asked for the functions above. Never given back. */
enum { EARLY_BYTES = 64 * 1024, EARLY_ALIGN_BYTES = 16 };
static _Alignas(EARLY_ALIGN_BYTES) char early[EARLY_BYTES];
static size_t early_used;
static uint32_t is_resolving;

static bool is_early(const void* ptr) { return (uintptr_t)ptr - (uintptr_t)early < EARLY_BYTES; }

/* A block with its size in front. */
static void* early_malloc(size_t size) {
  if (size > EARLY_BYTES) return NULL;
  const size_t bytes = (size + 2 * EARLY_ALIGN_BYTES - 1) & ~(size_t)(EARLY_ALIGN_BYTES - 1);
  const size_t at = __atomic_fetch_add(&early_used, bytes, __ATOMIC_RELAXED);
  if (at + bytes > EARLY_BYTES) return NULL;
  memcpy(early + at, &size, sizeof(size));
  return early + at + EARLY_ALIGN_BYTES;
}

static size_t early_size(const void* ptr) {
  size_t size;
  memcpy(&size, (const char*)ptr - EARLY_ALIGN_BYTES, sizeof(size));
  return size;
}

static void find(const char* name, void* out) {
  void* found = dlsym(RTLD_NEXT, name);
  memcpy(out, &found, sizeof(found));
}

/* malloc is stored last: whoever sees it has all. */
static bool resolve(void) {
  if (__atomic_load_n(&real.malloc, __ATOMIC_ACQUIRE) != NULL) return true;
  if (__atomic_exchange_n(&is_resolving, 1, __ATOMIC_ACQUIRE) != 0) return false;
  find("calloc", &real.calloc);
  find("realloc", &real.realloc);
  find("free", &real.free);
  find("memalign", &real.memalign);
  find("aligned_alloc", &real.aligned_alloc);
  find("posix_memalign", &real.posix_memalign);
  find("malloc_usable_size", &real.usable_size);
  void* (*found)(size_t);
  find("malloc", &found);
  __atomic_store_n(&real.malloc, found, __ATOMIC_RELEASE);
  __atomic_store_n(&is_resolving, 0, __ATOMIC_RELEASE);
  return found != NULL;
}

static inline bool is_ready(void) { return __atomic_load_n(&real.malloc, __ATOMIC_ACQUIRE) != NULL || resolve(); }

/* --- records --- */

/* What the shadow has of a block: its thread, and its ordinal and 1 more. */
enum { ORDINAL_BITS = 40 };
static const uint64_t ORDINAL_MASK = (UINT64_C(1) << ORDINAL_BITS) - 1;

static void name_block(hak_trace_record* record, uint64_t word) {
  record->thread = (uint32_t)(word >> ORDINAL_BITS);
  record->ordinal = (word & ORDINAL_MASK) - 1;
}

/* A block lies where one lay whose end was not seen: it was freed amid another operation, or under another name. */
static __attribute__((noinline, cold)) void note_unseen_free(hak_trace_self* me, uint64_t word) {
  hak_trace_record record = {.kind = HAK_TRACE_FREE};
  name_block(&record, word);
  hak_trace_append(me, &record);
}

static inline __attribute__((always_inline)) void note_new(hak_trace_self* me, const void* block,
                                                           hak_trace_record* record) {
  if (UNLIKELY(block == NULL)) {
    record->has_failed = true;
    hak_trace_append(me, record);
    return;
  }
  uint64_t* word = hak_trace_shadow_at(block);
  if (UNLIKELY(word != NULL && *word != 0)) note_unseen_free(me, *word);
  if (!hak_trace_append(me, record) || word == NULL) return;
  *word = (uint64_t)me->context.thread << ORDINAL_BITS | me->context.born;
}

/* Takes a block out of the shadow. False: it is not known. */
static inline bool take_word(const void* block, uint64_t* out) {
  uint64_t* word = hak_trace_shadow_at(block);
  if (UNLIKELY(word == NULL || *word == 0)) return false;
  *out = *word;
  *word = 0;
  return true;
}

static inline void note_free(hak_trace_self* me, const void* block) {
  uint64_t word;
  hak_trace_record record = {.kind = HAK_TRACE_FREE};
  if (UNLIKELY(!take_word(block, &word))) {
    record.kind = HAK_TRACE_FREE_UNKNOWN;
    hak_trace_append(me, &record);
    return;
  }
  name_block(&record, word);
  hak_trace_append(me, &record);
}

static uint8_t log2_up(size_t n) {
  uint8_t log2 = 0;
  while (log2 < 63 && ((size_t)1 << log2) < n) log2++;
  return log2;
}

/* --- malloc and its kin --- */

EXPORT void* malloc(size_t size) {
  if (UNLIKELY(!is_ready())) return early_malloc(size);
  hak_trace_self* me = hak_trace_begin();
  if (UNLIKELY(me == NULL)) return real.malloc(size);
  void* block = real.malloc(size);
  hak_trace_record record = {.kind = HAK_TRACE_MALLOC, .size = size};
  note_new(me, block, &record);
  hak_trace_end(me);
  return block;
}

EXPORT void free(void* ptr) {
  if (UNLIKELY(is_early(ptr))) return;
  if (UNLIKELY(!is_ready())) return;
  hak_trace_self* me = hak_trace_begin();
  if (UNLIKELY(me == NULL)) {
    real.free(ptr);
    return;
  }
  if (ptr == NULL) {
    const hak_trace_record record = {.kind = HAK_TRACE_FREE_NULL};
    hak_trace_append(me, &record);
  } else {
    note_free(me, ptr);
    real.free(ptr);
  }
  hak_trace_end(me);
}

EXPORT void* calloc(size_t count, size_t size) {
  if (UNLIKELY(!is_ready())) {
    /* Zeroed as it is. */
    return size != 0 && count > EARLY_BYTES / size ? NULL : early_malloc(count * size);
  }
  hak_trace_self* me = hak_trace_begin();
  if (UNLIKELY(me == NULL)) return real.calloc(count, size);
  void* block = real.calloc(count, size);
  hak_trace_record record = {.kind = HAK_TRACE_CALLOC, .count = count, .size = size};
  /* The larger factor is called the size: a count above 32 bits could only be of a call that fails. */
  if (UNLIKELY(count > UINT32_MAX)) {
    record.count = size > UINT32_MAX ? UINT32_MAX : size;
    record.size = count;
  }
  note_new(me, block, &record);
  hak_trace_end(me);
  return block;
}

/* The block leaves the shadow before the allocator may give its place to another thread. */
static void* recorded_realloc(hak_trace_self* me, void* ptr, size_t size) {
  uint64_t word;
  const bool is_known = take_word(ptr, &word);
  void* block = real.realloc(ptr, size);
  hak_trace_record record = {.kind = HAK_TRACE_REALLOC, .size = size};
  if (is_known) name_block(&record, word);
  const bool has_failed = block == NULL && size != 0;
  if (has_failed && is_known) *hak_trace_shadow_at(ptr) = word;
  if (!is_known && !has_failed) {
    const hak_trace_record unknown = {.kind = HAK_TRACE_FREE_UNKNOWN};
    hak_trace_append(me, &unknown);
    record.kind = HAK_TRACE_REALLOC_NULL;
  }
  if (block == NULL && size == 0) {
    record.kind = HAK_TRACE_REALLOC_FREED;
    if (is_known) hak_trace_append(me, &record);
    return NULL;
  }
  if (is_known || !has_failed) note_new(me, block, &record);
  return block;
}

static void* early_realloc(void* ptr, size_t size) {
  void* block = malloc(size);
  const size_t old = early_size(ptr);
  if (block != NULL) memcpy(block, ptr, old < size ? old : size);
  return block;
}

EXPORT void* realloc(void* ptr, size_t size) {
  if (UNLIKELY(is_early(ptr))) return early_realloc(ptr, size);
  if (UNLIKELY(!is_ready())) return early_malloc(size);
  hak_trace_self* me = hak_trace_begin();
  if (UNLIKELY(me == NULL)) return real.realloc(ptr, size);
  void* block;
  if (ptr == NULL) {
    block = real.realloc(NULL, size);
    hak_trace_record record = {.kind = HAK_TRACE_REALLOC_NULL, .size = size};
    note_new(me, block, &record);
  } else {
    block = recorded_realloc(me, ptr, size);
  }
  hak_trace_end(me);
  return block;
}

/* Recorded as realloc of the product. */
EXPORT void* reallocarray(void* ptr, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    errno = ENOMEM;
    return NULL;
  }
  return realloc(ptr, bytes);
}

static void* recorded_aligned(hak_trace_self* me, hak_trace_kind kind, size_t alignment, size_t size, void* block) {
  hak_trace_record record = {.kind = kind, .alignment_log2 = log2_up(alignment), .size = size};
  note_new(me, block, &record);
  hak_trace_end(me);
  return block;
}

EXPORT void* aligned_alloc(size_t alignment, size_t size) {
  if (UNLIKELY(!is_ready())) return NULL;
  hak_trace_self* me = hak_trace_begin();
  void* block = real.aligned_alloc(alignment, size);
  return UNLIKELY(me == NULL) ? block : recorded_aligned(me, HAK_TRACE_ALIGNED_ALLOC, alignment, size, block);
}

EXPORT int posix_memalign(void** out, size_t alignment, size_t size) {
  if (UNLIKELY(!is_ready())) return ENOMEM;
  hak_trace_self* me = hak_trace_begin();
  const int error = real.posix_memalign(out, alignment, size);
  if (me != NULL) recorded_aligned(me, HAK_TRACE_POSIX_MEMALIGN, alignment, size, error == 0 ? *out : NULL);
  return error;
}

EXPORT void* memalign(size_t alignment, size_t size) {
  if (UNLIKELY(!is_ready())) return NULL;
  hak_trace_self* me = hak_trace_begin();
  void* block = real.memalign(alignment, size);
  return UNLIKELY(me == NULL) ? block : recorded_aligned(me, HAK_TRACE_MEMALIGN, alignment, size, block);
}

/* Not every allocator has these two; libc's, behind it, would be another heap's. */
static void* page_aligned(hak_trace_kind kind, size_t size, bool is_rounded) {
  if (UNLIKELY(!is_ready())) return NULL;
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  const size_t bytes = is_rounded ? (size + page - 1) & ~(page - 1) : size;
  hak_trace_self* me = hak_trace_begin();
  void* block = NULL;
  if (bytes < size) {
    errno = ENOMEM;
  } else {
    block = real.memalign(page, bytes);
  }
  return UNLIKELY(me == NULL) ? block : recorded_aligned(me, kind, 1, size, block);
}

EXPORT void* valloc(size_t size) { return page_aligned(HAK_TRACE_VALLOC, size, false); }

EXPORT void* pvalloc(size_t size) { return page_aligned(HAK_TRACE_PVALLOC, size, true); }

EXPORT void cfree(void* ptr) { free(ptr); }

EXPORT void free_sized(void* ptr, size_t size) {
  (void)size;
  free(ptr);
}

EXPORT void free_aligned_sized(void* ptr, size_t alignment, size_t size) {
  (void)alignment, (void)size;
  free(ptr);
}

EXPORT size_t malloc_usable_size(void* ptr) {
  if (UNLIKELY(is_early(ptr))) return early_size(ptr);
  return is_ready() ? real.usable_size(ptr) : 0;
}
