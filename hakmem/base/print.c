#include "hakmem/base/print.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

void hak_print_init(hak_print* out) {
  out->length = 0;
  out->text[0] = 0;
}

static void hak_print_char(hak_print* out, char c) {
  if (out->length + 1 >= sizeof out->text) return;
  out->text[out->length++] = c;
  out->text[out->length] = 0;
}

void hak_print_str(hak_print* out, const char* text) {
  while (*text != 0) hak_print_char(out, *text++);
}

static void hak_print_digits(hak_print* out, uint64_t value, uint32_t base, uint32_t width) {
  char digits[64];
  uint32_t count = 0;
  do {
    digits[count++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value != 0);
  for (uint32_t pad = count; pad < width; pad++) hak_print_char(out, ' ');
  while (count > 0) hak_print_char(out, digits[--count]);
}

void hak_print_slice(hak_print* out, hak_slice slice, size_t most) {
  for (size_t i = 0; i < slice.length && i < most; i++) {
    const unsigned char c = (unsigned char)slice.text[i];
    const char one[2] = {c < ' ' || c == 0x7f ? '?' : (char)c, 0};
    hak_print_str(out, one);
  }
}

void hak_print_u64(hak_print* out, uint64_t value) { hak_print_digits(out, value, 10, 0); }

void hak_print_u64_width(hak_print* out, uint64_t value, uint32_t width) { hak_print_digits(out, value, 10, width); }

void hak_print_ptr(hak_print* out, const void* ptr) {
  hak_print_str(out, "0x");
  hak_print_digits(out, (uint64_t)(uintptr_t)ptr, 16, 0);
}

void hak_print_size(hak_print* out, uint64_t size_bytes) {
  static const char* const units[] = {" B", " KiB", " MiB", " GiB", " TiB"};
  uint32_t unit = 0;
  uint64_t tenths = 0;
  while (size_bytes >= 1024 && unit < 4) {
    tenths = (size_bytes % 1024) * 10 / 1024;
    size_bytes /= 1024;
    unit++;
  }
  hak_print_u64(out, size_bytes);
  if (unit > 0) {
    hak_print_char(out, '.');
    hak_print_u64(out, tenths);
  }
  hak_print_str(out, units[unit]);
}

/* By number: a name of libc's would be looked up at the start of every process. */
bool hak_print_path(hak_print* out, const char* path) {
  for (; *path != 0 && out->length + 1 < sizeof out->text; path++) {
    if (path[0] == '%' && path[1] == 'p') {
      hak_print_u64(out, (uint64_t)syscall(SYS_getpid));
      path++;
    } else {
      hak_print_char(out, *path);
    }
  }
  return out->length + 1 < sizeof out->text;
}

void hak_print_flush(hak_print* out, int fd) {
  const int saved_errno = errno;
  size_t done = 0;
  while (done < out->length) {
    const ssize_t n = write(fd, out->text + done, out->length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += (size_t)n;
  }
  hak_print_init(out);
  errno = saved_errno;
}
