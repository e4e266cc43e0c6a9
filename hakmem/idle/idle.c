#include "hakmem/idle/idle.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hakmem/base/bits.h"
#include "hakmem/config/config.h"
#include "hakmem/heap/heap.h"
#include "hakmem/lifecycle/lifecycle.h"
#include "hakmem/limits/limits.h"
#include "hakmem/os/lock.h"
#include "hakmem/os/os.h"
#include "hakmem/purge/purge.h"
#include "hakmem/unified_cache/unified_cache.h"
#include "hakmem/warm_pool/warm_pool.h"

enum {
  /* After the first the caches are empty, after the second what they held is old enough. One to spare for other threads. */
  RESTS_MAX = 3,
  SLICE_MIN_MS = 10,
  /* Waits between two looks at the clock. */
  WAITS_PER_LOOK = 8,
  KERNEL_SIGNALS = 64,
  /* libc's own: thread cancellation, and set*id in all threads. */
  LIBC_SIGNAL_FIRST = 32,
  LIBC_SIGNAL_COUNT = 2
};

/* --- signals --- */

typedef uint64_t kernel_set; /* bit n - 1: signal n */

/* By the kernel's own call: libc's leaves out its own signals, of which one cancels threads. */
static bool set_mask(kernel_set set, kernel_set* old) {
  return syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, old, sizeof set) == 0;
}

/* The beginning of the kernel's struct, which is no larger on any processor. */
typedef struct kernel_action {
  uintptr_t handler;
  unsigned long flags;
  uint64_t more[6];
} kernel_action;

/* True: the program has set a handler. */
static bool has_handler(int number, kernel_action* action) {
  if (number >= LIBC_SIGNAL_FIRST && number < LIBC_SIGNAL_FIRST + LIBC_SIGNAL_COUNT) return false;
  if (syscall(SYS_rt_sigaction, number, NULL, action, sizeof(kernel_set)) != 0) return false;
  return action->handler != (uintptr_t)SIG_DFL && action->handler != (uintptr_t)SIG_IGN;
}

/* While a handler runs its signal is blocked. Where the program has said that it is not to be, the handler may be known by
 * its stack. */
static bool may_be_in_handler(kernel_set blocked) {
  stack_t stack = {.ss_flags = SS_DISABLE};
  (void)syscall(SYS_sigaltstack, NULL, &stack);
  if ((stack.ss_flags & SS_ONSTACK) != 0) return true;
  const bool has_stack = (stack.ss_flags & SS_DISABLE) == 0;
  for (int number = 1; number <= KERNEL_SIGNALS; number++) {
    kernel_action action;
    if (!has_handler(number, &action)) continue;
    if ((blocked >> (number - 1) & 1) != 0) return true;
    if ((action.flags & SA_NODEFER) != 0 && !(has_stack && (action.flags & SA_ONSTACK) != 0)) return true;
  }
  return false;
}

/* A signal with a handler that waits for the thread to accept it. */
static bool is_signalled(kernel_set blocked) {
  kernel_set pending = 0;
  if (syscall(SYS_rt_sigpending, &pending, sizeof pending) != 0) return false;
  for (kernel_set set = pending & ~blocked; set != 0; set &= set - 1) {
    kernel_action action;
    if (has_handler((int)hak_bits_lowest(set) + 1, &action)) return true;
  }
  return false;
}

/* --- the thread's caches --- */

/* False in a handler of a signal that came amid a slow path or with a lock held, and between two halves of a fork. */
static bool is_outside(const hak_heap* heap) {
  return !hak_lock_is_inside() && !hak_lock_get_holds_all() && hak_u32_load_relaxed(&heap->in_slow_path) == 0;
}

/* Whether the caches may hold something: the first malloc after a rest misses, and so does the last of many frees. */
static bool may_hold(const hak_heap* heap) {
  return hak_heap_is_real(heap) && (heap->idle_ticks != heap->slow_ticks || heap->idle_since_ms != 0);
}

static void empty_caches(hak_heap* heap, bool with_pages) {
  hak_heap_enter(heap);
  hak_unified_cache_flush(heap);
  if (with_pages) (void)hak_warm_pool_purge(heap);
  heap->idle_ticks = heap->slow_ticks;
  heap->idle_since_ms = 0;
  hak_heap_leave(heap);
}

/* With all signals held back. True: there was one. */
static HAK_NOINLINE bool rest(hak_heap* heap, bool with_pages) {
  kernel_set blocked;
  if (!set_mask(~(kernel_set)0, &blocked)) return false;
  if (may_hold(heap) && !may_be_in_handler(blocked)) empty_caches(heap, with_pages);
  (void)hak_purge_tick();
  const bool signalled = is_signalled(blocked);
  (void)set_mask(blocked, NULL);
  return signalled;
}

/* --- waits --- */

static uint64_t slice_ms(void) {
  const uint64_t decay_ms = hak_config_get(HAK_OPTION_DECAY_MS);
  return decay_ms < SLICE_MIN_MS ? SLICE_MIN_MS : decay_ms;
}

/* For threads that wait often and shortly, and do little in between. */
static void follow(hak_heap* heap, uint64_t now_ms, uint64_t decay_ms) {
  if (heap->idle_ticks != heap->slow_ticks) {
    heap->idle_ticks = heap->slow_ticks;
    heap->idle_since_ms = now_ms;
  } else if (now_ms >= heap->idle_since_ms + decay_ms) {
    heap->idle_since_ms = now_ms;
    (void)rest(heap, false); /* the signal's handler has run before the wait */
  }
}

static HAK_NOINLINE void look(hak_heap* heap) {
  if (hak_lifecycle_is_bare_child()) return;
  const int saved_errno = errno;
  const uint64_t now_ms = hak_purge_tick();
  if (may_hold(heap)) follow(heap, now_ms, slice_ms());
  errno = saved_errno;
}

/* A process that sandboxes itself may be killed for calls that it does not know of. */
static bool is_switched_on(void) { return hak_config_get(HAK_OPTION_PURGE_IN_WAITS) != 0 && !hak_limits_is_closed(); }

hak_idle_wait hak_idle_begin(uint64_t wait_ms) {
  hak_idle_wait wait = {0, 0, false};
  hak_heap* heap = hak_heap_current;
  if (wait_ms == 0 || !is_switched_on() || !is_outside(heap)) return wait;
  const bool is_due = !hak_heap_is_real(heap) || ++heap->idle_waits % WAITS_PER_LOOK == 0;
  const uint64_t first_ms = slice_ms();
  if (!is_due && wait_ms <= first_ms) return wait;
  if (!may_hold(heap) && !hak_purge_has_work()) return wait;
  if (is_due) look(heap);
  if (wait_ms > first_ms) wait.slice_ms = first_ms;
  return wait;
}

void hak_idle_rest(hak_idle_wait* wait) {
  const int saved_errno = errno;
  hak_heap* heap = hak_heap_current;
  wait->is_interrupted = is_switched_on() && is_outside(heap) && !hak_lifecycle_is_bare_child() && rest(heap, true);
  if (++wait->rests == RESTS_MAX || !hak_purge_has_work()) wait->slice_ms = 0;
  errno = saved_errno;
}
