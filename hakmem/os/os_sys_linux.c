#include <linux/futex.h>
#include <sys/auxv.h>
#include <sys/mman.h>
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
