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
  SLOTS = 8,
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

/* The program's handlers, which ours stands before. In slots that are used in turn: who reads one while the program sets
 * others has until the eighth. */
static struct {
  struct sigaction slots[SLOTS];
  hak_atomic_u32 taken;
  hak_atomic_u32 current; /* Sync: atomic release, acquire */
} own[SIGNALS];
static bool is_on HAK_START_DATA;    /* read by every thread that starts. Sync: written at the start of the process */
static bool is_first HAK_START_DATA; /* likewise */

static hak_atomic_u32 reporter; /* number of the thread that reports; 0: none */
static hak_atomic_u32 reports;
static hak_atomic_u32 is_explained; /* the misuse that an abort is for has been reported */
static hak_atomic_u32 last_thread;  /* number of the thread that reported last */

static uint32_t thread_number(void) { return (uint32_t)syscall(SYS_gettid); }

/* SIGNALS: another signal. */
static uint32_t index_of(int number) {
  uint32_t index = 0;
  while (index < SIGNALS && numbers[index] != number) index++;
  return index;
}

__attribute__((weak)) int hak_postmortem_sigaction(int number, const struct sigaction* action, struct sigaction* old) {
  return sigaction(number, action, old);
}

/* --- the program's handlers --- */

static struct sigaction own_action(uint32_t index) {
  return own[index].slots[hak_u32_load_acquire(&own[index].current) % SLOTS];
}

static void set_own_action(uint32_t index, const struct sigaction* action) {
  const uint32_t slot = hak_u32_fetch_add_relaxed(&own[index].taken, 1) + 1;
  own[index].slots[slot % SLOTS] = *action;
  hak_u32_store_release(&own[index].current, slot); /* pairs with own_action */
}

static bool is_handler(const struct sigaction* action) {
  return (action->sa_flags & SA_SIGINFO) != 0 || (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
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
  hak_u32_store_relaxed(&last_thread, thread);
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

/* The program's handler, in the mask that ours was installed with for its sake. */
static void call_own(uint32_t index, const struct sigaction* action, siginfo_t* info, void* context) {
  if ((action->sa_flags & (int)SA_RESETHAND) != 0) {
    const struct sigaction none = {.sa_handler = SIG_DFL};
    set_own_action(index, &none);
  }
  if ((action->sa_flags & SA_SIGINFO) != 0) {
    action->sa_sigaction(numbers[index], info, context);
  } else {
    action->sa_handler(numbers[index]);
  }
}

static void pass_on(uint32_t index, siginfo_t* info, void* context) {
  const struct sigaction action = own_action(index);
  if (is_handler(&action)) {
    call_own(index, &action, info, context);
    return;
  }
  /* The instruction that failed fails again when we return, and abort raises again; a signal that was sent is sent again. */
  (void)hak_postmortem_sigaction(numbers[index], &action, NULL);
  if (info->si_code <= 0 && action.sa_handler == SIG_DFL) {
    (void)syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), numbers[index]);
  }
}

/* What this crash is about has been said: by the report of a misuse before abort, or where the program's handler raises the
 * signal anew to end the process by it. */
static bool is_told(uint32_t index, const siginfo_t* info) {
  if (numbers[index] == SIGABRT && hak_u32_exchange_seq(&is_explained, 0) != 0) return true;
  return is_first && info->si_code <= 0 && info->si_pid == (pid_t)syscall(SYS_getpid) &&
         hak_u32_load_relaxed(&last_thread) == thread_number();
}

static void on_signal(int number, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const uint32_t index = index_of(number);
  if (!is_told(index, info)) report(index, info, context);
  errno = saved_errno;
  pass_on(index, info, context);
  errno = saved_errno;
}

/* Ours, in the mask and with the flags that the program's action has. */
static void install(uint32_t index, const struct sigaction* action) {
  struct sigaction ours = *action;
  ours.sa_sigaction = on_signal;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (action->sa_flags & (SA_RESTART | SA_NODEFER));
  (void)hak_postmortem_sigaction(numbers[index], &ours, NULL);
}

bool hak_postmortem_keeps(int number) { return is_first && index_of(number) < SIGNALS; }

void hak_postmortem_exchange(int number, const struct sigaction* action, struct sigaction* old) {
  const uint32_t index = index_of(number);
  const struct sigaction former = own_action(index);
  if (action != NULL) {
    set_own_action(index, action);
    /* What is ignored is by the kernel, which hands that down to programs that this one starts. */
    if (!is_handler(action) && action->sa_handler == SIG_IGN) {
      (void)hak_postmortem_sigaction(number, action, NULL);
    } else {
      install(index, action);
    }
  }
  if (old != NULL) *old = former;
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
  for (uint32_t i = 0; i < SIGNALS; i++) {
    struct sigaction found;
    if (hak_postmortem_sigaction(numbers[i], NULL, &found) != 0) continue;
    set_own_action(i, &found);
    install(i, &found);
  }
  is_first = hak_config_get(HAK_OPTION_CRASH_REPORTS_FIRST) != 0;
}

void hak_postmortem_reset_for_test(void) {
  if (!is_on) return;
  is_first = false;
  for (uint32_t i = 0; i < SIGNALS; i++) {
    const struct sigaction found = own_action(i);
    (void)hak_postmortem_sigaction(numbers[i], &found, NULL);
  }
  hak_set_explainer(NULL);
  hak_postmortem_end_thread();
  is_on = false;
}
