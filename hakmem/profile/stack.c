#include "hakmem/profile/stack.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FRAME_BYTES_MAX = 1024 * 1024 };

/* libgcc's, where the process has it anyway, as every C++ program does; there is nothing to load then. glibc's backtrace
 * loads it. Either is missing in some worlds. */
struct _Unwind_Context;
__attribute__((weak)) int _Unwind_Backtrace(int (*visit)(struct _Unwind_Context*, void*), void* argument);
__attribute__((weak)) uintptr_t _Unwind_GetIP(struct _Unwind_Context* context);
__attribute__((weak)) int backtrace(void** frames, int most);

typedef struct stack_walk {
  uint64_t* frames;
  uint32_t count;
  uint32_t most;
} stack_walk;

enum { UNWIND_GO_ON = 0, UNWIND_STOP = 5 };

static int visit(struct _Unwind_Context* context, void* argument) {
  stack_walk* walk = (stack_walk*)argument;
  const uint64_t at = (uint64_t)_Unwind_GetIP(context);
  if (at == 0 || walk->count == walk->most) return UNWIND_STOP;
  walk->frames[walk->count++] = at;
  return UNWIND_GO_ON;
}

/* A frame pointer may be any number where code was compiled without. */
static bool read_frame(uint64_t at, uint64_t frame[2]) {
  const struct iovec to = {frame, 2 * sizeof frame[0]};
  const struct iovec from = {(void*)(uintptr_t)at, 2 * sizeof frame[0]};
  return syscall(SYS_process_vm_readv, syscall(SYS_getpid), &to, 1L, &from, 1L, 0L) == (long)(2 * sizeof frame[0]);
}

uint32_t hak_profile_stack_by_frames(uint64_t* frames, uint32_t most) {
  uint32_t count = 0;
  uint64_t frame[2]; /* the caller's frame pointer, the return address: x86-64 and AArch64 alike */
  uint64_t at = (uint64_t)(uintptr_t)__builtin_frame_address(0);
  while (count < most && at % 8 == 0 && read_frame(at, frame) && frame[1] != 0) {
    frames[count++] = frame[1];
    if (frame[0] <= at || frame[0] - at > FRAME_BYTES_MAX) break;
    at = frame[0];
  }
  return count;
}

uint32_t hak_profile_stack(uint64_t* frames, uint32_t most) {
  if (_Unwind_Backtrace != NULL && _Unwind_GetIP != NULL) {
    stack_walk walk = {frames, 0, most};
    (void)_Unwind_Backtrace(visit, &walk);
    return walk.count;
  }
  if (backtrace != NULL) {
    const int count = backtrace((void**)frames, (int)most);
    if (count > 1) return (uint32_t)count;
  }
  return hak_profile_stack_by_frames(frames, most);
}
