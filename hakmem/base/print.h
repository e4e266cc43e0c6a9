/* Purpose: text output without allocation: a fixed buffer, appended to, written out whole.
 * Owns: nothing; the caller's buffer.
 * Invariants:
 *   1. length < sizeof text, and text[length] == 0 after every call; what does not fit is cut off.
 * Threads: a buffer belongs to one thread.  Cost: O(length).
 * Fails: a write(2) that fails is dropped; errno is kept.  Fork, signals: safe anywhere. */
#ifndef HAKMEM_BASE_PRINT_H_
#define HAKMEM_BASE_PRINT_H_

#include "hakmem/base/base.h"
#include "hakmem/base/slice.h"

HAK_BEGIN_DECLS

typedef struct hak_print {
  size_t length;
  char text[504];
} hak_print;

void hak_print_init(hak_print* out);
void hak_print_str(hak_print* out, const char* text);
/** What a user wrote, on one line and at most `most` bytes of it. */
void hak_print_slice(hak_print* out, hak_slice slice, size_t most);
void hak_print_u64(hak_print* out, uint64_t value);
/** Decimal, right-aligned in `width` columns. */
void hak_print_u64_width(hak_print* out, uint64_t value, uint32_t width);
/** 0x..., lower case. */
void hak_print_ptr(hak_print* out, const void* ptr);
/** A byte count with a binary unit and one decimal: "12.5 MiB". */
void hak_print_size(hak_print* out, uint64_t size_bytes);
/** The path of a file: `path` with the number of the process for each "%p". False: too long, and cut off. */
bool hak_print_path(hak_print* out, const char* path);
/** Writes the text to file descriptor `fd` and empties the buffer. Keeps errno. */
void hak_print_flush(hak_print* out, int fd);

HAK_END_DECLS

#endif /* HAKMEM_BASE_PRINT_H_ */
