/* Purpose: how a trace lies in its file; docs/trace_format.md says it in words.
 * Owns: nothing; compile-time only.
 * Invariants:
 *   1. All numbers are little-endian, and the structures have no padding.
 *   2. Chunks begin at multiples of the page size that the file header names; a page of zeros where one should begin was
 *      claimed by a thread that ended before it wrote.
 * Threads: any.  Ordering: the magic of a chunk and the first byte of a record are stored after what they announce.
 * Cost: none.  Fails: never.  Fork: a process and its children have a file each. */
#ifndef TOOLS_TRACE_FORMAT_H_
#define TOOLS_TRACE_FORMAT_H_

#include <stddef.h>
#include <stdint.h>

#define HAK_TRACE_MAGIC "HAKTRACE"

enum {
  HAK_TRACE_VERSION = 1,
  HAK_TRACE_CHUNK_MAGIC = 0x434b4148, /* "HAKC" */
  HAK_TRACE_VOID_MAGIC = 0x564b4148,  /* "HAKV": a chunk that no longer counts */
  /** A thread marks its place in the order of all threads once in so many records. */
  HAK_TRACE_RECORDS_PER_MARK = 256,
  HAK_TRACE_RECENT_SIZES = 32,
  /** No record is longer. */
  HAK_TRACE_RECORD_BYTES_MAX = 40
};

/** The first page of the file. */
typedef struct hak_trace_file_header {
  char magic[8];
  uint32_t version;
  uint32_t page_bytes;
  uint64_t pid;
  uint64_t parent_pid;
  uint64_t started_us; /* since 1970 */
  uint64_t missed;     /* operations that could not be recorded: amid another operation of the same thread */
  uint32_t has_exited; /* 1: the process ended by exit() */
  uint32_t stopped_by; /* errno for which the record stops; 0: it did not */
  char program[200];   /* path, cut off where longer; ends with 0 */
} hak_trace_file_header;

/** What a chunk, the records of one thread, begins with. */
typedef struct hak_trace_chunk_header {
  uint32_t magic;
  uint32_t thread;         /* from 0, in the order of their first operations */
  uint32_t number;         /* of the thread's chunks, from 0 */
  uint32_t capacity_bytes; /* with this header */
  uint32_t used_bytes;     /* of records; 0: not closed, they go up to the first zero byte */
  uint32_t records;        /* number; 0: not closed */
  uint64_t checksum;       /* of a closed chunk: hak_trace_checksum */
  uint64_t first_ordinal;  /* of the next block that the thread takes */
} hak_trace_chunk_header;

/** First bytes of records. What lies between the named ranges is free for later versions. */
enum {
  HAK_TRACE_CODE_END = 0x00,
  HAK_TRACE_CODE_MARK = 0x01,          /* ticket and microseconds, each as the difference to the chunk's last mark */
  HAK_TRACE_CODE_FAILED = 0x02,        /* the record that follows returned NULL, and made and freed nothing */
  HAK_TRACE_CODE_MALLOC = 0x03,        /* size */
  HAK_TRACE_CODE_CALLOC = 0x04,        /* count, size */
  HAK_TRACE_CODE_REALLOC = 0x05,       /* block, size */
  HAK_TRACE_CODE_REALLOC_NULL = 0x06,  /* size */
  HAK_TRACE_CODE_REALLOC_FREED = 0x07, /* block: realloc(block, 0) that returned NULL */
  HAK_TRACE_CODE_ALIGNED_ALLOC = 0x08, /* log2 of the alignment, size */
  HAK_TRACE_CODE_POSIX_MEMALIGN = 0x09,
  HAK_TRACE_CODE_MEMALIGN = 0x0a,
  HAK_TRACE_CODE_VALLOC = 0x0b,          /* size */
  HAK_TRACE_CODE_PVALLOC = 0x0c,         /* size */
  HAK_TRACE_CODE_FREE_OTHER = 0x0d,      /* thread, ordinal as the difference to the last such */
  HAK_TRACE_CODE_FREE_OTHER_SAME = 0x0e, /* the same, of the thread of the last such */
  HAK_TRACE_CODE_FREE_NULL = 0x0f,
  HAK_TRACE_CODE_FREE_UNKNOWN = 0x10, /* a block from before the record began, or of the parent */
  HAK_TRACE_CODE_RECENT = 0x20,       /* to 0x3f: malloc of the size at this place of the table */
  HAK_TRACE_CODE_FREE_NEAR = 0x40,    /* to 0x7b: free of the block of this distance */
  HAK_TRACE_CODE_FREE_FAR = 0x7c,     /* distance */
  HAK_TRACE_CODE_MALLOC_SHORT = 0x80, /* to 0xbf: six high bits of the size, then a byte with the low ones */
  HAK_TRACE_CODE_FREE_SHORT = 0xc0    /* to 0xff: the same of a distance less HAK_TRACE_NEAR */
};

enum { HAK_TRACE_NEAR = HAK_TRACE_CODE_FREE_FAR - HAK_TRACE_CODE_FREE_NEAR, HAK_TRACE_SHORT = 1 << 14 };

/** Checksum of a closed chunk: of its header's numbers, then of the records eight bytes at a time, the last filled up
 *  with zeros. */
static inline uint64_t hak_trace_checksum(const hak_trace_chunk_header* chunk, const uint8_t* records) {
  uint64_t sum = 0x9e3779b97f4a7c15u;
  const uint64_t numbers[] = {chunk->thread,     chunk->number,  chunk->capacity_bytes,
                              chunk->used_bytes, chunk->records, chunk->first_ordinal};
  for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
    sum = (sum ^ numbers[i]) * 0xff51afd7ed558ccdu;
    sum ^= sum >> 32;
  }
  for (uint32_t at = 0; at < chunk->used_bytes; at += 8) {
    const uint32_t left = chunk->used_bytes - at;
    uint64_t word = 0;
    __builtin_memcpy(&word, records + at, left < 8 ? left : 8);
    sum = (sum ^ word) * 0xff51afd7ed558ccdu;
    sum ^= sum >> 32;
  }
  return sum;
}

#endif /* TOOLS_TRACE_FORMAT_H_ */
