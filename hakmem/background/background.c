#include "hakmem/background/background.h"

#include <errno.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hakmem/background/metrics_inl.h"
#include "hakmem/base/atomics.h"
#include "hakmem/base/print.h"
#include "hakmem/config/config.h"
#include "hakmem/os/os.h"
#include "hakmem/purge/purge.h"

enum {
  IDLE_MS = 1000,
  PURGES_PER_DECAY = 4,
  PERIOD_MIN_MS = 10,
  STOP_TRIES = 1000, /* of a ms each */
  SIG_BLOCK_HOW = 0, /* the kernel's */
  SIG_SETMASK_HOW = 2,
  MASK_BYTES = 8
};

/* Every signal but 32 to 34: libc sends those to all threads, and waits, where one calls setuid or cancels another. */
static const uint64_t blocked_signals = ~(7ull << 31);

/* Sync: atomic seq, all of it */
static struct {
  hak_atomic_u32 purges;   /* what the thread is for */
  hak_atomic_u32 writes;   /* likewise */
  hak_atomic_u32 started;  /* in this process */
  hak_atomic_u32 is_due;   /* to be started at the next occasion */
  hak_atomic_u32 writing;  /* somebody writes the file, or nobody may any more */
  hak_atomic_u32 listener; /* file descriptor of the socket + 1 */
} state HAK_START_DATA;

static bool is_on(const hak_atomic_u32* word) { return hak_u32_load_seq(word) != 0; }

bool hak_background_configure(void) {
  if (getauxval(AT_SECURE) != 0) return false;
  hak_u32_store_seq(&state.purges, hak_config_get(HAK_OPTION_BACKGROUND_THREAD) != 0);
  hak_u32_store_seq(&state.writes, *hak_config_text(HAK_OPTION_METRICS) != 0);
  return is_on(&state.purges) || is_on(&state.writes);
}

static bool begin_writing(void) { return hak_u32_exchange_seq(&state.writing, 1) == 0; }

/* When the file is due that was written last at `written_ms`; 0: never. By what the option says now. */
static uint64_t write_due_ms(uint64_t written_ms) {
  return written_ms == 0 ? 0 : written_ms + hak_config_get(HAK_OPTION_METRICS_SECONDS) * 1000;
}

static uint64_t write_when_due(uint64_t now_ms, uint64_t written_ms) {
  if (now_ms < write_due_ms(written_ms) || !begin_writing()) return written_ms;
  hak_metrics_write_file();
  hak_u32_store_seq(&state.writing, 0);
  return now_ms;
}

static uint64_t purge_period_ms(void) {
  if (!hak_purge_has_work()) return IDLE_MS;
  const uint64_t period_ms = hak_config_get(HAK_OPTION_DECAY_MS) / PURGES_PER_DECAY;
  return period_ms < PERIOD_MIN_MS ? PERIOD_MIN_MS : period_ms > IDLE_MS ? IDLE_MS : period_ms;
}

static void* run(void* unused) {
  (void)unused;
  syscall(SYS_prctl, PR_SET_NAME, "hakmem");
  const bool writes_file = is_on(&state.writes) && !hak_metrics_is_socket();
  const int listener = is_on(&state.writes) && !writes_file ? hak_metrics_listen() : -1;
  hak_u32_store_seq(&state.listener, (uint32_t)(listener + 1));
  uint64_t written_ms = 0;
  for (;;) {
    const uint64_t now_ms = is_on(&state.purges) ? hak_purge_tick() : hak_os_now_ms();
    if (writes_file) written_ms = write_when_due(now_ms, written_ms);
    const uint64_t due_ms = write_due_ms(written_ms);
    uint64_t wait_ms = is_on(&state.purges) ? purge_period_ms() : IDLE_MS;
    if (writes_file && due_ms > now_ms && due_ms - now_ms < wait_ms) wait_ms = due_ms - now_ms;
    hak_metrics_wait(listener, wait_ms);
  }
  return NULL;
}

void hak_background_start(void) {
  hak_u32_store_seq(&state.is_due, 0);
  if (!is_on(&state.purges) && !is_on(&state.writes)) return;
  if (hak_u32_exchange_seq(&state.started, 1) != 0) return;
  const int saved_errno = errno;
  uint64_t before;
  syscall(SYS_rt_sigprocmask, SIG_BLOCK_HOW, &blocked_signals, &before, MASK_BYTES);
  pthread_t thread;
  const int error = pthread_create(&thread, NULL, run, NULL);
  syscall(SYS_rt_sigprocmask, SIG_SETMASK_HOW, &before, NULL, MASK_BYTES);
  if (error != 0) {
    hak_print line;
    hak_print_init(&line);
    hak_print_str(&line, "hakmem: cannot start the background thread: error ");
    hak_print_u64(&line, (uint64_t)error);
    hak_print_str(&line, "\n");
    hak_print_flush(&line, STDERR_FILENO);
  }
  errno = saved_errno;
}

bool hak_background_after_fork_child(void) {
  const uint32_t listener = hak_u32_exchange_seq(&state.listener, 0);
  if (listener != 0) hak_metrics_close((int)listener - 1);
  hak_u32_store_seq(&state.writing, 0);
  hak_u32_store_seq(&state.started, 0);
  if (is_on(&state.writes) && !hak_metrics_is_of_this_process()) hak_u32_store_seq(&state.writes, 0);
  const bool is_due = is_on(&state.purges) || is_on(&state.writes);
  hak_u32_store_seq(&state.is_due, is_due);
  return is_due;
}

bool hak_background_is_due(void) { return hak_u32_load_relaxed(&state.is_due) != 0; }

void hak_background_stop(void) {
  if (!is_on(&state.writes)) return;
  if (hak_metrics_is_socket()) {
    if (hak_u32_load_seq(&state.listener) != 0) hak_metrics_remove_socket();
    return;
  }
  for (int i = 0; i < STOP_TRIES; i++) {
    if (begin_writing()) {
      hak_metrics_write_file(); /* and `writing` stays */
      return;
    }
    hak_metrics_wait(-1, 1);
  }
}
