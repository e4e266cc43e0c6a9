#include <errno.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hakmem/base/atomics.h"
#include "hakmem/base/checks.h"
#include "hakmem/base/print.h"
#include "hakmem/config/config.h"
#include "hakmem/os/fault.h"
#include "hakmem/os/os.h"
#include "hakmem/postmortem/peek_inl.h"
#include "hakmem/postmortem/postmortem.h"

enum {
  SIGNALS = 3,
  STACK_BYTES = 64 * 1024,
  /* By its odd size an alternate stack is known as ours. */
  STACK_MARK_BYTES = STACK_BYTES - 80,
  /* Of a process whose own handlers mend what happened, and which may do so for ever. */
  REPORTS_MOST = 8,
  WAITS_MOST = 200,
  WAIT_NS = 5 * 1000 * 1000,
  /* So near to the stack pointer a fault is one of the stack. */
  NEAR_STACK_BYTES = 64 * 1024
};

static const int numbers[SIGNALS] = {SIGSEGV, SIGBUS, SIGABRT};
static const char names[SIGNALS][8] = {"SIGSEGV", "SIGBUS", "SIGABRT"};

/* What was there before. Sync: written before our handler is in place */
static struct sigaction before[SIGNALS];
static bool is_on HAK_START_DATA; /* read by every thread that starts. Sync: written at the start of the process */

static hak_atomic_u32 reporter; /* number of the thread that reports; 0: none */
static hak_atomic_u32 reports;
static hak_atomic_u32 is_explained; /* the misuse that an abort is for has been reported */

static uint32_t thread_number(void) { return (uint32_t)syscall(SYS_gettid); }

static uint32_t index_of(int number) {
  uint32_t index = 0;
  while (index < SIGNALS - 1 && numbers[index] != number) index++;
  return index;
}

/* --- the report --- */

/* False: this thread is in a report already, which went wrong, or others are for too long. */
static bool begin_report(uint32_t thread) {
  for (int waits = 0; waits < WAITS_MOST; waits++) {
    uint32_t expected = 0;
    if (hak_u32_cas_acq_rel(&reporter, &expected, thread)) return true;
    if (expected == thread) return false;
    const struct timespec pause = {0, WAIT_NS};
    (void)syscall(SYS_nanosleep, &pause, NULL);
  }
  return false;
}

static void end_report(void) { hak_u32_store_release(&reporter, 0); /* pairs with begin_report */ }

static void print_head(uint32_t index, const siginfo_t* info, const hak_os_fault* fault, uint32_t thread) {
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem: ");
  hak_print_str(&line, names[index]);
  hak_print_str(&line, " in ");
  hak_peek_print_thread(&line, thread);
  if (info->si_code <= 0) {
    hak_print_str(&line, info->si_code == SI_USER ? ", sent by process " : ", raised by process ");
    hak_print_u64(&line, (uint64_t)info->si_pid);
  } else {
    hak_print_str(&line, ", by a");
    hak_print_str(&line, fault->access[0] == 0 ? "n access" : fault->access);
    hak_print_str(&line, " at ");
    hak_peek_print_code(&line, (const void*)fault->code);
  }
  hak_print_str(&line, "\n");
  hak_print_flush(&line, STDERR_FILENO);
}

static void explain_fault(const siginfo_t* info, const hak_os_fault* fault) {
  if (info->si_code <= 0) return;
  const uintptr_t address = (uintptr_t)info->si_addr;
  /* The kernel gives no address where the processor has none: x86 of one that is none. */
  if (info->si_code == SI_KERNEL) {
    hak_print line;
    hak_print_init(&line);
    hak_print_str(&line, "hakmem: the processor does not say which address: one that no program can have\n");
    hak_print_flush(&line, STDERR_FILENO);
    return;
  }
  hak_postmortem_explain((const void*)address, STDERR_FILENO);
  if (address - (fault->stack - NEAR_STACK_BYTES) < 2 * NEAR_STACK_BYTES) {
    hak_print line;
    hak_print_init(&line);
    hak_print_str(&line, "hakmem: it is near the stack pointer: the stack may have overflowed\n");
    hak_print_flush(&line, STDERR_FILENO);
  }
}

static void report(uint32_t index, const siginfo_t* info, const void* context) {
  if (hak_u32_load_relaxed(&reports) >= REPORTS_MOST) return;
  const uint32_t thread = thread_number();
  if (!begin_report(thread)) return;
  hak_u32_fetch_add_relaxed(&reports, 1);
  const hak_os_fault fault = hak_os_read_fault(context);
  print_head(index, info, &fault, thread);
  explain_fault(info, &fault);
  hak_postmortem_last_operations(STDERR_FILENO);
  end_report();
}

/* After the line of a misuse report. */
static void on_misuse(const void* ptr) {
  if (!begin_report(thread_number())) return;
  hak_u32_store_relaxed(&is_explained, 1);
  hak_postmortem_explain(ptr, STDERR_FILENO);
  hak_postmortem_last_operations(STDERR_FILENO);
  end_report();
}

/* --- the signal --- */

/* The handler of the program's that was there, in the mask that ours was installed with for its sake. */
static void call_former(uint32_t index, int number, siginfo_t* info, void* context) {
  const struct sigaction former = before[index];
  if ((former.sa_flags & (int)SA_RESETHAND) != 0) {
    before[index].sa_handler = SIG_DFL;
    before[index].sa_flags = 0;
  }
  if ((former.sa_flags & SA_SIGINFO) != 0) {
    former.sa_sigaction(number, info, context);
  } else {
    former.sa_handler(number);
  }
}

static void pass_on(uint32_t index, int number, siginfo_t* info, void* context) {
  const bool is_siginfo = (before[index].sa_flags & SA_SIGINFO) != 0;
  if (is_siginfo || (before[index].sa_handler != SIG_DFL && before[index].sa_handler != SIG_IGN)) {
    call_former(index, number, info, context);
    return;
  }
  /* The instruction that failed fails again when we return, and abort raises again; a signal that was sent is sent again. */
  (void)sigaction(number, &before[index], NULL);
  if (info->si_code <= 0 && before[index].sa_handler == SIG_DFL) {
    (void)syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), number);
  }
}

static void on_signal(int number, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const uint32_t index = index_of(number);
  const bool is_told = number == SIGABRT && hak_u32_exchange_seq(&is_explained, 0) != 0;
  if (!is_told) report(index, info, context);
  errno = saved_errno;
  pass_on(index, number, info, context);
  errno = saved_errno;
}

static void install(uint32_t index) {
  if (sigaction(numbers[index], NULL, &before[index]) != 0) return;
  struct sigaction ours = before[index];
  ours.sa_sigaction = on_signal;
  /* As the former handler wants it. */
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (before[index].sa_flags & (SA_RESTART | SA_NODEFER));
  (void)sigaction(numbers[index], &ours, NULL);
}

/* --- alternate stacks --- */

void hak_postmortem_start_thread(void) {
  if (HAK_LIKELY(!is_on)) return;
  const int saved_errno = errno;
  stack_t now;
  if (syscall(SYS_sigaltstack, NULL, &now) == 0 && (now.ss_flags & SS_DISABLE) != 0) {
    void* memory = hak_os_map(STACK_BYTES);
    const stack_t ours = {.ss_sp = memory, .ss_size = STACK_MARK_BYTES};
    if (memory != NULL && syscall(SYS_sigaltstack, &ours, NULL) != 0) (void)hak_os_unmap(memory, STACK_BYTES);
  }
  errno = saved_errno;
}

/* A stack that the program has replaced by its own stays mapped: nobody knows it any more. */
void hak_postmortem_end_thread(void) {
  if (HAK_LIKELY(!is_on)) return;
  const int saved_errno = errno;
  stack_t now;
  const stack_t none = {.ss_flags = SS_DISABLE};
  const bool is_ours = syscall(SYS_sigaltstack, NULL, &now) == 0 && now.ss_size == STACK_MARK_BYTES;
  /* Refused in a handler, on this very stack: then it stays. */
  if (is_ours && syscall(SYS_sigaltstack, &none, NULL) == 0) (void)hak_os_unmap(now.ss_sp, STACK_BYTES);
  errno = saved_errno;
}

/* --- start --- */

void hak_postmortem_start(void) {
  if (!hak_config_get(HAK_OPTION_CRASH_REPORTS) || getauxval(AT_SECURE) != 0 || is_on) return;
  is_on = true;
  hak_postmortem_start_thread();
  hak_set_explainer(on_misuse);
  for (uint32_t i = 0; i < SIGNALS; i++) install(i);
}

void hak_postmortem_reset_for_test(void) {
  if (!is_on) return;
  for (uint32_t i = 0; i < SIGNALS; i++) (void)sigaction(numbers[i], &before[i], NULL);
  hak_set_explainer(NULL);
  hak_postmortem_end_thread();
  is_on = false;
}
