#include "hakmem/os/fault.h"

#include <ucontext.h>

hak_os_fault hak_os_read_fault(const void* context) {
  const ucontext_t* at = (const ucontext_t*)context;
#if defined(__x86_64__)
  /* Bit 1 of the page fault's error code. */
  const bool is_page_fault = at->uc_mcontext.gregs[REG_TRAPNO] == 14;
  const bool is_write = (at->uc_mcontext.gregs[REG_ERR] & 2) != 0;
  return (hak_os_fault){
      .code = (uintptr_t)at->uc_mcontext.gregs[REG_RIP],
      .stack = (uintptr_t)at->uc_mcontext.gregs[REG_RSP],
      .access = !is_page_fault ? ""
                : is_write     ? " write"
                               : " read",
  };
#elif defined(__aarch64__)
  return (hak_os_fault){.code = at->uc_mcontext.pc, .stack = at->uc_mcontext.sp, .access = ""};
#else
  (void)at;
  return (hak_os_fault){.access = ""};
#endif
}
