#include "hakmem/os/lock.h"

#include <errno.h>

#include "hakmem/os/latency.h"
#include "hakmem/os/os_sys.h"

enum { HAK_LOCK_SPINS = 100 };

__thread bool hak_lock_holds_all __attribute__((tls_model("initial-exec")));
__thread uint32_t hak_lock_depth __attribute__((tls_model("initial-exec")));

hak_atomic_ptr hak_lock_watch HAK_START_DATA;

void hak_lock_set_watch(void (*watch)(void)) { hak_ptr_store_relaxed(&hak_lock_watch, (void*)watch); }

void hak_lock_call_watch(void) {
  void (*watch)(void) = (void (*)(void))hak_ptr_load_relaxed(&hak_lock_watch);
  if (watch != NULL) watch();
}

static bool spin_for(hak_lock* lock) {
  for (int spin = 0; spin < HAK_LOCK_SPINS; spin++) {
    if (hak_u32_load_relaxed(&lock->word) == 0 && hak_lock_try_take(lock)) return true;
    hak_cpu_relax();
  }
  return false;
}

void hak_lock_take_slow(hak_lock* lock) {
  const uint64_t start_ns = hak_latency_start();
  if (!spin_for(lock)) {
    const int saved_errno = errno;
    hak_lock_depth++;
    hak_compiler_barrier();
    while (hak_u32_exchange_seq(&lock->word, 2) != 0) hak_os_sys_futex_wait(&lock->word.raw, 2);
    errno = saved_errno;
    lock->sleeps++;
  }
  lock->waits++;
  hak_latency_end(HAK_LATENCY_LOCK, start_ns);
}

void hak_lock_give_slow(hak_lock* lock) {
  const int saved_errno = errno;
  hak_os_sys_futex_wake_one(&lock->word.raw);
  errno = saved_errno;
}
