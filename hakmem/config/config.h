/* Purpose: what was chosen when HAKMEM was built, and what the user of this process chose.
 * Owns: the values of the options (options.h is their table), the text of those that are text.
 * Invariants:
 *   1. Every value lies in its range: what does not is named once on stderr, and the value kept as it was.
 *   2. Later sources win: the program's hak_conf, /etc/hakmem.conf, HAKMEM_CONF, HAKMEM_<NAME>, hak_config_set.
 *   3. A text that was once in force stays readable for ever.
 * Threads: values are written by hak_config_load and hak_config_set, by any thread, and read by any other meanwhile.
 * Ordering: a text is written before the value that points to it (release, acquire); other values stand for themselves.
 * Cost: reading is a load. Loading is one failed open(2) and a look at the environment where nobody has set anything.
 * Fails: setting returns an error number.  Fork: inherited. */
#ifndef HAKMEM_CONFIG_CONFIG_H_
#define HAKMEM_CONFIG_CONFIG_H_

#include "hakmem/base/atomics.h"
#include "hakmem/base/base.h"
#include "hakmem/base/print.h"
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

/** HAK_OPTION_<NAME> for each row of options.h, in its order. */
typedef enum hak_option {
#define HAK_NUMBER(name, unit, initial, min, max, when, meaning) HAK_OPTION_##name,
#define HAK_FLAG(name, initial, when, meaning) HAK_OPTION_##name,
#define HAK_WORD(name, words, when, meaning) HAK_OPTION_##name,
#define HAK_TEXT(name, max, when, meaning) HAK_OPTION_##name,
#include "hakmem/config/options.h"
#undef HAK_NUMBER
#undef HAK_FLAG
#undef HAK_WORD
#undef HAK_TEXT
  HAK_OPTION_COUNT
} hak_option;

/** Private to config.c; for the inline look that follows. Of a text: where it lies, 0 for the empty one. Sync: atomic */
extern hak_atomic_u64 hak_config_values[HAK_OPTION_COUNT];

/** The value in force: a number, 0 or 1, or which of the words (HAK_OPTION_ON_ERROR holds a hak_error_action). */
HAK_ALWAYS_INLINE uint64_t hak_config_get(hak_option option) {
  return hak_u64_load_relaxed(&hak_config_values[option]);
}

/** Private to config.c, too. Sync: atomic relaxed */
extern hak_atomic_u32 hak_config_cache_was_set;

/** True once CACHE_BLOCKS, REFILL_BLOCKS or SPILL_BLOCKS has been set: one look instead of three, and mostly in vain. */
HAK_ALWAYS_INLINE bool hak_config_is_cache_set(void) { return hak_u32_load_relaxed(&hak_config_cache_was_set) != 0; }

/** The text in force, empty by default. Stays as it is when another one is set. */
const char* hak_config_text(hak_option option);

/** Reads what the user chose, once, when libc has an environment to offer; later calls do nothing. A set-user-ID process
 *  or the like has no environment. Returns true once it has been done. `environment` is environ. */
bool hak_config_load(char** environment);

/** Where to read. */
typedef struct hak_config_origin {
  const char* linked;    /* the value of hak_conf; NULL: the program has none */
  const char* file_path; /* NULL: none */
  char** environment;    /* NULL: not yet */
  bool is_secure;        /* set-user-ID or the like */
} hak_config_origin;

/** As hak_config_load, from these places. For tests. */
bool hak_config_load_from(const hak_config_origin* origin);

/** As hak_config_load, with nothing but an environment. For tests. */
bool hak_config_load_as(char** environment, bool is_secure);

/** Sets an option by its lower-case name, in the spelling that the environment has. 0, or ENOENT: no such option; EINVAL:
 *  no such value; EPERM: it is for the start of the process; ENOMEM: too many texts were set. Prints nothing. */
int hak_config_set(const char* name, const char* value);

/** Writes the value of the option of this lower-case name to out[0 .. size), as hak_config_set would take it. 0, or ENOENT:
 *  no such option; ERANGE: it does not fit, with its end. */
int hak_config_read(const char* name, char* out, size_t size);

/** Another default, in range: in force where the user has chosen nothing. */
void hak_config_set_default(hak_option option, uint64_t value);

/** Where a value came from. */
typedef enum hak_config_source {
  HAK_CONFIG_DEFAULT,
  HAK_CONFIG_LINKED,   /* hak_conf */
  HAK_CONFIG_FILE,     /* /etc/hakmem.conf */
  HAK_CONFIG_LIST,     /* HAKMEM_CONF */
  HAK_CONFIG_VARIABLE, /* HAKMEM_<NAME> */
  HAK_CONFIG_CALL,     /* hak_option_set */
  HAK_CONFIG_LIMITS    /* the default that follows a control group's limit */
} hak_config_source;

hak_config_source hak_config_source_of(hak_option option);
const char* hak_config_source_name(hak_config_source source);

/** Name of an option without the prefix, e.g. "DECAY_MS". */
const char* hak_config_name(hak_option option);

/** Appends the value in force, as the environment would spell it. */
void hak_config_print_value(hak_print* out, hak_option option);

/** Forgets what was read and restores every default. For tests. */
void hak_config_reset_for_test(void);

/** Puts a value in force, in range or not. For tests. */
void hak_config_set_for_test(hak_option option, uint64_t value);

/** For hakmem/view. */
extern const hak_view_part hak_config_view;

HAK_END_DECLS

#endif /* HAKMEM_CONFIG_CONFIG_H_ */
