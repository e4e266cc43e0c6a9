#include "hakmem/os/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PIECE_BYTES = 512, LINE_BYTES = 128 + HAK_MAPPING_PATH_BYTES };

static const char* parse_hex(const char* text, uintptr_t* value) {
  *value = 0;
  for (;; text++) {
    if (*text >= '0' && *text <= '9') {
      *value = *value << 4 | (uintptr_t)(*text - '0');
    } else if (*text >= 'a' && *text <= 'f') {
      *value = *value << 4 | (uintptr_t)(*text - 'a' + 10);
    } else {
      return text;
    }
  }
}

/* "begin-end rwxp offset device inode   path". *is_file: a file is mapped there. False: it does not hold `address`. */
static bool parse_line(const char* line, uintptr_t address, hak_mapping* out, bool* is_file) {
  uintptr_t begin, end, offset;
  *is_file = false;
  const char* at = parse_hex(line, &begin);
  if (*at != '-') return false;
  at = parse_hex(at + 1, &end);
  if (address < begin || address >= end) return false;
  for (int i = 0; i < 6 && *at != 0; i++) at++; /* " r-xp " */
  at = parse_hex(at, &offset);
  while (*at != 0 && *at != '/') at++;
  *is_file = *at != 0;
  size_t length = 0;
  for (; at[length] != 0 && length + 1 < sizeof out->path; length++) out->path[length] = at[length];
  out->path[length] = 0;
  out->offset = address - begin + offset;
  return true;
}

static bool search(int file, uintptr_t address, hak_mapping* out) {
  char piece[PIECE_BYTES];
  char line[LINE_BYTES];
  size_t length = 0;
  bool is_file;
  for (;;) {
    const long count = syscall(SYS_read, file, piece, sizeof piece);
    if (count <= 0) return false;
    for (long i = 0; i < count; i++) {
      if (piece[i] != '\n') {
        if (length + 1 < sizeof line) line[length++] = piece[i];
        continue;
      }
      line[length] = 0;
      length = 0;
      if (parse_line(line, address, out, &is_file)) return is_file;
    }
  }
}

bool hak_mapping_find(const void* address, hak_mapping* out) {
  const int saved_errno = errno;
  const int file = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
  const bool is_found = file >= 0 && search(file, (uintptr_t)address, out);
  if (file >= 0) (void)syscall(SYS_close, file);
  errno = saved_errno;
  return is_found;
}
