#include "hakmem/lifecycle/lifecycle.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hakmem/background/background.h"
#include "hakmem/base/checks.h"
#include "hakmem/config/config.h"
#include "hakmem/ctl/ctl.h"
#include "hakmem/instrument/instrument.h"
#include "hakmem/limits/limits.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/os/latency.h"
#include "hakmem/postmortem/postmortem.h"
#include "hakmem/profile/profile.h"
#include "hakmem/recorder/recorder.h"
#include "hakmem/report/report.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/sites/sites.h"
#include "hakmem/unified_cache/unified_cache.h"
#include "hakmem/view/view.h"
#include "hakmem/whale_cache/whale_cache.h"

enum { PROCESS_NEW = 0, PROCESS_STARTING = 1, PROCESS_READY = 2 };

/* Set for good when a thread's exit hook has run. */
static __thread bool thread_is_past_exit __attribute__((tls_model("initial-exec")));
/* Set while this thread runs start_process: libc may allocate in there. */
static __thread bool thread_is_starting __attribute__((tls_model("initial-exec")));

static hak_atomic_u32 process_state HAK_START_DATA;
static pthread_key_t exit_key HAK_START_DATA;
static bool exit_key_works HAK_START_DATA; /* written before PROCESS_READY (release), read after (acquire) */

/* --- fork --- */

/* In lock order: docs/lock_order.md. Handlers that were registered before ours run while the locks are held, after us in
 * prepare and before us in parent and child, and may allocate: the forking thread passes through its own locks. */
static void before_fork(void) {
  /* Forked by a signal handler that interrupted the allocator: to wait for our own thread would be for ever. The child
   * may call what is async-signal-safe, as the standard has it, and needs no lock. */
  if (hak_lock_is_inside()) return;
  hak_lock_take(hak_ctl_lock());
  hak_lock_take(hak_heap_common_lock());
  hak_lock_take(hak_heap_named_lock());
  hak_lock_take(hak_profile_lock());
  hak_lock_take(hak_heap_parked_lock());
  hak_lock_take(hak_shared_pool_lock());
  hak_lock_take(hak_whale_cache_lock());
  hak_lock_take(hak_metadata_lock());
  hak_lock_set_holds_all(true);
}

static void after_fork_parent(void) {
  if (!hak_lock_get_holds_all()) return;
  hak_lock_set_holds_all(false);
  hak_lock_give(hak_metadata_lock());
  hak_lock_give(hak_whale_cache_lock());
  hak_lock_give(hak_shared_pool_lock());
  hak_lock_give(hak_heap_parked_lock());
  hak_lock_give(hak_profile_lock());
  hak_lock_give(hak_heap_named_lock());
  hak_lock_give(hak_heap_common_lock());
  hak_lock_give(hak_ctl_lock());
}

/* The process that the locks are those of; 0: not known. Sync: atomic relaxed */
static hak_atomic_u32 process_id HAK_START_DATA;

static uint32_t present_process_id(void) { return (uint32_t)syscall(SYS_getpid); }

static void after_fork_child(void) {
  if (!hak_lock_get_holds_all()) return;
  hak_lock_set_holds_all(false);
  hak_u32_store_relaxed(&process_id, present_process_id());
  hak_heap_orphan_others_locked(hak_heap_current);
  hak_limits_after_fork();
  hak_recorder_after_fork();
  hak_lock_reset(hak_metadata_lock());
  hak_lock_reset(hak_whale_cache_lock());
  hak_lock_reset(hak_shared_pool_lock());
  hak_lock_reset(hak_heap_parked_lock());
  hak_lock_reset(hak_profile_lock());
  hak_lock_reset(hak_heap_named_lock());
  hak_lock_reset(hak_heap_common_lock());
  hak_lock_reset(hak_ctl_lock());
  /* Its next slow path comes by hak_lifecycle_enter_slow, which starts the thread: most children call exec before. */
  if (hak_background_after_fork_child()) hak_instrument_set_heap(&hak_heap_empty);
}

/* Or, while a thread registers the handlers: FORKS_CLOSING plus the number of its process. */
enum { FORKS_OPEN = 0, FORKS_GUARDED = 1, FORKS_CLOSING = 2 };

static hak_atomic_u32 forks_state HAK_START_DATA;
/* Set while this thread registers the handlers: libc may allocate in there. */
static __thread bool thread_is_guarding __attribute__((tls_model("initial-exec")));

bool hak_lifecycle_forks_are_guarded(void) { return hak_u32_load_acquire(&forks_state) == FORKS_GUARDED; }

/* True: it is for this thread to register the handlers. False: they are. In the child of a fork that came amid a registration
 * its thread is gone, and any may do it anew: what is registered twice finds its work done the second time. */
static bool begin_guarding(void) {
  const uint32_t closing = FORKS_CLOSING + present_process_id();
  for (;;) {
    uint32_t state = hak_u32_load_acquire(&forks_state);
    if (state == FORKS_GUARDED) return false;
    if (state != closing && hak_u32_cas_acq_rel(&forks_state, &state, closing)) return true;
    /* Bounded by another thread's registration, which waits for nobody that waits here: an application that registers
     * handlers, and then holds libc's lock, has been here before. */
    hak_cpu_relax();
  }
}

void hak_lifecycle_guard_forks(void) {
  if (hak_lifecycle_forks_are_guarded() || thread_is_guarding || !begin_guarding()) return;
  const int saved_errno = errno;
  thread_is_guarding = true;
  hak_compiler_barrier(); /* pthread_atfork is declared not to come back into this file; it does */
  pthread_atfork(before_fork, after_fork_parent, after_fork_child);
  hak_compiler_barrier();
  thread_is_guarding = false;
  hak_u32_store_relaxed(&process_id, present_process_id());
  errno = saved_errno;
  hak_lock_set_watch(NULL);
  hak_u32_store_release(&forks_state, FORKS_GUARDED); /* pairs with hak_lifecycle_forks_are_guarded */
}

/* Without handlers nobody has held a lock while there were several threads. */
bool hak_lifecycle_is_bare_child(void) {
  const uint32_t present = present_process_id();
  if (HAK_LIKELY(hak_u32_load_relaxed(&process_id) == present)) return false;
  if (hak_lifecycle_forks_are_guarded()) return true;
  hak_u32_store_relaxed(&process_id, present);
  return false;
}

__attribute__((weak)) bool hak_lifecycle_sees_registrations(void) { return false; }

/* glibc's, since 2.32: not 0 while the process has one thread. The second is created after it has become 0. */
extern char __libc_single_threaded __attribute__((weak));

static bool process_has_one_thread(void) { return &__libc_single_threaded != NULL && __libc_single_threaded != 0; }

/* The lock's watch. Nobody can fork while the only thread of a process holds a lock. */
static void on_lock(void) {
  if (!process_has_one_thread()) hak_lifecycle_guard_forks();
}

/* Most processes of one thread never fork, and the handlers cost 84 KiB of libc's pages that they do not use otherwise.
 * But handlers that are registered after the application's run before its own in prepare, and an application that waits
 * there for a thread of its own, which waits for our locks, would wait for ever. */
static void start_to_watch_forks(void) {
  if (hak_lifecycle_sees_registrations() && process_has_one_thread()) {
    hak_lock_set_watch(on_lock);
  } else {
    hak_lifecycle_guard_forks();
  }
}

/* --- thread exit --- */

static void on_thread_exit(void* arg) {
  hak_heap* heap = (hak_heap*)arg;
  if (heap != hak_heap_current) return;
  hak_heap_enter(heap);
  hak_unified_cache_flush(heap);
  hak_heap_leave(heap);
  thread_is_past_exit = true;
  hak_recorder_end_thread();
  hak_postmortem_end_thread();
  hak_instrument_set_heap(&hak_heap_empty);
  hak_heap_park(heap);
}

/* --- process start --- */

extern char** environ;

static void start_process(void) {
  hak_view_keep();
  thread_is_starting = true;
  hak_config_load(environ);
  hak_profile_set_hooks();
  exit_key_works = pthread_key_create(&exit_key, on_thread_exit) == 0;
  start_to_watch_forks();
  hak_u32_store_release(&process_state, PROCESS_READY); /* pairs with ensure_started */
  thread_is_starting = false;
}

/* False: this very thread is inside start_process. */
static bool ensure_started(void) {
  if (HAK_LIKELY(hak_u32_load_acquire(&process_state) == PROCESS_READY)) return true;
  if (thread_is_starting) return false;
  uint32_t expected = PROCESS_NEW;
  if (hak_u32_cas_acq_rel(&process_state, &expected, PROCESS_STARTING)) {
    start_process();
    return true;
  }
  /* Bounded by the few library calls in start_process. */
  while (hak_u32_load_acquire(&process_state) != PROCESS_READY) hak_cpu_relax();
  return true;
}

/* At its first use: most processes have none, and save its pages. Its budget of 0 caches nothing: what exiting threads free
 * goes straight to the slabs. */
static HAK_SLOW void set_up_common_locked(hak_heap* common) {
  for (uint32_t c = 0; c < HAK_SIZE_CLASS_COUNT; c++) hak_heap_mailbox(common, c)->heap = common;
  hak_u32_store_relaxed(&common->state, HAK_HEAP_COMMON);
}

static hak_heap* enter_common(void) {
  hak_heap* common = hak_heap_common();
  hak_hold_aborts();
  hak_lock_take(hak_heap_common_lock());
  if (HAK_UNLIKELY(hak_u32_load_relaxed(&common->state) != HAK_HEAP_COMMON)) set_up_common_locked(common);
  hak_heap_enter(common);
  return common;
}

hak_heap* hak_lifecycle_enter_slow(void) {
  const int saved_errno = errno;
  const bool started = ensure_started();
  hak_heap* heap = NULL;
  if (started && !thread_is_past_exit && exit_key_works) {
    /* A main thread that allocated before libc gave its thread-local variables their initial values has one already. */
    heap = (hak_heap*)pthread_getspecific(exit_key);
    if (heap == NULL) heap = hak_heap_acquire(hak_config_get(HAK_OPTION_THREAD_CACHE_BYTES));
  }
  if (heap == NULL) {
    errno = saved_errno;
    return enter_common();
  }
  hak_instrument_set_heap(heap);
  hak_postmortem_start_thread();
  /* May allocate, which now finds the heap in place. If it fails, the heap stays with the thread and is not parked
   * when the thread ends: a leak of one heap, where even libc has no memory. */
  (void)pthread_setspecific(exit_key, heap);
  if (HAK_UNLIKELY(hak_background_is_due())) hak_background_start();
  errno = saved_errno;
  hak_heap_enter(heap);
  return heap;
}

void hak_lifecycle_leave_common(hak_heap* heap) {
  HAK_CHECK(heap == hak_heap_common(), heap);
  hak_unified_cache_flush(heap);
  hak_heap_leave(heap);
  hak_lock_give(hak_heap_common_lock());
  hak_release_aborts();
}

static void trim_named(void) {
  if (hak_heap_homing_count() == hak_heap_parked_count()) return; /* there is none */
  hak_hold_aborts();
  hak_lock_take(hak_heap_named_lock());
  for (hak_heap* heap = hak_heap_first(); heap != NULL; heap = heap->next_heap) {
    if (hak_u32_load_relaxed(&heap->state) == HAK_HEAP_NAMED) hak_unified_cache_flush(heap);
  }
  hak_lock_give(hak_heap_named_lock());
  hak_release_aborts();
}

void hak_lifecycle_trim_shared(void) {
  hak_lifecycle_leave_common(enter_common());
  trim_named();
}

__attribute__((constructor)) static void on_library_start(void) {
  const int saved_errno = errno;
  ensure_started();
  hak_config_load(environ);
  hak_recorder_start();
  hak_sites_start();
  if (hak_config_get(HAK_OPTION_FLIGHT_RECORDER)) hak_lifecycle_guard_forks(); /* a child is told from its parent */
  hak_postmortem_start();
  if (hak_config_get(HAK_OPTION_VERBOSE)) hak_report_hello(STDERR_FILENO);
  const uint64_t prewarm_bytes = hak_config_get(HAK_OPTION_PREWARM_BYTES);
  if (prewarm_bytes != 0) hak_shared_pool_prewarm(prewarm_bytes);
  if (hak_config_get(HAK_OPTION_PROFILE)) hak_profile_begin(0);
  if (hak_config_get(HAK_OPTION_LATENCY_HISTOGRAM)) hak_latency_switch(true);
  if (hak_background_configure()) {
    hak_lifecycle_guard_forks(); /* the thread takes locks */
    hak_background_start();
  }
  errno = saved_errno;
}

__attribute__((destructor)) static void on_library_end(void) {
  const int saved_errno = errno;
  if (hak_config_get(HAK_OPTION_STATS_AT_EXIT)) hak_report_at_exit();
  hak_profile_at_exit();
  hak_background_stop();
  errno = saved_errno;
}
