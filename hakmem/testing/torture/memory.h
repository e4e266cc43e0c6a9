/* How much memory the process has, as the kernel says: read without malloc. */
#ifndef HAKMEM_TESTING_TORTURE_MEMORY_H_
#define HAKMEM_TESTING_TORTURE_MEMORY_H_

#include <fcntl.h>
#include <stdlib.h>

#include "hakmem/testing/harness/expect.h"

enum { MEMORY_FILE_MAX = 16 * 1024 * 1024, MEMORY_READ_MAX = 4096 };

/** The file as text, in a buffer that the next call reuses. */
__attribute__((unused)) static char* memory_read(const char* path) {
  static char text[MEMORY_FILE_MAX];
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  EXPECT(file >= 0);
  size_t size = 0;
  for (ssize_t got = 1; got > 0; size += (size_t)got) {
    EXPECT(size + MEMORY_READ_MAX < sizeof text);
    got = read(file, text + size, MEMORY_READ_MAX); /* the kernel needs a buffer of that size for some */
    EXPECT(got >= 0);
  }
  text[size] = 0;
  EXPECT(close(file) == 0);
  return text;
}

/** The number behind `label`, such as "Rss:", of a file in /proc/self; in KiB where that is its unit. */
__attribute__((unused)) static long memory_figure(const char* path, const char* label) {
  const char* at = strstr(memory_read(path), label);
  EXPECT(at != NULL);
  return strtol(at + strlen(label), NULL, 10);
}

/** Resident KiB, as the page tables have them: status lags behind by up to 64 pages a thread. */
__attribute__((unused)) static long memory_resident_kib(void) {
  return memory_figure("/proc/self/smaps_rollup", "Rss:");
}

/** Mappings of the process. */
__attribute__((unused)) static long memory_mappings(void) {
  long lines = 0;
  for (const char* at = memory_read("/proc/self/maps"); (at = strchr(at, '\n')) != NULL; at++) lines++;
  return lines;
}

#endif /* HAKMEM_TESTING_TORTURE_MEMORY_H_ */
