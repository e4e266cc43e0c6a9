/* Purpose: assertions in three tiers, and the one place where misuse and corruption are reported.
 * Owns: the error action, the counts of reports.
 * Invariants:
 *   1. A report allocates nothing, takes no lock, is one write(2) of one line, and keeps errno.
 *   2. abort(3) is not called while a lock of the allocator is held: a SIGABRT handler may allocate.
 * Threads: any.  Cost: CHECK one compare in cold code; ASSERT and AUDIT nothing in release.
 * Fails: never.  Fork: nothing to do. */
#ifndef HAKMEM_BASE_CHECKS_H_
#define HAKMEM_BASE_CHECKS_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"
#include "hakmem/base/view_part.h"

/* Set by the build for every target: 0 release, 1 debug, 2 paranoid. */
#ifndef HAK_CONFIG_LEVEL
#error "HAK_CONFIG_LEVEL is set by the build: use the hak_* macros of //tools/bazel:defs.bzl"
#endif

HAK_BEGIN_DECLS

/** What a program did wrong with a pointer. */
typedef enum hak_misuse {
  HAK_MISUSE_DOUBLE_FREE,
  HAK_MISUSE_INTERIOR_POINTER,
  HAK_MISUSE_FOREIGN_POINTER,
  HAK_MISUSE_SIZE_MISMATCH
} hak_misuse;

enum { HAK_MISUSE_KINDS = HAK_MISUSE_SIZE_MISMATCH + 1 };

/** What follows a report of misuse: abort(3) (the default), go on after the line, go on without a line. */
typedef enum hak_error_action { HAK_ERROR_ABORT, HAK_ERROR_WARN, HAK_ERROR_IGNORE } hak_error_action;

/** Threads that set it one after the other see what the one before had done. */
void hak_set_error_action(hak_error_action action);
hak_error_action hak_get_error_action(void);

/** Reports misuse of `ptr`; `block_bytes` is the size of its class, 0 where there is none. Returns only when the
 *  error action is not abort, or abort has to wait for hak_release_aborts: the caller then leaves the heap as it is.
 *  Async-signal-safe. */
void hak_report_misuse(hak_misuse misuse, const void* ptr, size_t block_bytes);

/** Called before a lock is taken under which misuse may be found, and after it is given: in between a report prints its
 *  line, the thread's first only, and the process aborts at the end. Pairs may be nested. */
void hak_hold_aborts(void);
void hak_release_aborts(void);

/** Has `explain` called with the pointer after the line of a report that ends the process, before it does: to say more.
 *  Async-signal-safe, and returns. NULL: nobody. */
void hak_set_explainer(void (*explain)(const void* ptr));

/** Misuse seen since the start, whatever the action. */
uint64_t hak_misuse_count(void);
/** What of it is of one kind. */
uint64_t hak_misuse_count_of(hak_misuse misuse);

/** A broken invariant of HAKMEM itself: prints `what` and `ptr`, then aborts whatever the error action. */
__attribute__((noreturn, cold)) void hak_die(const char* what, const void* ptr);

/** For hakmem/view. */
extern const hak_view_part hak_checks_view;

HAK_END_DECLS

#define HAK_TEXT_2_(x) #x
#define HAK_TEXT_(x) HAK_TEXT_2_(x)
#define HAK_WHERE_(cond) __FILE__ ":" HAK_TEXT_(__LINE__) ": " #cond

/** Always on; for cold paths. */
#define HAK_CHECK(cond, ptr) ((void)(HAK_LIKELY(cond) || (hak_die(HAK_WHERE_(cond), (ptr)), 0)))
/** Debug and paranoid builds; O(1). The condition is compiled in every build. */
#define HAK_ASSERT(cond) ((void)(HAK_CONFIG_LEVEL < 1 || HAK_LIKELY(cond) || (hak_die(HAK_WHERE_(cond), NULL), 0)))
/** Paranoid builds; may walk whole structures. */
#define HAK_AUDIT(cond) ((void)(HAK_CONFIG_LEVEL < 2 || HAK_LIKELY(cond) || (hak_die(HAK_WHERE_(cond), NULL), 0)))

#endif /* HAKMEM_BASE_CHECKS_H_ */
