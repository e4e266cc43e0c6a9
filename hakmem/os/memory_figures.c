#include <errno.h>

#include "hakmem/os/os.h"
#include "hakmem/os/os_sys.h"

enum { PAGES_A_CALL = 2048 };

static uint64_t count_resident(uintptr_t begin, uintptr_t end, size_t page_bytes) {
  unsigned char pages[PAGES_A_CALL];
  uint64_t count = 0;
  while (begin < end) {
    const size_t left = (end - begin) / page_bytes;
    const size_t n = left < PAGES_A_CALL ? left : PAGES_A_CALL;
    if (hak_os_sys_mincore((const void*)begin, n * page_bytes, pages) == 0) {
      for (size_t i = 0; i < n; i++) count += pages[i] & 1;
    }
    begin += n * page_bytes;
  }
  return count;
}

uint64_t hak_os_resident_bytes(const void* base, size_t size_bytes) {
  const int saved_errno = errno;
  const size_t page_bytes = hak_os_page_bytes();
  const uintptr_t begin = (uintptr_t)base & ~(uintptr_t)(page_bytes - 1);
  const uintptr_t end = hak_round_up((uintptr_t)base + size_bytes, page_bytes);
  const uint64_t bytes = count_resident(begin, end, page_bytes) * page_bytes;
  errno = saved_errno;
  return bytes;
}

/* What follows `label` at the beginning of a line, or NULL. */
static const char* find_line(const char* text, const char* label) {
  for (const char* at = text; *at != 0;) {
    size_t i = 0;
    while (label[i] != 0 && at[i] == label[i]) i++;
    if (label[i] == 0) return at + i;
    while (*at != 0 && *at != '\n') at++;
    if (*at != 0) at++;
  }
  return NULL;
}

static uint64_t read_number(const char* text) {
  uint64_t number = 0;
  while (*text == ' ' || *text == '\t') text++;
  for (; *text >= '0' && *text <= '9'; text++) number = number * 10 + (uint64_t)(*text - '0');
  return number;
}

/* statm alone would do, but for a sum that each processor keeps its own part of: on a large machine it lags by MiBs. */
uint64_t hak_os_rss_bytes(void) {
  const int saved_errno = errno;
  char text[1024];
  uint64_t bytes = 0;
  long length = hak_os_sys_read_file("/proc/self/smaps_rollup", text, sizeof text - 1);
  if (length > 0) {
    text[length] = 0;
    const char* rss = find_line(text, "Rss:");
    if (rss != NULL) bytes = read_number(rss) * 1024;
  }
  if (bytes == 0) {
    length = hak_os_sys_read_file("/proc/self/statm", text, sizeof text - 1);
    const char* second = text;
    text[length > 0 ? length : 0] = 0;
    while (*second != 0 && *second != ' ') second++;
    bytes = read_number(second) * hak_os_page_bytes();
  }
  errno = saved_errno;
  return bytes;
}

hak_os_faults hak_os_read_faults(void) {
  const int saved_errno = errno;
  hak_os_faults out;
  hak_os_sys_faults(&out.minor, &out.major);
  errno = saved_errno;
  return out;
}
