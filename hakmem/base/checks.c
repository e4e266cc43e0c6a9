#include "hakmem/base/checks.h"

#include <stdlib.h>
#include <unistd.h>

#include "hakmem/base/print.h"

static hak_atomic_u32 error_action;
static hak_atomic_u64 misuse_count;
static hak_atomic_u64 misuse_by_kind[HAK_MISUSE_KINDS];

static hak_atomic_ptr explainer; /* Sync: atomic release, acquire */

static __thread uint16_t holds __attribute__((tls_model("initial-exec")));
static __thread bool abort_is_due __attribute__((tls_model("initial-exec")));

void hak_set_error_action(hak_error_action action) { hak_u32_exchange_seq(&error_action, (uint32_t)action); }

hak_error_action hak_get_error_action(void) { return (hak_error_action)hak_u32_load_relaxed(&error_action); }

void hak_set_explainer(void (*explain)(const void* ptr)) { hak_ptr_store_release(&explainer, (void*)explain); }

static void explain_more(const void* ptr) {
  void (*explain)(const void*) = (void (*)(const void*))hak_ptr_load_acquire(&explainer);
  if (explain != NULL) explain(ptr);
}

uint64_t hak_misuse_count(void) { return hak_u64_load_relaxed(&misuse_count); }

uint64_t hak_misuse_count_of(hak_misuse misuse) { return hak_u64_load_relaxed(&misuse_by_kind[misuse]); }

static const char* hak_misuse_text(hak_misuse misuse) {
  switch (misuse) {
    case HAK_MISUSE_DOUBLE_FREE: return "double free of ";
    case HAK_MISUSE_INTERIOR_POINTER: return "interior pointer ";
    case HAK_MISUSE_FOREIGN_POINTER: return "foreign pointer ";
    case HAK_MISUSE_SIZE_MISMATCH: return "wrong size given to the free of ";
  }
  return "misuse of ";
}

void hak_report_misuse(hak_misuse misuse, const void* ptr, size_t block_bytes) {
  hak_u64_fetch_add_relaxed(&misuse_count, 1);
  hak_u64_fetch_add_relaxed(&misuse_by_kind[misuse], 1);
  const hak_error_action action = hak_get_error_action();
  if (action == HAK_ERROR_IGNORE || abort_is_due) return;
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem: ");
  hak_print_str(&line, hak_misuse_text(misuse));
  hak_print_ptr(&line, ptr);
  if (block_bytes != 0) {
    hak_print_str(&line, " (size class ");
    hak_print_u64(&line, block_bytes);
    hak_print_str(&line, ")");
  } else if (misuse == HAK_MISUSE_FOREIGN_POINTER) {
    hak_print_str(&line, " (not a live block of this allocator)");
  }
  hak_print_str(&line, "\n");
  hak_print_flush(&line, STDERR_FILENO);
  if (action != HAK_ERROR_ABORT) return;
  explain_more(ptr);
  if (holds == 0) abort();
  abort_is_due = true;
}

void hak_hold_aborts(void) { holds++; }

void hak_release_aborts(void) {
  if (--holds != 0 || HAK_LIKELY(!abort_is_due)) return;
  abort_is_due = false; /* what a SIGABRT handler does wrong is reported too */
  abort();
}

void hak_die(const char* what, const void* ptr) {
  hak_print line;
  hak_print_init(&line);
  hak_print_str(&line, "hakmem: broken invariant: ");
  hak_print_str(&line, what);
  if (ptr != NULL) {
    hak_print_str(&line, " at ");
    hak_print_ptr(&line, ptr);
  }
  hak_print_str(&line, "\n");
  hak_print_flush(&line, STDERR_FILENO);
  explain_more(ptr);
  abort();
}

#define ROWS HAK_VIEW_STRUCTURE("word", uint64_t)
#define ROOTS(ROOT) \
  ROOT("error_action", error_action) ROOT("misuse_count", misuse_count) ROOT("misuse_by_kind", misuse_by_kind)
HAK_VIEW_PART(hak_checks_view, ROWS, ROOTS);
