/* Purpose: a part of a text, and how the files and lists that users write are cut into lines and words.
 * Owns: nothing; a slice points into a text of somebody else's.
 * Invariants:
 *   1. A slice of a slice lies within it.
 * Threads: any.  Cost: O(length); loops of our own, since each function of libc's is a name that every process looks up.
 * Fails: never.  Fork: nothing to do. */
#ifndef HAKMEM_BASE_SLICE_H_
#define HAKMEM_BASE_SLICE_H_

#include "hakmem/base/base.h"

/** Part of a text; not ended by a zero byte. */
typedef struct hak_slice {
  const char* text;
  size_t length;
} hak_slice;

HAK_ALWAYS_INLINE bool hak_slice_is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* Longer than a variable of the environment can be. A loop that has a bound is not made a call of strlen. */
enum { HAK_SLICE_BYTES_MAX = 1024 * 1024 };

/** All of a text. */
static inline hak_slice hak_slice_of(const char* text) {
  hak_slice slice = {text, 0};
  while (slice.length < HAK_SLICE_BYTES_MAX && text[slice.length] != 0) slice.length++;
  return slice;
}

/** True when the slice is all of `text`. */
static inline bool hak_slice_is_same(hak_slice slice, const char* text) {
  for (size_t i = 0; i < slice.length; i++) {
    if (slice.text[i] != text[i] || text[i] == 0) return false;
  }
  return text[slice.length] == 0;
}

/** The slice as a text of its own, in `out`, which has room for it and for a zero byte. */
static inline void hak_slice_copy(hak_slice slice, char* out) {
  for (size_t i = 0; i < slice.length; i++) out[i] = slice.text[i];
  out[slice.length] = 0;
}

/** Without blanks at its ends. */
static inline hak_slice hak_slice_trimmed(hak_slice slice) {
  while (slice.length != 0 && hak_slice_is_blank(slice.text[0])) {
    slice.text++;
    slice.length--;
  }
  while (slice.length != 0 && hak_slice_is_blank(slice.text[slice.length - 1])) slice.length--;
  return slice;
}

/** What comes before the first `separator`, or all; *rest is what comes after it. */
static inline hak_slice hak_slice_cut(hak_slice* rest, char separator) {
  hak_slice first = {rest->text, 0};
  while (first.length < rest->length && first.text[first.length] != separator) first.length++;
  const size_t gone = first.length < rest->length ? first.length + 1 : first.length;
  rest->text += gone;
  rest->length -= gone;
  return first;
}

/** A line without its comment: a # at its beginning or after a blank, and what follows. */
static inline hak_slice hak_slice_uncommented(hak_slice line) {
  for (size_t i = 0; i < line.length; i++) {
    if (line.text[i] == '#' && (i == 0 || hak_slice_is_blank(line.text[i - 1]))) line.length = i;
  }
  return line;
}

#endif /* HAKMEM_BASE_SLICE_H_ */
