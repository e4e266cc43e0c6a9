#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hakmem/base/thread.h"
#include "hakmem/os/mapping.h"
#include "hakmem/postmortem/peek_inl.h"

/* Every system call here goes by syscall(2), which the library calls anyway: a name of libc's more would be one more to be
 * looked up at the start of every process. */

/* The kernel reads a signal mask from `address` before it finds that there is no such way to set one. */
static bool is_readable(const void* address) {
  return syscall(SYS_rt_sigprocmask, -1, address, NULL, 8) != 0 && errno == EINVAL;
}

bool hak_peek_by_probing(const void* address, void* out, size_t size_bytes) {
  const uintptr_t begin = (uintptr_t)address & ~(uintptr_t)7;
  const uintptr_t end = (uintptr_t)address + size_bytes;
  if (end < (uintptr_t)address) return false;
  for (uintptr_t at = begin; at < end; at = (at & ~(uintptr_t)4095) + 4096) {
    if (!is_readable((const void*)at)) return false;
  }
  memcpy(out, address, size_bytes);
  return true;
}

bool hak_peek(const void* address, void* out, size_t size_bytes) {
  const struct iovec local = {out, size_bytes};
  const struct iovec remote = {(void*)(uintptr_t)address, size_bytes};
  const long done = syscall(SYS_process_vm_readv, syscall(SYS_getpid), &local, 1, &remote, 1, 0);
  if (done >= 0) return (size_t)done == size_bytes;
  return errno != EFAULT && hak_peek_by_probing(address, out, size_bytes);
}

/* libc keeps a thread's number somewhere near its pointer: where, shows in the calling thread's. */
uint32_t hak_peek_thread(const void* thread_pointer) {
  const uint32_t own = (uint32_t)syscall(SYS_gettid);
  const char* mine = (const char*)hak_thread_pointer();
  if (thread_pointer == mine) return own;
  enum { NEAR_BYTES = 4096, STEP_BYTES = 256 };
  for (int at = -NEAR_BYTES; at < NEAR_BYTES; at += STEP_BYTES) {
    uint32_t words[STEP_BYTES / 4];
    if (!hak_peek(mine + at, words, sizeof words)) continue;
    for (int i = 0; i < STEP_BYTES / 4; i++) {
      if (words[i] != own) continue;
      /* As a number: what is given may be no pointer at all. */
      const uintptr_t there = (uintptr_t)thread_pointer + (uintptr_t)(intptr_t)(at + 4 * i);
      uint32_t number;
      if (hak_peek((const void*)there, &number, sizeof number)) return number;
    }
  }
  return 0;
}

static int open_to_read(const char* path) { return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0); }

static size_t read_some(int file, char* out, size_t size_bytes) {
  const long done = syscall(SYS_read, file, out, size_bytes);
  return done < 0 ? 0 : (size_t)done;
}

static void close_file(int file) { (void)syscall(SYS_close, file); }

void hak_peek_print_thread(hak_print* out, uint32_t thread) {
  if (thread == 0) {
    hak_print_str(out, "a thread");
    return;
  }
  hak_print_str(out, "thread ");
  hak_print_u64(out, thread);
  hak_print path;
  hak_print_init(&path);
  hak_print_str(&path, "/proc/self/task/");
  hak_print_u64(&path, thread);
  hak_print_str(&path, "/comm");
  const int file = open_to_read(path.text);
  if (file < 0) return;
  char name[17] = {0};
  const size_t length = read_some(file, name, sizeof name - 1);
  close_file(file);
  if (length > 0 && name[length - 1] == '\n') name[length - 1] = 0;
  hak_print_str(out, " (");
  hak_print_str(out, name);
  hak_print_str(out, ")");
}

void hak_peek_print_code(hak_print* out, const void* code) {
  hak_print_ptr(out, code);
  hak_mapping mapping;
  if (!hak_mapping_find(code, &mapping)) return;
  hak_print_str(out, " (");
  hak_print_str(out, mapping.path);
  hak_print_str(out, "+");
  hak_print_ptr(out, (const void*)(uintptr_t)mapping.offset);
  hak_print_str(out, ")");
}
