/* Purpose: traces built record by record, for tests and fuzzing.
 * Owns: the bytes of one trace.  Invariants: what was put can be loaded, unless a test damages it.
 * Threads: one.  Ordering: none.  Cost: none that matters.  Fails: never.  Fork: none. */
#ifndef TOOLS_TRACE_TEST_FILE_H_
#define TOOLS_TRACE_TEST_FILE_H_

#include <cstring>
#include <vector>

#include "tools/trace/codec.h"
#include "tools/trace/format.h"

namespace trace_test {

/** A file, page by page: a chunk is one page here. */
class File {
 public:
  static constexpr uint32_t kPageBytes = 4096;

  File() : bytes_(kPageBytes, 0) {
    hak_trace_file_header header;
    std::memset(&header, 0, sizeof(header));
    std::memcpy(header.magic, HAK_TRACE_MAGIC, sizeof(header.magic));
    header.version = HAK_TRACE_VERSION;
    header.page_bytes = kPageBytes;
    header.has_exited = 1;
    std::strcpy(header.program, "/bin/test");
    std::memcpy(bytes_.data(), &header, sizeof(header));
  }

  /** Appends a record of `thread`. */
  void Put(uint32_t thread, const hak_trace_record& record) {
    if (threads_.size() <= thread) threads_.resize(thread + 1);
    Thread& of = threads_[thread];
    if (of.at == 0 || of.at + HAK_TRACE_RECORD_BYTES_MAX > of.end) {
      Close(thread);
      Open(thread);
    }
    uint8_t* at = &bytes_[of.at];
    of.at += static_cast<size_t>(hak_trace_put(&of.context, at, &record) - at);
    of.records++;
  }

  /** Seals the open chunk of a thread. */
  void Close(uint32_t thread) {
    Thread& of = threads_[thread];
    if (of.at == 0) return;
    hak_trace_chunk_header header;
    std::memcpy(&header, &bytes_[of.chunk], sizeof(header));
    header.used_bytes = static_cast<uint32_t>(of.at - of.chunk - sizeof(header));
    header.records = of.records;
    header.checksum = hak_trace_checksum(&header, &bytes_[of.chunk + sizeof(header)]);
    std::memcpy(&bytes_[of.chunk], &header, sizeof(header));
    of.at = 0;
  }

  void CloseAll() {
    for (uint32_t thread = 0; thread < threads_.size(); thread++) Close(thread);
  }

  std::vector<uint8_t>& bytes() { return bytes_; }

  /* --- records in one line --- */

  void Mark(uint32_t thread, uint64_t ticket, uint64_t time_us = 0) {
    hak_trace_record record = Of(HAK_TRACE_MARK);
    record.ticket = ticket;
    record.time_us = time_us;
    Put(thread, record);
  }

  void Malloc(uint32_t thread, uint64_t size) {
    hak_trace_record record = Of(HAK_TRACE_MALLOC);
    record.size = size;
    Put(thread, record);
  }

  void Free(uint32_t thread, uint32_t of, uint64_t ordinal) {
    hak_trace_record record = Of(HAK_TRACE_FREE);
    record.thread = of;
    record.ordinal = ordinal;
    Put(thread, record);
  }

  void Realloc(uint32_t thread, uint32_t of, uint64_t ordinal, uint64_t size) {
    hak_trace_record record = Of(HAK_TRACE_REALLOC);
    record.thread = of;
    record.ordinal = ordinal;
    record.size = size;
    Put(thread, record);
  }

  static hak_trace_record Of(hak_trace_kind kind) {
    hak_trace_record record;
    std::memset(&record, 0, sizeof(record));
    record.kind = kind;
    return record;
  }

 private:
  struct Thread {
    size_t chunk = 0;
    size_t at = 0; /* 0: no open chunk */
    size_t end = 0;
    uint32_t chunks = 0;
    uint32_t records = 0;
    hak_trace_context context = {};
  };

  void Open(uint32_t thread) {
    Thread& of = threads_[thread];
    hak_trace_chunk_header header;
    std::memset(&header, 0, sizeof(header));
    header.magic = HAK_TRACE_CHUNK_MAGIC;
    header.thread = thread;
    header.number = of.chunks++;
    header.capacity_bytes = kPageBytes;
    header.first_ordinal = of.context.born;
    hak_trace_context_reset(&of.context, thread, of.context.born);
    of.chunk = bytes_.size();
    of.at = of.chunk + sizeof(header);
    of.end = of.chunk + kPageBytes;
    of.records = 0;
    bytes_.resize(bytes_.size() + kPageBytes, 0);
    std::memcpy(&bytes_[of.chunk], &header, sizeof(header));
  }

  std::vector<uint8_t> bytes_;
  std::vector<Thread> threads_;
};

}  // namespace trace_test

#endif  // TOOLS_TRACE_TEST_FILE_H_
