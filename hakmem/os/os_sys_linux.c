#include <fcntl.h>
#include <linux/futex.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hakmem/os/os_sys.h"

#define HAK_OS_SEAM __attribute__((weak))

HAK_OS_SEAM void* hak_os_sys_mmap(void* hint, size_t bytes, int protection, int flags) {
  return mmap(hint, bytes, protection, flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

HAK_OS_SEAM int hak_os_sys_munmap(void* base, size_t bytes) { return munmap(base, bytes); }

HAK_OS_SEAM int hak_os_sys_mprotect(void* base, size_t bytes, int protection) {
  return mprotect(base, bytes, protection);
}

HAK_OS_SEAM int hak_os_sys_madvise(void* base, size_t bytes, int advice) { return madvise(base, bytes, advice); }

HAK_OS_SEAM void* hak_os_sys_mremap(void* base, size_t old_bytes, size_t new_bytes, int flags, void* target) {
  return mremap(base, old_bytes, new_bytes, flags, target);
}

HAK_OS_SEAM uint64_t hak_os_sys_clock_ms(void) {
  struct timespec now = {0, 0};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

HAK_OS_SEAM uint64_t hak_os_sys_clock_ns(void) {
  struct timespec now = {0, 0};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* By number: these are for reports, and a name of libc's would be looked up at the start of every process. libc's open and
 * read are points at which a thread may be cancelled, besides. */
HAK_OS_SEAM int hak_os_sys_mincore(const void* base, size_t bytes, unsigned char* pages) {
  return (int)syscall(SYS_mincore, base, bytes, pages);
}

HAK_OS_SEAM long hak_os_sys_read_file(const char* path, char* text, size_t bytes) {
  const int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (file < 0) return -1;
  size_t done = 0;
  for (long got = 1; got > 0 && done<bytes; done += got> 0 ? (size_t)got : 0) {
    got = syscall(SYS_read, file, text + done, bytes - done);
  }
  syscall(SYS_close, file);
  return (long)done;
}

HAK_OS_SEAM void hak_os_sys_faults(uint64_t* minor, uint64_t* major) {
  struct rusage usage = {0};
  syscall(SYS_getrusage, RUSAGE_SELF, &usage);
  *minor = (uint64_t)usage.ru_minflt;
  *major = (uint64_t)usage.ru_majflt;
}

HAK_OS_SEAM size_t hak_os_sys_page_bytes(void) {
  /* Not sysconf: it lies in a part of libc that a small process has no other use for. */
  const unsigned long bytes = getauxval(AT_PAGESZ);
  return bytes != 0 ? (size_t)bytes : 4096;
}

HAK_OS_SEAM void hak_os_sys_futex_wait(const uint32_t* word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

HAK_OS_SEAM void hak_os_sys_futex_wake_one(const uint32_t* word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
