#include "tools/trace/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  /* Threads that took a number and ended before they had a chunk. */
  CHUNKLESS_THREADS_MAX = 1024
};

/* A mark as the file has it. */
typedef struct ticket {
  uint64_t ticket;
  uint64_t time_us;
  uint32_t thread;
  hak_trace_op* op;
} ticket;

/* What is known of a thread before its operations are. */
typedef struct outline {
  uint64_t chunks;
  uint64_t ops;
  uint64_t blocks;
  uint64_t filled; /* operations that are in place */
} outline;

typedef struct loading {
  const uint8_t* data;
  size_t bytes;
  hak_trace* trace;
  outline* outlines;
  hak_trace_op* ops;
  ticket* tickets;
  uint64_t tickets_count;
  hak_trace_error* error;
} loading;

/* A chunk's place, header and records. */
typedef struct chunk_view {
  uint64_t at;
  hak_trace_chunk_header header;
  const uint8_t* records;
  const uint8_t* end;
  bool is_closed;
} chunk_view;

__attribute__((format(printf, 2, 3))) static bool refuse(hak_trace_error* error, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->text, sizeof(error->text), format, arguments);
  va_end(arguments);
  return false;
}

void* hak_trace_pages_take(size_t bytes) {
  void* pages =
      mmap(NULL, bytes == 0 ? 1 : bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  return pages == MAP_FAILED ? NULL : pages;
}

void hak_trace_pages_give(void* pages, size_t bytes) {
  if (pages != NULL) munmap(pages, bytes == 0 ? 1 : bytes);
}

/* --- chunks --- */

static bool read_header(loading* load) {
  hak_trace_file_header* header = &load->trace->header;
  if (load->bytes < sizeof(*header)) {
    return refuse(load->error, "is no trace, or cut off: %zu bytes, less than the header of a trace has", load->bytes);
  }
  memcpy(header, load->data, sizeof(*header));
  if (memcmp(header->magic, HAK_TRACE_MAGIC, sizeof(header->magic)) != 0) {
    return refuse(load->error, "is no trace: it does not begin with %s", HAK_TRACE_MAGIC);
  }
  if (header->version != HAK_TRACE_VERSION) {
    return refuse(load->error, "is a trace of version %" PRIu32 "; this program reads version %d", header->version,
                  HAK_TRACE_VERSION);
  }
  const uint64_t page = header->page_bytes;
  if (page < sizeof(*header) || page > (1 << 20) || (page & (page - 1)) != 0) {
    return refuse(load->error, "is damaged: a page size of %" PRIu64 " bytes in its header", page);
  }
  header->program[sizeof(header->program) - 1] = 0;
  return true;
}

static bool is_zero(const uint8_t* data, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) {
    if (data[i] != 0) return false;
  }
  return true;
}

static bool check_chunk(loading* load, chunk_view* out) {
  const hak_trace_chunk_header* header = &out->header;
  const uint64_t at = out->at;
  const uint64_t page = load->trace->header.page_bytes;
  if (header->magic != HAK_TRACE_CHUNK_MAGIC && header->magic != HAK_TRACE_VOID_MAGIC) {
    return refuse(load->error, "is damaged: no chunk begins at byte %" PRIu64 ", where one should", at);
  }
  if (header->capacity_bytes < page || header->capacity_bytes % page != 0 ||
      header->used_bytes > header->capacity_bytes - sizeof(*header) ||
      header->thread >= load->bytes / page + CHUNKLESS_THREADS_MAX) {
    return refuse(load->error, "is damaged: the header of the chunk at byte %" PRIu64 " makes no sense", at);
  }
  if (header->capacity_bytes > load->bytes - at) {
    return refuse(load->error,
                  "is cut off: it ends at byte %zu, amid the chunk of thread %" PRIu32 " that begins at byte %" PRIu64,
                  load->bytes, header->thread, at);
  }
  out->is_closed = header->used_bytes != 0;
  out->records = load->data + at + sizeof(*header);
  out->end = out->records + (out->is_closed ? header->used_bytes : header->capacity_bytes - sizeof(*header));
  if (out->is_closed && header->magic == HAK_TRACE_CHUNK_MAGIC &&
      hak_trace_checksum(header, out->records) != header->checksum) {
    return refuse(load->error, "is damaged: the chunk of thread %" PRIu32 " at byte %" PRIu64 " has another checksum",
                  header->thread, at);
  }
  return true;
}

/* The chunk at `*at` or after it, and moves `*at` behind it. *found is false at the end of the file. */
static bool next_chunk(loading* load, uint64_t* at, chunk_view* out, bool* found) {
  const uint64_t page = load->trace->header.page_bytes;
  *found = false;
  while (load->bytes - *at >= sizeof(out->header)) {
    out->at = *at;
    memcpy(&out->header, load->data + *at, sizeof(out->header));
    if (is_zero(load->data + *at, sizeof(out->header))) {
      *at += page;
      if (*at > load->bytes) *at = load->bytes;
      continue;
    }
    if (!check_chunk(load, out)) return false;
    *at += out->header.capacity_bytes;
    if (out->header.magic == HAK_TRACE_VOID_MAGIC) continue;
    *found = true;
    return true;
  }
  if (load->bytes != *at && !is_zero(load->data + *at, load->bytes - *at)) {
    return refuse(load->error, "is cut off: it ends at byte %zu, amid a header", load->bytes);
  }
  return true;
}

/* --- records --- */

/* True where the block that the record names is not made in this file. */
static bool is_unborn(const loading* load, const hak_trace_record* record) {
  if (!hak_trace_names_block(record->kind)) return false;
  return record->thread >= load->trace->threads_count || record->ordinal >= load->outlines[record->thread].blocks;
}

static bool add_op(loading* load, uint32_t thread, const hak_trace_record* given) {
  hak_trace* trace = load->trace;
  hak_trace_record changed = *given;
  hak_trace_record* record = &changed;
  if (record->kind == HAK_TRACE_FREE_UNKNOWN) {
    trace->unknown_frees++;
    return true;
  }
  if (is_unborn(load, record)) {
    trace->unborn_refs++;
    if (!hak_trace_makes_block(record->kind, record->has_failed)) return true;
    record->kind = HAK_TRACE_REALLOC_NULL;
  }
  hak_trace_op* op = &load->ops[load->outlines[thread].filled++];
  op->kind = (uint8_t)record->kind;
  op->size = record->size;
  op->alignment_log2 = record->alignment_log2;
  op->has_failed = record->has_failed;
  if (record->kind == HAK_TRACE_MARK) {
    load->tickets[load->tickets_count++] = (ticket){record->ticket, record->time_us, thread, op};
    return true;
  }
  trace->ops_count++;
  if (record->kind == HAK_TRACE_CALLOC) op->block = (uint32_t)record->count;
  if (hak_trace_names_block(record->kind)) {
    op->block = (uint32_t)(trace->threads[record->thread].first_block + record->ordinal);
    op->is_foreign = record->thread != thread;
  }
  return true;
}

static bool count_op(loading* load, uint32_t thread, const hak_trace_record* record) {
  load->outlines[thread].ops++;
  if (record->kind == HAK_TRACE_MARK) load->tickets_count++;
  return true;
}

static bool read_records(loading* load, const chunk_view* chunk,
                         bool (*take)(loading*, uint32_t, const hak_trace_record*), uint64_t* born) {
  hak_trace_context context;
  hak_trace_context_reset(&context, chunk->header.thread, *born);
  const uint8_t* at = chunk->records;
  uint64_t records = 0;
  while (at != chunk->end && *at != HAK_TRACE_CODE_END) {
    hak_trace_record record;
    const uint8_t* next = hak_trace_get(&context, at, chunk->end, &record);
    if (next == NULL || (record.kind == HAK_TRACE_CALLOC && record.count > UINT32_MAX)) {
      return refuse(load->error, "is damaged: the bytes at %" PRIu64 ", of thread %" PRIu32 ", are no record",
                    (uint64_t)(at - load->data), chunk->header.thread);
    }
    if (!take(load, chunk->header.thread, &record)) return false;
    records++;
    at = next;
  }
  if (chunk->is_closed && (at != chunk->end || records != chunk->header.records)) {
    return refuse(load->error,
                  "is damaged: the chunk of thread %" PRIu32 " at byte %" PRIu64 " has %" PRIu64
                  " records, not %" PRIu32,
                  chunk->header.thread, chunk->at, records, chunk->header.records);
  }
  load->trace->records_bytes += (uint64_t)(at - chunk->records);
  *born = context.born;
  return true;
}

/* A thread's chunks lie in the file in their order. */
static bool check_place(loading* load, const chunk_view* chunk) {
  outline* of = &load->outlines[chunk->header.thread];
  if (chunk->header.number != of->chunks || chunk->header.first_ordinal != of->blocks) {
    return refuse(load->error,
                  "is damaged: at byte %" PRIu64 " is chunk %" PRIu32 " of thread %" PRIu32 ", after %" PRIu64
                  " others",
                  chunk->at, chunk->header.number, chunk->header.thread, of->chunks);
  }
  of->chunks++;
  return true;
}

/* How many threads there are; then, with the outlines there, how much each has. */
static bool count_threads(loading* load) {
  uint64_t at = load->trace->header.page_bytes;
  if (at > load->bytes) at = load->bytes;
  chunk_view chunk;
  for (bool found = true;;) {
    if (!next_chunk(load, &at, &chunk, &found)) return false;
    if (!found) return true;
    if (chunk.header.thread >= load->trace->threads_count)
      load->trace->threads_count = chunk.header.thread + UINT64_C(1);
  }
}

static bool read_outlines(loading* load) {
  uint64_t at = load->trace->header.page_bytes;
  if (at > load->bytes) at = load->bytes;
  chunk_view chunk;
  for (bool found = true;;) {
    if (!next_chunk(load, &at, &chunk, &found)) return false;
    if (!found) return true;
    if (!check_place(load, &chunk)) return false;
    if (!read_records(load, &chunk, count_op, &load->outlines[chunk.header.thread].blocks)) return false;
  }
}

static bool read_ops(loading* load) {
  for (uint64_t i = 0; i < load->trace->threads_count; i++) load->outlines[i].chunks = 0;
  load->trace->records_bytes = 0;
  uint64_t at = load->trace->header.page_bytes;
  if (at > load->bytes) at = load->bytes;
  chunk_view chunk;
  for (bool found = true;;) {
    if (!next_chunk(load, &at, &chunk, &found)) return false;
    if (!found) return true;
    uint64_t born = chunk.header.first_ordinal;
    if (!read_records(load, &chunk, add_op, &born)) return false;
  }
}

/* --- the whole --- */

static int compare_tickets(const void* left, const void* right) {
  const uint64_t a = ((const ticket*)left)->ticket;
  const uint64_t b = ((const ticket*)right)->ticket;
  return a < b ? -1 : a > b;
}

/* Tickets of threads that ended before they wrote them are missing: numbers without gaps take their place. */
static bool number_marks(loading* load) {
  hak_trace* trace = load->trace;
  qsort(load->tickets, load->tickets_count, sizeof(*load->tickets), compare_tickets);
  for (uint64_t i = 0; i < load->tickets_count; i++) {
    const ticket* mark = &load->tickets[i];
    if (i > 0 && mark->ticket == load->tickets[i - 1].ticket) {
      return refuse(load->error, "is damaged: threads %" PRIu32 " and %" PRIu32 " both have mark %" PRIu64,
                    load->tickets[i - 1].thread, mark->thread, mark->ticket);
    }
    mark->op->size = i;
    trace->marks[i] = (hak_trace_mark){mark->time_us, mark->thread};
  }
  trace->marks_count = load->tickets_count;
  return true;
}

static bool take_pages(void* out, size_t bytes, hak_trace_error* error) {
  void* pages = hak_trace_pages_take(bytes);
  memcpy(out, &pages, sizeof(pages));
  return pages != NULL || refuse(error, "needs %zu bytes of memory, which are not to be had", bytes);
}

static bool lay_out(loading* load) {
  hak_trace* trace = load->trace;
  uint64_t ops = 0;
  for (uint64_t i = 0; i < trace->threads_count; i++) {
    const outline* of = &load->outlines[i];
    trace->threads[i].first_block = trace->blocks_count;
    trace->threads[i].blocks_count = of->blocks;
    load->outlines[i].filled = ops;
    trace->blocks_count += of->blocks;
    ops += of->ops;
  }
  if (trace->blocks_count >= UINT32_MAX) {
    return refuse(load->error, "has %" PRIu64 " blocks; 4294967294 is the most", trace->blocks_count);
  }
  return take_pages(&load->ops, ops * sizeof(*load->ops), load->error) &&
         take_pages(&load->tickets, load->tickets_count * sizeof(*load->tickets), load->error) &&
         take_pages(&trace->marks, load->tickets_count * sizeof(*trace->marks), load->error);
}

static void visit_nothing(void* context, uint32_t thread, const hak_trace_op* op, uint32_t made) {
  (void)context, (void)thread, (void)op, (void)made;
}

static uint64_t all_ops(const loading* load) {
  uint64_t ops = 0;
  for (uint64_t i = 0; i < load->trace->threads_count; i++) ops += load->outlines[i].ops;
  return ops;
}

static bool load_all(loading* load) {
  hak_trace* trace = load->trace;
  if (!read_header(load) || !count_threads(load) ||
      !take_pages(&trace->threads, trace->threads_count * sizeof(*trace->threads), load->error) ||
      !take_pages(&load->outlines, trace->threads_count * sizeof(*load->outlines), load->error) ||
      !read_outlines(load) || !lay_out(load)) {
    return false;
  }
  const uint64_t tickets = load->tickets_count;
  uint64_t ops = 0;
  for (uint64_t i = 0; i < trace->threads_count; i++) {
    trace->threads[i].ops = load->ops + ops;
    ops += load->outlines[i].ops;
  }
  load->tickets_count = 0;
  bool is_read = read_ops(load);
  for (uint64_t i = 0; i < trace->threads_count; i++) {
    trace->threads[i].ops_count = load->outlines[i].filled - (uint64_t)(trace->threads[i].ops - load->ops);
  }
  is_read = is_read && number_marks(load) && hak_trace_walk(trace, visit_nothing, NULL, load->error);
  load->tickets_count = tickets;
  return is_read;
}

/* A trace with what belongs to it but is of no use to anyone else. */
typedef struct holder {
  hak_trace trace;
  hak_trace_op* ops;
  uint64_t ops_bytes;
} holder;

hak_trace* hak_trace_load(const uint8_t* data, size_t bytes, hak_trace_error* error) {
  holder* held = hak_trace_pages_take(sizeof(*held));
  if (held == NULL) {
    refuse(error, "needs memory, which is not to be had");
    return NULL;
  }
  loading load = {.data = data, .bytes = bytes, .trace = &held->trace, .error = error};
  const bool is_loaded = load_all(&load);
  held->ops = load.ops;
  held->ops_bytes = load.outlines == NULL ? 0 : all_ops(&load) * sizeof(hak_trace_op);
  hak_trace_pages_give(load.tickets, load.tickets_count * sizeof(*load.tickets));
  hak_trace_pages_give(load.outlines, held->trace.threads_count * sizeof(*load.outlines));
  if (is_loaded) return &held->trace;
  if (held->trace.marks != NULL) held->trace.marks_count = load.tickets_count;
  hak_trace_unload(&held->trace);
  return NULL;
}

static size_t read_file(int file, uint8_t* data, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t got = read(file, data + done, bytes - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    done += (size_t)got;
  }
  return done;
}

hak_trace* hak_trace_load_file(const char* path, hak_trace_error* error) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) {
    refuse(error, "cannot be read: %s", strerror(errno));
    if (file >= 0) close(file);
    return NULL;
  }
  if (!S_ISREG(status.st_mode) || status.st_size == 0) {
    refuse(error, S_ISREG(status.st_mode) ? "is empty" : "is no file");
    close(file);
    return NULL;
  }
  const size_t bytes = (size_t)status.st_size;
  hak_trace* trace = NULL;
  uint8_t* data;
  if (take_pages(&data, bytes, error)) {
    /* A copy: the file may be that of a running process, and each pass has to see the same. */
    const size_t got = read_file(file, data, bytes);
    trace = hak_trace_load(data, got, error);
    hak_trace_pages_give(data, bytes);
  }
  close(file);
  return trace;
}

void hak_trace_unload(hak_trace* trace) {
  holder* held = (holder*)(void*)trace;
  hak_trace_pages_give(held->ops, held->ops_bytes);
  hak_trace_pages_give(trace->marks, trace->marks_count * sizeof(*trace->marks));
  hak_trace_pages_give(trace->threads, trace->threads_count * sizeof(*trace->threads));
  hak_trace_pages_give(held, sizeof(*held));
}
