/* Purpose: what was chosen when HAKMEM was built, and what the user of this process chose.
 * Owns: the table of options and their values.
 * Invariants:
 *   1. After hak_config_load every value lies in its range; a bad value is named once on stderr and the default kept.
 * Threads: values are written by hak_config_load and read by any thread, meanwhile or afterwards.
 * Cost: a load.  Fails: never.  Fork: inherited. */
#ifndef HAKMEM_CONFIG_CONFIG_H_
#define HAKMEM_CONFIG_CONFIG_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"
#include "hakmem/base/view_part.h"

/* Set by the build for every target, to 0 or 1. */
#ifndef HAK_CONFIG_SANITIZE_ADDRESS
#error "HAK_CONFIG_SANITIZE_ADDRESS is set by the build: use the hak_* macros of //tools/bazel:defs.bzl"
#endif

/** Build configuration, as constants: both arms of an `if` on one always compile. */
enum {
  HAK_CFG_ASAN = HAK_CONFIG_SANITIZE_ADDRESS,
  HAK_CFG_DEBUG = HAK_CONFIG_LEVEL >= 1,
  HAK_CFG_PARANOID = HAK_CONFIG_LEVEL >= 2
};

HAK_BEGIN_DECLS

/** The options. Each is read from the environment variable HAKMEM_<NAME>; docs/tuning.md says what each does. */
typedef enum hak_option {
  HAK_OPTION_ON_ERROR,           /* abort | warn | ignore */
  HAK_OPTION_DECAY_MS,           /* how long freed memory stays resident before it goes back; 0: at once */
  HAK_OPTION_SURPLUS_BYTES,      /* freed memory that may stay resident however little is in use */
  HAK_OPTION_SUPERSLAB_CACHE,    /* empty SuperSlabs kept mapped at most */
  HAK_OPTION_WHALE_CACHE_BYTES,  /* bytes of freed whale blocks kept at most */
  HAK_OPTION_THREAD_CACHE_BYTES, /* bytes that the first thread's caches may hold (mid_ace.h) */
  HAK_OPTION_HUGE_PAGES,         /* 0 never ask, 1 let the system's mode decide for a large heap */
  HAK_OPTION_STATS_AT_EXIT,      /* 1: print the summary to stderr when the process ends */
  HAK_OPTION_VERBOSE,            /* 1: one line on stderr at start */
  HAK_OPTION_COUNT
} hak_option;

/** The value in force. HAK_OPTION_ON_ERROR holds a hak_error_action. */
uint64_t hak_config_get(hak_option option);

/** Reads the environment once, when libc has one to offer and the process is not set-user-ID or the like; later calls
 *  do nothing. Returns true once it has been read (or is never to be). `environment` is environ. */
bool hak_config_load(char** environment);

/** As hak_config_load, told whether the process is set-user-ID or the like. For tests. */
bool hak_config_load_as(char** environment, bool is_secure);

/** Forgets what was read and restores every default. For tests. */
void hak_config_reset_for_test(void);

/** Puts a value in force, in range or not. For tests. */
void hak_config_set_for_test(hak_option option, uint64_t value);

/** The value in force as the environment would spell it, where it is one of a few words; NULL where it is a number. */
const char* hak_config_word(hak_option option);

/** Name of an option without the prefix, e.g. "DECAY_MS". */
const char* hak_config_name(hak_option option);

/** For hakmem/view. */
extern const hak_view_part hak_config_view;

HAK_END_DECLS

#endif /* HAKMEM_CONFIG_CONFIG_H_ */
